//! The implicit types that YAML readers give to plain (unquoted) scalars.
//!
//! This module owns how certgate reads plain scalars (YAML 1.2, core schema), and whether any reader in use, above all
//! kubectl's with its YAML 1.1 words and numbers, gives them another type than text. It does not parse YAML. Where text
//! is expected, certgate rejects a scalar that two readers see differently: the same file must mean the same in a
//! directory and in a cluster.

/// The type that some reader in use gives to a plain scalar that is not text to all of them.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ImplicitType {
    /// Null: empty, `~`, `null`.
    Null,
    /// A boolean of YAML 1.2 or 1.1: `true`, `yes`, `off`, `n`.
    Boolean,
    /// A number of YAML 1.2 or 1.1: `42`, `0x1f`, `1_000`, `0777`, `1:30`, `1e9`, `.inf`.
    Number,
}

impl ImplicitType {
    /// The words in a message: "a boolean".
    pub const fn as_words(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
        }
    }
}

/// The type that some reader gives to the plain scalar `text`; `None` if it is text to all of them.
pub fn implicit_type(text: &str) -> Option<ImplicitType> {
    // Most scalars start with a letter that starts none of the words below.
    match text.as_bytes().first() {
        None => return Some(ImplicitType::Null),
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => return is_number(text).then_some(ImplicitType::Number),
        Some(b'~' | b'n' | b'N' | b'y' | b'Y' | b't' | b'T' | b'f' | b'F' | b'o' | b'O') => {}
        Some(_) => return None,
    }
    if is_null(text) {
        return Some(ImplicitType::Null);
    }
    let words = ["y", "yes", "n", "no", "on", "off", "true", "false"];
    words.iter().any(|word| in_usual_case(text, word)).then_some(ImplicitType::Boolean)
}

/// Whether YAML 1.2 and 1.1 both read the plain scalar `text` as null.
pub fn is_null(text: &str) -> bool {
    matches!(text, "" | "~") || in_usual_case(text, "null")
}

/// A boolean that every reader sees as the same boolean. `yes` and `on` are not among them.
pub fn boolean(text: &str) -> Option<bool> {
    if in_usual_case(text, "true") {
        Some(true)
    } else if in_usual_case(text, "false") {
        Some(false)
    } else {
        None
    }
}

/// A whole number that every reader sees as the same number: decimal, no leading zero, no `_`, no `+`.
pub fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !plain || (digits.len() > 1 && digits.starts_with('0')) || text == "-0" {
        return None;
    }
    text.parse().ok()
}

/// `word`, `Word` or `WORD`: the spellings that YAML 1.1 and the core schema know.
fn in_usual_case(text: &str, word: &str) -> bool {
    if !text.eq_ignore_ascii_case(word) {
        return false;
    }
    let tail = text.get(1..).unwrap_or("");
    let lower = |s: &str| s.bytes().all(|b| b.is_ascii_lowercase());
    let upper = |s: &str| s.bytes().all(|b| b.is_ascii_uppercase());
    lower(tail) || upper(text)
}

/// Whether any reader in use takes `text` for a number. Deliberately broad: a false positive costs only a pair of
/// quotes.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned.to_ascii_lowercase().as_str(), ".inf" | ".nan") {
        return true;
    }
    let radix = |prefix: [&str; 2], digit: fn(&u8) -> bool| {
        let digits = unsigned.strip_prefix(prefix[0]).or_else(|| unsigned.strip_prefix(prefix[1]));
        digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b == b'_' || digit(&b)))
    };
    radix(["0x", "0X"], u8::is_ascii_hexdigit)
        || radix(["0o", "0O"], |b| matches!(b, b'0'..=b'7'))
        || radix(["0b", "0B"], |b| matches!(b, b'0' | b'1'))
        || is_decimal(unsigned)
        || is_sexagesimal(unsigned)
}

/// Digits with underscores, at most one point, an optional exponent: `1_000`, `1.`, `.5`, `1e9`, `0777`.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let mut points = 0;
    let mut digits = 0;
    for byte in mantissa.bytes() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'_' => {}
            b'.' => points += 1,
            _ => return false,
        }
    }
    digits > 0 && points <= 1 && exponent.is_none_or(|e| !e.is_empty() && e.bytes().all(|b| b.is_ascii_digit()))
}

/// YAML 1.1 base 60: `1:30`, `190:20:30.15`.
fn is_sexagesimal(text: &str) -> bool {
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or("");
    let number = |part: &str, extra: fn(u8) -> bool| {
        part.starts_with(|c: char| c.is_ascii_digit()) && part.bytes().all(|b| b.is_ascii_digit() || extra(b))
    };
    let mut seen = 0;
    for part in parts {
        seen += 1;
        if !number(part, |b| b == b'.' || b == b'_') {
            return false;
        }
    }
    seen > 0 && number(first, |b| b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_some_reader_takes_for_something_else() {
        for (text, want) in [
            ("", ImplicitType::Null),
            ("~", ImplicitType::Null),
            ("null", ImplicitType::Null),
            ("NULL", ImplicitType::Null),
            ("y", ImplicitType::Boolean),
            ("No", ImplicitType::Boolean),
            ("ON", ImplicitType::Boolean),
            ("off", ImplicitType::Boolean),
            ("True", ImplicitType::Boolean),
            ("0", ImplicitType::Number),
            ("-1", ImplicitType::Number),
            ("+12", ImplicitType::Number),
            ("0777", ImplicitType::Number),
            ("0o17", ImplicitType::Number),
            ("0x1F", ImplicitType::Number),
            ("0b101", ImplicitType::Number),
            ("1_000", ImplicitType::Number),
            ("1:30", ImplicitType::Number),
            ("12:34:56", ImplicitType::Number),
            ("1e9", ImplicitType::Number),
            ("123456789012345678901234567890e12", ImplicitType::Number),
            ("1.", ImplicitType::Number),
            (".5", ImplicitType::Number),
            ("6.02E+23", ImplicitType::Number),
            (".inf", ImplicitType::Number),
            ("-.INF", ImplicitType::Number),
            (".NaN", ImplicitType::Number),
        ] {
            assert_eq!(implicit_type(text), Some(want), "{text:?}");
        }
    }

    #[test]
    fn texts_that_are_text_to_all() {
        for text in [
            "svc-acme",
            "nO",
            "yEs",
            "tRUE",
            "nul",
            "yes!",
            "10.0.0.0/8",
            "1.2.3",
            "1a",
            "0xfg",
            "0o8",
            "0b2",
            "1e",
            "e9",
            "12:ab",
            ":30",
            "2026-01-01",
            "2026-01-01T00:00:00Z",
            "-",
            "+",
            ".",
            "--1",
            "x-certgate-user",
            "nope",
            "24h",
            "*.example.com",
            "TrustProfile",
        ] {
            assert_eq!(implicit_type(text), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_taken_only_in_the_spelling_that_all_readers_share() {
        for (text, want) in [
            ("0", Some(0)),
            ("403", Some(403)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("0403", None),
            ("+403", None),
            ("4_03", None),
            ("-0", None),
            ("4e2", None),
            ("", None),
            ("-", None),
        ] {
            assert_eq!(integer(text), want, "{text:?}");
        }
        for (text, want) in [("true", Some(true)), ("FALSE", Some(false)), ("yes", None), ("on", None), ("0", None)] {
            assert_eq!(boolean(text), want, "{text:?}");
        }
    }
}
