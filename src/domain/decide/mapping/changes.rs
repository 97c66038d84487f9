//! Which look-ups of mappings an edit may have changed.
//!
//! A remembered decision rests on the mappings that name its certificate, and on there being no others. To drop every
//! decision at every edit would cost a signature for each client; to look the mappings up again needs the certificate,
//! which is not kept. So each look-up falls by its hash into one of [`BUCKETS`] buckets, and a bucket knows the version
//! of the last edit that touched it. A decision holds as long as its buckets are no newer than the version it was made
//! with. An edit invalidates those decisions that share its bucket, one in thousands by chance.

use super::paged::Paged;
use crate::domain::decide::unique::UniqueId;

/// How many buckets there are. Each has 8 octets.
const BUCKETS: u16 = 1 << 14;

/// The most look-ups of one certificate that are recorded. Certificates of clients have a few names.
const MAX_LOOKUPS: usize = 64;

/// When each look-up last changed. A clone shares unchanged pages.
#[derive(Clone, Debug)]
pub struct LookupChanges {
    epoch: UniqueId,
    version: u64,
    buckets: Paged<u64>,
}

/// The look-ups that a decision rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappingsRead {
    version: u64,
    buckets: Box<[u16]>,
}

impl Default for LookupChanges {
    fn default() -> Self {
        let mut buckets = Paged::default();
        for _ in 0..BUCKETS {
            buckets.push(0);
        }
        Self { epoch: UniqueId::next(), version: 0, buckets }
    }
}

impl LookupChanges {
    /// Identifies the store and the forms that its mappings use. Decisions of different epochs cannot be compared.
    pub fn epoch(&self) -> UniqueId {
        self.epoch
    }

    /// Invalidates every decision: certificates are looked up in other ways from now on.
    pub fn begin_epoch(&mut self) {
        self.epoch = UniqueId::next();
    }

    /// Notes that the look-up with this hash may find something else now.
    pub fn note(&mut self, hash: u64) {
        self.version = self.version.saturating_add(1);
        if let Some(last) = self.buckets.get_mut(u32::from(bucket(hash))) {
            *last = self.version;
        }
    }

    /// The record of look-ups with these hashes, made now; `None` when they are too many.
    pub fn record(&self, hashes: &[u64]) -> Option<MappingsRead> {
        let mut buckets: Vec<u16> = hashes.iter().map(|hash| bucket(*hash)).collect();
        buckets.sort_unstable();
        buckets.dedup();
        (buckets.len() <= MAX_LOOKUPS)
            .then(|| MappingsRead { version: self.version, buckets: buckets.into_boxed_slice() })
    }

    /// Whether the look-ups find what they found. They do not when they were recorded later than this.
    pub fn is_unchanged(&self, read: &MappingsRead) -> bool {
        read.version <= self.version
            && read
                .buckets
                .iter()
                .all(|bucket| self.buckets.get(u32::from(*bucket)).is_some_and(|last| *last <= read.version))
    }
}

impl MappingsRead {
    /// The memory beside the value itself, in octets.
    pub fn heap_size(&self) -> usize {
        size_of_val(&*self.buckets)
    }
}

/// The bucket of a look-up. There are as many buckets as a mask has values.
fn bucket(hash: u64) -> u16 {
    const MASK: u16 = BUCKETS - 1;
    let [.., high, low] = hash.to_be_bytes();
    u16::from_be_bytes([high, low]) & MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_invalidates_the_look_ups_of_its_bucket() {
        let mut changes = LookupChanges::default();
        let (mine, other, none) = (changes.record(&[7, 9]), changes.record(&[8]), changes.record(&[]));
        let before = changes.clone();
        changes.note(9);
        let holds = |changes: &LookupChanges, read: &Option<MappingsRead>| changes.is_unchanged(read.as_ref().unwrap());
        assert!(!holds(&changes, &mine) && holds(&changes, &other) && holds(&changes, &none));
        assert!(holds(&before, &mine), "a clone keeps its state");
        let later = changes.record(&[9]);
        assert!(holds(&changes, &later) && !holds(&before, &later), "a former table knows nothing of later look-ups");
        assert_eq!(changes.record(&(0..65).collect::<Vec<_>>()), None);
    }
}
