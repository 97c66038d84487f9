//! `certgate verify`: one certificate in plain words, or cases of a suite line by line.
//!
//! Owns the flags, reading files, and printing. [`certgate_x509::Verification::verify`] checks the certificate.

mod answer;
pub mod batch;
mod words;

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;

use answer::{Answered, PAINTED};
use batch::CaseAnswer;

use super::Output;
use super::exit::Exit;
use super::input::{self, CertificateArgs, InputError, parse_time};
use crate::clock;
use crate::domain::decide::reason::Reason;
use crate::domain::decide::verifier::{check_anchor, lint_anchor};
use crate::domain::policy::duration::GoDuration;
use crate::file;
use crate::terminal::{self, Terminal, plain};
use certgate_x509::{
    ANY_POLICY, Certificate, Crl, DEFAULT_MAX_PATH_LENGTH, Freshness, KeyPurpose, LeafRule, MaxAge, Oid, OnUnknown,
    PathParameters, PolicyParameters, Pool, Recorder, RevocationData, RevocationMode, RevocationPolicy,
    RevocationScope, Sha1, Sha256, SignatureAlgorithm, SignatureAlgorithms, SignaturePolicy, Trace as _, UnixTime,
    UsageRule, Verdict, Verification, VerificationFailure, ocsp::OcspResponse,
};

/// The longest case: room for a CRL of the maximum size in base64.
const MAX_LINE: usize = 512 * 1024 * 1024;

/// The most findings about anchors that are printed: the bundle of a root programme has some hundred.
const MAX_FINDINGS: usize = 32;

/// Check one certificate against anchors, CRLs and OCSP responses, without any policy. Exit code 0: valid, 1: invalid,
/// 2: wrong usage, or a file that cannot be read.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Read JSON cases from standard input, one on each line, and answer each with one line, in order; all other flags
    /// are ignored.
    #[arg(long)]
    batch: bool,
    /// Trust anchors, in any form of certificates; may be repeated.
    #[arg(long, value_name = "FILE", required_unless_present = "batch")]
    trust_anchor: Vec<PathBuf>,
    /// Whether the extensions of a trust anchor must show that it is a CA certificate.
    #[arg(long, value_name = "WORD", default_value = "enforce")]
    anchor_extensions: AnchorExtensions,
    /// Certificates that help to build the path, such as those that the client sends along; may be repeated.
    #[arg(long, visible_alias = "chain", value_name = "FILE")]
    intermediate: Vec<PathBuf>,
    /// CRLs, PEM or DER; may be repeated. With one, every certificate below the anchor must be covered.
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// OCSP responses, DER; may be repeated.
    #[arg(long, value_name = "FILE")]
    ocsp_response: Vec<PathBuf>,
    /// The CA certificate whose OCSP responses are given, if it is in no other file.
    #[arg(long, value_name = "FILE", requires = "ocsp_response")]
    issuer: Vec<PathBuf>,
    /// Check as of this time, such as 2026-01-31T12:00:00Z [default: now].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<UnixTime>,
    /// The usage that the certificate must be valid for.
    #[arg(long, value_name = "USAGE", default_value = "client")]
    usage: Usage,
    /// When revocation is checked.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    revocation: RevocationCheck,
    /// The greatest age of a CRL or OCSP response, such as 24h, whatever its nextUpdate says.
    #[arg(long, value_name = "DURATION")]
    max_age: Option<GoDuration>,
    /// The most intermediate certificates.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_PATH_LENGTH)]
    max_path_length: u32,
    /// The least size of RSA keys. Below 2048 they can be broken by a well-funded attacker.
    #[arg(long, value_name = "BITS", default_value_t = 2048)]
    minimum_rsa_bits: u32,
    /// The smallest curve of ECDSA keys; Ed25519 counts as P256.
    #[arg(long, value_name = "CURVE", default_value = "p256")]
    minimum_ecdsa_curve: EcdsaCurve,
    /// Whether SHA-1 signatures count. They can be forged.
    #[arg(long, value_name = "WORD", default_value = "refuse")]
    sha1: Sha1Rule,
    /// A signature algorithm that counts, such as EcdsaSha256; may be repeated [default: all].
    #[arg(long, value_name = "NAME", value_parser = parse_algorithm)]
    signature_algorithm: Vec<SignatureAlgorithm>,
    /// A certificate policy that counts, as a dotted object identifier; may be repeated [default: any].
    #[arg(long, value_name = "OID")]
    initial_policy: Vec<Oid>,
    /// Whether the path must be valid for a policy that counts [default: required with --initial-policy, else
    /// not-required].
    #[arg(long, value_name = "WORD")]
    explicit_policy: Option<ExplicitPolicy>,
    /// Whether CAs may map policies to others.
    #[arg(long, value_name = "WORD", default_value = "permitted")]
    policy_mapping: Permission,
    /// Whether anyPolicy in a certificate stands for every policy.
    #[arg(long, value_name = "WORD", default_value = "permitted")]
    any_policy: Permission,
    /// The form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Output,
    #[command(flatten)]
    certificate: CertificateArgs,
}

