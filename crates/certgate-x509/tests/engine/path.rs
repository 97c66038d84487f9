//! Path validation, rule by rule: a good chain of three passes, and with one thing changed it ends as the row says.

#![allow(
    clippy::unwrap_used,
    clippy::type_complexity,
    reason = "a test may panic and print; tables of cases are types"
)]

mod algorithms;

use certgate_testing::chain;
use certgate_testing::der as support;
use certgate_x509::{
    Certificate, ErrorKind, KeyPurpose, LeafRule, NoTrace, PathParameters, Pool, RolloverRule, Sha1,
    SignatureAlgorithm, SignatureError, SignaturePolicy, UsageRule, der, der::Reader, der::tag, find_path,
};

use std::sync::Arc;

use aws_lc_rs::signature as lc;
use chain::{Chain, DAY, any_leaf, bmp_name, critical_access, critical_names, rsa_spki};
use support::{
    Extension, NOW, SigningKey, bits, context, directory, dns, email, ext, implicit, int, ip, name, oid, other, seq,
    tlv, upn, uri,
};

/// The otherName type of user principal names.
const UPN: &str = "1.3.6.1.4.1.311.20.2.3";

/// A name, a change to the good chain, and how it ends.
type Row = (&'static str, fn(&mut Chain), Result<(), ErrorKind>);

fn check(rows: &[Row]) {
    let mut problems = Vec::new();
    for (row, change, want) in rows {
        let mut chain = Chain::new();
        change(&mut chain);
        let found = chain.judge();
        if found != *want {
            problems.push(format!("{row}: expected {want:?}, found {found:?}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
#[rustfmt::skip]
fn dates() {
    check(&[
        ("good", |_| (), Ok(())),
        ("leaf expired", |c| c.leaf.valid(NOW.minus(DAY), NOW.minus(1)), Err(ErrorKind::Expired)),
        ("leaf at its last second", |c| c.leaf.valid(NOW.minus(DAY), NOW), Ok(())),
        ("leaf at its first second", |c| c.leaf.valid(NOW, NOW.plus(DAY)), Ok(())),
        ("leaf not yet valid", |c| c.leaf.valid(NOW.plus(1), NOW.plus(DAY)), Err(ErrorKind::NotYetValid)),
        ("intermediate expired", |c| c.ica.valid(NOW.minus(DAY), NOW.minus(1)), Err(ErrorKind::Expired)),
        ("intermediate not yet valid", |c| c.ica.valid(NOW.plus(1), NOW.plus(DAY)), Err(ErrorKind::NotYetValid)),
        ("anchor expired", |c| c.root.valid(NOW.minus(DAY), NOW.minus(1)), Ok(())),
        ("beyond 2050", |c| c.leaf.valid(NOW, NOW.plus(40 * 365 * DAY)), Ok(())),
    ]);
}

#[test]
#[rustfmt::skip]
fn form_of_the_leaf() {
    check(&[
        ("serial zero", |c| c.leaf.serial = vec![0], Err(ErrorKind::Malformed)),
        ("empty names", |c| c.leaf.set(ext::names(&[])), Err(ErrorKind::Malformed)),
        ("unknown critical extension", |c| c.leaf.set(ext::any("1.2.3", true, vec![])), Err(ErrorKind::Malformed)),
        ("unknown extension", |c| c.leaf.set(ext::any("1.2.3", false, vec![])), Ok(())),
        ("critical authorityInfoAccess", |c| c.leaf.set(critical_access()), Err(ErrorKind::Malformed)),
        ("v1", |c| (c.leaf.version, c.leaf.extensions) = (vec![], vec![]), Err(ErrorKind::Malformed)),
        ("CA", |c| c.leaf.set(ext::ca(None)), Err(ErrorKind::Untrusted)),
        ("CA where any leaf will do", |c| { c.leaf.set(ext::ca(None)); any_leaf(c) }, Ok(())),
        ("explicitly no CA", |c| c.leaf.set(ext::not_ca()), Ok(())),
        ("no CA, with a path length", |c| c.leaf.set(no_ca_of_length_0()), Ok(())),
        ("policies with a known qualifier, critical", |c| c.leaf.set(qualified("1.3.6.1.5.5.7.2.1", true)), Ok(())),
        ("policies with an unknown qualifier", |c| c.leaf.set(qualified("1.2.3.4", false)), Ok(())),
        ("policies with an unknown qualifier, critical", |c| c.leaf.set(qualified("1.2.3.4", true)), Err(ErrorKind::Malformed)),
        ("keyCertSign without cA", |c| c.leaf.set(ext::key_usage(&[0, 5])), Err(ErrorKind::Malformed)),
        ("nameConstraints without cA", |c| c.leaf.set(ext::constraints(&[dns("a")], &[])), Err(ErrorKind::Malformed)),
        ("no subject, names not critical", |c| c.leaf.subject = name(""), Err(ErrorKind::Malformed)),
        ("no subject, names critical", |c| { c.leaf.subject = name(""); c.leaf.set(critical_names()) }, Ok(())),
        ("no name at all", |c| { c.leaf.subject = name(""); c.leaf.remove(ext::SUBJECT_ALT_NAME) }, Err(ErrorKind::Malformed)),
        ("NC that only an old CA knows", |c| c.leaf.set(ext::any("2.5.29.54", true, int(0))), Ok(())),
    ]);
}

#[test]
#[rustfmt::skip]
fn issuers() {
    check(&[
        ("not a CA", |c| c.ica.set(ext::not_ca()), Err(ErrorKind::Untrusted)),
        ("not a CA, with a path length", |c| c.ica.set(no_ca_of_length_0()), Err(ErrorKind::Untrusted)),
        ("policies with an unknown qualifier, critical", |c| c.ica.set(qualified("1.2.3.4", true)), Err(ErrorKind::Untrusted)),
        ("no basicConstraints", |c| c.ica.remove(ext::BASIC_CONSTRAINTS), Err(ErrorKind::Untrusted)),
        ("basicConstraints not critical", |c| { let (oid, _, value) = ext::ca(None); c.ica.set((oid, false, value)) }, Ok(())),
        ("no keyCertSign", |c| c.ica.set(ext::key_usage(&[0, 6])), Err(ErrorKind::Untrusted)),
        ("no keyUsage", |c| c.ica.remove(ext::KEY_USAGE), Ok(())),
        ("path length 0", |c| c.ica.set(ext::ca(Some(0))), Ok(())),
        ("v1", |c| (c.ica.version, c.ica.extensions) = (vec![], vec![]), Err(ErrorKind::Untrusted)),
        ("serial zero", |c| c.ica.serial = vec![0], Err(ErrorKind::Untrusted)),
        ("empty names", |c| c.ica.set(ext::names(&[])), Err(ErrorKind::Untrusted)),
        ("unknown critical extension", |c| c.ica.set(ext::any("1.2.3", true, vec![])), Err(ErrorKind::Untrusted)),
        ("no intermediate allowed", |c| c.parameters.max_path_length = 0, Err(ErrorKind::Untrusted)),
        ("one intermediate allowed", |c| c.parameters.max_path_length = 1, Ok(())),
    ]);
}

/// basicConstraints without cA and with a path length of 0, as some issuers write it.
fn no_ca_of_length_0() -> Extension {
    ext::any(ext::BASIC_CONSTRAINTS, true, seq(&[int(0)]))
}

/// A certificate policy with a qualifier of the given type.
fn qualified(qualifier: &str, critical: bool) -> Extension {
    let qualifier = seq(&[oid(qualifier), tlv(tag::IA5_STRING, "http://a.example/cps")]);
    ext::any(ext::POLICIES, critical, seq(&[seq(&[oid("1.2.3"), seq(&[qualifier])])]))
}

/// Microsoft's application policies, of the given key purposes.
fn application_policies(purposes: &[&str], critical: bool) -> Extension {
    let list: Vec<_> = purposes.iter().map(|purpose| seq(&[oid(purpose)])).collect();
    ext::any("1.3.6.1.4.1.311.21.10", critical, seq(&list))
}

/// Application policies are a list of key purposes beside extendedKeyUsage, or in its place: each list holds.
#[test]
#[rustfmt::skip]
fn application_policies_are_key_purposes() {
    const ANY: &str = "1.3.6.1.4.1.311.10.12.1";
    const OTHER: &[&str] = &[ext::SERVER_AUTH];
    const BOTH: &[&str] = &[ext::SERVER_AUTH, ext::CLIENT_AUTH];
    const DENIED: Result<(), ErrorKind> = Err(ErrorKind::KeyPurpose);
    fn alone(c: &mut Chain, purposes: &[&str]) {
        c.leaf.remove(ext::EXTENDED_KEY_USAGE);
        c.leaf.set(application_policies(purposes, true));
    }
    fn permitted(c: &mut Chain) {
        c.parameters.usage = UsageRule::PermittedOrAny(KeyPurpose::ClientAuth);
    }
    check(&[
        ("critical", |c| c.leaf.set(application_policies(BOTH, true)), Ok(())),
        ("not critical", |c| c.leaf.set(application_policies(BOTH, false)), Ok(())),
        ("of another purpose", |c| c.leaf.set(application_policies(OTHER, true)), DENIED),
        ("of another purpose, not critical", |c| c.leaf.set(application_policies(OTHER, false)), DENIED),
        ("any", |c| c.leaf.set(application_policies(&[ANY], true)), DENIED),
        ("any, where that counts", |c| { permitted(c); c.leaf.set(application_policies(&[ANY], true)) }, Ok(())),
        ("no extendedKeyUsage", |c| alone(c, BOTH), Ok(())),
        ("no extendedKeyUsage, of another purpose", |c| { permitted(c); alone(c, OTHER) }, DENIED),
        ("a CA's", |c| c.ica.set(application_policies(BOTH, true)), Ok(())),
        ("a CA's, any", |c| c.ica.set(application_policies(&[ANY], true)), Ok(())),
        ("a CA's, of another purpose", |c| c.ica.set(application_policies(OTHER, true)), DENIED),
        ("a CA's, with an unknown qualifier", |c| { let (_, _, value) = qualified("1.2.3.4", true); c.ica.set(ext::any("1.3.6.1.4.1.311.21.10", true, value)) }, Err(ErrorKind::Untrusted)),
        ("their mappings are not known", |c| c.ica.set(ext::any("1.3.6.1.4.1.311.21.11", true, vec![])), Err(ErrorKind::Untrusted)),
    ]);
}

/// The anchor has certified its own next key, which has issued the leaf.
#[test]
#[rustfmt::skip]
fn next_keys_of_anchors() {
    fn next(c: &mut Chain) {
        (c.ica.subject, c.leaf.issuer) = (name("CN=Root"), name("CN=Root"));
        c.ica.remove(ext::BASIC_CONSTRAINTS);
        c.parameters.rollover = RolloverRule::KeyCertSign;
    }
    const DENIED: Result<(), ErrorKind> = Err(ErrorKind::Untrusted);
    check(&[
        ("good", next, Ok(())),
        ("where basicConstraints are asked for", |c| { next(c); c.parameters.rollover = RolloverRule::BasicConstraints }, DENIED),
        ("explicitly no CA", |c| { next(c); c.ica.set(ext::not_ca()) }, DENIED),
        ("no keyCertSign", |c| { next(c); c.ica.set(ext::key_usage(&[6])) }, DENIED),
        ("no keyUsage", |c| { next(c); c.ica.remove(ext::KEY_USAGE) }, DENIED),
        ("of another name than the anchor's", |c| { next(c); c.ica.subject = name("CN=Toor"); c.leaf.issuer = name("CN=Toor") }, DENIED),
        ("a CA that is not its own issuer", |c| { next(c); c.ica.subject = name("CN=ICA"); c.leaf.issuer = name("CN=ICA") }, DENIED),
        ("serial zero", |c| { next(c); c.ica.serial = vec![0] }, DENIED),
        ("unknown critical extension", |c| { next(c); c.ica.set(ext::any("1.2.3", true, vec![])) }, DENIED),
        ("expired", |c| { next(c); c.ica.valid(NOW.minus(DAY), NOW.minus(1)) }, Err(ErrorKind::Expired)),
        ("not yet valid", |c| { next(c); c.ica.valid(NOW.plus(1), NOW.plus(DAY)) }, Err(ErrorKind::NotYetValid)),
        ("forged", |c| { next(c); c.ica.forged = true }, Err(ErrorKind::Signature)),
    ]);
}

#[test]
#[rustfmt::skip]
fn anchors_are_names_and_keys() {
    check(&[
        ("not a CA", |c| c.root.set(ext::not_ca()), Ok(())),
        ("v1", |c| (c.root.version, c.root.extensions) = (vec![], vec![]), Ok(())),
        ("no keyCertSign", |c| c.root.set(ext::key_usage(&[0])), Ok(())),
        ("path length 0", |c| c.root.set(ext::ca(Some(0))), Ok(())),
        ("unknown critical extension", |c| c.root.set(ext::any("1.2.3", true, vec![])), Ok(())),
        ("serial zero", |c| c.root.serial = vec![0], Ok(())),
        ("policies with an unknown qualifier, critical", |c| c.root.set(qualified("1.2.3.4", true)), Ok(())),
        ("server usage", |c| c.root.set(ext::purposes(&[ext::SERVER_AUTH])), Ok(())),
        ("bad self-signature", |c| c.root.forged = true, Ok(())),
        ("other key", |c| c.root.spki = SigningKey::ed25519().spki(), Err(ErrorKind::Signature)),
        ("other name", |c| c.root.subject = name("CN=Toor"), Err(ErrorKind::Untrusted)),
        ("name in other case and type", |c| c.root.subject = bmp_name("rOOT"), Ok(())),
        ("its name constraints hold", |c| c.root.set(ext::constraints(&[dns("other.example")], &[])), Err(ErrorKind::NameConstraint)),
        ("short key", |c| c.root.spki = rsa_spki(1024), Err(ErrorKind::Signature)),
    ]);
}

/// A leaf's purposes, and how each rule takes them.
type Purposes = (&'static str, Option<&'static [&'static str]>, [(UsageRule, Result<(), ErrorKind>); 5]);

#[test]
#[rustfmt::skip]
fn key_purposes() {
    const LISTED: UsageRule = UsageRule::Listed(KeyPurpose::ClientAuth);
    const PERMITTED: UsageRule = UsageRule::Permitted(KeyPurpose::ClientAuth);
    const OR_ANY: UsageRule = UsageRule::PermittedOrAny(KeyPurpose::ClientAuth);
    const SERVER: UsageRule = UsageRule::Permitted(KeyPurpose::ServerAuth);
    const DENIED: Result<(), ErrorKind> = Err(ErrorKind::KeyPurpose);
    let rows: &[Purposes] = &[
        ("client", Some(&[ext::CLIENT_AUTH]), [(LISTED, Ok(())), (PERMITTED, Ok(())), (OR_ANY, Ok(())), (SERVER, DENIED), (UsageRule::Unchecked, Ok(()))]),
        ("server", Some(&[ext::SERVER_AUTH]), [(LISTED, DENIED), (PERMITTED, DENIED), (OR_ANY, DENIED), (SERVER, Ok(())), (UsageRule::Unchecked, Ok(()))]),
        ("both", Some(&[ext::SERVER_AUTH, ext::CLIENT_AUTH]), [(LISTED, Ok(())), (PERMITTED, Ok(())), (OR_ANY, Ok(())), (SERVER, Ok(())), (UsageRule::Unchecked, Ok(()))]),
        ("any", Some(&[ext::ANY_PURPOSE]), [(LISTED, DENIED), (PERMITTED, DENIED), (OR_ANY, Ok(())), (SERVER, DENIED), (UsageRule::Unchecked, Ok(()))]),
        ("absent", None, [(LISTED, DENIED), (PERMITTED, Ok(())), (OR_ANY, Ok(())), (SERVER, Ok(())), (UsageRule::Unchecked, Ok(()))]),
    ];
    for (row, purposes, outcomes) in rows {
        for (rule, want) in outcomes {
            let mut chain = Chain::new();
            match purposes {
                Some(purposes) => chain.leaf.set(ext::purposes(purposes)),
                None => chain.leaf.remove(ext::EXTENDED_KEY_USAGE),
            }
            chain.parameters.usage = *rule;
            assert_eq!(chain.judge(), *want, "leaf {row} under {rule:?}");
        }
    }
    check(&[
        ("key for signatures", |c| c.leaf.set(ext::key_usage(&[0])), Ok(())),
        ("key for key agreement", |c| c.leaf.set(ext::key_usage(&[4])), Ok(())),
        ("key for encipherment", |c| c.leaf.set(ext::key_usage(&[2, 3])), DENIED),
        ("key for non-repudiation", |c| c.leaf.set(ext::key_usage(&[1])), DENIED),
        ("key for encipherment, unchecked", |c| { c.leaf.set(ext::key_usage(&[2])); c.parameters.usage = UsageRule::Unchecked }, Ok(())),
        ("key for encipherment, any certificate", |c| { c.leaf.set(ext::key_usage(&[2])); c.parameters.leaf = LeafRule::AnyCertificate }, Ok(())),
        ("CA for clients", |c| c.ica.set(ext::purposes(&[ext::CLIENT_AUTH])), Ok(())),
        ("CA for anything", |c| c.ica.set(ext::purposes(&[ext::ANY_PURPOSE])), Ok(())),
        ("CA for servers", |c| c.ica.set(ext::purposes(&[ext::SERVER_AUTH])), DENIED),
        ("CA for servers, unchecked", |c| { c.ica.set(ext::purposes(&[ext::SERVER_AUTH])); c.parameters.usage = UsageRule::Unchecked }, Ok(())),
    ]);
}

#[test]
#[rustfmt::skip]
fn name_constraints() {
    const DENIED: Result<(), ErrorKind> = Err(ErrorKind::NameConstraint);
    let contoso = || directory("O=Contoso");
    let rows: &[(&str, Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<Vec<u8>>, Result<(), ErrorKind>)] = &[
        // What the CA permits, what it excludes, the leaf's names beside its subject CN=client,O=Contoso.
        ("subject inside", vec![contoso()], vec![], vec![dns("a")], Ok(())),
        ("subject inside, folded", vec![directory("O=  cONTOSO")], vec![], vec![dns("a")], Ok(())),
        ("subject outside", vec![directory("O=Fabrikam")], vec![], vec![dns("a")], DENIED),
        ("subject excluded", vec![], vec![contoso()], vec![dns("a")], DENIED),
        ("subject not excluded", vec![], vec![directory("O=Fabrikam")], vec![dns("a")], Ok(())),
        ("permitted and excluded", vec![contoso()], vec![directory("CN=client,O=Contoso")], vec![dns("a")], DENIED),
        ("directory name outside", vec![contoso()], vec![], vec![directory("O=Fabrikam")], DENIED),
        ("directory name inside", vec![contoso()], vec![], vec![directory("CN=x,O=Contoso")], Ok(())),
        ("one of two DNS names outside", vec![dns("a.example")], vec![], vec![dns("x.a.example"), dns("b.example")], DENIED),
        ("both inside different subtrees", vec![dns("a.example"), dns("b.example")], vec![], vec![dns("a.example"), dns("b.example")], Ok(())),
        ("other form is free", vec![dns("a.example")], vec![email("x")], vec![uri("urn:x")], Ok(())),
        ("malformed DNS name", vec![dns("a.example")], vec![], vec![dns(".a.example")], DENIED),
        ("malformed DNS subtree", vec![dns("..a.example")], vec![], vec![dns("x.a.example")], DENIED),
        ("malformed excluded DNS subtree", vec![], vec![dns("*.a.example")], vec![dns("b.example")], DENIED),
        ("malformed subtree of an absent form", vec![dns(".a.example")], vec![], vec![email("a@b.example")], Ok(())),
        ("wildcard over an excluded host", vec![], vec![dns("x.a.example")], vec![dns("*.a.example")], DENIED),
        ("mail host", vec![email("a.example")], vec![], vec![email("x@a.example")], Ok(())),
        ("mail below the host", vec![email("a.example")], vec![], vec![email("x@b.a.example")], DENIED),
        ("mail domain", vec![email(".a.example")], vec![], vec![email("x@b.a.example")], Ok(())),
        ("mailbox excluded", vec![], vec![email("x@a.example")], vec![email("x@A.example")], DENIED),
        ("international mailbox under a mail constraint", vec![email("a.example")], vec![], vec![other("1.3.6.1.5.5.7.8.9", &tlv(12, "ü@a.example"))], DENIED),
        ("mail under an empty subtree", vec![email("")], vec![], vec![email("x@a.example")], DENIED),
        ("mail excluded altogether", vec![], vec![email("")], vec![email("x@a.example")], DENIED),
        ("mail under an empty subtree and another", vec![email(""), email("a.example")], vec![], vec![email("x@a.example")], Ok(())),
        ("URI under an empty subtree", vec![uri("")], vec![], vec![uri("spiffe://a.example/x")], DENIED),
        ("URIs excluded altogether", vec![], vec![uri("")], vec![uri("spiffe://a.example/x")], DENIED),
        ("URI host", vec![uri("a.example")], vec![], vec![uri("spiffe://a.example/x")], Ok(())),
        ("URI outside", vec![uri("a.example")], vec![], vec![uri("spiffe://b.example/x")], DENIED),
        ("URI without a host", vec![uri("a.example")], vec![], vec![uri("urn:a.example")], DENIED),
        ("address inside", vec![ip(&[192, 0, 2, 0, 255, 255, 255, 0])], vec![], vec![ip(&[192, 0, 2, 9])], Ok(())),
        ("address outside", vec![ip(&[192, 0, 2, 0, 255, 255, 255, 0])], vec![], vec![ip(&[192, 0, 3, 9])], DENIED),
        ("address of the other family", vec![ip(&[192, 0, 2, 0, 255, 255, 255, 0])], vec![], vec![ip(&[0; 16])], DENIED),
        ("address excluded", vec![], vec![ip(&[0; 32])], vec![ip(&[1; 16])], DENIED),
        ("UPN inside", vec![upn("@corp.example")], vec![], vec![upn("a@corp.example")], Ok(())),
        ("UPN outside", vec![upn("@corp.example")], vec![], vec![upn("a@evil.example")], DENIED),
        ("UPN excluded", vec![], vec![upn("corp.example")], vec![upn("a@eu.corp.example")], DENIED),
        ("otherName of the same type", vec![], vec![other("1.2.3", &int(1))], vec![other("1.2.3", &int(2))], DENIED),
        ("otherName of another type", vec![], vec![other("1.2.3", &int(1))], vec![other("1.2.4", &int(1))], Ok(())),
        ("otherName constraint alone", vec![], vec![other("1.2.3", &int(1))], vec![dns("a")], Ok(())),
        ("x400Address", vec![context(3, [])], vec![], vec![context(3, [])], DENIED),
        ("registeredID", vec![], vec![implicit(8, [42])], vec![implicit(8, [43])], DENIED),
        ("UPN that is no text, under a UPN constraint", vec![], vec![upn("corp.example")], vec![other(UPN, &int(1))], DENIED),
        ("UPN under a constraint that is no text", vec![other(UPN, &int(1))], vec![], vec![upn("a@corp.example")], DENIED),
        ("UPN under an otherName constraint", vec![], vec![other("1.2.3", &int(1))], vec![upn("a@corp.example")], Ok(())),
        ("UPN under a text of another type", vec![other("1.2.3", &tlv(12, "@corp.example"))], vec![], vec![upn("a@evil.example")], Ok(())),
        ("otherName under a UPN constraint", vec![], vec![upn("corp.example")], vec![other("1.2.3", &int(1))], Ok(())),
        ("otherName under a mail constraint", vec![email("a.example")], vec![], vec![other("1.2.3", &int(1))], Ok(())),
        ("registeredID under an x400Address constraint", vec![], vec![context(3, [])], vec![implicit(8, [42])], Ok(())),
        ("registeredID constraint alone", vec![], vec![implicit(8, [42])], vec![dns("a")], Ok(())),
    ];
    let mut problems = Vec::new();
    for (row, permitted, excluded, names, want) in rows {
        let mut chain = Chain::new();
        chain.ica.set(ext::constraints(permitted, excluded));
        chain.leaf.set(ext::names(names));
        let critical = chain.judge();
        let (oid, _, value) = ext::constraints(permitted, excluded);
        chain.ica.set((oid, false, value));
        if (critical, chain.judge()) != (*want, *want) {
            problems.push(format!("{row}: expected {want:?}, found {critical:?}, not critical {:?}", chain.judge()));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    check(&[
        ("subject's emailAddress outside", |c| { c.leaf.subject = name("E=x@b.example,CN=a"); c.ica.set(ext::constraints(&[email("a.example")], &[])) }, DENIED),
        ("subject's emailAddress inside", |c| { c.leaf.subject = name("E=x@a.example,CN=a"); c.ica.set(ext::constraints(&[email("a.example")], &[])) }, Ok(())),
        ("empty subject", |c| { c.leaf.subject = name(""); c.leaf.set(critical_names()); c.ica.set(ext::constraints(&[directory("O=x")], &[])) }, Ok(())),
    ]);
}

#[test]
#[rustfmt::skip]
fn policies() {
    const DENIED: Result<(), ErrorKind> = Err(ErrorKind::Untrusted);
    check(&[
        ("none at all", |_| (), Ok(())),
        ("critical and processed", |c| { let (oid, _, value) = ext::policies(&["1.2.3"]); c.leaf.set((oid, true, value)) }, Ok(())),
        ("explicit without any", |c| c.parameters.policies.initial_explicit_policy = true, DENIED),
        ("explicit by the CA", |c| c.ica.set(ext::policy_constraints(Some(0), None)), DENIED),
        ("explicit after one more", |c| c.ica.set(ext::policy_constraints(Some(1), None)), DENIED),
        ("explicit after two more", |c| c.ica.set(ext::policy_constraints(Some(2), None)), Ok(())),
        ("explicit and common", |c| { explicit(c); c.ica.set(ext::policies(&["1.2.3", "1.2.4"])); c.leaf.set(ext::policies(&["1.2.4"])) }, Ok(())),
        ("explicit and apart", |c| { explicit(c); c.ica.set(ext::policies(&["1.2.3"])); c.leaf.set(ext::policies(&["1.2.4"])) }, DENIED),
        ("CA for any", |c| { explicit(c); c.ica.set(ext::policies(&[ext::ANY_POLICY])); c.leaf.set(ext::policies(&["1.2.4"])) }, Ok(())),
        ("CA for any, inhibited", |c| { explicit(c); c.ica.set(ext::policies(&[ext::ANY_POLICY])); c.leaf.set(ext::policies(&["1.2.4"])); c.parameters.policies.initial_inhibit_any_policy = true }, DENIED),
        ("leaf for any", |c| { explicit(c); c.ica.set(ext::policies(&["1.2.3"])); c.leaf.set(ext::policies(&[ext::ANY_POLICY])) }, Ok(())),
        ("leaf for any, inhibited", |c| { explicit(c); c.ica.set(ext::policies(&["1.2.3"])); c.ica.set(ext::inhibit_any_policy(0)); c.leaf.set(ext::policies(&[ext::ANY_POLICY])) }, DENIED),
        ("wanted", |c| { explicit(c); wanted(c, "1.2.3"); both(c, "1.2.3") }, Ok(())),
        ("not wanted", |c| { explicit(c); wanted(c, "1.2.9"); both(c, "1.2.3") }, DENIED),
        ("not wanted, not explicit", |c| { wanted(c, "1.2.9"); both(c, "1.2.3") }, Ok(())),
        ("mapped", |c| { explicit(c); wanted(c, "1.2.3"); mapped(c); c.leaf.set(ext::policies(&["1.2.5"])) }, Ok(())),
        ("mapped, unmapped name", |c| { explicit(c); mapped(c); c.leaf.set(ext::policies(&["1.2.3"])) }, DENIED),
        ("mapped, wanted by the far name", |c| { explicit(c); wanted(c, "1.2.5"); mapped(c); c.leaf.set(ext::policies(&["1.2.5"])) }, DENIED),
        ("mapping inhibited", |c| { explicit(c); mapped(c); c.leaf.set(ext::policies(&["1.2.5"])); c.parameters.policies.initial_policy_mapping_inhibit = true }, DENIED),
        ("any mapped", |c| { both(c, "1.2.3"); c.ica.set(ext::mappings(&[(ext::ANY_POLICY, "1.2.5")])) }, DENIED),
        ("mapped to any", |c| { both(c, "1.2.3"); c.ica.set(ext::mappings(&[("1.2.3", ext::ANY_POLICY)])) }, DENIED),
    ]);
}

fn explicit(chain: &mut Chain) {
    chain.parameters.policies.initial_explicit_policy = true;
}

fn wanted(chain: &mut Chain, policy: &str) {
    chain.parameters.policies.initial_policy_set = vec![policy.parse().unwrap()];
}

fn both(chain: &mut Chain, policy: &str) {
    chain.ica.set(ext::policies(&[policy]));
    chain.leaf.set(ext::policies(&[policy]));
}

fn mapped(chain: &mut Chain) {
    chain.ica.set(ext::policies(&["1.2.3"]));
    chain.ica.set(ext::mappings(&[("1.2.3", "1.2.5")]));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]
    /// Whatever bit of leaf or intermediate is flipped, the chain is refused.
    #[test]
    fn no_bit_can_be_flipped(at in 0_usize.., bit in 0_u8..8, which in proptest::bool::ANY) {
        use std::sync::OnceLock;
        static GOOD: OnceLock<[Arc<Certificate>; 3]> = OnceLock::new();
        let good = GOOD.get_or_init(|| {
            let mut chain = Chain::new();
            chain.ica_key = SigningKey::p256();
            chain.ica.spki = chain.ica_key.spki();
            chain.signed()
        });
        let mut pair = [good[0].der().to_vec(), good[1].der().to_vec()];
        let changed = &mut pair[usize::from(which)];
        let at = at % changed.len();
        changed[at] ^= 1 << bit;
        let pool = Pool::new([good[2].clone()], []);
        let [leaf, ica] = pair.map(|der| Certificate::from_der(der).map(Arc::new));
        if let (Ok(leaf), Ok(ica)) = (leaf, ica) {
            let parameters = PathParameters::default();
            let found = find_path(&leaf, &[ica], &pool, &parameters, NOW, &mut NoTrace, |_, _| Ok(()));
            proptest::prop_assert!(found.is_err());
        }
    }
}
