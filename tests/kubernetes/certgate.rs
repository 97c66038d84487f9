//! certgate following a cluster, and the questions that Envoy would ask it.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use certgate::envoy::proto::auth::authorization_client::AuthorizationClient;
use certgate::envoy::proto::auth::{self, check_response::HttpResponse};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::waits::Waits;
use certgate_harness::client::admin_get;
use certgate_harness::pki::Identity;
use certgate_harness::ports::PortLease;
use certgate_harness::process::{Process, Signal};
use certgate_harness::wait::{PATIENCE, until};

/// certgate over a cluster.
pub struct Follower {
    process: Process,
    listen: PortLease,
    admin: PortLease,
    _directory: TempDir,
}

/// What certgate answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The request passes, as this user.
    Allowed(String),
    /// It is denied with this HTTP status and, where the policy reveals it, reason.
    Denied(u16, String),
}

impl Answer {
    /// A pass as `user`.
    pub fn allowed(user: &str) -> Self {
        Self::Allowed(user.to_owned())
    }
}

impl Follower {
    /// Starts one with the credentials of `kubeconfig` and awaits its readiness.
    pub async fn start(kubeconfig: &Path, namespaces: &[&str]) -> Self {
        let mut follower = Self::spawn(kubeconfig, namespaces);
        follower.ready().await;
        follower
    }

    /// Starts one, ready or not. It does not write status.
    pub fn spawn(kubeconfig: &Path, namespaces: &[&str]) -> Self {
        let namespaces = namespaces.iter().map(|namespace| format!("--namespace={namespace}"));
        let args: Vec<_> =
            ["serve", "--kubernetes", "--status=off"].map(str::to_owned).into_iter().chain(namespaces).collect();
        Self::spawn_as(kubeconfig, &args.iter().map(String::as_str).collect::<Vec<_>>(), &[])
    }

    /// Starts one with these arguments, apart from its ports, and this environment alone.
    pub async fn start_as(kubeconfig: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut follower = Self::spawn_as(kubeconfig, args, env);
        follower.ready().await;
        follower
    }

    /// The same, ready or not.
    pub fn spawn_as(kubeconfig: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let (listen, admin) = (PortLease::take(), PortLease::take());
        let directory = TempDir::with_prefix("certgate-").unwrap();
        let mut command = Command::new(certgate_harness::certgate::binary());
        command.env_clear().env("KUBECONFIG", kubeconfig).envs(env.iter().copied());
        command.args(args.iter().filter(|arg| !arg.starts_with("--listen=") && !arg.starts_with("--admin-listen=")));
        command.arg("--listen").arg(listen.address().to_string());
        command.arg("--admin-listen").arg(admin.address().to_string());
        let process = Process::spawn("certgate", command, directory.path());
        Self { process, listen, admin, _directory: directory }
    }

    /// Awaits readiness.
    pub async fn ready(&mut self) {
        until("certgate is ready", PATIENCE, async || {
            assert!(self.process.ended().is_none(), "certgate does not stay up:\n{}", self.process.log());
            self.is_ready().await.then_some(())
        })
        .await;
    }

    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> bool {
        admin_get(self.admin.address(), "/readyz").await.is_some_and(|(status, _)| status == 200)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Where it answers Envoy.
    pub fn address(&self) -> SocketAddr {
        self.listen.address()
    }

    /// Where its admin port is.
    pub fn admin(&self) -> SocketAddr {
        self.admin.address()
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// The value of a metric that `line` begins.
    pub async fn metric(&self, line: &str) -> Option<f64> {
        let (_, text) = admin_get(self.admin.address(), "/metrics").await?;
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }

    /// A connection for questions.
    pub async fn asker(&self) -> Asker {
        self.asker_of().await
    }

    /// The same, for another thread to make.
    pub fn asker_of(&self) -> impl Future<Output = Asker> + Send + use<> {
        Asker::at(self.address())
    }
}

/// Asks as Envoy does.
#[derive(Clone)]
pub struct Asker {
    client: AuthorizationClient<Channel>,
    /// How long each answer was awaited.
    pub waits: Waits,
}

impl Asker {
    /// Connects to a server.
    pub async fn at(address: SocketAddr) -> Self {
        let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
        Self { client: AuthorizationClient::new(endpoint.connect().await.unwrap()), waits: Waits::default() }
    }

    /// Asks about a request for `host` and `path` by a client with a certificate.
    pub async fn ask(&mut self, host: &str, path: &str, client: Option<&Identity>) -> Answer {
        let header = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let http = auth::attribute_context::HttpRequest {
            method: "GET".to_owned(),
            host: host.to_owned(),
            path: path.to_owned(),
            ..Default::default()
        };
        let _ = header;
        let source = auth::attribute_context::Peer {
            certificate: client.map(|client| escaped(&client.pem())).unwrap_or_default(),
            ..Default::default()
        };
        let request = auth::CheckRequest {
            attributes: Some(auth::AttributeContext {
                source: Some(source),
                request: Some(auth::attribute_context::Request { http: Some(http) }),
                ..Default::default()
            }),
        };
        let response = self.client.check(request).await.expect("a denial is an answer too").into_inner();
        match response.http_response {
            Some(HttpResponse::OkResponse(ok)) if response.status.is_none_or(|status| status.code == 0) => {
                let user = ok.headers.into_iter().filter_map(|option| option.header);
                let user = user.filter(|header| header.key == "x-certgate-user").map(|header| header.value).next();
                Answer::Allowed(user.unwrap_or_default())
            }
            Some(HttpResponse::DeniedResponse(denied)) => {
                let status = denied.status.map_or(0, |status| u16::try_from(status.code).unwrap());
                Answer::Denied(status, denied.body.trim().to_owned())
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    /// Asks until the answer is `want`, and gives how long that took.
    pub async fn until(&mut self, want: &Answer, host: &str, client: &Identity, patience: Duration) -> Duration {
        let began = Instant::now();
        let mut last = None;
        loop {
            let answer = self.ask(host, "/", Some(client)).await;
            if answer == *want {
                let took = began.elapsed();
                self.waits.add(took);
                return took;
            }
            assert!(
                began.elapsed() < patience,
                "waited {patience:?} for {want:?}, found {answer:?} (before: {last:?})"
            );
            last = Some(answer);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// As Envoy writes a certificate.
fn escaped(pem: &str) -> String {
    pem.bytes()
        .map(|byte| match byte {
            b'\n' | b' ' | b'+' | b'/' | b'=' => format!("%{byte:02X}"),
            _ => char::from(byte).to_string(),
        })
        .collect()
}
