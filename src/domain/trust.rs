//! A compiled TrustProfile: which client certificates are believed.
//!
//! [`TrustProfile::verify`] answers with a [`Verified`], which nothing else can make, or with a denial. Path rules are
//! [`super::path`]'s; owned here are the modes, the lists that narrow what a valid path may be, and the requirements
//! that a profile sets. The profile's objects and sources are read elsewhere.

use std::collections::HashSet;
use std::sync::Arc;

use super::certificate::{Certificate, Version};
use super::decision::Denial;
use super::fingerprint::Sha256;
use super::path::signature::PublicKey;
use super::path::{self, PathParameters, Pool, Rejection, ValidPath, ValidPolicies};
use super::reason::Reason;
use super::time::UnixTime;
use super::trace::{Trace, Verdict};

/// The stage that steps of this module carry.
const STAGE: &str = "trust";

/// How a certificate can be believed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum TrustMode {
    /// By a path to a trust anchor.
    #[default]
    Chain,
    /// By being one of the listed peers, octet by octet, within its dates; nothing else is checked.
    Peer,
    /// By either.
    PeerOrChain,
}

/// What a TrustProfile says, resolved.
#[derive(Clone, Debug, Default)]
pub struct TrustParameters {
    /// How a certificate can be believed.
    pub mode: TrustMode,
    /// Trust anchors. None: every chain is refused.
    pub anchors: Vec<Arc<Certificate>>,
    /// Help for path building; trusted for nothing.
    pub intermediates: Vec<Arc<Certificate>>,
    /// The peers of the modes with peers.
    pub peers: Vec<Arc<Certificate>>,
    /// When given, the certificate that issued the leaf (element 1 of the path) is one of these.
    pub issuing_authorities: Option<HashSet<Sha256>>,
    /// When given, at least one CA certificate of the path is one of these.
    pub trust_list: Option<HashSet<Sha256>>,
    /// No certificate of the path is one of these; the leaf in no mode.
    pub disallowed: HashSet<Sha256>,
    /// What a path must fulfil.
    pub requirements: PathParameters,
}

/// A compiled profile, made once and shared.
#[derive(Debug)]
pub struct TrustProfile {
    mode: TrustMode,
    pool: Pool,
    peers: HashSet<Sha256>,
    issuing_authorities: Option<HashSet<Sha256>>,
    /// Those of them whose certificates are not at hand, so that nobody knows their names.
    nameless_authorities: HashSet<Sha256>,
    trust_list: Option<HashSet<Sha256>>,
    disallowed: HashSet<Sha256>,
    requirements: PathParameters,
}

/// What a profile itself knows about the key of an issuer, going by the issuer's name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum IssuerKey {
    /// The name has this key and no other.
    Known,
    /// Nothing: a client sent the issuer's certificate along.
    Unknown,
    /// The name has other keys as well.
    Ambiguous,
}

/// How a certificate came to be believed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Believed {
    /// By a path to a trust anchor.
    Chain,
    /// As a listed peer.
    Peer,
}

/// A certificate that a profile believes. Holding one is the proof: only [`TrustProfile`] makes it.
#[derive(Clone, Debug)]
pub struct Verified {
    path: Vec<Arc<Certificate>>,
    believed: Believed,
    valid_until: UnixTime,
    policies: ValidPolicies,
}

impl Verified {
    /// The client's certificate.
    pub fn leaf(&self) -> &Arc<Certificate> {
        self.path.first().expect("a path begins with the leaf")
    }

    /// From the leaf to the trust anchor; the leaf alone for a peer.
    pub fn path(&self) -> &[Arc<Certificate>] {
        &self.path
    }

    /// The certificate that issued the leaf, when the path has one besides the leaf itself.
    pub fn issuer(&self) -> Option<&Arc<Certificate>> {
        element_one(&self.path)
    }

    /// How it came to be believed.
    pub fn believed(&self) -> Believed {
        self.believed
    }

    /// Until when this holds, at most: the earliest end among the certificates below the anchor, and of what else was
    /// consulted.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// The certificate policies that the path is valid for.
    pub fn policies(&self) -> &ValidPolicies {
        &self.policies
    }

