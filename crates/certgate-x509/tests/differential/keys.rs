//! A small pool of keys, made once for the process, and signatures made once for each draft.
//!
//! Drafts that are equal come out as the same octets, also with ECDSA, so that chains which share a CA share its
//! certificate.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use aws_lc_rs::signature as lc;

use crate::der::{Draft, SigningKey};
use crate::status::CrlDraft;

/// Keys of each algorithm. RSA has one: it is slow to make.
const EACH: usize = 8;

/// What a key is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Ed25519,
    P256,
    P384,
    Rsa,
}

impl Algorithm {
    pub const ALL: [Self; 4] = [Self::Ed25519, Self::P256, Self::P384, Self::Rsa];
}

/// A key of the pool. No two places of one chain share a number.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId {
    pub algorithm: Algorithm,
    pub number: usize,
}

impl KeyId {
    /// The key.
    pub fn key(self) -> &'static SigningKey {
        static POOL: OnceLock<HashMap<KeyId, SigningKey>> = OnceLock::new();
        let id = Self { number: if self.algorithm == Algorithm::Rsa { 0 } else { self.number }, ..self };
        let pool = POOL.get_or_init(|| {
            let all = Algorithm::ALL.into_iter().flat_map(|algorithm| {
                let count = if algorithm == Algorithm::Rsa { 1 } else { EACH };
                (0..count).map(move |number| Self { algorithm, number })
            });
            all.map(|id| (id, id.generate())).collect()
        });
        &pool[&id]
    }

    fn generate(self) -> SigningKey {
        match self.algorithm {
            Algorithm::Ed25519 => SigningKey::ed25519(),
            Algorithm::P256 => SigningKey::p256(),
            Algorithm::P384 => {
                SigningKey::ec(&lc::ECDSA_P384_SHA384_ASN1_SIGNING, "1.3.132.0.34", "1.2.840.10045.4.3.3")
            }
            Algorithm::Rsa => SigningKey::rsa(),
        }
    }

    /// The key identifier that certificates of this key carry.
    pub fn identifier(self) -> Vec<u8> {
        let algorithm = Algorithm::ALL.iter().position(|one| *one == self.algorithm).unwrap_or_default();
        vec![u8::try_from(algorithm * EACH + self.number + 1).unwrap(); 20]
    }
}

type Signed<T> = OnceLock<Mutex<HashMap<(T, KeyId), Vec<u8>>>>;

/// The draft as DER, signed once.
pub fn certificate(draft: &Draft, signer: KeyId) -> Vec<u8> {
    static MADE: Signed<Draft> = OnceLock::new();
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    made.entry((draft.clone(), signer)).or_insert_with(|| draft.der(signer.key())).clone()
}

/// The CRL as DER, signed once.
pub fn crl(draft: &CrlDraft, signer: KeyId) -> Vec<u8> {
    static MADE: Signed<CrlDraft> = OnceLock::new();
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    made.entry((draft.clone(), signer)).or_insert_with(|| draft.der(signer.key())).clone()
}
