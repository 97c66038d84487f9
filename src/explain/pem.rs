//! The certificates of a question: PEM with any text around it.
//!
//! Only extracts blocks. The core, which also reads what a proxy forwards, validates their content; so `explain` shows
//! the same error as the server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use thiserror::Error;

use certgate_x509::encoding::base64::Base64Error;
use certgate_x509::encoding::pem::{LINE, RawBlock, raw_blocks};
use certgate_x509::limits::MAX_CERTIFICATE_TEXT;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Why a text holds no certificates.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PemError {
    /// The text has no block.
    #[error("no \"{BEGIN}\" in it")]
    NoCertificate,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The block as the file has it, with a line feed at its end.
    pub(super) text: String,
    /// Its decoded content, if it is base64.
    pub(super) der: Option<Bytes>,
}

/// All certificate blocks of `text`, in order. Skips keys and remarks between them. An unterminated block extends to
/// the end of the text, and the core rejects it.
pub(super) fn certificates(text: &str) -> Result<Vec<Block>, PemError> {
    let block = |block: RawBlock<'_>| {
        let body = String::from_utf8_lossy(block.body).replace('\r', "");
        let end = if block.is_terminated { END } else { "" };
        let der = match block.der(MAX_CERTIFICATE_TEXT) {
            Ok(der) => Some(der),
            // The core rejects it as a certificate.
            Err(Base64Error::Empty) => Some(Bytes::new()),
            Err(_) => None,
        };
        Block { text: format!("{BEGIN}{body}{end}\n"), der }
    };
    let blocks: Vec<Block> = raw_blocks(text.as_bytes()).map(block).collect();
    if blocks.is_empty() { Err(PemError::NoCertificate) } else { Ok(blocks) }
}

/// Certificates in the PEM that proxies write (RFC 7468, section 3).
pub fn to_pem<T: AsRef<[u8]>>(certificates: &[T]) -> String {
    let block = |der: &T| {
        let base64 = STANDARD.encode(der);
        let lines: Vec<_> = base64.as_bytes().chunks(LINE).map(String::from_utf8_lossy).collect();
        format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
    };
    certificates.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_cut_out_of_what_surrounds_them() {
        let file = format!(
            "Subject: a\r\n{BEGIN}\r\nQUJD\r\nREVG\r\n{END}\n-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n{BEGIN}\n!!\n{END}"
        );
        let blocks = certificates(&file).unwrap();
        assert_eq!(blocks.len(), 2);
        assert_eq!(blocks[0].der.as_deref(), Some(&b"ABCDEF"[..]));
        assert_eq!(blocks[0].text, format!("{BEGIN}\nQUJD\nREVG\n{END}\n"));
        assert_eq!(blocks[1].der, None);
    }

    #[test]
    fn what_holds_no_certificate_is_an_error() {
        assert_eq!(certificates(""), Err(PemError::NoCertificate));
        assert_eq!(certificates("hello"), Err(PemError::NoCertificate));
        let blocks = certificates(&format!("{BEGIN}\nQUJD\n{END}\n{BEGIN}\nQUJD")).unwrap();
        assert_eq!(blocks[1].text, format!("{BEGIN}\nQUJD\n"), "it has no end, for the core to refuse");
    }

    #[test]
    fn der_is_put_into_pem() {
        let der = [&[0x30][..], &[0xff; 99]].concat();
        let pem = to_pem(&[&der[..], b"ABC"]);
        let blocks = certificates(&pem).unwrap();
        assert_eq!(blocks[0].der.as_deref(), Some(&der[..]));
        assert_eq!(blocks[1].der.as_deref(), Some(&b"ABC"[..]));
        assert!(pem.lines().all(|line| line.len() <= 64));
    }
}
