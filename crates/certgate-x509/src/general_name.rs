//! GeneralName (RFC 5280 section 4.2.1.6): the forms of subject alternative names, with the user principal name of
//! Microsoft's otherName taken apart.
//!
//! Texts are checked against their ASN.1 type; the comparison decides whether a DNS name or a URI is well-formed.
//! [`super::path`] handles ranges and subtrees of name constraints.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use thiserror::Error;

use super::der::{self, DerError, Reader, tag};
use super::name::{Name, NameError, StringError};
use super::oid::Oid;

/// otherName type of the user principal name, 1.3.6.1.4.1.311.20.2.3.
pub const UPN: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 20, 2, 3];

/// otherName type of a mail address with a local part beyond ASCII (RFC 9598), 1.3.6.1.5.5.7.8.9.
pub const SMTP_UTF8_MAILBOX: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 9];

/// One name of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralName {
    /// rfc822Name.
    Email(String),
    /// dNSName.
    Dns(String),
    /// uniformResourceIdentifier.
    Uri(String),
    /// directoryName.
    DirectoryName(Name),
    /// iPAddress of 4 or 16 octets.
    Ip(IpAddr),
    /// otherName of type 1.3.6.1.4.1.311.20.2.3 with a UTF8String.
    UserPrincipalName(String),
    /// registeredID.
    RegisteredId(Oid),
    /// Any other otherName.
    Other {
        /// The type.
        type_id: Oid,
        /// The DER of the value, without the explicit tag.
        value: Bytes,
    },
    /// x400Address or ediPartyName, kept as they are.
    Unsupported {
        /// The identifier octet.
        tag: u8,
        /// The content octets.
        value: Bytes,
    },
}

/// Why bytes are not a GeneralName.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GeneralNameError {
    /// The DER is not that of a GeneralName.
    #[error("general name: {0}")]
    Der(#[from] DerError),
    /// A directoryName is malformed.
    #[error("directoryName: {0}")]
    Name(#[from] NameError),
    /// A text holds what its type forbids.
    #[error("{form}: {problem}")]
    Text {
        /// The form of the name.
        form: &'static str,
        /// What is wrong with it.
        problem: StringError,
    },
    /// A text is empty, or holds a blank or a control character, which no DNS name, mail address or URI has.
    #[error("{form} {text:?} is empty or holds a blank or control character")]
    NotAName {
        /// The form of the name.
        form: &'static str,
        /// The text.
        text: String,
    },
    /// An address has neither 4 nor 16 octets.
    #[error("iPAddress of {0} octets: want 4 or 16")]
    AddressLength(usize),
}

impl GeneralName {
    /// Reads one name; `owner` is what `reader` reads from.
    pub(crate) fn read(reader: &mut Reader<'_>, owner: &Bytes) -> Result<Self, GeneralNameError> {
        let tlv = reader.any()?;
        Ok(match tlv.tag {
            0x81 => Self::Email(text("rfc822Name", tlv.content)?),
            0x82 => Self::Dns(text("dNSName", tlv.content)?),
            0x86 => Self::Uri(text("uniformResourceIdentifier", tlv.content)?),
            0xa4 => {
                der::check(tlv.content)?;
                Self::DirectoryName(Name::from_checked(owner.slice_ref(tlv.content))?)
            }
            0x87 => Self::Ip(address(tlv.content).ok_or(GeneralNameError::AddressLength(tlv.content.len()))?),
            0x88 => {
                // The tag is implicit: the content is that of an OBJECT IDENTIFIER.
                let mut whole = Vec::with_capacity(tlv.whole.len());
                der::write(&mut whole, tag::OID, tlv.content);
                Self::RegisteredId(Oid::from_content(Reader::new(&whole).oid()?))
            }
            0xa0 => other_name(tlv.content, owner)?,
            0xa3 | 0xa5 => Self::Unsupported { tag: tlv.tag, value: owner.slice_ref(tlv.content) },
            found => return Err(DerError::UnexpectedTag { wanted: 0x82, found }.into()),
        })
    }

    /// Reads GeneralNames, the content of a SEQUENCE OF; at least one.
    pub(crate) fn read_all(content: &[u8], owner: &Bytes) -> Result<Vec<Self>, GeneralNameError> {
        let mut reader = Reader::new(content);
        let mut names = Vec::with_capacity(2);
        while !reader.is_empty() {
            names.push(Self::read(&mut reader, owner)?);
        }
        if names.is_empty() { Err(DerError::Empty.into()) } else { Ok(names) }
    }

    /// The name of the form, as RFC 5280 spells it.
    pub fn form(&self) -> &'static str {
        match self {
            Self::Email(_) => "rfc822Name",
            Self::Dns(_) => "dNSName",
            Self::Uri(_) => "uniformResourceIdentifier",
            Self::DirectoryName(_) => "directoryName",
            Self::Ip(_) => "iPAddress",
            Self::UserPrincipalName(_) => "userPrincipalName",
            Self::RegisteredId(_) => "registeredID",
            Self::Other { .. } => "otherName",
            Self::Unsupported { tag: 0xa3, .. } => "x400Address",
            Self::Unsupported { .. } => "ediPartyName",
        }
    }
}

/// The form and the value, escaped so that it holds no control character.
impl fmt::Display for GeneralName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.form())?;
        match self {
            Self::Email(text) | Self::Dns(text) | Self::Uri(text) | Self::UserPrincipalName(text) => {
                write!(f, "{}", text.escape_debug())
            }
            Self::DirectoryName(name) => name.fmt(f),
            Self::Ip(address) => address.fmt(f),
            Self::RegisteredId(oid) => oid.fmt(f),
            Self::Other { type_id, .. } => write!(f, "of type {type_id}"),
            Self::Unsupported { .. } => Ok(()),
        }
    }
}

/// otherName: the type and an explicitly tagged value.
fn other_name(content: &[u8], owner: &Bytes) -> Result<GeneralName, GeneralNameError> {
    let mut reader = Reader::new(content);
    let type_id = reader.oid()?;
    let explicit = reader.expect(tag::context_constructed(0))?;
    reader.finish()?;
    der::check(explicit.content)?;
    let value = Reader::new(explicit.content).any()?;
    if type_id == UPN && value.tag == tag::UTF8_STRING && !value.content.is_empty() {
        let form = "userPrincipalName";
        let text = std::str::from_utf8(value.content)
            .map_err(|_| GeneralNameError::Text { form, problem: StringError::NotUtf8 })?;
        if text.contains('\0') {
            return Err(GeneralNameError::Text { form, problem: StringError::Nul });
        }
        return Ok(GeneralName::UserPrincipalName(text.to_owned()));
    }
    Ok(GeneralName::Other { type_id: Oid::from_content(type_id), value: owner.slice_ref(explicit.content) })
}

/// The text of an implicitly tagged IA5String: visible ASCII, not empty.
fn text(form: &'static str, content: &[u8]) -> Result<String, GeneralNameError> {
    if content.contains(&0) {
        return Err(GeneralNameError::Text { form, problem: StringError::Nul });
    }
    let text = std::str::from_utf8(content)
        .ok()
        .filter(|text| text.is_ascii())
        .ok_or(GeneralNameError::Text { form, problem: StringError::NotAscii })?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic() || (b == b' ' && form == "rfc822Name")) {
        let text = text.chars().take(64).collect();
        return Err(GeneralNameError::NotAName { form, text });
    }
    Ok(text.to_owned())
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(octets).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    let v6 = || <[u8; 16]>::try_from(octets).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
    v4().or_else(v6)
}
