//! Which certificates are trusted, over real mutual TLS.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, NameConstraints};

use crate::with_envoy;
use certgate_harness::client::Call;
use certgate_harness::envoy_config::Resumption;
use certgate_harness::pki::{Authority, Identity, Leaf, Pki};
use certgate_harness::policies::{documents, indent, policy, trust};
use certgate_harness::wait::{PATIENCE, until};
use certgate_harness::world::{MTLS, Rows, World};

/// A policy for all paths below `/NAME`, over the profile of the same name; every valid certificate is its subject.
fn by_path(name: &str) -> String {
    policy(name, &format!("match: [{{paths: [{{prefix: /{name}}}]}}]\ntrustRef: {{name: {name}}}\n"))
}

/// Lines of a profile's spec that name CA certificates for path building.
fn intermediates(pems: &[String]) -> String {
    let sources: String = pems.iter().map(|pem| format!("- inline: |\n{}", indent(pem, 4))).collect();
    format!("intermediates:\n{sources}")
}

/// Profiles, each with its policy.
fn world_of(profiles: &[(&str, String)]) -> String {
    let texts: Vec<String> = profiles.iter().flat_map(|(name, profile)| [profile.clone(), by_path(name)]).collect();
    documents(texts.iter().map(String::as_str))
}

#[test]
fn each_fault_has_its_reason() {
    with_envoy(async {
        let pki = Pki::new();
        let constrained = pki.root.intermediate_with("Constrained", |params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName("good.test".to_owned())],
                excluded_subtrees: Vec::new(),
            });
        });
        let server_ca = pki.root.intermediate_with("Servers only", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        let leaf_ca = pki.root.intermediate_with("No more CAs", |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        });
        let below = leaf_ca.intermediate("Too deep");
        let not_a_ca = pki.root.intermediate_with("Not a CA", |params| {
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages.clear();
        });
        let expired_ca = pki.root.intermediate_with("Expired CA", |params| {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        });
        let unknown = Authority::root("Unknown");
        let stranger = Authority::root("Clients Root");
        let impostor = Authority::root("Clients Root").intermediate("Clients Issuing");
        let known =
            [&pki.issuing, &constrained, &server_ca, &leaf_ca, &below, &not_a_ca, &expired_ca].map(Authority::pem);
        let usages = |usages: &[ExtendedKeyUsagePurpose]| Leaf::client("acme").usages(usages.iter().cloned());
        use ExtendedKeyUsagePurpose::{Any, ClientAuth, EmailProtection, ServerAuth};
        let table = [
            ("valid", pki.client("acme"), None),
            ("from the root itself", pki.root.issue(Leaf::client("acme")), None),
            ("more usages than needed", pki.issuing.issue(usages(&[ServerAuth, ClientAuth])), None),
            ("inside the constraint", constrained.issue(Leaf::client("acme").dns("a.good.test")), None),
            ("expired", pki.issuing.issue(Leaf::client("acme").expired()), Some("CERT_EXPIRED")),
            ("not yet valid", pki.issuing.issue(Leaf::client("acme").not_yet_valid()), Some("CERT_NOT_YET_VALID")),
            ("expired CA", expired_ca.issue(Leaf::client("acme")), Some("CERT_EXPIRED")),
            ("unknown root", unknown.issue(Leaf::client("acme")), Some("CERT_UNTRUSTED")),
            ("unknown root of the same name", stranger.issue(Leaf::client("acme")), Some("SIGNATURE_INVALID")),
            ("self-signed", Identity::self_signed(Leaf::client("acme")), Some("CERT_UNTRUSTED")),
            ("server only", pki.issuing.issue(usages(&[ServerAuth])), Some("EKU_NOT_PERMITTED")),
            ("other usage", pki.issuing.issue(usages(&[EmailProtection])), Some("EKU_NOT_PERMITTED")),
            ("any usage does not count", pki.issuing.issue(usages(&[Any])), Some("EKU_NOT_PERMITTED")),
            ("no usage", pki.issuing.issue(usages(&[])), Some("EKU_NOT_PERMITTED")),
            ("CA for servers", server_ca.issue(Leaf::client("acme")), Some("EKU_NOT_PERMITTED")),
            (
                "outside the constraint",
                constrained.issue(Leaf::client("acme").dns("evil.test")),
                Some("NAME_CONSTRAINT"),
            ),
            ("path too long", below.issue(Leaf::client("acme")), Some("CERT_UNTRUSTED")),
            ("issuer is no CA", not_a_ca.issue(Leaf::client("acme")), Some("CERT_UNTRUSTED")),
        ];
        let impostor = impostor.issue(Leaf::client("acme"));
        let profiles = world_of(&[("chain", trust("chain", &[pki.root.pem()], &intermediates(&known)))]);
        let world = World::start(pki, &profiles).await;
        let mut rows = Rows::default();
        for (name, identity, reason) in table {
            rows.row(name, &world.get(&identity, "/chain").await, reason);
        }
        rows.end();
        world.get(&impostor, "/chain").await.denied(403, "SIGNATURE_INVALID");
        world.get(None, "/chain").await.denied(403, "CERT_REQUIRED");
    });
}

