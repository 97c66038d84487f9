//! Why certificates are revoked: the reason of an entry, and the sets of reasons that CRLs and distribution points
//! are limited to.

use std::fmt;

use crate::der::{self, DerError};

/// CRLReason (RFC 5280 section 5.3.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 5280")]
pub enum CrlReason {
    Unspecified,
    KeyCompromise,
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    CertificateHold,
    RemoveFromCrl,
    PrivilegeWithdrawn,
    AaCompromise,
}

const ALL: [(u8, CrlReason, &str); 10] = [
    (0, CrlReason::Unspecified, "unspecified"),
    (1, CrlReason::KeyCompromise, "keyCompromise"),
    (2, CrlReason::CaCompromise, "cACompromise"),
    (3, CrlReason::AffiliationChanged, "affiliationChanged"),
    (4, CrlReason::Superseded, "superseded"),
    (5, CrlReason::CessationOfOperation, "cessationOfOperation"),
    (6, CrlReason::CertificateHold, "certificateHold"),
    (8, CrlReason::RemoveFromCrl, "removeFromCRL"),
    (9, CrlReason::PrivilegeWithdrawn, "privilegeWithdrawn"),
    (10, CrlReason::AaCompromise, "aACompromise"),
];

/// The nibble for an absent reason.
const ABSENT: u8 = 0x0f;

impl CrlReason {
    /// The reason of an ENUMERATED value; 7 and everything above 10 is not one.
    pub fn from_code(code: u8) -> Option<Self> {
        ALL.iter().find(|(known, ..)| *known == code).map(|(_, reason, _)| *reason)
    }

    fn code(self) -> u8 {
        ALL.iter().find(|(_, reason, _)| *reason == self).map_or(0, |(code, ..)| *code)
    }

    /// Four bits for an entry's reason.
    pub(super) fn to_nibble(reason: Option<Self>) -> u8 {
        reason.map_or(ABSENT, Self::code)
    }

    /// The inverse of [`CrlReason::to_nibble`].
    pub(super) fn from_nibble(nibble: u8) -> Option<Self> {
        Self::from_code(nibble)
    }
}

/// The name of RFC 5280.
impl fmt::Display for CrlReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALL.iter().find(|(_, reason, _)| reason == self).map_or("", |(.., name)| name))
    }
}

/// A set of ReasonFlags (RFC 5280 section 4.2.1.13).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ReasonFlags(u16);

impl ReasonFlags {
    /// No reason.
    pub const NONE: Self = Self(0);

    /// Every reason: bits 1 (keyCompromise) to 8 (aACompromise); bit 0 is unused.
    pub const ALL: Self = Self(0x01fe);

    /// Reads the content of a BIT STRING.
    pub(super) fn from_bit_string(content: &[u8]) -> Result<Self, DerError> {
        let word = der::named_bits(content)?;
        let mut set = 0_u16;
        for bit in 1..=8_u16 {
            if word.checked_shl(u32::from(bit)).is_some_and(|shifted| shifted & 0x8000_0000 != 0) {
                set |= 1_u16.checked_shl(u32::from(bit)).unwrap_or(0);
            }
        }
        Ok(Self(set))
    }

    /// The intersection.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The union.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The difference.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether an entry with `reason` concerns a reason in this set. An entry without a reason, or with `unspecified`,
    /// may concern any.
    pub fn concern(self, reason: Option<CrlReason>) -> bool {
        match reason {
            None | Some(CrlReason::Unspecified | CrlReason::RemoveFromCrl) => !self.is_empty(),
            // The flags have the numbers of the reasons, except for the two after the gap at 7.
            Some(CrlReason::PrivilegeWithdrawn) => self.0 & 0x80 != 0,
            Some(CrlReason::AaCompromise) => self.0 & 0x100 != 0,
            Some(other) => 1_u16.checked_shl(u32::from(other.code())).is_some_and(|bit| self.0 & bit != 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nibbles_round_trip() {
        for (code, reason, name) in ALL {
            assert_eq!(CrlReason::from_nibble(CrlReason::to_nibble(Some(reason))), Some(reason), "{name}");
            assert_eq!(CrlReason::from_code(code), Some(reason));
            assert_eq!(reason.to_string(), name);
        }
        assert_eq!(CrlReason::from_nibble(CrlReason::to_nibble(None)), None);
        assert_eq!(CrlReason::from_code(7), None);
        assert_eq!(CrlReason::from_code(11), None);
    }

    #[test]
    fn flags_meet_their_reasons() {
        // keyCompromise and cACompromise; privilegeWithdrawn and aACompromise.
        let first = ReasonFlags::from_bit_string(&[5, 0b0110_0000]).unwrap();
        let last = ReasonFlags::from_bit_string(&[7, 0b0000_0001, 0b1000_0000]).unwrap();
        let rows = [
            (CrlReason::KeyCompromise, true, false),
            (CrlReason::CaCompromise, true, false),
            (CrlReason::CertificateHold, false, false),
            (CrlReason::PrivilegeWithdrawn, false, true),
            (CrlReason::AaCompromise, false, true),
            (CrlReason::Unspecified, true, true),
        ];
        for (reason, in_first, in_last) in rows {
            assert_eq!(first.concern(Some(reason)), in_first, "{reason}");
            assert_eq!(last.concern(Some(reason)), in_last, "{reason}");
        }
        assert!(!ReasonFlags::NONE.concern(None));
        let all = ReasonFlags::from_bit_string(&[7, 0b0111_1111, 0b1000_0000]).unwrap();
        assert_eq!(all, ReasonFlags::ALL);
    }
}
