//! Distinguished names: parsing, comparison by RFC 5280 section 7.1, and the text form of RFC 4514.
//!
//! A [`Name`] keeps its DER and its RDN structure, and one canonical octet string made once: two names are equal
//! exactly when these are. Nothing in certgate compares display strings.
//!
//! RFC 5280 7.1 prepares attribute values by RFC 4518. What is done of it here: every string type is transcoded to
//! Unicode, case is folded, white space is trimmed at both ends and inner runs count as one space. What is not:
//! Unicode normalization (NFKC) and the removal of invisible characters; names that differ in those are different.
//! That way a look-alike never matches; a CA whose certificates spell one name in two normal forms does not chain.

mod rfc4514;
mod strings;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use bytes::Bytes;
use thiserror::Error;

use super::der::{self, DerError, Reader, Span, tag};
use super::oid::{Oid, OidError};

/// Attributes in one name. RFC 5280 sets no limit; real names stay below 20.
pub const MAX_ATTRIBUTES: usize = 256;

/// A distinguished name: a sequence of sets of attributes.
///
/// `==` is the comparison of RFC 5280 section 7.1, not of octets.
#[derive(Clone)]
pub struct Name {
    der: Bytes,
    canonical: Box<[u8]>,
    attributes: Box<[Attribute]>,
}

/// One attribute of a name.
#[derive(Clone, Debug)]
struct Attribute {
    /// Which RDN it belongs to, counted from the front of the sequence.
    rdn: u16,
    /// The content octets of its type, within the name's DER.
    type_oid: Span,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    /// Octets that are UTF-8 as they stand in the DER.
    Utf8(Span),
    /// Text of another encoding.
    Transcoded(Box<str>),
    /// The whole element of a type that is not a string.
    Opaque(Span),
}

/// Why bytes or text are not a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// The DER is not that of a name.
    #[error("name: {0}")]
    Der(#[from] DerError),
    /// A string holds what its type forbids.
    #[error("attribute {attribute}: {problem}")]
    Value {
        /// The attribute's short name or dotted type.
        attribute: String,
        /// What is wrong with its value.
        problem: StringError,
    },
    /// More attributes than [`MAX_ATTRIBUTES`].
    #[error("name has more than {MAX_ATTRIBUTES} attributes")]
    TooManyAttributes,
    /// The text is not RFC 4514.
    #[error("at character {at}: {problem}")]
    Text {
        /// Where, counted in characters from 1.
        at: usize,
        /// What is wrong there.
        problem: String,
    },
}

/// What is wrong with a string.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StringError {
    #[error("holds a NUL character")]
    Nul,
    #[error("holds a character that PrintableString does not have")]
    NotPrintable,
    #[error("holds a character that NumericString does not have")]
    NotNumeric,
    #[error("holds a character that VisibleString does not have")]
    NotVisible,
    #[error("IA5String is not ASCII")]
    NotAscii,
    #[error("UTF8String is not UTF-8")]
    NotUtf8,
    #[error("BMPString or UniversalString is not whole characters of Unicode")]
    NotUnicode,
}

impl Name {
    /// Parses a whole DER Name; trailing octets are refused.
    pub fn from_der(der: impl Into<Bytes>) -> Result<Self, NameError> {
        let der = der.into();
        der::check(&der)?;
        Self::from_checked(der)
    }

