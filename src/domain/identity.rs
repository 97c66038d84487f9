//! Who a certificate stands for.

use std::collections::BTreeMap;

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
