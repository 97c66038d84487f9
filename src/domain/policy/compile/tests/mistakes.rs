//! Specs that do not compile: each mistake with its field and its message.

use super::*;

#[test]
fn each_mistake_has_its_field_and_message() {
    use Kind::{CertificateMapping as M, CertificatePolicy as P, TrustProfile as T};
    let hash = "ab".repeat(32);
    let key = Key::new();
    let two = format!("{}{}", pem(&Template::default().der(&key, &key)), pem(&Template::ca().der(&key, &key)));
    let truncated = pem(&Template::default().der(&key, &key)[..100]);
    let anchors = |source: Value| json!({"trustAnchors": [source]});
    let headers = |patch: Value| policy(json!({"response": {"headers": patch}}));
    let denial = |patch: Value| policy(json!({"response": {"denial": patch}}));
    let evidence = |source: Value| policy(json!({"evidence": [source]}));
    let serial = |text: &str| named(json!({"issuerSerial": {"issuer": "CN=a", "serialNumber": text}}));
    let long = "x".repeat(2049);
    let rows: Vec<(Kind, Value, &str, &str)> = vec![
        (P, policy(json!({"trustRef": {"name": "Partners"}})), "spec.trustRef.name", "\"Partners\" is not a name"),
        (
            P,
            policy(json!({"trustRef": {"name": "a", "namespace": "a.b"}})),
            "spec.trustRef.namespace",
            "not a namespace",
        ),
        (P, matched(json!({"hosts": ["https://a.example"]})), "spec.match[1].hosts[0]", "no scheme, path or user"),
        (
            P,
            matched(json!({"hosts": ["b\u{fc}cher.example"]})),
            "spec.match[1].hosts[0]",
            "labels that begin with `xn--`",
        ),
        (P, matched(json!({"hosts": ["a.example", "b.example:443"]})), "spec.match[1].hosts[1]", "has no port"),
        (P, matched(json!({"hosts": ["a.*.example"]})), "spec.match[1].hosts[0]", "whole first label"),
        (P, matched(json!({"hosts": ["a..b"]})), "spec.match[1].hosts[0]", "\"a..b\": not a host name: want labels of"),
        (P, matched(json!({"hosts": [""]})), "spec.match[1].hosts[0]", "not a host name: want labels of"),
        (
            P,
            matched(json!({"hosts": ["*.a@b"]})),
            "spec.match[1].hosts[0]",
            "\"*.a@b\": a host has no scheme, path or user",
        ),
        (P, matched(json!({"hosts": ["[::1"]})), "spec.match[1].hosts[0]", "or an IPv6 address in brackets"),
        (P, matched(json!({"hosts": ["[1.2.3.4]"]})), "spec.match[1].hosts[0]", "or an IPv6 address in brackets"),
        (P, matched(json!({"hosts": ["a".repeat(64)]})), "spec.match[1].hosts[0]", "at most 63 characters each"),
        (
            P,
            matched(json!({"paths": [{"prefix": "/a"}, {"exact": "a"}]})),
            "spec.match[1].paths[1].exact",
            "does not begin with `/`",
        ),
        (P, matched(json!({"paths": [{"prefix": "/a/../b"}]})), "spec.match[1].paths[0].prefix", "dot segment"),
        (P, matched(json!({"paths": [{"prefix": "/a?b"}]})), "spec.match[1].paths[0].prefix", "no query"),
        (P, matched(json!({"paths": [{}]})), "spec.match[1].paths[0]", "exactly one of exact, prefix"),
        (P, matched(json!({"paths": [{"exact": "/a", "prefix": "/a"}]})), "spec.match[1].paths[0]", "exactly one"),
        (P, matched(json!({"methods": ["GET", "post"]})), "spec.match[1].methods[1]", "write POST"),
        (P, matched(json!({"methods": ["GET,POST"]})), "spec.match[1].methods[0]", "not a method"),
        (P, policy(json!({"match": vec![json!({"hosts": ["a"]}); 65]})), "spec.match", "65 entries: at most 64"),
        (P, policy(json!({"evidence": []})), "spec.evidence", "the list is empty"),
        (P, evidence(json!({})), "spec.evidence[0]", "exactly one of peerCertificate, xfcc, header"),
        (P, evidence(json!({"xfcc": {"element": 0}})), "spec.evidence[0].xfcc.element", "1 (the right-most)"),
        (P, evidence(json!({"xfcc": {"element": 1, "by": ""}})), "spec.evidence[0].xfcc.by", "not a URI"),
        (P, evidence(json!({"header": {"format": "HAProxy"}})), "spec.evidence[0].header.name", "no usual header"),
        (
            P,
            evidence(json!({"header": {"format": "Nginx", "name": "a b"}})),
            "spec.evidence[0].header.name",
            "not the name of a header",
        ),
        (
            P,
            evidence(json!({"header": {"format": "Nginx", "name": "X-Forwarded-Client-Cert"}})),
            "spec.evidence[0].header.name",
            "use xfcc",
        ),
        (
            P,
            evidence(json!({"header": {"format": "Nginx", "chainName": "c"}})),
            "spec.evidence[0].header.chainName",
            "no header for the chain",
        ),
        (
            P,
            evidence(json!({"header": {"format": "RFC9440", "chainName": "Client-Cert"}})),
            "spec.evidence[0].header.chainName",
            "the same header",
        ),
        (P, policy(json!({"mapping": {}})), "spec.mapping", "nothing is mapped"),
        (
            P,
            policy(
                json!({"mapping": {"oneToOne": [{"certificate": {"dns": "a.example"}, "identity": {"user": "u"}}, {"certificate": {"dns": "A.example."}, "identity": {"user": "v"}}]}}),
            ),
            "spec.mapping.oneToOne[1].certificate",
            "the same certificate as oneToOne[0]",
        ),
        (
            P,
            policy(
                json!({"mapping": {"oneToOne": [{"certificate": {"dns": "*.example"}, "identity": {"user": "u"}}]}}),
            ),
            "spec.mapping.oneToOne[0].certificate.dns",
            "wildcards",
        ),
        (
            M,
            named(
                json!({"issuerSerial": {"issuer": "CN=a", "serialNumber": "1", "issuerSha256": hash, "issuerPublicKeySha256": hash}}),
            ),
            "spec.certificate.issuerSerial",
            "at most one",
        ),
        (
            M,
            named(json!({"issuerSerial": {"issuer": "CN=a", "serialNumber": "1", "issuerSha256": "a"}})),
            "spec.certificate.issuerSerial.issuerSha256",
            "",
        ),
        (
            P,
            part(json!({"field": "DNS", "attribute": null, "value": "b\u{fc}cher.example"})),
            "spec.mapping.rules[0].where[0].value",
            "xn--",
        ),
        (
            P,
            part(json!({"field": "Email", "attribute": null, "value": "*@b\u{fc}cher.example"})),
            "spec.mapping.rules[0].where[0].value",
            "matches nothing",
        ),
        (
            P,
            part(json!({"field": "URI", "attribute": null, "value": "https://b\u{fc}cher.example/*"})),
            "spec.mapping.rules[0].where[0].value",
            "matches nothing",
        ),
        (
            P,
            policy(
                json!({"mapping": {"oneToOne": [{"certificate": {"sha256": hash}, "identity": {"user": "u"}}, {"certificate": {"sha256": hash.to_uppercase()}, "identity": {"user": "v"}}]}}),
            ),
            "spec.mapping.oneToOne[1].certificate",
            "the same certificate as oneToOne[0]",
        ),
        (P, rule(json!({"name": ""})), "spec.mapping.rules[0].name", "is empty"),
        (P, rule(json!({"identity": null})), "spec.mapping.rules[0].identity", "needs an identity"),
        (P, rule(json!({"action": "Deny"})), "spec.mapping.rules[0].identity", "has no identity"),
        (P, rule(json!({"where": []})), "spec.mapping.rules[0].where", "would match every certificate"),
        (
            P,
            rule(json!({"identity": {"user": "u", "groups": ["a", "b,c"]}})),
            "spec.mapping.rules[0].identity.groups[1]",
            "holds a comma",
        ),
        (P, part(json!({"attribute": null})), "spec.mapping.rules[0].where[0].attribute", "an attribute is wanted"),
        (P, part(json!({"attribute": "Company"})), "spec.mapping.rules[0].where[0].attribute", "Company"),
        (
            P,
            part(json!({"field": "URI"})),
            "spec.mapping.rules[0].where[0].attribute",
            "only fields Subject and Issuer",
        ),
        (
            P,
            part(json!({"field": "DNS", "attribute": null, "value": "a.example."})),
            "spec.mapping.rules[0].where[0].value",
            "without the last dot",
        ),
        (P, part(json!({"value": ""})), "spec.mapping.rules[0].where[0].value", "empty"),
        (P, part(json!({"value": "a\\b"})), "spec.mapping.rules[0].where[0].value", "escape"),
        (P, part(json!({"value": "Contoso\n"})), "spec.mapping.rules[0].where[0].value", "control character"),
        (P, part(json!({"value": long})), "spec.mapping.rules[0].where[0].value", "2049 bytes"),
        (P, headers(json!({"user": "a b"})), "spec.response.headers.user", "not the name of a header"),
        (P, headers(json!({"user": ":authority"})), "spec.response.headers.user", "pseudo-header"),
        (P, headers(json!({"groups": "Host"})), "spec.response.headers.groups", "reserved"),
        (P, headers(json!({"uid": "X-Envoy-Foo"})), "spec.response.headers.uid", "reserved"),
        (P, headers(json!({"uid": "x-certgate-groups"})), "spec.response.headers.uid", "carries something else"),
        (
            P,
            headers(json!({"extra": {"tier": "X-Certgate-User"}})),
            "spec.response.headers.extra.tier",
            "carries something else",
        ),
        (
            P,
            policy(
                json!({"evidence": [{"header": {"format": "Nginx"}}], "response": {"headers": {"user": "ssl-client-cert"}}}),
            ),
            "spec.response.headers.user",
            "reads the certificate",
        ),
        (P, denial(json!({"status": 200})), "spec.response.denial.status", "200 is no status of a denial"),
        (
            P,
            denial(json!({"missingCertificateStatus": 70_000})),
            "spec.response.denial.missingCertificateStatus",
            "want 400 to 599",
        ),
        (T, anchors(json!({})), "spec.trustAnchors[0]", "exactly one of configMap"),
        (T, anchors(json!({"inline": "x", "file": "/x"})), "spec.trustAnchors[0]", "exactly one of configMap"),
        (T, anchors(json!({"inline": "hello"})), "spec.trustAnchors[0].inline", "BEGIN CERTIFICATE"),
        (T, anchors(json!({"inline": truncated})), "spec.trustAnchors[0].inline", "certificate 1"),
        (T, anchors(json!({"configMap": {"name": "A_b"}})), "spec.trustAnchors[0].configMap.name", "not a name"),
        (
            T,
            anchors(json!({"secret": {"name": "a", "key": ""}})),
            "spec.trustAnchors[0].secret.key",
            "the key is empty",
        ),
        (
            T,
            anchors(json!({"clusterTrustBundle": {"name": ""}})),
            "spec.trustAnchors[0].clusterTrustBundle.name",
            "empty",
        ),
        (
            T,
            anchors(json!({"clusterTrustBundle": {}})),
            "spec.trustAnchors[0].clusterTrustBundle",
            "want exactly one of name, signerName",
        ),
        (
            T,
            anchors(json!({"clusterTrustBundle": {"signerName": "acme.example/b"}})),
            "spec.trustAnchors[0].clusterTrustBundle.labelSelector",
            "`{}` selects all",
        ),
        (
            T,
            anchors(json!({"clusterTrustBundle": {"name": "a", "labelSelector": {}}})),
            "spec.trustAnchors[0].clusterTrustBundle.labelSelector",
            "with signerName only",
        ),
        (
            T,
            anchors(json!({"clusterTrustBundle": {"signerName": "nobody", "labelSelector": {}}})),
            "spec.trustAnchors[0].clusterTrustBundle.signerName",
            "domain/path",
        ),
        (T, anchors(json!({"file": ""})), "spec.trustAnchors[0].file", "not the path of a file"),
        (T, json!({"issuingAuthorities": []}), "spec.issuingAuthorities", "the list is empty"),
        (
            T,
            json!({"trustList": [{"sha256": hash}, {"sha256": "abcd"}]}),
            "spec.trustList[1].sha256",
            "64 hexadecimal digits",
        ),
        (T, json!({"disallowed": [{"sha256": "xx"}]}), "spec.disallowed[0].sha256", "64 hexadecimal digits"),
        (T, json!({"disallowed": [{"publicKeySha256": "xx"}]}), "spec.disallowed[0].publicKeySha256", "64 hexa"),
        (T, json!({"disallowed": [{}]}), "spec.disallowed[0]", "want exactly one of sha256, publicKeySha256"),
        (
            T,
            json!({"disallowed": [{"sha256": hash, "publicKeySha256": hash}]}),
            "spec.disallowed[0]",
            "want exactly one of sha256, publicKeySha256",
        ),
        (T, json!({"trustedPeers": [{"publicKeySha256": "xx"}]}), "spec.trustedPeers[0].publicKeySha256", "64 hexa"),
        (
            T,
            json!({"trustedPeers": [{"file": "a"}, {"publicKeySha256": hash, "file": "a"}]}),
            "spec.trustedPeers[1]",
            "want either publicKeySha256 or a place",
        ),
        (T, json!({"requirements": {"minimumRsaBits": 1024}}), "spec.requirements.minimumRsaBits", "want 2048"),
        (T, json!({"requirements": {"maxPathLength": -1}}), "spec.requirements.maxPathLength", "out of range"),
        (
            T,
            wants(json!({"minimumRsaBits": 1024})),
            "spec.requirements.minimumRsaBits",
            "needs weakCryptography: [AcceptRsaBelow2048]",
        ),
        (T, weak_rsa(json!({})), "spec.requirements.weakCryptography[0]", "needs minimumRsaBits, from 1024 to 2047"),
        (
            T,
            weak_rsa(json!({"minimumRsaBits": 3072})),
            "spec.requirements.weakCryptography[0]",
            "contradicts minimumRsaBits 3072",
        ),
        (
            T,
            weak_rsa(json!({"minimumRsaBits": 1023})),
            "spec.requirements.minimumRsaBits",
            "1023 is out of range: want 1024",
        ),
        (
            T,
            wants(json!({"weakCryptography": ["AcceptSha1Signatures", "AcceptSha1Signatures"]})),
            "spec.requirements.weakCryptography[1]",
            "AcceptSha1Signatures is listed twice",
        ),
        (
            T,
            wants(json!({"allowedSignatureAlgorithms": []})),
            "spec.requirements.allowedSignatureAlgorithms",
            "the list is empty",
        ),
        (
            T,
            wants(json!({"allowedSignatureAlgorithms": ["EcdsaSha1"]})),
            "spec.requirements.allowedSignatureAlgorithms[0]",
            "EcdsaSha1 uses SHA-1 and needs weakCryptography",
        ),
        (
            T,
            wants(json!({"allowedSignatureAlgorithms": ["Ed25519", "Ed25519"]})),
            "spec.requirements.allowedSignatureAlgorithms[1]",
            "Ed25519 is listed twice",
        ),
        (
            T,
            wants(json!({"allowedSignatureAlgorithms": ["Ed25519"], "weakCryptography": ["AcceptSha1Signatures"]})),
            "spec.requirements.allowedSignatureAlgorithms",
            "no algorithm with SHA-1 is listed here",
        ),
        (
            T,
            policies(json!({"initialPolicySet": []})),
            "spec.requirements.certificatePolicies.initialPolicySet",
            "the list is empty",
        ),
        (
            T,
            policies(json!({"initialPolicySet": ["1.2.3", "gold"]})),
            "spec.requirements.certificatePolicies.initialPolicySet[1]",
            "not a dotted object identifier",
        ),
        (
            T,
            policies(json!({"initialPolicySet": ["2.5.29.32.0"]})),
            "spec.requirements.certificatePolicies.initialPolicySet[0]",
            "anyPolicy makes every policy count",
        ),
        (
            T,
            policies(json!({"initialPolicySet": ["1.2.3", "1.2.3"]})),
            "spec.requirements.certificatePolicies.initialPolicySet[1]",
            "listed twice",
        ),
        (
            T,
            policies(json!({"initialPolicySet": (0..65).map(|n| format!("1.2.{n}")).collect::<Vec<_>>()})),
            "spec.requirements.certificatePolicies.initialPolicySet",
            "at most 64",
        ),
        (T, offline(json!({"maxAge": "1d"})), "spec.revocation.maxAge", "not a duration such as"),
        (T, offline(json!({"maxAge": "0"})), "spec.revocation.maxAge", "out of range"),
        (T, offline(json!({"maxAge": "1500ms"})), "spec.revocation.maxAge", "want whole seconds"),
        (T, offline(json!({"clockSkew": "25h"})), "spec.revocation.clockSkew", "out of range: want 0s to 24h"),
        (T, offline(json!({"crls": [{}]})), "spec.revocation.crls[0]", "exactly one of"),
        (T, offline(json!({"crls": [{"file": "a", "inline": "b"}]})), "spec.revocation.crls[0]", "exactly one of"),
        (T, offline(json!({"crls": [{"inline": "x"}]})), "spec.revocation.crls[0].inline", "X509 CRL"),
        (T, offline(json!({"crls": [{"file": "a"}, {"file": ""}]})), "spec.revocation.crls[1].file", "not the path"),
        (T, offline(json!({"crls": [{"secret": {"name": "X y"}}]})), "spec.revocation.crls[0].secret.name", "X y"),
        (T, json!({"revocation": {"mode": "NoCheck", "maxAge": "x"}}), "spec.revocation.maxAge", "not a duration"),
        (T, json!({"allowedNamespaces": {"from": "Selector"}}), "spec.allowedNamespaces.selector", "needs a selector"),
        (T, json!({"allowedNamespaces": {"from": "All", "selector": {}}}), "spec.allowedNamespaces.selector", "only"),
        (M, named(json!({})), "spec.certificate", "0 names are given"),
        (M, named(json!({"dns": "a", "uri": "urn:a"})), "spec.certificate", "2 names are given"),
        (M, named(json!({"sha256": "a".repeat(40)})), "spec.certificate.sha256", "64 hexadecimal digits"),
        (M, named(json!({"publicKeySha256": ""})), "spec.certificate.publicKeySha256", "64 hexadecimal digits"),
        (M, named(json!({"inline": "x"})), "spec.certificate.inline", "BEGIN CERTIFICATE"),
        (M, named(json!({"inline": two})), "spec.certificate.inline", "2 certificates"),
        (M, named(json!({"uri": "acme"})), "spec.certificate.uri", "want a scheme"),
        (M, named(json!({"uri": "urn:a b"})), "spec.certificate.uri", "holds a blank"),
        (M, named(json!({"userPrincipalName": ""})), "spec.certificate.userPrincipalName", "empty"),
        (M, named(json!({"dns": "*.example"})), "spec.certificate.dns", "wildcards"),
        (M, named(json!({"dns": "b\u{fc}cher.example"})), "spec.certificate.dns", "not ASCII"),
        (M, named(json!({"email": "bob"})), "spec.certificate.email", "not an e-mail address"),
        (M, named(json!({"subject": ""})), "spec.certificate.subject", "empty"),
        (M, named(json!({"subject": "no equals sign"})), "spec.certificate.subject", ""),
        (
            M,
            named(json!({"issuerSerial": {"issuer": "Foo=1", "serialNumber": "1"}})),
            "spec.certificate.issuerSerial.issuer",
            "",
        ),
        (M, serial("0"), "spec.certificate.issuerSerial.serialNumber", "not a serial number"),
        (M, serial("0x12"), "spec.certificate.issuerSerial.serialNumber", "not a serial number"),
        (M, serial("1:23"), "spec.certificate.issuerSerial.serialNumber", "not a serial number"),
        (M, serial(&"11".repeat(21)), "spec.certificate.issuerSerial.serialNumber", "not a serial number"),
        (M, identity(json!({"user": ""})), "spec.identity.user", "is empty"),
        (M, identity(json!({"user": "a\r\nx: y"})), "spec.identity.user", "control character"),
        (M, identity(json!({"user": "a\u{85}"})), "spec.identity.user", "control character"),
        (M, identity(json!({"user": " a"})), "spec.identity.user", "blank"),
        (M, identity(json!({"user": "x".repeat(1025)})), "spec.identity.user", "longer than 1024"),
        (M, identity(json!({"uid": ""})), "spec.identity.uid", "is empty"),
        (M, identity(json!({"groups": ["a", ""]})), "spec.identity.groups[1]", "is empty"),
        (M, identity(json!({"extra": {"a.b/c": []}})), "spec.identity.extra[\"a.b/c\"]", "no values"),
        (M, identity(json!({"extra": {"tier": ["a,b"]}})), "spec.identity.extra.tier[0]", "comma"),
        (M, identity(json!({"extra": {"": ["a"]}})), "spec.identity.extra[\"\"]", "the key is empty"),
    ];
    assert!(rows.len() > 80);
    for (kind, spec, path, fragment) in rows {
        let errors = report(kind, &meta(), &spec).errors;
        let [error] = errors.as_slice() else { panic!("{path}: want one error, got {errors:?}") };
        assert_eq!(error.path, path, "{}", error.message);
        assert!(error.message.contains(fragment), "{path}: {:?} lacks {fragment:?}", error.message);
        assert!(!error.message.contains(char::is_control), "{path}: {:?}", error.message);
    }
}

