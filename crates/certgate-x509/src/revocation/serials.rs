//! Revoked serial numbers, kept compactly: the table behind a CRL's look-up.
//!
//! A million entries with serial numbers of 20 octets take 23 octets each. A look-up touches two or three cache lines.
//! Neither depends on how the CA chooses its numbers.
//!
//! A key has 24 octets: the number of the certificate issuer and the serial number with leading zeros. A bijection
//! mixes its last four octets, the tail, with the others, the head, so that tails spread evenly for any numbers. The
//! leading bits of the mixed tail select a bucket and are not stored. The remaining bits are packed next to those of
//! the neighbours: for a number that is not listed, two look-ups in two megabytes nearly always suffice. Heads, without
//! the leading zeros that all keys of a list share, and dates are stored separately. Each bucket is sorted, so even a
//! list made to fall into one bucket costs only a binary search.
//!
//! [`records`] collects entries as they arrive and builds the table.

mod records;

use std::cmp::Ordering;
use std::ops::Range;

use crate::limits::MAX_SERIAL_NUMBER;
use crate::time::UnixTime;

use super::reason::CrlReason;

pub(super) use records::{Duplicate, Records};

/// Octets of a key that are mixed.
const TAIL_OCTETS: usize = 4;

/// Octets of a key before its tail: the issuer's number and the most of a serial number of 20 octets.
const HEAD_OCTETS: usize = 20;

/// Octets of a key.
const KEY_OCTETS: usize = HEAD_OCTETS + TAIL_OCTETS;

/// Octets of the number of a certificate issuer.
const ISSUER_OCTETS: usize = 4;

/// Octets of a revocation date.
const DATE_OCTETS: usize = 4;

/// Records in a bucket, on average at most.
const RECORDS_PER_BUCKET: usize = 8;

/// The most records that a look-up compares all at once, without branches, instead of searching.
const MAX_COUNTED_RECORDS: usize = 64;

/// The most records of one remainder that are tried one by one before a search.
const MAX_PASSED_RECORDS: usize = 8;

/// The entry of a CRL for a certificate that it lists.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RevocationEntry {
    /// When the certificate was revoked. Dates before 1970 and after 2106 are stored as the nearest of these.
    pub date: UnixTime,
    /// The reason, if the CRL gives one.
    pub reason: Option<CrlReason>,
}

/// The content of an INTEGER in the form of certificates' serial numbers, without a sign octet; `None` for one that no
/// certificate has: negative, or too long.
pub(super) fn magnitude(content: &[u8]) -> Option<&[u8]> {
    match content {
        [first, ..] if *first >= 0x80 => None,
        content if content.len() > MAX_SERIAL_NUMBER => None,
        [0, magnitude @ ..] => Some(magnitude),
        magnitude => Some(magnitude),
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Serials {
    layout: Layout,
    /// Where each bucket begins, in records, and the number of records.
    starts: Box<[u32]>,
    /// The remainder of each mixed tail.
    remainders: Remainders,
    /// Records of `layout.stride()` octets: the head of the key, then the date.
    records: Box<[u8]>,
    /// Two reasons to an octet, the even record's in the low half.
    reasons: Box<[u8]>,
}

/// How much of a key is stored.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Layout {
    /// Leading bits of the mixed tail that choose the bucket.
    bits: u32,
    /// Octets of a head; those before them are zero in every key.
    head: usize,
}

impl Layout {
    fn new(count: usize, head: usize) -> Self {
        let bits =
            count.div_ceil(RECORDS_PER_BUCKET).checked_next_power_of_two().map_or(0, usize::trailing_zeros).min(28);
        Self { bits, head: head.min(HEAD_OCTETS) }
    }

    /// Octets of a record.
    #[inline]
    fn stride(self) -> usize {
        self.head.saturating_add(DATE_OCTETS)
    }

    /// The bucket of a key.
    #[inline]
    fn bucket(self, key: &SerialKey) -> usize {
        let bucket = key.mixed.checked_shr(32_u32.saturating_sub(self.bits)).unwrap_or(0);
        usize::try_from(bucket).unwrap_or(usize::MAX)
    }

    /// The remainder of a key's mixed tail.
    #[inline]
    fn rest(self, key: &SerialKey) -> u32 {
        key.mixed & u32::MAX.checked_shr(self.bits).unwrap_or(0)
    }

    /// The stored part of a key's head; `None` if no key of this layout has such a head.
    #[inline]
    fn head(self, key: &SerialKey) -> Option<&[u8]> {
        let (zeros, head) = key.head.split_at_checked(HEAD_OCTETS.checked_sub(self.head)?)?;
        zeros.iter().all(|octet| *octet == 0).then_some(head)
    }
}

/// A certificate's key.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SerialKey {
    mixed: u32,
    head: [u8; HEAD_OCTETS],
}

