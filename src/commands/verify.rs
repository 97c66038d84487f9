//! `certgate verify`: one certificate in plain words, or cases of a suite line by line.
//!
//! Owned here: the flags, reading files, and printing. What is checked is [`crate::domain::verify`]'s.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;

use crate::cli::Exit;
use crate::domain::certificate::Certificate;
use crate::domain::duration::GoDuration;
use crate::domain::encoding::bundle;
use crate::domain::oid::Oid;
use crate::domain::path::signature::Sha1;
use crate::domain::path::{
    ANY_POLICY, DEFAULT_MAX_PATH_LENGTH, KeyPurpose, LeafRule, PathParameters, PolicyParameters, Pool,
    SignatureAlgorithm, SignatureAlgorithms, SignaturePolicy, UsageRule,
};
use crate::domain::revocation::ocsp::OcspResponse;
use crate::domain::revocation::{
    Freshness, MaxAge, OnUnknown, RevocationData, RevocationMode, RevocationPolicy, RevocationScope,
};
use crate::domain::time::UnixTime;
use crate::domain::trace::{Recorder, Verdict};
use crate::domain::trust::{check_anchor, lint_anchor};
use crate::domain::verify::batch::{self, Answer};
use crate::domain::verify::{Invalid, Question, Valid};
use crate::file;

/// The longest case that is read: room for a CRL of the greatest length in base64.
const MAX_LINE: usize = 512 * 1024 * 1024;

/// The most findings about anchors that are printed: a root programme's bundle has some hundred.
const MAX_FINDINGS: usize = 32;

/// Check one certificate against anchors, CRLs and OCSP responses, without any policy. Exit code 0: valid, 1: invalid.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Read one JSON case a line from standard input and answer one line each, in order; no other flag counts.
    #[arg(long)]
    batch: bool,
    /// Trust anchors, PEM or DER; may be repeated.
    #[arg(long, value_name = "FILE", required_unless_present = "batch")]
    trust_anchor: Vec<PathBuf>,
    /// Whether a trust anchor must be a CA's certificate by its own extensions.
    #[arg(long, value_name = "WORD", default_value = "enforce")]
    anchor_extensions: AnchorExtensions,
    /// CA certificates that help to build the path, PEM or DER; may be repeated.
    #[arg(long, value_name = "FILE")]
    intermediate: Vec<PathBuf>,
    /// CRLs, PEM or DER; may be repeated. With one, every certificate below the anchor must be covered.
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// OCSP responses, DER; may be repeated.
    #[arg(long, value_name = "FILE")]
    ocsp_response: Vec<PathBuf>,
    /// The CA certificate that the OCSP responses are about, when it is in no other file.
    #[arg(long, value_name = "FILE", requires = "ocsp_response")]
    issuer: Vec<PathBuf>,
    /// Check as of this time, such as 2026-01-31T12:00:00Z [default: now].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<UnixTime>,
    /// What the certificate is to be used for.
    #[arg(long, value_name = "USAGE", default_value = "client")]
    usage: Usage,
    /// When revocation is checked.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    revocation: When,
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
    /// The certificate, PEM or DER; further certificates in the file count as its chain.
    #[arg(value_name = "CERTIFICATE", required_unless_present = "batch")]
    certificate: Option<PathBuf>,
}

/// What a certificate is to be used for.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Usage {
    /// Its extended key usage lists clientAuth.
    Client,
    /// Its extended key usage lists serverAuth.
    Server,
    /// Anything; a CA certificate will do.
    Any,
}

/// When revocation is checked.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    /// When there is a CRL or an OCSP response.
    Auto,
    /// Always: a certificate about which nothing is known is refused.
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

/// Whether certificates may make use of a feature.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Permission {
    Permitted,
    Inhibited,
}

fn parse_algorithm(text: &str) -> Result<SignatureAlgorithm, String> {
    let found = SignatureAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("want one of {}", SignatureAlgorithm::ALL.map(SignatureAlgorithm::name).join(", ")))
}

/// The form of the answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// A stable form for programs.
    Json,
}

fn parse_time(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse_rfc3339(text).ok_or_else(|| "want a time in UTC such as 2026-01-31T12:00:00Z".to_owned())
}

