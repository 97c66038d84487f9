//! The real Envoy as a process, with its log and statistics.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::client::admin_get;
use super::envoy_config::Config;
use super::process::Process;
use super::wait::{PATIENCE, until};
use certgate_testing::skip::skip;

/// A running Envoy.
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
    listeners: HashMap<String, SocketAddr>,
    access_log: PathBuf,
    // Dropped last: the process writes into it.
    _directory: Option<TempDir>,
}

/// One line of the access log.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct AccessRecord {
    pub id: Option<String>,
    pub status: Option<u16>,
    pub details: Option<String>,
    pub flags: Option<String>,
    /// What the authorizer said in dynamic metadata.
    pub authz: Option<Value>,
}

impl AccessRecord {
    /// A text in the authorizer's metadata, by a path of keys such as `/identity/user`.
    pub fn told(&self, pointer: &str) -> Option<&str> {
        self.authz.as_ref()?.pointer(pointer)?.as_str()
    }
}

/// The path of Envoy's program, which is downloaded if necessary.
///
/// Without it the end-to-end tests prove nothing: with `CI=true` that is a failure, and otherwise `None`, with a
/// message.
pub fn binary() -> Option<&'static Path> {
    static BINARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = BINARY.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/fetch-envoy");
        let why = match Command::new(script).output() {
            Ok(output) if output.status.success() => {
                return Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => format!("{script}: {error}"),
        };
        skip("tests with a real Envoy", &why);
        None
    });
    found.as_deref()
}

impl Envoy {
    /// Starts one and awaits its readiness. Panics when there is no Envoy; tests ask [`binary`] first.
    pub async fn start(config: &Config) -> Self {
        let directory = TempDir::with_prefix("certgate-envoy-").expect("a temporary directory can be made");
        let access_log = directory.path().join("access.log");
        let bootstrap = config.bootstrap(&access_log).to_string();
        let mut envoy = Self::launch("envoy", &bootstrap, "json", directory.path(), access_log).await;
        envoy._directory = Some(directory);
        envoy
    }

    /// Starts one with a bootstrap as text. The listeners' ports are free to be 0, and so is the admin's.
    pub async fn launch(name: &str, bootstrap: &str, format: &str, directory: &Path, access_log: PathBuf) -> Self {
        let config = directory.join(format!("{name}.{format}"));
        fs::write(&config, bootstrap).expect("the directory is writable");
        let admin_file = directory.join(format!("{name}.admin"));
        let mut command = Command::new(binary().expect("there is an Envoy"));
        command.arg("--config-path").arg(config);
        command.arg("--admin-address-path").arg(&admin_file);
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]);
        // The access log is read as soon as a request is done.
        command.args(["--file-flush-interval-msec", "10"]);
        let mut process = Process::spawn(name, command, directory);

        let admin = until("Envoy writes its admin address", PATIENCE, async || {
            assert!(process.ended().is_none(), "Envoy does not start:\n{}", process.log());
            fs::read_to_string(&admin_file).ok()?.trim().parse().ok()
        })
        .await;
        until("Envoy is ready", PATIENCE, async || {
            assert!(process.ended().is_none(), "Envoy does not stay up:\n{}", process.log());
            let (status, _) = admin_get(admin, "/ready").await?;
            (status == 200).then_some(())
        })
        .await;
        let (_, listeners) = admin_get(admin, "/listeners?format=json").await.expect("Envoy's admin port answers");
        Self { process, admin, listeners: addresses(&listeners), access_log, _directory: None }
    }

    /// The address of a listener.
    pub fn address(&self, listener: &str) -> SocketAddr {
        *self.listeners.get(listener).unwrap_or_else(|| panic!("no listener {listener}: {:?}", self.listeners))
    }

    /// The address of the admin port.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// A counter of Envoy's statistics.
    pub async fn counter(&self, name: &str) -> u64 {
        let (_, text) =
            admin_get(self.admin, &format!("/stats?filter={name}")).await.expect("Envoy's admin port answers");
        text.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum()
    }

    /// The access log's record of a request.
    pub async fn access(&self, id: &str) -> AccessRecord {
        until(&format!("the access log tells of {id}"), PATIENCE, async || {
            self.access_records().into_iter().find(|record| record.id.as_deref() == Some(id))
        })
        .await
    }

    /// All records so far.
    pub fn access_records(&self) -> Vec<AccessRecord> {
        let text = fs::read_to_string(&self.access_log).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

fn addresses(json: &str) -> HashMap<String, SocketAddr> {
    let value: Value = serde_json::from_str(json).expect("Envoy writes JSON");
    let listeners = value["listener_statuses"].as_array().cloned().unwrap_or_default();
    let address = |listener: &Value| {
        let socket = &listener["local_address"]["socket_address"];
        let ip = socket["address"].as_str()?.parse().ok()?;
        let port = u16::try_from(socket["port_value"].as_u64()?).ok()?;
        Some((listener["name"].as_str()?.to_owned(), SocketAddr::new(ip, port)))
    };
    listeners.iter().filter_map(address).collect()
}
