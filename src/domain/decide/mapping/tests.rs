//! The meaning of a mapping section, row by row.

mod objects;

use serde_json::{Value, json};

use super::*;
use crate::domain::api::ObjectMeta;
use crate::domain::api::{Field, Report};
use crate::domain::decide::mapping::store::MappingStore;
use crate::domain::decide::verifier::{CertificateVerifier, VerifierParameters};
use crate::domain::policy::compile::{certificate_mapping, mapping_section};
use certgate_testing::template::{C, CN, Key, O, OU, San, Template, Text, name, pem};
use certgate_x509::{NoTrace, Recorder, Sha256};

const NAMESPACE: &str = "payments";

fn compiled(mapping: &Value) -> MappingSection {
    let mut report = Report::default();
    let root = Field::root("mapping");
    let mapping = mapping_section(&root, &serde_json::from_value(mapping.clone()).unwrap(), &mut report);
    assert_eq!(report.errors, [], "the mapping of a row must compile");
    mapping
}

/// CertificateMapping objects: name, labels, spec.
fn store(objects: &[(&str, &str, Value)]) -> MappingStore {
    let mut store = MappingStore::default();
    for (at, (name, label, spec)) in (0..).zip(objects) {
        let mut meta = ObjectMeta { name: (*name).to_owned(), namespace: NAMESPACE.to_owned(), ..Default::default() };
        meta.labels.insert("api".to_owned(), (*label).to_owned());
        meta.origin.document = at;
        let compiled = certificate_mapping(&meta, &serde_json::from_value(spec.clone()).unwrap());
        let _ = store.apply(meta, compiled);
    }
    store
}

/// A profile that holds the CA of [`Template`], and the path from it; their keys do not matter here.
fn trust() -> (CertificateVerifier, [Arc<Certificate>; 2]) {
    let ca = Arc::new(Template::ca().parsed());
    let parameters = VerifierParameters { anchors: vec![Arc::clone(&ca)], ..VerifierParameters::default() };
    (CertificateVerifier::new(parameters), [Arc::clone(&ca), ca])
}

fn run(mapping: &Value, objects: &[(&str, &str, Value)], certificate: &Certificate) -> Result<String, Reason> {
    let (mapping, table) = (compiled(mapping), store(objects).table());
    let mut recorder = Recorder::default();
    let (profile, path) = trust();
    let issuer = PathIssuer::new(&path, &[], &profile);
    let result = identify(&mapping, NAMESPACE, &table, certificate, issuer, &mut recorder);
    let last = recorder.steps().last().expect("every outcome leaves a step");
    assert_eq!(last.verdict == Verdict::Pass, result.is_ok(), "{last:?}");
    result.map(|identity| identity.user.clone()).map_err(|unmapped| unmapped.reason)
}

/// A rule: name, action and parts; rules that allow give their name as the user.
fn rule(name: &str, action: &str, parts: &[(&str, &str, &str)]) -> Value {
    let parts: Vec<Value> = parts
        .iter()
        .map(|(field, attribute, value)| match *attribute {
            "" => json!({"field": field, "value": value}),
            attribute => json!({"field": field, "attribute": attribute, "value": value}),
        })
        .collect();
    match action {
        "Allow" => json!({"name": name, "action": action, "where": parts, "identity": {"user": name}}),
        _ => json!({"name": name, "action": action, "where": parts}),
    }
}

