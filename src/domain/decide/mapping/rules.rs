//! The compiled mapping section of a policy, and its rules over names.

mod fold;
mod one_to_one;
mod reach;
mod spelling;

pub use fold::Folds;
pub use one_to_one::{OneToOneEntry, OneToOneList};
pub use reach::unreachable;

use std::borrow::Cow;
use std::sync::Arc;

use crate::domain::api::{Case, LabelSelector, MappingState, Precedence, RuleAction, Values};
use crate::domain::decide::identity::Identity;
use crate::domain::decide::matcher::{Pattern, PatternError};
use certgate_x509::{AttributeType, AttributeValue, Certificate, GeneralName, SMTP_UTF8_MAILBOX, Trace, UPN, Verdict};
use spelling::normal;

/// The mapping section of a policy, compiled.
#[derive(Debug)]
pub struct MappingSection {
    /// What is tried first.
    pub precedence: Precedence,
    /// Single certificates.
    pub one_to_one: OneToOneList,
    /// Selects the CertificateMapping objects of the policy's namespace that apply; `None` for none.
    pub selector: Option<LabelSelector>,
    /// The rules, in order.
    pub rules: Vec<CompiledRule>,
}

impl MappingSection {
    /// Whether an enabled rule allows any certificate.
    pub fn has_rules_that_allow(&self) -> bool {
        self.rules.iter().any(|rule| rule.state == MappingState::Enabled && rule.identity.is_some())
    }
}

/// One rule. It allows when it has an identity, and denies otherwise.
#[derive(Debug)]
pub struct CompiledRule {
    /// Its name.
    pub name: Box<str>,
    /// The tests that a certificate must all pass; there is at least one.
    pub parts: Vec<CompiledRulePart>,
    /// The identity of the certificates that the rule allows.
    pub identity: Option<Arc<Identity>>,
    /// Whether the rule is in force.
    pub state: MappingState,
}

/// One test of a rule.
#[derive(Debug)]
pub struct CompiledRulePart {
    /// The names that are tested.
    source: NameKind,
    /// A name matches if its text matches this pattern unchanged.
    pattern: Pattern,
    /// A name also matches if its normal form matches this pattern.
    normal: Pattern,
    /// In a rule that denies, a name also matches if its folded form, without invisible characters, matches this
    /// pattern.
    folded: Option<Pattern>,
    /// How many of the names must fit.
    values: Values,
    /// How names are folded for `folded`.
    case: Case,
    /// The pattern as its author wrote it.
    written: Box<str>,
}

/// A name of a certificate, as a rule looks at it.
#[derive(Copy, Clone)]
struct TestedName<'a> {
    /// The name; `None` where it cannot be read.
    text: Option<&'a str>,
    /// Whether other software might read another name.
    is_doubtful: bool,
}

/// A kind of name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameKind {
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

impl std::fmt::Display for NameKind {
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

impl NameKind {
    /// Calls `visit` with each such name of `certificate` until it returns true, and returns whether it did.
    fn any<'a>(&self, certificate: &'a Certificate, mut visit: impl FnMut(TestedName<'a>) -> bool) -> bool {
        let attribute = |value: AttributeValue<'a>| TestedName { text: value.text, is_doubtful: value.is_doubtful };
        match self {
            Self::Subject(ty) => certificate.subject().all_values(ty).map(attribute).any(visit),
            Self::Issuer(ty) => certificate.issuer().all_values(ty).map(attribute).any(visit),
            _ => certificate.subject_alt_names().iter().any(|name| match self.alternative(name) {
                Some(tested) => visit(tested),
                None => false,
            }),
        }
    }

