//! Deterministic mutations of text and messages, shared by the mutation tests.

/// SplitMix64: small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.number().checked_rem(bound as u64).unwrap_or(0) as usize
    }

    /// A span of `text`, mostly short.
    fn span(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = if self.below(4) == 0 { length } else { 8 };
        start..(start + self.below(longest + 1)).min(length)
    }
}

/// Texts with a meaning in these formats.
const TOKENS: [&[u8]; 30] = [
    b"%",
    b"%0A",
    b"%00",
    b"%2B",
    b"+",
    b" ",
    b"\n",
    b"\r\n",
    b"\0",
    b"=",
    b",",
    b";",
    b"\"",
    b"\\",
    b"\\\"",
    b":",
    b"[",
    b"]",
    b"{",
    b"}",
    b"null",
    b"Cert=\"",
    b"Hash=",
    b"URI=",
    b",By=",
    b"-----BEGIN CERTIFICATE-----\n",
    b"-----END%20CERTIFICATE-----",
    b"\xff",
    b"-----BEGIN PRIVATE KEY-----",
    b"\xc3\xa9",
];

/// `original` with one to three changes.
pub fn mutate(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut text = original.to_vec();
    for _ in 0..=random.below(3) {
        let span = random.span(text.len());
        let at = span.start;
        match random.below(9) {
            0 if at < text.len() => text[at] ^= 1 << random.below(8),
            1 if at < text.len() => text[at] = random.number() as u8,
            2 if at < text.len() => text[at] ^= 0x20,
            3 => drop(text.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
            4 => drop(text.splice(span, TOKENS[random.below(TOKENS.len())].iter().copied())),
            5 => drop(text.drain(span)),
            6 => {
                let copy = text[span].to_vec();
                let to = random.below(text.len() + 1);
                drop(text.splice(to..to, copy));
            }
            7 => text.truncate(at),
            _ => text.rotate_left(at),
        }
    }
    text
}
