//! The certificate headers of nginx, Traefik, HAProxy and the AWS load balancer.
//!
//! Owns: reading each value, with nothing tolerated that the proxy does not write. Which header holds it is the
//! policy's to say. RFC 9440 has its own module.
//!
//! Traefik's form is the only one in which a proxy that joins repeated lines makes, of the client's own line and what
//! it adds itself, something that reads as one chain: the client's certificate first. So there, and there alone, each
//! certificate must be issued by the next one. Names are compared here; that the signatures bear them out is verified
//! where the profile is known ([`crate::domain::evidence::Links::Signed`]).
//!
//! | proxy | leaf | chain |
//! |---|---|---|
//! | nginx, ingress-nginx | URL-encoded PEM | none |
//! | AWS ALB | URL-encoded PEM with `+`, `=` and `/` left raw | passthrough mode: after the leaf |
//! | Traefik | base64 DER | after the leaf, joined by `,` |
//! | HAProxy | base64 DER | own header: base64 of the concatenated DER, without the leaf |

use bytes::Bytes;
use thiserror::Error;

use crate::domain::evidence::limits::{MAX_CHAIN, MAX_HEADER};
use certgate_x509::{
    Certificate, encoding::base64, encoding::base64::Base64Error, encoding::pem, encoding::pem::PemError,
};

/// Why a header is not in its proxy's format. Certificates count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderCertError {
    /// Not URL-encoded PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Not base64, or too long.
    #[error("certificate {certificate}: {cause}")]
    Body {
        /// The certificate.
        certificate: usize,
        /// What is wrong with it.
        cause: Base64Error,
    },
    /// What stands after the last complete certificate is not one: no DER SEQUENCE, or longer than what is left.
    #[error("certificate {certificate}: want a DER SEQUENCE of at most {left} octets")]
    Concatenation {
        /// The certificate.
        certificate: usize,
        /// The octets that are left.
        left: usize,
    },
    /// A certificate after the leaf is not named as the issuer of the one before it, or one of the two is unreadable.
    #[error("certificate {certificate} is not named as the issuer of the one before it: not one client's chain")]
    NotIssuer {
        /// The certificate.
        certificate: usize,
    },
    /// More certificates than the format, or the cap, allows.
    #[error("more than {limit} certificates")]
    TooMany {
        /// The cap.
        limit: usize,
    },
}

/// nginx and ALB: URL-encoded PEM, leaf first, at most `limit` certificates.
pub fn url_encoded_pem(value: &[u8], limit: usize) -> Result<Vec<Bytes>, HeaderCertError> {
    Ok(pem::url_encoded_certificates(value, limit)?)
}

/// Traefik: base64 DER, leaf first, joined by commas, each issued by the next by name.
pub fn traefik(value: &[u8]) -> Result<Vec<Bytes>, HeaderCertError> {
    let limit = MAX_CHAIN.saturating_add(1);
    let mut found = Vec::with_capacity(1);
    for part in value.split(|octet| *octet == b',') {
        let certificate = found.len().saturating_add(1);
        if certificate > limit {
            return Err(HeaderCertError::TooMany { limit });
        }
        found.push(base64::certificate(part).map_err(|cause| HeaderCertError::Body { certificate, cause })?);
    }
    check_issuers(&found)?;
    Ok(found)
}

/// RFC 5246, section 7.4.2: each certificate after the first certifies the one before it. RFC 8446, section 4.4.2 asks
/// for the same order.
fn check_issuers(chain: &[Bytes]) -> Result<(), HeaderCertError> {
    if chain.len() < 2 {
        return Ok(());
    }
    let parsed: Vec<_> = chain.iter().map(|der| Certificate::from_der(der.clone()).ok()).collect();
    for (pair, certificate) in parsed.windows(2).zip(2..) {
        match pair {
            [Some(issued), Some(issuer)] if issued.issuer() == issuer.subject() => {}
            _ => return Err(HeaderCertError::NotIssuer { certificate }),
        }
    }
    Ok(())
}

