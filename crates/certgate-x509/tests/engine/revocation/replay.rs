//! What may replace a list that is in use.

use std::sync::Arc;

use certgate_x509::{Crl, RevocationData, RevocationPolicy, Rollback, RollbackReason};

use super::world::*;
use certgate_testing::der::{Draft, SigningKey, ext};
use certgate_testing::status::*;

#[test]
fn numbers_never_go_back() {
    let key = SigningKey::ed25519();
    let policy = RevocationPolicy::default().signatures;
    let ca = [Draft::ca(CA, CA, &key).sign(&key)];
    let data = |drafts: Vec<CrlDraft>| {
        let crls = drafts.into_iter().map(|draft| Arc::new(Crl::from_der(draft.der(&key)).unwrap()));
        let data = RevocationData::new(crls);
        data.verify_by(&ca, &policy);
        data
    };
    let numbered = |n: u8| CrlDraft::new(CA).with(number(n));
    let numbers = |data: &RevocationData| {
        let mut numbers: Vec<String> = data.crls().iter().map(|crl| crl.number().unwrap().to_string()).collect();
        numbers.sort();
        numbers
    };
    let kept = data(vec![numbered(10)]);
    let (next, refused) = kept.updated(data(vec![numbered(11)]), &policy);
    assert_eq!((numbers(&next), refused.len()), (vec!["11".to_owned()], 0), "forward");
    let (next, refused) = kept.updated(data(vec![numbered(10)]), &policy);
    assert_eq!((numbers(&next), refused.len()), (vec!["10".to_owned()], 0), "the same again");
    let (next, refused) = kept.updated(data(vec![numbered(9)]), &policy);
    assert_eq!((numbers(&next), refused.len()), (vec!["10".to_owned()], 1), "back");
    assert!(refused[0].to_string().contains("number 9"), "{}", refused[0]);
    let (next, _) = kept.updated(data(vec![]), &policy);
    assert!(next.is_empty(), "the operator removed it");
    let forged = CrlDraft { forged: true, ..CrlDraft::new(CA).with(number(99)) };
    let (next, _) = kept.updated(data(vec![forged]), &policy);
    assert_eq!(numbers(&next), ["10", "99"], "what is not verified replaces nothing");
    let scoped = CrlDraft::new(CA).with(number(5)).with(idp(&[flag(1)]));
    let (next, refused) = kept.updated(data(vec![numbered(11), scoped]), &policy);
    assert_eq!((numbers(&next), refused.len()), (vec!["11".to_owned(), "5".to_owned()], 0), "another scope");
    let (next, _) = kept.updated(data(vec![numbered(11), CrlDraft::new(CA).with(number(3)).with(base(2))]), &policy);
    assert_eq!(numbers(&next), ["11", "3"], "a delta list counts by itself");
    let others = [
        CrlDraft::new(CA).with(number(99)).with(base(2)),
        CrlDraft::new(CA).with(number(99)).with(idp(&[flag(1)])),
        CrlDraft::new(CA).with(number(99)).with(ext::authority_key(&[1])),
        CrlDraft::new("CN=CA 2").with(number(99)),
    ];
    for other in others {
        let (next, refused) = kept.updated(data(vec![numbered(9), other]), &policy);
        assert_eq!((numbers(&next), refused.len()), (vec!["10".to_owned(), "99".to_owned()], 1), "of another kind");
    }
    assert!(!kept.is_empty() && RevocationData::default().is_empty());
}

/// A CA, and what becomes of its lists.
struct Replay {
    key: SigningKey,
    ca: [Arc<certgate_x509::Certificate>; 1],
}

impl Replay {
    fn new() -> Self {
        let key = SigningKey::ed25519();
        Self { ca: [Draft::ca(CA, CA, &key).sign(&key)], key }
    }

    fn data(&self, drafts: &[CrlDraft]) -> RevocationData {
        let crls = drafts.iter().map(|draft| Arc::new(Crl::from_der(draft.der(&self.key)).unwrap()));
        let data = RevocationData::new(crls);
        data.verify_by(&self.ca, &RevocationPolicy::default().signatures);
        data
    }

