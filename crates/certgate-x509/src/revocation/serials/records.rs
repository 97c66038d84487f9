//! Entries of a CRL as they arrive, and the table built from them.

use super::{DATE_OCTETS, HEAD_OCTETS, Layout, Remainders, SerialKey, Serials, half};
use crate::revocation::reason::CrlReason;
use crate::revocation::serials::RevocationEntry;

/// Records that are allocated at once, so that a long list is not copied while it grows.
const CHUNK_RECORDS: usize = 4096;

/// An entry, ready to be sorted.
#[derive(Copy, Clone, Debug)]
struct Record {
    key: SerialKey,
    date: u32,
    /// As [`CrlReason::to_nibble`] gives it.
    reason: u8,
}

/// Entries in the order of arrival.
#[derive(Debug, Default)]
pub(in crate::revocation) struct Records {
    /// All but the last hold [`CHUNK_RECORDS`] records.
    chunks: Vec<Vec<Record>>,
}

/// Two entries for one certificate; the serial number.
#[derive(Debug)]
pub(in crate::revocation) struct Duplicate(pub(in crate::revocation) Vec<u8>);

impl Records {
    /// Adds an entry. `serial` is a magnitude without leading zero octets; one of more than 20 octets is skipped.
    pub(in crate::revocation) fn push(&mut self, issuer: u32, serial: &[u8], entry: RevocationEntry) {
        let Some(key) = SerialKey::new(issuer, serial) else { return };
        let date = u32::try_from(entry.date.as_secs().clamp(0, i64::from(u32::MAX))).unwrap_or(0);
        let record = Record { key, date, reason: CrlReason::to_nibble(entry.reason) };
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_RECORDS => chunk.push(record),
            Some(_) => {
                let mut chunk = Vec::with_capacity(CHUNK_RECORDS);
                chunk.push(record);
                self.chunks.push(chunk);
            }
            None => self.chunks.push(vec![record]),
        }
    }

    fn get(&self, at: u32) -> Option<&Record> {
        let at = usize::try_from(at).ok()?;
        self.chunks.get(at.checked_div(CHUNK_RECORDS)?)?.get(at.checked_rem(CHUNK_RECORDS)?)
    }

    fn iter(&self) -> impl Iterator<Item = &Record> {
        self.chunks.iter().flatten()
    }

    /// The table of all entries.
    pub(in crate::revocation) fn into_table(self) -> Result<Serials, Duplicate> {
        let zeros = |record: &Record| record.key.head.iter().take_while(|octet| **octet == 0).count();
        let head = HEAD_OCTETS.saturating_sub(self.iter().map(zeros).min().unwrap_or(HEAD_OCTETS));
        let layout = Layout::new(self.iter().count(), head);

        // A counting sort by bucket, then a sort inside each.
        let buckets = 1_usize.checked_shl(layout.bits).unwrap_or(1);
        let mut starts = vec![0_u32; buckets.saturating_add(1)];
        for record in self.iter() {
            let Some(slot) = starts.get_mut(layout.bucket(&record.key).saturating_add(1)) else { continue };
            *slot = slot.saturating_add(1);
        }
        let mut total = 0_u32;
        for start in &mut starts {
            total = total.saturating_add(*start);
            *start = total;
        }
        let mut order = vec![0_u32; usize::try_from(total).unwrap_or(0)];
        let mut next = starts.clone();
        for (n, record) in (0_u32..).zip(self.iter()) {
            let Some(slot) = next.get_mut(layout.bucket(&record.key)) else { continue };
            if let Some(place) = usize::try_from(*slot).ok().and_then(|at| order.get_mut(at)) {
                *place = n;
            }
            *slot = slot.saturating_add(1);
        }
        drop(next);

        let mut remainders = Vec::with_capacity(order.len());
        let mut records = Vec::with_capacity(order.len().saturating_mul(layout.stride()));
        let mut reasons = vec![0_u8; order.len().div_ceil(2)];
        let mut bucket: Vec<&Record> = Vec::new();
        for pair in starts.windows(2) {
            let [from, to] = pair else { continue };
            let range = usize::try_from(*from).unwrap_or(0)..usize::try_from(*to).unwrap_or(0);
            bucket.clear();
            bucket.extend(order.get(range).unwrap_or_default().iter().filter_map(|n| self.get(*n)));
            // The remainder of the mixed tail comes first: the leading bits are equal in a bucket.
            bucket.sort_unstable_by_key(|record| record.key);
            let same = |two: &&[&Record]| matches!(two, [one, other] if one.key == other.key);
            if let Some([twice, _]) = bucket.windows(2).find(same) {
                return Err(Duplicate(twice.key.serial()));
            }
            for record in &bucket {
                let at = remainders.len();
                remainders.push(layout.rest(&record.key));
                records.extend_from_slice(layout.head(&record.key).unwrap_or_default());
                records.extend_from_slice(&record.date.to_be_bytes());
                if let Some(octet) = reasons.get_mut(at >> 1) {
                    *octet |= record.reason << half(at);
                }
            }
        }
        let remainders = Remainders::new(layout.bits, remainders);
        Ok(Serials { layout, starts: starts.into(), remainders, records: records.into(), reasons: reasons.into() })
    }
}

const _: () = assert!(DATE_OCTETS == size_of::<u32>() && size_of::<Record>() == 32);
