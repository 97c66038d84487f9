//! The name of a certificate in a mapping: exactly one form, brought to its key.

use super::metadata::shown;
use super::{Field, MAX_TEXT, Report};
use crate::domain::api::{CertificateName, IssuerSerial};
use crate::domain::decide::mapping::key::{IssuerPin, NameKey};
use crate::domain::decide::selection::host::{self, HostPattern};
use certgate_x509::{Certificate, Name, Sha256, encoding::bundle};

/// The longest key of a certificate's name.
pub const MAX_KEY: usize = 32 * 1024;

/// RFC 5280 section 4.1.2.2: serial numbers have at most 20 octets.
const MAX_SERIAL: usize = 20;

/// Compiles a name; `None` after noting why there is no key.
pub fn certificate_name(field: &Field<'_>, spec: &CertificateName, report: &mut Report) -> Option<NameKey> {
    let CertificateName {
        sha256,
        inline,
        issuer_serial,
        public_key_sha256,
        uri,
        user_principal_name,
        dns,
        email,
        subject,
    } = spec;
    let given = [
        sha256.is_some(),
        inline.is_some(),
        issuer_serial.is_some(),
        public_key_sha256.is_some(),
        uri.is_some(),
        user_principal_name.is_some(),
        dns.is_some(),
        email.is_some(),
        subject.is_some(),
    ];
    let given = given.into_iter().filter(|given| *given).count();
    if given != 1 {
        report.error(
            field,
            format_args!(
                "{given} names are given: want exactly one of sha256, inline, issuerSerial, publicKeySha256, uri, \
                 userPrincipalName, dns, email, subject"
            ),
        );
        return None;
    }
    let key = if let Some(text) = sha256 {
        report.take(&field.child("sha256"), text.parse::<Sha256>()).map(NameKey::sha256)
    } else if let Some(text) = inline {
        let certificate = report.take(&field.child("inline"), one_certificate(text));
        certificate.map(|certificate| NameKey::sha256(certificate.sha256()))
    } else if let Some(spec) = issuer_serial {
        self::issuer_serial(&field.child("issuerSerial"), spec, report)
    } else if let Some(text) = public_key_sha256 {
        report.take(&field.child("publicKeySha256"), text.parse::<Sha256>()).map(NameKey::public_key_sha256)
    } else if let Some(text) = uri {
        report.take(&field.child("uri"), check_uri(text)).map(NameKey::uri)
    } else if let Some(text) = user_principal_name {
        report.take(&field.child("userPrincipalName"), check_plain(text)).map(NameKey::user_principal_name)
    } else if let Some(text) = dns {
        report.take(&field.child("dns"), check_dns(text)).map(NameKey::dns)
    } else if let Some(text) = email {
        report.take(&field.child("email"), check_email(text)).map(NameKey::email)
    } else {
        let text = subject.as_deref().unwrap_or_default();
        distinguished_name(&field.child("subject"), text, report).map(|name| NameKey::subject(&name))
    };
    if let Some(key) = &key
        && key.bytes.len() > MAX_KEY
    {
        report.error(field, format_args!("the name takes {} bytes: at most {MAX_KEY} are allowed", key.bytes.len()));
        return None;
    }
    key
}

/// SHA-256 of the key of the only certificate in `text`.
pub fn inline_public_key(text: &str) -> Option<Sha256> {
    one_certificate(text).ok().map(|certificate| certificate.public_key_sha256())
}

/// The only certificate in `text`.
fn one_certificate(text: &str) -> Result<Certificate, String> {
    let found = bundle::certificates(text.as_bytes()).map_err(|error| error.to_string())?;
    match found.as_slice() {
        [der] => Certificate::from_der(der.clone()).map_err(|error| error.to_string()),
        more => Err(format!("{} certificates: want exactly one", more.len())),
    }
}

