//! How long awaited edits took. One may take long, because the machine that tests run on may be busy, and is awaited
//! patiently; most must be as soon as is promised. The whole distribution is `scale`'s affair.

use std::time::Duration;

/// Times that a test waited.
#[derive(Clone, Debug, Default)]
pub struct Waits(Vec<Duration>);

impl Waits {
    /// Notes one.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Asserts that most were shorter than `bar`.
    pub fn mostly_below(&self, bar: Duration) {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        println!(
            "{} waits: median {:?}, longest {:?}",
            sorted.len(),
            sorted[sorted.len() / 2],
            sorted[sorted.len() - 1]
        );
        assert!(sorted[sorted.len() / 2] < bar, "most should be below {bar:?}: {:?}", self.0);
    }
}
