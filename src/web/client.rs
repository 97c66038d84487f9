//! One request to a server of certgate, on a connection of its own, without TLS.
//!
//! Owns the connection and the limit of the answer's length. The caller sets the deadline.

use std::io;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use http::{Request, Response, Uri, Version};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// Where a server listens, as `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Host and port.
    pub authority: Authority,
    /// Whether a path or a query follows.
    pub has_path: bool,
}

impl ServerUrl {
    /// Parses the URL; `None` if it is not of this form.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let has_path = uri.path() != "/" || uri.query().is_some();
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"))?.clone();
        Some(Self { authority, has_path })
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// The connection failed.
    Connect(io::Error),
    /// The connection broke, the server does not speak HTTP, or its answer is too long.
    Exchange(Box<dyn std::error::Error + Send + Sync>),
}

/// Sends `request` over HTTP/2 if that is its version, and else over HTTP/1.1. Reads at most `limit` octets of the
/// answer's body.
pub async fn send(
    authority: &Authority,
    mut request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<Response<Collected<Bytes>>, ClientError> {
    let failed = |error: hyper::Error| ClientError::Exchange(error.into());
    // A URI has brackets around an IPv6 address; a socket address has none.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await.map_err(ClientError::Connect)?;
    let stream = TokioIo::new(stream);
    let response = if request.version() == Version::HTTP_2 {
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
        let (mut sender, connection) = handshake.await.map_err(failed)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(failed)?
    } else {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|error| ClientError::Exchange(error.into()))?;
        request.headers_mut().insert(HOST, host);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(failed)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(failed)?
    };
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, limit).collect().await.map_err(ClientError::Exchange)?;
    Ok(Response::from_parts(parts, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_url_is_plain_http() {
        let parsed = |text| ServerUrl::parse(text).map(|url| (url.authority.to_string(), url.has_path));
        assert_eq!(parsed("http://127.0.0.1:9091"), Some(("127.0.0.1:9091".to_owned(), false)));
        assert_eq!(parsed("http://[::1]:9091/"), Some(("[::1]:9091".to_owned(), false)));
        assert_eq!(parsed("http://a/b"), Some(("a".to_owned(), true)));
        for other in ["https://a", "a:1", "/path", ""] {
            assert_eq!(parsed(other), None, "{other}");
        }
    }
}
