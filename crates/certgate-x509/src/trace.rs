//! The record of the steps of a verification.
//!
//! A server and a tool that explains decisions run the same code; they differ only in the [`Trace`] that they give it.
//! [`NoTrace`] compiles to nothing, so the text of a step is made only for a trace that keeps it.

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
pub struct TraceStep {
    /// The stage the step belongs to, such as `select`, `evidence`, `path`, `mapping`.
    pub stage: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was compared, with both values; plain text without control characters.
    pub detail: String,
}

/// Receives the steps of a decision.
pub trait Trace {
    /// Whether steps are kept. Where they are not, what only a trace needs is not looked for.
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

/// Steps that a [`Recorder`] keeps: several times those of the longest honest decision.
const MAX_STEPS: usize = 1000;

/// Steps that passed or failed and are kept beyond that, so that the end of a decision can be read.
const MAX_RESULTS_BEYOND: usize = 50;

/// Octets of text that a [`Recorder`] keeps before it leaves steps out. Those of one honest step have some hundred; a
/// chain of certificates with the longest names could have a hundred thousand in each of thousands.
const MAX_RECORDED_TEXT: usize = 512 << 10;

/// Octets that it keeps of one step.
const MAX_STEP_TEXT: usize = 8 << 10;

/// Keeps the steps in order, up to a limit of steps and text. What is left out is counted in a step of its own, and of
/// what comes later only results are kept.
#[derive(Debug, Default)]
pub struct Recorder {
    steps: Vec<TraceStep>,
    /// Octets of text in `steps`.
    text: usize,
    /// Where the omitted steps are counted, and how many there are.
    omitted: Option<(usize, u64)>,
}

impl Recorder {
    /// The steps taken so far, in order.
    pub fn steps(&self) -> &[TraceStep] {
        &self.steps
    }

    /// Whether a step can be kept.
    fn has_room(&self, verdict: Verdict) -> bool {
        match self.omitted {
            None => self.steps.len() < MAX_STEPS && self.text < MAX_RECORDED_TEXT,
            Some((at, _)) => {
                let kept = self.steps.len().saturating_sub(at).saturating_sub(1);
                matches!(verdict, Verdict::Pass | Verdict::Fail) && kept < MAX_RESULTS_BEYOND
            }
        }
    }

    fn omit(&mut self, stage: &'static str) {
        let (at, count) = self.omitted.unwrap_or((self.steps.len(), 0));
        let count = count.saturating_add(1);
        self.omitted = Some((at, count));
        let steps = if count == 1 { "step" } else { "steps" };
        let detail = format!("… {count} further {steps} omitted");
        match self.steps.get_mut(at) {
            Some(step) => step.detail = detail,
            None => self.steps.push(TraceStep { stage, verdict: Verdict::Note, detail }),
        }
    }
}

impl Trace for Recorder {
    fn step(&mut self, stage: &'static str, verdict: Verdict, detail: impl FnOnce() -> String) {
        if !self.has_room(verdict) {
            return self.omit(stage);
        }
        let detail = plain(&detail());
        self.text = self.text.saturating_add(detail.len());
        self.steps.push(TraceStep { stage, verdict, detail });
    }
}

/// A text without control characters, cut at [`MAX_STEP_TEXT`].
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len().min(MAX_STEP_TEXT));
    for c in text.chars() {
        if plain.len() >= MAX_STEP_TEXT {
            plain.push('…');
            break;
        }
        plain.push(if c.is_control() { '\u{fffd}' } else { c });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_tells_what_is_left_out() {
        let mut recorder = Recorder::default();
        for at in 0..5000 {
            recorder.step("path", Verdict::Skip, || at.to_string());
        }
        recorder.step("path", Verdict::Fail, || "the end".to_owned());
        for _ in 0..MAX_RESULTS_BEYOND {
            recorder.step("path", Verdict::Pass, || "more".to_owned());
        }
        let steps = recorder.steps();
        assert_eq!(steps.len(), MAX_STEPS + 1 + MAX_RESULTS_BEYOND);
        let text = |at: usize| steps.get(at).map(|step| step.detail.as_str());
        assert_eq!(text(MAX_STEPS - 1), Some("999"));
        assert_eq!(text(MAX_STEPS), Some("… 4001 further steps omitted"));
        assert_eq!(text(MAX_STEPS + 1), Some("the end"));
    }

    #[test]
    fn long_texts_are_cut_and_many_of_them_are_not_even_made() {
        let mut recorder = Recorder::default();
        let mut made = 0;
        for _ in 0..5000 {
            recorder.step("path", Verdict::Skip, || {
                made += 1;
                "ä\n".repeat(100_000)
            });
        }
        let text: usize = recorder.steps().iter().map(|step| step.detail.len()).sum();
        assert!(text < MAX_RECORDED_TEXT + 2 * MAX_STEP_TEXT, "{text}");
        assert_eq!(made, recorder.steps().len() - 1);
        assert!(recorder.steps()[0].detail.ends_with('…') && !recorder.steps()[0].detail.contains('\n'));
    }
}
