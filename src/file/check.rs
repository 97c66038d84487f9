//! `certgate check`: everything that is wrong with a directory, at once.
//!
//! This module owns what the command finds and how it is shown, for people and for programs. It finds nothing itself:
//! it runs the same loader and index as the server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::loader::{Loader, Totals};
use super::report::{Class, Problem, shown};

/// How many skipped files the text names: a directory may hold thousands that are meant for others.
const SHOWN_SKIPPED: usize = 20;

/// What the check of a directory or file found.
#[derive(Debug)]
pub struct Check {
    /// How much was read.
    pub totals: Totals,
    /// All problems, by file and place, each with the path of its file as an operator would write it.
    pub problems: Vec<(String, Problem)>,
    /// The documents that certgate does not read.
    pub ignored: Vec<Ignored>,
    /// The files that are not read because of their names, sorted. Trust sources are not among them.
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
pub fn check(path: &Path) -> Check {
    let mut loader = Loader::new(path);
    let (totals, problems) = loader.check();
    let ignored = loader.foreign().map(|(file, foreign)| Ignored {
        file: loader.display(file),
        line: foreign.line,
        api_version: foreign.api_version.to_string(),
        kind: foreign.kind.to_string(),
    });
    let ignored = ignored.collect();
    let problems = problems.into_iter().map(|problem| (loader.display(&problem.file), problem)).collect();
    let skipped = loader.skipped().iter().map(|file| loader.display(file)).collect();
    Check { totals, problems, ignored, skipped }
}

impl Check {
    /// How many problems are errors.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|(_, problem)| problem.class != Class::Warning).count()
    }

    /// How many errors make a server refuse the whole edit.
    pub fn refusing(&self) -> usize {
        self.problems.iter().filter(|(_, problem)| problem.class == Class::Unreadable).count()
    }

    /// How many objects can be read, but are in error and so deny.
    pub fn denying(&self) -> usize {
        let invalid = self.problems.iter().filter(|(_, problem)| problem.class == Class::Invalid);
        let objects = invalid.map(|(_, problem)| (&problem.file, &problem.object));
        objects.collect::<BTreeSet<_>>().len()
    }

    /// How many problems are warnings.
    pub fn warnings(&self) -> usize {
        self.problems.len() - self.errors()
    }

    /// 0 without errors, 1 with some.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.errors() > 0)
    }

    /// One line for each problem, each kind that is ignored and each file that is skipped (the first 20), and a line that sums it up.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for (file, problem) in &self.problems {
            // Writing to a String cannot fail.
            // A problem of the directory names it in its words.
            _ = problem.write(&mut out, if problem.file.is_empty() { "" } else { file });
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
            _ = writeln!(out, "skipped besides: {}", counted(more, "file"));
        }
        let read = format!("{} in {}", counted(self.totals.objects, "object"), counted(self.totals.files, "file"));
        let warnings = counted(self.warnings(), "warning");
        _ = match (self.errors(), self.warnings()) {
            (0, 0) => writeln!(out, "ok: {read}"),
            (0, _) => writeln!(out, "ok: {read}, {warnings}"),
            (errors, 0) => writeln!(out, "{}: {read}", counted(errors, "error")),
            (errors, _) => writeln!(out, "{}, {warnings}: {read}", counted(errors, "error")),
        };
        match self.refusing() {
            0 => {}
            1 => {
                out.push_str("1 error refuses the whole edit: a server goes on with what it has, and does not start\n")
            }
            n => {
                _ = writeln!(
                    out,
                    "{n} errors refuse the whole edit: a server goes on with what it has, and does not start"
                )
            }
        }
        match self.denying() {
            0 => {}
            1 => out.push_str("1 object is in error: what depends on it is denied until it is mended\n"),
            n => _ = writeln!(out, "{n} objects are in error: what depends on them is denied until they are mended"),
        }
        out
    }

    /// The same for programs.
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
            "valid": self.errors() == 0,
            "files": self.totals.files,
            "objects": self.totals.objects,
            "errors": self.errors(),
            "warnings": self.warnings(),
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
mod tests {
    use super::*;

