//! Unusual properties of a certificate: why a policy may reject it, and what to know before trusting a name.
//!
//! Owns the findings' words. They are hints for people; path validation under a trust profile decides.

use super::directory::sids;
use super::{CertificateReport, describe};
use crate::terminal::clipped;
use certgate_x509::{
    Certificate, GeneralName, Name, Oid, PublicKey, SignaturePolicy, UPN, UnixTime, Version, extension_id,
};

const DAY: i64 = 86_400;

/// How long before its end a certificate is reported as ending soon.
const ENDS_SOON: i64 = 30 * DAY;

/// The longest validity of a client certificate without a finding: 825 days, long the CA/Browser Forum's limit for
/// servers.
const LONG: i64 = 825 * DAY;

/// 64 bits from a random generator (CA/Browser Forum Baseline Requirements section 7.1).
const SHORT_SERIAL: usize = 8;

/// The findings about a certificate that the engine accepts, at `now`.
pub fn findings(certificate: &Certificate, report: &CertificateReport, now: UnixTime) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |text: String| out.push(text);
    validity(certificate, now, &mut say);
    usage(certificate, &mut say);
    strength(certificate, report, &mut say);
    name("the subject", certificate.subject(), &mut say);
    name("the issuer", certificate.issuer(), &mut say);
    alternatives(certificate, &mut say);
    for name in report.names.iter().filter_map(|name| Some((name.field, name.problem.as_ref()?))) {
        let (field, problem) = name;
        say(format!("a mapping cannot use its {field}: {}", clipped(problem, 200)));
    }
    match sids(certificate).as_slice() {
        [] | [_] => {}
        several => say(format!("it names more than one SID: {}", several.join(", "))),
    }
    out
}

fn validity(certificate: &Certificate, now: UnixTime, say: &mut impl FnMut(String)) {
    let (from, until) = (certificate.not_before(), certificate.not_after());
    if now > until {
        say(format!("it expired at {until}: refused with CERT_EXPIRED"));
    } else if now < from {
        say(format!("it is not valid before {from}: refused with CERT_NOT_YET_VALID"));
    } else if until < now.plus(ENDS_SOON) {
        say(format!("it ends soon, at {until}"));
    }
    let days = until.as_secs().saturating_sub(from.as_secs()) / DAY;
    if days > LONG / DAY && !is_ca(certificate) {
        say(format!("it is valid for {days} days, which is long for a client: only revocation ends it earlier"));
    }
}

fn is_ca(certificate: &Certificate) -> bool {
    certificate.basic_constraints().is_some_and(|constraints| constraints.is_ca)
}

fn usage(certificate: &Certificate, say: &mut impl FnMut(String)) {
    const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
    if certificate.version() != Version::V3 {
        say("it is not a version 3 certificate: refused below a trust anchor".to_owned());
    }
    if is_ca(certificate) {
        say("it is a CA certificate: refused as a client's".to_owned());
    }
    match certificate.extended_key_usage() {
        None if is_ca(certificate) => {}
        None => say("it lists no extended key usage: refused with EKU_NOT_PERMITTED unless the trust profile says \
                     requirements.extendedKeyUsage: Permitted"
            .to_owned()),
        Some(purposes) if purposes.iter().any(|purpose| purpose.as_bytes() == CLIENT_AUTH) => {}
        Some(_) => say("its extended key usage does not list clientAuth: refused with EKU_NOT_PERMITTED".to_owned()),
    }
    if certificate.key_usage().is_some_and(|usage| !usage.digital_signature() && !is_ca(certificate)) {
        say("its key usage lacks digitalSignature, which TLS clients need".to_owned());
    }
    if let Some(oid) = certificate.unknown_critical_extension() {
        say(format!("its critical extension {} is not processed: refused", describe::named(oid.as_bytes())));
    }
    if certificate.is_self_issued() && !is_ca(certificate) {
        say("issuer and subject are one: only a trust profile that lists it under trustedPeers or trustAnchors accepts it"
            .to_owned());
    }
    if certificate.extension(extension_id::AUTHORITY_KEY_IDENTIFIER).is_none() && !certificate.is_self_issued() {
        say("it does not name its issuer's key (authorityKeyIdentifier, RFC 5280 section 4.2.1.1)".to_owned());
    }
}

fn strength(certificate: &Certificate, report: &CertificateReport, say: &mut impl FnMut(String)) {
    let key = PublicKey::parse(certificate.public_key());
    if let Err(error) = key.and_then(|key| key.check_strength(&SignaturePolicy::default())) {
        say(format!("its key does not count by default: {error}"));
    }
    let algorithm = report.signature_algorithm.to_string();
    if algorithm.to_ascii_lowercase().contains("sha1") || algorithm.contains("md5") {
        say(format!("it is signed with {algorithm}, which can be forged: refused by default"));
    }
    match certificate.serial_number().len() {
        0 => say("its serial number is 0: refused below a trust anchor".to_owned()),
        n if n < SHORT_SERIAL => {
            say(format!("its serial number has {n} octets: CAs should use {SHORT_SERIAL} random ones"))
        }
        _ => {}
    }
}

fn name(which: &str, name: &Name, say: &mut impl FnMut(String)) {
    let attributes: Vec<_> = name.attributes().collect();
    let mut counts = std::collections::BTreeMap::new();
    for (kind, text) in &attributes {
        *counts.entry(kind.to_string()).or_insert(0_usize) += 1;
        match text {
            None => say(format!("{which} has a {kind} that is not a text: rules cannot compare it")),
            Some(text) if is_deceptive(text) => say(format!(
                "{which} has a {kind} with characters that are not shown as they are: {}",
                clipped(text, 80)
            )),
            Some(_) => {}
        }
    }
    for (kind, count) in counts.iter().filter(|(kind, count)| **count > 1 && *kind != "OU" && *kind != "DC") {
        say(format!("{which} has {count} {kind}: a rule matches if one of them does"));
    }
    if name.rdns().iter().any(|rdn| rdn.len() > 1) {
        say(format!("{which} has parts of several attributes (a + in it)"));
    }
}

/// Whether [`crate::terminal::plain`] would escape a character of the text.
fn is_deceptive(text: &str) -> bool {
    text.chars().any(|c| !matches!(c, ' '..='~') && c.escape_debug().count() > 1)
}

fn alternatives(certificate: &Certificate, say: &mut impl FnMut(String)) {
    let names = certificate.subject_alt_names();
    if certificate.has_empty_subject_alt_name() {
        say("its subjectAltName is empty: refused below a trust anchor".to_owned());
    }
    if names.is_empty() && certificate.subject().is_empty() {
        say("it has no name: neither subject nor subjectAltName".to_owned());
    }
    let uris = names.iter().filter(|name| matches!(name, GeneralName::Uri(uri) if uri.starts_with("spiffe:"))).count();
    if uris > 1 {
        say(format!("it has {uris} SPIFFE identities, and may have one (X509-SVID section 2)"));
    }
    for name in names.iter().take(super::MAX_NAMES) {
        match name {
            GeneralName::Other { type_id, .. } if *type_id == Oid::from_static(UPN) => {
                say("its user principal name is not a UTF8String: it is not read as one".to_owned());
            }
            GeneralName::UserPrincipalName(text) if is_deceptive(text) => {
                say(format!(
                    "its user principal name has characters that are not shown as they are: {}",
                    clipped(text, 80)
                ));
            }
            GeneralName::Dns(text) if text.contains('*') => {
                say(format!(
                    "its DNS name {} stands for many hosts: a rule can match it, a mapping cannot",
                    clipped(text, 80)
                ));
            }
            _ => {}
        }
    }
}
