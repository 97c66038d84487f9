//! The figures of a CRL with a million entries. They need an optimized build: `make figures-crl`.

use certgate_testing::bars;
use certgate_testing::der;
use certgate_testing::status;
use certgate_x509::{
    Certificate, Crl, Name, NoTrace, PathParameters, Pool, Rejection, RevocationData, RevocationPolicy, Sha256,
    SignaturePolicy, SignerCandidates, check_revocation, find_path,
};

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bars::Bars;

use der::{Draft, NOW, SigningKey};
use status::*;

const ENTRIES: usize = 1_000_000;

/// The bars: of a load in processor time, of a look-up, of what a decision takes more in percent. Where a neighbour
/// keeps the memory busy, a look-up may take as long as two reads of it.
const LOAD: Duration = Duration::from_millis(1500);
const LOOK_UP: Duration = Duration::from_nanos(200);
const ADDED: f64 = 1.0;

/// Clients that are decided on with and without CRLs, how often for one measurement, and measurements.
const CLIENTS: usize = 500;
const ROUNDS: usize = 8;
const MEASUREMENTS: usize = 8;

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

/// The processor time that this thread has used. Unlike the clock on the wall it means the same on a busy machine.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

fn each(total: Duration, count: usize) -> u128 {
    total.as_nanos() / count as u128
}

/// Nanoseconds of a read somewhere in `octets` of memory, whose place is known only once the one before is done: below
/// this, nothing that reads memory can come on this machine.
fn random_read(octets: usize) -> u128 {
    const LINE: usize = 8;
    let lines = octets / 64;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut order: Vec<usize> = (0..lines).collect();
    // One cycle through all lines, in random order (Sattolo).
    for at in (1..lines).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(at, usize::try_from(state % at as u64).unwrap());
    }
    let mut next = vec![0_usize; lines * LINE];
    order.iter().enumerate().for_each(|(at, to)| next[at * LINE] = *to);
    let start = processor();
    let end = (0..lines).fold(0, |at, _| next[at * LINE]);
    assert_eq!(end, 0);
    each(processor() - start, lines)
}

/// Nanoseconds of a look-up of what is listed that begins when the one before is answered, with the numbers in the
/// caches and the list not.
fn one_by_one(crl: &Crl, issuer: &Name) -> u128 {
    let serials: Vec<[u8; 20]> = (0..8192).map(|n| serial(n * 7919 % ENTRIES)).collect();
    let mut other = vec![1_u8; 128 << 20];
    other.iter_mut().step_by(64).for_each(|octet| *octet += 1);
    black_box(&other);
    let kept: usize = serials.iter().map(|serial| usize::from(serial[0])).sum();
    black_box(kept);
    let zero = black_box(0);
    // Too short for what the system counts of processor time.
    let start = Instant::now();
    let mut at = 0;
    while let Some(serial) = serials.get(at) {
        let date = crl.entry(issuer, serial).unwrap().date.as_secs();
        at += 1 + usize::try_from(date & zero).unwrap();
    }
    each(start.elapsed(), serials.len())
}

