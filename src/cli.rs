//! The command line.
//!
//! Owns the flags of `serve`, their environment variables, and the choice of the command. clap parses the flags, and
//! this module checks them and converts them to the types of [`crate::config`]; [`crate::app`] does the work. The other
//! commands and the exit codes are in [`crate::commands`].

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::app::{self, ServeError};
use crate::commands::check::{self, CheckArgs};
use crate::commands::exit::{Exit, fail, print};
use crate::commands::explain::{self, ExplainArgs};
use crate::commands::health::{self, HealthArgs};
use crate::commands::inspect::{self, InspectArgs};
use crate::commands::verify::{self, VerifyArgs};
use crate::config::{AdmissionConfig, ExplainEndpoint, PolicySource, ServeConfig, default_workers, replica_name};
use crate::domain::api::NamespacedName;
use crate::domain::decide::reason;
use crate::domain::policy::duration::GoDuration;
use crate::kubernetes::admission::certificate::CertificateOptions;
use crate::kubernetes::admission::issuer::IssuerOptions;
use crate::kubernetes::cluster::{ClusterOptions, StatusWriting};
use crate::kubernetes::crd;
use crate::kubernetes::lease::LeaseOptions;
use crate::kubernetes::scope::Scope;
use crate::kubernetes::selector::{Label, PolicySelector};
use crate::listeners::ListenAddress;
use crate::reference::reference_page;
use crate::telemetry::{LogFormat, TelemetryError};
use crate::tls::clients::CallerName;
use crate::tls::files::{ClientFiles, TlsFiles};

/// Authorizes client certificates for Envoy: which one may do what, and as which user.
#[derive(Debug, Parser)]
#[command(name = "certgate", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer Envoy's authorization requests by the policies of a directory or a Kubernetes cluster.
    Serve(Box<ServeArgs>),
    /// Read policies and report all their problems. Exit code 0: there are no errors, 1: there are errors, 2: the
    /// policies cannot be found, or nothing was given to check.
    Check(CheckArgs),
    /// Show how one request is decided, step by step. Exit code 0: it passes, 1: it is denied, 2: there is
    /// no answer.
    Explain(ExplainArgs),
    /// Show a certificate in words, and every name that a policy can mean it by.
    Inspect(InspectArgs),
    /// Check one certificate against anchors, CRLs and OCSP responses. Exit code 0: it is valid, 1: it is not, 2: wrong
    /// usage, or a file that cannot be read.
    Verify(VerifyArgs),
    /// Ask a live server whether it is ready. Exit code 0: it is, 1: it is not.
    Health(HealthArgs),
    /// Print the custom resource definitions, for `kubectl apply`.
    Crds,
    /// Print the table of reasons for a denial, in Markdown.
    Reasons,
    /// Print the reference of the resources' fields, in Markdown.
    Reference,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").args(["policies", "kubernetes"]).required(true).multiple(true)))]
