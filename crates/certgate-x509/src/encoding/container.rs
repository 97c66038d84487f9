//! The forms in which people store certificates: PEM with any text around it, DER, PKCS #7, URL-encoded PEM; and files
//! often mistaken for certificates: a PKCS #12 store, a key, a request.
//!
//! Owns recognising these by their first octets, and extracting certificates. Commands read all of them ([`read`]).
//! Policies accept PEM alone ([`super::bundle`]), and use this module to name what they got instead. Certificates are
//! not parsed here; the certificate parser rejects broken ones.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use super::base64::{self, Base64Error};
use super::pem;
use super::percent::{self, PercentError};
use crate::der::{self, DerError, Reader, tag};
use crate::limits::{MAX_CERTIFICATE_TEXT, MAX_CERTIFICATES_IN_TEXT, MAX_CONFIGURED_CERTIFICATE};

/// 1.2.840.113549.1.7.1 and 1.2.840.113549.1.7.2 (RFC 5652 sections 4 and 5).
const PKCS7_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
const PKCS7_SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];

const BEGIN: &[u8] = b"-----BEGIN ";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The form of a file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the forms")]
pub enum Form {
    Pem,
    /// PEM behind a UTF-8 byte order mark.
    MarkedPem,
    UrlEncodedPem,
    /// The base64 of DER without PEM's boundaries.
    Base64,
    Der,
    Pkcs7,
    Pkcs12,
    PrivateKey,
    PublicKey,
    Request,
    Crl,
    Utf16,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pem => "PEM",
            Self::MarkedPem => "PEM behind a byte order mark",
            Self::UrlEncodedPem => "URL-encoded PEM",
            Self::Base64 => "base64 without PEM boundaries",
            Self::Der => "DER",
            Self::Pkcs7 => "PKCS #7",
            Self::Pkcs12 => "a PKCS #12 store",
            Self::PrivateKey => "a private key",
            Self::PublicKey => "a public key",
            Self::Request => "a certificate request",
            Self::Crl => "a CRL",
            Self::Utf16 => "UTF-16 text",
        })
    }
}

impl Form {
    /// How to convert it to PEM; what else to do if it holds no certificate.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Pem => "it is what is wanted",
            Self::MarkedPem => "save it without the byte order mark",
            Self::UrlEncodedPem => "decode the percent-escapes first",
            Self::Base64 => "put -----BEGIN CERTIFICATE----- and -----END CERTIFICATE----- around it",
            Self::Der => "convert it: openssl x509 -inform DER -in FILE -out FILE.pem",
            Self::Pkcs7 => {
                "convert it: openssl pkcs7 -print_certs -in FILE -out FILE.pem (-inform DER for a binary file)"
            }
            Self::Pkcs12 => {
                "take the certificate out: openssl pkcs12 -in FILE -clcerts -nokeys -out FILE.pem (-cacerts for CAs)"
            }
            Self::PrivateKey => "it has no business here; a certificate is wanted",
            Self::PublicKey => "a certificate is wanted",
            Self::Request => "have a CA sign it; the certificate that comes back is wanted",
            Self::Crl => "a certificate is wanted; CRLs have places of their own",
            Self::Utf16 => "save it as UTF-8 without a byte order mark",
        }
    }
}

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its form.
    pub form: Form,
    /// The DER of its certificates in order, at least one. PKCS #7 holds a set, whose order has no meaning.
    pub certificates: Vec<Bytes>,
}

/// Why a file yields no certificates.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ContainerError {
    #[error("it is empty")]
    Empty,
    #[error("{length} bytes are more than {MAX_CERTIFICATE_TEXT}")]
    TooLong { length: usize },
    #[error("more than {MAX_CERTIFICATES_IN_TEXT} certificates")]
    TooMany,
    /// Not certificates.
    #[error("it is {0}: {advice}", advice = .0.advice())]
    Other(Form),
    #[error("there is no certificate in it: neither PEM nor DER")]
    Unknown,
    #[error("PKCS #7: {0}")]
    Pkcs7(DerError),
    #[error("a PKCS #7 message without certificates")]
    EmptyPkcs7,
    #[error("not percent-encoded: {0}")]
    Percent(#[from] PercentError),
    #[error("certificate {number} has no \"-----END CERTIFICATE-----\"")]
    Unfinished { number: usize },
    #[error("certificate {number}: {cause}")]
    Body { number: usize, cause: Base64Error },
}