    /// Whether the leaf is listed after the `second` lists have come in place of the `first`, and what is told.
    fn outcome(&self, first: &[CrlDraft], second: &[CrlDraft]) -> (bool, Vec<Rollback>) {
        self.after(&[first.to_vec(), second.to_vec()])
    }

    /// The same after one step after the other; what is told of the last.
    fn after(&self, steps: &[Vec<CrlDraft>]) -> (bool, Vec<Rollback>) {
        let policy = RevocationPolicy::default().signatures;
        let (mut next, mut told) = (RevocationData::default(), Vec::new());
        for step in steps {
            (next, told) = next.updated(self.data(step), &policy);
        }
        let issuer = certgate_x509::Name::parse_rfc4514(CA).unwrap();
        (next.crls().iter().any(|crl| crl.entry(&issuer, LEAF_SERIAL).is_some()), told)
    }
}

/// A name, the lists in use, those that come, whether the leaf is listed then, and what is told.
type Step<'a> = (&'a str, Vec<CrlDraft>, Vec<CrlDraft>, bool, &'a [RollbackReason]);

/// The same where other lists, or none, have come in between.
#[test]
#[rustfmt::skip]
fn what_was_removed_does_not_come_back_older() {
    let lists = || listing(None).dated(-HOUR, Some(DAY));
    let clear = |age: i64| CrlDraft::new(CA).dated(-age, Some(DAY));
    let plain = |draft: CrlDraft| draft.without(id::CRL_NUMBER);
    let of_point = |draft: CrlDraft, n: u8| draft.with(idp(&[flag(n)]));
    let delta = |draft: CrlDraft, n: u8| draft.with(number(n)).with(base(10));
    let older = || clear(2 * HOUR).with(number(9));
    let rows: &[(&str, Vec<Vec<CrlDraft>>, bool, &[RollbackReason])] = &[
        ("nothing between", vec![vec![lists()], vec![], vec![older()]], true, &[RollbackReason::Older]),
        ("nothing twice", vec![vec![lists()], vec![], vec![], vec![older()]], true, &[RollbackReason::Older]),
        ("nothing, then the older one twice", vec![vec![lists()], vec![], vec![older()], vec![older()]], true, &[RollbackReason::Older]),
        ("nothing, then the older one, again", vec![vec![lists()], vec![], vec![older()], vec![], vec![older()]], true, &[RollbackReason::Older]),
        ("nothing between, no numbers", vec![vec![plain(lists())], vec![], vec![plain(clear(2 * HOUR))]], true, &[RollbackReason::Older]),
        ("nothing between, then of a point", vec![vec![lists()], vec![], vec![of_point(clear(2 * HOUR), 1)]], true, &[RollbackReason::Overlaps]),
        ("newer ones of a point between", vec![vec![lists()], vec![of_point(clear(60), 2)], vec![older()]], true, &[RollbackReason::Overlaps, RollbackReason::Older]),
        ("nothing between, then the same", vec![vec![lists()], vec![], vec![lists()]], true, &[]),
        ("nothing between, then a newer one", vec![vec![lists()], vec![], vec![clear(60).with(number(11))]], false, &[]),
        ("nothing between, then newer ones of points", vec![vec![lists()], vec![], vec![of_point(clear(60), 1), of_point(clear(60), 2)]], false, &[]),
        ("nothing between, then a forged one", vec![vec![lists()], vec![], vec![CrlDraft { forged: true, ..clear(60).with(number(11)) }]], false, &[]),
        ("nothing", vec![vec![lists()], vec![], vec![]], false, &[]),
        ("a delta list, nothing between", vec![vec![clear(HOUR), delta(lists(), 12)], vec![], vec![clear(HOUR)]], true, &[RollbackReason::Delta]),
        ("a delta list, nothing between, its complete one", vec![vec![clear(HOUR), delta(lists(), 12)], vec![], vec![clear(60).with(number(12))]], false, &[]),
    ];
    let replay = Replay::new();
    for (row, steps, listed, told) in rows {
        let (found, rolled_back) = replay.after(steps);
        let because: Vec<_> = rolled_back.iter().map(|one| one.because).collect();
        assert_eq!((found, &because[..]), (*listed, *told), "{row}");
    }
}

