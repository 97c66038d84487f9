//! Objects and events as the API server writes them, cut down to what is read.
//!
//! Owns the decoding from JSON. Nothing is kept here: an event is decoded, handed on and forgotten, so that 100,000
//! objects pass through in constant memory. Managed fields and whatever else nobody reads is skipped by the parser.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::api::{ApiError, StatusAnswer, Target};
use super::unfit;
use crate::domain::api::{FieldError, Kind, NamespacedName, Object, ObjectMeta, Origin};
use certgate_x509::UnixTime;

/// A watch event.
#[derive(Debug)]
pub enum WatchEvent {
    /// An object was added or modified.
    Changed(Box<Received>),
    /// An object was deleted.
    Deleted(NamespacedName),
    /// Nothing but a later version.
    Bookmark,
    /// The initial list is complete.
    InitialEventsEnd,
}

/// An object as it was received.
#[derive(Debug)]
pub struct Received {
    /// Where it belongs.
    pub key: NamespacedName,
    /// Counts the versions of its spec.
    pub generation: i64,
    /// Tells this object from a later one of the same name.
    pub uid: Box<str>,
    /// A digest of the spec's text. Definitions that change may show another spec of the same generation.
    pub spec: u64,
    /// The object for the core. Where its spec does not fit this version of certgate, it holds what could be read.
    pub object: Object,
    /// The status, as it stands.
    pub status: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct WireList<'a> {
    metadata: WireListMeta,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireListMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    continued: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireObject<'a> {
    metadata: WireMeta,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    data: Option<BTreeMap<String, String>>,
    binary_data: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct WireMeta {
    name: String,
    namespace: String,
    labels: BTreeMap<String, String>,
    annotations: Annotations,
    creation_timestamp: Option<String>,
    generation: i64,
    resource_version: String,
    uid: Box<str>,
}

/// The one annotation that is read: it marks the bookmark that ends the initial events.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "k8s.io/initial-events-end")]
    initial_events_end: Option<String>,
}

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Received>,
    /// The version that the list is of.
    pub version: String,
    /// Where the next page begins.
    pub continued: Option<String>,
}

/// Decodes a line of a watch: the event and the version that it is of.
pub fn event(target: &Target, line: &[u8]) -> Result<(WatchEvent, String), ApiError> {
    let event: WireEvent<'_> = serde_json::from_slice(line).map_err(unreadable)?;
    if event.kind == "ERROR" {
        let status: StatusAnswer = serde_json::from_str(event.object.get()).map_err(unreadable)?;
        return Err(status.into());
    }
    if event.kind == "BOOKMARK" || event.kind == "DELETED" {
        #[derive(Deserialize)]
        struct Only {
            metadata: WireMeta,
        }
        let Only { metadata } = serde_json::from_str(event.object.get()).map_err(unreadable)?;
        let seen = match event.kind.as_ref() {
            "DELETED" => WatchEvent::Deleted(key(target.kind, &metadata)),
            _ if metadata.annotations.initial_events_end.as_deref() == Some("true") => WatchEvent::InitialEventsEnd,
            _ => WatchEvent::Bookmark,
        };
        return Ok((seen, metadata.resource_version));
    }
    let (received, version) = object(target.kind, event.object.get())?;
    Ok((WatchEvent::Changed(received), version))
}

/// Decodes a page of a list.
pub fn page(target: &Target, text: &[u8]) -> Result<Page, ApiError> {
    let list: WireList<'_> = serde_json::from_slice(text).map_err(unreadable)?;
    let objects = list.items.unwrap_or_default().into_iter();
    Ok(Page {
        objects: objects.map(|item| Ok(*object(target.kind, item.get())?.0)).collect::<Result<_, ApiError>>()?,
        version: list.metadata.resource_version,
        continued: list.metadata.continued.filter(|token| !token.is_empty()),
    })
}