/// The usage of a certificate.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Usage {
    /// Its extended key usage lists clientAuth.
    Client,
    /// Its extended key usage lists serverAuth.
    Server,
    /// Any usage; a CA certificate is accepted, too.
    Any,
}

/// When revocation is checked.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum RevocationCheck {
    /// When there is a CRL or an OCSP response.
    Auto,
    /// Always: a certificate without revocation status is rejected.
    Required,
    /// Never.
    None,
}

/// Whether a trust anchor must be a CA's certificate.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum AnchorExtensions {
    Enforce,
    Ignore,
}

/// Whether SHA-1 signatures count.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Sha1Rule {
    Refuse,
    Allow,
}

/// An elliptic curve.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum EcdsaCurve {
    P256,
    P384,
    P521,
}

/// Whether a path must be valid for a policy.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum ExplicitPolicy {
    Required,
    NotRequired,
}

/// Whether certificates may use a feature.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Permission {
    Permitted,
    Inhibited,
}

fn parse_algorithm(text: &str) -> Result<SignatureAlgorithm, String> {
    let found = SignatureAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("want one of {}", SignatureAlgorithm::ALL.map(SignatureAlgorithm::name).join(", ")))
}

/// Runs the command.
pub fn run(args: &VerifyArgs, input: impl BufRead, output: impl Write, errors: impl Write) -> Exit {
    let done = if args.batch { run_batch(input, output) } else { run_one(args, output, errors) };
    match done {
        Ok(exit) => exit,
        // A reader that closes the pipe early, such as `head`, is not a failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(_) => Exit::Failure,
    }
}

/// An answer with the time that it took.
#[derive(Serialize)]
struct TimedAnswer {
    #[serde(flatten)]
    answer: CaseAnswer,
    micros: u64,
}

/// Answers each line; the outcomes of the cases do not affect the exit code.
fn run_batch(mut input: impl BufRead, output: impl Write) -> io::Result<Exit> {
    let mut output = io::BufWriter::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        if io::Read::take(&mut input, limit).read_until(b'\n', &mut line)? == 0 {
            output.flush()?;
            return Ok(Exit::Success);
        }
        // An empty line gets an answer like every other, so that answers and lines correspond.
        let start = Instant::now();
        let answer = batch::answer(line.trim_ascii(), clock::now());
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        serde_json::to_writer(&mut output, &TimedAnswer { answer, micros })?;
        output.write_all(b"\n")?;
        // Flushes for a caller that writes one case at a time and waits for its answer.
        output.flush()?;
    }
}

