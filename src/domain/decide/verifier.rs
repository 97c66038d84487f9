//! Verifies client certificates under one trust profile, revocation apart.
//!
//! [`CertificateVerifier::verify`] returns a [`Verified`], which nothing else can make, or a denial. The engine
//! ([`certgate_x509`]) validates paths; this module owns the trust modes, the lists that narrow which valid paths are
//! accepted, and the requirements that a profile sets. Revocation is added by [`super::resolved_profile`]; reading the
//! profile and its sources is the wing `policy`'s.

mod anchor;
mod disallowed;
mod issuers;

use std::collections::HashSet;
use std::sync::Arc;

use certgate_x509::{
    BrokenLink, Budget, Certificate, PathParameters, Pool, Rejection, Sha256, Subtree, Trace, UnixTime, Unvouched,
    ValidPath, ValidPolicies, Verdict, check_links, check_validity, check_vouched, find_path_within,
};

pub use anchor::{UnfitAnchor, check_anchor, lint_anchor};
pub use disallowed::Disallowed;
pub use issuers::IssuerKey;

use crate::domain::decide::decision::Denial;
use crate::domain::decide::reason::Reason;

/// The stage that steps of this module carry.
const STAGE: &str = "trust";

/// What makes a certificate trusted.
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

/// What a [`CertificateVerifier`] is made from.
#[derive(Clone, Debug, Default)]
pub struct VerifierParameters {
    /// What makes a certificate trusted.
    pub mode: TrustMode,
    /// Trust anchors. None: every chain is refused.
    pub anchors: Vec<Arc<Certificate>>,
    /// Help for path building; trusted for nothing.
    pub intermediates: Vec<Arc<Certificate>>,
    /// The peers of the modes with peers.
    pub peers: Vec<Arc<Certificate>>,
    /// The keys of peers: of each any certificate, by the SHA-256 of its DER SubjectPublicKeyInfo.
    pub peer_keys: HashSet<Sha256>,
    /// When given, the certificate that issued the leaf (element 1 of the path) is one of these.
    pub issuing_authorities: Option<HashSet<Sha256>>,
    /// When given, at least one CA certificate of the path is one of these.
    pub trust_list: Option<HashSet<Sha256>>,
    /// No certificate of the path is one of these; the leaf in no mode.
    pub disallowed: HashSet<Sha256>,
    /// Nor is one of these keys, in any encoding, that of a certificate of the path.
    pub disallowed_keys: HashSet<Sha256>,
    /// What a path must fulfil.
    pub requirements: PathParameters,
}

/// Verifies certificates under one profile; made once and shared.
#[derive(Debug)]
pub struct CertificateVerifier {
    mode: TrustMode,
    pool: Pool,
    /// The certificates of the pool that may sign CRLs; `None` when nothing is disallowed, so that all of them may.
    signers: Option<Pool>,
    peers: HashSet<Sha256>,
    peer_keys: HashSet<Sha256>,
    issuing_authorities: Option<HashSet<Sha256>>,
    /// Those of them that are neither anchors nor intermediates, so that their names are unknown.
    nameless_authorities: HashSet<Sha256>,
    trust_list: Option<HashSet<Sha256>>,
    disallowed: Disallowed,
    requirements: PathParameters,
}

/// What made a certificate trusted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TrustedBy {
    /// By a path to a trust anchor.
    Chain,
    /// As a listed peer.
    Peer,
    /// The key of a peer: no CA vouches for the rest of the certificate, its names above all.
    PeerKey,
}

/// A certificate that a profile trusts. Holding one is the proof: only [`CertificateVerifier`] makes it.
#[derive(Clone, Debug)]
pub struct Verified {
    path: Vec<Arc<Certificate>>,
    trusted_by: TrustedBy,
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

