//! A CheckRequest as the core sees it.
//!
//! Owns the reading of Envoy's message; knows nothing of certificates or policies. The message is read where it lies:
//! one walk finds the few fields that every decision needs, and headers are searched only when a policy names one.
//!
//! The message comes from the proxy, but the client chooses much of its content. A message that a conforming encoder
//! would not write (a singular field that occurs twice, a length that does not fit) is rejected whole, so that certgate
//! and the proxy cannot disagree about its content.

use std::cell::Cell;
use std::net::IpAddr;

use thiserror::Error;

use super::wire::{WireError, WireFields};
use crate::domain::request::{Headers, Http, Request};

/// The key of `context_extensions` by which a route names the policy that decides.
pub const POLICY_KEY: &[u8] = b"certgate.dev/policy";

/// Field numbers of `envoy.service.auth.v3` and `envoy.config.core.v3`; `proto/` declares them with their types.
mod field {
    pub const CHECK_REQUEST_ATTRIBUTES: u32 = 1;
    pub const ATTRIBUTES_SOURCE: u32 = 1;
    pub const ATTRIBUTES_REQUEST: u32 = 4;
    pub const ATTRIBUTES_CONTEXT_EXTENSIONS: u32 = 10;
    pub const PEER_ADDRESS: u32 = 1;
    pub const PEER_CERTIFICATE: u32 = 5;
    pub const REQUEST_HTTP: u32 = 2;
    pub const HTTP_METHOD: u32 = 2;
    pub const HTTP_HEADERS: u32 = 3;
    pub const HTTP_PATH: u32 = 4;
    pub const HTTP_HOST: u32 = 5;
    pub const HTTP_HEADER_MAP: u32 = 13;
    pub const HEADER_MAP_HEADERS: u32 = 1;
    pub const ADDRESS_SOCKET: u32 = 1;
    pub const SOCKET_ADDRESS: u32 = 2;
    /// Of a map's entry, and of a HeaderValue.
    pub const KEY: u32 = 1;
    /// Of a map's entry, and of a HeaderValue.
    pub const VALUE: u32 = 2;
    pub const RAW_VALUE: u32 = 3;
}

/// Why a CheckRequest is not answered by a policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// The bytes are not a CheckRequest.
    #[error("the CheckRequest cannot be read: {0}")]
    Wire(#[from] WireError),
    /// The route names two policies.
    #[error("the route's context extensions name two policies: {0:?} and {1:?}")]
    TwoPolicies(String, String),
}

/// A CheckRequest, borrowed from its frame.
#[derive(Debug)]
pub struct CheckRequest<'a> {
    named_policy: Option<&'a [u8]>,
    http: Option<HttpRequest<'a>>,
    peer_certificate: &'a [u8],
    source_address: Option<IpAddr>,
    headers: WireHeaders<'a>,
}

#[derive(Debug)]
struct HttpRequest<'a> {
    method: &'a [u8],
    path: &'a [u8],
    host: &'a [u8],
}

impl<'a> CheckRequest<'a> {
    /// Reads the message in `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut attributes = None;
        for field in WireFields::of(bytes) {
            let field = field?;
            if field.number == field::CHECK_REQUEST_ATTRIBUTES {
                field.once(&mut attributes)?;
            }
        }
        let (mut source, mut request, mut named_policy) = (None, None, None);
        for field in WireFields::of(attributes.unwrap_or_default()) {
            let field = field?;
            match field.number {
                field::ATTRIBUTES_SOURCE => field.once(&mut source)?,
                field::ATTRIBUTES_REQUEST => field.once(&mut request)?,
                field::ATTRIBUTES_CONTEXT_EXTENSIONS => name_policy(field.bytes()?, &mut named_policy)?,
                _ => {}
            }
        }
        let (mut address, mut certificate) = (None, None);
        for field in WireFields::of(source.unwrap_or_default()) {
            let field = field?;
            match field.number {
                field::PEER_ADDRESS => field.once(&mut address)?,
                field::PEER_CERTIFICATE => field.once(&mut certificate)?,
                _ => {}
            }
        }
        let mut http = None;
        for field in WireFields::of(request.unwrap_or_default()) {
            let field = field?;
            if field.number == field::REQUEST_HTTP {
                field.once(&mut http)?;
            }
        }
        let headers = WireHeaders { http: http.unwrap_or_default(), error: Cell::new(None) };
        Ok(Self {
            named_policy,
            http: http.map(read_http).transpose()?,
            peer_certificate: certificate.unwrap_or_default(),
            source_address: address.map(read_address).transpose()?.flatten(),
            headers,
        })
    }

    /// The request to decide, as the core takes it.
    pub fn request(&self) -> Request<'_> {
        Request {
            named_policy: self.named_policy,
            http: self.http.as_ref().map(|http| Http { host: http.host, method: http.method, path: http.path }),
            peer_certificate: self.peer_certificate,
            headers: &self.headers,
            source_address: self.source_address,
        }
    }

    /// Whether the headers searched so far were readable. A decision made on unreadable headers is void.
    pub fn headers_were_readable(&self) -> Result<(), ParseError> {
        self.headers.error.get().map_or(Ok(()), |error| Err(ParseError::Wire(error)))
    }
}

