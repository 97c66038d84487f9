//! A chain of certificates, drawn from a seed, that is valid for a TLS client at [`NOW`], to change one thing in.

use certgate_x509::PolicyParameters;

use crate::der::{Draft, NOW, context, dns, email, ext, implicit, oid, seq, tag, time, tlv, uri};
use crate::keys::{self, Algorithm, KeyId};
use crate::mutate::Random;
use crate::status::{CrlDraft, id};

pub const DAY: i64 = 86_400;

/// Which certificate's octets to edit after it is signed.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Place {
    Leaf,
    Ica,
}

/// A change to octets.
pub type Edit = fn(&mut Vec<u8>, &mut Random);

/// Everything that one verdict hangs on.
pub struct Scene {
    pub root: Draft,
    /// Intermediates between `root` and `ica`, the highest first.
    pub upper: Vec<Draft>,
    pub ica: Draft,
    pub leaf: Draft,
    pub root_key: KeyId,
    pub upper_keys: Vec<KeyId>,
    pub ica_key: KeyId,
    pub leaf_key: KeyId,
    /// Whether the client sends `ica`.
    pub sends_ica: bool,
    /// Certificates sent besides, with who signs them.
    pub more: Vec<(Draft, KeyId)>,
    /// Anchors besides the root.
    pub more_anchors: Vec<(Draft, KeyId)>,
    /// None: revocation is not asked about.
    pub crls: Vec<(CrlDraft, KeyId)>,
    pub policies: PolicyParameters,
    pub edit: Option<(Place, Edit)>,
    pub random: Random,
    algorithms: [Algorithm; 8],
}

/// The octets that verifiers get.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Inputs {
    pub anchors: Vec<Vec<u8>>,
    pub untrusted: Vec<Vec<u8>>,
    pub crls: Vec<Vec<u8>>,
    /// Dotted identifiers; none: any.
    pub initial_policies: Vec<String>,
    pub explicit_policy: bool,
    pub inhibit_mapping: bool,
    pub inhibit_any: bool,
}

impl Inputs {
    /// The inputs of RFC 5280 section 6.1.1 about policies.
    pub fn policies(&self) -> PolicyParameters {
        PolicyParameters {
            initial_policy_set: self.initial_policies.iter().map(|policy| policy.parse().unwrap()).collect(),
            initial_explicit_policy: self.explicit_policy,
            initial_policy_mapping_inhibit: self.inhibit_mapping,
            initial_inhibit_any_policy: self.inhibit_any,
        }
    }
}

/// A name of one string type.
pub fn typed_name(attributes: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let rdns = attributes.iter().map(|(ty, tag, text)| tlv(tag::SET, seq(&[oid(ty), tlv(*tag, text)])));
    seq(&rdns.collect::<Vec<_>>())
}

pub const CN: &str = "2.5.4.3";
pub const O: &str = "2.5.4.10";
pub const C: &str = "2.5.4.6";

/// The name of a place of the chain, in one of four styles.
fn place_name(style: u64, place: &str) -> Vec<u8> {
    let utf8 = tag::UTF8_STRING;
    let place = place.as_bytes();
    match style {
        0 => typed_name(&[(O, utf8, b"Contoso"), (CN, utf8, place)]),
        1 => typed_name(&[(C, 0x13, b"DE"), (O, 0x13, b"Contoso"), (CN, 0x13, place)]),
        2 => typed_name(&[(O, utf8, b"Contoso"), ("2.5.4.11", utf8, "Schlüssel".as_bytes()), (CN, utf8, place)]),
        _ => typed_name(&[("0.9.2342.19200300.100.1.25", 0x16, b"example"), (O, utf8, b"Contoso"), (CN, utf8, place)]),
    }
}

impl Scene {
    /// The chain of a seed. Seed 0 is the plainest: Ed25519, one intermediate, nothing beside what is needed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let plain = seed == 0;
        let mut rsa_is_free = true;
        let algorithms = std::array::from_fn(|_| {
            let choice = if plain { Algorithm::Ed25519 } else { Algorithm::ALL[random.below(4)] };
            // There is one RSA key, and no two places share a key.
            match choice {
                Algorithm::Rsa if !std::mem::replace(&mut rsa_is_free, false) => Algorithm::P256,
                choice => choice,
            }
        });
        let key = |number: usize| KeyId { algorithm: algorithms[number], number };
        let style = random.number() % 4;
        let depth = if plain { 0 } else { random.below(3) };
        let (root_key, ica_key, leaf_key) = (key(0), key(1), key(2));
        let upper_keys: Vec<KeyId> = (0..depth).map(|at| key(3 + at)).collect();

