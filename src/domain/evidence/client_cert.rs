//! RFC 9440: `Client-Cert` and `Client-Cert-Chain`.
//!
//! Owns: reading the two values. The policy names the headers (Google's load balancer writes the
//! same form into headers that its operator names).
//!
//! RFC 9440, section 2.2: `Client-Cert` is a Structured Field item, a Byte Sequence of the leaf's DER. Section 2.3:
//! `Client-Cert-Chain` is a list of Byte Sequences in TLS order without the leaf. Structured Fields are RFC 9651 (then
//! RFC 8941), whose parser this follows, with two deviations to the strict side: parameters are refused, as neither
//! field defines any; and base64 must be canonical, where RFC 9651, section 4.2.7 asks parsers to tolerate missing
//! padding and stray bits: RFC 9440, section 2.1 tells the proxy how to encode, and one certificate should have one
//! spelling.

use bytes::Bytes;
use thiserror::Error;

use crate::domain::evidence::limits::MAX_CHAIN;
use certgate_x509::{encoding::base64, encoding::base64::Base64Error};

/// Why a value is not RFC 9440. Members count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClientCertError {
    /// Not `:base64:` where one is required.
    #[error("member {member}: want a byte sequence, `:base64:`")]
    ByteSequence {
        /// The member of the list; 1 for `Client-Cert`.
        member: usize,
    },
    /// Something follows a byte sequence that may not: a parameter, a blank, another character.
    #[error("member {member}: unexpected characters after the byte sequence")]
    Trailing {
        /// The member.
        member: usize,
    },
    /// A list with a comma at its end or with nothing between two commas.
    #[error("member {member} is missing")]
    Missing {
        /// The member.
        member: usize,
    },
    /// The byte sequence is not base64, or too long.
    #[error("member {member}: {cause}")]
    Body {
        /// The member.
        member: usize,
        /// What is wrong with it.
        cause: Base64Error,
    },
    /// More members than [`MAX_CHAIN`].
    #[error("more than {limit} certificates")]
    TooMany {
        /// The cap.
        limit: usize,
    },
}

/// Reads `Client-Cert`: the DER of the leaf.
pub fn certificate(line: &[u8]) -> Result<Bytes, ClientCertError> {
    let (der, rest) = byte_sequence(trim_spaces(line), 1)?;
    if rest.is_empty() { Ok(der) } else { Err(ClientCertError::Trailing { member: 1 }) }
}

/// Reads `Client-Cert-Chain`, whose lines are one list (RFC 9651, section 4.2: they are joined by commas).
pub fn chain(lines: &[&[u8]]) -> Result<Vec<Bytes>, ClientCertError> {
    let mut found = Vec::new();
    for line in lines {
        list(trim_spaces(line), &mut found)?;
    }
    Ok(found)
}

/// RFC 9651, section 4.2.1: members, with optional blanks around the commas between them.
fn list(mut rest: &[u8], found: &mut Vec<Bytes>) -> Result<(), ClientCertError> {
    loop {
        let member = found.len().saturating_add(1);
        if member > MAX_CHAIN {
            return Err(ClientCertError::TooMany { limit: MAX_CHAIN });
        }
        if matches!(rest.first(), None | Some(b',')) {
            return Err(ClientCertError::Missing { member });
        }
        let (der, after) = byte_sequence(rest, member)?;
        found.push(der);
        match trim_start_ows(after) {
            [] => return Ok(()),
            [b',', after @ ..] => rest = trim_start_ows(after),
            _ => return Err(ClientCertError::Trailing { member }),
        }
    }
}

/// RFC 9651, section 4.2.7, and what follows.
fn byte_sequence(text: &[u8], member: usize) -> Result<(Bytes, &[u8]), ClientCertError> {
    let error = ClientCertError::ByteSequence { member };
    let [b':', inside @ ..] = text else {
        return Err(error);
    };
    let Some((body, [_, rest @ ..])) = memchr::memchr(b':', inside).and_then(|at| inside.split_at_checked(at)) else {
        return Err(error);
    };
    let der = base64::certificate(body).map_err(|cause| ClientCertError::Body { member, cause })?;
    Ok((der, rest))
}

/// RFC 9651, section 4.2, steps 2 and 6: SP, and only SP, may stand at either end of a field.
fn trim_spaces(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = text {
        text = rest;
    }
    text
}

