//! Joins the adapters: the policy directory or the cluster feeds the index, the snapshots of the index decide Envoy's
//! requests, and the admin port reports their state.
//!
//! Owns the order of start and end, and assigns the work to threads. Adapters do not know one another; this module
//! connects them.

pub mod admission;
pub mod cluster;
pub mod freshness;
mod once;
pub mod policies;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

pub use self::once::{check_cluster, explain_by_cluster};
use self::policies::{LastLoadError, LoadError, Loaded};
use crate::admin::{Admin, Explain, NoAnswer};
use crate::clock;
use crate::config::{PolicySource, ServeConfig};
use crate::domain::decide::cache::DecisionCache;
use crate::envoy::server::{self, Ended, ServerOptions, Transport};
use crate::envoy::service::Authorizer;
use crate::explain::{self, Explanation, Question, QuestionError, RemoteError};
use crate::file::report::ProblemClass;
use crate::kubernetes::admission::metrics::AdmissionMetrics;
use crate::kubernetes::cluster::ClusterError;
use crate::kubernetes::health::{Health, WatchMetrics};
use crate::kubernetes::read::ReadError;
use crate::kubernetes::shutdown::ClusterShutdown;
use crate::lifecycle::{Lifecycle, Phase, Signals};
use crate::listeners::{Bound, ListenAddress};
use crate::metrics::{Metrics, cache};
use crate::telemetry::{self, TelemetryError};
use crate::tls::accept::Acceptor;
use crate::tls::health::{self, TlsHealth};
use crate::tls::watch::{self, FollowError};

