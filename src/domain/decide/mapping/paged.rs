//! Growable storage whose clones share pages: the index writes, and snapshots keep their state.

use std::sync::Arc;

/// Elements in a page. A write to shared storage copies one page, so small pages make small edits cheap and large ones
/// make clones cheap; at this size 100,000 elements are 391 pages.
const PAGE: usize = 256;

/// A vector in pages. A clone costs one reference count per page; a write to a shared page copies that page alone.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    pages: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<T: Clone> Paged<T> {
    /// The element at `at`.
    pub fn get(&self, at: u32) -> Option<&T> {
        let at = at as usize;
        self.pages.get(at / PAGE)?.get(at % PAGE)
    }

    /// The element at `at`, to write to.
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let at = at as usize;
        Arc::make_mut(self.pages.get_mut(at / PAGE)?).get_mut(at % PAGE)
    }

    /// Appends an element and returns its place.
    pub fn push(&mut self, value: T) -> u32 {
        let at = u32::try_from(self.len).expect("fewer than 2^32 objects fit into memory");
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE => Arc::make_mut(page).push(value),
            _ => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(value);
                self.pages.push(Arc::new(page));
            }
        }
        self.len = self.len.saturating_add(1);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_keep_what_they_had() {
        let mut live = Paged::default();
        for n in 0..1000_u32 {
            assert_eq!(live.push(n), n);
        }
        let kept = live.clone();
        *live.get_mut(300).unwrap() = 7;
        live.push(1000);
        assert_eq!(live.get(300), Some(&7));
        assert_eq!(kept.get(300), Some(&300));
        assert_eq!(live.get(1000), Some(&1000));
        assert_eq!(kept.get(1000), None);
        assert!((0..1000).all(|n| kept.get(n) == Some(&n)));
        assert!(Arc::ptr_eq(&live.pages[0], &kept.pages[0]), "untouched pages are shared");
    }
}
