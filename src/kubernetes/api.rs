//! Requests to an API server, and what can go wrong with them.
//!
//! Owns paths, deadlines and the classes of errors. `kube` brings the connection: where the server is, TLS, and
//! credentials that it reads anew when they expire. It keeps no state and tries nothing again: whoever asks knows how
//! long an answer is worth waiting for.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, WatchParams};
use kube::client::Body;
use kube::core::Request as Resource;
use kube::core::request::Error as RequestError;
use kube::{Client, Resource as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::domain::api::Kind;

/// How long the server may take to accept a connection and to begin an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// The largest answer other than a watch: a page of a list. Objects are at most 1.5 MiB each by etcd's default.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// The longest error answer that is read.
const MAX_ERROR: usize = 64 * 1024;

/// Why the API server did not do what it was asked.
#[derive(Clone, Debug, Error)]
pub enum ApiError {
    /// It said so.
    #[error("{code} {reason}: {message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// The reason in a word, as `Forbidden`.
        reason: String,
        /// The reason in full.
        message: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It cannot be reached, or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// Its answer cannot be read.
    #[error("unreadable answer: {0}")]
    Unreadable(String),
    /// The request cannot be built.
    #[error("{0}")]
    InvalidRequest(String),
}

impl ApiError {
    /// Whether the version to go on from is too old (410 Gone, or 504 `ResourceVersion` too large after a restore).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { code: 410, .. })
            || matches!(self, Self::Refused { code: 504, message, .. } if message.contains("resource version"))
    }

    /// Whether the server refuses to begin a watch with what there is.
    pub fn refuses_streaming_lists(&self) -> bool {
        matches!(self, Self::Refused { code: 400 | 403 | 422, message, .. } if message.contains("sendInitialEvents"))
    }

    /// Whether the server gave an answer that will not change by asking again soon: the object is not there, or not
    /// ours to see.
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::Refused { code: 403 | 404, .. })
    }

    /// Whether the server does not know the kind or the object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether somebody else changed the object first, or owns the field.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { code: 409, .. })
    }

    /// Whether the server is filling the cache that it watches from, as after its start. Asking costs it nothing then;
    /// the pause that it names grows with the time that this takes, to 30 s.
    pub fn is_loading(&self) -> bool {
        matches!(self, Self::Refused { code: 429, message, .. } if message.contains("(re)initializing"))
    }

    /// When the server wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// A word for metrics.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Refused { code: 401, .. } => "unauthorized",
            Self::Refused { code: 403, .. } => "forbidden",
            Self::Refused { code: 404, .. } => "not_found",
            Self::Refused { code: 410, .. } => "gone",
            Self::Refused { code: 429, .. } => "throttled",
            Self::Refused { .. } => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Late(_) => "late",
            Self::Unreadable(_) | Self::InvalidRequest(_) => "unreadable",
        }
    }
}

/// The parts of a `Status` object that are used.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusAnswer {
    code: u16,
    reason: String,
    message: String,
    details: StatusDetails,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusDetails {
    retry_after_seconds: u64,
}

impl From<StatusAnswer> for ApiError {
    fn from(answer: StatusAnswer) -> Self {
        let seconds = answer.details.retry_after_seconds;
        Self::Refused {
            code: answer.code,
            reason: answer.reason,
            message: answer.message,
            retry_after: (seconds > 0).then(|| Duration::from_secs(seconds)),
        }
    }
}

/// A set of objects that can be listed and watched: a kind, in one namespace or all, all of them or one by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None` for all, and for kinds without.
    pub namespace: Option<String>,
    /// The name; `None` for all.
    pub name: Option<String>,
    /// The signer, of ClusterTrustBundles; `None` for all.
    pub signer: Option<String>,
    /// The labels that an object must have, as the server takes them in a query; `None` for any.
    pub labels: Option<String>,
}

impl Target {
    /// Every object of `kind` in `namespace`, or in all.
    pub fn all(kind: Kind, namespace: Option<&str>) -> Self {
        Self { kind, namespace: namespace.map(str::to_owned), name: None, signer: None, labels: None }
    }

    /// The path of the collection.
    pub fn path(&self) -> String {
        collection_path(self.kind, self.namespace.as_deref())
    }

    /// The field selector and the label selector.
    fn selectors(&self) -> (Option<String>, Option<String>) {
        match (&self.name, &self.signer, &self.labels) {
            (Some(name), ..) => (Some(format!("metadata.name={name}")), None),
            (None, Some(signer), _) => (Some(format!("spec.signerName={signer}")), None),
            (None, None, labels) => (None, labels.clone()),
        }
    }

    fn watch_request(&self, from: WatchStart<'_>, timeout: Duration) -> Result<Request<Vec<u8>>, RequestError> {
        let (field_selector, label_selector) = self.selectors();
        let params = WatchParams { field_selector, label_selector, ..watch_params(timeout) };
        let (params, version) = match from {
            // Without a version the list is a consistent read.
            WatchStart::Everything => (params.initial_events(), ""),
            WatchStart::Version(version) => (params, version),
        };
        Resource::new(self.path()).watch(&params, version).map(unencoded)
    }

