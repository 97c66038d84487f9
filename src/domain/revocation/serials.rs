//! Revoked serial numbers, kept compactly: the table behind a CRL's look-up.
//!
//! A million entries with serial numbers of 20 octets take 23 octets each, a look-up touches two or three cache
//! lines, and neither depends on how the CA chooses its numbers.
//!
//! How: keys have one width in a CRL (the longest serial number in it; shorter ones are padded in front). The last
//! four octets of a key, its tail, are mixed with the head by a bijection, so that they spread evenly whatever the
//! numbers are. The leading bits of the mixed tail choose a bucket and need not be stored. The other bits lie packed
//! beside those of the neighbours: for a number that is not listed, two look-ups in two megabytes nearly always end
//! the matter. Heads and dates lie apart. Inside a bucket everything is sorted, so even a list made to fall into one
//! bucket costs a binary search and no more.

use std::cmp::Ordering;
use std::ops::Range;

use crate::domain::time::UnixTime;

use super::reason::CrlReason;

/// The longest key: an issuer's number and a serial number of 20 octets.
const MAX_KEY: usize = 24;

/// Octets of a key that are mixed.
const TAIL: usize = 4;

/// The longest head of a key.
const MAX_HEAD: usize = 20;

/// Octets of a revocation date.
const DATE: usize = 4;

/// Records in a bucket, on average at most.
const BUCKET: usize = 8;

/// Records among which a look-up counts rather than searches: so many are compared at once, without a branch to guess.
const COUNTED: usize = 64;

/// Records of one remainder that are passed one by one before they are searched.
const NEIGHBOURS: usize = 8;

/// What a CRL says about a certificate that it lists.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When the certificate was revoked. Dates before 1970 and after 2106 are kept as the nearest of these.
    pub date: UnixTime,
    /// Why, where the CRL says so.
    pub reason: Option<CrlReason>,
}

/// The longest serial number that a certificate can have here (RFC 5280 4.1.2.2), in content octets.
const MAX_SERIAL: usize = 20;

/// The content of an INTEGER as certificates give their serial number, without a sign octet; `None` for what no
/// certificate's is: negative, or too long.
pub(super) fn magnitude(content: &[u8]) -> Option<&[u8]> {
    match content {
        [first, ..] if *first >= 0x80 => None,
        content if content.len() > MAX_SERIAL => None,
        [0, magnitude @ ..] => Some(magnitude),
        magnitude => Some(magnitude),
    }
}

/// Whether keys begin with the number of the certificate issuer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Issuers {
    /// All entries are about certificates of the CRL issuer.
    One,
    /// Entries name their certificate issuer.
    Many,
}

/// The table.
#[derive(Debug)]
pub(super) struct Serials {
    layout: Layout,
    /// Where each bucket begins, in records, and the number of records.
    starts: Box<[u32]>,
    /// What is left of each mixed tail.
    remainders: Remainders,
    /// Records of `layout.stride` octets: the head of the key, then the date.
    records: Box<[u8]>,
    /// Two reasons to an octet, the even record's in the low half.
    reasons: Box<[u8]>,
}

/// How keys are cut up.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Layout {
    issuers: Issuers,
    /// Octets of a key.
    width: usize,
    /// Leading bits of the mixed tail that choose the bucket.
    bits: u32,
    /// Octets of a head.
    head: usize,
    /// Octets of a record.
    stride: usize,
}

/// Two entries for one certificate; the serial number.
#[derive(Debug)]
pub(super) struct Duplicate(pub(super) Vec<u8>);

/// A key cut up.
struct Cut {
    bucket: usize,
    /// What is left of the mixed tail.
    rest: u32,
    /// The head in the first `Layout::head` octets; zeros after it.
    head: [u8; MAX_HEAD],
}

impl Layout {
    fn new(count: usize, longest_serial: usize, issuers: Issuers) -> Self {
        let prefix = if issuers == Issuers::Many { TAIL } else { 0 };
        let width = longest_serial.max(TAIL).saturating_add(prefix).min(MAX_KEY);
        let bits = count.div_ceil(BUCKET).checked_next_power_of_two().map_or(0, usize::trailing_zeros).min(28);
        let head = width.saturating_sub(TAIL);
        Self { issuers, width, bits, head, stride: head.saturating_add(DATE) }
    }