    /// Parses a Name whose DER [`der::check`] has walked.
    pub(crate) fn from_checked(der: Bytes) -> Result<Self, NameError> {
        let sequence = der::exactly(&der, tag::SEQUENCE)?;
        let mut rdns = Reader::new(sequence.content);
        let mut attributes = Vec::with_capacity(6);
        let mut canonical = Vec::with_capacity(der.len());
        let mut rdn_index = 0_u16;
        while !rdns.is_empty() {
            let rdn = rdns.expect(tag::SET)?;
            let mut members = Reader::new(rdn.content);
            if members.is_empty() {
                return Err(NameError::Der(DerError::Empty));
            }
            let first = attributes.len();
            while !members.is_empty() {
                let mut member = members.nested(tag::SEQUENCE)?;
                let type_oid = member.oid()?;
                let value = member.any()?;
                member.finish()?;
                if attributes.len() >= MAX_ATTRIBUTES {
                    return Err(NameError::TooManyAttributes);
                }
                let value = match strings::decode(value) {
                    Ok(strings::Decoded::Utf8(text)) => Value::Utf8(Span::of(&der, text)),
                    Ok(strings::Decoded::Transcoded(text)) => Value::Transcoded(text.into()),
                    Ok(strings::Decoded::NotAString) => Value::Opaque(Span::of(&der, value.whole)),
                    Err(problem) => {
                        return Err(NameError::Value {
                            attribute: AttributeType(Oid::from_content(type_oid)).to_string(),
                            problem,
                        });
                    }
                };
                attributes.push(Attribute { rdn: rdn_index, type_oid: Span::of(&der, type_oid), value });
            }
            canonical_rdn(&mut canonical, &der, attributes.get(first..).unwrap_or_default());
            rdn_index = rdn_index.saturating_add(1);
        }
        Ok(Self { canonical: canonical.into(), attributes: attributes.into(), der })
    }

    /// Parses the text form of RFC 4514, most specific RDN first. Attribute types are those of [`AttributeType`];
    /// values may be `#` and hexadecimal DER; blanks around separators are taken.
    pub fn parse_rfc4514(text: &str) -> Result<Self, NameError> {
        Self::from_der(rfc4514::parse(text)?)
    }

    /// Whether the name has no RDN at all.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// The DER as it was parsed.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Octets that are equal exactly for names that are equal by RFC 5280 section 7.1. The canonical form of a name
    /// is a prefix of another's exactly when its RDNs are a prefix of the other's.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Whether `base` is this name or one of its ancestors: the initial RDNs are equal (RFC 5280 section 7.1).
    pub fn is_within(&self, base: &Name) -> bool {
        self.canonical.starts_with(&base.canonical)
    }

    /// The texts of every attribute of type `ty`, first RDN first, multi-valued RDNs included. A value that is not a
    /// string is left out.
    pub fn values<'a>(&'a self, ty: &AttributeType) -> impl Iterator<Item = &'a str> + use<'a> {
        // Cloned so that the iterator borrows the name alone; borrowed types cost nothing.
        let ty = ty.0.clone();
        self.attributes.iter().filter(move |a| ty == *a.type_oid.get(&self.der)).filter_map(|a| a.value.text(&self.der))
    }

    /// Every attribute with its type and, where it is a string, its text; first RDN first.
    pub fn attributes(&self) -> impl Iterator<Item = (AttributeType, Option<&str>)> {
        self.attributes
            .iter()
            .map(|a| (AttributeType(Oid::from_content(a.type_oid.get(&self.der))), a.value.text(&self.der)))
    }

    /// The text form of RFC 4514, most specific RDN first. Printable ASCII only: every other character is written as
    /// `\XX` pairs of its UTF-8, so that the text cannot deceive a log or a header.
    pub fn to_rfc4514(&self) -> String {
        rfc4514::print(self)
    }
}

impl Value {
    fn text<'a>(&'a self, der: &'a [u8]) -> Option<&'a str> {
        match self {
            Value::Utf8(octets) => std::str::from_utf8(octets.get(der)).ok(),
            Value::Transcoded(text) => Some(text),
            Value::Opaque(_) => None,
        }
    }
}

/// Appends the canonical form of one RDN: the number of octets, then its attributes in sorted order, so that the
/// order of a SET OF does not matter.
fn canonical_rdn(out: &mut Vec<u8>, der: &[u8], attributes: &[Attribute]) {
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    match attributes {
        [only] => canonical_attribute(out, der, only),
        several => {
            let mut encoded: Vec<Vec<u8>> = several
                .iter()
                .map(|attribute| {
                    let mut one = Vec::with_capacity(64);
                    canonical_attribute(&mut one, der, attribute);
                    one
                })
                .collect();
            encoded.sort_unstable();
            encoded.iter().for_each(|one| out.extend_from_slice(one));
        }
    }
    set_length(out, length_at);
}

