//! A directory with more than fifty different mistakes: `check` names each one with file, line and field path.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says what it measured")]

use std::fs;

use certgate::domain::decide::Snapshot;
use certgate::domain::decide::reason::Reason;
use certgate::domain::request::{Http, NoHeaders, Request};
use certgate::file::check::check;
use certgate::file::loader::{Loader, ReloadOutcome};
use certgate::file::report::ProblemClass;
use certgate_x509::{NoTrace, UnixTime};

/// A document whose spec starts on line 5.
fn document(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: certgate.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}")
}

struct Mistake {
    name: &'static str,
    text: String,
    line: u32,
    field: &'static str,
    class: ProblemClass,
}

/// The mistakes of one class; each row: name, text, line, field.
fn rows(class: ProblemClass, rows: Vec<(&'static str, String, u32, &'static str)>) -> Vec<Mistake> {
    rows.into_iter().map(|(name, text, line, field)| Mistake { name, text, line, field, class }).collect()
}

fn unreadable() -> Vec<Mistake> {
    let policy = |spec: &str| document("CertificatePolicy", "bad", spec);
    let trust = |spec: &str| document("TrustProfile", "bad", spec);
    let mapping = |spec: &str| document("CertificateMapping", "bad", spec);
    let with_trust = |spec: &str| policy(&format!("  trustRef: {{name: good}}\n{spec}"));
    let text = str::to_owned;
    rows(
        ProblemClass::Unreadable,
        vec![
            ("unclosed-list", text("kind: [a\n"), 2, ""),
            ("bad-indentation", policy("  trustRef:\n    name: good\n   mode: Audit\n"), 7, ""),
            ("tab", policy("\ttrustRef: {}\n"), 5, ""),
            ("two-colons", policy("  mode: Enforce: Audit\n"), 5, ""),
            ("unclosed-quote", policy("  mode: \"Enforce\n"), 5, ""),
            ("duplicate-key", with_trust("  mode: Audit\n  mode: Enforce\n"), 7, ""),
            ("anchor", with_trust("  match: &m []\n"), 6, ""),
            ("merge-key", with_trust("  response:\n    <<: {}\n"), 7, ""),
            ("tag", with_trust("  mode: !!str Audit\n"), 6, ""),
            ("control-character", with_trust("  mode: \"Au\u{7}dit\"\n"), 6, ""),
            ("no-kind", text("apiVersion: certgate.dev/v1alpha1\nmetadata: {name: bad}\n"), 1, "kind"),
            ("no-api-version", text("kind: CertificatePolicy\nmetadata: {name: bad}\n"), 1, "apiVersion"),
            ("other-version", text("apiVersion: certgate.dev/v1\nkind: TrustProfile\n"), 1, "apiVersion"),
            ("misspelt-group", text("apiVersion: cergate.dev/v1alpha1\nkind: TrustProfile\n"), 1, "apiVersion"),
            ("misspelt-kind", text("apiVersion: certgate.dev/v1alpha1\nkind: CertificatPolicy\n"), 2, "kind"),
            ("no-metadata", text("apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nspec: {}\n"), 1, "metadata"),
            (
                "no-name",
                text("apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {namespace: x}\nspec: {}\n"),
                3,
                "metadata.name",
            ),
            (
                "no-spec",
                text("apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: bad}\n"),
                1,
                "spec",
            ),
            ("upper-case-name", document("TrustProfile", "Bad", "  mode: Chain\n"), 3, "metadata.name"),
            ("number-as-name", document("TrustProfile", "42", "  mode: Chain\n"), 3, "metadata.name"),
            (
                "misspelt-labels",
                text(
                    "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata:\n  name: bad\n  label: {a: b}\nspec: {}\n",
                ),
                5,
                "metadata.label",
            ),
            (
                "bad-label",
                text(
                    "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata:\n  name: bad\n  labels:\n    a: \"b c\"\nspec: {}\n",
                ),
                6,
                "metadata.labels.a",
            ),
            ("top-level-field", trust("  mode: Chain\nmode: Peer\n"), 6, "mode"),
            ("missing-trust-ref", policy("  mode: Audit\n"), 5, "spec.trustRef"),
            ("unknown-field", with_trust("  trustref: {name: x}\n"), 6, "spec.trustref"),
            ("unknown-word", with_trust("  mode: Enforced\n"), 6, "spec.mode"),
            ("word-in-lower-case", with_trust("  certificate: optional\n"), 6, "spec.certificate"),
            ("number-for-text", with_trust("  match:\n  - hosts: [42]\n"), 7, "spec.match[0].hosts[0]"),
            ("boolean-for-text", with_trust("  match:\n  - methods: [on]\n"), 7, "spec.match[0].methods[0]"),
            ("host-with-port", with_trust("  match:\n  - hosts: [\"a.example:443\"]\n"), 7, "spec.match[0].hosts[0]"),
            ("inner-wildcard", with_trust("  match:\n  - hosts: [b, \"a.*.example\"]\n"), 7, "spec.match[0].hosts[1]"),
            ("host-as-url", with_trust("  match:\n  - hosts: [\"https://a.example\"]\n"), 7, "spec.match[0].hosts[0]"),
            ("half-wildcard", with_trust("  match: [{hosts: [\"*a.example\"]}]\n"), 6, "spec.match[0].hosts[0]"),
            ("u-label", with_trust("  match: [{hosts: [\"b\u{fc}cher.example\"]}]\n"), 6, "spec.match[0].hosts[0]"),
            (
                "beside-a-host-that-cannot-be-read",
                with_trust("  match: [{hosts: [\"a:1\"], paths: [{exact: b}]}]\n"),
                6,
                "spec.match[0].paths[0].exact",
            ),
            ("text-for-list", with_trust("  match:\n  - hosts: api.example.com\n"), 7, "spec.match[0].hosts"),
            ("mapping-for-list", with_trust("  evidence: {peerCertificate: {}}\n"), 6, "spec.evidence"),
            (
                "curve-by-number",
                trust("  requirements: {minimumEcdsaCurve: 384}\n"),
                5,
                "spec.requirements.minimumEcdsaCurve",
            ),
            (
                "policy-as-boolean",
                trust("  requirements:\n    certificatePolicies: {explicitPolicy: true}\n"),
                6,
                "spec.requirements.certificatePolicies.explicitPolicy",
            ),
            (
                "unknown-weakness",
                trust("  requirements:\n    weakCryptography: [AcceptMd5]\n"),
                6,
                "spec.requirements.weakCryptography[0]",
            ),
            ("revocation-without-mode", trust("  revocation: {onUnknown: Deny}\n"), 5, "spec.revocation.mode"),
            ("revocation-online", trust("  revocation: {mode: Online}\n"), 5, "spec.revocation.mode"),
            ("emptied-list", trust("  issuingAuthorities:\n"), 5, "spec.issuingAuthorities"),
            ("null-item", trust("  trustList:\n  - null\n"), 6, "spec.trustList[0]"),
            (
                "text-for-number",
                with_trust("  response: {denial: {status: \"403\"}}\n"),
                6,
                "spec.response.denial.status",
            ),
            ("octal-number", with_trust("  response: {denial: {status: 0403}}\n"), 6, "spec.response.denial.status"),
            (
                "rule-without-action",
                with_trust("  mapping:\n    rules:\n    - {name: r, where: []}\n"),
                8,
                "spec.mapping.rules[0].action",
            ),
            (
                "uid-as-number",
                mapping("  certificate: {dns: a}\n  identity: {user: a, uid: 7}\n"),
                6,
                "spec.identity.uid",
            ),
            (
                "misspelt-state",
                mapping("  certificate: {dns: a}\n  identity: {user: a}\n  state: Disable\n"),
                7,
                "spec.state",
            ),
            ("field-of-later-version", with_trust("  conditions: []\n"), 6, "spec.conditions"),
            (
                "secret-not-base64",
                text("apiVersion: v1\nkind: Secret\nmetadata: {name: bad}\ndata:\n  ca.crt: \"%%%\"\n"),
                5,
                "data[\"ca.crt\"]",
            ),
            (
                "misspelt-secret",
                text("apiVersion: v1\nkind: Secret\nmetadata: {name: bad}\nstringdata: {}\n"),
                4,
                "stringdata",
            ),
            (
                "config-map-number",
                text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndata: {port: 80}\n"),
                4,
                "data.port",
            ),
        ],
    )
}

