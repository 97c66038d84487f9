//! Protocol Buffers on the wire: reading fields in place, and writing messages into one buffer.
//!
//! Owns the encoding (<https://protobuf.dev/programming-guides/encoding/>), and knows no message's meaning. Most of a
//! CheckRequest is headers that no policy reads, so this module decodes nothing into structures: a [`WireFields`] walks
//! over borrowed bytes, and an unread field costs one length and one jump. Groups are rejected; certgate's messages
//! have none.

use thiserror::Error;

/// Why bytes are not a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// A value extends past the end of the message.
    #[error("a field is longer than the message that holds it")]
    Truncated,
    /// A number has more than ten octets or does not fit 64 bits.
    #[error("a variable-length number does not fit 64 bits")]
    Number,
    /// Field number 0, or one above 2^29 - 1.
    #[error("a field has an impossible number")]
    FieldNumber,
    /// A group, or an undefined wire type.
    #[error("wire type {0} is not used here")]
    WireType(u8),
    /// A known field with a wire type that differs from its declaration.
    #[error("field {0} is not length-delimited")]
    NotBytes(u32),
    /// A singular field that occurs again.
    #[error("field {0} is repeated")]
    Repeated(u32),
}

/// The value of one field.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum WireValue<'a> {
    /// A number of any kind; certgate reads none, so its value is dropped.
    Scalar,
    /// A string, bytes or an embedded message.
    Bytes(&'a [u8]),
}

/// One field of a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct WireField<'a> {
    /// The field's number.
    pub number: u32,
    /// Its value.
    pub value: WireValue<'a>,
}

impl<'a> WireField<'a> {
    /// The value of a string, bytes or message field.
    pub fn bytes(self) -> Result<&'a [u8], WireError> {
        match self.value {
            WireValue::Bytes(bytes) => Ok(bytes),
            WireValue::Scalar => Err(WireError::NotBytes(self.number)),
        }
    }

    /// Stores the value in `slot`, which must be empty: for singular fields.
    pub fn once(self, slot: &mut Option<&'a [u8]>) -> Result<(), WireError> {
        match slot.replace(self.bytes()?) {
            None => Ok(()),
            Some(_) => Err(WireError::Repeated(self.number)),
        }
    }
}

/// The fields of a message, in the order of the bytes. Ends after the first error.
#[derive(Clone, Debug)]
pub struct WireFields<'a> {
    rest: &'a [u8],
}

impl<'a> WireFields<'a> {
    /// Walks over the message in `bytes`.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn number(&mut self) -> Result<u64, WireError> {
        // Nearly all keys and lengths are at most 127 and take one octet.
        if let [octet @ 0..=0x7f, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*octet));
        }
        self.long_number()
    }

    fn long_number(&mut self) -> Result<u64, WireError> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            let [octet, rest @ ..] = self.rest else { return Err(WireError::Truncated) };
            self.rest = rest;
            // The tenth octet holds bit 63 alone.
            if shift == 63 && *octet > 1 {
                return Err(WireError::Number);
            }
            number |= u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(WireError::Number)
    }

    fn field(&mut self) -> Result<WireField<'a>, WireError> {
        let key = self.number()?;
        let number = u32::try_from(key >> 3).ok().filter(|n| (1..1 << 29).contains(n)).ok_or(WireError::FieldNumber)?;
        let value = match (key & 7) as u8 {
            0 => self.number().map(|_| WireValue::Scalar)?,
            1 => self.take(8).map(|_| WireValue::Scalar)?,
            2 => {
                let len = usize::try_from(self.number()?).map_err(|_| WireError::Truncated)?;
                WireValue::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| WireValue::Scalar)?,
            other => return Err(WireError::WireType(other)),
        };
        Ok(WireField { number, value })
    }
}

impl<'a> Iterator for WireFields<'a> {
    type Item = Result<WireField<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Appends fields of a message to a buffer.
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
}

impl<'b> Writer<'b> {
    /// Writes to the end of `out`.
    pub fn new(out: &'b mut Vec<u8>) -> Self {
        Self { out }
    }

