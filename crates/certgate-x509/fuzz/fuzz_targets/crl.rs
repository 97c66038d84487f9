//! CRLs: parsing, the table of serial numbers, and memory in proportion to the input.
#![no_main]

mod limit;

use std::sync::Arc;

use certgate_x509::{SignaturePolicy, CrlError, CrlParser, Crl, RevocationData};
use libfuzzer_sys::fuzz_target;

/// A P-256 key that signed nothing.
const KEY: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6,
    0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98,
    0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b,
    0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];

fuzz_target!(|der: &[u8]| limit::within_limit(|| run(der)));

/// The same list when it comes in pieces.
fn in_pieces(der: &[u8], size: usize) -> Result<Crl, CrlError> {
    let mut parser = CrlParser::default();
    der.chunks(size).try_for_each(|piece| parser.push(piece))?;
    parser.finish()
}

fn run(der: &[u8]) {
    let whole = Crl::from_der(der);
    let pieces = in_pieces(der, der.len() % 61 + 1);
    let say = |crl: &Crl| (crl.to_string(), crl.next_update(), crl.len(), crl.memory());
    assert_eq!(whole.as_ref().map(say), pieces.as_ref().map(say));
    let Ok(crl) = whole else { return };
    assert!(crl.len() <= der.len() / 20 + 1, "{} entries in {} octets", crl.len(), der.len());
    assert!(crl.memory() <= der.len() * 8 + 4096, "{} octets kept of {}", crl.memory(), der.len());
    assert!(crl.verify(KEY, &SignaturePolicy::default()).is_err());
    for serial in der.windows(20).chain(der.windows(1)).take(256) {
        let magnitude: Vec<u8> = serial.iter().copied().skip_while(|octet| *octet == 0).collect();
        let _ = crl.entry(crl.issuer(), &magnitude);
    }
    assert!(!crl.to_string().contains(char::is_control));
    let crl = Arc::new(crl);
    let (next, refused) =
        RevocationData::new([Arc::clone(&crl)]).updated(RevocationData::new([crl]), &SignaturePolicy::default());
    assert_eq!((next.crls().len(), refused.len()), (1, 0));
}
