//! `check` and `explain` that read a cluster by themselves, with the rights of whoever asks.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::edits::{allow, policy, profile, roots};
use crate::with_cluster;
use certgate_harness::pki::Pki;

fn certgate(kubeconfig: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(certgate_harness::certgate::binary());
    command.env_clear().env("KUBECONFIG", kubeconfig).args(args).output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_cluster_is_checked_and_explained_with_the_rights_of_whoever_asks() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        cluster.apply(
            &[
                roots(&namespace, &pki),
                profile(&namespace, "good", "[{configMap: {name: roots}}]"),
                profile(&namespace, "secret", "[{secret: {name: hidden}}]"),
                policy(&namespace, "good", &host, "good", &allow("acme", "acme")),
                policy(&namespace, "secret", &format!("b.{host}"), "secret", ""),
            ]
            .concat(),
        );
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("client.pem");
        std::fs::write(&file, client.pem()).unwrap();
        let file = file.to_str().unwrap();
        let kinds = "[{apiGroups: [certgate.dev], resources: ['*'], verbs: [list]}, \
                     {apiGroups: [''], resources: [configmaps], verbs: [list]}]";
        let reader = cluster.service_account(&namespace, "reader", kinds);
        let only = ["--kubernetes", "--namespace", &namespace];

        let output = certgate(&reader, &[&["check"][..], &only].concat());
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        let want = format!("Secret {namespace}/hidden may not be read: the API server forbids it");
        assert!(told(&output).contains(&want), "{}", told(&output));
        let output = certgate(&cluster.admin_kubeconfig(), &[&["check"][..], &only].concat());
        let want = format!("Secret {namespace}/hidden does not exist");
        assert!(output.status.code() == Some(1) && told(&output).contains(&want), "{}", told(&output));
        let output = certgate(&reader, &[&["check", "--sources=skip"][..], &only].concat());
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));

        let explain = |host: &str| {
            let output =
                certgate(&reader, &[&["explain", "--host", host, "--output", "json", file][..], &only].concat());
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
            (output.status.code(), answer)
        };
        let (code, answer) = explain(&host);
        assert_eq!((code, &answer["decision"]["identity"]["user"]), (Some(0), &"acme".into()), "{answer}");
        let (code, answer) = explain(&format!("b.{host}"));
        assert_eq!((code, &answer["decision"]["reason"]["code"]), (Some(1), &"TRUST_UNAVAILABLE".into()), "{answer}");

        // Nothing at all may be read elsewhere, and that is no answer.
        let output = certgate(&reader, &["check", "--kubernetes"]);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(told(&output).contains("must be allowed to list"), "{}", told(&output));
    });
}
