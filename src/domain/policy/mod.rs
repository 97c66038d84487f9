//! From what an operator wrote to what decides.
//!
//! - [`compile`]: each kind compiled, or all its errors at once with their fields; trust profiles resolved;
//! - [`lint`]: what is legal, and probably not meant;
//! - [`freshness`]: how current CRLs are, and which of them need a warning;
//! - [`duration`]: durations as Go and Kubernetes write them.
//!
//! Not owned here: whether what an object refers to exists; that is the wing `store`.

pub mod compile;
pub mod duration;
pub mod freshness;
pub mod lint;
