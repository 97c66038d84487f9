//! The certificates of a file as an operator has it: PEM with anything around it, or DER.
//!
//! Only cuts blocks out. Whether a block holds a certificate is for the core to say, which also reads what a proxy
//! forwards; so that `explain` shows the same error as the server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Why a text holds no certificates.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PemError {
    /// No block begins.
    #[error("no \"{BEGIN}\" in it")]
    NoCertificate,
    /// A block does not end.
    #[error("certificate {0} has no \"{END}\"")]
    Unfinished(usize),
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The block as it stands in the file, with a line feed at its end.
    pub(super) text: String,
    /// Its content, when that is base64.
    pub(super) der: Option<Vec<u8>>,
}

/// All certificate blocks of `text`, in order. Keys and remarks between them are passed over.
pub(super) fn certificates(text: &str) -> Result<Vec<Block>, PemError> {
    let mut blocks = Vec::new();
    for part in text.split(BEGIN).skip(1) {
        let (body, _) = part.split_once(END).ok_or(PemError::Unfinished(blocks.len() + 1))?;
        let base64: String = body.split_ascii_whitespace().collect();
        let body = body.replace('\r', "");
        blocks.push(Block { text: format!("{BEGIN}{body}{END}\n"), der: STANDARD.decode(base64).ok() });
    }
    if blocks.is_empty() { Err(PemError::NoCertificate) } else { Ok(blocks) }
}

/// The PEM text of a certificate file: the file itself, or a DER file put into PEM.
pub fn certificates_to_pem(file: &[u8]) -> Result<String, PemError> {
    match std::str::from_utf8(file) {
        Ok(text) if text.contains(BEGIN) => Ok(text.to_owned()),
        // 0x30 is the SEQUENCE that every DER certificate begins with.
        _ if file.first() == Some(&0x30) => {
            let base64 = STANDARD.encode(file);
            let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
            Ok(format!("{BEGIN}\n{}\n{END}\n", lines.join("\n")))
        }
        _ => Err(PemError::NoCertificate),
    }
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
        assert_eq!(certificates(&format!("{BEGIN}\nQUJD\n{END}\n{BEGIN}\nQUJD")), Err(PemError::Unfinished(2)));
        assert_eq!(certificates_to_pem(b"hello"), Err(PemError::NoCertificate));
    }

    #[test]
    fn der_is_put_into_pem() {
        let der = [&[0x30][..], &[0xff; 99]].concat();
        let pem = certificates_to_pem(&der).unwrap();
        assert_eq!(certificates(&pem).unwrap()[0].der.as_deref(), Some(&der[..]));
        assert!(pem.lines().all(|line| line.len() <= 64));
    }
}
