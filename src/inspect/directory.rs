//! The names by which Active Directory maps a certificate: `altSecurityIdentities`, and the SID that a CA put into it.
//!
//! Owns the strings ([MS-PKCA] section 3.1.5.2.1, KB5014754). Distinguished names are in the order of the certificate,
//! the reverse of RFC 4514, with the abbreviations and quotes of Windows (`CertNameToStr`). certgate looks up nothing
//! in a directory: these strings are for the administrator who fills one.

use aws_lc_rs::digest;
use serde::Serialize;

use certgate_x509::{Certificate, GeneralName, Name, der, der::DerError, der::Reader, der::tag};

use super::Strength;

/// 1.3.6.1.4.1.311.25.2, the extension with the account's SID, and the type of the otherName in it.
pub(super) const SID_EXTENSION: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 25, 2];
const SID_NAME: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 25, 2, 1];

/// The prefix of a SID in a URI (KB5014754).
const SID_URI: &str = "tag:microsoft.com,2022-09-14:sid:";

/// The longest SID is shorter: 15 sub-authorities of 10 digits.
const MAX_SID: usize = 192;

/// One value of `altSecurityIdentities`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AltSecurityIdentity {
    /// The form's name at Microsoft.
    pub form: &'static str,
    /// The value.
    pub value: String,
    /// Whether KB5014754 classifies it as strong.
    pub strength: Strength,
}

/// The SIDs in the certificate: those of the extension, then those of URIs. More than one means a contradiction.
pub fn sids(certificate: &Certificate) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let extension = certificate.extension(SID_EXTENSION).and_then(|extension| sid_of(extension.value).ok().flatten());
    let uris = certificate.subject_alt_names().iter().filter_map(|name| match name {
        GeneralName::Uri(uri) => uri.strip_prefix(SID_URI).map(str::to_owned),
        _ => None,
    });
    for sid in extension.into_iter().chain(uris).filter(|sid| is_sid(sid)).take(8) {
        if !found.contains(&sid) {
            found.push(sid);
        }
    }
    found
}

/// The SID in the value of its extension: GeneralNames with an otherName that holds an OCTET STRING.
pub(super) fn sid_of(value: &[u8]) -> Result<Option<String>, DerError> {
    let mut names = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
    while !names.is_empty() {
        let name = names.any()?;
        if name.tag != tag::context_constructed(0) {
            continue;
        }
        let mut other = Reader::new(name.content);
        if other.oid()? != SID_NAME {
            continue;
        }
        let mut explicit = other.nested(tag::context_constructed(0))?;
        let octets = explicit.expect(tag::OCTET_STRING)?.content;
        return Ok(std::str::from_utf8(octets).ok().map(str::to_owned));
    }
    Ok(None)
}

fn is_sid(text: &str) -> bool {
    text.len() <= MAX_SID
        && text.strip_prefix("S-1-").is_some_and(|rest| {
            rest.split('-').all(|part| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit()))
        })
}

/// Every value that can map the certificate, strong ones first.
pub fn alt_security_identities(certificate: &Certificate) -> Vec<AltSecurityIdentity> {
    let mut out = Vec::new();
    let mut add = |form, value: String, strength| out.push(AltSecurityIdentity { form, value, strength });
    let issuer = x500(certificate.issuer());
    if let (Some(issuer), [_, ..]) = (&issuer, certificate.serial_number()) {
        // The serial number in Windows order, least significant octet first, without leading zero octets.
        let reversed: Vec<u8> = certificate.serial_number().iter().rev().copied().collect();
        let value = format!("X509:<I>{issuer}<SR>{}", super::hexadecimal(&reversed));
        add("X509IssuerSerialNumber", value, Strength::Strong);
    }
    if let Some(identifier) = certificate.subject_key_identifier().filter(|identifier| !identifier.is_empty()) {
        add("X509SKI", format!("X509:<SKI>{}", super::hexadecimal(identifier)), Strength::Strong);
    }
    if let Ok(key) = key_octets(certificate.public_key()) {
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key);
        add("X509SHA1PublicKey", format!("X509:<SHA1-PUKEY>{}", super::hexadecimal(sha1.as_ref())), Strength::Strong);
    }
    for sid in sids(certificate) {
        if let Some(issuer) = &issuer {
            add("X509IssuerSID", format!("X509:<I>{issuer}<SID>{sid}"), Strength::Strong);
        }
    }
    if let (Some(issuer), Some(subject)) = (&issuer, x500(certificate.subject())) {
        add("X509IssuerSubject", format!("X509:<I>{issuer}<S>{subject}"), Strength::Weak);
    }
    if let Some(subject) = x500(certificate.subject()) {
        add("X509SubjectOnly", format!("X509:<S>{subject}"), Strength::Weak);
    }
    let mails = certificate.subject_alt_names().iter().filter_map(|name| match name {
        GeneralName::Email(address) => Some(address),
        _ => None,
    });
    for address in mails.take(super::MAX_NAMES) {
        add("X509RFC822", format!("X509:<RFC822>{address}"), Strength::Weak);
    }
    out
}