    /// What made it trusted.
    pub fn trusted_by(&self) -> TrustedBy {
        self.trusted_by
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

impl CertificateVerifier {
    /// Compiles a profile.
    pub fn new(parameters: VerifierParameters) -> Self {
        let disallowed = Disallowed::new(parameters.disallowed, parameters.disallowed_keys);
        let pool = Pool::new(parameters.anchors, parameters.intermediates);
        let fit = |list: &[Arc<Certificate>]| {
            list.iter().filter(|certificate| disallowed.of(certificate).is_none()).cloned().collect::<Vec<_>>()
        };
        let signers = (!disallowed.is_empty()).then(|| Pool::new(fit(pool.anchors()), fit(pool.intermediates())));
        let mut nameless_authorities = parameters.issuing_authorities.clone().unwrap_or_default();
        for known in pool.anchors().iter().chain(pool.intermediates()) {
            nameless_authorities.remove(&known.sha256());
        }
        Self {
            mode: parameters.mode,
            pool,
            signers,
            nameless_authorities,
            peers: parameters.peers.iter().map(|peer| peer.sha256()).collect(),
            peer_keys: parameters.peer_keys,
            issuing_authorities: parameters.issuing_authorities,
            trust_list: parameters.trust_list,
            disallowed,
            requirements: parameters.requirements,
        }
    }

    /// The trust anchors, doubles removed.
    pub fn anchors(&self) -> &[Arc<Certificate>] {
        self.pool.anchors()
    }

    /// The certificates that help to build paths.
    pub fn intermediates(&self) -> &[Arc<Certificate>] {
        self.pool.intermediates()
    }

    /// When the first of the anchors in use expires. Nothing is rejected then: an anchor is a name
    /// and a key, and what it issued is judged by its own dates.
    pub fn first_anchor_expiry(&self) -> Option<UnixTime> {
        let in_use = if self.mode == TrustMode::Peer { &[] } else { self.anchors() };
        in_use.iter().map(|anchor| anchor.not_after()).min()
    }

    /// A configured CA with dNSName constraints, which do not bind the common names that it certifies.
    pub fn dns_constrained(&self) -> Option<&Arc<Certificate>> {
        let certificates = self.anchors().iter().chain(self.pool.intermediates());
        let mut constrained = certificates.filter(|certificate| {
            certificate.name_constraints().is_some_and(|constraints| {
                let mut subtrees = constraints.permitted().iter().chain(constraints.excluded());
                subtrees.any(|subtree| matches!(subtree, Subtree::Dns(_)))
            })
        });
        constrained.next()
    }

    /// The anchors and intermediates that may sign CRLs: those that are not disallowed.
    pub fn signers(&self) -> &Pool {
        self.signers.as_ref().unwrap_or(&self.pool)
    }

    /// Whether a CRL counts that the key in the DER SubjectPublicKeyInfo `spki` has signed: the key is not disallowed,
    /// nor is each certificate of it that is configured.
    pub fn accepts_crl_key(&self, spki: &[u8]) -> bool {
        let Some(signers) = &self.signers else { return true };
        signers.has_key(spki) || !(self.pool.has_key(spki) || self.disallowed.holds_key(spki))
    }

    /// What is disallowed.
    pub fn disallowed(&self) -> &Disallowed {
        &self.disallowed
    }

    /// Verifies `leaf` at `now`, revocation apart. `presented` certificates help to build a path and nothing else.
    pub fn verify<T: Trace>(
        &self,
        leaf: &Arc<Certificate>,
        presented: &[Arc<Certificate>],
        now: UnixTime,
        trace: &mut T,
    ) -> Result<Verified, Denial> {
        self.verify_with(&Budget::default(), leaf, presented, now, trace, |_, _| Ok(None))
    }

    /// Verifies that each certificate of `chain` is signed by the next one, with the keys and algorithms of the
    /// profile.
    pub fn check_links(&self, chain: &[&Arc<Certificate>], budget: &Budget) -> Result<(), BrokenLink> {
        check_links(chain, &self.pool, &self.requirements.signatures, budget)
    }

    /// Whether a `chain` behind a leaf, in which each is signed by the next, is one client's, once the leaf is valid by
    /// `path`. What is disallowed vouches for nothing.
    pub fn check_vouched(&self, chain: &[Arc<Certificate>], path: &[Arc<Certificate>]) -> Result<(), Unvouched> {
        check_vouched(chain, path, self.signers())
    }

    /// [`CertificateVerifier::verify`] with a further check of each path that is valid and passes the profile's lists,
    /// such as revocation. A path that it refuses is given up for the next one. It may answer with a time until which
    /// its answer holds. All of it costs what is left of `budget` at most.
    pub fn verify_with<T: Trace>(
        &self,
        budget: &Budget,
        leaf: &Arc<Certificate>,
        presented: &[Arc<Certificate>],
        now: UnixTime,
        trace: &mut T,
        check: impl FnMut(&ValidPath, &mut T) -> Result<Option<UnixTime>, Rejection>,
    ) -> Result<Verified, Denial> {
        let mut by_key = false;
        if let Some(trusted_by) = self.peer(leaf) {
            // A peer has no element 1, and a profile that lists issuing authorities wants one: only a chain can do.
            if self.mode == TrustMode::PeerOrChain && self.issuing_authorities.is_some() {
                trace.step(STAGE, Verdict::Skip, || {
                    "a trusted peer, but the profile lists issuing authorities: a chain is wanted".to_owned()
                });
            } else if self.mode == TrustMode::PeerOrChain && trusted_by == TrustedBy::PeerKey {
                // A chain vouches for the names as well, and revocation is asked.
                by_key = true;
            } else {
                return self.verify_peer(leaf, trusted_by, now, trace);
            }
        }
        if self.mode == TrustMode::Peer {
            let (peers, keys) = (self.peers.len(), self.peer_keys.len());
            let detail = format!(
                "SHA-256 {} is not one of the {peers} trusted peers, nor its key one of the {keys} keys of peers",
                leaf.sha256()
            );
            return deny(trace, Reason::CertUntrusted, detail);
        }
        match self.verify_chain(budget, leaf, presented, now, trace, check) {
            Err(denial) if by_key && denial.reason != Reason::CertRevoked => {
                // What the chain failed by is not the answer any more.
                budget.forget_failure();
                self.verify_peer(leaf, TrustedBy::PeerKey, now, trace)
            }
            outcome => outcome,
        }
    }

    /// Whether a certificate is a peer's, in the modes that have peers.
    fn peer(&self, leaf: &Certificate) -> Option<TrustedBy> {
        if self.mode == TrustMode::Chain {
            None
        } else if self.peers.contains(&leaf.sha256()) {
            Some(TrustedBy::Peer)
        } else {
            let listed = !self.peer_keys.is_empty() && self.peer_keys.contains(&leaf.public_key_sha256());
            listed.then_some(TrustedBy::PeerKey)
        }
    }

    /// Decides by a path to a trust anchor.
    fn verify_chain<T: Trace>(
        &self,
        budget: &Budget,
        leaf: &Arc<Certificate>,
        presented: &[Arc<Certificate>],
        now: UnixTime,
        trace: &mut T,
        mut check: impl FnMut(&ValidPath, &mut T) -> Result<Option<UnixTime>, Rejection>,
    ) -> Result<Verified, Denial> {
        // Path validation reports a key that cannot be compared more precisely.
        if !self.disallowed.is_empty()
            && leaf.public_key_fingerprints().is_some()
            && let Some(problem) = self.disallowed.of(leaf)
        {
            return self.deny_disallowed(leaf, &problem, now, trace);
        }
        if self.pool.anchors().is_empty() {
            return deny(trace, Reason::CertUntrusted, "the profile has no trust anchor".to_owned());
        }
        if T::KEEPS
            && let Some(weakness) = self.requirements.signatures.weakness()
        {
            trace.step(STAGE, Verdict::Note, || format!("WEAK: the profile accepts {weakness} (weakCryptography)"));
        }
        let accept = |path: &ValidPath, trace: &mut T| {
            self.check_lists(path, trace)?;
            check(path, trace)
        };
        let found = find_path_within(budget, leaf, presented, &self.pool, &self.requirements, now, trace, accept);
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
                Ok(Verified { path: certificates, trusted_by: TrustedBy::Chain, valid_until, policies })
            }
            Err(failure) => deny(trace, Reason::from(failure.kind()), failure.explain()),
        }
    }

