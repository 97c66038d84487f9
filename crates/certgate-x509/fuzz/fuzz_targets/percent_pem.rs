//! Percent-encoded PEM as proxies send it, and PEM as operators keep it.
#![no_main]

mod limit;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certgate_x509::{encoding::bundle, encoding::pem, encoding::percent, Crl, CrlReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| limit::within_limit(|| run(text)));

fn run(text: &[u8]) {
    // What is read, writes back to the same text: a certificate has one PEM, but for the line break at its end.
    if let Ok(found) = pem::url_encoded_certificates(text, 4) {
        let decoded = percent::decode(text).expect("it has just been decoded");
        assert_strict(&decoded, &found);
    }
    if let Ok(found) = pem::certificates(text, 4) {
        assert_strict(text, &found);
    }
    // No block is lost in silence, and none comes from nowhere.
    if let Ok(found) = bundle::certificates(text) {
        let begins = text.windows(10).filter(|window| *window == b"-----BEGIN").count();
        assert_eq!(begins, found.len());
    }
    // CRLs come as they are read: however they are cut, they are the same.
    let mut reader = CrlReader::default();
    let size = text.len() % 61 + 1;
    let pieces = text.chunks(size).try_for_each(|piece| reader.push(piece)).and_then(|()| reader.finish());
    let say = |found: &Vec<Arc<Crl>>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(pieces.as_ref().map(say), CrlReader::read(text).as_ref().map(say));
}

fn assert_strict(text: &[u8], found: &[impl AsRef<[u8]>]) {
    let written: String = found.iter().map(|der| write(der.as_ref())).collect();
    assert_eq!(text.strip_suffix(b"\n").unwrap_or(text), written.trim_end().as_bytes());
}

fn write(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}
