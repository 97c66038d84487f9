//! The problems of a directory with their positions: the file, and the line of the object or field.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use super::Loader;
use crate::domain::store::{self, Severity};
use crate::file::loaded::MAX_DOCUMENT;
use crate::file::manifest::{self, ObjectSelector};
use crate::file::report::{FileProblem, ProblemClass};
use crate::file::scan::Listing;
use crate::file::split::Chunks;
use crate::file::yaml::Mark;

impl Loader {
    /// All problems for which a reload is rejected.
    pub(super) fn unreadable(&self, listing: &Listing) -> Vec<FileProblem> {
        let mut problems: Vec<FileProblem> =
            listing.problems.iter().map(|(name, message)| file_problem(name, message.clone())).collect();
        for (name, state) in &self.files {
            for fault in state.chunks.iter().filter_map(|chunk| chunk.content.mixed()).flat_map(|mixed| &mixed.faults) {
                problems.push(FileProblem {
                    file: Arc::clone(name),
                    at: Some(fault.fault.at),
                    object: fault.object.as_deref().map(str::to_owned),
                    field: fault.fault.path.clone(),
                    message: fault.fault.message.clone(),
                    class: ProblemClass::Unreadable,
                });
            }
            if let Some((at, message)) = &state.error {
                problems.push(FileProblem { at: *at, ..file_problem(name, message.clone()) });
            }
        }
        problems.sort_by(|a, b| (&a.file, a.at, &a.field).cmp(&(&b.file, b.at, &b.field)));
        problems.truncate(self.max_problems);
        problems
    }

    /// The problems of the index with their positions. Reads each file that has any once more.
    pub(super) fn with_positions(&self, mut found: Vec<store::Problem>) -> Vec<FileProblem> {
        found.truncate(self.max_problems);
        let mut by_file: BTreeMap<Arc<str>, Vec<store::Problem>> = BTreeMap::new();
        for problem in found {
            by_file.entry(Arc::clone(&problem.id.origin.file)).or_default().push(problem);
        }
        let mut placed = Vec::new();
        for (file, problems) in by_file {
            let positions = self.positions(&file, &problems);
            for (n, problem) in problems.iter().enumerate() {
                let class = match problem.severity {
                    Severity::Error => ProblemClass::Invalid,
                    Severity::Warning => ProblemClass::Warning,
                    Severity::Note => ProblemClass::Note,
                };
                for (m, error) in problem.errors.iter().enumerate() {
                    placed.push(FileProblem {
                        file: Arc::clone(&file),
                        at: positions.get(&(n, m)).copied(),
                        object: Some(problem.id.to_string()),
                        field: error.path.clone(),
                        message: error.message.clone(),
                        class,
                    });
                }
            }
        }
        placed.sort_by(|a, b| (&a.file, a.at, &a.field).cmp(&(&b.file, b.at, &b.field)));
        placed
    }

    /// The positions of the errors of `problems`, all of one file, by the indexes of problem and error.
    fn positions(&self, file: &Arc<str>, problems: &[store::Problem]) -> HashMap<(usize, usize), Mark> {
        let mut positions = HashMap::new();
        let Ok(nth) = self.files.binary_search_by(|(name, _)| name.cmp(file)) else { return positions };
        let (_, state) = &self.files[nth];
        // One object may have two problems: its errors and its warnings.
        let mut wanted: HashMap<u32, Vec<usize>> = HashMap::new();
        for (n, problem) in problems.iter().enumerate() {
            wanted.entry(problem.id.origin.document).or_default().push(n);
        }
        let mut in_chunk: HashMap<usize, Vec<(usize, Option<u32>)>> = HashMap::new();
        for (at, chunk) in state.chunks.iter().enumerate() {
            for (key, line) in chunk.content.objects() {
                for n in wanted.get(&key.document).into_iter().flatten() {
                    in_chunk.entry(at).or_default().push((*n, line));
                }
            }
        }
        let Ok(opened) = File::open(self.root.resolve(file)) else { return positions };
        let mut chunks = Chunks::new(BufReader::new(opened), MAX_DOCUMENT);
        let mut at = 0;
        while let Ok(Some(chunk)) = chunks.next_chunk() {
            if let Some(here) = in_chunk.remove(&at) {
                let fields = manifest::FieldLocator::of(chunk.bytes, chunk.line);
                for (n, line) in here {
                    let id = &problems[n].id;
                    let wanted = ObjectSelector { kind: id.kind, namespace: &id.namespace, name: &id.name, line };
                    for (m, error) in problems[n].errors.iter().enumerate() {
                        if let Some(mark) = fields.locate(wanted, &error.path) {
                            positions.insert((n, m), mark);
                        }
                    }
                }
            }
            if in_chunk.is_empty() {
                break;
            }
            at += 1;
        }
        positions
    }
}

/// Turns an error of a reference into a note if the object exists and is unreadable: its own errors are reported.
pub(super) fn demote_consequential_errors(problems: &mut [FileProblem]) {
    let unreadable: HashSet<String> = problems
        .iter()
        .filter(|problem| problem.class == ProblemClass::Unreadable)
        .filter_map(|problem| problem.object.clone())
        .collect();
    for problem in problems.iter_mut().filter(|problem| problem.class == ProblemClass::Invalid) {
        let missing = problem.message.strip_suffix(ABSENT).filter(|_| problem.field == "spec.trustRef");
        if let Some(object) = missing.filter(|object| unreadable.contains(*object)) {
            problem.message = format!("{object} cannot be read");
            problem.class = ProblemClass::Note;
        }
    }
}

/// The end of the message about a reference to an absent object.
const ABSENT: &str = " does not exist";

pub(super) fn file_problem(name: &str, message: String) -> FileProblem {
    FileProblem {
        file: Arc::from(name),
        at: None,
        object: None,
        field: String::new(),
        message,
        class: ProblemClass::Unreadable,
    }
}
