//! `check` and `explain` with `--kubernetes`, against a stand-in for an API server that answers lists and nothing else: what
//! is asked for, with which namespaces, and what is told about what it refuses.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// What is answered to a list of the objects at a path; the path alone counts for collections, and the name for one object.
type Answers = fn(&str, Option<&str>) -> (u16, Value);

/// A server of lists, for as long as the test lives.
struct Cluster {
    folder: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Cluster {
    fn new(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(mut stream), log) = (stream, log.clone()) else { return };
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut line = String::new();
                    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
                        while line.trim() != "" {
                            line.clear();
                            reader.read_line(&mut line).unwrap();
                        }
                        line.clear();
                        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
                        let name =
                            query.split('&').find_map(|part| part.strip_prefix("fieldSelector=metadata.name%3D"));
                        log.lock().unwrap().push(match name {
                            Some(name) => format!("{path} {name}"),
                            None => path.to_owned(),
                        });
                        let (status, body) = answers(path, name);
                        let body = body.to_string();
                        let head = format!(
                            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                            body.len()
                        );
                        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        });
        fs::write(folder.path().join("config"), config.to_string()).unwrap();
        Self { folder, asked }
    }

    fn certgate(&self, words: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_certgate"))
            .args(words.split_whitespace())
            .env("KUBECONFIG", self.folder.path().join("config"))
            .env_remove("CERTGATE_POLICIES")
            .env_remove("CERTGATE_SERVER")
            .output()
            .unwrap()
    }

    /// The lists that have been asked for since last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn list(items: Value) -> (u16, Value) {
    (200, json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": items}))
}

fn refused(code: u16, reason: &str) -> (u16, Value) {
    let message = format!("the stand-in says {reason}");
    (code, json!({"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message}))
}

fn object(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "a", "generation": 1, "uid": name, "resourceVersion": "1"}, "spec": spec})
}

/// A policy of two sources: one that may not be read, and one that is not there.
fn answers(path: &str, name: Option<&str>) -> (u16, Value) {
    let kind = path.rsplit('/').next().unwrap_or_default();
    match (kind, name) {
        ("trustprofiles", None) => list(json!([object(
            "t",
            json!({"trustAnchors": [{"secret": {"name": "roots"}}, {"configMap": {"name": "more"}}]})
        ),])),
        ("certificatepolicies", None) => {
            list(json!([object("p", json!({"match": [{"hosts": ["a.example"]}], "trustRef": {"name": "t"}}))]))
        }
        ("certificatemappings", None) => {
            list(json!([object("m", json!({"certificate": {"email": "a@b.example"}, "identity": {"user": "u"}}))]))
        }
        ("secrets", Some("roots")) => refused(403, "Forbidden"),
        ("configmaps", Some("more")) => list(json!([])),
        _ => refused(404, "NotFound"),
    }
}

#[test]
fn a_cluster_is_checked_without_a_server() {
    let cluster = Cluster::new(answers);
    let output = cluster.certgate("check --kubernetes");
    assert_eq!((output.status.code(), err(&output)), (Some(1), ""), "{}", out(&output));
    let lines: Vec<&str> = out(&output).lines().collect();
    let want = [
        "note: CertificatePolicy a/p: spec.trustRef: TrustProfile a/t is not available: a source of it cannot be read",
        "TrustProfile a/t: spec.trustAnchors[0].secret: Secret a/roots may not be read: the API server forbids it",
        "TrustProfile a/t: spec.trustAnchors[1].configMap: ConfigMap a/more does not exist",
    ];
    for want in want {
        assert!(lines.contains(&want), "{want}\n{}", out(&output));
    }
    assert!(out(&output).contains("warning: CertificateMapping a/m: spec.certificate.email: "), "{}", out(&output));
    assert!(out(&output).contains("2 errors, 2 warnings: 3 objects in the cluster\n"), "{}", out(&output));
    let group = "/apis/certgate.dev/v1alpha1";
    let mut want =
        ["trustprofiles", "certificatepolicies", "certificatemappings"].map(|kind| format!("{group}/{kind}")).to_vec();
    want.push("/api/v1/namespaces/a/configmaps more".to_owned());
    want.push("/api/v1/namespaces/a/secrets roots".to_owned());
    assert_eq!(cluster.asked(), want, "everything once, and sources by their names alone");

    let output = cluster.certgate("check --kubernetes --sources=skip --output json");
    let report: Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!((output.status.code(), &report["errors"]), (Some(0), &json!(0)), "{report}");
    cluster.asked();

    cluster.certgate("check --kubernetes --namespace a --namespace b");
    let asked = cluster.asked();
    assert_eq!(asked.iter().filter(|path| path.starts_with(&format!("{group}/namespaces/"))).count(), 6, "{asked:?}");
    assert!(asked.iter().all(|path| path.contains("/namespaces/")), "{asked:?}");
}

#[test]
fn a_cluster_explains_without_a_server() {
    let cluster = Cluster::new(answers);
    let output = cluster.certgate("explain --kubernetes --host a.example --output json");
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("1 object is in error; `certgate check --kubernetes` names all"), "{}", err(&output));
    let answer: Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(answer["decision"]["policy"], "a/p");
    assert_eq!(answer["decision"]["reason"]["code"], "TRUST_UNAVAILABLE");
}

#[test]
fn a_cluster_that_cannot_be_read_is_no_answer() {
    let without = Cluster::new(|_, _| refused(404, "NotFound"));
    let forbidden = Cluster::new(|_, _| refused(403, "Forbidden"));
    let labels = Cluster::new(|path, name| match path.rsplit('/').next() {
        Some("trustprofiles") => {
            let selector = json!({"from": "Selector", "selector": {"matchLabels": {"a": "b"}}});
            list(json!([object("t", json!({"trustAnchors": [], "allowedNamespaces": selector}))]))
        }
        Some("namespaces") => refused(403, "Forbidden"),
        _ => answers(path, name),
    });
    for words in ["check --kubernetes", "explain --kubernetes --host a.example"] {
        let output = without.certgate(words);
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""), "{words}");
        assert!(err(&output).contains("are the custom resource definitions installed"), "{}", err(&output));
        let output = forbidden.certgate(words);
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""), "{words}");
        assert!(err(&output).contains("must be allowed to list"), "{}", err(&output));
        let output = labels.certgate(words);
        assert_eq!(
            (output.status.code(), out(&output)),
            (Some(2), ""),
            "{words}: labels decide who may refer to a profile"
        );
        let mut absent = Command::new(env!("CARGO_BIN_EXE_certgate"));
        absent
            .args(words.split_whitespace())
            .env("KUBECONFIG", "/does/not/exist")
            .env_remove("KUBERNETES_SERVICE_HOST");
        let output = absent.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {}", err(&output));
        assert!(err(&output).contains("no cluster to read"), "{}", err(&output));
    }
}
