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

use std::collections::HashMap;

use crate::scene::Scene;

/// A change to a valid chain.
pub struct Row {
    pub name: String,
    /// What its random numbers begin with. It comes of the name, so that a new row changes no other.
    pub seed: u64,
    pub change: Box<dyn Fn(&mut Scene) + Send + Sync>,
}

fn row(name: impl Into<String>, change: impl Fn(&mut Scene) + Send + Sync + 'static) -> Row {
    Row { name: name.into(), seed: 0, change: Box::new(change) }
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
    let mut seen: HashMap<String, u64> = HashMap::new();
    for row in &mut rows {
        let count = seen.entry(row.name.clone()).or_default();
        // FNV-1a, and which row of that name it is.
        let hash =
            row.name.bytes().fold(0x811c_9dc5_u32, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193));
        row.seed = u64::from(hash) + *count;
        *count += 1;
    }
    rows
}
