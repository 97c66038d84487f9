//! The definitions: the real server takes them, and refuses by them what one object can tell, with the field.

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
fn wrong_objects_are_refused_with_their_field() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let namespace = cluster.new_namespace();
        let many_rules = format!(
            "{{trustRef: {{name: p}}, mapping: {{rules: [{}]}}}}",
            "{name: r, action: Deny, where: [{field: DNS, value: a}]},".repeat(1001)
        );
        let (trust, policy, mapping) = ("TrustProfile", "CertificatePolicy", "CertificateMapping");
        let rows: &[(&str, &str, &str)] = &[
            (trust, "{mode: Perhaps}", "spec.mode: Unsupported value: \"Perhaps\""),
            (trust, "{anchors: []}", "unknown field \"spec.anchors\""),
            (
                trust,
                "{trustAnchors: [{}]}",
                "spec.trustAnchors[0]: Invalid value: want exactly one of configMap, secret",
            ),
            (
                trust,
                "{trustAnchors: [{configMap: {name: a}, secret: {name: b}}]}",
                "spec.trustAnchors[0]: Invalid value: want exactly one of",
            ),
            (
                trust,
                "{trustAnchors: [{configMap: {name: Roots}}]}",
                "spec.trustAnchors[0].configMap.name: Invalid value",
            ),
            (trust, "{trustAnchors: [{configMap: {}}]}", "spec.trustAnchors[0].configMap.name: Required value"),
            (
                trust,
                "{trustAnchors: [{inline: \"-----BEGIN PRIVATE KEY-----\"}]}",
                "spec.trustAnchors[0].inline: Invalid value",
            ),
            (trust, "{trustAnchors: [{inline: \"\"}]}", "spec.trustAnchors[0].inline: Invalid value"),
            (trust, "{issuingAuthorities: []}", "spec.issuingAuthorities: Invalid value: 0"),
            (trust, "{issuingAuthorities: [{sha256: abc}]}", "spec.issuingAuthorities[0].sha256: Invalid value"),
            (trust, "{disallowed: [abc]}", "spec.disallowed[0]: Invalid value: \"string\""),
            (
                trust,
                "{requirements: {minimumRsaBits: 1024}}",
                "spec.requirements: Invalid value: minimumRsaBits below 2048 needs weakCryptography: [AcceptRsaBelow2048]",
            ),
            (
                trust,
                "{requirements: {minimumRsaBits: many}}",
                "spec.requirements.minimumRsaBits: Invalid value: \"string\"",
            ),
            (trust, "{requirements: {maxPathLength: -1}}", "spec.requirements.maxPathLength: Invalid value: -1"),
            (trust, "{requirements: {minimumRsaBits: 512}}", "spec.requirements.minimumRsaBits: Invalid value: 512"),
            (
                trust,
                "{requirements: {minimumRsaBits: 4096, weakCryptography: [AcceptRsaBelow2048]}}",
                "spec.requirements: Invalid value: weakCryptography AcceptRsaBelow2048 needs minimumRsaBits",
            ),
            (
                trust,
                "{requirements: {weakCryptography: [AcceptRsaBelow2048]}}",
                "spec.requirements: Invalid value: weakCryptography AcceptRsaBelow2048 needs minimumRsaBits",
            ),
            (
                trust,
                "{requirements: {weakCryptography: [AcceptMd5]}}",
                "spec.requirements.weakCryptography[0]: Unsupported value: \"AcceptMd5\"",
            ),
            (
                trust,
                "{requirements: {weakCryptography: [AcceptSha1Signatures, AcceptSha1Signatures]}}",
                "spec.requirements.weakCryptography[1]: Duplicate value: \"AcceptSha1Signatures\"",
            ),
            (
                trust,
                "{requirements: {allowedSignatureAlgorithms: [EcdsaSha1]}}",
                "spec.requirements: Invalid value: a signature algorithm with SHA-1 needs weakCryptography",
            ),
            (
                trust,
                "{requirements: {allowedSignatureAlgorithms: [Ed25519], weakCryptography: [AcceptSha1Signatures]}}",
                "spec.requirements: Invalid value: weakCryptography has AcceptSha1Signatures, but",
            ),
            (
                trust,
                "{requirements: {allowedSignatureAlgorithms: []}}",
                "spec.requirements.allowedSignatureAlgorithms: Invalid value: 0",
            ),
            (
                trust,
                "{requirements: {minimumEcdsaCurve: P-384}}",
                "spec.requirements.minimumEcdsaCurve: Unsupported value: \"P-384\"",
            ),
            (
                trust,
                "{requirements: {certificatePolicies: {explicitPolicy: true}}}",
                "spec.requirements.certificatePolicies.explicitPolicy: Invalid value: \"boolean\"",
            ),
            (
                trust,
                "{requirements: {certificatePolicies: {initialPolicySet: []}}}",
                "spec.requirements.certificatePolicies.initialPolicySet: Invalid value: 0",
            ),
            (
                trust,
                "{requirements: {certificatePolicies: {initialPolicySet: [gold]}}}",
                "spec.requirements.certificatePolicies.initialPolicySet[0]: Invalid value: \"gold\"",
            ),
            (
                trust,
                "{requirements: {certificatePolicies: {initialPolicySet: [2.5.29.32.0]}}}",
                "spec.requirements.certificatePolicies.initialPolicySet: Invalid value: anyPolicy makes every policy",
            ),
            (trust, "{revocation: {}}", "spec.revocation.mode: Required value"),
            (trust, "{revocation: {mode: Online}}", "spec.revocation.mode: Unsupported value: \"Online\""),
            (
                trust,
                "{revocation: {mode: Offline, onUnknown: Ignore}}",
                "spec.revocation.onUnknown: Unsupported value: \"Ignore\"",
            ),
            (trust, "{revocation: {mode: Offline, scope: Root}}", "spec.revocation.scope: Unsupported value: \"Root\""),
            (trust, "{revocation: {mode: Offline, maxAge: 24}}", "spec.revocation.maxAge: Invalid value: \"integer\""),
            (
                trust,
                "{revocation: {mode: Offline, crls: [{}]}}",
                "spec.revocation.crls[0]: Invalid value: want exactly one of configMap",
            ),
            (
                trust,
                "{revocation: {mode: Offline, crls: [{file: a, secret: {name: b}}]}}",
                "spec.revocation.crls[0]: Invalid value: want exactly one of configMap",
            ),
            (
                trust,
                "{revocation: {mode: Offline, crls: [{inline: \"-----BEGIN CERTIFICATE-----\"}]}}",
                "spec.revocation.crls[0].inline: Invalid value",
            ),
            (
                trust,
                "{revocation: {mode: Offline, crls: [{url: \"http://crl.example/ca.crl\"}]}}",
                "unknown field \"spec.revocation.crls[0].url\"",
            ),
            (
                trust,
                "{allowedNamespaces: {from: Selector}}",
                "spec.allowedNamespaces: Invalid value: selector is given with",
            ),
            (
                trust,
                "{allowedNamespaces: {selector: {matchLabels: {a: b}}}}",
                "spec.allowedNamespaces: Invalid value: selector is given with",
            ),
            (policy, "{}", "spec.trustRef: Required value"),
            (
                policy,
                "{trustRef: {name: p}, match: [{hosts: [\"a b\"]}]}",
                "spec.match[0].hosts[0]: Invalid value: \"a b\"",
            ),
            (
                policy,
                "{trustRef: {name: p}, match: [{hosts: [\"аpple.example\"]}]}",
                "spec.match[0].hosts[0]: Invalid value",
            ),
            (policy, "{trustRef: {name: p}, match: [{hosts: [a, a]}]}", "spec.match[0].hosts[1]: Duplicate value"),
            (
                policy,
                "{trustRef: {name: p}, match: [{paths: [{}]}]}",
                "spec.match[0].paths[0]: Invalid value: want exactly one of exact, prefix",
            ),
            (
                policy,
                "{trustRef: {name: p}, match: [{paths: [{prefix: v1}]}]}",
                "spec.match[0].paths[0].prefix: Invalid value",
            ),
            (
                policy,
                "{trustRef: {name: p}, match: [{methods: [\"GET POST\"]}]}",
                "spec.match[0].methods[0]: Invalid value",
            ),
            (policy, "{trustRef: {name: p}, evidence: []}", "spec.evidence: Invalid value: 0"),
            (
                policy,
                "{trustRef: {name: p}, evidence: [{}]}",
                "spec.evidence[0]: Invalid value: want exactly one of peerCertificate",
            ),
            (
                policy,
                "{trustRef: {name: p}, evidence: [{xfcc: {element: 0}}]}",
                "spec.evidence[0].xfcc.element: Invalid value: 0",
            ),
            (
                policy,
                "{trustRef: {name: p}, evidence: [{header: {format: HAProxy}}]}",
                "spec.evidence[0].header: Invalid value: format HAProxy",
            ),
            (
                policy,
                "{trustRef: {name: p}, evidence: [{header: {format: Nginx, chainName: c}}]}",
                "chainName goes with",
            ),
            (policy, "{trustRef: {name: p}, mapping: {}}", "spec.mapping: Invalid value: nothing is mapped"),
            (
                policy,
                "{trustRef: {name: p}, mapping: {oneToOne: [{certificate: {uri: \"a:b\"}, identity: {user: u}}]}}",
                "spec.mapping.oneToOne[0].certificate: Invalid value",
            ),
            (
                policy,
                "{trustRef: {name: p}, mapping: {rules: [{name: r, action: Allow, where: [{field: DNS, value: a}]}]}}",
                "spec.mapping.rules[0]: Invalid value: a rule that allows needs an identity",
            ),
            (
                policy,
                "{trustRef: {name: p}, mapping: {rules: [{name: r, action: Deny, where: []}]}}",
                "spec.mapping.rules[0].where: Invalid value: 0",
            ),
            (
                policy,
                "{trustRef: {name: p}, mapping: {rules: [{name: r, action: Deny, where: [{field: Subject, value: a}]}]}}",
                "spec.mapping.rules[0].where[0]: Invalid value: the fields Subject and Issuer",
            ),
            (
                policy,
                "{trustRef: {name: p}, mapping: {rules: [{name: r, action: Deny, where: [{field: DNS, attribute: CN, value: a}]}]}}",
                "spec.mapping.rules[0].where[0]: Invalid value: the fields",
            ),
            (policy, &many_rules, "spec.mapping.rules: Too many: 1001: must have at most 1000 items"),
            (
                policy,
                "{trustRef: {name: p}, response: {denial: {status: 200}}}",
                "spec.response.denial.status: Invalid value: 200",
            ),
            (
                policy,
                "{trustRef: {name: p}, response: {headers: {user: \"x user\"}}}",
                "spec.response.headers.user: Invalid value",
            ),
            (mapping, "{identity: {user: u}}", "spec.certificate: Required value"),
            (
                mapping,
                "{certificate: {}, identity: {user: u}}",
                "spec.certificate: Invalid value: want exactly one of sha256",
            ),
            (
                mapping,
                "{certificate: {sha256: 0, dns: a}, identity: {user: u}}",
                "spec.certificate.sha256: Invalid value: \"integer\"",
            ),
            (
                mapping,
                &format!("{{certificate: {{sha256: \"{SHA}\", dns: a}}, identity: {{user: u}}}}"),
                "spec.certificate: Invalid value: want exactly one of",
            ),
            (
                mapping,
                &format!("{{certificate: {{sha256: \"{}\"}}, identity: {{user: u}}}}", &SHA[..63]),
                "spec.certificate.sha256: Invalid value",
            ),
            (mapping, "{certificate: {dns: a}, identity: {user: \"\"}}", "spec.identity.user: Invalid value"),
            (mapping, "{certificate: {dns: a}, identity: {user: \"a\\nb\"}}", "spec.identity.user: Invalid value"),
            (
                mapping,
                "{certificate: {dns: a}, identity: {user: u, groups: [\"a,b\"]}}",
                "spec.identity.groups[0]: Invalid value",
            ),
            (
                mapping,
                "{certificate: {dns: a}, identity: {user: u, groups: a}}",
                "spec.identity.groups: Invalid value: \"string\"",
            ),
            (
                mapping,
                "{certificate: {dns: a}, identity: {user: u, extra: {k: []}}}",
                "spec.identity.extra.k: Invalid value: 0",
            ),
            (
                mapping,
                "{certificate: {issuerSerial: {issuer: \"CN=a\"}}, identity: {user: u}}",
                "spec.certificate.issuerSerial.serialNumber: Required value",
            ),
            (
                mapping,
                "{certificate: {issuerSerial: {issuer: \"CN=a\", serialNumber: xyz}}, identity: {user: u}}",
                "spec.certificate.issuerSerial.serialNumber: Invalid value",
            ),
            (mapping, "{certificate: {uri: nonsense}, identity: {user: u}}", "spec.certificate.uri: Invalid value"),
            (
                mapping,
                "{certificate: {dns: a}, identity: {user: u}, state: Gone}",
                "spec.state: Unsupported value: \"Gone\"",
            ),
        ];
        let mut wrong = Vec::new();
        for (kind, spec, words) in rows {
            let output = cluster.try_apply(&["--dry-run=server"], &object(kind, &namespace, spec));
            let said = String::from_utf8_lossy(&output.stderr);
            if output.status.success() || !said.contains(words) {
                let shown: String = spec.chars().take(100).collect();
                wrong.push(format!(
                    "{kind} {shown}\n  wanted: {words}\n  found: {}",
                    said.chars().take(600).collect::<String>()
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

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
