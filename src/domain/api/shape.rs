//! The schemas of the kinds as a tree that can be walked, for those who read documents of any form.
//!
//! The vocabulary is that of [`Kind::schema`]; a keyword beyond it is refused rather than passed over.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value as Json;

use super::Kind;

/// A JSON schema, prepared for walking documents.
#[derive(Debug)]
pub enum Schema {
    /// Anything; the value is neither checked nor kept.
    Ignored,
    /// A mapping with these fields and no others.
    Fields {
        /// The fields in the order of the schema.
        fields: Vec<(Box<str>, Schema)>,
        /// Which of them must be there.
        required: Vec<Box<str>>,
    },
    /// A mapping with free keys.
    Map(Box<Schema>),
    /// A list.
    List(Box<Schema>),
    /// A text.
    Text,
    /// One of some words.
    Words(Vec<Box<str>>),
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
}

/// Why a JSON schema cannot be prepared: it uses more than the vocabulary of [`Kind::schema`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("JSON schema at {path}: {message}")]
pub struct SchemaError {
    path: String,
    message: String,
}

impl Schema {
    /// Prepares a JSON schema. An empty schema (`{}`) accepts and drops everything.
    pub fn new(json: &Json) -> Result<Self, SchemaError> {
        Self::at("#", json)
    }

    fn at(path: &str, json: &Json) -> Result<Self, SchemaError> {
        let error = |message: String| SchemaError { path: path.to_owned(), message };
        let object = json.as_object().ok_or_else(|| error("not an object".to_owned()))?;
        let known =
            ["type", "properties", "required", "additionalProperties", "items", "enum", "default", "description"];
        if let Some(keyword) = object.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(error(format!("unknown keyword {keyword}")));
        }
        let words = |key: &str| -> Result<Vec<Box<str>>, SchemaError> {
            let Some(list) = object.get(key) else { return Ok(Vec::new()) };
            let list = list.as_array().map(|words| words.iter().map(|w| w.as_str().map(Box::from)).collect());
            list.flatten().ok_or_else(|| error(format!("{key} is not a list of texts")))
        };
        let Some(kind) = object.get("type") else {
            return if object.is_empty() { Ok(Self::Ignored) } else { Err(error("no type".to_owned())) };
        };
        Ok(match kind.as_str().unwrap_or_default() {
            "object" => {
                match (object.get("properties").and_then(Json::as_object), object.get("additionalProperties")) {
                    (Some(properties), Some(Json::Bool(false))) => Self::Fields {
                        fields: properties
                            .iter()
                            .map(|(name, inner)| {
                                Ok((Box::from(name.as_str()), Self::at(&format!("{path}/{name}"), inner)?))
                            })
                            .collect::<Result<_, _>>()?,
                        required: words("required")?,
                    },
                    (None, Some(inner)) => Self::Map(Box::new(Self::at(&format!("{path}/*"), inner)?)),
                    _ => return Err(error("neither a closed set of properties nor a map".to_owned())),
                }
            }
            "array" => match object.get("items") {
                Some(inner) => Self::List(Box::new(Self::at(&format!("{path}/[]"), inner)?)),
                None => return Err(error("a list without items".to_owned())),
            },
            "string" if object.contains_key("enum") => Self::Words(words("enum")?),
            "string" => Self::Text,
            "integer" => Self::Integer,
            "boolean" => Self::Boolean,
            other => return Err(error(format!("unknown type {other:?}"))),
        })
    }
}

impl Kind {
    /// The prepared schema of the kind's `spec`; `None` for kinds that are not certgate's own.
    pub fn shape(self) -> Option<&'static Schema> {
        static SHAPES: LazyLock<BTreeMap<Kind, Schema>> = LazyLock::new(|| {
            let prepared = |json| Schema::new(json).expect("within the vocabulary, as a test shows");
            Kind::ALL.into_iter().filter_map(|kind| Some((kind, prepared(kind.schema()?)))).collect()
        });
        SHAPES.get(&self)
    }
}
