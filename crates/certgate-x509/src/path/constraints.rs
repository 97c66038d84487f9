//! Name constraints (RFC 5280 sections 4.2.1.10 and 6.1.3 (b), (c)): the extension, and its application to the names
//! of a certificate. How one name compares with one subtree is [`super::names`].
//!
//! A form that is constrained and cannot be compared refuses, whether the extension is critical or not: forms without
//! a comparison (x400Address, ediPartyName, registeredID, otherName other than the user principal name), malformed
//! names, malformed subtrees.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;

use crate::certificate::{Certificate, ExtensionProblem};
use crate::der::{self, DerError, Reader, tag};
use crate::general_name::{GeneralName, GeneralNameError, SMTP_UTF8_MAILBOX, UPN};
use crate::name::{AttributeType, Name, StringError};
use crate::oid::Oid;

use super::PathError;
use super::budget::Budget;
use super::names::{self, Comparison, Direction};

/// The nameConstraints extension.
#[derive(Clone, Debug)]
pub struct NameConstraints {
    permitted: Box<[Subtree]>,
    excluded: Box<[Subtree]>,
    /// What comparing all subtrees with a short name costs.
    cost: usize,
}

/// Octets of a name or subtree beyond which a comparison counts as one more.
const OCTETS: usize = 32;

/// The base of one subtree.
#[derive(Clone, Debug)]
pub enum Subtree {
    /// A mailbox, all mailboxes of a host, or of every host below a domain.
    Email(String),
    /// A host and everything below it.
    Dns(String),
    /// A host, or every host below a domain.
    Uri(String),
    /// A name and everything below it.
    DirectoryName(Name),
    /// An address range.
    Ip {
        /// The address, with the bits beyond the prefix as they came.
        address: IpAddr,
        /// How many leading bits count.
        prefix: u8,
    },
    /// A user principal name, or every one of a domain.
    UserPrincipalName(String),
    /// An otherName of a type that is not compared.
    OtherName(Oid),
    /// A form that is not compared, by its tag.
    Unsupported(u8),
}

impl NameConstraints {
    /// Parses the value of the extension, whose DER has been walked.
    pub(crate) fn parse(value: &[u8], owner: &Bytes) -> Result<Self, ExtensionProblem> {
        let mut reader = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
        let mut subtrees = |n: u8| -> Result<Box<[Subtree]>, ExtensionProblem> {
            let Some(list) = reader.optional(tag::context_constructed(n))? else { return Ok(Box::default()) };
            let mut list = Reader::new(list.content);
            let mut out = Vec::new();
            while !list.is_empty() {
                let mut subtree = list.nested(tag::SEQUENCE)?;
                out.push(Subtree::read(&mut subtree, owner)?);
                // RFC 5280 4.2.1.10: minimum is zero (and so not encoded), maximum absent; a certificate with other
                // values is refused, since nobody processes them.
                if !subtree.is_empty() {
                    return Err(ExtensionProblem::SubtreeDistance);
                }
            }
            if out.is_empty() { Err(DerError::Empty.into()) } else { Ok(out.into()) }
        };
        let permitted = subtrees(0)?;
        let excluded = subtrees(1)?;
        reader.finish()?;
        // RFC 5280 4.2.1.10: not an empty sequence.
        if permitted.is_empty() && excluded.is_empty() {
            return Err(DerError::Empty.into());
        }
        let cost = permitted.iter().chain(excluded.iter()).map(|base| length_cost(base.octets()).saturating_add(1));
        let cost = cost.fold(0, usize::saturating_add);
        Ok(Self { permitted, excluded, cost })
    }

    /// What names may be in, form by form.
    pub fn permitted(&self) -> &[Subtree] {
        &self.permitted
    }

    /// What names may not be in.
    pub fn excluded(&self) -> &[Subtree] {
        &self.excluded
    }

    /// Checks every name of `certificate` against these constraints of `constrainer`.
    pub(super) fn check(
        &self,
        certificate: &Certificate,
        constrainer: &Certificate,
        budget: &Budget,
    ) -> Result<(), PathError> {
        let subject = certificate.subject();
        if !subject.is_empty() {
            self.check_name(Constrained::Directory(subject), constrainer, budget)?;
        }
        // RFC 5280 4.2.1.10 asks for this only where subjectAltName is absent. It is done always: mappings may read
        // the attribute, whatever else is in the certificate.
        for mail in subject.values(&AttributeType::EMAIL_ADDRESS) {
            self.check_name(Constrained::Email(mail), constrainer, budget)?;
        }
        for name in certificate.subject_alt_names() {
            let constrained = match name {
                GeneralName::Email(mail) => Constrained::Email(mail),
                GeneralName::Dns(name) => Constrained::Dns(name),
                GeneralName::Uri(uri) => Constrained::Uri(uri),
                GeneralName::DirectoryName(name) => Constrained::Directory(name),
                GeneralName::Ip(address) => Constrained::Ip(*address),
                GeneralName::UserPrincipalName(name) => Constrained::UserPrincipalName(name),
                GeneralName::Other { type_id, .. } => Constrained::Other(type_id),
                GeneralName::RegisteredId(_) => Constrained::Form(0x88),
                GeneralName::Unsupported { tag, .. } => Constrained::Form(*tag),
            };
            self.check_name(constrained, constrainer, budget)?;
        }
        Ok(())
    }

