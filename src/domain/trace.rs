//! The record of a decision's steps, which `explain` prints.
//!
//! The server and `explain` run the same code; they differ only in the [`Trace`] they hand in. [`NoTrace`] compiles to
//! nothing, so the text of a step is made only when somebody will read it.

/// How a step ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The check passed.
    Pass,
    /// The check failed; this step decides the denial.
    Fail,
    /// An alternative was tried and did not apply; the next one is tried.
    Skip,
    /// Nothing was decided; the step states what was found.
    Note,
}

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The stage the step belongs to, such as `select`, `evidence`, `path`, `mapping`.
    pub stage: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was compared, with both values; plain text without control characters.
    pub detail: String,
}

/// Receives the steps of a decision.
pub trait Trace {
    /// Whether steps are kept, so that nothing need be looked for that only a trace would tell.
    const KEEPS: bool = true;

    /// Takes one step; `detail` is called only when the step is kept.
    fn step(&mut self, stage: &'static str, verdict: Verdict, detail: impl FnOnce() -> String);
}

/// Keeps nothing.
#[derive(Debug, Default)]
pub struct NoTrace;

impl Trace for NoTrace {
    const KEEPS: bool = false;

    #[inline]
    fn step(&mut self, _: &'static str, _: Verdict, _: impl FnOnce() -> String) {}
}

/// Keeps every step in order.
#[derive(Debug, Default)]
pub struct Recorder {
    steps: Vec<Step>,
}

impl Recorder {
    /// The steps taken so far, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Trace for Recorder {
    fn step(&mut self, stage: &'static str, verdict: Verdict, detail: impl FnOnce() -> String) {
        let detail = detail().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        self.steps.push(Step { stage, verdict, detail });
    }
}
