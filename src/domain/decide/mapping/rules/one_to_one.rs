//! The certificates that a policy names one by one.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::api::MappingState;
use crate::domain::decide::identity::Identity;
use crate::domain::decide::mapping::key::{NameForm, NameForms, NameKey, lookup, may_coincide};

/// One certificate of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneToOneEntry {
    /// Its place in the list.
    pub index: usize,
    /// The name of the certificate.
    pub key: NameKey,
    /// The identity of the certificate.
    pub identity: Arc<Identity>,
    /// Whether it is in force.
    pub state: MappingState,
}

impl OneToOneEntry {
    /// Whether it gives its certificate an identity.
    pub fn is_enabled(&self) -> bool {
        self.state == MappingState::Enabled
    }
}

/// The one-to-one entries of a policy, in the order of the list.
#[derive(Debug, Default)]
pub struct OneToOneList {
    entries: Vec<OneToOneEntry>,
    /// Their places in `entries`, by form and look-up bytes.
    places: HashMap<NameForm, HashMap<Box<[u8]>, Vec<usize>>>,
    forms: NameForms,
}

impl OneToOneList {
    /// Adds an entry.
    ///
    /// # Errors
    /// The index of an entry that may name the same certificate, with another identity or state.
    pub fn insert(&mut self, entry: OneToOneEntry) -> Result<(), usize> {
        let form = entry.key.form;
        let key = lookup(form, &entry.key.bytes);
        let differs = |old: &&OneToOneEntry| old.identity != entry.identity || old.state != entry.state;
        let same = |old: &&OneToOneEntry| may_coincide(form, &old.key.bytes, &entry.key.bytes);
        let rival = self.find(form, key).filter(same).find(differs).map(|old| old.index);
        if let Some(rival) = rival {
            return Err(rival);
        }
        self.places.entry(form).or_default().entry(key.into()).or_default().push(self.entries.len());
        self.forms = self.forms.with(form);
        self.entries.push(entry);
        Ok(())
    }

    /// The entries that name a certificate by `key` in `form`. `key` lacks the issuer's pin, which the caller must
    /// still compare.
    pub fn find(&self, form: NameForm, key: &[u8]) -> impl Iterator<Item = &OneToOneEntry> + use<'_> {
        let places = self.places.get(&form).and_then(|places| places.get(key));
        places.into_iter().flatten().filter_map(|place| self.entries.get(*place))
    }

    /// Every entry.
    pub fn entries(&self) -> &[OneToOneEntry] {
        &self.entries
    }

    /// The forms that any entry uses.
    pub fn forms(&self) -> NameForms {
        self.forms
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
