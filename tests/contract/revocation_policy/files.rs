//! CRLs in files: read once, followed, and forgotten with their last reference.

use super::*;

#[test]
fn a_crl_is_parsed_once_whatever_else_is_edited() {
    let pki = Pki::new();
    let mut index = pki.index(offline(json!({})), Some(by_ca()), Some(by_root()));
    let first = trusted(&index.publish().unwrap());
    index.apply(policy("other"));
    let second = trusted(&index.publish().unwrap());
    assert!(Arc::ptr_eq(&first, &second), "a policy was added");
    index.apply(pki.profile(offline(json!({"maxAge": "12h"}))));
    let third = trusted(&index.publish().unwrap());
    for (left, right) in first.revocation_data().crls().iter().zip(third.revocation_data().crls()) {
        assert!(Arc::ptr_eq(left, right), "the profile was edited");
    }
    index.set_crl_file("moved.crl", crl_file(by_ca().der(&pki.ca)));
    index.apply(pki.profile(offline(json!({"crls": [{"file": "moved.crl"}, {"file": "root.crl"}]}))));
    let fourth = trusted(&index.publish().unwrap());
    for crl in fourth.revocation_data().crls() {
        assert!(first.revocation_data().crls().iter().any(|known| Arc::ptr_eq(known, crl)), "its file was renamed");
    }
}

#[test]
fn an_inline_crl_is_parsed_once_whatever_else_of_its_profile_is_edited() {
    let pki = Pki::new();
    let crls = json!([{"inline": pem("X509 CRL", &by_ca().der(&pki.ca))}, {"file": "root.crl"}]);
    let mut index = pki.index(offline(json!({"crls": crls})), None, Some(by_root()));
    let first = trusted(&index.publish().unwrap());
    index.apply(pki.profile(offline(json!({"crls": crls, "maxAge": "12h"}))));
    let second = trusted(&index.publish().unwrap());
    assert_eq!(second.revocation_data().crls().len(), 2);
    for (left, right) in first.revocation_data().crls().iter().zip(second.revocation_data().crls()) {
        assert!(Arc::ptr_eq(left, right));
    }
}

#[test]
fn the_content_of_a_file_is_told_from_another_without_its_octets() {
    let pki = Pki::new();
    for remarks in [String::new(), "remark\n".repeat(1 << 20)] {
        let with = |crl: CrlDraft| format!("{remarks}{}", pem("X509 CRL", &crl.der(&pki.ca)));
        let mut index = pki.index(offline(json!({})), None, Some(by_root()));
        let content = with(by_ca());
        index.set_crl_file("ca.crl", crl_file(&content));
        assert_eq!(pki.reason(&index.publish().unwrap()), Ok(()));
        index.set_crl_file("ca.crl", crl_file(&content));
        assert!(index.publish().is_none(), "the same content");

        let broken = format!("{remarks}-----BEGIN X509 CRL-----\nAQID\n-----END X509 CRL-----\n");
        index.set_crl_file("ca.crl", crl_file(&broken));
        assert!(index.publish().is_none(), "the last good content stays in use");
        let first = problems(&index);
        assert!(first[0].contains("CRL 1: certificateList"), "{first:?}");
        index.set_crl_file("ca.crl", crl_file(&broken));
        assert!(index.publish().is_none());
        assert_eq!(problems(&index), first, "the same content is as broken as it was");

        index.set_crl_file("ca.crl", crl_file(with(by_ca().with(number(11)).lists(LEAF_SERIAL, None))));
        assert_eq!((pki.reason(&index.publish().unwrap()), problems(&index)), (REVOKED, vec![]));
    }
}

/// A file that nothing refers to any more is read again when something does.
#[test]
fn a_file_is_forgotten_with_its_last_reference() {
    let pki = Pki::new();
    let mut index = pki.index(offline(json!({})), Some(by_ca()), Some(by_root()));
    index.publish();
    assert_eq!(index.wanted_files().crls.into_iter().collect::<Vec<_>>(), ["ca.crl", "root.crl"]);
    index.apply(pki.profile(json!(null)));
    index.publish();
    assert!(index.wanted_files().crls.is_empty());
    index.apply(pki.profile(offline(json!({}))));
    let snapshot = index.publish().unwrap();
    assert_eq!(pki.reason(&snapshot), Err(Reason::TrustUnavailable));
    assert!(problems(&index)[0].contains("ca.crl has not been read"), "{:?}", problems(&index));
}