fn invalid() -> Vec<Mistake> {
    let policy =
        |name: &str, spec: &str| document("CertificatePolicy", name, &format!("  trustRef: {{name: good}}\n{spec}"));
    let mapping = |name: &str, spec: &str| document("CertificateMapping", name, spec);
    let trust = |name: &str, spec: &str| document("TrustProfile", name, spec);
    let rule = |name: &str, rule: &str| policy(name, &format!("  mapping:\n    rules:\n    - {rule}\n"));
    rows(
        ProblemClass::Invalid,
        vec![
            ("relative-path", policy("i03", "  match:\n  - paths: [{exact: v1}]\n"), 7, "spec.match[0].paths[0].exact"),
            (
                "two-path-forms",
                policy("i04", "  match:\n  - paths: [{exact: /a, prefix: /b}]\n"),
                7,
                "spec.match[0].paths[0]",
            ),
            ("method-with-blank", policy("i05", "  match:\n  - methods: [\"GE T\"]\n"), 7, "spec.match[0].methods[0]"),
            (
                "status-out-of-range",
                policy("i06", "  response: {denial: {status: 200}}\n"),
                6,
                "spec.response.denial.status",
            ),
            (
                "header-name",
                policy("i07", "  response: {headers: {user: \"x user\"}}\n"),
                6,
                "spec.response.headers.user",
            ),
            (
                "forbidden-header",
                policy("i08", "  response: {headers: {user: host}}\n"),
                6,
                "spec.response.headers.user",
            ),
            ("element-zero", policy("i09", "  evidence: [{xfcc: {element: 0}}]\n"), 6, "spec.evidence[0].xfcc.element"),
            (
                "two-evidence-forms",
                policy("i10", "  evidence: [{xfcc: {element: 1}, peerCertificate: {}}]\n"),
                6,
                "spec.evidence[0]",
            ),
            (
                "missing-profile",
                document("CertificatePolicy", "i11", "  trustRef: {name: nobody}\n"),
                5,
                "spec.trustRef",
            ),
            ("empty-where", rule("i12", "{name: r, action: Deny, where: []}"), 8, "spec.mapping.rules[0].where"),
            (
                "allow-without-identity",
                rule("i13", "{name: r, action: Allow, where: [{field: DNS, value: a}]}"),
                8,
                "spec.mapping.rules[0].identity",
            ),
            (
                "subject-without-attribute",
                rule("i14", "{name: r, action: Deny, where: [{field: Subject, value: a}]}"),
                8,
                "spec.mapping.rules[0].where[0].attribute",
            ),
            (
                "bad-escape",
                rule("i15", "{name: r, action: Deny, where: [{field: DNS, value: 'a\\b'}]}"),
                8,
                "spec.mapping.rules[0].where[0].value",
            ),
            (
                "short-hash",
                mapping("i16", "  certificate: {sha256: abcd}\n  identity: {user: a}\n"),
                5,
                "spec.certificate.sha256",
            ),
            (
                "two-names",
                mapping("i17", "  certificate: {dns: a, email: a@b}\n  identity: {user: a}\n"),
                5,
                "spec.certificate",
            ),
            ("no-name-form", mapping("i18", "  certificate: {}\n  identity: {user: a}\n"), 5, "spec.certificate"),
            (
                "comma-in-group",
                mapping("i19", "  certificate: {dns: a}\n  identity: {user: a, groups: [\"b,c\"]}\n"),
                6,
                "spec.identity.groups[0]",
            ),
            (
                "empty-user",
                mapping("i20", "  certificate: {dns: b}\n  identity: {user: \"\"}\n"),
                6,
                "spec.identity.user",
            ),
            (
                "bad-subject",
                mapping("i21", "  certificate: {subject: \"CN\"}\n  identity: {user: a}\n"),
                5,
                "spec.certificate.subject",
            ),
            ("broken-pem", trust("i22", "  trustAnchors:\n  - inline: not PEM\n"), 6, "spec.trustAnchors[0].inline"),
            (
                "missing-config-map",
                trust("i23", "  trustAnchors:\n  - configMap: {name: nobody}\n"),
                6,
                "spec.trustAnchors[0].configMap",
            ),
            ("missing-file", trust("i24", "  trustAnchors:\n  - file: nowhere.pem\n"), 6, "spec.trustAnchors[0].file"),
            (
                "small-keys",
                trust("i25", "  requirements: {minimumRsaBits: 512}\n"),
                5,
                "spec.requirements.minimumRsaBits",
            ),
            (
                "short-keys-unsaid",
                trust("i26", "  requirements:\n    minimumRsaBits: 1024\n"),
                6,
                "spec.requirements.minimumRsaBits",
            ),
            (
                "weak-word-alone",
                trust("i27", "  requirements:\n    weakCryptography: [AcceptRsaBelow2048]\n"),
                6,
                "spec.requirements.weakCryptography[0]",
            ),
            (
                "sha1-unsaid",
                trust("i28", "  requirements:\n    allowedSignatureAlgorithms: [EcdsaSha256, EcdsaSha1]\n"),
                6,
                "spec.requirements.allowedSignatureAlgorithms[1]",
            ),
            (
                "policy-by-name",
                trust("i29", "  requirements:\n    certificatePolicies:\n      initialPolicySet: [gold]\n"),
                7,
                "spec.requirements.certificatePolicies.initialPolicySet[0]",
            ),
            (
                "policy-any",
                trust("i30", "  requirements:\n    certificatePolicies: {initialPolicySet: [2.5.29.32.0]}\n"),
                6,
                "spec.requirements.certificatePolicies.initialPolicySet[0]",
            ),
            (
                "max-age",
                trust("i31", "  revocation:\n    mode: Offline\n    maxAge: 1d\n"),
                7,
                "spec.revocation.maxAge",
            ),
            (
                "missing-crl",
                trust("i32", "  revocation:\n    mode: Offline\n    crls:\n    - file: nowhere.crl\n"),
                8,
                "spec.revocation.crls[0].file",
            ),
            (
                "crl-not-pem",
                trust("i33", "  revocation:\n    mode: Offline\n    crls: [{inline: no CRL}]\n"),
                7,
                "spec.revocation.crls[0].inline",
            ),
        ],
    )
}

