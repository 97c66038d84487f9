//! Commands of the command line that are more than a call into the composition root.

pub mod health;
pub mod verify;
