//! The verdicts of `openssl verify`.
//!
//! A process judges all leaves of the same anchors, intermediates, CRLs and inputs at once, so that thousands of chains
//! take seconds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::der::{NOW, ext};
use crate::engine::Class;
use crate::scene::Inputs;
use crate::skip::skip;

/// What OpenSSL says of one leaf.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub accepts: bool,
    /// Codes of `X509_V_ERR_*`; none when it could not read its input.
    pub errors: BTreeSet<u32>,
}

/// The version, when there is an OpenSSL. With `CI=true` there must be one.
pub fn version() -> Option<String> {
    let found = Command::new("openssl").arg("version").output().ok().filter(|output| output.status.success());
    let Some(output) = found else {
        skip("comparison with OpenSSL", "no `openssl` on the PATH");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn write(folder: &Path, name: &str, label: &str, ders: &[Vec<u8>]) {
    let pem = |der: &Vec<u8>| {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    };
    fs::write(folder.join(name), ders.iter().map(pem).collect::<String>()).unwrap();
}

/// The verdicts on `leaves`, in order.
pub fn judge(folder: &Path, inputs: &Inputs, leaves: &[&[u8]]) -> Vec<Verdict> {
    let mut command = Command::new("openssl");
    // No configuration of the machine's, and no trust anchors of its own.
    command.current_dir(folder).env("OPENSSL_CONF", "/dev/null").args(["verify", "-no-CApath", "-no-CAstore"]);
    // Level 2 is RSA of 2048 bits, and no SHA-1.
    command.args(["-x509_strict", "-policy_check", "-purpose", "sslclient", "-auth_level", "2"]);
    command.args(["-attime", &NOW.as_secs().to_string(), "-CAfile", "anchors.pem"]);
    write(folder, "anchors.pem", "CERTIFICATE", &inputs.anchors);
    if !inputs.untrusted.is_empty() {
        write(folder, "untrusted.pem", "CERTIFICATE", &inputs.untrusted);
        command.args(["-untrusted", "untrusted.pem"]);
    }
    if !inputs.crls.is_empty() {
        write(folder, "crls.pem", "X509 CRL", &inputs.crls);
        command.args(["-crl_check_all", "-extended_crl", "-use_deltas", "-CRLfile", "crls.pem"]);
    }
    // To OpenSSL, none is not any: with an explicit policy wanted it would refuse every chain.
    if inputs.initial_policies.is_empty() {
        command.args(["-policy", ext::ANY_POLICY]);
    }
    for policy in &inputs.initial_policies {
        command.args(["-policy", policy]);
    }
    let flags = [
        (inputs.explicit_policy, "-explicit_policy"),
        (inputs.inhibit_mapping, "-inhibit_map"),
        (inputs.inhibit_any, "-inhibit_any"),
    ];
    command.args(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag));
    for (number, leaf) in leaves.iter().enumerate() {
        let name = format!("{number}.pem");
        write(folder, &name, "CERTIFICATE", &[leaf.to_vec()]);
        command.arg(name);
    }
    let output = command.output().expect("openssl runs");
    read(&output.stdout, &output.stderr, leaves.len())
}

/// `N.pem: OK` on standard output; on standard error, for each leaf that is refused, its errors and then
/// `error N.pem: verification failed`.
fn read(stdout: &[u8], stderr: &[u8], count: usize) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict { accepts: false, errors: BTreeSet::new() }; count];
    let number = |name: &str| name.strip_suffix(".pem")?.parse::<usize>().ok();
    for line in String::from_utf8_lossy(stdout).lines() {
        if let Some(at) = line.strip_suffix(": OK").and_then(number) {
            verdicts[at].accepts = true;
        }
    }
    let mut errors = BTreeSet::new();
    for line in String::from_utf8_lossy(stderr).lines() {
        let Some(rest) = line.strip_prefix("error ") else { continue };
        if let Some(name) = rest.strip_suffix(": verification failed") {
            let at = number(name).expect("a name that was given");
            verdicts[at].errors = std::mem::take(&mut errors);
        } else if let Some((code, _)) = rest.split_once(" at ") {
            errors.extend(code.parse::<u32>());
        }
    }
    assert!(verdicts.iter().all(|verdict| !verdict.accepts || verdict.errors.is_empty()), "accepted with errors");
    verdicts
}

/// The class of an error, by its code in `x509_vfy.h`.
pub fn class(code: u32) -> Class {
    match code {
        9 | 10 | 13 | 14 => Class::Time,
        4 | 6 | 7 | 66..=68 => Class::Signature,
        47..=53 => Class::NameConstraints,
        26 => Class::Usage,
        23 => Class::Revoked,
        3 | 5 | 8 | 11 | 12 | 15 | 16 | 33 | 35 | 36 | 44 | 54 => Class::Status,
        _ => Class::Other,
    }
}