#[test]
fn every_mistake_of_a_directory_is_named() {
    let mistakes: Vec<Mistake> = unreadable().into_iter().chain(invalid()).collect();
    assert!(mistakes.len() >= 50);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("good.yaml"), document("TrustProfile", "good", "  mode: Chain\n")).unwrap();
    for (n, mistake) in mistakes.iter().enumerate() {
        fs::write(dir.path().join(format!("{n:02}-{}.yaml", mistake.name)), &mistake.text).unwrap();
    }
    let found = check(dir.path());
    if std::env::var_os("SHOW").is_some() {
        println!("{}", found.to_text());
    }
    let mut missing = Vec::new();
    for (n, mistake) in mistakes.iter().enumerate() {
        let file = format!("{n:02}-{}.yaml", mistake.name);
        let here: Vec<_> = found.problems.iter().filter(|(_, problem)| *problem.file == *file).collect();
        let named = here.iter().any(|(_, problem)| {
            problem.at.is_some_and(|at| at.line == mistake.line)
                && problem.field == mistake.field
                && problem.class == mistake.class
        });
        if !named {
            let shown: Vec<String> = here.iter().map(|(_, p)| format!("\n    {p} ({})", p.class.as_str())).collect();
            missing.push(format!("{file}:{} {}: found {}", mistake.line, mistake.field, shown.concat()));
        }
    }
    assert!(missing.is_empty(), "{} of {} mistakes:\n{}", missing.len(), mistakes.len(), missing.join("\n"));
    assert_eq!(found.exit_code(), 1);
}