    /// An alternative name that is of this kind.
    fn alternative<'a>(&self, name: &'a GeneralName) -> Option<TestedName<'a>> {
        let read = |text| Some(TestedName { text: Some(text), is_doubtful: false });
        match (self, name) {
            (Self::Dns, GeneralName::Dns(text)) => read(text.strip_suffix('.').unwrap_or(text)),
            (Self::Uri, GeneralName::Uri(text))
            | (Self::Email, GeneralName::Email(text))
            | (Self::UserPrincipalName, GeneralName::UserPrincipalName(text)) => read(text),
            // A principal name in a string type that Windows does not write, and an e-mail address outside ASCII (RFC
            // 9598).
            (Self::UserPrincipalName, GeneralName::Other { type_id, .. }) if *type_id == *UPN => {
                Some(TestedName { text: None, is_doubtful: true })
            }
            (Self::Email, GeneralName::Other { type_id, .. }) if *type_id == *SMTP_UTF8_MAILBOX => {
                Some(TestedName { text: None, is_doubtful: true })
            }
            _ => None,
        }
    }

    /// The names of `certificate` for people to read.
    fn shown(&self, certificate: &Certificate) -> String {
        const SHOWN: usize = 8;
        let mut values = Vec::new();
        self.any(certificate, |value| {
            let is_plain = |text| !value.is_doubtful && !fold::doubtful::is_doubtful(self, text);
            values.push(match value {
                TestedName { text: Some(text), .. } if is_plain(text) => format!("{text:?}"),
                TestedName { text: Some(text), .. } => format!("{text:?} (others may read another text)"),
                TestedName { text: None, .. } => "of a type that is not compared".to_owned(),
            });
            values.len() > SHOWN
        });
        if values.len() > SHOWN {
            values.truncate(SHOWN);
            values.push("…".to_owned());
        }
        if values.is_empty() { "absent".to_owned() } else { values.join(", ") }
    }
}

impl CompiledRulePart {
    /// A test of the names of `source` in a rule that does `action`.
    pub fn new(
        source: NameKind,
        value: &str,
        case: Case,
        values: Values,
        action: RuleAction,
    ) -> Result<Self, PatternError> {
        let pattern = Pattern::new(value, case)?;
        let normal = match normal(&source, value) {
            Cow::Borrowed(_) => pattern.clone(),
            Cow::Owned(value) => Pattern::new(&value, case).unwrap_or_else(|_| pattern.clone()),
        };
        // The case of issuers' names does not matter (RFC 5280 section 7.1), so a CA may write its own in any case.
        let case = match source {
            NameKind::Issuer(_) => Case::Insensitive,
            _ => case,
        };
        let folded = match action {
            RuleAction::Deny => Some(fold::pattern(&source, value, case)?),
            RuleAction::Allow => None,
        };
        Ok(Self { source, pattern, normal, folded, values, case, written: value.into() })
    }

    /// What is tested.
    pub fn source(&self) -> &NameKind {
        &self.source
    }

    /// How many of the names must fit.
    pub fn values(&self) -> Values {
        self.values
    }

    /// Whether a name with the text `text` matches.
    pub fn takes(&self, text: &str) -> bool {
        self.pattern.matches(text)
            || match normal(&self.source, text) {
                Cow::Borrowed(text) => self.normal != self.pattern && self.normal.matches(text),
                Cow::Owned(text) => self.normal.matches(&text),
            }
    }

    /// Whether every certificate that matches `other` certainly matches this part too, apart from names that only a
    /// rule that denies can interpret.
    fn covers(&self, other: &Self) -> bool {
        let folded = match (&self.folded, &other.folded) {
            (Some(wide), Some(narrow)) => wide.covers(narrow),
            _ => true,
        };
        let values = self.values == Values::Any || other.values == Values::Every;
        values
            && folded
            && self.source == other.source
            && self.pattern.covers(&other.pattern)
            && self.normal.covers(&other.normal)
    }

    /// Whether any name of its kind matches.
    fn takes_any(&self) -> bool {
        self.written.chars().all(|c| c == '*')
    }

    /// Whether enough of the names match. An absent name matches nothing, not even `*`.
    fn matches(&self, certificate: &Certificate, folds: &Folds) -> bool {
        match self.values {
            Values::Any => self.source.any(certificate, |value| self.fits(value, folds)),
            Values::Every => {
                let mut seen = false;
                let misfit = self.source.any(certificate, |value| {
                    seen = true;
                    !self.fits(value, folds)
                });
                seen && !misfit
            }
        }
    }

