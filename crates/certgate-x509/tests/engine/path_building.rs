//! Path building: tangled but honest certificates find their path, hostile ones end within a budget.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test may panic and print")]

use certgate_testing::der as support;
use certgate_x509::{
    Certificate, ErrorKind, NoTrace, PathError, PathFailure, PathParameters, Pool, Rejection, RolloverRule, ValidPath,
    find_path,
};

use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{Draft, NOW, SigningKey, dns, email, ext, uri};

/// A search over hostile certificates takes at most 20 ms; without optimization it may take longer.
const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1500 } else { 20 });

/// Runs `work` and fails when it takes longer than [`LIMIT`] on the processor; what else the machine does is no matter.
fn timed<R>(work: impl FnOnce() -> R) -> R {
    let on_processor = || {
        let fields = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        fields.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    let (wall, before) = (Instant::now(), on_processor());
    let result = work();
    let took = on_processor().zip(before).map_or(wall.elapsed(), |(after, before)| after - before);
    if std::env::var_os("SHOW_TIMES").is_some() {
        println!("{took:?}");
    }
    assert!(took < LIMIT, "took {took:?}");
    result
}

fn find(
    leaf: &Arc<Certificate>,
    presented: &[Arc<Certificate>],
    anchors: &[&Arc<Certificate>],
) -> Result<ValidPath, PathFailure> {
    let pool = Pool::new(anchors.iter().map(|anchor| Arc::clone(anchor)), []);
    let parameters = PathParameters::default();
    let found = timed(|| find_path(leaf, presented, &pool, &parameters, NOW, &mut NoTrace, |_, _| Ok(())));
    found.map(|(path, ())| path)
}

fn subjects(path: &ValidPath) -> Vec<String> {
    path.certificates().iter().map(|certificate| certificate.subject().to_string()).collect()
}

/// A root, an intermediate below it, and a leaf below that, with their keys.
struct Pki {
    root_key: SigningKey,
    ica_key: SigningKey,
    root: Arc<Certificate>,
    ica: Arc<Certificate>,
    leaf: Arc<Certificate>,
}

impl Pki {
    fn new() -> Self {
        let (root_key, ica_key, leaf_key) = (SigningKey::p256(), SigningKey::p256(), SigningKey::p256());
        Self {
            root: Draft::ca("CN=Root", "CN=Root", &root_key).sign(&root_key),
            ica: Draft::ca("CN=ICA", "CN=Root", &ica_key).sign(&root_key),
            leaf: Draft::client("CN=leaf", "CN=ICA", &leaf_key).sign(&ica_key),
            root_key,
            ica_key,
        }
    }
}

#[test]
fn the_order_of_what_is_presented_does_not_matter() {
    let pki = Pki::new();
    let stranger = Pki::new();
    let mut presented =
        vec![pki.ica.clone(), pki.root.clone(), pki.leaf.clone(), stranger.leaf.clone(), pki.ica.clone()];
    for _ in 0..presented.len() {
        presented.rotate_left(1);
        assert_eq!(subjects(&find(&pki.leaf, &presented, &[&pki.root]).unwrap()), ["CN=leaf", "CN=ICA", "CN=Root"]);
    }
    assert!(find(&pki.leaf, &presented, &[&stranger.root]).is_err(), "another root of the same name");
}

#[test]
fn an_intermediate_may_be_an_anchor() {
    let pki = Pki::new();
    assert_eq!(subjects(&find(&pki.leaf, &[], &[&pki.ica]).unwrap()), ["CN=leaf", "CN=ICA"]);
    assert_eq!(subjects(&find(&pki.leaf, &[], &[&pki.root, &pki.ica]).unwrap()), ["CN=leaf", "CN=ICA"]);
}

#[test]
fn configured_intermediates_help() {
    let pki = Pki::new();
    let pool = Pool::new([pki.root.clone()], [pki.ica.clone(), pki.root.clone()]);
    assert_eq!((pool.anchors().len(), pool.intermediates().len()), (1, 1));
    let found = find_path(&pki.leaf, &[], &pool, &PathParameters::default(), NOW, &mut NoTrace, |_, _| Ok(()));
    assert_eq!(subjects(&found.unwrap().0), ["CN=leaf", "CN=ICA", "CN=Root"]);
}

#[test]
fn configured_intermediates_are_verified_too() {
    let pki = Pki::new();
    let forged = Draft { forged: true, ..Draft::ca("CN=ICA", "CN=Root", &pki.ica_key) }.sign(&pki.root_key);
    let pool = Pool::new([pki.root.clone()], [forged]);
    for _ in 0..2 {
        let found = find_path(&pki.leaf, &[], &pool, &PathParameters::default(), NOW, &mut NoTrace, |_, _| Ok(()));
        assert_eq!(found.unwrap_err().kind(), ErrorKind::Signature);
    }
}

#[test]
fn decoys_of_the_same_name() {
    let pki = Pki::new();
    let keys: Vec<SigningKey> = (0..300).map(|_| SigningKey::ed25519()).collect();
    let self_signed: Vec<_> = keys.iter().map(|key| Draft::ca("CN=ICA", "CN=ICA", key).sign(key)).collect();
    let presented = [&self_signed[..], std::slice::from_ref(&pki.ica)].concat();
    assert!(find(&pki.leaf, &presented, &[&pki.root]).is_ok(), "self-signed decoys before the right one");

    let forged: Vec<_> = keys.iter().take(40).map(|key| Draft::ca("CN=ICA", "CN=Root", key).sign(key)).collect();
    let presented = [&forged[..], std::slice::from_ref(&pki.ica)].concat();
    assert!(find(&pki.leaf, &presented, &[&pki.root]).is_ok(), "forty forged ones before the right one");

    let roots: Vec<_> = keys.iter().take(100).map(|key| Draft::ca("CN=Root", "CN=Root", key).sign(key)).collect();
    let anchors: Vec<_> = roots.iter().chain([&pki.root]).collect();
    assert!(find(&pki.leaf, std::slice::from_ref(&pki.ica), &anchors).is_ok(), "a hundred anchors of one name");
}

#[test]
fn key_identifiers_are_hints() {
    let (root_key, key, leaf_key) = (SigningKey::p256(), SigningKey::p256(), SigningKey::p256());
    let root = Draft::ca("CN=Root", "CN=Root", &root_key).sign(&root_key);
    let right = Draft::ca("CN=ICA", "CN=Root", &key).with(ext::subject_key(b"right")).sign(&root_key);
    let decoys: Vec<_> = (0..400)
        .map(|_| SigningKey::ed25519())
        .map(|key| Draft::ca("CN=ICA", "CN=Root", &key).with(ext::subject_key(b"wrong")).sign(&root_key))
        .collect();
    let leaf = |id: &[u8]| Draft::client("CN=leaf", "CN=ICA", &leaf_key).with(ext::authority_key(id)).sign(&key);
    let presented = [&decoys[..], std::slice::from_ref(&right)].concat();
    assert!(find(&leaf(b"right"), &presented, &[&root]).is_ok());
    assert!(find(&leaf(b"other"), &[right], &[&root]).is_ok(), "a mismatch does not exclude");
    let lost = find(&leaf(b"wrong"), &presented, &[&root]).unwrap_err();
    assert!(matches!(lost.error, PathError::Budget { .. }), "{lost}");
}

#[test]
fn a_thousand_cross_signs() {
    let pki = Pki::new();
    let strangers: Vec<(String, SigningKey)> =
        (0..1000).map(|n| (format!("CN=Stranger {n}"), SigningKey::ed25519())).collect();
    let mut presented: Vec<_> = strangers
        .iter()
        .flat_map(|(name, key)| {
            [Draft::ca("CN=ICA", name, &pki.ica_key).sign(key), Draft::ca(name, name, key).sign(key)]
        })
        .collect();
    let failure = find(&pki.leaf, &presented, &[&pki.root]).unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Untrusted);
    presented.push(pki.ica.clone());
    assert!(find(&pki.leaf, &presented, &[&pki.root]).is_ok());
}

