//! The examples in docs/ are policies that compile.

use certgate_testing::skip;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The placeholder of a page's YAML for a certificate in a ConfigMap.
const PLACEHOLDER: &str = "-----BEGIN CERTIFICATE-----\n    …\n    -----END CERTIFICATE-----\n";

/// The policies in a page's YAML blocks, with placeholders filled in.
fn examples(page: &str, certificate: &str, crl: &[u8]) -> Vec<String> {
    let crl = STANDARD.encode(crl);
    let indented = certificate.replace('\n', "\n    ");
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").expect("a block that ends").0);
    let policies = blocks.filter(|block| block.contains("certgate.dev/v1alpha1"));
    policies.map(|block| block.replace("MIIB…", &crl).replace(PLACEHOLDER, indented.trim_end_matches(' '))).collect()
}

/// A CA's certificate, PEM, and a CRL of it, DER.
fn ca() -> (String, Vec<u8>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let crl = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2100, 1, 1),
        crl_number: rcgen::SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let crl = crl.signed_by(&rcgen::Issuer::new(params, key)).unwrap();
    (certificate.pem(), crl.der().to_vec())
}

/// The ConfigMap that readers make of their partners' CA.
fn roots(certificate: &str) -> String {
    let indented = certificate.trim_end().replace('\n', "\n    ");
    let meta = "{name: partner-roots, namespace: payments}";
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {meta}\ndata:\n  ca.crt: |\n    {indented}\n")
}

/// `certgate check` of a directory, which must find nothing wrong.
fn check(directory: &Path, what: &str) {
    let out = Command::new(env!("CARGO_BIN_EXE_certgate")).arg("check").arg(directory).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{what}:\n{said}{}", String::from_utf8_lossy(&out.stderr));
}

/// The pages with policies in them, and how many there are. The README's is run: `tests/e2e/quick_start.rs`.
const PAGES: &[(&str, usize)] = &[("docs/policies.md", 6), ("docs/kubernetes.md", 1)];

#[test]
fn examples_compile() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (certificate, crl) = ca();
    for page in fs::read_dir(root.join("docs")).unwrap() {
        let page = page.unwrap().path();
        let is_listed = PAGES.iter().any(|(listed, _)| page.ends_with(listed));
        let has_policies = fs::read_to_string(&page).is_ok_and(|text| !examples(&text, "", &[]).is_empty());
        assert_eq!(is_listed, has_policies, "{}: mend the list of pages", page.display());
    }
    for (page, count) in PAGES {
        let dir = tempfile::tempdir().unwrap();
        let examples = examples(&fs::read_to_string(root.join(page)).unwrap(), &certificate, &crl);
        assert_eq!(examples.len(), *count, "{page}: an example was added or lost: mend the count");
        for (at, example) in examples.iter().enumerate() {
            fs::write(dir.path().join(format!("{at}.yaml")), example).unwrap();
        }
        fs::write(dir.path().join("partner-roots.pem"), &certificate).unwrap();
        fs::write(dir.path().join("partner-root.crl"), &crl).unwrap();
        if !examples.iter().any(|example| example.contains("kind: ConfigMap")) {
            fs::write(dir.path().join("roots.yaml"), roots(&certificate)).unwrap();
        }
        check(dir.path(), page);
    }
}

#[test]
fn policies_of_deploy_compile() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let roots = roots(&ca().0);
    let mut checked = 0;
    for folder in fs::read_dir(&deploy).unwrap().map(|entry| entry.unwrap().path()) {
        // The demo fills in its policies itself, and `make demo` checks them.
        if !folder.is_dir() || folder.ends_with("demo") {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut has_policies = false;
        for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if fs::read_to_string(&file).unwrap().contains("certgate.dev/v1alpha1") {
                fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
                has_policies = true;
            }
        }
        if has_policies {
            fs::write(dir.path().join("roots.yaml"), &roots).unwrap();
            // Where a proxy forwards no chain, readers make a second one, of the CAs below the roots.
            fs::write(dir.path().join("issuers.yaml"), roots.replace("partner-roots", "partner-issuers")).unwrap();
            check(dir.path(), &folder.display().to_string());
            checked += 1;
        }
    }
    assert_eq!(checked, 4, "an example was added or lost: mend the count");
}

