//! Name constraints of every form.

use super::{Row, row};
use crate::der::{context, directory, dns, email, ext, implicit, int, ip, name, other, seq, tag, tlv, upn, uri};
use crate::mutate::Random;
use crate::scene::{CN, O, Scene, typed_name};

/// Which CA carries the constraints.
fn constrain(s: &mut Scene, permitted: &[Vec<u8>], excluded: &[Vec<u8>]) {
    s.ca().set(ext::constraints(permitted, excluded));
}

/// What a CA permits, what it excludes, the leaf's names; the subject is O=Contoso, CN=client.
type Case = (&'static str, Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<Vec<u8>>);

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let net = || ip(&[192, 0, 2, 0, 255, 255, 255, 0]);
    vec![
        ("DNS permitted", vec![dns("example")], vec![], vec![dns("client.example")]),
        ("DNS permitted, itself", vec![dns("client.example")], vec![], vec![dns("client.example")]),
        ("DNS permitted, other case", vec![dns("EXAMPLE")], vec![], vec![dns("client.Example")]),
        ("DNS not permitted", vec![dns("a.example")], vec![], vec![dns("b.example")]),
        ("DNS with the constraint as a suffix only", vec![dns("ample.test")], vec![], vec![dns("example.test")]),
        ("DNS above the constraint", vec![dns("a.example")], vec![], vec![dns("example")]),
        ("DNS with a leading period in the constraint", vec![dns(".example")], vec![], vec![dns("a.example")]),
        ("DNS with a leading period in the constraint, the domain itself", vec![dns(".a.example")], vec![], vec![dns("a.example")]),
        ("DNS with a leading period in the constraint, a suffix only", vec![dns(".ample")], vec![], vec![dns("a.example")]),
        ("DNS with a leading period excluded", vec![], vec![dns(".example")], vec![dns("a.example")]),
        ("DNS with a leading period excluded, the domain itself", vec![], vec![dns(".a.example")], vec![dns("a.example")]),
        ("DNS wildcard below a leading period", vec![dns(".a.example")], vec![], vec![dns("*.a.example")]),
        ("DNS wildcard below a leading period, excluded", vec![], vec![dns(".a.example")], vec![dns("*.a.example")]),
        ("DNS excluded", vec![], vec![dns("example")], vec![dns("client.example")]),
        ("DNS not excluded", vec![], vec![dns("a.example")], vec![dns("b.example")]),
        ("DNS permitted and excluded", vec![dns("example")], vec![dns("a.example")], vec![dns("x.a.example")]),
        ("DNS permitted, the excluded one beside", vec![dns("example")], vec![dns("a.example")], vec![dns("b.example")]),
        ("DNS, one of two not permitted", vec![dns("a.example")], vec![], vec![dns("a.example"), dns("b.example")]),
        ("DNS, two subtrees", vec![dns("a.example"), dns("b.example")], vec![], vec![dns("a.example"), dns("b.example")]),
        ("DNS, the empty constraint permitted", vec![dns("")], vec![], vec![dns("a.example")]),
        ("DNS, the empty constraint excluded", vec![], vec![dns("")], vec![dns("a.example")]),
        ("DNS with a trailing period", vec![dns("example")], vec![], vec![dns("a.example.")]),
        ("DNS wildcard permitted", vec![dns("a.example")], vec![], vec![dns("*.a.example")]),
        ("DNS wildcard over a permitted host", vec![dns("x.a.example")], vec![], vec![dns("*.a.example")]),
        ("DNS wildcard over an excluded host", vec![], vec![dns("x.a.example")], vec![dns("*.a.example")]),
        ("DNS wildcard excluded", vec![], vec![dns("a.example")], vec![dns("*.a.example")]),
        ("DNS with a leading period", vec![dns("a.example")], vec![], vec![dns(".a.example")]),
        ("DNS, empty", vec![dns("a.example")], vec![], vec![dns("")]),
        ("DNS with an underscore", vec![dns("example")], vec![], vec![dns("a_b.example")]),
        ("DNS that is an address", vec![dns("2.0.192")], vec![], vec![dns("192.0.2.1")]),
        ("mail host permitted", vec![email("a.example")], vec![], vec![email("x@a.example")]),
        ("mail host, other case", vec![email("A.example")], vec![], vec![email("x@a.EXAMPLE")]),
        ("mail below a host", vec![email("a.example")], vec![], vec![email("x@b.a.example")]),
        ("mail below a domain", vec![email(".a.example")], vec![], vec![email("x@b.a.example")]),
        ("mail at the domain itself", vec![email(".a.example")], vec![], vec![email("x@a.example")]),
        ("mailbox permitted", vec![email("x@a.example")], vec![], vec![email("x@a.example")]),
        ("mailbox in other case", vec![email("x@a.example")], vec![], vec![email("X@a.example")]),
        ("mailbox, host in other case", vec![email("x@a.example")], vec![], vec![email("x@A.example")]),
        ("mailbox not permitted", vec![email("x@a.example")], vec![], vec![email("y@a.example")]),
        ("mailbox excluded", vec![], vec![email("x@a.example")], vec![email("x@a.example")]),
        ("mailbox excluded in other case", vec![], vec![email("x@a.example")], vec![email("X@a.example")]),
        ("mail host excluded", vec![], vec![email("a.example")], vec![email("x@a.example")]),
        ("mail domain excluded", vec![], vec![email(".example")], vec![email("x@a.example")]),
        ("mail without an at", vec![email("a.example")], vec![], vec![email("a.example")]),
        ("mail with two ats", vec![email("a.example")], vec![], vec![email("x@b.example@a.example")]),
        ("mail, quoted local part", vec![email("a.example")], vec![], vec![email("\"x y\"@a.example")]),
        ("mail, empty local part", vec![email("a.example")], vec![], vec![email("@a.example")]),
        ("mail, the empty constraint", vec![email("")], vec![], vec![email("x@a.example")]),
        ("URI permitted", vec![uri("a.example")], vec![], vec![uri("https://a.example/x")]),
        ("URI with a port", vec![uri("a.example")], vec![], vec![uri("https://a.example:8443/x")]),
        ("URI with user information", vec![uri("a.example")], vec![], vec![uri("https://u@a.example/x")]),
        ("URI whose user looks like the host", vec![uri("a.example")], vec![], vec![uri("https://a.example@b.example/")]),
        ("URI whose user has an at", vec![uri("a.example")], vec![], vec![uri("https://u@x@a.example/")]),
        ("URI whose path has an at", vec![uri("a.example")], vec![], vec![uri("https://b.example/@a.example")]),
        ("URI with a query and no path", vec![uri("a.example")], vec![], vec![uri("https://a.example?x")]),
        ("URI with a fragment and no path", vec![uri("a.example")], vec![], vec![uri("https://a.example#x")]),
        ("URI whose query has the host", vec![uri("a.example")], vec![], vec![uri("https://b.example?@a.example/")]),
        ("URI with a backslash", vec![uri("a.example")], vec![], vec![uri("https://b.example\\@a.example/")]),
        ("SPIFFE ID permitted", vec![uri("a.example")], vec![], vec![uri("spiffe://a.example/ns/x")]),
        ("URI in other case", vec![uri("A.example")], vec![], vec![uri("https://a.EXAMPLE/x")]),
        ("URI not permitted", vec![uri("a.example")], vec![], vec![uri("https://b.example/x")]),
        ("URI below a host", vec![uri("a.example")], vec![], vec![uri("https://x.a.example/")]),
        ("URI below a domain", vec![uri(".a.example")], vec![], vec![uri("https://x.a.example/")]),
        ("URI at the domain itself", vec![uri(".a.example")], vec![], vec![uri("https://a.example/")]),
        ("URI excluded", vec![], vec![uri("a.example")], vec![uri("https://a.example/")]),
        ("URI domain excluded", vec![], vec![uri(".example")], vec![uri("https://a.example/")]),
        ("URI not excluded", vec![], vec![uri("a.example")], vec![uri("https://b.example/")]),
        ("URI without a host", vec![uri("a.example")], vec![], vec![uri("urn:a.example")]),
        ("URI without a host, excluded", vec![], vec![uri("a.example")], vec![uri("urn:x")]),
        ("URI with an address", vec![uri("a.example")], vec![], vec![uri("https://192.0.2.1/")]),
        ("URI with an address, excluded", vec![], vec![uri("a.example")], vec![uri("https://192.0.2.1/")]),
        ("URI with an IPv6 address, excluded", vec![], vec![uri("a.example")], vec![uri("https://[2001:db8::1]/")]),
        ("address permitted", vec![net()], vec![], vec![ip(&[192, 0, 2, 1])]),
        ("address not permitted", vec![net()], vec![], vec![ip(&[192, 0, 3, 1])]),
        ("address excluded", vec![], vec![net()], vec![ip(&[192, 0, 2, 255])]),
        ("address not excluded", vec![], vec![net()], vec![ip(&[192, 0, 1, 255])]),
        ("address of the other family", vec![net()], vec![], vec![ip(&[0; 16])]),
        ("address of the other family, excluded", vec![], vec![net()], vec![ip(&[0; 16])]),
        ("IPv6 address permitted", vec![ip(&[[0x20; 16], [0; 16]].concat())], vec![], vec![ip(&[9; 16])]),
        ("IPv6 address not permitted", vec![ip(&[[0x20; 16], [0xff; 16]].concat())], vec![], vec![ip(&[9; 16])]),
        ("address constraint with a mask that has holes", vec![ip(&[192, 0, 2, 0, 255, 0, 255, 0])], vec![], vec![ip(&[192, 9, 2, 1])]),
        ("address constraint with host bits", vec![ip(&[192, 0, 2, 7, 255, 255, 255, 0])], vec![], vec![ip(&[192, 0, 2, 1])]),
        ("address constraint of five octets", vec![ip(&[192, 0, 2, 0, 255])], vec![], vec![ip(&[192, 0, 2, 1])]),
        ("UPN permitted", vec![upn("@corp.example")], vec![], vec![upn("a@corp.example")]),
        ("UPN not permitted", vec![upn("@corp.example")], vec![], vec![upn("a@evil.example")]),
        ("otherName of another type", vec![], vec![other("1.2.3", &int(1))], vec![other("1.2.4", &int(1))]),
        ("otherName of the same type excluded", vec![], vec![other("1.2.3", &int(1))], vec![other("1.2.3", &int(2))]),
        ("internationalized mailbox", vec![email("a.example")], vec![], vec![other("1.3.6.1.5.5.7.8.9", &tlv(tag::UTF8_STRING, "ü@a.example"))]),
        ("internationalized mailbox elsewhere", vec![email("a.example")], vec![], vec![other("1.3.6.1.5.5.7.8.9", &tlv(tag::UTF8_STRING, "ü@b.example"))]),
        ("registeredID", vec![], vec![implicit(8, [42])], vec![implicit(8, [43])]),
        ("registeredID constraint alone", vec![], vec![implicit(8, [42])], vec![dns("a.example")]),
        ("x400Address", vec![], vec![context(3, [])], vec![context(3, [])]),
        ("a form that is not constrained", vec![dns("a.example")], vec![], vec![uri("urn:x"), email("x@b.example")]),
        ("directory name permitted", vec![directory("O=Contoso")], vec![], vec![directory("CN=x,O=Contoso")]),
        ("directory name not permitted", vec![directory("O=Contoso")], vec![], vec![directory("CN=x,O=Fabrikam")]),
        ("directory name excluded", vec![], vec![directory("O=Fabrikam")], vec![directory("CN=x,O=Fabrikam")]),
        ("directory name not excluded", vec![], vec![directory("O=Fabrikam")], vec![directory("CN=x,O=Other")]),
        ("subject permitted", vec![directory("O=Contoso")], vec![], vec![dns("a.example")]),
        ("subject permitted, itself", vec![directory("CN=client,O=Contoso")], vec![], vec![dns("a.example")]),
        ("subject permitted, other case and blanks", vec![directory("O= cONTOSO ")], vec![], vec![dns("a.example")]),
        ("subject not permitted", vec![directory("O=Fabrikam")], vec![], vec![dns("a.example")]),
        ("subject permitted by its last RDN", vec![directory("CN=client")], vec![], vec![dns("a.example")]),
        ("subject excluded", vec![], vec![directory("O=Contoso")], vec![dns("a.example")]),
        ("subject excluded by the empty name", vec![], vec![directory("")], vec![dns("a.example")]),
        ("subject permitted by the empty name", vec![directory("")], vec![], vec![dns("a.example")]),
        ("subject below the constraint", vec![directory("OU=x,CN=client,O=Contoso")], vec![], vec![dns("a.example")]),
    ]
}

