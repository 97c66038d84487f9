//! Distinguished names, as DER and as RFC 4514 text, and whole certificates.
#![no_main]

mod limit;

use certgate_x509::{Certificate, Name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| limit::within_limit(|| run(input)));

fn run(input: &[u8]) {
    if let Ok(certificate) = Certificate::from_der(input.to_vec()) {
        assert_eq!(certificate.der(), input);
        check(certificate.subject());
        check(certificate.issuer());
    }
    if let Ok(name) = Name::from_der(input.to_vec()) {
        assert_eq!(name.der(), input);
        check(&name);
    }
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(name) = Name::parse_rfc4514(text)
    {
        check(&name);
    }
}

/// The text of a name is printable ASCII and reads back as an equal name, unless it has an attribute type whose numbers
/// are too large to be written in dots: that is shown as hexadecimal, which RFC 4514 does not know.
fn check(name: &Name) {
    let text = name.to_rfc4514();
    assert!(text.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{text:?}");
    if name.attributes().any(|(ty, _)| ty.to_string().starts_with('#')) {
        return;
    }
    let again = Name::parse_rfc4514(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(again.canonical(), name.canonical(), "{text:?}");
}
