//! The figures of a CRL with a million entries. Run in release:
//! `cargo test --release --test crl_scale -- --ignored --nocapture`.

#[path = "support/der.rs"]
mod der;
#[path = "support/status.rs"]
mod status;

use std::sync::Arc;
use std::time::{Duration, Instant};

use certgate::domain::certificate::Certificate;
use certgate::domain::fingerprint::Sha256;
use certgate::domain::path::{Pool, SignaturePolicy};
use certgate::domain::revocation::{Crl, Helpers, RevocationData, RevocationPolicy, check_path};
use certgate::domain::trace::NoTrace;

use der::{Draft, Key, NOW};
use status::*;

const ENTRIES: usize = 1_000_000;

fn serial(n: usize) -> [u8; 20] {
    let mut serial = [0; 20];
    serial.copy_from_slice(&Sha256::of(&n.to_be_bytes()).as_bytes()[..20]);
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// Resident memory in octets.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn each(total: Duration, count: usize) -> u128 {
    total.as_nanos() / count as u128
}

#[test]
#[ignore = "a measurement, meant for a release build"]
fn a_million_entries() {
    let (root, key) = (Key::p256(), Key::p256());
    let ca = Draft::ca("CN=CA", "CN=Root", &key).sign(&root);
    let mut draft = CrlDraft::new("CN=CA");
    draft.entries = (0..ENTRIES).map(|n| entry(&serial(n), &[reason_code(reason::KEY_COMPROMISE)])).collect();
    let der = draft.der(&key);
    drop(draft);
    let octets = der.len();

    let before = resident();
    let start = Instant::now();
    let crl = Crl::from_der(der).unwrap();
    crl.verify(ca.public_key(), &SignaturePolicy::default()).unwrap();
    let load = start.elapsed();
    let kept = crl.memory();
    println!("load {load:?} of {octets} octets; {kept} octets kept, {:.1} an entry", kept as f64 / ENTRIES as f64);
    // The input was in memory before and is gone now.
    println!("resident: {before} before with the input, {} after", resident());
    assert_eq!(crl.len(), ENTRIES);
    assert!(kept <= 32 << 20, "{kept} octets kept");
    assert!(load < Duration::from_millis(1500), "{load:?}");

    for (what, from, listed) in [("listed", 0, ENTRIES), ("not listed", ENTRIES, 0)] {
        let serials: Vec<[u8; 20]> = (from..from + ENTRIES).map(serial).collect();
        let start = Instant::now();
        let found = serials.iter().filter(|serial| crl.entry(ca.subject(), &serial[..]).is_some()).count();
        println!("look-up of what is {what}: {} ns", each(start.elapsed(), ENTRIES));
        assert_eq!(found, listed);
    }

    // What a decision pays for it: the check of a path of three, whose CRLs list nobody on it.
    let anchor = Draft::ca("CN=Root", "CN=Root", &root).sign(&root);
    let leaf: Arc<Certificate> = Draft::client("CN=client", "CN=CA", &Key::p256()).sign(&key);
    let path = [leaf, ca, anchor];
    let pool = Pool::new([Arc::clone(&path[2])], [Arc::clone(&path[1])]);
    let by_root = Crl::from_der(CrlDraft::new("CN=Root").der(&root)).unwrap();
    let data = RevocationData::new([Arc::new(crl), Arc::new(by_root)]);
    let helpers = Helpers { pool: &pool, presented: &[] };
    let policy = RevocationPolicy::default();
    let rounds = 200_000;
    let start = Instant::now();
    for _ in 0..rounds {
        check_path(&data, &policy, &path, helpers, NOW, &mut NoTrace).unwrap();
    }
    println!("check of a path of three: {} ns", each(start.elapsed(), rounds));
}