/// Decodes one object.
pub fn object(kind: Kind, text: &str) -> Result<(Box<Received>, String), ApiError> {
    let wire: WireObject<'_> = serde_json::from_str(text).map_err(unreadable)?;
    let key = key(kind, &wire.metadata);
    let mut meta = ObjectMeta {
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        labels: wire.metadata.labels,
        creation_timestamp: wire.metadata.creation_timestamp.as_deref().and_then(UnixTime::parse_rfc3339),
        origin: Origin::default(),
        unread: Vec::new(),
    };
    let object = match kind {
        Kind::TrustProfile => {
            let spec = spec(kind, wire.spec, &mut meta.unread)?;
            Object::TrustProfile { meta, spec: Box::new(spec) }
        }
        Kind::CertificatePolicy => {
            let spec = spec(kind, wire.spec, &mut meta.unread)?;
            Object::CertificatePolicy { meta, spec: Box::new(spec) }
        }
        Kind::CertificateMapping => {
            let spec = spec(kind, wire.spec, &mut meta.unread)?;
            Object::CertificateMapping { meta, spec: Box::new(spec) }
        }
        Kind::ConfigMap => {
            let mut data = decoded(wire.binary_data);
            data.extend(wire.data.unwrap_or_default().into_iter().map(|(key, text)| (key, Bytes::from(text))));
            Object::ConfigMap { meta, data }
        }
        Kind::Secret => Object::Secret { meta, data: decoded(wire.data) },
        Kind::ClusterTrustBundle => {
            #[derive(Deserialize, Default)]
            #[serde(rename_all = "camelCase", default)]
            struct Bundle {
                signer_name: String,
                trust_bundle: String,
            }
            let bundle: Bundle = match wire.spec {
                Some(spec) => serde_json::from_str(spec.get()).map_err(unreadable)?,
                None => Bundle::default(),
            };
            let Bundle { signer_name, trust_bundle } = bundle;
            Object::ClusterTrustBundle { meta, signer_name, trust_bundle: Bytes::from(trust_bundle) }
        }
        Kind::Namespace => Object::Namespace { meta },
    };
    let mut spec = std::hash::DefaultHasher::new();
    wire.spec.map(RawValue::get).hash(&mut spec);
    let received = Received {
        key,
        spec: spec.finish(),
        generation: wire.metadata.generation,
        uid: wire.metadata.uid,
        object,
        status: wire.status.map(ToOwned::to_owned),
    };
    Ok((Box::new(received), wire.metadata.resource_version))
}

/// Reads a spec: in one go when it fits, which is nearly always, and else as far as it goes, with all that is wrong.
fn spec<T: DeserializeOwned>(kind: Kind, raw: Option<&RawValue>, errors: &mut Vec<FieldError>) -> Result<T, ApiError> {
    let text = raw.map_or("{}", RawValue::get);
    if let Ok(spec) = serde_json::from_str(text) {
        return Ok(spec);
    }
    let value = serde_json::from_str(text).map_err(unreadable)?;
    let schema = kind.shape().ok_or_else(|| ApiError::Unreadable(format!("{kind} has no schema")))?;
    let (fitted, found) = unfit::fit(schema, value);
    *errors = found;
    serde_json::from_value(fitted).map_err(unreadable)
}

fn key(kind: Kind, meta: &WireMeta) -> NamespacedName {
    let namespace = if kind.is_namespaced() { meta.namespace.as_str() } else { "" };
    NamespacedName::new(namespace, &meta.name)
}

/// Base64 values. One that is none can only come from a broken server; it is taken as empty and so holds no
/// certificate.
fn decoded(data: Option<BTreeMap<String, String>>) -> BTreeMap<String, Bytes> {
    let decode = |text: String| STANDARD.decode(text).map(Bytes::from).unwrap_or_default();
    data.unwrap_or_default().into_iter().map(|(key, text)| (key, decode(text))).collect()
}

fn unreadable(error: serde_json::Error) -> ApiError {
    ApiError::Unreadable(error.to_string())
}
