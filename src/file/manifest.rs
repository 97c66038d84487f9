//! Turns documents into objects.
//!
//! This module owns which documents are certgate's: the three kinds, the kinds that hold PEM, namespaces, and lists of
//! them. It turns such a document into an object or into all its errors. It skips other documents and only names them.
//! It reads no files, and it does not judge the meaning of a spec.

mod class;

use std::collections::BTreeMap;
use std::panic;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use class::{DocumentClass, classify};

use super::metadata;
use super::report::shown;
use super::schema::{Fault, Schema, advice, locate};
use super::yaml::{self, Document, Extent, Mark, Node, NodeValue, Parsed};
use crate::domain::api::Report as FieldErrors;
use crate::domain::api::{CertificatePolicySpec, DEFAULT_NAMESPACE, FieldError, Kind, Object, ObjectMeta};
use crate::domain::policy::compile::{certificate_policy, unreadable_match};

/// The content of a chunk.
#[derive(Debug, Default)]
pub struct ParsedChunk {
    /// The objects, each with the position of its document.
    pub objects: Vec<(Object, Mark)>,
    /// The documents of other kinds.
    pub foreign: Vec<ForeignDocument>,
    /// The errors of unreadable documents.
    pub faults: Vec<DocumentFault>,
}

/// A document of a kind that certgate does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignDocument {
    /// Its `apiVersion`.
    pub api_version: Box<str>,
    /// Its `kind`.
    pub kind: Box<str>,
    /// Its line.
    pub line: u32,
}

/// An error of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFault {
    /// `Kind namespace/name`, as far as known.
    pub object: Option<Box<str>>,
    /// The error and its position.
    pub fault: Fault,
}

/// Reads all documents of a chunk that starts on line `first_line`.
pub fn read(chunk: &[u8], first_line: u32) -> ParsedChunk {
    let mut found = ParsedChunk::default();
    let text = match std::str::from_utf8(chunk) {
        Ok(text) => text,
        Err(error) => {
            let before = chunk.get(..error.valid_up_to()).unwrap_or_default();
            let fault =
                Fault { at: mark_after(before, first_line), path: String::new(), message: "not UTF-8".to_owned() };
            found.faults.push(DocumentFault { object: None, fault });
            return found;
        }
    };
    // A bug in the parser must cost only this document, not the loader and all later edits.
    panic::catch_unwind(|| read_text(text, first_line)).unwrap_or_else(|_| {
        let at = Mark { line: first_line, column: 1 };
        let fault = Fault {
            at,
            path: String::new(),
            message: "reading this document failed: this is a bug in certgate".to_owned(),
        };
        found.faults.push(DocumentFault { object: None, fault });
        found
    })
}

fn read_text(text: &str, first_line: u32) -> ParsedChunk {
    let mut found = ParsedChunk::default();
    let parsed = yaml::parse(text, first_line);
    for document in &parsed.documents {
        read_document(document, &mut found);
    }
    if let Some(error) = parsed.error {
        let fault = Fault { at: error.at, path: String::new(), message: error.message };
        found.faults.push(DocumentFault { object: None, fault });
    }
    found
}

/// Selects an object of a chunk.
#[derive(Copy, Clone, Debug)]
pub struct ObjectSelector<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for kinds without one.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The line on which its document starts, needed if the chunk holds several of that name.
    pub line: Option<u32>,
}

/// A chunk in which fields are located by their paths.
pub struct FieldLocator<'a>(Parsed<'a>);

impl<'a> FieldLocator<'a> {
    /// Parses a chunk that starts on line `first_line`.
    pub fn of(chunk: &'a [u8], first_line: u32) -> Self {
        Self(std::str::from_utf8(chunk).map(|text| yaml::parse(text, first_line)).unwrap_or_default())
    }

    /// The position of the field at `path` of an object.
    pub fn locate(&self, wanted: ObjectSelector<'_>, path: &str) -> Option<Mark> {
        self.0.documents.iter().find_map(|document| {
            let root = &document.root;
            let found = match (classify(root), root.get("items").map(|items| &items.value)) {
                (DocumentClass::List, Some(NodeValue::Sequence(items))) => items.iter().find(|item| wanted.is(item)),
                _ => Some(root).filter(|root| wanted.is(root)),
            };
            found.map(|root| locate(root, path))
        })
    }
}