#[test]
fn lists_narrow_trust() {
    with_envoy(async {
        let pki = Pki::new();
        let other = pki.root.intermediate("Other Issuing");
        let deep = other.intermediate("Below Other");
        let second_root = Authority::root("Second Root");
        let anchors = [pki.root.pem(), second_root.pem()];
        let known = intermediates(&[pki.issuing.pem(), other.pem(), deep.pem()]);
        let acme = pki.client("acme");
        let others = other.issue(Leaf::client("other"));
        let deeper = deep.issue(Leaf::client("deeper"));
        let second = second_root.issue(Leaf::client("second"));
        let banned = pki.client("banned");
        let hash = |field: &str, hash: String| format!("{known}{field}: [{{sha256: \"{hash}\"}}]\n");
        let colons = |hash: &str| {
            let pairs: Vec<_> =
                hash.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
            pairs.join(":")
        };
        let policies = world_of(&[
            ("issuing", trust("issuing", &anchors, &hash("issuingAuthorities", pki.issuing.sha256()))),
            ("higher", trust("higher", &anchors, &hash("issuingAuthorities", pki.root.sha256()))),
            ("none", trust("none", &anchors, &format!("{known}issuingAuthorities: []\n"))),
            ("list", trust("list", &anchors, &hash("trustList", colons(&other.sha256())))),
            ("untrusted", trust("untrusted", &[second_root.pem()], &hash("trustList", other.sha256()))),
            ("leaf", trust("leaf", &anchors, &hash("disallowed", banned.sha256()))),
            ("ca", trust("ca", &anchors, &hash("disallowed", other.sha256()))),
            ("short", trust("short", &anchors, &format!("{known}requirements: {{maxPathLength: 1}}\n"))),
        ]);
        let world = World::start(pki, &policies).await;
        let table = [
            ("the listed issuer", "/issuing", &acme, None),
            ("another issuer", "/issuing", &others, Some("ISSUER_NOT_AUTHORIZED")),
            ("only a higher CA is listed", "/higher", &acme, Some("ISSUER_NOT_AUTHORIZED")),
            ("an empty list is a mistake", "/none", &acme, Some("POLICY_INVALID")),
            ("the trust list has the issuer", "/list", &others, None),
            ("the trust list has a higher CA", "/list", &deeper, None),
            ("not in the trust list", "/list", &acme, Some("ISSUER_NOT_IN_TRUST_LIST")),
            ("the trust list lends no trust", "/untrusted", &others, Some("CERT_UNTRUSTED")),
            ("disallowed itself", "/leaf", &banned, Some("CERT_DISALLOWED")),
            ("not disallowed", "/leaf", &acme, None),
            ("below a disallowed CA", "/ca", &deeper, Some("CERT_DISALLOWED")),
            ("beside a disallowed CA", "/ca", &acme, None),
            ("one intermediate", "/short", &acme, None),
            ("two intermediates", "/short", &deeper, Some("CERT_UNTRUSTED")),
            ("a union of anchors", "/leaf", &second, None),
        ];
        let mut rows = Rows::default();
        for (name, path, identity, reason) in table {
            rows.row(name, &world.get(identity, path).await, reason);
        }
        rows.end();
    });
}

#[test]
fn peers_are_trusted_byte_for_byte() {
    with_envoy(async {
        let pki = Pki::new();
        let stranger = Authority::root("Stranger");
        let peer = stranger.issue(Leaf::client("peer").usages([]));
        let renewed = stranger.issue(Leaf::client("peer").usages([]));
        let self_signed = Identity::self_signed(Leaf::client("self"));
        let expired = stranger.issue(Leaf::client("late").expired());
        let banned = stranger.issue(Leaf::client("banned"));
        let chained = pki.client("chained");
        let listed: String = [&peer, &self_signed, &expired, &banned]
            .iter()
            .map(|identity| format!("- inline: |\n{}", indent(&identity.pem(), 4)))
            .collect();
        let rest = format!(
            "trustedPeers:\n{listed}disallowed: [{{sha256: \"{}\"}}]\n{}",
            banned.sha256(),
            intermediates(&[pki.issuing.pem()])
        );
        let peers = format!(
            "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {{name: peer, namespace: test}}\nspec:\n  mode: Peer\n{}",
            indent(&format!("trustedPeers:\n{listed}disallowed: [{{sha256: \"{}\"}}]\n", banned.sha256()), 2)
        );
        let either = trust("either", &[pki.root.pem()], &format!("mode: PeerOrChain\n{rest}"));
        let world = World::start(pki, &world_of(&[("peer", peers), ("either", either)])).await;
        let table = [
            ("a peer without usages or known CA", "/peer", &peer, None),
            ("a self-signed peer", "/peer", &self_signed, None),
            ("the peer's renewed certificate", "/peer", &renewed, Some("CERT_UNTRUSTED")),
            ("an expired peer", "/peer", &expired, Some("CERT_EXPIRED")),
            ("a disallowed peer", "/peer", &banned, Some("CERT_DISALLOWED")),
            ("a chain where peers count", "/peer", &chained, Some("CERT_UNTRUSTED")),
            ("either: a peer", "/either", &peer, None),
            ("either: a chain", "/either", &chained, None),
            ("either: disallowed", "/either", &banned, Some("CERT_DISALLOWED")),
        ];
        let mut rows = Rows::default();
        for (name, path, identity, reason) in table {
            rows.row(name, &world.get(identity, path).await, reason);
        }
        rows.end();
    });
}

