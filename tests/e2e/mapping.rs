//! Who a certificate stands for.

use rcgen::DnType;

use crate::with_envoy;
use certgate_harness::pki::{Authority, Identity, Leaf, Pki};
use certgate_harness::policies::{documents, indent, mapping, policy, trust};
use certgate_harness::world::{Rows, Want, World};

fn profile(pki: &Pki) -> String {
    trust("clients", &[pki.root.pem()], &format!("intermediates:\n- inline: |\n{}", indent(&pki.issuing.pem(), 4)))
}

/// A policy for all paths below `/NAME` with the lines of its `mapping`.
fn mapped(name: &str, mapping: &str) -> String {
    policy(
        name,
        &format!(
            "match: [{{paths: [{{prefix: /{name}}}]}}]\ntrustRef: {{name: clients}}\nmapping:\n{}",
            indent(mapping, 2)
        ),
    )
}

#[test]
fn one_to_one_is_the_certificate_itself() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let renewed = pki.client("acme");
        let globex = pki.client("globex");
        let off = pki.client("off");
        let one = format!(
            "oneToOne:\n- certificate: {{sha256: \"{}\"}}\n  identity: {{user: svc-acme, groups: [partners, payments]}}\n\
             - certificate:\n    inline: |\n{}  identity: {{user: svc-globex}}\n\
             - certificate: {{sha256: \"{}\"}}\n  identity: {{user: svc-off}}\n  state: Disabled\n",
            acme.sha256().to_uppercase(),
            indent(&globex.pem(), 6),
            off.sha256(),
        );
        let rules = "rules:\n- {name: all, action: Allow, where: [{field: Subject, attribute: CN, value: \"*\"}], identity: {user: anybody}}\n";
        let rules_deny =
            "rules:\n- {name: all, action: Deny, where: [{field: Subject, attribute: CN, value: \"*\"}]}\n";
        let policies = documents(
            [
                profile(&pki),
                mapped("one", &one),
                mapped("rules", &format!("{one}{rules}")),
                mapped("deny", &format!("{one}{rules_deny}")),
                mapped("first", &format!("precedence: DenyFirst\n{one}{rules_deny}")),
            ]
            .iter()
            .map(String::as_str),
        );
        let world = World::start(pki, &policies).await;
        let outcome = world.get(&acme, "/one").await;
        outcome.allowed_as("svc-acme");
        assert_eq!(outcome.reply.echo().header("x-certgate-groups"), Some("partners,payments"));
        world.get(&globex, "/one").await.allowed_as("svc-globex");
        world.get(&renewed, "/one").await.denied(403, "NO_MAPPING");
        world.get(&off, "/one").await.denied(403, "ACCOUNT_DISABLED");
        // The specific beats the general, and an account that is off does not fall through.
        world.get(&acme, "/rules").await.allowed_as("svc-acme");
        world.get(&renewed, "/rules").await.allowed_as("anybody");
        world.get(&off, "/rules").await.denied(403, "ACCOUNT_DISABLED");
        world.get(&acme, "/deny").await.allowed_as("svc-acme");
        world.get(&renewed, "/deny").await.denied(403, "MAPPING_DENIED");
        world.get(&acme, "/first").await.denied(403, "MAPPING_DENIED");
    });
}

