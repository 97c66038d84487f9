//! The CertificateMapping objects, 100,000 and more of them, in compact form.
//!
//! A mapping is one record of 40 bytes and one allocation with its texts; labels, groups and extra attributes are
//! interned. A [`MappingTable`] is what a snapshot keeps, and shares everything that has not changed; [`super::store`] edits
//! it. Which mappings a policy means is asked at look-up, by namespace and labels.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::interner::Values;
use super::key::{self, Form, Forms, IssuerPin};
use super::paged::Paged;
use crate::domain::api::LabelSelector;
use crate::domain::decide::identity::Identity;

/// Where a mapping lives and what selects it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
}

/// The parts of an identity that many mappings share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    pub(super) groups: Vec<String>,
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

/// One mapping. Its texts stand one after the other in `texts`: key, user, uid, and the object's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) texts: Box<[u8]>,
    pub(super) group: u32,
    pub(super) attributes: u32,
    pub(super) file: u32,
    pub(super) document: u32,
    pub(super) key_len: u16,
    pub(super) user_len: u16,
    /// One more than the uid's length; 0 without a uid.
    pub(super) uid_len: u16,
    pub(super) form: Option<Form>,
    pub(super) status: Status,
}

/// What a mapping does to its certificate.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It gives the certificate its identity.
    Enabled,
    /// It denies the certificate.
    Disabled,
    /// It does not compile, or another object has its name; it denies the certificate that it names.
    Invalid,
    /// The same, and it was meant to disable the certificate.
    InvalidDisabled,
}

impl Record {
    fn slice(&self, from: usize, len: usize) -> &[u8] {
        from.checked_add(len).and_then(|to| self.texts.get(from..to)).unwrap_or_default()
    }

    fn text(&self, from: usize, len: usize) -> &str {
        std::str::from_utf8(self.slice(from, len)).unwrap_or_default()
    }

    pub(super) fn key(&self) -> &[u8] {
        self.slice(0, usize::from(self.key_len))
    }

    /// The bytes by which the record is found.
    pub(super) fn lookup(&self) -> &[u8] {
        self.form.map_or(&[], |form| key::lookup(form, self.key()))
    }

    pub(super) fn user(&self) -> &str {
        self.text(usize::from(self.key_len), usize::from(self.user_len))
    }

    pub(super) fn uid(&self) -> Option<&str> {
        let len = usize::from(self.uid_len.checked_sub(1)?);
        Some(self.text(usize::from(self.key_len).saturating_add(usize::from(self.user_len)), len))
    }

    pub(super) fn name(&self) -> &str {
        let from = usize::from(self.key_len)
            .saturating_add(usize::from(self.user_len))
            .saturating_add(usize::from(self.uid_len.saturating_sub(1)));
        self.text(from, self.texts.len().saturating_sub(from))
    }
}

/// The mappings as a snapshot keeps them.
#[derive(Clone, Debug, Default)]
pub struct MappingTable {
    pub(super) records: Paged<Option<Record>>,
    pub(super) keys: Arc<HashTable<u32>>,
    pub(super) groups: Values<Group>,
    pub(super) attributes: Values<Attributes>,
    pub(super) forms: Forms,
    pub(super) len: usize,
    pub(super) hasher: RandomState,
}

/// One mapping, as a look-up finds it.
#[derive(Copy, Clone, Debug)]
pub struct Entry<'a> {
    pub(super) record: &'a Record,
    pub(super) group: &'a Group,
    pub(super) attributes: &'a Attributes,
}

impl<'a> Entry<'a> {
    /// The object's name, without its namespace.
    pub fn name(&self) -> &'a str {
        self.record.name()
    }

    /// What it says about the issuer, besides its name.
    pub fn pin(&self) -> Option<IssuerPin> {
        self.record.form.and_then(|form| key::pin(form, self.record.key()))
    }

    /// Whether `bytes`, in the form by which the entry was found, may name the same certificate.
    pub fn may_be(&self, bytes: &[u8]) -> bool {
        self.record.form.is_some_and(|form| key::may_coincide(form, self.record.key(), bytes))
    }

    /// What the mapping does.
    pub fn status(&self) -> Status {
        self.record.status
    }

    /// The user it maps to.
    pub fn user(&self) -> &'a str {
        self.record.user()
    }

    /// The identity it maps to.
    pub fn identity(&self) -> Identity {
        Identity {
            user: self.record.user().to_owned(),
            groups: self.attributes.groups.clone(),
            uid: self.record.uid().map(str::to_owned),
            extra: self.attributes.extra.clone(),
        }
    }

    /// Whether it maps to `identity`.
    pub fn stands_for(&self, identity: &Identity) -> bool {
        self.record.user() == identity.user
            && self.record.uid() == identity.uid.as_deref()
            && self.attributes.groups == identity.groups
            && self.attributes.extra == identity.extra
    }

    /// Whether it maps to the same identity as `other`.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.record.user() == other.record.user()
            && self.record.uid() == other.record.uid()
            && self.attributes == other.attributes
    }
}

impl MappingTable {
    /// The forms that any mapping uses.
    pub fn forms(&self) -> Forms {
        self.forms
    }

    /// The number of mappings, with invalid ones.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no mappings.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The mappings of `namespace` that `selector` selects and that name a certificate by `key` in `form`: the key without
    /// the pin of an issuer, which stays to be compared ([`Entry::pin`]).
    pub fn find<'a, 'k>(
        &'a self,
        namespace: &'k str,
        selector: &'k LabelSelector,
        form: Form,
        key: &'k [u8],
    ) -> impl Iterator<Item = Entry<'a>> + use<'a, 'k> {
        self.keys
            .iter_hash(key_hash(&self.hasher, namespace, form, key))
            .filter_map(|&at| {
                let record = self.records.get(at)?.as_ref()?;
                let group = self.groups.get(record.group)?.as_deref()?;
                let attributes = self.attributes.get(record.attributes)?.as_deref()?;
                Some(Entry { record, group, attributes })
            })
            .filter(move |entry| {
                entry.record.form == Some(form)
                    && entry.record.lookup() == key
                    && entry.group.namespace == namespace
                    && selector.selects(&entry.group.labels)
            })
    }
}

/// The hash by which a key is found.
pub(super) fn key_hash(hasher: &RandomState, namespace: &str, form: Form, key: &[u8]) -> u64 {
    hasher.hash_one((namespace, form, key))
}
