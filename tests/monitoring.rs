//! What operators are shown: every metric is described, alerts and dashboard ask for metrics that exist, and the pages that
//! are made from other files are up to date.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stderr, reason = "a test says what it leaves out")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use certgate::domain::decide::Counts;
use certgate::kubernetes::admission::metrics as admission;
use certgate::kubernetes::health::{Exported, Health};
use certgate::metrics::{Load, Metrics};
use certgate::tls::health as tls_health;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All metrics that the code registers, as (name of a sample without a histogram's suffix, type).
fn metrics() -> BTreeSet<(String, String)> {
    let mut metrics = Metrics::new();
    metrics.register(Box::new(Exported(Arc::new(Health::new()))));
    let tls = tls_health::TlsHealth::default();
    let _ = tls.server("grpc");
    metrics.register(Box::new(tls_health::Exported(Arc::new(tls))));
    metrics.register(Box::new(admission::Exported(Arc::default())));
    // Ages are told from the first load on.
    metrics.loaded(Load::Applied { problems: 0 });
    metrics.published(1, Counts::default());
    let text = metrics.render();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types = types.map(|line| line.split_once(' ').expect("a name and a type"));
    types
        .map(|(name, kind)| match kind {
            "counter" => (format!("{name}_total"), kind.to_owned()),
            "info" => (format!("{name}_info"), kind.to_owned()),
            _ => (name.to_owned(), kind.to_owned()),
        })
        .collect()
}

/// The names of all samples.
fn samples() -> BTreeSet<String> {
    let suffixes = |kind: &str| match kind {
        "histogram" => &["_bucket", "_sum", "_count"][..],
        _ => &[""],
    };
    let metrics = metrics();
    metrics.iter().flat_map(|(name, kind)| suffixes(kind).iter().map(move |suffix| format!("{name}{suffix}"))).collect()
}

/// Words in `text` that look like one of our metrics.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.starts_with("certgate_")).collect()
}

#[test]
fn every_metric_is_described_with_its_type() {
    let page = read("docs/operations.md");
    let metrics = metrics();
    assert!(metrics.len() > 20, "{metrics:?}");
    for (name, kind) in &metrics {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/operations.md has no row that begins with `{name}`"));
        let said = row.split('|').nth(2).unwrap().trim();
        assert_eq!(said, kind, "docs/operations.md: the type of {name}");
    }
}

#[test]
fn pages_name_no_metric_that_does_not_exist() {
    let samples = samples();
    let metrics = metrics();
    for page in ["docs/operations.md", "docs/kubernetes.md", "docs/policies.md", "docs/envoy.md", "docs/security.md"] {
        for name in named(&read(page)) {
            let is_known = samples.contains(name) || metrics.iter().any(|(known, _)| known == name);
            assert!(is_known, "{page} names {name}, which the code does not register");
        }
    }
}

/// The names of the alerts.
fn alerts(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[test]
fn alerts_ask_for_metrics_that_exist_and_have_a_runbook() {
    let (rules, page) = (read("charts/certgate/files/alerts.yaml"), read("docs/operations.md"));
    let samples = samples();
    for name in named(&rules) {
        assert!(samples.contains(name), "alerts.yaml asks for {name}, which the code does not register");
    }
    let alerts = alerts(&rules);
    assert!(alerts.len() > 10, "{alerts:?}");
    let tests = read("tests/monitoring/alerts_test.yaml");
    for alert in alerts {
        assert!(page.contains(&format!("\n### {alert}\n")), "docs/operations.md has no runbook for {alert}");
        let anchor = format!("runbook: docs/operations.md#{}\n", alert.to_ascii_lowercase());
        assert!(rules.contains(&anchor), "{alert} does not name its runbook");
        assert!(tests.contains(&format!("alertname: {alert}\n")), "alerts_test.yaml does not show {alert} firing");
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist() {
    let text = read("charts/certgate/files/dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let samples = samples();
    let panels = dashboard["panels"].as_array().unwrap();
    let expressions = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut shown = BTreeSet::new();
    for target in expressions {
        let expression = target["expr"].as_str().unwrap();
        for name in named(expression) {
            assert!(samples.contains(name), "the dashboard asks for {name}, which the code does not register");
            shown.insert(name.to_owned());
        }
    }
    assert!(shown.len() > 20, "the dashboard shows {shown:?}");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "ids are unique");
}

#[test]
fn the_chart_s_readme_says_what_its_values_say() {
    let done = Command::new(root().join("scripts/chart-readme")).arg("--check").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn status_conditions_and_reasons_are_described() {
    let page = read("docs/operations.md");
    let code = read("src/kubernetes/status/wanted.rs");
    let code = code.split("#[cfg(test)]").next().unwrap();
    let mut seen = 0;
    for call in code.split("told(\"").skip(1) {
        let mut words = call.split('"');
        let (condition, reason) = (words.next().unwrap(), words.nth(1).unwrap());
        let has_row = page.lines().any(|line| line.starts_with(&format!("| `{condition}` | `{reason}`")));
        assert!(has_row, "docs/operations.md has no row for condition {condition} with reason {reason}");
        seen += 1;
    }
    assert!(seen > 12, "{seen}: mend how this test reads the code");
}

/// `promtool`, where `scripts/chart-parts` has it.
fn promtool() -> Option<PathBuf> {
    let output = Command::new(root().join("scripts/chart-parts")).args(["--check", "promtool"]).output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    eprintln!("SKIPPED: tests of the alerts: {}", String::from_utf8_lossy(&output.stderr).trim());
    None
}

#[test]
fn alerts_fire_when_they_should() {
    let Some(promtool) = promtool() else { return };
    for args in [
        ["check", "rules", "charts/certgate/files/alerts.yaml"],
        ["test", "rules", "tests/monitoring/alerts_test.yaml"],
    ] {
        let done = Command::new(&promtool).args(args).current_dir(root()).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "promtool {args:?}:\n{said}");
    }
}

#[test]
fn the_dashboard_s_queries_can_be_read() {
    let Some(promtool) = promtool() else { return };
    let dashboard: serde_json::Value = serde_json::from_str(&read("charts/certgate/files/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut rules = Vec::new();
    for target in panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten() {
        let query = target["expr"].as_str().unwrap();
        // As Grafana fills in its variables.
        let query = query.replace("$__rate_interval", "5m").replace("$namespace", ".*").replace("$pod", ".*");
        rules.push(serde_json::json!({"record": format!("panel:{}", rules.len()), "expr": query}));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.yaml");
    fs::write(&path, serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).unwrap();
    let done = Command::new(&promtool).args(["check", "rules"]).arg(&path).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && said.contains(&format!("{} rules found", rules.len())), "{said}");
}
