//! The CertificateMapping objects as the index edits them, and their errors.
//!
//! Owns the assignment of records to objects, objects of the same name, and mappings for the same certificate.
//! [`super::table`] owns the records.

mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;

use super::interner::Interner;
use super::key::{self, NameForm, NameForms, NameKey};
use super::records::{Head, Record};
use super::table::{Attributes, LabelGroup, MappingStatus, MappingTable, SharedParts, key_hash};
use crate::domain::api::{FieldError, LabelSelector, MappingState, ObjectId, ObjectMeta, Origin, duplicate_error};
use crate::domain::decide::identity::Identity;
use crate::domain::decide::mapping::compiled::CompiledMapping;
use certgate_x509::Sha256;
pub use stored::{Contradiction, StoredMapping};

/// The most mappings of one name that a mapping is compared with.
const MAX_COMPARED_MAPPINGS: usize = 16;

/// The mappings as the index edits them.
#[derive(Debug, Default)]
pub struct MappingStore {
    table: MappingTable,
    shared_parts: Interner<SharedParts>,
    groups: Interner<LabelGroup>,
    attributes: Interner<Attributes>,
    files: Interner<Arc<str>>,
    ids: HashTable<u32>,
    free: Vec<u32>,
    /// How many mappings use each form.
    forms: [usize; NameForm::ALL.len()],
    /// The errors of the mappings that do not compile.
    errors: BTreeMap<u32, Vec<FieldError>>,
    /// The mappings whose object name another object has.
    duplicates: BTreeSet<u32>,
    /// The mappings whose certificate name cannot be read.
    unreadable: BTreeSet<u32>,
    /// The mappings that share their certificate name with another one, except for the pin of an issuer.
    rivals: BTreeSet<u32>,
    /// The keys of inline certificates.
    public_keys: BTreeMap<u32, Sha256>,
}

/// Whether an edit changed the store.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum EditOutcome {
    /// It did.
    Changed,
    /// The store holds what it held before.
    Unchanged,
}

impl MappingStore {
    /// The mappings as they are now.
    pub fn table(&self) -> MappingTable {
        let mut table = self.table.clone();
        table.shared_parts = self.shared_parts.values().clone();
        table.groups = self.groups.values().clone();
        table.attributes = self.attributes.values().clone();
        table
    }

    /// Stores a mapping in place of the former one of the same name and origin.
    pub fn apply(&mut self, meta: ObjectMeta, mapping: CompiledMapping) -> EditOutcome {
        let former = self.find(&meta.namespace, &meta.name, &meta.origin);
        let forms = self.table.forms;
        let ObjectMeta { name, namespace, labels, origin, .. } = meta;
        let hash = self.id_hash(&namespace, &name);
        let group = self.groups.acquire(LabelGroup { namespace, labels });
        let CompiledMapping { key, public_key, identity, state, errors } = mapping;
        let Identity { user, groups, uid, extra } = identity;
        let attributes = self.attributes.acquire(Attributes { groups, extra });
        let file = self.files.acquire(origin.file);
        let uid = uid.as_deref();
        let (form, key) = key.map_or((None, Vec::new()), |NameKey { form, bytes }| (Some(form), bytes));
        let short = |len: usize| u16::try_from(len).expect("compile caps keys, users and uids well below 64 KiB");
        let texts = [&key[..], user.as_bytes(), uid.unwrap_or_default().as_bytes(), name.as_bytes()].concat();
        let head = Head {
            shape: self.shared_parts.acquire(SharedParts { group, attributes, file }),
            document: origin.document,
            key_len: short(key.len()),
            user_len: short(user.len()),
            uid_len: uid.map_or(0, |uid| short(uid.len()).saturating_add(1)),
            form,
            status: match (errors.is_empty(), state) {
                (true, MappingState::Enabled) => MappingStatus::Enabled,
                (true, MappingState::Disabled) => MappingStatus::Disabled,
                (false, MappingState::Enabled) => MappingStatus::Invalid,
                (false, MappingState::Disabled) => MappingStatus::InvalidDisabled,
            },
        };
        let record = Record { head, texts: &texts };
        if let Some(at) = former
            && self.is_as(at, record, &errors)
        {
            self.release(head);
            return EditOutcome::Unchanged;
        }
        if let Some(at) = former {
            self.remove(at);
        }
        let at = self.insert(hash, record, errors);
        if let Some(sha256) = public_key {
            self.public_keys.insert(at, sha256);
        }
        // A form that no mapping used is one that no decision has looked up.
        if self.table.forms != forms {
            self.table.changes.begin_epoch();
        }
        EditOutcome::Changed
    }

