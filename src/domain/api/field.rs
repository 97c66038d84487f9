//! Field paths and the errors at them.

use std::fmt;

use super::FieldError;

/// A field of an object, as a step from the field that holds it. Nothing is written out before there is an error.
#[derive(Copy, Clone, Debug)]
pub struct Field<'a> {
    parent: Option<&'a Field<'a>>,
    step: FieldStep<'a>,
}

#[derive(Copy, Clone, Debug)]
enum FieldStep<'a> {
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Field<'a> {
    /// A field of the object itself.
    pub const fn root(name: &'a str) -> Self {
        Self { parent: None, step: FieldStep::Name(name) }
    }

    /// The field `name` in this one.
    pub const fn child(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), step: FieldStep::Name(name) }
    }

    /// The element `index` of this list.
    pub const fn at(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: FieldStep::Index(index) }
    }

    /// The value of `key` in this map.
    pub const fn key(&'a self, key: &'a str) -> Self {
        Self { parent: Some(self), step: FieldStep::Key(key) }
    }
}

/// `spec.mapping.rules[1].where[0].value`; a key that is no plain word stands in brackets and quotes.
impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let dot = if self.parent.is_some() { "." } else { "" };
        match self.step {
            FieldStep::Name(name) => write!(f, "{dot}{name}"),
            FieldStep::Index(index) => write!(f, "[{index}]"),
            FieldStep::Key(key) if is_plain(key) => write!(f, "{dot}{key}"),
            FieldStep::Key(key) => write!(f, "[{key:?}]"),
        }
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// What was found wrong with an object, in the order of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What keeps the object from working.
    pub errors: Vec<FieldError>,
    /// What its author probably did not mean.
    pub warnings: Vec<FieldError>,
}

impl Report {
    /// Adds an error.
    pub fn error(&mut self, field: &Field<'_>, message: impl fmt::Display) {
        self.errors.push(FieldError::new(field.to_string(), message.to_string()));
    }

    /// Adds a warning.
    pub fn warning(&mut self, field: &Field<'_>, message: impl fmt::Display) {
        self.warnings.push(FieldError::new(field.to_string(), message.to_string()));
    }

    /// The value, or `None` after noting its error.
    pub fn take<T, E: fmt::Display>(&mut self, field: &Field<'_>, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.error(field, error)).ok()
    }

    /// Notes when a list is longer than `most`.
    pub fn cap(&mut self, field: &Field<'_>, length: usize, most: usize) {
        if length > most {
            self.error(field, format_args!("{length} entries: at most {most} are allowed"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_as_operators_write_them() {
        let spec = Field::root("spec");
        let (mapping, extra) = (spec.child("mapping"), spec.child("extra"));
        let rules = mapping.child("rules");
        let rule = rules.at(1);
        assert_eq!(rule.child("where").at(0).child("value").to_string(), "spec.mapping.rules[1].where[0].value");
        assert_eq!(extra.key("tier").to_string(), "spec.extra.tier");
        assert_eq!(extra.key("a.b/c").to_string(), "spec.extra[\"a.b/c\"]");
        assert_eq!(extra.key("").to_string(), "spec.extra[\"\"]");
    }
}
