//! Object identifiers and extensions in words, as `x509-parser` reads them.
//!
//! Owns the words. The decision does not use them: the engine parses by itself, and a test compares both parsers.
//! `x509-parser` also reads certificates that the engine rejects, as far as it can.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use x509_parser::asn1_rs::Oid as OtherOid;
use x509_parser::extensions::{DistributionPointName, GeneralName, GeneralSubtree, ParsedExtension, X509Extension};
use x509_parser::objects::oid_registry;

use super::directory::sid_of;
use super::{NamedOid, hexadecimal};
use certgate_x509::{Oid, UPN, der, der::DerError, der::Reader, der::tag};

/// The most entries of a list that are described.
const MAX_LISTED: usize = 16;

/// Octets of an unknown value that are shown.
const MAX_SHOWN: usize = 32;

/// Identifiers that the registry of `x509-parser` lacks or names differently from the standards.
const KNOWN: &[(&str, &str)] = &[
    ("1.2.840.10045.2.1", "id-ecPublicKey"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.3.6.1.4.1.11129.2.4.2", "signedCertificateTimestampList"),
    ("1.3.6.1.4.1.11129.2.4.3", "ctPoison"),
    ("1.3.6.1.4.1.311.10.3.4", "msEncryptingFileSystem"),
    ("1.3.6.1.4.1.311.10.3.12", "msDocumentSigning"),
    ("1.3.6.1.4.1.311.20.2", "msCertificateTemplateName"),
    ("1.3.6.1.4.1.311.20.2.2", "msSmartcardLogon"),
    ("1.3.6.1.4.1.311.20.2.3", "msUserPrincipalName"),
    ("1.3.6.1.4.1.311.21.1", "msCaVersion"),
    ("1.3.6.1.4.1.311.21.2", "msPreviousCertificateHash"),
    ("1.3.6.1.4.1.311.21.7", "msCertificateTemplate"),
    ("1.3.6.1.4.1.311.21.10", "msApplicationPolicies"),
    ("1.3.6.1.4.1.311.25.2", "msSecurityIdentifier"),
    ("1.3.6.1.5.2.3.4", "pkinitClientAuth"),
    ("1.3.6.1.5.2.3.5", "pkinitKdc"),
    ("1.3.6.1.5.5.7.1.1", "authorityInfoAccess"),
    ("1.3.6.1.5.5.7.1.11", "subjectInfoAccess"),
    ("1.3.6.1.5.5.7.1.24", "tlsFeature"),
    ("1.3.6.1.5.5.7.3.1", "serverAuth"),
    ("1.3.6.1.5.5.7.3.2", "clientAuth"),
    ("1.3.6.1.5.5.7.3.3", "codeSigning"),
    ("1.3.6.1.5.5.7.3.4", "emailProtection"),
    ("1.3.6.1.5.5.7.3.5", "ipsecEndSystem"),
    ("1.3.6.1.5.5.7.3.8", "timeStamping"),
    ("1.3.6.1.5.5.7.3.9", "OCSPSigning"),
    ("1.3.6.1.5.5.7.3.17", "ipsecIKE"),
    ("1.3.6.1.5.5.7.48.1", "ocsp"),
    ("1.3.6.1.5.5.7.48.1.5", "ocspNoCheck"),
    ("1.3.6.1.5.5.7.48.2", "caIssuers"),
    ("2.16.840.1.113730.1.1", "netscapeCertType"),
    ("2.16.840.1.113730.1.13", "netscapeComment"),
    ("2.23.140.1.1", "extendedValidation"),
    ("2.23.140.1.2.1", "domainValidated"),
    ("2.23.140.1.2.2", "organizationValidated"),
    ("2.5.29.32.0", "anyPolicy"),
    ("2.5.29.37.0", "anyExtendedKeyUsage"),
];

/// The identifier with these content octets, and its name where it has one.
pub fn named(content: &[u8]) -> NamedOid {
    let dotted = Oid::from_content(content).to_string();
    let known = KNOWN.iter().find(|(known, _)| *known == dotted).map(|(_, name)| (*name).to_owned());
    let registered = || {
        let other = OtherOid::new(Cow::Owned(content.to_vec()));
        oid_registry().get(&other).map(|entry| entry.sn().to_owned())
    };
    NamedOid { name: known.or_else(registered), oid: dotted }
}

/// An extension's value in words.
pub fn extension(extension: &X509Extension<'_>) -> String {
    match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => {
            let key = id.key_identifier.as_ref().map(|key| format!("key {}", hexadecimal(key.0)));
            let issuer = id.authority_cert_issuer.as_deref().map(|names| format!("issuer {}", general_names(names)));
            let serial = id.authority_cert_serial.map(|serial| format!("serial number {}", hexadecimal(serial)));
            joined([key, issuer, serial].into_iter().flatten())
        }
        ParsedExtension::SubjectKeyIdentifier(key) => hexadecimal(key.0),
        ParsedExtension::KeyUsage(usage) => usage.to_string(),
        ParsedExtension::CertificatePolicies(policies) => {
            joined(policies.iter().map(|policy| named(policy.policy_id.as_bytes()).to_string()))
        }
        ParsedExtension::PolicyMappings(mappings) => joined(mappings.mappings.iter().map(|mapping| {
            let (issuer, subject) = (&mapping.issuer_domain_policy, &mapping.subject_domain_policy);
            format!("{} to {}", named(issuer.as_bytes()), named(subject.as_bytes()))
        })),
        ParsedExtension::SubjectAlternativeName(names) => general_names(&names.general_names),
        ParsedExtension::IssuerAlternativeName(names) => general_names(&names.general_names),
        ParsedExtension::BasicConstraints(constraints) => match (constraints.ca, constraints.path_len_constraint) {
            (false, _) => "not a CA".to_owned(),
            (true, None) => "a CA".to_owned(),
            (true, Some(length)) => format!("a CA, with at most {length} CAs below it"),
        },
        ParsedExtension::NameConstraints(constraints) => {
            let list = |what: &str, subtrees: &Option<Vec<GeneralSubtree<'_>>>| {
                let names = subtrees.as_ref()?.iter().map(|subtree| general_name(&subtree.base));
                Some(format!("{what} {}", joined(names)))
            };
            let lists =
                [list("permitted", &constraints.permitted_subtrees), list("excluded", &constraints.excluded_subtrees)];
            lists.into_iter().flatten().collect::<Vec<_>>().join("; ")
        }
        ParsedExtension::PolicyConstraints(constraints) => {
            let explicit = constraints.require_explicit_policy.map(|n| format!("an explicit policy after {n}"));
            let mapping = constraints.inhibit_policy_mapping.map(|n| format!("no policy mapping after {n}"));
            joined([explicit, mapping].into_iter().flatten())
        }
        ParsedExtension::InhibitAnyPolicy(inhibit) => format!("no anyPolicy after {}", inhibit.skip_certs),
        ParsedExtension::ExtendedKeyUsage(_) => oids_of(extension.value).unwrap_or_else(|error| error.to_string()),
        ParsedExtension::CRLDistributionPoints(points) => joined(points.iter().map(|point| {
            let place = match &point.distribution_point {
                Some(DistributionPointName::FullName(names)) => general_names(names),
                Some(DistributionPointName::NameRelativeToCRLIssuer(_)) => {
                    "a name relative to the CRL's issuer".to_owned()
                }
                None => String::new(),
            };
            match &point.crl_issuer {
                Some(issuer) => format!("{place} issued by {}", general_names(issuer)),
                None => place,
            }
        })),
        ParsedExtension::AuthorityInfoAccess(access) => joined(
            access
                .iter()
                .map(|one| format!("{} {}", named(one.access_method.as_bytes()), general_name(&one.access_location))),
        ),
        ParsedExtension::SubjectInfoAccess(access) => joined(
            access
                .iter()
                .map(|one| format!("{} {}", named(one.access_method.as_bytes()), general_name(&one.access_location))),
        ),
        ParsedExtension::NSCertType(kind) => kind.to_string(),
        ParsedExtension::NsCertComment(text) => (*text).to_owned(),
        ParsedExtension::SCT(list) => format!("{} signed certificate timestamps", list.len()),
        ParsedExtension::ParseError { error } => format!("unreadable: {error}"),
        _ => of_others(extension.oid.as_bytes(), extension.value),
    }
}

