//! Asking a live server: `POST /explain` of its admin port.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

use super::{Explanation, Question};

/// How long a server may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const MAX_ANSWER: usize = 16 << 20;

/// Why a live server gave no explanation.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// The address is not `http://host:port`.
    #[error("{0:?} is not the address of an admin port, such as http://127.0.0.1:9091")]
    Address(String),
    /// No connection.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    /// The exchange failed.
    #[error("no answer from {0}: {1}; is that the admin port (--admin-listen, 9091 by default)?")]
    Exchange(String, Box<dyn std::error::Error + Send + Sync>),
    /// The server did not answer in time.
    #[error("{0} did not answer within {secs} s", secs = ANSWER_DEADLINE.as_secs())]
    Deadline(String),
    /// The server refused the question.
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
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| RemoteError::Exchange(here(), error);
    let uri: Uri = address.parse().map_err(|_| RemoteError::Address(here()))?;
    let authority = match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(authority)) => authority.clone(),
        _ => return Err(RemoteError::Address(here())),
    };
    // A URI keeps the brackets of an IPv6 address, a socket wants none.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80)))
        .await
        .map_err(|error| RemoteError::Connect(here(), error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(error.into()))?;
    tokio::spawn(connection);
    let body = serde_json::to_vec(question).expect("a question is plain text");
    let request = Request::builder()
        .method(Method::POST)
        .uri("/explain")
        .header(HOST, authority.as_str())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("the parts are valid");
    let response = sender.send_request(request).await.map_err(|error| failed(error.into()))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(failed)?.to_bytes();
    if status != StatusCode::OK {
        let text = crate::telemetry::clean(body.trim_ascii(), 512);
        return Err(RemoteError::Status(here(), status, text));
    }
    serde_json::from_slice(&body).map_err(|error| RemoteError::Answer(here(), error))
}
