//! XFCC, text and JSON; a NUL separates lines.
#![no_main]

#[path = "../../crates/certgate-x509/fuzz/fuzz_targets/limit.rs"]
mod limit;

use std::num::NonZeroUsize;

use certgate_x509::fingerprint::Sha256;
use certgate::domain::evidence::xfcc;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| limit::within_limit(|| run(text)));

fn run(text: &[u8]) {
    let lines: Vec<&[u8]> = text.split(|octet| *octet == 0).collect();
    let Ok(elements) = xfcc::parse(&lines) else {
        return;
    };
    assert!(elements.len() <= xfcc::MAX_ELEMENTS);
    for (place, element) in (1..).zip(elements.iter().rev()) {
        let number = NonZeroUsize::new(place).expect("counted from 1");
        let Ok((leaf, _)) = xfcc::certificate(&lines, number, None) else {
            continue;
        };
        assert!(element.cert.is_some());
        assert!(element.hash.is_none_or(|hash| hash == Sha256::of(&leaf)));
        // The proxy that wrote the element can be asked for, and no other.
        assert!(xfcc::certificate(&lines, number, Some("\"")).is_err());
        for by in element.by.iter().filter_map(|by| std::str::from_utf8(by).ok()) {
            assert!(xfcc::certificate(&lines, number, Some(by)).is_ok());
        }
    }
    let beyond = NonZeroUsize::MIN.saturating_add(elements.len());
    assert!(xfcc::certificate(&lines, beyond, None).is_err());
}
