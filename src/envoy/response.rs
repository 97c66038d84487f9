//! A decision as a CheckResponse.
//!
//! Owns the content of the response to Envoy: the headers that are set and removed upstream, the answer to a denied
//! client, the metadata.
//!
//! Envoy lets a request pass when `status.code` is 0, and an empty message has code 0: a forgotten field would allow.
//! Therefore no structure with defaults represents the response. [`Reply`] has one constructor, which takes a decision.
//! A refusal is a type that cannot hold the code 0 ([`DenialResponse`]). Only [`Effect::Pass`] becomes a [`PassResponse`]. A grant
//! with a header that cannot be sent unchanged is denied, never sent in part.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::wire::Writer;
use crate::domain::decide::decision::{Decision, Denial, Effect, MetadataLevel, Mode, Reveal};
use crate::domain::decide::reason::Reason;
use crate::domain::evidence::EvidenceSource;

/// The response header that carries the reason to a denied client, where the policy reveals it.
pub const REASON_HEADER: &str = "x-certgate-reason";

/// Limit of characters of a certificate's names and serial number in the metadata. Usual certificates need a quarter of
/// that. Hostile ones have tens of thousands, and Envoy copies them for each request.
const MAX_TEXT: usize = 512;

/// Octets of a message's prefix in gRPC: a flag and the message's length.
const PREFIX: usize = 5;

/// Field numbers of `envoy.service.auth.v3`, `envoy.config.core.v3`, `envoy.type.v3`, `google.rpc` and
/// `google.protobuf`; `proto/` declares them with their types.
mod field {
    pub const RESPONSE_STATUS: u32 = 1;
    pub const RESPONSE_DENIED: u32 = 2;
    pub const RESPONSE_OK: u32 = 3;
    pub const RESPONSE_METADATA: u32 = 4;
    pub const STATUS_CODE: u32 = 1;
    pub const DENIED_STATUS: u32 = 1;
    pub const DENIED_HEADERS: u32 = 2;
    pub const DENIED_BODY: u32 = 3;
    pub const HTTP_STATUS_CODE: u32 = 1;
    pub const OK_HEADERS: u32 = 2;
    pub const OK_HEADERS_TO_REMOVE: u32 = 5;
    pub const OPTION_HEADER: u32 = 1;
    pub const OPTION_APPEND: u32 = 2;
    pub const OPTION_APPEND_ACTION: u32 = 3;
    pub const HEADER_KEY: u32 = 1;
    pub const HEADER_VALUE: u32 = 2;
    pub const BOOL_VALUE: u32 = 1;
    pub const STRUCT_FIELDS: u32 = 1;
    pub const ENTRY_KEY: u32 = 1;
    pub const ENTRY_VALUE: u32 = 2;
    pub const VALUE_STRING: u32 = 3;
    pub const VALUE_STRUCT: u32 = 5;
    pub const VALUE_LIST: u32 = 6;
    pub const LIST_VALUES: u32 = 1;
}

/// `OVERWRITE_IF_EXISTS_OR_ADD` of `HeaderValueOption.HeaderAppendAction`.
const OVERWRITE_IF_EXISTS_OR_ADD: u64 = 2;

/// An encoded CheckResponse in its gRPC frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    frame: Bytes,
}

/// Whether the response carries the decision: a grant that cannot be sent is denied instead.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The decision itself.
    AsDecided,
    /// A denial with [`Reason::Internal`], because a header of the grant cannot be sent.
    RefusedInstead,
}

impl Reply {
    /// The response for `decision`. `identity_headers` are all headers that any policy can set; those that this
    /// decision does not set are removed from the client's request.
    pub fn to(decision: &Decision, identity_headers: &[Arc<str>]) -> (Self, Sent) {
        match decision.effect() {
            Effect::Pass(grant) => {
                let headers = grant.map(|grant| grant.headers()).unwrap_or_default();
                match PassResponse::new(headers, identity_headers) {
                    Ok(passage) => (Self::encode(|w| passage.write(w), decision), Sent::AsDecided),
                    Err(unsendable) => {
                        let refused = Decision::refused(Reason::Internal, unsendable.to_string());
                        (Self::to(&refused, identity_headers).0, Sent::RefusedInstead)
                    }
                }
            }
            Effect::Refuse(denial) => {
                (Self::encode(|w| DenialResponse::new(denial).write(w), decision), Sent::AsDecided)
            }
        }
    }

    /// The frame as it goes onto the stream: flag, length and message.
    pub fn into_frame(self) -> Bytes {
        self.frame
    }

    /// The message without its frame.
    pub fn message(&self) -> &[u8] {
        self.frame.get(PREFIX..).unwrap_or_default()
    }

