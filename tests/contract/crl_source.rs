//! CRLs as they are read: where pieces end, what is no file of CRLs, and what metrics make of odd ones.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use certgate_testing::der;
use certgate_testing::status;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certgate::file::loader::{Loader, ReloadOutcome};
use certgate::metrics::Metrics;
use certgate_x509::{Crl, CrlReader, Name, SignaturePolicy};

use der::{Draft, SigningKey, implicit, seq};
use status::*;

/// Octets that readers give to the parser at once.
const PIECE: usize = 64 << 10;

fn pem(label: &str, der: &[u8], width: usize) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Every element of a CRL ends once where a piece does, and an octet before and after; nothing of it changes thereby.
#[test]
fn any_element_may_end_where_a_piece_does() {
    let key = SigningKey::p256();
    let (spki, issuer, policy) = (key.spki(), Name::parse_rfc4514("CN=CA").unwrap(), SignaturePolicy::default());
    let filler = |octets: usize| ("1.2.3.4".to_owned(), false, vec![7; octets]);
    let long: Vec<Vec<u8>> = (0..31_u8).map(|n| entry(&[1, n], &[filler(2000)])).collect();
    let list = |octets: usize| {
        let mut draft = CrlDraft::new("CN=CA");
        draft.entries = long.clone();
        draft.entries.push(entry(&[2], &[filler(octets)]));
        draft.lists(&[3], None).der(&key)
    };
    let fixed = list(1000).len() - 1000;
    // From a piece that ends after the whole back to one that ends before the last entry.
    for octets in PIECE - fixed - 2..PIECE - fixed + 260 {
        let der = list(octets);
        let check = |crl: &Crl, form: &str| {
            assert_eq!(crl.len(), 33, "{form}, {octets}");
            assert_eq!(crl.verify(&spki, &policy), Ok(()), "{form}, {octets}");
            assert!([1, 2, 3].iter().all(|n| crl.entry(&issuer, &[*n]).is_some() == (*n > 1)), "{form}, {octets}");
        };
        check(&Crl::from_der(&der).unwrap(), "DER");
        if octets.is_multiple_of(8) {
            for width in [64, usize::MAX] {
                let text = pem("X509 CRL", &der, width);
                let found = CrlReader::read(text.as_bytes()).unwrap();
                check(&found[0], "PEM");
                assert_eq!(found.len(), 1);
            }
        }
    }
}

const POLICIES: &str = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: partners}\nspec:\n  \
                        trustAnchors: [{file: ca.pem}]\n  revocation: {mode: Offline, crls: [{file: ca.crl}]}\n---\n\
                        apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: api}\n\
                        spec: {match: [{hosts: [api]}], trustRef: {name: partners}}\n";

/// A policy directory, without its CRLs, and a key of its CA.
fn directory() -> (tempfile::TempDir, SigningKey, String) {
    let (dir, key) = (tempfile::tempdir().unwrap(), SigningKey::ed25519());
    let certificate = pem("CERTIFICATE", &Draft::ca("CN=CA", "CN=CA", &key).der(&key), 64);
    fs::write(dir.path().join("ca.pem"), &certificate).unwrap();
    fs::write(dir.path().join("policies.yaml"), POLICIES).unwrap();
    (dir, key, certificate)
}

