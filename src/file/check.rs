//! `certgate check`: everything that is wrong with a directory, at once.
//!
//! This module owns what the command finds and how it is shown, for people and for programs. It finds nothing itself:
//! it runs the same loader and index as the server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::loader::{Loader, Totals};
use super::report::{Class, Problem, shown};
use crate::domain::store::AbsentSources;
use crate::terminal::plain;

/// How a check is done.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// What sources come to that are not there.
    pub sources: AbsentSources,
    /// What warnings count as.
    pub warnings: Warnings,
}

/// What warnings count as.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Warnings {
    /// They are told.
    #[default]
    Told,
    /// They fail the check.
    Errors,
}

/// A path to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Where it is.
    pub path: PathBuf,
    /// How it is called, when not by its path.
    pub shown: Option<&'static str>,
}

/// Where the objects are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In files.
    Files,
    /// In a cluster.
    Cluster,
}

/// How many skipped files the text names: a directory may hold thousands that are meant for others.
const SHOWN_SKIPPED: usize = 20;

/// What the check of a directory or file found.
#[derive(Debug)]
pub struct Check {
    /// Where it was read.
    pub place: Place,
    /// What warnings count as.
    pub strictness: Warnings,
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
    check_all(&[Named { path: path.to_owned(), shown: None }], CheckOptions::default())
}

/// Checks directories and files, together one set.
pub fn check_all(paths: &[Named], options: CheckOptions) -> Check {
    let mut loader = match paths {
        [Named { path, shown: None }] => Loader::new(path),
        paths => Loader::several(paths.iter().map(|named| named.path.clone()).collect()),
    };
    loader.set_absent_sources(options.sources);
    let (totals, problems) = loader.check();
    // What is called otherwise than its path is named so wherever its path would be.
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
    Check { place: Place::Files, strictness: options.warnings, totals, problems, ignored, skipped }
}

impl Check {
    /// Adds a warning for each of the files, by the names under which they are known, that hold nothing.
    pub fn note_empty(&mut self, files: &[String]) {
        let problem = |file: &String| {
            let message = "the file is empty".to_owned();
            let (at, object, field) = (None, None, String::new());
            (
                file.clone(),
                Problem { file: Arc::from(file.as_str()), at, object, field, message, class: Class::Warning },
            )
        };
        self.problems.extend(files.iter().map(problem));
        self.problems.sort_by(|(a, _), (b, _)| a.cmp(b));
    }

    /// How many problems are errors.
    pub fn errors(&self) -> usize {
        self.count(&[Class::Unreadable, Class::Invalid])
    }

    fn count(&self, classes: &[Class]) -> usize {
        self.problems.iter().filter(|(_, problem)| classes.contains(&problem.class)).count()
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
        self.count(&[Class::Warning])
    }

    /// Whether the check is passed.
    pub fn is_valid(&self) -> bool {
        self.errors() == 0 && (self.strictness == Warnings::Told || self.warnings() == 0)
    }

