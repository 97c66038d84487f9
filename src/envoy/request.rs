//! A CheckRequest as the core sees it.
//!
//! Owns the reading of Envoy's message; knows nothing of certificates or policies. The message is read where it lies:
//! one walk finds the few fields that every decision needs, and headers are searched only when a policy names one.
//!
//! The message comes from the proxy and not from the client, but the client chooses much of what is in it. A message that
//! a conforming encoder would not write (a field that stands once is there twice, a length that does not fit) is refused
//! whole, so that certgate and the proxy cannot disagree about what it says.

use std::cell::Cell;
use std::net::IpAddr;

use thiserror::Error;

use super::wire::{Fields, WireError};
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
        for field in Fields::of(bytes) {
            let field = field?;
            if field.number == field::CHECK_REQUEST_ATTRIBUTES {
                field.once(&mut attributes)?;
            }
        }
        let (mut source, mut request, mut named_policy) = (None, None, None);
        for field in Fields::of(attributes.unwrap_or_default()) {
            let field = field?;
            match field.number {
                field::ATTRIBUTES_SOURCE => field.once(&mut source)?,
                field::ATTRIBUTES_REQUEST => field.once(&mut request)?,
                field::ATTRIBUTES_CONTEXT_EXTENSIONS => name_policy(field.bytes()?, &mut named_policy)?,
                _ => {}
            }
        }
        let (mut address, mut certificate) = (None, None);
        for field in Fields::of(source.unwrap_or_default()) {
            let field = field?;
            match field.number {
                field::PEER_ADDRESS => field.once(&mut address)?,
                field::PEER_CERTIFICATE => field.once(&mut certificate)?,
                _ => {}
            }
        }
        let mut http = None;
        for field in Fields::of(request.unwrap_or_default()) {
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

    /// What the core is asked.
    pub fn request(&self) -> Request<'_> {
        Request {
            named_policy: self.named_policy,
            http: self.http.as_ref().map(|http| Http { host: http.host, method: http.method, path: http.path }),
            peer_certificate: self.peer_certificate,
            headers: &self.headers,
            source_address: self.source_address,
        }
    }

    /// Whether the headers that were searched so far could be read. A decision made on headers that could not be is void.
    pub fn headers_were_readable(&self) -> Result<(), ParseError> {
        self.headers.error.get().map_or(Ok(()), |error| Err(ParseError::Wire(error)))
    }
}

/// Takes one entry of `context_extensions`. A map holds a key once; when two entries name the policy differently, neither
/// can be preferred.
fn name_policy<'a>(entry: &'a [u8], named: &mut Option<&'a [u8]>) -> Result<(), ParseError> {
    let (key, value) = read_entry(entry)?;
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

/// Key and value of a map's entry or of a HeaderValue, whose raw value counts before the other. Absent parts are empty.
fn read_entry(bytes: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let (mut key, mut value, mut raw_value) = (None, None, None);
    for field in Fields::of(bytes) {
        let field = field?;
        match field.number {
            field::KEY => field.once(&mut key)?,
            field::VALUE => field.once(&mut value)?,
            field::RAW_VALUE => field.once(&mut raw_value)?,
            _ => {}
        }
    }
    let value = raw_value.filter(|raw| !raw.is_empty()).or(value);
    Ok((key.unwrap_or_default(), value.unwrap_or_default()))
}

/// Reads the request line. Headers are left alone.
fn read_http(bytes: &[u8]) -> Result<HttpRequest<'_>, WireError> {
    let (mut method, mut path, mut host) = (None, None, None);
    for field in Fields::of(bytes) {
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
    /// The first error that a search met. Searching cannot fail in the core's eyes, so the service asks afterwards.
    error: Cell<Option<WireError>>,
}

impl<'a> WireHeaders<'a> {
    fn search(&self, name: &[u8], out: &mut Vec<&'a [u8]>) -> Result<(), WireError> {
        let mut header_map = None;
        for field in Fields::of(self.http) {
            let field = field?;
            if field.number == field::HTTP_HEADER_MAP {
                field.once(&mut header_map)?;
            }
        }
        // Under `encode_raw_headers` the lines stand in `header_map`, one by one, and `headers` stays empty.
        let (lines, number) = match header_map {
            Some(map) => (map, field::HEADER_MAP_HEADERS),
            None => (self.http, field::HTTP_HEADERS),
        };
        for field in Fields::of(lines) {
            let field = field?;
            if field.number == number {
                let (key, value) = read_entry(field.bytes()?)?;
                if key.eq_ignore_ascii_case(name) {
                    out.push(value);
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
    for field in Fields::of(bytes) {
        let field = field?;
        if field.number == field::ADDRESS_SOCKET {
            field.once(&mut socket)?;
        }
    }
    for field in Fields::of(socket.unwrap_or_default()) {
        let field = field?;
        if field.number == field::SOCKET_ADDRESS {
            field.once(&mut address)?;
        }
    }
    Ok(address.and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.parse().ok()))
}
