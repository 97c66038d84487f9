//! The examples in README.md and docs/ are policies that compile.

use std::fs;
use std::path::Path;
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
    policies
        .map(|block| {
            block
                .replace("MIIB…", &crl)
                .replace(PLACEHOLDER, indented.trim_end_matches(' '))
                .replace("9a1c…", &"9a".repeat(32))
        })
        .collect()
}

#[test]
fn examples_compile() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
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
    let certificate = certificate.pem();

    for (page, count) in [("README.md", 1), ("docs/policies.md", 5)] {
        let dir = tempfile::tempdir().unwrap();
        let examples = examples(&fs::read_to_string(root.join(page)).unwrap(), &certificate, crl.der());
        assert_eq!(examples.len(), count, "{page}: an example was added or lost: mend the count");
        for (at, example) in examples.iter().enumerate() {
            fs::write(dir.path().join(format!("{at}.yaml")), example).unwrap();
        }
        fs::write(dir.path().join("partner-roots.pem"), &certificate).unwrap();
        fs::write(dir.path().join("partner-root.crl"), crl.der()).unwrap();
        let out = Command::new(env!("CARGO_BIN_EXE_certgate")).arg("check").arg(dir.path()).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{page}:\n{said}{}", String::from_utf8_lossy(&out.stderr));
    }
}
