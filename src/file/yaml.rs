//! Parses YAML text into a tree of nodes, each with its line and column.
//!
//! This module owns the subset of YAML that certgate reads: mappings with scalar keys, sequences and scalars. It
//! rejects what YAML readers disagree about: anchors, aliases and merge keys, tags, duplicate keys, keys that are not
//! scalars, control characters and unusual line breaks. It limits depth and size. It does not interpret plain scalars
//! (see [`super::scalar`]) or check the structure of documents (see [`super::schema`]).
//!
//! A problem that leaves the tree readable does not stop the parser, so that one pass reports them all; a syntax error
//! ends only its chunk.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// The deepest nesting of nodes. The deepest field of certgate's kinds is below 12; a Deployment is below 25.
pub const MAX_DEPTH: usize = 64;

/// The most nodes in the documents of one chunk. A `List` of 100,000 mappings from `kubectl get -o yaml` has about
/// 3,000,000.
pub const MAX_NODES: usize = 8_000_000;

/// A position in a file. Both count from 1; columns count characters.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// An error at a position of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// The position.
    pub at: Mark,
    /// The message.
    pub message: String,
    /// What it may affect.
    pub extent: Extent,
}

/// The part of a document that a [`YamlError`] makes uncertain.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything, including the kind of the document.
    Document,
    /// Only something below the top-level values.
    Part,
}

/// A value and its position.
#[derive(Clone, Debug, PartialEq)]
pub struct Node<'a> {
    /// The start of the value; for an absent value, the start of its key.
    pub at: Mark,
    /// The value.
    pub value: NodeValue<'a>,
}

/// The value of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeValue<'a> {
    /// Text, or a plain scalar that may have another type.
    Scalar(Scalar<'a>),
    /// A list.
    Sequence(Vec<Node<'a>>),
    /// Keys and values in the order of the file, without duplicates.
    Mapping(Vec<(MappingKey<'a>, Node<'a>)>),
}

/// A scalar's text and style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar<'a> {
    /// The text after escapes and folding.
    pub text: Cow<'a, str>,
    /// Plain or not.
    pub style: Style,
}

/// Whether a scalar is always text.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Style {
    /// Written without quotes: may be null, a boolean or a number.
    Plain,
    /// Quoted or a block scalar: always text.
    Text,
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingKey<'a> {
    /// Where it starts.
    pub at: Mark,
    /// Its text.
    pub scalar: Scalar<'a>,
}

impl<'a> Node<'a> {
    /// The value of `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node<'a>> {
        match &self.value {
            NodeValue::Mapping(entries) => entries.iter().find(|(k, _)| k.scalar.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The text, if this is a scalar that is not null.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar(scalar) if !scalar.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    /// Whether this is an empty or null scalar.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, NodeValue::Scalar(scalar) if scalar.is_null())
    }
}

impl Scalar<'_> {
    fn is_null(&self) -> bool {
        self.style == Style::Plain && super::scalar::is_null(&self.text)
    }
}

/// One document of a chunk.
#[derive(Debug)]
pub struct Document<'a> {
    /// Its root; a document of comments only is omitted.
    pub root: Node<'a>,
    /// Its errors that leave it readable: duplicate keys, anchors, aliases, tags, control characters.
    pub errors: Vec<YamlError>,
}

/// The content of a chunk.
#[derive(Debug, Default)]
pub struct Parsed<'a> {
    /// The readable documents, without empty ones.
    pub documents: Vec<Document<'a>>,
    /// The syntax error that ended the parse.
    pub error: Option<YamlError>,
}

/// Parses all documents of `text`, whose first line is `first_line` of its file.
pub fn parse(text: &str, first_line: u32) -> Parsed<'_> {
    let mut builder = DocumentBuilder {
        first_line,
        parsed: Parsed::default(),
        errors: Vec::new(),
        stack: Vec::new(),
        root: None,
        nodes: 0,
    };
    if let Some(error) = unprintable(text, first_line) {
        builder.parsed.error = Some(error);
        return builder.parsed;
    }
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let step = match next {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(builder.scan_error(&error)),
        };
        if let Err(error) = step {
            builder.parsed.error = Some(error);
            break;
        }
    }
    builder.parsed
}

