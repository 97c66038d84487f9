//! Revocation as a policy sees it: what a profile's switches do, and what edits of CRLs do to decisions.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use certgate_testing::der;
use certgate_testing::status;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use certgate::domain::api::{Object, ObjectMeta};
use certgate::domain::decide::reason::Reason;
use certgate::domain::decide::resolved_profile::ResolvedProfile;
use certgate::domain::decide::{PolicyState, Snapshot};
use certgate::domain::evidence::Links;
use certgate::domain::request::{Http, NoHeaders, Request};
use certgate::domain::store::{CrlFile, Index};
use certgate::file::check::check;
use certgate::file::loader::{Loader, ReloadOutcome};
use certgate::file::source;
use certgate_x509::{Budget, Certificate, NoTrace, Recorder, Trace};
use serde_json::{Value, json};

use der::{Draft, NOW, SigningKey};
use status::*;

mod files;

/// A file as it is read.
fn crl_file(content: impl AsRef<[u8]>) -> Result<CrlFile, String> {
    source::crls(&mut content.as_ref())
}

const CA_SERIAL: &[u8] = &[0x21];
const LEAF_SERIAL: &[u8] = &[0x31];
/// What drafts have unless told otherwise.
const ROOT_SERIAL: &[u8] = &[0x11, 0x22];

/// A root, a CA below it, and a client.
struct Pki {
    root: SigningKey,
    ca: SigningKey,
    root_cert: Vec<u8>,
    ca_cert: Vec<u8>,
    leaf: Vec<u8>,
}

impl Pki {
    fn new() -> Self {
        let (root, ca, client) = (SigningKey::ed25519(), SigningKey::ed25519(), SigningKey::ed25519());
        let mut ca_cert = Draft::ca("CN=CA", "CN=Root", &ca);
        ca_cert.serial = CA_SERIAL.to_vec();
        let mut leaf = Draft::client("CN=client", "CN=CA", &client);
        leaf.serial = LEAF_SERIAL.to_vec();
        let root_cert = Draft::ca("CN=Root", "CN=Root", &root).der(&root);
        Self { root_cert, ca_cert: ca_cert.der(&root), leaf: leaf.der(&ca), root, ca }
    }

    fn profile(&self, revocation: Value) -> Object {
        let mut spec = json!({
            "trustAnchors": [{"inline": pem("CERTIFICATE", &self.root_cert)}],
            "intermediates": [{"inline": pem("CERTIFICATE", &self.ca_cert)}],
        });
        if !revocation.is_null() {
            spec["revocation"] = revocation;
        }
        Object::TrustProfile { meta: meta("partners"), spec: serde_json::from_value(spec).unwrap() }
    }

    /// An index with the profile, a policy for every host, and the CRLs in the files `ca.crl` and `root.crl`.
    fn index(&self, revocation: Value, ca: Option<CrlDraft>, root: Option<CrlDraft>) -> Index {
        let mut index = Index::new();
        index.apply(self.profile(revocation));
        index.apply(policy("api"));
        for (file, crl, key) in [("ca.crl", ca, &self.ca), ("root.crl", root, &self.root)] {
            if let Some(crl) = crl {
                index.set_crl_file(file, crl_file(crl.der(key)));
            }
        }
        index
    }

    fn decide(&self, snapshot: &Snapshot) -> Result<(), (Reason, String)> {
        self.decide_traced(snapshot, &mut Recorder::default())
    }

    fn reason(&self, snapshot: &Snapshot) -> Result<(), Reason> {
        self.decide(snapshot).map_err(|(reason, _)| reason)
    }

    fn decide_traced<T: Trace>(&self, snapshot: &Snapshot, trace: &mut T) -> Result<(), (Reason, String)> {
        let peer = pem("CERTIFICATE", &self.leaf);
        let escaped: String = peer.bytes().map(|octet| format!("%{octet:02X}")).collect();
        let request = Request {
            named_policy: None,
            http: Some(Http { host: b"api", method: b"GET", path: b"/" }),
            peer_certificate: escaped.as_bytes(),
            headers: &NoHeaders,
            source_address: None,
        };
        let decision = snapshot.decide(&request, NOW, trace);
        decision.verdict().map(|_| ()).map_err(|denial| (denial.reason, denial.detail.to_string()))
    }
}