/// The content of the BIT STRING of a SubjectPublicKeyInfo.
fn key_octets(spki: &[u8]) -> Result<&[u8], DerError> {
    let mut reader = Reader::new(der::exactly(spki, tag::SEQUENCE)?.content);
    reader.expect(tag::SEQUENCE)?;
    reader.bit_string_octets()
}

/// A name as Windows writes it, in the order of the certificate; `None` if it is empty or a value is not text.
pub fn x500(name: &Name) -> Option<String> {
    let rdns = name.rdns();
    let rdn = |attributes: &Vec<_>| {
        let parts: Option<Vec<String>> = attributes
            .iter()
            .map(|(kind, text): &(certgate_x509::AttributeType, Option<&str>)| {
                Some(format!("{}={}", windows_name(&kind.to_string()), quoted((*text)?)))
            })
            .collect();
        Some(parts?.join(" + "))
    };
    let rdns: Option<Vec<String>> = rdns.iter().map(rdn).collect();
    rdns.filter(|rdns| !rdns.is_empty()).map(|rdns| rdns.join(","))
}

fn windows_name(ours: &str) -> String {
    match ours {
        "CN" | "OU" | "O" | "L" | "C" | "DC" | "STREET" | "SN" | "T" | "I" | "SERIALNUMBER" => ours.to_owned(),
        "ST" => "S".to_owned(),
        "GN" => "G".to_owned(),
        "emailAddress" => "E".to_owned(),
        other => match other.parse::<certgate_x509::AttributeType>() {
            Ok(kind) => format!("OID.{}", kind.oid()),
            Err(_) => format!("OID.{other}"),
        },
    }
}

/// A value, in double quotes if it contains special characters.
fn quoted(value: &str) -> String {
    let is_special = |c: char| matches!(c, ',' | '+' | '=' | '"' | '\n' | '\r' | '<' | '>' | '#' | ';');
    if value.is_empty() || value.starts_with(' ') || value.ends_with(' ') || value.contains(is_special) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_order_of_the_certificate() {
        for (text, want) in [
            ("CN=CA,DC=contoso,DC=com", Some("DC=com,DC=contoso,CN=CA")),
            ("CN=a,ST=Bavaria,C=DE", Some("C=DE,S=Bavaria,CN=a")),
            ("emailAddress=a@b.example,GN=Ann,CN=a", Some("CN=a,G=Ann,E=a@b.example")),
            ("CN=Acme\\, Inc.,O=a\\\"b", Some("O=\"a\"\"b\",CN=\"Acme, Inc.\"")),
            ("CN=a+OU=b,O=c", Some("O=c,CN=a + OU=b")),
            ("UID=u,O=c", Some("O=c,OID.0.9.2342.19200300.100.1.1=u")),
            ("", None),
            ("CN=#0403010203", None),
        ] {
            assert_eq!(x500(&Name::parse_rfc4514(text).unwrap()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn only_sids_are_taken_for_sids() {
        for (text, want) in [
            ("S-1-5-21-1004336348-1177238915-682003330-512", true),
            ("S-1-5-", false),
            ("S-1-5-21-x", false),
            ("s-1-5-21", false),
            ("", false),
        ] {
            assert_eq!(is_sid(text), want, "{text}");
        }
    }
}
