//! The outcome of one request.
//!
//! A [`Grant`] can be made only inside the core, by the code that did the checks: holding one is the proof that they
//! passed. There is no default decision.

use std::sync::Arc;

use crate::domain::decide::identity::Identity;
use crate::domain::decide::reason::Reason;
use crate::domain::evidence::EvidenceSource;
use certgate_x509::{Sha256, Spent, ValidPolicies};

/// What was decided about one request, by which policy, on which certificate.
#[derive(Clone, Debug)]
pub struct Decision {
    policy: Option<Arc<str>>,
    mode: Mode,
    presented: Option<Arc<Presented>>,
    verdict: Result<Grant, Denial>,
    metadata: MetadataLevel,
    spent: Spent,
}

/// Whether a policy's denials bind.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A denial denies.
    Enforce,
    /// A denial is recorded, and the request is allowed without an identity.
    Audit,
}

/// How much of a decision the proxy gets for its access logs and later filters.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum MetadataLevel {
    /// Nothing.
    None,
    /// What access logs show: policy, reason, user, groups, SHA-256 of the certificate.
    #[default]
    Summary,
    /// Everything.
    Full,
}

/// The certificate that a request presented, as logs and metadata report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Where the evidence came from.
    pub source: EvidenceSource,
    /// SHA-256 of the leaf's DER.
    pub sha256: Sha256,
    /// Its names as text; `None` where nobody reads them: of grants without full metadata.
    pub names: Option<PresentedNames>,
}

/// The names of a certificate as text; all empty when it could not be parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresentedNames {
    /// The subject in RFC 4514 form, printable ASCII.
    pub subject: String,
    /// The issuer in the same form.
    pub issuer: String,
    /// The serial number, lower-case hexadecimal.
    pub serial_number: String,
}

impl Presented {
    /// The memory beside the value itself, in octets.
    pub(super) fn heap_size(&self) -> usize {
        let texts = self.names.iter().flat_map(|names| [&names.subject, &names.issuer, &names.serial_number]);
        texts.map(|text| text.capacity()).fold(0, usize::saturating_add)
    }
}

/// Permission to pass, with the headers for the upstream.
#[derive(Clone, Debug)]
pub struct Grant {
    identity: Option<Arc<Identity>>,
    headers: Arc<[(Arc<str>, Arc<str>)]>,
    policies: ValidPolicies,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The values that were compared, for logs and `explain`; never sent to the client.
    pub detail: String,
    /// The HTTP status to answer with, 400 to 599.
    pub status: u16,
    /// What the client learns.
    pub reveal: Reveal,
}

/// How much of a denial the client sees.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Reveal {
    /// The status alone.
    Nothing,
    /// The status and the reason code.
    Reason,
}

impl Grant {
    /// A grant for `identity` (`None`: the policy lets anonymous requests pass), telling the upstream `headers`.
    pub(in crate::domain) fn new(identity: Option<Arc<Identity>>, headers: Arc<[(Arc<str>, Arc<str>)]>) -> Self {
        Self { identity, headers, policies: ValidPolicies::default() }
    }

    /// The same for a certificate whose path is valid for `policies`.
    pub(in crate::domain) fn with_policies(self, policies: ValidPolicies) -> Self {
        Self { policies, ..self }
    }

    /// The certificate policies that the certificate's path is valid for (RFC 5280 section 6.1.6).
    pub fn policies(&self) -> &ValidPolicies {
        &self.policies
    }

    /// The identity of the client; `None` for an anonymous request.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    /// The same, to share it.
    pub(super) fn shared_identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// The upstream request headers to set: lower-case name and value.
    pub fn headers(&self) -> &[(Arc<str>, Arc<str>)] {
        &self.headers
    }
}

impl Denial {
    /// A denial with the status of the table of reasons that reveals nothing.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), status: reason.row().http_status, reveal: Reveal::Nothing }
    }
}

impl Decision {
    /// Puts a verdict together with what it is about. Only the core decides.
    pub(in crate::domain) fn new(
        policy: Option<Arc<str>>,
        mode: Mode,
        presented: Option<Arc<Presented>>,
        verdict: Result<Grant, Denial>,
    ) -> Self {
        Self { policy, mode, presented, verdict, metadata: MetadataLevel::default(), spent: Spent::default() }
    }

    /// A denial that no policy made: the request could not be read, or deciding failed.
    pub fn refused(reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(None, Mode::Enforce, None, Err(Denial::new(reason, detail)))
    }

    /// The same, with as much metadata as its policy wants.
    pub(crate) fn with_metadata(self, metadata: MetadataLevel) -> Self {
        Self { metadata, ..self }
    }

    /// How much of it the proxy gets as metadata.
    pub fn metadata(&self) -> MetadataLevel {
        self.metadata
    }

    /// The same, with what it has cost to verify the certificate.
    pub(in crate::domain) fn with_spent(self, spent: Spent) -> Self {
        Self { spent, ..self }
    }

    /// What it has cost to verify the certificate; nothing when the decision was remembered.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// The deciding policy as `namespace/name`.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// Whether a denial binds.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The certificate the request presented, when one was found.
    pub fn presented(&self) -> Option<&Presented> {
        self.presented.as_deref()
    }

    /// The verdict itself. In [`Mode::Audit`] a denial is only recorded: adapters ask [`Decision::effect`].
    pub fn verdict(&self) -> Result<&Grant, &Denial> {
        self.verdict.as_ref()
    }

    /// What happens to the request.
    pub fn effect(&self) -> Effect<'_> {
        match (&self.verdict, self.mode) {
            (Ok(grant), _) => Effect::Pass(Some(grant)),
            (Err(_), Mode::Audit) => Effect::Pass(None),
            (Err(denial), Mode::Enforce) => Effect::Refuse(denial),
        }
    }
}

/// What a decision does to its request.
#[derive(Copy, Clone, Debug)]
pub enum Effect<'a> {
    /// The request passes, with a grant's headers, or with none when a denial was only recorded.
    Pass(Option<&'a Grant>),
    /// The request is refused.
    Refuse(&'a Denial),
}

#[cfg(test)]
impl Decision {
    /// A decision as tests of the adapters need it, with no check behind it.
    pub(crate) fn unchecked(
        policy: &str,
        mode: Mode,
        presented: Option<Presented>,
        verdict: Result<(Option<Identity>, &[(&str, &str)]), Denial>,
    ) -> Self {
        let verdict = verdict.map(|(identity, headers)| {
            let headers = headers.iter().map(|(name, value)| (Arc::from(*name), Arc::from(*value))).collect();
            Grant::new(identity.map(Arc::new), headers)
        });
        Self::new(Some(policy.into()), mode, presented.map(Arc::new), verdict)
    }
}
