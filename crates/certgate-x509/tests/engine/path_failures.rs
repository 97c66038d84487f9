//! What a failure costs, and whether it may be remembered: only one that follows from the certificates alone is the same a
//! moment later.

use certgate_testing::der::{Draft, NOW, SigningKey};
use certgate_x509::{
    Budget, Certificate, ErrorKind, KeyOrigin, NoTrace, PathError, PathParameters, Pool, PublicKey, Rejection,
    SignatureError, SignaturePolicy, UnixTime, check_links, find_path_within,
};

use std::sync::Arc;

const FOREVER: UnixTime = UnixTime::from_secs(i64::MAX);

/// Searches within a budget; the caller takes what path there is, or none.
fn search(budget: &Budget, leaf: &Arc<Certificate>, along: &[Arc<Certificate>], pool: &Pool, takes: bool) -> bool {
    let accept = |_: &_, _: &mut _| match takes {
        true => Ok(()),
        false => Err(Rejection { kind: ErrorKind::Revoked, detail: "refused".to_owned() }),
    };
    find_path_within(budget, leaf, along, pool, &PathParameters::default(), NOW, &mut NoTrace, accept).is_ok()
}

#[test]
fn a_failure_lasts_as_long_as_nothing_but_the_certificates_decides() {
    let [root, ca, thief, client] = [(); 4].map(|()| SigningKey::p256());
    let pool = Pool::new([Draft::ca("CN=Root", "CN=Root", &root).sign(&root)], []);
    let dated = |mut draft: Draft, from: i64, to: i64| {
        draft.valid(NOW.plus(from), NOW.plus(to));
        draft
    };
    let issuing = || Draft::ca("CN=CA", "CN=Root", &ca);
    let leaf = |by: &SigningKey| dated(Draft::client("CN=leaf", "CN=CA", &client), -9, 90).sign(by);
    let (honest, forged) = (leaf(&ca), leaf(&thief));
    let along = dated(issuing(), -9, 900).sign(&root);
    let soon = dated(issuing(), 7, 900).sign(&root);
    let short = dated(issuing(), -9, 5).sign(&root);
    let past = dated(issuing(), -90, -9).sign(&root);
    let of_end = Some(honest.not_after());
    for (row, leaf, along, takes, want) in [
        ("a forged one", &forged, &along, true, of_end),
        ("beside one that is about to end", &forged, &short, true, Some(NOW.plus(5))),
        ("beside one that is about to begin", &forged, &soon, true, None),
        ("one that has ended", &honest, &past, true, None),
        ("one that is about to begin", &honest, &soon, true, None),
        ("what the caller refuses", &honest, &along, false, None),
    ] {
        let budget = Budget::default();
        assert!(!search(&budget, leaf, std::slice::from_ref(along), &pool, takes), "{row}");
        assert_eq!(budget.fails_until(), want, "{row}");
    }
    // Whatever came along counts, so that nobody need know what the search would make of it.
    let other = dated(Draft::ca("CN=Other", "CN=Root", &thief), 7, 900).sign(&root);
    let budget = Budget::default();
    assert!(!search(&budget, &forged, &[Arc::clone(&along), other], &pool, true));
    assert_eq!(budget.fails_until(), Some(NOW.plus(6)), "beside another one that is about to begin");
    let budget = Budget::default();
    assert!(search(&budget, &honest, &[along], &pool, true));
    assert_eq!(budget.fails_until(), None, "no failure at all");
}

/// What the configuration costs is remembered by its pool, and may be less the next time.
#[test]
fn what_the_configuration_costs_is_no_lasting_failure() {
    let keys: Vec<SigningKey> = (0..40).map(|_| SigningKey::p521()).collect();
    let pool = Pool::new(keys.iter().map(|key| Draft::ca("CN=Root", "CN=Root", key).sign(key)), []);
    let leaf = Draft::client("CN=leaf", "CN=Root", &SigningKey::p256()).sign(&SigningKey::p521());
    let budget = Budget::default();
    assert!(!search(&budget, &leaf, &[], &pool, true));
    assert!(budget.is_exhausted());
    assert_eq!(budget.fails_until(), None);
}

/// Nobody gets an answer out of a budget in which something was left out.
#[test]
fn what_has_run_out_stays_so() {
    let root = SigningKey::p256();
    let pool = Pool::new([Draft::ca("CN=Root", "CN=Root", &root).sign(&root)], []);
    let keys: Vec<SigningKey> = (0..10).map(|_| SigningKey::p521()).collect();
    let namesakes: Vec<_> = keys.iter().map(|key| Draft::ca("CN=Root", "CN=Root", key).sign(key)).collect();
    let stranger = Draft::client("CN=stranger", "CN=Root", &root).sign(&SigningKey::p521());
    let honest = Draft::client("CN=leaf", "CN=Root", &SigningKey::p256()).sign(&root);
    let budget = Budget::default();
    assert!(search(&budget, &honest, &[], &pool, true));
    assert!(!search(&budget, &stranger, &namesakes, &pool, true));
    assert!(budget.is_exhausted());
    assert!(!search(&budget, &honest, &[], &pool, true), "it has run out for the whole request");
    assert!(search(&Budget::default(), &honest, &[], &pool, true));
}

/// A key that is too dear is not tried for a link either; hashing is paid for, too.
#[test]
fn links_and_long_messages_are_paid_for() {
    let root = SigningKey::p256();
    let pool = Pool::new([Draft::ca("CN=Root", "CN=Root", &root).sign(&root)], []);
    for key in
        [SigningKey::hollow_rsa(8192, &[1, 0, 1], 1), SigningKey::hollow_rsa(4096, &[1, 0xff, 0xff, 0xff, 0xff], 1)]
    {
        let issuer = Draft::ca("CN=Root", "CN=Root", &key).sign(&key);
        let leaf = Draft::client("CN=leaf", "CN=Root", &root).sign(&key);
        let budget = Budget::default();
        let broken = check_links(&[&leaf, &issuer], &pool, &SignaturePolicy::default(), &budget).unwrap_err();
        let oversized = matches!(
            broken.error,
            PathError::Signature(SignatureError::Oversized { origin: KeyOrigin::Presented, .. })
        );
        assert!(oversized, "{broken}");
        assert_eq!((budget.spent().signatures, budget.fails_until()), (0, Some(FOREVER)));
    }
    let spki = SigningKey::p256().spki();
    let key = PublicKey::parse(&spki).unwrap();
    assert_eq!(key.cost(1 << 20) - key.cost(0), 2048, "two microseconds a kilobyte");
}