/// Every CA of the mesh signs every other one; each certificate is named by its subject.
fn mesh(size: usize) -> (Vec<SigningKey>, Vec<Arc<Certificate>>) {
    let keys: Vec<SigningKey> = (0..size).map(|_| SigningKey::ed25519()).collect();
    let name = |n: usize| format!("CN=Mesh {n}");
    let pairs = (0..size).flat_map(|a| (0..size).filter(move |b| a != *b).map(move |b| (a, b)));
    let certificates = pairs.map(|(a, b)| Draft::ca(&name(a), &name(b), &keys[a]).sign(&keys[b])).collect();
    (keys, certificates)
}

#[test]
fn loops_end() {
    let (keys, mut presented) = mesh(12);
    let root_key = SigningKey::p256();
    let root = Draft::ca("CN=Root", "CN=Root", &root_key).sign(&root_key);
    let leaf = Draft::client("CN=leaf", "CN=Mesh 0", &root_key).sign(&keys[0]);
    let failure = find(&leaf, &presented, &[&root]).unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Untrusted, "no way out: {failure}");

    // A way out by name only, from every CA.
    presented
        .extend(keys.iter().enumerate().map(|(n, key)| Draft::ca(&format!("CN=Mesh {n}"), "CN=Root", key).sign(key)));
    let failure = find(&leaf, &presented, &[&root]).unwrap_err();
    assert!(matches!(failure.kind(), ErrorKind::Signature | ErrorKind::Untrusted), "{failure}");

    // And a true one at the far end.
    presented.push(Draft::ca("CN=Mesh 11", "CN=Root", &keys[11]).sign(&root_key));
    assert!(find(&leaf, &presented, &[&root]).is_ok());
}