#[test]
fn sources_of_anchors() {
    with_envoy(async {
        let pki = Pki::new();
        let leaf = || Leaf::client("acme");
        let [from_config_map, from_secret, from_file] = ["ConfigMap", "Secret", "File"].map(Authority::root);
        let clients = [&from_config_map, &from_secret, &from_file].map(|root| root.issue(leaf()));
        let profile = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: sources, namespace: test}\n\
                       spec:\n  trustAnchors:\n  - configMap: {name: roots, key: my.pem}\n  - secret: {name: roots}\n  - file: roots/extra.crt\n";
        let config_map = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: roots, namespace: test}}\ndata:\n  my.pem: |\n{}",
            indent(&from_config_map.pem(), 4)
        );
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(from_secret.pem());
        let secret = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: roots, namespace: test}}\ndata: {{ca.crt: {encoded}}}\n"
        );
        let dangling = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: dangling, namespace: test}\n\
                        spec:\n  trustAnchors:\n  - configMap: {name: nowhere}\n";
        let empty = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: empty, namespace: test}\n\
                     spec: {trustAnchors: []}\n";
        let texts = [
            profile,
            &config_map,
            &secret,
            dangling,
            empty,
            &by_path("sources"),
            &by_path("dangling"),
            &by_path("empty"),
            &by_path("nobody"),
        ];
        let acme = pki.client("acme");
        let policies = documents(texts);
        // The file must be there before certgate is.
        let directory = certgate_harness::policies::PolicyDirectory::with(&policies);
        directory.write("roots/extra.crt", &from_file.pem());
        let listeners = World::listeners(&pki);
        let world = World::start_over(pki, directory, listeners).await;
        for client in &clients {
            assert!(world.get(client, "/sources").await.reply.served());
        }
        world.get(&acme, "/sources").await.denied(403, "CERT_UNTRUSTED");
        world.get(&acme, "/dangling").await.denied(503, "TRUST_UNAVAILABLE");
        world.get(&acme, "/empty").await.denied(403, "CERT_UNTRUSTED");
        world.get(&acme, "/nobody").await.denied(503, "TRUST_UNAVAILABLE");
    });
}

/// Trap 4 of the proxy: neither a kept connection nor a resumed session outlives its certificate.
#[test]
fn a_certificate_expires_under_an_open_connection() {
    with_envoy(async {
        let pki = Pki::new();
        let profile = trust("chain", &[pki.root.pem()], &intermediates(&[pki.issuing.pem()]));
        let brief = pki.issuing.issue(Leaf::client("brief").valid_for(Duration::from_secs(4)));
        let world = World::start_with(pki, &world_of(&[("chain", profile)]), |listener| {
            if listener.tls.is_some() { listener.resumption(Resumption::Allowed) } else { listener }
        })
        .await;
        let client = world.client_of(MTLS, &brief);
        let mut connection = client.connect().await;
        connection.send(Call::get("/chain")).await.echo();
        until("the kept connection is refused", PATIENCE, async || {
            (!connection.send(Call::get("/chain")).await.served()).then_some(())
        })
        .await;
        world.outcome(connection.send(Call::get("/chain"))).await.denied(403, "CERT_EXPIRED");
        let mut resumed = client.connect().await;
        assert!(resumed.resumed, "the client has a session to resume");
        world.outcome(resumed.send(Call::get("/chain"))).await.denied(403, "CERT_EXPIRED");
    });
}

#[test]
fn constraints_on_addresses() {
    with_envoy(async {
        let pki = Pki::new();
        let constrained = pki.root.intermediate_with("Constrained", |params| {
            let subnet = rcgen::CidrSubnet::from_v4_prefix([10, 1, 0, 0], 16);
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::IpAddress(subnet)],
                excluded_subtrees: vec![GeneralSubtree::Rfc822Name("evil.test".to_owned())],
            });
        });
        let ip = |last| rcgen::SanType::IpAddress(IpAddr::V4(Ipv4Addr::new(10, last, 0, 1)));
        let at = |last| constrained.issue(Leaf::client("ip").with(|params| params.subject_alt_names.push(ip(last))));
        let (inside, outside) = (at(1), at(2));
        let mail = constrained.issue(Leaf::client("mail").email("a@evil.test"));
        let profile = trust("chain", &[pki.root.pem()], &intermediates(&[constrained.pem()]));
        let world = World::start(pki, &world_of(&[("chain", profile)])).await;
        assert!(world.get(&inside, "/chain").await.reply.served());
        world.get(&outside, "/chain").await.denied(403, "NAME_CONSTRAINT");
        world.get(&mail, "/chain").await.denied(403, "NAME_CONSTRAINT");
    });
}
