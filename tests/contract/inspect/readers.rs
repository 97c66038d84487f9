//! Two readers see the same in every certificate.

use super::*;

/// What certgate takes, x509-parser takes too, and sees the same: the fields, the extensions, and the contents of those
/// that both read.
fn compare(certificate: &Certificate) {
    let (rest, other) = X509Certificate::from_der(certificate.der()).expect("x509-parser reads it");
    assert!(rest.is_empty());
    assert_eq!(AsRef::<[u8]>::as_ref(&other.tbs_certificate), certificate.tbs());
    assert_eq!(other.subject().as_raw(), certificate.subject().der());
    assert_eq!(other.issuer().as_raw(), certificate.issuer().der());
    assert_eq!(other.public_key().raw, certificate.public_key());
    assert_eq!(other.version().0, certificate.version() as u32);
    let magnitude: Vec<u8> = other.raw_serial().iter().copied().skip_while(|octet| *octet == 0).collect();
    assert_eq!(magnitude, certificate.serial_number());
    assert_eq!(other.validity().not_before.timestamp(), certificate.not_before().as_secs());
    assert_eq!(other.validity().not_after.timestamp(), certificate.not_after().as_secs());
    let theirs = other.extensions().iter().map(|one| (one.oid.as_bytes(), one.critical, one.value));
    assert!(theirs.eq(certificate.extensions().map(|one| (one.oid, one.critical, one.value))));
    for extension in other.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(theirs) => {
                let ours = certificate.basic_constraints().unwrap();
                assert_eq!((theirs.ca, theirs.path_len_constraint), (ours.is_ca, ours.path_len));
            }
            ParsedExtension::KeyUsage(theirs) => {
                let count = certificate.key_usage().unwrap().names().count();
                assert_eq!(theirs.flags.count_ones() as usize, count);
                let ours = certificate.key_usage().unwrap();
                assert_eq!(
                    (theirs.digital_signature(), theirs.key_cert_sign(), theirs.crl_sign()),
                    (ours.digital_signature(), ours.key_cert_sign(), ours.crl_sign())
                );
            }
            ParsedExtension::ExtendedKeyUsage(theirs) => {
                let is_client = certificate
                    .extended_key_usage()
                    .unwrap()
                    .iter()
                    .any(|purpose| purpose.to_string() == ext::CLIENT_AUTH);
                assert_eq!(theirs.client_auth, is_client);
            }
            ParsedExtension::CertificatePolicies(theirs) => {
                let theirs = theirs.iter().map(|policy| policy.policy_id.as_bytes());
                assert!(theirs.eq(certificate.certificate_policies().unwrap().iter().map(|oid| oid.as_bytes())));
            }
            ParsedExtension::SubjectKeyIdentifier(theirs) => {
                assert_eq!(Some(theirs.0), certificate.subject_key_identifier());
            }
            ParsedExtension::SubjectAlternativeName(theirs) => {
                assert_eq!(theirs.general_names.len(), certificate.subject_alt_names().len());
                for (theirs, ours) in theirs.general_names.iter().zip(certificate.subject_alt_names()) {
                    match (theirs, ours) {
                        (OtherName::DNSName(theirs), GeneralName::Dns(ours))
                        | (OtherName::URI(theirs), GeneralName::Uri(ours))
                        | (OtherName::RFC822Name(theirs), GeneralName::Email(ours)) => assert_eq!(theirs, ours),
                        (OtherName::DirectoryName(theirs), GeneralName::DirectoryName(ours)) => {
                            assert_eq!(theirs.as_raw(), ours.der());
                        }
                        (OtherName::IPAddress(_), GeneralName::Ip(_))
                        | (OtherName::RegisteredID(_), GeneralName::RegisteredId(_))
                        | (OtherName::OtherName(..), GeneralName::UserPrincipalName(_) | GeneralName::Other { .. })
                        | (OtherName::X400Address(_) | OtherName::EDIPartyName(_), GeneralName::Unsupported { .. }) => {
                        }
                        (theirs, ours) => panic!("{theirs} is not {ours}"),
                    }
                }
            }
            ParsedExtension::ParseError { error } => panic!("{}: {error}", extension.oid),
            _ => {}
        }
    }
}

#[test]
fn both_readers_see_the_same_in_every_certificate_of_the_suites() {
    let (mut read, mut refused) = (0, 0);
    for der in certificates() {
        match Certificate::from_der(der.clone()) {
            Ok(certificate) => {
                compare(&certificate);
                read += 1;
            }
            Err(_) => refused += 1,
        }
    }
    println!("{read} certificates read alike by both readers; {refused} that the engine refuses");
    assert!(read > 400, "{read}");
}