/// Reads one entry of `context_extensions`. A map holds a key once; two entries that name different policies are an
/// error.
fn name_policy<'a>(entry: &'a [u8], named: &mut Option<&'a [u8]>) -> Result<(), ParseError> {
    let KeyValue { key, value, .. } = read_key_value(entry)?;
    if key != POLICY_KEY {
        return Ok(());
    }
    match named.replace(value) {
        Some(earlier) if earlier != value => {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            Err(ParseError::TwoPolicies(text(earlier), text(value)))
        }
        _ => Ok(()),
    }
}

/// An entry of a map, or a HeaderValue. Absent parts are empty.
struct KeyValue<'a> {
    key: &'a [u8],
    value: &'a [u8],
    /// Of a HeaderValue only.
    raw_value: &'a [u8],
}

fn read_key_value(bytes: &[u8]) -> Result<KeyValue<'_>, WireError> {
    let (mut key, mut value, mut raw_value) = (None, None, None);
    for field in WireFields::of(bytes) {
        let field = field?;
        match field.number {
            field::KEY => field.once(&mut key)?,
            field::VALUE => field.once(&mut value)?,
            field::RAW_VALUE => field.once(&mut raw_value)?,
            _ => {}
        }
    }
    Ok(KeyValue {
        key: key.unwrap_or_default(),
        value: value.unwrap_or_default(),
        raw_value: raw_value.unwrap_or_default(),
    })
}

/// Reads the request line, and does not read the headers.
fn read_http(bytes: &[u8]) -> Result<HttpRequest<'_>, WireError> {
    let (mut method, mut path, mut host) = (None, None, None);
    for field in WireFields::of(bytes) {
        let field = field?;
        match field.number {
            field::HTTP_METHOD => field.once(&mut method)?,
            field::HTTP_PATH => field.once(&mut path)?,
            field::HTTP_HOST => field.once(&mut host)?,
            _ => {}
        }
    }
    Ok(HttpRequest {
        method: method.unwrap_or_default(),
        path: path.unwrap_or_default(),
        host: host.unwrap_or_default(),
    })
}

/// The headers of an HttpRequest, searched on demand in the message's bytes.
#[derive(Debug)]
struct WireHeaders<'a> {
    http: &'a [u8],
    /// The first error of a search. The core's interface has no search errors, so the service checks this afterwards.
    error: Cell<Option<WireError>>,
}

impl<'a> WireHeaders<'a> {
    fn search(&self, name: &[u8], out: &mut Vec<&'a [u8]>) -> Result<(), WireError> {
        let mut header_map = None;
        for field in WireFields::of(self.http) {
            let field = field?;
            if field.number == field::HTTP_HEADER_MAP {
                field.once(&mut header_map)?;
            }
        }
        // Under `encode_raw_headers` Envoy writes one line per entry in `header_map`, and leaves `headers` empty.
        let (lines, number) = match header_map {
            Some(map) => (map, field::HEADER_MAP_HEADERS),
            None => (self.http, field::HTTP_HEADERS),
        };
        for field in WireFields::of(lines) {
            let field = field?;
            if field.number == number {
                let entry = read_key_value(field.bytes()?)?;
                if entry.key.eq_ignore_ascii_case(name) {
                    let raw = header_map.is_some() && !entry.raw_value.is_empty();
                    out.push(if raw { entry.raw_value } else { entry.value });
                }
            }
        }
        Ok(())
    }
}