/// HAProxy's `ssl_c_der,base64`: the DER of the leaf.
pub fn haproxy(value: &[u8]) -> Result<Bytes, HeaderCertError> {
    base64::certificate(value).map_err(|cause| HeaderCertError::Body { certificate: 1, cause })
}

/// HAProxy's `ssl_c_chain_der,base64`: certificates without a separator, told apart by their DER lengths.
pub fn haproxy_chain(value: &[u8]) -> Result<Vec<Bytes>, HeaderCertError> {
    let all = base64::decode(value, MAX_HEADER).map_err(|cause| HeaderCertError::Body { certificate: 1, cause })?;
    let mut found = Vec::new();
    let mut rest = all;
    while !rest.is_empty() {
        let certificate = found.len().saturating_add(1);
        if certificate > MAX_CHAIN {
            return Err(HeaderCertError::TooMany { limit: MAX_CHAIN });
        }
        let length = sequence_length(&rest).filter(|length| *length <= rest.len());
        let Some(length) = length else {
            return Err(HeaderCertError::Concatenation { certificate, left: rest.len() });
        };
        if length > certgate_x509::limits::MAX_FORWARDED_CERTIFICATE {
            let cause = Base64Error::TooLong {
                characters: value.len(),
                limit: certgate_x509::limits::MAX_FORWARDED_CERTIFICATE,
            };
            return Err(HeaderCertError::Body { certificate, cause });
        }
        found.push(rest.split_to(length));
    }
    Ok(found)
}

