//! OCSP responses, one thing wrong at a time, requests, and responses beside CRLs.

#[path = "support/der.rs"]
mod der;
#[path = "support/status.rs"]
mod status;

use std::sync::Arc;

use certgate::domain::certificate::Certificate;
use certgate::domain::path::signature::Sha1;
use certgate::domain::path::{PathParameters, Pool, SignaturePolicy, UsageRule};
use certgate::domain::reason::Reason;
use certgate::domain::revocation::ocsp::{self, Authority, CertIdHash, Nonce, OcspPolicy, OcspResponse, Responder};
use certgate::domain::revocation::{
    BadStatus, Crl, Freshness, MaxAge, RevocationData, RevocationPolicy, RevocationScope,
};
use certgate::domain::time::UnixTime;
use certgate::domain::trace::NoTrace;
use certgate::domain::verify::Question;

use der::{Draft, Key, NOW, context, ext, int};
use status::*;

const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";

/// A CA, a leaf, a delegate, and a good response by the CA.
struct World {
    ca_key: Key,
    delegate_key: Key,
    ca: Arc<Certificate>,
    leaf: Arc<Certificate>,
    delegate: Draft,
    draft: ResponseDraft,
    by_delegate: bool,
    nonce: Nonce<'static>,
    policy: OcspPolicy,
    now: UnixTime,
}

impl World {
    fn new() -> Self {
        let (ca_key, delegate_key) = (Key::p256(), Key::p256());
        let ca = Draft::ca("CN=CA", "CN=Root", &ca_key).sign(&Key::p256());
        let mut leaf = Draft::client("CN=client", "CN=CA", &Key::ed25519());
        leaf.serial = vec![0, 0x91, 7];
        let leaf = leaf.sign(&ca_key);
        let delegate = Draft::new("CN=Responder", "CN=CA", &delegate_key)
            .with(ext::key_usage(&[0]))
            .with(ext::purposes(&[OCSP_SIGNING]))
            .with(no_check());
        let draft = ResponseDraft::new(by_name(&ca), vec![Single::good(&leaf, &ca)]);
        let freshness = Freshness { max_age: MaxAge::NextUpdate, clock_skew: 0 };
        let policy = OcspPolicy { freshness, ..OcspPolicy::default() };
        Self {
            ca_key,
            delegate_key,
            ca,
            leaf,
            delegate,
            draft,
            by_delegate: false,
            nonce: Nonce::NotSent,
            policy,
            now: NOW,
        }
    }

    /// The same signed by the delegate.
    fn delegated() -> Self {
        let mut world = Self::new();
        world.by_delegate = true;
        world
    }

    fn response(&self) -> Vec<u8> {
        let mut draft = self.draft.clone();
        if !self.by_delegate {
            return draft.der(&self.ca_key);
        }
        let delegate = self.delegate.sign(&self.ca_key);
        if draft.certificates.is_empty() {
            draft.certificates.push(delegate.der().to_vec());
            draft.responder = by_name(&delegate);
        }
        draft.der(&self.delegate_key)
    }

    fn check(&self) -> Result<ocsp::OcspGood, String> {
        let response = OcspResponse::from_der(self.response()).map_err(|error| format!("MALFORMED {error}"))?;
        ocsp::check(&response, &self.leaf, &self.ca, self.nonce, &self.policy, self.now)
            .map_err(|status| format!("{} {status}", status.reason()))
    }

    fn single(&mut self) -> &mut Single {
        &mut self.draft.singles[0]
    }
}

fn no_check() -> der::Extension {
    ("1.3.6.1.5.5.7.48.1.5".to_owned(), false, vec![5, 0])
}

type Row = (&'static str, fn(&mut World), &'static str);