    /// 6.1.3 (b): within one of the permitted subtrees of the name's form, when there are any; (c): within no excluded
    /// one.
    fn check_name(&self, name: Constrained<'_>, constrainer: &Certificate, budget: &Budget) -> Result<(), PathError> {
        let of = || constrainer.subject().to_rfc4514();
        let subtrees = self.permitted.len().saturating_add(self.excluded.len());
        budget.compare(subtrees.saturating_mul(length_cost(name.octets())).saturating_add(self.cost))?;
        let unsupported =
            |problem| PathError::ConstraintUnsupported { name: name.to_string(), constrainer: of(), problem };
        let (mut constrained, mut inside) = (false, false);
        for subtree in &self.permitted {
            match name.compare(subtree, Direction::Permitted) {
                None => {}
                Some(Comparison::Inside) => (constrained, inside) = (true, true),
                Some(Comparison::Outside) => constrained = true,
                Some(Comparison::Unsupported(problem)) => return Err(unsupported(problem)),
            }
        }
        if constrained && !inside {
            return Err(PathError::NotPermitted { name: name.to_string(), constrainer: of() });
        }
        for subtree in &self.excluded {
            match name.compare(subtree, Direction::Excluded) {
                None | Some(Comparison::Outside) => {}
                Some(Comparison::Inside) => {
                    return Err(PathError::Excluded { name: name.to_string(), constrainer: of() });
                }
                Some(Comparison::Unsupported(problem)) => return Err(unsupported(problem)),
            }
        }
        Ok(())
    }
}

