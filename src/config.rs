//! The configuration of the process, valid by construction.
//!
//! Owns the meaning of the flags of [`crate::cli`] after they were checked. Every value of these types is valid.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock;
use crate::kubernetes::cluster::ClusterOptions;
use crate::kubernetes::scope::Scope;
use crate::listeners::ListenAddress;
use crate::telemetry::LogFormat;
use crate::tls::files::TlsFiles;

/// The configuration of `serve`.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// The source of the policies.
    pub policies: PolicySource,
    /// The address of the authorization port.
    pub listen: ListenAddress,
    /// TLS of that port; `None`: plaintext.
    pub tls: Option<TlsFiles>,
    /// The address of the admin port: health, metrics and `explain`.
    pub admin_listen: ListenAddress,
    /// The admission webhook; only with a cluster.
    pub admission: Option<AdmissionConfig>,
    /// The number of threads that decide.
    pub workers: NonZeroUsize,
    /// Where `POST /explain` is served.
    pub explain: ExplainEndpoint,
    /// How long requests are still accepted after a termination signal.
    pub drain_delay: Duration,
    /// How long requests in flight may take after that.
    pub drain_deadline: Duration,
    /// Denials logged in a second at most.
    pub denials_per_second: u32,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// The filter of log lines.
    pub log_filter: String,
}

/// The address of the webhook, and its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// The address that the API server connects to.
    pub listen: ListenAddress,
    /// The certificate's files; `None` if certgate maintains the certificate itself.
    pub files: Option<TlsFiles>,
}

/// The source of the policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// A directory.
    Directory(PathBuf),
    /// A Kubernetes cluster.
    Cluster(ClusterOptions),
}

impl fmt::Display for PolicySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Cluster(options) => {
                match &options.scope {
                    Scope::Cluster => f.write_str("all namespaces of the cluster")?,
                    Scope::Namespaces(names) => {
                        let names: Vec<_> = names.iter().map(String::as_str).collect();
                        write!(f, "namespaces {} of the cluster", names.join(", "))?;
                    }
                }
                options.selector.iter().try_for_each(|selector| write!(f, ", policies with labels {selector}"))
            }
        }
    }
}

/// Whether the admin port serves `POST /explain`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ExplainEndpoint {
    /// Only if the admin port is bound to a loopback address.
    Loopback,
    /// On any address.
    Always,
    /// Never.
    Never,
}

impl ExplainEndpoint {
    /// Whether it is served on `address`.
    pub fn serves_on(self, address: SocketAddr) -> bool {
        match self {
            Self::Loopback => address.ip().is_loopback(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// The default number of workers: one for each processor that the process may use.
pub fn default_workers() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The name of this process among its replicas: the pod's name or else the host's, and a suffix that distinguishes it
/// from a second process there.
pub fn replica_name() -> String {
    let named = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).ok().filter(|name| !name.is_empty());
    let host = named.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    format!("{host}_{}_{:x}", std::process::id(), clock::unix_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explain_is_served_on_loopback_unless_told_otherwise() {
        let local = "127.0.0.1:9091".parse().unwrap();
        let all = "0.0.0.0:9091".parse().unwrap();
        assert!(ExplainEndpoint::Loopback.serves_on(local) && !ExplainEndpoint::Loopback.serves_on(all));
        assert!(ExplainEndpoint::Always.serves_on(all) && !ExplainEndpoint::Never.serves_on(local));
    }
}
