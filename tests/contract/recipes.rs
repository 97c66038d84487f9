//! What `make` runs, here and in continuous integration: the recipes leave nothing out, and figures fail nobody's
//! tests.

use certgate_testing::bars;
use certgate_testing::skip;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bars::{Bars, Machine};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The commands of a recipe and of what it depends on, one a line.
fn commands(recipe: &str) -> Vec<String> {
    let mut make = Command::new("make");
    // The recipe may be running this test: nothing of that is for the make below.
    for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CI"] {
        make.env_remove(variable);
    }
    make.args(["--no-print-directory", "--dry-run", recipe, "CARGO=cargo"]).current_dir(ROOT);
    let output = make.output().expect("make runs");
    assert!(output.status.success(), "make {recipe}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).replace("\\\n", " ").lines().map(str::to_owned).collect()
}

/// The names of the test targets that cargo's `--all-targets` leaves out.
fn left_out() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let targets: Vec<String> = manifest
        .split("[[test]]")
        .skip(1)
        .filter(|target| target.lines().take_while(|line| !line.starts_with('[')).any(|line| line == "test = false"))
        .map(|target| {
            let name = target.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
            name.expect("a target has a name").to_owned()
        })
        .collect();
    assert!(targets.len() > 1, "mend how this test reads Cargo.toml");
    targets
}

#[test]
fn the_linters_read_every_target() {
    let commands = commands("lint");
    let clippy: Vec<&String> = commands.iter().filter(|line| line.contains("cargo clippy")).collect();
    assert!(clippy.iter().any(|line| line.contains("--workspace --all-targets")), "{clippy:#?}");
    for target in left_out() {
        let words = format!("--test {target} ");
        assert!(
            clippy.iter().any(|line| format!("{line} ").contains(&words)),
            "nothing compiles {target}: {clippy:#?}"
        );
    }
    for manifest in [" fuzz/Cargo.toml", "crates/certgate-x509/fuzz/Cargo.toml"] {
        assert!(clippy.iter().any(|line| line.contains(manifest)), "nothing compiles the targets of {manifest}");
    }
    assert!(commands.iter().any(|line| line.contains("-D warnings") && line.contains("cargo doc")), "{commands:#?}");
    assert!(commands.iter().any(|line| line.contains("cargo package")), "{commands:#?}");
}

#[test]
fn the_tests_are_all_run_and_judge_no_figures() {
    let commands = commands("test");
    let cargo: Vec<&String> = commands.iter().filter(|line| line.contains("cargo test")).collect();
    assert!(cargo.iter().any(|line| line.trim_end().ends_with("cargo test --locked --workspace")), "{cargo:#?}");
    for target in left_out() {
        let words = format!("--test {target} ");
        assert!(cargo.iter().any(|line| format!("{line} ").contains(&words)), "{target} is not run: {cargo:#?}");
    }
    for line in cargo {
        assert!(!line.contains("--ignored") && !line.contains("--profile"), "a figure: {line}");
    }
}

#[test]
fn the_figures_are_measured() {
    let commands = commands("figures");
    for (target, module) in [
        ("figures", "directory::"),
        ("figures", "index::"),
        ("figures", "crl::"),
        ("figures", "crl_serve::"),
        ("kubernetes", "scale::"),
    ] {
        let target = format!("--test {target} ");
        let is_measured = |line: &String| {
            let has_module = line.split(' ').any(|word| word == module);
            line.contains(&target) && has_module && line.contains("--ignored") && line.contains("measure")
        };
        assert!(commands.iter().any(is_measured), "{target}{module} is not measured: {commands:#?}");
    }
    // Their optimized builds hold other bars than those that all tests run with.
    for words in ["--test figures -- flood:: ", "--test e2e -- --test-threads=1 --nocapture strangers::"] {
        let is_measured = |line: &String| line.contains(words) && line.contains("--profile measure");
        assert!(commands.iter().any(is_measured), "{words} is not measured: {commands:#?}");
    }
}

