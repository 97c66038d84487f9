use super::*;

#[test]
fn everything_is_named_and_summed_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    let text = "apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: apps/v1\nkind: Deployment\n---\nkind: [\n---\n\
                apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: t}\nspec: {mod: Peer}\n";
    std::fs::write(&path, text).unwrap();
    for target in [dir.path(), &path] {
        let found = check(target);
        let text = found.to_text().replace(&format!("{}/", dir.path().display()), "");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[0].starts_with("a.yaml:8:1: not valid YAML: "), "{text}");
        assert_eq!(lines[1], "a.yaml:12:8: TrustProfile default/t: spec.mod: unknown field; did you mean `mode`?");
        assert_eq!(lines[2], "a.yaml:1: ignored: apps/v1 Deployment (2 documents, this is the first)");
        assert_eq!(lines[3], "2 errors: 0 objects in 1 file");
        assert!(lines[4].starts_with("2 errors reject the whole edit: "), "{text}");
        assert_eq!(found.exit_code(), 1);
        let json = found.to_json();
        assert_eq!(json["problems"][1]["field"], "spec.mod");
        assert_eq!(json["problems"][1]["line"], 12);
        assert_eq!(json["problems"][1]["class"], "unreadable");
        assert_eq!(json["valid"], false);
        assert_eq!((&json["refusing"], &json["denying"]), (&json!(2), &json!(0)));
        assert_eq!(json["ignored"][1]["line"], 4);
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let found = check(Path::new("/nowhere/policies"));
    assert_eq!(
        found.to_text(),
        "cannot read the policy directory \"/nowhere/policies\": No such file or directory (os error 2)\n\
         1 error: 0 objects in 0 files\n\
         1 error rejects the whole edit: a running server keeps its last policies; a new one does not start\n"
    );
    assert_eq!(found.to_json()["problems"][0]["file"], "/nowhere/policies");
    assert_eq!(found.exit_code(), 1);
}

#[test]
fn files_that_are_skipped_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let map = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let profile = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: t}\n\
                   spec: {trustAnchors: [{file: ca.pem}]}\n";
    write("a.yaml", &map("a"));
    write("strict.YAML", &map("b"));
    write("t.yml", profile);
    write("policy.yml.txt", "");
    write(".b.yaml", "");
    write("ca.pem", "");
    write("old.pem", "");
    let found = check(dir.path());
    let text = found.to_text().replace(&format!("{}/", dir.path().display()), "");
    let skipped: Vec<&str> = text.lines().filter(|line| line.contains("skipped")).collect();
    let why = "skipped: its name is not that of a policy file";
    let want = [".b.yaml", "old.pem", "policy.yml.txt"].map(|file| format!("{file}: {why}"));
    assert_eq!(skipped, want, "{text}");
    assert!(text.contains(": 3 objects in 3 files\n"), "{text}");
    assert_eq!(found.to_json()["skipped"].as_array().map(Vec::len), Some(3));
    for n in 0..SHOWN_SKIPPED {
        write(&format!("n{n}.txt"), "");
    }
    assert!(check(dir.path()).to_text().contains("\nalso skipped: 3 files\n"));
}

#[test]
fn a_good_directory_is_ok() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n").unwrap();
    let found = check(&dir.path().join("a.yaml"));
    assert_eq!(found.to_text(), "ok: 1 object in 1 file\n");
    assert_eq!(found.exit_code(), 0);
}

#[test]
fn what_is_legal_but_doubtful_is_warned_of_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let text = "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: p}\nspec:\n  trustRef: {name: t}\n  \
                mode: Audit\n---\napiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {name: m}\nspec:\n  \
                identity: {user: u}\n  certificate:\n    email: a@example.com\n---\napiVersion: certgate.dev/v1alpha1\nkind: \
                TrustProfile\nmetadata: {name: t}\nspec:\n  revocation: {mode: NoCheck}\n";
    std::fs::write(dir.path().join("a.yaml"), text).unwrap();
    let found = check(dir.path());
    let text = found.to_text().replace(&format!("{}/", dir.path().display()), "");
    for (line, rest) in [
        ("a.yaml:6:", "warning: CertificatePolicy default/p: spec.mode: with mode Audit"),
        ("a.yaml:14:", "warning: CertificateMapping default/m: spec.certificate.email: email is a weak name"),
        ("a.yaml:20:", "warning: TrustProfile default/t: spec.revocation.mode: with mode NoCheck"),
    ] {
        assert!(text.lines().any(|found| found.starts_with(line) && found.contains(rest)), "{line} {rest}:\n{text}");
    }
    assert_eq!(found.exit_code(), 0);
}