#[test]
fn rules_in_their_order() {
    let deny = "- {name: no-sales, action: Deny, where: [{field: Subject, attribute: OU, value: Sales}]}\n";
    let allow = "- {name: contoso, action: Allow, where: [{field: Subject, attribute: O, value: \"Conto*\"}], identity: {user: contoso}}\n";
    let exact = "- {name: contoso, action: Allow, where: [{field: Subject, attribute: O, value: Contoso}], identity: {user: contoso}}\n";
    let both = "- name: both\n  action: Allow\n  where:\n  - {field: Subject, attribute: O, value: contoso, case: Insensitive}\n  \
                - {field: DNS, value: \"*.contoso.test\"}\n  - {field: Issuer, attribute: CN, value: Clients Issuing}\n  identity: {user: both}\n";
    let kinds = "- {name: uri, action: Allow, where: [{field: URI, value: \"spiffe://lab.test/*\"}], identity: {user: uri}}\n\
                 - {name: mail, action: Allow, where: [{field: Email, value: \"*@lab.test\"}], identity: {user: mail}}\n\
                 - {name: upn, action: Allow, where: [{field: UserPrincipalName, value: \"*@corp.test\"}], identity: {user: upn}}\n\
                 - {name: star, action: Allow, where: [{field: Subject, attribute: O, value: 'a\\*b'}], identity: {user: star}}\n\
                 - {name: oid, action: Allow, where: [{field: Subject, attribute: 2.5.4.8, value: \"Bava*\"}], identity: {user: state}}\n\
                 - {name: disabled, action: Allow, state: Disabled, where: [{field: Subject, attribute: CN, value: \"*\"}], identity: {user: svc-off}}\n\
                 - {name: linear, action: Allow, where: [{field: Subject, attribute: O, value: \"*a*a*a*a*a*a*a*a*a*a*b\"}], identity: {user: linear}}\n";
    with_envoy(async {
        let pki = Pki::new();
        let rules = |name: &str, rules: &[&str]| mapped(name, &format!("rules:\n{}", rules.concat()));
        let policies = documents(
            [
                profile(&pki),
                rules("order", &[deny, allow]),
                rules("swapped", &[allow, deny]),
                rules("exact", &[exact]),
                rules("both", &[both]),
                rules("kinds", &[kinds]),
            ]
            .iter()
            .map(String::as_str),
        );
        let leaf = || Leaf::client("c");
        let contoso = || leaf().organization("Contoso");
        let rows: Vec<(&str, &str, Leaf, Result<&str, &str>)> = vec![
            ("allowed by rule", "/order", contoso(), Ok("contoso")),
            ("deny above allow", "/order", contoso().unit("Sales"), Err("MAPPING_DENIED")),
            ("deny of another organization", "/order", leaf().organization("X").unit("Sales"), Err("MAPPING_DENIED")),
            ("allow above deny", "/swapped", contoso().unit("Sales"), Ok("contoso")),
            ("the wildcard's reach", "/order", leaf().organization("Contoso Evil"), Ok("contoso")),
            ("the whole value", "/exact", leaf().organization("Contoso Evil"), Err("NO_MAPPING")),
            ("a look-alike in another attribute", "/exact", Leaf::client("Contoso"), Err("NO_MAPPING")),
            ("case counts", "/exact", leaf().organization("CONTOSO"), Err("NO_MAPPING")),
            ("an attribute that is missing", "/order", leaf(), Err("NO_MAPPING")),
            ("an attribute that is empty", "/order", leaf().organization(""), Err("NO_MAPPING")),
            ("all parts", "/both", leaf().organization("ConToso").dns("x.contoso.test"), Ok("both")),
            ("one part of two", "/both", contoso(), Err("NO_MAPPING")),
            ("the other part of two", "/both", leaf().dns("x.contoso.test"), Err("NO_MAPPING")),
            ("a URI", "/kinds", leaf().uri("spiffe://lab.test/a/b"), Ok("uri")),
            ("a second URI", "/kinds", leaf().uri("urn:x").uri("spiffe://lab.test/a"), Ok("uri")),
            ("a URI elsewhere", "/kinds", leaf().uri("spiffe://lab.test.evil/a"), Err("NO_MAPPING")),
            ("an address", "/kinds", leaf().email("a@lab.test"), Ok("mail")),
            ("a principal name", "/kinds", leaf().upn("a@corp.test"), Ok("upn")),
            ("an escaped asterisk", "/kinds", leaf().organization("a*b"), Ok("star")),
            ("no wildcard when escaped", "/kinds", leaf().organization("aXb"), Err("NO_MAPPING")),
            ("a dotted identifier", "/kinds", leaf().attribute(DnType::StateOrProvinceName, "Bavaria"), Ok("state")),
            ("many wildcards", "/kinds", leaf().organization(&"a".repeat(60)), Err("NO_MAPPING")),
        ];
        let rows: Vec<_> =
            rows.into_iter().map(|(name, path, leaf, want)| (name, path, pki.issuing.issue(leaf), want)).collect();
        let world = World::start(pki, &policies).await;
        let mut checked = Rows::default();
        for (name, path, identity, want) in rows {
            checked.row(name, &world.get(&identity, path).await, want);
        }
        checked.end();
    });
}