    /// The same, when nothing else is wanted any more.
    pub fn into_policies(self) -> ValidPolicies {
        self.policies
    }
}

impl TrustProfile {
    /// Compiles a profile.
    pub fn new(parameters: TrustParameters) -> Self {
        let mut nameless_authorities = parameters.issuing_authorities.clone().unwrap_or_default();
        for known in parameters.anchors.iter().chain(&parameters.intermediates) {
            nameless_authorities.remove(&known.sha256());
        }
        Self {
            mode: parameters.mode,
            pool: Pool::new(parameters.anchors, parameters.intermediates),
            nameless_authorities,
            peers: parameters.peers.iter().map(|peer| peer.sha256()).collect(),
            issuing_authorities: parameters.issuing_authorities,
            trust_list: parameters.trust_list,
            disallowed: parameters.disallowed,
            requirements: parameters.requirements,
        }
    }

    /// The trust anchors, doubles removed.
    pub fn anchors(&self) -> &[Arc<Certificate>] {
        self.pool.anchors()
    }

    /// When the first of the anchors ends by which a chain can be believed. Nothing is refused then: an anchor is a name
    /// and a key, and what it issued is judged by its own dates.
    pub fn first_anchor_expiry(&self) -> Option<UnixTime> {
        let in_use = if self.mode == TrustMode::Peer { &[] } else { self.anchors() };
        in_use.iter().map(|anchor| anchor.not_after()).min()
    }

    /// Anchors and intermediates, for searches beside the main one, such as for the signer of a CRL.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What the profile knows about the key of `issuer`, the CA above the leaf on a path that it has validated. Only
    /// certificates that an operator has listed count, and of these, where there are issuing authorities, only them.
    pub fn issuer_key(&self, issuer: &Certificate) -> IssuerKey {
        let (mut is_known, mut has_others) = (false, false);
        for key in self.issuer_keys(issuer.subject().canonical()) {
            match key == issuer.public_key() {
                true => is_known = true,
                false => has_others = true,
            }
        }
        // An issuing authority that is known by its hash alone might have the same name.
        let is_only_authority = self.issuing_authorities.is_some()
            && self.nameless_authorities.iter().all(|nameless| *nameless == issuer.sha256());
        match (has_others, is_known || is_only_authority) {
            (true, _) => IssuerKey::Ambiguous,
            (false, true) => IssuerKey::Known,
            (false, false) => IssuerKey::Unknown,
        }
    }

