//! Which documents are certgate's.
//!
//! A document that could be ours and cannot be told is an error: a strict policy that is passed over would leave its
//! requests to a wider one.

use strsim::osa_distance;

use crate::domain::api::{GROUP, Kind};
use crate::file::report::shown;
use crate::file::schema::advice;
use crate::file::yaml::{Node, NodeValue};

/// The name in [`GROUP`]. Who writes it in a group means ours.
const NAME: &str = "certgate";

/// How far another group may differ in spelling and still be taken for a misspelt [`GROUP`].
const GROUP_TYPO: usize = 3;

/// Whose a document is.
pub(super) enum DocumentClass {
    /// One of the kinds that are read.
    Ours(Kind),
    /// A list of documents.
    List,
    /// Somebody else's.
    Foreign,
    /// It could be ours but cannot be told, or it is ours and of no kind or version that we know.
    Unclear(&'static str, String),
}

/// Whether a document of this `apiVersion` is certain to be somebody else's: the group is a domain name, as those of
/// all custom resources are, and not nearly ours.
fn is_of_others(api_version: &str) -> bool {
    let Some((group, version)) = api_version.split_once('/') else { return false };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    group.contains('.')
        && group.split('.').all(is_label)
        && is_label(version)
        && !group.contains(NAME)
        && osa_distance(group, GROUP) > GROUP_TYPO
}

pub(super) fn classify(root: &Node<'_>) -> DocumentClass {
    if !matches!(root.value, NodeValue::Mapping(_)) {
        return DocumentClass::Unclear("", "want a mapping with apiVersion and kind".to_owned());
    }
    let Some(kind) = root.get("kind").and_then(Node::text) else {
        return DocumentClass::Unclear("kind", "is required".to_owned());
    };
    let Some(api_version) = root.get("apiVersion").and_then(Node::text) else {
        return DocumentClass::Unclear("apiVersion", "is required".to_owned());
    };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let same_version = |ours: &Kind| ours.api_version() == api_version;
    match Kind::ALL.into_iter().find(|ours| ours.name() == kind) {
        Some(ours) if same_version(&ours) => return DocumentClass::Ours(ours),
        Some(Kind::ClusterTrustBundle) if group == "certificates.k8s.io" => {
            return DocumentClass::Ours(Kind::ClusterTrustBundle);
        }
        _ => {}
    }
    let item_kind = kind.strip_suffix("List");
    if api_version == "v1" && kind == "List" {
        return DocumentClass::List;
    }
    let listed = item_kind.and_then(|item| Kind::ALL.into_iter().find(|ours| ours.name() == item));
    if listed.is_some_and(|ours| same_version(&ours)) {
        return DocumentClass::List;
    }
    // To pass over a strict policy would leave its requests to a wider one, so its kind, or a list that might hold it,
    // is another's only when the group is certain to be.
    let is_own = Kind::OWN.into_iter().any(|own| [Some(kind), item_kind].contains(&Some(own.name())));
    if is_own && group != GROUP && !is_of_others(api_version) {
        let hint = format!("unknown group {}; did you mean `{}`?", shown(group), Kind::CertificatePolicy.api_version());
        return DocumentClass::Unclear("apiVersion", hint);
    }
    if kind == "List" && group != GROUP && !is_of_others(api_version) {
        return DocumentClass::Unclear("apiVersion", format!("unknown version {}; want `v1`", shown(api_version)));
    }
    if group != GROUP {
        return DocumentClass::Foreign;
    }
    if api_version != Kind::CertificatePolicy.api_version() {
        let message = format!("unknown version {}; want {}", shown(version), Kind::CertificatePolicy.api_version());
        return DocumentClass::Unclear("apiVersion", message);
    }
    let known = Kind::OWN.map(Kind::name);
    DocumentClass::Unclear(
        "kind",
        format!("unknown kind {}; {}", shown(kind), advice(kind, known.into_iter(), "want one of")),
    )
}
