//! Certificates for the core's unit tests, with full say over every name. Not part of the program.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use certgate_x509::{Certificate, UnixTime};

/// When the tests decide: within the dates of every certificate that does not say otherwise.
pub const NOW: UnixTime = UnixTime::from_secs(1_795_321_800);

/// A P-256 key.
pub struct Key(EcdsaKeyPair);

impl Default for Key {
    fn default() -> Self {
        Self::new()
    }
}

impl Key {
    pub fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn spki(&self) -> Vec<u8> {
        let algorithm = sequence(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]);
        sequence(&[algorithm, bit_string(self.0.public_key().as_ref())])
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

/// The ASN.1 type of a text in a name.
#[derive(Copy, Clone)]
pub enum Text {
    Utf8,
    Printable,
    Bmp,
    Teletex,
    General,
    Octets,
}

/// One attribute of a name.
pub type Attribute = (&'static str, Text, String);

/// A subject alternative name.
#[derive(Clone)]
pub enum San {
    Uri(String),
    Dns(String),
    Email(String),
    Upn(String),
    /// A user principal name that is not a UTF8String.
    UpnIn(Text, String),
    /// An internationalized mail address (RFC 9598).
    Mailbox(String),
}

/// The content of a certificate.
#[derive(Clone)]
pub struct Template {
    /// RDNs with their attributes; the type by its OID.
    pub subject: Vec<Vec<Attribute>>,
    pub issuer: Vec<Vec<Attribute>>,
    pub serial: Vec<u8>,
    pub not_after: &'static str,
    pub sans: Vec<San>,
    pub usage: Usage,
    /// A permitted dNSName subtree.
    pub dns_constraint: Option<&'static str>,
}

/// The usage of a certificate.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Usage {
    Ca,
    Client,
    Server,
}

pub const CN: &str = "2.5.4.3";
pub const O: &str = "2.5.4.10";
pub const OU: &str = "2.5.4.11";
pub const C: &str = "2.5.4.6";

/// A name of single-valued RDNs in certificate order.
pub fn name(attributes: &[(&'static str, &str)]) -> Vec<Vec<Attribute>> {
    attributes.iter().map(|(ty, value)| vec![(*ty, Text::Utf8, (*value).to_owned())]).collect()
}

impl Default for Template {
    fn default() -> Self {
        Self {
            subject: name(&[(C, "DE"), (O, "Contoso"), (CN, "client")]),
            issuer: name(&[(O, "Acme"), (CN, "Acme CA")]),
            serial: vec![0x2a],
            not_after: "351231235959Z",
            sans: Vec::new(),
            usage: Usage::Client,
            dns_constraint: None,
        }
    }
}

impl Template {
    /// The self-signed CA whose name the default template has as issuer.
    pub fn ca() -> Self {
        let issuer = Self::default().issuer;
        Self { subject: issuer.clone(), issuer, serial: vec![1], usage: Usage::Ca, ..Self::default() }
    }

    /// The DER of a certificate for `key`, signed by `issuer`.
    pub fn der(&self, key: &Key, issuer: &Key) -> Vec<u8> {
        let algorithm = sequence(&[oid("1.2.840.10045.4.3.2")]);
        let validity = sequence(&[tlv(0x17, b"200101000000Z"), tlv(0x17, self.not_after.as_bytes())]);
        let mut extensions = Vec::new();
        match self.usage {
            Usage::Ca => {
                extensions.push(extension("2.5.29.19", true, &sequence(&[tlv(0x01, &[0xff])])));
                extensions.push(extension("2.5.29.15", true, &tlv(0x03, &[1, 0x06])));
            }
            Usage::Client => extensions.push(extension("2.5.29.37", false, &sequence(&[oid("1.3.6.1.5.5.7.3.2")]))),
            Usage::Server => extensions.push(extension("2.5.29.37", false, &sequence(&[oid("1.3.6.1.5.5.7.3.1")]))),
        }
        if let Some(base) = self.dns_constraint {
            let permitted = tlv(0xa0, &sequence(&[tlv(0x82, base.as_bytes())]));
            extensions.push(extension("2.5.29.30", true, &sequence(&[permitted])));
        }
        if !self.sans.is_empty() {
            let names: Vec<_> = self.sans.iter().map(general_name).collect();
            extensions.push(extension("2.5.29.17", self.subject.is_empty(), &sequence(&names)));
        }
        let tbs = sequence(&[
            tlv(0xa0, &tlv(0x02, &[2])),
            tlv(0x02, &self.serial),
            algorithm.clone(),
            distinguished_name(&self.issuer),
            validity,
            distinguished_name(&self.subject),
            key.spki(),
            tlv(0xa3, &sequence(&extensions)),
        ]);
        let signature = bit_string(&issuer.sign(&tbs));
        sequence(&[tbs, algorithm, signature])
    }

    /// The certificate, with a key and a signature that no test checks.
    pub fn parsed(&self) -> Certificate {
        let key = Key::new();
        Certificate::from_der(self.der(&key, &key)).unwrap()
    }
}

/// PEM of one certificate.
pub fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// PEM as Envoy writes it into `source.certificate`.
pub fn url_encoded_pem(der: &[u8]) -> String {
    let escape = |c: char| match c {
        '\n' => "%0A".to_owned(),
        ' ' => "%20".to_owned(),
        '+' => "%2B".to_owned(),
        '/' => "%2F".to_owned(),
        '=' => "%3D".to_owned(),
        c => c.to_string(),
    };
    pem(der).chars().map(escape).collect()
}

fn distinguished_name(rdns: &[Vec<Attribute>]) -> Vec<u8> {
    let attribute = |(ty, text, value): &Attribute| sequence(&[oid(ty), string(*text, value)]);
    let rdn = |rdn: &Vec<Attribute>| {
        let mut attributes: Vec<_> = rdn.iter().map(attribute).collect();
        attributes.sort();
        tlv(0x31, &attributes.concat())
    };
    sequence(&rdns.iter().map(rdn).collect::<Vec<_>>())
}

fn string(text: Text, value: &str) -> Vec<u8> {
    match text {
        Text::Utf8 => tlv(0x0c, value.as_bytes()),
        Text::Printable => tlv(0x13, value.as_bytes()),
        Text::Bmp => tlv(0x1e, &value.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>()),
        Text::Teletex => tlv(0x14, &value.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<_>>()),
        Text::General => tlv(0x1b, value.as_bytes()),
        Text::Octets => tlv(0x04, value.as_bytes()),
    }
}

fn general_name(san: &San) -> Vec<u8> {
    match san {
        San::Email(text) => tlv(0x81, text.as_bytes()),
        San::Dns(text) => tlv(0x82, text.as_bytes()),
        San::Uri(text) => tlv(0x86, text.as_bytes()),
        San::Upn(text) => other_name("1.3.6.1.4.1.311.20.2.3", &string(Text::Utf8, text)),
        San::UpnIn(ty, text) => other_name("1.3.6.1.4.1.311.20.2.3", &string(*ty, text)),
        San::Mailbox(text) => other_name("1.3.6.1.5.5.7.8.9", &string(Text::Utf8, text)),
    }
}

fn other_name(ty: &str, value: &[u8]) -> Vec<u8> {
    tlv(0xa0, &[oid(ty), tlv(0xa0, value)].concat())
}

fn extension(ty: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(ty)];
    if critical {
        parts.push(tlv(0x01, &[0xff]));
    }
    parts.push(tlv(0x04, value));
    sequence(&parts)
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn bit_string(content: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], content].concat())
}

fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u32> = dotted.split('.').map(|arc| arc.parse().unwrap()).collect();
    let mut content = vec![u8::try_from(arcs[0] * 40 + arcs[1]).unwrap()];
    for arc in &arcs[2..] {
        let groups: Vec<u8> = (0..5).rev().map(|n| ((arc >> (7 * n)) & 0x7f) as u8).skip_while(|g| *g == 0).collect();
        let groups = if groups.is_empty() { vec![0] } else { groups };
        let last = groups.len() - 1;
        content.extend(groups.iter().enumerate().map(|(at, group)| if at < last { group | 0x80 } else { *group }));
    }
    tlv(0x06, &content)
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(content);
    out
}