/// YAML 1.2.2, 5.1 and 5.4: the first character that is not printable, or that only one version of YAML takes for a
/// line break.
fn unprintable(text: &str, first_line: u32) -> Option<YamlError> {
    let mut line_start = 0;
    let mut line = first_line;
    let mut bytes = text.char_indices().peekable();
    // Nearly all text is ASCII without control characters; the slow loop below finds the position for the message.
    if text.bytes().all(|b| matches!(b, b'\t' | b'\n' | 0x20..=0x7e)) {
        return None;
    }
    while let Some((at, c)) = bytes.next() {
        let refused = match c {
            '\n' => {
                line = line.saturating_add(1);
                line_start = at + 1;
                false
            }
            '\r' => bytes.peek().is_some_and(|(_, next)| *next != '\n'),
            '\t' => false,
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => true,
            c => c.is_control(),
        };
        if refused {
            let column = text.get(line_start..at).map_or(0, |s| s.chars().count());
            let at = Mark { line, column: u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1) };
            let code = u32::from(c);
            return Some(YamlError {
                at,
                message: format!("character U+{code:04X} is not allowed; write it as an escape in double quotes"),
                extent: Extent::Document,
            });
        }
    }
    None
}

/// A collection that is being parsed.
enum OpenCollection<'a> {
    Sequence {
        at: Mark,
        items: Vec<Node<'a>>,
    },
    Mapping {
        at: Mark,
        entries: Vec<(MappingKey<'a>, Node<'a>)>,
        key: PendingKey<'a>,
        seen: Option<HashMap<String, Mark>>,
    },
}

/// The state of a mapping between a key and its value.
enum PendingKey<'a> {
    /// A key comes next.
    None,
    /// Its value comes next.
    Key(MappingKey<'a>),
    /// The value of a rejected key comes next and is dropped.
    Refused,
}

/// With more keys than this, a hash map detects duplicates; with fewer, comparison with each key does.
const FEW_KEYS: usize = 16;

struct DocumentBuilder<'a> {
    first_line: u32,
    parsed: Parsed<'a>,
    errors: Vec<YamlError>,
    stack: Vec<OpenCollection<'a>>,
    root: Option<Node<'a>>,
    nodes: usize,
}

impl<'a> DocumentBuilder<'a> {
    fn mark(&self, span: Span) -> Mark {
        self.place(span.start.line(), span.start.col())
    }

