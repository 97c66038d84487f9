//! The order of the parts of a name, for detecting names in reverse order.
//!
//! RFC 4514 puts the most specific part first, a certificate the most general; OpenSSL prints names in the order of the
//! certificate. No decision uses this module.

use super::{AttributeType, Oid};

/// The RDNs of a canonical form, each with its length before it.
fn rdns(canonical: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    let mut rest = canonical;
    while let Some(length) = rest.first_chunk::<4>() {
        let end = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX).saturating_add(4);
        let Some((rdn, after)) = rest.split_at_checked(end) else { break };
        out.push(rdn);
        rest = after;
    }
    out
}

/// The canonical form of the same RDNs in reverse order.
pub(super) fn reversed(canonical: &[u8]) -> Vec<u8> {
    rdns(canonical).into_iter().rev().flatten().copied().collect()
}

/// How specific an attribute is, by its usual place in a name; the root of the directory first.
fn specificity(rdn: &[u8]) -> Option<u8> {
    let length = usize::try_from(u32::from_be_bytes(*rdn.get(4..)?.first_chunk::<4>()?)).ok()?;
    let ty = AttributeType(Oid::from_content(rdn.get(8..)?.get(..length)?));
    Some(match ty.to_string().as_str() {
        "DC" | "C" => 0,
        "ST" => 1,
        "L" | "STREET" => 2,
        "O" => 3,
        "OU" => 4,
        "CN" | "UID" | "emailAddress" | "SERIALNUMBER" => 5,
        _ => return None,
    })
}

/// Whether the name with this canonical form begins with a specific attribute, such as a CN, and ends with a general
/// one, such as a country. Its author probably wrote the general part first, but RFC 4514 requires the specific one
/// first.
pub fn looks_reversed(canonical: &[u8]) -> bool {
    let rdns = rdns(canonical);
    let ends = rdns.first().zip(rdns.last());
    let ends = ends.and_then(|(first, last)| specificity(first).zip(specificity(last)));
    ends.is_some_and(|(first, last)| first > last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    #[test]
    fn names_in_the_order_of_a_certificate_look_reversed() {
        for (text, want) in [
            ("CN=acme,O=Acme,C=DE", false),
            ("C=DE,O=Acme,CN=acme", true),
            ("C=DE, ST=Berlin, O=Acme", true),
            ("O=Acme,C=DE", false),
            ("CN=a,OU=Users,DC=example,DC=com", false),
            ("DC=com,DC=example,OU=Users,CN=a", true),
            ("OU=Sales,CN=a", true),
            ("CN=a", false),
            ("UID=7,OU=Users", false),
            ("O=Acme+CN=a,C=DE", false),
            ("O=Acme,1.2.3=#0c0161", false),
            ("DC=example,DC=com", false),
        ] {
            let name = Name::parse_rfc4514(text).unwrap();
            assert_eq!(looks_reversed(name.canonical()), want, "{text}");
        }
    }

    #[test]
    fn a_reversed_name_is_the_one_written_in_reverse() {
        let name = |text| Name::parse_rfc4514(text).unwrap();
        let rows = [("CN=a,O=b,C=DE", "C=DE,O=b,CN=a"), ("CN=a+OU=x,O=b", "O=b,OU=x+CN=a"), ("CN=a", "CN=a"), ("", "")];
        for (text, other) in rows {
            assert_eq!(name(text).reversed_canonical(), name(other).canonical(), "{text}");
        }
    }
}
