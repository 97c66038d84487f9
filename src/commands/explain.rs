//! `certgate explain`: the flags, the source of the decision, and printing. The core decides.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgGroup, ArgMatches, Args};

use super::Output;
use super::exit::{Exit, fail, print};
use super::input::{self, CertificateArgs, InputError};
use crate::app;
use crate::domain::decide::reason::Reason;
use crate::explain::{self, HeaderLine, Length, Question, to_pem};
use crate::kubernetes::scope::Scope;
use crate::terminal::{self, Terminal};
use certgate_x509::encoding::pem::raw_blocks;

/// Show how one request is decided, step by step. Exit code 0: it passes, 1: it is denied, 2: there is no answer.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("decider").args(["policies", "server", "kubernetes"]).required(true).multiple(true)))]
pub struct ExplainArgs {
    /// The directory of policies that decide.
    #[arg(long, value_name = "DIR", env = "CERTGATE_POLICIES")]
    policies: Option<PathBuf>,
    /// Ask a live server instead, at its admin address, such as http://127.0.0.1:9091.
    #[arg(long, value_name = "URL", env = "CERTGATE_SERVER")]
    server: Option<String>,
    /// Read the policies of a Kubernetes cluster once: the one that the process runs in, or that of the kubeconfig.
    #[arg(long)]
    kubernetes: bool,
    /// A namespace to read; may be repeated [default: all].
    #[arg(long = "namespace", value_name = "NAME", value_delimiter = ',', requires = "kubernetes")]
    namespaces: Vec<String>,
    #[command(flatten)]
    certificate: CertificateArgs,
    /// Certificates that the client sends along, in any of these forms.
    #[arg(long, value_name = "FILE")]
    chain: Option<PathBuf>,
    /// The request's host; needed unless --policy names the policy. Without host, path and method, a TCP connection is
    /// decided.
    #[arg(long)]
    host: Option<String>,
    /// The request's path, with its query [default: /].
    #[arg(long)]
    path: Option<String>,
    /// The request's method [default: GET].
    #[arg(long)]
    method: Option<String>,
    /// A header of the request; may be repeated.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<HeaderLine>,
    /// The policy that the proxy's route names.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    policy: Option<String>,
    /// Decide as if it were this time, such as 2026-01-31T12:00:00Z [default: now].
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The client's address.
    #[arg(long, value_name = "IP")]
    source_address: Option<IpAddr>,
    /// Print only the decision, the reason and what to do.
    #[arg(long)]
    brief: bool,
    /// The form of the answer. JSON always has everything.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Output,
}

fn parse_header(text: &str) -> Result<HeaderLine, String> {
    let (name, value) = text.split_once(':').ok_or("a header is written `name: value`")?;
    if name.trim().is_empty() {
        return Err("the header has no name".to_owned());
    }
    Ok(HeaderLine { name: name.trim().to_owned(), value: value.trim().to_owned() })
}

/// The scope of objects to read.
pub fn scope(namespaces: &[String]) -> Scope {
    match namespaces {
        [] => Scope::Cluster,
        some => Scope::Namespaces(some.iter().cloned().collect()),
    }
}

