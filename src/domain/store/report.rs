//! The state of single objects, for status conditions and logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Index, Severity};
use crate::domain::api::{FieldError, ObjectId};
use crate::domain::decide::resolved_profile::CrlSummary;
use crate::domain::decide::verifier::CertificateVerifier;
use crate::domain::policy::lint::MappingFindings;

/// What is known about a trust profile.
#[derive(Clone, Debug)]
pub struct ProfileReport {
    /// The profile.
    pub id: ObjectId,
    /// What keeps it from compiling.
    pub errors: Vec<FieldError>,
    /// What its author probably did not mean.
    pub warnings: Vec<FieldError>,
    /// The certificates of its sources that do not count; they are among the warnings too.
    pub skipped: Vec<FieldError>,
    /// The sources that cannot be read at present.
    pub unresolved: Vec<FieldError>,
    /// What validates by it; with `unresolved`, by the last good content of those sources. `None` when nothing does.
    pub trust: Option<Arc<CertificateVerifier>>,
    /// The CRLs by which it checks.
    pub crls: Vec<CrlSummary>,
}

impl ProfileReport {
    /// Whether certificates are validated by something else than is written: by the last good content of a source that
    /// is lost or broken, or without certificates that were skipped.
    pub fn is_degraded(&self) -> bool {
        let is_as_written = self.unresolved.is_empty() && self.skipped.is_empty();
        self.errors.is_empty() && self.trust.is_some() && !is_as_written
    }
}

/// What is known about a policy.
#[derive(Clone, Debug)]
pub struct PolicyReport {
    /// The policy.
    pub id: ObjectId,
    /// What keeps it from compiling.
    pub errors: Vec<FieldError>,
    /// What its author probably did not mean.
    pub warnings: Vec<FieldError>,
    /// What is wrong with what it refers to.
    pub unresolved: Vec<FieldError>,
    /// The policies that decide everything it names in its place.
    pub conflict: Option<FieldError>,
    /// How many CertificateMapping objects it selects.
    pub mappings: usize,
}

/// The report on a mapping with errors, conflicts or findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappingReport {
    /// What keeps it from working.
    pub errors: Vec<FieldError>,
    /// Others that give its certificate another identity.
    pub conflicts: Vec<FieldError>,
    /// Other findings.
    pub findings: MappingFindings,
}

impl Index {
    /// The trust profiles, as of the last [`Index::publish`].
    pub fn profile_reports(&self) -> Vec<ProfileReport> {
        self.profiles.reports()
    }

    /// The trust profiles, as `namespace/name`, for which [`ProfileReport::is_degraded`] holds, as of the last
    /// [`Index::publish`].
    pub fn degraded(&self) -> Vec<Arc<str>> {
        let reports = self.profiles.reports();
        let degraded = reports.iter().filter(|report| report.is_degraded());
        degraded.map(|report| report.id.namespaced_name().to_string().into()).collect()
    }

    /// The policies, as of the last [`Index::publish`].
    pub fn policy_reports(&self) -> Vec<PolicyReport> {
        let trust = |trust: &(String, String), user: &str| self.profiles.verifier(trust, user, &self.namespaces);
        self.policies.reports(&self.mappings, trust)
    }

    /// The CertificateMapping objects with errors, conflicts or findings.
    pub fn mapping_reports(&self) -> BTreeMap<ObjectId, MappingReport> {
        let mut out: BTreeMap<ObjectId, MappingReport> = BTreeMap::new();
        for (id, errors) in self.mappings.problems() {
            out.entry(id).or_default().errors = errors;
        }
        for (id, severity, error) in self.contradictions() {
            if severity == Severity::Error {
                out.entry(id).or_default().conflicts.push(error);
            }
        }
        for (id, findings) in self.findings() {
            out.entry(id).or_default().findings = findings;
        }
        out
    }
}