#[test]
fn joined_lists_have_a_length() {
    let groups: Vec<String> = (0..9).map(|n| format!("{n}{}", "x".repeat(1000))).collect();
    let errors = report(Kind::CertificateMapping, &meta(), &identity(json!({"groups": groups}))).errors;
    assert_eq!(errors, [FieldError::new("spec.identity.groups", "9018 bytes when joined: at most 8192 are allowed")]);
}

#[test]
fn all_errors_come_at_once() {
    let spec = json!({
        "match": [{"hosts": ["a b"], "paths": [{"exact": "x"}], "methods": ["get"]}],
        "evidence": [{}],
        "trustRef": {"name": "", "namespace": ""},
        "mapping": {"rules": [
            {"name": "a", "action": "Deny", "where": [{"field": "Subject", "value": ""}, {"field": "DNS", "attribute": "CN", "value": "\\"}]},
            {"name": "a", "action": "Allow", "where": [], "identity": {"user": "", "groups": [","]}},
        ]},
        "response": {"headers": {"user": "host", "groups": "te"}, "denial": {"status": 1}},
    });
    let bad_meta = ObjectMeta { name: "It".into(), namespace: "-".into(), ..ObjectMeta::default() };
    let paths: Vec<String> =
        report(Kind::CertificatePolicy, &bad_meta, &spec).errors.into_iter().map(|error| error.path).collect();
    assert_eq!(
        paths,
        [
            "metadata.name",
            "metadata.namespace",
            "spec.match[0].hosts[0]",
            "spec.match[0].paths[0].exact",
            "spec.match[0].methods[0]",
            "spec.evidence[0]",
            "spec.trustRef.name",
            "spec.trustRef.namespace",
            "spec.mapping.rules[0].where[0].attribute",
            "spec.mapping.rules[0].where[0].value",
            "spec.mapping.rules[0].where[1].attribute",
            "spec.mapping.rules[0].where[1].value",
            "spec.mapping.rules[1].name",
            "spec.mapping.rules[1].identity.user",
            "spec.mapping.rules[1].identity.groups[0]",
            "spec.mapping.rules[1].where",
            "spec.response.headers.user",
            "spec.response.headers.groups",
            "spec.response.denial.status",
        ]
    );
}
