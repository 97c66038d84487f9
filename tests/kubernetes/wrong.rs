//! Bad input: for each kind, objects that are wrong, who refuses them, and in what words.
//!
//! Those that the definitions refuse are refused everywhere; those that are left to the webhook pass where it is not asked,
//! and are refused where it is. Nothing is stored: the API server is asked to try.

use std::process::Output;
use std::sync::Arc;

use certgate::domain::api::Kind;
use certgate::domain::api::Kind::{CertificateMapping as Mapping, CertificatePolicy as Policy, TrustProfile as Trust};

use certgate::kubernetes::api::collection_path;

use crate::admission::{Webhook, named, words};
use crate::cluster::Cluster;
use crate::with_cluster;
use certgate_harness::pki::Pki;
use certgate_harness::policies::indent;

/// Who refuses.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum By {
    /// The API server, before it looks at the kind: the text cannot be read. (kubectl itself takes the last of two equal
    /// keys, so these are sent as they are.)
    Reading,
    /// The schema of the definition: types, words, ranges, formats, what is not known.
    Schema,
    /// A rule (CEL) of the definition.
    Rule,
    /// The webhook.
    Webhook,
}
use By::{Reading, Rule, Schema, Webhook as Hook};

const SHA: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

type Row = (Kind, By, String, &'static str);

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |kind: Kind, by: By, spec: &str, words: &'static str| rows.push((kind, by, spec.to_owned(), words));

    // Trust profiles.
    add(Trust, Schema, "{mode: Perhaps}", "spec.mode: Unsupported value: \"Perhaps\"");
    add(Trust, Schema, "{anchors: []}", "unknown field \"spec.anchors\"");
    add(Trust, Reading, r#"{"mode": "Chain", "mode": "Peer"}"#, "duplicate field \"spec.mode\"");
    add(
        Trust,
        Rule,
        "{trustAnchors: [{}]}",
        "spec.trustAnchors[0]: Invalid value: want exactly one of configMap, secret",
    );
    add(
        Trust,
        Rule,
        "{trustAnchors: [{configMap: {name: a}, secret: {name: b}}]}",
        "spec.trustAnchors[0]: Invalid value: want exactly one of",
    );
    add(
        Trust,
        Rule,
        "{trustAnchors: [{configMap: {name: Roots}}]}",
        "spec.trustAnchors[0].configMap.name: Invalid value: \"Roots\": not the name of an object: want lower-case letters",
    );
    add(
        Trust,
        Rule,
        "{trustAnchors: [{configMap: {name: roots, key: ca/crt}}]}",
        "spec.trustAnchors[0].configMap.key: Invalid value: \"ca/crt\": not a key of a ConfigMap or Secret",
    );
    add(
        Trust,
        Rule,
        "{trustAnchors: [{clusterTrustBundle: {signerName: roots, labelSelector: {}}}]}",
        "spec.trustAnchors[0].clusterTrustBundle.signerName: Invalid value: \"roots\": not the name of a signer",
    );
    add(Trust, Schema, "{trustAnchors: [{configMap: {}}]}", "spec.trustAnchors[0].configMap.name: Required value");
    add(
        Trust,
        Schema,
        "{trustAnchors: [{inline: \"-----BEGIN PRIVATE KEY-----\"}]}",
        "spec.trustAnchors[0].inline: Invalid value",
    );
    add(Trust, Schema, "{trustAnchors: [{inline: \"\"}]}", "spec.trustAnchors[0].inline: Invalid value");
    add(Trust, Schema, "{issuingAuthorities: []}", "spec.issuingAuthorities: Invalid value: 0");
    add(
        Trust,
        Rule,
        "{issuingAuthorities: [{sha256: abc}]}",
        "spec.issuingAuthorities[0].sha256: Invalid value: \"abc\": not a SHA-256: want 64 hexadecimal digits",
    );
    add(Trust, Rule, &format!("{{disallowed: [{{sha256: \"{SHA}00\"}}]}}"), "want 64 hexadecimal digits");
    add(Trust, Schema, "{disallowed: [abc]}", "spec.disallowed[0]: Invalid value: \"string\"");
    add(
        Trust,
        Schema,
        "{requirements: {minimumRsaBits: many}}",
        "spec.requirements.minimumRsaBits: Invalid value: \"string\"",
    );
    add(Trust, Schema, "{requirements: {maxPathLength: -1}}", "spec.requirements.maxPathLength: Invalid value: -1");
    add(
        Trust,
        Rule,
        "{allowedNamespaces: {from: Selector}}",
        "spec.allowedNamespaces: Invalid value: selector is given with",
    );
    add(
        Trust,
        Rule,
        "{allowedNamespaces: {selector: {matchLabels: {a: b}}}}",
        "spec.allowedNamespaces: Invalid value: selector is given with",
    );
    add(
        Trust,
        Schema,
        &format!("{{disallowed: [{}]}}", format!("{{sha256: \"{SHA}\"}},").repeat(10_001)),
        "spec.disallowed: Too many: 10001",
    );
    add(Trust, Hook, "{revocation: {mode: Offline, maxAge: 0s}}", "spec.revocation.maxAge: ");
    add(Trust, Hook, "{revocation: {mode: Offline, clockSkew: 48h}}", "spec.revocation.clockSkew: ");
    let inline = |pem: &str| format!("\n  trustAnchors:\n  - inline: |\n{}", indent(pem, 6));
    let begin = "-----BEGIN CERTIFICATE-----";
    add(
        Trust,
        Hook,
        &inline(&format!("{begin}\nnonsense!\n-----END CERTIFICATE-----")),
        "spec.trustAnchors[0].inline: ",
    );
    add(
        Trust,
        Hook,
        &inline(&format!("{begin}\nMAMBAf8=\n-----END CERTIFICATE-----")),
        "spec.trustAnchors[0].inline: certificate 1 (line 1): ",
    );
    add(Trust, Hook, &inline(begin), "spec.trustAnchors[0].inline: ");
    let client = Pki::new().client("acme");
    let key_behind = format!("{}{}", client.pem(), client.key_pem());
    add(Trust, Hook, &inline(&key_behind), "spec.trustAnchors[0].inline: ");

    add(
        Trust,
        Rule,
        "{requirements: {minimumRsaBits: 1024}}",
        "spec.requirements: Invalid value: minimumRsaBits below 2048 needs weakCryptography: [AcceptRsaBelow2048]",
    );
    add(Trust, Schema, "{requirements: {minimumRsaBits: 512}}", "spec.requirements.minimumRsaBits: Invalid value: 512");
    add(
        Trust,
        Rule,
        "{requirements: {minimumRsaBits: 4096, weakCryptography: [AcceptRsaBelow2048]}}",
        "spec.requirements: Invalid value: weakCryptography AcceptRsaBelow2048 needs minimumRsaBits",
    );
    add(
        Trust,
        Rule,
        "{requirements: {weakCryptography: [AcceptRsaBelow2048]}}",
        "spec.requirements: Invalid value: weakCryptography AcceptRsaBelow2048 needs minimumRsaBits",
    );
    add(
        Trust,
        Schema,
        "{requirements: {weakCryptography: [AcceptMd5]}}",
        "spec.requirements.weakCryptography[0]: Unsupported value: \"AcceptMd5\"",
    );
    add(
        Trust,
        Schema,
        "{requirements: {weakCryptography: [AcceptSha1Signatures, AcceptSha1Signatures]}}",
        "spec.requirements.weakCryptography[1]: Duplicate value: \"AcceptSha1Signatures\"",
    );
    add(
        Trust,
        Rule,
        "{requirements: {allowedSignatureAlgorithms: [EcdsaSha1]}}",
        "spec.requirements: Invalid value: a signature algorithm with SHA-1 needs weakCryptography",
    );
    add(
        Trust,
        Rule,
        "{requirements: {allowedSignatureAlgorithms: [Ed25519], weakCryptography: [AcceptSha1Signatures]}}",
        "spec.requirements: Invalid value: weakCryptography has AcceptSha1Signatures, but",
    );
    add(
        Trust,
        Schema,
        "{requirements: {allowedSignatureAlgorithms: []}}",
        "spec.requirements.allowedSignatureAlgorithms: Invalid value: 0",
    );
    add(
        Trust,
        Schema,
        "{requirements: {minimumEcdsaCurve: P-384}}",
        "spec.requirements.minimumEcdsaCurve: Unsupported value: \"P-384\"",
    );
    add(
        Trust,
        Schema,
        "{requirements: {certificatePolicies: {explicitPolicy: true}}}",
        "spec.requirements.certificatePolicies.explicitPolicy: Invalid value: \"boolean\"",
    );
    add(
        Trust,
        Schema,
        "{requirements: {certificatePolicies: {initialPolicySet: []}}}",
        "spec.requirements.certificatePolicies.initialPolicySet: Invalid value: 0",
    );
    add(
        Trust,
        Rule,
        "{requirements: {certificatePolicies: {initialPolicySet: [gold]}}}",
        "spec.requirements.certificatePolicies.initialPolicySet[0]: Invalid value: \"gold\": not an object identifier",
    );
    add(
        Trust,
        Rule,
        "{requirements: {certificatePolicies: {initialPolicySet: [2.5.29.32.0]}}}",
        "spec.requirements.certificatePolicies.initialPolicySet: Invalid value: anyPolicy makes every policy",
    );
    add(Trust, Schema, "{revocation: {}}", "spec.revocation.mode: Required value");
    add(Trust, Schema, "{revocation: {mode: Online}}", "spec.revocation.mode: Unsupported value: \"Online\"");
    add(
        Trust,
        Schema,
        "{revocation: {mode: Offline, onUnknown: Ignore}}",
        "spec.revocation.onUnknown: Unsupported value: \"Ignore\"",
    );
    add(
        Trust,
        Schema,
        "{revocation: {mode: Offline, scope: Root}}",
        "spec.revocation.scope: Unsupported value: \"Root\"",
    );
    add(
        Trust,
        Schema,
        "{revocation: {mode: Offline, maxAge: 24}}",
        "spec.revocation.maxAge: Invalid value: \"integer\"",
    );
    add(
        Trust,
        Rule,
        "{revocation: {mode: Offline, crls: [{}]}}",
        "spec.revocation.crls[0]: Invalid value: want exactly one of configMap",
    );
    add(
        Trust,
        Rule,
        "{revocation: {mode: Offline, crls: [{file: a, secret: {name: b}}]}}",
        "spec.revocation.crls[0]: Invalid value: want exactly one of configMap",
    );
    add(
        Trust,
        Schema,
        "{revocation: {mode: Offline, crls: [{inline: \"-----BEGIN CERTIFICATE-----\"}]}}",
        "spec.revocation.crls[0].inline: Invalid value",
    );
    add(
        Trust,
        Schema,
        "{revocation: {mode: Offline, crls: [{url: \"http://crl.example/ca.crl\"}]}}",
        "unknown field \"spec.revocation.crls[0].url\"",
    );

    // Policies.
    let policy = |rest: &str| format!("{{trustRef: {{name: p}}, {rest}}}");
    let rule = |rest: &str| policy(&format!("mapping: {{rules: [{{name: r, action: Deny, {rest}}}]}}"));
    add(Policy, Schema, "{}", "spec.trustRef: Required value");
    let host = |text: &str| policy(&format!("match: [{{hosts: [\"{text}\"]}}]"));
    let port = ": a host has no scheme and no port here: the request's port is ignored";
    add(Policy, Rule, &host("api.example.com:8443"), port);
    add(Policy, Rule, &host("https://api.example.com"), port);
    add(Policy, Rule, &host("[::1]:443"), port);
    let name_alone = ": a host has no path and no user here: write the name alone";
    for text in ["api.example.com/v1", "*.a@b", "user@api.example.com"] {
        add(Policy, Rule, &host(text), name_alone);
    }
    for text in ["a b", "аpple.example", "a,b", "a(b", "x[::1]", "${HOST}.example", "*.[::1]"] {
        add(Policy, Rule, &host(text), ": a host has ASCII letters, digits, `-`, `_` and dots only: write other names");
    }
    let wildcard = ": `*` must be the whole first label, as in `*.example.com`";
    for text in ["*admin.example", "a.*.example", "*.*.example", "a*", "**"] {
        add(Policy, Rule, &host(text), wildcard);
    }
    let labels = ": want a name with labels of 1 to 63 characters between its dots, and of 253 characters in all";
    let long_label = format!("api.{}.example", "a".repeat(64));
    let long_name = format!("{}a", "a.".repeat(127));
    for text in ["a..b", "", ".", ".a", "*.", "*..a", "a..", &long_label, &format!("*.{}", "a".repeat(64)), &long_name]
    {
        add(Policy, Rule, &host(text), labels);
    }
    for text in ["[::1", "[]", "[::1]x", "[zz::1]", "[::1%25eth0]"] {
        add(Policy, Rule, &host(text), ": in brackets stands an IPv6 address and nothing else, as in `[2001:db8::1]`");
    }
    add(
        Policy,
        Rule,
        &host("[1.2.3.4]"),
        ": in brackets stands an IPv6 address: write an IPv4 address without brackets",
    );
    // What only the webhook can tell.
    add(Policy, Hook, &host("[1::2::3]"), "spec.match[0].hosts[0]: \"[1::2::3]\": not a host name");
    add(Policy, Schema, &policy("match: [{hosts: [a, a]}]"), "spec.match[0].hosts[1]: Duplicate value");
    add(
        Policy,
        Rule,
        &policy("match: [{paths: [{}]}]"),
        "spec.match[0].paths[0]: Invalid value: want exactly one of exact, prefix",
    );
    add(
        Policy,
        Rule,
        &policy("match: [{paths: [{prefix: v1}]}]"),
        "spec.match[0].paths[0].prefix: Invalid value: \"v1\": a path begins with `/`",
    );
    add(
        Policy,
        Schema,
        &policy("match: [{paths: [{prefix: /v1, case: Insensitive}]}]"),
        "spec.match[0].paths[0].case: Unsupported value: \"Insensitive\"",
    );
    add(
        Policy,
        Rule,
        &policy("match: [{methods: [\"GET POST\"]}]"),
        "spec.match[0].methods[0]: Invalid value: \"GET POST\": not a method: want one, such as GET",
    );
    add(
        Policy,
        Rule,
        "{trustRef: {name: Partners}}",
        "spec.trustRef.name: Invalid value: \"Partners\": not the name of an object",
    );
    add(
        Policy,
        Rule,
        "{trustRef: {name: p, namespace: a.b}}",
        "spec.trustRef.namespace: Invalid value: \"a.b\": not the name of a namespace",
    );
    add(
        Policy,
        Rule,
        &policy("evidence: [{header: {format: HAProxy, name: \"x cert\"}}]"),
        "spec.evidence[0].header.name: Invalid value: \"x cert\": not the name of a header",
    );
    add(
        Policy,
        Rule,
        &policy("mapping: {rules: [{name: \"\", action: Deny, where: [{field: DNS, value: a}]}]}"),
        "spec.mapping.rules[0].name: Invalid value: \"\": empty, or with control characters",
    );
    add(Policy, Schema, &policy("evidence: []"), "spec.evidence: Invalid value: 0");
    add(
        Policy,
        Rule,
        &policy("evidence: [{}]"),
        "spec.evidence[0]: Invalid value: want exactly one of peerCertificate",
    );
    add(Policy, Schema, &policy("evidence: [{xfcc: {element: 0}}]"), "spec.evidence[0].xfcc.element: Invalid value: 0");
    add(
        Policy,
        Rule,
        &policy("evidence: [{header: {format: HAProxy}}]"),
        "spec.evidence[0].header: Invalid value: format HAProxy",
    );
    add(Policy, Rule, &policy("evidence: [{header: {format: Nginx, chainName: c}}]"), "chainName goes with");
    add(Policy, Rule, &policy("mapping: {}"), "spec.mapping: Invalid value: nothing is mapped");
    add(
        Policy,
        Rule,
        &policy("mapping: {oneToOne: [{certificate: {uri: \"a:b\", dns: a}, identity: {user: u}}]}"),
        "spec.mapping.oneToOne[0].certificate: Invalid value",
    );
    add(
        Policy,
        Rule,
        &policy("mapping: {rules: [{name: r, action: Allow, where: [{field: DNS, value: a}]}]}"),
        "spec.mapping.rules[0]: Invalid value: a rule that allows needs an identity",
    );
    add(Policy, Schema, &rule("where: []"), "spec.mapping.rules[0].where: Invalid value: 0");
    add(
        Policy,
        Rule,
        &rule("where: [{field: Subject, value: a}]"),
        "spec.mapping.rules[0].where[0]: Invalid value: the fields Subject and Issuer",
    );
    add(
        Policy,
        Rule,
        &rule("where: [{field: DNS, attribute: CN, value: a}]"),
        "spec.mapping.rules[0].where[0]: Invalid value: the fields",
    );
    let many = "{name: r, action: Deny, where: [{field: DNS, value: a}]},".repeat(10_000);
    add(
        Policy,
        Schema,
        &policy(&format!("mapping: {{rules: [{many}]}}")),
        "spec.mapping.rules: Too many: 10000: must have at most 1000 items",
    );
    add(
        Policy,
        Schema,
        &rule(&format!("where: [{{field: DNS, value: {}}}]", "a".repeat(1 << 20))),
        "spec.mapping.rules[0].where[0].value: Too long: may not be more than 2048",
    );
    add(
        Policy,
        Schema,
        &policy("response: {denial: {status: 200}}"),
        "spec.response.denial.status: Invalid value: 200",
    );
    add(
        Policy,
        Rule,
        &policy("response: {headers: {user: \"x user\"}}"),
        "spec.response.headers.user: Invalid value: \"x user\": not the name of a header",
    );
    add(
        Policy,
        Reading,
        r#"{"trustRef": {"name": "p"}, "trustRef": {"name": "q"}}"#,
        "duplicate field \"spec.trustRef\"",
    );
    add(
        Policy,
        Hook,
        &rule("where: [{field: DNS, value: 'a\\b'}]"),
        "spec.mapping.rules[0].where[0].value: the escape `\\b` does not exist",
    );
    add(
        Policy,
        Hook,
        &rule("where: [{field: Subject, attribute: NOPE, value: a}]"),
        "spec.mapping.rules[0].where[0].attribute: ",
    );
    add(
        Policy,
        Hook,
        &rule("where: [{field: DNS, value: a.}]"),
        "spec.mapping.rules[0].where[0].value: \"a.\": write DNS names without the last dot",
    );
    add(Policy, Hook, &policy("match: [{paths: [{prefix: /a/../b}]}]"), "spec.match[0].paths[0].prefix: ");
    add(
        Policy,
        Hook,
        &policy("match: [{methods: [get]}]"),
        "spec.match[0].methods[0]: \"get\": methods are case-sensitive: write GET",
    );
    let twice = format!(
        "{{certificate: {{sha256: \"{SHA}\"}}, identity: {{user: u}}}}, {{certificate: {{sha256: \"{SHA}\"}}, identity: {{user: v}}}}"
    );
    add(
        Policy,
        Hook,
        &policy(&format!("mapping: {{oneToOne: [{twice}]}}")),
        "spec.mapping.oneToOne[1].certificate: the same certificate as oneToOne[0]",
    );
    add(Policy, Hook, "{trustRef: {name: private, namespace: ELSEWHERE}}", "does not allow policies of namespace");

    // Mappings.
    let mapping = |name: &str| format!("{{certificate: {{{name}}}, identity: {{user: u}}}}");
    let identity = |rest: &str| format!("{{certificate: {{uri: \"a:b\"}}, identity: {{{rest}}}}}");
    add(Mapping, Schema, "{identity: {user: u}}", "spec.certificate: Required value");
    add(Mapping, Rule, &mapping(""), "spec.certificate: Invalid value: want exactly one of sha256");
    add(Mapping, Schema, &mapping("sha256: 0, dns: a"), "spec.certificate.sha256: Invalid value: \"integer\"");
    add(
        Mapping,
        Rule,
        &mapping(&format!("sha256: \"{SHA}\", dns: a")),
        "spec.certificate: Invalid value: want exactly one of",
    );
    add(
        Mapping,
        Rule,
        &mapping(&format!("sha256: \"{}\"", &SHA[..63])),
        ": not a SHA-256: want 64 hexadecimal digits, colons allowed between bytes",
    );
    add(
        Mapping,
        Reading,
        r#"{"certificate": {"uri": "a:b", "uri": "a:c"}, "identity": {"user": "u"}}"#,
        "duplicate field \"spec.certificate.uri\"",
    );
    let unfit = ": empty, or with control characters, which no header carries";
    add(Mapping, Rule, &identity("user: \"\""), unfit);
    add(Mapping, Rule, &identity("user: \"a\\nb\""), unfit);
    add(
        Mapping,
        Rule,
        &identity("user: u, groups: [\"a,b\"]"),
        "spec.identity.groups[0]: Invalid value: \"a,b\": empty, or with a comma, which separates the values",
    );
    add(Mapping, Schema, &identity("user: u, groups: a"), "spec.identity.groups: Invalid value: \"string\"");
    add(Mapping, Schema, &identity("user: u, extra: {k: []}"), "spec.identity.extra.k: Invalid value: 0");
    add(Mapping, Schema, &identity(&format!("user: {}", "u".repeat(1 << 20))), "spec.identity.user: Too long");
    add(
        Mapping,
        Schema,
        &mapping("issuerSerial: {issuer: \"CN=a\"}"),
        "spec.certificate.issuerSerial.serialNumber: Required value",
    );
    add(
        Mapping,
        Rule,
        &mapping("issuerSerial: {issuer: \"CN=a\", serialNumber: xyz}"),
        "spec.certificate.issuerSerial.serialNumber: Invalid value: \"xyz\": not a serial number",
    );
    add(
        Mapping,
        Rule,
        &mapping("uri: nonsense"),
        "spec.certificate.uri: Invalid value: \"nonsense\": not a URI: want a scheme, a colon",
    );
    add(
        Mapping,
        Schema,
        "{certificate: {uri: \"a:b\"}, identity: {user: u}, state: Gone}",
        "spec.state: Unsupported value: \"Gone\"",
    );
    add(Mapping, Hook, &mapping("dns: \"*.a\""), "spec.certificate.dns: a mapping names one host");
    add(Mapping, Hook, &mapping("email: \"a@\""), "spec.certificate.email: \"a@\" is not an e-mail address");
    add(Mapping, Hook, &mapping("subject: \"CN\""), "spec.certificate.subject: ");
    add(
        Mapping,
        Hook,
        &mapping("issuerSerial: {issuer: \"nonsense\", serialNumber: ab}"),
        "spec.certificate.issuerSerial.issuer: ",
    );
    add(
        Mapping,
        Hook,
        &mapping("issuerSerial: {issuer: \"CN=a\", serialNumber: \"00\"}"),
        "spec.certificate.issuerSerial.serialNumber: \"00\" is not a serial number",
    );
    let two =
        format!("\n  identity: {{user: u}}\n  certificate:\n    inline: |\n{}", indent(&client.pem().repeat(2), 6));
    add(Mapping, Hook, &two, "spec.certificate.inline: 2 certificates: want exactly one");
    add(
        Mapping,
        Hook,
        "{certificate: {uri: \"taken:a\"}, identity: {user: other}}",
        "maps the same certificate to another identity",
    );
    add(Mapping, Rule, &mapping("uri: \"spiffe://exаmple.org/a\""), ": not a URI: want a scheme, a colon");
    add(Mapping, Hook, &mapping("dns: \"аpple.example\""), "is not ASCII: write it as in the certificate");
    add(Mapping, Hook, &mapping("email: \"аdmin@example.com\""), "is not ASCII: write it as in the certificate");
    rows
}

/// Sends an object as it is, without kubectl reading it.
fn send(cluster: &Cluster, kind: Kind, namespace: &str, spec: &str) -> Output {
    let text = format!(
        r#"{{"apiVersion": "certgate.dev/v1alpha1", "kind": "{kind}", "metadata": {{"name": "wrong"}}, "spec": {spec}}}"#
    );
    let file = cluster.directory().join("raw.json");
    std::fs::write(&file, text).unwrap();
    let path = format!("{}?dryRun=All&fieldValidation=Strict", collection_path(kind, Some(namespace)));
    cluster.try_kubectl(&["create", "--raw", &path, "-f", file.to_str().unwrap()])
}

#[test]
fn every_wrong_object_is_refused_by_somebody_in_clear_words() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (reviewed, unreviewed) = (cluster.new_namespace(), cluster.new_namespace());
        // What some of the objects contradict.
        cluster.apply(
            &[
                named(Trust, &reviewed, "private", "{}"),
                named(
                    Policy,
                    &reviewed,
                    "selecting",
                    "{trustRef: {name: private}, mapping: {selector: {matchLabels: {}}}}",
                ),
                named(Mapping, &reviewed, "taken", "{certificate: {uri: \"taken:a\"}, identity: {user: u}}"),
                named(Trust, &unreviewed, "private", "{}"),
            ]
            .concat(),
        );
        let also = format!("--namespace={unreviewed}");
        let _webhook = Webhook::start_also(&cluster, &reviewed, &[&also]).await;
        let mut problems = Vec::new();
        for kind in [Trust, Policy, Mapping] {
            let of_kind = rows().into_iter().filter(|row| row.0 == kind).count();
            assert!(of_kind >= 20, "{kind}: {of_kind} rows");
        }
        for (kind, by, spec, want) in rows() {
            let shown: String = spec.chars().take(120).collect();
            for namespace in [&reviewed, &unreviewed] {
                let spec = spec.replace("ELSEWHERE", if *namespace == reviewed { &unreviewed } else { &reviewed });
                let output = match by {
                    Reading => send(&cluster, kind, namespace, &spec),
                    _ => cluster.try_apply(&["--dry-run=server"], &named(kind, namespace, "wrong", &spec)),
                };
                let said = words(&output);
                let passes = by == Hook && *namespace == unreviewed;
                let right =
                    if passes { output.status.success() } else { !output.status.success() && said.contains(want) };
                if !right {
                    let said: String = said.chars().take(600).collect();
                    problems.push(format!(
                        "{kind} by {by:?} (reviewed: {}): {shown}\n  wanted: {want}\n  found: {said}",
                        *namespace == reviewed
                    ));
                }
            }
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}
