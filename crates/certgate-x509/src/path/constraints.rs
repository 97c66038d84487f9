//! Name constraints (RFC 5280 section 6.1.3 (b), (c)) applied to the names of a certificate. [`super::names`] compares
//! one name with one subtree.
//!
//! A constrained form that cannot be compared is rejected, whether the extension is critical or not: forms without a
//! comparison (x400Address, ediPartyName, registeredID, otherName other than the user principal name), malformed names,
//! malformed subtrees.

use std::fmt;
use std::net::IpAddr;

use crate::certificate::{Certificate, NameConstraints, Subtree, octets_in_comparisons};
use crate::general_name::{GeneralName, SMTP_UTF8_MAILBOX, UPN};
use crate::name::{AttributeType, Name};
use crate::oid::Oid;

use super::PathError;
use super::budget::Budget;
use super::names::{self, Comparison, Direction};

/// Checks every name of `certificate` against these constraints of `constrainer`.
pub(super) fn check(
    constraints: &NameConstraints,
    certificate: &Certificate,
    constrainer: &Certificate,
    budget: &Budget,
) -> Result<(), PathError> {
    let subject = certificate.subject();
    if !subject.is_empty() {
        check_name(constraints, Constrained::Directory(subject), constrainer, budget)?;
    }
    // RFC 5280 4.2.1.10 requires this only if subjectAltName is absent. It is always done: mappings may read the
    // attribute, regardless of the other names in the certificate.
    for mail in subject.values(&AttributeType::EMAIL_ADDRESS) {
        check_name(constraints, Constrained::Email(mail), constrainer, budget)?;
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
        check_name(constraints, constrained, constrainer, budget)?;
    }
    Ok(())
}

/// 6.1.3 (b): within one of the permitted subtrees of the name's form, when there are any; (c): within no excluded
/// one.
fn check_name(
    constraints: &NameConstraints,
    name: Constrained<'_>,
    constrainer: &Certificate,
    budget: &Budget,
) -> Result<(), PathError> {
    let of = || constrainer.subject().to_rfc4514();
    let subtrees = constraints.permitted().len().saturating_add(constraints.excluded().len());
    let each = octets_in_comparisons(name.octets()).saturating_add(1);
    budget.compare(subtrees.saturating_mul(each).saturating_add(constraints.length_cost()))?;
    let unsupported = |problem| PathError::ConstraintUnsupported { name: name.to_string(), constrainer: of(), problem };
    let (mut constrained, mut inside) = (false, false);
    for subtree in constraints.permitted() {
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
    for subtree in constraints.excluded() {
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

impl Constrained<'_> {
    /// Its length.
    fn octets(self) -> usize {
        match self {
            Self::Email(text) | Self::Dns(text) | Self::Uri(text) | Self::UserPrincipalName(text) => text.len(),
            Self::Directory(name) => name.der().len(),
            Self::Other(type_id) => type_id.as_bytes().len(),
            Self::Ip(_) | Self::Form(_) => 0,
        }
    }

    /// `None`: the subtree has another form and does not apply to this name.
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
