//! Output of commands: pages of a terminal's width, colour, JSON, and texts that cannot deceive a terminal.
//!
//! Owns the common treatment of `NO_COLOR`, `TERM`, `COLUMNS` and an output that is not a terminal. The commands own
//! the content of pages.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use serde::Serialize;

/// The line width if the width of the terminal is unknown.
const WIDTH: usize = 100;

/// The range of page widths, whatever the terminal reports.
const WIDTHS: std::ops::RangeInclusive<usize> = 50..=160;

/// Whether colours are used.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Colours are used.
    Used,
    /// Colours are not used.
    None,
}

/// What a word means to its reader.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Passed: green.
    Good,
    /// Failed: red.
    Bad,
    /// Worth a look: yellow.
    Doubtful,
}

impl Paint {
    /// The SGR sequence (ECMA-48 section 8.3.117).
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "\u{1b}[32m",
            Self::Bad => "\u{1b}[1;31m",
            Self::Doubtful => "\u{1b}[33m",
        }
    }
}

const RESET: &str = "\u{1b}[0m";

/// Where a page is shown.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// The columns of a line.
    pub width: usize,
    /// Whether colours are used.
    pub colour: Colour,
}

impl Default for Terminal {
    fn default() -> Self {
        Self { width: WIDTH, colour: Colour::None }
    }
}

impl Terminal {
    /// The properties of standard output.
    pub fn of_stdout() -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let columns = || rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
        Self::new(|name| std::env::var_os(name), is_terminal.then(columns).flatten(), is_terminal)
    }

    /// `COLUMNS` has precedence over the terminal's own width. Colours are used on terminals other than `dumb`, unless
    /// `NO_COLOR` is set to any non-empty value (<https://no-color.org>).
    fn new(variable: impl Fn(&str) -> Option<OsString>, columns: Option<usize>, is_terminal: bool) -> Self {
        let set = variable("COLUMNS").and_then(|text| text.to_str()?.parse().ok());
        let width = set.or(columns).filter(|width| *width > 0).unwrap_or(WIDTH);
        let refused = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = variable("TERM").is_some_and(|term| term == "dumb");
        let colour = if is_terminal && !refused && !is_dumb { Colour::Used } else { Colour::None };
        Self { width: width.clamp(*WIDTHS.start(), *WIDTHS.end()), colour }
    }

    /// Paints the start of each line that begins with one of `words`; blanks before the word are part of the
    /// comparison.
    pub fn painted(&self, page: String, words: &[(&str, Paint)]) -> String {
        if self.colour == Colour::None {
            return page;
        }
        let mut out = String::with_capacity(page.len() + 64);
        for line in page.split_inclusive('\n') {
            match words.iter().find(|(word, _)| line.starts_with(word)) {
                Some((word, paint)) => {
                    let blanks = word.len() - word.trim_start().len();
                    let (lead, rest) = line.split_at(word.len());
                    let _ = write!(out, "{}{}{}{RESET}{rest}", &lead[..blanks], paint.code(), &lead[blanks..]);
                }
                None => out.push_str(line),
            }
        }
        out
    }
}

/// `text` on one line, with escapes for everything that changes how a terminal shows it: control characters, the
/// controls of bidirectional text, characters without a shape and combining marks.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    out
}

/// [`plain`] of each line, for error messages: file names in them may come from others than the operator.
pub fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// At most `limit` characters of [`plain`] text; a text that is cut shows its length.
pub fn clipped(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => plain(text),
        Some((at, _)) => format!("{}… ({} bytes)", plain(&text[..at]), text.len()),
    }
}

/// A value as JSON for people and programs, in ASCII alone: no text can deceive a terminal, and none is changed.
pub fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("the answers of commands have texts for keys");
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match c {
            '\n' | ' '..='~' => out.push(c),
            // A character outside ASCII can occur only within a string.
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
        }
    }
    out.push('\n');
    out
}

/// A page of text that grows downwards.
#[derive(Debug)]
pub struct TextPage {
    out: String,
    width: usize,
    /// The columns of the names of rows.
    names: usize,
}

impl TextPage {
    /// An empty page whose rows have names of up to `names` columns.
    pub fn new(terminal: Terminal, names: usize) -> Self {
        Self { out: String::new(), width: terminal.width, names }
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.out
    }

    /// Begins a part of the page.
    pub fn heading(&mut self, text: &str) {
        if !self.out.is_empty() {
            self.gap();
        }
        let _ = writeln!(self.out, "{text}");
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.out.push('\n');
    }