    /// `None` when no key of this layout can hold the serial number.
    #[inline]
    fn cut(&self, issuer: u32, serial: &[u8]) -> Option<Cut> {
        let mut key = [0_u8; MAX_KEY];
        let key = key.get_mut(..self.width)?;
        let prefix = match self.issuers {
            Issuers::One => 0,
            Issuers::Many => {
                key.get_mut(..TAIL)?.copy_from_slice(&issuer.to_be_bytes());
                TAIL
            }
        };
        let start = self.width.checked_sub(serial.len()).filter(|start| *start >= prefix)?;
        key.get_mut(start..)?.copy_from_slice(serial);

        let (head, tail) = key.split_last_chunk::<TAIL>()?;
        let mixed = mix(u32::from_be_bytes(*tail) ^ fold(head));
        let bucket = mixed.checked_shr(32_u32.saturating_sub(self.bits)).unwrap_or(0);
        let rest = mixed & u32::MAX.checked_shr(self.bits).unwrap_or(0);
        let mut out = Cut { bucket: usize::try_from(bucket).ok()?, rest, head: [0; MAX_HEAD] };
        out.head.get_mut(..head.len())?.copy_from_slice(head);
        Some(out)
    }
}

impl Cut {
    fn head(&self, layout: &Layout) -> &[u8] {
        self.head.get(..layout.head).unwrap_or_default()
    }
}

/// A bijection on 32 bits whose leading bits depend on all of `x`.
#[inline]
fn mix(x: u32) -> u32 {
    const ODD: u32 = 0x9e37_79b1;
    let x = x.wrapping_mul(ODD);
    let x = x ^ (x >> 15);
    x.wrapping_mul(ODD)
}

/// 32 bits of a head of a key. Any function would be right; this one spreads.
#[inline]
fn fold(head: &[u8]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |state: u64, word: u64| {
        let state = (state ^ word).wrapping_mul(ODD);
        state ^ (state >> 32)
    };
    let mut state = 0_u64;
    let mut rest = head;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        state = step(state, u64::from_le_bytes(*word));
        rest = after;
    }
    let last = rest.iter().fold(0_u64, |word, octet| (word << 8) | u64::from(*octet));
    state = step(state, last);
    u32::try_from(state >> 32).unwrap_or(0)
}

