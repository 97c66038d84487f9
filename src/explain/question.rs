//! The question of `explain`: a request, in the stable JSON form of `POST /explain`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::pem::PemError;

/// A request to explain. Absent `host`, `path` and `method` together mean a TCP connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Question {
    /// The policy that the route names, as `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// `:authority` or `Host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The raw request target. Absent with a host: `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The method. Absent with a host: `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Request headers.
    pub headers: Vec<HeaderLine>,
    /// The client's certificate in PEM; further certificates in it count as `chain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Certificates that the client sends along, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// The time to decide at, RFC 3339 in UTC. Absent: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The address of the TCP peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<IpAddr>,
}

/// A header line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderLine {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// Why a question was not answered.
#[derive(Debug, Error)]
pub enum QuestionError {
    /// The time is in another form.
    #[error("the time {0:?} is not RFC 3339 in UTC with whole seconds, such as 2026-01-31T12:00:00Z")]
    Time(String),
    /// The certificate, or the chain, is not PEM.
    #[error("{what}: {error}")]
    Pem {
        /// `certificate` or `chain`.
        what: &'static str,
        /// What is wrong with it.
        error: PemError,
    },
}
