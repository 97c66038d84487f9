//! The policy directory as an operator works with it: edits of every sort, and what comes of them.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says what it measured")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use certgate::domain::decide::Snapshot;
use certgate::file::loader::{Loader, Reload, ReloadOutcome};
use certgate::file::watch::{PolicyWatcher, StopHandle, WatchMode, WatchOptions};
use tempfile::TempDir;

mod watching;

fn mapping(name: &str) -> String {
    format!(
        "apiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {{name: {name}}}\nspec:\n  \
         certificate: {{dns: {name}.example}}\n  identity: {{user: {name}}}\n"
    )
}

fn mappings(names: &[&str]) -> String {
    names.iter().map(|name| mapping(name)).collect::<Vec<_>>().join("---\n")
}

/// Replaces a file at once, as careful editors do.
fn replace(path: &Path, text: &str) {
    let aside = path.with_file_name(format!(".{}", path.file_name().unwrap().display()));
    fs::write(&aside, text).unwrap();
    fs::rename(aside, path).unwrap();
}

struct Directory {
    dir: TempDir,
    loader: Loader,
}

impl Directory {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let loader = Loader::new(dir.path());
        Self { dir, loader }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.loader.objects().map(|id| format!("{}:{}", id.origin.file, id.name)).collect();
        names.sort();
        names
    }

    /// Reloads, which must give a new snapshot; gives how many chunks were parsed.
    fn published(&mut self) -> usize {
        let reload = self.loader.reload();
        assert!(matches!(reload.outcome, ReloadOutcome::Published(_)), "{reload:?}");
        reload.parsed
    }

    /// Reloads, which must be refused; gives the problems.
    fn refused(&mut self) -> Vec<String> {
        let reload = self.loader.reload();
        assert!(matches!(reload.outcome, ReloadOutcome::Refused), "{reload:?}");
        reload.problems.iter().map(ToString::to_string).collect()
    }

    fn unchanged(&mut self) -> usize {
        let reload = self.loader.reload();
        assert!(matches!(reload.outcome, ReloadOutcome::Unchanged), "{reload:?}");
        reload.parsed
    }
}

#[test]
fn files_and_documents_come_and_go() {
    let mut d = Directory::new();
    assert_eq!(d.published(), 0, "an empty directory is a snapshot that denies everything");
    d.write("a.yaml", &mappings(&["a1", "a2", "a3"]));
    d.write("team/b.yml", &mappings(&["b1"]));
    d.write("c.json", r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c1"}, "data": {"k": "v"}}"#);
    assert_eq!(d.published(), 5);
    assert_eq!(d.names(), ["a.yaml:a1", "a.yaml:a2", "a.yaml:a3", "c.json:c1", "team/b.yml:b1"]);
    assert_eq!(d.unchanged(), 0);

    d.write("a.yaml", &mappings(&["a1", "changed", "a3"]));
    assert_eq!(d.published(), 1, "only the document that changed is parsed");
    d.write("a.yaml", &mappings(&["new", "a1", "changed", "a3"]));
    assert!(d.published() <= 2, "documents that only moved are not parsed");
    fs::remove_file(d.dir.path().join("team/b.yml")).unwrap();
    assert_eq!(d.published(), 0);
    assert_eq!(d.names(), ["a.yaml:a1", "a.yaml:a3", "a.yaml:changed", "a.yaml:new", "c.json:c1"]);
    fs::rename(d.dir.path().join("a.yaml"), d.dir.path().join("z.yaml")).unwrap();
    d.loader.reload();
    assert_eq!(d.names(), ["c.json:c1", "z.yaml:a1", "z.yaml:a3", "z.yaml:changed", "z.yaml:new"]);
}

#[test]
fn an_edit_that_keeps_size_and_inode_is_seen() {
    let mut d = Directory::new();
    for n in 0..20 {
        let name = if n % 2 == 0 { "aa" } else { "bb" };
        d.write("a.yaml", &mapping(name));
        assert_eq!(d.published(), 1, "edit {n}");
        assert_eq!(d.names(), [format!("a.yaml:{name}")]);
    }
}

#[test]
fn what_cannot_be_read_refuses_the_whole_reload_until_it_is_mended() {
    let mut d = Directory::new();
    d.write("a.yaml", &mappings(&["a1", "a2"]));
    d.published();
    d.write("a.yaml", &mappings(&["a1", "a2", "a3"]));
    d.write("b.yaml", "kind: [\n---\nkind: CertificatePolicy\n---\napiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: t}\nspec: {modus: Peer}\n");
    let problems = d.refused();
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems[0].starts_with("b.yaml:2:1: not valid YAML: "), "{problems:#?}");
    assert_eq!(problems[1], "b.yaml:3:1: CertificatePolicy default/?: apiVersion: is required");
    assert!(
        problems[2].starts_with("b.yaml:8:8: TrustProfile default/t: spec.modus: unknown field; "),
        "{problems:#?}"
    );
    assert_eq!(d.refused(), problems, "it stays refused");

    d.write("b.yaml", "# moved\n\nkind: [\n");
    let problems = d.refused();
    assert!(problems[0].starts_with("b.yaml:4:1: "), "{problems:#?}");
    fs::remove_file(d.dir.path().join("b.yaml")).unwrap();
    d.published();
    assert_eq!(d.names(), ["a.yaml:a1", "a.yaml:a2", "a.yaml:a3"]);
}

