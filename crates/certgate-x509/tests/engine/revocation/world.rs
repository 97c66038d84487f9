//! A path of a root, a CA and a leaf, and the lists of one case.

use std::sync::Arc;

use certgate_x509::{
    Certificate, Crl, ErrorKind, Freshness, LeafRule, MaxAge, NoTrace, PathParameters, Pool, RevocationData,
    RevocationPolicy, UsageRule, Verification, Verified,
};

use certgate_testing::der::{Draft, NOW, SigningKey};
use certgate_testing::status::*;

pub const ROOT: &str = "CN=Root";
pub const CA: &str = "CN=CA";
pub const LEAF: &str = "CN=client";
pub const LEAF_SERIAL: &[u8] = &[0x31];
pub const CA_SERIAL: &[u8] = &[0x21];

/// A root, a CA and a leaf; further certificates; CRLs.
pub struct World {
    pub root: SigningKey,
    pub ca: SigningKey,
    /// For whatever a case needs a third key for.
    pub other: SigningKey,
    pub root_cert: Draft,
    pub ca_cert: Draft,
    pub leaf: Draft,
    pub presented: Vec<Arc<Certificate>>,
    pub anchors: Vec<Arc<Certificate>>,
    pub crls: Vec<Vec<u8>>,
    pub policy: RevocationPolicy,
}

impl World {
    /// A valid path and no CRL; no clock skew.
    pub fn new() -> Self {
        let (root, ca, other) = (SigningKey::ed25519(), SigningKey::ed25519(), SigningKey::ed25519());
        let mut ca_cert = Draft::ca(CA, ROOT, &ca);
        ca_cert.serial = CA_SERIAL.to_vec();
        let mut leaf = Draft::client(LEAF, CA, &other);
        leaf.serial = LEAF_SERIAL.to_vec();
        let policy = RevocationPolicy {
            freshness: Freshness { max_age: MaxAge::NextUpdate, clock_skew: 0 },
            ..RevocationPolicy::default()
        };
        Self {
            root_cert: Draft::ca(ROOT, ROOT, &root),
            root,
            ca,
            other,
            ca_cert,
            leaf,
            presented: vec![],
            anchors: vec![],
            crls: vec![],
            policy,
        }
    }

    /// The same with a CRL of the root that lists nothing.
    pub fn rooted() -> Self {
        let mut world = Self::new();
        world.by_root(CrlDraft::new(ROOT));
        world
    }

    pub fn by_root(&mut self, draft: CrlDraft) {
        self.crls.push(draft.der(&self.root));
    }

    pub fn by_ca(&mut self, draft: CrlDraft) {
        self.crls.push(draft.der(&self.ca));
    }

    pub fn answer(&self) -> Result<Verified, (ErrorKind, String)> {
        let crls: Vec<Arc<Crl>> = self.crls.iter().map(|der| Arc::new(Crl::from_der(der.clone()).unwrap())).collect();
        let mut reversed = crls.clone();
        reversed.reverse();
        let ask = |crls: Vec<Arc<Crl>>| {
            let anchors = [vec![self.root_cert.sign(&self.root)], self.anchors.clone()].concat();
            let question = Verification {
                leaf: self.leaf.sign(&self.ca),
                pool: Pool::new(anchors, [self.ca_cert.sign(&self.root)]),
                untrusted: self.presented.clone(),
                data: RevocationData::new(crls),
                path: PathParameters {
                    usage: UsageRule::Unchecked,
                    leaf: LeafRule::AnyCertificate,
                    ..PathParameters::default()
                },
                revocation: self.policy,
            };
            question.verify(NOW, &mut NoTrace).map_err(|invalid| (invalid.kind, invalid.detail))
        };
        let (one, two) = (ask(crls), ask(reversed));
        match (&one, &two) {
            (Ok(one), Ok(two)) => assert_eq!(one.valid_until, two.valid_until, "the order of files counts"),
            (Err(one), Err(two)) => assert_eq!(one.0, two.0, "the order of files counts"),
            _ => panic!("the order of files counts: {one:?}, {two:?}"),
        }
        one
    }
}

pub type Row = (&'static str, fn(&mut World), Result<(), ErrorKind>);

pub fn run(make: fn() -> World, rows: &[Row]) {
    let mut problems = Vec::new();
    for (row, edit, want) in rows {
        let mut world = make();
        edit(&mut world);
        let got = world.answer();
        let code = got.as_ref().map(|_| ()).map_err(|(reason, _)| *reason);
        if code != *want {
            problems.push(format!("{row}: want {want:?}, got {got:?}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

pub const REVOKED: Result<(), ErrorKind> = Err(ErrorKind::Revoked);
pub const UNKNOWN: Result<(), ErrorKind> = Err(ErrorKind::StatusUnknown);
pub const STALE: Result<(), ErrorKind> = Err(ErrorKind::StatusStale);

pub fn listing(reason: Option<u8>) -> CrlDraft {
    CrlDraft::new(CA).lists(LEAF_SERIAL, reason)
}