    fn encode(outcome: impl FnOnce(&mut Writer<'_>), decision: &Decision) -> Self {
        let mut frame = Vec::with_capacity(1024);
        frame.extend_from_slice(&[0; PREFIX]);
        let mut writer = Writer::new(&mut frame);
        outcome(&mut writer);
        match decision.metadata() {
            MetadataLevel::None => {}
            MetadataLevel::Summary => writer.message(field::RESPONSE_METADATA, |w| summarize(&mut Struct(w), decision)),
            MetadataLevel::Full => {
                writer.message(field::RESPONSE_METADATA, |w| write_metadata(&mut Struct(w), decision))
            }
        }
        let len =
            u32::try_from(frame.len() - PREFIX).expect("a response holds a few headers, each capped by its policy");
        frame[1..PREFIX].copy_from_slice(&len.to_be_bytes());
        // A copy has no spare capacity, which an answer would hold while it waits.
        Self { frame: Bytes::copy_from_slice(&frame) }
    }
}

/// The gRPC codes of a refusal. There is no variant for 0.
#[derive(Copy, Clone)]
#[repr(u8)]
enum DenialCode {
    PermissionDenied = 7,
    Unauthenticated = 16,
}

/// The answer to a denied request.
struct DenialResponse {
    code: DenialCode,
    /// 400 to 599: Envoy would pass 200 or 302 through to the client.
    http_status: u16,
    revealed: Option<Reason>,
}

impl DenialResponse {
    fn new(denial: &Denial) -> Self {
        let http_status = if (400..=599).contains(&denial.status) { denial.status } else { 403 };
        Self {
            code: if http_status == 401 { DenialCode::Unauthenticated } else { DenialCode::PermissionDenied },
            http_status,
            revealed: match denial.reveal {
                Reveal::Nothing => None,
                Reveal::Reason => Some(denial.reason),
            },
        }
    }

    fn write(&self, response: &mut Writer<'_>) {
        response.message(field::RESPONSE_STATUS, |w| w.number(field::STATUS_CODE, self.code as u64));
        response.message(field::RESPONSE_DENIED, |w| {
            w.message(field::DENIED_STATUS, |w| w.number(field::HTTP_STATUS_CODE, u64::from(self.http_status)));
            if let Some(reason) = self.revealed {
                write_header(w, field::DENIED_HEADERS, REASON_HEADER, reason.code());
                write_header(w, field::DENIED_HEADERS, "content-type", "text/plain");
                w.bytes(field::DENIED_BODY, format!("{reason}\n").as_bytes());
            }
        });
    }
}

/// Why a grant cannot be sent to Envoy. Compiled policies prevent this; this is the last check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// The name is not a lower-case HTTP token (RFC 9110 section 5.6.2).
    #[error("{0:?} is not a header name")]
    Name(String),
    /// The value holds a control character, which Envoy rejects or, in answers to clients, writes unchanged.
    #[error("the value of {0} holds a control character")]
    Value(String),
    /// Envoy cannot set two lines of one header.
    #[error("{0} is set twice")]
    Twice(String),
}

/// The header changes of a request that passes.
#[derive(Debug)]
pub struct PassResponse<'a> {
    set: &'a [(Arc<str>, Arc<str>)],
    identity_headers: &'a [Arc<str>],
}

impl<'a> PassResponse<'a> {
    /// The changes for a grant's headers, when all of them can be sent.
    pub fn new(set: &'a [(Arc<str>, Arc<str>)], identity_headers: &'a [Arc<str>]) -> Result<Self, Unsendable> {
        for (at, (name, value)) in set.iter().enumerate() {
            if name.is_empty() || !name.bytes().all(is_lower_token) {
                return Err(Unsendable::Name(name.to_string()));
            }
            if value.chars().any(char::is_control) {
                return Err(Unsendable::Value(name.to_string()));
            }
            if set.iter().take(at).any(|(other, _)| other == name) {
                return Err(Unsendable::Twice(name.to_string()));
            }
        }
        Ok(Self { set, identity_headers })
    }

    /// The headers that are set upstream, in place of any that the client sent.
    pub fn set(&self) -> &'a [(Arc<str>, Arc<str>)] {
        self.set
    }

    /// The headers that are removed upstream: all that some policy can emit, except those that are set. Envoy removes
    /// after it sets, so a name in both lists would be lost.
    pub fn removed(&self) -> impl Iterator<Item = &'a str> {
        let set = self.set;
        self.identity_headers
            .iter()
            .map(|name| &**name)
            .filter(move |name| set.iter().all(|(other, _)| &**other != *name))
    }

    fn write(&self, response: &mut Writer<'_>) {
        response.message(field::RESPONSE_STATUS, |w| w.number(field::STATUS_CODE, 0));
        response.message(field::RESPONSE_OK, |w| {
            for (name, value) in self.set {
                write_header(w, field::OK_HEADERS, name, value);
            }
            for name in self.removed() {
                w.bytes(field::OK_HEADERS_TO_REMOVE, name.as_bytes());
            }
        });
    }
}