    fn place(&self, line: usize, column: usize) -> Mark {
        let line = u32::try_from(line.saturating_sub(1)).unwrap_or(u32::MAX);
        Mark {
            line: self.first_line.saturating_add(line),
            column: u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1),
        }
    }

    fn scan_error(&self, error: &ScanError) -> YamlError {
        let at = self.place(error.marker().line(), error.marker().col());
        // `*` begins an alias, but the author of `*.example.com` meant text.
        let is_alias = ["unknown anchor", "anchor or alias"].iter().any(|text| error.info().contains(text));
        let hint = if is_alias { "; a value that starts with `*` or `&` must be quoted" } else { "" };
        YamlError { at, message: format!("not valid YAML: {}{hint}", error.info()), extent: Extent::Document }
    }

    fn refuse(&mut self, at: Mark, message: String) {
        let extent = self.extent();
        self.errors.push(YamlError { at, message, extent });
    }

    fn extent(&self) -> Extent {
        if self.stack.len() <= 1 { Extent::Document } else { Extent::Part }
    }

    fn event(&mut self, event: Event<'a>, span: Span) -> Result<(), YamlError> {
        let at = self.mark(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
            Event::DocumentEnd => {
                let errors = std::mem::take(&mut self.errors);
                if let Some(root) = self.root.take()
                    && !(root.is_null() && errors.is_empty())
                {
                    self.parsed.documents.push(Document { root, errors });
                }
            }
            Event::Alias(_) => {
                self.refuse(
                    at,
                    "aliases are not supported; write the value out, or quote it when it is text".to_owned(),
                );
                self.node(Node {
                    at,
                    value: NodeValue::Scalar(Scalar { text: Cow::Borrowed(""), style: Style::Text }),
                })?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.decorations(at, anchor, tag.is_some());
                let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Text };
                self.node(Node { at, value: NodeValue::Scalar(Scalar { text, style }) })?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.decorations(at, anchor, tag.is_some());
                self.open(at, OpenCollection::Sequence { at, items: Vec::new() })?;
            }
            Event::MappingStart(anchor, tag) => {
                self.decorations(at, anchor, tag.is_some());
                self.open(at, OpenCollection::Mapping { at, entries: Vec::new(), key: PendingKey::None, seen: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(OpenCollection::Sequence { at, items }) => {
                    self.node(Node { at, value: NodeValue::Sequence(items) })?
                }
                Some(OpenCollection::Mapping { at, entries, .. }) => {
                    self.node(Node { at, value: NodeValue::Mapping(entries) })?
                }
                None => {}
            },
        }
        Ok(())
    }

    fn decorations(&mut self, at: Mark, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.refuse(at, "anchors are not supported; write the value out".to_owned());
        }
        if tagged {
            self.refuse(at, "tags are not supported; quote the value when it is text".to_owned());
        }
    }

    fn open(&mut self, at: Mark, open: OpenCollection<'a>) -> Result<(), YamlError> {
        if self.stack.len() >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} deep");
            return Err(YamlError { at, message, extent: Extent::Document });
        }
        self.stack.push(open);
        Ok(())
    }

    /// Adds a finished node: as the root, an item, a key or a value.
    fn node(&mut self, mut node: Node<'a>) -> Result<(), YamlError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values in one document");
            return Err(YamlError { at: node.at, message, extent: Extent::Document });
        }
        let extent = self.extent();
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(OpenCollection::Sequence { items, .. }) => items.push(node),
            Some(OpenCollection::Mapping { entries, key, seen, .. }) => {
                match std::mem::replace(key, PendingKey::None) {
                    PendingKey::None => {
                        let at = node.at;
                        *key = match accept_key(node, entries, seen) {
                            Ok(key) => PendingKey::Key(key),
                            Err(message) => {
                                self.errors.push(YamlError { at, message, extent });
                                PendingKey::Refused
                            }
                        };
                    }
                    PendingKey::Key(key) => {
                        if node.is_null() {
                            node.at = key.at;
                        }
                        entries.push((key, node));
                    }
                    PendingKey::Refused => {}
                }
            }
        }
        Ok(())
    }
}

/// Checks a node in the position of a key.
fn accept_key<'a>(
    node: Node<'a>,
    entries: &[(MappingKey<'a>, Node<'a>)],
    seen: &mut Option<HashMap<String, Mark>>,
) -> Result<MappingKey<'a>, String> {
    let at = node.at;
    let NodeValue::Scalar(scalar) = node.value else {
        return Err("a key must be text".to_owned());
    };
    if scalar.style == Style::Plain && scalar.text == "<<" {
        return Err("merge keys are not supported; write the fields out".to_owned());
    }
    let first = if entries.len() < FEW_KEYS {
        entries.iter().find(|(k, _)| k.scalar.text == scalar.text).map(|(k, _)| k.at)
    } else {
        let seen = seen.get_or_insert_with(|| entries.iter().map(|(k, _)| (k.scalar.text.to_string(), k.at)).collect());
        let first = seen.get(&*scalar.text).copied();
        if first.is_none() {
            seen.insert(scalar.text.to_string(), at);
        }
        first
    };
    match first {
        Some(first) => {
            let key = super::report::shown(&scalar.text);
            // Every document begins with this key.
            let hint = if scalar.text == "apiVersion" { "; is `---` missing between two documents?" } else { "" };
            Err(format!("duplicate key {key}: first at line {}, column {}{hint}", first.line, first.column))
        }
        None => Ok(MappingKey { at, scalar }),
    }
}

#[cfg(test)]
mod tests;
