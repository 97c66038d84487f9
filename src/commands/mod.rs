//! The commands other than `serve`: their flags, what they read and print, and what they share.

pub mod check;
pub mod exit;
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