impl ObjectSelector<'_> {
    fn is(&self, root: &Node<'_>) -> bool {
        if self.line.is_some_and(|line| line != root.at.line) {
            return false;
        }
        let field = |key: &str| root.get("metadata").and_then(|node| node.get(key)).and_then(Node::text);
        let namespace = if self.kind.is_namespaced() { field("namespace").unwrap_or(DEFAULT_NAMESPACE) } else { "" };
        matches!(classify(root), DocumentClass::Ours(kind) if kind == self.kind)
            && field("name") == Some(self.name)
            && namespace == self.namespace
    }
}

fn mark_after(before: &[u8], first_line: u32) -> Mark {
    let text = String::from_utf8_lossy(before);
    let lines = text.matches('\n').count();
    let column = text.rsplit('\n').next().map_or(0, |last| last.chars().count());
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Mark { line: first_line.saturating_add(small(lines)), column: small(column).saturating_add(1) }
}

fn read_document(document: &Document<'_>, found: &mut ParsedChunk) {
    let root = &document.root;
    let class = classify(root);
    if let DocumentClass::Foreign = class {
        // Syntax errors in documents of other programs do not matter, as long as it is certain that the document is
        // theirs.
        if document.errors.iter().all(|error| error.extent == Extent::Part) {
            found.foreign.push(foreign(root));
            return;
        }
    }
    let readable = document.errors.is_empty();
    if !readable {
        let object = known_name(root);
        found.faults.extend(document.errors.iter().map(|error| {
            let fault = Fault { at: error.at, path: String::new(), message: error.message.clone() };
            DocumentFault { object: object.clone(), fault }
        }));
    }
    match class {
        DocumentClass::Foreign => {}
        DocumentClass::Ours(_) | DocumentClass::Unclear(..) => read_object(root, class, readable, found),
        DocumentClass::List => read_list(root, readable, found),
    }
}

fn foreign(root: &Node<'_>) -> ForeignDocument {
    let text = |key: &str| Box::from(root.get(key).and_then(Node::text).unwrap_or_default());
    ForeignDocument { api_version: text("apiVersion"), kind: text("kind"), line: root.at.line }
}

/// `Kind namespace/name`, as far as it can be read, for messages.
fn known_name(root: &Node<'_>) -> Option<Box<str>> {
    let kind = root.get("kind")?.text()?;
    let metadata = root.get("metadata");
    let field = |key: &str| metadata.and_then(|node| node.get(key)).and_then(Node::text);
    let clean = |text: &str| shown(text).trim_matches('`').to_owned();
    let name = field("name").map_or_else(|| "?".to_owned(), clean);
    let namespace = field("namespace").map_or_else(|| "default".to_owned(), clean);
    let namespaced = Kind::ALL.into_iter().find(|known| known.name() == kind).is_none_or(Kind::is_namespaced);
    let kind = clean(kind);
    let name = if namespaced { format!("{kind} {namespace}/{name}") } else { format!("{kind} {name}") };
    Some(name.into_boxed_str())
}

fn read_list(root: &Node<'_>, readable: bool, found: &mut ParsedChunk) {
    let mut faults = Vec::new();
    if let NodeValue::Mapping(entries) = &root.value {
        for (key, _) in entries {
            if !matches!(&*key.scalar.text, "apiVersion" | "kind" | "metadata" | "items") {
                let message = "unknown field; the fields of a list are apiVersion, kind, metadata, items".to_owned();
                faults.push(Fault { at: key.at, path: key.scalar.text.to_string(), message });
            }
        }
    }
    match root.get("items") {
        Some(Node { value: NodeValue::Sequence(items), .. }) => {
            for item in items {
                match classify(item) {
                    DocumentClass::Foreign => found.foreign.push(foreign(item)),
                    DocumentClass::List => faults.push(Fault {
                        at: item.at,
                        path: "items".to_owned(),
                        message: "a list may not hold lists".to_owned(),
                    }),
                    class => read_object(item, class, readable, found),
                }
            }
        }
        Some(node) => {
            faults.push(Fault { at: node.at, path: "items".to_owned(), message: "want a list".to_owned() });
        }
        None => faults.push(Fault { at: root.at, path: "items".to_owned(), message: "is required".to_owned() }),
    }
    found.faults.extend(faults.into_iter().map(|fault| DocumentFault { object: None, fault }));
}