    fn list_request(&self, limit: u32, continued: Option<&str>) -> Result<Request<Vec<u8>>, RequestError> {
        let (field_selector, label_selector) = self.selectors();
        let continue_token = continued.map(str::to_owned);
        let limit = Some(limit);
        let params = ListParams { field_selector, label_selector, limit, continue_token, ..ListParams::default() };
        Resource::new(self.path()).list(&params)
    }
}

fn watch_params(timeout: Duration) -> WatchParams {
    WatchParams::default().timeout(u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX))
}

/// Asks for a stream without compression: a compressor holds events back until its buffer is full.
fn unencoded(mut request: Request<Vec<u8>>) -> Request<Vec<u8>> {
    request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(signer) = &self.signer {
            return write!(f, "{} of signer {signer}", self.kind);
        }
        if let Some(labels) = &self.labels {
            let place = self.namespace.as_ref().map_or("all namespaces".to_owned(), |name| format!("namespace {name}"));
            return write!(f, "{} with labels {labels} of {place}", self.kind);
        }
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => write!(f, "{} {namespace}/{name}", self.kind),
            (None, Some(name)) => write!(f, "{} {name}", self.kind),
            (Some(namespace), None) => write!(f, "{} of namespace {namespace}", self.kind),
            (None, None) => write!(f, "{} of all namespaces", self.kind),
        }
    }
}

/// The path of a collection.
pub fn collection_path(kind: Kind, namespace: Option<&str>) -> String {
    let version = kind.api_version();
    let root = if version.contains('/') { "apis" } else { "api" };
    match namespace.filter(|_| kind.is_namespaced()) {
        Some(namespace) => format!("/{root}/{version}/namespaces/{namespace}/{}", kind.plural()),
        None => format!("/{root}/{version}/{}", kind.plural()),
    }
}

/// The start of a watch.
#[derive(Clone, Debug)]
pub enum WatchStart<'a> {
    /// With everything that there is, then what changes.
    Everything,
    /// After this version.
    Version(&'a str),
}

/// The API server.
#[derive(Clone)]
pub struct Api {
    client: Client,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Api")
    }
}

impl Api {
    /// The API server that a kubeconfig names (`KUBECONFIG`, `~/.kube/config`), or the one of the cluster that the
    /// process runs in.
    pub async fn connect() -> Result<Self, ApiError> {
        let unreachable = |error: &dyn fmt::Display| ApiError::Unreachable(error.to_string());
        let mut config = kube::Config::infer().await.map_err(|error| unreachable(&error))?;
        config.connect_timeout = Some(Duration::from_secs(5));
        // A watch is quiet for as long as nothing changes; whoever reads it sets the deadline.
        config.read_timeout = None;
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| unreachable(&error))?;
        Ok(Self { client })
    }

    /// Begins a watch. The answer's body is one JSON event a line.
    pub async fn watch(&self, target: &Target, from: WatchStart<'_>, timeout: Duration) -> Result<Body, ApiError> {
        self.send(target.watch_request(from, timeout).map_err(invalid)?).await
    }

    /// Begins a watch of one custom resource definition, by its metadata alone. The definition as it is comes first.
    pub async fn watch_definition(&self, name: &str, timeout: Duration) -> Result<Body, ApiError> {
        let definitions = Resource::new(CustomResourceDefinition::url_path(&(), None));
        let params = watch_params(timeout).fields(&format!("metadata.name={name}")).disable_bookmarks();
        self.send(definitions.watch_metadata(&params, "").map(unencoded).map_err(invalid)?).await
    }

    /// One page of a list.
    pub async fn list(&self, target: &Target, limit: u32, continued: Option<&str>) -> Result<Bytes, ApiError> {
        self.call(target.list_request(limit, continued)).await
    }

    /// Sends a request and reads the whole answer.
    pub async fn call(&self, request: Result<Request<Vec<u8>>, RequestError>) -> Result<Bytes, ApiError> {
        read(self.send(request.map_err(invalid)?).await?).await
    }

    /// Sends a request and decodes the answer.
    pub async fn call_json<T: DeserializeOwned>(
        &self,
        request: Result<Request<Vec<u8>>, RequestError>,
    ) -> Result<T, ApiError> {
        let answer = self.call(request).await?;
        serde_json::from_slice(&answer).map_err(|error| ApiError::Unreadable(error.to_string()))
    }

    /// Sends a request; an answer that is no success becomes an error.
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Body, ApiError> {
        let mut request = request.map(Body::from);
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().entry(header::ACCEPT).or_insert(json);
        let sent = tokio::time::timeout(ANSWER_DEADLINE, self.client.send(request)).await;
        let response = sent.map_err(|_| ApiError::Late(ANSWER_DEADLINE))?.map_err(transport)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = Limited::new(response.into_body(), MAX_ERROR).collect();
        let text = match tokio::time::timeout(ANSWER_DEADLINE, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Bytes::new(),
        };
        Err(refusal(status, &text, after))
    }
}

