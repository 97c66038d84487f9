//! `certgate check`: reports all problems of a directory at once.
//!
//! This module owns the report and its two forms, for people and for programs. It finds nothing itself: it runs the
//! same loader and index as the server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::loader::{Loader, Totals};
use super::report::{FileProblem, ProblemClass, shown};
use crate::domain::store::AbsentSources;
use crate::terminal::plain;

/// The options of a check.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// How absent trust sources count.
    pub sources: AbsentSources,
    /// How warnings count.
    pub warnings: Warnings,
}

/// How warnings count.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Warnings {
    /// They are only reported.
    #[default]
    Reported,
    /// They fail the check.
    Errors,
}

/// A path to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedPath {
    /// The path.
    pub path: PathBuf,
    /// Its name in the report, if not the path itself.
    pub shown: Option<&'static str>,
}

/// The source of the checked objects.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ObjectSource {
    /// Files.
    Files,
    /// A cluster.
    Cluster,
}

/// The most skipped files in the text: a directory may hold thousands of files for other programs.
const SHOWN_SKIPPED: usize = 20;

/// The result of a check.
#[derive(Debug)]
pub struct CheckReport {
    /// The source of the objects.
    pub source: ObjectSource,
    /// How warnings count.
    pub strictness: Warnings,
    /// How much was read.
    pub totals: Totals,
    /// All problems by file and position, each with the path of its file as the operator would write it.
    pub problems: Vec<(String, FileProblem)>,
    /// The documents that certgate does not read.
    pub ignored: Vec<Ignored>,
    /// The files that are skipped because of their names, sorted. Trust sources are not among them.
    pub skipped: Vec<String>,
}

/// A document of a kind that certgate does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Its file.
    pub file: String,
    /// Its line.
    pub line: u32,
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its `kind`.
    pub kind: String,
}

/// Checks the directory or file at `path`.
pub fn check(path: &Path) -> CheckReport {
    check_all(&[CheckedPath { path: path.to_owned(), shown: None }], CheckOptions::default())
}

/// Checks several directories and files as one set.
pub fn check_all(paths: &[CheckedPath], options: CheckOptions) -> CheckReport {
    let mut loader = match paths {
        [CheckedPath { path, shown: None }] => Loader::new(path),
        paths => Loader::several(paths.iter().map(|named| named.path.clone()).collect()),
    };
    loader.set_absent_sources(options.sources);
    let (totals, problems) = loader.check();
    // Replaces the paths in messages by the names that the operator knows.
    let called: Vec<(String, &str)> =
        paths.iter().filter_map(|named| Some((named.path.display().to_string(), named.shown?))).collect();
    let renamed = |text: String| called.iter().fold(text, |text, (path, shown)| text.replace(path.as_str(), shown));
    let ignored = loader.foreign().map(|(file, foreign)| Ignored {
        file: renamed(loader.display(file)),
        line: foreign.line,
        api_version: foreign.api_version.to_string(),
        kind: foreign.kind.to_string(),
    });
    let ignored = ignored.collect();
    let problems = problems.into_iter().map(|mut problem| {
        problem.message = renamed(problem.message);
        (renamed(loader.display(&problem.file)), problem)
    });
    let problems = problems.collect();
    let skipped = loader.skipped().iter().map(|file| loader.display(file)).collect();
    CheckReport { source: ObjectSource::Files, strictness: options.warnings, totals, problems, ignored, skipped }
}

impl CheckReport {
    /// Adds a warning for each of `files` (names as in the report), which are empty.
    pub fn note_empty(&mut self, files: &[String]) {
        let problem = |file: &String| {
            let message = "the file is empty".to_owned();
            let (at, object, field) = (None, None, String::new());
            (
                file.clone(),
                FileProblem {
                    file: Arc::from(file.as_str()),
                    at,
                    object,
                    field,
                    message,
                    class: ProblemClass::Warning,
                },
            )
        };
        self.problems.extend(files.iter().map(problem));
        self.problems.sort_by(|(a, _), (b, _)| a.cmp(b));
    }

    /// How many problems are errors.
    pub fn errors(&self) -> usize {
        self.count(&[ProblemClass::Unreadable, ProblemClass::Invalid])
    }

    fn count(&self, classes: &[ProblemClass]) -> usize {
        self.problems.iter().filter(|(_, problem)| classes.contains(&problem.class)).count()
    }

    /// How many errors cause a server to reject the whole edit.
    pub fn refusing(&self) -> usize {
        self.problems.iter().filter(|(_, problem)| problem.class == ProblemClass::Unreadable).count()
    }

    /// How many objects can be read but do not compile, so that they deny.
    pub fn denying(&self) -> usize {
        let invalid = self.problems.iter().filter(|(_, problem)| problem.class == ProblemClass::Invalid);
        let objects = invalid.map(|(_, problem)| (&problem.file, &problem.object));
        objects.collect::<BTreeSet<_>>().len()
    }