/// The value of an extension that `x509-parser` does not read.
fn of_others(oid: &[u8], value: &[u8]) -> String {
    let read = match Oid::from_content(oid).to_string().as_str() {
        "1.3.6.1.4.1.311.25.2" => sid_of(value).map(|sid| sid.unwrap_or_else(|| "no SID in it".to_owned())),
        "1.3.6.1.4.1.311.20.2" => Reader::new(value).any().map(|text| string(text.tag, text.content)),
        "1.3.6.1.4.1.311.21.7" => template(value),
        "1.3.6.1.4.1.311.21.10" => application_policies(value),
        "1.3.6.1.5.5.7.48.1.5" => Ok("responses about this certificate need no OCSP response of their own".to_owned()),
        _ => Ok(octets(value)),
    };
    read.unwrap_or_else(|error| format!("unreadable: {error}; {}", octets(value)))
}

/// Template identifier, major and minor version.
fn template(value: &[u8]) -> Result<String, DerError> {
    let mut reader = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
    let id = named(reader.oid()?);
    let mut version = String::new();
    while let Some(number) = reader.optional(tag::INTEGER)? {
        version.push(if version.is_empty() { ' ' } else { '.' });
        version.push_str(&der::small_unsigned(number.content)?.to_string());
    }
    Ok(if version.is_empty() { id.to_string() } else { format!("{id} version{version}") })
}