/// The name of every CA is below O=Contoso, as the leaf's: constraints on directory names hold for CAs too.
fn rename(s: &mut Scene) {
    let named =
        |text: String| typed_name(&[(O, tag::UTF8_STRING, b"Contoso"), (CN, tag::UTF8_STRING, text.as_bytes())]);
    s.root.subject = named("Root".into());
    s.root.issuer = s.root.subject.clone();
    let mut above = s.root.subject.clone();
    for (at, ca) in s.upper.iter_mut().enumerate() {
        ca.issuer = std::mem::replace(&mut above, named(format!("Upper {at}")));
        ca.subject = above.clone();
    }
    s.ica.issuer = above;
    s.ica.subject = named("ICA".into());
    s.leaf.issuer = s.ica.subject.clone();
    s.leaf.subject = named("client".into());
}

fn host(random: &mut Random) -> String {
    const LABELS: [&str; 5] = ["a", "b", "A", "ab", "test"];
    let labels: Vec<&str> = (0..1 + random.below(3)).map(|_| LABELS[random.below(LABELS.len())]).collect();
    labels.join(".")
}

/// A constraint and a name of one form, from so few labels that they often meet.
fn random_names(random: &mut Random, form: usize) -> (Vec<u8>, Vec<u8>) {
    let octet = |random: &mut Random| if random.below(2) == 0 { 10 } else { 11 };
    match form {
        0 => (dns(&host(random)), dns(&host(random))),
        1 => {
            let base = match random.below(3) {
                0 => format!("x@{}", host(random)),
                1 => format!(".{}", host(random)),
                _ => host(random),
            };
            (email(&base), email(&format!("x@{}", host(random))))
        }
        2 => {
            let dot = if random.below(2) == 0 { "." } else { "" };
            (uri(&format!("{dot}{}", host(random))), uri(&format!("https://{}/x", host(random))))
        }
        3 => {
            let network: Vec<u8> = (0..4).map(|_| octet(random)).collect();
            let bits = random.below(33);
            let mask = (u64::from(u32::MAX) << (32 - bits)) as u32;
            let mask = mask.to_be_bytes();
            let base: Vec<u8> = network.iter().zip(mask).map(|(octet, mask)| octet & mask).collect();
            (ip(&[base, mask.to_vec()].concat()), ip(&(0..4).map(|_| octet(random)).collect::<Vec<_>>()))
        }
        _ => {
            let rdns = |random: &mut Random| {
                let all = ["O=a", "O=A", "OU=a", "CN=b"];
                let list: Vec<&str> = (0..1 + random.below(3)).map(|_| all[random.below(all.len())]).collect();
                directory(&list.join(","))
            };
            (rdns(random), rdns(random))
        }
    }
}

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (what, permitted, excluded, names) in cases() {
        rows.push(row(format!("constraints: {what}"), move |s| {
            rename(s);
            constrain(s, &permitted, &excluded);
            s.leaf.set(ext::names(&names));
        }));
    }
    for (form, what) in ["DNS", "mail", "URI", "address", "directory"].into_iter().enumerate() {
        for _ in 0..3 {
            rows.push(row(format!("constraints: {what} permitted at random"), move |s| {
                let (base, name) = random_names(&mut s.random, form);
                s.leaf.set(ext::names(&[name]));
                // Directory constraints hold for subjects too: those below the CA in question stay free of them.
                s.ica.set(ext::constraints(&permitted_with(base, form, &s.leaf.subject), &[]));
            }));
            rows.push(row(format!("constraints: {what} excluded at random"), move |s| {
                let (base, name) = random_names(&mut s.random, form);
                s.leaf.set(ext::names(&[name]));
                constrain(s, &[], &[base]);
            }));
        }
    }
    rows.extend([
        row("constraints: subject's mail permitted", |s| {
            s.leaf.subject = name("E=x@a.example,CN=a");
            constrain(s, &[email("a.example")], &[]);
            s.leaf.set(ext::names(&[dns("client.example")]));
        }),
        row("constraints: subject's mail not permitted", |s| {
            s.leaf.subject = name("E=x@b.example,CN=a");
            constrain(s, &[email("a.example")], &[]);
        }),
        row("constraints: subject's mail not permitted, no names", |s| {
            s.leaf.subject = name("E=x@b.example,CN=a");
            s.leaf.remove(ext::SUBJECT_ALT_NAME);
            constrain(s, &[email("a.example")], &[]);
        }),
        row("constraints: subject's mail excluded", |s| {
            s.leaf.subject = name("E=x@a.example,CN=a");
            constrain(s, &[], &[email("a.example")]);
        }),
        row("constraints: common name like a host, not permitted", |s| {
            s.leaf.subject = name("CN=b.example");
            s.leaf.remove(ext::SUBJECT_ALT_NAME);
            constrain(s, &[dns("a.example")], &[]);
        }),
        row("constraints: common name like a host, excluded", |s| {
            s.leaf.subject = name("CN=a.example");
            s.leaf.remove(ext::SUBJECT_ALT_NAME);
            constrain(s, &[], &[dns("a.example")]);
        }),
        row("constraints: empty subject", |s| {
            s.leaf.subject = name("");
            let (oid, _, value) = ext::names(&[dns("client.example")]);
            s.leaf.set((oid, true, value));
            constrain(s, &[], &[directory("O=x")]);
        }),
        row("constraints: not critical", |s| {
            let (oid, _, value) = ext::constraints(&[dns("a.example")], &[]);
            s.ca().set((oid, false, value));
        }),
        row("constraints: not critical and kept", |s| {
            let (oid, _, value) = ext::constraints(&[dns("client.example")], &[]);
            s.ca().set((oid, false, value));
        }),
        row("constraints: empty", |s| s.ca().set(ext::any(ext::NAME_CONSTRAINTS, true, seq(&[])))),
        row("constraints: malformed", |s| s.ca().set(ext::any(ext::NAME_CONSTRAINTS, true, int(1)))),
        row("constraints: with a minimum", |s| {
            let subtree = seq(&[dns("client.example"), implicit(0, [1])]);
            s.ca().set(ext::any(ext::NAME_CONSTRAINTS, true, seq(&[context(0, subtree)])));
        }),
        row("constraints: with a maximum", |s| {
            let subtree = seq(&[dns("client.example"), implicit(1, [1])]);
            s.ca().set(ext::any(ext::NAME_CONSTRAINTS, true, seq(&[context(0, subtree)])));
        }),
        row("constraints of the anchor broken", |s| s.root.set(ext::constraints(&[dns("other.example")], &[]))),
        row("constraints of the anchor kept", |s| s.root.set(ext::constraints(&[dns("client.example")], &[]))),
        row("constraints: a CA's own name excluded by the one above", |s| {
            rename(s);
            let base = context(4, s.ica.subject.clone());
            s.root.set(ext::constraints(&[], &[base]));
        }),
        row("constraints: a self-issued CA's own name excluded", |s| {
            rename(s);
            let base = context(4, s.ica.subject.clone());
            s.ica.set(ext::constraints(&[], &[base]));
            s.roll_over();
        }),
        row("constraints: permitted twice over, met once", |s| {
            s.root.set(ext::constraints(&[dns("example")], &[]));
            s.ica.set(ext::constraints(&[dns("other")], &[]));
        }),
        row("constraints: permitted twice over, met both times", |s| {
            s.root.set(ext::constraints(&[dns("example")], &[]));
            s.ica.set(ext::constraints(&[dns("client.example")], &[]));
        }),
    ]);
    rows
}

/// The permitted subtrees of a random case; directory names permit the leaf's subject beside.
fn permitted_with(base: Vec<u8>, form: usize, subject: &[u8]) -> Vec<Vec<u8>> {
    if form == 4 { vec![base, context(4, subject)] } else { vec![base] }
}
