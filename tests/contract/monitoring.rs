//! What operators are shown: every metric is described, alerts and dashboard ask for metrics that exist, and the pages that
//! are made from other files are up to date.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use certgate_testing::der;
use certgate_testing::skip;
use certgate_testing::status;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certgate::domain::decide::Counts;
use certgate::file::loader::{Loader, ReloadOutcome};
use certgate::kubernetes::admission::metrics as admission;
use certgate::kubernetes::health::{Health, WatchMetrics};
use certgate::metrics::{Load, Metrics, cache};
use certgate::tls::health as tls_health;
use certgate_x509::UnixTime;

use der::{Draft, SigningKey, implicit, seq};
use status::{CrlDraft, DAY, HOUR, base, flag, full_name, id, idp, number, reasons};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All metrics that the code registers, as (name of a sample without a histogram's suffix, type).
fn metrics() -> BTreeSet<(String, String)> {
    let mut metrics = Metrics::new();
    metrics.register(Box::new(WatchMetrics(Arc::new(Health::new()))));
    let tls = tls_health::TlsHealth::default();
    let _ = tls.server("grpc");
    metrics.register(Box::new(tls_health::TlsMetrics(Arc::new(tls))));
    metrics.register(Box::new(admission::ReviewMetrics(Arc::default())));
    metrics.register(Box::new(cache::CacheMetrics(Arc::default())));
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
    let tests = read("tests/data/alerts_test.yaml");
    for alert in alerts {
        assert!(page.contains(&format!("\n### {alert}\n")), "docs/operations.md has no runbook for {alert}");
        let anchor =
            format!("runbook_url: https://docs.example/certgate/operations.md#{}\n", alert.to_ascii_lowercase());
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
    for (name, _) in metrics() {
        assert!(shown.iter().any(|sample| sample.starts_with(&name)), "the dashboard does not show {name}");
    }
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
    for call in code.split("condition(\"").skip(1) {
        let mut words = call.split('"');
        let (condition, reason) = (words.next().unwrap(), words.nth(1).unwrap());
        let has_row = page.lines().any(|line| line.starts_with(&format!("| `{condition}` | `{reason}`")));
        assert!(has_row, "docs/operations.md has no row for condition {condition} with reason {reason}");
        seen += 1;
    }
    assert!(seen > 12, "{seen}: correct how this test reads the code");
}

/// `promtool`, where `scripts/chart-parts` has it.
fn promtool() -> Option<PathBuf> {
    let output = Command::new(root().join("scripts/chart-parts")).args(["--check", "promtool"]).output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    skip::skip("tests of the alerts", &String::from_utf8_lossy(&output.stderr));
    None
}

#[test]
fn alerts_fire_when_they_should() {
    let Some(promtool) = promtool() else { return };
    for args in
        [["check", "rules", "charts/certgate/files/alerts.yaml"], ["test", "rules", "tests/data/alerts_test.yaml"]]
    {
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

/// Seconds from the drafts' time to the present one.
fn since_drafts() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() - der::NOW.as_secs()
}

/// The metrics `certgate_NAME{LABELS} VALUE` of the directory's policies, by name and labels.
fn scraped(loader: &mut Loader) -> BTreeMap<String, i64> {
    let ReloadOutcome::Published(snapshot) = loader.reload().outcome else { panic!("nothing new to publish") };
    let metrics = Metrics::new();
    metrics.set_profiles(snapshot.crls(), snapshot.anchors());
    let text = metrics.render();
    let samples = text.lines().filter_map(|line| line.rsplit_once(' '));
    samples.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?))).collect()
}

