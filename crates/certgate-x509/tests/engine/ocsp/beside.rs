//! Responses beside CRLs, and the status of delegates.

use std::sync::Arc;

use certgate_x509::{
    Crl, ErrorKind, NoTrace, PathParameters, Pool, RevocationData, RevocationPolicy, RevocationScope, UnixTime,
    UsageRule, Verification, ocsp::OcspResponse,
};

use super::world::*;
use certgate_testing::der::NOW;
use certgate_testing::status::*;

/// A path of root and leaf; responses and CRLs of the root.
fn question(responses: &[Vec<u8>], crls: &[Vec<u8>], world: &World) -> Result<UnixTime, ErrorKind> {
    let responses = responses.iter().map(|der| Arc::new(OcspResponse::from_der(der.clone()).unwrap()));
    let crls = crls.iter().map(|der| Arc::new(Crl::from_der(der.clone()).unwrap()));
    let question = Verification {
        leaf: Arc::clone(&world.leaf),
        pool: Pool::new([Arc::clone(&world.ca)], []),
        untrusted: Vec::new(),
        data: RevocationData::new(crls).with_responses(responses),
        path: PathParameters { usage: UsageRule::Unchecked, ..PathParameters::default() },
        revocation: RevocationPolicy {
            scope: RevocationScope::ExcludeRoot,
            freshness: world.policy.freshness,
            ..RevocationPolicy::default()
        },
    };
    question.verify(NOW, &mut NoTrace).map(|valid| valid.valid_until).map_err(|invalid| invalid.kind)
}

#[test]
fn responses_beside_crls() {
    let mut world = World::new();
    let good = world.response();
    world.single().next_update = Some(NOW.plus(HOUR));
    let short = world.response();
    world.single().next_update = Some(NOW.plus(DAY));
    world.single().status = revoked(None);
    let bad = world.response();
    world.single().status = unknown();
    let unsure = world.response();
    *world.single() = Single { status: good_status(), next_update: Some(NOW.minus(1)), ..world.single().clone() };
    let old = world.response();
    *world.single() = Single { serial: vec![9], ..world.single().clone() };
    let other = world.response();
    let lists = CrlDraft::new("CN=CA").lists(&[0, 0x91, 7], None).der(&world.ca_key);
    let clear = CrlDraft::new("CN=CA").dated(-HOUR, Some(HOUR)).der(&world.ca_key);
    let late = CrlDraft::new("CN=CA").dated(-DAY, Some(-HOUR)).der(&world.ca_key);
    type Case<'a> = (&'a str, Vec<&'a Vec<u8>>, Vec<&'a Vec<u8>>, Result<UnixTime, ErrorKind>);
    let cases: Vec<Case<'_>> = vec![
        ("a response alone", vec![&good], vec![], Ok(NOW.plus(DAY))),
        ("two good responses, the longer counts", vec![&good, &short], vec![], Ok(NOW.plus(DAY))),
        ("nothing", vec![], vec![], Err(ErrorKind::StatusUnknown)),
        ("revoked by a response", vec![&bad], vec![&clear], Err(ErrorKind::Revoked)),
        ("revoked by a CRL", vec![&good], vec![&lists], Err(ErrorKind::Revoked)),
        ("both good", vec![&good], vec![&clear], Ok(NOW.plus(HOUR))),
        ("two responses, one revoked", vec![&good, &bad], vec![], Err(ErrorKind::Revoked)),
        ("two responses, one unknown", vec![&unsure, &good], vec![], Ok(NOW.plus(DAY))),
        ("unknown by a response, good by a CRL", vec![&unsure], vec![&clear], Ok(NOW.plus(HOUR))),
        ("unknown by a response", vec![&unsure], vec![], Err(ErrorKind::StatusUnknown)),
        ("out of date", vec![&old], vec![], Err(ErrorKind::StatusStale)),
        ("out of date, unknown", vec![&unsure, &old], vec![], Err(ErrorKind::StatusStale)),
        ("a CRL out of date, unknown", vec![&unsure], vec![&late], Err(ErrorKind::StatusStale)),
        ("about another certificate", vec![&other], vec![], Err(ErrorKind::StatusUnknown)),
    ];
    for (name, responses, crls, want) in cases {
        let responses: Vec<Vec<u8>> = responses.into_iter().cloned().collect();
        let crls: Vec<Vec<u8>> = crls.into_iter().cloned().collect();
        assert_eq!(question(&responses, &crls, &world), want, "{name}");
        let reversed: Vec<Vec<u8>> = responses.into_iter().rev().collect();
        assert_eq!(question(&reversed, &crls, &world), want, "{name}, reversed");
    }
}

fn good_status() -> Vec<u8> {
    good()
}

#[test]
fn a_revoked_delegate_does_not_count() {
    let mut world = World::delegated();
    world.delegate.serial = vec![0x55];
    world.delegate.remove("1.3.6.1.5.5.7.48.1.5");
    let response = world.response();
    let clear = CrlDraft::new("CN=CA").with(idp(&[flag(2)])).der(&world.ca_key);
    assert!(question(std::slice::from_ref(&response), &[clear], &world).is_ok());
    let lists = CrlDraft::new("CN=CA").lists(&[0x55], None).with(idp(&[reasons(3, &[1])])).der(&world.ca_key);
    assert_eq!(question(&[response], std::slice::from_ref(&lists), &world), Err(ErrorKind::StatusUnknown));
    world.delegate.set(no_check());
    assert!(question(&[world.response()], &[lists], &world).is_ok(), "the CA says not to check");
}
