//! Answers of the CA and of delegates.

use certgate_x509::{
    BadStatus, MaxAge, Sha1, SignaturePolicy,
    ocsp::{self, Authority, Nonce, OcspResponse, Responder},
};

use super::world::*;
use certgate_testing::der;
use certgate_testing::der::{Draft, NOW, SigningKey, context, ext, int};
use certgate_testing::status::*;

#[test]
fn answers_of_the_ca() {
    let rows: &[Row] = &[
        ("good", |_| (), "good"),
        ("by key", |w| w.draft.responder = by_key(&w.ca), "good"),
        (
            "by another key",
            |w| w.draft.responder = by_key(&w.leaf),
            "StatusUnknown the responder's certificate was not found",
        ),
        (
            "by another name",
            |w| w.draft.responder = by_name(&w.leaf),
            "StatusUnknown the responder's certificate was not found",
        ),
        ("version encoded", |w| w.draft.version = context(0, int(0)), "good"),
        ("version 2", |w| w.draft.version = context(0, int(1)), "MALFORMED version"),
        ("forged", |w| w.draft.forged = true, "not signed by the CA"),
        ("trailing octets", |w| w.draft.after = vec![0], "MALFORMED"),
        ("trailing field", |w| w.draft.trailer = int(1), "MALFORMED tbsResponseData"),
        ("another type", |w| w.draft.response_type = "1.2.3", "MALFORMED response type"),
        ("negative status", |w| w.draft.status = 0x80, "MALFORMED responseStatus"),
        ("malformed request", |w| w.draft.status = 1, "malformedRequest"),
        ("internal error", |w| w.draft.status = 2, "internalError"),
        ("signature required", |w| w.draft.status = 5, "sigRequired"),
        ("try later", |w| w.draft.status = 3, "MALFORMED the responder answers tryLater"),
        ("unauthorized", |w| w.draft.status = 6, "unauthorized"),
        ("no answers", |w| w.draft.singles.clear(), "not about the certificate"),
        ("another serial number", |w| w.single().serial = vec![7], "not about the certificate"),
        ("its serial number negative", |w| w.single().serial = vec![0x91, 7], "not about the certificate"),
        ("another issuer name", |w| w.single().name_hash[0] ^= 1, "not about the certificate"),
        ("another issuer key", |w| w.single().key_hash[0] ^= 1, "not about the certificate"),
        ("an unknown hash", |w| w.single().algorithm = "1.2.840.113549.2.5", "not about the certificate"),
        ("SHA-1 said, SHA-256 given", |w| w.single().algorithm = SHA256, "not about the certificate"),
        (
            "SHA-256",
            |w| {
                let hash =
                    |octets: &[u8]| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets).as_ref().to_vec();
                let (name, key) = (hash(w.ca.subject().der()), hash(&key_octets(&w.ca)));
                *w.single() = Single { algorithm: SHA256, name_hash: name, key_hash: key, ..w.single().clone() };
            },
            "good",
        ),
        ("revoked", |w| w.single().status = revoked(None), "Revoked"),
        (
            "on hold",
            |w| w.single().status = revoked(Some(reason::HOLD)),
            "Revoked revoked at 2027-01-14T08:00:00Z for certificateHold",
        ),
        ("undefined reason", |w| w.single().status = revoked(Some(7)), "MALFORMED revocation reason 7"),
        ("unknown", |w| w.single().status = unknown(), "StatusUnknown"),
        ("good for this second", |w| (w.single().this_update, w.single().next_update) = (NOW, Some(NOW)), "good"),
        ("unknown with content", |w| w.single().status = der::implicit(2, [0]), "MALFORMED certStatus"),
        ("good with content", |w| w.single().status = der::implicit(0, [0]), "MALFORMED certStatus"),
        (
            "good and revoked",
            |w| {
                let worse = Single { status: revoked(None), ..w.single().clone() };
                w.draft.singles.push(worse);
            },
            "Revoked",
        ),
        (
            "good and unknown",
            |w| {
                let worse = Single { status: unknown(), ..w.single().clone() };
                w.draft.singles.insert(0, worse);
            },
            "StatusUnknown",
        ),
        (
            "good and one out of date",
            |w| {
                let worse = Single { next_update: Some(NOW.minus(60)), ..w.single().clone() };
                w.draft.singles.push(worse);
            },
            "StatusStale",
        ),
        (
            "another is revoked",
            |w| {
                let other = Single { serial: vec![9], status: revoked(None), ..w.single().clone() };
                w.draft.singles.push(other);
            },
            "good",
        ),
        ("until this second", |w| w.single().next_update = Some(NOW), "good"),
        ("out of date", |w| w.single().next_update = Some(NOW.minus(1)), "StatusStale"),
        (
            "out of date and revoked",
            |w| {
                w.single().next_update = Some(NOW.minus(1));
                w.single().status = revoked(None);
            },
            "Revoked",
        ),
        ("dates reversed", |w| w.single().next_update = Some(NOW.minus(2 * HOUR)), "MALFORMED thisUpdate"),
        ("from this second", |w| w.single().this_update = NOW, "good"),
        (
            "for a month",
            |w| {
                w.single().this_update = NOW.minus(10 * DAY);
                w.single().next_update = Some(NOW.plus(20 * DAY));
            },
            "good",
        ),
        ("from ahead", |w| w.single().this_update = NOW.plus(1), "is in the future"),
        ("made ahead", |w| w.draft.produced_at = NOW.plus(1), "is in the future"),
        (
            "made ahead within the skew",
            |w| {
                w.draft.produced_at = NOW.plus(60);
                w.policy.freshness.clock_skew = 60;
            },
            "good",
        ),
        ("no nextUpdate", |w| w.single().next_update = None, "good"),
        (
            "no nextUpdate, old",
            |w| {
                w.single().next_update = None;
                w.single().this_update = NOW.minus(8 * DAY);
            },
            "StatusStale",
        ),
        ("older than the greatest age", |w| w.policy.freshness.max_age = MaxAge::Seconds(HOUR - 1), "StatusStale"),
        ("as old as the greatest age", |w| w.policy.freshness.max_age = MaxAge::Seconds(HOUR), "good"),
        (
            "unknown critical extension",
            |w| {
                w.draft.extensions.push(("1.2.3.4".to_owned(), true, vec![5, 0]));
            },
            "MALFORMED critical extension 1.2.3.4",
        ),
        ("unknown extension", |w| w.draft.extensions.push(("1.2.3.4".to_owned(), false, vec![5, 0])), "good"),
        (
            "unknown critical extension of an answer",
            |w| {
                w.single().extensions.push(("1.2.3.4".to_owned(), true, vec![5, 0]));
            },
            "MALFORMED critical extension 1.2.3.4",
        ),
        ("extension twice", |w| w.draft.extensions = vec![nonce(&[1]), nonce(&[1])], "appears twice"),
        ("weak for the policy", |w| w.policy.signatures.minimum_ec_bits = 384, "not signed by the CA"),
    ];
    run(World::new, rows);
}

