//! Certificates with all their extensions: what is read is what stands there, to the last octet, and a second parser
//! reads the same.
#![no_main]

use certgate_x509::{verify_signature, Certificate, Sha256, PublicKey, SignaturePolicy};
use certgate_testing::der;
mod limit;

use der::{bits, context, seq, tag, tlv, yes};
use libfuzzer_sys::fuzz_target;
use x509_parser::prelude::{FromDer as _, X509Certificate};

fuzz_target!(|der: &[u8]| {
    limit::within_limit(|| run(der));
    if let Ok(certificate) = Certificate::from_der(der.to_vec()) {
        compare(der, &certificate);
    }
});

fn run(der: &[u8]) {
    let Ok(certificate) = Certificate::from_der(der.to_vec()) else { return };
    assert_eq!(certificate.der(), der);
    let written =
        seq(&[certificate.tbs().to_vec(), certificate.signature_algorithm().to_vec(), bits(certificate.signature())]);
    assert_eq!(written, der, "the three parts are the whole");
    let extensions: Vec<Vec<u8>> = certificate
        .extensions()
        .map(|extension| {
            let critical = if extension.critical { yes() } else { Vec::new() };
            seq(&[tlv(tag::OID, extension.oid), critical, tlv(tag::OCTET_STRING, extension.value)])
        })
        .collect();
    if !extensions.is_empty() {
        assert!(certificate.tbs().ends_with(&context(3, seq(&extensions))), "the extensions write back");
    }
    for (n, extension) in certificate.extensions().enumerate() {
        assert!(certificate.extensions().take(n).all(|before| before.oid != extension.oid), "each stands once");
        let found = certificate.extension(extension.oid).expect("it is there");
        assert_eq!((found.critical, found.value), (extension.critical, extension.value));
    }
    let serial = certificate.serial_number();
    assert!(serial.len() <= 20 && serial.first() != Some(&0));
    assert!(certificate.not_before() <= certificate.not_after());
    assert!(!certificate.issuer().is_empty());
    assert_eq!(certificate.aliases().next(), Some(Sha256::of(der)));
    for name in certificate.subject_alt_names() {
        assert!(!name.to_string().contains(char::is_control), "{name:?}");
    }

    // The key and the signature of a stranger: whatever they are, they are judged and nothing more.
    let policy = SignaturePolicy::default();
    let strength = PublicKey::parse(certificate.public_key()).and_then(|key| key.check_strength(&policy));
    let (algorithm, tbs, signed) = (certificate.signature_algorithm(), certificate.tbs(), certificate.signature());
    let verified = verify_signature(certificate.public_key(), algorithm, tbs, signed, &policy);
    assert!(verified.is_err() || strength.is_ok(), "a key that is refused verifies nothing");
}

/// What certgate takes, x509-parser takes too, and sees the same.
fn compare(der: &[u8], certificate: &Certificate) {
    let (rest, other) = match X509Certificate::from_der(der) {
        Ok(other) => other,
        Err(error) => panic!("x509-parser refuses it: {error}"),
    };
    assert!(rest.is_empty());
    assert_eq!(AsRef::<[u8]>::as_ref(&other.tbs_certificate), certificate.tbs());
    assert_eq!(other.subject().as_raw(), certificate.subject().der());
    assert_eq!(other.issuer().as_raw(), certificate.issuer().der());
    assert_eq!(other.public_key().raw, certificate.public_key());
    assert_eq!(AsRef::<[u8]>::as_ref(&other.signature_value), certificate.signature());
    let magnitude: Vec<u8> = other.raw_serial().iter().copied().skip_while(|octet| *octet == 0).collect();
    assert_eq!(magnitude, certificate.serial_number());
    assert_eq!(other.validity().not_before.timestamp(), certificate.not_before().as_secs());
    assert_eq!(other.validity().not_after.timestamp(), certificate.not_after().as_secs());
    let theirs = other.extensions().iter().map(|extension| (extension.critical, extension.value));
    assert!(theirs.eq(certificate.extensions().map(|extension| (extension.critical, extension.value))));
}