#[test]
#[ignore = "a measurement, meant for a release build"]
fn a_million_entries() {
    let (root, key) = (SigningKey::p256(), SigningKey::p256());
    let ca = Draft::ca("CN=CA", "CN=Root", &key).sign(&root);
    let mut draft = CrlDraft::new("CN=CA");
    draft.entries = (0..ENTRIES).map(|n| entry(&serial(n), &[reason_code(reason::KEY_COMPROMISE)])).collect();
    let der = draft.der(&key);
    drop(draft);
    let octets = der.len();

    let before = resident();
    let (start, used) = (Instant::now(), processor());
    let crl = Crl::from_der(der).unwrap();
    crl.verify(ca.public_key(), &SignaturePolicy::default()).unwrap();
    let (elapsed, load) = (start.elapsed(), processor() - used);
    let kept = crl.memory();
    println!(
        "load {elapsed:?} ({load:?} of a processor) of {octets} octets; {kept} octets kept, {:.1} an entry",
        kept as f64 / ENTRIES as f64
    );
    // The input was in memory before and is gone now.
    println!("resident: {before} before with the input, {} after", resident());
    assert_eq!(crl.len(), ENTRIES);
    let mut bars = Bars::new();
    bars.count("octets kept of a million entries", kept, 24 * ENTRIES);
    bars.time("load of a million entries, of a processor", load, LOAD);

    let floor: Vec<u128> = (0..5).map(|_| random_read(kept)).collect();
    println!("one read somewhere in {kept} octets, each after the one before: {floor:?} ns");
    let read = u64::try_from(*floor.iter().min().unwrap()).unwrap();
    let bar = LOOK_UP.max(Duration::from_nanos(2 * read));
    for (what, from, listed) in [("listed", 0, ENTRIES), ("not listed", ENTRIES, 0)] {
        let serials: Vec<[u8; 20]> = (from..from + ENTRIES).map(serial).collect();
        let rounds: Vec<u128> = (0..10)
            .map(|_| {
                let start = processor();
                let found = serials.iter().filter(|serial| crl.entry(ca.subject(), &serial[..]).is_some()).count();
                let each = each(processor() - start, ENTRIES);
                assert_eq!(found, listed);
                each
            })
            .collect();
        println!("look-up of what is {what}: {rounds:?} ns");
        let best = u64::try_from(*rounds.iter().min().unwrap()).unwrap();
        bars.time(&format!("look-up of what is {what}, best of ten"), Duration::from_nanos(best), bar);
    }
    let rounds: Vec<u128> = (0..5).map(|_| one_by_one(&crl, ca.subject())).collect();
    println!("look-up of what is listed, each after the answer to the one before: {rounds:?} ns");

    // What a decision pays for it: the check of a path of three, whose CRLs list nobody on it.
    let anchor = Draft::ca("CN=Root", "CN=Root", &root).sign(&root);
    let leaf: Arc<Certificate> = Draft::client("CN=client", "CN=CA", &SigningKey::p256()).sign(&key);
    let path = [leaf, ca, anchor];
    let pool = Pool::new([Arc::clone(&path[2])], [Arc::clone(&path[1])]);
    let by_root = Crl::from_der(CrlDraft::new("CN=Root").der(&root)).unwrap();
    by_root.verify(path[2].public_key(), &SignaturePolicy::default()).unwrap();
    let data = RevocationData::new([Arc::new(crl), Arc::new(by_root)]);
    let helpers = SignerCandidates { pool: &pool, presented: &[] };
    let policy = RevocationPolicy::default();
    let rounds = 200_000;
    let start = Instant::now();
    for _ in 0..rounds {
        check_revocation(&data, &policy, &path, helpers, NOW, &mut NoTrace).unwrap();
    }
    println!("check of a path of three: {} ns", each(start.elapsed(), rounds));

    // Whole decisions, from DER, signatures included; each client certificate has a serial number of its own, so that
    // each look-up goes elsewhere.
    let client = SigningKey::p256();
    let leaves: Vec<Vec<u8>> = (0..CLIENTS)
        .map(|n| {
            let mut leaf = Draft::client("CN=client", "CN=CA", &client);
            leaf.serial = serial(2 * ENTRIES + n).to_vec();
            leaf.der(&key)
        })
        .collect();
    let ca = path[1].der().to_vec();
    let pool = Pool::new([Arc::clone(&path[2])], []);
    let parameters = PathParameters::default();
    let decide = |leaf: &[u8], data: Option<&RevocationData>| {
        let start = Instant::now();
        let leaf = Arc::new(Certificate::from_der(leaf.to_vec()).unwrap());
        let presented = [Arc::new(Certificate::from_der(ca.clone()).unwrap())];
        let helpers = SignerCandidates { pool: &pool, presented: &presented };
        find_path(&leaf, &presented, &pool, &parameters, NOW, &mut NoTrace, |found, trace| {
            let Some(data) = data else { return Ok(()) };
            let outcome = check_revocation(data, &policy, found.certificates(), helpers, NOW, trace);
            outcome.map(|_| ()).map_err(|f| Rejection { kind: f.status.kind(), detail: f.to_string() })
        })
        .unwrap();
        start.elapsed()
    };
    // Each with and without, the order alternating, and again after all others. What counts of a client are the lower
    // quartiles: a neighbour on the machine delays some decisions, and which ones is chance.
    let quartile = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 4].as_secs_f64()
    };
    let mean = |times: &mut [Vec<Duration>]| times.iter_mut().map(quartile).sum::<f64>() / CLIENTS as f64;
    let measure = || {
        let mut with = vec![Vec::new(); CLIENTS];
        let mut without = vec![Vec::new(); CLIENTS];
        for round in 0..ROUNDS {
            for (n, leaf) in leaves.iter().enumerate() {
                for turn in 0..2 {
                    if (n + round + turn) % 2 == 0 {
                        with[n].push(decide(leaf, Some(&data)));
                    } else {
                        without[n].push(decide(leaf, None));
                    }
                }
            }
        }
        let (with, without) = (mean(&mut with), mean(&mut without));
        let (added, share) = ((with - without) * 1e9, (with / without - 1.0) * 100.0);
        println!(
            "a cold decision takes {:.1} µs without CRLs, {added:.0} ns more with them: {share:.2} %",
            without * 1e6
        );
        share
    };
    let best = (0..MEASUREMENTS).map(|_| measure()).fold(f64::INFINITY, f64::min);
    bars.ratio("added to a cold decision by the CRLs (%)", best, ADDED);
    bars.end();
}
