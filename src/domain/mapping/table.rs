//! The CertificateMapping objects, 100,000 and more of them, in compact form.
//!
//! A mapping is one record of 40 bytes and one allocation with its texts; labels, groups and extra attributes are
//! interned. [`MappingStore`] belongs to the index; a [`MappingTable`] is what a snapshot keeps, and shares everything
//! that has not changed. Which mappings a policy means is asked at look-up, by namespace and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::interner::{Interner, Values};
use super::key::{Form, Forms, NameKey};
use super::paged::Paged;
use crate::domain::compile::CompiledMapping;
use crate::domain::identity::Identity;
use crate::domain::spec::{FieldError, Kind, LabelSelector, MappingState, ObjectId, ObjectMeta, Origin};

/// Where a mapping lives and what selects it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    namespace: String,
    labels: BTreeMap<String, String>,
}

/// The parts of an identity that many mappings share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// One mapping. Its texts stand one after the other in `texts`: key, user, uid, and the object's name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    texts: Box<[u8]>,
    group: u32,
    attributes: u32,
    file: u32,
    document: u32,
    key_len: u16,
    user_len: u16,
    /// One more than the uid's length; 0 without a uid.
    uid_len: u16,
    form: Option<Form>,
    status: Status,
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

    fn key(&self) -> &[u8] {
        self.slice(0, usize::from(self.key_len))
    }

    fn user(&self) -> &str {
        self.text(usize::from(self.key_len), usize::from(self.user_len))
    }

    fn uid(&self) -> Option<&str> {
        let len = usize::from(self.uid_len.checked_sub(1)?);
        Some(self.text(usize::from(self.key_len).saturating_add(usize::from(self.user_len)), len))
    }

    fn name(&self) -> &str {
        let from = usize::from(self.key_len)
            .saturating_add(usize::from(self.user_len))
            .saturating_add(usize::from(self.uid_len.saturating_sub(1)));
        self.text(from, self.texts.len().saturating_sub(from))
    }
}

/// The mappings as a snapshot keeps them.
#[derive(Clone, Debug, Default)]
pub struct MappingTable {
    records: Paged<Option<Record>>,
    keys: Arc<HashTable<u32>>,
    groups: Values<Group>,
    attributes: Values<Attributes>,
    forms: Forms,
    len: usize,
    hasher: RandomState,
}

/// One mapping, as a look-up finds it.
#[derive(Copy, Clone, Debug)]
pub struct Entry<'a> {
    record: &'a Record,
    group: &'a Group,
    attributes: &'a Attributes,
}

impl<'a> Entry<'a> {
    /// The object's name, without its namespace.
    pub fn name(&self) -> &'a str {
        self.record.name()
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

    /// The mappings of `namespace` that `selector` selects and that name a certificate by `key` in `form`.
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
                    && entry.record.key() == key
                    && entry.group.namespace == namespace
                    && selector.selects(&entry.group.labels)
            })
    }
}

fn key_hash(hasher: &RandomState, namespace: &str, form: Form, key: &[u8]) -> u64 {
    hasher.hash_one((namespace, form, key))
}

/// The mappings as the index edits them.
#[derive(Debug, Default)]
pub struct MappingStore {
    table: MappingTable,
    groups: Interner<Group>,
    attributes: Interner<Attributes>,
    files: Interner<Arc<str>>,
    ids: HashTable<u32>,
    free: Vec<u32>,
    /// How many mappings use each form.
    forms: [usize; Form::ALL.len()],
    /// What is wrong with the mappings that do not compile.
    errors: BTreeMap<u32, Vec<FieldError>>,
    /// The mappings that share their name with another object.
    twins: BTreeSet<u32>,
    /// The mappings that name a certificate which nobody can tell.
    unreadable: BTreeSet<u32>,
}

/// Whether an edit changed anything.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Change {
    /// It did.
    Changed,
    /// The store holds what it held before.
    Unchanged,
}

impl MappingStore {
    /// The mappings as they are now.
    pub fn table(&self) -> MappingTable {
        let mut table = self.table.clone();
        table.groups = self.groups.values().clone();
        table.attributes = self.attributes.values().clone();
        table
    }

    /// Stores a mapping in place of the former one of the same name and origin.
    pub fn apply(&mut self, meta: ObjectMeta, mapping: CompiledMapping) -> Change {
        let former = self.find(&meta.namespace, &meta.name, &meta.origin);
        let ObjectMeta { name, namespace, labels, origin, .. } = meta;
        let hash = self.id_hash(&namespace, &name);
        let group = self.groups.acquire(Group { namespace, labels });
        let CompiledMapping { key, identity, state, errors } = mapping;
        let Identity { user, groups, uid, extra } = identity;
        let attributes = self.attributes.acquire(Attributes { groups, extra });
        let file = self.files.acquire(origin.file);
        let uid = uid.as_deref();
        let (form, key) = key.map_or((None, Vec::new()), |NameKey { form, bytes }| (Some(form), bytes));
        let short = |len: usize| u16::try_from(len).expect("compile caps keys, users and uids well below 64 KiB");
        let record = Record {
            texts: [&key[..], user.as_bytes(), uid.unwrap_or_default().as_bytes(), name.as_bytes()].concat().into(),
            group,
            attributes,
            file,
            document: origin.document,
            key_len: short(key.len()),
            user_len: short(user.len()),
            uid_len: uid.map_or(0, |uid| short(uid.len()).saturating_add(1)),
            form,
            status: match (errors.is_empty(), state) {
                (true, MappingState::Enabled) => Status::Enabled,
                (true, MappingState::Disabled) => Status::Disabled,
                (false, MappingState::Enabled) => Status::Invalid,
                (false, MappingState::Disabled) => Status::InvalidDisabled,
            },
        };
        if let Some(at) = former
            && self.is_as(at, &record, &errors)
        {
            self.release(&record);
            return Change::Unchanged;
        }
        if let Some(at) = former {
            self.remove(at);
        }
        self.insert(hash, record, errors);
        Change::Changed
    }