struct ServeArgs {
    /// The directory of policies, read and watched with all its sub-directories.
    #[arg(long, value_name = "DIR", env = "CERTGATE_POLICIES")]
    policies: Option<PathBuf>,
    /// Follow the policies of a Kubernetes cluster: the one that the process runs in, or that of the kubeconfig.
    #[arg(long, env = "CERTGATE_KUBERNETES", conflicts_with = "policies")]
    kubernetes: bool,
    /// A namespace to follow; may be repeated [default: all].
    #[arg(
        long = "namespace",
        value_name = "NAME",
        env = "CERTGATE_NAMESPACES",
        value_delimiter = ',',
        requires = "kubernetes"
    )]
    namespaces: Vec<String>,
    /// A label that a policy must have to be followed; may be repeated, then it must have them all [default: every
    /// policy is followed].
    #[arg(
        long = "policy-selector",
        value_name = "KEY=VALUE",
        env = "CERTGATE_POLICY_SELECTOR",
        value_delimiter = ',',
        conflicts_with = "policies"
    )]
    policy_selector: Vec<Label>,
    /// The Lease whose holder writes the status of objects.
    #[arg(long, value_name = "NAMESPACE/NAME", env = "CERTGATE_LEASE", default_value = "default/certgate")]
    lease: NamespacedName,
    /// Whether this process writes the status of objects.
    #[arg(long, value_name = "WHETHER", env = "CERTGATE_STATUS", default_value = "leader")]
    status: StatusMode,
    /// Where Envoy connects (gRPC; plaintext HTTP/2 unless there is --tls-cert). A name, here and for the other ports,
    /// means all its addresses.
    #[arg(long, value_name = "ADDRESS", env = "CERTGATE_LISTEN", default_value = "127.0.0.1:9090")]
    listen: ListenAddress,
    #[command(flatten)]
    tls: TlsArgs,
    /// Where /livez, /readyz, /metrics and /explain are served (HTTP).
    #[arg(long, value_name = "ADDRESS", env = "CERTGATE_ADMIN_LISTEN", default_value = "127.0.0.1:9091")]
    admin_listen: ListenAddress,
    /// Where the admission webhook is served (HTTPS, /validate) [default: not served].
    #[arg(long, value_name = "ADDRESS", env = "CERTGATE_ADMISSION_LISTEN", requires = "kubernetes")]
    admission_listen: Option<ListenAddress>,
    /// The certificate of the admission webhook, in PEM; certgate reloads the file when it changes.
    #[arg(long, value_name = "FILE", env = "CERTGATE_ADMISSION_CERTIFICATE", requires_all = ["admission_listen", "admission_key"])]
    admission_certificate: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "CERTGATE_ADMISSION_KEY", requires = "admission_certificate")]
    admission_key: Option<PathBuf>,
    /// The Secret for a certificate of the admission webhook that certgate issues and renews itself.
    #[arg(long, value_name = "NAMESPACE/NAME", env = "CERTGATE_ADMISSION_SECRET",
        requires_all = ["admission_listen", "admission_hosts"], conflicts_with = "admission_certificate")]
    admission_secret: Option<NamespacedName>,
    /// The ValidatingWebhookConfiguration whose caBundle certgate keeps up to date.
    #[arg(long, value_name = "NAME", env = "CERTGATE_ADMISSION_CONFIGURATION", requires = "admission_secret")]
    admission_configuration: Option<String>,
    /// A name or address of the webhook for that certificate; may be repeated.
    #[arg(
        long = "admission-host",
        id = "admission_hosts",
        value_name = "NAME",
        env = "CERTGATE_ADMISSION_HOSTS",
        value_delimiter = ',',
        requires = "admission_secret"
    )]
    admission_hosts: Vec<String>,
    /// The lifetime of that certificate; certgate renews it when a third of the lifetime is left.
    #[arg(long, value_name = "DURATION", env = "CERTGATE_ADMISSION_LIFETIME", default_value = "2160h")]
    admission_lifetime: GoDuration,
    /// Threads that decide [default: one for each processor].
    #[arg(long, value_name = "N", env = "CERTGATE_THREADS")]
    threads: Option<NonZeroUsize>,
    /// Where the admin port answers POST /explain, which reveals trusted certificates and the reasons of denials.
    #[arg(long, value_name = "WHERE", env = "CERTGATE_EXPLAIN_ENDPOINT", default_value = "loopback")]
    explain_endpoint: ExplainEndpoint,
    /// How long requests are still accepted after SIGTERM, while /readyz reports that the process is not ready.
    #[arg(long, value_name = "DURATION", env = "CERTGATE_DRAIN_DELAY", default_value = "0s")]
    drain_delay: GoDuration,
    /// How long requests in flight may take after that.
    #[arg(long, value_name = "DURATION", env = "CERTGATE_DRAIN_DEADLINE", default_value = "10s")]
    drain_deadline: GoDuration,
    /// The most denials logged in a second; metrics count the rest.
    #[arg(long, value_name = "N", env = "CERTGATE_DENIAL_LOG_RATE", default_value_t = 1000)]
    denial_log_rate: u32,
    /// The form of log lines.
    #[arg(long, value_name = "FORMAT", env = "CERTGATE_LOG_FORMAT", default_value = "json")]
    log_format: LogFormat,
    /// Which log lines are written: a level, or levels by target such as `info,certgate::denial=off`.
    #[arg(long, value_name = "FILTER", env = "CERTGATE_LOG", default_value = "info,notify=error")]
    log: String,
}

// TLS where Envoy connects. Not a doc comment, because clap would print it as the help of the command.
#[derive(Debug, Args)]
struct TlsArgs {
    /// The server certificate of the port where Envoy connects, with its chain (PEM).
    #[arg(long, value_name = "FILE", env = "CERTGATE_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key (PEM: PKCS#8, SEC1 or PKCS#1).
    #[arg(long, value_name = "FILE", env = "CERTGATE_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The trust anchors for client certificates of callers (PEM). Each caller must present a certificate.
    #[arg(long, value_name = "FILE", env = "CERTGATE_TLS_CLIENT_CA", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// A name that the certificate of a caller may have; each must have one of these: a URI such as
    /// spiffe://cluster.local/ns/istio-system/sa/gateway, or a DNS name; may be repeated.
    #[arg(
        long = "tls-allowed-caller",
        value_name = "SAN",
        env = "CERTGATE_TLS_ALLOWED_CALLERS",
        value_delimiter = ',',
        requires = "tls_client_ca"
    )]
    tls_allowed_callers: Vec<CallerName>,
    /// A file with more such names, one on each line.
    #[arg(long, value_name = "FILE", env = "CERTGATE_TLS_ALLOWED_CALLERS_FILE", requires = "tls_client_ca")]
    tls_allowed_callers_file: Option<PathBuf>,
}