#[test]
fn crls_come_from_every_kind_of_source() {
    let pki = Pki::new();
    let revoked = || by_ca().lists(LEAF_SERIAL, None).der(&pki.ca);
    let data = |content: Vec<u8>| [("ca.crl".to_owned(), Bytes::from(content))].into();
    let rows = [
        ("inline", json!({"inline": pem("X509 CRL", &revoked())}), revoked()),
        ("ConfigMap, DER", json!({"configMap": {"name": "crls"}}), revoked()),
        ("ConfigMap, PEM", json!({"configMap": {"name": "crls"}}), pem("X509 CRL", &revoked()).into_bytes()),
        ("Secret, DER", json!({"secret": {"name": "crls", "key": "ca.crl"}}), revoked()),
        ("file, PEM", json!({"file": "other.crl"}), pem("X509 CRL", &revoked()).into_bytes()),
    ];
    for (row, source, content) in rows {
        let mut index = pki.index(offline(json!({"crls": [source, {"file": "root.crl"}]})), None, Some(by_root()));
        index.set_crl_file("other.crl", crl_file(&content));
        index.apply(Object::ConfigMap { meta: meta("crls"), data: data(content.clone()) });
        index.apply(Object::Secret { meta: meta("crls"), data: data(content) });
        assert_eq!(pki.reason(&index.publish().unwrap()), REVOKED, "{row}: {:?}", problems(&index));
    }
}

#[test]
fn a_der_file_in_the_policy_directory_is_followed() {
    let pki = Pki::new();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let aside = dir.path().join(format!(".{name}"));
        std::fs::write(&aside, content).unwrap();
        std::fs::rename(aside, dir.path().join(name)).unwrap();
    };
    let text = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: partners}\nspec:\n  \
                trustAnchors: [{file: root.pem}]\n  intermediates: [{file: ca.pem}]\n  \
                revocation: {mode: Offline, crls: [{file: ca.crl}, {file: root.crl}]}\n---\n\
                apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: api}\n\
                spec: {match: [{hosts: [api]}], trustRef: {name: partners}}\n";
    write("policies.yaml", text.as_bytes());
    write("root.pem", pem("CERTIFICATE", &pki.root_cert).as_bytes());
    write("ca.pem", pem("CERTIFICATE", &pki.ca_cert).as_bytes());
    write("root.crl", &by_root().der(&pki.root));
    let mut loader = Loader::new(dir.path());
    let mut next = || match loader.reload().outcome {
        ReloadOutcome::Published(snapshot) => snapshot,
        other => panic!("{other:?}"),
    };
    assert_eq!(pki.reason(&next()), Err(Reason::TrustUnavailable), "a file that is missing at the start denies");
    let said = check(dir.path()).to_text();
    assert!(said.contains("spec.revocation.crls[0].file"), "{said}");
    write("ca.crl", &by_ca().der(&pki.ca));
    assert_eq!(pki.reason(&next()), Ok(()));
    assert_eq!(check(dir.path()).exit_code(), 0);
    write("ca.crl", &by_ca().with(number(11)).lists(LEAF_SERIAL, None).der(&pki.ca));
    assert_eq!(pki.reason(&next()), REVOKED);
    std::fs::remove_file(dir.path().join("ca.crl")).unwrap();
    assert!(matches!(loader.reload().outcome, ReloadOutcome::Unchanged), "the last good content stays");
}

/// What nothing refers to is forgotten, and is read again, unchanged as it is, when something refers to it.
#[test]
fn a_file_that_is_named_again_is_read_again() {
    let pki = Pki::new();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(dir.path().join(name), content).unwrap();
    let text = |revocation: &str| {
        format!(
            "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {{name: partners}}\nspec:\n  \
             trustAnchors: [{{file: ca.pem}}]\n  revocation: {revocation}\n---\n\
             apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {{name: api}}\n\
             spec: {{match: [{{hosts: [api]}}], trustRef: {{name: partners}}}}\n"
        )
    };
    write("ca.pem", pem("CERTIFICATE", &pki.ca_cert).as_bytes());
    write("ca.crl", &by_ca().lists(LEAF_SERIAL, None).der(&pki.ca));
    let mut loader = Loader::new(dir.path());
    for (revocation, want) in [
        ("{mode: Offline, crls: [{file: ca.crl}]}", REVOKED),
        ("{mode: NoCheck}", Ok(())),
        ("{mode: Offline, crls: [{file: ca.crl}]}", REVOKED),
    ] {
        write("policies.yaml", text(revocation).as_bytes());
        let ReloadOutcome::Published(snapshot) = loader.reload().outcome else { panic!("{revocation}") };
        assert_eq!(pki.reason(&snapshot), want, "{revocation}");
    }
}