#[test]
fn what_contradicts_and_what_does_nothing_is_told_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let object = |kind: &str, name: &str, spec: &str| {
        format!(
            "---\napiVersion: certgate.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, labels: {{api: x}}}}\nspec:\n  {spec}\n"
        )
    };
    let mapping = |name: &str, uri: &str, user: &str| {
        object("CertificateMapping", name, &format!("certificate: {{uri: {uri:?}}}\n  identity: {{user: {user}}}"))
    };
    let policy = "trustRef: {name: t}\n  mapping: {selector: {matchLabels: {api: x}}}";
    let rest = [object("CertificatePolicy", "p", policy), object("TrustProfile", "t", "mode: Chain")].concat();
    let lost = mapping("lost", "a:c", "u").replace("api: x", "api: other");
    let text = [mapping("a", "a:b", "u"), mapping("b", "a:b", "v"), lost, rest].concat();
    std::fs::write(dir.path().join("a.yaml"), text).unwrap();
    let found = check(dir.path());
    let text = found.to_text().replace(&format!("{}/", dir.path().display()), "");
    for (line, rest) in [
        ("a.yaml:7:", "CertificateMapping default/a: spec.identity: Conflicted: CertificateMapping b maps"),
        ("a.yaml:14:", "CertificateMapping default/b: spec.identity: Conflicted: CertificateMapping a maps"),
        ("a.yaml:18:", "warning: CertificateMapping default/lost: metadata.labels: no CertificatePolicy"),
    ] {
        assert!(text.lines().any(|found| found.starts_with(line) && found.contains(rest)), "{line} {rest}:\n{text}");
    }
    assert_eq!((found.exit_code(), found.denying()), (1, 2), "{text}");
}

#[test]
fn a_directory_without_policies_is_doubtful() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n").unwrap();
    let found = check(dir.path());
    let want = format!(
        "warning: {:?} holds no CertificatePolicy: every request is denied with NO_POLICY\n\
         ok: 1 object in 1 file, 1 warning\n",
        dir.path()
    );
    assert_eq!(found.to_text(), want);
    assert_eq!(found.exit_code(), 0);
}

#[test]
fn an_object_in_error_denies_and_refuses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    let policy = "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: p}\nspec: {match: \
                  [{paths: [{exact: a}], methods: [get]}], trustRef: {name: absent}}\n";
    std::fs::write(&path, policy).unwrap();
    let found = check(dir.path());
    let text = found.to_text();
    assert!(found.errors() > 1 && found.refusing() == 0, "{text}");
    let last = "1 object is in error: requests that depend on it are denied until it is fixed";
    assert_eq!(text.lines().last(), Some(last), "{text}");
}

fn write(dir: &Path, name: &str, text: &str) -> CheckedPath {
    std::fs::write(dir.join(name), text).unwrap();
    CheckedPath { path: dir.join(name), shown: None }
}

const PROFILE: &str = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: t}\nspec: ";
const POLICY: &str = "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: p}\nspec: {match: \
                      [{hosts: [a.example]}], trustRef: {name: t}}\n";

#[test]
fn several_paths_are_one_set() {
    let dir = tempfile::tempdir().unwrap();
    let more = dir.path().join("more");
    std::fs::create_dir(&more).unwrap();
    std::fs::write(more.join("roots.pem"), "no certificate").unwrap();
    let profile = write(&more, "a.yaml", &format!("{PROFILE}{{trustAnchors: [{{file: roots.pem}}]}}\n"));
    let policy = write(dir.path(), "a.yaml", POLICY);
    let directory = CheckedPath { path: more, shown: None };
    let both = check_all(&[policy.clone(), directory.clone()], CheckOptions::default());
    let text = both.to_text();
    assert_eq!(both.totals.objects, 2, "{text}");
    assert!(text.contains("more/a.yaml:4:") && text.contains("no `-----BEGIN CERTIFICATE-----` block"), "{text}");
    assert!(!text.contains("does not exist"), "the policy finds its profile: {text}");
    let twice = check_all(&[policy.clone(), directory, profile, policy.clone()], CheckOptions::default());
    assert_eq!(twice.to_text(), text, "a file that is named twice counts once");
    let alone = check_all(&[policy], CheckOptions::default()).to_text();
    assert!(alone.contains("TrustProfile default/t does not exist"), "{alone}");
}

