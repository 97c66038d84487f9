//! The table of reasons as the page `docs/reasons.md`.

use std::fmt::Write as _;

use crate::domain::reason::Reason;

/// The page, in Markdown.
pub fn reasons_page() -> String {
    let mut page = String::from(
        "# Reasons for a denial\n\n\
         Printed by `certgate reasons`; a test fails when this page differs.\n\n\
         Codes are stable. They appear in Envoy's dynamic metadata (`reason`), in the log, in metrics and in `certgate \
         explain`; the client sees one only where the policy's `response.denial.reveal` is `Reason`. Checks run in the \
         order of the table, and the first that fails decides. The status is what the client is answered unless the policy \
         sets another. The IIS column names the sub-status by which Internet Information Services reports the same.\n\n\
         | code | IIS | status | what happened | what to do |\n|---|---|---|---|---|\n",
    );
    for row in Reason::ALL {
        let _ =
            writeln!(page, "| `{}` | {} | {} | {} | {} |", row.code, row.iis, row.http_status, row.meaning, row.action);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_this_one() {
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reasons.md"));
        assert!(page == reasons_page(), "docs/reasons.md is stale: cargo run -- reasons > docs/reasons.md");
    }
}
