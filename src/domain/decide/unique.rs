//! Numbers that nothing else in the process has: what the decision cache keys entries by in place of pointers, which
//! are used again.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that is given once. Two equal ones belong to the same object.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct UniqueId(u64);

impl UniqueId {
    /// A number that no other object has.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The number as octets.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

/// A number of its own.
impl Default for UniqueId {
    fn default() -> Self {
        Self::next()
    }
}
