//! The nameConstraints extension (RFC 5280 section 4.2.1.10). Path validation applies it to names.

use std::net::IpAddr;

use bytes::Bytes;

use crate::der::{self, DerError, Reader, tag};
use crate::general_name::{GeneralNameError, UPN};
use crate::name::{Name, StringError};
use crate::oid::Oid;

use super::error::ExtensionProblem;

/// The nameConstraints extension.
#[derive(Clone, Debug)]
pub struct NameConstraints {
    permitted: Box<[Subtree]>,
    excluded: Box<[Subtree]>,
    /// The additional comparisons for long subtrees.
    length_cost: usize,
}

/// Octets of a name or subtree that count as one more comparison.
const OCTETS_PER_COMPARISON: usize = 32;

/// The additional comparisons for a name or subtree of this many octets.
pub(crate) fn octets_in_comparisons(octets: usize) -> usize {
    octets.checked_div(OCTETS_PER_COMPARISON).unwrap_or(0)
}

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
        /// The address, with the bits beyond the prefix unchanged.
        address: IpAddr,
        /// How many leading bits count.
        prefix: u8,
    },
    /// A user principal name, or every one of a domain.
    UserPrincipalName(String),
    /// An otherName of a type that cannot be compared.
    OtherName(Oid),
    /// A form that cannot be compared, by its tag.
    Unsupported(u8),
}

impl NameConstraints {
    /// Parses the value of the extension, whose DER was checked.
    pub(crate) fn parse(value: &[u8], owner: &Bytes) -> Result<Self, ExtensionProblem> {
        let mut reader = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
        let mut subtrees = |n: u8| -> Result<Box<[Subtree]>, ExtensionProblem> {
            let Some(list) = reader.optional(tag::context_constructed(n))? else { return Ok(Box::default()) };
            let mut list = Reader::new(list.content);
            let mut out = Vec::new();
            while !list.is_empty() {
                let mut subtree = list.nested(tag::SEQUENCE)?;
                out.push(Subtree::read(&mut subtree, owner)?);
                // RFC 5280 4.2.1.10: minimum is zero (and so not encoded), maximum absent. A certificate with other
                // values is rejected, since no verifier processes them.
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
        let costs = permitted.iter().chain(excluded.iter()).map(|base| octets_in_comparisons(base.octets()));
        let length_cost = costs.fold(0, usize::saturating_add);
        Ok(Self { permitted, excluded, length_cost })
    }

    /// permittedSubtrees: a name of a form that has permitted subtrees must be in one of them.
    pub fn permitted(&self) -> &[Subtree] {
        &self.permitted
    }

    /// excludedSubtrees: a name must be in none of them.
    pub fn excluded(&self) -> &[Subtree] {
        &self.excluded
    }

    /// The additional comparisons for a name with every subtree, because subtrees are long.
    pub(crate) fn length_cost(&self) -> usize {
        self.length_cost
    }
}

impl Subtree {
    /// Its length.
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

/// RFC 5280 4.2.1.10: an address and a mask in the style of RFC 4632, whose ones are all at the front.
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
