//! Distinguished names: parsing, comparison by RFC 5280 section 7.1, and the text form of RFC 4514.
//!
//! A [`Name`] keeps its DER and its RDN structure, and one canonical octet string made once: two names are equal
//! exactly when these are. Nothing in certgate compares display strings.
//!
//! RFC 5280 7.1 prepares attribute values by RFC 4518. This module implements a part of it: it transcodes every string
//! type to Unicode, folds case, trims white space at both ends and treats inner runs as one space. It omits Unicode
//! normalization (NFKC) and the removal of invisible characters; names that differ in those are different. Nor does
//! case folding map characters outside ASCII to ASCII, as RFC 3454 table B.2 does with `ß`, `ſ`, the Kelvin sign and
//! ligatures: `admın` with a dotless i is not `admin`. Only white space of any kind counts as a space. So a look-alike
//! never matches; the certificates of a CA that spell one name in two normal forms do not chain.

mod order;
mod rfc4514;
mod strings;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use bytes::Bytes;
use thiserror::Error;

use super::der::{self, DerError, Reader, Tlv, tag};
use super::limits::MAX_NAME_ATTRIBUTES;
use super::oid::{Oid, OidError};
pub use order::looks_reversed;

/// A distinguished name: a sequence of sets of attributes.
///
/// `==` is the comparison of RFC 5280 section 7.1, not of octets.
#[derive(Clone)]
pub struct Name {
    /// Was parsed once, so parsing it again succeeds.
    der: Bytes,
    canonical: Vec<u8>,
    /// The texts that are not UTF-8 in the DER, in the order of their attributes.
    transcoded: Vec<Box<str>>,
}

/// One attribute of a name.
struct Attribute<'a> {
    /// Whether it is the first of its RDN.
    opens_rdn: bool,
    /// The content octets of its type.
    type_oid: &'a [u8],
    /// Its text; `None` when it is not of a string type.
    text: Option<&'a str>,
    /// The tag of its value.
    tag: u8,
    /// The whole element of its value.
    value: &'a [u8],
}

/// The value of an attribute, as rules test it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct AttributeValue<'a> {
    /// Its text; `None` when it is not of a string type.
    pub text: Option<&'a str>,
    /// Whether other software may read another text in it, or a text where this parser reads none.
    pub is_doubtful: bool,
}

/// Why bytes or text are not a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// The DER is not that of a name.
    #[error("name: {0}")]
    Der(#[from] DerError),
    /// A string holds characters that its type forbids.
    #[error("attribute {attribute}: {problem}")]
    Value {
        /// The attribute's short name or dotted type.
        attribute: String,
        /// What is wrong with its value.
        problem: StringError,
    },
    /// More attributes than [`MAX_NAME_ATTRIBUTES`].
    #[error("name has more than {MAX_NAME_ATTRIBUTES} attributes")]
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
    /// Parses a whole DER Name; rejects trailing octets.
    pub fn from_der(der: impl Into<Bytes>) -> Result<Self, NameError> {
        let der = der.into();
        der::check(&der)?;
        Self::from_checked(der)
    }

    /// Parses a Name whose DER [`der::check`] has walked.
    pub(crate) fn from_checked(der: Bytes) -> Result<Self, NameError> {
        let sequence = der::exactly(&der, tag::SEQUENCE)?;
        let mut rdns = Reader::new(sequence.content);
        let mut canonical = Canonical::with_capacity(der.len());
        let mut transcoded: Vec<Box<str>> = Vec::new();
        let mut count = 0_usize;
        while !rdns.is_empty() {
            let mut members = rdns.nested(tag::SET)?;
            if members.is_empty() {
                return Err(NameError::Der(DerError::Empty));
            }
            canonical.begin_rdn();
            while !members.is_empty() {
                count = count.saturating_add(1);
                if count > MAX_NAME_ATTRIBUTES {
                    return Err(NameError::TooManyAttributes);
                }
                let (type_oid, value) = attribute(&mut members)?;
                match strings::decode(value) {
                    Ok(strings::Decoded::Utf8(text)) => canonical.text(type_oid, text),
                    Ok(strings::Decoded::Transcoded(text)) => {
                        canonical.text(type_oid, &text);
                        transcoded.push(text.into());
                    }
                    Ok(strings::Decoded::NotAString) => canonical.opaque(type_oid, value.whole),
                    Err(problem) => {
                        let attribute = AttributeType(Oid::from_content(type_oid)).to_string();
                        return Err(NameError::Value { attribute, problem });
                    }
                }
            }
            canonical.end_rdn();
        }
        Ok(Self { canonical: canonical.octets, transcoded, der })
    }

    /// Parses the text form of RFC 4514, most specific RDN first. Attribute types are those of [`AttributeType`];
    /// values may be `#` and hexadecimal DER; blanks around separators are taken.
    pub fn parse_rfc4514(text: &str) -> Result<Self, NameError> {
        Self::from_der(rfc4514::parse(text)?)
    }

    /// Whether the name has no RDN at all.
    pub fn is_empty(&self) -> bool {
        self.canonical.is_empty()
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
        self.all_values(ty).filter_map(|value| value.text)
    }

    /// The same with the values that are not strings.
    pub fn all_values<'a>(&'a self, ty: &AttributeType) -> impl Iterator<Item = AttributeValue<'a>> + use<'a> {
        // Cloned so that the iterator borrows the name alone; known types cost nothing.
        let ty = ty.0.clone();
        self.each().filter(move |a| ty == *a.type_oid).map(|a| AttributeValue {
            text: a.text,
            is_doubtful: a.text.is_none_or(|text| strings::is_doubtful(a.tag, text)),
        })
    }

    /// The canonical form of the name with its RDNs in reverse order.
    pub fn reversed_canonical(&self) -> Vec<u8> {
        order::reversed(&self.canonical)
    }

    /// Every attribute with its type and, where it is a string, its text; first RDN first.
    pub fn attributes(&self) -> impl Iterator<Item = (AttributeType, Option<&str>)> {
        self.each().map(|a| (AttributeType(Oid::from_content(a.type_oid)), a.text))
    }

    /// The attributes of each RDN, first RDN first; a value that is not a string is `None`.
    pub fn rdns(&self) -> Vec<Vec<(AttributeType, Option<&str>)>> {
        let mut rdns: Vec<Vec<_>> = Vec::new();
        for a in self.each() {
            let attribute = (AttributeType(Oid::from_content(a.type_oid)), a.text);
            match rdns.last_mut() {
                Some(rdn) if !a.opens_rdn => rdn.push(attribute),
                _ => rdns.push(vec![attribute]),
            }
        }
        rdns
    }

    /// The attributes in order, read from the DER again.
    fn each(&self) -> impl Iterator<Item = Attribute<'_>> {
        let content = der::exactly(&self.der, tag::SEQUENCE).map(|tlv| tlv.content).unwrap_or_default();
        let (mut rdns, mut members) = (Reader::new(content), Reader::new(&[]));
        let mut transcoded = self.transcoded.iter();
        std::iter::from_fn(move || {
            let opens_rdn = members.is_empty();
            if opens_rdn {
                members = rdns.nested(tag::SET).ok()?;
            }
            let (type_oid, value) = attribute(&mut members).ok()?;
            let text = match strings::form(value.tag) {
                strings::StringForm::Utf8 => std::str::from_utf8(value.content).ok(),
                strings::StringForm::Transcoded => transcoded.next().map(|text| &**text),
                strings::StringForm::NotAString => None,
            };
            Some(Attribute { opens_rdn, type_oid, text, tag: value.tag, value: value.whole })
        })
    }

    /// The text form of RFC 4514, most specific RDN first. Printable ASCII only: every other character is written as
    /// `\XX` pairs of its UTF-8, so that the text cannot deceive a log or a header.
    pub fn to_rfc4514(&self) -> String {
        rfc4514::print(self)
    }
}

