//! Cuts a stream of YAML documents into chunks without parsing it.
//!
//! YAML 1.2.2, 9.1.2: a line that starts with `---` or `...` followed by white space always ends a document, even
//! inside a quoted or block scalar. So a file can be cut at such lines and each chunk hashed, and only changed chunks
//! need be parsed. This module owns the cut; it does not interpret documents. Usually a chunk holds one document; it
//! may hold none (comments) and, through `...`, directives of the next.

use std::io::{self, BufRead, Read};

/// A UTF-8 byte order mark, allowed once at the start of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a file cannot be cut into chunks.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// The file cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// One document is larger than the limit.
    #[error("the document that starts here is larger than {limit} bytes")]
    TooLarge {
        /// The first line of the document.
        line: u32,
        /// The limit.
        limit: usize,
    },
}

/// A part of a file that can be parsed by itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The line of the file, from 1, on which the chunk starts.
    pub line: u32,
    /// The chunk's bytes, line ends included.
    pub bytes: &'a [u8],
}

/// Reads chunk by chunk, holding one chunk at a time.
#[derive(Debug)]
pub struct Chunks<R> {
    reader: R,
    limit: usize,
    buffer: Vec<u8>,
    /// How many bytes of the buffer belong to the last chunk that was returned.
    taken: usize,
    /// The line on which the buffer starts once those bytes are removed.
    line: u32,
    /// Line ends in the buffer.
    lines: u32,
    /// Whether the buffer holds more than comments, blank lines and directives.
    content: bool,
    start: bool,
}

impl<R: BufRead> Chunks<R> {
    /// Cuts `reader`; a chunk of more than `limit` bytes is an error.
    pub fn new(reader: R, limit: usize) -> Self {
        Self { reader, limit, buffer: Vec::new(), taken: 0, line: 1, lines: 0, content: false, start: true }
    }

    /// The next chunk; `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, SplitError> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        loop {
            let start = self.buffer.len();
            let room = u64::try_from(self.limit.saturating_sub(start)).unwrap_or(u64::MAX).saturating_add(1);
            self.reader.by_ref().take(room).read_until(b'\n', &mut self.buffer)?;
            if self.start {
                self.start = false;
                if self.buffer.starts_with(BYTE_ORDER_MARK) {
                    self.buffer.drain(..BYTE_ORDER_MARK.len());
                }
            }
            if self.buffer.len() > self.limit {
                return Err(SplitError::TooLarge { line: self.line, limit: self.limit });
            }
            let line = &self.buffer[start..];
            if line.is_empty() {
                return Ok((!self.buffer.is_empty()).then(|| self.hand_out(self.buffer.len(), self.lines, 0)));
            }
            let ends = u32::from(line.ends_with(b"\n"));
            if self.content && is_marker(line, b"---") {
                // The marker's line opens the next chunk and counts as its content.
                return Ok(Some(self.hand_out(start, self.lines, ends)));
            }
            self.lines = self.lines.saturating_add(ends);
            if self.content && is_marker(line, b"...") {
                self.content = false;
                return Ok(Some(self.hand_out(self.buffer.len(), self.lines, 0)));
            }
            self.content = self.content || is_content(line);
        }
    }

    /// Returns the first `taken` bytes, which hold `lines` line ends; `rest` line ends stay in the buffer.
    fn hand_out(&mut self, taken: usize, lines: u32, rest: u32) -> Chunk<'_> {
        let line = self.line;
        self.taken = taken;
        self.line = line.saturating_add(lines);
        self.lines = rest;
        Chunk { line, bytes: &self.buffer[..taken] }
    }
}

/// Whether `line` is a document marker: at its very start, followed by white space or the end of the line.
fn is_marker(line: &[u8], marker: &[u8]) -> bool {
    match line.strip_prefix(marker) {
        Some(rest) => matches!(rest.first(), None | Some(b' ' | b'\t' | b'\r' | b'\n')),
        None => false,
    }
}

/// Whether `line` is more than blank, a comment or a directive. Before content, `%` at the start is a directive.
fn is_content(line: &[u8]) -> bool {
    let text = line.trim_ascii();
    !(text.is_empty() || text.starts_with(b"#") || line.starts_with(b"%") || is_marker(line, b"..."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(u32, String)> {
        let mut chunks = Chunks::new(text.as_bytes(), 1 << 20);
        let mut out = Vec::new();
        while let Some(chunk) = chunks.next_chunk().unwrap() {
            out.push((chunk.line, String::from_utf8(chunk.bytes.to_vec()).unwrap()));
        }
        out
    }

    #[test]
    fn files_are_cut_at_document_markers() {
        let cases = [
            ("nothing", "", vec![]),
            ("one without a marker", "a: 1\n", vec![(1, "a: 1\n")]),
            ("one without an end of line", "a: 1", vec![(1, "a: 1")]),
            ("two", "a: 1\n---\nb: 2\n", vec![(1, "a: 1\n"), (2, "---\nb: 2\n")]),
            ("a leading marker", "---\na: 1\n---\nb: 2\n", vec![(1, "---\na: 1\n"), (3, "---\nb: 2\n")]),
            ("comments belong to what follows", "# c\n\n---\na: 1\n", vec![(1, "# c\n\n---\na: 1\n")]),
            ("directives too", "%YAML 1.2\n---\na: 1\n", vec![(1, "%YAML 1.2\n---\na: 1\n")]),
            (
                "an end marker, then directives",
                "a: 1\n...\n%YAML 1.2\n---\nb: 2\n",
                vec![(1, "a: 1\n...\n"), (3, "%YAML 1.2\n---\nb: 2\n")],
            ),
            ("a marker with content", "a: 1\n--- {b: 2}\n", vec![(1, "a: 1\n"), (2, "--- {b: 2}\n")]),
            ("not markers", "a: |\n ---\n---b\n----\n", vec![(1, "a: |\n ---\n---b\n----\n")]),
            ("inside a block scalar", "a: |\n  x\n---\n  y\n", vec![(1, "a: |\n  x\n"), (3, "---\n  y\n")]),
            ("carriage returns", "a: 1\r\n---\r\nb: 2\r\n", vec![(1, "a: 1\r\n"), (2, "---\r\nb: 2\r\n")]),
            ("empty documents", "---\n---\na: 1\n", vec![(1, "---\n"), (2, "---\na: 1\n")]),
            ("a marker at the very end", "a: 1\n---", vec![(1, "a: 1\n"), (2, "---")]),
            ("a byte order mark", "\u{feff}a: 1\n", vec![(1, "a: 1\n")]),
        ];
        for (name, text, want) in cases {
            let want: Vec<(u32, String)> =
                want.into_iter().map(|(line, text): (u32, &str)| (line, text.to_owned())).collect();
            assert_eq!(cut(text), want, "{name}");
        }
    }

    #[test]
    fn a_document_beyond_the_bound_is_an_error_with_its_line() {
        let text = format!("a: 1\n---\nb: {}\n", "x".repeat(100));
        let mut chunks = Chunks::new(text.as_bytes(), 50);
        assert_eq!(chunks.next_chunk().unwrap().unwrap().line, 1);
        assert!(matches!(chunks.next_chunk(), Err(SplitError::TooLarge { line: 2, limit: 50 })));
    }

    #[test]
    fn the_chunks_are_the_file() {
        let text = "# head\na: 1\n---\n\n---\n# c\nb: |\n  ---\n...\n...\n%YAML 1.2\n--- c\n---\n";
        assert_eq!(cut(text).into_iter().map(|(_, text)| text).collect::<String>(), text);
    }
}