fn meta(name: &str) -> ObjectMeta {
    ObjectMeta { name: name.to_owned(), namespace: "ns".to_owned(), ..ObjectMeta::default() }
}

fn policy(name: &str) -> Object {
    let spec = json!({"match": [{"hosts": [name]}], "trustRef": {"name": "partners"}});
    Object::CertificatePolicy { meta: meta(name), spec: serde_json::from_value(spec).unwrap() }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn by_ca() -> CrlDraft {
    CrlDraft::new("CN=CA")
}

fn by_root() -> CrlDraft {
    CrlDraft::new("CN=Root")
}

fn offline(patch: Value) -> Value {
    let mut spec = json!({"mode": "Offline", "crls": [{"file": "ca.crl"}, {"file": "root.crl"}]});
    for (key, value) in patch.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn problems(index: &Index) -> Vec<String> {
    let problems = index.problems();
    let line = |problem: &certgate::domain::store::Problem| {
        problem.errors.iter().map(|error| format!("{:?} {error}", problem.severity)).collect::<Vec<_>>()
    };
    problems.iter().flat_map(line).collect()
}

fn trusted(snapshot: &Snapshot) -> Arc<ResolvedProfile> {
    match snapshot.policies()[0].state() {
        PolicyState::Ready(trusted) => Arc::clone(trusted),
        other => panic!("{other:?}"),
    }
}

const REVOKED: Result<(), Reason> = Err(Reason::CertRevoked);
const UNKNOWN: Result<(), Reason> = Err(Reason::RevocationUnknown);
const STALE: Result<(), Reason> = Err(Reason::RevocationStale);

#[test]
fn what_a_profile_says_about_revocation() {
    let pki = Pki::new();
    let of_root_only = || json!({"crls": [{"file": "root.crl"}]});
    let of_ca_only = |scope: &str| json!({"crls": [{"file": "ca.crl"}], "scope": scope});
    let client_revoked = || by_ca().lists(LEAF_SERIAL, None);
    let ca_revoked = || by_root().lists(CA_SERIAL, None);
    let root_revoked = || by_root().lists(ROOT_SERIAL, None);
    let past = || by_ca().dated(-2 * DAY, Some(-HOUR));
    let allow = || json!({"onUnknown": "Allow"});
    let rows = [
        ("good", offline(json!({})), by_ca(), by_root(), Ok(())),
        ("client revoked", offline(json!({})), client_revoked(), by_root(), REVOKED),
        ("another revoked", offline(json!({})), by_ca().lists(&[0x32], None), by_root(), Ok(())),
        ("CA revoked", offline(json!({})), by_ca(), ca_revoked(), REVOKED),
        ("CA revoked, EndEntity", offline(json!({"scope": "EndEntity"})), by_ca(), ca_revoked(), Ok(())),
        ("client revoked, EndEntity", offline(json!({"scope": "EndEntity"})), client_revoked(), by_root(), REVOKED),
        ("root revoked, by default", offline(json!({})), by_ca(), root_revoked(), Ok(())),
        ("root revoked, EntireChain", offline(json!({"scope": "EntireChain"})), by_ca(), root_revoked(), REVOKED),
        ("all good, EntireChain", offline(json!({"scope": "EntireChain"})), by_ca(), by_root(), Ok(())),
        ("no CRL of the CA", offline(of_root_only()), by_ca(), by_root(), UNKNOWN),
        ("no CRL of the root", offline(of_ca_only("ExcludeRoot")), by_ca(), by_root(), UNKNOWN),
        ("no CRL of the root, EndEntity", offline(of_ca_only("EndEntity")), by_ca(), by_root(), Ok(())),
        ("no CRL at all", offline(json!({"crls": []})), by_ca(), by_root(), UNKNOWN),
        ("no CRL at all, Allow", offline(json!({"crls": [], "onUnknown": "Allow"})), by_ca(), by_root(), Ok(())),
        ("revoked, Allow", offline(allow()), client_revoked(), by_root(), REVOKED),
        ("past nextUpdate", offline(json!({})), past(), by_root(), STALE),
        ("past nextUpdate, Allow", offline(allow()), past(), by_root(), Ok(())),
        ("past nextUpdate, but listed", offline(allow()), past().lists(LEAF_SERIAL, None), by_root(), REVOKED),
        ("past nextUpdate, clocks differ", offline(json!({"clockSkew": "2h"})), past(), by_root(), Ok(())),
        ("older than maxAge", offline(json!({"maxAge": "30m"})), by_ca(), by_root(), STALE),
        ("within maxAge", offline(json!({"maxAge": "2h"})), by_ca(), by_root(), Ok(())),
        ("maxAge does not lengthen", offline(json!({"maxAge": "1000h"})), past(), by_root(), STALE),
        ("forged", offline(json!({})), CrlDraft { forged: true, ..by_ca() }, by_root(), UNKNOWN),
        ("NoCheck", offline(json!({"mode": "NoCheck"})), client_revoked(), by_root(), Ok(())),
        ("omitted", Value::Null, client_revoked(), by_root(), Ok(())),
    ];
    for (row, revocation, ca, root, want) in rows {
        let snapshot = pki.index(revocation, Some(ca), Some(root)).publish().unwrap();
        let got = pki.decide(&snapshot);
        assert_eq!(got.clone().map_err(|(reason, _)| reason), want, "{row}: {got:?}");
    }
}

#[test]
fn a_denial_tells_when_why_and_by_which_crl() {
    let pki = Pki::new();
    let revoked = by_ca().lists(LEAF_SERIAL, Some(reason::KEY_COMPROMISE));
    let snapshot = pki.index(offline(json!({})), Some(revoked), Some(by_root())).publish().unwrap();
    let mut trace = Recorder::default();
    let (_, detail) = pki.decide_traced(&snapshot, &mut trace).unwrap_err();
    let date = NOW.minus(30 * DAY).to_string();
    for want in [&*format!("revoked at {date} for keyCompromise"), "CRL of [CN=CA] number 10"] {
        assert!(detail.contains(want), "{detail}");
        let told = |step: &&certgate_x509::TraceStep| step.stage == "revocation" && step.detail.contains(want);
        assert!(trace.steps().iter().any(|step| told(&step)), "{:#?}", trace.steps());
    }
}

#[test]
fn steps_tell_what_was_looked_up_and_until_when_it_holds() {
    let pki = Pki::new();
    let soon = by_ca().dated(-HOUR, Some(HOUR));
    let snapshot = pki.index(offline(json!({"clockSkew": "0"})), Some(soon), Some(by_root())).publish().unwrap();
    let mut trace = Recorder::default();
    pki.decide_traced(&snapshot, &mut trace).unwrap();
    let until = format!("valid until {}", NOW.plus(HOUR));
    let wants = [
        ("revocation", "[CN=client] is not listed in CRL of [CN=CA] number 10"),
        ("revocation", "[CN=CA] is not listed in CRL of [CN=Root] number 10"),
        ("trust", &*until),
    ];
    for (stage, want) in wants {
        let told = trace.steps().iter().any(|step| step.stage == stage && step.detail.contains(want));
        assert!(told, "{want}: {:#?}", trace.steps());
    }
}

#[test]
fn an_edited_crl_decides_at_the_next_publication() {
    let pki = Pki::new();
    let mut index = pki.index(offline(json!({})), Some(by_ca()), Some(by_root()));
    let before = index.publish().unwrap();
    assert_eq!((pki.reason(&before), problems(&index)), (Ok(()), vec![]));
    index.set_crl_file("ca.crl", crl_file(by_ca().with(number(11)).lists(LEAF_SERIAL, None).der(&pki.ca)));
    let after = index.publish().expect("the CRL changed");
    assert_eq!(pki.reason(&after), REVOKED);
    assert_eq!(pki.reason(&before), Ok(()), "requests in flight keep their snapshot");
    let (before, after) = (trusted(&before), trusted(&after));
    assert!(Arc::ptr_eq(before.verifier(), after.verifier()), "nothing else is built anew");
    let root = |trusted: &ResolvedProfile| {
        trusted.revocation_data().crls().iter().find(|crl| crl.issuer().to_string() == "CN=Root").cloned()
    };
    assert!(Arc::ptr_eq(&root(&before).unwrap(), &root(&after).unwrap()), "the other CRL is not parsed again");
}

#[test]
fn a_broken_crl_keeps_the_last_good_one() {
    let pki = Pki::new();
    let revoked = by_ca().lists(LEAF_SERIAL, None);
    let mut index = pki.index(offline(json!({})), Some(revoked.clone()), Some(by_root()));
    assert_eq!(pki.reason(&index.publish().unwrap()), REVOKED);
    let mut cut = revoked.der(&pki.ca);
    cut.truncate(50);
    for (broken, want) in [
        (crl_file(cut), "CRL 1: certificateList"),
        (crl_file(b"no CRL"), "X509 CRL"),
        (Err("No such file".to_owned()), "No such file"),
    ] {
        index.set_crl_file("ca.crl", broken);
        assert!(index.publish().is_none(), "{want}: decisions stay as they are");
        let [problem] = &problems(&index)[..] else { panic!("{:?}", problems(&index)) };
        assert!(problem.starts_with("Error spec.revocation.crls[0].file: "), "{problem}");
        assert!(problem.contains(want) && problem.ends_with("; its last good content stays in use"), "{problem}");
    }
    index.set_crl_file("ca.crl", crl_file(by_ca().with(number(11)).der(&pki.ca)));
    assert_eq!((pki.reason(&index.publish().unwrap()), problems(&index)), (Ok(()), vec![]), "mended");
}

#[test]
fn a_crl_that_was_never_readable_denies() {
    let pki = Pki::new();
    for spec in [json!({}), json!({"onUnknown": "Allow"})] {
        let mut index = pki.index(offline(spec), Some(by_ca()), None);
        assert_eq!(pki.reason(&index.publish().unwrap()), Err(Reason::TrustUnavailable));
        assert!(problems(&index)[0].contains("spec.revocation.crls[1].file"), "{:?}", problems(&index));
        index.set_crl_file("root.crl", crl_file(b"no CRL"));
        if let Some(snapshot) = index.publish() {
            assert_eq!(pki.reason(&snapshot), Err(Reason::TrustUnavailable));
        }
        index.set_crl_file("root.crl", crl_file(by_root().der(&pki.root)));
        assert_eq!(pki.reason(&index.publish().unwrap()), Ok(()));
    }
}

#[test]
fn numbers_do_not_go_back() {
    let pki = Pki::new();
    let revoked = by_ca().with(number(11)).lists(LEAF_SERIAL, None);
    let mut index = pki.index(offline(json!({})), Some(revoked), Some(by_root()));
    assert_eq!(pki.reason(&index.publish().unwrap()), REVOKED);
    let older = by_ca().with(number(10)).der(&pki.ca);
    index.set_crl_file("ca.crl", crl_file(older));
    assert_eq!(pki.reason(&index.publish().unwrap()), REVOKED, "an older CRL in its place");
    assert!(problems(&index)[0].contains("would replace the newer"), "{:?}", problems(&index));
    index.apply(pki.profile(offline(json!({"maxAge": "12h"}))));
    assert_eq!(pki.reason(&index.publish().unwrap()), REVOKED, "and the profile edited");
    let profile = pki.profile(offline(json!({"maxAge": "11h"})));
    index.delete(&profile.id());
    let mut elsewhere = profile;
    elsewhere.meta_mut().origin.document = 7;
    index.apply(elsewhere.clone());
    assert_eq!(pki.reason(&index.publish().unwrap()), REVOKED, "and the profile moved to another document");
    let forged = CrlDraft { forged: true, ..by_ca().with(number(12)) };
    index.set_crl_file("ca.crl", crl_file(forged.der(&pki.ca)));
    assert_eq!(pki.reason(&index.publish().unwrap()), REVOKED, "a forged one in its place");
    assert!(problems(&index).iter().any(|problem| problem.contains("is not signed by")), "{:?}", problems(&index));
    index.set_crl_file("ca.crl", crl_file(by_ca().with(number(12)).der(&pki.ca)));
    assert_eq!((pki.reason(&index.publish().unwrap()), problems(&index)), (Ok(()), vec![]));
}

/// Two steps do what one may not: first nothing in its place, then the older one.
#[test]
fn no_older_crl_comes_after_nothing() {
    let pki = Pki::new();
    let with = |n: u8| by_ca().with(number(n));
    let mut index = pki.index(offline(json!({})), Some(with(11).lists(LEAF_SERIAL, None)), Some(by_root()));
    assert_eq!(pki.reason(&index.publish().unwrap()), REVOKED);
    let others = by_root().der(&pki.root);
    let older = with(10).der(&pki.ca);
    index.set_crl_file("ca.crl", crl_file(&others));
    assert_eq!(pki.reason(&index.publish().unwrap()), Err(Reason::RevocationUnknown), "its place is empty");
    index.set_crl_file("ca.crl", crl_file(&older));
    assert_eq!(pki.reason(&index.publish().unwrap()), REVOKED, "the older one");
    assert!(problems(&index)[0].contains("would replace the newer"), "{:?}", problems(&index));
    index.apply(pki.profile(json!(null)));
    assert_eq!(pki.reason(&index.publish().unwrap()), Ok(()), "nothing is checked");
    index.apply(pki.profile(offline(json!({}))));
    index.set_crl_file("ca.crl", crl_file(&older));
    index.set_crl_file("root.crl", crl_file(&others));
    assert_eq!(pki.reason(&index.publish().unwrap()), REVOKED, "checked again");
    index.set_crl_file("ca.crl", crl_file(&others));
    index.publish();
    index.set_crl_file("ca.crl", crl_file(with(12).der(&pki.ca)));
    assert_eq!((pki.reason(&index.publish().unwrap()), problems(&index)), (Ok(()), vec![]), "a newer one");
}

/// Whoever has stolen the key of a CA has made a CRL with the highest number.
#[test]
fn a_crl_by_a_disallowed_key_keeps_no_other_out() {
    let mut pki = Pki::new();
    let fresh = SigningKey::ed25519();
    let certificates = [pki.ca_cert.clone(), Draft::ca("CN=CA", "CN=Root", &fresh).der(&pki.root)];
    let spki = Certificate::from_der(pki.ca_cert.clone()).unwrap().public_key_sha256();
    let profile = |disallowed: Value| {
        let intermediates: Vec<_> = certificates.iter().map(|der| json!({"inline": pem("CERTIFICATE", der)})).collect();
        let spec = json!({
            "trustAnchors": [{"inline": pem("CERTIFICATE", &pki.root_cert)}],
            "intermediates": intermediates,
            "disallowed": disallowed,
            "revocation": offline(json!({})),
        });
        Object::TrustProfile { meta: meta("partners"), spec: serde_json::from_value(spec).unwrap() }
    };
    let disallowed = profile(json!([{"publicKeySha256": spki.to_string()}]));
    let allowed = profile(json!([]));
    let mut client = Draft::client("CN=client", "CN=CA", &SigningKey::ed25519());
    client.serial = LEAF_SERIAL.to_vec();
    pki.leaf = client.der(&fresh);
    let mut index = pki.index(offline(json!({})), Some(by_ca().with(number(99))), Some(by_root()));
    index.apply(allowed);
    index.publish();
    index.apply(disallowed);
    assert_eq!(pki.reason(&index.publish().unwrap()), Err(Reason::RevocationUnknown), "it counts for nothing");
    index.set_crl_file("ca.crl", crl_file(by_ca().with(number(12)).der(&fresh)));
    assert_eq!((pki.reason(&index.publish().unwrap()), problems(&index)), (Ok(()), vec![]));
    let listing = by_ca().with(number(13)).lists(LEAF_SERIAL, None);
    index.set_crl_file("ca.crl", crl_file(listing.der(&fresh)));
    assert_eq!(pki.reason(&index.publish().unwrap()), REVOKED);
}

/// The thief sends the CA's certificate along by whose key the CRL is that knows of no revocation.
#[test]
fn a_disallowed_key_that_comes_along_clears_nobody() {
    let mut pki = Pki::new();
    let fresh = SigningKey::ed25519();
    let renewed = Draft::ca("CN=CA", "CN=Root", &fresh).der(&pki.root);
    let stolen = Arc::new(Certificate::from_der(pki.ca_cert.clone()).unwrap());
    let mut client = Draft::client("CN=client", "CN=CA", &SigningKey::ed25519());
    client.serial = LEAF_SERIAL.to_vec();
    pki.leaf = client.der(&fresh);
    let leaf = Arc::new(Certificate::from_der(pki.leaf.clone()).unwrap());
    for (disallowed, want) in [
        (json!([]), Ok(())),
        (json!([{"publicKeySha256": stolen.public_key_sha256().to_string()}]), UNKNOWN),
        (json!([{"sha256": stolen.sha256().to_string()}]), UNKNOWN),
    ] {
        let mut index = pki.index(offline(json!({})), Some(by_ca().with(number(99))), Some(by_root()));
        let spec = json!({
            "trustAnchors": [{"inline": pem("CERTIFICATE", &pki.root_cert)}],
            "intermediates": [{"inline": pem("CERTIFICATE", &renewed)}],
            "disallowed": disallowed,
            "revocation": offline(json!({})),
        });
        index.apply(Object::TrustProfile { meta: meta("partners"), spec: serde_json::from_value(spec).unwrap() });
        let (trusted, budget) = (trusted(&index.publish().unwrap()), Budget::default());
        let along = [Arc::clone(&stolen)];
        let verified = trusted.verify(&budget, &leaf, &along, Links::Free, NOW, &mut NoTrace);
        assert_eq!(verified.map(drop).map_err(|denial| denial.reason), want, "{disallowed}");
    }
}

#[test]
fn a_snapshot_tells_its_crls() {
    let pki = Pki::new();
    let mut index = pki.index(offline(json!({})), Some(by_ca().lists(LEAF_SERIAL, None)), Some(by_root()));
    index.apply(policy("other"));
    let mut crls = index.publish().unwrap().crls();
    crls.sort_by(|left, right| left.issuer.cmp(&right.issuer));
    let [ca, root] = &crls[..] else { panic!("each once, though two policies use the profile: {crls:?}") };
    assert_eq!((&*ca.profile, &*ca.issuer, ca.entries), ("ns/partners", "CN=CA", 1));
    assert_eq!((ca.this_update, ca.next_update), (NOW.minus(HOUR), Some(NOW.plus(DAY))));
    assert_eq!((&*root.issuer, root.entries), ("CN=Root", 0));
}

#[test]
fn check_tells_of_crls_that_have_ended_or_end_soon() {
    let pki = Pki::new();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(dir.path().join(name), content).unwrap();
    write("root.pem", pem("CERTIFICATE", &pki.root_cert).as_bytes());
    write("ca.pem", pem("CERTIFICATE", &pki.ca_cert).as_bytes());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap() - NOW.as_secs();
    // Made ten minutes ago: no limit below touches it.
    write("root.crl", &by_root().dated(now - 600, Some(now + 10 * DAY)).der(&pki.root));
    let rows = [
        ("current", "", now - HOUR, now + 10 * DAY, None),
        (
            "past nextUpdate",
            "",
            now - 2 * DAY,
            now - HOUR,
            Some("by its nextUpdate: certificates that it covers are denied"),
        ),
        (
            "the same, allowed",
            "onUnknown: Allow, ",
            now - 2 * DAY,
            now - HOUR,
            Some("pass unchecked (onUnknown: Allow)"),
        ),
        ("within clock skew", "clockSkew: 2h, ", now - 2 * DAY, now - HOUR, Some(", by its nextUpdate: then ")),
        ("soon", "", now - 6 * DAY, now + DAY - HOUR, Some(", by its nextUpdate: then certificates")),
        (
            "past maxAge",
            "maxAge: 1h, ",
            now - 2 * HOUR,
            now + 10 * DAY,
            Some("by the profile's maxAge of 1h: certificates"),
        ),
        ("nearly past it", "maxAge: 1h, ", now - 3300, now + 10 * DAY, Some("by the profile's maxAge of 1h: then ")),
    ];
    for (row, words, this_update, next_update, want) in rows {
        let text = format!(
            "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {{name: partners}}\nspec:\n  \
             trustAnchors: [{{file: root.pem}}]\n  intermediates: [{{file: ca.pem}}]\n  \
             revocation: {{mode: Offline, {words}crls: [{{file: ca.crl}}, {{file: root.crl}}]}}\n---\n\
             apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {{name: api}}\n\
             spec: {{match: [{{hosts: [api]}}], trustRef: {{name: partners}}}}\n"
        );
        write("policies.yaml", text.as_bytes());
        write("ca.crl", &by_ca().dated(this_update, Some(next_update)).der(&pki.ca));
        let found = check(dir.path());
        let said = found.to_text();
        let lines: Vec<&str> =
            said.lines().filter(|line| line.contains("spec.revocation.crls: CRL of [CN=CA]")).collect();
        match want {
            None => assert!(lines.is_empty(), "{row}: {said}"),
            Some(want) => assert!(matches!(lines[..], [line] if line.contains(want)), "{row}: {said}"),
        }
        assert_eq!(found.exit_code(), 0, "{row}: a warning is no error: {said}");
    }
}
