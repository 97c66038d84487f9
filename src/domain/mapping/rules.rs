//! The compiled mapping section of a policy, and its rules over names.

mod reach;

pub use reach::unreachable;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::domain::certificate::Certificate;
use crate::domain::fingerprint::Sha256;
use crate::domain::general_name::GeneralName;
use crate::domain::identity::Identity;
use crate::domain::matcher::{Pattern, PatternError};
use crate::domain::name::AttributeType;
use crate::domain::spec::{Case, LabelSelector, MappingState, Precedence};
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
    source: Source,
    /// What one of them must fit as it stands, or else
    pattern: Pattern,
    /// this one in its normal form.
    normal: Pattern,
    /// The pattern as its author wrote it.
    written: Box<str>,
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

/// A text in which the spelling that does not tell two names of this kind apart is made one: white space of attribute
/// values (RFC 5280 section 7.1), case of a URI's scheme and host (RFC 3986 section 6.2.2.1), case of an e-mail
/// address's domain (RFC 5321 section 2.4). Otherwise a rule that denies would be evaded by writing the name in another
/// way. The same is done to patterns, where an asterisk can hide the borders of such a part: there what could belong
/// to it is folded.
fn normal<'a>(source: &Source, text: &'a str) -> Cow<'a, str> {
    match source {
        Source::Subject(_) | Source::Issuer(_) => collapse(text),
        Source::Uri => lower(text, case_of_uri(text)),
        Source::Email => lower(text, [0..0, case_of_email(text)]),
        Source::Dns | Source::UserPrincipalName => Cow::Borrowed(text),
    }
}

/// Without white space at the ends, and with one space for each inner run of it.
fn collapse(text: &str) -> Cow<'_, str> {
    let other = |c: char| c.is_whitespace() && c != ' ';
    if text.trim() == text && !text.contains("  ") && !text.contains(other) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Scheme and host. With an asterisk for the scheme or a part of it, all before the path.
fn case_of_uri(text: &str) -> [Range<usize>; 2] {
    let scheme = text.find(':').unwrap_or(0);
    let authority = scheme.saturating_add("://".len());
    let before_path = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        from.saturating_add(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
    };
    if text.get(scheme..authority) == Some("://") {
        let end = before_path(authority);
        let user = text.get(authority..end).and_then(|text| text.rfind('@')).unwrap_or(0);
        [0..scheme, authority.saturating_add(user)..end]
    } else if text.get(..scheme).is_none_or(|scheme| scheme.is_empty() || scheme.contains('*')) {
        [0..0, 0..before_path(0)]
    } else {
        [0..0, 0..scheme]
    }
}

/// The domain. Without an at sign, all that an asterisk may have put behind one.
fn case_of_email(text: &str) -> Range<usize> {
    text.rfind('@').or_else(|| text.find('*')).unwrap_or(text.len())..text.len()
}

/// `text` with these parts in lower case.
fn lower(text: &str, parts: [Range<usize>; 2]) -> Cow<'_, str> {
    let upper = |part: &Range<usize>| {
        text.get(part.clone()).is_some_and(|part| part.bytes().any(|byte| byte.is_ascii_uppercase()))
    };
    if !parts.iter().any(upper) {
        return Cow::Borrowed(text);
    }
    let mut out = text.to_owned();
    for part in parts {
        if let Some(part) = out.get_mut(part) {
            part.make_ascii_lowercase();
        }
    }
    Cow::Owned(out)
}

impl Part {
    /// A test of the names of `source`.
    pub fn new(source: Source, value: &str, case: Case) -> Result<Self, PatternError> {
        let pattern = Pattern::new(value, case)?;
        let normal = match normal(&source, value) {
            Cow::Borrowed(_) => pattern.clone(),
            Cow::Owned(value) => Pattern::new(&value, case).unwrap_or_else(|_| pattern.clone()),
        };
        Ok(Self { source, pattern, normal, written: value.into() })
    }

    /// Whether every name that fits `other` is sure to fit this part too.
    fn covers(&self, other: &Self) -> bool {
        self.source == other.source && self.pattern.covers(&other.pattern) && self.normal.covers(&other.normal)
    }

    /// Whether any name of its kind fits.
    fn takes_any(&self) -> bool {
        self.written.chars().all(|c| c == '*')
    }

    /// Whether one of the names fits. A name that is absent fits nothing, not even `*`.
    fn matches(&self, certificate: &Certificate) -> bool {
        self.source.any(certificate, |value| {
            self.pattern.matches(value)
                || match normal(&self.source, value) {
                    Cow::Borrowed(value) => self.normal != self.pattern && self.normal.matches(value),
                    Cow::Owned(value) => self.normal.matches(&value),
                }
        })
    }
}

impl Rule {
    /// Whether the rule asks for nothing but that there be some name.
    pub fn takes_any(&self) -> bool {
        self.parts.iter().all(Part::takes_any)
    }

    /// Whether the rule, in force, allows by the subject's common name.
    pub fn allows_by_common_name(&self) -> bool {
        let reads = |part: &Part| part.source == Source::Subject(AttributeType::COMMON_NAME);
        self.state == MappingState::Enabled && self.identity.is_some() && self.parts.iter().any(reads)
    }

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