    /// How many problems are warnings.
    pub fn warnings(&self) -> usize {
        self.count(&[ProblemClass::Warning])
    }

    /// Whether the check passed.
    pub fn is_valid(&self) -> bool {
        self.errors() == 0 && (self.strictness == Warnings::Reported || self.warnings() == 0)
    }

    /// 0 for a check that passed, else 1.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.is_valid())
    }

    /// One line for each problem, for each kind that is ignored and for each skipped file (the first 20), and a summary
    /// line.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for (file, problem) in &self.problems {
            // Writing to a String cannot fail.
            // The message of a problem of the directory already names it.
            let mut line = String::new();
            _ = problem.write(&mut line, if problem.file.is_empty() { "" } else { file });
            out.push_str(&plain(&line));
            out.push('\n');
        }
        let mut kinds: BTreeMap<(&str, &str), (usize, &Ignored)> = BTreeMap::new();
        for ignored in &self.ignored {
            kinds.entry((&ignored.api_version, &ignored.kind)).or_insert((0, ignored)).0 += 1;
        }
        for ((api_version, kind), (count, first)) in kinds {
            let name = format!("{} {}", shown(api_version), shown(kind)).replace('`', "");
            let documents = counted(count, "document");
            _ = writeln!(out, "{}:{}: ignored: {name} ({documents}, this is the first)", first.file, first.line);
        }
        for file in self.skipped.iter().take(SHOWN_SKIPPED) {
            let file: String = file.chars().flat_map(|c| c.escape_debug()).collect();
            _ = writeln!(out, "{file}: skipped: its name is not that of a policy file");
        }
        if let Some(more @ 1..) = self.skipped.len().checked_sub(SHOWN_SKIPPED) {
            _ = writeln!(out, "also skipped: {}", counted(more, "file"));
        }
        let place = match self.source {
            ObjectSource::Files => counted(self.totals.files, "file"),
            ObjectSource::Cluster => "the cluster".to_owned(),
        };
        let read = format!("{} in {place}", counted(self.totals.objects, "object"));
        let warnings = counted(self.warnings(), "warning");
        _ = match (self.errors(), self.warnings()) {
            (0, 0) => writeln!(out, "ok: {read}"),
            (0, _) if !self.is_valid() => writeln!(out, "{warnings}, counted as errors: {read}"),
            (0, _) => writeln!(out, "ok: {read}, {warnings}"),
            (errors, 0) => writeln!(out, "{}: {read}", counted(errors, "error")),
            (errors, _) => writeln!(out, "{}, {warnings}: {read}", counted(errors, "error")),
        };
        match self.refusing() {
            0 => {}
            1 => out.push_str(
                "1 error rejects the whole edit: a running server keeps its last policies; a new one does not start\n",
            ),
            n => {
                _ = writeln!(
                    out,
                    "{n} errors reject the whole edit: a running server keeps its last policies; \
                     a new one does not start"
                )
            }
        }
        match self.denying() {
            0 => {}
            1 => out.push_str("1 object is in error: requests that depend on it are denied until it is fixed\n"),
            n => {
                _ = writeln!(
                    out,
                    "{n} objects are in error: requests that depend on them are denied until they are fixed"
                )
            }
        }
        out
    }

    /// The start of the summary line.
    pub fn summary_lead(&self) -> String {
        match (self.errors(), self.is_valid()) {
            (0, true) => "ok".to_owned(),
            (0, false) => counted(self.warnings(), "warning"),
            (errors, _) => counted(errors, "error"),
        }
    }

    /// The report as JSON.
    pub fn to_json(&self) -> Json {
        let problems = self.problems.iter().map(|(file, problem)| {
            json!({
                "file": file,
                "line": problem.at.map(|at| at.line),
                "column": problem.at.map(|at| at.column),
                "object": problem.object,
                "field": problem.field,
                "message": problem.message,
                "class": problem.class.as_str(),
            })
        });
        let ignored = self.ignored.iter().map(|ignored| {
            json!({
                "file": ignored.file,
                "line": ignored.line,
                "apiVersion": ignored.api_version,
                "kind": ignored.kind,
            })
        });
        json!({
            "valid": self.is_valid(),
            "files": self.totals.files,
            "objects": self.totals.objects,
            "errors": self.errors(),
            "warnings": self.warnings(),
            "notes": self.count(&[ProblemClass::Note]),
            "refusing": self.refusing(),
            "denying": self.denying(),
            "problems": problems.collect::<Vec<_>>(),
            "ignored": ignored.collect::<Vec<_>>(),
            "skipped": self.skipped,
        })
    }
}

/// "1 file", "2 files".
fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("{count} {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests;