fn run(make: fn() -> World, rows: &[Row]) {
    let mut problems = Vec::new();
    for (row, edit, want) in rows {
        let mut world = make();
        edit(&mut world);
        match (world.check(), want) {
            (Ok(_), &"good") => {}
            (Err(problem), want) if problem.contains(want) => {}
            (got, want) => problems.push(format!("{row}: want {want:?}, got {got:?}")),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn answers_of_the_ca() {
    let rows: &[Row] = &[
        ("good", |_| (), "good"),
        ("by key", |w| w.draft.responder = by_key(&w.ca), "good"),
        ("by another key", |w| w.draft.responder = by_key(&w.leaf), "REVOCATION_UNKNOWN no certificate at hand"),
        ("by another name", |w| w.draft.responder = by_name(&w.leaf), "REVOCATION_UNKNOWN no certificate at hand"),
        ("version encoded", |w| w.draft.version = context(0, int(0)), "good"),
        ("version 2", |w| w.draft.version = context(0, int(1)), "MALFORMED version"),
        ("forged", |w| w.draft.forged = true, "not signed by the CA"),
        ("trailing octets", |w| w.draft.after = vec![0], "MALFORMED"),
        ("trailing field", |w| w.draft.trailer = int(1), "MALFORMED tbsResponseData"),
        ("another type", |w| w.draft.response_type = "1.2.3", "MALFORMED response type"),
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
        ("revoked", |w| w.single().status = revoked(None), "CERT_REVOKED"),
        (
            "on hold",
            |w| w.single().status = revoked(Some(reason::HOLD)),
            "CERT_REVOKED revoked at 2027-01-14T08:00:00Z for certificateHold",
        ),
        ("undefined reason", |w| w.single().status = revoked(Some(7)), "MALFORMED revocation reason 7"),
        ("unknown", |w| w.single().status = unknown(), "REVOCATION_UNKNOWN"),
        ("good for this second", |w| (w.single().this_update, w.single().next_update) = (NOW, Some(NOW)), "good"),
        ("unknown with content", |w| w.single().status = der::implicit(2, [0]), "MALFORMED certStatus"),
        ("good with content", |w| w.single().status = der::implicit(0, [0]), "MALFORMED certStatus"),
        (
            "good and revoked",
            |w| {
                let worse = Single { status: revoked(None), ..w.single().clone() };
                w.draft.singles.push(worse);
            },
            "CERT_REVOKED",
        ),
        (
            "good and unknown",
            |w| {
                let worse = Single { status: unknown(), ..w.single().clone() };
                w.draft.singles.insert(0, worse);
            },
            "REVOCATION_UNKNOWN",
        ),
        (
            "good and one out of date",
            |w| {
                let worse = Single { next_update: Some(NOW.minus(60)), ..w.single().clone() };
                w.draft.singles.push(worse);
            },
            "REVOCATION_STALE",
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
        ("out of date", |w| w.single().next_update = Some(NOW.minus(1)), "REVOCATION_STALE"),
        (
            "out of date and revoked",
            |w| {
                w.single().next_update = Some(NOW.minus(1));
                w.single().status = revoked(None);
            },
            "CERT_REVOKED",
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
        ("from ahead", |w| w.single().this_update = NOW.plus(1), "lies ahead"),
        ("made ahead", |w| w.draft.produced_at = NOW.plus(1), "lies ahead"),
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
            "REVOCATION_STALE",
        ),
        ("older than the greatest age", |w| w.policy.freshness.max_age = MaxAge::Seconds(HOUR - 1), "REVOCATION_STALE"),
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
            "no certificate at hand",
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
        ("with an empty subjectAltName", |w| w.delegate.set(ext::names(&[])), "subjectAltName is there and empty"),
        (
            "with an empty subjectAltName, legacy",
            |w| {
                w.delegate.set(ext::names(&[]));
                w.policy.signatures = SignaturePolicy { sha1: Sha1::Allowed, ..w.policy.signatures };
            },
            "good",
        ),
        ("says revoked", |w| w.single().status = revoked(None), "CERT_REVOKED"),
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

/// RFC 6960 4.1.1, written out: hashes and the shape are made by other code than the one under test.
#[test]
fn requests_are_as_the_standard_wants() {
    let world = World::new();
    let single = Single::good(&world.leaf, &world.ca);
    let cert_id = der::seq(&[
        der::seq(&[der::oid(SHA1), der::tlv(5, [])]),
        der::tlv(4, &single.name_hash),
        der::tlv(4, &single.key_hash),
        der::tlv(2, [0, 0x91, 7]),
    ]);
    let plain = der::seq(&[der::seq(&[der::seq(&[der::seq(std::slice::from_ref(&cert_id))])])]);
    let pair = [(&*world.leaf, &*world.ca)];
    assert_eq!(ocsp::request(&pair, CertIdHash::Sha1, None), plain);
    let (dotted, _, value) = nonce(&[7; 32]);
    let extensions = context(2, der::seq(&[der::seq(&[der::oid(&dotted), der::tlv(4, value)])]));
    let with_nonce = der::seq(&[der::seq(&[der::seq(&[der::seq(&[cert_id])]), extensions])]);
    assert_eq!(ocsp::request(&pair, CertIdHash::Sha1, Some(&[7; 32])), with_nonce);
    assert_eq!(ocsp::request(&pair, CertIdHash::Sha1, Some(&[7; 129])), plain, "no nonce beyond RFC 9654");
    assert!(ocsp::request(&pair, CertIdHash::Sha512, None).len() > plain.len() + 80);
    for request in [plain, with_nonce, ocsp::request(&[pair[0], pair[0]], CertIdHash::Sha256, None)] {
        certgate::domain::der::check(&request).unwrap();
    }
}

/// A path of root and leaf; responses and CRLs of the root.
fn question(responses: &[Vec<u8>], crls: &[Vec<u8>], world: &World) -> Result<UnixTime, Reason> {
    let responses = responses.iter().map(|der| Arc::new(OcspResponse::from_der(der.clone()).unwrap()));
    let crls = crls.iter().map(|der| Arc::new(Crl::from_der(der.clone()).unwrap()));
    let question = Question {
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
    question.answer(NOW, &mut NoTrace).map(|valid| valid.valid_until).map_err(|invalid| invalid.reason)
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
    type Case<'a> = (&'a str, Vec<&'a Vec<u8>>, Vec<&'a Vec<u8>>, Result<UnixTime, Reason>);
    let cases: Vec<Case<'_>> = vec![
        ("a response alone", vec![&good], vec![], Ok(NOW.plus(DAY))),
        ("two good responses, the longer counts", vec![&good, &short], vec![], Ok(NOW.plus(DAY))),
        ("nothing", vec![], vec![], Err(Reason::RevocationUnknown)),
        ("revoked by a response", vec![&bad], vec![&clear], Err(Reason::CertRevoked)),
        ("revoked by a CRL", vec![&good], vec![&lists], Err(Reason::CertRevoked)),
        ("both good", vec![&good], vec![&clear], Ok(NOW.plus(HOUR))),
        ("two responses, one revoked", vec![&good, &bad], vec![], Err(Reason::CertRevoked)),
        ("two responses, one unknown", vec![&unsure, &good], vec![], Ok(NOW.plus(DAY))),
        ("unknown by a response, good by a CRL", vec![&unsure], vec![&clear], Ok(NOW.plus(HOUR))),
        ("unknown by a response", vec![&unsure], vec![], Err(Reason::RevocationUnknown)),
        ("out of date", vec![&old], vec![], Err(Reason::RevocationStale)),
        ("out of date, unknown", vec![&unsure, &old], vec![], Err(Reason::RevocationStale)),
        ("a CRL out of date, unknown", vec![&unsure], vec![&late], Err(Reason::RevocationStale)),
        ("about another certificate", vec![&other], vec![], Err(Reason::RevocationUnknown)),
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
    assert_eq!(question(&[response], std::slice::from_ref(&lists), &world), Err(Reason::RevocationUnknown));
    world.delegate.set(no_check());
    assert!(question(&[world.response()], &[lists], &world).is_ok(), "the CA says not to check");
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