/// The outcome of a request without a certificate.
fn decided(snapshot: &Snapshot, host: &str) -> Result<(), Reason> {
    let http = Http { host: host.as_bytes(), method: b"GET", path: b"/" };
    let request = Request {
        named_policy: None,
        http: Some(http),
        peer_certificate: b"",
        headers: &NoHeaders,
        source_address: None,
    };
    let decision = snapshot.decide(&request, UnixTime::from_secs(1_800_000_000), &mut NoTrace);
    decision.verdict().map(|_| ()).map_err(|denial| denial.reason)
}

#[test]
fn what_does_not_compile_denies_and_what_is_right_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let right = "  match: [{hosts: [right.test]}]\n  trustRef: {name: good}\n  certificate: Optional\n";
    fs::write(dir.path().join("good.yaml"), document("TrustProfile", "good", "  mode: Chain\n")).unwrap();
    fs::write(dir.path().join("right.yaml"), document("CertificatePolicy", "right", right)).unwrap();
    let mut hosts = Vec::new();
    for (n, mistake) in invalid().into_iter().enumerate() {
        let mut text = mistake.text;
        // Optional, so that only the mistake can be what denies.
        if text.contains("kind: CertificatePolicy") && !text.contains("match:") {
            text.push_str(&format!("  match: [{{hosts: [wrong{n}.test]}}]\n  certificate: Optional\n"));
            hosts.push((mistake.name, format!("wrong{n}.test")));
        }
        fs::write(dir.path().join(format!("{n:02}.yaml")), text).unwrap();
    }
    let ReloadOutcome::Published(snapshot) = Loader::new(dir.path()).reload().outcome else {
        panic!("all of it can be read")
    };
    assert!(hosts.len() >= 10);
    for (name, host) in hosts {
        let want = if name == "missing-profile" { Reason::TrustUnavailable } else { Reason::PolicyInvalid };
        assert_eq!(decided(&snapshot, &host), Err(want), "{name}");
    }
    assert_eq!(decided(&snapshot, "right.test"), Ok(()));
}