    /// A name and its value.
    pub fn row(&mut self, name: &str, text: &str) {
        let names = self.names;
        self.wrapped(&format!("  {name:<names$}  "), text);
    }

    /// A line that is never wrapped, for text to copy from the page.
    pub fn line(&mut self, text: &str) {
        self.out.push_str(&plain(text));
        self.out.push('\n');
    }

    /// Writes `text` after `lead`, with further lines indented below its first. Words are never cut: fingerprints must
    /// stay whole to be copied.
    pub fn wrapped(&mut self, lead: &str, text: &str) {
        let indent = lead.chars().count();
        self.out.push_str(lead);
        let mut column = indent;
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
            let word = plain(word);
            let length = word.chars().count();
            if column > indent && column + 1 + length > self.width {
                let _ = write!(self.out, "\n{:indent$}", "");
                column = indent;
            } else if column > indent {
                self.out.push(' ');
                column += 1;
            }
            self.out.push_str(&word);
            column += length;
        }
        let kept = self.out.trim_end_matches(' ').len();
        self.out.truncate(kept);
        self.out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_sees_the_same_terminal() {
        let seen = |variables: &[(&str, &str)], columns, is_terminal| {
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
            let terminal = Terminal::new(variable, columns, is_terminal);
            (terminal.width, terminal.colour)
        };
        use Colour::{None as Plain, Used};
        for (name, variables, columns, is_terminal, want) in [
            ("a pipe", &[][..], None, false, (100, Plain)),
            ("a terminal", &[], Some(80), true, (80, Used)),
            ("a terminal without a size", &[], Some(0), true, (100, Used)),
            ("COLUMNS on a terminal", &[("COLUMNS", "60")], Some(80), true, (60, Used)),
            ("COLUMNS in a pipe", &[("COLUMNS", "120")], None, false, (120, Plain)),
            ("COLUMNS that is no number", &[("COLUMNS", "wide")], Some(80), true, (80, Used)),
            ("COLUMNS of nothing", &[("COLUMNS", "0")], Some(80), true, (100, Used)),
            ("a very narrow terminal", &[], Some(3), true, (50, Used)),
            ("a very wide terminal", &[], Some(900), true, (160, Used)),
            ("NO_COLOR", &[("NO_COLOR", "1")], Some(80), true, (80, Plain)),
            ("NO_COLOR that is empty", &[("NO_COLOR", "")], Some(80), true, (80, Used)),
            ("a dumb terminal", &[("TERM", "dumb")], Some(80), true, (80, Plain)),
        ] {
            assert_eq!(seen(variables, columns, is_terminal), want, "{name}");
        }
    }

    #[test]
    fn only_the_named_words_are_painted() {
        let page = "  DENY  x\n  sees DENY\nFAIL\n".to_owned();
        let words = [("  DENY", Paint::Bad)];
        let colours = Terminal { colour: Colour::Used, ..Terminal::default() };
        assert_eq!(colours.painted(page.clone(), &words), "  \u{1b}[1;31mDENY\u{1b}[0m  x\n  sees DENY\nFAIL\n");
        assert_eq!(Terminal::default().painted(page.clone(), &words), page);
    }

    #[test]
    fn nothing_gets_through_that_changes_what_a_terminal_shows() {
        for (text, want) in [
            ("C:\\a 'b' \"c\"", "C:\\a 'b' \"c\""),
            ("a\u{1b}[31m\r\n\0", "a\\u{1b}[31m\\r\\n\\0"),
            ("\u{202e}txt.exe\u{2066}", "\\u{202e}txt.exe\\u{2066}"),
            ("a\u{200b}b\u{ad}\u{feff}\u{e0041}", "a\\u{200b}b\\u{ad}\\u{feff}\\u{e0041}"),
            ("müller 東京", "müller 東京"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
        ] {
            assert_eq!(plain(text), want);
        }
        assert_eq!(plain_lines("a\u{1b}\nb\r"), "a\\u{1b}\nb\\r");
        assert_eq!(clipped("aé\u{1b}b", 3), "aé\\u{1b}… (5 bytes)");
    }

    #[test]
    fn json_is_ascii_and_reads_back_the_same() {
        let text = "a\u{202e}\u{1b}\u{7f}é\u{1f600}\"\\";
        let printed = json(&serde_json::json!({"key": [text]}));
        assert!(printed.bytes().all(|octet| matches!(octet, b'\n' | b' '..=b'~')), "{printed}");
        let read: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(read["key"][0], text);
    }
}
