//! What can be wrong with a chain, or unusual about it: one change a row.
//!
//! A row says nothing about who is right; verifiers are compared on it. A change that draws from the scene's random
//! numbers stands for as many as there are rounds.

mod building;
mod constraints;
mod form;
mod policies;
mod revocation;
mod usage;

use crate::scene::Scene;

/// A change to a valid chain.
pub struct Row {
    pub name: String,
    pub change: Box<dyn Fn(&mut Scene) + Send + Sync>,
}

fn row(name: impl Into<String>, change: impl Fn(&mut Scene) + Send + Sync + 'static) -> Row {
    Row { name: name.into(), change: Box::new(change) }
}

/// All rows.
pub fn rows() -> Vec<Row> {
    let mut rows = vec![row("nothing", |_| ())];
    rows.extend(form::rows());
    rows.extend(building::rows());
    rows.extend(usage::rows());
    rows.extend(constraints::rows());
    rows.extend(policies::rows());
    rows.extend(revocation::rows());
    rows
}