fn read_object(root: &Node<'_>, class: DocumentClass, readable: bool, found: &mut ParsedChunk) {
    let mut faults = Vec::new();
    let object = match class {
        DocumentClass::Ours(kind) => build(kind, root, &mut faults),
        DocumentClass::Unclear(path, message) => {
            let at = root.get(path).map_or(root.at, |node| node.at);
            faults.push(Fault { at, path: path.to_owned(), message });
            None
        }
        DocumentClass::List | DocumentClass::Foreign => None,
    };
    match object {
        Some(object) if faults.is_empty() && readable => found.objects.push((object, root.at)),
        _ => {
            let name = if faults.is_empty() { None } else { known_name(root) };
            found.faults.extend(faults.into_iter().map(|fault| DocumentFault { object: name.clone(), fault }));
        }
    }
}

/// The schema of a kind's fields besides its metadata.
struct KindSchema {
    top: Vec<(Box<str>, Schema)>,
    required: Vec<&'static str>,
}

impl KindSchema {
    fn new(kind: Kind) -> Self {
        let texts = || json!({"type": "object", "additionalProperties": {"type": "string"}});
        let (fields, required): (Vec<(&str, Json)>, Vec<&'static str>) = match kind {
            Kind::TrustProfile | Kind::CertificatePolicy | Kind::CertificateMapping => {
                let spec = kind.schema().expect("certgate's own kinds have a schema").clone();
                (vec![("spec", spec), ("status", json!({}))], vec!["spec"])
            }
            Kind::Secret => (
                vec![("data", texts()), ("stringData", texts()), ("type", json!({})), ("immutable", json!({}))],
                vec![],
            ),
            Kind::ConfigMap => (vec![("data", texts()), ("binaryData", texts()), ("immutable", json!({}))], vec![]),
            Kind::ClusterTrustBundle => {
                let spec = json!({
                    "type": "object", "additionalProperties": false, "required": ["trustBundle"],
                    "properties": {"signerName": {"type": "string"}, "trustBundle": {"type": "string"}}
                });
                (vec![("spec", spec)], vec!["spec"])
            }
            Kind::Namespace => (vec![("spec", json!({})), ("status", json!({}))], vec![]),
        };
        let prepared = |json: &Json| Schema::new(json).expect("within the vocabulary, as a test shows");
        Self { top: fields.iter().map(|(name, json)| (Box::from(*name), prepared(json))).collect(), required }
    }

    fn is_field_of_spec(&self, name: &str) -> bool {
        self.top.iter().any(|(top, schema)| match schema {
            Schema::Fields { fields, .. } if **top == *"spec" => fields.iter().any(|(field, _)| **field == *name),
            _ => false,
        })
    }

    fn of(kind: Kind) -> &'static Self {
        static SCHEMAS: LazyLock<BTreeMap<Kind, KindSchema>> =
            LazyLock::new(|| Kind::ALL.into_iter().map(|kind| (kind, KindSchema::new(kind))).collect());
        SCHEMAS.get(&kind).expect("every kind is in Kind::ALL")
    }
}

