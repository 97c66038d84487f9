//! Stored objects of one kind by namespace and name, with duplicates kept apart by origin.

use std::collections::BTreeMap;

use crate::domain::api::{Kind, ObjectId, Origin};

/// Objects of one kind.
#[derive(Clone, Debug)]
pub struct Objects<T> {
    by_name: BTreeMap<(String, String), BTreeMap<Origin, T>>,
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new() }
    }
}

/// What a name stands for.
#[derive(Debug)]
pub enum Lookup<'a, T> {
    /// Nothing.
    None,
    /// One object.
    One(&'a T),
    /// Several, and so none that can be relied on.
    Duplicates,
}

impl<T> Objects<T> {
    /// Stores an object in place of the former one of the same identifier.
    pub fn insert(&mut self, id: ObjectId, object: T) {
        self.by_name.entry((id.namespace, id.name)).or_default().insert(id.origin, object);
    }

    /// Removes an object and says whether it was there.
    pub fn remove(&mut self, id: &ObjectId) -> bool {
        let key = (id.namespace.clone(), id.name.clone());
        let Some(origins) = self.by_name.get_mut(&key) else { return false };
        let removed = origins.remove(&id.origin).is_some();
        if origins.is_empty() {
            self.by_name.remove(&key);
        }
        removed
    }

    /// The object with this very identifier.
    pub fn get(&self, id: &ObjectId) -> Option<&T> {
        self.by_name.get(&(id.namespace.clone(), id.name.clone()))?.get(&id.origin)
    }

    /// The object that `namespace` and `name` stand for.
    pub fn find(&self, namespace: &str, name: &str) -> Lookup<'_, T> {
        let Some(origins) = self.by_name.get(&(namespace.to_owned(), name.to_owned())) else { return Lookup::None };
        let mut objects = origins.values();
        match (objects.next(), objects.next()) {
            (Some(only), None) => Lookup::One(only),
            (None, _) => Lookup::None,
            _ => Lookup::Duplicates,
        }
    }

    /// Every object by namespace, name and origin, with the origins of its duplicates.
    pub fn iter(&self, kind: Kind) -> impl Iterator<Item = (ObjectId, &T, Vec<Origin>)> {
        self.by_name.iter().flat_map(move |((namespace, name), origins)| {
            origins.iter().map(move |(origin, object)| {
                let (namespace, name, origin) = (namespace.clone(), name.clone(), origin.clone());
                let duplicates = origins.keys().filter(|other| **other != origin).cloned().collect();
                (ObjectId { kind, namespace, name, origin }, object, duplicates)
            })
        })
    }

    /// Every object, to write to.
    pub fn iter_mut(&mut self, kind: Kind) -> impl Iterator<Item = (ObjectId, &mut T)> {
        self.by_name.iter_mut().flat_map(move |((namespace, name), origins)| {
            origins.iter_mut().map(move |(origin, object)| {
                let (namespace, name, origin) = (namespace.clone(), name.clone(), origin.clone());
                (ObjectId { kind, namespace, name, origin }, object)
            })
        })
    }
}