/// A mount that is gone, a checkout under way: nobody takes every policy away by emptying a directory that is followed.
#[test]
fn a_directory_that_is_suddenly_empty_is_refused() {
    let mut d = Directory::new();
    d.write("a.yaml", &mappings(&["a1", "a2"]));
    d.published();
    let file = d.dir.path().join("a.yaml");
    let emptied: [(&str, &dyn Fn()); 4] = [
        ("no file", &|| fs::remove_file(&file).unwrap()),
        ("an empty file", &|| fs::write(&file, "").unwrap()),
        ("comments", &|| fs::write(&file, "# nothing\n---\n# here\n").unwrap()),
        ("other kinds", &|| fs::write(&file, "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n").unwrap()),
    ];
    for (name, empty) in emptied {
        empty();
        let problems = d.refused();
        assert_eq!(problems.len(), 1, "{name}: {problems:?}");
        assert!(problems[0].contains("no longer holds any object"), "{name}: {problems:?}");
        assert_eq!(d.refused(), problems, "{name}: it stays refused");
    }
    d.write("a.yaml", &mappings(&["a1", "a2"]));
    d.published();
    d.write("a.yaml", &mapping("a1"));
    d.published();
    assert_eq!(
        Loader::new(d.dir.path()).check().1.len(),
        3,
        "a weak name, no policy that selects it, no policy at all"
    );

    // What a new process finds empty, it takes as it is, unless it is told otherwise.
    fs::remove_file(d.dir.path().join("a.yaml")).unwrap();
    let mut afresh = Loader::new(d.dir.path());
    assert!(matches!(afresh.reload().outcome, ReloadOutcome::Published(_)));
    let mut successor = Loader::new(d.dir.path());
    successor.expect_objects();
    assert!(matches!(successor.reload().outcome, ReloadOutcome::Refused));
}

#[test]
fn a_refusal_that_is_taken_back_changes_nothing() {
    let mut d = Directory::new();
    d.write("a.yaml", &mapping("a1"));
    d.published();
    d.write("b.yaml", "a: b: c\n");
    d.refused();
    fs::remove_file(d.dir.path().join("b.yaml")).unwrap();
    d.unchanged();
}

#[test]
fn messages_that_name_lines_follow_their_document() {
    let mut d = Directory::new();
    let broken = "kind: Secret\napiVersion: v1\nmetadata: {name: s}\nkind: Secret\n";
    d.write("a.yaml", broken);
    assert_eq!(d.refused(), ["a.yaml:4:1: Secret default/s: duplicate key `kind`: first at line 1, column 1"]);
    d.write("a.yaml", &format!("{}---\n{broken}", mapping("a")));
    assert_eq!(d.refused(), ["a.yaml:11:1: Secret default/s: duplicate key `kind`: first at line 8, column 1"]);
}

#[test]
fn a_directory_that_vanishes_keeps_the_last_snapshot() {
    let mut d = Directory::new();
    d.write("p/a.yaml", &mapping("a1"));
    let path = d.dir.path().join("p");
    d.loader = Loader::new(&path);
    d.published();
    fs::rename(&path, d.dir.path().join("q")).unwrap();
    assert!(d.refused()[0].contains("No such file or directory"));
    assert_eq!(d.names(), ["a.yaml:a1"]);
    fs::rename(d.dir.path().join("q"), &path).unwrap();
    d.unchanged();
}

#[test]
fn what_cannot_be_found_is_named_by_the_path_that_was_tried() {
    let mut d = Directory::new();
    d.write(
        "a.yaml",
        "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: t}\n\
         spec: {trustAnchors: [{file: ca/roots.pem}]}\n",
    );
    d.published();
    let shown: Vec<String> = d.loader.reload().problems.iter().map(ToString::to_string).collect();
    let tried = d.dir.path().join("ca/roots.pem");
    let want = format!("spec.trustAnchors[0].file: cannot read {tried:?}: No such file or directory");
    assert!(shown.iter().any(|line| line.contains(&want)), "{shown:#?}");
    let absent = d.dir.path().join("absent");
    d.loader = Loader::new(&absent);
    let want = format!("cannot read the policy directory {absent:?}: No such file or directory");
    assert!(d.refused()[0].starts_with(&want));
}

/// Lays out a directory as a kubelet does for a mounted ConfigMap.
fn mount(dir: &Path, version: &str, files: &[(&str, String)]) {
    let hidden = dir.join(format!("..{version}"));
    fs::create_dir(&hidden).unwrap();
    for (name, text) in files {
        fs::write(hidden.join(name), text).unwrap();
    }
    symlink(format!("..{version}"), dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    for (name, _) in files {
        let link = dir.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
}

#[test]
fn a_mounted_config_map_is_swapped_at_once() {
    let mut d = Directory::new();
    mount(d.dir.path(), "1", &[("a.yaml", mapping("old-a")), ("b.yaml", mapping("old-b"))]);
    d.published();
    assert_eq!(d.names(), ["a.yaml:old-a", "b.yaml:old-b"]);
    mount(d.dir.path(), "2", &[("a.yaml", mapping("new-a")), ("b.yaml", mapping("new-b"))]);
    fs::remove_dir_all(d.dir.path().join("..1")).unwrap();
    d.published();
    assert_eq!(d.names(), ["a.yaml:new-a", "b.yaml:new-b"]);
}

#[test]
fn two_objects_of_one_name_are_both_errors_until_one_goes() {
    let mut d = Directory::new();
    d.write("a.yaml", &mapping("twin"));
    d.write("b.yaml", &mappings(&["b", "twin"]));
    d.published();
    let problems = d.loader.reload().problems;
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 2, "{shown:#?}");
    assert!(shown[0].starts_with("a.yaml:3:18: CertificateMapping default/twin: metadata.name: "), "{shown:#?}");
    assert!(shown[1].starts_with("b.yaml:10:18: CertificateMapping default/twin: metadata.name: "), "{shown:#?}");
    fs::remove_file(d.dir.path().join("a.yaml")).unwrap();
    d.published();
    assert_eq!(d.loader.reload().problems.len(), 0);
}