#[test]
fn denials_are_not_evaded() {
    let part = |field: &str, value: &str| format!("where: [{{{field}, value: \"{value}\"}}]");
    let deny = |name: &str, part: &str| format!("- {{name: {name}, action: Deny, {part}}}\n");
    let rest = "- {name: rest, action: Allow, where: [{field: Issuer, attribute: CN, value: \"*\"}], identity: {user: rest}}\n";
    let every = "- {name: every, action: Allow, where: [{field: Subject, attribute: O, value: Contoso, values: Every}], identity: {user: every}}\n";
    with_envoy(async {
        let pki = Pki::new();
        let rules = |name: &str, rules: &[&str]| mapped(name, &format!("rules:\n{}", rules.concat()));
        let sales = deny("sales", &part("field: Subject, attribute: O", "Sales"));
        let host = deny("host", &part("field: URI", "https://evil.test/*"));
        let mail = deny("mail", &part("field: Email", "*@evil.test"));
        let texts = [profile(&pki), rules("deny", &[&sales, &host, &mail, rest]), rules("every", &[every])];
        let policies = documents(texts.iter().map(String::as_str));
        let leaf = || Leaf::client("c");
        let denied = || Err("MAPPING_DENIED");
        let rows: Vec<(&str, &str, Leaf, Result<&str, &str>)> = vec![
            ("another organization", "/deny", leaf().organization("Legal"), Ok("rest")),
            ("as it is written", "/deny", leaf().organization("Sales"), denied()),
            ("a soft hyphen", "/deny", leaf().organization("Sa\u{ad}les"), denied()),
            ("full width", "/deny", leaf().organization("\u{ff33}ales"), denied()),
            ("another host", "/deny", leaf().uri("https://good.test/x"), Ok("rest")),
            ("a dot behind the host", "/deny", leaf().uri("https://evil.test./x"), denied()),
            ("an escaped dot", "/deny", leaf().uri("https://evil%2Etest/x"), denied()),
            ("a dot behind a mail host", "/deny", leaf().email("a@evil.test."), denied()),
            ("every organization", "/every", leaf().organization("Contoso"), Ok("every")),
            (
                "one of two",
                "/every",
                leaf().with(|params| {
                    // rcgen keeps one value of a type: the second has its identifier spelled out.
                    params.distinguished_name.push(DnType::OrganizationName, "Partner");
                    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 10]), "Contoso");
                }),
                Err("NO_MAPPING"),
            ),
        ];
        let rows: Vec<_> =
            rows.into_iter().map(|(name, path, leaf, want)| (name, path, pki.issuing.issue(leaf), want)).collect();
        let world = World::start(pki, &policies).await;
        let mut checked = Rows::default();
        for (name, path, identity, want) in rows {
            checked.row(name, &world.get(&identity, path).await, want);
        }
        checked.end();
    });
}

#[test]
fn mapping_objects_by_every_name_form() {
    with_envoy(async {
        let pki = Pki::new();
        let issue = |leaf: Leaf| pki.issuing.issue(leaf);
        let serial = [0x1f, 0x00, 0xab];
        let rows: Vec<(&str, Identity, String)> = {
            let by_hash = issue(Leaf::client("hash"));
            let inline = issue(Leaf::client("inline"));
            let keyed = issue(Leaf::client("key"));
            let hash = format!("{{sha256: \"{}\"}}", by_hash.sha256());
            let whole = format!("\n  inline: |\n{}", indent(&inline.pem(), 4));
            let key = format!("{{publicKeySha256: \"{}\"}}", public_key_sha256(&keyed));
            let serial_of =
                "{issuerSerial: {issuer: \"CN=Clients Issuing,O=Certgate Test\", serialNumber: \"1F:00:ab\"}}";
            vec![
                ("sha256", by_hash, hash),
                ("inline", inline, whole),
                ("public-key", keyed, key),
                ("issuer-serial", issue(Leaf::client("serial").serial(&serial)), serial_of.to_owned()),
                (
                    "uri",
                    issue(Leaf::client("uri").uri("spiffe://lab.test/a").uri("urn:b")),
                    "{uri: \"urn:b\"}".to_owned(),
                ),
                (
                    "upn",
                    issue(Leaf::client("upn").upn("Alice@Corp.test")),
                    "{userPrincipalName: alice@corp.test}".to_owned(),
                ),
                ("dns", issue(Leaf::client("dns").dns("Host.Lab.test")), "{dns: host.lab.test.}".to_owned()),
                ("email", issue(Leaf::client("email").email("Bob@Lab.test")), "{email: Bob@lab.test}".to_owned()),
                (
                    "subject",
                    issue(Leaf::nameless().organization("Acme,  Inc.").attribute(DnType::CommonName, "Dän")),
                    "{subject: \"cn=DÄN,o=acme\\\\, inc.\"}".to_owned(),
                ),
            ]
        };
        let mut texts = vec![profile(&pki), mapped("objects", "selector: {matchLabels: {api: test}}\n")];
        for (name, _, certificate) in &rows {
            let spec = format!("certificate: {certificate}\nidentity: {{user: by-{name}, uid: \"7\"}}\n");
            texts.push(mapping(name, &spec));
        }
        // What must not match.
        let near_misses = [
            ("another local part", issue(Leaf::client("x").email("bob@lab.test"))),
            ("another host", issue(Leaf::client("x").dns("other.lab.test"))),
            ("a wildcard name", issue(Leaf::client("x").dns("*.lab.test"))),
            ("another URI", issue(Leaf::client("x").uri("URN:b"))),
            ("another serial", issue(Leaf::client("x").serial(&[0x1f, 0xab]))),
        ];
        let world = World::start(pki, &documents(texts.iter().map(String::as_str))).await;
        let mut checked = Rows::default();
        for (name, identity, _) in &rows {
            let user = format!("by-{name}");
            checked.row(name, &world.get(identity, "/objects").await, Want::User(&user));
        }
        for (name, identity) in &near_misses {
            checked.row(name, &world.get(identity, "/objects").await, Err("NO_MAPPING"));
        }
        checked.end();
    });
}