    /// Whether one name matches. A name that cannot be compared matches only rules that deny.
    fn fits(&self, value: TestedName<'_>, folds: &Folds) -> bool {
        let Some(folded) = &self.folded else { return value.text.is_some_and(|text| self.takes(text)) };
        let Some(text) = value.text.filter(|_| !value.is_doubtful) else { return true };
        self.takes(text) || folds.matches(folded, &self.source, text, self.case)
    }
}

impl CompiledRule {
    /// Whether the rule requires only that names exist.
    pub fn takes_any(&self) -> bool {
        self.parts.iter().all(CompiledRulePart::takes_any)
    }

    /// Whether the rule, in force, allows by the subject's common name.
    pub fn allows_by_common_name(&self) -> bool {
        let reads = |part: &CompiledRulePart| part.source == NameKind::Subject(AttributeType::COMMON_NAME);
        self.state == MappingState::Enabled && self.identity.is_some() && self.parts.iter().any(reads)
    }

    fn matches(&self, certificate: &Certificate, folds: &Folds) -> bool {
        self.state == MappingState::Enabled && self.parts.iter().all(|part| part.matches(certificate, folds))
    }

    /// The rule's parts with the certificate's names, up to the first part that does not match.
    fn shown(&self, certificate: &Certificate, folds: &Folds) -> String {
        let mut out = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let fits = part.matches(certificate, folds);
            let sign = match (fits, part.values) {
                (true, _) => "fits",
                (false, Values::Any) => "does not fit",
                (false, Values::Every) => "does not fit, in every value,",
            };
            out.push(format!("{} {} {sign} {:?}", part.source, part.source.shown(certificate), part.written));
            if !fits {
                break;
            }
        }
        out.join("; ")
    }
}

/// The outcome of the rules for a certificate.
#[derive(Debug)]
pub enum RuleOutcome<'a> {
    /// The first rule that matches allows, as this identity.
    Allow(&'a Arc<Identity>),
    /// The first rule that matches denies.
    Deny(&'a CompiledRule),
    /// No rule matches.
    NoMatch,
}

/// The outcome of the first rule that matches.
pub fn first_match<'a, T: Trace>(
    rules: &'a [CompiledRule],
    certificate: &Certificate,
    folds: &Folds,
    trace: &mut T,
) -> RuleOutcome<'a> {
    for rule in rules {
        if !rule.matches(certificate, folds) {
            skipped(rule, certificate, folds, trace);
            continue;
        }
        return match &rule.identity {
            Some(identity) => {
                trace.step(super::STAGE, Verdict::Pass, || {
                    format!(
                        "rule {:?} allows as user {:?}: {}",
                        rule.name,
                        identity.user,
                        rule.shown(certificate, folds)
                    )
                });
                RuleOutcome::Allow(identity)
            }
            None => {
                matched(rule, certificate, folds, trace);
                RuleOutcome::Deny(rule)
            }
        };
    }
    RuleOutcome::NoMatch
}

/// The first rule that matches and denies, regardless of the rules before it.
pub fn first_deny<'a, T: Trace>(
    rules: &'a [CompiledRule],
    certificate: &Certificate,
    folds: &Folds,
    trace: &mut T,
) -> Option<&'a CompiledRule> {
    for rule in rules.iter().filter(|rule| rule.identity.is_none()) {
        if rule.matches(certificate, folds) {
            matched(rule, certificate, folds, trace);
            return Some(rule);
        }
        skipped(rule, certificate, folds, trace);
    }
    None
}

fn matched<T: Trace>(rule: &CompiledRule, certificate: &Certificate, folds: &Folds, trace: &mut T) {
    trace.step(super::STAGE, Verdict::Note, || format!("rule {:?}: {}", rule.name, rule.shown(certificate, folds)));
}

fn skipped<T: Trace>(rule: &CompiledRule, certificate: &Certificate, folds: &Folds, trace: &mut T) {
    trace.step(super::STAGE, Verdict::Skip, || match rule.state {
        MappingState::Enabled => format!("rule {:?}: {}", rule.name, rule.shown(certificate, folds)),
        MappingState::Disabled => format!("rule {:?} is disabled", rule.name),
    });
}