fn issuer_serial(field: &Field<'_>, spec: &IssuerSerial, report: &mut Report) -> Option<NameKey> {
    let issuer = distinguished_name(&field.child("issuer"), &spec.issuer, report);
    let serial = report.take(&field.child("serialNumber"), serial_number(&spec.serial_number));
    let hash = |name: &str, text: &str, report: &mut Report| report.take(&field.child(name), text.parse::<Sha256>());
    let pin = match (&spec.issuer_sha256, &spec.issuer_public_key_sha256) {
        (None, None) => None,
        (Some(text), None) => Some(IssuerPin::Certificate(hash("issuerSha256", text, report)?)),
        (None, Some(text)) => Some(IssuerPin::PublicKey(hash("issuerPublicKeySha256", text, report)?)),
        (Some(_), Some(_)) => {
            report.error(field, "issuerSha256 and issuerPublicKeySha256 are given: want at most one of them");
            return None;
        }
    };
    Some(NameKey::issuer_serial(&issuer?, &serial?, pin))
}

/// A serial number without leading zero octets from hexadecimal digits, with or without colons between bytes.
fn serial_number(text: &str) -> Result<Vec<u8>, String> {
    let error = || format!("{} is not a serial number: want hexadecimal digits, at most 20 bytes, not 0", shown(text));
    let digits: Vec<u8> = if text.contains(':') {
        let bytes: Vec<&str> = text.split(':').collect();
        if bytes.iter().any(|byte| byte.len() != 2) {
            return Err(error());
        }
        bytes.concat().into_bytes()
    } else {
        text.bytes().collect()
    };
    // Windows and some CAs print a leading zero; others leave it out and an odd number of digits.
    let significant: Vec<u8> = digits.iter().copied().skip_while(|digit| *digit == b'0').collect();
    let padding = if significant.len().is_multiple_of(2) { &b""[..] } else { b"0" };
    let even = [padding, &significant].concat();
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let bytes: Option<Vec<u8>> = even
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((nibble(*high)? << 4) | nibble(*low)?),
            _ => None,
        })
        .collect();
    bytes.filter(|bytes| (1..=MAX_SERIAL).contains(&bytes.len())).ok_or_else(error)
}

fn distinguished_name(field: &Field<'_>, text: &str, report: &mut Report) -> Option<Name> {
    if text.len() > MAX_TEXT {
        report.error(field, format_args!("{} bytes: at most {MAX_TEXT} are allowed", text.len()));
        return None;
    }
    let name = report.take(field, Name::parse_rfc4514(text))?;
    if name.is_empty() {
        report.error(field, "the name is empty: it would mean every certificate without a subject");
        return None;
    }
    Some(name)
}

/// A text that some certificate could hold.
fn check_plain(text: &str) -> Result<&str, String> {
    if text.is_empty() {
        Err("the name is empty".to_owned())
    } else if text.len() > MAX_TEXT {
        Err(format!("{} bytes: at most {MAX_TEXT} are allowed", text.len()))
    } else if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        Err(format!("{} holds a blank or control character", shown(text)))
    } else {
        Ok(text)
    }
}

/// The types for URIs, DNS names and addresses are ASCII (RFC 5280 section 4.2.1.6).
fn check_ascii(text: &str) -> Result<&str, String> {
    let text = check_plain(text)?;
    if text.is_ascii() {
        Ok(text)
    } else {
        Err(format!("{} is not ASCII: write it as in the certificate", shown(text)))
    }
}

fn check_uri(text: &str) -> Result<&str, String> {
    let text = check_ascii(text)?;
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) {
        return Err(format!("{} is not a URI: want a scheme first, as in spiffe://example.org/name", shown(text)));
    }
    Ok(text)
}

fn check_dns(text: &str) -> Result<&str, String> {
    let text = check_ascii(text)?;
    if text.contains('*') {
        return Err("a mapping names one host: wildcards belong into a policy's rules".to_owned());
    }
    match HostPattern::new(text) {
        Ok(HostPattern::Exact(name)) if !name.starts_with('[') => Ok(text),
        _ => Err(format!("{} is not a DNS name", shown(text))),
    }
}

fn check_email(text: &str) -> Result<&str, String> {
    let text = check_ascii(text)?;
    match text.rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() && host::normalize(domain.as_bytes()).is_some() => Ok(text),
        _ => Err(format!("{} is not an e-mail address", shown(text))),
    }
}