fn build(kind: Kind, root: &Node<'_>, faults: &mut Vec<Fault>) -> Option<Object> {
    let schema = KindSchema::of(kind);
    let NodeValue::Mapping(entries) = &root.value else { return None };
    let mut content = Map::new();
    for (key, node) in entries {
        let name = &*key.scalar.text;
        if matches!(name, "apiVersion" | "kind" | "metadata") {
            continue;
        }
        match schema.top.iter().find(|(field, _)| **field == *name) {
            // kubectl prints `data:` without a value for an empty map.
            Some(_) if node.is_null() && !schema.required.contains(&name) => {}
            Some((_, schema)) => {
                content.insert(name.to_owned(), schema.check(node, name, faults));
            }
            None => {
                let known = ["apiVersion", "kind", "metadata"].into_iter();
                let known = known.chain(schema.top.iter().map(|(field, _)| &**field));
                let advice = if schema.is_field_of_spec(name) {
                    "it belongs below spec".to_owned()
                } else {
                    advice(name, known, "the fields here are")
                };
                let message = format!("unknown field; {advice}");
                faults.push(Fault { at: key.at, path: shown(name).trim_matches('`').to_owned(), message });
            }
        }
    }
    for name in &schema.required {
        if root.get(name).is_none() {
            faults.push(Fault { at: root.at, path: (*name).to_owned(), message: "is required".to_owned() });
        }
    }
    let meta = match root.get("metadata") {
        Some(node) => metadata::read(kind, node, faults),
        None => {
            faults.push(Fault { at: root.at, path: "metadata".to_owned(), message: "is required".to_owned() });
            ObjectMeta::default()
        }
    };
    if !faults.is_empty() {
        return None;
    }
    let spec = content.remove("spec").unwrap_or(Json::Null);
    match kind {
        Kind::TrustProfile => typed(spec, root, faults).map(|spec| Object::TrustProfile { meta, spec }),
        Kind::CertificatePolicy => {
            let spec: Box<CertificatePolicySpec> = typed(spec, root, faults)?;
            // Such a policy selects unknown requests, so it counts as unreadable. All its errors are reported at once.
            if !unreadable_match(&spec).is_empty() {
                let FieldErrors { errors, .. } = certificate_policy(&meta, &spec).report;
                faults.extend(errors.into_iter().map(|FieldError { path, message }| Fault {
                    at: locate(root, &path),
                    path,
                    message,
                }));
            }
            Some(Object::CertificatePolicy { meta, spec })
        }
        Kind::CertificateMapping => typed(spec, root, faults).map(|spec| Object::CertificateMapping { meta, spec }),
        Kind::ConfigMap => {
            let mut data = texts(&content, "data");
            decode(root, &content, "binaryData", &mut data, faults);
            Some(Object::ConfigMap { meta, data })
        }
        Kind::Secret => {
            let mut data = BTreeMap::new();
            decode(root, &content, "data", &mut data, faults);
            // As in Kubernetes, stringData wins over data.
            data.extend(texts(&content, "stringData"));
            Some(Object::Secret { meta, data })
        }
        Kind::ClusterTrustBundle => {
            let text = |field: &str| spec.get(field).and_then(Json::as_str).unwrap_or_default().to_owned();
            let (signer_name, trust_bundle) = (text("signerName"), Bytes::from(text("trustBundle")));
            Some(Object::ClusterTrustBundle { meta, signer_name, trust_bundle })
        }
        Kind::Namespace => Some(Object::Namespace { meta }),
    }
}

/// A spec of the Rust type from JSON that fits the type's schema.
fn typed<T: DeserializeOwned>(spec: Json, root: &Node<'_>, faults: &mut Vec<Fault>) -> Option<Box<T>> {
    match serde_json::from_value(spec) {
        Ok(spec) => Some(Box::new(spec)),
        Err(error) => {
            // The schema is generated from the type, so this would be a defect of the schema; it still has to be an
            // error.
            let at = locate(root, "spec");
            faults.push(Fault { at, path: "spec".to_owned(), message: error.to_string() });
            None
        }
    }
}

fn texts(content: &Map<String, Json>, field: &str) -> BTreeMap<String, Bytes> {
    let entries = content.get(field).and_then(Json::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), Bytes::from(value.as_str()?.to_owned())))).collect()
}

/// RFC 4648, section 4: base64 with padding. Skips white space, to which YAML folds line breaks.
fn decode(
    root: &Node<'_>,
    content: &Map<String, Json>,
    field: &str,
    data: &mut BTreeMap<String, Bytes>,
    faults: &mut Vec<Fault>,
) {
    for (key, value) in content.get(field).and_then(Json::as_object).into_iter().flatten() {
        let text: String = value.as_str().unwrap_or_default().split_ascii_whitespace().collect();
        match STANDARD.decode(text) {
            Ok(bytes) => {
                let twice = data.insert(key.clone(), Bytes::from(bytes));
                if twice.is_some() {
                    let path = format!("{field}[\"{key}\"]");
                    let message = "this key is in data and in binaryData".to_owned();
                    faults.push(Fault { at: locate(root, &path), path, message });
                }
            }
            Err(error) => {
                let path = format!("{field}[\"{key}\"]");
                faults.push(Fault { at: locate(root, &path), path, message: format!("not base64: {error}") });
            }
        }
    }
}

#[cfg(test)]
mod tests;