fn run_one(args: &VerifyArgs, mut output: impl Write, mut errors: impl Write) -> io::Result<Exit> {
    let now = args.at.unwrap_or_else(clock::now);
    let presented = match presented(args) {
        Ok(presented) => presented,
        Err(problem) => {
            writeln!(errors, "certgate: {}", terminal::plain_lines(&problem))?;
            return Ok(Exit::Usage);
        }
    };
    // Errors in the other arguments are usage errors, even if the certificate is malformed.
    let others = match others(args) {
        Ok(others) => others,
        Err(problem) => {
            writeln!(errors, "certgate: {}", terminal::plain_lines(&problem))?;
            return Ok(Exit::Usage);
        }
    };
    let answer = match presented {
        VerifyInput::Malformed { sha256, problem } => Answered::malformed(sha256, &problem, now),
        VerifyInput::Certificates { certificates, order } => {
            let mut certificates = certificates.into_iter();
            let Some(leaf) = certificates.next() else { return Ok(Exit::Usage) };
            let question = question(args, leaf, certificates.collect(), others);
            let findings = anchor_findings(&question, now);
            for finding in &findings {
                writeln!(errors, "certgate: warning: {}", plain(finding))?;
            }
            let mut steps = Recorder::default();
            let outcome = question.verify(now, &mut steps);
            match &outcome {
                Ok(valid) => steps.step("verify", Verdict::Pass, || format!("valid until {}", valid.valid_until)),
                Err(VerificationFailure { kind, detail, .. }) => {
                    steps.step("verify", Verdict::Fail, || format!("{}: {detail}", Reason::from(*kind)));
                }
            }
            let mut answered = Answered::of(&question, &outcome, &steps, now);
            answered.anchor_findings = findings;
            if let (Some(reason), Some(order)) = (&mut answered.reason, order) {
                reason.action = order;
            }
            answered
        }
    };
    let page = match args.output {
        Output::Json => terminal::json(&answer.to_json()),
        Output::Text => {
            let terminal = Terminal::of_stdout();
            terminal.painted(answer.to_text(terminal), PAINTED)
        }
    };
    output.write_all(page.as_bytes())?;
    Ok(if answer.reason.is_none() { Exit::Success } else { Exit::Failure })
}

/// Findings about the trust anchors that an operator should know.
fn anchor_findings(question: &Verification, now: UnixTime) -> Vec<String> {
    let mut findings: Vec<String> = Vec::new();
    for anchor in question.pool.anchors() {
        let found = lint_anchor(anchor, now, &question.path);
        findings
            .extend(found.iter().map(|finding| format!("anchor {}: {}", anchor.subject(), words::finding(finding))));
    }
    let more = findings.len().saturating_sub(MAX_FINDINGS);
    findings.truncate(MAX_FINDINGS);
    if more > 0 {
        findings.push(format!("{more} more findings about anchors"));
    }
    findings
}

/// The certificate in question.
enum VerifyInput {
    /// The certificate, its chain, and advice on their order, if it is wrong.
    Certificates { certificates: Vec<Arc<Certificate>>, order: Option<String> },
    /// The file holds no valid certificate.
    Malformed { sha256: Option<Sha256>, problem: String },
}

fn presented(args: &VerifyArgs) -> Result<VerifyInput, String> {
    let path = args.certificate.path().ok_or("a certificate is needed: certgate verify --trust-anchor FILE CERT")?;
    let found = match input::certificates(path) {
        Ok(found) => found,
        Err(InputError::WrongFile(problem)) => return Err(problem),
        Err(InputError::Malformed { problem, .. }) => return Ok(VerifyInput::Malformed { sha256: None, problem }),
    };
    let mut certificates = Vec::with_capacity(found.certificates.len());
    for (at, der) in found.certificates.iter().enumerate() {
        match Certificate::from_der(der.clone()) {
            Ok(certificate) => certificates.push(Arc::new(certificate)),
            Err(error) => {
                let problem = format!("certificate {}: {error}", at + 1);
                return Ok(VerifyInput::Malformed { sha256: (at == 0).then(|| Sha256::of(der)), problem });
            }
        }
    }
    Ok(VerifyInput::Certificates { certificates, order: input::order_problem(path, &found) })
}

/// The content of the files beside the certificate.
struct SupportingFiles {
    untrusted: Vec<Arc<Certificate>>,
    anchors: Vec<Arc<Certificate>>,
    crls: Vec<Arc<Crl>>,
    responses: Vec<Arc<OcspResponse>>,
}