impl SerialKey {
    /// `None` for serial numbers that no certificate has.
    #[inline]
    fn new(issuer: u32, serial: &[u8]) -> Option<Self> {
        let mut octets = [0_u8; KEY_OCTETS];
        let (number, room) = octets.split_first_chunk_mut::<ISSUER_OCTETS>()?;
        *number = issuer.to_be_bytes();
        let start = room.len().checked_sub(serial.len())?;
        room.get_mut(start..)?.copy_from_slice(serial);
        let (head, tail) = octets.split_first_chunk::<HEAD_OCTETS>()?;
        let tail = u32::from_be_bytes(*tail.first_chunk::<TAIL_OCTETS>()?);
        Some(Self { mixed: mix(tail ^ fold(head)), head: *head })
    }

    /// The serial number, without leading zero octets.
    fn serial(&self) -> Vec<u8> {
        let tail = unmix(self.mixed) ^ fold(&self.head);
        let octets = self.head.iter().skip(ISSUER_OCTETS).copied().chain(tail.to_be_bytes());
        octets.skip_while(|octet| *octet == 0).collect()
    }
}

/// An odd number whose bits look random.
const ODD: u32 = 0x9e37_79b1;

/// A bijection on 32 bits whose leading bits depend on all of `x`.
#[inline]
fn mix(x: u32) -> u32 {
    let x = x.wrapping_mul(ODD);
    let x = x ^ (x >> 15);
    x.wrapping_mul(ODD)
}

/// The inverse of [`mix`].
fn unmix(mixed: u32) -> u32 {
    // The inverse of the factor modulo 2^32, by Newton's method.
    let inverse = (0..5).fold(1_u32, |x, _| x.wrapping_mul(2_u32.wrapping_sub(ODD.wrapping_mul(x))));
    let x = mixed.wrapping_mul(inverse);
    (x ^ (x >> 15) ^ (x >> 30)).wrapping_mul(inverse)
}

/// 32 bits of a head of a key. Any function would be right; this one spreads.
#[inline]
fn fold(head: &[u8; HEAD_OCTETS]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |state: u64, word: u64| {
        let state = (state ^ word).wrapping_mul(ODD);
        state ^ (state >> 32)
    };
    let (words, last) = head.as_chunks::<8>();
    let state = words.iter().fold(0_u64, |state, word| step(state, u64::from_le_bytes(*word)));
    let last = last.iter().fold(0_u64, |word, octet| (word << 8) | u64::from(*octet));
    u32::try_from(step(state, last) >> 32).unwrap_or(0)
}

/// The remainders of the mixed tails, in as few octets as possible.
#[derive(Debug)]
enum Remainders {
    /// At most 16 bits each, as in a list of about half a million entries or more.
    Short(Box<[u16]>),
    /// More than 16 bits.
    Long(Box<[u32]>),
}

impl Remainders {
    fn new(bits: u32, all: Vec<u32>) -> Self {
        if bits < 16 {
            return Self::Long(all.into());
        }
        // The leading bits, 16 of them at least, are the bucket's.
        Self::Short(all.into_iter().map(|rest| u16::try_from(rest).unwrap_or(u16::MAX)).collect())
    }

    fn get(&self, at: usize) -> Option<u32> {
        match self {
            Self::Short(all) => all.get(at).copied().map(u32::from),
            Self::Long(all) => all.get(at).copied(),
        }
    }

