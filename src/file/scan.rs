//! Lists the policy directory.
//!
//! This module owns the listing: which files are read, each with a stamp that shows later changes, and which
//! directories must be watched. It reads no file. It skips names that start with a dot, so that the hidden directories
//! of a mounted ConfigMap (`..data`, `..2026_…`) count once, through the visible links to them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::watch::SWAPPED_LINK;

/// The most files of a listing: ten times the largest directory that certgate is measured with.
const MAX_FILES: usize = 1_000_000;

/// The deepest nesting of directories, against loops through mounts.
const MAX_DEPTH: usize = 32;

/// The longest time for which the clock of a file system may not advance; a file that was changed within it may change
/// again and keep the same stamp.
const CLOCK_TICK: Duration = Duration::from_millis(50);

/// The properties by which a change of a file is detected.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file with this metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The file's size, or `limit` if it is larger; never zero.
    pub fn size_or(&self, limit: usize) -> usize {
        usize::try_from(self.size).map_or(limit, |size| size.clamp(1, limit))
    }

    /// Whether every change after `now` is certain to change the stamp.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let (seconds, nanos) = self.changed;
        let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u32::try_from(nanos)) else { return true };
        now.duration_since(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)).is_ok_and(|age| age > CLOCK_TICK)
    }
}

/// A file of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The path relative to the directory, with `/`.
    pub name: Arc<str>,
    /// Its stamp.
    pub stamp: Stamp,
}

/// The content of the directory at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files, by name.
    pub files: Vec<Listed>,
    /// The real paths of the directories whose changes matter: those listed, and the targets of links.
    pub directories: BTreeSet<PathBuf>,
    /// The targets of the links of [`SWAPPED_LINK`]. The files behind such a link belong together.
    pub swaps: BTreeMap<PathBuf, PathBuf>,
    /// The names that could not be listed, with the error.
    pub problems: Vec<(Arc<str>, String)>,
    /// Whether something vanished during the listing.
    pub torn: bool,
}

impl Listing {
    /// Whether the links of [`SWAPPED_LINK`] still have the same targets.
    pub fn is_before_swaps(&self) -> bool {
        self.swaps.iter().all(|(path, target)| fs::read_link(path.join(SWAPPED_LINK)).is_ok_and(|now| now == *target))
    }
}

/// The root of the policies: a directory or one file; for checks, also several of both.
#[derive(Clone, Debug)]
pub struct Root {
    /// The paths that the operator gave; at least one.
    paths: Vec<PathBuf>,
    /// The directory that names are relative to. Empty for several paths: their files are named as the operator would.
    base: PathBuf,
    /// The directories that the relative paths of trust sources refer to.
    bases: Vec<PathBuf>,
}

impl Root {
    /// The directory or file at `path`.
    pub fn new(path: &Path) -> Self {
        let base = base_of(path);
        Self { paths: vec![path.to_owned()], bases: vec![base.clone()], base }
    }

    /// Several directories and files.
    pub fn several(paths: Vec<PathBuf>) -> Self {
        let bases = paths.iter().map(|path| base_of(path)).collect();
        Self { paths, base: PathBuf::new(), bases }
    }