#[test]
fn every_valid_path_is_offered_until_one_is_taken() {
    let (keys, mut presented) = mesh(4);
    let root_key = SigningKey::p256();
    let root = Draft::ca("CN=Root", "CN=Root", &root_key).sign(&root_key);
    presented.push(Draft::ca("CN=Mesh 3", "CN=Root", &keys[3]).sign(&root_key));
    let leaf = Draft::client("CN=leaf", "CN=Mesh 0", &root_key).sign(&keys[0]);
    let pool = Pool::new([root], []);
    let mut offered = Vec::new();
    let failure = find_path(
        &leaf,
        &presented,
        &pool,
        &PathParameters::default(),
        NOW,
        &mut NoTrace,
        |path, _| -> Result<(), _> {
            offered.push(subjects(path));
            Err(Rejection { kind: ErrorKind::Revoked, detail: format!("path {}", offered.len()) })
        },
    )
    .unwrap_err();
    // From 0 to 3 directly, over 1, over 2, over both in either order.
    assert_eq!(offered.len(), 5, "{offered:?}");
    assert_eq!((failure.kind(), failure.to_string()), (ErrorKind::Revoked, "path 1".into()), "the first is kept");
    assert_eq!(failure.path.len(), offered[0].len());

    let (keys, mut presented) = mesh(5);
    presented.push(Draft::ca("CN=Mesh 4", "CN=Root", &keys[4]).sign(&root_key));
    let leaf = Draft::client("CN=leaf", "CN=Mesh 0", &root_key).sign(&keys[0]);
    let mut offered = 0;
    let parameters = PathParameters::default();
    let accept = |_: &ValidPath, _: &mut NoTrace| -> Result<(), Rejection> {
        offered += 1;
        Err(Rejection { kind: ErrorKind::Revoked, detail: String::new() })
    };
    let failure = timed(|| find_path(&leaf, &presented, &pool, &parameters, NOW, &mut NoTrace, accept)).unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Revoked);
    assert_eq!(offered, 16, "over each choice of the three between, in each order");
}

