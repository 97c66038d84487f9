//! Decisions of the recent past, so that a certificate which was verified a moment ago costs no signature.
//!
//! A remembered decision is the decision: it is found by everything that the decision reads ([`key`]), and only while
//! nothing that it rests on has changed. That is
//!
//! - the policy and the trust profile, with its certificates and CRLs: each compiled or resolved object has a number of
//!   its own, which is part of the key, so an edit leaves its entries behind;
//! - the mappings that name the certificate, and that there are no others ([`super::mapping::changes`]): an edit of one
//!   mapping leaves the decisions about other certificates alone;
//! - the time: an entry has a first and a last second, and no certificate or CRL that the profile knows begins or ends
//!   between them.
//!
//! A new kind of evidence joins in the same three ways: a number in the key for what is replaced as a whole, a record
//! like [`MappingsRead`](super::mapping::changes::MappingsRead) for what changes in parts, a last second for what ends.
//! What failed for lack of evidence is never remembered.
//!
//! Denials are kept apart from grants, fewer and for seconds: a flood of bad certificates evicts no good one. Both
//! tables keep what is asked for again (S3-FIFO), so certificates that are seen once do not push out those in use.

mod entry;
mod key;

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

pub use entry::{Entry, KeptIdentity, Outcome};
pub use key::{CacheKey, KeyBuilder, KeyMaker};

use super::mapping::table::MappingTable;
use certgate_x509::UnixTime;

/// The memory for grants, in octets: a hundred thousand of them.
const MAX_GRANTS: u64 = 32 << 20;

/// The memory for denials, in octets: some thousand of them.
const MAX_DENIALS: u64 = 2 << 20;

/// Parts of a table, each with a lock of its own, which is held for one look.
const SHARDS: usize = 16;

/// What an entry takes on average, for the first size of the tables.
const USUAL_ENTRY: u64 = 256;

/// Remembered decisions. Shared by whatever decides at the same time.
#[derive(Debug)]
pub struct DecisionCache {
    keys: KeyMaker,
    grants: Table,
    denials: Table,
    misses: AtomicU64,
}

/// The decisions of one kind.
#[derive(Debug)]
struct Table {
    entries: Cache<CacheKey, Arc<Entry>, Size, BuildHasherDefault<KeyHasher>, Evictions>,
    hits: AtomicU64,
    evicted: Arc<AtomicU64>,
}

/// Counts of one kind of decisions.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TableCounts {
    /// Decisions that were answered from memory.
    pub hits: u64,
    /// Decisions that gave way to others.
    pub evicted: u64,
    /// Decisions in memory, those that no longer hold included until their place is needed.
    pub entries: u64,
    /// The memory that these take, in octets.
    pub bytes: u64,
}

/// Counts of a cache.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CacheCounts {
    /// Of grants.
    pub grants: TableCounts,
    /// Of denials.
    pub denials: TableCounts,
    /// Decisions about a certificate that were not found.
    pub misses: u64,
}

/// Weighs an entry by its memory.
#[derive(Clone, Debug)]
struct Size;

impl Weighter<CacheKey, Arc<Entry>> for Size {
    fn weight(&self, _: &CacheKey, entry: &Arc<Entry>) -> u64 {
        u64::try_from(entry.size()).unwrap_or(u64::MAX)
    }
}

/// Counts evicted entries.
#[derive(Clone, Debug)]
struct Evictions(Arc<AtomicU64>);

impl Lifecycle<CacheKey, Arc<Entry>> for Evictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: CacheKey, _: Arc<Entry>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Hands the hash of a key on.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Default for DecisionCache {
    fn default() -> Self {
        Self::with_limits(MAX_GRANTS, MAX_DENIALS)
    }
}

impl DecisionCache {
    /// A cache whose grants and denials take at most so many octets each.
    pub fn with_limits(grants: u64, denials: u64) -> Self {
        let (keys, misses) = (KeyMaker::default(), AtomicU64::new(0));
        Self { keys, grants: Table::new(grants), denials: Table::new(denials), misses }
    }

    /// What makes its keys.
    pub fn keys(&self) -> &KeyMaker {
        &self.keys
    }

    /// The decision of this key, if it holds at `now` and under `mappings`.
    pub fn recall(&self, key: CacheKey, now: UnixTime, mappings: &MappingTable) -> Option<Arc<Entry>> {
        let holds = |entry: &Arc<Entry>| entry.holds(now) && mappings.changes().is_unchanged(&entry.mappings);
        for table in [&self.grants, &self.denials] {
            if let Some(entry) = table.entries.get(&key).filter(holds) {
                table.hits.fetch_add(1, Ordering::Relaxed);
                return Some(entry);
            }
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Remembers a decision.
    pub fn remember(&self, key: CacheKey, entry: Entry) {
        let (table, other) = match entry.outcome {
            Outcome::Granted { .. } => (&self.grants, &self.denials),
            Outcome::Denied(_) => (&self.denials, &self.grants),
        };
        table.entries.insert(key, Arc::new(entry));
        // A certificate whose decision changed has one place.
        other.entries.remove(&key);
    }

    /// The counts of the process.
    pub fn counts(&self) -> CacheCounts {
        let misses = self.misses.load(Ordering::Relaxed);
        CacheCounts { grants: self.grants.counts(), denials: self.denials.counts(), misses }
    }
}

impl Table {
    fn new(limit: u64) -> Self {
        let estimate = usize::try_from(limit / USUAL_ENTRY).unwrap_or(usize::MAX).clamp(SHARDS, 1 << 20);
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(estimate)
            .weight_capacity(limit)
            .build()
            .expect("the size and the capacity are given");
        let hashes = BuildHasherDefault::default();
        let evicted = Arc::new(AtomicU64::new(0));
        let entries = Cache::with_options(options, Size, hashes, Evictions(evicted.clone()));
        Self { entries, hits: AtomicU64::new(0), evicted }
    }

    fn counts(&self) -> TableCounts {
        TableCounts {
            hits: self.hits.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            entries: u64::try_from(self.entries.len()).unwrap_or(u64::MAX),
            bytes: self.entries.weight(),
        }
    }
}