/// RFC 9110, section 5.6.3: optional white space is SP and HTAB.
fn trim_start_ows(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn write(der: &[u8]) -> String {
        format!(":{}:", STANDARD.encode(der))
    }

    #[test]
    fn reads_one_byte_sequence() {
        for text in [":AQID:", " :AQID:", ":AQID:  "] {
            assert_eq!(certificate(text.as_bytes()).as_deref(), Ok(&[1, 2, 3][..]), "{text:?}");
        }
    }

    #[test]
    fn refuses_every_other_item() {
        let byte_sequence = ClientCertError::ByteSequence { member: 1 };
        let trailing = ClientCertError::Trailing { member: 1 };
        for (name, text, want) in [
            ("empty", "", byte_sequence.clone()),
            ("blank", " ", byte_sequence.clone()),
            ("no colons", "AQID", byte_sequence.clone()),
            ("no end", ":AQID", byte_sequence.clone()),
            ("one colon", ":", byte_sequence.clone()),
            ("string", "\"AQID\"", byte_sequence.clone()),
            ("inner list", "(:AQID:)", byte_sequence.clone()),
            ("tab before", "\t:AQID:", byte_sequence),
            ("tab after", ":AQID:\t", trailing.clone()),
            ("parameter", ":AQID:;v=1", trailing.clone()),
            ("flag parameter", ":AQID:;v", trailing.clone()),
            ("list", ":AQID:, :AQID:", trailing.clone()),
            ("text after", ":AQID:x", trailing.clone()),
            ("colon after", ":AQID::", trailing),
            ("nothing inside", "::", ClientCertError::Body { member: 1, cause: Base64Error::Empty }),
        ] {
            assert_eq!(certificate(text.as_bytes()), Err(want), "{name}");
        }
        for text in [":AQI:", ":AQ=:", ":AR==:", ":AQ ID:", ":AQ%2B:", ":-_-_:", ":A:"] {
            assert!(matches!(certificate(text.as_bytes()), Err(ClientCertError::Body { .. })), "{text}");
        }
    }

    #[test]
    fn reads_a_list_over_several_lines() {
        for lines in [&[":AQ==:,:Ag==:,:Aw==:"][..], &[":AQ==:, :Ag==: ,\t:Aw==:"], &[" :AQ==:", ":Ag==:, :Aw==: "]] {
            let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(
                chain(&lines),
                Ok(vec![Bytes::from_static(&[1]), Bytes::from_static(&[2]), Bytes::from_static(&[3])])
            );
        }
    }

    #[test]
    fn refuses_every_other_list() {
        for (name, text, want) in [
            ("empty", "", ClientCertError::Missing { member: 1 }),
            ("comma alone", ",", ClientCertError::Missing { member: 1 }),
            ("comma at the end", ":AQ==:,", ClientCertError::Missing { member: 2 }),
            ("comma and blank at the end", ":AQ==:, ", ClientCertError::Missing { member: 2 }),
            ("two commas", ":AQ==:,,:AQ==:", ClientCertError::Missing { member: 2 }),
            ("no comma", ":AQ==: :AQ==:", ClientCertError::Trailing { member: 1 }),
            ("parameter", ":AQ==:;a, :AQ==:", ClientCertError::Trailing { member: 1 }),
            ("second is a token", ":AQ==:, b", ClientCertError::ByteSequence { member: 2 }),
            ("comma inside", ":AQ,==:", ClientCertError::Body { member: 1, cause: base64_error("AQ,==") }),
        ] {
            assert_eq!(chain(&[text.as_bytes()]), Err(want), "{name}");
        }
        let line = |count| vec![":AQ==:"; count].join(", ");
        assert_eq!(chain(&[line(MAX_CHAIN).as_bytes()]).map(|v| v.len()), Ok(MAX_CHAIN));
        let over = Err(ClientCertError::TooMany { limit: MAX_CHAIN });
        assert_eq!(chain(&[line(MAX_CHAIN + 1).as_bytes()]), over);
        assert_eq!(chain(&[line(MAX_CHAIN).as_bytes(), b":AQ==:"]), over);
    }

    fn base64_error(text: &str) -> Base64Error {
        base64::certificate(text.as_bytes()).unwrap_err()
    }

    proptest! {
        #[test]
        fn round_trips(ders in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 1..5)) {
            prop_assert_eq!(certificate(write(&ders[0]).as_bytes()), Ok(Bytes::copy_from_slice(&ders[0])));
            let text = ders.iter().map(|der| write(der)).collect::<Vec<_>>().join(", ");
            let want: Vec<Bytes> = ders.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(chain(&[text.as_bytes()]), Ok(want));
        }

        /// But for blanks at the ends, one certificate has one spelling.
        #[test]
        fn whatever_reads_writes_back(text in "[ ]{0,2}:[A-D+/=]{0,9}:[ ;]{0,2}") {
            if let Ok(der) = certificate(text.as_bytes()) {
                prop_assert_eq!(write(&der), text.trim_matches(' '));
            }
        }
    }
}
