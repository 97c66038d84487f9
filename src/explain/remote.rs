//! Queries a live server: `POST /explain` of its admin port.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::Full;
use thiserror::Error;

use super::{Explanation, Question};
use crate::web::client::{self, ClientError, ServerUrl};

/// The deadline of an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const MAX_ANSWER: usize = 16 << 20;

/// Why a live server gave no explanation.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// The address is not `http://host:port`.
    #[error("{0:?} is not the address of an admin port, such as http://127.0.0.1:9091")]
    Address(String),
    /// The connection failed.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    /// The exchange failed.
    #[error("no answer from {0}: {1}; is that the admin port (--admin-listen, 9091 by default)?")]
    Exchange(String, Box<dyn std::error::Error + Send + Sync>),
    /// The server did not answer in time.
    #[error("{0} did not answer within {secs} s", secs = ANSWER_DEADLINE.as_secs())]
    Deadline(String),
    /// The server rejected the question.
    #[error("{0} answered {1}: {2}")]
    Status(String, StatusCode, String),
    /// The answer is not an explanation.
    #[error("{0} answered something else than an explanation: {1}; is that the admin port?")]
    Answer(String, serde_json::Error),
}

/// Asks the server whose admin port is at `address`.
pub async fn ask(address: &str, question: &Question) -> Result<Explanation, RemoteError> {
    match tokio::time::timeout(ANSWER_DEADLINE, exchange(address, question)).await {
        Ok(result) => result,
        Err(_) => Err(RemoteError::Deadline(address.to_owned())),
    }
}

async fn exchange(address: &str, question: &Question) -> Result<Explanation, RemoteError> {
    let here = || address.to_owned();
    let url = ServerUrl::parse(address).ok_or_else(|| RemoteError::Address(here()))?;
    let body = serde_json::to_vec(question).expect("a question is plain text");
    let request = Request::post("/explain")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("the parts are valid");
    let response = client::send(&url.authority, request, MAX_ANSWER).await.map_err(|error| match error {
        ClientError::Connect(error) => RemoteError::Connect(here(), error),
        ClientError::Exchange(error) => RemoteError::Exchange(here(), error),
    })?;
    let status = response.status();
    let body = response.into_body().to_bytes();
    if status != StatusCode::OK {
        let text = crate::telemetry::clean(body.trim_ascii(), 512);
        return Err(RemoteError::Status(here(), status, text));
    }
    serde_json::from_slice(&body).map_err(|error| RemoteError::Answer(here(), error))
}
