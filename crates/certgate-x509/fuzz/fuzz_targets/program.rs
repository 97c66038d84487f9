//! An input read as a program: choices first come, first served. At its end every choice is the first one.

#![allow(dead_code, reason = "each target uses a part")]

pub struct Program<'a>(&'a [u8]);

impl<'a> Program<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// A number below `end`, which is at most 256.
    pub fn below(&mut self, end: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % end
    }

    /// A length up to `most`, and so many octets, or as many as there are.
    pub fn octets(&mut self, most: usize) -> &'a [u8] {
        let length = self.below(most + 1).min(self.0.len());
        let (octets, rest) = self.0.split_at(length);
        self.0 = rest;
        octets
    }
}