fn canonical_attribute(out: &mut Vec<u8>, der: &[u8], attribute: &Attribute) {
    let type_oid = attribute.type_oid.get(der);
    prefixed(out, b'o', |out| out.extend_from_slice(type_oid));
    match (attribute.value.text(der), &attribute.value) {
        (Some(text), _) => prefixed(out, b't', |out| strings::fold(out, text)),
        (None, Value::Opaque(whole)) => prefixed(out, b'x', |out| out.extend_from_slice(whole.get(der))),
        // Text that is no text cannot be: it was decoded once.
        (None, _) => prefixed(out, b'?', |_| ()),
    }
}

/// Appends `kind`, the number of octets that `write` appends, and those.
fn prefixed(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    set_length(out, at);
}

/// Writes into the four octets at `at` how many follow them.
fn set_length(out: &mut [u8], at: usize) {
    let start = at.saturating_add(4);
    let length = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(slot) = out.get_mut(at..start) {
        slot.copy_from_slice(&length);
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

/// The form of [`Name::to_rfc4514`].
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc4514())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// The type of an attribute of a name.
///
/// Written as a short name, without regard to case, or as a dotted object identifier. The first short name of a type
/// is the one printed; `S` is `ST`, `E` and `Email` are `emailAddress`, as in the Windows tools.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttributeType(Oid);

/// Why a text names no attribute type.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown attribute type {0:?}: want a short name such as CN, O or OU, or a dotted object identifier")]
pub struct AttributeTypeError(String);

/// Content octets and spellings of the known types.
const SHORT_NAMES: &[(&[u8], &[&str])] = &[
    (&[0x55, 4, 3], &["CN", "commonName"]),
    (&[0x55, 4, 11], &["OU", "organizationalUnitName", "organizationalUnit"]),
    (&[0x55, 4, 10], &["O", "organizationName", "organization"]),
    (&[0x55, 4, 7], &["L", "localityName", "locality"]),
    (&[0x55, 4, 8], &["ST", "S", "stateOrProvinceName", "state"]),
    (&[0x55, 4, 6], &["C", "countryName", "country"]),
    (&[0x55, 4, 9], &["STREET", "streetAddress"]),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], &["DC", "domainComponent"]),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], &["UID", "userId"]),
    (&[0x55, 4, 4], &["SN", "surname"]),
    (&[0x55, 4, 42], &["GN", "G", "givenName"]),
    (&[0x55, 4, 12], &["T", "title"]),
    (&[0x55, 4, 43], &["I", "initials"]),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], &["emailAddress", "E", "Email"]),
    (&[0x55, 4, 5], &["SERIALNUMBER"]),
    (&[0x55, 4, 13], &["description"]),
    (&[0x55, 4, 15], &["businessCategory"]),
    (&[0x55, 4, 17], &["postalCode"]),
    (&[0x55, 4, 20], &["telephoneNumber"]),
    (&[0x55, 4, 41], &["name"]),
    (&[0x55, 4, 44], &["generationQualifier"]),
    (&[0x55, 4, 46], &["dnQualifier"]),
    (&[0x55, 4, 65], &["pseudonym"]),
    (&[0x55, 4, 97], &["organizationIdentifier"]),
    (&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 1], &["jurisdictionL"]),
    (&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 2], &["jurisdictionST"]),
    (&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 3], &["jurisdictionC"]),
];

impl AttributeType {
    /// `emailAddress`, which name constraints on mail addresses also cover.
    pub const EMAIL_ADDRESS: Self = Self(Oid::from_static(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]));

    /// The attribute type that `oid` names.
    pub fn from_oid(oid: Oid) -> Self {
        Self(oid)
    }

    /// The identifier.
    pub fn oid(&self) -> &Oid {
        &self.0
    }

    fn short_name(content: &[u8]) -> Option<&'static str> {
        SHORT_NAMES.iter().find(|(oid, _)| *oid == content).and_then(|(_, names)| names.first().copied())
    }
}

impl FromStr for AttributeType {
    type Err = AttributeTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = SHORT_NAMES.iter().find(|(_, names)| names.iter().any(|name| name.eq_ignore_ascii_case(text)));
        match known {
            Some((oid, _)) => Ok(Self(Oid::from_static(oid))),
            None => text.parse().map(Self).map_err(|OidError| AttributeTypeError(text.chars().take(64).collect())),
        }
    }
}

/// The short name where there is one, else the dotted form.
impl fmt::Display for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::short_name(self.0.as_bytes()) {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
