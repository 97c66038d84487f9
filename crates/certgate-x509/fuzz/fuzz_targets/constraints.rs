//! Name constraints: arbitrary subtrees against arbitrary names, through whole paths with real signatures.
//!
//! An anchor and an intermediate constrain, the leaf has the names. What is excluded is refused whatever is permitted,
//! and no constraint that is added lets a name through that was refused without it.
#![no_main]

use certgate_x509::{find_path, Certificate, GeneralName, Subtree, PathParameters, Pool, UsageRule, NoTrace};
use certgate_testing::der;
mod limit;
mod program;

use std::sync::{Arc, LazyLock};

use der::{Draft, NOW, SigningKey, context, directory, dns, email, ext, implicit, ip, name, other, upn, uri};
use libfuzzer_sys::fuzz_target;
use program::Program;

static ROOT: LazyLock<SigningKey> = LazyLock::new(SigningKey::ed25519);
static ICA: LazyLock<SigningKey> = LazyLock::new(SigningKey::ed25519);

/// Labels that make names meet.
const PARTS: [&str; 16] = [
    "example",
    ".",
    "com",
    "a",
    "b",
    "@",
    "*",
    "A",
    "EXAMPLE",
    "//",
    ":",
    "http",
    "a.example",
    "-",
    "_",
    "b@a.example",
];

fuzz_target!(|input: &[u8]| limit::within_limit(|| run(input)));

/// Bases of subtrees.
#[derive(Clone, Default)]
struct Constraints {
    permitted: Vec<Vec<u8>>,
    excluded: Vec<Vec<u8>>,
}

impl Constraints {
    fn read(program: &mut Program<'_>) -> Self {
        let mut list = || (0..program.below(5)).map(|_| general_name(program, true)).collect();
        Self { permitted: list(), excluded: list() }
    }

    /// Puts them into a draft of a CA.
    fn of(&self, draft: Draft) -> Draft {
        if self.permitted.is_empty() && self.excluded.is_empty() {
            return draft;
        }
        draft.with(ext::constraints(&self.permitted, &self.excluded))
    }

    fn and_excluded(&self, base: Vec<u8>) -> Self {
        let mut more = self.clone();
        more.excluded.push(base);
        more
    }
}

fn text(program: &mut Program<'_>) -> Vec<u8> {
    match program.below(4) {
        0 => program.octets(24).to_vec(),
        _ => {
            let parts = program.below(6);
            (0..parts).flat_map(|_| PARTS[program.below(PARTS.len())].bytes()).collect()
        }
    }
}

/// A name, or the base of a subtree.
fn general_name(program: &mut Program<'_>, is_base: bool) -> Vec<u8> {
    let as_text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
    match program.below(10) {
        0 | 1 => implicit(2, text(program)),
        2 => implicit(1, text(program)),
        3 => implicit(6, [b"http://".to_vec(), text(program)].concat()),
        4 => uri(&as_text(text(program))),
        5 => {
            let width = if program.below(4) == 0 { 16 } else { 4 };
            let mut octets: Vec<u8> = program.octets(width).to_vec();
            octets.resize(width, 0);
            if is_base {
                let prefix = program.below(width * 8 + 1);
                octets.extend((0..width).map(|n| match prefix.saturating_sub(n * 8) {
                    0 => 0,
                    bits => 0xff_u8 << (8 - bits.min(8)),
                }));
            }
            ip(&octets)
        }
        6 => {
            let attributes = ["O=a", "O=A", "CN=b", "OU=c+CN=d", "DC=example"];
            let count = program.below(4);
            let names: Vec<&str> = (0..count).map(|_| attributes[program.below(attributes.len())]).collect();
            directory(&names.join(","))
        }
        7 => upn(&as_text(text(program))),
        8 => other(["1.2.3", "1.3.6.1.5.5.7.8.9"][program.below(2)], &der::tlv(0x0c, text(program))),
        _ => [implicit(8, [42, 3]), context(3, []), context(5, []), implicit(2, b"")][program.below(4)].clone(),
    }
}

/// A subtree that holds the name, or at least one of those that it stands for.
fn around(found: &GeneralName) -> Option<Vec<u8>> {
    Some(match found {
        GeneralName::Dns(host) => dns(host.strip_prefix("*.").unwrap_or(host)),
        GeneralName::Email(mail) => email(mail),
        GeneralName::Ip(address) => match address {
            std::net::IpAddr::V4(address) => ip(&[address.octets(), [0xff; 4]].concat()),
            std::net::IpAddr::V6(address) => ip(&[address.octets(), [0xff; 16]].concat()),
        },
        GeneralName::DirectoryName(found) => context(4, found.der()),
        GeneralName::UserPrincipalName(name) => upn(name),
        GeneralName::Uri(_) => uri(""),
        GeneralName::Other { type_id, .. } => other(&type_id.to_string(), &der::tlv(0x0c, b"x")),
        GeneralName::RegisteredId(_) => implicit(8, [42, 3]),
        GeneralName::Unsupported { tag, .. } => context(tag & 0x1f, []),
    })
}