#[test]
fn the_failure_kept_is_the_one_that_got_farthest() {
    let pki = Pki::new();
    let expired = {
        let mut draft = Draft::ca("CN=ICA", "CN=Root", &pki.ica_key);
        draft.valid(NOW.minus(20), NOW.minus(10));
        draft.sign(&pki.root_key)
    };
    let lost = Draft::ca("CN=ICA", "CN=Nowhere", &pki.ica_key).sign(&pki.ica_key);
    let server =
        Draft::ca("CN=ICA", "CN=Root", &pki.ica_key).with(ext::purposes(&[ext::SERVER_AUTH])).sign(&pki.root_key);
    let forged = Draft::ca("CN=ICA", "CN=Root", &pki.root_key).sign(&pki.root_key);
    for (row, presented, want) in [
        ("nothing", vec![], ErrorKind::Untrusted),
        ("a dead end", vec![&lost], ErrorKind::Untrusted),
        ("a dead end and a namesake", vec![&lost, &forged], ErrorKind::Signature),
        ("an expired one besides", vec![&forged, &expired, &lost], ErrorKind::Expired),
        ("one for servers besides", vec![&expired, &server, &forged], ErrorKind::KeyPurpose),
    ] {
        let presented: Vec<_> = presented.into_iter().cloned().collect();
        let failure = find(&pki.leaf, &presented, &[&pki.root]).unwrap_err();
        assert_eq!(failure.kind(), want, "{row}: {}", failure.explain());
    }
}

#[test]
fn a_changed_key_under_the_same_name() {
    // RFC 4210 4.4: the old root signs the new key and the new one the old key, both self-issued.
    let (old, new, leaf_key) = (SigningKey::p256(), SigningKey::p256(), SigningKey::p256());
    let ca = |key: &SigningKey, signer: &SigningKey| Draft::ca("CN=Root", "CN=Root", key).sign(signer);
    let (old_root, new_root) = (ca(&old, &old), ca(&new, &new));
    let (new_with_old, old_with_new) = (ca(&new, &old), ca(&old, &new));
    let by_new = Draft::client("CN=leaf", "CN=Root", &leaf_key).sign(&new);
    let by_old = Draft::client("CN=leaf", "CN=Root", &leaf_key).sign(&old);
    let presented = [new_root.clone(), new_with_old, old_with_new, old_root.clone()];
    assert_eq!(find(&by_new, &presented, &[&old_root]).unwrap().certificates().len(), 3);
    assert_eq!(find(&by_old, &presented, &[&new_root]).unwrap().certificates().len(), 3);
    assert_eq!(find(&by_old, &presented, &[&old_root]).unwrap().certificates().len(), 2);
}

/// Only an anchor's own next key is let off basicConstraints, and only where it is certified under the anchor's name.
#[test]
fn next_keys_are_those_of_anchors() {
    let keys: Vec<SigningKey> = (0..4).map(|_| SigningKey::ed25519()).collect();
    let root = Draft::ca("CN=Root", "CN=Root", &keys[0]).sign(&keys[0]);
    let ica = Draft::ca("CN=ICA", "CN=Root", &keys[1]).sign(&keys[0]);
    let judge = |subject: &str, rollover| {
        let mut next = Draft::ca(subject, "CN=ICA", &keys[2]);
        next.remove(ext::BASIC_CONSTRAINTS);
        let presented = [ica.clone(), next.sign(&keys[1])];
        let leaf = Draft::client("CN=leaf", subject, &keys[3]).sign(&keys[2]);
        let pool = Pool::new([root.clone()], []);
        let parameters = PathParameters { rollover, ..PathParameters::default() };
        find_path(&leaf, &presented, &pool, &parameters, NOW, &mut NoTrace, |_, _| Ok(())).map_err(|f| f.error)
    };
    for (row, subject) in [("an intermediate's", "CN=ICA"), ("under another issuer", "CN=Root"), ("neither", "CN=Next")]
    {
        for rollover in [RolloverRule::KeyCertSign, RolloverRule::BasicConstraints] {
            assert_eq!(judge(subject, rollover).unwrap_err(), PathError::NotCa, "{row}, {rollover:?}");
        }
    }
}

/// Where the certificates of a CA come from.
enum Place {
    Presented,
    Configured,
}

