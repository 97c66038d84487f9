//! Problems of files, as an operator reads them.
//!
//! This module owns the form of a problem's position: file, line, column, object and field. It does not find problems.
//! The text goes to logs and terminals, so it shows no control characters of a file, and text from files only up to a
//! limit.

use std::fmt;
use std::sync::Arc;

use super::yaml::Mark;

/// The most characters of a text from a file in a message.
const MAX_SHOWN: usize = 64;

/// `text` in back quotes, with control characters escaped and at most 64 characters.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_SHOWN) + 2);
    out.push('`');
    for (n, c) in text.chars().enumerate() {
        if n == MAX_SHOWN {
            out.push('…');
            break;
        }
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out.push('`');
    out
}

/// The effect of a problem on the reload.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemClass {
    /// The text is not YAML, or the document does not fit its kind: the whole reload is rejected.
    Unreadable,
    /// The object is well-formed but does not compile: it denies what it selects.
    Invalid,
    /// Worth a look; has no effect.
    Warning,
    /// Follows from an error of another object, which is reported there.
    Note,
}

impl ProblemClass {
    /// One word for machine-readable output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Invalid => "invalid",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One problem with its position.
///
/// Shown as `path/file.yaml:LINE:COL: Kind namespace/name: spec.field.path: message`, without the parts that are not
/// known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// The file, relative to the policy directory; empty if the problem is of the directory itself.
    pub file: Arc<str>,
    /// The position in the file; a problem of the whole file has none.
    pub at: Option<Mark>,
    /// `Kind namespace/name`, as far as known.
    pub object: Option<String>,
    /// The field's path, such as `spec.mapping.rules[1].where[0].value`; empty if the problem is not of a single field.
    pub field: String,
    /// The message.
    pub message: String,
    /// Its effect on the reload.
    pub class: ProblemClass,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &self.file)
    }
}

impl FileProblem {
    /// Writes the problem with `file` as the name of its file.
    pub fn write(&self, out: &mut impl fmt::Write, file: &str) -> fmt::Result {
        out.write_str(file)?;
        if let Some(at) = self.at {
            write!(out, ":{at}")?;
        }
        if !file.is_empty() {
            out.write_str(": ")?;
        }
        match self.class {
            ProblemClass::Warning => out.write_str("warning: ")?,
            ProblemClass::Note => out.write_str("note: ")?,
            ProblemClass::Unreadable | ProblemClass::Invalid => {}
        }
        if let Some(object) = &self.object {
            write!(out, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(out, "{}: ", self.field)?;
        }
        out.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_with_the_parts_that_are_known() {
        let mut problem = FileProblem {
            file: Arc::from("team/a.yaml"),
            at: Some(Mark { line: 3, column: 7 }),
            object: Some("TrustProfile payments/partners".to_owned()),
            field: "spec.mode".to_owned(),
            message: "unknown word `Chian`".to_owned(),
            class: ProblemClass::Unreadable,
        };
        assert_eq!(
            problem.to_string(),
            "team/a.yaml:3:7: TrustProfile payments/partners: spec.mode: unknown word `Chian`"
        );
        problem.at = None;
        problem.object = None;
        problem.field = String::new();
        problem.class = ProblemClass::Warning;
        assert_eq!(problem.to_string(), "team/a.yaml: warning: unknown word `Chian`");
    }

    #[test]
    fn texts_from_files_are_shown_safely() {
        assert_eq!(shown("a\u{1b}[31m\n"), "`a\\u{1b}[31m\\u{a}`");
        assert_eq!(shown(&"x".repeat(100)), format!("`{}…`", "x".repeat(64)));
        assert_eq!(shown("\u{202e}txt"), "`\\u{202e}txt`");
    }
}
