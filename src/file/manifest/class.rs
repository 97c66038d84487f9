//! Decides which documents are certgate's.
//!
//! A document that may be certgate's is an error if that is not certain: skipping a strict policy would leave its
//! requests to a wider one.

use strsim::osa_distance;

use crate::domain::api::{GROUP, Kind};
use crate::file::report::shown;
use crate::file::schema::advice;
use crate::file::yaml::{Node, NodeValue};

/// The name in [`GROUP`]. A group that contains it counts as certgate's.
const NAME: &str = "certgate";

/// The largest edit distance at which a group counts as a misspelt [`GROUP`].
const GROUP_TYPO: usize = 3;

/// The owner of a document.
pub(super) enum DocumentClass {
    /// One of the kinds that certgate reads.
    Ours(Kind),
    /// A list of documents.
    List,
    /// A document of another program.
    Foreign,
    /// A document that may be certgate's, or one of certgate's whose kind or version is unknown.
    Unclear(&'static str, String),
}

/// Whether a document of this `apiVersion` certainly belongs to another program: the group is a domain name, as those
/// of all custom resources are, and not similar to certgate's.
fn is_foreign(api_version: &str) -> bool {
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
    // Skipping a strict policy would leave its requests to a wider one, so this kind, or a list that may hold it,
    // counts as another program's only if the group certainly is.
    let is_own = Kind::OWN.into_iter().any(|own| [Some(kind), item_kind].contains(&Some(own.name())));
    if is_own && group != GROUP && !is_foreign(api_version) {
        let hint = format!("unknown group {}; did you mean `{}`?", shown(group), Kind::CertificatePolicy.api_version());
        return DocumentClass::Unclear("apiVersion", hint);
    }
    if kind == "List" && group != GROUP && !is_foreign(api_version) {
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
