//! The text form of names, RFC 4514: printing to ASCII and parsing what operators write.

use std::fmt::Write as _;

use crate::der::{self, tag};
use crate::oid::Oid;

use super::{Attribute, AttributeType, Name, NameError};

/// Names longer than this are not parsed from text. RFC 5280's own upper bounds give a few thousand characters.
const MAX_NAME_TEXT: usize = 64 * 1024;

/// Prints a name, last RDN first (RFC 4514 section 2.1).
pub(super) fn print(name: &Name) -> String {
    let mut rdns: Vec<String> = Vec::new();
    for attribute in name.each() {
        match rdns.last_mut() {
            Some(rdn) if !attribute.opens_rdn => {
                rdn.push('+');
                print_attribute(rdn, &attribute);
            }
            _ => {
                let mut rdn = String::new();
                print_attribute(&mut rdn, &attribute);
                rdns.push(rdn);
            }
        }
    }
    rdns.reverse();
    rdns.join(",")
}

/// RFC 4514 2.3 and 2.4: a type without a short name is dotted, and its value `#` and the hexadecimal of its DER.
fn print_attribute(out: &mut String, attribute: &Attribute<'_>) {
    let short = AttributeType::short_name(attribute.type_oid);
    match short {
        Some(short) => out.push_str(short),
        None => push(out, format_args!("{}", Oid::from_content(attribute.type_oid))),
    }
    out.push('=');
    match (short, attribute.text) {
        (Some(_), Some(text)) => print_text(out, text),
        // The value in UTF-8, so that what is parsed from this text compares equal and prints the same.
        (None, Some(text)) => {
            let mut whole = Vec::new();
            der::write(&mut whole, tag::UTF8_STRING, text.as_bytes());
            print_hex(out, &whole);
        }
        (_, None) => print_hex(out, attribute.value),
    }
}

fn print_hex(out: &mut String, octets: &[u8]) {
    out.push('#');
    octets.iter().for_each(|octet| push(out, format_args!("{octet:02x}")));
}

fn print_text(out: &mut String, text: &str) {
    let last = text.len().saturating_sub(1);
    for (at, c) in text.char_indices() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '#' if at == 0 => out.push_str("\\#"),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            ' '..='~' => out.push(c),
            _ => {
                let mut utf8 = [0; 4];
                c.encode_utf8(&mut utf8).bytes().for_each(|octet| push(out, format_args!("\\{octet:02X}")));
            }
        }
    }
}

fn push(out: &mut String, args: std::fmt::Arguments<'_>) {
    out.write_fmt(args).expect("writing to a String does not fail");
}

/// Parses the text form into DER, restoring the order of the sequence.
pub(super) fn parse(text: &str) -> Result<Vec<u8>, NameError> {
    let mut parser = Parser { chars: text.chars().peekable(), at: 0 };
    if text.len() > MAX_NAME_TEXT {
        return Err(parser.error(format!("longer than {MAX_NAME_TEXT} octets")));
    }
    let mut rdns: Vec<Vec<u8>> = Vec::new();
    parser.blanks();
    if parser.chars.peek().is_some() {
        loop {
            rdns.push(parser.rdn()?);
            match parser.next() {
                None => break,
                Some(',') => {}
                Some(other) => return Err(parser.error(format!("{other:?} where ',' or the end was wanted"))),
            }
        }
    }
    let mut content = Vec::new();
    rdns.iter().rev().for_each(|rdn| content.extend_from_slice(rdn));
    let mut out = Vec::new();
    der::write(&mut out, tag::SEQUENCE, &content);
    Ok(out)
}

