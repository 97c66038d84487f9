//! Properties: a random valid chain with one certificate tampered with is refused, and for what was done to it.

use certgate_x509::{ErrorKind, der::Reader, der::exactly};
use proptest::prelude::*;

use crate::der::{Draft, NOW, directory, dns, email, ext, ip, name, seq, tag, time, uri};
use crate::engine;
use crate::scene::{DAY, Inputs, Scene};
use crate::status::reason;

/// Chains to draw from.
const SEEDS: std::ops::Range<u64> = 0..2_000;

fn outcome((leaf, inputs): (Vec<u8>, Inputs)) -> Result<(), ErrorKind> {
    engine::judge(&inputs, &leaf).map_err(|(reason, _)| reason)
}

impl Scene {
    /// The certificates below the anchor.
    fn length(&self) -> usize {
        self.upper.len() + 2
    }

    /// The certificate of a place below the anchor, the leaf being 0.
    fn at(&mut self, place: usize) -> &mut Draft {
        match place % self.length() {
            0 => &mut self.leaf,
            1 => &mut self.ica,
            place => {
                let at = self.upper.len() + 1 - place;
                &mut self.upper[at]
            }
        }
    }

    /// An intermediate, or the anchor.
    fn authority(&mut self, place: usize) -> &mut Draft {
        match place % self.length() {
            0 => &mut self.root,
            place => self.at(place),
        }
    }
}

/// The octets of the certificate of a place below the anchor; what is sent is the lowest intermediate, then the others
/// from the highest.
fn octets_at<'a>(leaf: &'a mut Vec<u8>, inputs: &'a mut Inputs, place: usize) -> &'a mut Vec<u8> {
    let length = inputs.untrusted.len() + 1;
    match place % length {
        0 => leaf,
        1 => &mut inputs.untrusted[0],
        place => &mut inputs.untrusted[length - place],
    }
}

/// How many octets at the end of a certificate are its signature.
fn signature_length(der: &[u8]) -> usize {
    let mut fields = Reader::new(exactly(der, tag::SEQUENCE).unwrap().content);
    fields.any().unwrap();
    fields.any().unwrap();
    fields.bit_string_octets().unwrap().len()
}

