use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn entry(n: usize) -> RevocationEntry {
    let reasons = [None, Some(CrlReason::KeyCompromise), Some(CrlReason::CertificateHold)];
    RevocationEntry { date: UnixTime::from_secs(1_700_000_000 + n as i64), reason: reasons[n % reasons.len()] }
}

fn table(serials: &[(u32, Vec<u8>)]) -> Result<Serials, Duplicate> {
    let mut records = Records::default();
    for (n, (issuer, serial)) in serials.iter().enumerate() {
        records.push(*issuer, serial, entry(n));
    }
    records.into_table()
}

/// Magnitudes, as readers give them.
fn magnitude() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..=20),
        (0_u32..2000).prop_map(|n| n.to_be_bytes().to_vec()),
        (0_u32..2000).prop_map(|n| [n.to_be_bytes(), [7; 4], [7; 4]].concat()),
    ]
    .prop_map(|octets| octets.iter().copied().skip_while(|octet| *octet == 0).collect())
}

proptest! {
    #[test]
    fn finds_what_was_put_in_and_nothing_else(
        inside in proptest::collection::hash_map((0_u32..3, magnitude()), Just(()), 0..400),
        outside in proptest::collection::vec((0_u32..4, magnitude()), 0..100),
    ) {
        let serials: Vec<(u32, Vec<u8>)> = inside.into_keys().collect();
        let model: HashMap<_, _> = serials.iter().cloned().zip(0..).collect();
        let built = table(&serials).unwrap();
        prop_assert_eq!(built.len(), serials.len());
        for (issuer, serial) in serials.iter().chain(&outside) {
            let want = model.get(&(*issuer, serial.clone())).map(|n| entry(*n));
            prop_assert_eq!(built.get(*issuer, serial), want);
        }
    }
}