        let ca = |subject: &str, issuer: &str, own: KeyId, signer: KeyId, random: &mut Random| {
            let mut draft = Draft::ca("CN=x", "CN=x", own.key());
            draft.subject = place_name(style, subject);
            draft.issuer = place_name(style, issuer);
            draft.set(ext::subject_key(&own.identifier()));
            draft.set(ext::authority_key(&signer.identifier()));
            draft.serial = serial(random);
            draft.validity = validity(plain, random);
            draft
        };
        let root = ca("Root", "Root", root_key, root_key, &mut random);
        let mut upper = Vec::new();
        let mut above = ("Root".to_owned(), root_key);
        for (at, own) in upper_keys.iter().enumerate() {
            let subject = format!("Upper {at}");
            upper.push(ca(&subject, &above.0, *own, above.1, &mut random));
            above = (subject, *own);
        }
        let mut ica = ca("ICA", &above.0, ica_key, above.1, &mut random);
        let mut leaf = Draft::client("CN=x", "CN=x", leaf_key.key());
        leaf.subject = place_name(style, "client");
        leaf.issuer = ica.subject.clone();
        leaf.set(ext::authority_key(&ica_key.identifier()));
        leaf.serial = serial(&mut random);
        leaf.validity = validity(plain, &mut random);
        if !plain {
            adorn(&mut upper, &mut ica, &mut leaf, &mut random);
        }
        Self {
            root,
            upper,
            ica,
            leaf,
            root_key,
            upper_keys,
            ica_key,
            leaf_key,
            sends_ica: true,
            more: Vec::new(),
            more_anchors: Vec::new(),
            crls: Vec::new(),
            policies: PolicyParameters::default(),
            edit: None,
            random,
            algorithms,
        }
    }

    /// Any intermediate.
    pub fn ca(&mut self) -> &mut Draft {
        let at = self.random.below(self.upper.len() + 1);
        match self.upper.get_mut(at) {
            Some(draft) => draft,
            None => &mut self.ica,
        }
    }

    /// One of three keys that are none of the chain's.
    pub fn spare(&self, number: usize) -> KeyId {
        assert!(number < 3, "the pool has three spare keys");
        KeyId { algorithm: self.algorithms[5 + number], number: 5 + number }
    }

    /// Who signs the intermediate.
    pub fn ica_signer(&self) -> KeyId {
        self.upper_keys.last().copied().unwrap_or(self.root_key)
    }

    /// Gives every CA a CRL that lists nobody, and asks for revocation. The last is the one that speaks of the leaf.
    pub fn add_crls(&mut self) {
        let cas = std::iter::once((&self.root, self.root_key))
            .chain(self.upper.iter().zip(self.upper_keys.iter().copied()))
            .chain([(&self.ica, self.ica_key)]);
        let crls = cas.map(|(ca, key)| (crl(&ca.subject, key), key)).collect();
        self.crls = crls;
    }

    /// The CRL that speaks of the leaf.
    pub fn crl(&mut self) -> &mut CrlDraft {
        if self.crls.is_empty() {
            self.add_crls();
        }
        &mut self.crls.last_mut().unwrap().0
    }

    /// Lists the leaf in its CRL.
    pub fn revoke(&mut self, reason: Option<u8>) {
        let serial = self.leaf.serial.clone();
        let crl = self.crl();
        *crl = crl.clone().lists(&serial, reason);
    }

    /// A certificate like the intermediate, by another signer.
    pub fn cross_sign(&self, issuer: &[u8], signer: KeyId) -> (Draft, KeyId) {
        let mut cross = self.ica.clone();
        cross.issuer = issuer.to_vec();
        cross.set(ext::authority_key(&signer.identifier()));
        cross.serial = vec![0x33, 0x44];
        (cross, signer)
    }

    /// Puts a self-issued certificate with a new key between the intermediate and the leaf.
    pub fn roll_over(&mut self) {
        let new = self.spare(2);
        let mut rollover = self.ica.clone();
        rollover.issuer = self.ica.subject.clone();
        rollover.spki = new.key().spki();
        rollover.set(ext::subject_key(&new.identifier()));
        rollover.set(ext::authority_key(&self.ica_key.identifier()));
        rollover.serial = vec![0x46];
        self.more.push((self.ica.clone(), self.ica_signer()));
        self.more.push((rollover, self.ica_key));
        self.sends_ica = false;
        self.leaf.set(ext::authority_key(&new.identifier()));
        self.ica_key = new;
    }

    /// A root of another name and key.
    pub fn other_root(&self, text: &str, number: usize) -> (Draft, KeyId) {
        let key = self.spare(number);
        let mut root = self.root.clone();
        root.subject = typed_name(&[(CN, tag::UTF8_STRING, text.as_bytes())]);
        root.issuer = root.subject.clone();
        root.spki = key.key().spki();
        root.set(ext::subject_key(&key.identifier()));
        root.set(ext::authority_key(&key.identifier()));
        (root, key)
    }

    /// The leaf, and what it is judged by.
    pub fn build(&mut self) -> (Vec<u8>, Inputs) {
        let mut leaf = keys::certificate(&self.leaf, self.ica_key);
        let mut ica = keys::certificate(&self.ica, self.ica_signer());
        match self.edit {
            Some((Place::Leaf, edit)) => edit(&mut leaf, &mut self.random),
            Some((Place::Ica, edit)) => edit(&mut ica, &mut self.random),
            None => {}
        }
        let signed = |list: &[(Draft, KeyId)]| -> Vec<Vec<u8>> {
            list.iter().map(|(draft, signer)| keys::certificate(draft, *signer)).collect()
        };
        let mut untrusted = if self.sends_ica { vec![ica] } else { Vec::new() };
        let signers = std::iter::once(self.root_key).chain(self.upper_keys.iter().copied());
        untrusted.extend(self.upper.iter().zip(signers).map(|(draft, signer)| keys::certificate(draft, signer)));
        untrusted.extend(signed(&self.more));
        let mut anchors = vec![keys::certificate(&self.root, self.root_key)];
        anchors.extend(signed(&self.more_anchors));
        let inputs = Inputs {
            anchors,
            untrusted,
            crls: self.crls.iter().map(|(draft, signer)| keys::crl(draft, *signer)).collect(),
            initial_policies: self.policies.initial_policy_set.iter().map(ToString::to_string).collect(),
            explicit_policy: self.policies.initial_explicit_policy,
            inhibit_mapping: self.policies.initial_policy_mapping_inhibit,
            inhibit_any: self.policies.initial_inhibit_any_policy,
        };
        (leaf, inputs)
    }
}

