//! Storage of mappings: pages of records, each with the texts of its records in one piece.
//!
//! An allocation for each mapping would cost a third more. A write to a record rebuilds the texts of its page without
//! the unused ones; clones share the unchanged pages.

use std::sync::Arc;

use super::key::{self, NameForm};
use super::table::MappingStatus;

/// Records in a page. A write to shared storage copies one page, so small pages make small edits cheap and large ones
/// make clones cheap; at this size 100,000 records are 391 pages.
const PAGE: usize = 256;

/// The fields of a record besides its texts.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the shape that it shares with other records.
    pub shape: u32,
    /// The place in its file.
    pub document: u32,
    /// The length of the key.
    pub key_len: u16,
    /// The length of the user.
    pub user_len: u16,
    /// One more than the uid's length; 0 without a uid.
    pub uid_len: u16,
    /// The form of the key; `None` when the name of the certificate cannot be read.
    pub form: Option<NameForm>,
    /// What the mapping does.
    pub status: MappingStatus,
}

/// One mapping. Its texts, one after the other: key, user, uid, and the object's name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The other fields.
    pub head: Head,
    /// The texts.
    pub texts: &'a [u8],
}

impl<'a> Record<'a> {
    fn slice(&self, from: usize, len: usize) -> &'a [u8] {
        from.checked_add(len).and_then(|to| self.texts.get(from..to)).unwrap_or_default()
    }

    fn text(&self, from: usize, len: usize) -> &'a str {
        std::str::from_utf8(self.slice(from, len)).unwrap_or_default()
    }

    /// The key.
    pub fn key(&self) -> &'a [u8] {
        self.slice(0, usize::from(self.head.key_len))
    }

    /// The bytes by which the record is found.
    pub fn lookup(&self) -> &'a [u8] {
        self.head.form.map_or(&[], |form| key::lookup(form, self.key()))
    }

    /// The user that the certificate maps to.
    pub fn user(&self) -> &'a str {
        self.text(usize::from(self.head.key_len), usize::from(self.head.user_len))
    }

    /// The user's uid.
    pub fn uid(&self) -> Option<&'a str> {
        let len = usize::from(self.head.uid_len.checked_sub(1)?);
        Some(self.text(usize::from(self.head.key_len).saturating_add(usize::from(self.head.user_len)), len))
    }

    /// The object's name.
    pub fn name(&self) -> &'a str {
        let from = usize::from(self.head.key_len)
            .saturating_add(usize::from(self.head.user_len))
            .saturating_add(usize::from(self.head.uid_len.saturating_sub(1)));
        self.text(from, self.texts.len().saturating_sub(from))
    }
}

/// A record in its page.
#[derive(Copy, Clone, Debug)]
struct Slot {
    head: Head,
    /// Where its texts begin in those of the page, and how long they are.
    from: u32,
    len: u32,
}

#[derive(Clone, Debug, Default)]
struct RecordPage {
    slots: Vec<Option<Slot>>,
    texts: Vec<u8>,
    /// How many octets of `texts` no record uses any more.
    unused: usize,
}

/// The records by number.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pages: Vec<Arc<RecordPage>>,
    len: usize,
}

impl RecordPage {
    fn get(&self, at: usize) -> Option<Record<'_>> {
        let Slot { head, from, len } = self.slots.get(at)?.as_ref()?;
        let from = *from as usize;
        Some(Record { head: *head, texts: self.texts.get(from..from.checked_add(*len as usize)?)? })
    }

    /// Appends texts.
    fn append(&mut self, record: Record<'_>) -> Option<Slot> {
        let number = |length: usize| u32::try_from(length).expect("compile caps texts, and a page holds few of them");
        let slot = Slot { head: record.head, from: number(self.texts.len()), len: number(record.texts.len()) };
        self.texts.extend_from_slice(record.texts);
        Some(slot)
    }

    /// Rebuilds the texts, with space for `more` octets and without the unused ones.
    fn compact(&mut self, more: usize) {
        let used = self.texts.len().saturating_sub(self.unused);
        let former = std::mem::replace(&mut self.texts, Vec::with_capacity(used.saturating_add(more)));
        for slot in self.slots.iter_mut().flatten() {
            let from = slot.from as usize;
            let texts = from.checked_add(slot.len as usize).and_then(|to| former.get(from..to)).unwrap_or_default();
            slot.from = u32::try_from(self.texts.len()).expect("it was no shorter before");
            self.texts.extend_from_slice(texts);
        }
        self.unused = 0;
    }
}