/// Why the process cannot serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The log cannot start.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The TLS certificate of the authorization port, or the list of allowed callers, cannot be read.
    #[error(transparent)]
    Tls(#[from] FollowError),
    /// A socket cannot be bound.
    #[error("cannot listen on {0}: {1}")]
    Listen(ListenAddress, io::Error),
    /// The policies cannot be loaded.
    #[error("{0}: {1}")]
    Policies(std::path::PathBuf, LoadError),
    /// The cluster cannot be followed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The certificate of the admission webhook cannot be read or made.
    #[error("admission webhook: {0}")]
    Admission(FollowError),
    /// Threads or signal handlers cannot be set up.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// Serves until a signal ends the process.
pub fn serve(config: &ServeConfig) -> Result<(), ServeError> {
    let mut metrics = Metrics::new();
    let health = Arc::new(Health::new());
    if matches!(config.policies, PolicySource::Cluster(_)) {
        metrics.register(Box::new(WatchMetrics(health.clone())));
    }
    let tls = Arc::new(TlsHealth::default());
    metrics.register(Box::new(health::TlsMetrics(tls.clone())));
    let reviews = Arc::new(AdmissionMetrics::default());
    if config.admission.is_some() {
        metrics.register(Box::new(admission::ReviewMetrics(reviews.clone())));
    }
    let decisions = Arc::new(DecisionCache::default());
    metrics.register(Box::new(cache::CacheMetrics(decisions.clone())));
    let metrics = Arc::new(metrics);
    let _log = telemetry::init(config.log_format, &config.log_filter, metrics.log_lines_dropped())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(run(config, &metrics, &health, &tls, &reviews, decisions));
    // Work that still runs after the deadline is abandoned.
    runtime.shutdown_background();
    ended
}

async fn run(
    config: &ServeConfig,
    metrics: &Arc<Metrics>,
    health: &Arc<Health>,
    tls: &TlsHealth,
    reviews: &Arc<AdmissionMetrics>,
    decisions: Arc<DecisionCache>,
) -> Result<(), ServeError> {
    let mut signals = Signals::install()?;
    let transport = match &config.tls {
        None => Transport::Plaintext,
        Some(files) => {
            let server = watch::follow(files.clone(), &[b"h2"], tls.server("grpc"), watch::TlsWatchOptions::default())?;
            Transport::Tls(Arc::new(Acceptor::new(server)))
        }
    };
    // An address that cannot be looked up cannot be bound either; binding reports the error.
    let addresses = config.listen.addresses().unwrap_or_default();
    if matches!(transport, Transport::Plaintext) && addresses.into_iter().any(is_exposed) {
        tracing::warn!(
            listen = %config.listen,
            "gRPC is served in plaintext on an address that is not loopback: anyone between it and the proxy can read \
             and change the decisions; use --tls-cert, or a mesh that encrypts"
        );
    }
    let lifecycle = Lifecycle::new();
    let authorizer = Authorizer::new(metrics.clone(), clock::now, config.denials_per_second);
    let authorizer = Arc::new(authorizer.caching(decisions));

    let admin_port = bind(&config.admin_listen)?;
    // Bound now, so that a port that is taken ends the process at once; connections are accepted after the first load,
    // so that callers of a replica that restarts turn to another one instead of being denied.
    let grpc = bind(&config.listen)?;
    let explains = admin_port.addresses().iter().all(|address| config.explain.serves_on(*address));
    let last_error = Arc::new(LastLoadError::default());
    let explain = explains.then(|| explainer(&authorizer, metrics, &last_error));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = grpc.shown(),
        admin = admin_port.shown(),
        workers = config.workers,
        policies = %config.policies,
        "starting"
    );
    let admin = Admin::new(lifecycle.clone(), metrics.clone(), explain);
    let admin_port = admin_port.listen().map_err(|error| ServeError::Listen(config.admin_listen.clone(), error))?;
    tokio::spawn(admin.serve(admin_port));

    let shutdown = ClusterShutdown::default();
    match &config.policies {
        PolicySource::Directory(directory) => {
            shutdown.done();
            let mut first = tokio::task::spawn_blocking({
                let directory = directory.clone();
                move || policies::load(&directory)
            });
            let Loaded { loader, first, snapshot: _ } = tokio::select! {
                loaded = &mut first => loaded
                    .map_err(io::Error::other)?
                    .map_err(|error| ServeError::Policies(directory.clone(), error))?,
                signal = signals.next() => {
                    tracing::info!(signal, "stopped before the policies were loaded");
                    return Ok(());
                }
            };
            policies::apply_reload(&first, &authorizer, metrics, &last_error);
            drop(first);
            policies::watch(loader, authorizer.clone(), metrics.clone(), last_error)?;
        }
        PolicySource::Cluster(options) => {
            let feed = match &config.admission {
                None => None,
                Some(admission) => {
                    let bound = bind(&admission.listen)?;
                    let scope = (options.scope.clone(), options.selector.clone());
                    let started = admission::start(bound, admission, scope, reviews.clone(), tls);
                    Some(started.map_err(ServeError::Admission)?)
                }
            };
            let (authorizer, metrics, health) = (authorizer.clone(), metrics.clone(), health.clone());
            let first = cluster::follow(options.clone(), authorizer, metrics, health, feed, shutdown.clone())?;
            tokio::select! {
                first = first => first.map_err(io::Error::other)??,
                signal = signals.next() => {
                    tracing::info!(signal, "stopped before the initial lists were complete");
                    shutdown.shut_down().await;
                    return Ok(());
                }
            }
        }
    }
    let listener = grpc.listen().map_err(|error| ServeError::Listen(config.listen.clone(), error))?;
    let options = ServerOptions { workers: config.workers, drain_deadline: config.drain_deadline };
    let mut server = tokio::spawn(server::serve(listener, authorizer.clone(), lifecycle.clone(), transport, options));
    lifecycle.advance(Phase::Serving);
    tracing::info!("ready");
    tokio::spawn(freshness::watch(authorizer.clone(), clock::now));

    let signal = tokio::select! {
        signal = signals.next() => signal,
        ended = &mut server => return Err(ServeError::Start(server_failed(ended))),
    };
    tracing::info!(signal, "draining");
    lifecycle.advance(Phase::Draining);
    let shut_down = tokio::spawn(async move { shutdown.shut_down().await });
    tokio::select! {
        () = tokio::time::sleep(config.drain_delay) => {}
        _ = signals.next() => {}
    }
    lifecycle.advance(Phase::Stopping);
    tokio::select! {
        ended = server => match ended {
            Ok(Ok(Ended::Drained)) => tracing::info!("stopped"),
            Ok(Ok(Ended::DeadlineExceeded)) => tracing::warn!("stopped at the deadline, with connections still open"),
            failed => return Err(ServeError::Start(server_failed(failed))),
        },
        signal = signals.next() => tracing::warn!(signal, "stopped by a second signal"),
    }
    let _ = shut_down.await;
    Ok(())
}

