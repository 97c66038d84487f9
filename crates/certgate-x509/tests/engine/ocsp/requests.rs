//! Requests.

use certgate_x509::ocsp::{self, CertIdHash};

use super::world::*;
use certgate_testing::der;
use certgate_testing::der::{SigningKey, context};
use certgate_testing::status::*;

/// RFC 6960 4.1.1, written out: hashes and the shape are made by other code than the one under test.
#[test]
fn requests_are_as_the_standard_wants() {
    let world = World::new();
    let single = Single::good(&world.leaf, &world.ca);
    let cert_id = der::seq(&[
        der::seq(&[der::oid(SHA1), der::tlv(5, [])]),
        der::tlv(4, &single.name_hash),
        der::tlv(4, &single.key_hash),
        der::tlv(2, [0, 0x91, 7]),
    ]);
    let plain = der::seq(&[der::seq(&[der::seq(&[der::seq(std::slice::from_ref(&cert_id))])])]);
    let pair = [(&*world.leaf, &*world.ca)];
    assert_eq!(ocsp::request(&pair, CertIdHash::Sha1, None), plain);
    let (dotted, _, value) = nonce(&[7; 32]);
    let extensions = context(2, der::seq(&[der::seq(&[der::oid(&dotted), der::tlv(4, value)])]));
    let with_nonce = der::seq(&[der::seq(&[der::seq(&[der::seq(&[cert_id])]), extensions])]);
    assert_eq!(ocsp::request(&pair, CertIdHash::Sha1, Some(&[7; 32])), with_nonce);
    assert_eq!(ocsp::request(&pair, CertIdHash::Sha1, Some(&[7; 129])), plain, "no nonce beyond RFC 9654");
    for (serial, integer) in [(&[0][..], &[2, 1, 0][..]), (&[0x7f], &[2, 1, 0x7f]), (&[0, 0x80], &[2, 2, 0, 0x80])] {
        let mut draft = der::Draft::client("CN=client", "CN=CA", &SigningKey::ed25519());
        draft.serial = serial.to_vec();
        let request = ocsp::request(&[(&*draft.sign(&SigningKey::ed25519()), &*world.ca)], CertIdHash::Sha1, None);
        assert!(request.ends_with(integer), "{request:02x?}");
    }
    assert!(ocsp::request(&pair, CertIdHash::Sha512, None).len() > plain.len() + 80);
    for request in [plain, with_nonce, ocsp::request(&[pair[0], pair[0]], CertIdHash::Sha256, None)] {
        certgate_x509::der::check(&request).unwrap();
    }
}