#[test]
fn nonces() {
    let rows: &[Row] = &[
        ("not sent, repeated", |w| w.draft.extensions.push(nonce(&[1, 2])), "good"),
        (
            "sent and repeated",
            |w| {
                w.nonce = Nonce::Sent(&[1, 2]);
                w.draft.extensions.push(nonce(&[1, 2]));
            },
            "good",
        ),
        ("sent and left out", |w| w.nonce = Nonce::Sent(&[1, 2]), "good"),
        (
            "sent, another repeated",
            |w| {
                w.nonce = Nonce::Sent(&[1, 2]);
                w.draft.extensions.push(nonce(&[1, 3]));
            },
            "another nonce",
        ),
        ("required and left out", |w| w.nonce = Nonce::Required(&[1, 2]), "does not repeat the nonce"),
        (
            "required and repeated",
            |w| {
                w.nonce = Nonce::Required(&[1, 2]);
                w.draft.extensions.push(nonce(&[1, 2]));
            },
            "good",
        ),
        ("empty", |w| w.draft.extensions.push(nonce(&[])), "nonce of 0 octets"),
        ("as long as may be", |w| w.draft.extensions.push(nonce(&[1; 128])), "good"),
        ("too long", |w| w.draft.extensions.push(nonce(&[1; 129])), "nonce of 129 octets"),
    ];
    run(World::new, rows);
}

