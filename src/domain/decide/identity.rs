//! The identity that a certificate maps to.

use std::collections::BTreeMap;

/// The longest header that an identity may make. Envoy refuses requests with more than 60 KiB of headers in all.
pub const MAX_HEADER_VALUE: usize = 8192;

/// The identity that a grant carries to the upstream. Shaped like Kubernetes' `user.Info`.
///
/// Every text is a legal HTTP header value without control characters and without leading or trailing blanks, and no
/// group holds a comma (groups travel joined by commas); `compile` refuses anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's name; never empty.
    pub user: String,
    /// The groups in the order the operator wrote them, without duplicates.
    pub groups: Vec<String>,
    /// An identifier that outlives the name, when the operator gave one.
    pub uid: Option<String>,
    /// Further attributes by key.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Why `text` cannot be the value of a header as it is; `None` when it can.
pub fn header_value_problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("is empty")
    } else if text.chars().any(char::is_control) {
        Some("holds a control character (a line break, perhaps)")
    } else if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        Some("begins or ends with a blank")
    } else {
        None
    }
}