fn server_failed(ended: Result<io::Result<Ended>, tokio::task::JoinError>) -> io::Error {
    match ended {
        Ok(Ok(_)) => io::Error::other("the server ended by itself"),
        Ok(Err(error)) => error,
        Err(error) => io::Error::other(error),
    }
}

/// Whether an address can be reached from another machine.
fn is_exposed(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

fn bind(address: &ListenAddress) -> Result<Bound, ServeError> {
    address.bind().map_err(|error| ServeError::Listen(address.clone(), error))
}

/// Explains by the snapshot that the server uses at that moment.
fn explainer(authorizer: &Arc<Authorizer>, metrics: &Arc<Metrics>, last_error: &Arc<LastLoadError>) -> Explain {
    let (authorizer, metrics, last_error) = (authorizer.clone(), metrics.clone(), last_error.clone());
    Arc::new(move |question| {
        let question = serde_json::from_slice(question).map_err(|error| NoAnswer::BadQuestion(error.to_string()))?;
        let snapshot =
            authorizer.current().ok_or_else(|| NoAnswer::NotReady("the policies are not loaded yet".to_owned()))?;
        let mut explanation = explain::explain(&question, &snapshot, clock::now())
            .map_err(|error| NoAnswer::BadQuestion(error.to_string()))?;
        explanation.warnings.extend(refused_edit(metrics.load_errors(), last_error.why()));
        Ok(serde_json::to_vec_pretty(&explanation).expect("an explanation is plain text"))
    })
}

/// The warning of an explanation while the last edit of the policies is rejected. `directory` is the error of the
/// directory as a whole, which `certgate check` cannot find because it does not know the previous content.
fn refused_edit(errors: i64, directory: Option<String>) -> Option<String> {
    let found = match errors {
        ..=0 => return None,
        1 => "1 error".to_owned(),
        errors => format!("{errors} errors"),
    };
    if let Some(why) = directory {
        return Some(format!(
            "the last edit of the policies was rejected, and the server keeps using the previous policies: {why}. \
             Put the policies back, or mount the volume again"
        ));
    }
    Some(format!(
        "the last edit of the policies was rejected, with {found}: the previous policies stay in use. The log and \
         `certgate check` name every error."
    ))
}

/// Why a request cannot be explained.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// The question is invalid.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// The live server gave no explanation.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The policies cannot be loaded.
    #[error("{0}: {1}")]
    Policies(std::path::PathBuf, LoadError),
    /// The cluster cannot be read.
    #[error(transparent)]
    Cluster(#[from] ReadError),
    /// The runtime cannot start.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// Asks a live server for the explanation.
pub fn explain_by_server(address: &str, question: &Question) -> Result<Explanation, ExplainError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(explain::ask(address, question))?)
}

/// Explains by the policies of a directory. Objects that do not compile decide as they would in the server; a line on
/// `errors` reports that there are some.
pub fn explain_by_directory(
    directory: &Path,
    question: &Question,
    errors: &mut impl Write,
) -> Result<Explanation, ExplainError> {
    let Loaded { first, snapshot, .. } =
        policies::load(directory).map_err(|error| ExplainError::Policies(directory.to_owned(), error))?;
    let invalid = first.problems.iter().filter(|problem| problem.class == ProblemClass::Invalid).count();
    if invalid > 0 {
        let directory = directory.display();
        let found = if invalid == 1 { "1 error".to_owned() } else { format!("{invalid} errors") };
        writeln!(errors, "certgate: {found} in the policies; `certgate check {directory}` names all")?;
    }
    Ok(explain::explain(question, &snapshot, clock::now())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_not_exposed() {
        for (address, exposed) in [
            ("127.0.0.1:1", false),
            ("127.8.8.8:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("192.0.2.1:1", true),
            ("[::ffff:192.0.2.1]:1", true),
        ] {
            assert_eq!(is_exposed(address.parse().unwrap()), exposed, "{address}");
        }
    }
}
