//! Problems of several objects together: mappings that contradict each other, that no policy selects, or whose issuer
//! no trust profile knows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Index, Severity};
use crate::domain::api::Field;
use crate::domain::api::{FieldError, LabelSelector, ObjectId};
use crate::domain::decide::mapping::store::Contradiction;
use crate::domain::policy::lint::{MappingFindings, findings};

impl Index {
    /// The mappings and entries of policies that give one certificate different identities under one policy. Each
    /// mapping reports one other.
    pub(super) fn contradictions(&self) -> Vec<(ObjectId, Severity, FieldError)> {
        let mut selecting: BTreeMap<&str, Vec<(Arc<str>, &LabelSelector)>> = BTreeMap::new();
        let selections = self.policies.selections();
        for selection in &selections {
            let one = (Arc::clone(&selection.name), selection.selector);
            selecting.entry(&selection.id.namespace).or_default().push(one);
        }
        let of = |namespace: &str| selecting.get(namespace).map(Vec::as_slice).unwrap_or_default();
        let text = |other: &str, policy: &str| {
            format!(
                "Conflicted: {other} maps the same certificate to another identity, and policy {policy} selects both: the \
                 certificate is denied with MAPPING_AMBIGUOUS"
            )
        };
        let mut out = Vec::new();
        for Contradiction { id, other, policy } in self.mappings.contradictions(&of) {
            let error = FieldError::new("spec.identity", text(&format!("CertificateMapping {other}"), &policy));
            out.push((id, Severity::Error, error));
        }
        let root = Field::root("spec");
        let section = root.child("mapping");
        let list = section.child("oneToOne");
        for selection in &selections {
            let entries = selection.mapping.map(|mapping| mapping.one_to_one.entries()).unwrap_or_default();
            for entry in entries.iter().filter(|entry| entry.is_enabled()) {
                let others =
                    self.mappings.against(&selection.id.namespace, selection.selector, &entry.key, &entry.identity);
                for other in others.take(MAX_REPORTED_RIVALS) {
                    let id = other.id();
                    let message = text(&format!("CertificateMapping {}", id.name), "this");
                    let error = FieldError::new(list.at(entry.index).to_string(), message);
                    out.push((selection.id.clone(), Severity::Warning, error));
                    let message = text(&format!("oneToOne[{}] of the policy", entry.index), &selection.name);
                    out.push((id, Severity::Error, FieldError::new("spec.identity", message)));
                }
            }
        }
        out
    }

    /// The findings about mappings that compile; mappings without any are left out.
    pub(super) fn findings(&self) -> Vec<(ObjectId, MappingFindings)> {
        let selections = self.policies.selections();
        let profiles: Vec<_> = selections
            .iter()
            .map(|selection| self.profiles.verifier(selection.trust?, &selection.id.namespace, &self.namespaces))
            .collect();
        // Many mappings have the same labels, and those are one value.
        let mut by_labels: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut found = Vec::new();
        for mapping in self.mappings.working() {
            let Some((form, key)) = mapping.name() else { continue };
            let selecting = by_labels.entry(std::ptr::from_ref(mapping.labels()).addr()).or_insert_with(|| {
                let selects = |at: &usize| {
                    selections.get(*at).is_some_and(|selection| {
                        selection.id.namespace == mapping.namespace() && selection.selector.selects(mapping.labels())
                    })
                };
                (0..selections.len()).filter(selects).collect()
            });
            let profiles = selecting.iter().map(|at| profiles.get(*at).and_then(Option::as_deref));
            let findings = findings(form, key, mapping.state(), profiles);
            if !findings.is_empty() {
                found.push((mapping.id(), findings));
            }
        }
        found
    }
}

/// The most mappings that one entry of a policy is reported with.
const MAX_REPORTED_RIVALS: usize = 16;