    /// The keys that [`TrustProfile::issuer_key`] knows under a name, given in its canonical form; with doubles.
    pub fn issuer_keys<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let listed = self.issuing_authorities.as_ref();
        let counts = move |found: &&Arc<Certificate>| listed.is_none_or(|listed| listed.contains(&found.sha256()));
        self.pool.named_canonical(name).filter(counts).map(|found| found.public_key())
    }

    /// Whether an issuer may be known by its hash alone, so that [`TrustProfile::issuer_keys`] does not tell its name.
    pub fn has_nameless_authorities(&self) -> bool {
        !self.nameless_authorities.is_empty()
    }

    /// Whether certificates are believed by their paths, and not as peers alone.
    pub fn believes_chains(&self) -> bool {
        self.mode != TrustMode::Peer
    }

    /// Decides whether `leaf` is believed at `now`. `presented` certificates help to build a path and nothing else.
    pub fn verify<T: Trace>(
        &self,
        leaf: &Arc<Certificate>,
        presented: &[Arc<Certificate>],
        now: UnixTime,
        trace: &mut T,
    ) -> Result<Verified, Denial> {
        self.verify_with(leaf, presented, now, trace, |_, _| Ok(None))
    }

    /// [`TrustProfile::verify`] with a further check of each path that is valid and passes the profile's lists, such as
    /// revocation. A path that it refuses is given up for the next one. It may answer with a time until which its
    /// answer holds.
    pub fn verify_with<T: Trace>(
        &self,
        leaf: &Arc<Certificate>,
        presented: &[Arc<Certificate>],
        now: UnixTime,
        trace: &mut T,
        mut check: impl FnMut(&ValidPath, &mut T) -> Result<Option<UnixTime>, Rejection>,
    ) -> Result<Verified, Denial> {
        if self.mode != TrustMode::Chain && self.peers.contains(&leaf.sha256()) {
            // A peer has no element 1, and a profile that lists issuing authorities wants one: only a chain can do.
            if self.mode == TrustMode::Peer || self.issuing_authorities.is_none() {
                return self.verify_peer(leaf, now, trace);
            }
            trace.step(STAGE, Verdict::Skip, || {
                "a trusted peer, but the profile lists issuing authorities: a chain is wanted".to_owned()
            });
        }
        if self.mode == TrustMode::Peer {
            let detail = format!("SHA-256 {} is not one of the {} trusted peers", leaf.sha256(), self.peers.len());
            return deny(trace, Reason::CertUntrusted, detail);
        }
        if self.is_disallowed(leaf) {
            return self.deny_disallowed(leaf, now, trace);
        }
        if self.pool.anchors().is_empty() {
            return deny(trace, Reason::CertUntrusted, "the profile has no trust anchor".to_owned());
        }
        if T::KEEPS
            && let Some(weakness) = self.requirements.signatures.weakness()
        {
            trace.step(STAGE, Verdict::Note, || format!("WEAK: the profile accepts {weakness} (weakCryptography)"));
        }
        let found = path::find(leaf, presented, &self.pool, &self.requirements, now, trace, |path, trace| {
            self.check_lists(path, trace)?;
            check(path, trace)
        });
        match found {
            Ok((path, until)) => {
                let valid_until = until.map_or(path.valid_until(), |until| until.min(path.valid_until()));
                let certificates = path.certificates().to_vec();
                trace.step(STAGE, Verdict::Pass, || {
                    format!("path of {} certificates, valid until {valid_until}", certificates.len())
                });
                let policies = path.policies().clone();
                if !policies.is_empty() {
                    trace.step(STAGE, Verdict::Note, || {
                        format!("valid for certificate policies {}", policies.names().join(", "))
                    });
                }
                Ok(Verified { path: certificates, believed: Believed::Chain, valid_until, policies })
            }
            Err(failure) => deny(trace, failure.reason(), failure.explain()),
        }
    }

    /// WCF's PeerTrust: the certificate itself is listed, within its dates and not disallowed.
    fn verify_peer<T: Trace>(&self, leaf: &Arc<Certificate>, now: UnixTime, trace: &mut T) -> Result<Verified, Denial> {
        if let Err(failure) = path::check_validity(leaf, now) {
            return deny(trace, failure.reason(), failure.to_string());
        }
        if self.is_disallowed(leaf) {
            return self.deny_disallowed(leaf, now, trace);
        }
        if self.issuing_authorities.is_some() {
            let detail = "a trusted peer has no issuing CA, and the profile lists issuing authorities".to_owned();
            return deny(trace, Reason::IssuerNotAuthorized, detail);
        }
        trace.step(STAGE, Verdict::Pass, || format!("SHA-256 {} is a trusted peer", leaf.sha256()));
        Ok(Verified {
            path: vec![Arc::clone(leaf)],
            believed: Believed::Peer,
            valid_until: leaf.not_after(),
            policies: ValidPolicies::default(),
        })
    }

    /// The lists that narrow what a valid path may be.
    fn check_lists<T: Trace>(&self, path: &ValidPath, trace: &mut T) -> Result<(), Rejection> {
        let reject = |reason, detail| Err(Rejection { reason, detail });
        if let Some(vetoed) = path.certificates().iter().find(|certificate| self.is_disallowed(certificate)) {
            let detail = format!("{} (SHA-256 {}) of the path is disallowed", vetoed.subject(), vetoed.sha256());
            return reject(Reason::CertDisallowed, detail);
        }
        if let Some(listed) = &self.issuing_authorities {
            let Some(issuer) = element_one(path.certificates()) else {
                let detail = "the certificate is self-signed: there is no issuing CA to compare".to_owned();
                return reject(Reason::IssuerNotAuthorized, detail);
            };
            let (name, sha256) = (issuer.subject(), issuer.sha256());
            if !listed.contains(&sha256) {
                let detail = format!(
                    "issuing CA {name} (SHA-256 {sha256}) is not one of the {} issuing authorities",
                    listed.len()
                );
                return reject(Reason::IssuerNotAuthorized, detail);
            }
            trace.step(STAGE, Verdict::Note, || format!("issuing CA {name} (SHA-256 {sha256}) is listed"));
        }
        if let Some(listed) = &self.trust_list {
            let authorities = path.certificates().get(1..).unwrap_or_default();
            if !authorities.iter().any(|authority| listed.contains(&authority.sha256())) {
                let found: Vec<String> = authorities.iter().map(|authority| authority.sha256().to_string()).collect();
                let detail = format!("no CA of the path is on the trust list (SHA-256 {})", found.join(", "));
                return reject(Reason::IssuerNotInTrustList, detail);
            }
        }
        Ok(())
    }

    fn is_disallowed(&self, certificate: &Certificate) -> bool {
        // By either form of its signature: the client chooses which one to show.
        !self.disallowed.is_empty() && certificate.aliases().any(|sha256| self.disallowed.contains(&sha256))
    }

    /// Denies a leaf that is disallowed; its dates come first in the order of reasons.
    fn deny_disallowed<T: Trace, V>(&self, leaf: &Arc<Certificate>, now: UnixTime, trace: &mut T) -> Result<V, Denial> {
        match path::check_validity(leaf, now) {
            Err(error) => deny(trace, error.reason(), error.to_string()),
            Ok(()) => {
                let detail = format!("client certificate: SHA-256 {} is disallowed", leaf.sha256());
                deny(trace, Reason::CertDisallowed, detail)
            }
        }
    }
}

