//! Policies for tests, as the text that an operator would write.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory of policies.
pub struct PolicyDirectory(TempDir);

impl PolicyDirectory {
    /// A directory with one file.
    pub fn with(text: &str) -> Self {
        let directory = Self(TempDir::with_prefix("certgate-policies-").expect("a temporary directory can be made"));
        directory.write("policies.yaml", text);
        directory
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file in place, as an editor may do.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("the directory is writable");
        fs::write(&path, text).expect("the directory is writable");
        path
    }

    /// Replaces a file by a rename, as other editors do.
    pub fn replace(&self, name: &str, text: impl AsRef<[u8]>) {
        let scratch = self.path().join(format!(".{name}.new"));
        fs::write(&scratch, text).expect("the directory is writable");
        fs::rename(scratch, self.path().join(name)).expect("a file can be renamed");
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).expect("the file is there");
    }
}

/// Joins documents into one file.
pub fn documents<'a>(documents: impl IntoIterator<Item = &'a str>) -> String {
    documents.into_iter().map(|document| format!("---\n{}\n", document.trim_end())).collect()
}

/// A `TrustProfile` with inline anchors; `rest` are further lines of its `spec`.
pub fn trust(name: &str, anchors: &[String], rest: &str) -> String {
    let anchors: String = anchors.iter().map(|pem| format!("  - inline: |\n{}", indent(pem, 6))).collect();
    format!(
        "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {{name: {name}, namespace: test}}\n\
         spec:\n  trustAnchors:\n{anchors}{}",
        indent(rest, 2)
    )
}

/// A `CertificatePolicy` of the namespace `test`; `spec` are the lines of its `spec`.
pub fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {{name: {name}, namespace: test}}\n\
         spec:\n{}",
        indent(spec, 2)
    )
}

/// A `CertificateMapping` of the namespace `test` with the label `api: test`; `spec` are the lines of its `spec`.
pub fn mapping(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\n\
         metadata: {{name: {name}, namespace: test, labels: {{api: test}}}}\nspec:\n{}",
        indent(spec, 2)
    )
}

/// Indents lines, after removing their common indentation.
pub fn indent(text: &str, by: usize) -> String {
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let common = lines().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    lines().map(|line| format!("{:by$}{}\n", "", &line[common..])).collect()
}