/// As many certificates of one CA key are as many paths, each of which the caller refuses; how many it is asked about.
fn offered_of(leaf: impl Fn(Draft) -> Draft, most: usize, place: Place) -> usize {
    let [root_key, key, leaf_key] = [(); 3].map(|()| SigningKey::ed25519());
    let root = Draft::ca("CN=Root", "CN=Root", &root_key).sign(&root_key);
    let twins = (1..=most).map(|n| {
        let mut twin = Draft::ca("CN=ICA", "CN=Root", &key);
        twin.serial = vec![1, u8::try_from(n).unwrap()];
        twin.sign(&root_key)
    });
    let (presented, configured): (Vec<_>, Vec<_>) = match place {
        Place::Presented => (twins.collect(), Vec::new()),
        Place::Configured => (Vec::new(), twins.collect()),
    };
    let leaf = leaf(Draft::client("CN=leaf", "CN=ICA", &leaf_key)).sign(&key);
    let pool = Pool::new([root], configured);
    let mut offered = 0;
    let accept = |_: &ValidPath, _: &mut NoTrace| -> Result<(), Rejection> {
        offered += 1;
        Err(Rejection { kind: ErrorKind::Revoked, detail: String::new() })
    };
    let parameters = PathParameters::default();
    let failure = find_path(&leaf, &presented, &pool, &parameters, NOW, &mut NoTrace, accept).unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Revoked);
    offered
}

#[test]
fn whole_paths_and_their_policies_have_a_budget() {
    assert_eq!(offered_of(|leaf| leaf, 40, Place::Presented), 40);
    assert_eq!(offered_of(|leaf| leaf, 150, Place::Presented), 50, "each costs a signature");
    assert_eq!(offered_of(|leaf| leaf, 150, Place::Configured), 100);
    let policies: Vec<String> = (0..1000).map(|n| format!("1.2.3.{n}")).collect();
    let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
    assert_eq!(offered_of(|leaf| leaf.with(ext::policies(&policies)), 40, Place::Presented), 20);
}

/// The certificate at which no policy is left is the one that is named.
#[test]
fn the_certificate_without_a_valid_policy_is_named() {
    let keys: Vec<SigningKey> = (0..4).map(|_| SigningKey::ed25519()).collect();
    let root = Draft::ca("CN=Root", "CN=Root", &keys[0]).sign(&keys[0]);
    let ca = |subject: &str, issuer: &str, at: usize, policy: &str| {
        Draft::ca(subject, issuer, &keys[at]).with(ext::policies(&[policy])).sign(&keys[at - 1])
    };
    let presented = [ca("CN=Top", "CN=Root", 1, "1.2.3"), ca("CN=Low", "CN=Top", 2, "1.2.4")];
    let leaf = Draft::client("CN=leaf", "CN=Low", &keys[3]).with(ext::policies(&["1.2.4"])).sign(&keys[2]);
    let mut parameters = PathParameters::default();
    parameters.policies.initial_explicit_policy = true;
    let pool = Pool::new([root], []);
    let found = find_path(&leaf, &presented, &pool, &parameters, NOW, &mut NoTrace, |_, _| Ok(()));
    let failure = found.unwrap_err();
    assert_eq!((failure.error, failure.position), (PathError::NoValidPolicy, 1));
}

#[test]
fn long_chains() {
    let chain = |length: usize, path_len: fn(usize) -> Option<u8>| {
        let keys: Vec<SigningKey> = (0..=length).map(|_| SigningKey::ed25519()).collect();
        let name = |n: usize| format!("CN=CA {n}");
        let root = Draft::ca(&name(0), &name(0), &keys[0]).sign(&keys[0]);
        let presented: Vec<_> = (1..=length)
            .map(|n| Draft::ca(&name(n), &name(n - 1), &keys[n]).with(ext::ca(path_len(n))).sign(&keys[n - 1]))
            .collect();
        let leaf = Draft::client("CN=leaf", &name(length), &keys[0]).sign(&keys[length]);
        find(&leaf, &presented, &[&root]).map(|path| path.certificates().len()).map_err(|failure| failure.error)
    };
    assert_eq!(chain(10, |_| None), Ok(12));
    assert_eq!(chain(11, |_| None), Err(PathError::TooLong(10)));
    assert_eq!(chain(3, |n| u8::try_from(3 - n).ok()), Ok(5));
    assert_eq!(chain(3, |n| (n == 1).then_some(1)), Err(PathError::PathLength { limit: 1, found: 2 }));
}

