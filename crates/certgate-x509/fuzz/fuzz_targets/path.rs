//! Path building and validation over arbitrary graphs of certificates, with real signatures.
//!
//! The input is a program that makes up to 48 certificates of few names and few keys; which of them are anchors,
//! intermediates of the profile or presented, is chosen too. Each certificate remembers what it was made from, so that
//! whether a link holds is known without a parser or a signature check. What is accepted must hold link by link, and in
//! small graphs what holds must be accepted.
#![no_main]

use certgate_x509::{find_path, Certificate, DEFAULT_MAX_PATH_LENGTH, PathParameters, PolicyParameters, Pool, NoTrace};
use certgate_testing::der;
mod limit;
mod program;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use der::{Draft, NOW, SigningKey, dns, ext};
use libfuzzer_sys::fuzz_target;
use program::Program;

const MOST: usize = 48;

/// Graphs of so many certificates are searched a second time, plainly. They are far below every budget.
const SMALL: usize = 6;

const NAMES: [&str; 6] = ["CN=A", "CN=B", "CN=C", "CN=a", "CN=D", "CN=E"];
/// Which of the names are equal (RFC 5280 section 7.1: case does not count).
const SAME: [usize; 6] = [0, 1, 2, 0, 4, 5];

static KEYS: LazyLock<[SigningKey; 5]> =
    LazyLock::new(|| [SigningKey::ed25519(), SigningKey::ed25519(), SigningKey::ed25519(), SigningKey::ed25519(), SigningKey::p256()]);

fuzz_target!(|input: &[u8]| run(input));

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Role {
    Anchor,
    Intermediate,
    Presented,
}

/// What a certificate was made from.
#[derive(Clone, Debug)]
struct Made {
    role: Role,
    subject: usize,
    issuer: usize,
    key: usize,
    signer: usize,
    forged: bool,
    expired: bool,
    is_ca: bool,
    path_len: Option<u8>,
    may_sign: bool,
    unknown_critical: bool,
    for_clients: bool,
    /// Policies, mappings and name constraints: not judged here.
    more: bool,
}

impl Made {
    fn read(program: &mut Program<'_>) -> Self {
        let role = [Role::Presented, Role::Intermediate, Role::Presented, Role::Anchor][program.below(4)];
        let (subject, issuer) = (program.below(NAMES.len()), program.below(NAMES.len()));
        let (key, signer) = (program.below(KEYS.len()), program.below(KEYS.len()));
        let flaws = program.below(256);
        let limits = program.below(256);
        Self {
            role,
            subject,
            issuer,
            key,
            signer,
            // Most have one flaw at most.
            forged: flaws % 16 == 1,
            expired: flaws % 16 == 2,
            is_ca: flaws % 16 != 3,
            may_sign: flaws % 16 != 4,
            unknown_critical: flaws % 16 == 5,
            for_clients: flaws % 16 != 6,
            path_len: (limits % 4 == 1).then_some(u8::try_from(limits / 4 % 4).unwrap_or(0)),
            more: limits % 8 == 6,
        }
    }

    fn draft(&self, program: &mut Program<'_>) -> Draft {
        let mut draft = Draft::ca(NAMES[self.subject], NAMES[self.issuer], &KEYS[self.key]);
        draft.set(if self.is_ca { ext::ca(self.path_len) } else { ext::not_ca() });
        if !self.may_sign {
            draft.set(ext::key_usage(&[0, 6]));
        }
        if !self.for_clients {
            draft.set(ext::purposes(&[ext::SERVER_AUTH]));
        }
        self.flaws(draft, program)
    }

    fn flaws(&self, mut draft: Draft, program: &mut Program<'_>) -> Draft {
        draft.forged = self.forged;
        if self.expired {
            draft.valid(NOW.minus(9), NOW.minus(1));
        }
        if self.unknown_critical {
            draft.set(ext::any("1.2.3", true, vec![]));
        }
        // Key identifiers are hints, right or wrong.
        match program.below(4) {
            1 => draft.set(ext::authority_key(&[u8::try_from(self.signer).unwrap_or(0)])),
            2 => draft.set(ext::subject_key(&[u8::try_from(self.key).unwrap_or(0)])),
            _ => {}
        }
        if self.more {
            more(&mut draft, program);
        }
        draft
    }
}

fn more(draft: &mut Draft, program: &mut Program<'_>) {
    const POLICIES: [&str; 4] = ["1.2.3.1", "1.2.3.2", "1.2.3.3", ext::ANY_POLICY];
    let policy = |program: &mut Program<'_>, end| POLICIES[program.below(end)];
    match program.below(6) {
        0 => draft.set(ext::policies(&[policy(program, 4)])),
        1 => draft.set(ext::mappings(&[(policy(program, 3), policy(program, 3))])),
        2 => draft.set(ext::policy_constraints(Some(u8::try_from(program.below(4)).unwrap_or(0)), None)),
        3 => draft.set(ext::inhibit_any_policy(u8::try_from(program.below(4)).unwrap_or(0))),
        4 => draft.set(ext::constraints(&[dns("example")], &[])),
        _ => draft.set(ext::constraints(&[], &[dns("client.example")])),
    }
}