/// Whether a path from the leaf over the intermediate to the anchor is accepted.
fn accepts(anchor: &Arc<Certificate>, ica: &Arc<Certificate>, leaf: &Arc<Certificate>) -> bool {
    let pool = Pool::new([Arc::clone(anchor)], [Arc::clone(ica)]);
    let parameters = PathParameters { usage: UsageRule::Unchecked, ..PathParameters::default() };
    find_path(leaf, &[], &pool, &parameters, NOW, &mut NoTrace, |_, _| Ok(())).is_ok()
}

fn parsed(draft: &Draft, signer: &SigningKey) -> Option<Arc<Certificate>> {
    Certificate::from_der(draft.der(signer)).ok().map(Arc::new)
}

fn run(input: &[u8]) {
    let program = &mut Program::new(input);
    let names: Vec<Vec<u8>> = (0..program.below(4)).map(|_| general_name(program, false)).collect();
    let mut leaf = Draft::client("CN=client,O=a", "CN=ICA", &ROOT).with(ext::names(&names));
    if names.is_empty() {
        leaf.remove(ext::SUBJECT_ALT_NAME);
    }
    if program.below(4) == 0 {
        leaf.subject = name("emailAddress=b@a.example,O=a");
    }
    let (by_anchor, by_ica) = (Constraints::read(program), Constraints::read(program));
    let anchor = |constraints: &Constraints| parsed(&constraints.of(Draft::ca("CN=Root", "CN=Root", &ROOT)), &ROOT);
    let ica = |constraints: &Constraints| parsed(&constraints.of(Draft::ca("CN=ICA", "CN=Root", &ICA)), &ROOT);

    let Some(leaf) = parsed(&leaf, &ICA) else { return };
    let (Some(anchor_with), Some(ica_with)) = (anchor(&by_anchor), ica(&by_ica)) else { return };
    let none = Constraints::default();
    let (Some(anchor_without), Some(ica_without)) = (anchor(&none), ica(&none)) else { return };

    let accepted = accepts(&anchor_with, &ica_with, &leaf);
    if accepted {
        // Fewer constraints accept as well.
        assert!(accepts(&anchor_with, &ica_without, &leaf), "the intermediate's constraints let it through");
        assert!(accepts(&anchor_without, &ica_with, &leaf), "the anchor's constraints let it through");
        for constrainer in [&anchor_with, &ica_with] {
            plainly_within(constrainer, &leaf);
        }
    }
    // Excluded wins, for every name, wherever it stands.
    for base in leaf.subject_alt_names().iter().filter_map(around) {
        let stricter = ica(&by_ica.and_excluded(base.clone())).expect("one subtree more");
        assert!(!accepts(&anchor_without, &stricter, &leaf), "excluded by the intermediate, and accepted");
        let stricter = anchor(&by_anchor.and_excluded(base)).expect("one subtree more");
        assert!(!accepts(&stricter, &ica_without, &leaf), "excluded by the anchor, and accepted");
    }
    let subject = context(4, leaf.subject().der());
    let stricter = anchor(&by_anchor.and_excluded(subject)).expect("one subtree more");
    assert!(!accepts(&stricter, &ica_without, &leaf), "the subject is excluded, and accepted");
    // A constraint more refuses what was refused.
    if !accepted && program.below(2) == 0 {
        let base = general_name(program, true);
        let Some(stricter) = ica(&by_ica.and_excluded(base)) else { return };
        assert!(!accepts(&anchor_with, &stricter, &leaf), "one more exclusion lets it through");
    }
}

/// RFC 5280 4.2.1.10 said once more, for DNS names and addresses, of names that were accepted.
fn plainly_within(constrainer: &Certificate, leaf: &Certificate) {
    let Some(constraints) = constrainer.name_constraints() else { return };
    let lower = |text: &str| text.to_ascii_lowercase();
    for found in leaf.subject_alt_names() {
        let within = |subtree: &Subtree| match (found, subtree) {
            (GeneralName::Dns(host), Subtree::Dns(base)) => {
                let (host, base) = (lower(host.strip_prefix("*.").unwrap_or(host)), lower(base));
                Some(base.is_empty() || host == base || host.ends_with(&format!(".{base}")))
            }
            (GeneralName::Ip(address), Subtree::Ip { address: base, prefix }) => {
                let octets = |address: &std::net::IpAddr| match address {
                    std::net::IpAddr::V4(address) => address.octets().to_vec(),
                    std::net::IpAddr::V6(address) => address.octets().to_vec(),
                };
                let (left, right) = (octets(address), octets(base));
                let bit = |octets: &[u8], n: usize| octets[n / 8] >> (7 - n % 8) & 1;
                let same = left.len() == right.len();
                Some(same && (0..usize::from(*prefix)).all(|n| bit(&left, n) == bit(&right, n)))
            }
            _ => None,
        };
        let permitted: Vec<bool> = constraints.permitted().iter().filter_map(within).collect();
        assert!(permitted.is_empty() || permitted.contains(&true), "{found} is in no permitted subtree");
        assert!(!constraints.excluded().iter().filter_map(within).any(|inside| inside), "{found} is excluded");
    }
}
