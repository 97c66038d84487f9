//! The answer to one case of a suite, as `certgate verify --batch` prints it. [`certgate_x509::batch`] reads and
//! verifies cases.

use certgate_x509::{UnixTime, batch, batch::Failure};
use serde::Serialize;
use serde_json::Value;

use crate::domain::decide::reason::Reason;

/// The code of a case that cannot be read.
pub const CASE_MALFORMED: &str = "CASE_MALFORMED";

/// The code of a case that is valid.
pub const OK: &str = "OK";

/// The answer to one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseAnswer {
    /// The identifier of the case, whatever its type; null if it has none or the line is not JSON.
    pub id: Value,
    /// Whether the certificate, or the response, is valid.
    pub ok: bool,
    /// [`OK`], a code of [`Reason`], or [`CASE_MALFORMED`].
    pub reason: &'static str,
    /// What was compared.
    pub detail: String,
}

/// Answers one line; `now` is the time of cases that have none.
pub fn answer(line: &[u8], now: UnixTime) -> CaseAnswer {
    let batch::Answer { id, outcome } = batch::answer(line, now);
    let (ok, reason, detail) = match outcome {
        Ok(detail) => (true, OK, detail),
        Err(Failure::Malformed(detail)) => (false, CASE_MALFORMED, detail),
        Err(Failure::Invalid(kind, detail)) => (false, Reason::from(kind).code(), detail),
    };
    CaseAnswer { id, ok, reason, detail }
}