/// Microsoft's CertificatePolicies, whose policies are key purposes.
fn application_policies(value: &[u8]) -> Result<String, DerError> {
    let mut reader = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
    let mut purposes = Vec::new();
    while !reader.is_empty() && purposes.len() <= MAX_LISTED {
        purposes.push(named(reader.nested(tag::SEQUENCE)?.oid()?).to_string());
    }
    Ok(joined(purposes.into_iter()))
}

fn oids_of(value: &[u8]) -> Result<String, DerError> {
    let mut reader = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
    let mut oids = Vec::new();
    while !reader.is_empty() && oids.len() <= MAX_LISTED {
        oids.push(named(reader.oid()?).to_string());
    }
    Ok(joined(oids.into_iter()))
}

fn general_names(names: &[GeneralName<'_>]) -> String {
    joined(names.iter().map(general_name))
}

/// A name with its form.
pub fn general_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::OtherName(kind, value) => other_name(kind.as_bytes(), value),
        GeneralName::RFC822Name(text) => format!("email {text}"),
        GeneralName::DNSName(text) => format!("DNS {text}"),
        GeneralName::URI(text) => (*text).to_owned(),
        GeneralName::DirectoryName(name) => format!("directory {name}"),
        GeneralName::IPAddress(octets) => format!("IP {}", address(octets)),
        GeneralName::RegisteredID(oid) => format!("registered {}", named(oid.as_bytes())),
        GeneralName::X400Address(_) => "an X.400 address".to_owned(),
        GeneralName::EDIPartyName(_) => "an EDI party name".to_owned(),
        GeneralName::Invalid(_, value) => format!("an unreadable name, {}", octets(value)),
    }
}

fn other_name(kind: &[u8], value: &[u8]) -> String {
    let content = Reader::new(value).nested(tag::context_constructed(0)).and_then(|mut explicit| explicit.any());
    match content {
        Ok(text) if kind == UPN => format!("UPN {}", string(text.tag, text.content)),
        Ok(text) => format!("other name {}: {}", named(kind), string(text.tag, text.content)),
        Err(error) => format!("other name {}: {error}", named(kind)),
    }
}

/// An address, or an address and a mask.
fn address(octets: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Ipv4Addr::from(octets).to_string();
    }
    if let Ok(octets) = <[u8; 16]>::try_from(octets) {
        return Ipv6Addr::from(octets).to_string();
    }
    match octets.len() {
        8 | 32 => {
            let (network, mask) = octets.split_at(octets.len() / 2);
            format!("{} mask {}", address(network), address(mask))
        }
        _ => self::octets(octets),
    }
}

/// The text of a string type, as far as it decodes.
fn string(tag: u8, content: &[u8]) -> String {
    match tag {
        tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING | tag::VISIBLE_STRING | tag::NUMERIC_STRING => {
            String::from_utf8_lossy(content).into_owned()
        }
        tag::BMP_STRING => {
            let units = content.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => octets(content),
    }
}

/// Octets of unknown meaning.
pub fn octets(octets: &[u8]) -> String {
    match octets.get(..MAX_SHOWN) {
        Some(first) if octets.len() > MAX_SHOWN => format!("{} octets: {}…", octets.len(), hexadecimal(first)),
        _ => format!("{} octets: {}", octets.len(), hexadecimal(octets)),
    }
}

/// The first entries of a list, and a mark if there are more.
fn joined(entries: impl Iterator<Item = String>) -> String {
    let mut entries = entries.fuse();
    let shown: Vec<String> = entries.by_ref().take(MAX_LISTED).collect();
    let more = entries.count();
    let mut out = shown.join(", ");
    if more > 0 {
        out.push_str(&format!(", and {more} more"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(dotted: &str) -> Option<String> {
        named(dotted.parse::<Oid>().unwrap().as_bytes()).name
    }

    #[test]
    fn identifiers_have_the_names_of_their_standards() {
        for (dotted, want) in [
            ("1.3.6.1.5.5.7.3.2", Some("clientAuth")),
            ("2.5.29.19", Some("basicConstraints")),
            ("1.2.840.113549.1.1.11", Some("sha256WithRSAEncryption")),
            ("1.3.6.1.4.1.311.25.2", Some("msSecurityIdentifier")),
            ("1.2.3.4.5.6", None),
        ] {
            assert_eq!(name_of(dotted).as_deref(), want, "{dotted}");
        }
    }

    #[test]
    fn the_table_is_of_identifiers_and_each_stands_once() {
        let mut seen = std::collections::BTreeSet::new();
        for (dotted, name) in KNOWN {
            assert_eq!(dotted.parse::<Oid>().unwrap().to_string(), *dotted, "{name}");
            assert!(seen.insert(dotted) && !name.is_empty());
        }
    }
}
