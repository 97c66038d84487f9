//! Checks a YAML node against the schema of its kind and turns it into JSON.
//!
//! This module owns the structure of documents: fields, their types, required fields, and the words of enumerations. It
//! reports every error at once, each with its field path and position, and suggests the field or word that was probably
//! meant. `compile` judges the values, and [`Schema`] owns the schemas.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};
use strsim::osa_distance;

use super::report::shown;
use super::scalar;
use super::yaml::{MappingKey, Mark, Node, NodeValue, Scalar, Style};
pub use crate::domain::api::Schema;

impl Schema {
    /// Checks `node`, found at the field `path`, and returns it as JSON. Adds all errors to `faults`; the JSON is valid
    /// only if there are none.
    pub fn check(&self, node: &Node<'_>, path: &str, faults: &mut Vec<Fault>) -> Json {
        let mut checker = Checker { path: path.to_owned(), faults };
        checker.node(self, node)
    }

    const fn wanted(&self) -> &'static str {
        match self {
            Self::Ignored => "anything",
            Self::Fields { .. } | Self::Map(_) => "a mapping",
            Self::List(_) => "a list",
            Self::Text => "text",
            Self::Words(_) => "a word",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
        }
    }
}

/// An error of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The position.
    pub at: Mark,
    /// The field's path; empty for an error of the whole document.
    pub path: String,
    /// The message.
    pub message: String,
}

struct Checker<'f> {
    path: String,
    faults: &'f mut Vec<Fault>,
}

impl Checker<'_> {
    fn fault(&mut self, at: Mark, message: String) {
        self.faults.push(Fault { at, path: self.path.clone(), message });
    }

    fn node(&mut self, schema: &Schema, node: &Node<'_>) -> Json {
        if matches!(schema, Schema::Ignored) {
            return Json::Null;
        }
        if node.is_null() {
            self.fault(node.at, format!("has no value; give it {} or remove it", schema.wanted()));
            return Json::Null;
        }
        match (schema, &node.value) {
            (Schema::Fields { fields, required }, NodeValue::Mapping(entries)) => {
                self.fields(fields, required, node.at, entries)
            }
            (Schema::Map(inner), NodeValue::Mapping(entries)) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    self.free_key(key);
                    let value = self.under(|path| push_key(path, &key.scalar.text), |c| c.node(inner, value));
                    map.insert(key.scalar.text.clone().into_owned(), value);
                }
                Json::Object(map)
            }
            (Schema::List(inner), NodeValue::Sequence(items)) => {
                let item = |(n, item): (usize, &Node<'_>)| {
                    self.under(|path| _ = write!(path, "[{n}]"), |checker| checker.node(inner, item))
                };
                Json::Array(items.iter().enumerate().map(item).collect())
            }
            (Schema::Text, NodeValue::Scalar(scalar)) => self.text(node.at, scalar),
            (Schema::Words(words), NodeValue::Scalar(scalar)) => self.word(words, node.at, scalar),
            (Schema::Integer, NodeValue::Scalar(scalar)) => self.integer(node.at, scalar),
            (Schema::Boolean, NodeValue::Scalar(scalar)) => match scalar::boolean(&scalar.text) {
                Some(value) if scalar.style == Style::Plain => Json::Bool(value),
                _ => {
                    self.fault(node.at, format!("want true or false, without quotes; got {}", shown(&scalar.text)));
                    Json::Null
                }
            },
            (schema, value) => {
                let got = match value {
                    NodeValue::Scalar(scalar) => shown(&scalar.text),
                    NodeValue::Sequence(_) => "a list".to_owned(),
                    NodeValue::Mapping(_) => "a mapping".to_owned(),
                };
                self.fault(node.at, format!("want {}, got {got}", schema.wanted()));
                Json::Null
            }
        }
    }

    /// Runs `check` with the path that `push` extends.
    fn under<T>(&mut self, push: impl FnOnce(&mut String), check: impl FnOnce(&mut Checker<'_>) -> T) -> T {
        let length = self.path.len();
        push(&mut self.path);
        let result = check(self);
        self.path.truncate(length);
        result
    }

    fn fields(
        &mut self,
        fields: &[(Box<str>, Schema)],
        required: &[Box<str>],
        at: Mark,
        entries: &[(MappingKey<'_>, Node<'_>)],
    ) -> Json {
        let mut map = Map::with_capacity(entries.len());
        for (key, value) in entries {
            let name = &*key.scalar.text;
            match fields.iter().find(|(field, _)| **field == *name) {
                Some((_, inner)) => {
                    let value = self.under(|path| push_key(path, name), |checker| checker.node(inner, value));
                    map.insert(name.to_owned(), value);
                }
                None => {
                    let known = fields.iter().map(|(field, _)| &**field);
                    let message = format!("unknown field; {}", advice(name, known, "the fields here are"));
                    self.under(|path| push_key(path, name), |checker| checker.fault(key.at, message));
                }
            }
        }
        for name in required {
            if !entries.iter().any(|(key, _)| *key.scalar.text == **name) {
                self.under(|path| push_key(path, name), |checker| checker.fault(at, "is required".to_owned()));
            }
        }
        Json::Object(map)
    }

    /// A key of a map is text like any other.
    fn free_key(&mut self, key: &MappingKey<'_>) {
        if key.scalar.style == Style::Plain
            && let Some(reading) = scalar::implicit_type(&key.scalar.text)
        {
            let text = shown(&key.scalar.text);
            self.fault(
                key.at,
                format!("the key {text} is {} to some YAML readers; put it in quotes", reading.as_words()),
            );
        }
    }

    fn text(&mut self, at: Mark, scalar: &Scalar<'_>) -> Json {
        if scalar.style == Style::Plain
            && let Some(reading) = scalar::implicit_type(&scalar.text)
        {
            let text = shown(&scalar.text);
            self.fault(at, format!("{text} is {} to some YAML readers; put it in quotes", reading.as_words()));
        }
        Json::String(scalar.text.clone().into_owned())
    }

    fn word(&mut self, words: &[Box<str>], at: Mark, scalar: &Scalar<'_>) -> Json {
        if words.iter().any(|word| **word == *scalar.text) {
            return self.text(at, scalar);
        }
        let advice = advice(&scalar.text, words.iter().map(|word| &**word), "want one of");
        self.fault(at, format!("unknown word {}; {advice}", shown(&scalar.text)));
        Json::Null
    }

    fn integer(&mut self, at: Mark, scalar: &Scalar<'_>) -> Json {
        match scalar::integer(&scalar.text) {
            Some(number) if scalar.style == Style::Plain => Json::from(number),
            Some(_) => {
                self.fault(at, format!("want a whole number, got text; write {} without quotes", scalar.text));
                Json::Null
            }
            None => {
                let got = shown(&scalar.text);
                self.fault(at, format!("want a whole number in plain decimal digits, got {got}"));
                Json::Null
            }
        }
    }
}