/// Runs the command.
pub fn run(args: &VerifyArgs, input: impl BufRead, output: impl Write, errors: impl Write) -> Exit {
    let done = if args.batch { run_batch(input, output) } else { run_one(args, output, errors) };
    match done {
        Ok(exit) => exit,
        // A reader that has had enough, such as `head`, is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(_) => Exit::Failure,
    }
}

/// An answer with the time that it took.
#[derive(Serialize)]
struct Timed {
    #[serde(flatten)]
    answer: Answer,
    micros: u64,
}

/// Answers each line; what the cases' outcomes are does not change the exit code.
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
        // An empty line is answered like every other, so that answers and lines stay side by side.
        let start = Instant::now();
        let answer = batch::answer(line.trim_ascii(), now());
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        serde_json::to_writer(&mut output, &Timed { answer, micros })?;
        output.write_all(b"\n")?;
        // Whoever writes cases one by one and waits for each answer gets it.
        output.flush()?;
    }
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_secs(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn run_one(args: &VerifyArgs, mut output: impl Write, mut errors: impl Write) -> io::Result<Exit> {
    let now = args.at.unwrap_or_else(now);
    let question = match question(args) {
        Ok(question) => question,
        Err(problem) => {
            writeln!(errors, "certgate: {problem}")?;
            return Ok(Exit::Usage);
        }
    };
    let findings = anchor_findings(&question, now);
    for finding in &findings {
        writeln!(errors, "certgate: warning: {finding}")?;
    }
    let mut steps = Recorder::default();
    let outcome = question.answer(now, &mut steps);
    match args.output {
        Output::Text => output.write_all(text(&question, &outcome, &steps, now).as_bytes())?,
        Output::Json => {
            let mut page = to_json(&question, &outcome, &steps, now);
            page["anchorFindings"] = json!(findings);
            writeln!(output, "{page:#}")?;
        }
    }
    Ok(if outcome.is_ok() { Exit::Success } else { Exit::Failure })
}

/// What an operator should know about the trust anchors.
fn anchor_findings(question: &Question, now: UnixTime) -> Vec<String> {
    let mut findings: Vec<String> = Vec::new();
    for anchor in question.pool.anchors() {
        let found = lint_anchor(anchor, now, &question.path);
        findings.extend(found.iter().map(|finding| format!("anchor {}: {finding}", anchor.subject())));
    }
    let more = findings.len().saturating_sub(MAX_FINDINGS);
    findings.truncate(MAX_FINDINGS);
    if more > 0 {
        findings.push(format!("{more} more findings about anchors"));
    }
    findings
}

fn question(args: &VerifyArgs) -> Result<Question, String> {
    let Some(file) = &args.certificate else { return Err("a certificate is needed".to_owned()) };
    let mut presented = certificates(file)?.into_iter();
    let leaf = presented.next().ok_or_else(|| format!("{}: no certificate", file.display()))?;
    let mut untrusted: Vec<Arc<Certificate>> = presented.collect();
    for file in args.intermediate.iter().chain(&args.issuer) {
        untrusted.extend(certificates(file)?);
    }
    let mut anchors = Vec::new();
    for file in &args.trust_anchor {
        for (at, anchor) in (1..).zip(certificates(file)?) {
            if args.anchor_extensions == AnchorExtensions::Enforce
                && let Err(problem) = check_anchor(&anchor)
            {
                return Err(format!(
                    "{}: certificate {at} ({}) cannot be a trust anchor: {problem} (--anchor-extensions ignore takes it)",
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
        When::Auto if data.is_empty() => RevocationMode::NoCheck,
        When::None => RevocationMode::NoCheck,
        When::Auto | When::Required => RevocationMode::Offline,
    };
    let max_age = args.max_age.map(|age| MaxAge::Seconds(i64::try_from(age.0.as_secs()).unwrap_or(i64::MAX)));
    Ok(Question {
        leaf,
        pool: Pool::new(anchors, []),
        untrusted,
        // An OCSP response is about the leaf; a CRL is there for every issuer or the file is incomplete.
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
    })
}

/// anyPolicy in the set makes it the set of all (RFC 5280 section 6.1.1 (c)), which is the empty one here.
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

/// The blocks of a PEM file, or the one thing that a DER file holds.
fn certificates(file: &Path) -> Result<Vec<Arc<Certificate>>, String> {
    let content = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    // 0x30 is the SEQUENCE that every DER certificate begins with, and `0` in ASCII: no PEM file does.
    let list = if content.first() == Some(&0x30) {
        vec![Bytes::from(content)]
    } else {
        bundle::certificates(&content).map_err(|error| format!("{}: {error}", file.display()))?
    };
    list.into_iter()
        .enumerate()
        .map(|(index, der)| {
            let parsed = Certificate::from_der(der).map(Arc::new);
            parsed.map_err(|error| format!("{}: certificate {}: {error}", file.display(), index + 1))
        })
        .collect()
}

fn path_of(outcome: &Result<Valid, Invalid>) -> &[Arc<Certificate>] {
    match outcome {
        Ok(valid) => valid.path.certificates(),
        Err(invalid) => &invalid.path,
    }
}

fn text(question: &Question, outcome: &Result<Valid, Invalid>, steps: &Recorder, now: UnixTime) -> String {
    let mut page = String::new();
    // Writing to a String does not fail.
    let _ = write_text(&mut page, question, outcome, steps, now);
    page
}

fn write_text(
    page: &mut String,
    question: &Question,
    outcome: &Result<Valid, Invalid>,
    steps: &Recorder,
    now: UnixTime,
) -> std::fmt::Result {
    let path = path_of(outcome);
    let certificate = &question.leaf;
    writeln!(page, "certificate  {}", certificate.subject())?;
    writeln!(page, "             serial number {}", hexadecimal(certificate.serial_number()))?;
    writeln!(page, "             SHA-256 {}", certificate.sha256())?;
    writeln!(page, "checked at   {now}")?;
    for (index, certificate) in path.iter().enumerate().skip(1) {
        let label = if index == 1 { "issued by    " } else { "             " };
        writeln!(page, "{label}{}", certificate.subject())?;
    }
    writeln!(page, "\nsteps")?;
    for step in steps.steps() {
        let mark = match step.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Skip => "skip",
            Verdict::Note => "note",
        };
        writeln!(page, "  {mark}  {:<11} {}", step.stage, step.detail)?;
    }
    writeln!(page)?;
    match outcome {
        Ok(valid) => {
            for warning in &valid.warnings {
                writeln!(page, "warning: {warning}")?;
            }
            let policies = valid.path.policies();
            if !policies.is_empty() {
                writeln!(page, "valid for certificate policies {}", policies.names().join(", "))?;
            }
            writeln!(page, "VALID until {}", valid.valid_until)
        }
        Err(invalid) => {
            writeln!(page, "INVALID {}: {}", invalid.reason, invalid.detail)?;
            writeln!(page, "{} {}", invalid.reason.row().meaning, invalid.reason.row().action)
        }
    }
}

fn to_json(
    question: &Question,
    outcome: &Result<Valid, Invalid>,
    steps: &Recorder,
    now: UnixTime,
) -> serde_json::Value {
    let certificate = |certificate: &Arc<Certificate>| {
        json!({
            "subject": certificate.subject().to_string(),
            "issuer": certificate.issuer().to_string(),
            "serialNumber": hexadecimal(certificate.serial_number()),
            "sha256": certificate.sha256().to_string(),
            "notBefore": certificate.not_before().to_string(),
            "notAfter": certificate.not_after().to_string(),
        })
    };
    let steps: Vec<_> = steps
        .steps()
        .iter()
        .map(|step| {
            let verdict = format!("{:?}", step.verdict);
            json!({"stage": step.stage, "verdict": verdict, "detail": step.detail})
        })
        .collect();
    let path: Vec<_> = path_of(outcome).iter().map(certificate).collect();
    let (reason, detail) = match outcome {
        Ok(_) => (batch::OK, String::new()),
        Err(invalid) => (invalid.reason.code(), invalid.detail.clone()),
    };
    let valid = outcome.as_ref().ok();
    json!({
        "ok": outcome.is_ok(),
        "reason": reason,
        "detail": detail,
        "certificate": certificate(&question.leaf),
        "checkedAt": now.to_string(),
        "validUntil": valid.map(|valid| valid.valid_until.to_string()),
        "certificatePolicies": valid.map(|valid| valid.path.policies().names()).unwrap_or_default(),
        "warnings": valid.map(|valid| valid.warnings.clone()).unwrap_or_default(),
        "path": path,
        "steps": steps,
    })
}

fn hexadecimal(octets: &[u8]) -> String {
    if octets.is_empty() {
        return "00".to_owned();
    }
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