/// The list that revokes the leaf is an hour old, and so is what stands beside it unless the row says otherwise.
#[test]
#[rustfmt::skip]
fn no_older_list_takes_a_revocation_back() {
    let lists = || listing(None).dated(-HOUR, Some(DAY));
    let clear = |age: i64| CrlDraft::new(CA).dated(-age, Some(DAY));
    let plain = |draft: CrlDraft| draft.without(id::CRL_NUMBER);
    let of_point = |draft: CrlDraft, flags: &[u8]| draft.with(idp(&flags.iter().map(|n| flag(*n)).collect::<Vec<_>>()));
    let delta = |draft: CrlDraft, n: u8| draft.with(number(n)).with(base(10));
    let rows: &[Step<'_>] = &[
        ("a higher number", vec![lists()], vec![clear(60).with(number(11))], false, &[]),
        ("the same number, later", vec![lists()], vec![clear(60)], false, &[]),
        ("the same number, earlier", vec![lists()], vec![clear(2 * HOUR)], true, &[RollbackReason::Older]),
        ("the same number and time: both count", vec![lists()], vec![clear(HOUR)], true, &[]),
        ("a lower number, later", vec![lists()], vec![clear(60).with(number(9))], true, &[RollbackReason::Older]),
        ("no number, earlier", vec![lists()], vec![plain(clear(2 * HOUR))], true, &[RollbackReason::Older]),
        ("no numbers at all, earlier", vec![plain(lists())], vec![plain(clear(2 * HOUR))], true, &[RollbackReason::Older]),
        ("no numbers at all, later", vec![plain(lists())], vec![plain(clear(60))], false, &[]),
        ("no numbers at all, at the same time: both count", vec![plain(lists())], vec![plain(clear(HOUR))], true, &[]),
        ("a number comes, earlier", vec![plain(lists())], vec![clear(2 * HOUR)], true, &[RollbackReason::Older]),
        ("a key identifier goes, earlier", vec![lists().with(ext::authority_key(&[1]))], vec![plain(clear(2 * HOUR))], true, &[RollbackReason::Overlaps]),
        ("a key identifier goes, later", vec![lists().with(ext::authority_key(&[1]))], vec![clear(60)], false, &[]),
        ("a point comes, earlier", vec![lists()], vec![of_point(clear(2 * HOUR), &[1])], true, &[RollbackReason::Overlaps]),
        ("a point of others, earlier", vec![of_point(lists(), &[1])], vec![of_point(clear(2 * HOUR), &[2])], false, &[]),
        ("a forged list, later", vec![lists()], vec![CrlDraft { forged: true, ..clear(60).with(number(11)) }], true, &[]),
        ("nothing", vec![lists()], vec![], false, &[]),
        ("a delta list of the same number, earlier", vec![clear(HOUR), delta(lists(), 12)], vec![clear(HOUR), delta(clear(2 * HOUR), 12)], true, &[RollbackReason::Older]),
        ("a delta list goes", vec![clear(HOUR), delta(lists(), 12)], vec![clear(HOUR)], true, &[RollbackReason::Delta]),
        ("a delta list goes, its complete one comes", vec![clear(HOUR), delta(lists(), 12)], vec![clear(60).with(number(12))], false, &[]),
    ];
    let replay = Replay::new();
    for (row, first, second, listed, told) in rows {
        let (found, rolled_back) = replay.outcome(first, second);
        let because: Vec<_> = rolled_back.iter().map(|one| one.because).collect();
        assert_eq!((found, &because[..]), (*listed, *told), "{row}");
        assert!(rolled_back.iter().all(|one| one.to_string().contains("kept")), "{row}");
    }
}