/// Where the decision comes from.
#[derive(Clone)]
enum DecisionSource<'a> {
    Directory(&'a Path),
    Server(&'a str),
    Cluster(Scope),
}

impl<'a> DecisionSource<'a> {
    /// The command line has precedence over the environment; two values from the same place are an error.
    fn chosen(args: &'a ExplainArgs, matches: &ArgMatches) -> Result<Self, &'static str> {
        let is_typed = |flag| matches.value_source(flag) == Some(ValueSource::CommandLine);
        let typed = (is_typed("policies"), is_typed("server"), args.kubernetes);
        match (&args.policies, &args.server, typed) {
            (Some(policies), _, (true, false, false)) => Ok(Self::Directory(policies)),
            (_, Some(server), (false, true, false)) => Ok(Self::Server(server)),
            (_, _, (false, false, true)) => Ok(Self::Cluster(scope(&args.namespaces))),
            (Some(policies), None, (false, false, false)) => Ok(Self::Directory(policies)),
            (None, Some(server), (false, false, false)) => Ok(Self::Server(server)),
            (Some(_), Some(_), (false, false, false)) => {
                Err("CERTGATE_POLICIES and CERTGATE_SERVER are both set: pass --policies or --server")
            }
            (None, None, (false, false, false)) => Err("--policies, --server or --kubernetes is needed"),
            _ => Err("--policies, --server and --kubernetes exclude one another"),
        }
    }
}

/// Runs the command; `matches` shows which flags were typed.
pub fn run(args: &ExplainArgs, matches: &ArgMatches) -> Exit {
    let source = match DecisionSource::chosen(args, matches) {
        Ok(source) => source,
        Err(error) => return fail(error, Exit::Usage),
    };
    // Without host and policy, no policy can be selected.
    if args.host.is_none() && args.policy.is_none() {
        let problem = "--host is needed to select a policy; for a TCP connection give the route's policy with --policy";
        return fail(problem, Exit::Usage);
    }
    let read = |path: Option<&Path>| path.map(presented).transpose();
    let (certificate, chain) = match (read(args.certificate.path()), read(args.chain.as_deref())) {
        (Ok(certificate), Ok(chain)) => (certificate, chain.map(|(chain, _)| chain)),
        (Err(error), _) | (_, Err(error)) => return fail(&error, Exit::Usage),
    };
    let (certificate, order) = certificate.map_or((None, None), |(certificate, order)| (Some(certificate), order));
    let question = Question {
        policy: args.policy.clone(),
        host: args.host.clone(),
        path: args.path.clone(),
        method: args.method.clone(),
        headers: args.headers.clone(),
        certificate,
        chain,
        at: args.at.clone(),
        source_address: args.source_address,
    };
    let explanation = match source {
        DecisionSource::Server(server) => app::explain_by_server(server, &question),
        DecisionSource::Directory(policies) => app::explain_by_directory(policies, &question, &mut io::stderr().lock()),
        DecisionSource::Cluster(scope) => app::explain_by_cluster(&scope, &question, &mut io::stderr().lock()),
    };
    let mut explanation = match explanation {
        Ok(explanation) => explanation,
        // Exit code 1 would mean a denial, but there is no decision.
        Err(error) => return fail(&error.to_string(), Exit::Usage),
    };
    if let (Some(order), Some(reason)) = (order, &mut explanation.decision.reason)
        && is_about_the_certificate(&reason.code)
    {
        reason.action = order;
    }
    let page = match args.output {
        Output::Json => terminal::json(&explanation),
        Output::Text => {
            let terminal = Terminal::of_stdout();
            let length = if args.brief { Length::Brief } else { Length::Full };
            terminal.painted(explain::render(&explanation, length, terminal), explain::PAINTED)
        }
    };
    match print(&page) {
        Exit::Success if !explanation.passes() => Exit::Failure,
        exit => exit,
    }
}

/// Whether a denial concerns the certificate, and not the policies alone.
fn is_about_the_certificate(code: &str) -> bool {
    let of_policies = [
        Reason::NoPolicy,
        Reason::PolicyInvalid,
        Reason::PathAmbiguous,
        Reason::TrustUnavailable,
        Reason::CertRequired,
        Reason::ForwardedInvalid,
        Reason::Internal,
    ];
    !of_policies.iter().any(|reason| reason.code() == code)
}

/// The certificates of a file as a proxy would forward them, and advice on their order, if it is wrong. A malformed one
/// is passed on unchanged, for the core to reject.
fn presented(path: &Path) -> Result<(String, Option<String>), String> {
    match input::certificates(path) {
        Ok(found) => Ok((to_pem(&found.certificates), input::order_problem(path, &found))),
        Err(InputError::WrongFile(problem)) => Err(problem),
        Err(InputError::Malformed { content, problem }) => {
            let _ = writeln!(io::stderr(), "certgate: {problem}");
            match String::from_utf8(content.to_vec()) {
                Ok(text) if raw_blocks(text.as_bytes()).next().is_some() => Ok((text, None)),
                // No proxy would send this. The core gets the file itself and rejects it as a certificate.
                _ => Ok((to_pem(&[content]), None)),
            }
        }
    }
}
