//! Certificates among which issuers are searched, indexed by subject.

use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use crate::certificate::Certificate;
use crate::name::Name;

use super::signature::{SignatureError, SignaturePolicy};

/// Trust anchors and configured intermediates. Built once and shared by requests: it caches the signatures between its
/// certificates.
#[derive(Debug, Default)]
pub struct Pool {
    certificates: Vec<Arc<Certificate>>,
    anchors: usize,
    index: SubjectIndex,
    /// Positions in the order of their public keys.
    by_key: Vec<u32>,
    /// Signatures verified so far between certificates of the pool, by child, issuer and what was asked of them. They
    /// do not depend on time or on a client, whose certificates are never in here.
    signatures: RwLock<HashMap<SignatureKey, Result<(), SignatureError>, RandomState>>,
}

type SignatureKey = ((usize, usize), SignaturePolicy);

impl Pool {
    /// A pool of anchors and intermediates. Duplicates count once; a certificate that is both is an anchor.
    pub fn new(
        anchors: impl IntoIterator<Item = Arc<Certificate>>,
        intermediates: impl IntoIterator<Item = Arc<Certificate>>,
    ) -> Self {
        let mut certificates: Vec<_> = anchors.into_iter().collect();
        drop_doubles(&mut certificates);
        let anchors = certificates.len();
        certificates.extend(intermediates);
        if certificates.len() > anchors {
            drop_doubles(&mut certificates);
        }
        let index = SubjectIndex::new(&certificates);
        let mut by_key = positions(&certificates);
        by_key.sort_by_key(|position| public_key(&certificates, *position));
        Self { certificates, anchors, index, by_key, signatures: RwLock::default() }
    }

    /// The trust anchors.
    pub fn anchors(&self) -> &[Arc<Certificate>] {
        self.certificates.get(..self.anchors).unwrap_or_default()
    }

    /// The intermediates.
    pub fn intermediates(&self) -> &[Arc<Certificate>] {
        self.certificates.get(self.anchors..).unwrap_or_default()
    }

    /// The anchors and intermediates with this subject.
    pub fn named<'a>(&'a self, name: &Name) -> impl Iterator<Item = &'a Arc<Certificate>> + use<'a> {
        self.named_canonical(name.canonical())
    }

    /// Those whose subject has this canonical form.
    pub fn named_canonical<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = &'a Arc<Certificate>> + use<'a> {
        let found = self.index.find_canonical(&self.certificates, name);
        found.iter().filter_map(|position| self.certificates.get(*position as usize))
    }

    /// Whether an anchor or intermediate has this key, given as a DER SubjectPublicKeyInfo.
    pub fn has_key(&self, spki: &[u8]) -> bool {
        self.by_key.binary_search_by_key(&spki, |position| public_key(&self.certificates, *position)).is_ok()
    }

    pub(super) fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    /// Positions in [`Pool::certificates`] of those with this subject.
    pub(super) fn with_subject(&self, name: &Name) -> &[u32] {
        self.index.find(&self.certificates, name)
    }

    /// Whether there is an anchor with this subject.
    pub(super) fn has_anchor(&self, name: &Name) -> bool {
        self.with_subject(name).iter().any(|position| self.is_anchor(*position as usize))
    }

    /// The result of verifying one certificate by the key of another, both given by position.
    pub(super) fn known_signature(
        &self,
        pair: (usize, usize),
        policy: &SignaturePolicy,
    ) -> Option<Result<(), SignatureError>> {
        let known = self.signatures.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&(pair, *policy)).cloned()
    }

    /// Records what [`Pool::known_signature`] returns.
    pub(super) fn learn_signature(
        &self,
        pair: (usize, usize),
        policy: &SignaturePolicy,
        outcome: &Result<(), SignatureError>,
    ) {
        let mut known = self.signatures.write().unwrap_or_else(PoisonError::into_inner);
        known.insert((pair, *policy), outcome.clone());
    }

    /// Whether a position is that of an anchor.
    pub(super) fn is_anchor(&self, position: usize) -> bool {
        position < self.anchors
    }
}

/// Keeps the first of equal certificates.
fn drop_doubles(certificates: &mut Vec<Arc<Certificate>>) {
    if certificates.len() < 2 {
        return;
    }
    let mut seen: HashSet<&[u8], RandomState> = HashSet::default();
    let fresh: Vec<bool> = certificates.iter().map(|certificate| seen.insert(certificate.der())).collect();
    drop(seen);
    let mut fresh = fresh.into_iter();
    certificates.retain(|_| fresh.next().unwrap_or(true));
}

/// Positions in a list of certificates, in the order of their subjects' canonical form.
#[derive(Clone, Debug, Default)]
pub(super) struct SubjectIndex(Vec<u32>);

impl SubjectIndex {
    pub(super) fn new(certificates: &[Arc<Certificate>]) -> Self {
        let mut order = positions(certificates);
        // Stable: equal subjects stay in the order they came in.
        order.sort_by_key(|position| subject(certificates, *position));
        Self(order)
    }

    /// The positions of the certificates whose subject is `name`, by RFC 5280 section 7.1.
    pub(super) fn find(&self, certificates: &[Arc<Certificate>], name: &Name) -> &[u32] {
        self.find_canonical(certificates, name.canonical())
    }

    fn find_canonical(&self, certificates: &[Arc<Certificate>], wanted: &[u8]) -> &[u32] {
        let from = self.0.partition_point(|position| subject(certificates, *position) < wanted);
        let rest = self.0.get(from..).unwrap_or_default();
        let count = rest.iter().take_while(|position| subject(certificates, **position) == wanted).count();
        rest.get(..count).unwrap_or_default()
    }
}

fn positions(certificates: &[Arc<Certificate>]) -> Vec<u32> {
    (0..u32::try_from(certificates.len()).unwrap_or(u32::MAX)).collect()
}

fn public_key(certificates: &[Arc<Certificate>], position: u32) -> &[u8] {
    certificates.get(position as usize).map(|certificate| certificate.public_key()).unwrap_or_default()
}

fn subject(certificates: &[Arc<Certificate>], position: u32) -> &[u8] {
    certificates.get(position as usize).map(|certificate| certificate.subject().canonical()).unwrap_or_default()
}