impl Records {
    /// The record at `at`.
    pub fn get(&self, at: u32) -> Option<Record<'_>> {
        let at = at as usize;
        self.pages.get(at / PAGE)?.get(at % PAGE)
    }

    fn page_mut(&mut self, at: u32) -> Option<(&mut RecordPage, usize)> {
        let at = at as usize;
        Some((Arc::make_mut(self.pages.get_mut(at / PAGE)?), at % PAGE))
    }

    /// Appends a record and returns its place.
    pub fn push(&mut self, record: Record<'_>) -> u32 {
        let at = u32::try_from(self.len).expect("fewer than 2^32 objects fit into memory");
        let last = self.pages.last().filter(|page| page.slots.len() < PAGE);
        if last.is_none() {
            // About as long as those of the page before it.
            let usual = self.pages.last().map_or(0, |page| page.texts.len()).min(PAGE * 128);
            let page = RecordPage {
                slots: Vec::with_capacity(PAGE),
                texts: Vec::with_capacity(usual.saturating_add(usual / 64)),
                unused: 0,
            };
            self.pages.push(Arc::new(page));
        }
        if let Some((page, _)) = self.page_mut(at) {
            let slot = page.append(record);
            page.slots.push(slot);
            if page.slots.len() == PAGE {
                page.texts.shrink_to_fit();
            }
        }
        self.len = self.len.saturating_add(1);
        at
    }

    /// Stores a record in a free place.
    pub fn set(&mut self, at: u32, record: Record<'_>) {
        let Some((page, at)) = self.page_mut(at) else { return };
        page.compact(record.texts.len());
        let slot = page.append(record);
        if let Some(place) = page.slots.get_mut(at) {
            *place = slot;
        }
    }

    /// Removes a record.
    pub fn take(&mut self, at: u32) -> Option<Head> {
        let (page, at) = self.page_mut(at)?;
        let slot = page.slots.get_mut(at).and_then(Option::take)?;
        page.unused = page.unused.saturating_add(slot.len as usize);
        if page.unused.saturating_mul(2) > page.texts.len() {
            page.compact(0);
        }
        Some(slot.head)
    }

    /// Changes what a mapping does.
    pub fn change_status(&mut self, at: u32, change: impl FnOnce(MappingStatus) -> MappingStatus) {
        let Some((page, at)) = self.page_mut(at) else { return };
        if let Some(Some(slot)) = page.slots.get_mut(at) {
            slot.head.status = change(slot.head.status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(texts: &str) -> Record<'_> {
        let head = Head {
            shape: 0,
            document: 0,
            key_len: 0,
            user_len: 0,
            uid_len: 0,
            form: Some(NameForm::Uri),
            status: MappingStatus::Enabled,
        };
        Record { head, texts: texts.as_bytes() }
    }

    fn name(records: &Records, at: u32) -> Option<&str> {
        records.get(at).map(|record| record.name())
    }

    #[test]
    fn clones_keep_what_they_had() {
        let mut live = Records::default();
        for n in 0..1000_u32 {
            assert_eq!(live.push(record(&format!("record {n}"))), n);
        }
        let kept = live.clone();
        assert!(live.take(300).is_some() && live.take(300).is_none());
        assert_eq!(name(&live, 300), None);
        live.set(300, record("a longer one than before"));
        live.push(record("last"));
        live.change_status(301, |_| MappingStatus::Disabled);
        assert_eq!(live.get(301).map(|record| record.head.status), Some(MappingStatus::Disabled));
        assert_eq!((name(&live, 300), name(&live, 1000)), (Some("a longer one than before"), Some("last")));
        for n in 0..1000 {
            let want = format!("record {n}");
            assert_eq!(name(&kept, n), Some(&*want));
            assert!(n == 300 || name(&live, n) == Some(&*want), "{n}");
        }
        assert_eq!((kept.get(1000), kept.get(301).unwrap().head.status), (None, MappingStatus::Enabled));
        assert!(Arc::ptr_eq(&live.pages[0], &kept.pages[0]), "untouched pages are shared");
    }

    #[test]
    fn texts_that_are_gone_take_no_space() {
        let mut records = Records::default();
        (0..256).for_each(|n| assert_eq!(records.push(record(&"x".repeat(100))), n));
        for n in 0..256 {
            records.take(n);
            records.set(n, record(&"y".repeat(90)));
            let texts: usize = records.pages[0].texts.capacity();
            assert!(texts <= 256 * 100, "{texts}");
        }
        assert!((0..256).all(|n| name(&records, n) == Some(&*"y".repeat(90))));
        (0..200).for_each(|n| assert!(records.take(n).is_some()));
        assert!(records.pages[0].texts.capacity() <= 2 * 56 * 90, "{}", records.pages[0].texts.capacity());
        assert!((200..256).all(|n| name(&records, n) == Some(&*"y".repeat(90))));
    }
}
