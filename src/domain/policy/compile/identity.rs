//! Identities: every text must be able to travel in a header.

use std::collections::BTreeMap;

use super::metadata::shown;
use super::{Field, Report};
use crate::domain::api::IdentitySpec;
use crate::domain::decide::identity::{Identity, MAX_HEADER_VALUE, header_value_problem};

/// The longest user, group, uid or extra value.
pub const MAX_IDENTITY_TEXT: usize = 1024;

/// The most groups.
const MAX_GROUPS: usize = 256;

/// The most keys in `extra`, and values of one key.
const MAX_EXTRA: usize = 64;

/// Compiles an identity. After an error it is not whole and must not be used.
pub fn identity(field: &Field<'_>, spec: &IdentitySpec, report: &mut Report) -> Identity {
    check_text(&field.child("user"), &spec.user, report);
    if let Some(uid) = &spec.uid {
        check_text(&field.child("uid"), uid, report);
    }
    let groups = list(&field.child("groups"), &spec.groups, MAX_GROUPS, report);
    let extra_field = field.child("extra");
    report.cap(&extra_field, spec.extra.len(), MAX_EXTRA);
    let mut extra = BTreeMap::new();
    for (key, values) in &spec.extra {
        let field = extra_field.key(key);
        if let Some(problem) = text_problem(key) {
            report.error(&field, format_args!("the key {problem}"));
        }
        if values.is_empty() {
            report.error(&field, "no values: give one or leave the key out");
        }
        extra.insert(key.clone(), list(&field, values, MAX_EXTRA, report));
    }
    Identity { user: spec.user.clone(), groups, uid: spec.uid.clone(), extra }
}

/// Texts that travel joined by commas, without repetitions.
fn list(field: &Field<'_>, texts: &[String], most: usize, report: &mut Report) -> Vec<String> {
    report.cap(field, texts.len(), most);
    let mut kept: Vec<String> = Vec::with_capacity(texts.len());
    let mut length = 0_usize;
    for (at, text) in texts.iter().enumerate() {
        let field = field.at(at);
        check_text(&field, text, report);
        if text.contains(',') {
            report.error(&field, format_args!("{} holds a comma, which separates the values in a header", shown(text)));
        }
        if at < most && !kept.contains(text) {
            length = length.saturating_add(text.len()).saturating_add(1);
            kept.push(text.clone());
        }
    }
    if length > MAX_HEADER_VALUE {
        report.error(field, format_args!("{length} bytes when joined: at most {MAX_HEADER_VALUE} are allowed"));
    }
    kept
}

fn check_text(field: &Field<'_>, text: &str, report: &mut Report) {
    if let Some(problem) = text_problem(text) {
        report.error(field, format_args!("{} {problem}", shown(text)));
    }
}

fn text_problem(text: &str) -> Option<&'static str> {
    if text.len() > MAX_IDENTITY_TEXT {
        return Some("is longer than 1024 bytes");
    }
    header_value_problem(text)
}
