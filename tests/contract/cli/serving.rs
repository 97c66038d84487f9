//! Commands that ask a server, and what a server says when it starts.

use super::*;

/// A server on ports of its own choice.
struct Serving {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    admin: String,
    grpc: String,
}

impl Serving {
    fn start(policies: &Path) -> Self {
        Self::start_on(policies, "127.0.0.1:0")
    }

    fn start_on(policies: &Path, address: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_certgate"))
            .args(["serve", "--listen", address, "--admin-listen", address, "--policies"])
            .arg(policies)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut serving = Self { child, log, admin: String::new(), grpc: String::new() };
        let starting = serving.until("starting");
        serving.admin = format!("http://{}", starting["admin"].as_str().unwrap());
        serving.grpc = format!("http://{}", starting["listen"].as_str().unwrap());
        serving.until("ready");
        serving
    }

    /// Reads the log up to the line that says `message`.
    fn until(&mut self, message: &str) -> serde_json::Value {
        for line in &mut self.log {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            if line["message"] == message {
                return line;
            }
        }
        panic!("the log ends without {message:?}")
    }

    fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.until("stopped");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_live_server_explains_like_the_directory_does() {
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start(directory.path());
    let question = ["--host", "api.example.com", "--at", "2026-01-31T12:00:00Z", "--output", "json"];
    let live = certgate(&[&["explain", "--server", &serving.admin][..], &question].concat());
    assert_eq!(live.status.code(), Some(1), "{}", err(&live));
    let policies = directory.path().to_str().unwrap();
    let local = certgate(&[&["explain", "--policies", policies][..], &question].concat());
    assert_eq!(out(&live), out(&local));
    let wrong = certgate(&["explain", "--server", &serving.admin, "--host", "a", "--at", "noon"]);
    assert!(wrong.status.code() == Some(2) && err(&wrong).contains("noon"), "{}", err(&wrong));
    let wrong = certgate(&["explain", "--server", &serving.grpc, "--host", "a"]);
    assert!(wrong.status.code() == Some(2) && err(&wrong).contains("is that the admin port"), "{}", err(&wrong));
    let chosen = Command::new(env!("CARGO_BIN_EXE_certgate"))
        .args(["explain", "--policies", policies, "--host", "a"])
        .env("CERTGATE_SERVER", &serving.grpc)
        .output()
        .unwrap();
    assert!(out(&chosen).contains("NO_POLICY"), "the command line beats the environment: {}", err(&chosen));
    assert_eq!(serving.terminate(), Some(0));
}

/// A directory that is emptied or taken away is refused by the server alone: `check` sees nothing wrong with it.
#[test]
fn the_loss_of_all_policies_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let policies = directory.path().join("policies");
    fs::create_dir(&policies).unwrap();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    fs::write(policies.join("a.yaml"), map).unwrap();
    let mut serving = Serving::start(&policies);
    let rejected = "edit rejected: the policies cannot be read; the policies of this generation stay in use";
    let mut explained = |edit: &dyn Fn()| {
        edit();
        assert_eq!(serving.until(rejected)["generation"], 1);
        let output = certgate(&["explain", "--server", &serving.admin, "--host", "a", "--output", "json"]);
        let json: serde_json::Value = serde_json::from_str(out(&output)).unwrap();
        json["warnings"][0].as_str().unwrap().to_owned()
    };
    let emptied = explained(&|| fs::remove_file(policies.join("a.yaml")).unwrap());
    let lost = explained(&|| fs::remove_dir(&policies).unwrap());
    for (told, why) in [(emptied, "no longer holds any object"), (lost, "cannot read the policy directory")] {
        assert!(told.contains(why) && told.contains("the server keeps using the previous policies"), "{told}");
        assert!(told.contains("Put the policies back") && !told.contains("certgate check"), "{told}");
    }
}

/// Where an edit is taken back, that changes no decision; with errors left it does not read as good news.
#[test]
fn an_edit_that_changes_no_decision_is_logged_as_one() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    let wrong = "---\napiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {name: m, namespace: payments}\n\
                 spec: {certificate: {dns: '*.a'}, identity: {user: u}}\n";
    for (objects, level, want) in [
        (map.to_owned(), "INFO", "no decision changed; the policies of this generation stay in use"),
        (
            format!("{map}{wrong}"),
            "WARN",
            "edit not applied, or without effect: there are errors; the policies of this generation stay in use",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.yaml");
        fs::write(&file, &objects).unwrap();
        let mut serving = Serving::start(directory.path());
        let broken = directory.path().join("b.yaml");
        fs::write(&broken, "spec: [").unwrap();
        serving.until("edit rejected: the policies cannot be read; the policies of this generation stay in use");
        fs::remove_file(&broken).unwrap();
        let line = serving.until(want);
        assert_eq!((&line["generation"], &line["level"]), (&1.into(), &level.into()), "{line}");
        assert_eq!(serving.terminate(), Some(0));
    }
}

#[test]
fn health_is_asked_on_both_ports() {
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start(directory.path());
    for args in
        [&["health", "--server", &serving.admin][..], &["health", "--server", &serving.admin, "--grpc", &serving.grpc]]
    {
        let output = certgate(args);
        assert_eq!((output.status.code(), out(&output)), (Some(0), "ready\n"), "{args:?}: {}", err(&output));
    }
    // A port that answers something else is not healthy.
    for args in [
        ["health", "--server", &serving.grpc, "--grpc", &serving.grpc],
        ["health", "--server", &serving.admin, "--grpc", &serving.admin],
    ] {
        let output = certgate(&args);
        assert_eq!((output.status.code(), out(&output)), (Some(1), ""), "{args:?}");
        assert!(err(&output).contains("http://127.0.0.1:"), "{args:?}: {}", err(&output));
    }
    let admin = serving.admin.clone();
    assert_eq!(serving.terminate(), Some(0));
    let began = std::time::Instant::now();
    let output = certgate(&["health", "--server", &admin, "--wait", "600ms"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("cannot connect"), "{}", err(&output));
    assert!(began.elapsed() >= std::time::Duration::from_millis(300), "it asked again");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let policies = directory.path().to_str().unwrap();
    let output = certgate(&["serve", "--policies", policies, "--listen", &address, "--admin-listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains(&format!("cannot listen on {address}")), "{}", err(&output));
}

#[test]
fn a_port_listens_on_all_addresses_of_a_name() {
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start_on(directory.path(), "localhost:0");
    let addresses = |shown: &str| {
        let shown = shown.strip_prefix("http://").unwrap();
        shown.split(", ").map(|address| format!("http://{address}")).collect::<Vec<_>>()
    };
    for (admin, grpc) in addresses(&serving.admin).iter().zip(&addresses(&serving.grpc)) {
        let output = certgate(&["health", "--server", admin, "--grpc", grpc]);
        assert_eq!(out(&output), "ready\n", "{admin} {grpc}: {}", err(&output));
        let output = certgate(&["explain", "--server", admin, "--host", "api.example.com"]);
        assert!(out(&output).contains("NO_POLICY"), "loopback by any address: {}", err(&output));
    }
    assert_eq!(serving.terminate(), Some(0));
    let output = certgate(&["serve", "--policies", ".", "--listen", "::1:9090"]);
    assert!(output.status.code() == Some(2) && err(&output).contains("NAME:PORT"), "{}", err(&output));
}