/// What is left of the mixed tails, in as few octets as they need.
#[derive(Debug)]
enum Remainders {
    /// At most 16 bits of each, as in a list of some half a million entries or more.
    Short(Box<[u16]>),
    /// More.
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
    /// Builds the table of `count` entries; `key_at` gives issuer and serial number of the n-th and is asked several
    /// times, `entry_at` the rest and is asked once. Serial numbers have at most `longest_serial` octets, and that is
    /// at most 20.
    pub(super) fn build<'a>(
        count: u32,
        longest_serial: usize,
        issuers: Issuers,
        key_at: impl Fn(u32) -> Option<(u32, &'a [u8])>,
        entry_at: impl Fn(u32) -> Option<Entry>,
    ) -> Result<Self, Duplicate> {
        let entries = usize::try_from(count).unwrap_or(usize::MAX);
        let layout = Layout::new(entries, longest_serial, issuers);
        let cut = |n: u32| key_at(n).and_then(|(issuer, serial)| layout.cut(issuer, serial));

        // A counting sort by bucket, then a sort inside each.
        let buckets = 1_usize.checked_shl(layout.bits).unwrap_or(1);
        let mut starts = vec![0_u32; buckets.saturating_add(1)];
        for n in 0..count {
            let Some(slot) = cut(n).and_then(|cut| starts.get_mut(cut.bucket.saturating_add(1))) else { continue };
            *slot = slot.saturating_add(1);
        }
        let mut total = 0_u32;
        for start in &mut starts {
            total = total.saturating_add(*start);
            *start = total;
        }
        let mut order = vec![0_u32; usize::try_from(total).unwrap_or(0)];
        let mut next = starts.clone();
        for n in 0..count {
            let Some(slot) = cut(n).and_then(|cut| next.get_mut(cut.bucket)) else { continue };
            if let Some(place) = usize::try_from(*slot).ok().and_then(|at| order.get_mut(at)) {
                *place = n;
            }
            *slot = slot.saturating_add(1);
        }
        drop(next);

        let mut remainders = Vec::with_capacity(order.len());
        let mut records = Vec::with_capacity(order.len().saturating_mul(layout.stride));
        let mut reasons = vec![0_u8; order.len().div_ceil(2)];
        let mut bucket: Vec<(Cut, u32)> = Vec::new();
        for pair in starts.windows(2) {
            let [from, to] = pair else { continue };
            let range = usize::try_from(*from).unwrap_or(0)..usize::try_from(*to).unwrap_or(0);
            bucket.clear();
            let numbers = order.get(range).unwrap_or_default().iter();
            bucket.extend(numbers.filter_map(|n| Some((cut(*n)?, *n))));
            bucket.sort_unstable_by_key(|(cut, _)| (cut.rest, cut.head));
            let same = |two: &&[(Cut, u32)]| matches!(two, [(a, _), (b, _)] if a.rest == b.rest && a.head == b.head);
            if let Some([(_, twice), _]) = bucket.windows(2).find(same) {
                return Err(Duplicate(key_at(*twice).map(|(_, serial)| serial.to_vec()).unwrap_or_default()));
            }
            for (cut, n) in &bucket {
                let Some(entry) = entry_at(*n) else { continue };
                let record = records.len().checked_div(layout.stride).unwrap_or(0);
                remainders.push(cut.rest);
                records.extend_from_slice(cut.head(&layout));
                let date = u32::try_from(entry.date.as_secs().clamp(0, i64::from(u32::MAX))).unwrap_or(0);
                records.extend_from_slice(&date.to_be_bytes());
                if let Some(octet) = reasons.get_mut(record >> 1) {
                    *octet |= CrlReason::to_nibble(entry.reason) << half(record);
                }
            }
        }
        let remainders = Remainders::new(layout.bits, remainders);
        Ok(Self { layout, starts: starts.into(), remainders, records: records.into(), reasons: reasons.into() })
    }

    /// Entries in the table.
    pub(super) fn len(&self) -> usize {
        self.records.len().checked_div(self.layout.stride).unwrap_or(0)
    }

    /// Octets that the table keeps.
    pub(super) fn memory(&self) -> usize {
        let starts = std::mem::size_of_val(&*self.starts);
        let records = self.remainders.memory().saturating_add(self.records.len());
        records.saturating_add(self.reasons.len()).saturating_add(starts)
    }

    /// The entry of a serial number, given as a magnitude without leading zero octets.
    #[inline]
    pub(super) fn get(&self, issuer: u32, serial: &[u8]) -> Option<Entry> {
        let cut = self.layout.cut(issuer, serial)?;
        let start = usize::try_from(*self.starts.get(cut.bucket)?).ok()?;
        let end = usize::try_from(*self.starts.get(cut.bucket.saturating_add(1))?).ok()?;
        let wanted = cut.head(&self.layout);
        let mut at = self.first_at_least(&cut, start, end);
        // Equal remainders are rare unless somebody made them; then the records are still in order.
        if at.saturating_add(NEIGHBOURS) < end && self.remainder(at.saturating_add(NEIGHBOURS)) == Some(cut.rest) {
            at = partition(at, end, |at| {
                let key = (self.remainder(at), self.record(at).map(|(head, _)| head));
                key < (Some(cut.rest), Some(wanted))
            });
        }
        while at < end && self.remainder(at) == Some(cut.rest) {
            let (head, date) = self.record(at)?;
            match head.cmp(wanted) {
                Ordering::Less => at = at.saturating_add(1),
                Ordering::Greater => return None,
                Ordering::Equal => {
                    let date = UnixTime::from_secs(i64::from(u32::from_be_bytes(date.try_into().ok()?)));
                    let reason = self.reasons.get(at >> 1)?.checked_shr(half(at))? & 0x0f;
                    return Some(Entry { date, reason: CrlReason::from_nibble(reason) });
                }
            }
        }
        None
    }