fn refusal(status: StatusCode, text: &[u8], after: Option<u64>) -> ApiError {
    let mut answer: StatusAnswer = serde_json::from_slice(text).unwrap_or_default();
    answer.code = status.as_u16();
    if answer.reason.is_empty() {
        answer.reason = status.canonical_reason().unwrap_or("Unknown").to_owned();
    }
    if answer.message.is_empty() {
        answer.message = String::from_utf8_lossy(text).chars().take(200).collect();
    }
    answer.details.retry_after_seconds = answer.details.retry_after_seconds.max(after.unwrap_or(0));
    answer.into()
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    let body = Limited::new(body, MAX_ANSWER).collect();
    let deadline = ANSWER_DEADLINE * 4;
    let read = tokio::time::timeout(deadline, body).await.map_err(|_| ApiError::Late(deadline))?;
    Ok(read.map_err(|error| ApiError::Unreachable(chain(&*error)))?.to_bytes())
}

fn invalid(error: RequestError) -> ApiError {
    ApiError::InvalidRequest(chain(&error))
}

fn transport(error: kube::Error) -> ApiError {
    ApiError::Unreachable(chain(&error))
}

/// An error with its causes.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        let rows = [
            (Target::all(Kind::CertificatePolicy, None), "/apis/certgate.dev/v1alpha1/certificatepolicies"),
            (Target::all(Kind::TrustProfile, Some("a")), "/apis/certgate.dev/v1alpha1/namespaces/a/trustprofiles"),
            (Target::all(Kind::Secret, Some("a")), "/api/v1/namespaces/a/secrets"),
            (Target::all(Kind::Namespace, None), "/api/v1/namespaces"),
            (Target::all(Kind::ClusterTrustBundle, None), "/apis/certificates.k8s.io/v1beta1/clustertrustbundles"),
        ];
        for (target, want) in rows {
            assert_eq!(target.path(), want);
        }
        let labels = Some("example.com/team=a,tier=front".to_owned());
        let labelled = Target { labels, ..Target::all(Kind::CertificatePolicy, Some("a")) };
        let query = |target: &Target| target.list_request(500, None).unwrap().uri().query().unwrap().to_owned();
        assert_eq!(query(&labelled), "&labelSelector=example.com%2Fteam%3Da%2Ctier%3Dfront&limit=500");
        let signer = Some("example.com/mesh".to_owned());
        let signed = Target { signer, ..Target::all(Kind::ClusterTrustBundle, None) };
        assert_eq!(query(&signed), "&fieldSelector=spec.signerName%3Dexample.com%2Fmesh&limit=500");
        assert_eq!(labelled.to_string(), "CertificatePolicy with labels example.com/team=a,tier=front of namespace a");
    }

    /// A compressor would hold events back until its buffer is full.
    #[test]
    fn a_watch_asks_for_no_compression() {
        let target = Target { name: Some("roots".to_owned()), ..Target::all(Kind::Secret, Some("a")) };
        for (from, asked) in [
            (WatchStart::Everything, "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion="),
            (WatchStart::Version("7"), "resourceVersion=7"),
        ] {
            let request = target.watch_request(from, Duration::from_secs(240)).unwrap();
            assert_eq!(request.headers()[header::ACCEPT_ENCODING], "identity");
            let want = format!(
                "&watch=true&timeoutSeconds=240&fieldSelector=metadata.name%3Droots&allowWatchBookmarks=true&{asked}"
            );
            assert_eq!(request.uri().query(), Some(&*want));
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let gone = br#"{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}"#;
        assert!(refusal(StatusCode::GONE, gone, None).is_gone());
        let throttled = refusal(StatusCode::TOO_MANY_REQUESTS, b"slow down", Some(7));
        assert_eq!(throttled.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(throttled.to_string(), "429 Too Many Requests: slow down");
        let details = br#"{"details":{"retryAfterSeconds":3},"reason":"TooManyRequests","message":"m"}"#;
        assert_eq!(refusal(StatusCode::TOO_MANY_REQUESTS, details, None).retry_after(), Some(Duration::from_secs(3)));
        let loading = br#"{"details":{"retryAfterSeconds":30},"message":"storage is (re)initializing"}"#;
        assert!(refusal(StatusCode::TOO_MANY_REQUESTS, loading, None).is_loading());
        assert!(!throttled.is_loading());
        let old =
            br#"{"message":"sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"}"#;
        assert!(refusal(StatusCode::UNPROCESSABLE_ENTITY, old, None).refuses_streaming_lists());
        assert!(refusal(StatusCode::FORBIDDEN, b"", None).is_definite());
        assert!(!refusal(StatusCode::SERVICE_UNAVAILABLE, b"", None).is_definite());
    }
}