/// Constraints that a leaf of the DNS name `client.example` breaks, whatever else it is called.
fn broken(choice: usize) -> crate::der::Extension {
    match choice % 5 {
        0 => ext::constraints(&[dns("other.example")], &[]),
        1 => ext::constraints(&[], &[dns("client.example")]),
        2 => ext::constraints(&[], &[dns("example")]),
        3 => ext::constraints(&[directory("O=Nobody")], &[]),
        _ => ext::constraints(&[dns("example")], &[dns("client.example")]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn untouched_chains_are_valid(seed in SEEDS, with_crls: bool) {
        let mut scene = Scene::new(seed);
        if with_crls {
            scene.add_crls();
        }
        prop_assert_eq!(outcome(scene.build()), Ok(()));
    }

    #[test]
    fn a_bit_of_any_signature(seed in SEEDS, place: usize, at: usize, bit in 0..8_u8) {
        let (mut leaf, mut inputs) = Scene::new(seed).build();
        let der = octets_at(&mut leaf, &mut inputs, place);
        let at = der.len() - 1 - at % signature_length(der);
        der[at] ^= 1 << bit;
        prop_assert_eq!(outcome((leaf, inputs)), Err(ErrorKind::Signature));
    }

    #[test]
    fn a_bit_of_any_certificate(seed in SEEDS, place: usize, at: usize, bit in 0..8_u8) {
        let (mut leaf, mut inputs) = Scene::new(seed).build();
        let der = octets_at(&mut leaf, &mut inputs, place);
        let at = at % der.len();
        der[at] ^= 1 << bit;
        prop_assert!(outcome((leaf, inputs)).is_err());
    }

    #[test]
    fn any_key(seed in SEEDS, place: usize) {
        let mut scene = Scene::new(seed);
        let other = scene.spare(0).key().spki();
        scene.authority(place).spki = other;
        prop_assert_eq!(outcome(scene.build()), Err(ErrorKind::Signature));
    }

    #[test]
    fn any_end(seed in SEEDS, place: usize, ago in 1..DAY * 9_000) {
        let mut scene = Scene::new(seed);
        let end = NOW.minus(ago);
        scene.at(place).validity = seq(&[time(end.minus(DAY)), time(end)]);
        prop_assert_eq!(outcome(scene.build()), Err(ErrorKind::Expired));
    }

    #[test]
    fn any_beginning(seed in SEEDS, place: usize, ahead in 1..DAY * 9_000) {
        let mut scene = Scene::new(seed);
        let beginning = NOW.plus(ahead);
        scene.at(place).validity = seq(&[time(beginning), time(beginning.plus(DAY))]);
        prop_assert_eq!(outcome(scene.build()), Err(ErrorKind::NotYetValid));
    }

    #[test]
    fn any_name(seed in SEEDS, place: usize, text in "[a-z]{1,20}", of_issuer: bool) {
        let mut scene = Scene::new(seed);
        let other = name(&format!("CN={text}"));
        if of_issuer {
            scene.at(place).issuer = other;
        } else {
            scene.authority(place).subject = other;
        }
        prop_assert_eq!(outcome(scene.build()), Err(ErrorKind::Untrusted));
    }

    #[test]
    fn any_name_constraint(seed in SEEDS, place: usize, choice: usize) {
        let mut scene = Scene::new(seed);
        scene.authority(place).set(broken(choice));
        prop_assert_eq!(outcome(scene.build()), Err(ErrorKind::NameConstraint));
    }

    #[test]
    fn any_form_of_name(seed in SEEDS, place: usize, form in 0..4_usize, permit: bool) {
        let (inside, outside) = match form {
            0 => (email("a.example"), email("x@b.example")),
            1 => (uri("a.example"), uri("https://b.example/")),
            2 => (ip(&[10, 0, 0, 0, 255, 0, 0, 0]), ip(&[11, 0, 0, 1])),
            _ => (dns("a.example"), dns("b.example")),
        };
        let within = [email("x@a.example"), uri("https://a.example/"), ip(&[10, 0, 0, 1]), dns("x.a.example")];
        let mut scene = Scene::new(seed);
        if permit {
            scene.authority(place).set(ext::constraints(&[inside], &[]));
            scene.leaf.set(ext::names(&[outside]));
        } else {
            scene.authority(place).set(ext::constraints(&[], &[inside]));
            scene.leaf.set(ext::names(&[within[form].clone()]));
        }
        prop_assert_eq!(outcome(scene.build()), Err(ErrorKind::NameConstraint));
    }

    #[test]
    fn any_basic_constraint(seed in SEEDS, place: usize, choice in 0..4_usize) {
        let mut scene = Scene::new(seed);
        let intermediates = scene.upper.len() + 1;
        let place = 1 + place % intermediates;
        let ca = scene.at(place);
        match choice {
            0 => ca.remove(ext::BASIC_CONSTRAINTS),
            1 => ca.set(ext::not_ca()),
            2 => ca.set(ext::key_usage(&[0, 6])),
            _ if place == 1 => ca.set(ext::not_ca()),
            // The intermediates below it: one fewer.
            _ => ca.set(ext::ca(Some(u8::try_from(place - 2).unwrap()))),
        }
        prop_assert_eq!(outcome(scene.build()), Err(ErrorKind::Untrusted));
    }

    #[test]
    fn any_purpose(seed in SEEDS, place: usize) {
        let mut scene = Scene::new(seed);
        scene.at(place).set(ext::purposes(&[ext::SERVER_AUTH]));
        prop_assert_eq!(outcome(scene.build()), Err(ErrorKind::KeyPurpose));
    }

    #[test]
    fn any_critical_extension(seed in SEEDS, place: usize) {
        let mut scene = Scene::new(seed);
        let want = if place % scene.length() == 0 { ErrorKind::Malformed } else { ErrorKind::Untrusted };
        scene.at(place).set(ext::any("1.2.3.4", true, vec![5, 0]));
        prop_assert_eq!(outcome(scene.build()), Err(want));
    }

    #[test]
    fn any_revocation(seed in SEEDS, place: usize, hold: bool) {
        let mut scene = Scene::new(seed);
        scene.add_crls();
        let serial = scene.at(place).serial.clone();
        let at = scene.crls.len() - 1 - place % scene.length();
        let code = if hold { reason::HOLD } else { reason::KEY_COMPROMISE };
        scene.crls[at].0 = scene.crls[at].0.clone().lists(&serial, Some(code));
        prop_assert_eq!(outcome(scene.build()), Err(ErrorKind::Revoked));
    }

    #[test]
    fn any_crl(seed in SEEDS, place: usize, choice in 0..3_usize) {
        let mut scene = Scene::new(seed);
        scene.add_crls();
        let at = place % scene.crls.len();
        let crl = &mut scene.crls[at].0;
        let want = match choice {
            0 => {
                *crl = crl.clone().dated(-DAY, Some(-1));
                ErrorKind::StatusStale
            }
            1 => {
                *crl = crl.clone().dated(1, Some(DAY));
                ErrorKind::StatusUnknown
            }
            _ => {
                crl.forged = true;
                ErrorKind::StatusUnknown
            }
        };
        prop_assert_eq!(outcome(scene.build()), Err(want));
    }
}
