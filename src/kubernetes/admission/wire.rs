//! `AdmissionReview` of `admission.k8s.io/v1`, cut down to what is read and written.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version that is spoken.
pub const API_VERSION: &str = "admission.k8s.io/v1";

/// A review as the API server sends it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewIn<'a> {
    pub api_version: String,
    pub kind: String,
    #[serde(borrow)]
    pub request: Option<RequestIn<'a>>,
}

/// What is to be judged.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestIn<'a> {
    pub uid: String,
    pub kind: GroupVersionKind,
    #[serde(default)]
    pub sub_resource: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub namespace: String,
    pub operation: String,
    #[serde(borrow, default)]
    pub object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub old_object: Option<&'a RawValue>,
}

/// A kind by its full name.
#[derive(Deserialize)]
pub struct GroupVersionKind {
    pub group: String,
    pub version: String,
    pub kind: String,
}

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewOut<'a> {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub response: ResponseOut<'a>,
}

/// What came of it.
#[derive(Serialize)]
pub struct ResponseOut<'a> {
    pub uid: &'a str,
    pub allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusOut>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Why an object is refused.
#[derive(Serialize)]
pub struct StatusOut {
    pub status: &'static str,
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<DetailsOut>,
}

/// The object and each thing that is wrong with it.
#[derive(Serialize)]
pub struct DetailsOut {
    pub name: String,
    pub group: String,
    pub kind: String,
    pub causes: Vec<CauseOut>,
}

/// One thing that is wrong.
#[derive(Serialize)]
pub struct CauseOut {
    pub reason: &'static str,
    pub field: String,
    pub message: String,
}