#[test]
fn self_issued_intermediates_do_not_count_for_path_length() {
    let keys: Vec<SigningKey> = (0..3).map(|_| SigningKey::ed25519()).collect();
    let root = Draft::ca("CN=Root", "CN=Root", &keys[0]).sign(&keys[0]);
    let ica = Draft::ca("CN=ICA", "CN=Root", &keys[1]).with(ext::ca(Some(0))).sign(&keys[0]);
    let next = Draft::ca("CN=ICA", "CN=ICA", &keys[2]).with(ext::ca(Some(0))).sign(&keys[1]);
    let leaf = Draft::client("CN=leaf", "CN=ICA", &keys[0]).sign(&keys[2]);
    assert_eq!(find(&leaf, &[ica, next], &[&root]).unwrap().certificates().len(), 4);
}

#[test]
fn name_constraints_hold_for_all_below_but_self_issued_intermediates() {
    let keys: Vec<SigningKey> = (0..4).map(|_| SigningKey::ed25519()).collect();
    let root = Draft::ca("CN=Root", "CN=Root", &keys[0]).sign(&keys[0]);
    let judge = |own: &[&str], next: Draft, leaf: &str| {
        let permitted: Vec<_> = own.iter().map(|base| dns(base)).collect();
        let ica = Draft::ca("CN=ICA", "CN=Root", &keys[1]).with(ext::constraints(&permitted, &[])).sign(&keys[0]);
        let issuer = if next.subject == next.issuer { "CN=ICA" } else { "CN=Next" };
        let next = next.sign(&keys[1]);
        let leaf = Draft::client("CN=leaf", issuer, &keys[3]).with(ext::names(&[dns(leaf)])).sign(&keys[2]);
        find(&leaf, &[ica, next], &[&root]).map(|_| ()).map_err(|failure| failure.kind())
    };
    let next = || Draft::ca("CN=Next", "CN=ICA", &keys[2]);
    let rolled = || Draft::ca("CN=ICA", "CN=ICA", &keys[2]);
    let outside = ext::names(&[dns("b.example")]);
    let widened = ext::constraints(&[dns("a.example"), dns("b.example")], &[]);
    assert_eq!(judge(&["a.example"], next(), "x.a.example"), Ok(()));
    assert_eq!(judge(&["a.example"], next().with(outside.clone()), "x.a.example"), Err(ErrorKind::NameConstraint));
    assert_eq!(judge(&["a.example"], rolled().with(outside), "x.a.example"), Ok(()));
    assert_eq!(judge(&["a.example"], next().with(widened.clone()), "x.b.example"), Err(ErrorKind::NameConstraint));
    assert_eq!(judge(&["a.example", "c.example"], next().with(widened.clone()), "x.a.example"), Ok(()));
    assert_eq!(judge(&["a.example", "c.example"], next().with(widened), "x.c.example"), Err(ErrorKind::NameConstraint));
}

#[test]
fn thousands_of_names_and_subtrees_run_out_of_budget() {
    let (root_key, key, leaf_key) = (SigningKey::p256(), SigningKey::p256(), SigningKey::p256());
    let root = Draft::ca("CN=Root", "CN=Root", &root_key).sign(&root_key);
    let judge = |subtrees: usize, names: usize| {
        let permitted: Vec<_> = (0..subtrees).map(|n| dns(&format!("h{n}.example"))).collect();
        let ica = Draft::ca("CN=ICA", "CN=Root", &key).with(ext::constraints(&permitted, &[])).sign(&root_key);
        let names: Vec<_> = (0..names).map(|n| dns(&format!("x.h{}.example", n % subtrees))).collect();
        let leaf = Draft::client("CN=leaf", "CN=ICA", &leaf_key).with(ext::names(&names)).sign(&key);
        find(&leaf, &[ica], &[&root]).map(|_| ()).map_err(|failure| failure.error)
    };
    assert_eq!(judge(400, 200), Ok(()));
    assert!(matches!(judge(2000, 2000), Err(PathError::Budget { unit: "name constraint comparisons", .. })));
}

