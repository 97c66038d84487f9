//! What the core is asked: the parts of a request that policies may read, borrowed from the adapter's frame.
//!
//! Everything here is untrusted. Nothing is decoded before a policy asks for it.

use std::net::IpAddr;

/// One request to decide.
#[derive(Copy, Clone)]
pub struct Request<'a> {
    /// The policy that the proxy's route names (`context_extensions["certgate.dev/policy"]`), as `namespace/name`.
    /// Authoritative: when it is present, that policy decides or the request is denied.
    pub named_policy: Option<&'a [u8]>,
    /// The HTTP request, absent for network (TCP) authorization.
    pub http: Option<Http<'a>>,
    /// `source.certificate`: the URL-encoded PEM of the peer's leaf; empty when the proxy saw none.
    pub peer_certificate: &'a [u8],
    /// The request's headers, looked up by name on demand.
    pub headers: &'a dyn Headers,
    /// The address of the TCP peer, when the proxy sent one that parses.
    pub source_address: Option<IpAddr>,
}

/// The HTTP request line as the proxy saw it.
#[derive(Copy, Clone, Debug)]
pub struct Http<'a> {
    /// `:authority` or `Host`, possibly with a port.
    pub host: &'a [u8],
    /// The method, case-sensitive.
    pub method: &'a [u8],
    /// The raw request target: path with query.
    pub path: &'a [u8],
}

/// A request's headers.
pub trait Headers {
    /// Appends to `out` each line of the header `name` (lower case), in order. A proxy that joins repeated lines with
    /// commas yields one value. Costs nothing until it is called.
    fn lines<'h>(&'h self, name: &str, out: &mut Vec<&'h [u8]>);
}

/// A request without headers.
#[derive(Debug, Default)]
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn lines<'h>(&'h self, _: &str, _: &mut Vec<&'h [u8]>) {}
}