impl ContainerError {
    /// Whether there is a certificate that is broken, and not another object.
    pub const fn is_malformed(&self) -> bool {
        matches!(self, Self::Pkcs7(_) | Self::Percent(_) | Self::Unfinished { .. } | Self::Body { .. })
    }
}

/// The form of a file; `None` if it is not recognised.
pub fn recognise(content: &[u8]) -> Option<Form> {
    if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
        return Some(Form::Utf16);
    }
    let text = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    let is_marked = text.len() < content.len();
    if let Some(label) = first_label(text) {
        return labelled(text, label, is_marked);
    }
    let start = text.trim_ascii_start();
    if is_url_encoded(start) {
        return Some(Form::UrlEncodedPem);
    }
    if text.first() == Some(&tag::SEQUENCE) {
        // 0x30 is also the digit 0. In DER, some length or key is not UTF-8.
        let broken = || std::str::from_utf8(text).is_err().then_some(Form::Der);
        return of_der(text).or_else(broken);
    }
    // The first octets of any certificate of 256 to 65,535 octets are 30 82, which is MII in base64.
    (start.starts_with(b"MII") && start.iter().all(|octet| is_base64(*octet))).then_some(Form::Base64)
}

/// The certificates of a file in any form.
pub fn read(content: &[u8]) -> Result<Found, ContainerError> {
    if content.len() > MAX_CERTIFICATE_TEXT {
        return Err(ContainerError::TooLong { length: content.len() });
    }
    let text = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    if text.trim_ascii().is_empty() {
        return Err(ContainerError::Empty);
    }
    let form = recognise(content).ok_or(ContainerError::Unknown)?;
    let certificates = match form {
        Form::Pem | Form::MarkedPem => blocks(text)?,
        Form::UrlEncodedPem => blocks(&percent::decode(text.trim_ascii())?)?,
        Form::Base64 => vec![body(text, MAX_CONFIGURED_CERTIFICATE)?],
        Form::Der => vec![Bytes::copy_from_slice(text)],
        Form::Pkcs7 => match unarmoured(text)? {
            Some(der) => pkcs7(&der)?,
            None => pkcs7(text)?,
        },
        other => return Err(ContainerError::Other(other)),
    };
    Ok(Found { form, certificates })
}

/// The label of the first PEM block.
fn first_label(text: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(text, BEGIN)?.saturating_add(BEGIN.len());
    let rest = text.get(at..)?;
    let end = memchr::memmem::find(rest.get(..64).unwrap_or(rest), b"-----")?;
    rest.get(..end)
}

fn labelled(text: &[u8], label: &[u8], is_marked: bool) -> Option<Form> {
    // Many tools write certificates among keys and other blocks.
    if memchr::memmem::find(text, pem::BEGIN).is_some() {
        return Some(if is_marked { Form::MarkedPem } else { Form::Pem });
    }
    match label {
        b"PKCS7" | b"CMS" | b"PKCS #7 SIGNED DATA" => Some(Form::Pkcs7),
        b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => Some(Form::Request),
        b"X509 CRL" => Some(Form::Crl),
        label if label.ends_with(b"PUBLIC KEY") => Some(Form::PublicKey),
        label if label.ends_with(b"PRIVATE KEY") => Some(Form::PrivateKey),
        _ => None,
    }
}

fn is_url_encoded(text: &[u8]) -> bool {
    let begins = |prefix: &[u8]| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    begins(b"-----BEGIN%20") || begins(b"%2D%2D%2D%2D%2DBEGIN")
}

fn is_base64(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=') || octet.is_ascii_whitespace()
}

/// The form of DER that begins with a SEQUENCE, also if it is truncated, or BER as many tools write it.
fn of_der(text: &[u8]) -> Option<Form> {
    let mut outer = inside(text)?;
    let Ok(first) = outer.any() else {
        return (outer.peek_tag() == Some(tag::SEQUENCE)).then_some(Form::Der);
    };
    match first.tag {
        tag::OID if first.content == PKCS7_SIGNED_DATA => Some(Form::Pkcs7),
        // RFC 7292 section 4: version 3, then a ContentInfo.
        tag::INTEGER if first.content == [3] => {
            let mut info = inside(outer.rest())?;
            let is_data = info.oid().is_ok_and(|oid| oid == PKCS7_DATA || oid == PKCS7_SIGNED_DATA);
            is_data.then_some(Form::Pkcs12)
        }
        // PKCS #8, PKCS #1 and SEC 1.
        tag::INTEGER => Some(Form::PrivateKey),
        tag::SEQUENCE => match outer.peek_tag() {
            Some(tag::BIT_STRING) => Some(Form::PublicKey),
            // EncryptedPrivateKeyInfo.
            Some(tag::OCTET_STRING) => Some(Form::PrivateKey),
            _ => Some(of_signed(first.content)),
        },
        _ => None,
    }
}

