//! The mutable store: takes objects in any order, compiles them, and publishes snapshots.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::decide::Snapshot;
use super::spec::{FieldError, Object, ObjectId};

/// The mutable store behind the snapshots.
#[derive(Debug, Default)]
pub struct Index {}

impl Index {
    /// An index without objects. Its first [`Index::publish`] yields a snapshot that denies everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores an object, in place of the former one of the same [`ObjectId`].
    pub fn apply(&mut self, object: Object) {
        let _ = object;
    }

    /// Removes an object; nothing happens when it is not there.
    pub fn delete(&mut self, id: &ObjectId) {
        let _ = id;
    }

    /// Stores the content of a file that a trust profile names, or why it cannot be read.
    pub fn set_file(&mut self, path: &str, content: Result<Bytes, String>) {
        let _ = (path, content);
    }

    /// The files that trust profiles name, as they are written there.
    pub fn wanted_files(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    /// A new snapshot; `None` when nothing that a decision could depend on has changed since the last one.
    pub fn publish(&mut self) -> Option<Arc<Snapshot>> {
        Some(Arc::new(Snapshot::default()))
    }

    /// What is wrong with the stored objects, as of the last [`Index::publish`].
    pub fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// What is wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The object.
    pub id: ObjectId,
    /// How bad it is.
    pub severity: Severity,
    /// Each thing that is wrong, with its field.
    pub errors: Vec<FieldError>,
}

/// How bad a problem is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The object works, but hardly as its author meant it.
    Warning,
    /// The object, or a part of it, does not work.
    Error,
}
