//! The catalogue, judged by the engine and by others; what differs and is not listed, and what is listed and does not
//! differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use certgate_x509::error_kind::ErrorKind;

use crate::catalogue::{Row, rows};
use crate::divergences::{self, Listed, Other};
use crate::engine::{self, Class};
use crate::mutate::Random;
use crate::openssl;
use crate::scene::{Inputs, Scene};
use crate::webpki;

/// Chains that each row changes, unless `CERTGATE_DIFFERENTIAL` multiplies them.
const ROUNDS: usize = 6;

/// Leaves that one process judges.
const TOGETHER: usize = 64;

fn rounds() -> usize {
    let times = std::env::var("CERTGATE_DIFFERENTIAL").map_or(1, |times| times.parse().expect("a whole number"));
    ROUNDS * times
}

/// The chain of a row and a round, changed.
fn scene(row: &Row, round: usize) -> Scene {
    let mut scene = Scene::new(round as u64);
    scene.random = Random(row.seed << 32 | round as u64);
    (row.change)(&mut scene);
    scene
}

/// What two verifiers say of one chain.
struct Compared {
    row: usize,
    round: usize,
    ours: Result<(), (ErrorKind, String)>,
    theirs: Result<(), Refusal>,
}

/// What the other verifier says of a chain that it refuses.
#[derive(Debug)]
struct Refusal {
    text: String,
    /// What it is about; empty where that cannot be told.
    classes: BTreeSet<Class>,
}

impl Compared {
    fn difference(&self) -> Option<Other> {
        match (&self.ours, &self.theirs) {
            (Ok(()), Ok(())) => None,
            (Ok(()), Err(_)) => Some(Other::Refuses),
            (Err(_), Ok(())) => Some(Other::Accepts),
            (Err((reason, _)), Err(Refusal { classes, .. })) => {
                let own = engine::class(*reason);
                let comparable = own != Class::Other && !classes.is_empty() && !classes.contains(&Class::Other);
                (comparable && !classes.contains(&own)).then_some(Other::RefusesOtherwise)
            }
        }
    }
}

/// Holds the verdicts against what is listed for the verifier.
fn hold(rows: &[Row], compared: &[Compared], verifier: &str, stale: Stale) {
    let listed = divergences::listed(verifier);
    // Row and difference, with the round that is listed and the first in which it has occurred.
    let mut expected: BTreeMap<(&str, Other), (usize, Option<usize>)> = BTreeMap::new();
    for divergence in &listed {
        for Listed { row, from } in &divergence.rows {
            assert!(rows.iter().any(|one| one.name == *row), "{row}: no such row");
            let twice = expected.insert((row.as_str(), divergence.other), (*from, None));
            assert!(twice.is_none(), "{row}: listed twice");
        }
    }
    let mut unlisted: BTreeMap<(&str, Other), Vec<&Compared>> = BTreeMap::new();
    for one in compared {
        let Some(difference) = one.difference() else { continue };
        let key = (rows[one.row].name.as_str(), difference);
        match expected.get_mut(&key) {
            Some((_, first)) => *first = Some(first.map_or(one.round, |first| first.min(one.round))),
            None => unlisted.entry(key).or_default().push(one),
        }
    }
    let mut problems: Vec<String> = unlisted
        .iter()
        .map(|((row, difference), all)| {
            let one = all[0];
            let count = all.len();
            let theirs = one.theirs.as_ref().map_err(|refusal| &refusal.text);
            format!("{row}: {difference:?} {count} times, not listed; round {}: {:?}, {theirs:?}", one.round, one.ours)
        })
        .collect();
    for ((row, difference), (from, first)) in &expected {
        match first {
            Some(first) if *from > 0 && first != from => {
                problems.push(format!("{row}: {difference:?} from round {first}, listed from round {from}"));
            }
            None if stale == Stale::Fails && *from < rounds() => {
                problems.push(format!("{row}: stale: {difference:?} no longer"));
            }
            _ => {}
        }
    }
    assert!(problems.is_empty(), "{verifier}: {} problems\n{}", problems.len(), problems.join("\n"));
}

/// What follows when a listed difference does not occur.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Stale {
    Fails,
    Passes,
}

#[test]
fn openssl_differs_only_where_that_is_listed() {
    let Some(version) = openssl::version() else { return };
    let rows = rows();
    let mut groups: HashMap<Inputs, Vec<(usize, usize, Vec<u8>)>> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        for round in 0..rounds() {
            let (leaf, inputs) = scene(row, round).build();
            groups.entry(inputs).or_default().push((at, round, leaf));
        }
    }
    let work: Vec<(&Inputs, &[(usize, usize, Vec<u8>)])> =
        groups.iter().flat_map(|(inputs, leaves)| leaves.chunks(TOGETHER).map(move |some| (inputs, some))).collect();
    let (next, compared) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let folder = tempfile::tempdir().unwrap();
                while let Some((inputs, leaves)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ders: Vec<&[u8]> = leaves.iter().map(|(.., der)| der.as_slice()).collect();
                    let verdicts = openssl::judge(folder.path(), inputs, &ders);
                    for ((row, round, der), verdict) in leaves.iter().zip(verdicts) {
                        let ours = engine::judge(inputs, der);
                        let classes = || verdict.errors.iter().map(|code| openssl::class(*code)).collect();
                        let refusal = || Refusal { text: format!("{:?}", verdict.errors), classes: classes() };
                        let theirs = if verdict.accepts { Ok(()) } else { Err(refusal()) };
                        compared.lock().unwrap().push(Compared { row: *row, round: *round, ours, theirs });
                    }
                }
            });
        }
    });
    let mut compared = compared.into_inner().unwrap();
    compared.sort_by_key(|one| (one.row, one.round));
    let accepted = compared.iter().filter(|one| one.ours.is_ok()).count();
    let differ = compared.iter().filter(|one| one.ours.is_ok() != one.theirs.is_ok()).count();
    eprintln!(
        "{} chains of {} rows in {} processes: {accepted} accepted, {differ} judged otherwise by {version}",
        compared.len(),
        rows.len(),
        work.len()
    );
    assert!(compared.len() >= 3_000 && accepted > 1_000 && compared.len() - accepted > 1_000, "too few to tell");
    // The list is 3.0's; other versions may have mended what is listed.
    let stale = if version.starts_with("OpenSSL 3.0.") { Stale::Fails } else { Stale::Passes };
    hold(&rows, &compared, "openssl", stale);
}

#[test]
fn webpki_differs_only_where_that_is_listed() {
    let rows = rows();
    let mut compared = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        for round in 0..rounds() {
            let (leaf, inputs) = scene(row, round).build();
            // It has no inputs about policies, and judges CRLs by rules of its own.
            let fits = inputs.crls.is_empty() && inputs.initial_policies.is_empty() && !inputs.explicit_policy;
            if fits && !inputs.inhibit_any && !inputs.inhibit_mapping {
                let theirs = webpki::verify(&inputs.anchors, &inputs.untrusted, &leaf);
                let theirs = theirs.map_err(|text| Refusal { text, classes: BTreeSet::new() });
                compared.push(Compared { row: at, round, ours: engine::judge(&inputs, &leaf), theirs });
            }
        }
    }
    assert!(compared.len() >= 2_000, "{}", compared.len());
    hold(&rows, &compared, "webpki", Stale::Fails);
}