/// Element 1 of a path: the certificate that issued the leaf. A self-signed leaf that is its own anchor has none.
fn element_one(path: &[Arc<Certificate>]) -> Option<&Arc<Certificate>> {
    let leaf = path.first()?;
    path.get(1).filter(|issuer| !issuer.is_same(leaf))
}

fn deny<T: Trace, V>(trace: &mut T, reason: Reason, detail: String) -> Result<V, Denial> {
    trace.step(STAGE, Verdict::Fail, || format!("{reason}: {detail}"));
    Err(Denial::new(reason, detail))
}

/// What an operator should know about a certificate that is to be a trust anchor. Nothing of it stops the anchor from
/// being trusted: an anchor is a name and a key.
pub fn lint_anchor(anchor: &Certificate, now: UnixTime, requirements: &PathParameters) -> Vec<String> {
    let mut findings = Vec::new();
    if now > anchor.not_after() {
        findings.push(format!("expired at {}; it is trusted all the same", anchor.not_after()));
    } else if now < anchor.not_before() {
        findings.push(format!("not valid before {}; it is trusted all the same", anchor.not_before()));
    }
    match (anchor.version(), anchor.basic_constraints()) {
        (Version::V3, None) => findings.push("not a CA: it has no basicConstraints".to_owned()),
        (_, Some(constraints)) if !constraints.is_ca => {
            findings.push("not a CA: basicConstraints has no cA".to_owned());
        }
        _ => {}
    }
    if anchor.key_usage().is_some_and(|usage| !usage.key_cert_sign()) {
        findings.push("keyUsage does not have keyCertSign".to_owned());
    }
    if anchor.basic_constraints().is_some_and(|constraints| constraints.path_len.is_some()) {
        findings.push("its pathLenConstraint is not applied; use maxPathLength".to_owned());
    }
    if let Some(oid) = anchor.unknown_critical_extension() {
        findings.push(format!("critical extension {oid} is not known and not applied"));
    }
    if !anchor.is_self_issued() {
        findings.push(format!("not a root: issued by {}", anchor.issuer()));
    }
    match PublicKey::parse(anchor.public_key()).and_then(|key| key.check_strength(&requirements.signatures)) {
        Ok(()) => {}
        Err(error) => findings.push(format!("nothing it signs is accepted: {error}")),
    }
    findings
}
