//! Object identifiers, kept as their DER content octets.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An object identifier. Compares by its encoding, which is unique in DER.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(Cow<'static, [u8]>);

/// Why a text is not an object identifier in dotted form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a dotted object identifier: want at least two arcs, the first 0 to 2, the second below 40 under 0 and 1")]
pub struct OidError;

/// The key purposes of nearly all certificates, which need no memory of their own: clientAuth and serverAuth.
const COMMON: [&[u8]; 2] = [&[0x2b, 6, 1, 5, 5, 7, 3, 2], &[0x2b, 6, 1, 5, 5, 7, 3, 1]];

impl Oid {
    /// An identifier from content octets that are known to be right.
    pub const fn from_static(content: &'static [u8]) -> Self {
        Self(Cow::Borrowed(content))
    }

    /// An identifier from content octets that [`super::der`] has checked.
    pub fn from_content(content: &[u8]) -> Self {
        match COMMON.iter().find(|common| **common == content) {
            Some(common) => Self(Cow::Borrowed(common)),
            None => Self(Cow::Owned(content.to_vec())),
        }
    }

    /// The content octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<[u8]> for Oid {
    fn eq(&self, other: &[u8]) -> bool {
        *self.0 == *other
    }
}

impl FromStr for Oid {
    type Err = OidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut arcs = text.split('.').map(|arc| {
            let canonical =
                !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()) && (arc.len() == 1 || !arc.starts_with('0'));
            if canonical { arc.parse::<u128>().map_err(|_| OidError) } else { Err(OidError) }
        });
        let first = arcs.next().ok_or(OidError)??;
        let second = arcs.next().ok_or(OidError)??;
        if first > 2 || (first < 2 && second > 39) {
            return Err(OidError);
        }
        let mut out = Vec::with_capacity(text.len());
        let head = first.saturating_mul(40).checked_add(second).ok_or(OidError)?;
        push_arc(&mut out, head);
        for arc in arcs {
            push_arc(&mut out, arc?);
        }
        Ok(Self(Cow::Owned(out)))
    }
}

fn push_arc(out: &mut Vec<u8>, arc: u128) {
    let groups = 128_u32.saturating_sub(arc.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let bits = u8::try_from((arc >> group.saturating_mul(7)) & 0x7f).unwrap_or(0);
        out.push(if group > 0 { bits | 0x80 } else { bits });
    }
}

/// Dotted decimal; an identifier with an arc beyond 126 bits prints as `#` and the hexadecimal of its content octets.
impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display_content(&self.0, f)
    }
}

fn display_content(content: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const FITS: usize = 18;
    let longest = content.split_inclusive(|octet| octet & 0x80 == 0).map(<[u8]>::len).max().unwrap_or(0);
    if longest > FITS {
        f.write_str("#")?;
        return content.iter().try_for_each(|octet| write!(f, "{octet:02x}"));
    }
    for (at, group) in content.split_inclusive(|octet| octet & 0x80 == 0).enumerate() {
        let arc = group.iter().fold(0_u128, |n, octet| (n << 7) | u128::from(octet & 0x7f));
        if at == 0 {
            let first = (arc / 40).min(2);
            write!(f, "{first}.{}", arc.saturating_sub(first.saturating_mul(40)))?;
        } else {
            write!(f, ".{arc}")?;
        }
    }
    Ok(())
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_form_round_trips() {
        for text in ["0.0", "1.3.6.1.4.1.311.20.2.3", "2.5.4.3", "2.999.1", "2.16.840.1.101.3.2.1.48.1", "1.39.0"] {
            assert_eq!(text.parse::<Oid>().unwrap().to_string(), text);
        }
        assert_eq!("2.5.4.3".parse::<Oid>().unwrap().as_bytes(), &[0x55, 4, 3]);
    }

    #[test]
    fn arcs_of_every_size() {
        for text in ["0.39", "1.0", "2.0", "2.39", "2.40", "2.47", "2.48", "2.175", "2.176"] {
            assert_eq!(text.parse::<Oid>().unwrap().to_string(), text);
        }
        for bits in 0..126 {
            for arc in [1_u128 << bits, (1 << bits) - 1, (1 << bits) + 1] {
                let text = format!("1.2.{arc}.3");
                assert_eq!(text.parse::<Oid>().unwrap().to_string(), text);
            }
        }
        let octets = |text: &str| text.parse::<Oid>().unwrap().as_bytes().to_vec();
        assert_eq!(octets("2.48"), [0x81, 0]);
        assert_eq!(octets("1.2.128.0.127"), [0x2a, 0x81, 0, 0, 0x7f]);
        let beyond: Oid = format!("1.2.{}", 1_u128 << 126).parse().unwrap();
        assert_eq!(beyond.to_string(), format!("#2a81{}00", "80".repeat(17)));
        assert!(format!("2.{}", u128::MAX - 80).parse::<Oid>().is_ok());
        assert_eq!(format!("2.{}", u128::MAX - 79).parse::<Oid>(), Err(OidError));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "1", "3.1", "1.40", "0.40", "1..2", "1.2.", ".1.2", "1.02", "1.-2", "1.+2", "a.b", "1.2 "] {
            assert_eq!(text.parse::<Oid>(), Err(OidError), "{text}");
        }
    }
}
