//! The key of a remembered decision: everything that the decision reads, by a keyed hash.
//!
//! The texts of a request are hashed as they arrive, so a hit decodes nothing. The hash is GMAC, which is the universal
//! hash GHASH under a key that never leaves the process (NIST SP 800-38D, section 6.4): whoever does not know the key
//! finds two texts with one tag with a probability of their length in blocks over 2^128 for each try. Nobody outside
//! sees a tag, which is why a nonce may be used again here and nowhere else.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;

use crate::domain::decide::unique::UniqueId;

/// Octets of a tag.
const TAG: usize = 16;

/// Octets that a text adds: its place, its length and its tag.
const PART: usize = 1 + 8 + TAG;

/// Octets that are collected before they are hashed together.
const BUFFER: usize = 256;

/// What a tag is for. Each use has a nonce of its own.
#[derive(Copy, Clone)]
#[repr(u8)]
enum TagPurpose {
    Text = 1,
    Fold = 2,
    Key = 3,
}

/// Identifies what a decision reads.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CacheKey(u128);

/// The key is a hash already: tables take half of it.
impl std::hash::Hash for CacheKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0.to_ne_bytes();
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// Makes keys under a secret of this process.
pub struct KeyMaker(LessSafeKey);

impl std::fmt::Debug for KeyMaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyMaker")
    }
}

/// A key being made.
pub struct KeyBuilder<'a> {
    maker: &'a KeyMaker,
    buffer: [u8; BUFFER],
    used: usize,
}

impl Default for KeyMaker {
    /// # Panics
    /// When the system has no random octets.
    fn default() -> Self {
        let mut secret = [0; 32];
        rand::fill(&mut secret).expect("the system has random octets");
        let key = UnboundKey::new(&AES_256_GCM, &secret).expect("AES-256 takes a key of 32 octets");
        Self(LessSafeKey::new(key))
    }
}

impl KeyMaker {
    /// Begins a key for a decision that rests on these objects.
    pub fn begin(&self, objects: &[UniqueId]) -> KeyBuilder<'_> {
        let mut builder = KeyBuilder { maker: self, buffer: [0; BUFFER], used: 0 };
        builder.push(&[u8::try_from(objects.len()).unwrap_or(u8::MAX)]);
        objects.iter().for_each(|object| builder.push(&object.to_bytes()));
        builder
    }

    fn tag(&self, purpose: TagPurpose, text: &[u8]) -> [u8; TAG] {
        let mut nonce = [0; NONCE_LEN];
        nonce[0] = purpose as u8;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(text), &mut []);
        let tag = tag.expect("nothing is encrypted, and no request is as long as the limit of GCM");
        tag.as_ref().try_into().expect("a tag of GCM has 16 octets")
    }
}

impl KeyBuilder<'_> {
    /// Adds a text. The places of the texts, in their order, say which text is what.
    pub fn text(&mut self, place: u8, text: &[u8]) {
        if self.used.saturating_add(PART) > BUFFER {
            let folded = self.maker.tag(TagPurpose::Fold, self.collected());
            self.used = 0;
            self.push(&folded);
        }
        let tag = self.maker.tag(TagPurpose::Text, text);
        self.push(&[place]);
        self.push(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.push(&tag);
    }

    /// The key.
    pub fn finish(self) -> CacheKey {
        CacheKey(u128::from_ne_bytes(self.maker.tag(TagPurpose::Key, self.collected())))
    }

    fn collected(&self) -> &[u8] {
        self.buffer.get(..self.used).unwrap_or_default()
    }

    fn push(&mut self, octets: &[u8]) {
        let end = self.used.saturating_add(octets.len());
        let place = self.buffer.get_mut(self.used..end).expect("a full buffer was folded before");
        place.copy_from_slice(octets);
        self.used = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of texts at their places, without objects.
    fn key(maker: &KeyMaker, texts: &[(u8, &[u8])]) -> CacheKey {
        let mut builder = maker.begin(&[]);
        texts.iter().for_each(|(place, text)| builder.text(*place, text));
        builder.finish()
    }

    #[test]
    fn different_questions_have_different_keys() {
        let maker = KeyMaker::default();
        let many: Vec<(u8, Vec<u8>)> = (0..40).map(|n| (n, vec![n])).collect();
        let long: Vec<(u8, &[u8])> = many.iter().map(|(place, text)| (*place, &text[..])).collect();
        let mut swapped = long.clone();
        swapped.swap(0, 1);
        let questions: [&[(u8, &[u8])]; 10] = [
            &[],
            &[(0, b"")],
            &[(0, b"\0")],
            &[(1, b"")],
            &[(0, b"a"), (0, b"b")],
            &[(0, b"b"), (0, b"a")],
            &[(0, b"ab")],
            &long,
            &long[..39],
            &swapped,
        ];
        for (at, left) in questions.iter().enumerate() {
            for (other, right) in questions.iter().enumerate() {
                assert_eq!(key(&maker, left) == key(&maker, right), at == other, "{at} {other}");
            }
        }
        let (one, two) = (UniqueId::next(), UniqueId::next());
        assert_ne!(maker.begin(&[one]).finish(), maker.begin(&[two]).finish());
        assert_ne!(maker.begin(&[one, two]).finish(), maker.begin(&[one]).finish());
        assert_ne!(key(&maker, &[]), key(&KeyMaker::default(), &[]), "each process has its own secret");
    }
}