/// The kind of object by its signed part: certificate, CRL or request. Anything else is treated as a broken
/// certificate.
fn of_signed(tbs: &[u8]) -> Form {
    let mut reader = Reader::new(tbs);
    let number = reader.optional(tag::INTEGER).ok().flatten();
    let mut tags = [0_u8; 3];
    let mut algorithm: &[u8] = &[];
    for (at, slot) in tags.iter_mut().enumerate() {
        let Ok(element) = reader.any() else { break };
        *slot = element.tag;
        if at == 0 {
            algorithm = element.content;
        }
    }
    let begins_with_oid = algorithm.first() == Some(&tag::OID);
    match tags {
        // RFC 5280 section 5.1: version, signature, issuer, thisUpdate.
        [tag::SEQUENCE, tag::SEQUENCE, tag::UTC_TIME | tag::GENERALIZED_TIME] if begins_with_oid => Form::Crl,
        // RFC 2986 section 4: version, subject, key, attributes.
        [tag::SEQUENCE, tag::SEQUENCE, _] if number.is_some() && !begins_with_oid => Form::Request,
        _ => Form::Der,
    }
}

/// The content of the SEQUENCE at the front of `text`, as far as it extends, regardless of its length field.
fn inside(text: &[u8]) -> Option<Reader<'_>> {
    if let [tag::SEQUENCE, 0x80, rest @ ..] = text {
        return Some(Reader::new(rest));
    }
    let (tag, header, length) = der::header(text).ok()?;
    let end = header.saturating_add(length).min(text.len());
    (tag == tag::SEQUENCE).then(|| Reader::new(text.get(header..end).unwrap_or_default()))
}

/// Every `CERTIFICATE` block; the text between them is ignored.
fn blocks(text: &[u8]) -> Result<Vec<Bytes>, ContainerError> {
    let mut found = Vec::new();
    for block in pem::raw_blocks(text) {
        let number = found.len().saturating_add(1);
        if number > MAX_CERTIFICATES_IN_TEXT {
            return Err(ContainerError::TooMany);
        }
        if !block.is_terminated {
            return Err(ContainerError::Unfinished { number });
        }
        found.push(block.der(MAX_CONFIGURED_CERTIFICATE).map_err(|cause| ContainerError::Body { number, cause })?);
    }
    if found.is_empty() { Err(ContainerError::Unknown) } else { Ok(found) }
}

/// The DER of the only block, or of base64 without boundaries.
fn body(text: &[u8], limit: usize) -> Result<Bytes, ContainerError> {
    base64::decode_lax(text, limit).map_err(|cause| ContainerError::Body { number: 1, cause })
}

/// The DER of PKCS #7 in PEM; `None` when it is in no PEM.
fn unarmoured(text: &[u8]) -> Result<Option<Bytes>, ContainerError> {
    let Some(begin) = memchr::memmem::find(text, BEGIN) else { return Ok(None) };
    let after = text.get(begin.saturating_add(BEGIN.len())..).unwrap_or_default();
    let inner = memchr::memmem::find(after, b"-----").map(|at| after.get(at.saturating_add(5)..).unwrap_or_default());
    let inner = inner.unwrap_or_default();
    let end = memchr::memmem::find(inner, b"-----END ").ok_or(ContainerError::Unfinished { number: 1 })?;
    body(inner.get(..end).unwrap_or_default(), MAX_CERTIFICATE_TEXT).map(Some)
}