#[test]
fn claims_that_contradict_each_other() {
    with_envoy(async {
        let pki = Pki::new();
        let two = pki.issuing.issue(Leaf::client("two").dns("a.test").uri("urn:a"));
        let same = pki.issuing.issue(Leaf::client("same").dns("b.test").uri("urn:b"));
        let off = pki.issuing.issue(Leaf::client("off").dns("c.test"));
        let elsewhere = pki.issuing.issue(Leaf::client("elsewhere").dns("d.test"));
        let unlabelled = "apiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {name: d, namespace: test, labels: {api: other}}\n\
                          spec: {certificate: {dns: d.test}, identity: {user: d}}\n";
        let foreign = "apiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {name: d2, namespace: foreign, labels: {api: test}}\n\
                       spec: {certificate: {dns: d.test}, identity: {user: d}}\n";
        let rule =
            "rules: [{name: all, action: Allow, where: [{field: DNS, value: \"c.*\"}], identity: {user: anybody}}]\n";
        let texts = [
            profile(&pki),
            mapped("objects", &format!("selector: {{matchLabels: {{api: test}}}}\n{rule}")),
            mapping("a1", "{certificate: {dns: a.test}, identity: {user: one}}\n"),
            mapping("a2", "{certificate: {uri: \"urn:a\"}, identity: {user: two}}\n"),
            mapping("b1", "{certificate: {dns: b.test}, identity: {user: same, groups: [g]}}\n"),
            mapping("b2", "{certificate: {uri: \"urn:b\"}, identity: {user: same, groups: [g]}}\n"),
            mapping("c", "{certificate: {dns: c.test}, identity: {user: svc-off}, state: Disabled}\n"),
            unlabelled.to_owned(),
            foreign.to_owned(),
        ];
        let world = World::start(pki, &documents(texts.iter().map(String::as_str))).await;
        world.get(&two, "/objects").await.denied(403, "MAPPING_AMBIGUOUS");
        world.get(&same, "/objects").await.allowed_as("same");
        world.get(&off, "/objects").await.denied(403, "ACCOUNT_DISABLED");
        world.get(&elsewhere, "/objects").await.denied(403, "NO_MAPPING");
    });
}

#[test]
fn without_a_mapping_the_subject_is_the_identity() {
    with_envoy(async {
        let pki = Pki::new();
        let open = policy("open", "match: [{paths: [{prefix: /}]}]\ntrustRef: {name: clients}\n");
        let texts = documents([profile(&pki).as_str(), open.as_str()]);
        let rows = [
            ("a subject", Leaf::client("acme").organization("Acme, Inc."), "O=Acme\\, Inc.,CN=acme"),
            ("no ASCII", Leaf::client("Dän"), "CN=D\\C3\\A4n"),
            ("line breaks", Leaf::client("a\r\nx-certgate-groups: admin"), "CN=a\\0D\\0Ax-certgate-groups: admin"),
            ("a URI alone", Leaf::nameless().uri("spiffe://lab.test/a").dns("a.test"), "spiffe://lab.test/a"),
            ("a DNS name alone", Leaf::nameless().dns("a.test").email("m@a.test"), "a.test"),
            ("an address alone", Leaf::nameless().email("m@a.test"), "m@a.test"),
        ];
        let rows: Vec<_> = rows.into_iter().map(|(name, leaf, want)| (name, pki.issuing.issue(leaf), want)).collect();
        let nobody = pki.issuing.issue(Leaf::nameless().upn("u@corp.test"));
        let forged = Authority::root("x").issue(Leaf::client("acme"));
        let world = World::start(pki, &texts).await;
        let mut checked = Rows::default();
        for (name, identity, want) in rows {
            let outcome = world.get(&identity, "/").await;
            checked.row(name, &outcome, Ok(want));
            if outcome.reply.served() {
                assert_eq!(outcome.reply.echo().header("x-certgate-groups"), None, "{name}");
            }
        }
        checked.end();
        world.get(&nobody, "/").await.denied(403, "NO_MAPPING");
        world.get(&forged, "/").await.denied(403, "CERT_UNTRUSTED");
    });
}

/// SHA-256 of the certificate's SubjectPublicKeyInfo.
fn public_key_sha256(identity: &Identity) -> String {
    let (_, certificate) = x509_parser::parse_x509_certificate(identity.der()).expect("it parses");
    certgate_harness::pki::sha256(certificate.public_key().raw)
}
