//! What is doubtful about a CertificateMapping and about the names in a policy's rules, with what is around them.

use std::collections::BTreeSet;

use crate::domain::api::{Field, Report};
use crate::domain::api::{FieldError, MappingState, Values};
use crate::domain::decide::mapping::key::{NameForm, distinguished_name, pin};
use crate::domain::decide::mapping::rules::{MappingSection, NameKind};
use crate::domain::decide::verifier::CertificateVerifier;
use certgate_x509::{Subtree, looks_reversed};

/// The warning about a distinguished name that seems to be written in the order of a certificate, in any field.
pub const REVERSED: &str = "the distinguished name looks reversed: write the most specific part first, as in \
                            CN=acme,O=Acme,C=DE; `openssl x509 -subject -nameopt RFC2253` prints it so";

/// A finding about a mapping that compiles.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MappingFinding {
    /// It denies its certificate.
    Disabled,
    /// No policy selects it.
    NotSelected,
    /// The trust profile of a policy that selects it does not say which key the issuer in its name has.
    WeakIssuer,
    /// Its distinguished name seems to be written in the order of a certificate.
    Reversed,
}

/// A set of [`MappingFinding`]s.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MappingFindings(u8);

impl MappingFindings {
    /// The set with `one`.
    #[must_use]
    pub const fn with(self, one: MappingFinding) -> Self {
        Self(self.0 | (1 << one as u8))
    }

    /// Whether `one` is in the set.
    pub const fn contains(self, one: MappingFinding) -> bool {
        self.0 & (1 << one as u8) != 0
    }

    /// Whether there are no findings.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is doubtful, each with its field.
    pub fn warnings(self) -> Vec<FieldError> {
        let mut out = Vec::new();
        let mut add = |one, field: &str, message: &str| {
            if self.contains(one) {
                out.push(FieldError::new(field, message));
            }
        };
        let not_selected = match self.contains(MappingFinding::Disabled) {
            true => {
                "no CertificatePolicy of this namespace selects the mapping: it denies nothing, and its certificate may still \
                 be allowed"
            }
            false => "no CertificatePolicy of this namespace selects the mapping: it maps nothing",
        };
        add(MappingFinding::NotSelected, "metadata.labels", not_selected);
        add(
            MappingFinding::WeakIssuer,
            "spec.certificate.issuerSerial",
            "weak: the trust profile of a policy that selects the mapping does not hold exactly one key under the \
             issuer's name, so the certificate is denied with WEAK_MAPPING; list the issuing CA's certificate in \
             intermediates, or give issuerPublicKeySha256",
        );
        add(MappingFinding::Reversed, "spec.certificate", REVERSED);
        out
    }
}

/// The findings of a mapping by `key`; `profiles` are those of the policies that select it, as far as they are known.
pub fn findings<'a>(
    form: NameForm,
    key: &[u8],
    state: MappingState,
    profiles: impl IntoIterator<Item = Option<&'a CertificateVerifier>>,
) -> MappingFindings {
    let mut findings = MappingFindings::default();
    if state == MappingState::Disabled {
        findings = findings.with(MappingFinding::Disabled);
    }
    if distinguished_name(form, key).is_some_and(looks_reversed) {
        findings = findings.with(MappingFinding::Reversed);
    }
    let mut is_selected = false;
    for profile in profiles {
        is_selected = true;
        if state == MappingState::Enabled && profile.is_some_and(|profile| is_weak(form, key, profile)) {
            findings = findings.with(MappingFinding::WeakIssuer);
        }
    }
    if is_selected { findings } else { findings.with(MappingFinding::NotSelected) }
}

/// Whether the issuer in a name is sure to be known by no more than its name.
fn is_weak(form: NameForm, key: &[u8], profile: &CertificateVerifier) -> bool {
    let Some(issuer) = distinguished_name(form, key).filter(|_| form == NameForm::IssuerSerial) else { return false };
    if !profile.accepts_chains() {
        return true;
    }
    let keys: BTreeSet<&[u8]> = profile.issuer_keys(issuer).collect();
    match keys.len() {
        _ if pin(form, key).is_some() => false,
        // A CA that is known by its hash alone may be the one.
        0 => !profile.has_nameless_authorities(),
        1 => false,
        _ => true,
    }
}

/// The entries of a policy whose `issuerSerial` names an issuer of which the policy's trust profile knows no more than
/// the name: their certificates are denied.
pub fn weak_issuers(mapping: &MappingSection, profile: &CertificateVerifier) -> Vec<FieldError> {
    let mut report = Report::default();
    let root = Field::root("spec");
    let section = root.child("mapping");
    let list = section.child("oneToOne");
    for entry in mapping.one_to_one.entries().iter().filter(|entry| entry.is_enabled()) {
        if is_weak(entry.key.form, &entry.key.bytes, profile) {
            let message = "weak: the policy's trust profile does not hold exactly one key under the issuer's name, so \
                           the certificate is denied with WEAK_MAPPING; list the issuing CA's certificate in \
                           intermediates, or give issuerPublicKeySha256";
            let field = list.at(entry.index);
            let field = field.child("certificate");
            report.warning(&field.child(entry.key.form.name()), message);
        }
    }
    report.warnings
}

/// The rules that allow by an attribute which a CA of the profile may give in addition to the one that it is bound to:
/// a CA for names below `O=Partner` may certify `O=Partner,O=Contoso`.
pub fn repeatable(mapping: &MappingSection, profile: &CertificateVerifier) -> Vec<FieldError> {
    let mut report = Report::default();
    let root = Field::root("spec");
    let section = root.child("mapping");
    let rules = section.child("rules");
    let bound: Vec<_> = profile
        .authorities()
        .filter_map(|ca| Some((ca, ca.name_constraints()?.permitted())))
        .flat_map(|(ca, permitted)| permitted.iter().map(move |subtree| (ca, subtree)))
        .filter_map(|(ca, subtree)| match subtree {
            Subtree::DirectoryName(base) => Some((ca, base)),
            _ => None,
        })
        .collect();
    let allowing = mapping.rules.iter().enumerate();
    for (at, rule) in allowing.filter(|(_, rule)| rule.identity.is_some() && rule.state == MappingState::Enabled) {
        let rule_field = rules.at(at);
        let parts = rule_field.child("where");
        for (part_at, part) in rule.parts.iter().enumerate().filter(|(_, part)| part.values() == Values::Any) {
            let NameKind::Subject(ty) = part.source() else { continue };
            let evading = bound.iter().find(|(_, base)| {
                let mut values = base.values(ty).peekable();
                values.peek().is_some() && !values.any(|value| part.takes(value))
            });
            if let Some((ca, base)) = evading {
                let message = format_args!(
                    "CA {} may only issue names below {base}, but may add a second {ty} that the rule takes: write \
                     `values: Every`",
                    ca.subject()
                );
                report.warning(&parts.at(part_at), message);
            }
        }
    }
    report.warnings
}
