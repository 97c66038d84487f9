//! Values that many mappings share, each stored once with a use count.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::paged::Paged;

/// The values by number, as a snapshot keeps them.
pub type InternedValues<T> = Paged<Option<Arc<T>>>;

/// Assigns equal values the same number, and frees a number with its last use.
#[derive(Debug)]
pub struct Interner<T> {
    values: InternedValues<T>,
    uses: Vec<u32>,
    free: Vec<u32>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            values: Paged::default(),
            uses: Vec::new(),
            free: Vec::new(),
            numbers: HashTable::new(),
            hasher: RandomState::default(),
        }
    }
}

impl<T: Hash + Eq> Interner<T> {
    /// The number of `value`, with one more user.
    pub fn acquire(&mut self, value: T) -> u32 {
        let Self { values, uses, free, numbers, hasher } = self;
        let hash = hasher.hash_one(&value);
        let stored = |at: u32| values.get(at).and_then(Option::as_deref);
        if let Some(&at) = numbers.find(hash, |&at| stored(at) == Some(&value)) {
            if let Some(uses) = uses.get_mut(at as usize) {
                *uses = uses.saturating_add(1);
            }
            return at;
        }
        let value = Some(Arc::new(value));
        let at = match free.pop() {
            Some(at) => {
                if let (Some(slot), Some(uses)) = (values.get_mut(at), uses.get_mut(at as usize)) {
                    (*slot, *uses) = (value, 1);
                }
                at
            }
            None => {
                uses.push(1);
                values.push(value)
            }
        };
        numbers.insert_unique(hash, at, |&at| match values.get(at) {
            Some(Some(value)) => hasher.hash_one(&**value),
            _ => 0,
        });
        at
    }

    /// Releases one use of the number `at`.
    pub fn release(&mut self, at: u32) {
        let Some(uses) = self.uses.get_mut(at as usize) else { return };
        *uses = uses.saturating_sub(1);
        if *uses > 0 {
            return;
        }
        let Some(value) = self.values.get_mut(at).and_then(Option::take) else { return };
        if let Ok(entry) = self.numbers.find_entry(self.hasher.hash_one(&*value), |&number| number == at) {
            entry.remove();
        }
        self.free.push(at);
    }

    /// The value that has the number `at`.
    pub fn get(&self, at: u32) -> Option<&Arc<T>> {
        self.values.get(at).and_then(Option::as_ref)
    }

    /// Every value with the number of its users.
    pub fn counted(&self) -> impl Iterator<Item = (&T, u32)> {
        let value = |(at, uses): (u32, &u32)| Some((self.values.get(at)?.as_deref()?, *uses));
        (0_u32..).zip(&self.uses).filter_map(value)
    }

    /// The values as they are now.
    pub fn values(&self) -> &InternedValues<T> {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_number_until_the_last_use_ends() {
        let mut interner = Interner::default();
        let numbers: Vec<u32> = (0..500).map(|n| interner.acquire(format!("v{n}"))).collect();
        assert_eq!(interner.acquire("v7".to_owned()), numbers[7]);
        interner.release(numbers[7]);
        assert_eq!(interner.get(numbers[7]).map(|v| v.as_str()), Some("v7"), "one use is left");
        interner.release(numbers[7]);
        assert_eq!(interner.get(numbers[7]), None);
        assert_eq!(interner.acquire("other".to_owned()), numbers[7], "numbers are used again");
        assert_ne!(interner.acquire("v7".to_owned()), numbers[7]);
        assert_eq!(interner.acquire("v499".to_owned()), numbers[499]);
    }
}
