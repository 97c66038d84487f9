//! An inspection for people. Text for pasting is on lines of its own, which are never wrapped.

use super::names::{mapping_yaml, name_yaml};
use super::{CertificateReport, Inspection, Strength};
use crate::terminal::{Paint, Terminal, TextPage, clipped};
use certgate_x509::UnixTime;

/// How many entries of a list the page shows; the JSON form has all that were examined.
const SHOWN: usize = 20;

/// The longest text of the page, in characters; a longer one is cut and marked. JSON has the whole text.
const LONGEST: usize = 4_096;

/// The words that are painted.
pub const PAINTED: &[(&str, Paint)] =
    &[("MALFORMED", Paint::Bad), ("Unusual", Paint::Doubtful), ("  refused ", Paint::Bad)];

/// Lays an inspection out.
pub fn render(inspection: &Inspection, terminal: Terminal) -> String {
    let mut page = TextPage::new(terminal, 10);
    let Inspection { certificate, chain, .. } = inspection;
    if let Some(first) = certificate {
        one(&mut page, "Certificate", first, inspection);
    }
    for (at, other) in chain.iter().enumerate() {
        page.gap();
        one(&mut page, &format!("Certificate {} of the file", at + 2), other, inspection);
    }
    if inspection.omitted > 0 {
        page.gap();
        page.wrapped("", &format!("{} further certificates are not shown", inspection.omitted));
    }
    if let Some(reason) = &inspection.reason {
        if certificate.is_some() {
            page.gap();
        }
        page.wrapped("", &format!("MALFORMED {}: {}", reason.code, reason.detail));
    }
    page.finish()
}

fn one(page: &mut TextPage, heading: &str, report: &CertificateReport, inspection: &Inspection) {
    page.heading(heading);
    if let Some(refused) = &report.refused {
        page.row("refused", refused);
    }
    let or_none = |text: &str| if text.is_empty() { "(none)".to_owned() } else { clipped(text, LONGEST) };
    page.row("subject", &or_none(&report.subject));
    page.row("issuer", &or_none(&report.issuer));
    page.row("serial", &or_none(&report.serial_number));
    page.row("sha256", &report.sha256);
    if !report.not_after.is_empty() {
        let left = left(&report.not_after, &inspection.at);
        page.row("valid", &format!("{} to {}{left}", report.not_before, report.not_after));
        page.row("version", &report.version.to_string());
        page.row("key", &report.public_key);
        page.row("signed by", &report.signature_algorithm.to_string());
        page.row("CA", if report.is_ca { "yes" } else { "no" });
    }
    usages(page, report);
    shown(page, "names", report.subject_alt_names.iter().map(String::as_str));
    if let Some(sid) = &report.sid {
        page.row("SID", sid);
    }
    names(page, report);
    extensions(page, report);
    if !report.unusual.is_empty() {
        page.heading("Unusual");
        report.unusual.iter().for_each(|finding| page.wrapped("  - ", finding));
    }
}

/// How much of the validity is left, in days.
fn left(not_after: &str, at: &str) -> String {
    let (Some(until), Some(now)) = (UnixTime::parse_rfc3339(not_after), UnixTime::parse_rfc3339(at)) else {
        return String::new();
    };
    let days = |seconds: i64| match seconds / 86_400 {
        1 => "1 day".to_owned(),
        n => format!("{n} days"),
    };
    match until.as_secs().saturating_sub(now.as_secs()) {
        left if left < 0 => format!(", expired {} ago", days(-left)),
        left => format!(", {} left", days(left)),
    }
}

fn usages(page: &mut TextPage, report: &CertificateReport) {
    if report.refused.is_some() {
        return;
    }
    match &report.key_usage {
        Some(usages) => page.row("key usage", &usages.join(", ")),
        None => page.row("key usage", "any (there is none)"),
    }
    let texts = |oids: &[super::NamedOid]| oids.iter().map(ToString::to_string).collect::<Vec<_>>();
    match &report.extended_key_usage {
        Some(purposes) => shown(page, "extended", texts(purposes).iter().map(String::as_str)),
        None => page.row("extended", "(none)"),
    }
    if !report.certificate_policies.is_empty() {
        shown(page, "policies", texts(&report.certificate_policies).iter().map(String::as_str));
    }
}

fn shown<'a>(page: &mut TextPage, name: &str, entries: impl Iterator<Item = &'a str>) {
    let all: Vec<&str> = entries.collect();
    if all.is_empty() {
        return;
    }
    let first: Vec<String> = all.iter().take(SHOWN).map(|entry| clipped(entry, LONGEST)).collect();
    let mut text = first.join(", ");
    if all.len() > SHOWN {
        text.push_str(&format!(", and {} more", all.len() - SHOWN));
    }
    page.row(name, &text);
}

fn names(page: &mut TextPage, report: &CertificateReport) {
    let Some(mapping) = &report.mapping else { return };
    let weak = |strength| if strength == Strength::Weak { "   # weak" } else { "" };
    page.heading("Names for policies, as spec.certificate of a CertificateMapping takes them");
    let usable = report.names.iter().filter(|name| name.problem.is_none());
    let count = usable.clone().count();
    for name in usable.take(SHOWN) {
        page.line(&format!("  {}{}", clipped(&name_yaml(&name.certificate), LONGEST), weak(name.strength)));
    }
    let more = count.saturating_sub(SHOWN) + report.names_omitted;
    if more > 0 {
        page.wrapped("  ", &format!("and {more} more"));
    }
    page.heading("Names for Active Directory, as altSecurityIdentities takes them");
    for name in report.alt_security_identities.iter().take(SHOWN) {
        let strength = if name.strength == Strength::Weak { "weak  " } else { "strong" };
        page.line(&format!("  {strength}  {}", clipped(&name.value, LONGEST)));
    }
    page.heading("A mapping, ready to paste");
    mapping_yaml(mapping).lines().for_each(|line| page.line(line));
}

fn extensions(page: &mut TextPage, report: &CertificateReport) {
    if report.extensions.is_empty() {
        return;
    }
    page.heading("Extensions");
    for extension in &report.extensions {
        let critical = if extension.critical { " (critical)" } else { "" };
        page.wrapped("  ", &format!("{}{critical}: {}", extension.oid, extension.description));
    }
}