    /// 0 for a check that is passed, else 1.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.is_valid())
    }

    /// One line for each problem, each kind that is ignored and each file that is skipped (the first 20), and a line that sums it up.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for (file, problem) in &self.problems {
            // Writing to a String cannot fail.
            // A problem of the directory names it in its words.
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
            _ = writeln!(out, "skipped besides: {}", counted(more, "file"));
        }
        let place = match self.place {
            Place::Files => counted(self.totals.files, "file"),
            Place::Cluster => "the cluster".to_owned(),
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
                "1 error refuses the whole edit: a running server keeps its last policies; a new one does not start\n",
            ),
            n => {
                _ = writeln!(
                    out,
                    "{n} errors refuse the whole edit: a running server keeps its last policies; \
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

    /// How the line that sums it up begins.
    pub fn summary_lead(&self) -> String {
        match (self.errors(), self.is_valid()) {
            (0, true) => "ok".to_owned(),
            (0, false) => counted(self.warnings(), "warning"),
            (errors, _) => counted(errors, "error"),
        }
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
            "valid": self.is_valid(),
            "files": self.totals.files,
            "objects": self.totals.objects,
            "errors": self.errors(),
            "warnings": self.warnings(),
            "notes": self.count(&[Class::Note]),
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
             1 error refuses the whole edit: a running server keeps its last policies; a new one does not start\n"
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
        let last = "1 object is in error: requests that depend on it are denied until it is fixed";
        assert_eq!(text.lines().last(), Some(last), "{text}");
    }

    fn write(dir: &Path, name: &str, text: &str) -> Named {
        std::fs::write(dir.join(name), text).unwrap();
        Named { path: dir.join(name), shown: None }
    }

    const PROFILE: &str = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: t}\nspec: ";
    const POLICY: &str = "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: p}\nspec: {match: \
                          [{hosts: [a.example]}], trustRef: {name: t}}\n";

    #[test]
    fn several_paths_are_one_set() {
        let dir = tempfile::tempdir().unwrap();
        let more = dir.path().join("more");
        std::fs::create_dir(&more).unwrap();
        std::fs::write(more.join("roots.pem"), "no certificate").unwrap();
        let profile = write(&more, "a.yaml", &format!("{PROFILE}{{trustAnchors: [{{file: roots.pem}}]}}\n"));
        let policy = write(dir.path(), "a.yaml", POLICY);
        let directory = Named { path: more, shown: None };
        let both = check_all(&[policy.clone(), directory.clone()], CheckOptions::default());
        let text = both.to_text();
        assert_eq!(both.totals.objects, 2, "{text}");
        assert!(text.contains("more/a.yaml:4:") && text.contains("no `-----BEGIN CERTIFICATE-----` block"), "{text}");
        assert!(!text.contains("does not exist"), "the policy finds its profile: {text}");
        let twice = check_all(&[policy.clone(), directory, profile, policy.clone()], CheckOptions::default());
        assert_eq!(twice.to_text(), text, "a file that is named twice counts once");
        let alone = check_all(&[policy], CheckOptions::default()).to_text();
        assert!(alone.contains("TrustProfile default/t does not exist"), "{alone}");
    }

    /// What is wrong with a profile is told there, and of each policy that refers to it there is but a note.
    #[test]
    fn an_error_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        for (name, profile, told) in [
            ("does not fit its kind", "{mod: Peer}", "spec.mod: unknown field"),
            (
                "does not compile",
                "{mode: Chain, disallowed: [{sha256: x}], trustAnchors: [{inline: ''}]}",
                "disallowed[0]",
            ),
            ("has a source that is not there", "{trustAnchors: [{configMap: {name: roots}}]}", "does not exist"),
        ] {
            write(dir.path(), "t.yaml", &format!("{PROFILE}{profile}\n"));
            write(dir.path(), "p.yaml", POLICY);
            let found = check(dir.path());
            let text = found.to_text();
            let of_policy: Vec<&str> = text.lines().filter(|line| line.contains("p.yaml:")).collect();
            assert!(text.contains(told), "{name}: {text}");
            assert_eq!(of_policy.len(), 1, "{name}: {text}");
            assert!(
                of_policy[0].contains(": note: CertificatePolicy default/p: spec.trustRef: TrustProfile default/t"),
                "{text}"
            );
            let json = found.to_json();
            assert_eq!(json["notes"], 1, "{name}");
            let classes: Vec<_> =
                json["problems"].as_array().unwrap().iter().map(|problem| &problem["class"]).collect();
            assert!(classes.contains(&&json!("note")), "{json}");
        }
    }

    #[test]
    fn sources_that_live_elsewhere_can_be_taken_to_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let sources = "{trustAnchors: [{configMap: {name: roots}}, {secret: {name: more}}, {clusterTrustBundle: {name: b}}, \
                       {clusterTrustBundle: {signerName: a.example/b, labelSelector: {}}}], revocation: {mode: Offline, crls: [{configMap: {name: crls, key: c}}]}}";
        write(dir.path(), "t.yaml", &format!("{PROFILE}{sources}\n"));
        let path = write(dir.path(), "p.yaml", POLICY).path;
        let dir = path.parent().unwrap();
        assert_eq!(check(dir).errors(), 5, "{}", check(dir).to_text());
        let skip = CheckOptions { sources: AbsentSources::Assumed, ..CheckOptions::default() };
        let all = [Named { path: dir.to_owned(), shown: None }];
        let found = check_all(&all, skip);
        assert_eq!((found.errors(), found.exit_code()), (0, 0), "{}", found.to_text());
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: roots}\ndata: {other: x}\n";
        std::fs::write(dir.join("c.yaml"), map).unwrap();
        let found = check_all(&all, skip);
        assert!(found.to_text().contains("has no key"), "one that is there counts as it is: {}", found.to_text());
        std::fs::write(dir.join("t.yaml"), format!("{PROFILE}{{trustAnchors: [{{file: absent.pem}}]}}\n")).unwrap();
        let found = check_all(&all, skip);
        assert!(found.to_text().contains("absent.pem"), "files do not live in clusters: {}", found.to_text());
    }

    #[test]
    fn warnings_can_count_as_errors() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n").unwrap();
        let strict = CheckOptions { warnings: Warnings::Errors, ..CheckOptions::default() };
        let found = check_all(&[Named { path: dir.path().to_owned(), shown: None }], strict);
        assert_eq!((found.exit_code(), found.errors(), found.warnings()), (1, 0, 1));
        assert!(
            found.to_text().contains("\n1 warning, counted as errors: 1 object in 1 file\n"),
            "{}",
            found.to_text()
        );
        assert_eq!(found.to_json()["valid"], false);
        let good = write(dir.path(), "a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n");
        assert_eq!(check_all(&[good], strict).exit_code(), 0);
    }

    /// What a source is, when it is another form than PEM.
    #[test]
    fn forms_of_certificates_are_named() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "t.yaml", &format!("{PROFILE}{{trustAnchors: [{{file: roots}}]}}\n"));
        let pem = "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n";
        for (content, told) in [
            (
                &b"\x30\x82\x01\x00\x30\x82\x00\xc0\x02\x01\x01"[..],
                "it is DER, and PEM is wanted: convert it: openssl x509",
            ),
            (format!("\u{feff}{pem}").as_bytes(), "it is PEM behind a byte order mark"),
            (pem.replace(' ', "%20").replace('\n', "%0A").as_bytes(), "it is URL-encoded PEM"),
            (
                pem.replace("CERTIFICATE", "PKCS7").as_bytes(),
                "it is PKCS #7, and PEM is wanted: convert it: openssl pkcs7",
            ),
            (
                b"\x30\x80\x02\x01\x03\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01",
                "it is a PKCS #12 store, and PEM is wanted: take the certificate out: openssl pkcs12",
            ),
            (b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", "is a private key; remove it"),
            (b"\xff\xfe-\0", "it is UTF-16 text"),
        ] {
            std::fs::write(dir.path().join("roots"), content).unwrap();
            let text = check(dir.path()).to_text();
            assert!(text.contains(told), "{told}: {text}");
        }
    }
}
