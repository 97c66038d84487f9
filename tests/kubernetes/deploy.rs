//! The examples in `deploy/`: the server takes every object, those of Istio, Envoy Gateway and Contour too, by the
//! definitions of these projects.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::Cluster;
use crate::with_own_cluster;
use certgate_testing::skip::skip;

const EXAMPLES: &[&str] = &["kubernetes", "istio", "envoy-gateway", "contour"];

/// Installs the definitions of the foreign kinds; `None` after saying that they are missing.
pub fn install_foreign_definitions(cluster: &Cluster) -> Option<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/chart-parts");
    let output = Command::new(script).args(["--check", "crds"]).output().unwrap();
    if !output.status.success() {
        skip("tests with the kinds of other projects", &String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let folder = String::from_utf8(output.stdout).unwrap();
    cluster.kubectl(&["apply", "--server-side", "-f", folder.trim()]);
    cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
    Some(())
}

/// The objects in the YAML files of an example. A file without `kind` is configuration of something else.
fn objects(example: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(example);
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let objects: Vec<_> = files
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .filter(|(_, text)| text.lines().any(|line| line.starts_with("kind:")))
        .collect();
    assert!(objects.len() > 1, "{} has no objects", folder.display());
    objects
}

#[test]
fn every_object_of_the_examples_is_one_that_the_server_takes() {
    with_own_cluster(async |cluster: Cluster| {
        let Some(()) = install_foreign_definitions(&cluster) else { return };
        cluster.install_definitions();
        for namespace in ["payments", "certgate-system", "istio-ingress", "gateways", "projectcontour"] {
            cluster.kubectl(&["create", "namespace", namespace]);
        }
        for example in EXAMPLES {
            for (path, text) in objects(example) {
                let apply =
                    |text: &str| cluster.try_apply(&["--server-side", "--dry-run=server", "--validate=strict"], text);
                let output = apply(&text);
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() && !said.contains("Warning"), "{}: {said}", path.display());
                // The server knows these kinds: it refuses a field that they do not have.
                let wrong = apply(&text.replacen("\nspec:\n", "\nspec:\n  misspelt: 1\n", 1));
                assert!(!wrong.status.success(), "{}: an unknown field was taken", path.display());
            }
        }
    });
}