fn run(input: &[u8]) {
    let program = &mut Program::new(input);
    let mut leaf = Made::read(program);
    leaf.is_ca = program.below(64) == 63;
    let mut draft = Draft::client(NAMES[leaf.subject], NAMES[leaf.issuer], &KEYS[leaf.key]);
    if leaf.is_ca {
        draft.set(ext::ca(leaf.path_len));
    }
    if !leaf.for_clients {
        draft.set(ext::purposes(&[ext::SERVER_AUTH]));
    }
    let explicit = program.below(8) == 7;
    let leaf_certificate = leaf.flaws(draft, program).sign(&KEYS[leaf.signer]);

    let mut made: Vec<(Made, Arc<Certificate>)> = Vec::new();
    for _ in 0..program.below(MOST + 1) {
        let one = Made::read(program);
        let certificate = one.draft(program).sign(&KEYS[one.signer]);
        made.push((one, certificate));
    }
    let of = |role: Role| {
        made.iter().filter(move |(one, _)| one.role == role).map(|(_, certificate)| Arc::clone(certificate))
    };
    let presented: Vec<_> = of(Role::Presented).collect();
    let policies = PolicyParameters { initial_explicit_policy: explicit, ..PolicyParameters::default() };
    let parameters = PathParameters { policies, ..PathParameters::default() };
    // The search alone counts, with nothing known of the pool; making and signing the graph is the target's own time.
    let found = limit::within_limit(|| {
        let pool = Pool::new(of(Role::Anchor), of(Role::Intermediate));
        find_path(&leaf_certificate, &presented, &pool, &parameters, NOW, &mut NoTrace, |_, _| Ok(()))
    });

    match found {
        Ok((found, ())) => {
            // Equal certificates were made alike, but for their roles; P-256 signatures differ, and with them all else.
            let mut known: HashMap<&[u8], Vec<&Made>> = HashMap::new();
            for (one, certificate) in &made {
                known.entry(certificate.der()).or_default().push(one);
            }
            let (first, above) = found.certificates().split_first().expect("a path is not empty");
            assert_eq!(first.der(), leaf_certificate.der(), "it begins with the leaf");
            let mut path = vec![&leaf];
            for (n, certificate) in above.iter().enumerate() {
                let is_last = n + 1 == above.len();
                let ones = known.get(certificate.der()).expect("one of those that there are");
                let one = ones.iter().find(|one| !is_last || one.role == Role::Anchor);
                path.push(*one.expect("the last one is an anchor"));
            }
            if let Err(why) = holds(&path) {
                panic!("accepted, and {why}: {path:#?}");
            }
        }
        Err(failure) => {
            assert!(!failure.path.is_empty() && !failure.explain().contains(char::is_control), "{failure:?}");
            let judged = !explicit && !leaf.more && made.iter().all(|(one, _)| !one.more);
            if judged && made.len() < SMALL {
                let all: Vec<&Made> = made.iter().map(|(one, _)| one).collect();
                if let Some(path) = plain_search(&mut vec![&leaf], &all) {
                    panic!("refused ({}), although there is a path: {path:#?}", failure.explain());
                }
            }
        }
    }
}

/// Whether a path holds, from what its certificates were made of: the leaf first, the anchor last.
fn holds(path: &[&Made]) -> Result<(), String> {
    let (anchor, below) = path.split_last().ok_or("it is empty")?;
    if anchor.role != Role::Anchor || below.is_empty() {
        return Err("it does not end with an anchor".into());
    }
    for (n, pair) in path.windows(2).enumerate() {
        if SAME[pair[0].issuer] != SAME[pair[1].subject] {
            return Err(format!("the names at {n} do not chain"));
        }
        if pair[0].signer != pair[1].key || pair[0].forged {
            return Err(format!("the signature at {n} is not by the key above"));
        }
    }
    if below.len() - 1 > DEFAULT_MAX_PATH_LENGTH as usize {
        return Err("it is too long".into());
    }
    let mut counted = 0;
    for (n, one) in below.iter().enumerate() {
        if one.expired || one.unknown_critical || !one.for_clients {
            return Err(format!("{n} is not fit"));
        }
        if n == 0 {
            if one.is_ca {
                return Err("the leaf is a CA".into());
            }
            continue;
        }
        if !one.is_ca || !one.may_sign {
            return Err(format!("{n} is not a CA that may sign"));
        }
        if one.path_len.is_some_and(|limit| counted > usize::from(limit)) {
            return Err(format!("{n} has too many below it"));
        }
        if SAME[one.subject] != SAME[one.issuer] {
            counted += 1;
        }
    }
    Ok(())
}

/// Tries everything.
fn plain_search<'a>(path: &mut Vec<&'a Made>, all: &[&'a Made]) -> Option<Vec<&'a Made>> {
    for candidate in all {
        if path.iter().any(|on_it| std::ptr::eq(*on_it, *candidate)) {
            continue;
        }
        path.push(*candidate);
        let found = if holds(path).is_ok() { Some(path.clone()) } else { plain_search(path, all) };
        path.pop();
        if found.is_some() {
            return found;
        }
    }
    None
}