    /// How many of a range are below `rest`.
    #[inline]
    fn below(&self, range: Range<usize>, rest: u32) -> usize {
        match self {
            Self::Short(all) => {
                let rest = u16::try_from(rest).unwrap_or(u16::MAX);
                let found = all.get(range).unwrap_or_default().iter();
                usize::from(found.fold(0_u16, |count, one| count.wrapping_add(u16::from(*one < rest))))
            }
            Self::Long(all) => {
                let found = all.get(range).unwrap_or_default().iter();
                let count = found.fold(0_u32, |count, one| count.wrapping_add(u32::from(*one < rest)));
                usize::try_from(count).unwrap_or(0)
            }
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Short(all) => std::mem::size_of_val(&**all),
            Self::Long(all) => std::mem::size_of_val(&**all),
        }
    }
}

impl Serials {
    /// Entries in the table.
    pub(super) fn len(&self) -> usize {
        self.records.len().checked_div(self.layout.stride()).unwrap_or(0)
    }

    /// Octets that the table keeps.
    pub(super) fn memory(&self) -> usize {
        let starts = std::mem::size_of_val(&*self.starts);
        let records = self.remainders.memory().saturating_add(self.records.len());
        records.saturating_add(self.reasons.len()).saturating_add(starts)
    }

    /// The entry of a serial number, given as a magnitude without leading zero octets.
    #[inline]
    pub(super) fn get(&self, issuer: u32, serial: &[u8]) -> Option<RevocationEntry> {
        let key = SerialKey::new(issuer, serial)?;
        let wanted = self.layout.head(&key)?;
        let (bucket, rest) = (self.layout.bucket(&key), self.layout.rest(&key));
        let start = usize::try_from(*self.starts.get(bucket)?).ok()?;
        let end = usize::try_from(*self.starts.get(bucket.saturating_add(1))?).ok()?;
        let mut at = self.first_at_least(rest, start, end);
        // Equal remainders are rare unless a list was made for that; such records are still sorted.
        if at.saturating_add(MAX_PASSED_RECORDS) < end
            && self.remainder(at.saturating_add(MAX_PASSED_RECORDS)) == Some(rest)
        {
            at = partition(at, end, |at| {
                let key = (self.remainder(at), self.record(at).map(|(head, _)| head));
                key < (Some(rest), Some(wanted))
            });
        }
        while at < end && self.remainder(at) == Some(rest) {
            let (head, date) = self.record(at)?;
            match head.cmp(wanted) {
                Ordering::Less => at = at.saturating_add(1),
                Ordering::Greater => return None,
                Ordering::Equal => {
                    let date = UnixTime::from_secs(i64::from(u32::from_be_bytes(date.try_into().ok()?)));
                    let reason = self.reasons.get(at >> 1)?.checked_shr(half(at))? & 0x0f;
                    return Some(RevocationEntry { date, reason: CrlReason::from_nibble(reason) });
                }
            }
        }
        None
    }

    /// The first record of a bucket whose remainder is at least `rest`.
    #[inline]
    fn first_at_least(&self, rest: u32, start: usize, end: usize) -> usize {
        if end.saturating_sub(start) <= MAX_COUNTED_RECORDS {
            return start.saturating_add(self.remainders.below(start..end, rest));
        }
        partition(start, end, |at| self.remainder(at).is_some_and(|found| found < rest))
    }

    /// The head of a record's key, and its date.
    #[inline]
    fn record(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let stride = self.layout.stride();
        let from = at.saturating_mul(stride);
        self.records.get(from..from.saturating_add(stride))?.split_at_checked(self.layout.head)
    }

    /// The remainder of a record's mixed tail.
    #[inline]
    fn remainder(&self, at: usize) -> Option<u32> {
        self.remainders.get(at)
    }
}

/// The first number of a range that is not below; numbers that are below come first.
fn partition(start: usize, end: usize, is_below: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (start, end);
    while low < high {
        let middle = low.saturating_add(high.saturating_sub(low) >> 1);
        if is_below(middle) {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    low
}

/// How far a record's reason is shifted in its octet.
fn half(record: usize) -> u32 {
    if record & 1 == 0 { 0 } else { 4 }
}

#[cfg(test)]
mod tests;