/// The targets that `--test` names in a text.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let named = text.split("--test").skip(1).filter_map(|rest| rest.strip_prefix([' ', '=']));
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    named.map(move |rest| &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]).filter(|name| !name.is_empty())
}

#[test]
fn recipes_and_pages_name_targets_that_exist() {
    let mut files = vec!["Makefile".into(), ".cargo/mutants.toml".into(), "README.md".into()];
    for folder in ["docs", "scripts", "crates/certgate-x509/tests", "tests/figures"] {
        let entries = fs::read_dir(Path::new(ROOT).join(folder)).expect("a folder of the project");
        let names = entries.map(|entry| entry.expect("a readable folder").path());
        files.extend(names.filter(|path| path.is_file()));
    }
    let mut seen = 0;
    for file in files {
        let file = Path::new(ROOT).join(file);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for target in targets(&text) {
            let places = ["tests", "crates/certgate-x509/tests"].map(|folder| Path::new(ROOT).join(folder));
            let exists = |place: &Path| {
                place.join(format!("{target}.rs")).exists() || place.join(target).join("main.rs").exists()
            };
            assert!(places.iter().any(|place| exists(place)), "{}: there is no test target {target}", file.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}: correct how this test reads recipes and pages");
}

#[test]
fn continuous_integration_runs_all_of_it() {
    let script = read(".ci/run");
    let steps: Vec<&str> = script.lines().filter_map(|line| line.strip_prefix("step ")).collect();
    assert_eq!(steps, ["make lint", "make test", "make figures"]);
    assert!(script.contains("export CI=true"), "suites that are skipped fail there");
}

/// What the bars say on either machine when each kind of figure is three times too high.
fn missed(machine: Machine) -> Vec<String> {
    let figures: [(&str, fn(&mut Bars)); 4] = [
        ("time", |bars| bars.time("time", Duration::from_secs(3), Duration::from_secs(1))),
        ("ratio", |bars| bars.ratio("ratio", 3.0, 1.0)),
        ("loose ratio", |bars| bars.loose_ratio("loose ratio", 3.0, 1.0)),
        ("memory", |bars| bars.count("memory", 3, 1)),
    ];
    let misses = |judge: &fn(&mut Bars)| {
        let mut bars = Bars::on(machine);
        judge(&mut bars);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bars.end())).err()
    };
    let told = figures.iter().filter_map(|(what, judge)| Some((what, misses(judge)?)));
    told.map(|(what, panic)| {
        let text = panic.downcast::<String>().expect("a text");
        assert!(text.contains(&format!("{what}: 3")) && text.contains("the bar is 1"), "it names its bar: {text}");
        (*what).to_owned()
    })
    .collect()
}

#[test]
fn a_neighbour_fails_no_figure() {
    assert_eq!(missed(Machine::Quiet), ["time", "ratio", "loose ratio", "memory"]);
    assert_eq!(missed(Machine::Shared), ["memory"]);
    let mut bars = Bars::on(Machine::Shared);
    bars.ratio("a ratio beyond any neighbour's doing", 6.0, 1.0);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bars.end())).is_err());
    let mut bars = Bars::new();
    bars.count("nothing is too much", 1, 1);
    bars.end();
}

#[test]
#[ignore = "a_skipped_test_is_heard runs it"]
fn a_test_that_lacks_something() {
    skip::skip("this test", "there is nothing to test with");
}

#[test]
fn a_skipped_test_is_heard() {
    let run = |ci: &str| {
        let mut command = Command::new(std::env::current_exe().expect("a running program has a path"));
        command.args(["--ignored", "--exact", "recipes::a_test_that_lacks_something"]).env("CI", ci);
        command.output().expect("a test can be run")
    };
    let here = run("");
    assert!(here.status.success());
    let told = String::from_utf8_lossy(&here.stderr);
    assert!(told.contains("SKIPPED: this test: there is nothing to test with"), "captured: {told}");
    assert!(!run("true").status.success(), "in continuous integration it fails");
}
