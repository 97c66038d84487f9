//! The bars that figures are held to. Every figure is printed beside its bar before anything fails.
//!
//! A person on a quiet machine has all of them judged. In continuous integration (`CI=true`) neighbours have their
//! share of the machine: times are only told there, and ratios have a wide margin; memory and counts are judged
//! everywhere.

use std::fmt::Debug;
use std::time::Duration;

/// How many times its bar a ratio of two measurements may reach where neighbours disturb them.
const MARGIN: f64 = 5.0;

/// Who runs the measurements.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Machine {
    /// A person's, which does nothing else.
    Quiet,
    /// Shared with others.
    Shared,
}

/// What was measured, and what of it was not good enough.
#[derive(Debug)]
pub struct Bars {
    machine: Machine,
    missed: Vec<String>,
}

impl Default for Bars {
    fn default() -> Self {
        Self::new()
    }
}

impl Bars {
    /// For the machine that this is.
    pub fn new() -> Self {
        let is_ci = std::env::var("CI").as_deref() == Ok("true");
        Self::on(if is_ci { Machine::Shared } else { Machine::Quiet })
    }

    /// For a machine.
    pub fn on(machine: Machine) -> Self {
        Self { machine, missed: Vec::new() }
    }

    /// A time, of the clock or of a processor: neighbours prolong both.
    pub fn time(&mut self, what: &str, found: Duration, bar: Duration) {
        self.judge(what, found, bar, self.machine == Machine::Quiet);
    }

    /// A ratio of two measurements that were made by turns.
    pub fn ratio(&mut self, what: &str, found: f64, bar: f64) {
        let bar = if self.machine == Machine::Shared { bar * MARGIN } else { bar };
        self.judge(what, found, bar, true);
    }

    /// A ratio of times that were measured one after the other, which neighbours may change at will.
    pub fn loose_ratio(&mut self, what: &str, found: f64, bar: f64) {
        self.judge(what, found, bar, self.machine == Machine::Quiet);
    }

    /// A count, or octets of memory.
    pub fn count<T: PartialOrd + Debug>(&mut self, what: &str, found: T, bar: T) {
        self.judge(what, found, bar, true);
    }

    fn judge<T: PartialOrd + Debug>(&mut self, what: &str, found: T, bar: T, is_judged: bool) {
        let misses = found > bar;
        let told = match (misses, is_judged) {
            (false, _) => "",
            (true, true) => ": MISSED",
            (true, false) => ": missed, and not judged where CI=true",
        };
        println!("{what}: {found:.2?} (bar {bar:?}){told}");
        if misses && is_judged {
            self.missed.push(format!("{what}: {found:.2?}, the bar is {bar:?}"));
        }
    }

    /// Fails if a bar was missed, and names each.
    #[track_caller]
    pub fn end(self) {
        assert!(self.missed.is_empty(), "missed bars ({}):\n{}", self.missed.len(), self.missed.join("\n"));
    }
}