    /// WCF's PeerTrust: the certificate itself, or its key, is listed, within its dates and not disallowed.
    fn verify_peer<T: Trace>(
        &self,
        leaf: &Arc<Certificate>,
        trusted_by: TrustedBy,
        now: UnixTime,
        trace: &mut T,
    ) -> Result<Verified, Denial> {
        if let Err(failure) = check_validity(leaf, now) {
            return deny(trace, Reason::from(failure.kind()), failure.to_string());
        }
        if let Some(problem) = self.disallowed.of(leaf) {
            return self.deny_disallowed(leaf, &problem, now, trace);
        }
        if self.issuing_authorities.is_some() {
            let detail = "a trusted peer has no issuing CA, and the profile lists issuing authorities".to_owned();
            return deny(trace, Reason::IssuerNotAuthorized, detail);
        }
        trace.step(STAGE, Verdict::Pass, || match trusted_by {
            TrustedBy::PeerKey => format!(
                "publicKeySha256 {} is the key of a trusted peer; nobody vouches for the names in the certificate",
                leaf.public_key_sha256()
            ),
            TrustedBy::Peer | TrustedBy::Chain => format!("SHA-256 {} is a trusted peer", leaf.sha256()),
        });
        Ok(Verified {
            path: vec![Arc::clone(leaf)],
            trusted_by,
            valid_until: leaf.not_after(),
            policies: ValidPolicies::default(),
        })
    }

    /// The lists that narrow what a valid path may be.
    fn check_lists<T: Trace>(&self, path: &ValidPath, trace: &mut T) -> Result<(), Rejection> {
        let reject = |reason: Reason, detail| Err(reason.reject(detail));
        for certificate in path.certificates() {
            if let Some(problem) = self.disallowed.of(certificate) {
                return reject(Reason::CertDisallowed, format!("{} of the path: {problem}", certificate.subject()));
            }
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

    /// Denies a leaf that is disallowed; its dates come first in the order of reasons.
    fn deny_disallowed<T: Trace, V>(
        &self,
        leaf: &Arc<Certificate>,
        problem: &str,
        now: UnixTime,
        trace: &mut T,
    ) -> Result<V, Denial> {
        match check_validity(leaf, now) {
            Err(error) => deny(trace, Reason::from(error.kind()), error.to_string()),
            Ok(()) => deny(trace, Reason::CertDisallowed, format!("client certificate: {problem}")),
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

#[cfg(test)]
mod tests;
