//! The names that policies can use for a certificate, each verified by the code that compiles policies.
//!
//! Owns which names a certificate offers, in which words, and a whole `CertificateMapping` of it. A name is offered
//! only if it compiles and its key is among those by which the server looks up this certificate. Other names are shown
//! with the reason, so that no user pastes a name that can never match.

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::domain::api::Field;
use crate::domain::api::{
    CertificateMappingSpec, CertificateName, IdentitySpec, IssuerSerial, MappingState, ObjectMeta,
};
use crate::domain::decide::identity::header_value_problem;
use crate::domain::decide::mapping::key::{NameForm, NameForms, keys_of};
use crate::domain::policy::compile::certificate_mapping;
use crate::domain::policy::lint;
use certgate_x509::{AttributeType, Certificate, GeneralName};

use super::{MAX_NAMES, Strength, hexadecimal};

/// The longest user that is proposed.
const MAX_USER: usize = 128;

/// A name of the certificate, as `spec.certificate` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyName {
    /// The field of `spec.certificate`.
    pub field: &'static str,
    /// All of `spec.certificate`.
    pub certificate: CertificateName,
    /// Whether another trusted CA can issue a certificate with the name.
    pub strength: Strength,
    /// Why a mapping cannot use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Every name of the certificate, at most [`MAX_NAMES`] of a form, and how many were left out.
pub fn policy_names(certificate: &Certificate) -> (Vec<PolicyName>, usize) {
    let name = CertificateName::default;
    let mut named = vec![
        (NameForm::Sha256, CertificateName { sha256: Some(certificate.sha256().to_string()), ..name() }),
        (
            NameForm::PublicKeySha256,
            CertificateName { public_key_sha256: Some(certificate.public_key_sha256().to_string()), ..name() },
        ),
        (
            NameForm::IssuerSerial,
            CertificateName {
                issuer_serial: Some(IssuerSerial {
                    issuer: certificate.issuer().to_string(),
                    serial_number: hexadecimal(certificate.serial_number()),
                    ..IssuerSerial::default()
                }),
                ..name()
            },
        ),
    ];
    let mut omitted = 0;
    let mut counts = [0_usize; NameForm::ALL.len()];
    for alternative in certificate.subject_alt_names() {
        let (form, spec) = match alternative {
            GeneralName::Uri(text) => (NameForm::Uri, CertificateName { uri: Some(text.clone()), ..name() }),
            GeneralName::UserPrincipalName(text) => {
                (NameForm::UserPrincipalName, CertificateName { user_principal_name: Some(text.clone()), ..name() })
            }
            GeneralName::Dns(text) => (NameForm::Dns, CertificateName { dns: Some(text.clone()), ..name() }),
            GeneralName::Email(text) => (NameForm::Email, CertificateName { email: Some(text.clone()), ..name() }),
            _ => continue,
        };
        let count = &mut counts[form as usize];
        *count += 1;
        if *count <= MAX_NAMES { named.push((form, spec)) } else { omitted += 1 }
    }
    if !certificate.subject().is_empty() {
        let subject = certificate.subject().to_string();
        named.push((NameForm::Subject, CertificateName { subject: Some(subject), ..name() }));
    }
    let proved = |(form, spec): (NameForm, CertificateName)| PolicyName {
        field: form.name(),
        strength: strength(form, &spec),
        problem: problem(certificate, &spec),
        certificate: spec,
    };
    (named.into_iter().map(proved).collect(), omitted)
}

/// An issuer's name alone does not identify the CA, unless a trust profile holds exactly one key of that name.
fn strength(form: NameForm, name: &CertificateName) -> Strength {
    let is_unpinned = name
        .issuer_serial
        .as_ref()
        .is_some_and(|name| name.issuer_sha256.is_none() && name.issuer_public_key_sha256.is_none());
    match is_unpinned || !lint::certificate_name(&Field::root("certificate"), form).is_empty() {
        true => Strength::Weak,
        false => Strength::Strong,
    }
}

/// Why a mapping with this name would not match the certificate.
fn problem(certificate: &Certificate, name: &CertificateName) -> Option<String> {
    let spec = CertificateMappingSpec {
        certificate: name.clone(),
        identity: IdentitySpec { user: "user".to_owned(), ..IdentitySpec::default() },
        state: MappingState::Enabled,
    };
    let meta = ObjectMeta { name: "name".to_owned(), namespace: "default".to_owned(), ..ObjectMeta::default() };
    let compiled = certificate_mapping(&meta, &spec);
    if let Some(error) = compiled.errors.first() {
        return Some(error.message.clone());
    }
    let Some(key) = compiled.key else { return Some("it names nothing".to_owned()) };
    let mut found = false;
    keys_of(certificate, NameForms::default().with(key.form), |_, bytes| found |= bytes == key.bytes);
    (!found).then(|| "written so, it would not mean this certificate".to_owned())
}

