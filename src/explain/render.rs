//! An explanation for people: the question, the comparisons in order, the outcome and what to do.

use super::{ExplainedOutcome, Explanation, StepResult};
use crate::terminal::{Paint, Terminal, TextPage};

/// The words that are painted.
pub const PAINTED: &[(&str, Paint)] = &[
    ("  FAIL", Paint::Bad),
    ("  DENY", Paint::Bad),
    ("  ALLOW, because", Paint::Doubtful),
    ("  ALLOW", Paint::Good),
    ("    ok", Paint::Good),
    ("Warning", Paint::Doubtful),
];

/// How much of an explanation is printed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Length {
    /// Everything.
    Full,
    /// The decision, what decided it, and what to do.
    Brief,
}

/// Lays `explanation` out for `terminal`.
pub fn render(explanation: &Explanation, length: Length, terminal: Terminal) -> String {
    let mut page = TextPage::new(terminal, 8);
    if length == Length::Full {
        request(&mut page, explanation);
        certificate(&mut page, explanation);
        steps(&mut page, explanation);
        page.heading("Decision");
    }
    decision(&mut page, explanation);
    if length == Length::Full {
        consequences(&mut page, explanation);
    }
    if !explanation.warnings.is_empty() {
        page.heading("Warning");
        explanation.warnings.iter().for_each(|warning| page.wrapped("  ", warning));
    }
    page.finish()
}

fn request(page: &mut TextPage, explanation: &Explanation) {
    let asked = &explanation.request;
    page.heading("Request");
    match (&asked.host, &asked.path, &asked.method) {
        (None, None, None) => page.row("kind", "TCP connection"),
        (host, path, method) => {
            let text = |part: &Option<String>| part.clone().unwrap_or_default();
            page.row("line", &format!("{} {}", text(method), text(path)));
            page.row("host", &text(host));
        }
    }
    match &asked.policy {
        Some(policy) => page.row("policy", &format!("{policy}, named by the route")),
        None => page.row("policy", "chosen by host, path and method"),
    }
    if !asked.headers.is_empty() {
        page.row("headers", &asked.headers.join(", "));
    }
    page.row(
        "client",
        &match asked.certificates {
            0 => "no certificate".to_owned(),
            1 => "one certificate".to_owned(),
            n => format!("a certificate and {} more", n - 1),
        },
    );
    if let Some(address) = asked.source_address {
        page.row("from", &address.to_string());
    }
    page.row("time", &explanation.at);
}

fn certificate(page: &mut TextPage, explanation: &Explanation) {
    let Some(certificate) = &explanation.decision.certificate else { return };
    page.heading("Certificate");
    page.row("subject", or_none(&certificate.subject));
    page.row("issuer", or_none(&certificate.issuer));
    page.row("serial", or_none(&certificate.serial_number));
    page.row("sha256", &certificate.sha256);
    page.row("found in", &certificate.source);
}

fn steps(page: &mut TextPage, explanation: &Explanation) {
    page.heading("Steps");
    let stage_width = explanation.steps.iter().map(|step| step.stage.chars().count()).max().unwrap_or(0);
    let mut last = "";
    for step in &explanation.steps {
        let mark = match step.result {
            StepResult::Pass => "  ok",
            StepResult::Fail => "FAIL",
            StepResult::Skip => "skip",
            StepResult::Note => "   ·",
        };
        // The first step of a stage shows its name; further steps follow without it.
        let stage = if step.stage == last { "" } else { step.stage.as_str() };
        page.wrapped(&format!("  {mark}  {stage:stage_width$}  "), &step.detail);
        last = &step.stage;
    }
    if explanation.steps.is_empty() {
        page.wrapped("  ", "none were taken");
    }
}

fn decision(page: &mut TextPage, explanation: &Explanation) {
    let decided = &explanation.decision;
    let words = match decided.outcome {
        ExplainedOutcome::Allow => "ALLOW".to_owned(),
        ExplainedOutcome::AllowAudited => {
            format!("ALLOW, because the policy is in mode {}; enforced, it would be DENY", decided.mode)
        }
        ExplainedOutcome::Deny => "DENY".to_owned(),
    };
    let code = decided.reason.as_ref().map(|reason| match reason.iis.as_str() {
        "" => format!("  {}", reason.code),
        iis => format!("  {} (IIS {iis})", reason.code),
    });
    page.wrapped("  ", &format!("{words}{}", code.unwrap_or_default()));
    page.gap();
    page.row("policy", decided.policy.as_deref().unwrap_or("none"));
    if let Some(reason) = &decided.reason {
        page.row("meaning", &reason.meaning);
        if !reason.detail.is_empty() {
            page.row("found", &reason.detail);
        }
        page.row("to do", &reason.action);
    }
    if !decided.certificate_policies.is_empty() {
        page.row("valid for", &format!("certificate policies {}", decided.certificate_policies.join(", ")));
    }
    if let Some(identity) = &decided.identity {
        page.row("user", &identity.user);
        if !identity.groups.is_empty() {
            page.row("groups", &identity.groups.join(", "));
        }
        if let Some(uid) = &identity.uid {
            page.row("uid", uid);
        }
        for (key, values) in &identity.extra {
            page.row("extra", &format!("{key}: {}", values.join(", ")));
        }
    }
}

/// The changes of the request, or the client's response.
fn consequences(page: &mut TextPage, explanation: &Explanation) {
    if let Some(upstream) = &explanation.upstream {
        page.heading("The upstream's request");
        for line in &upstream.set {
            page.row("set", &format!("{}: {}", line.name, line.value));
        }
        if !upstream.remove.is_empty() {
            page.row("remove", &upstream.remove.join(", "));
        }
        if upstream.set.is_empty() && upstream.remove.is_empty() {
            page.wrapped("  ", "unchanged");
        }
    }
    if let Some(answer) = &explanation.answer {
        page.heading("The client's answer");
        page.row("status", &answer.status.to_string());
        for line in &answer.headers {
            page.row("header", &format!("{}: {}", line.name, line.value));
        }
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "(none)" } else { text }
}
