//! The examples in docs/ are policies that compile.

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
const PAGES: &[(&str, usize)] = &[("docs/policies.md", 5), ("docs/kubernetes.md", 1)];

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
    assert_eq!(checked, 3, "an example was added or lost: mend the count");
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
    assert_eq!(seen, 2, "an example was added or lost: mend the count");
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