/// Type and value of the next attribute of an RDN.
#[inline]
fn attribute<'a>(members: &mut Reader<'a>) -> Result<(&'a [u8], Tlv<'a>), DerError> {
    let mut member = members.nested(tag::SEQUENCE)?;
    let type_oid = member.checked_oid()?;
    let value = member.any()?;
    member.finish()?;
    Ok((type_oid, value))
}

/// The canonical form in the making: for each RDN the number of octets that follow, then its attributes, sorted, so
/// that the order of a SET OF does not matter.
struct Canonical {
    octets: Vec<u8>,
    /// Where the open RDN begins.
    rdn: usize,
    /// Where its attributes begin.
    attributes: Vec<usize>,
}

impl Canonical {
    fn with_capacity(capacity: usize) -> Self {
        Self { octets: Vec::with_capacity(capacity.saturating_mul(2)), rdn: 0, attributes: Vec::new() }
    }

    fn begin_rdn(&mut self) {
        self.rdn = self.octets.len();
        self.octets.extend_from_slice(&[0; 4]);
        self.attributes.clear();
    }

    fn text(&mut self, type_oid: &[u8], text: &str) {
        self.attribute(type_oid, b't', |octets| strings::fold(octets, text));
    }

    fn opaque(&mut self, type_oid: &[u8], value: &[u8]) {
        self.attribute(type_oid, b'x', |octets| octets.extend_from_slice(value));
    }

    /// Length and octets of the type, a letter for the kind of value, length and octets of the value.
    fn attribute(&mut self, type_oid: &[u8], kind: u8, value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.octets.len();
        // A vector with one element allocates: only a second attribute is worth it.
        if start > self.rdn.saturating_add(4) {
            if self.attributes.is_empty() {
                self.attributes.push(self.rdn.saturating_add(4));
            }
            self.attributes.push(start);
        }
        self.prefixed(|octets| octets.extend_from_slice(type_oid));
        self.octets.push(kind);
        self.prefixed(value);
    }

    fn prefixed(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.octets.len();
        self.octets.extend_from_slice(&[0; 4]);
        write(&mut self.octets);
        self.set_length(at);
    }

    fn end_rdn(&mut self) {
        if !self.attributes.is_empty() {
            let ends = self.attributes.iter().skip(1).copied().chain([self.octets.len()]);
            let mut parts: Vec<Vec<u8>> = (self.attributes.iter().zip(ends))
                .map(|(start, end)| self.octets.get(*start..end).unwrap_or_default().to_vec())
                .collect();
            parts.sort_unstable();
            self.octets.truncate(self.rdn.saturating_add(4));
            parts.iter().for_each(|part| self.octets.extend_from_slice(part));
        }
        self.set_length(self.rdn);
    }

    /// Writes into the four octets at `at` how many follow them.
    fn set_length(&mut self, at: usize) {
        let start = at.saturating_add(4);
        let length = u32::try_from(self.octets.len().saturating_sub(start)).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(slot) = self.octets.get_mut(at..start) {
            slot.copy_from_slice(&length);
        }
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
    /// `commonName`.
    pub const COMMON_NAME: Self = Self(Oid::from_static(&[0x55, 4, 3]));

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
