//! One stored mapping, and two that contradict each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::api::{Kind, MappingState, ObjectId, Origin};
use crate::domain::decide::mapping::key::{self, NameForm};
use crate::domain::decide::mapping::records::Record;
use crate::domain::decide::mapping::table::{Attributes, LabelGroup, MappingStatus, ObjectEntry};

/// A stored mapping.
#[derive(Copy, Clone, Debug)]
pub struct StoredMapping<'a> {
    pub(super) record: Record<'a>,
    pub(super) group: &'a LabelGroup,
    pub(super) attributes: &'a Attributes,
    pub(super) file: &'a Arc<str>,
}

impl<'a> StoredMapping<'a> {
    /// The object.
    pub fn id(&self) -> ObjectId {
        ObjectId {
            kind: Kind::CertificateMapping,
            namespace: self.group.namespace.clone(),
            name: self.record.name().to_owned(),
            origin: Origin { file: Arc::clone(self.file), document: self.record.head.document },
        }
    }

    /// The object's namespace.
    pub fn namespace(&self) -> &'a str {
        &self.group.namespace
    }

    /// The object's labels; equal ones of one namespace are one value.
    pub fn labels(&self) -> &'a BTreeMap<String, String> {
        &self.group.labels
    }

    /// The form and the key of the name.
    pub fn name(&self) -> Option<(NameForm, &'a [u8])> {
        Some((self.record.head.form?, self.record.key()))
    }

    /// Its intended state.
    pub fn state(&self) -> MappingState {
        match self.record.head.status {
            MappingStatus::Enabled | MappingStatus::Invalid => MappingState::Enabled,
            MappingStatus::Disabled | MappingStatus::InvalidDisabled => MappingState::Disabled,
        }
    }

    pub(super) fn entry(&self) -> ObjectEntry<'a> {
        ObjectEntry { record: self.record, group: self.group, attributes: self.attributes }
    }

    /// Whether both are in force and give different identities to what may be one certificate. The caller compares
    /// names of different forms.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let in_force = |stored: &Self| stored.record.head.status == MappingStatus::Enabled;
        let coincide = match (self.record.head.form, other.record.head.form) {
            (Some(form), Some(other_form)) if form == other_form => {
                key::may_coincide(form, self.record.key(), other.record.key())
            }
            _ => true,
        };
        in_force(self) && in_force(other) && coincide && !self.entry().agrees_with(&other.entry())
    }
}

/// Two mappings that give one certificate different identities under one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The mapping that is reported.
    pub id: ObjectId,
    /// The other mapping's name, in the same namespace.
    pub other: String,
    /// The policy that selects both, as `namespace/name`.
    pub policy: Arc<str>,
}
