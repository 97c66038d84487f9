//! The CertificateMapping objects, 100,000 and more of them, in compact form.
//!
//! A mapping is a record of 24 bytes and its texts ([`super::records`]); labels, groups, extra attributes and their
//! common combinations are interned. A snapshot keeps a [`MappingTable`], which shares everything unchanged;
//! [`super::store`] edits it. A look-up selects the mappings of a policy by namespace and labels.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::changes::{LookupChanges, MappingsRead};
use super::interner::InternedValues;
use super::key::{self, IssuerPin, NameForm, NameForms};
use super::records::{Record, Records};
use crate::domain::api::LabelSelector;
use crate::domain::decide::identity::Identity;
use certgate_x509::Certificate;

/// The namespace and labels of a mapping, which select it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelGroup {
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
}

/// The parts of an identity that many mappings share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    pub(super) groups: Vec<String>,
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

/// What mappings with different texts share: the numbers of a [`LabelGroup`], of [`Attributes`] and of a file.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct SharedParts {
    pub(super) group: u32,
    pub(super) attributes: u32,
    pub(super) file: u32,
}

/// What a mapping does to its certificate.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum MappingStatus {
    /// It gives the certificate its identity.
    Enabled,
    /// It denies the certificate.
    Disabled,
    /// It does not compile, or another object has its name; it denies its certificate.
    Invalid,
    /// The same, and its intended effect was to disable the certificate.
    InvalidDisabled,
}

/// The mappings as a snapshot keeps them.
#[derive(Clone, Debug, Default)]
pub struct MappingTable {
    pub(super) records: Records,
    pub(super) keys: Arc<HashTable<u32>>,
    pub(super) shared_parts: InternedValues<SharedParts>,
    pub(super) groups: InternedValues<LabelGroup>,
    pub(super) attributes: InternedValues<Attributes>,
    pub(super) forms: NameForms,
    pub(super) changes: LookupChanges,
    pub(super) len: usize,
    pub(super) hasher: RandomState,
}

/// One mapping, as a look-up finds it.
#[derive(Copy, Clone, Debug)]
pub struct ObjectEntry<'a> {
    pub(super) record: Record<'a>,
    pub(super) group: &'a LabelGroup,
    pub(super) attributes: &'a Attributes,
}

impl<'a> ObjectEntry<'a> {
    /// The object's name, without its namespace.
    pub fn name(&self) -> &'a str {
        self.record.name()
    }

    /// What it states about the issuer, besides its name.
    pub fn pin(&self) -> Option<IssuerPin> {
        self.record.head.form.and_then(|form| key::pin(form, self.record.key()))
    }

    /// Whether `bytes`, in the form by which the entry was found, may name the same certificate.
    pub fn may_be(&self, bytes: &[u8]) -> bool {
        self.record.head.form.is_some_and(|form| key::may_coincide(form, self.record.key(), bytes))
    }

    /// What the mapping does.
    pub fn status(&self) -> MappingStatus {
        self.record.head.status
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
    pub fn forms(&self) -> NameForms {
        self.forms
    }

    /// Which look-ups have changed.
    pub fn changes(&self) -> &LookupChanges {
        &self.changes
    }

    /// The look-ups that a decision about `certificate` rests on under a policy of `namespace` that selects mappings;
    /// `None` when they are too many.
    pub fn read_for(&self, namespace: &str, certificate: &Certificate) -> Option<MappingsRead> {
        let mut hashes = Vec::with_capacity(4);
        key::keys_of(certificate, self.forms, |form, key| {
            hashes.push(key_hash(&self.hasher, namespace, form, key));
        });
        self.changes.record(&hashes)
    }

    /// The number of mappings, including invalid ones.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no mappings.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The mappings of `namespace` that `selector` selects and that name a certificate by `key` in `form`. `key` lacks
    /// the issuer's pin, which the caller must still compare ([`ObjectEntry::pin`]).
    pub fn find<'a, 'k>(
        &'a self,
        namespace: &'k str,
        selector: &'k LabelSelector,
        form: NameForm,
        key: &'k [u8],
    ) -> impl Iterator<Item = ObjectEntry<'a>> + use<'a, 'k> {
        self.keys
            .iter_hash(key_hash(&self.hasher, namespace, form, key))
            .filter_map(|&at| {
                let record = self.records.get(at)?;
                let shape = self.shared_parts.get(record.head.shape)?.as_deref()?;
                let group = self.groups.get(shape.group)?.as_deref()?;
                let attributes = self.attributes.get(shape.attributes)?.as_deref()?;
                Some(ObjectEntry { record, group, attributes })
            })
            .filter(move |entry| {
                entry.record.head.form == Some(form)
                    && entry.record.lookup() == key
                    && entry.group.namespace == namespace
                    && selector.selects(&entry.group.labels)
            })
    }
}

/// The hash of a key for look-up.
pub(super) fn key_hash(hasher: &RandomState, namespace: &str, form: NameForm, key: &[u8]) -> u64 {
    hasher.hash_one((namespace, form, key))
}