    /// The path that the operator gave; the first of several.
    pub fn path(&self) -> &Path {
        self.paths.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// Whether any of the paths is a directory.
    pub fn has_directories(&self) -> bool {
        self.paths.iter().any(|path| path.is_dir())
    }

    /// The path of the file of this name, which may itself be an absolute path.
    pub fn resolve(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// The path of a trust source: below the first directory that has it, or else below the first.
    pub fn resolve_source(&self, name: &str) -> PathBuf {
        let mut places = self.bases.iter().map(|base| base.join(name));
        let first = places.next().unwrap_or_default();
        if self.bases.len() < 2 || first.exists() {
            return first;
        }
        places.find(|place| place.exists()).unwrap_or(first)
    }

    /// Lists the directory.
    pub fn list(&self) -> io::Result<Listing> {
        Ok(self.walk(None)?.listing)
    }

    /// The files, by name, that are skipped because of their names. Not part of the listing: they may change at any
    /// time.
    ///
    /// Includes hidden files with the extension of a policy file, but not hidden directories.
    pub fn skipped(&self) -> io::Result<BTreeSet<String>> {
        Ok(self.walk(Some(BTreeSet::new()))?.skipped.unwrap_or_default())
    }

    fn walk(&self, skipped: Option<BTreeSet<String>>) -> io::Result<Walk<'_>> {
        let mut walk = Walk { listing: Listing::default(), seen: HashSet::new(), base: &self.base, skipped };
        for path in &self.paths {
            let metadata = fs::metadata(path)?;
            if metadata.is_dir() {
                walk.directory(path, &metadata, 0)?;
            } else {
                walk.file(path, &metadata);
                walk.watch_parent(path);
            }
        }
        if self.paths.len() > 1 {
            walk.keep_one_of_each();
        }
        walk.listing.files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        walk.listing.problems.sort();
        Ok(walk)
    }
}

/// The directory that holds the file at `path`, or `path` itself if it is a directory.
fn base_of(path: &Path) -> PathBuf {
    match (path.is_file(), path.parent()) {
        // A file that is reachable only through a descriptor has no directory: its relative paths refer to the working
        // directory.
        (true, Some(parent)) if parent == Path::new("/proc/self/fd") => PathBuf::from("."),
        (true, Some(parent)) if parent.as_os_str().is_empty() => PathBuf::from("."),
        (true, Some(parent)) => parent.to_owned(),
        _ => path.to_owned(),
    }
}

/// The paths, as messages show them.
impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, path) in self.paths.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { ", " })?;
            write!(f, "{path:?}")?;
        }
        Ok(())
    }
}

struct Walk<'r> {
    listing: Listing,
    /// The listed directories by device and inode, because links may form loops.
    seen: HashSet<(u64, u64)>,
    base: &'r Path,
    /// Collects the names of skipped files, if wanted.
    skipped: Option<BTreeSet<String>>,
}

impl Walk<'_> {
    fn directory(&mut self, path: &Path, metadata: &Metadata, depth: usize) -> io::Result<()> {
        if !self.seen.insert((metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            self.problem(path, format!("directories nest more than {MAX_DEPTH} deep"));
            return Ok(());
        }
        self.listing.directories.insert(fs::canonicalize(path)?);
        if let Ok(target) = fs::read_link(path.join(SWAPPED_LINK)) {
            self.listing.swaps.insert(path.to_owned(), target);
        }
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            if !is_visible(&name) {
                if self.skipped.is_some() && is_policy_file(Path::new(&name)) && entry.path().is_file() {
                    self.skip(&entry.path());
                }
                continue;
            }
            let path = entry.path();
            let kind = entry.file_type()?;
            if !kind.is_dir() && !kind.is_symlink() && !is_policy_file(&path) {
                self.skip(&path);
                continue;
            }
            // `entry.metadata()` does not follow links, so it need not resolve the path again.
            let metadata = if kind.is_symlink() { fs::metadata(&path) } else { entry.metadata() };
            match metadata {
                Ok(metadata) if metadata.is_dir() => match self.directory(&path, &metadata, depth + 1) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => self.listing.torn = true,
                    Err(error) => self.problem(&path, error.to_string()),
                },
                Ok(metadata) if is_policy_file(&path) => {
                    self.file(&path, &metadata);
                    if kind.is_symlink() {
                        self.watch_parent(&path);
                    }
                }
                Ok(_) => self.skip(&path),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !kind.is_symlink() => {
                    self.listing.torn = true;
                }
                Err(error) if is_policy_file(&path) => self.problem(&path, error.to_string()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) {
        if !metadata.is_file() {
            self.problem(path, "not a regular file".to_owned());
        } else if self.listing.files.len() >= MAX_FILES {
            if self.listing.files.len() == MAX_FILES {
                self.problem(path, format!("more than {MAX_FILES} files"));
            }
        } else {
            match self.name(path).to_str() {
                Some(name) => self.listing.files.push(Listed { name: Arc::from(name), stamp: Stamp::of(metadata) }),
                None => self.problem(path, "the file's name is not UTF-8".to_owned()),
            }
        }
    }

    /// Adds the real directory of the file at `path`.
    fn watch_parent(&mut self, path: &Path) {
        if let Some(parent) = fs::canonicalize(path).ok().as_deref().and_then(Path::parent)
            && !self.listing.directories.contains(parent)
        {
            self.listing.directories.insert(parent.to_owned());
        }
    }

    /// Removes files that are listed twice, for example if both a directory and a file in it were given.
    fn keep_one_of_each(&mut self) {
        let base = self.base;
        let mut seen = HashSet::new();
        self.listing.files.retain(|file| {
            let path = base.join(&*file.name);
            seen.insert(fs::canonicalize(&path).unwrap_or(path))
        });
    }

    fn problem(&mut self, path: &Path, message: String) {
        let name = self.name(path).to_string_lossy();
        self.listing.problems.push((Arc::from(&*name), message));
    }

    fn skip(&mut self, path: &Path) {
        let name = path.strip_prefix(self.base).unwrap_or(path);
        if let Some(skipped) = &mut self.skipped {
            skipped.insert(name.to_string_lossy().into_owned());
        }
    }

    fn name<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(self.base).unwrap_or(path)
    }
}