/// A name of a certificate, by its form.
#[derive(Copy, Clone)]
enum Constrained<'a> {
    Email(&'a str),
    Dns(&'a str),
    Uri(&'a str),
    Directory(&'a Name),
    Ip(IpAddr),
    UserPrincipalName(&'a str),
    Other(&'a Oid),
    /// x400Address, ediPartyName or registeredID, by its tag.
    Form(u8),
}

/// What a name of so many octets adds to each of its comparisons.
fn length_cost(octets: usize) -> usize {
    octets.checked_div(OCTETS).unwrap_or(0)
}

impl Constrained<'_> {
    /// How long it is.
    fn octets(self) -> usize {
        match self {
            Self::Email(text) | Self::Dns(text) | Self::Uri(text) | Self::UserPrincipalName(text) => text.len(),
            Self::Directory(name) => name.der().len(),
            Self::Other(type_id) => type_id.as_bytes().len(),
            Self::Ip(_) | Self::Form(_) => 0,
        }
    }

    /// `None`: the subtree is of another form and says nothing about this name.
    fn compare(self, subtree: &Subtree, direction: Direction) -> Option<Comparison> {
        const NO_COMPARISON: Comparison = Comparison::Unsupported("names of this form are not compared");
        match (self, subtree) {
            (Self::Email(name), Subtree::Email(base)) => Some(names::email(name, base, direction)),
            (Self::Dns(name), Subtree::Dns(base)) => Some(names::dns(name, base, direction)),
            (Self::Uri(name), Subtree::Uri(base)) => Some(names::uri(name, base, direction)),
            (Self::Directory(name), Subtree::DirectoryName(base)) => {
                Some(if name.is_within(base) { Comparison::Inside } else { Comparison::Outside })
            }
            (Self::Ip(name), Subtree::Ip { address, prefix }) => Some(names::address(name, *address, *prefix)),
            (Self::UserPrincipalName(name), Subtree::UserPrincipalName(base)) => {
                Some(names::user_principal_name(name, base, direction))
            }
            (Self::UserPrincipalName(_), Subtree::OtherName(base)) if *base == *UPN => Some(NO_COMPARISON),
            (Self::Other(type_id), Subtree::UserPrincipalName(_)) if *type_id == *UPN => Some(NO_COMPARISON),
            (Self::Other(type_id), Subtree::OtherName(base)) if type_id == base => Some(NO_COMPARISON),
            // RFC 9598 section 6: mail constraints cover it.
            (Self::Other(type_id), Subtree::Email(_)) if *type_id == *SMTP_UTF8_MAILBOX => Some(NO_COMPARISON),
            (Self::Form(form), Subtree::Unsupported(base)) if form == *base => Some(NO_COMPARISON),
            _ => None,
        }
    }
}

impl fmt::Display for Constrained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(text) => write!(f, "rfc822Name {}", text.escape_debug()),
            Self::Dns(text) => write!(f, "dNSName {}", text.escape_debug()),
            Self::Uri(text) => write!(f, "URI {}", text.escape_debug()),
            Self::Directory(name) => write!(f, "directoryName {name}"),
            Self::Ip(address) => write!(f, "iPAddress {address}"),
            Self::UserPrincipalName(text) => write!(f, "userPrincipalName {}", text.escape_debug()),
            Self::Other(type_id) => write!(f, "otherName of type {type_id}"),
            Self::Form(0x88) => f.write_str("registeredID"),
            Self::Form(0xa3) => f.write_str("x400Address"),
            Self::Form(_) => f.write_str("ediPartyName"),
        }
    }
}

impl Subtree {
    /// How long it is.
    fn octets(&self) -> usize {
        match self {
            Self::Email(text) | Self::Dns(text) | Self::Uri(text) | Self::UserPrincipalName(text) => text.len(),
            Self::DirectoryName(name) => name.der().len(),
            Self::OtherName(type_id) => type_id.as_bytes().len(),
            Self::Ip { .. } | Self::Unsupported(_) => 0,
        }
    }

    fn read(reader: &mut Reader<'_>, owner: &Bytes) -> Result<Self, ExtensionProblem> {
        let tlv = reader.any()?;
        Ok(match tlv.tag {
            0x81 => Self::Email(text("rfc822Name", tlv.content)?),
            0x82 => Self::Dns(text("dNSName", tlv.content)?),
            0x86 => Self::Uri(text("uniformResourceIdentifier", tlv.content)?),
            0xa4 => {
                Self::DirectoryName(Name::from_checked(owner.slice_ref(tlv.content)).map_err(GeneralNameError::from)?)
            }
            0x87 => range(tlv.content)?,
            0xa0 => other_name(tlv.content)?,
            0xa3 | 0xa5 | 0x88 => Self::Unsupported(tlv.tag),
            found => return Err(DerError::UnexpectedTag { wanted: 0x82, found }.into()),
        })
    }
}

fn text(form: &'static str, content: &[u8]) -> Result<String, ExtensionProblem> {
    let problem = |problem| ExtensionProblem::GeneralName(GeneralNameError::Text { form, problem });
    match std::str::from_utf8(content) {
        Ok(text) if text.contains('\0') => Err(problem(StringError::Nul)),
        Ok(text) if text.is_ascii() => Ok(text.to_owned()),
        _ => Err(problem(StringError::NotAscii)),
    }
}

/// RFC 5280 4.2.1.10: an address and a mask in the style of RFC 4632, whose ones all stand at the front.
fn range(content: &[u8]) -> Result<Subtree, ExtensionProblem> {
    let (address, mask) = match content.len() {
        8 | 32 => content.split_at_checked(content.len() >> 1).unwrap_or_default(),
        other => return Err(ExtensionProblem::AddressRange(other)),
    };
    let wide = |octets: &[u8]| octets.iter().fold(0_u128, |n, octet| (n << 8) | u128::from(*octet));
    let unused = 128_u32.saturating_sub(u32::try_from(mask.len()).unwrap_or(0).saturating_mul(8));
    let mask = wide(mask).checked_shl(unused).unwrap_or(0);
    let prefix = mask.leading_ones();
    if mask.checked_shl(prefix).unwrap_or(0) != 0 {
        return Err(ExtensionProblem::AddressMask);
    }
    let address = <[u8; 4]>::try_from(address)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(address).map(IpAddr::from))
        .map_err(|_| ExtensionProblem::AddressRange(content.len()))?;
    Ok(Subtree::Ip { address, prefix: u8::try_from(prefix).unwrap_or(128) })
}

fn other_name(content: &[u8]) -> Result<Subtree, ExtensionProblem> {
    let mut reader = Reader::new(content);
    let type_id = reader.oid()?;
    let explicit = reader.expect(tag::context_constructed(0))?;
    reader.finish()?;
    let value = Reader::new(explicit.content).any()?;
    if type_id == UPN && value.tag == tag::UTF8_STRING {
        let form = "userPrincipalName";
        let problem = |problem| ExtensionProblem::GeneralName(GeneralNameError::Text { form, problem });
        let text = std::str::from_utf8(value.content).map_err(|_| problem(StringError::NotUtf8))?;
        return if text.contains('\0') {
            Err(problem(StringError::Nul))
        } else {
            Ok(Subtree::UserPrincipalName(text.to_owned()))
        };
    }
    Ok(Subtree::OtherName(Oid::from_content(type_id)))
}
