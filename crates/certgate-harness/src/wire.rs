//! The messages between Envoy and its authorizer, written down a second time.
//!
//! The stand-in and the tests of Envoy's behaviour use these types, so that an error in certgate's own definitions
//! cannot go unnoticed. Only fields that a test uses are here.

use std::collections::HashMap;

#[derive(Clone, PartialEq, prost::Message)]
pub struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    pub attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Attributes {
    #[prost(message, optional, tag = "1")]
    pub source: Option<Peer>,
    #[prost(message, optional, tag = "2")]
    pub destination: Option<Peer>,
    #[prost(message, optional, tag = "4")]
    pub request: Option<Request>,
    #[prost(map = "string, string", tag = "10")]
    pub context_extensions: HashMap<String, String>,
    #[prost(message, optional, tag = "12")]
    pub tls_session: Option<TlsSession>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Peer {
    #[prost(message, optional, tag = "1")]
    pub address: Option<Address>,
    #[prost(string, tag = "2")]
    pub service: String,
    #[prost(string, tag = "4")]
    pub principal: String,
    #[prost(string, tag = "5")]
    pub certificate: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Address {
    #[prost(message, optional, tag = "1")]
    pub socket_address: Option<SocketAddress>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SocketAddress {
    #[prost(string, tag = "2")]
    pub address: String,
    #[prost(uint32, tag = "3")]
    pub port: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    #[prost(message, optional, tag = "2")]
    pub http: Option<HttpRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct HttpRequest {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub method: String,
    #[prost(map = "string, string", tag = "3")]
    pub headers: HashMap<String, String>,
    #[prost(string, tag = "4")]
    pub path: String,
    #[prost(string, tag = "5")]
    pub host: String,
    #[prost(string, tag = "7")]
    pub query: String,
    #[prost(string, tag = "8")]
    pub fragment: String,
    #[prost(string, tag = "10")]
    pub protocol: String,
    #[prost(message, optional, tag = "13")]
    pub header_map: Option<HeaderMap>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct HeaderMap {
    #[prost(message, repeated, tag = "1")]
    pub headers: Vec<HeaderValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct HeaderValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
    #[prost(bytes = "vec", tag = "3")]
    pub raw_value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TlsSession {
    #[prost(string, tag = "1")]
    pub sni: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    #[prost(oneof = "HttpResponse", tags = "2, 3, 5")]
    pub http_response: Option<HttpResponse>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum HttpResponse {
    #[prost(message, tag = "2")]
    Denied(DeniedResponse),
    #[prost(message, tag = "3")]
    Ok(OkResponse),
    #[prost(message, tag = "5")]
    Error(DeniedResponse),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DeniedResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
    #[prost(string, tag = "3")]
    pub body: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct HttpStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct OkResponse {
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
    #[prost(string, repeated, tag = "5")]
    pub headers_to_remove: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct HeaderValueOption {
    #[prost(message, optional, tag = "1")]
    pub header: Option<HeaderValue>,
    /// `google.protobuf.BoolValue`.
    #[prost(message, optional, tag = "2")]
    pub append: Option<bool>,
    #[prost(int32, tag = "3")]
    pub append_action: i32,
}

/// `HeaderAppendAction` of the same name.
pub const OVERWRITE_IF_EXISTS_OR_ADD: i32 = 2;

/// `google.rpc.Code.PERMISSION_DENIED`.
pub const PERMISSION_DENIED: i32 = 7;

impl CheckRequest {
    /// What the request reports about the peer.
    pub fn source(&self) -> &Peer {
        self.attributes.as_ref().and_then(|a| a.source.as_ref()).expect("Envoy tells the source")
    }

    /// What the request reports about HTTP, if anything.
    pub fn http(&self) -> Option<&HttpRequest> {
        self.attributes.as_ref()?.request.as_ref()?.http.as_ref()
    }
}

impl HttpRequest {
    /// Each line of a header under `encode_raw_headers`.
    pub fn raw_lines(&self, name: &str) -> Vec<&[u8]> {
        let lines = self.header_map.iter().flat_map(|map| &map.headers);
        lines.filter(|line| line.key == name).map(|line| line.raw_value.as_slice()).collect()
    }
}

impl CheckResponse {
    /// A denial.
    pub fn denied(status: i32, headers: Vec<HeaderValueOption>, body: &str) -> Self {
        let denied = DeniedResponse { status: Some(HttpStatus { code: status }), headers, body: body.to_owned() };
        Self {
            status: Some(Status { code: PERMISSION_DENIED, message: "the status message".to_owned() }),
            http_response: Some(HttpResponse::Denied(denied)),
        }
    }

    /// An OK response.
    pub fn ok(headers: Vec<HeaderValueOption>, remove: &[&str]) -> Self {
        let headers_to_remove = remove.iter().map(|&name| name.to_owned()).collect();
        Self {
            status: Some(Status::default()),
            http_response: Some(HttpResponse::Ok(OkResponse { headers, headers_to_remove })),
        }
    }
}

impl HeaderValueOption {
    /// A header with both ways to say whether it appends.
    pub fn new(key: &str, value: &str, append: Option<bool>, append_action: i32) -> Self {
        let header = HeaderValue { key: key.to_owned(), value: value.to_owned(), raw_value: Vec::new() };
        Self { header: Some(header), append, append_action }
    }
}
