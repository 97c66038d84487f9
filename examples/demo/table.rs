//! The table of the demo.

/// What happened to a request, in words that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen(String);

impl Seen {
    /// It passed as this user.
    pub fn allowed_as(user: &str) -> Self {
        Self(format!("200 as {user}"))
    }

    /// It passed, and the upstream was told of nobody.
    pub fn anonymous() -> Self {
        Self("200 without identity".to_owned())
    }

    /// It was refused.
    pub fn refused(status: u16, reason: &str) -> Self {
        Self(format!("{status} {reason}"))
    }

    /// Whether it passed.
    pub fn is_allowed(&self) -> bool {
        self.0.starts_with("200")
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Prints rows as they come, in columns that stay where they are.
pub struct Table {
    rows: usize,
    wrong: usize,
}

const CASE: usize = 58;
const OUTCOME: usize = 28;

impl Table {
    /// Prints the head.
    pub fn begin() -> Self {
        println!("{:>3}  {:<CASE$}  {:<OUTCOME$}  {:<OUTCOME$}  ok?", "", "case", "expected", "seen");
        println!("{:->3}  {:-<CASE$}  {:-<OUTCOME$}  {:-<OUTCOME$}  ---", "", "", "", "");
        Self { rows: 0, wrong: 0 }
    }

    /// Prints a row.
    pub fn row(&mut self, case: &str, expected: &Seen, seen: &Seen) {
        self.verdict(case, &expected.0, &seen.0, expected == seen);
    }

    /// Prints a row whose columns are not compared as texts.
    pub fn verdict(&mut self, case: &str, expected: &str, seen: &str, right: bool) {
        self.rows += 1;
        self.wrong += usize::from(!right);
        let word = if right { "yes" } else { "NO" };
        println!("{:>3}  {case:<CASE$}  {expected:<OUTCOME$}  {seen:<OUTCOME$}  {word}", self.rows);
    }

    /// Prints the sum and returns how many rows are wrong.
    pub fn end(self) -> usize {
        match self.wrong {
            0 => println!("\nAll {} cases went as expected.", self.rows),
            wrong => println!("\n{wrong} of {} cases did NOT go as expected.", self.rows),
        }
        self.wrong
    }
}
