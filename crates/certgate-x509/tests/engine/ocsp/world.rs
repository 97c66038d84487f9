//! What asks, what answers, and the answer of one case.

use std::sync::Arc;

use certgate_x509::{
    Certificate, Freshness, MaxAge, UnixTime,
    ocsp::{self, Nonce, OcspPolicy, OcspResponse},
};

use certgate_testing::der;
use certgate_testing::der::{Draft, NOW, SigningKey, ext};
use certgate_testing::status::*;

pub const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";

/// A CA, a leaf, a delegate, and a good response by the CA.
pub struct World {
    pub ca_key: SigningKey,
    pub delegate_key: SigningKey,
    pub ca: Arc<Certificate>,
    pub leaf: Arc<Certificate>,
    pub delegate: Draft,
    pub draft: ResponseDraft,
    pub by_delegate: bool,
    pub nonce: Nonce<'static>,
    pub policy: OcspPolicy,
    pub now: UnixTime,
}

impl World {
    pub fn new() -> Self {
        let (ca_key, delegate_key) = (SigningKey::p256(), SigningKey::p256());
        let ca = Draft::ca("CN=CA", "CN=Root", &ca_key).sign(&SigningKey::p256());
        let mut leaf = Draft::client("CN=client", "CN=CA", &SigningKey::ed25519());
        leaf.serial = vec![0, 0x91, 7];
        let leaf = leaf.sign(&ca_key);
        let delegate = Draft::new("CN=Responder", "CN=CA", &delegate_key)
            .with(ext::key_usage(&[0]))
            .with(ext::purposes(&[OCSP_SIGNING]))
            .with(no_check());
        let draft = ResponseDraft::new(by_name(&ca), vec![Single::good(&leaf, &ca)]);
        let freshness = Freshness { max_age: MaxAge::NextUpdate, clock_skew: 0 };
        let policy = OcspPolicy { freshness, ..OcspPolicy::default() };
        Self {
            ca_key,
            delegate_key,
            ca,
            leaf,
            delegate,
            draft,
            by_delegate: false,
            nonce: Nonce::NotSent,
            policy,
            now: NOW,
        }
    }

    /// The same signed by the delegate.
    pub fn delegated() -> Self {
        let mut world = Self::new();
        world.by_delegate = true;
        world
    }

    pub fn response(&self) -> Vec<u8> {
        let mut draft = self.draft.clone();
        if !self.by_delegate {
            return draft.der(&self.ca_key);
        }
        let delegate = self.delegate.sign(&self.ca_key);
        if draft.certificates.is_empty() {
            draft.certificates.push(delegate.der().to_vec());
            draft.responder = by_name(&delegate);
        }
        draft.der(&self.delegate_key)
    }

    pub fn check(&self) -> Result<ocsp::OcspGood, String> {
        let response = OcspResponse::from_der(self.response()).map_err(|error| format!("MALFORMED {error}"))?;
        ocsp::check(&response, &self.leaf, &self.ca, self.nonce, &self.policy, self.now)
            .map_err(|status| format!("{:?} {status}", status.kind()))
    }

    pub fn single(&mut self) -> &mut Single {
        &mut self.draft.singles[0]
    }
}

pub fn no_check() -> der::Extension {
    ("1.3.6.1.5.5.7.48.1.5".to_owned(), false, vec![5, 0])
}

pub type Row = (&'static str, fn(&mut World), &'static str);

pub fn run(make: fn() -> World, rows: &[Row]) {
    let mut problems = Vec::new();
    for (row, edit, want) in rows {
        let mut world = make();
        edit(&mut world);
        match (world.check(), want) {
            (Ok(_), &"good") => {}
            (Err(problem), want) if problem.contains(want) => {}
            (got, want) => problems.push(format!("{row}: want {want:?}, got {got:?}")),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
