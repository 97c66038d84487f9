//! Upper limits ("bars") of measured figures. Every figure is printed beside its bar before the test fails.
//!
//! On a person's quiet machine all figures are checked. In continuous integration (`CI=true`) other jobs share the
//! machine: there, times are only printed and ratios have a wide margin; memory and counts are checked everywhere.

use std::fmt::Debug;
use std::time::Duration;

/// The factor by which a ratio of two measurements may exceed its bar on a shared machine.
const MARGIN: f64 = 5.0;

/// The machine that runs the measurements.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Machine {
    /// A person's quiet machine.
    Quiet,
    /// A machine that other jobs share.
    Shared,
}

/// The measured figures, and those that exceed their bars.
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
    /// For the current machine.
    pub fn new() -> Self {
        let is_ci = std::env::var("CI").as_deref() == Ok("true");
        Self::on(if is_ci { Machine::Shared } else { Machine::Quiet })
    }

    /// For a machine.
    pub fn on(machine: Machine) -> Self {
        Self { machine, missed: Vec::new() }
    }

    /// A wall-clock or processor time: other jobs prolong both.
    pub fn time(&mut self, what: &str, found: Duration, bar: Duration) {
        self.judge(what, found, bar, self.machine == Machine::Quiet);
    }

    /// A ratio of two measurements that alternate.
    pub fn ratio(&mut self, what: &str, found: f64, bar: f64) {
        let bar = if self.machine == Machine::Shared { bar * MARGIN } else { bar };
        self.judge(what, found, bar, true);
    }

    /// A ratio of times that were measured one after the other, which other jobs may change by any factor.
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