/// What catalogues of charts show: the kinds, and examples that work.
#[test]
fn the_chart_s_metadata_names_the_kinds_and_examples_that_compile() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let chart = fs::read_to_string(root.join("charts/certgate/Chart.yaml")).unwrap();
    let block = |name: &str| {
        let (_, rest) = chart.split_once(&format!("  artifacthub.io/{name}: |\n")).expect("the annotation is there");
        let lines = rest.lines().take_while(|line| line.starts_with("    "));
        lines.map(|line| format!("{}\n", &line[4..])).collect::<String>()
    };
    let kinds = block("crds");
    for file in fs::read_dir(root.join("charts/certgate/files/crds")).unwrap() {
        let definition = fs::read_to_string(file.unwrap().path()).unwrap();
        let name = definition.lines().find_map(|line| line.strip_prefix("  name: ")).expect("a definition has a name");
        assert!(kinds.contains(&format!("  name: {}\n", name.trim_matches('"'))), "{name} is not named");
    }
    // A list of objects; as documents, each goes two columns to the left.
    let examples = block("crdsExamples").replace("- apiVersion", "---\n  apiVersion");
    let documents: String =
        examples.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect();
    assert_eq!(documents.matches("kind: ").count(), 3);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("examples.yaml"), documents).unwrap();
    fs::write(dir.path().join("roots.yaml"), roots(&ca().0)).unwrap();
    check(dir.path(), "Chart.yaml");
}

/// The certificates that the quick start on Kubernetes has readers make are ones that its policy lets in.
#[test]
fn the_commands_of_the_quick_start_make_certificates_that_pass() {
    if let Err(error) = Command::new("openssl").arg("version").output() {
        return skip::skip("the commands of the quick start on Kubernetes", &format!("openssl: {error}"));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/kubernetes.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split_once("```").expect("a block that ends").0);
    let commands: Vec<&str> = blocks.filter(|block| block.contains("openssl req -x509")).collect();
    let [commands] = commands[..] else { panic!("{} blocks make certificates", commands.len()) };
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new("sh").args(["-e", "-c", commands]).current_dir(dir.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let policies = tempfile::tempdir().unwrap();
    fs::copy(root.join("deploy/kubernetes/policy.yaml"), policies.path().join("policy.yaml")).unwrap();
    let authority = fs::read_to_string(dir.path().join("partner-roots.pem")).unwrap();
    fs::write(policies.path().join("roots.yaml"), roots(&authority)).unwrap();
    check(policies.path(), "the quick start");
    let explain = |certificate: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_certgate"));
        command.args(["explain", "--host", "api.example.com", "--path", "/", "--policies"]).arg(policies.path());
        command.args(certificate).current_dir(dir.path()).output().unwrap()
    };
    let allowed = explain(&["--certificate", "client.pem"]);
    assert_eq!(allowed.status.code(), Some(0), "{}", String::from_utf8_lossy(&allowed.stdout));
    assert_eq!(explain(&["--certificate", "gateway.pem"]).status.code(), Some(1), "that is a server's");
    for file in ["gateway.key", "client.key"] {
        assert!(dir.path().join(file).is_file(), "{file}");
    }
}

#[test]
fn operators_find_what_to_do_first() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(sections[0], "When something is wrong");
    let contents = page.split("\n## ").next().unwrap();
    let listed = contents.lines().filter_map(|line| line.strip_prefix("| [")?.split_once("](#"));
    let listed: Vec<(&str, &str)> = listed.map(|(name, rest)| (name, rest.split_once(')').unwrap().0)).collect();
    let wanted: Vec<String> = sections.iter().map(|section| anchor(section)).collect();
    let wanted: Vec<(&str, &str)> = sections.iter().copied().zip(wanted.iter().map(String::as_str)).collect();
    assert_eq!(listed, wanted, "the table of contents has every section, in order");
}

/// The YAML files below a folder.
fn manifests(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => manifests(&path),
            false if path.extension().is_some_and(|extension| extension == "yaml") => vec![path],
            false => Vec::new(),
        })
        .collect()
}

/// Every duration, in milliseconds, that `key` has in a text.
fn durations(text: &str, key: &str) -> Vec<f64> {
    let values = text.split(key).skip(1).map(|rest| rest.split([',', '}', '\n']).next().unwrap().trim());
    let read = |value: &str| match value.strip_suffix("ms") {
        Some(number) => number.parse::<f64>().ok(),
        None => value.strip_suffix('s')?.parse::<f64>().ok().map(|seconds| seconds * 1000.0),
    };
    values.filter_map(read).collect()
}