    /// Removes a mapping.
    pub fn delete(&mut self, id: &ObjectId) -> Change {
        match self.find(&id.namespace, &id.name, &id.origin) {
            Some(at) => {
                self.remove(at);
                Change::Changed
            }
            None => Change::Unchanged,
        }
    }

    /// The identifiers of all mappings.
    pub fn ids(&self) -> impl Iterator<Item = ObjectId> {
        self.ids.iter().filter_map(|at| self.id(*at))
    }

    /// The mappings that compile, each with the form of its name.
    pub fn forms_in_use(&self) -> impl Iterator<Item = (ObjectId, Form)> {
        self.ids.iter().filter_map(|at| {
            let record = self.table.records.get(*at)?.as_ref()?;
            let compiles = matches!(record.status, Status::Enabled | Status::Disabled);
            Some((self.id(*at)?, record.form.filter(|_| compiles)?))
        })
    }

    /// The mappings that do not work, each with all that is wrong.
    pub fn problems(&self) -> impl Iterator<Item = (ObjectId, Vec<FieldError>)> {
        let places: BTreeSet<u32> = self.errors.keys().chain(&self.twins).copied().collect();
        places.into_iter().filter_map(|at| {
            let id = self.id(at)?;
            let mut errors = self.errors.get(&at).cloned().unwrap_or_default();
            if self.twins.contains(&at) {
                let others = self.same_name(&id.namespace, &id.name).filter(|other| *other != at);
                errors.push(twin_error(others.filter_map(|other| self.id(other)).map(|id| id.origin)));
            }
            Some((id, errors))
        })
    }

    /// How many mappings of `namespace` the selector selects, working or not.
    pub fn selected_by(&self, namespace: &str, selector: &LabelSelector) -> usize {
        let selected = |group: &Group| group.namespace == namespace && selector.selects(&group.labels);
        let uses = self.groups.counted().filter(|(group, _)| selected(group)).map(|(_, uses)| uses as usize);
        uses.fold(0, usize::saturating_add)
    }

    /// Whether any mapping names a certificate which nobody can tell.
    pub fn has_unreadable(&self) -> bool {
        !self.unreadable.is_empty()
    }

    /// The mappings selected by `selector` that name a certificate which nobody can tell, sorted, and whether they are
    /// meant to be in force.
    pub fn unreadable(&self, namespace: &str, selector: &LabelSelector) -> BTreeMap<ObjectId, MappingState> {
        let selected = |at: &u32| {
            let record = self.table.records.get(*at).and_then(Option::as_ref)?;
            let group = self.groups.get(record.group)?;
            let state = match record.status {
                Status::Enabled | Status::Invalid => MappingState::Enabled,
                Status::Disabled | Status::InvalidDisabled => MappingState::Disabled,
            };
            let selected = group.namespace == namespace && selector.selects(&group.labels);
            selected.then(|| self.id(*at).map(|id| (id, state)))?
        };
        self.unreadable.iter().filter_map(selected).collect()
    }

    fn id_hash(&self, namespace: &str, name: &str) -> u64 {
        self.table.hasher.hash_one((namespace, name))
    }

    fn same_name(&self, namespace: &str, name: &str) -> impl Iterator<Item = u32> {
        self.ids.iter_hash(self.id_hash(namespace, name)).copied().filter(move |&at| {
            self.table.records.get(at).and_then(Option::as_ref).is_some_and(|record| {
                record.name() == name && self.groups.get(record.group).is_some_and(|group| group.namespace == namespace)
            })
        })
    }

    fn find(&self, namespace: &str, name: &str, origin: &Origin) -> Option<u32> {
        self.same_name(namespace, name).find(|&at| {
            self.table.records.get(at).and_then(Option::as_ref).is_some_and(|record| {
                record.document == origin.document
                    && self.files.get(record.file).is_some_and(|file| ***file == *origin.file)
            })
        })
    }

    fn id(&self, at: u32) -> Option<ObjectId> {
        let record = self.table.records.get(at)?.as_ref()?;
        Some(ObjectId {
            kind: Kind::CertificateMapping,
            namespace: self.groups.get(record.group)?.namespace.clone(),
            name: record.name().to_owned(),
            origin: Origin { file: Arc::clone(self.files.get(record.file)?), document: record.document },
        })
    }

