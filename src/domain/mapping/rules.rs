//! The compiled mapping section of a policy, and its rules over names.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::certificate::Certificate;
use crate::domain::fingerprint::Sha256;
use crate::domain::general_name::GeneralName;
use crate::domain::identity::Identity;
use crate::domain::matcher::Pattern;
use crate::domain::name::AttributeType;
use crate::domain::spec::{LabelSelector, MappingState, Precedence};
use crate::domain::trace::{Trace, Verdict};

/// The mapping section of a policy, compiled.
#[derive(Debug)]
pub struct Mapping {
    /// What is looked at first.
    pub precedence: Precedence,
    /// Single certificates.
    pub one_to_one: HashMap<Sha256, OneToOneEntry>,
    /// The CertificateMapping objects of the policy's namespace that count; `None` for none.
    pub selector: Option<LabelSelector>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

impl Mapping {
    /// Whether a rule in force allows anybody.
    pub fn has_rules_that_allow(&self) -> bool {
        self.rules.iter().any(|rule| rule.state == MappingState::Enabled && rule.identity.is_some())
    }
}

/// One certificate of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneToOneEntry {
    /// Its place in the list.
    pub index: usize,
    /// Who it stands for.
    pub identity: Arc<Identity>,
    /// Whether it is in force.
    pub state: MappingState,
}

/// One rule. It allows when it has an identity, and denies otherwise.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: Box<str>,
    /// What a certificate must have: all of these, and there is at least one.
    pub parts: Vec<Part>,
    /// Who a certificate stands for that the rule allows.
    pub identity: Option<Arc<Identity>>,
    /// Whether the rule is in force.
    pub state: MappingState,
}

/// One test of a rule.
#[derive(Debug)]
pub struct Part {
    /// The names that are tested.
    pub source: Source,
    /// What one of them must fit.
    pub pattern: Pattern,
    /// The pattern as its author wrote it.
    pub written: Box<str>,
}

/// A kind of name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An attribute of the subject.
    Subject(AttributeType),
    /// An attribute of the issuer.
    Issuer(AttributeType),
    /// URIs.
    Uri,
    /// DNS names.
    Dns,
    /// E-mail addresses.
    Email,
    /// User principal names.
    UserPrincipalName,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Subject(attribute) => write!(f, "Subject {attribute}"),
            Self::Issuer(attribute) => write!(f, "Issuer {attribute}"),
            Self::Uri => f.write_str("URI"),
            Self::Dns => f.write_str("DNS"),
            Self::Email => f.write_str("Email"),
            Self::UserPrincipalName => f.write_str("UserPrincipalName"),
        }
    }
}

impl Source {
    /// Calls `visit` with each such name of `certificate` until it says that it has seen enough.
    fn any(&self, certificate: &Certificate, mut visit: impl FnMut(&str) -> bool) -> bool {
        match self {
            Self::Subject(attribute) => certificate.subject().values(attribute).any(visit),
            Self::Issuer(attribute) => certificate.issuer().values(attribute).any(visit),
            _ => certificate.subject_alt_names().iter().any(|name| match (self, name) {
                (Self::Dns, GeneralName::Dns(text)) => visit(text.strip_suffix('.').unwrap_or(text)),
                (Self::Uri, GeneralName::Uri(text))
                | (Self::Email, GeneralName::Email(text))
                | (Self::UserPrincipalName, GeneralName::UserPrincipalName(text)) => visit(text),
                _ => false,
            }),
        }
    }

    /// The names of `certificate` for people to read.
    fn shown(&self, certificate: &Certificate) -> String {
        const SHOWN: usize = 8;
        let mut values = Vec::new();
        self.any(certificate, |value| {
            values.push(format!("{value:?}"));
            values.len() > SHOWN
        });
        if values.len() > SHOWN {
            values.truncate(SHOWN);
            values.push("…".to_owned());
        }
        if values.is_empty() { "absent".to_owned() } else { values.join(", ") }
    }
}

impl Part {
    /// Whether one of the names fits. A name that is absent fits nothing, not even `*`.
    fn matches(&self, certificate: &Certificate) -> bool {
        self.source.any(certificate, |value| self.pattern.matches(value))
    }
}

impl Rule {
    fn matches(&self, certificate: &Certificate) -> bool {
        self.state == MappingState::Enabled && self.parts.iter().all(|part| part.matches(certificate))
    }

    /// The rule's parts with what the certificate has, as far as the first that does not fit.
    fn shown(&self, certificate: &Certificate) -> String {
        let mut out = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let fits = part.matches(certificate);
            let sign = if fits { "fits" } else { "does not fit" };
            out.push(format!("{} {} {sign} {:?}", part.source, part.source.shown(certificate), part.written));
            if !fits {
                break;
            }
        }
        out.join("; ")
    }
}

/// What the rules say of a certificate.
#[derive(Debug)]
pub enum RuleOutcome<'a> {
    /// The first rule that matches allows, as this identity.
    Allow(&'a Arc<Identity>),
    /// The first rule that matches denies.
    Deny(&'a Rule),
    /// No rule matches.
    NoMatch,
}

/// What the first rule that matches says.
pub fn first_match<'a, T: Trace>(rules: &'a [Rule], certificate: &Certificate, trace: &mut T) -> RuleOutcome<'a> {
    for rule in rules {
        if !rule.matches(certificate) {
            skipped(rule, certificate, trace);
            continue;
        }
        return match &rule.identity {
            Some(identity) => {
                trace.step(super::STAGE, Verdict::Pass, || {
                    format!("rule {:?} allows as user {:?}: {}", rule.name, identity.user, rule.shown(certificate))
                });
                RuleOutcome::Allow(identity)
            }
            None => {
                matched(rule, certificate, trace);
                RuleOutcome::Deny(rule)
            }
        };
    }
    RuleOutcome::NoMatch
}

/// The first rule that matches and denies, whatever stands before it.
pub fn first_deny<'a, T: Trace>(rules: &'a [Rule], certificate: &Certificate, trace: &mut T) -> Option<&'a Rule> {
    for rule in rules.iter().filter(|rule| rule.identity.is_none()) {
        if rule.matches(certificate) {
            matched(rule, certificate, trace);
            return Some(rule);
        }
        skipped(rule, certificate, trace);
    }
    None
}

fn matched<T: Trace>(rule: &Rule, certificate: &Certificate, trace: &mut T) {
    trace.step(super::STAGE, Verdict::Note, || format!("rule {:?}: {}", rule.name, rule.shown(certificate)));
}

fn skipped<T: Trace>(rule: &Rule, certificate: &Certificate, trace: &mut T) {
    trace.step(super::STAGE, Verdict::Skip, || match rule.state {
        MappingState::Enabled => format!("rule {:?}: {}", rule.name, rule.shown(certificate)),
        MappingState::Disabled => format!("rule {:?} is disabled", rule.name),
    });
}