fn others(args: &VerifyArgs) -> Result<SupportingFiles, String> {
    let mut untrusted = Vec::new();
    for file in args.intermediate.iter().chain(&args.issuer) {
        untrusted.extend(input::parsed(file)?);
    }
    let mut anchors = Vec::new();
    for file in &args.trust_anchor {
        for (at, anchor) in (1..).zip(input::parsed(file)?) {
            if args.anchor_extensions == AnchorExtensions::Enforce
                && let Err(problem) = check_anchor(&anchor)
            {
                return Err(format!(
                    "{}: certificate {at} ({}) cannot be a trust anchor: {problem} (--anchor-extensions ignore accepts it)",
                    file.display(),
                    anchor.subject()
                ));
            }
            anchors.push(anchor);
        }
    }
    let mut crls = Vec::new();
    for file in &args.crl {
        let say = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let mut opened = fs::File::open(file).map_err(|error| say(&error))?;
        crls.extend(file::source::crls(&mut opened).and_then(|file| file.crls).map_err(|error| say(&error))?);
    }
    let mut responses = Vec::new();
    for file in &args.ocsp_response {
        let der = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let response = OcspResponse::from_der(der).map_err(|error| format!("{}: {error}", file.display()))?;
        responses.push(Arc::new(response));
    }
    Ok(SupportingFiles { untrusted, anchors, crls, responses })
}

fn question(
    args: &VerifyArgs,
    leaf: Arc<Certificate>,
    chain: Vec<Arc<Certificate>>,
    others: SupportingFiles,
) -> Verification {
    let SupportingFiles { untrusted, anchors, crls, responses } = others;
    let untrusted = chain.into_iter().chain(untrusted).collect();
    let signatures = SignaturePolicy {
        minimum_rsa_bits: args.minimum_rsa_bits,
        sha1: match args.sha1 {
            Sha1Rule::Refuse => Sha1::Refused,
            Sha1Rule::Allow => Sha1::Allowed,
        },
        minimum_ec_bits: match args.minimum_ecdsa_curve {
            EcdsaCurve::P256 => 256,
            EcdsaCurve::P384 => 384,
            EcdsaCurve::P521 => 521,
        },
        algorithms: match args.signature_algorithm.is_empty() {
            true => SignatureAlgorithms::ALL,
            false => args.signature_algorithm.iter().copied().collect(),
        },
    };
    let (usage, leaf_rule) = match args.usage {
        Usage::Client => (UsageRule::Listed(KeyPurpose::ClientAuth), LeafRule::EndEntity),
        Usage::Server => (UsageRule::Listed(KeyPurpose::ServerAuth), LeafRule::EndEntity),
        Usage::Any => (UsageRule::Unchecked, LeafRule::AnyCertificate),
    };
    let data = RevocationData::new(crls).with_responses(responses);
    let mode = match args.revocation {
        RevocationCheck::Auto if data.is_empty() => RevocationMode::NoCheck,
        RevocationCheck::None => RevocationMode::NoCheck,
        RevocationCheck::Auto | RevocationCheck::Required => RevocationMode::Offline,
    };
    let max_age = args.max_age.map(|age| MaxAge::Seconds(i64::try_from(age.0.as_secs()).unwrap_or(i64::MAX)));
    Verification {
        leaf,
        pool: Pool::new(anchors, []),
        untrusted,
        // An OCSP response covers the leaf alone; CRLs must cover every issuer.
        revocation: RevocationPolicy {
            mode,
            scope: if args.crl.is_empty() { RevocationScope::EndEntity } else { RevocationScope::ExcludeRoot },
            on_unknown: OnUnknown::Deny,
            freshness: Freshness { max_age: max_age.unwrap_or(MaxAge::NextUpdate), ..Freshness::default() },
            signatures,
        },
        data,
        path: PathParameters {
            usage,
            leaf: leaf_rule,
            signatures,
            max_path_length: args.max_path_length,
            policies: policies(args),
            ..PathParameters::default()
        },
    }
}

/// anyPolicy in the set makes it the set of all policies (RFC 5280 section 6.1.1 (c)), which is the empty set here.
fn policies(args: &VerifyArgs) -> PolicyParameters {
    let explicit = args.explicit_policy.unwrap_or(match args.initial_policy.is_empty() {
        true => ExplicitPolicy::NotRequired,
        false => ExplicitPolicy::Required,
    });
    let has_any = args.initial_policy.contains(&ANY_POLICY);
    PolicyParameters {
        initial_policy_set: if has_any { Vec::new() } else { args.initial_policy.clone() },
        initial_explicit_policy: explicit == ExplicitPolicy::Required,
        initial_policy_mapping_inhibit: args.policy_mapping == Permission::Inhibited,
        initial_inhibit_any_policy: args.any_policy == Permission::Inhibited,
    }
}