#[test]
fn answers_of_a_delegate() {
    let rows: &[Row] = &[
        ("good", |_| (), "good"),
        (
            "by key",
            |w| {
                let delegate = w.delegate.sign(&w.ca_key);
                w.draft.certificates = vec![delegate.der().to_vec()];
                w.draft.responder = by_key(&delegate);
            },
            "good",
        ),
        (
            "without its certificate",
            |w| {
                w.draft.certificates = vec![w.leaf.der().to_vec()];
                w.draft.responder = by_name(&w.delegate.sign(&w.ca_key));
            },
            "the responder's certificate was not found",
        ),
        (
            "beside what is no certificate",
            |w| {
                let delegate = w.delegate.sign(&w.ca_key);
                w.draft.certificates = vec![der::seq(&[int(1)]), delegate.der().to_vec()];
                w.draft.responder = by_name(&delegate);
            },
            "good",
        ),
        ("forged", |w| w.draft.forged = true, "not signed by its responder"),
        ("certificate forged", |w| w.delegate.forged = true, "not signed by the CA"),
        ("without the purpose", |w| w.delegate.remove(ext::EXTENDED_KEY_USAGE), "does not list OCSPSigning"),
        ("for other purposes", |w| w.delegate.set(ext::purposes(&[ext::CLIENT_AUTH])), "does not list OCSPSigning"),
        ("for any purpose", |w| w.delegate.set(ext::purposes(&[ext::ANY_PURPOSE])), "does not list OCSPSigning"),
        (
            "without the purpose, where that does not count",
            |w| {
                w.delegate.remove(ext::EXTENDED_KEY_USAGE);
                w.policy.authority = Authority::AnyIssued;
            },
            "good",
        ),
        (
            "with a key that is too dear",
            |w| {
                w.delegate_key = SigningKey::hollow_rsa(8192, &[1, 0, 1], 1);
                let dear = Draft::new("CN=Responder", "CN=CA", &w.delegate_key);
                w.delegate = dear.with(ext::purposes(&[OCSP_SIGNING])).with(no_check());
            },
            "configured may have 4096",
        ),
        ("with a key for certificates", |w| w.delegate.set(ext::key_usage(&[5])), "has neither digitalSignature"),
        ("with a key for non-repudiation", |w| w.delegate.set(ext::key_usage(&[1])), "good"),
        ("without keyUsage", |w| w.delegate.remove(ext::KEY_USAGE), "good"),
        ("expired", |w| w.delegate.valid(NOW.minus(DAY), NOW.minus(1)), "expired at"),
        ("not yet valid", |w| w.delegate.valid(NOW.plus(1), NOW.plus(DAY)), "valid from"),
        ("of another CA", |w| w.delegate.issuer = der::name("CN=CA 2"), "not by the CA itself"),
        (
            "with an unknown critical extension",
            |w| {
                w.delegate.set(ext::any("1.2.3.4", true, vec![5, 0]));
            },
            "critical extension 1.2.3.4",
        ),
        ("with an empty subjectAltName", |w| w.delegate.set(ext::names(&[])), "its subjectAltName is empty"),
        (
            "with an empty subjectAltName, legacy",
            |w| {
                w.delegate.set(ext::names(&[]));
                w.policy.signatures = SignaturePolicy { sha1: Sha1::Allowed, ..w.policy.signatures };
            },
            "good",
        ),
        ("says revoked", |w| w.single().status = revoked(None), "Revoked"),
    ];
    run(World::delegated, rows);
}

#[test]
fn who_answered_is_told() {
    assert!(matches!(World::new().check().unwrap().responder, Responder::Issuer));
    let mut world = World::delegated();
    assert!(matches!(world.check().unwrap().responder, Responder::Delegate { no_check: true, .. }));
    world.delegate.remove("1.3.6.1.5.5.7.48.1.5");
    assert!(matches!(world.check().unwrap().responder, Responder::Delegate { no_check: false, .. }));
}

#[test]
fn an_answer_holds_until_its_next_update() {
    let mut world = World::new();
    world.policy.freshness.clock_skew = 5;
    assert_eq!(world.check().unwrap().valid_until, NOW.plus(DAY + 5));
    world.policy.freshness.max_age = MaxAge::Seconds(2 * HOUR);
    assert_eq!(world.check().unwrap().valid_until, NOW.plus(HOUR + 5));
}

#[test]
fn authority_without_a_certificate() {
    let world = World::new();
    let ask = |world: &World| {
        let response = OcspResponse::from_der(world.response()).unwrap();
        ocsp::authority(&response, &world.ca, &world.policy, world.now).map(drop)
    };
    assert_eq!(ask(&world), Ok(()));
    let mut old = World::new();
    old.single().next_update = Some(NOW.minus(1));
    old.single().status = revoked(None);
    assert_eq!(ask(&old), Ok(()), "what it says and when is not asked");
    let mut mixed = World::new();
    let foreign = Single { key_hash: vec![0; 20], ..mixed.single().clone() };
    mixed.draft.singles.push(foreign);
    assert!(matches!(ask(&mixed), Err(BadStatus::Unknown { .. })), "one answer is about another issuer");
}

#[test]
fn responses_have_a_greatest_size() {
    let refused = |length: usize| OcspResponse::from_der(vec![0; length]).unwrap_err().to_string();
    assert!(!refused(1 << 20).contains("are parsed"));
    assert!(refused((1 << 20) + 1).contains("are parsed"));
}

proptest::proptest! {
    #[test]
    fn no_input_panics(edits in proptest::collection::vec((0_usize..900, 0_u8..), 1..6)) {
        thread_local!(static GOOD: Vec<u8> = World::delegated().response());
        let mut der = GOOD.with(Clone::clone);
        for (at, octet) in edits {
            let at = at % der.len();
            der[at] = octet;
        }
        drop(OcspResponse::from_der(der));
    }
}
