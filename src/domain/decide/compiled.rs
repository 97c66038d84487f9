//! A policy as decisions use it: what `policy::compile` makes of a `CertificatePolicy`.

use std::sync::Arc;

use super::decision::{MetadataLevel, Mode, Reveal};
use super::mapping::rules::MappingSection;
use super::selection::Route;
use super::unique::UniqueId;
use crate::domain::api::{CertificateRequirement, Report};
use crate::domain::evidence::EvidenceRule;

/// The header that carries the user unless a policy names another.
pub const DEFAULT_USER_HEADER: &str = "x-certgate-user";

/// The header that carries the groups unless a policy names another.
pub const DEFAULT_GROUPS_HEADER: &str = "x-certgate-groups";

/// A policy as far as it can be read.
#[derive(Debug)]
pub struct CompiledPolicy {
    /// The requests that it decides.
    pub routes: Vec<Route>,
    /// The headers that it may set, as far as they can be read.
    pub identity_headers: Vec<Arc<str>>,
    /// The rest; `None` when anything is wrong, and then the policy denies.
    pub body: Option<PolicyBody>,
    /// What is wrong.
    pub report: Report,
}

/// What a valid policy does with the requests that it decides.
#[derive(Debug)]
pub struct PolicyBody {
    /// Identifies it to the decision cache.
    pub id: UniqueId,
    /// Whether denials bind.
    pub mode: Mode,
    /// Where the certificate is looked for.
    pub evidence: Vec<EvidenceRule>,
    /// Namespace and name of the trust profile.
    pub trust: (String, String),
    /// Whether a certificate is required.
    pub certificate: CertificateRequirement,
    /// Who is allowed, as whom; `None` for every valid certificate, as its own subject.
    pub mapping: Option<MappingSection>,
    /// The headers that carry the identity.
    pub headers: HeaderNames,
    /// How much of a decision the proxy gets as metadata.
    pub metadata: MetadataLevel,
    /// How denials are answered.
    pub statuses: Statuses,
}

/// The request headers that carry the identity, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderNames {
    /// For the user.
    pub user: Arc<str>,
    /// For the groups.
    pub groups: Arc<str>,
    /// For the uid.
    pub uid: Option<Arc<str>>,
    /// For extra attributes: key and header.
    pub extra: Vec<(String, Arc<str>)>,
}

impl HeaderNames {
    /// Every header of these.
    pub fn all(&self) -> impl Iterator<Item = &Arc<str>> {
        [&self.user, &self.groups].into_iter().chain(&self.uid).chain(self.extra.iter().map(|(_, header)| header))
    }
}

/// How a denied client is answered.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Statuses {
    /// The status of denials that are about the client; `None` for that of the table of reasons.
    pub denial: Option<u16>,
    /// The status when a required certificate is missing.
    pub missing_certificate: Option<u16>,
    /// What the client learns.
    pub reveal: Reveal,
}
