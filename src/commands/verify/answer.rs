//! The answer of `certgate verify`, for people and for programs.

use std::sync::Arc;

use serde_json::json;

use super::words;
use crate::domain::decide::reason::Reason;
use crate::explain::{ExplainedReason, ExplainedStep, StepResult, explained_step};
use crate::inspect::hexadecimal;
use crate::terminal::{Paint, Terminal, TextPage};
use certgate_x509::{Certificate, Recorder, Sha256, UnixTime, Verification, VerificationFailure, Verified};

/// The words that are painted.
pub(super) const PAINTED: &[(&str, Paint)] = &[
    ("VALID", Paint::Good),
    ("INVALID", Paint::Bad),
    ("  FAIL", Paint::Bad),
    ("  pass", Paint::Good),
    ("warning:", Paint::Doubtful),
];

/// The answer in printable form.
pub(super) struct Answered {
    at: UnixTime,
    /// Why the certificate is invalid.
    pub(super) reason: Option<ExplainedReason>,
    certificate: serde_json::Value,
    valid_until: Option<UnixTime>,
    certificate_policies: Vec<String>,
    warnings: Vec<String>,
    pub(super) anchor_findings: Vec<String>,
    path: Vec<serde_json::Value>,
    steps: Vec<ExplainedStep>,
}

impl Answered {
    pub(super) fn of(
        question: &Verification,
        outcome: &Result<Verified, VerificationFailure>,
        steps: &Recorder,
        now: UnixTime,
    ) -> Self {
        let path = match outcome {
            Ok(valid) => valid.path.certificates(),
            Err(invalid) => &invalid.path,
        };
        let valid = outcome.as_ref().ok();
        let reason = |invalid: &VerificationFailure| words::explained(Reason::from(invalid.kind), &invalid.detail);
        Self {
            at: now,
            reason: outcome.as_ref().err().map(reason),
            certificate: described(&question.leaf),
            valid_until: valid.map(|valid| valid.valid_until),
            certificate_policies: valid.map(|valid| valid.path.policies().names()).unwrap_or_default(),
            warnings: valid.map(|valid| valid.warnings.clone()).unwrap_or_default(),
            anchor_findings: Vec::new(),
            path: path.iter().map(described).collect(),
            steps: steps.steps().iter().map(explained_step).collect(),
        }
    }

    pub(super) fn malformed(sha256: Option<Sha256>, problem: &str, now: UnixTime) -> Self {
        Self {
            at: now,
            reason: Some(words::explained(Reason::CertMalformed, problem)),
            certificate: json!({"sha256": sha256.map(|sha256| sha256.to_string())}),
            valid_until: None,
            certificate_policies: Vec::new(),
            warnings: Vec::new(),
            anchor_findings: Vec::new(),
            path: Vec::new(),
            steps: Vec::new(),
        }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        json!({
            "at": self.at.to_string(),
            "valid": self.reason.is_none(),
            "reason": self.reason,
            "certificate": self.certificate,
            "validUntil": self.valid_until.map(|until| until.to_string()),
            "certificatePolicies": self.certificate_policies,
            "warnings": self.warnings,
            "anchorFindings": self.anchor_findings,
            "path": self.path,
            "steps": self.steps,
        })
    }

    pub(super) fn to_text(&self, terminal: Terminal) -> String {
        let mut page = TextPage::new(terminal, 9);
        let text = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap_or("(none)").to_owned();
        page.heading("Certificate");
        for (name, key) in [("subject", "subject"), ("serial", "serialNumber"), ("sha256", "sha256")] {
            page.row(name, &text(&self.certificate, key));
        }
        for (at, certificate) in self.path.iter().enumerate().skip(1) {
            page.row(if at == 1 { "issued by" } else { "" }, &text(certificate, "subject"));
        }
        page.row("time", &self.at.to_string());
        if !self.steps.is_empty() {
            page.heading("Steps");
        }
        for step in &self.steps {
            let mark = match step.result {
                StepResult::Pass => "pass",
                StepResult::Fail => "FAIL",
                StepResult::Skip => "skip",
                StepResult::Note => "note",
            };
            page.wrapped(&format!("  {mark}  {:<11} ", step.stage), &step.detail);
        }
        page.gap();
        for warning in &self.warnings {
            page.wrapped("", &format!("warning: {warning}"));
        }
        if !self.certificate_policies.is_empty() {
            page.wrapped("", &format!("valid for certificate policies {}", self.certificate_policies.join(", ")));
        }
        match (&self.reason, self.valid_until) {
            (Some(reason), _) => {
                page.wrapped("", &format!("INVALID {}: {}", reason.code, reason.detail));
                page.wrapped("", &format!("{} {}", reason.meaning, reason.action));
            }
            (None, until) => page.wrapped("", &format!("VALID until {}", until.unwrap_or(self.at))),
        }
        page.finish()
    }
}

fn described(certificate: &Arc<Certificate>) -> serde_json::Value {
    json!({
        "subject": certificate.subject().to_string(),
        "issuer": certificate.issuer().to_string(),
        "serialNumber": hexadecimal(certificate.serial_number()),
        "sha256": certificate.sha256().to_string(),
        "notBefore": certificate.not_before().to_string(),
        "notAfter": certificate.not_after().to_string(),
    })
}