/// The certificates of a SignedData (RFC 5652 sections 3 and 5.1; RFC 2315 has the same structure). Signatures are not
/// verified: it is used as a bag of certificates, and each is validated by itself.
fn pkcs7(text: &[u8]) -> Result<Vec<Bytes>, ContainerError> {
    let read = || -> Result<Vec<Bytes>, DerError> {
        let mut info = Reader::new(der::exactly(text, tag::SEQUENCE)?.content);
        info.oid()?;
        let mut explicit = info.nested(tag::context_constructed(0))?;
        info.finish()?;
        let mut signed = explicit.nested(tag::SEQUENCE)?;
        signed.integer()?;
        signed.expect(tag::SET)?;
        signed.expect(tag::SEQUENCE)?;
        let Some(certificates) = signed.optional(tag::context_constructed(0))? else { return Ok(Vec::new()) };
        let mut reader = Reader::new(certificates.content);
        let mut found = Vec::new();
        while !reader.is_empty() && found.len() <= MAX_CERTIFICATES_IN_TEXT {
            let element = reader.any()?;
            // The other choices, all context-specific, are obsolete forms and attribute certificates.
            if element.tag == tag::SEQUENCE {
                found.push(Bytes::copy_from_slice(element.whole));
            }
        }
        Ok(found)
    };
    let found = read().map_err(ContainerError::Pkcs7)?;
    match found.len() {
        0 => Err(ContainerError::EmptyPkcs7),
        n if n > MAX_CERTIFICATES_IN_TEXT => Err(ContainerError::TooMany),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;
    use certgate_testing::template::{Key, Template, pem as write_pem};

    fn tlv(tag: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        der::write(&mut out, tag, content.as_ref());
        out
    }

    fn certificates() -> [Vec<u8>; 2] {
        let key = Key::new();
        [Template::default().der(&key, &key), Template::ca().der(&key, &key)]
    }

    /// A certs-only SignedData.
    fn signed_data(certificates: &[Vec<u8>]) -> Vec<u8> {
        let data = tlv(tag::SEQUENCE, tlv(tag::OID, PKCS7_DATA));
        let inner = [
            tlv(tag::INTEGER, [1]),
            tlv(tag::SET, []),
            data,
            tlv(tag::context_constructed(0), certificates.concat()),
            tlv(tag::SET, []),
        ];
        let explicit = tlv(tag::context_constructed(0), tlv(tag::SEQUENCE, inner.concat()));
        tlv(tag::SEQUENCE, [tlv(tag::OID, PKCS7_SIGNED_DATA), explicit].concat())
    }

    fn armoured(label: &str, der: &[u8]) -> Vec<u8> {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der)).into_bytes()
    }

    fn percent_encoded(text: &[u8]) -> Vec<u8> {
        text.iter()
            .map(
                |octet| {
                    if octet.is_ascii_alphanumeric() { char::from(*octet).to_string() } else { format!("%{octet:02X}") }
                },
            )
            .collect::<String>()
            .into_bytes()
    }

    #[test]
    fn every_form_with_certificates_is_read() {
        let all = certificates();
        let [leaf, ca] = &all;
        let both = [write_pem(leaf), write_pem(ca)].concat().into_bytes();
        let among = [armoured("PRIVATE KEY", b"secret"), b"\r\nsubject=x\r\n".to_vec(), both.clone()].concat();
        let one = [leaf.clone()].to_vec();
        for (name, content, form, want) in [
            ("PEM", both.clone(), Form::Pem, &all[..]),
            ("PEM among other things", among, Form::Pem, &all),
            ("PEM with CRLF", write_pem(leaf).replace('\n', "\r\n").into_bytes(), Form::Pem, &one),
            ("PEM behind a mark", [BYTE_ORDER_MARK, &both].concat(), Form::MarkedPem, &all),
            ("URL-encoded PEM", percent_encoded(&both), Form::UrlEncodedPem, &all),
            (
                "as nginx writes it",
                write_pem(leaf).replace(' ', "%20").replace('\n', "%0A").into(),
                Form::UrlEncodedPem,
                &one,
            ),
            ("base64", STANDARD.encode(leaf).into_bytes(), Form::Base64, &one),
            ("DER", leaf.clone(), Form::Der, &one),
            ("PKCS #7", signed_data(&all), Form::Pkcs7, &all),
            ("PKCS #7 in PEM", armoured("PKCS7", &signed_data(&all)), Form::Pkcs7, &all),
        ] {
            let found = read(&content).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(found.form, form, "{name}");
            assert_eq!(found.certificates, want, "{name}");
        }
    }

    #[test]
    fn what_holds_no_certificate_is_named() {
        let [leaf, _] = certificates();
        let store = |header: &[u8]| {
            let inner = [tlv(tag::INTEGER, [3]), tlv(tag::SEQUENCE, tlv(tag::OID, PKCS7_DATA))].concat();
            [header, &inner].concat()
        };
        let plain_store = tlv(tag::SEQUENCE, store(&[]));
        let ber_store = store(&[0x30, 0x80]);
        let pkcs8 =
            tlv(tag::SEQUENCE, [tlv(tag::INTEGER, [0]), tlv(tag::SEQUENCE, []), tlv(tag::OCTET_STRING, [])].concat());
        let name = tlv(tag::SEQUENCE, tlv(tag::SET, []));
        let algorithm = tlv(tag::SEQUENCE, tlv(tag::OID, PKCS7_DATA));
        let signed =
            |tbs: Vec<u8>| tlv(tag::SEQUENCE, [tlv(tag::SEQUENCE, tbs), algorithm.clone(), tlv(3, [0])].concat());
        let crl = signed([tlv(tag::INTEGER, [1]), algorithm.clone(), name.clone(), tlv(tag::UTC_TIME, "x")].concat());
        let csr = signed([tlv(tag::INTEGER, [0]), name, algorithm.clone(), tlv(0xa0, [])].concat());
        let spki = tlv(tag::SEQUENCE, [algorithm.clone(), tlv(tag::BIT_STRING, [0])].concat());
        let utf16: Vec<u8> = b"\xff\xfe".iter().copied().chain("-----".bytes().flat_map(|b| [b, 0])).collect();
        for (name, content, want) in [
            ("PKCS #12", plain_store, Form::Pkcs12),
            ("PKCS #12 in BER", ber_store, Form::Pkcs12),
            ("PKCS #8", pkcs8.clone(), Form::PrivateKey),
            ("a key in PEM", armoured("EC PRIVATE KEY", &pkcs8), Form::PrivateKey),
            ("a CRL", crl.clone(), Form::Crl),
            ("a CRL in PEM", armoured("X509 CRL", &crl), Form::Crl),
            ("a request", csr.clone(), Form::Request),
            ("a request in PEM", armoured("CERTIFICATE REQUEST", &csr), Form::Request),
            ("a public key", spki.clone(), Form::PublicKey),
            ("a public key in PEM", armoured("PUBLIC KEY", &spki), Form::PublicKey),
            ("UTF-16", utf16, Form::Utf16),
        ] {
            let error = ContainerError::Other(want);
            assert!(!error.is_malformed());
            assert_eq!(read(&content), Err(error), "{name}");
        }
        for (name, content, want) in [
            ("nothing", Vec::new(), ContainerError::Empty),
            ("a mark alone", BYTE_ORDER_MARK.to_vec(), ContainerError::Empty),
            ("a text", b"hello\n".to_vec(), ContainerError::Unknown),
            ("a text that begins as DER does", b"0 s:CN = a\n".to_vec(), ContainerError::Unknown),
            ("an empty PKCS #7", signed_data(&[]), ContainerError::EmptyPkcs7),
            (
                "too much",
                vec![b'x'; MAX_CERTIFICATE_TEXT + 1],
                ContainerError::TooLong { length: MAX_CERTIFICATE_TEXT + 1 },
            ),
            ("too many", write_pem(&leaf).repeat(MAX_CERTIFICATES_IN_TEXT + 1).into_bytes(), ContainerError::TooMany),
        ] {
            assert!(!want.is_malformed(), "{name}");
            assert_eq!(read(&content), Err(want), "{name}");
        }
    }

    #[test]
    fn a_broken_certificate_is_not_another_thing() {
        let [leaf, ca] = certificates();
        let text = write_pem(&leaf);
        let cut = text.replace("-----END CERTIFICATE-----\n", "");
        let odd = text.replacen("MII", "M*I", 1);
        let bag = signed_data(&[leaf.clone(), ca]);
        let trailing = [&bag[..], b"x"].concat();
        for (name, content) in [
            ("no end", cut.into_bytes()),
            ("not base64", odd.into_bytes()),
            ("bad escapes", b"-----BEGIN%20CERTIFICATE-----%0".to_vec()),
            ("PKCS #7 with more behind it", trailing),
        ] {
            assert!(read(&content).unwrap_err().is_malformed(), "{name}");
        }
        assert_eq!(read(&leaf[..leaf.len() / 2]).unwrap().form, Form::Der, "cut short, for its reader to refuse");
    }

    proptest! {
        /// Any file is read or rejected, and a changed octet never makes another certificate of a whole PEM.
        #[test]
        fn any_file_is_read_or_refused(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&content);
            let _ = read(&[&[0x30, 0x82][..], &content].concat());
            let _ = read(&[b"-----BEGIN PKCS7-----\n", &content[..]].concat());
            let _ = read(&signed_data(&[content]));
        }
    }
}