/// Envoy takes the longest back-off of a retry for the time of each attempt.
#[test]
fn no_example_gives_an_attempt_less_time_than_its_timeout() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for path in manifests(&root.join("deploy")) {
        let text = fs::read_to_string(&path).unwrap();
        let intervals = [durations(&text, "max_interval:"), durations(&text, "maxInterval:")].concat();
        let shortest = durations(&text, "timeout:").into_iter().fold(f64::INFINITY, f64::min);
        seen += intervals.len();
        for interval in intervals {
            assert!(interval >= shortest, "{}: {interval} ms, timeout {shortest} ms", path.display());
        }
    }
    assert_eq!(seen, 3, "an example was added or lost: mend the count");
}

/// An authorizer sees no trailers: each Envoy that asks one must remove a client's identity from them itself.
#[test]
fn no_example_lets_trailers_carry_an_identity() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for path in manifests(&root.join("deploy")) {
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("envoy.filters.http.ext_authz") {
            seen += 1;
            let removed = text.split_once("request_trailers_mutations:").map(|(_, rest)| rest).unwrap_or_default();
            let names = ["user", "groups"].iter().all(|name| removed.contains(name));
            assert!(names && removed.contains("remove"), "{}", path.display());
        }
    }
    assert_eq!(seen, 3, "an example was added or lost: mend the count");
}

/// The pages of the project.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => pages(&path),
            false if path.extension().is_some_and(|extension| extension == "md") => vec![path],
            false => Vec::new(),
        })
        .collect()
}

/// How a heading is linked to.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = vec![root.join("README.md")];
    for folder in ["docs", "deploy", "charts"] {
        all.extend(pages(&root.join(folder)));
    }
    let mut links = 0;
    for page in all {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            let Some(heading) = heading else { continue };
            let target = fs::read_to_string(&target).unwrap();
            let has_heading = target.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
            assert!(has_heading, "{}: {link} names no heading", page.display());
        }
    }
    assert!(links > 40, "{links}: mend how this test reads pages");
}

/// The image's bases are named by digest: looked up once, written down, and taken from there from then on.
#[test]
fn the_image_is_built_from_bases_by_digest() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let (lock, log, docker) = (dir.path().join("images.lock"), dir.path().join("log"), dir.path().join("docker"));
    // Stands in for docker: tells a digest, and takes down what it is asked to build.
    let digest = "ab".repeat(32);
    let stand_in = format!(
        "#!/bin/sh\nif [ \"$1\" = buildx ]; then echo \"look-up $4\" >> {log}; echo \"${{DIGEST-sha256:{digest}}}\"; else echo \"$@\" >> {log}; fi\n",
        log = log.display()
    );
    certgate_testing::program::write(&docker, &stand_in);
    let build = |args: &[&str], digest: Option<&str>| {
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(root.join("deploy/docker/build"));
        command.args(args).env("PATH", path).env("CERTGATE_IMAGES_LOCK", &lock);
        if let Some(digest) = digest {
            command.env("DIGEST", digest);
        }
        let output = command.output().unwrap();
        let said = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(&log);
        (output.status.success(), said)
    };
    for wrong in ["", "sha256:1", "latest"] {
        let (built, said) = build(&["certgate:1"], Some(wrong));
        assert!(!built && !said.contains("--file") && !lock.exists(), "{wrong:?}: {said}");
    }
    let (built, said) = build(&["certgate:1"], None);
    assert!(built && said.contains("look-up rust:"), "{said}");
    for base in ["RUST_IMAGE=rust:", "RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot"] {
        assert!(said.contains(&format!("--build-arg {base}")), "{said}");
    }
    assert_eq!(said.matches(&format!("@sha256:{digest}")).count(), 2, "{said}");
    let (built, said) = build(&["certgate:1", "certgate:latest"], Some("latest"));
    assert!(built && !said.contains("look-up") && said.contains("--tag certgate:1 --tag certgate:latest"), "{said}");
    fs::write(&lock, "RUST_IMAGE=rust:1.95-bookworm\n").unwrap();
    assert!(!build(&["certgate:1"], None).0, "a tag is no digest");
    assert!(build(&["--update", "certgate:1"], None).0);
}

/// A file that was moved must be moved on that page too.
#[test]
fn paths_in_the_architecture_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let is_path = |text: &&str| ["src/", "crates/", "tests/", "docs/"].iter().any(|folder| text.starts_with(folder));
    let named: Vec<&str> =
        page.split(['`', ' ', '\n']).filter(is_path).map(|path| path.trim_end_matches(',')).collect();
    assert!(named.len() > 60, "the page names files: {named:?}");
    let lost: Vec<_> = named.into_iter().filter(|path| !root.join(path).exists()).collect();
    assert!(lost.is_empty(), "docs/architecture.md names files that do not exist: {lost:#?}");
}