struct Parser<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, problem: impl Into<String>) -> NameError {
        NameError::Text { at: self.at.max(1), problem: problem.into() }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.at = self.at.saturating_add(1);
        Some(c)
    }

    fn blanks(&mut self) {
        while self.chars.peek() == Some(&' ') {
            self.next();
        }
    }

    /// One RDN: attributes joined by `+`.
    fn rdn(&mut self) -> Result<Vec<u8>, NameError> {
        let mut members: Vec<Vec<u8>> = Vec::new();
        loop {
            members.push(self.attribute()?);
            if self.chars.peek() != Some(&'+') {
                break;
            }
            self.next();
        }
        members.sort_unstable();
        let mut out = Vec::new();
        der::write(&mut out, tag::SET, &members.concat());
        Ok(out)
    }

    fn attribute(&mut self) -> Result<Vec<u8>, NameError> {
        self.blanks();
        let mut ty = String::new();
        loop {
            match self.next() {
                Some('=') => break,
                Some(c) if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ' ') => ty.push(c),
                Some(c) => return Err(self.error(format!("{c:?} in an attribute type"))),
                None => return Err(self.error("the text ends where an attribute type and '=' were wanted")),
            }
        }
        let ty: AttributeType = ty.trim_end().parse().map_err(|err| self.error(format!("{err}")))?;
        self.blanks();
        let value = if self.chars.peek() == Some(&'#') { self.hex_value()? } else { self.text_value()? };
        let mut content = Vec::new();
        der::write(&mut content, tag::OID, ty.oid().as_bytes());
        content.extend_from_slice(&value);
        let mut out = Vec::new();
        der::write(&mut out, tag::SEQUENCE, &content);
        Ok(out)
    }

    /// `#` and the hexadecimal of one DER element.
    fn hex_value(&mut self) -> Result<Vec<u8>, NameError> {
        self.next();
        let mut out = Vec::new();
        while let Some(high) = self.chars.peek().and_then(|c| c.to_digit(16)) {
            self.next();
            let low = self.next().and_then(|c| c.to_digit(16)).ok_or_else(|| self.error("odd hexadecimal digits"))?;
            out.push(u8::try_from((high << 4) | low).unwrap_or_default());
        }
        self.blanks();
        der::check(&out).map_err(|err| self.error(format!("the value after '#' is not DER: {err}")))?;
        Ok(out)
    }

    /// Text with escapes, as a UTF8String; unescaped blanks at its end belong to the separator.
    fn text_value(&mut self) -> Result<Vec<u8>, NameError> {
        let mut octets: Vec<u8> = Vec::new();
        let mut kept = 0;
        while let Some(c) = self.chars.peek().copied() {
            if matches!(c, ',' | '+') {
                break;
            }
            self.next();
            match c {
                '"' | ';' | '<' | '>' => return Err(self.error(format!("{c:?} must be escaped by a backslash"))),
                '\\' => {
                    self.escape(&mut octets)?;
                    kept = octets.len();
                }
                _ => {
                    octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    if c != ' ' {
                        kept = octets.len();
                    }
                }
            }
        }
        octets.truncate(kept);
        if octets.contains(&0) {
            return Err(self.error("NUL in a value"));
        }
        if std::str::from_utf8(&octets).is_err() {
            return Err(self.error("the escaped octets of the value are not UTF-8"));
        }
        let mut out = Vec::new();
        der::write(&mut out, tag::UTF8_STRING, &octets);
        Ok(out)
    }

    fn escape(&mut self, octets: &mut Vec<u8>) -> Result<(), NameError> {
        match self.next() {
            Some(c @ ('"' | '+' | ',' | ';' | '<' | '>' | ' ' | '#' | '=' | '\\')) => {
                octets.push(u8::try_from(c).unwrap_or_default());
                Ok(())
            }
            Some(c) => {
                let digits = c.to_digit(16).zip(self.next().and_then(|low| low.to_digit(16)));
                let (high, low) =
                    digits.ok_or_else(|| self.error("a backslash escapes a special or two hex digits"))?;
                octets.push(u8::try_from((high << 4) | low).unwrap_or_default());
                Ok(())
            }
            None => Err(self.error("a backslash at the end")),
        }
    }
}
