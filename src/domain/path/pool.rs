//! Certificates that issuers are looked for among, indexed by subject.

use std::sync::Arc;

use crate::domain::certificate::Certificate;
use crate::domain::name::Name;

/// Trust anchors and configured intermediates, made once per profile.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    certificates: Vec<Arc<Certificate>>,
    anchors: usize,
    index: SubjectIndex,
}

impl Pool {
    /// A pool of anchors and intermediates. Doubles count once; a certificate that is both is an anchor.
    pub fn new(
        anchors: impl IntoIterator<Item = Arc<Certificate>>,
        intermediates: impl IntoIterator<Item = Arc<Certificate>>,
    ) -> Self {
        let mut seen = std::collections::HashSet::new();
        let mut certificates: Vec<_> = anchors.into_iter().filter(|c| seen.insert(c.sha256())).collect();
        let anchors = certificates.len();
        certificates.extend(intermediates.into_iter().filter(|c| seen.insert(c.sha256())));
        let index = SubjectIndex::new(&certificates);
        Self { certificates, anchors, index }
    }

    /// The trust anchors.
    pub fn anchors(&self) -> &[Arc<Certificate>] {
        self.certificates.get(..self.anchors).unwrap_or_default()
    }

    /// The intermediates.
    pub fn intermediates(&self) -> &[Arc<Certificate>] {
        self.certificates.get(self.anchors..).unwrap_or_default()
    }

    pub(super) fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    /// Positions in [`Pool::certificates`] of those with this subject.
    pub(super) fn with_subject(&self, name: &Name) -> &[u32] {
        self.index.find(&self.certificates, name)
    }

    /// Whether a position is that of an anchor.
    pub(super) fn is_anchor(&self, position: usize) -> bool {
        position < self.anchors
    }
}

/// Positions in a list of certificates, in the order of their subjects' canonical form.
#[derive(Clone, Debug, Default)]
pub(super) struct SubjectIndex(Vec<u32>);

impl SubjectIndex {
    pub(super) fn new(certificates: &[Arc<Certificate>]) -> Self {
        let mut order: Vec<u32> = (0..u32::try_from(certificates.len()).unwrap_or(u32::MAX)).collect();
        // Stable: equal subjects stay in the order they came in.
        order.sort_by_key(|position| subject(certificates, *position));
        Self(order)
    }

    /// The positions of the certificates whose subject is `name`, by RFC 5280 section 7.1.
    pub(super) fn find(&self, certificates: &[Arc<Certificate>], name: &Name) -> &[u32] {
        let wanted = name.canonical();
        let from = self.0.partition_point(|position| subject(certificates, *position) < wanted);
        let rest = self.0.get(from..).unwrap_or_default();
        let count = rest.iter().take_while(|position| subject(certificates, **position) == wanted).count();
        rest.get(..count).unwrap_or_default()
    }
}

fn subject(certificates: &[Arc<Certificate>], position: u32) -> &[u8] {
    certificates.get(position as usize).map(|certificate| certificate.subject().canonical()).unwrap_or_default()
}
