//! RFC 9440 and the headers of other proxies.
#![no_main]

#[path = "../../crates/certgate-x509/fuzz/fuzz_targets/limit.rs"]
mod limit;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certgate::domain::evidence::MAX_CHAIN;
use certgate::domain::evidence::{certificate_header, client_cert};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| limit::within_limit(|| run(value)));

fn run(value: &[u8]) {
    if let Ok(leaf) = client_cert::certificate(value) {
        let written = format!(":{}:", STANDARD.encode(&leaf));
        assert_eq!(String::from_utf8_lossy(value).trim_matches(' '), written);
    }
    let lines: Vec<&[u8]> = value.split(|octet| *octet == 0).collect();
    if let Ok(chain) = client_cert::chain(&lines) {
        assert!((1..=MAX_CHAIN).contains(&chain.len()));
    }
    if let Ok(leaf) = certificate_header::haproxy(value) {
        assert_eq!(STANDARD.encode(&leaf).as_bytes(), value);
    }
    if let Ok(chain) = certificate_header::haproxy_chain(value) {
        assert_eq!(STANDARD.encode(chain.concat()).as_bytes(), value);
        assert!(chain.iter().all(|der| der.first() == Some(&0x30)));
    }
    if let Ok(found) = certificate_header::traefik(value) {
        let written: Vec<String> = found.iter().map(|der| STANDARD.encode(der)).collect();
        assert_eq!(written.join(",").as_bytes(), value);
    }
}