/// A name of 14 KiB costs more than one of 20 octets, before thousands of subtrees.
#[test]
fn long_names_run_out_of_budget_sooner() {
    let keys: Vec<SigningKey> = (0..5).map(|_| SigningKey::p256()).collect();
    let root = Draft::ca("CN=0", "CN=0", &keys[0]).sign(&keys[0]);
    let judge = |name: Vec<u8>, subtree: Vec<u8>| {
        let many = vec![subtree; 2500];
        let ca = |n: usize| {
            let draft = Draft::ca(&format!("CN={n}"), &format!("CN={}", n - 1), &keys[n]);
            draft.with(ext::constraints(&[], &many)).sign(&keys[n - 1])
        };
        let presented: Vec<_> = (1..4).map(ca).collect();
        let leaf = Draft::client("CN=leaf", "CN=3", &keys[4]).with(ext::names(&[name])).sign(&keys[3]);
        find(&leaf, &presented, &[&root]).map(|_| ()).map_err(|failure| failure.error)
    };
    let long = "u".repeat(14 * 1024);
    assert_eq!(judge(uri("a://b"), uri("x")), Ok(()));
    for (name, subtree) in [(uri(&format!("a://{long}@b")), uri("x")), (email(&format!("{long}@b")), email("x"))] {
        let outcome = judge(name, subtree);
        assert!(matches!(outcome, Err(PathError::Budget { unit: "name constraint comparisons", .. })), "{outcome:?}");
    }
}

#[test]
fn hostile_policy_mappings_do_not_explode() {
    let policies: Vec<String> = (0..40).map(|n| format!("1.2.3.{n}")).collect();
    let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
    let pairs: Vec<_> = policies.iter().flat_map(|a| policies.iter().map(move |b| (*a, *b))).collect();
    let keys: Vec<SigningKey> = (0..10).map(|_| SigningKey::ed25519()).collect();
    let name = |n: usize| format!("CN=CA {n}");
    let root = Draft::ca(&name(0), &name(0), &keys[0]).sign(&keys[0]);
    let presented: Vec<_> = (1..10)
        .map(|n| {
            let draft = Draft::ca(&name(n), &name(n - 1), &keys[n]).with(ext::policies(&policies));
            draft.with(ext::mappings(&pairs)).sign(&keys[n - 1])
        })
        .collect();
    let leaf = Draft::client("CN=leaf", &name(9), &keys[0]).with(ext::policies(&policies)).sign(&keys[9]);
    let path = find(&leaf, &presented, &[&root]).unwrap();
    assert_eq!(path.policies().policies.len(), 40);
}

#[test]
fn equal_certificates_are_kept_once() {
    let key = SigningKey::ed25519();
    let make = |name: &str| Draft::ca(name, name, &key).sign(&key);
    let (a, b) = (make("CN=a"), make("CN=b"));
    for count in 1..4 {
        let copies = || (0..count).flat_map(|_| [Arc::clone(&a), Arc::clone(&b)]);
        let pool = Pool::new(copies(), copies());
        assert_eq!(pool.anchors().len(), 2, "{count} of each");
        assert!(pool.anchors()[0].is_same(&a) && pool.anchors()[1].is_same(&b), "in their order");
        assert!(pool.named(a.subject()).all(|found| found.is_same(&a)) && pool.named(a.subject()).count() > 0);
    }
    let pool = Pool::new([Arc::clone(&a), Arc::clone(&a)], []);
    assert_eq!(pool.anchors().len(), 1);
}
