//! Which clients a server accepts.
//!
//! Owns: the authorities whose certificates a client must present, and the list of names of which the certificate must have
//! one. Both are checked in the handshake. Paths are validated by rustls (RFC 5280, with clientAuth where the certificate
//! lists usages); names are read by certgate's own strict parser.
//!
//! Names are compared as they are, each with names of its own type: a URI octet by octet, a DNS name without regard to
//! case (RFC 4343). There are no patterns: whoever can get a certificate under a pattern could ask.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, OtherError, RootCertStore,
    SignatureScheme,
};
use thiserror::Error;

use super::identity::provider;
use certgate_x509::{Certificate, GeneralName, encoding::bundle, encoding::bundle::BundleError};

/// A name of a caller: a subjectAltName.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallerName {
    /// A URI, such as a SPIFFE ID.
    Uri(String),
    /// A DNS name, in lower case.
    Dns(String),
}

/// Why a text is not a [`CallerName`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallerNameError {
    /// There is a `*`.
    #[error("{0:?}: names are compared as they are, so `*` would stand for itself; list each caller")]
    Pattern(String),
    /// Neither form.
    #[error("{0:?} is neither a URI such as spiffe://cluster.local/ns/istio-system/sa/gateway nor a DNS name")]
    Neither(String),
}

impl FromStr for CallerName {
    type Err = CallerNameError;

    fn from_str(text: &str) -> Result<Self, CallerNameError> {
        if text.contains('*') {
            return Err(CallerNameError::Pattern(text.to_owned()));
        }
        let is_scheme = |scheme: &str| {
            // RFC 3986, section 3.1.
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        };
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        match text.split_once(':') {
            Some((scheme, rest))
                if is_scheme(scheme) && !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Ok(Self::Uri(text.to_owned()))
            }
            None if text.len() <= 253 && text.split('.').all(is_label) => Ok(Self::Dns(text.to_ascii_lowercase())),
            _ => Err(CallerNameError::Neither(text.to_owned())),
        }
    }
}

impl fmt::Display for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(text) | Self::Dns(text) => f.write_str(text),
        }
    }
}

impl CallerName {
    fn is(&self, name: &GeneralName) -> bool {
        match (self, name) {
            (Self::Uri(allowed), GeneralName::Uri(presented)) => allowed == presented,
            (Self::Dns(allowed), GeneralName::Dns(presented)) => allowed.eq_ignore_ascii_case(presented),
            _ => false,
        }
    }
}

/// Why a text is not a list of callers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallersError {
    /// It is not text.
    #[error("not UTF-8")]
    NotText,
    /// A line holds no name.
    #[error("line {line}: {source}")]
    Name {
        /// Which one, from 1.
        line: usize,
        /// What is wrong with it.
        source: CallerNameError,
    },
    /// It names nobody.
    #[error("the file lists no allowed caller, so every caller would be rejected")]
    Nobody,
}

/// The names in a text: one a line; empty lines and those that begin with `#` count for nothing.
pub fn read_callers(text: &[u8]) -> Result<Vec<CallerName>, CallersError> {
    let text = std::str::from_utf8(text).map_err(|_| CallersError::NotText)?;
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let names = lines
        .map(|(at, line)| line.parse().map_err(|source| CallersError::Name { line: at + 1, source }))
        .collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() { Err(CallersError::Nobody) } else { Ok(names) }
}

/// Why certificates are not authorities of clients.
#[derive(Debug, Error)]
pub enum AuthoritiesError {
    /// They are not PEM.
    #[error("{0}")]
    Text(#[from] BundleError),
    /// One is malformed.
    #[error("certificate {number}: {source}")]
    Certificate {
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        source: TlsError,
    },
    /// rustls refuses them.
    #[error("{0}")]
    Verifier(String),
}

/// The clients that are accepted.
#[derive(Clone, Debug)]
pub struct Clients {
    verifier: Arc<Verifier>,
}

impl Clients {
    /// Those with a certificate of the authorities in `authorities` (PEM) that has one of the names in `allowed`; with `None`
    /// the name does not matter.
    pub fn from_pem(authorities: &[u8], allowed: Option<Vec<CallerName>>) -> Result<Self, AuthoritiesError> {
        let mut roots = RootCertStore::empty();
        for (at, der) in bundle::certificates(authorities)?.into_iter().enumerate() {
            roots
                .add(CertificateDer::from(Vec::from(der)))
                .map_err(|source| AuthoritiesError::Certificate { number: at + 1, source })?;
        }
        let paths = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| AuthoritiesError::Verifier(error.to_string()))?;
        Ok(Self { verifier: Arc::new(Verifier { paths, allowed }) })
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.verifier.clone()
    }
}