    #[test]
    fn everything_is_named_and_summed_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        let text = "apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: apps/v1\nkind: Deployment\n---\nkind: [\n---\n\
                    apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: t}\nspec: {mod: Peer}\n";
        std::fs::write(&path, text).unwrap();
        for target in [dir.path(), &path] {
            let found = check(target);
            let text = found.to_text().replace(&format!("{}/", dir.path().display()), "");
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len(), 5, "{text}");
            assert!(lines[0].starts_with("a.yaml:8:1: not valid YAML: "), "{text}");
            assert_eq!(lines[1], "a.yaml:12:8: TrustProfile default/t: spec.mod: unknown field; did you mean `mode`?");
            assert_eq!(lines[2], "a.yaml:1: ignored: apps/v1 Deployment (2 documents, this is the first)");
            assert_eq!(lines[3], "2 errors: 0 objects in 1 file");
            assert!(lines[4].starts_with("2 errors refuse the whole edit: "), "{text}");
            assert_eq!(found.exit_code(), 1);
            let json = found.to_json();
            assert_eq!(json["problems"][1]["field"], "spec.mod");
            assert_eq!(json["problems"][1]["line"], 12);
            assert_eq!(json["problems"][1]["class"], "unreadable");
            assert_eq!(json["valid"], false);
            assert_eq!((&json["refusing"], &json["denying"]), (&json!(2), &json!(0)));
            assert_eq!(json["ignored"][1]["line"], 4);
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let found = check(Path::new("/nowhere/policies"));
        assert_eq!(
            found.to_text(),
            "cannot read the policy directory \"/nowhere/policies\": No such file or directory (os error 2)\n\
             1 error: 0 objects in 0 files\n\
             1 error refuses the whole edit: a server goes on with what it has, and does not start\n"
        );
        assert_eq!(found.to_json()["problems"][0]["file"], "/nowhere/policies");
        assert_eq!(found.exit_code(), 1);
    }

    #[test]
    fn files_that_are_skipped_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let map = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
        let profile = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: t}\n\
                       spec: {trustAnchors: [{file: ca.pem}]}\n";
        write("a.yaml", &map("a"));
        write("strict.YAML", &map("b"));
        write("t.yml", profile);
        write("policy.yml.txt", "");
        write(".b.yaml", "");
        write("ca.pem", "");
        write("old.pem", "");
        let found = check(dir.path());
        let text = found.to_text().replace(&format!("{}/", dir.path().display()), "");
        let skipped: Vec<&str> = text.lines().filter(|line| line.contains("skipped")).collect();
        let why = "skipped: its name is not that of a policy file";
        let want = [".b.yaml", "old.pem", "policy.yml.txt"].map(|file| format!("{file}: {why}"));
        assert_eq!(skipped, want, "{text}");
        assert!(text.contains(": 3 objects in 3 files\n"), "{text}");
        assert_eq!(found.to_json()["skipped"].as_array().map(Vec::len), Some(3));
        for n in 0..SHOWN_SKIPPED {
            write(&format!("n{n}.txt"), "");
        }
        assert!(check(dir.path()).to_text().contains("\nskipped besides: 3 files\n"));
    }

    #[test]
    fn a_good_directory_is_ok() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n").unwrap();
        let found = check(&dir.path().join("a.yaml"));
        assert_eq!(found.to_text(), "ok: 1 object in 1 file\n");
        assert_eq!(found.exit_code(), 0);
    }

    #[test]
    fn what_is_legal_but_doubtful_is_warned_of_at_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let text = "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: p}\nspec:\n  trustRef: {name: t}\n  \
                    mode: Audit\n---\napiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {name: m}\nspec:\n  \
                    identity: {user: u}\n  certificate:\n    email: a@example.com\n---\napiVersion: certgate.dev/v1alpha1\nkind: \
                    TrustProfile\nmetadata: {name: t}\nspec:\n  revocation: {mode: NoCheck}\n";
        std::fs::write(dir.path().join("a.yaml"), text).unwrap();
        let found = check(dir.path());
        let text = found.to_text().replace(&format!("{}/", dir.path().display()), "");
        for (line, rest) in [
            ("a.yaml:6:", "warning: CertificatePolicy default/p: spec.mode: with mode Audit"),
            ("a.yaml:14:", "warning: CertificateMapping default/m: spec.certificate.email: email is a weak name"),
            ("a.yaml:20:", "warning: TrustProfile default/t: spec.revocation.mode: with mode NoCheck"),
        ] {
            assert!(
                text.lines().any(|found| found.starts_with(line) && found.contains(rest)),
                "{line} {rest}:\n{text}"
            );
        }
        assert_eq!(found.exit_code(), 0);
    }

    #[test]
    fn what_contradicts_and_what_does_nothing_is_told_at_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let object = |kind: &str, name: &str, spec: &str| {
            format!(
                "---\napiVersion: certgate.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, labels: {{api: x}}}}\nspec:\n  {spec}\n"
            )
        };
        let mapping = |name: &str, uri: &str, user: &str| {
            object("CertificateMapping", name, &format!("certificate: {{uri: {uri:?}}}\n  identity: {{user: {user}}}"))
        };
        let policy = "trustRef: {name: t}\n  mapping: {selector: {matchLabels: {api: x}}}";
        let rest = [object("CertificatePolicy", "p", policy), object("TrustProfile", "t", "mode: Chain")].concat();
        let lost = mapping("lost", "a:c", "u").replace("api: x", "api: other");
        let text = [mapping("a", "a:b", "u"), mapping("b", "a:b", "v"), lost, rest].concat();
        std::fs::write(dir.path().join("a.yaml"), text).unwrap();
        let found = check(dir.path());
        let text = found.to_text().replace(&format!("{}/", dir.path().display()), "");
        for (line, rest) in [
            ("a.yaml:7:", "CertificateMapping default/a: spec.identity: Conflicted: CertificateMapping b maps"),
            ("a.yaml:14:", "CertificateMapping default/b: spec.identity: Conflicted: CertificateMapping a maps"),
            ("a.yaml:18:", "warning: CertificateMapping default/lost: metadata.labels: no CertificatePolicy"),
        ] {
            assert!(
                text.lines().any(|found| found.starts_with(line) && found.contains(rest)),
                "{line} {rest}:\n{text}"
            );
        }
        assert_eq!((found.exit_code(), found.denying()), (1, 2), "{text}");
    }

    #[test]
    fn a_directory_without_policies_is_doubtful() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n").unwrap();
        let found = check(dir.path());
        let want = format!(
            "warning: {:?} holds no CertificatePolicy: every request is denied with NO_POLICY\n\
             ok: 1 object in 1 file, 1 warning\n",
            dir.path()
        );
        assert_eq!(found.to_text(), want);
        assert_eq!(found.exit_code(), 0);
    }

    #[test]
    fn an_object_in_error_denies_and_refuses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        let policy = "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: p}\nspec: {match: \
                      [{paths: [{exact: a}], methods: [get]}], trustRef: {name: absent}}\n";
        std::fs::write(&path, policy).unwrap();
        let found = check(dir.path());
        let text = found.to_text();
        assert!(found.errors() > 1 && found.refusing() == 0, "{text}");
        let last = "1 object is in error: what depends on it is denied until it is mended";
        assert_eq!(text.lines().last(), Some(last), "{text}");
    }
}