/// The sizes of the CRLs that are in use after a reload that publishes them.
fn sizes(loader: &mut Loader) -> Vec<usize> {
    match loader.reload().outcome {
        ReloadOutcome::Published(snapshot) => snapshot.crls().iter().map(|crl| crl.entries).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_file_of_crls_is_told_and_the_last_good_ones_stay() {
    let (dir, key, certificate) = directory();
    let path = dir.path().join("ca.crl");
    let crl = |n: u8| (0..n).fold(CrlDraft::new("CN=CA").with(number(n)), |crl, n| crl.lists(&[1, n], None)).der(&key);
    let text = pem("X509 CRL", &crl(1), 64);
    let aside = dir.path().join(".aside");
    let file = |content: &[u8]| {
        fs::write(&aside, content).unwrap();
        fs::rename(&aside, &path).unwrap();
    };
    let special = |make: &dyn Fn(&Path)| {
        make(&aside);
        fs::rename(&aside, &path).unwrap();
    };
    let mut loader = Loader::new(dir.path());
    file(&crl(1));
    assert_eq!(sizes(&mut loader), [1]);
    type Row<'a> = (&'a str, Box<dyn Fn() + 'a>, &'a str);
    let rows: Vec<Row<'_>> = vec![
        (
            "pipe",
            Box::new(|| special(&|at| assert!(Command::new("mkfifo").arg(at).status().unwrap().success()))),
            "not a regular file",
        ),
        ("device", Box::new(|| special(&|at| symlink("/dev/zero", at).unwrap())), "not a regular file"),
        ("link to itself", Box::new(|| special(&|at| symlink("ca.crl", at).unwrap())), "cannot read"),
        ("empty", Box::new(|| file(b"")), "no `-----BEGIN X509 CRL-----` block"),
        ("one octet", Box::new(|| file(b"0")), "no `-----BEGIN X509 CRL-----` block"),
        ("certificate", Box::new(|| file(certificate.as_bytes())), "is `CERTIFICATE`"),
        ("CRL and certificate", Box::new(|| file([&*text, &*certificate].concat().as_bytes())), "PEM block 2 (line "),
        (
            "CRL and private key",
            Box::new(|| file([&*text, &*pem("PRIVATE KEY", b"secret", 64)].concat().as_bytes())),
            "is a private key",
        ),
        ("half of one, DER", Box::new(|| file(&crl(1)[..100])), "CRL 1: certificateList"),
        ("half of one, PEM", Box::new(|| file(&text.as_bytes()[..100])), "has no END"),
        ("two, DER", Box::new(|| file(&[crl(1), crl(2)].concat())), "octets after the end"),
        (
            "one and a broken one",
            Box::new(|| file([&*text, &*pem("X509 CRL", b"x", 64)].concat().as_bytes())),
            "CRL 2: ",
        ),
    ];
    for (row, make, want) in rows {
        make();
        let reload = loader.reload();
        assert!(matches!(reload.outcome, ReloadOutcome::Unchanged), "{row}: {:?}", reload.outcome);
        let told: Vec<&str> = reload.problems.iter().map(|problem| &*problem.message).collect();
        assert!(told.iter().any(|message| message.contains(want)), "{row}: {told:?}");
        assert!(!told.iter().any(|message| message.contains("c2Vj")), "{row} quotes a key: {told:?}");
        // It is told as long as it lasts, and taken for no other.
        let again = loader.reload();
        assert!(
            matches!(again.outcome, ReloadOutcome::Unchanged) && *again.problems == *reload.problems,
            "{row}: {again:?}"
        );
    }
    file(&crl(1));
    let mended = loader.reload();
    assert!(matches!(mended.outcome, ReloadOutcome::Unchanged) && mended.problems.is_empty(), "{mended:?}");
    file(&crl(2));
    assert_eq!(sizes(&mut loader), [2]);
}

/// Prometheus takes no two samples of one series.
#[test]
fn no_two_crls_share_their_series() {
    let (dir, key, _) = directory();
    let signer = |id: &[u8]| (id::AUTHORITY_KEY_IDENTIFIER.to_owned(), false, seq(&[implicit(0, id)]));
    let names = |names: &[&str]| {
        let points: Vec<Vec<u8>> = names.iter().map(|name| der::uri(name)).collect();
        idp(&[full_name(&points)])
    };
    let long = format!("http://crl.example/{}", "x".repeat(400));
    let any = CrlDraft::new("CN=CA");
    let drafts = [
        any.clone(),
        any.clone().with(signer(&[])),
        any.clone().with(signer(&[1])),
        any.clone().with(signer(&[&[2; 20][..], &[1]].concat())),
        any.clone().with(signer(&[&[2; 20][..], &[2]].concat())),
        any.clone().with(names(&[&format!("{long}1")])),
        any.clone().with(names(&[&format!("{long}2")])),
        any.clone().with(names(&["http://a\"}1\nx{y=\"", "http://\0"])),
        any.clone().with(names(&["\u{1}", "\u{2}"])),
        any.clone().with(base(1)),
    ];
    let text: String = drafts.iter().map(|draft| pem("X509 CRL", &draft.der(&key), 64)).collect();
    fs::write(dir.path().join("ca.crl"), text).unwrap();
    let ReloadOutcome::Published(snapshot) = Loader::new(dir.path()).reload().outcome else {
        panic!("nothing to publish")
    };
    let metrics = Metrics::new();
    metrics.set_profiles(snapshot.crls(), snapshot.anchors());
    let text = metrics.render();
    let series: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("certgate_crl_entries{")).collect();
    assert_eq!(series.len(), drafts.len(), "{text}");
    assert_eq!(series.iter().collect::<BTreeSet<_>>().len(), drafts.len(), "{}", series.join("\n"));
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
}
