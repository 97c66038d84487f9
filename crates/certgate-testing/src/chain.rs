//! A chain of root, intermediate and leaf; tests change one thing in it.

use certgate_x509::{Certificate, ErrorKind, LeafRule, NoTrace, PathParameters, Pool, find_path};
use std::sync::Arc;

use crate::der::{Draft, Extension, NOW, SigningKey, bits, dns, ext, oid, seq, tag, tlv, uri};

/// Seconds in a day.
pub const DAY: i64 = 86_400;

/// Root, intermediate and leaf before they are signed, and the path parameters.
pub struct Chain {
    pub root: Draft,
    pub ica: Draft,
    pub leaf: Draft,
    pub root_key: SigningKey,
    pub ica_key: SigningKey,
    pub parameters: PathParameters,
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// A chain that is valid at [`NOW`] for a TLS client.
    pub fn new() -> Self {
        let (root_key, ica_key, leaf_key) = (SigningKey::ed25519(), SigningKey::ed25519(), SigningKey::ed25519());
        Self {
            root: Draft::ca("CN=Root", "CN=Root", &root_key),
            ica: Draft::ca("CN=ICA,O=Contoso", "CN=Root", &ica_key),
            leaf: Draft::client("CN=client,O=Contoso", "CN=ICA,O=Contoso", &leaf_key),
            root_key,
            ica_key,
            parameters: PathParameters::default(),
        }
    }

    /// Gives the intermediate another key.
    pub fn set_ica_key(&mut self, key: SigningKey) {
        self.ica.spki = key.spki();
        self.ica_key = key;
    }

    /// Leaf, intermediate, root: encoded and signed.
    pub fn der(&self) -> [Vec<u8>; 3] {
        [self.leaf.der(&self.ica_key), self.ica.der(&self.root_key), self.root.der(&self.root_key)]
    }

    /// Leaf, intermediate, root: signed and parsed.
    pub fn signed(&self) -> [Arc<Certificate>; 3] {
        [self.leaf.sign(&self.ica_key), self.ica.sign(&self.root_key), self.root.sign(&self.root_key)]
    }

    /// The engine's result, with the root as the anchor.
    pub fn judge(&self) -> Result<(), ErrorKind> {
        let [leaf, ica, root] = self.signed();
        let pool = Pool::new([root], []);
        let found = find_path(&leaf, &[ica], &pool, &self.parameters, NOW, &mut NoTrace, |_, _| Ok(()));
        found.map(drop).map_err(|failure| failure.kind())
    }
}

/// An RSA public key whose private key does not exist.
pub fn rsa_spki(size: usize) -> Vec<u8> {
    let modulus = [&[0][..], &vec![0xff; size / 8]].concat();
    let key = seq(&[tlv(tag::INTEGER, modulus), tlv(tag::INTEGER, [1, 0, 1])]);
    seq(&[seq(&[oid("1.2.840.113549.1.1.1"), tlv(tag::NULL, [])]), bits(&key)])
}

/// authorityInfoAccess, critical.
pub fn critical_access() -> Extension {
    let access = seq(&[seq(&[oid("1.3.6.1.5.5.7.48.2"), uri("http://a.example/")])]);
    ext::any("1.3.6.1.5.5.7.1.1", true, access)
}

/// A DNS name, critical.
pub fn critical_names() -> Extension {
    let (oid, _, value) = ext::names(&[dns("a.example")]);
    (oid, true, value)
}

/// Lets any certificate be a leaf.
pub fn any_leaf(chain: &mut Chain) {
    chain.parameters.leaf = LeafRule::AnyCertificate;
}

/// A common name in a BMPString.
pub fn bmp_name(text: &str) -> Vec<u8> {
    let value: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    seq(&[tlv(tag::SET, seq(&[oid("2.5.4.3"), tlv(tag::BMP_STRING, value)]))])
}