impl Headers for WireHeaders<'_> {
    fn lines<'h>(&'h self, name: &str, out: &mut Vec<&'h [u8]>) {
        if let Err(error) = self.search(name.as_bytes(), out) {
            self.error.set(self.error.get().or(Some(error)));
        }
    }
}

/// The address of the peer; `None` for anything but an IP address, such as a pipe.
fn read_address(bytes: &[u8]) -> Result<Option<IpAddr>, WireError> {
    let (mut socket, mut address) = (None, None);
    for field in WireFields::of(bytes) {
        let field = field?;
        if field.number == field::ADDRESS_SOCKET {
            field.once(&mut socket)?;
        }
    }
    for field in WireFields::of(socket.unwrap_or_default()) {
        let field = field?;
        if field.number == field::SOCKET_ADDRESS {
            field.once(&mut address)?;
        }
    }
    Ok(address.and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::envoy::proto::auth::attribute_context::{HttpRequest as HttpMessage, Peer, Request as RequestMessage};
    use crate::envoy::proto::auth::{AttributeContext, CheckRequest as CheckMessage};
    use crate::envoy::proto::core::{Address, HeaderMap, HeaderValue, SocketAddress};

    fn http() -> HttpMessage {
        HttpMessage {
            method: "GET".into(),
            path: "/v1/payments?a=b".into(),
            host: "api.example.com:8443".into(),
            headers: HashMap::from([
                (":authority".into(), "api.example.com:8443".into()),
                ("x-request-id".into(), "7".into()),
                ("x-empty".into(), String::new()),
            ]),
            header_map: None,
        }
    }

    fn message(http: Option<HttpMessage>, extensions: &[(&str, &str)]) -> CheckMessage {
        CheckMessage {
            attributes: Some(AttributeContext {
                source: Some(Peer {
                    address: Some(Address {
                        socket_address: Some(SocketAddress { address: "192.0.2.7".into(), port_value: 4711 }),
                    }),
                    certificate: "-----BEGIN%20CERTIFICATE-----".into(),
                }),
                request: Some(RequestMessage { http }),
                context_extensions: extensions.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            }),
        }
    }

    fn lines<'h>(request: &'h CheckRequest<'_>, name: &str) -> Vec<&'h [u8]> {
        let mut out = Vec::new();
        request.headers.lines(name, &mut out);
        out
    }

    #[test]
    fn a_full_message_is_read() {
        let bytes = message(Some(http()), &[("other", "x"), ("certgate.dev/policy", "a/b")]).encode_to_vec();
        let check = CheckRequest::parse(&bytes).unwrap();
        let request = check.request();
        assert_eq!(request.named_policy, Some(&b"a/b"[..]));
        assert_eq!(request.peer_certificate, b"-----BEGIN%20CERTIFICATE-----");
        assert_eq!(request.source_address, Some("192.0.2.7".parse().unwrap()));
        let http = request.http.unwrap();
        assert_eq!(
            (http.host, http.method, http.path),
            (&b"api.example.com:8443"[..], &b"GET"[..], &b"/v1/payments?a=b"[..])
        );
        assert_eq!(lines(&check, "x-request-id"), [b"7"]);
        assert_eq!(lines(&check, "x-empty"), [b""]);
        assert!(lines(&check, "x-absent").is_empty());
        assert_eq!(check.headers_were_readable(), Ok(()));
    }

    #[test]
    fn a_tcp_connection_has_no_request_line() {
        for bytes in [message(None, &[]).encode_to_vec(), CheckMessage::default().encode_to_vec()] {
            let check = CheckRequest::parse(&bytes).unwrap();
            assert!(check.request().http.is_none());
            assert_eq!(check.request().named_policy, None);
        }
    }

    #[test]
    fn raw_headers_take_the_place_of_the_map() {
        let line = |key: &str, value: &str, raw: &[u8]| HeaderValue {
            key: key.into(),
            value: value.into(),
            raw_value: raw.to_vec(),
        };
        let header_map = HeaderMap {
            headers: vec![line("x-a", "", b"1\xff"), line("x-b", "value", b""), line("x-a", "ignored", b"2")],
        };
        let bytes = message(Some(HttpMessage { header_map: Some(header_map), ..http() }), &[]).encode_to_vec();
        let check = CheckRequest::parse(&bytes).unwrap();
        assert_eq!(lines(&check, "x-a"), [&b"1\xff"[..], b"2"]);
        assert_eq!(lines(&check, "x-b"), [b"value"]);
        assert!(lines(&check, "x-request-id").is_empty(), "the map is not read beside it");
    }

    /// `field` of wire type 2 with `content`.
    fn nested(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(content.len()).unwrap()][..], content].concat()
    }

    fn extension(key: &str, value: &str) -> Vec<u8> {
        nested(10, &[nested(1, key.as_bytes()), nested(2, value.as_bytes())].concat())
    }

    #[test]
    fn a_policy_that_is_named_twice_must_be_the_same() {
        let twice = |first, second| {
            let entries = [extension("certgate.dev/policy", first), extension("certgate.dev/policy", second)].concat();
            nested(1, &entries)
        };
        let same = twice("a/b", "a/b");
        assert_eq!(CheckRequest::parse(&same).unwrap().request().named_policy, Some(&b"a/b"[..]));
        let error = CheckRequest::parse(&twice("a/b", "a/c")).unwrap_err();
        assert_eq!(error, ParseError::TwoPolicies("a/b".into(), "a/c".into()));
    }

    #[test]
    fn an_empty_policy_name_is_a_name() {
        let bytes = message(Some(http()), &[("certgate.dev/policy", "")]).encode_to_vec();
        assert_eq!(CheckRequest::parse(&bytes).unwrap().request().named_policy, Some(&b""[..]));
    }

    #[test]
    fn what_stands_once_may_not_stand_twice() {
        let certificate = nested(1, &[nested(5, b"A"), nested(5, b"B")].concat());
        let path = nested(4, &nested(2, &[nested(4, b"/a"), nested(4, b"/b")].concat()));
        for (name, attributes) in [
            ("source", [nested(1, b""), nested(1, b"")].concat()),
            ("certificate", certificate),
            ("request", [nested(4, b""), nested(4, b"")].concat()),
            ("path", path),
        ] {
            let error = CheckRequest::parse(&nested(1, &attributes)).unwrap_err();
            assert!(matches!(error, ParseError::Wire(WireError::Repeated(_))), "{name}: {error}");
        }
    }

    #[test]
    fn a_broken_header_voids_what_was_decided_on_it() {
        let entry = [nested(1, b"x-a"), vec![0x12, 9, b'v']].concat();
        let bytes = nested(1, &nested(4, &nested(2, &nested(3, &entry))));
        let check = CheckRequest::parse(&bytes).unwrap();
        assert_eq!(check.headers_were_readable(), Ok(()), "nothing was searched yet");
        assert!(lines(&check, "x-a").is_empty());
        assert_eq!(check.headers_were_readable(), Err(ParseError::Wire(WireError::Truncated)));
    }

    proptest! {
        /// A message that both parsers accept has the same meaning to both.
        #[test]
        fn agrees_with_prost(
            at in any::<prop::sample::Index>(),
            octet in any::<u8>(),
            edits in 0_usize..4,
        ) {
            let mut bytes = message(Some(http()), &[("certgate.dev/policy", "a/b")]).encode_to_vec();
            for edit in 0..edits {
                let at = at.index(bytes.len() - edit);
                bytes[at] = octet.wrapping_add(edit as u8);
            }
            let (Ok(check), Ok(prost)) = (CheckRequest::parse(&bytes), CheckMessage::decode(&*bytes)) else { return Ok(()) };
            let request = check.request();
            let attributes = prost.attributes.unwrap_or_default();
            let named = attributes.context_extensions.get("certgate.dev/policy").map(String::as_bytes);
            prop_assert_eq!(request.named_policy, named);
            let certificate = attributes.source.unwrap_or_default().certificate;
            prop_assert_eq!(request.peer_certificate, certificate.as_bytes());
            let http = attributes.request.and_then(|request| request.http);
            prop_assert_eq!(request.http.is_some(), http.is_some());
            if let (Some(ours), Some(theirs)) = (request.http, http) {
                prop_assert_eq!(ours.path, theirs.path.as_bytes());
                prop_assert_eq!(ours.host, theirs.host.as_bytes());
                prop_assert_eq!(ours.method, theirs.method.as_bytes());
                for (name, value) in &theirs.headers {
                    let found = lines(&check, name).contains(&value.as_bytes());
                    let void = check.headers_were_readable().is_err() || theirs.header_map.is_some();
                    prop_assert!(found || void, "{name}: {value}");
                }
            }
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(check) = CheckRequest::parse(&bytes) {
                lines(&check, "x-forwarded-client-cert");
            }
        }
    }
}