/// Whether a name is listed at all.
pub fn is_visible(name: &OsStr) -> bool {
    !name.as_encoded_bytes().starts_with(b".")
}

/// The extensions of policy files, in any case.
pub const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Whether a file of this name may hold policies.
pub fn is_policy_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(listing: &Listing) -> Vec<&str> {
        listing.files.iter().map(|file| &*file.name).collect()
    }

    #[test]
    fn files_are_listed_by_name_and_hidden_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("team/deep")).unwrap();
        fs::create_dir(at(".git")).unwrap();
        for name in [
            "b.yaml",
            "a.yml",
            "c.json",
            "team/deep/d.yaml",
            "ca.pem",
            "e.yaml~",
            ".f.yaml",
            ".git/g.yaml",
            "h.YAML",
            "team/i.Yml",
            "j.JSON",
            "team/k.yml.txt",
            "yaml",
            ".hidden",
        ] {
            fs::write(at(name), "").unwrap();
        }
        symlink(dir.path(), at("team/back")).unwrap();
        symlink("/nowhere/x.txt", at("dangling.txt")).unwrap();
        let listing = Root::new(dir.path()).list().unwrap();
        let all = ["a.yml", "b.yaml", "c.json", "h.YAML", "j.JSON", "team/deep/d.yaml", "team/i.Yml"];
        assert_eq!(names(&listing), all);
        let skipped: Vec<String> = Root::new(dir.path()).skipped().unwrap().into_iter().collect();
        assert_eq!(skipped, [".f.yaml", "ca.pem", "e.yaml~", "team/k.yml.txt", "yaml"]);
        assert_eq!(listing.directories.len(), 3);
        assert_eq!(listing.problems, []);
        assert_eq!(listing, Root::new(dir.path()).list().unwrap(), "nothing changed");
    }

    #[test]
    fn a_mounted_config_map_counts_once_and_its_swap_shows() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for version in ["..2026_1", "..2026_2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("a.yaml"), "").unwrap();
        }
        symlink("..2026_1", at("..data")).unwrap();
        symlink("..data/a.yaml", at("a.yaml")).unwrap();
        let before = Root::new(dir.path()).list().unwrap();
        assert_eq!(names(&before), ["a.yaml"]);
        symlink("..2026_2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        let after = Root::new(dir.path()).list().unwrap();
        assert_ne!(before.files, after.files);
        assert_ne!(before.swaps, after.swaps);
        assert!(after.directories.contains(&fs::canonicalize(at("..2026_2")).unwrap()));
    }

    #[test]
    fn what_cannot_be_listed_is_named() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/nowhere/a.yaml", dir.path().join("a.yaml")).unwrap();
        symlink("/dev/null", dir.path().join("null.yaml")).unwrap();
        let listing = Root::new(dir.path()).list().unwrap();
        let problems: Vec<_> = listing.problems.iter().map(|(name, _)| &**name).collect();
        assert_eq!(problems, ["a.yaml", "null.yaml"]);
        assert!(Root::new(&dir.path().join("missing")).list().is_err());
    }

    #[test]
    fn one_file_is_a_root_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.txt");
        fs::write(&path, "").unwrap();
        let root = Root::new(&path);
        assert_eq!(names(&root.list().unwrap()), ["policy.txt"]);
        assert_eq!(root.skipped().unwrap().len(), 0, "what lies beside it was not asked for");
        assert_eq!(root.resolve("ca.pem"), dir.path().join("ca.pem"));
    }
}