/// RFC 9110 section 5.6.2, `tchar`, without upper case.
fn is_lower_token(octet: u8) -> bool {
    octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

/// A HeaderValueOption that replaces an existing header. Envoy reads the deprecated `append` for upstream requests and
/// `append_action` elsewhere, depending on the version; both request replacement. `value` is used because Envoy ignores
/// `raw_value`.
fn write_header(message: &mut Writer<'_>, number: u32, name: &str, value: &str) {
    message.message(number, |w| {
        w.message(field::OPTION_HEADER, |w| {
            w.bytes(field::HEADER_KEY, name.as_bytes());
            w.bytes(field::HEADER_VALUE, value.as_bytes());
        });
        w.message(field::OPTION_APPEND, |w| w.number(field::BOOL_VALUE, 0));
        w.number(field::OPTION_APPEND_ACTION, OVERWRITE_IF_EXISTS_OR_ADD);
    });
}

/// A `google.protobuf.Struct` being written.
struct Struct<'w, 'b>(&'w mut Writer<'b>);

impl Struct<'_, '_> {
    fn entry(&mut self, key: &str, value: impl FnOnce(&mut Writer<'_>)) {
        self.0.message(field::STRUCT_FIELDS, |w| {
            w.bytes(field::ENTRY_KEY, key.as_bytes());
            w.message(field::ENTRY_VALUE, value);
        });
    }

    fn text(&mut self, key: &str, value: &str) {
        self.entry(key, |w| w.bytes(field::VALUE_STRING, value.as_bytes()));
    }

    fn list(&mut self, key: &str, values: &[String]) {
        self.entry(key, |w| {
            w.message(field::VALUE_LIST, |w| {
                for value in values {
                    w.message(field::LIST_VALUES, |w| w.bytes(field::VALUE_STRING, value.as_bytes()));
                }
            });
        });
    }

    fn nested(&mut self, key: &str, content: impl FnOnce(&mut Struct<'_, '_>)) {
        self.entry(key, |w| w.message(field::VALUE_STRUCT, |w| content(&mut Struct(w))));
    }
}

/// What access logs show of a decision.
fn summarize(metadata: &mut Struct<'_, '_>, decision: &Decision) {
    if let Some(policy) = decision.policy() {
        metadata.text("policy", policy);
    }
    if decision.mode() == Mode::Audit {
        metadata.text("mode", mode_word(Mode::Audit));
    }
    match decision.verdict() {
        Ok(grant) => {
            if let Some(identity) = grant.identity() {
                metadata.nested("identity", |w| {
                    w.text("user", &identity.user);
                    if !identity.groups.is_empty() {
                        w.list("groups", &identity.groups);
                    }
                });
            }
        }
        Err(denial) => metadata.text("reason", denial.reason.code()),
    }
    if let Some(presented) = decision.presented() {
        metadata.nested("certificate", |w| w.text("sha256", &presented.sha256.to_string()));
    }
}

/// The metadata of the decision for access logs and later filters. The compared values of a denial are left out: they
/// hold text that the client chose.
fn write_metadata(metadata: &mut Struct<'_, '_>, decision: &Decision) {
    if let Some(policy) = decision.policy() {
        metadata.text("policy", policy);
    }
    metadata.text("mode", mode_word(decision.mode()));
    match decision.verdict() {
        Ok(grant) => {
            metadata.text("verdict", "Allow");
            if let Some(identity) = grant.identity() {
                metadata.nested("identity", |w| {
                    w.text("user", &identity.user);
                    if !identity.groups.is_empty() {
                        w.list("groups", &identity.groups);
                    }
                    if let Some(uid) = &identity.uid {
                        w.text("uid", uid);
                    }
                    if !identity.extra.is_empty() {
                        w.nested("extra", |w| identity.extra.iter().for_each(|(key, values)| w.list(key, values)));
                    }
                });
            }
        }
        Err(denial) => {
            metadata.text("verdict", "Deny");
            metadata.text("reason", denial.reason.code());
            let iis = denial.reason.row().iis;
            if !iis.is_empty() {
                metadata.text("iis", iis);
            }
        }
    }
    if let Some(presented) = decision.presented() {
        metadata.nested("certificate", |w| {
            w.text("source", source_word(presented.source));
            w.text("sha256", &presented.sha256.to_string());
            if let Some(names) = &presented.names {
                w.text("subject", &capped(&names.subject));
                w.text("issuer", &capped(&names.issuer));
                w.text("serial", &capped(&names.serial_number));
            }
        });
    }
}

/// A text that a client chose, cut to [`MAX_TEXT`].
fn capped(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_TEXT) {
        None => text.into(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
    }
}

/// The name of a policy's mode in metadata, logs and `explain`.
pub fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "Enforce",
        Mode::Audit => "Audit",
    }
}

/// The name of a certificate's source, as policies write it.
pub fn source_word(source: EvidenceSource) -> &'static str {
    match source {
        EvidenceSource::PeerCertificate => "peerCertificate",
        EvidenceSource::Xfcc => "xfcc",
        EvidenceSource::Header => "header",
    }
}

#[cfg(test)]
mod tests;