/// Appends a field to a path: `.name`, or `["name"]` when the name is not a plain word.
pub fn push_key(path: &mut String, name: &str) {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if plain {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
    } else {
        let name = shown(name);
        _ = write!(path, "[\"{}\"]", name.trim_matches('`'));
    }
}

/// "did you mean `x`?", or `otherwise` and all the words.
pub fn advice<'a>(got: &str, known: impl Iterator<Item = &'a str> + Clone, otherwise: &str) -> String {
    let got = got.get(..got.len().min(64)).unwrap_or("").to_ascii_lowercase();
    let nearest = known
        .clone()
        .map(|word| (osa_distance(&got, &word.to_ascii_lowercase()), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1) && *distance < word.len())
        .min();
    match nearest {
        Some((_, word)) => format!("did you mean `{word}`?"),
        None => format!("{otherwise} {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// The position of the field at `path` below `root`, or of the nearest existing field above it.
///
/// The path may spell a key as `.key` or as `["key"]`; in both forms the key may contain dots.
pub fn locate(root: &Node<'_>, path: &str) -> Mark {
    let mut node = root;
    let mut at = root.at;
    let mut rest = path;
    while !rest.is_empty() {
        match &node.value {
            NodeValue::Mapping(entries) => {
                // The longest matching key: `a.b` before `a`.
                let fits =
                    entries.iter().filter_map(|(key, value)| Some((after_key(rest, &key.scalar.text)?, key, value)));
                let Some((after, key, value)) = fits.min_by_key(|(after, ..)| after.len()) else { return at };
                // An error of a scalar is shown at its value; one of a collection or a block scalar at its key.
                let beside = matches!(value.value, NodeValue::Scalar(_)) && value.at.line == key.at.line;
                at = if beside { value.at } else { key.at };
                node = value;
                rest = after;
            }
            NodeValue::Sequence(items) => {
                let index = rest.strip_prefix('[').and_then(|r| r.split_once(']'));
                let Some((number, after)) = index else { return at };
                let Some(item) = number.parse::<usize>().ok().and_then(|n| items.get(n)) else { return at };
                at = item.at;
                node = item;
                rest = after;
            }
            NodeValue::Scalar(_) => return at,
        }
    }
    at
}

/// The rest of `path` after `key`, if the path starts with it and the key ends there.
fn after_key<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let quoted = path.strip_prefix("[\"").and_then(|r| r.strip_prefix(key)).and_then(|r| r.strip_prefix("\"]"));
    let bare = path.strip_prefix('[').and_then(|r| r.strip_prefix(key)).and_then(|r| r.strip_prefix(']'));
    let dotted = path.strip_prefix('.').unwrap_or(path).strip_prefix(key);
    let dotted = dotted.filter(|r| r.is_empty() || r.starts_with(['.', '[']));
    quoted.or(bare).or(dotted)
}

#[cfg(test)]
mod tests;