#[test]
fn each_crl_of_a_profile_has_series_that_its_renewal_keeps() {
    let key = SigningKey::ed25519();
    let anchor = |days: i64| {
        let now = der::NOW.as_secs() + since_drafts();
        let mut anchor = Draft::ca("CN=CA", "CN=CA", &key);
        anchor.valid(UnixTime::from_secs(now - 2 * DAY), UnixTime::from_secs(now + days * DAY));
        let text = STANDARD.encode(anchor.der(&key));
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let aside = dir.path().join(format!(".{name}"));
        fs::write(&aside, content).unwrap();
        fs::rename(aside, dir.path().join(name)).unwrap();
    };
    let point = |uri: &str| full_name(&[implicit(6, uri)]);
    let signed_by = |key: &[u8]| (id::AUTHORITY_KEY_IDENTIFIER.to_owned(), false, seq(&[implicit(0, key)]));
    // Name of the file, labels after the issuer, number of entries and how the CRL is made.
    let rows = [
        ("complete", r#"kind="complete""#, 4, CrlDraft::new("CN=CA")),
        ("delta", r#"kind="delta""#, 1, CrlDraft::new("CN=CA").with(number(11)).with(base(10))),
        (
            "users",
            r#"kind="complete",scope="http://a/1, onlyContainsUserCerts""#,
            2,
            CrlDraft::new("CN=CA").with(idp(&[point("http://a/1"), flag(1)])),
        ),
        (
            "cas",
            r#"kind="complete",scope="onlyContainsCACerts, onlySomeReasons keyCompromise superseded, indirectCRL""#,
            0,
            CrlDraft::new("CN=CA").with(idp(&[flag(2), reasons(3, &[1, 4]), flag(4)])),
        ),
        ("first", r#"kind="complete",scope="http://a/2""#, 3, CrlDraft::new("CN=CA").with(idp(&[point("http://a/2")]))),
        (
            "second",
            r#"kind="complete",scope="http://a/3""#,
            5,
            CrlDraft::new("CN=CA").with(idp(&[point("http://a/3")])),
        ),
        (
            "old key",
            r#"kind="complete",scope="onlyContainsCACerts",key="0a0b""#,
            6,
            CrlDraft::new("CN=CA").with(idp(&[flag(2)])).with(signed_by(&[0x0a, 0x0b])),
        ),
        (
            "new key",
            r#"kind="complete",scope="onlyContainsCACerts",key="fe""#,
            7,
            CrlDraft::new("CN=CA").with(idp(&[flag(2)])).with(signed_by(&[0xfe])),
        ),
    ];
    let files: Vec<_> = rows.iter().map(|(file, ..)| format!("{{file: {file}.crl}}")).collect();
    let profile = |name: &str, mode: &str, files: &str| {
        format!(
            "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {{name: {name}}}\nspec:\n  mode: {mode}\n  trustAnchors: \
             [{{file: {name}.pem}}]\n  revocation: {{mode: Offline, crls: [{files}]}}\n---\napiVersion: \
             certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {{name: {name}}}\nspec: {{match: [{{hosts: \
             [{name}]}}], trustRef: {{name: {name}}}}}\n---\n"
        )
    };
    let complete = "{file: complete.crl}";
    let profiles = [
        profile("all", "Chain", &files.join(", ")),
        profile("one", "Chain", complete),
        profile("peers", "Peer", complete),
    ];
    write("policies.yaml", profiles.concat().as_bytes());
    write("all.pem", anchor(40).as_bytes());
    write("one.pem", [anchor(60), anchor(-1), anchor(90)].concat().as_bytes());
    write("peers.pem", anchor(40).as_bytes());
    let made = |(_, _, entries, draft): &(&str, &str, u8, CrlDraft), age: i64| {
        let now = since_drafts();
        let dated = draft.clone().dated(now - age, Some(now + DAY));
        (0..*entries).fold(dated, |draft, serial| draft.lists(&[1, serial], None)).der(&key)
    };
    for row in &rows {
        write(&format!("{}.crl", row.0), &made(row, HOUR));
    }
    let mut loader = Loader::new(dir.path());
    let before = scraped(&mut loader);
    for (file, labels, entries, _) in &rows {
        let value =
            |name: &str| before[&format!("certgate_crl_{name}{{profile=\"default/all\",issuer=\"CN=CA\",{labels}}}")];
        assert_eq!(value("entries"), i64::from(*entries), "{file}");
        assert!((HOUR..HOUR + 60).contains(&value("age_seconds")), "{file}: {before:#?}");
        assert!((DAY - 60..=DAY).contains(&value("next_update_seconds")), "{file}: {before:#?}");
    }
    let count = |name: &str| before.keys().filter(|series| series.starts_with(name)).count();
    assert_eq!(count("certgate_crl_entries{"), rows.len() + 2, "a CRL of three profiles has three series: {before:#?}");
    assert_eq!(before[r#"certgate_crl_entries{profile="default/one",issuer="CN=CA",kind="complete"}"#], 4);
    for (profile, days) in [("all", 40), ("one", -1)] {
        let left = before[&format!("certgate_trust_anchor_expiry_seconds{{profile=\"default/{profile}\"}}")];
        assert!((days * DAY - 60..=days * DAY).contains(&left), "{profile}: {left}");
    }
    assert_eq!(count("certgate_trust_anchor_expiry_seconds{"), 2, "peers are believed without an anchor");

    let renewed = (rows[4].0, rows[4].1, 9, rows[4].3.clone().with(number(12)));
    write("first.crl", &made(&renewed, HOUR / 2));
    let after = scraped(&mut loader);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    let series = format!("{{profile=\"default/all\",issuer=\"CN=CA\",{}}}", renewed.1);
    assert_eq!(after[&format!("certgate_crl_entries{series}")], 9);
    assert!((HOUR / 2..HOUR / 2 + 60).contains(&after[&format!("certgate_crl_age_seconds{series}")]), "{after:#?}");
}
