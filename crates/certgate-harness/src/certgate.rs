//! certgate as a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::client::admin_get;
use super::ports::PortLease;
use super::process::{Process, Signal};
use super::wait::{PATIENCE, until};

/// A certgate server over a directory of policies.
pub struct Certgate {
    process: Process,
    options: Vec<String>,
    policies: PathBuf,
    listen: PortLease,
    admin: PortLease,
    directory: TempDir,
}

/// The program: the path in `CERTGATE_BIN`, or Cargo's path, or the one beside the running test or example.
///
/// Only a test target knows `env!("CARGO_BIN_EXE_certgate")` when it is compiled; newer versions of Cargo set the
/// variable for the process as well.
pub fn binary() -> PathBuf {
    for variable in ["CERTGATE_BIN", "CARGO_BIN_EXE_certgate"] {
        if let Some(path) = std::env::var_os(variable) {
            return path.into();
        }
    }
    let here = std::env::current_exe().expect("a running program has a path");
    // target/PROFILE/deps/e2e-0123, target/PROFILE/examples/demo -> target/PROFILE/certgate
    let path = here.ancestors().nth(2).expect("tests and examples lie two levels down").join("certgate");
    assert!(path.exists(), "{} is not there: name the program in CERTGATE_BIN", path.display());
    path
}

impl Certgate {
    /// Starts one over `policies` and awaits its readiness.
    pub async fn start(policies: &Path) -> Self {
        let mut certgate = Self::spawn(policies);
        certgate.ready().await;
        certgate
    }

    /// Starts one with further options of `serve` and awaits its readiness.
    pub async fn start_with(policies: &Path, options: &[&str]) -> Self {
        let mut certgate = Self::spawn_with(policies, options);
        certgate.ready().await;
        certgate
    }

    /// Starts one, ready or not.
    pub fn spawn(policies: &Path) -> Self {
        Self::spawn_with(policies, &[])
    }

    fn spawn_with(policies: &Path, options: &[&str]) -> Self {
        let (listen, admin) = (PortLease::take(), PortLease::take());
        let directory = TempDir::with_prefix("certgate-").expect("a temporary directory can be made");
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let process = serve(policies, &listen, &admin, &directory, &options);
        Self { process, options, policies: policies.to_owned(), listen, admin, directory }
    }

    /// Awaits readiness.
    pub async fn ready(&mut self) {
        until("certgate is ready", PATIENCE, async || {
            assert!(self.process.ended().is_none(), "certgate does not stay up:\n{}", self.process.log());
            let (status, _) = admin_get(self.admin.address(), "/readyz").await?;
            (status == 200).then_some(())
        })
        .await;
    }

    /// The address for Envoy.
    pub fn address(&self) -> SocketAddr {
        self.listen.address()
    }

    /// The address of the admin port.
    pub fn admin(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Starts it again at the same ports, after it has ended.
    pub async fn restart(&mut self) {
        assert!(self.process.ended().is_some(), "it still runs");
        self.process = serve(&self.policies, &self.listen, &self.admin, &self.directory, &self.options);
        self.ready().await;
    }

    /// Kills it without a chance to clean up.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends the signal to drain and end.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// `/metrics`.
    pub async fn metrics(&self) -> String {
        let (status, text) = admin_get(self.admin(), "/metrics").await.expect("the admin port answers");
        assert_eq!(status, 200, "{text}");
        text
    }
}

fn serve(policies: &Path, listen: &PortLease, admin: &PortLease, directory: &TempDir, options: &[String]) -> Process {
    let mut command = Command::new(binary());
    command.arg("serve").arg("--policies").arg(policies);
    command.arg("--listen").arg(listen.address().to_string());
    command.arg("--admin-listen").arg(admin.address().to_string());
    command.args(options);
    // Printing a panic's backtrace takes a hundred megabytes, which tests of memory would count.
    command.env("RUST_BACKTRACE", "0");
    Process::spawn("certgate", command, directory.path())
}