    /// Removes a mapping.
    pub fn delete(&mut self, id: &ObjectId) -> EditOutcome {
        match self.find(&id.namespace, &id.name, &id.origin) {
            Some(at) => {
                self.remove(at);
                EditOutcome::Changed
            }
            None => EditOutcome::Unchanged,
        }
    }

    /// The mappings that compile.
    pub fn working(&self) -> impl Iterator<Item = StoredMapping<'_>> {
        let compiles = |stored: &StoredMapping<'_>| {
            matches!(stored.record.head.status, MappingStatus::Enabled | MappingStatus::Disabled)
        };
        self.ids.iter().filter_map(|at| self.stored(*at)).filter(compiles)
    }

    /// The mappings that contradict another one which some policy selects as well; `policies` returns those of a
    /// namespace that select mappings. If very many mappings share a name, not all contradictions are found.
    pub fn contradictions<'p>(
        &self,
        policies: &impl Fn(&str) -> &'p [(Arc<str>, &'p LabelSelector)],
    ) -> Vec<Contradiction> {
        let pair = |own: StoredMapping<'_>, other: StoredMapping<'_>| {
            let both =
                |selector: &LabelSelector| selector.selects(&own.group.labels) && selector.selects(&other.group.labels);
            let among = policies(&own.group.namespace);
            let (policy, _) = among.iter().find(|(_, selector)| both(selector)).filter(|_| own.contradicts(&other))?;
            Some(Contradiction { id: own.id(), other: other.record.name().to_owned(), policy: Arc::clone(policy) })
        };
        let mut out = Vec::new();
        for at in &self.rivals {
            let Some(own) = self.stored(*at) else { continue };
            let others = self.of_same_name(*at).take(MAX_COMPARED_MAPPINGS).filter_map(|other| self.stored(other));
            out.extend(others.filter_map(|other| pair(own, other)).min_by(|left, right| left.other.cmp(&right.other)));
        }
        if self.forms.get(NameForm::PublicKeySha256 as usize).is_none_or(|count| *count == 0) {
            return out;
        }
        for (at, sha256) in &self.public_keys {
            let Some(own) = self.stored(*at) else { continue };
            let named = self
                .named(&own.group.namespace, NameForm::PublicKeySha256, sha256.as_bytes())
                .take(MAX_COMPARED_MAPPINGS);
            for other in named.filter_map(|other| self.stored(other)) {
                out.extend([pair(own, other), pair(other, own)].into_iter().flatten());
            }
        }
        out
    }

    /// The mappings that do not work, each with all errors.
    pub fn problems(&self) -> impl Iterator<Item = (ObjectId, Vec<FieldError>)> {
        let places: BTreeSet<u32> = self.errors.keys().chain(&self.duplicates).copied().collect();
        places.into_iter().filter_map(|at| {
            let id = self.id(at)?;
            let mut errors = self.errors.get(&at).cloned().unwrap_or_default();
            if self.duplicates.contains(&at) {
                let others = self.same_name(&id.namespace, &id.name).filter(|other| *other != at);
                errors.push(duplicate_error(others.filter_map(|other| self.id(other)).map(|id| id.origin)));
            }
            Some((id, errors))
        })
    }

    /// How many mappings of `namespace` the selector selects, working or not.
    pub fn selected_by(&self, namespace: &str, selector: &LabelSelector) -> usize {
        let selected = |group: &LabelGroup| group.namespace == namespace && selector.selects(&group.labels);
        let uses = self.groups.counted().filter(|(group, _)| selected(group)).map(|(_, uses)| uses as usize);
        uses.fold(0, usize::saturating_add)
    }

    /// Whether the certificate name of any mapping cannot be read.
    pub fn has_unreadable(&self) -> bool {
        !self.unreadable.is_empty()
    }

    /// The mappings selected by `selector` whose certificate name cannot be read, sorted, each with its intended state.
    pub fn unreadable(&self, namespace: &str, selector: &LabelSelector) -> BTreeMap<ObjectId, MappingState> {
        let selected = |at: &u32| {
            let stored = self.stored(*at)?;
            let selected = stored.group.namespace == namespace && selector.selects(&stored.group.labels);
            selected.then(|| (stored.id(), stored.state()))
        };
        self.unreadable.iter().filter_map(selected).collect()
    }

    fn stored(&self, at: u32) -> Option<StoredMapping<'_>> {
        let record = self.table.records.get(at)?;
        let shape = self.shared_parts.get(record.head.shape)?;
        let (group, attributes) = (self.groups.get(shape.group)?, self.attributes.get(shape.attributes)?);
        Some(StoredMapping { record, group, attributes, file: self.files.get(shape.file)? })
    }

    /// The records of `namespace` with `key` in `form`.
    fn named<'a>(&'a self, namespace: &'a str, form: NameForm, key: &'a [u8]) -> impl Iterator<Item = u32> + use<'a> {
        let same = move |stored: StoredMapping<'_>| {
            stored.record.head.form == Some(form)
                && stored.group.namespace == namespace
                && stored.record.lookup() == key
        };
        let found = self.table.keys.iter_hash(key_hash(&self.table.hasher, namespace, form, key)).copied();
        found.filter(move |at| self.stored(*at).is_some_and(same))
    }

    /// The records with the name of the record at `at`, except for the pin of an issuer.
    fn of_same_name(&self, at: u32) -> impl Iterator<Item = u32> {
        let own = self.stored(at).and_then(|own| Some((own, own.record.head.form?)));
        let others = own
            .map(|(own, form)| self.named(&own.group.namespace, form, own.record.lookup()).filter(move |o| *o != at));
        others.into_iter().flatten()
    }

    /// The mappings that the selector selects and that give another identity to a certificate which `key` may name.
    pub fn against<'a>(
        &'a self,
        namespace: &'a str,
        selector: &'a LabelSelector,
        key: &'a NameKey,
        identity: &'a Identity,
    ) -> impl Iterator<Item = StoredMapping<'a>> {
        let NameKey { form, bytes } = key;
        let found = self.named(namespace, *form, key::lookup(*form, bytes)).filter_map(|at| self.stored(at));
        found.filter(move |stored| {
            stored.record.head.status == MappingStatus::Enabled
                && selector.selects(&stored.group.labels)
                && key::may_coincide(*form, stored.record.key(), bytes)
                && !stored.entry().stands_for(identity)
        })
    }

    fn id_hash(&self, namespace: &str, name: &str) -> u64 {
        self.table.hasher.hash_one((namespace, name))
    }

    fn same_name(&self, namespace: &str, name: &str) -> impl Iterator<Item = u32> {
        let is_it =
            move |stored: StoredMapping<'_>| stored.record.name() == name && stored.group.namespace == namespace;
        let found = self.ids.iter_hash(self.id_hash(namespace, name)).copied();
        found.filter(move |&at| self.stored(at).is_some_and(is_it))
    }

    fn find(&self, namespace: &str, name: &str, origin: &Origin) -> Option<u32> {
        let is_it =
            |stored: StoredMapping<'_>| stored.record.head.document == origin.document && **stored.file == *origin.file;
        self.same_name(namespace, name).find(|&at| self.stored(at).is_some_and(is_it))
    }

    fn id(&self, at: u32) -> Option<ObjectId> {
        self.stored(at).map(|stored| stored.id())
    }

    /// Whether the record at `at` equals `record`, apart from its duplicates.
    fn is_as(&self, at: u32, record: Record<'_>, errors: &[FieldError]) -> bool {
        let Some(stored) = self.table.records.get(at) else { return false };
        let status = record.head.status;
        let status = if self.duplicates.contains(&at) { as_duplicate(status) } else { status };
        let wanted = Record { head: Head { status, ..record.head }, ..record };
        stored == wanted && self.errors.get(&at).map_or(&[][..], Vec::as_slice) == errors
    }

    fn insert(&mut self, id_hash: u64, record: Record<'_>, errors: Vec<FieldError>) -> u32 {
        let form = record.head.form;
        let unreadable = form.is_none();
        let at = match self.free.pop() {
            Some(at) => {
                self.table.records.set(at, record);
                at
            }
            None => self.table.records.push(record),
        };
        let Self { table, shared_parts, groups, ids, .. } = self;
        let MappingTable { records, keys, hasher, changes, .. } = table;
        let stored = |at: u32| {
            let record = records.get(at)?;
            let shape = shared_parts.get(record.head.shape)?;
            Some((record, &*groups.get(shape.group)?.namespace))
        };
        ids.insert_unique(id_hash, at, |&at| {
            stored(at).map_or(0, |(record, namespace)| hasher.hash_one((namespace, record.name())))
        });
        let by_key = |at: u32| {
            let (record, namespace) = stored(at)?;
            Some(key_hash(hasher, namespace, record.head.form?, record.lookup()))
        };
        if let Some(hash) = by_key(at) {
            Arc::make_mut(keys).insert_unique(hash, at, |&at| by_key(at).unwrap_or_default());
            changes.note(hash);
        }
        self.table.len = self.table.len.saturating_add(1);
        if let Some(form) = form {
            self.count(form, |count| count.saturating_add(1));
        }
        if unreadable {
            self.unreadable.insert(at);
        }
        if !errors.is_empty() {
            self.errors.insert(at, errors);
        }
        let rival = self.of_same_name(at).next();
        if let Some(rival) = rival {
            self.rivals.extend([at, rival]);
        }
        self.mark_duplicates(at);
        at
    }

    fn remove(&mut self, at: u32) {
        let Some((hash, key_hash)) = self.hashes(at) else { return };
        if self.rivals.remove(&at) {
            let others: Vec<u32> = self.of_same_name(at).take(2).collect();
            if let [only] = others[..] {
                self.rivals.remove(&only);
            }
        }
        let others: Vec<u32> = match self.id(at) {
            Some(id) => self.same_name(&id.namespace, &id.name).filter(|other| *other != at).collect(),
            None => Vec::new(),
        };
        if let Ok(entry) = self.ids.find_entry(hash, |&stored| stored == at) {
            entry.remove();
        }
        if let Some(key_hash) = key_hash {
            if let Ok(entry) = Arc::make_mut(&mut self.table.keys).find_entry(key_hash, |&stored| stored == at) {
                entry.remove();
            }
            self.table.changes.note(key_hash);
        }
        self.errors.remove(&at);
        self.duplicates.remove(&at);
        self.unreadable.remove(&at);
        self.public_keys.remove(&at);
        if let Some(head) = self.table.records.take(at) {
            self.table.len = self.table.len.saturating_sub(1);
            if let Some(form) = head.form {
                self.count(form, |count| count.saturating_sub(1));
            }
            self.release(head);
            self.free.push(at);
        }
        if let [only] = others[..]
            && self.duplicates.remove(&only)
        {
            let compiles = !self.errors.contains_key(&only);
            if compiles {
                self.change_status(only, |status| match status {
                    MappingStatus::Invalid => MappingStatus::Enabled,
                    MappingStatus::InvalidDisabled => MappingStatus::Disabled,
                    other => other,
                });
            }
        }
    }

    fn hashes(&self, at: u32) -> Option<(u64, Option<u64>)> {
        let StoredMapping { record, group, .. } = self.stored(at)?;
        let key = record.head.form.map(|form| key_hash(&self.table.hasher, &group.namespace, form, record.lookup()));
        Some((self.id_hash(&group.namespace, record.name()), key))
    }

    /// Marks the record at `at` and those of the same name, when there are any.
    fn mark_duplicates(&mut self, at: u32) {
        let Some(id) = self.id(at) else { return };
        let all: Vec<u32> = self.same_name(&id.namespace, &id.name).collect();
        if all.len() < 2 {
            return;
        }
        for at in all {
            self.duplicates.insert(at);
            self.change_status(at, as_duplicate);
        }
    }

    fn change_status(&mut self, at: u32, change: impl FnOnce(MappingStatus) -> MappingStatus) {
        self.table.records.change_status(at, change);
        if let Some((_, Some(key_hash))) = self.hashes(at) {
            self.table.changes.note(key_hash);
        }
    }

    fn count(&mut self, form: NameForm, change: impl FnOnce(usize) -> usize) {
        if let Some(count) = self.forms.get_mut(form as usize) {
            *count = change(*count);
        }
        let used = |form: &NameForm| self.forms.get(*form as usize).is_some_and(|count| *count > 0);
        self.table.forms = NameForm::ALL.into_iter().filter(used).fold(NameForms::default(), NameForms::with);
    }

    fn release(&mut self, head: Head) {
        let Some(SharedParts { group, attributes, file }) = self.shared_parts.get(head.shape).map(|shape| **shape)
        else {
            return;
        };
        self.shared_parts.release(head.shape);
        self.groups.release(group);
        self.attributes.release(attributes);
        self.files.release(file);
    }
}

fn as_duplicate(status: MappingStatus) -> MappingStatus {
    match status {
        MappingStatus::Enabled | MappingStatus::Invalid => MappingStatus::Invalid,
        MappingStatus::Disabled | MappingStatus::InvalidDisabled => MappingStatus::InvalidDisabled,
    }
}