#[test]
fn lists_of_every_shape_spread_over_the_buckets() {
    let count = 20_000_u64;
    type Shape = (&'static str, fn(u64) -> Vec<u8>);
    let shapes: [Shape; 4] = [
        ("sequential", |n| (n + 1_000_000).to_be_bytes().to_vec()),
        ("constant end", |n| [n.to_be_bytes(), [9; 8]].concat()),
        ("constant front", |n| [[9; 8], n.to_be_bytes()].concat()),
        ("steps of 2^20", |n| (n << 20).to_be_bytes().to_vec()),
    ];
    for (shape, make) in shapes {
        let trim = |octets: Vec<u8>| octets.into_iter().skip_while(|octet| *octet == 0).collect::<Vec<u8>>();
        let serials: Vec<_> = (1..=count).map(|n| (0, trim(make(n)))).collect();
        let built = table(&serials).unwrap();
        let largest = built.starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(largest < 64, "{shape}: {largest} in one bucket");
        assert!(serials.iter().enumerate().all(|(n, (_, s))| built.get(0, s) == Some(entry(n))), "{shape}");
    }
}

/// Hostile lists in which every number falls into one bucket.
#[test]
fn hostile_lists_are_searched_all_the_same() {
    let made = |n: u32, mixed: u32| {
        let mut head = [0; HEAD_OCTETS];
        head[ISSUER_OCTETS..].copy_from_slice(&[[0x55; 12].as_slice(), &n.to_be_bytes()].concat());
        // The tail is mixed with this; so the mixed tails are equal too.
        let tail = unmix(mixed) ^ fold(&head);
        (0, [&head[ISSUER_OCTETS..], &tail.to_be_bytes()].concat())
    };
    for (name, mixed) in [("equal", [7_u32; 2]), ("two kinds", [7, 8])] {
        let serials: Vec<_> = (0..5_000_u32).map(|n| made(n, mixed[n as usize % 2])).collect();
        let built = table(&serials).unwrap();
        let filled = built.starts.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(filled <= 2, "{name}: {filled} buckets");
        assert!(serials.iter().enumerate().all(|(n, (_, s))| built.get(0, s) == Some(entry(n))), "{name}");
        assert!((5_000..10_000).all(|n| built.get(0, &made(n, mixed[n as usize % 2]).1).is_none()), "{name}");
        assert!((0..5_000).all(|n| built.get(0, &made(n, 9).1).is_none()), "{name}");
    }
}

/// The number whose mixed tail is `mixed`, where keys have no head.
fn unmixed(mixed: u32) -> (u32, Vec<u8>) {
    assert_eq!(mix(unmix(mixed)), mixed);
    (0, (unmix(mixed) ^ fold(&[0; HEAD_OCTETS])).to_be_bytes().to_vec())
}

/// Hostile lists in which remainders in a bucket are not spread.
#[test]
fn numbers_are_found_where_remainders_crowd() {
    let count = 400;
    let kept = 32 - Layout::new(count as usize, 0).bits;
    let last = (1_u32 << kept) - 1;
    for (name, place) in [("at the front", [0, 1]), ("at the end", [last, u32::MAX]), ("amid", [last / 2, 3])] {
        let number = |n: u32| unmixed(place[0].wrapping_add(n.wrapping_mul(place[1])));
        let serials: Vec<_> = (0..count).map(|n| number(2 * n)).collect();
        let built = table(&serials).unwrap();
        assert!(serials.iter().enumerate().all(|(n, (_, s))| built.get(0, s) == Some(entry(n))), "{name}");
        assert!((0..count).all(|n| built.get(0, &number(2 * n + 1).1).is_none()), "{name}");
    }
}

/// A number that differs from a listed one by its bucket alone is not listed.
#[test]
fn a_bucket_ends_where_the_next_begins() {
    let count = 512_u32;
    let bits = Layout::new(count as usize, 0).bits;
    let number = |bucket: u32, rest: u32| unmixed(bucket << (32 - bits) | rest);
    let half = 1_u32 << (bits - 1);
    let serials: Vec<_> = (0..count).map(|n| number(n % half * 2 + 1, n / half)).collect();
    let built = table(&serials).unwrap();
    assert!(serials.iter().enumerate().all(|(n, (_, s))| built.get(0, s) == Some(entry(n))));
    assert!((0..count).all(|n| built.get(0, &number(n % half * 2, n / half).1).is_none()));
}

#[test]
fn a_serial_number_stands_once() {
    let twice = [(0, vec![1]), (0, vec![5, 6]), (0, vec![1])];
    assert_eq!(table(&twice).unwrap_err().0, vec![1]);
    let long: Vec<u8> = (1..=20).collect();
    assert_eq!(table(&[(0, long.clone()), (0, long.clone())]).unwrap_err().0, long);
    // The same number of two issuers is two certificates.
    assert!(table(&[(0, vec![1]), (1, vec![1])]).is_ok());
}

#[test]
fn twenty_octets_take_twenty_three() {
    let serials: Vec<_> = (0..300_000_u64)
        .map(|n| (0, crate::fingerprint::Sha256::of(&n.to_be_bytes()).as_bytes()[..20].to_vec()))
        .collect();
    let built = table(&serials).unwrap();
    let each = built.memory() as f64 / built.len() as f64;
    assert!(each < 24.0, "{each}");
}

/// Remainders are counted the same in every representation.
#[test]
fn remainders_below_another_are_counted() {
    for bits in [15, 16, 28] {
        let all = Remainders::new(bits, vec![3, 5, 5, 8, 9]);
        assert_eq!(matches!(all, Remainders::Short(_)), bits >= 16);
        let counts = [3, 4, 5, 6, 8, 9, 10].map(|rest| all.below(0..5, rest));
        assert_eq!(counts, [0, 1, 1, 3, 3, 4, 5], "{bits}");
        assert_eq!(all.below(1..4, 6), 2);
        assert_eq!(all.memory(), if bits >= 16 { 10 } else { 20 });
    }
}

#[test]
fn no_certificate_has_more_than_twenty_octets_or_less_than_zero() {
    let number = |first: u8, octets: usize| [vec![first], vec![7; octets - 1]].concat();
    assert_eq!(super::magnitude(&number(1, 20)), Some(&*number(1, 20)));
    assert_eq!(super::magnitude(&number(0, 20)), Some(&*number(7, 19)));
    assert!([number(1, 21), number(0, 21), number(0x80, 20)].iter().all(|content| super::magnitude(content).is_none()));
}
