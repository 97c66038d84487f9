//! The README's quick start, pasted: its shell blocks run as they are, in order, with the real Envoy. Only ports
//! differ, because those of the README may be taken where tests run, and certgate is built already.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::with_envoy;
use certgate_harness::certgate;
use certgate_harness::ports::PortLease;
use certgate_harness::process::Process;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The section that is run.
const SECTION: &str = "### Your own policy\n";

/// The ports of the README and of the example: Envoy, its admin port, the API, certgate, its admin port.
const PORTS: [&str; 5] = ["8443", "9901", "8080", "9090", "9091"];

/// The shell blocks of the section, joined.
fn script() -> String {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("the README is there");
    let section = readme.split_once(SECTION).expect("the section is there").1;
    let section = section.split_once("\n## ").expect("another section follows").0;
    let blocks = section.split("```sh\n").skip(1);
    let blocks: Vec<&str> = blocks.map(|rest| rest.split_once("```\n").expect("a block that ends").0).collect();
    assert!(blocks.len() > 4, "mend how this test reads the README");
    blocks.concat()
}

#[test]
fn the_readme_can_be_pasted() {
    with_envoy(async {
        let folder = TempDir::with_prefix("certgate-readme-").expect("a temporary directory can be made");
        let path = |name: &str| folder.path().join(name);
        let leases: Vec<PortLease> = PORTS.iter().map(|_| PortLease::take()).collect();
        let with_ports = |text: String| {
            // By way of a mark, as one number may be found in another.
            let mark = |port: &str| format!("@{}@", port.chars().rev().collect::<String>());
            let marked = PORTS.iter().fold(text, |text, port| text.replace(port, &mark(port)));
            let pairs = PORTS.iter().zip(&leases);
            pairs.fold(marked, |text, (port, lease)| text.replace(&mark(port), &lease.address().port().to_string()))
        };
        // What the checkout has, as far as the README uses it.
        for name in ["target/release", "deploy/envoy", "bin"] {
            fs::create_dir_all(path(name)).expect("the directory is writable");
        }
        symlink(certgate::binary(), path("target/release/certgate")).expect("a link can be made");
        symlink(Path::new(ROOT).join("scripts"), path("scripts")).expect("a link can be made");
        let example = fs::read_to_string(Path::new(ROOT).join("deploy/envoy/envoy.yaml")).expect("it is there");
        fs::write(path("deploy/envoy/envoy.yaml"), with_ports(example)).expect("the directory is writable");
        certgate_testing::program::write(&path("bin/cargo"), "#!/bin/sh\n");

        let mut command = Command::new("bash");
        command.args(["-e", "-c", &with_ports(script())]).current_dir(folder.path());
        let system = std::env::var("PATH").expect("there is a PATH");
        command.env("PATH", format!("{}:{system}", path("bin").display()));
        let address = |at: usize| leases[at].address().to_string();
        command.env("CERTGATE_LISTEN", address(3)).env("CERTGATE_ADMIN_LISTEN", address(4));
        command.env("CERTGATE_SERVER", format!("http://{}", address(4)));
        let mut process = Process::spawn("readme", command, folder.path());
        let status = process.wait(Duration::from_secs(100)).await;
        let log = process.log();
        assert!(status.success(), "{status}:\n{log}");

        let lines = log.lines().map(str::trim_end);
        let reached: Vec<&str> = lines.filter(|line| line.starts_with("x-certgate-")).collect();
        assert_eq!(reached, ["x-certgate-user: svc-contoso", "x-certgate-groups: partners"], "{log}");
        assert!(log.lines().any(|line| line == "403"), "{log}");
        let records: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let told: Vec<Value> =
            records.iter().map(|line| json!([line["status"], line["user"], line["reason"]])).collect();
        assert!(told.contains(&json!([200, "svc-contoso", null])), "{log}");
        assert!(told.contains(&json!([403, null, "NO_POLICY"])), "{log}");
    });
}