/// The whole length, header included, of the DER SEQUENCE at the start of `octets`. X.690, section 8.1.3, with the
/// shortest form only (section 10.1); certificates of 2^16 octets and more are above every cap.
fn sequence_length(octets: &[u8]) -> Option<usize> {
    let (header, content) = match octets {
        [0x30, short @ 0..=0x7f, ..] => (2_usize, usize::from(*short)),
        [0x30, 0x81, long @ 0x80..=0xff, ..] => (3, usize::from(*long)),
        [0x30, 0x82, high @ 1..=0xff, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        _ => return None,
    };
    header.checked_add(content)
}

#[cfg(test)]
mod tests {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;
    use certgate_testing::template::{CN, Key, Template, name};

    /// A DER SEQUENCE whose content is `content`.
    fn sequence(content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut der = match length {
            0..=0x7f => vec![0x30, length as u8],
            0x80..=0xff => vec![0x30, 0x81, length as u8],
            _ => vec![0x30, 0x82, (length >> 8) as u8, length as u8],
        };
        der.extend_from_slice(content);
        der
    }

    #[test]
    fn traefik_joins_with_commas() {
        assert_eq!(traefik(b"AQ=="), Ok(vec![Bytes::from_static(&[1])]), "a leaf alone is nobody's business here");
        let key = Key::new();
        let encode = |der: &[u8]| STANDARD.encode(der);
        let (leaf, ca) = (Template::default().der(&key, &key), Template::ca().der(&key, &key));
        let of_other_ca = Template { issuer: name(&[(CN, "Other CA")]), ..Template::default() }.der(&key, &key);
        let join = |chain: &[&[u8]]| chain.iter().map(|der| encode(der)).collect::<Vec<_>>().join(",");
        let chain = traefik(join(&[&leaf, &ca]).as_bytes());
        assert_eq!(chain, Ok(vec![Bytes::from(leaf.clone()), Bytes::from(ca.clone())]));
        let rows: [(&str, &[&[u8]], usize); 6] = [
            ("the client's own line before the proxy's", &[&leaf, &of_other_ca], 2),
            ("another client of the same CA", &[&leaf, &leaf], 2),
            ("with the chain of the one that is proved", &[&of_other_ca, &leaf, &ca], 2),
            ("behind a whole chain", &[&leaf, &ca, &leaf], 3),
            ("out of order", &[&ca, &leaf], 2),
            ("unreadable", &[&leaf, &ca, &[0x30, 0]], 3),
        ];
        for (name, chain, certificate) in rows {
            let got = traefik(join(chain).as_bytes());
            assert_eq!(got, Err(HeaderCertError::NotIssuer { certificate }), "{name}");
        }
        for (name, text, at) in [
            ("empty", "", 1),
            ("blank after the comma", "AQ==, AQ==", 2),
            ("comma at the end", "AQ==,", 2),
            ("comma at the start", ",AQ==", 1),
            ("armour", "-----BEGIN CERTIFICATE-----", 1),
            ("URL-encoded", "AQ%3D%3D", 1),
            ("two joined by a line break", "AQ==\nAQ==", 1),
        ] {
            let got = traefik(text.as_bytes());
            assert!(
                matches!(got, Err(HeaderCertError::Body { certificate, .. }) if certificate == at),
                "{name}: {got:?}"
            );
        }
        let many = |count| join(&vec![&ca[..]; count]);
        assert_eq!(traefik(many(MAX_CHAIN + 1).as_bytes()).map(|v| v.len()), Ok(MAX_CHAIN + 1), "leaf and full chain");
        let over = Err(HeaderCertError::TooMany { limit: MAX_CHAIN + 1 });
        assert_eq!(traefik(many(MAX_CHAIN + 2).as_bytes()), over);
    }

    #[test]
    fn haproxy_concatenates() {
        let parts = [sequence(&[1]), sequence(&[2; 200]), sequence(&[3; 300]), sequence(&[])];
        let want: Vec<Bytes> = parts.iter().cloned().map(Bytes::from).collect();
        assert_eq!(haproxy_chain(STANDARD.encode(parts.concat()).as_bytes()), Ok(want));

        let good = sequence(&[1]);
        for (name, octets, at) in [
            ("cut short", [good.clone(), vec![0x30, 5, 1]].concat(), 2),
            ("header cut short", [good.clone(), vec![0x30, 0x82, 1]].concat(), 2),
            ("tag alone", [good.clone(), vec![0x30]].concat(), 2),
            ("not a SEQUENCE", [good.clone(), vec![0x31, 0]].concat(), 2),
            ("zero octets after", [good.clone(), vec![0, 0]].concat(), 2),
            ("long form of a short length", vec![0x30, 0x81, 1, 1], 1),
            ("longer form than needed", [vec![0x30, 0x82, 0, 0x81], vec![0; 0x81]].concat(), 1),
            ("indefinite length", vec![0x30, 0x80, 0, 0], 1),
            ("length of eight octets", vec![0x30, 0x88, 255, 255, 255, 255, 255, 255, 255, 255], 1),
        ] {
            let got = haproxy_chain(STANDARD.encode(octets).as_bytes());
            let right = matches!(got, Err(HeaderCertError::Concatenation { certificate, .. }) if certificate == at);
            assert!(right, "{name}: {got:?}");
        }
        let many = |count| STANDARD.encode(good.repeat(count));
        assert_eq!(haproxy_chain(many(MAX_CHAIN).as_bytes()).map(|v| v.len()), Ok(MAX_CHAIN));
        let over = Err(HeaderCertError::TooMany { limit: MAX_CHAIN });
        assert_eq!(haproxy_chain(many(MAX_CHAIN + 1).as_bytes()), over);
        let long = haproxy_chain(STANDARD.encode(sequence(&[0; 16 * 1024])).as_bytes());
        assert!(matches!(long, Err(HeaderCertError::Body { certificate: 1, .. })), "{long:?}");
    }

    proptest! {
        #[test]
        fn a_concatenation_is_taken_apart_as_it_was_put_together(
            contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 1..6)
        ) {
            let parts: Vec<Vec<u8>> = contents.iter().map(|content| sequence(content)).collect();
            let want: Vec<Bytes> = parts.iter().cloned().map(Bytes::from).collect();
            prop_assert_eq!(haproxy_chain(STANDARD.encode(parts.concat()).as_bytes()), Ok(want));
        }
    }
}
