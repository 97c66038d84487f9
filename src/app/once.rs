//! Commands that read a cluster once. They compile and decide as the server does.

use std::io::Write;
use std::sync::Arc;

use super::ExplainError;
use crate::clock;
use crate::domain::store::{AbsentSources, Problem, Severity};
use crate::explain::{self, Explanation, Question};
use crate::file::check::{CheckOptions, CheckReport, ObjectSource};
use crate::file::loader::Totals;
use crate::file::report::{self, ProblemClass};
use crate::kubernetes::read::{self, ClusterContent, ReadError};
use crate::kubernetes::scope::Scope;

/// Checks the objects of a cluster.
pub fn check_cluster(scope: &Scope, options: CheckOptions) -> Result<CheckReport, ReadError> {
    let ClusterContent { index, objects, .. } = read::read(scope, options.sources)?;
    let found = index.problems().into_iter().chain(index.lint(clock::now()));
    let mut problems: Vec<_> = found.flat_map(lines).map(|problem| (String::new(), problem)).collect();
    problems.sort_by(|(_, a), (_, b)| (&a.object, &a.field, a.class).cmp(&(&b.object, &b.field, b.class)));
    problems.dedup();
    Ok(CheckReport {
        source: ObjectSource::Cluster,
        strictness: options.warnings,
        totals: Totals { objects, ..Totals::default() },
        problems,
        ignored: Vec::new(),
        skipped: Vec::new(),
    })
}

/// The lines of a problem of an object that has no file.
fn lines(problem: Problem) -> impl Iterator<Item = report::FileProblem> {
    let class = match problem.severity {
        Severity::Error => ProblemClass::Invalid,
        Severity::Warning => ProblemClass::Warning,
        Severity::Note => ProblemClass::Note,
    };
    let object = problem.id.to_string();
    problem.errors.into_iter().map(move |error| report::FileProblem {
        file: Arc::from(""),
        at: None,
        object: Some(object.clone()),
        field: error.path,
        message: error.message,
        class,
    })
}

/// Explains by the policies of a cluster. Objects that do not compile decide as they would in the server; a line on
/// `errors` reports that there are some.
pub fn explain_by_cluster(
    scope: &Scope,
    question: &Question,
    errors: &mut impl Write,
) -> Result<Explanation, ExplainError> {
    let ClusterContent { index, snapshot, .. } = read::read(scope, AbsentSources::Reported)?;
    let count = index.problems().iter().filter(|problem| problem.severity == Severity::Error).count();
    if count > 0 {
        let objects = if count == 1 { "1 object is".to_owned() } else { format!("{count} objects are") };
        writeln!(errors, "certgate: {objects} in error; `certgate check --kubernetes` names all")?;
    }
    Ok(explain::explain(question, &snapshot, clock::now())?)
}