/// A strict policy of which nobody can tell what it selects must not leave its requests to a lax one.
#[test]
fn a_policy_whose_host_cannot_be_read_is_refused_and_opens_nothing() {
    let policy = |name: &str, spec: &str| {
        document("CertificatePolicy", name, &format!("  trustRef: {{name: good}}\n  certificate: Optional\n{spec}"))
    };
    for host in
        ["admin.test:8443", "https://admin.test", "https://admin.test/x", "*admin.test", "b\u{fc}cher.test", "", "a b"]
    {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("good.yaml", &document("TrustProfile", "good", "  mode: Chain\n"));
        write("lax.yaml", &policy("lax", "  match: [{}]\n"));
        let strict = policy("strict", "  match: [{hosts: [admin.test]}]\n").replace("Optional", "Required");
        write("strict.yaml", &strict);
        let mut loader = Loader::new(dir.path());
        let ReloadOutcome::Published(before) = loader.reload().outcome else { panic!("all of it can be read") };
        assert_eq!(decided(&before, "admin.test"), Err(Reason::CertRequired));
        write("strict.yaml", &strict.replace("[admin.test]", &format!("[{host:?}]")));
        let reload = loader.reload();
        assert!(matches!(reload.outcome, ReloadOutcome::Refused), "{host}: {:?}", reload.outcome);
        assert!(reload.problems.iter().any(|problem| problem.field == "spec.match[0].hosts[0]"), "{host}");
        let start = Loader::new(dir.path()).reload();
        assert!(matches!(start.outcome, ReloadOutcome::Refused), "{host}: {:?}", start.outcome);
    }
}