fn subject(attributes: &[(&'static str, &str)]) -> Template {
    Template { subject: name(attributes), ..Template::default() }
}

fn sans(sans: &[San]) -> Template {
    Template { sans: sans.to_vec(), ..Template::default() }
}

#[test]
fn rules_over_subject_and_issuer() {
    let sales = subject(&[(O, "Contoso"), (OU, "Sales"), (CN, "a")]);
    let legal = subject(&[(O, "Contoso"), (OU, "Legal"), (CN, "a")]);
    let both = subject(&[(O, "Contoso"), (OU, "Legal"), (OU, "Sales"), (CN, "a")]);
    let deny_sales = rule("no-sales", "Deny", &[("Subject", "OU", "Sales")]);
    let contoso = rule("contoso", "Allow", &[("Subject", "O", "Conto*")]);
    let joined = Template {
        subject: vec![vec![(OU, Text::Utf8, "Legal".into()), (CN, Text::Utf8, "a".into())]],
        ..Template::default()
    };
    let with_text = |text: Text| Template {
        subject: vec![vec![(O, text, "Contoso".into())], vec![(CN, Text::Utf8, "a".into())]],
        ..Template::default()
    };
    let one = |rule: &Value| json!({"rules": [rule]});
    let allow = |parts: &[(&str, &str, &str)]| one(&rule("yes", "Allow", parts));
    let no_subject = Template { subject: vec![], sans: vec![San::Dns("a.example".into())], ..Template::default() };
    let rows: Vec<(&str, Value, Template, Result<&str, Reason>)> = vec![
        ("deny above allow denies", json!({"rules": [deny_sales, contoso]}), sales.clone(), Err(Reason::MappingDenied)),
        ("deny below allow does not", json!({"rules": [contoso, deny_sales]}), sales.clone(), Ok("contoso")),
        (
            "a deny that does not match lets the next rule decide",
            json!({"rules": [deny_sales, contoso]}),
            legal.clone(),
            Ok("contoso"),
        ),
        (
            "a repeated attribute matches if any value does",
            json!({"rules": [deny_sales, contoso]}),
            both.clone(),
            Err(Reason::MappingDenied),
        ),
        ("no rule matches", one(&deny_sales), legal.clone(), Err(Reason::NoMapping)),
        (
            "whole value, not a prefix",
            allow(&[("Subject", "O", "Contoso")]),
            subject(&[(O, "Contoso Evil")]),
            Err(Reason::NoMapping),
        ),
        (
            "whole value, not a suffix",
            allow(&[("Subject", "O", "Contoso")]),
            subject(&[(O, "Evil Contoso")]),
            Err(Reason::NoMapping),
        ),
        ("case counts", allow(&[("Subject", "O", "contoso")]), legal.clone(), Err(Reason::NoMapping)),
        (
            "case does not count when so written",
            json!({"rules": [{"name": "i", "action": "Allow", "where": [{"field": "Subject", "attribute": "O", "value": "CONTO*", "case": "Insensitive"}], "identity": {"user": "i"}}]}),
            legal.clone(),
            Ok("i"),
        ),
        (
            "parts are joined by and",
            allow(&[("Subject", "O", "Contoso"), ("Subject", "OU", "Sales")]),
            legal.clone(),
            Err(Reason::NoMapping),
        ),
        (
            "all parts match",
            allow(&[("Subject", "O", "Contoso"), ("Subject", "OU", "Legal")]),
            legal.clone(),
            Ok("yes"),
        ),
        (
            "parts may match different values",
            allow(&[("Subject", "OU", "Legal"), ("Subject", "OU", "Sales")]),
            both.clone(),
            Ok("yes"),
        ),
        ("a missing attribute matches nothing", allow(&[("Subject", "L", "*")]), legal.clone(), Err(Reason::NoMapping)),
        ("an attribute that is there matches an asterisk", allow(&[("Subject", "OU", "*")]), legal.clone(), Ok("yes")),
        (
            "an empty subject matches nothing",
            allow(&[("Subject", "CN", "*")]),
            no_subject.clone(),
            Err(Reason::NoMapping),
        ),
        ("issuer", allow(&[("Issuer", "CN", "Acme CA")]), legal.clone(), Ok("yes")),
        ("the issuer is not the subject", allow(&[("Issuer", "O", "Contoso")]), legal.clone(), Err(Reason::NoMapping)),
        ("dotted type", allow(&[("Subject", "2.5.4.10", "Contoso")]), legal.clone(), Ok("yes")),
        ("second spelling of a type", allow(&[("Subject", "organizationName", "Contoso")]), legal.clone(), Ok("yes")),
        ("multi-valued RDN", allow(&[("Subject", "OU", "Legal"), ("Subject", "CN", "a")]), joined.clone(), Ok("yes")),
        ("UTF8String", allow(&[("Subject", "O", "Contoso")]), with_text(Text::Utf8), Ok("yes")),
        ("PrintableString", allow(&[("Subject", "O", "Contoso")]), with_text(Text::Printable), Ok("yes")),
        ("BMPString", allow(&[("Subject", "O", "Contoso")]), with_text(Text::Bmp), Ok("yes")),
        ("escaped asterisk is literal", allow(&[("Subject", "O", r"Con\*")]), legal.clone(), Err(Reason::NoMapping)),
        ("escaped asterisk matches itself", allow(&[("Subject", "O", r"Con\*")]), subject(&[(O, "Con*")]), Ok("yes")),
        (
            "a disabled rule is passed over",
            json!({"rules": [{"name": "d", "action": "Deny", "where": [{"field": "Subject", "attribute": "O", "value": "*"}], "state": "Disabled"}, contoso]}),
            sales.clone(),
            Ok("contoso"),
        ),
        (
            "DenyFirst: a deny below beats an allow above",
            json!({"precedence": "DenyFirst", "rules": [contoso, deny_sales]}),
            sales.clone(),
            Err(Reason::MappingDenied),
        ),
        (
            "DenyFirst: without a deny, the rules as ever",
            json!({"precedence": "DenyFirst", "rules": [contoso, deny_sales]}),
            legal.clone(),
            Ok("contoso"),
        ),
    ];
    for (row, mapping, template, want) in rows {
        assert_eq!(run(&mapping, &[], &template.parsed()), want.map(str::to_owned), "{row}");
    }
}

#[test]
fn rules_over_alternative_names() {
    let uri = || San::Uri("spiffe://acme.example/ns/a/sa/b".into());
    let allow = |field: &str, value: &str| json!({"rules": [rule("yes", "Allow", &[(field, "", value)])]});
    let rows: Vec<(&str, Value, Template, Result<&str, Reason>)> = vec![
        ("URI", allow("URI", "spiffe://acme.example/ns/a/*"), sans(&[uri()]), Ok("yes")),
        (
            "URI, any of several",
            allow("URI", "spiffe://acme.example/*"),
            sans(&[San::Uri("urn:x:y".into()), uri()]),
            Ok("yes"),
        ),
        (
            "URI of another trust domain",
            allow("URI", "spiffe://acme.example/*"),
            sans(&[San::Uri("spiffe://acme.example.evil/ns".into())]),
            Err(Reason::NoMapping),
        ),
        ("DNS", allow("DNS", "*.acme.example"), sans(&[San::Dns("a.acme.example".into())]), Ok("yes")),
        ("DNS in other case", allow("DNS", "*.Acme.example"), sans(&[San::Dns("A.ACME.example".into())]), Ok("yes")),
        (
            "DNS with a trailing dot",
            allow("DNS", "*.acme.example"),
            sans(&[San::Dns("a.acme.example.".into())]),
            Ok("yes"),
        ),
        ("UPN in other case", allow("UserPrincipalName", "bob@*"), sans(&[San::Upn("BOB@corp".into())]), Ok("yes")),
        (
            "e-mail in other case",
            allow("Email", "bob@*"),
            sans(&[San::Email("BOB@corp".into())]),
            Err(Reason::NoMapping),
        ),
        ("URI in other case", allow("URI", "urn:a"), sans(&[San::Uri("urn:A".into())]), Err(Reason::NoMapping)),
        ("DNS is no e-mail", allow("Email", "*"), sans(&[San::Dns("a.acme.example".into())]), Err(Reason::NoMapping)),
        ("e-mail", allow("Email", "*@acme.example"), sans(&[San::Email("bob@acme.example".into())]), Ok("yes")),
        (
            "UPN",
            allow("UserPrincipalName", "*@corp.acme.example"),
            sans(&[San::Upn("bob@corp.acme.example".into())]),
            Ok("yes"),
        ),
        (
            "UPN is no e-mail",
            allow("Email", "*"),
            sans(&[San::Upn("bob@corp.acme.example".into())]),
            Err(Reason::NoMapping),
        ),
        ("no names", allow("URI", "*"), Template::default(), Err(Reason::NoMapping)),
        ("the CN is no DNS name", allow("DNS", "*"), subject(&[(CN, "a.acme.example")]), Err(Reason::NoMapping)),
    ];
    for (row, mapping, template, want) in rows {
        assert_eq!(run(&mapping, &[], &template.parsed()), want.map(str::to_owned), "{row}");
    }
}

#[test]
fn another_spelling_of_a_name_evades_no_rule() {
    let organization = |text: &str| subject(&[(O, text), (CN, "a")]);
    let (email, uri) = (|text: &str| sans(&[San::Email(text.into())]), |text: &str| sans(&[San::Uri(text.into())]));
    let org = |value| ("Subject", "O", value);
    let mail = |value| ("Email", "", value);
    let link = |value| ("URI", "", value);
    let rows = [
        ("blanks at the ends", org("Contoso"), organization("  Contoso "), true),
        ("inner blanks", org("Contoso Ltd"), organization("Contoso \t Ltd"), true),
        ("blanks in the rule", org("Contoso  Ltd "), organization("Contoso Ltd"), true),
        ("blanks and an asterisk", org("Con*"), organization(" Contoso"), true),
        ("a blank more", org("Contoso"), organization("Con toso"), false),
        ("case of an attribute", org("Contoso"), organization("contoso"), false),
        ("e-mail domain", mail("bob@acme.example"), email("bob@ACME.Example"), true),
        ("e-mail domain in the rule", mail("*@Acme.example"), email("bob@acme.example"), true),
        ("e-mail domain without at sign", mail("*.Acme.example"), email("bob@a.ACME.example"), true),
        ("e-mail local part", mail("bob@acme.example"), email("Bob@acme.example"), false),
        ("e-mail local part with an asterisk", mail("Bob*"), email("Bob@acme.example"), true),
        ("e-mail as written", mail("*Bob*"), email("xBob@acme.example"), true),
        ("URI scheme", link("spiffe://acme/*"), uri("SPIFFE://acme/a"), true),
        ("URI scheme without authority", link("urn:A"), uri("URN:A"), true),
        ("URI host", link("spiffe://acme.example/ns/*"), uri("spiffe://ACME.example/ns/a"), true),
        ("URI host in the rule", link("spiffe://Acme.example/ns/*"), uri("spiffe://acme.example/ns/a"), true),
        ("URI host behind an asterisk", link("*.Acme.example/*"), uri("https://a.ACME.example/x"), true),
        ("URI any scheme", link("*://Acme.example/*"), uri("https://ACME.example/x"), true),
        ("URI host alone", link("https://acme.example"), uri("HTTPS://Acme.Example"), true),
        ("URI path behind an asterisk", link("*Admin"), uri("spiffe://a/Admin"), true),
        ("URI path", link("spiffe://acme/a"), uri("spiffe://acme/A"), false),
        ("URI user", link("https://u@acme/"), uri("https://U@acme/"), false),
        ("URI name after the scheme", link("urn:a"), uri("urn:A"), false),
    ];
    for (row, part, template, denied) in rows {
        let certificate = template.parsed();
        for (action, hit, miss) in [("Deny", Reason::MappingDenied, "all"), ("Allow", Reason::NoMapping, "yes")] {
            let first = rule("yes", action, &[part]);
            let got = match action {
                "Deny" => {
                    run(&json!({"rules": [first, rule("all", "Allow", &[("Issuer", "CN", "*")])]}), &[], &certificate)
                }
                _ => run(&json!({"rules": [first]}), &[], &certificate),
            };
            let want = if denied == (action == "Deny") { Err(hit) } else { Ok(miss.to_owned()) };
            assert_eq!(got, want, "{row}: {action}");
        }
    }
}

#[test]
fn one_to_one_is_the_very_certificate() {
    let (key, ca) = (Key::new(), Key::new());
    let first = Template::default().der(&key, &ca);
    let renewed = Template { serial: vec![0x2b], ..Template::default() }.der(&key, &ca);
    let parse = |der: &[u8]| Certificate::from_der(der.to_vec()).unwrap();
    let sha256 = Sha256::of(&first).to_string();
    let colons = sha256
        .as_bytes()
        .chunks(2)
        .map(|p| std::str::from_utf8(p).unwrap())
        .collect::<Vec<_>>()
        .join(":")
        .to_uppercase();
    let entry = |certificate: Value| json!({"oneToOne": [{"certificate": certificate, "identity": {"user": "acme"}}]});
    let catch_all = rule("rule", "Allow", &[("Subject", "O", "*")]);
    let deny_all = rule("deny", "Deny", &[("Subject", "O", "*")]);
    let with_rule = |mut mapping: Value, rule: &Value| {
        mapping["rules"] = json!([rule]);
        mapping
    };
    let disabled = json!({"oneToOne": [{"certificate": {"sha256": sha256}, "identity": {"user": "acme"}, "state": "Disabled"}], "rules": [catch_all]});
    let by_hash = entry(json!({"sha256": sha256}));
    let deny_first = |mut mapping: Value| {
        mapping["precedence"] = json!("DenyFirst");
        mapping
    };
    let rows: Vec<(&str, Value, &[u8], Result<&str, Reason>)> = vec![
        ("by SHA-256", by_hash.clone(), &first, Ok("acme")),
        ("by SHA-256 with colons", entry(json!({"sha256": colons})), &first, Ok("acme")),
        ("by PEM", entry(json!({"inline": pem(&first)})), &first, Ok("acme")),
        ("renewed with the same key", by_hash.clone(), &renewed, Err(Reason::NoMapping)),
        ("beats a rule", with_rule(by_hash.clone(), &catch_all), &first, Ok("acme")),
        ("beats a rule that denies", with_rule(by_hash.clone(), &deny_all), &first, Ok("acme")),
        (
            "DenyFirst: a rule that denies beats it",
            deny_first(with_rule(by_hash.clone(), &deny_all)),
            &first,
            Err(Reason::MappingDenied),
        ),
        ("others go by the rules", with_rule(by_hash, &catch_all), &renewed, Ok("rule")),
        ("disabled denies and does not fall through", disabled.clone(), &first, Err(Reason::AccountDisabled)),
        ("disabled concerns that certificate alone", disabled, &renewed, Ok("rule")),
        (
            "the same twice",
            json!({"oneToOne": [{"certificate": {"sha256": sha256}, "identity": {"user": "acme"}}, {"certificate": {"sha256": sha256}, "identity": {"user": "acme"}}]}),
            &first,
            Ok("acme"),
        ),
    ];
    for (row, mapping, der, want) in rows {
        assert_eq!(run(&mapping, &[], &parse(der)), want.map(str::to_owned), "{row}");
    }
}

#[test]
fn the_twin_of_an_ecdsa_certificate_is_that_certificate() {
    let first = Template::default().parsed();
    let twin = first.ecdsa_twin().unwrap();
    assert_ne!(first.sha256(), twin.sha256());
    let entry = |sha256: Sha256, user: &str, state: &str| json!({"certificate": {"sha256": sha256.to_string()}, "identity": {"user": user}, "state": state});
    let catch_all = || json!([rule("rule", "Allow", &[("Subject", "O", "*")])]);
    let list = |entries: Value| json!({"oneToOne": entries, "rules": catch_all()});
    let enabled = list(json!([entry(first.sha256(), "acme", "Enabled")]));
    let disabled = list(json!([entry(first.sha256(), "acme", "Disabled")]));
    let both = list(json!([entry(first.sha256(), "a", "Enabled"), entry(twin.sha256(), "b", "Enabled")]));
    let selected = json!({"selector": {"matchLabels": {"api": "x"}}, "rules": catch_all()});
    let object = |state: &str| vec![("acme", "x", entry(first.sha256(), "acme", state))];
    let inline =
        json!({"certificate": {"inline": pem(first.der())}, "identity": {"user": "acme"}, "state": "Disabled"});
    let rows: Vec<(&str, &Value, Vec<(&str, &str, Value)>, Result<&str, Reason>)> = vec![
        ("enabled entry", &enabled, vec![], Ok("acme")),
        ("disabled entry", &disabled, vec![], Err(Reason::AccountDisabled)),
        ("both listed, as two", &both, vec![], Err(Reason::MappingAmbiguous)),
        ("enabled object", &selected, object("Enabled"), Ok("acme")),
        ("disabled object", &selected, object("Disabled"), Err(Reason::AccountDisabled)),
        ("disabled object, inline", &selected, vec![("acme", "x", inline)], Err(Reason::AccountDisabled)),
    ];
    for (row, mapping, objects, want) in rows {
        for certificate in [&first, &twin] {
            assert_eq!(run(mapping, &objects, certificate), want.map(str::to_owned), "{row}");
        }
    }
}

#[test]
fn without_mapping_the_subject_is_the_user() {
    let empty = |sans: &[San]| Template { subject: vec![], sans: sans.to_vec(), ..Template::default() };
    let uri = |text: &str| San::Uri(text.to_owned());
    let (dns, email) = (San::Dns("a.example".into()), San::Email("a@example".into()));
    let rows: Vec<(&str, Template, Result<&str, Reason>)> = vec![
        ("subject, most specific first", subject(&[(C, "DE"), (O, "Contoso"), (CN, "a")]), Ok("CN=a,O=Contoso,C=DE")),
        ("subject beats alternative names", sans(&[uri("urn:a")]), Ok("CN=client,O=Contoso,C=DE")),
        ("line breaks are escaped", subject(&[(CN, "a\r\nx: y")]), Ok(r"CN=a\0D\0Ax: y")),
        ("characters outside ASCII are escaped", subject(&[(CN, "Mü")]), Ok(r"CN=M\C3\BC")),
        ("the only URI", empty(&[dns.clone(), uri("urn:a")]), Ok("urn:a")),
        ("two URIs say nothing", empty(&[uri("urn:a"), uri("urn:b"), dns.clone()]), Ok("a.example")),
        ("the first DNS name", empty(&[email.clone(), dns, San::Dns("b.example".into())]), Ok("a.example")),
        ("the first e-mail address", empty(&[email]), Ok("a@example")),
        ("nothing that can be told", empty(&[San::Upn("a@b".into())]), Err(Reason::NoMapping)),
        ("SPIFFE with an equals sign", empty(&[uri("spiffe://a/b?CN=admin")]), Ok("spiffe://a/b?CN=admin")),
        ("DNS name with underscore and dot", empty(&[San::Dns("_a.b-c.".into())]), Ok("_a.b-c.")),
        ("DNS name like a subject", empty(&[San::Dns("CN=admin".into())]), Err(Reason::NoMapping)),
        ("DNS name like an e-mail address", empty(&[San::Dns("a@example".into())]), Err(Reason::NoMapping)),
        ("DNS name like a URI", empty(&[San::Dns("urn:a".into())]), Err(Reason::NoMapping)),
        ("DNS name with a wildcard", empty(&[San::Dns("*.example".into())]), Err(Reason::NoMapping)),
        ("DNS name with an empty label", empty(&[San::Dns("a..b".into())]), Err(Reason::NoMapping)),
        ("URI like a subject", empty(&[uri("CN=admin")]), Err(Reason::NoMapping)),
        ("URI like a subject, with a colon", empty(&[uri("CN=admin,O=urn:a")]), Err(Reason::NoMapping)),
        ("URI without scheme", empty(&[uri("a.example")]), Err(Reason::NoMapping)),
        ("no other name is tried", empty(&[uri("CN=admin"), San::Dns("a.example".into())]), Err(Reason::NoMapping)),
        ("e-mail like a subject", empty(&[San::Email("CN=admin".into())]), Err(Reason::NoMapping)),
        ("e-mail like a subject, with host", empty(&[San::Email("E=a@b".into())]), Err(Reason::NoMapping)),
        ("e-mail like a URI", empty(&[San::Email("mailto:a@b".into())]), Err(Reason::NoMapping)),
        ("e-mail without host", empty(&[San::Email("a@".into())]), Err(Reason::NoMapping)),
    ];
    for (row, template, want) in rows {
        let got = subject_identity(&template.parsed(), &mut NoTrace);
        assert_eq!(got.map(|id| id.user.clone()).map_err(|u| u.reason), want.map(str::to_owned), "{row}");
    }
}

#[test]
fn a_subject_longer_than_a_header_is_no_user() {
    let of_length = |length: usize| subject(&[(CN, &"a".repeat(length - "CN=".len()))]).parsed();
    assert!(subject_identity(&of_length(8192), &mut NoTrace).is_ok());
    let unmapped = subject_identity(&of_length(8193), &mut NoTrace).unwrap_err();
    assert_eq!(unmapped.reason, Reason::NoMapping);
    assert_eq!(unmapped.detail, "the certificate's subject makes a user of 8193 bytes: at most 8192");
}

#[test]
fn the_trace_shows_what_was_compared() {
    let mapping = compiled(&json!({
        "oneToOne": [{"certificate": {"sha256": Sha256::of(b"").to_string()}, "identity": {"user": "other"}}],
        "selector": {"matchLabels": {"api": "x"}},
        "rules": [rule("no-sales", "Deny", &[("Subject", "OU", "Sales")]), rule("contoso", "Allow", &[("Subject", "O", "Conto*"), ("Issuer", "CN", "Acme CA")])],
    }));
    let certificate = subject(&[(O, "Contoso"), (OU, "Legal"), (OU, "IT")]).parsed();
    let mut recorder = Recorder::default();
    let (profile, path) = trust();
    let issuer = PathIssuer::new(&path, &[], &profile);
    identify(&mapping, NAMESPACE, &MappingTable::default(), &certificate, issuer, &mut recorder).unwrap();
    let steps: Vec<_> = recorder.steps().iter().map(|step| (step.verdict, step.detail.as_str())).collect();
    assert_eq!(
        steps,
        [
            (
                Verdict::Skip,
                &*format!("no oneToOne entry, of 1, names the certificate, sha256 {}", certificate.sha256())
            ),
            (Verdict::Skip, "no CertificateMapping in namespace payments with api=x names the certificate"),
            (Verdict::Skip, r#"rule "no-sales": Subject OU "Legal", "IT" does not fit "Sales""#),
            (
                Verdict::Pass,
                r#"rule "contoso" allows as user "contoso": Subject O "Contoso" fits "Conto*"; Issuer CN "Acme CA" fits "Acme CA""#
            ),
        ]
    );
}
