//! `certgate health`: asks a live server whether it is ready, for probes, scripts and the chart's test.
//!
//! Owns the two requests, `GET /readyz` to the admin port and `grpc.health.v1.Health/Check` to the authorization port,
//! so that an image without a shell and without curl can make both.

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use clap::Args;
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{Collected, Full};
use prost::Message;
use thiserror::Error;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::exit::Exit;
use crate::domain::policy::duration::GoDuration;
use crate::web::client::{self, ClientError, ServerUrl};

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long to pause between attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// The longest answer that is read.
const MAX_ANSWER: usize = 64 << 10;

/// The default address for `/readyz`.
const DEFAULT_ADMIN_URL: &str = "http://127.0.0.1:9091";

/// Octets before a gRPC message: a flag for compression, and the length.
const GRPC_PREFIX: usize = 5;

/// The command line of `certgate health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The admin address, asked for /readyz.
    #[arg(long, value_name = "URL", env = "CERTGATE_SERVER", default_value = DEFAULT_ADMIN_URL)]
    server: String,
    /// The address where Envoy connects (plaintext HTTP/2), asked for its gRPC health [default: not asked].
    #[arg(long, value_name = "URL")]
    grpc: Option<String>,
    /// How long to retry while the server is not ready.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    wait: GoDuration,
}

/// Why a server is not known to be healthy.
#[derive(Debug, Error)]
enum Unhealthy {
    #[error("{0:?} is not an address such as {DEFAULT_ADMIN_URL}")]
    Address(String),
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    #[error("no answer from {0}: {1}")]
    Exchange(String, Box<dyn std::error::Error + Send + Sync>),
    #[error("{0} did not answer within {secs} s", secs = ATTEMPT_TIMEOUT.as_secs())]
    Deadline(String),
    #[error("{0} answered {1}: {2}")]
    Status(String, StatusCode, String),
    #[error("{0} did not answer with gRPC health: {1}")]
    Answer(String, String),
    #[error("{0} reports {1}")]
    NotServing(String, &'static str),
}

/// Runs the command.
pub fn run(args: &HealthArgs, mut out: impl Write, mut errors: impl Write) -> Exit {
    let servers = [Some(&args.server), args.grpc.as_ref()];
    if let Some(Err(error)) = servers.into_iter().flatten().map(|url| authority(url)).find(Result::is_err) {
        let _ = writeln!(errors, "certgate: {error}");
        return Exit::Usage;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(errors, "certgate: cannot start: {error}");
            return Exit::Failure;
        }
    };
    match runtime.block_on(ask_until(args)) {
        Ok(()) => {
            let _ = writeln!(out, "ready");
            Exit::Success
        }
        Err(error) => {
            let _ = writeln!(errors, "certgate: {error}");
            Exit::Failure
        }
    }
}

/// Asks until every answer is yes, or the time is over; then the last answer counts.
async fn ask_until(args: &HealthArgs) -> Result<(), Unhealthy> {
    let began = Instant::now();
    loop {
        match ask(args).await {
            Ok(()) => return Ok(()),
            Err(error) if began.elapsed().saturating_add(RETRY_PAUSE) > args.wait.0 => return Err(error),
            Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
        }
    }
}

async fn ask(args: &HealthArgs) -> Result<(), Unhealthy> {
    within(&args.server, readyz(&args.server)).await?;
    match &args.grpc {
        Some(url) => within(url, grpc_health(url)).await,
        None => Ok(()),
    }
}

async fn within(url: &str, asked: impl Future<Output = Result<(), Unhealthy>>) -> Result<(), Unhealthy> {
    tokio::time::timeout(ATTEMPT_TIMEOUT, asked).await.unwrap_or_else(|_| Err(Unhealthy::Deadline(url.to_owned())))
}

async fn readyz(url: &str) -> Result<(), Unhealthy> {
    let request = Request::get("/readyz").body(Full::default()).expect("the parts are valid");
    let response = send(url, &authority(url)?, request).await?;
    let status = response.status();
    let body = response.into_body().to_bytes();
    match status {
        StatusCode::OK => Ok(()),
        _ => Err(Unhealthy::Status(url.to_owned(), status, crate::telemetry::clean(body.trim_ascii(), 512))),
    }
}

async fn grpc_health(url: &str) -> Result<(), Unhealthy> {
    let authority = authority(url)?;
    // The empty name means the health of the whole server.
    let question = HealthCheckRequest::default().encode_to_vec();
    let mut frame = vec![0; GRPC_PREFIX];
    frame.extend_from_slice(&question);
    let uri = Uri::builder()
        .scheme("http")
        .authority(authority.clone())
        .path_and_query("/grpc.health.v1.Health/Check")
        .build()
        .expect("the parts are valid");
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(uri)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
        .header(TE, HeaderValue::from_static("trailers"))
        .body(Full::new(Bytes::from(frame)))
        .expect("the parts are valid");
    let (parts, body) = send(url, &authority, request).await?.into_parts();
    let trailers = body.trailers().cloned().unwrap_or_default();
    if parts.status != StatusCode::OK {
        return Err(Unhealthy::Status(url.to_owned(), parts.status, String::new()));
    }
    let strange = |what: String| Unhealthy::Answer(url.to_owned(), what);
    match grpc_status(&trailers).or_else(|| grpc_status(&parts.headers)) {
        Some("0") => {}
        other => return Err(strange(format!("grpc-status is {}", other.unwrap_or("missing")))),
    }
    let mut message = body.to_bytes();
    if message.len() < GRPC_PREFIX {
        return Err(strange("the message is missing".to_owned()));
    }
    message.advance(GRPC_PREFIX);
    let answer = HealthCheckResponse::decode(message).map_err(|error| strange(error.to_string()))?;
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        other => Err(Unhealthy::NotServing(url.to_owned(), other.as_str_name())),
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<&str> {
    headers.get("grpc-status")?.to_str().ok()
}

async fn send(
    url: &str,
    authority: &Authority,
    request: Request<Full<Bytes>>,
) -> Result<Response<Collected<Bytes>>, Unhealthy> {
    client::send(authority, request, MAX_ANSWER).await.map_err(|error| match error {
        ClientError::Connect(error) => Unhealthy::Connect(url.to_owned(), error),
        ClientError::Exchange(error) => Unhealthy::Exchange(url.to_owned(), error),
    })
}

/// The authority of `http://host:port`.
fn authority(url: &str) -> Result<Authority, Unhealthy> {
    match ServerUrl::parse(url) {
        Some(ServerUrl { authority, has_path: false }) => Ok(authority),
        _ => Err(Unhealthy::Address(url.to_owned())),
    }
}
