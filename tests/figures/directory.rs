//! 100,000 `CertificateMapping` documents from a directory: ready in under 3 s, under 128 MiB RSS; adding one is live in
//! under a second.
//!
//! `make figures-directory` runs it optimized. Memory is read of the whole process, so each layout runs in a process of
//! its own.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says what it measured")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::in_own_process;
use certgate::file::loader::{Loader, ReloadOutcome};
use certgate_testing::bars::Bars;

const MAPPINGS: usize = 100_000;

fn write_mapping(out: &mut impl Write, n: usize) {
    write!(
        out,
        "---\napiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata:\n  name: partner-{n}\n  namespace: payments\n  \
         labels: {{api: payments}}\nspec:\n  certificate: {{sha256: \"{n:064x}\"}}\n  identity:\n    user: svc-partner-{n}\n    \
         groups: [partners, tier-{}]\n    uid: \"{n}\"\n",
        n % 7
    )
    .unwrap();
}

fn write_policy(dir: &Path) {
    fs::write(
        dir.join("policy.yaml"),
        "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: payments, namespace: payments}\nspec:\n  \
         match: [{hosts: [api.example.com]}]\n  trustRef: {name: partners}\n  mapping:\n    selector: {matchLabels: {api: payments}}\n\
         ---\napiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: partners, namespace: payments}\nspec: {}\n",
    )
    .unwrap();
}

fn write_directory(dir: &Path, files: usize) {
    write_policy(dir);
    for file in 0..files {
        let mut out = BufWriter::new(File::create(dir.join(format!("mappings-{file}.yaml"))).unwrap());
        for n in (file..MAPPINGS).step_by(files) {
            write_mapping(&mut out, n);
        }
        out.flush().unwrap();
    }
}

/// Kilobytes of the process' memory: now, and at most so far.
fn memory() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// The processor time that this process has used. Unlike the clock on the wall it means the same on a busy machine.
fn processor() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn measure(files: usize) {
    let dir = tempfile::tempdir().unwrap();
    write_directory(dir.path(), files);

    let mut loader = Loader::new(dir.path());
    let (start, used) = (Instant::now(), processor());
    let first = loader.reload();
    let (load, load_used) = (start.elapsed(), processor() - used);
    assert!(matches!(first.outcome, ReloadOutcome::Published(_)), "{:?} {:?}", first.outcome, first.problems.first());
    assert_eq!(first.totals.objects, MAPPINGS + 2);
    let (rss, peak) = memory();

    let (start, used) = (Instant::now(), processor());
    let idle_outcome = loader.reload().outcome;
    let (idle, idle_used) = (start.elapsed(), processor() - used);
    assert!(matches!(idle_outcome, ReloadOutcome::Unchanged), "{idle_outcome:?}");

    let added = dir.path().join("mappings-0.yaml");
    let mut out = fs::OpenOptions::new().append(true).open(&added).unwrap();
    write_mapping(&mut out, MAPPINGS);
    drop(out);
    let (start, used) = (Instant::now(), processor());
    let second = loader.reload();
    let (add, add_used) = (start.elapsed(), processor() - used);
    assert!(matches!(second.outcome, ReloadOutcome::Published(_)), "{:?}", second.outcome);
    assert_eq!(second.totals.objects, MAPPINGS + 3);
    assert_eq!(second.parsed, 1, "only the new document is parsed");
    let (rss_after, peak_after) = memory();

    println!("{MAPPINGS} mappings in {files} files:");
    println!(
        "  load        {load:>9.1?} ({load_used:.2?} of a processor), RSS {} MiB, peak {} MiB",
        rss >> 10,
        peak >> 10
    );
    println!("  look again  {idle:>9.1?} ({idle_used:.2?})");
    println!("  add one     {add:>9.1?} ({add_used:.2?}), RSS {} MiB, peak {} MiB", rss_after >> 10, peak_after >> 10);
    let mut bars = Bars::new();
    bars.time(&format!("load from {files} files"), load, Duration::from_secs(3));
    bars.time(&format!("adding one to {files} files"), add, Duration::from_secs(1));
    bars.count(&format!("peak memory with {files} files (KiB)"), peak_after, 128 << 10);
    bars.end();
}

#[test]
#[ignore = "a measurement, for release builds"]
fn in_one_file() {
    in_own_process("directory::in_one_file", || measure(1));
}

#[test]
#[ignore = "a measurement, for release builds"]
fn in_a_hundred_files() {
    in_own_process("directory::in_a_hundred_files", || measure(100));
}

#[test]
#[ignore = "a measurement, for release builds"]
fn in_a_file_each() {
    in_own_process("directory::in_a_file_each", || measure(MAPPINGS));
}
