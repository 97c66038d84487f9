//! What 100,000 mappings cost. A measurement, not a check of behaviour: `make figures-directory` runs it optimized. The
//! memory is judged, which is the same in every build.

use std::time::{Duration, Instant};

use crate::in_own_process;
use certgate::domain::api::{CertificateMappingSpec, CertificateName, IdentitySpec, Object, ObjectMeta, Origin};
use certgate::domain::store::Index;
use certgate_testing::bars::Bars;

const MAPPINGS: u32 = 100_000;

/// Octets that one mapping may add to the resident memory, its texts among them.
const BAR: usize = 100;

fn mapping(number: u32) -> Object {
    let meta = ObjectMeta {
        name: format!("acme-{number}"),
        namespace: "payments".to_owned(),
        labels: [("api".to_owned(), "payments".to_owned())].into(),
        creation_timestamp: None,
        origin: Origin { file: "mappings.yaml".into(), document: number },
        unread: Vec::new(),
    };
    let mut digest = [0_u8; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = (number.wrapping_mul(2_654_435_761).rotate_left(at as u32) >> 7) as u8;
    }
    digest[..4].copy_from_slice(&number.to_be_bytes());
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let spec = CertificateMappingSpec {
        certificate: CertificateName { sha256: Some(sha256), ..CertificateName::default() },
        identity: IdentitySpec {
            user: format!("svc-acme-{number}"),
            groups: vec!["partners".to_owned(), format!("tier-{}", number % 4)],
            ..IdentitySpec::default()
        },
        state: Default::default(),
    };
    Object::CertificateMapping { meta, spec: Box::new(spec) }
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("statm has numbers");
    pages * 4096
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = work();
    (value, start.elapsed())
}

#[test]
#[ignore = "a measurement"]
fn a_hundred_thousand_mappings() {
    in_own_process("index::a_hundred_thousand_mappings", measure);
}

fn measure() {
    let mut index = Index::new();
    index.apply(mapping(0));
    let _ = index.publish();
    let before = resident();
    let ((), applied) = timed(|| (1..MAPPINGS).for_each(|number| index.apply(mapping(number))));
    let (first, published) = timed(|| index.publish().expect("mappings were added"));
    assert_eq!(first.counts().mappings, MAPPINGS as usize);
    let grown = resident().saturating_sub(before);
    // Key, user and name: 32, about 14 and about 10 bytes.
    let texts: usize = (1..MAPPINGS).map(|n| 32 + format!("svc-acme-{n}").len() + format!("acme-{n}").len()).sum();
    println!("apply all:          {applied:?}");
    println!("publish:            {published:?}");
    let mut bars = Bars::new();
    println!("texts:              {} octets a mapping", texts / MAPPINGS as usize);
    bars.count("octets of memory a mapping, with its texts", grown / MAPPINGS as usize, BAR);
    println!("resident in all:    {} MiB", resident() >> 20);

    let mut kept = vec![first];
    let mut slowest = Duration::ZERO;
    for number in MAPPINGS..MAPPINGS + 100 {
        let (snapshot, took) = timed(|| {
            index.apply(mapping(number));
            index.publish().expect("a mapping was added")
        });
        slowest = slowest.max(took);
        kept.push(snapshot);
    }
    println!("one more, slowest:  {slowest:?}");
    let ((), again) = timed(|| (0..MAPPINGS).for_each(|number| index.apply(mapping(number))));
    assert!(index.publish().is_none(), "a relist changes nothing");
    println!("apply all again:    {again:?}");
    let ((), dropped) = timed(|| drop(kept));
    println!("drop 101 snapshots: {dropped:?}");
    println!("resident in all:    {} MiB", resident() >> 20);
    bars.end();
}