/// A complete CRL that lists nobody.
pub fn crl(issuer: &[u8], key: KeyId) -> CrlDraft {
    let mut draft = CrlDraft::new("CN=x");
    draft.issuer = issuer.to_vec();
    draft.with((id::AUTHORITY_KEY_IDENTIFIER.to_owned(), false, seq(&[implicit(0, key.identifier())])))
}

/// Content octets of a serial number: 1 to 20, positive, minimal.
fn serial(random: &mut Random) -> Vec<u8> {
    let length = 2 + random.below(19);
    let mut octets: Vec<u8> = (0..length).map(|_| random.number().to_le_bytes()[0]).collect();
    octets[0] = octets[0] & 0x7f | 1;
    octets
}

fn validity(plain: bool, random: &mut Random) -> Vec<u8> {
    let days = |random: &mut Random| if plain { 1 } else { 1 + i64::try_from(random.below(9_000)).unwrap() };
    let (before, after) = (NOW.minus(DAY * days(random)), NOW.plus(DAY * days(random)));
    seq(&[time(before), time(after)])
}

/// What honest chains have besides, and what changes nothing.
fn adorn(upper: &mut [Draft], ica: &mut Draft, leaf: &mut Draft, random: &mut Random) {
    let above = upper.len();
    for (at, ca) in upper.iter_mut().chain([ica]).enumerate() {
        if random.below(3) == 0 {
            ca.set(ext::ca(Some(u8::try_from(above - at + random.below(2)).unwrap())));
        }
        if random.below(4) == 0 {
            ca.set(ext::purposes(&[ext::CLIENT_AUTH, ext::SERVER_AUTH]));
        }
        if random.below(4) == 0 {
            ca.set(ext::policies(&["1.2.3.1", "1.2.3.2"]));
        }
        if random.below(5) == 0 {
            ca.set(ext::any("1.2.3.4.5", false, vec![5, 0]));
        }
    }
    match random.below(4) {
        0 => leaf.set(ext::key_usage(&[0])),
        1 => leaf.set(ext::key_usage(&[0, 2])),
        2 => leaf.set(ext::not_ca()),
        _ => {}
    }
    let mut names = vec![dns("client.example")];
    if random.below(3) == 0 {
        names.push(email("client@contoso.example"));
    }
    if random.below(3) == 0 {
        names.push(uri("https://client.contoso.example/a"));
    }
    if random.below(4) == 0 {
        names.push(context(4, leaf.subject.clone()));
    }
    leaf.set(ext::names(&names));
    if random.below(3) == 0 {
        leaf.set(ext::policies(&["1.2.3.1"]));
    }
    if random.below(3) == 0 {
        leaf.set(ext::subject_key(&[random.number().to_le_bytes()[0]; 20]));
    }
}