/// A client's certificate is valid, but its names are not on the list.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("none of the certificate's names may ask: {names}")]
pub struct NotAllowed {
    /// The names that it has, capped.
    pub names: String,
}

/// Names that a message tells of.
const TOLD_NAMES: usize = 4;

/// Characters of them.
const TOLD: usize = 512;

#[derive(Debug)]
struct Verifier {
    paths: Arc<dyn ClientCertVerifier>,
    allowed: Option<Vec<CallerName>>,
}

impl Verifier {
    fn check_name(&self, certificate: &CertificateDer<'_>) -> Result<(), TlsError> {
        let Some(allowed) = &self.allowed else { return Ok(()) };
        let refuse = |names: String| {
            let error: Arc<dyn std::error::Error + Send + Sync> = Arc::new(NotAllowed { names });
            Err(TlsError::InvalidCertificate(CertificateError::Other(OtherError(error))))
        };
        let certificate = match Certificate::from_der(Bytes::copy_from_slice(certificate)) {
            Ok(certificate) => certificate,
            Err(error) => return refuse(format!("(unreadable: {error})")),
        };
        let names = certificate.subject_alt_names();
        if names.iter().any(|name| allowed.iter().any(|allowed| allowed.is(name))) {
            return Ok(());
        }
        let mut told: Vec<String> = names.iter().take(TOLD_NAMES).map(ToString::to_string).collect();
        if names.is_empty() {
            told.push("(there is no subjectAltName)".to_owned());
        } else if names.len() > TOLD_NAMES {
            told.push(format!("and {} more", names.len() - TOLD_NAMES));
        }
        refuse(told.join(", ").chars().take(TOLD).collect())
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.paths.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        // The path first: the names of a certificate that anybody could have made are not worth a look.
        let verified = self.paths.verify_client_cert(end_entity, intermediates, now)?;
        self.check_name(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.paths.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.paths.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.paths.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_uris_or_dns_names() {
        let uri = |text: &str| Ok(CallerName::Uri(text.to_owned()));
        let dns = |text: &str| Ok(CallerName::Dns(text.to_owned()));
        let spiffe = "spiffe://cluster.local/ns/istio-system/sa/gateway";
        assert_eq!(spiffe.parse(), uri(spiffe));
        assert_eq!("urn:uuid:1234".parse(), uri("urn:uuid:1234"));
        assert_eq!("Envoy.Mesh.Example".parse(), dns("envoy.mesh.example"));
        assert_eq!("localhost".parse(), dns("localhost"));
        for pattern in ["spiffe://cluster.local/ns/*/sa/gateway", "*.example.com"] {
            assert_eq!(pattern.parse::<CallerName>(), Err(CallerNameError::Pattern(pattern.to_owned())));
        }
        let long = "a".repeat(64);
        for neither in ["", " ", "a b", "spiffe:", "://x", "1a:b", "a..b", "a.b.", "spiffe://a b", "ü.example", &long]
        {
            assert_eq!(neither.parse::<CallerName>(), Err(CallerNameError::Neither(neither.to_owned())));
        }
    }

    #[test]
    fn names_are_compared_by_type() {
        let name = |text: &str| text.parse::<CallerName>().unwrap();
        let uri = |text: &str| GeneralName::Uri(text.to_owned());
        let dns = |text: &str| GeneralName::Dns(text.to_owned());
        assert!(name("spiffe://a/b").is(&uri("spiffe://a/b")));
        assert!(name("a.example").is(&dns("A.Example")));
        for (allowed, presented) in [
            ("spiffe://a/b", uri("spiffe://a/B")),
            ("spiffe://a/b", uri("spiffe://a/b/")),
            ("spiffe://a/b", uri("spiffe://a/bc")),
            ("spiffe://a/b", dns("spiffe://a/b")),
            ("a.example", uri("a.example")),
            ("a.example", dns("b.a.example")),
            ("a.example", dns("*.example")),
            ("a.example", dns("a.example.")),
            ("a.example", GeneralName::Email("a.example".to_owned())),
        ] {
            assert!(!name(allowed).is(&presented), "{allowed} and {presented}");
        }
    }

    #[test]
    fn a_list_has_a_name_a_line() {
        let names = read_callers(b"# gateways\n\n spiffe://a/b \r\na.example\n").unwrap();
        assert_eq!(names, [CallerName::Uri("spiffe://a/b".to_owned()), CallerName::Dns("a.example".to_owned())]);
        assert_eq!(read_callers(b"# nobody\n"), Err(CallersError::Nobody));
        assert_eq!(read_callers(b"\xff"), Err(CallersError::NotText));
        let error = read_callers(b"a.example\n\nspiffe://a/*\n").unwrap_err();
        assert!(error.to_string().starts_with("line 3: \"spiffe://a/*\""), "{error}");
    }
}