/// A whole mapping of the certificate by its fingerprint, for the user that its names suggest.
pub fn mapping(certificate: &Certificate) -> Json {
    let sha256 = certificate.sha256().to_string();
    let user = user(certificate);
    let name = format!("{}-{}", slug(user.as_deref().unwrap_or("certificate")), &sha256[..8]);
    json!({
        "apiVersion": "certgate.dev/v1alpha1",
        "kind": "CertificateMapping",
        "metadata": {"name": name},
        "spec": {
            "certificate": {"sha256": sha256},
            "identity": {"user": user.unwrap_or_else(|| name.clone())},
        },
    })
}

/// The mapping in YAML. Every text is quoted, so that YAML reads none as a number or keyword.
pub fn mapping_yaml(mapping: &Json) -> String {
    let text = |pointer: &str| yaml_text(mapping.pointer(pointer).and_then(Json::as_str).unwrap_or_default());
    format!(
        "apiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata:\n  name: {}\nspec:\n  certificate:\n    \
         sha256: {}\n  identity:\n    user: {}\n",
        text("/metadata/name"),
        text("/spec/certificate/sha256"),
        text("/spec/identity/user"),
    )
}

/// A name as one line of YAML below `spec.certificate`.
pub fn name_yaml(name: &CertificateName) -> String {
    let json = serde_json::to_value(name).unwrap_or_default();
    let line = |(key, value): (&String, &Json)| match value {
        Json::String(text) => format!("{key}: {}", yaml_text(text)),
        Json::Object(fields) => {
            let inner =
                |(key, value): (&String, &Json)| format!("{key}: {}", yaml_text(value.as_str().unwrap_or_default()));
            format!("{key}: {{{}}}", fields.iter().map(inner).collect::<Vec<_>>().join(", "))
        }
        other => format!("{key}: {other}"),
    };
    json.as_object().into_iter().flatten().map(line).collect::<Vec<_>>().join(", ")
}

/// A double-quoted scalar (YAML 1.2 section 5.7) in ASCII.
pub fn yaml_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c if u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// The likely account name.
fn user(certificate: &Certificate) -> Option<String> {
    let names = certificate.subject_alt_names().iter();
    let upn = names.clone().find_map(|name| match name {
        GeneralName::UserPrincipalName(text) => Some(text.as_str()),
        _ => None,
    });
    let common_name = "CN".parse::<AttributeType>().ok().and_then(|cn| certificate.subject().values(&cn).last());
    let other = names.clone().find_map(|name| match name {
        GeneralName::Email(text) | GeneralName::Dns(text) | GeneralName::Uri(text) => Some(text.as_str()),
        _ => None,
    });
    let fits = |text: &&str| {
        text.len() <= MAX_USER
            && header_value_problem(text).is_none()
            && text.bytes().all(|octet| (octet.is_ascii_graphic() || octet == b' ') && octet != b',')
    };
    [upn, common_name, other].into_iter().flatten().find(fits).map(str::to_owned)
}

/// A name of Kubernetes (RFC 1123) that resembles `text`.
fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' => out.push(c),
            _ if out.ends_with('-') || out.is_empty() => {}
            _ => out.push('-'),
        }
        if out.len() >= 40 {
            break;
        }
    }
    let kept = out.trim_end_matches('-');
    if kept.is_empty() { "certificate".to_owned() } else { kept.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_yaml_are_quoted_ascii() {
        for (text, want) in [
            ("12e4", "\"12e4\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("müller\u{202e}", "\"m\\u00FCller\\u202E\""),
            ("\u{1f600}\n", "\"\\U0001F600\\u000A\""),
        ] {
            assert_eq!(yaml_text(text), want);
        }
    }

    #[test]
    fn names_of_objects_are_those_of_kubernetes() {
        for (text, want) in [
            ("Alice Müller (Sales)", "alice-m-ller-sales"),
            ("---", "certificate"),
            ("spiffe://a.example/ns/x", "spiffe-a-example-ns-x"),
        ] {
            assert_eq!(slug(text), want);
        }
        assert!(slug(&"long.".repeat(50)).len() <= 40);
    }
}
