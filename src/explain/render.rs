//! An explanation for people: what was asked, what was compared in which order, what came of it and what to do.

use std::fmt::Write as _;

use super::{Explanation, Outcome, StepResult};

/// The widest line that wrapping aims at when the terminal does not say.
const WIDTH: usize = 100;

/// Lays `explanation` out for a terminal of `width` columns (`None`: a usual one).
pub fn render(explanation: &Explanation, width: Option<usize>) -> String {
    let mut page = Page { out: String::new(), width: width.unwrap_or(WIDTH).clamp(50, 160) };
    request(&mut page, explanation);
    certificate(&mut page, explanation);
    steps(&mut page, explanation);
    decision(&mut page, explanation);
    if !explanation.warnings.is_empty() {
        page.heading("Warning");
        explanation.warnings.iter().for_each(|warning| page.wrapped("  ", warning));
    }
    page.out
}

fn request(page: &mut Page, explanation: &Explanation) {
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

fn certificate(page: &mut Page, explanation: &Explanation) {
    let Some(certificate) = &explanation.decision.certificate else { return };
    page.heading("Certificate");
    page.row("subject", or_none(&certificate.subject));
    page.row("issuer", or_none(&certificate.issuer));
    page.row("serial", or_none(&certificate.serial));
    page.row("sha256", &certificate.sha256);
    page.row("found in", &certificate.source);
}

fn steps(page: &mut Page, explanation: &Explanation) {
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
        // A stage is named once; its further steps stand below it.
        let stage = if step.stage == last { "" } else { step.stage.as_str() };
        page.wrapped(&format!("  {mark}  {stage:stage_width$}  "), &step.detail);
        last = &step.stage;
    }
    if explanation.steps.is_empty() {
        page.wrapped("  ", "none were taken");
    }
}

fn decision(page: &mut Page, explanation: &Explanation) {
    let decided = &explanation.decision;
    page.heading("Decision");
    let words = match decided.outcome {
        Outcome::Allow => "ALLOW".to_owned(),
        Outcome::AllowAudited => {
            format!("ALLOW, because the policy is in mode {}; enforced, it would be DENY", decided.mode)
        }
        Outcome::Deny => "DENY".to_owned(),
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

/// A text that grows downwards.
struct Page {
    out: String,
    width: usize,
}

impl Page {
    fn heading(&mut self, text: &str) {
        if !self.out.is_empty() {
            self.gap();
        }
        let _ = writeln!(self.out, "{text}");
    }

    fn gap(&mut self) {
        self.out.push('\n');
    }

    fn row(&mut self, name: &str, text: &str) {
        self.wrapped(&format!("  {name:<8}  "), text);
    }

    /// Writes `text` behind `lead`, its further lines below its first. Words are never cut: fingerprints must stay whole
    /// to be copied.
    fn wrapped(&mut self, lead: &str, text: &str) {
        let indent = lead.chars().count();
        self.out.push_str(lead);
        let mut column = indent;
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
            let length = word.chars().count();
            if column > indent && column + 1 + length > self.width {
                let _ = write!(self.out, "\n{:indent$}", "");
                column = indent;
            } else if column > indent {
                self.out.push(' ');
                column += 1;
            }
            self.out.push_str(word);
            column += length;
        }
        let kept = self.out.trim_end_matches(' ').len();
        self.out.truncate(kept);
        self.out.push('\n');
    }
}