impl TlsArgs {
    /// The files, if TLS is configured. clap has checked that each flag comes with those that it requires.
    fn files(self) -> Option<TlsFiles> {
        let (allowed, list) = (self.tls_allowed_callers, self.tls_allowed_callers_file);
        let clients = self.tls_client_ca.map(|authorities| ClientFiles { authorities, allowed, list });
        Some(TlsFiles { certificate: self.tls_cert?, key: self.tls_key?, clients })
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum StatusMode {
    /// While it holds the lease.
    Leader,
    /// Never.
    Off,
}

/// Runs the command line in `args`, the program's name first.
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> Exit {
    let parsed = Cli::command().try_get_matches_from(args);
    let (matches, cli) = match parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches))) {
        Ok((cli, matches)) => (matches, cli),
        Err(error) => {
            // Help and version are results and go to standard output; clap knows which.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Success };
        }
    };
    match cli.command {
        Command::Serve(args) => serve(*args),
        Command::Check(args) => {
            let matches = matches.subcommand_matches("check").expect("the command is check");
            check::run(&args, matches.value_source("paths") == Some(ValueSource::CommandLine))
        }
        Command::Explain(args) => {
            explain::run(&args, matches.subcommand_matches("explain").expect("the command is explain"))
        }
        Command::Inspect(args) => inspect::run(&args, io::stdout().lock(), io::stderr().lock()),
        // Not locked: `verify` may also read a certificate from standard input.
        Command::Verify(args) => {
            verify::run(&args, io::BufReader::new(io::stdin()), io::stdout().lock(), io::stderr().lock())
        }
        Command::Health(args) => health::run(&args, io::stdout().lock(), io::stderr().lock()),
        Command::Crds => print(&crd::yaml()),
        Command::Reference => print(&reference_page()),
        Command::Reasons => print(&reason::markdown()),
    }
}

fn serve(args: ServeArgs) -> Exit {
    let admission = match admission(&args) {
        Ok(admission) => admission,
        Err(error) => return fail(error, Exit::Usage),
    };
    let selector = match PolicySelector::new(args.policy_selector) {
        Ok(selector) => selector,
        Err(error) => return fail(&format!("--policy-selector: {error}"), Exit::Usage),
    };
    let holder = replica_name();
    let lease = LeaseOptions { lease: args.lease, holder };
    let issuer = args.admission_secret.map(|secret| {
        Box::new(IssuerOptions {
            secret,
            configuration: args.admission_configuration,
            terms: CertificateOptions { hosts: args.admission_hosts, lifetime: args.admission_lifetime.0 },
            lease: lease.clone(),
        })
    });
    let config = ServeConfig {
        admission,
        policies: match args.policies {
            Some(directory) => PolicySource::Directory(directory),
            None => PolicySource::Cluster(ClusterOptions {
                scope: match args.namespaces.is_empty() {
                    true => Scope::Cluster,
                    false => Scope::Namespaces(args.namespaces.into_iter().collect()),
                },
                selector,
                status: match args.status {
                    StatusMode::Leader => StatusWriting::Leased(lease),
                    StatusMode::Off => StatusWriting::Off,
                },
                issuer,
            }),
        },
        listen: args.listen,
        tls: args.tls.files(),
        admin_listen: args.admin_listen,
        workers: args.threads.unwrap_or_else(default_workers),
        explain: args.explain_endpoint,
        drain_delay: args.drain_delay.0,
        drain_deadline: args.drain_deadline.0,
        denials_per_second: args.denial_log_rate,
        log_format: args.log_format,
        log_filter: args.log,
    };
    match app::serve(&config) {
        Ok(()) => Exit::Success,
        Err(error @ ServeError::Telemetry(TelemetryError::Filter(..) | TelemetryError::Level(..))) => {
            fail(&error.to_string(), Exit::Usage)
        }
        Err(error) => fail(&error.to_string(), Exit::Failure),
    }
}

/// The admission webhook, if one is configured.
fn admission(args: &ServeArgs) -> Result<Option<AdmissionConfig>, &'static str> {
    /// With a shorter lifetime the API server might not get a new CA bundle in time.
    const MIN_ADMISSION_LIFETIME: Duration = Duration::from_secs(30);
    let Some(listen) = args.admission_listen.clone() else { return Ok(None) };
    let files = match (&args.admission_certificate, &args.admission_key, &args.admission_secret) {
        (Some(certificate), Some(key), None) => {
            Some(TlsFiles { certificate: certificate.clone(), key: key.clone(), clients: None })
        }
        (None, None, Some(_)) => None,
        _ => {
            return Err("--admission-listen needs --admission-certificate with --admission-key, or --admission-secret");
        }
    };
    if args.admission_lifetime.0 < MIN_ADMISSION_LIFETIME {
        return Err("--admission-lifetime: want 30s at least");
    }
    Ok(Some(AdmissionConfig { listen, files }))
}