    /// Whether the record at `at` is `record`, but for its twins.
    fn is_as(&self, at: u32, record: &Record, errors: &[FieldError]) -> bool {
        let Some(Some(stored)) = self.table.records.get(at) else { return false };
        let status = if self.twins.contains(&at) { as_twin(record.status) } else { record.status };
        *stored == Record { status, ..record.clone() } && self.errors.get(&at).map_or(&[][..], Vec::as_slice) == errors
    }

    fn insert(&mut self, id_hash: u64, record: Record, errors: Vec<FieldError>) {
        let form = record.form;
        let unreadable = form.is_none();
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(slot) = self.table.records.get_mut(at) {
                    *slot = Some(record);
                }
                at
            }
            None => self.table.records.push(Some(record)),
        };
        let Self { table, groups, ids, .. } = self;
        let MappingTable { records, keys, hasher, .. } = table;
        let stored = |at: u32| {
            let record = records.get(at)?.as_ref()?;
            Some((record, &*groups.get(record.group)?.namespace))
        };
        ids.insert_unique(id_hash, at, |&at| {
            stored(at).map_or(0, |(record, namespace)| hasher.hash_one((namespace, record.name())))
        });
        let by_key = |at: u32| {
            let (record, namespace) = stored(at)?;
            Some(key_hash(hasher, namespace, record.form?, record.key()))
        };
        if let Some(hash) = by_key(at) {
            Arc::make_mut(keys).insert_unique(hash, at, |&at| by_key(at).unwrap_or_default());
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
        self.settle_twins(at);
    }

    fn remove(&mut self, at: u32) {
        let Some((hash, key_hash)) = self.hashes(at) else { return };
        let others: Vec<u32> = match self.id(at) {
            Some(id) => self.same_name(&id.namespace, &id.name).filter(|other| *other != at).collect(),
            None => Vec::new(),
        };
        if let Ok(entry) = self.ids.find_entry(hash, |&stored| stored == at) {
            entry.remove();
        }
        if let Some(key_hash) = key_hash
            && let Ok(entry) = Arc::make_mut(&mut self.table.keys).find_entry(key_hash, |&stored| stored == at)
        {
            entry.remove();
        }
        self.errors.remove(&at);
        self.twins.remove(&at);
        self.unreadable.remove(&at);
        if let Some(record) = self.table.records.get_mut(at).and_then(Option::take) {
            self.table.len = self.table.len.saturating_sub(1);
            if let Some(form) = record.form {
                self.count(form, |count| count.saturating_sub(1));
            }
            self.release(&record);
            self.free.push(at);
        }
        if let [only] = others[..]
            && self.twins.remove(&only)
        {
            let compiles = !self.errors.contains_key(&only);
            if let Some(Some(record)) = self.table.records.get_mut(only)
                && compiles
            {
                record.status = match record.status {
                    Status::Invalid => Status::Enabled,
                    Status::InvalidDisabled => Status::Disabled,
                    other => other,
                };
            }
        }
    }

    fn hashes(&self, at: u32) -> Option<(u64, Option<u64>)> {
        let record = self.table.records.get(at)?.as_ref()?;
        let group = self.groups.get(record.group)?;
        let key = record.form.map(|form| key_hash(&self.table.hasher, &group.namespace, form, record.key()));
        Some((self.id_hash(&group.namespace, record.name()), key))
    }

    /// Marks the record at `at` and those of the same name, when there are any.
    fn settle_twins(&mut self, at: u32) {
        let Some(id) = self.id(at) else { return };
        let all: Vec<u32> = self.same_name(&id.namespace, &id.name).collect();
        if all.len() < 2 {
            return;
        }
        for at in all {
            self.twins.insert(at);
            if let Some(Some(record)) = self.table.records.get_mut(at) {
                record.status = as_twin(record.status);
            }
        }
    }

    fn count(&mut self, form: Form, change: impl FnOnce(usize) -> usize) {
        if let Some(count) = self.forms.get_mut(form as usize) {
            *count = change(*count);
        }
        let used = |form: &Form| self.forms.get(*form as usize).is_some_and(|count| *count > 0);
        self.table.forms = Form::ALL.into_iter().filter(used).fold(Forms::default(), Forms::with);
    }

    fn release(&mut self, record: &Record) {
        self.groups.release(record.group);
        self.attributes.release(record.attributes);
        self.files.release(record.file);
    }
}

fn as_twin(status: Status) -> Status {
    match status {
        Status::Enabled | Status::Invalid => Status::Invalid,
        Status::Disabled | Status::InvalidDisabled => Status::InvalidDisabled,
    }
}

/// The error of an object that shares its name with others of its kind.
pub fn twin_error(others: impl Iterator<Item = Origin>) -> FieldError {
    let mut places: Vec<String> = others
        .map(|origin| match &*origin.file {
            "" => "the cluster".to_owned(),
            file => file.to_owned(),
        })
        .collect();
    places.sort();
    places.dedup();
    FieldError::new("metadata.name", format!("another object of this kind has the same name, in {}", places.join(", ")))
}