    /// An integer, enum or bool field.
    pub fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3);
        self.varint(value);
    }

    /// A string or bytes field.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(value.len() as u64);
        self.out.extend_from_slice(value);
    }

    /// An embedded message, whose fields `content` writes.
    pub fn message(&mut self, field: u32, content: impl FnOnce(&mut Writer<'_>)) {
        self.varint(u64::from(field) << 3 | 2);
        // One octet is reserved for the length, which is known only afterwards; a message of 128 octets or more is
        // moved to make room for the other octets of its length.
        let at = self.out.len();
        self.out.push(0);
        content(&mut Writer { out: self.out });
        let mut len = self.out.len() - at - 1;
        let mut end = at;
        while len > 0x7f {
            self.out[end] = len as u8 | 0x80;
            len >>= 7;
            end += 1;
            self.out.insert(end, 0);
        }
        self.out[end] = len as u8;
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::encoding::{WireType, encode_key, encode_varint};

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<WireField<'_>>, WireError> {
        WireFields::of(bytes).collect()
    }

    #[test]
    fn broken_messages_are_refused() {
        for (name, bytes, want) in [
            ("key cut short", &[0x80][..], WireError::Truncated),
            ("length beyond the end", &[0x0a, 2, 0], WireError::Truncated),
            ("length of 2^64 - 1", &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], WireError::Truncated),
            ("number of eleven octets", &[8, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1], WireError::Number),
            ("number above 64 bits", &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], WireError::Number),
            ("field 0", &[0x02, 0], WireError::FieldNumber),
            ("group", &[0x0b, 0x0c], WireError::WireType(3)),
            ("wire type 7", &[0x0f], WireError::WireType(7)),
            ("fixed 64 cut short", &[0x09, 0, 0, 0], WireError::Truncated),
            ("fixed 32 cut short", &[0x0d, 0], WireError::Truncated),
        ] {
            assert_eq!(read(bytes), Err(want), "{name}");
        }
    }

    #[test]
    fn a_message_is_found_behind_every_length_of_length() {
        for len in [0, 1, 127, 128, 129, 16_383, 16_384, 70_000] {
            let mut out = b"before".to_vec();
            Writer::new(&mut out).message(5, |w| w.out.resize(w.out.len() + len, 7));
            let fields = read(&out[6..]).unwrap();
            assert_eq!(fields.len(), 1, "{len}");
            assert_eq!(fields[0].number, 5);
            assert_eq!(fields[0].bytes().unwrap(), vec![7; len], "{len}");
        }
    }

    #[test]
    fn a_field_that_must_stand_once_is_refused_twice() {
        let mut slot = None;
        let field = WireField { number: 3, value: WireValue::Bytes(b"a") };
        assert_eq!(field.once(&mut slot), Ok(()));
        assert_eq!(field.once(&mut slot), Err(WireError::Repeated(3)));
        assert_eq!(WireField { number: 3, value: WireValue::Scalar }.once(&mut None), Err(WireError::NotBytes(3)));
    }

    proptest! {
        #[test]
        fn reads_what_prost_writes(fields in prop::collection::vec((1_u32..1 << 29, prop::collection::vec(any::<u8>(), 0..300), any::<u64>()), 0..8)) {
            let mut wire = Vec::new();
            for (number, bytes, scalar) in &fields {
                encode_key(*number, WireType::LengthDelimited, &mut wire);
                encode_varint(bytes.len() as u64, &mut wire);
                wire.extend_from_slice(bytes);
                encode_key(*number, WireType::Varint, &mut wire);
                encode_varint(*scalar, &mut wire);
            }
            let want: Vec<_> = fields
                .iter()
                .flat_map(|(number, bytes, _)| {
                    [WireField { number: *number, value: WireValue::Bytes(bytes) }, WireField { number: *number, value: WireValue::Scalar }]
                })
                .collect();
            prop_assert_eq!(read(&wire), Ok(want));
            let mut ours = Vec::new();
            let mut writer = Writer::new(&mut ours);
            for (number, bytes, scalar) in &fields {
                writer.bytes(*number, bytes);
                writer.number(*number, *scalar);
            }
            prop_assert_eq!(ours, wire);
        }

        #[test]
        fn never_panics_or_loops(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(WireFields::of(&bytes).count() <= bytes.len());
        }
    }
}