    /// The first record of a bucket whose remainder is not below the wanted one.
    #[inline]
    fn first_at_least(&self, cut: &Cut, start: usize, end: usize) -> usize {
        if end.saturating_sub(start) <= COUNTED {
            return start.saturating_add(self.remainders.below(start..end, cut.rest));
        }
        partition(start, end, |at| self.remainder(at).is_some_and(|rest| rest < cut.rest))
    }

    /// The head of a record's key, and its date.
    #[inline]
    fn record(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let from = at.saturating_mul(self.layout.stride);
        self.records.get(from..from.saturating_add(self.layout.stride))?.split_at_checked(self.layout.head)
    }

    /// What is left of the mixed tail of a record's key.
    #[inline]
    fn remainder(&self, at: usize) -> Option<u32> {
        self.remainders.get(at)
    }
}

/// The first number of a range that is not below, where those that are come first.
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
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn entry(n: usize) -> Entry {
        let reasons = [None, Some(CrlReason::KeyCompromise), Some(CrlReason::CertificateHold)];
        Entry { date: UnixTime::from_secs(1_700_000_000 + n as i64), reason: reasons[n % reasons.len()] }
    }

    fn table(serials: &[(u32, Vec<u8>)], issuers: Issuers) -> Result<Serials, Duplicate> {
        let longest = serials.iter().map(|(_, serial)| serial.len()).max().unwrap_or(0);
        let key_at = |n: u32| serials.get(n as usize).map(|(issuer, serial)| (*issuer, serial.as_slice()));
        Serials::build(serials.len() as u32, longest, issuers, key_at, |n| Some(entry(n as usize)))
    }

    /// Magnitudes, as readers give them.
    fn magnitude() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..=20),
            (0_u32..2000).prop_map(|n| n.to_be_bytes().to_vec()),
            (0_u32..2000).prop_map(|n| [n.to_be_bytes(), [7; 4], [7; 4]].concat()),
        ]
        .prop_map(|octets| octets.iter().copied().skip_while(|octet| *octet == 0).collect())
    }

    proptest! {
        #[test]
        fn finds_what_was_put_in_and_nothing_else(
            inside in proptest::collection::hash_map((0_u32..3, magnitude()), Just(()), 0..400),
            outside in proptest::collection::vec((0_u32..4, magnitude()), 0..100),
        ) {
            let serials: Vec<(u32, Vec<u8>)> = inside.into_keys().collect();
            let model: HashMap<_, _> = serials.iter().cloned().zip(0..).collect();
            let built = table(&serials, Issuers::Many).unwrap();
            prop_assert_eq!(built.len(), serials.len());
            for (issuer, serial) in serials.iter().chain(&outside) {
                let want = model.get(&(*issuer, serial.clone())).map(|n| entry(*n));
                prop_assert_eq!(built.get(*issuer, serial), want);
            }
        }
    }

    #[test]
    fn lists_of_every_shape_spread_over_the_buckets() {
        let count = 20_000_u64;
        type Shape = (&'static str, fn(u64) -> Vec<u8>);
        let shapes: [Shape; 4] = [
            ("sequential", |n| (n + 1_000_000).to_be_bytes().to_vec()),
            ("constant end", |n| [n.to_be_bytes(), [9; 8]].concat()),
            ("constant front", |n| [[9; 8], n.to_be_bytes()].concat()),
            ("steps of 2^20", |n| (n << 20).to_be_bytes().to_vec()),
        ];
        for (shape, make) in shapes {
            let trim = |octets: Vec<u8>| octets.into_iter().skip_while(|octet| *octet == 0).collect::<Vec<u8>>();
            let serials: Vec<_> = (1..=count).map(|n| (0, trim(make(n)))).collect();
            let built = table(&serials, Issuers::One).unwrap();
            let largest = built.starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(largest < 64, "{shape}: {largest} in one bucket");
            assert!(serials.iter().enumerate().all(|(n, (_, s))| built.get(0, s) == Some(entry(n))), "{shape}");
        }
    }

    /// Lists that somebody made so that every number falls into one bucket.
    #[test]
    fn hostile_lists_are_searched_all_the_same() {
        let made = |n: u32, mixed: u32| {
            let head = [[0x55; 12].as_slice(), &n.to_be_bytes()].concat();
            // What is mixed is the tail with this; so the mixed tails are equal too.
            let tail = mixed ^ fold(&head);
            (0, [head, tail.to_be_bytes().to_vec()].concat())
        };
        for (name, mixed) in [("equal", [7_u32; 2]), ("two kinds", [7, 8])] {
            let serials: Vec<_> = (0..5_000_u32).map(|n| made(n, mixed[n as usize % 2])).collect();
            let built = table(&serials, Issuers::One).unwrap();
            let filled = built.starts.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(filled <= 2, "{name}: {filled} buckets");
            assert!(serials.iter().enumerate().all(|(n, (_, s))| built.get(0, s) == Some(entry(n))), "{name}");
            assert!((5_000..10_000).all(|n| built.get(0, &made(n, mixed[n as usize % 2]).1).is_none()), "{name}");
            assert!((0..5_000).all(|n| built.get(0, &made(n, 9).1).is_none()), "{name}");
        }
    }

    /// The number whose mixed tail is `mixed`, where keys have no head.
    fn unmixed(mixed: u32) -> (u32, Vec<u8>) {
        // The inverse of the factor modulo 2^32, by Newton's method.
        let odd = 0x9e37_79b1_u32;
        let inverse = (0..5).fold(1_u32, |x, _| x.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(x))));
        let x = mixed.wrapping_mul(inverse);
        let tail = (x ^ (x >> 15) ^ (x >> 30)).wrapping_mul(inverse);
        assert_eq!(mix(tail), mixed);
        (0, (tail ^ fold(&[])).to_be_bytes().to_vec())
    }

    /// Lists that somebody made so that remainders in a bucket are not spread.
    #[test]
    fn numbers_are_found_where_remainders_crowd() {
        let count = 400;
        let kept = 32 - Layout::new(count as usize, 4, Issuers::One).bits;
        let last = (1_u32 << kept) - 1;
        for (name, place) in [("at the front", [0, 1]), ("at the end", [last, u32::MAX]), ("amid", [last / 2, 3])] {
            let number = |n: u32| unmixed(place[0].wrapping_add(n.wrapping_mul(place[1])));
            let serials: Vec<_> = (0..count).map(|n| number(2 * n)).collect();
            let built = table(&serials, Issuers::One).unwrap();
            assert!(serials.iter().enumerate().all(|(n, (_, s))| built.get(0, s) == Some(entry(n))), "{name}");
            assert!((0..count).all(|n| built.get(0, &number(2 * n + 1).1).is_none()), "{name}");
        }
    }

    /// What differs from a listed number by its bucket alone is not listed.
    #[test]
    fn a_bucket_ends_where_the_next_begins() {
        let count = 512_u32;
        let bits = Layout::new(count as usize, 4, Issuers::One).bits;
        let number = |bucket: u32, rest: u32| unmixed(bucket << (32 - bits) | rest);
        let half = 1_u32 << (bits - 1);
        let serials: Vec<_> = (0..count).map(|n| number(n % half * 2 + 1, n / half)).collect();
        let built = table(&serials, Issuers::One).unwrap();
        assert!(serials.iter().enumerate().all(|(n, (_, s))| built.get(0, s) == Some(entry(n))));
        assert!((0..count).all(|n| built.get(0, &number(n % half * 2, n / half).1).is_none()));
    }

    #[test]
    fn a_serial_number_stands_once() {
        let twice = [(0, vec![1]), (0, vec![5, 6]), (0, vec![1])];
        assert_eq!(table(&twice, Issuers::One).unwrap_err().0, vec![1]);
        // The same number of two issuers is two certificates.
        assert!(table(&[(0, vec![1]), (1, vec![1])], Issuers::Many).is_ok());
    }

    #[test]
    fn twenty_octets_take_twenty_three() {
        let serials: Vec<_> = (0..300_000_u64)
            .map(|n| (0, crate::domain::fingerprint::Sha256::of(&n.to_be_bytes()).as_bytes()[..20].to_vec()))
            .collect();
        let built = table(&serials, Issuers::One).unwrap();
        let each = built.memory() as f64 / built.len() as f64;
        assert!(each < 24.0, "{each}");
    }
}
