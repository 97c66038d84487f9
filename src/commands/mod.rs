//! Commands of the command line that are more than a call into the composition root, and what they share.

pub mod check;
pub mod explain;
pub mod health;
pub mod input;
pub mod inspect;
pub mod verify;

use clap::ValueEnum;

/// The form of an answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// A stable form for programs, in ASCII.
    Json,
}