/// The profile has the error; each policy that refers to it has a note.
#[test]
fn an_error_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    for (name, profile, told) in [
        ("does not fit its kind", "{mod: Peer}", "spec.mod: unknown field"),
        ("does not compile", "{mode: Chain, disallowed: [{sha256: x}], trustAnchors: [{inline: ''}]}", "disallowed[0]"),
        ("has a source that is not there", "{trustAnchors: [{configMap: {name: roots}}]}", "does not exist"),
    ] {
        write(dir.path(), "t.yaml", &format!("{PROFILE}{profile}\n"));
        write(dir.path(), "p.yaml", POLICY);
        let found = check(dir.path());
        let text = found.to_text();
        let of_policy: Vec<&str> = text.lines().filter(|line| line.contains("p.yaml:")).collect();
        assert!(text.contains(told), "{name}: {text}");
        assert_eq!(of_policy.len(), 1, "{name}: {text}");
        assert!(
            of_policy[0].contains(": note: CertificatePolicy default/p: spec.trustRef: TrustProfile default/t"),
            "{text}"
        );
        let json = found.to_json();
        assert_eq!(json["notes"], 1, "{name}");
        let classes: Vec<_> = json["problems"].as_array().unwrap().iter().map(|problem| &problem["class"]).collect();
        assert!(classes.contains(&&json!("note")), "{json}");
    }
}

#[test]
fn sources_that_live_elsewhere_can_be_taken_to_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let sources = "{trustAnchors: [{configMap: {name: roots}}, {secret: {name: more}}, {clusterTrustBundle: {name: b}}, \
                   {clusterTrustBundle: {signerName: a.example/b, labelSelector: {}}}], revocation: {mode: Offline, crls: [{configMap: {name: crls, key: c}}]}}";
    write(dir.path(), "t.yaml", &format!("{PROFILE}{sources}\n"));
    let path = write(dir.path(), "p.yaml", POLICY).path;
    let dir = path.parent().unwrap();
    assert_eq!(check(dir).errors(), 5, "{}", check(dir).to_text());
    let skip = CheckOptions { sources: AbsentSources::Assumed, ..CheckOptions::default() };
    let all = [CheckedPath { path: dir.to_owned(), shown: None }];
    let found = check_all(&all, skip);
    assert_eq!((found.errors(), found.exit_code()), (0, 0), "{}", found.to_text());
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: roots}\ndata: {other: x}\n";
    std::fs::write(dir.join("c.yaml"), map).unwrap();
    let found = check_all(&all, skip);
    assert!(found.to_text().contains("has no key"), "one that is there counts as it is: {}", found.to_text());
    std::fs::write(dir.join("t.yaml"), format!("{PROFILE}{{trustAnchors: [{{file: absent.pem}}]}}\n")).unwrap();
    let found = check_all(&all, skip);
    assert!(found.to_text().contains("absent.pem"), "files do not live in clusters: {}", found.to_text());
}

#[test]
fn warnings_can_count_as_errors() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n").unwrap();
    let strict = CheckOptions { warnings: Warnings::Errors, ..CheckOptions::default() };
    let found = check_all(&[CheckedPath { path: dir.path().to_owned(), shown: None }], strict);
    assert_eq!((found.exit_code(), found.errors(), found.warnings()), (1, 0, 1));
    assert!(found.to_text().contains("\n1 warning, counted as errors: 1 object in 1 file\n"), "{}", found.to_text());
    assert_eq!(found.to_json()["valid"], false);
    let good = write(dir.path(), "a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n");
    assert_eq!(check_all(&[good], strict).exit_code(), 0);
}

/// The form of a source that is not PEM.
#[test]
fn forms_of_certificates_are_named() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "t.yaml", &format!("{PROFILE}{{trustAnchors: [{{file: roots}}]}}\n"));
    let pem = "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n";
    for (content, told) in [
        (
            &b"\x30\x82\x01\x00\x30\x82\x00\xc0\x02\x01\x01"[..],
            "it is DER, and PEM is wanted: convert it: openssl x509",
        ),
        (format!("\u{feff}{pem}").as_bytes(), "it is PEM behind a byte order mark"),
        (pem.replace(' ', "%20").replace('\n', "%0A").as_bytes(), "it is URL-encoded PEM"),
        (pem.replace("CERTIFICATE", "PKCS7").as_bytes(), "it is PKCS #7, and PEM is wanted: convert it: openssl pkcs7"),
        (
            b"\x30\x80\x02\x01\x03\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01",
            "it is a PKCS #12 store, and PEM is wanted: take the certificate out: openssl pkcs12",
        ),
        (b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", "is a private key; remove it"),
        (b"\xff\xfe-\0", "it is UTF-16 text"),
    ] {
        std::fs::write(dir.path().join("roots"), content).unwrap();
        let text = check(dir.path()).to_text();
        assert!(text.contains(told), "{told}: {text}");
    }
}
