//! Which policies are followed, by their labels.
//!
//! Owned here: the labels as an operator writes them, as the API server takes them in a query, and as they are compared
//! with an object's. Profiles and mappings are followed whatever their labels: policies refer to them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest name of a label and the longest value, as Kubernetes has them.
const MAX_PART: usize = 63;

/// The longest prefix of a label's key (RFC 1123 subdomain).
const MAX_PREFIX: usize = 253;

/// Why a text is no label.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    /// There is no `=`.
    #[error("want KEY=VALUE")]
    NoValue,
    /// The key.
    #[error("{0:?} is not the key of a label")]
    Key(String),
    /// The value.
    #[error("{0:?} is not the value of a label")]
    Value(String),
    /// No object can have both.
    #[error("label {0} has two values: no policy has both")]
    TwoValues(String),
}

/// A label that an object must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    key: String,
    value: String,
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let (key, value) = text.split_once('=').ok_or(LabelError::NoValue)?;
        let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
        let is_prefix = |text: &str| {
            let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_inner);
            text.len() <= MAX_PREFIX && text.split('.').all(is_part)
        };
        if !is_part(name) || prefix.is_some_and(|prefix| !is_prefix(prefix)) {
            return Err(LabelError::Key(key.to_owned()));
        }
        if !value.is_empty() && !is_part(value) {
            return Err(LabelError::Value(value.to_owned()));
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

fn is_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let is_inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    bytes.len() <= MAX_PART && is_edge(bytes.first()) && is_edge(bytes.last()) && bytes.iter().all(is_inner)
}

/// The labels that a policy must have, all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySelector(BTreeMap<String, String>);

impl PolicySelector {
    /// The selector by these labels; `None` without any: then every policy is followed.
    pub fn new(labels: impl IntoIterator<Item = Label>) -> Result<Option<Self>, LabelError> {
        let mut wanted = BTreeMap::new();
        for Label { key, value } in labels {
            if wanted.get(&key).is_some_and(|former| *former != value) {
                return Err(LabelError::TwoValues(key));
            }
            wanted.insert(key, value);
        }
        Ok((!wanted.is_empty()).then_some(Self(wanted)))
    }

    /// Whether a policy with these labels is followed.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// As the API server takes it: `team=a,tier=front`.
impl fmt::Display for PolicySelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(labels: &[&str]) -> Result<Option<PolicySelector>, LabelError> {
        let labels: Result<Vec<Label>, _> = labels.iter().map(|label| label.parse()).collect();
        PolicySelector::new(labels?)
    }

    #[test]
    fn labels_are_those_of_kubernetes() {
        let long = format!("{}=v", "a".repeat(64));
        for wrong in ["", "a", "=v", "a b=v", "a=b c", "-a=v", "a=v,b", "A/b/c=v", "/a=v", "Ex.com/a=v", &long, "a=v="]
        {
            assert!(selector(&[wrong]).is_err(), "{wrong}");
        }
        let found = selector(&["tier=front", "example.com/team=A_1", "tier=front", "empty="]).unwrap().unwrap();
        assert_eq!(found.to_string(), "empty=,example.com/team=A_1,tier=front");
        assert_eq!(selector(&["a=1", "a=2"]), Err(LabelError::TwoValues("a".to_owned())));
        assert_eq!(selector(&[]), Ok(None));
    }

    #[test]
    fn every_label_is_asked_for() {
        let selector = selector(&["a=1", "b="]).unwrap().unwrap();
        let labels = |labels: &[(&str, &str)]| labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        assert!(selector.selects(&labels(&[("a", "1"), ("b", ""), ("c", "3")])));
        for missing in [&[("a", "1")][..], &[("a", "2"), ("b", "")], &[]] {
            assert!(!selector.selects(&labels(missing)), "{missing:?}");
        }
    }
}
