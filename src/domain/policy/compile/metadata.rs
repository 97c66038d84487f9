//! Names of objects.

use super::{Field, Report};
use crate::domain::api::{Kind, ObjectMeta};

/// The longest name of an object (RFC 1123 subdomain, as Kubernetes has it).
const MAX_NAME: usize = 253;

/// The longest name of a namespace (RFC 1123 label).
const MAX_NAMESPACE: usize = 63;

/// Checks name and namespace.
pub fn metadata(kind: Kind, meta: &ObjectMeta, report: &mut Report) {
    report.errors.extend(meta.unread.iter().cloned());
    let field = Field::root("metadata");
    check_name(&field.child("name"), &meta.name, report);
    if kind.is_namespaced() {
        check_namespace(&field.child("namespace"), &meta.namespace, report);
    }
}

/// Checks the name of an object.
pub fn check_name(field: &Field<'_>, name: &str, report: &mut Report) {
    if name.len() > MAX_NAME || !name.split('.').all(is_label) {
        report.error(
            field,
            format_args!(
                "{} is not a name: want lower-case letters, digits, `-` and `.`, at most {MAX_NAME} characters",
                shown(name)
            ),
        );
    }
}

/// Checks the name of a namespace.
pub fn check_namespace(field: &Field<'_>, name: &str, report: &mut Report) {
    if name.len() > MAX_NAMESPACE || !is_label(name) {
        report.error(
            field,
            format_args!(
                "{} is not a namespace: want lower-case letters, digits and `-`, at most {MAX_NAMESPACE} characters",
                shown(name)
            ),
        );
    }
}

fn is_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    !label.is_empty()
        && label.bytes().all(|b| inner(b) || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A text of an operator for a message: quoted, and cut when it is long.
pub fn shown(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
