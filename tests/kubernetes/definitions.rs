//! The definitions: the real server takes them, fills in defaults and knows short names. What they refuse is in
//! `wrong`.

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::with_cluster;

/// An object of a kind with a spec in YAML's flow form.
fn object(kind: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: certgate.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: wrong, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

const SHA: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn defaults_and_short_names_are_there() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let namespace = cluster.new_namespace();
        let sha = SHA.to_uppercase();
        cluster.apply(&object(
            "TrustProfile",
            &namespace,
            "{requirements: {minimumRsaBits: 1024, minimumEcdsaCurve: P384, weakCryptography: [AcceptSha1Signatures, AcceptRsaBelow2048], \
             allowedSignatureAlgorithms: [RsaPkcs1Sha1, EcdsaSha384], certificatePolicies: {initialPolicySet: [1.2.3, 2.999.1]}}}",
        ));
        cluster.apply(&object("CertificatePolicy", &namespace, "{trustRef: {name: p}}"));
        cluster.apply(&object(
            "CertificateMapping",
            &namespace,
            &format!("{{certificate: {{sha256: \"{sha}\"}}, identity: {{user: u}}}}"),
        ));
        for (short, path, want) in [
            ("trust", "/spec/mode", "Chain"),
            ("trust", "/spec/allowedNamespaces/from", "Same"),
            ("trust", "/spec/requirements/certificatePolicies/policyMapping", "Permitted"),
            ("trust", "/spec/requirements/certificatePolicies/anyPolicy", "Permitted"),
            ("certpol", "/spec/mode", "Enforce"),
            ("certpol", "/spec/certificate", "Required"),
            ("certpol", "/spec/response/denial/reveal", "Nothing"),
            ("certmap", "/spec/state", "Enabled"),
        ] {
            let found = cluster.get(&[short, "wrong", "-n", &namespace]);
            assert_eq!(found.pointer(path).and_then(|value| value.as_str()), Some(want), "{short} {path}: {found}");
        }
        let table = cluster.kubectl(&["get", "certgate", "-n", &namespace]);
        assert_eq!(table.lines().filter(|line| line.contains("/wrong")).count(), 3, "{table}");
        let selected =
            cluster.kubectl(&["get", "certmap", "-n", &namespace, "--field-selector", "spec.identity.user=u"]);
        assert!(selected.contains("wrong"), "{selected}");
        let told = cluster.kubectl(&["explain", "certpol.spec.mapping.rules.where"]);
        assert!(told.contains("<string> -required-") && told.contains("Subject"), "{told}");
    });
}
