//! From a certificate to an identity.
//!
//! Owns the meaning of a policy's mapping section: single certificates before rules, the first rule that matches, and
//! denials in between. The caller has verified the certificates. [`table`] owns the storage of mappings, [`key`] the
//! comparison of names.

mod by_key;
pub mod changes;
pub mod compiled;
mod interner;
pub mod issuer;
pub mod key;
mod paged;
mod records;
pub mod rules;
pub mod store;
pub mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use by_key::identify_by_key;

use crate::domain::api::{MappingState, Precedence};
use crate::domain::decide::identity::Identity;
use crate::domain::decide::identity::{MAX_HEADER_VALUE, header_value_problem};
use crate::domain::decide::reason::Reason;
use certgate_x509::{Certificate, GeneralName, Trace, Verdict};
use issuer::{Binding, PathIssuer};
use key::{IssuerPin, NameForm, keys_of, reversed_keys_of};
use rules::{Folds, MappingSection, OneToOneEntry, RuleOutcome};
use table::{MappingStatus, MappingTable, ObjectEntry};

/// Why a certificate has no identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmapped {
    /// The reason for the denial.
    pub reason: Reason,
    /// What was compared.
    pub detail: String,
}

const STAGE: &str = "mapping";

/// The identity of a certificate under a policy's mapping section; `issuer` is that of its validated path.
pub fn identify<T: Trace>(
    mapping: &MappingSection,
    namespace: &str,
    table: &MappingTable,
    certificate: &Certificate,
    issuer: PathIssuer<'_>,
    trace: &mut T,
) -> Result<Arc<Identity>, Unmapped> {
    let folds = Folds::default();
    if mapping.precedence == Precedence::DenyFirst
        && let Some(rule) = rules::first_deny(&mapping.rules, certificate, &folds, trace)
    {
        return fail(trace, Reason::MappingDenied, format!("rule {:?} denies the certificate", rule.name));
    }
    if let Some(found) = specific(mapping, namespace, table, certificate, issuer, trace) {
        return found;
    }
    match rules::first_match(&mapping.rules, certificate, &folds, trace) {
        RuleOutcome::Allow(identity) => Ok(Arc::clone(identity)),
        RuleOutcome::Deny(rule) => {
            fail(trace, Reason::MappingDenied, format!("rule {:?} denies the certificate", rule.name))
        }
        RuleOutcome::NoMatch => {
            fail(trace, Reason::NoMapping, "no one-to-one entry, mapping or rule names the certificate".to_owned())
        }
    }
}

fn fail<T: Trace, V>(trace: &mut T, reason: Reason, detail: String) -> Result<V, Unmapped> {
    trace.step(STAGE, Verdict::Fail, || format!("{reason}: {detail}"));
    Err(Unmapped { reason, detail })
}

/// An entry that names a single certificate.
#[derive(Copy, Clone)]
enum MappingEntry<'a> {
    OneToOne(&'a OneToOneEntry),
    Object(ObjectEntry<'a>, NameForm),
}

impl MappingEntry<'_> {
    fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OneToOne(left), Self::OneToOne(right)) => left.identity == right.identity,
            (Self::OneToOne(entry), Self::Object(object, _)) | (Self::Object(object, _), Self::OneToOne(entry)) => {
                object.stands_for(&entry.identity)
            }
            (Self::Object(left, _), Self::Object(right, _)) => left.agrees_with(right),
        }
    }

    fn status(&self) -> MappingStatus {
        match self {
            Self::OneToOne(entry) => match entry.state {
                MappingState::Enabled => MappingStatus::Enabled,
                MappingState::Disabled => MappingStatus::Disabled,
            },
            Self::Object(object, _) => object.status(),
        }
    }

    fn identity(&self) -> Arc<Identity> {
        match self {
            Self::OneToOne(entry) => Arc::clone(&entry.identity),
            Self::Object(object, _) => Arc::new(object.identity()),
        }
    }

    /// What it states about the issuer, besides its name.
    fn pin(&self) -> Option<IssuerPin> {
        match self {
            Self::OneToOne(entry) => key::pin(entry.key.form, &entry.key.bytes),
            Self::Object(object, _) => object.pin(),
        }
    }

    fn user(&self) -> &str {
        match self {
            Self::OneToOne(entry) => &entry.identity.user,
            Self::Object(object, _) => object.user(),
        }
    }
}

impl std::fmt::Display for MappingEntry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OneToOne(entry) => write!(f, "oneToOne[{}] by {}", entry.index, entry.key.form.name()),
            Self::Object(object, form) => write!(f, "CertificateMapping {} by {}", object.name(), form.name()),
        }
    }
}

/// All entries that name one certificate, combined.
#[derive(Default)]
struct Claims<'a> {
    first: Option<MappingEntry<'a>>,
    disabled: Option<MappingEntry<'a>>,
    invalid: Option<MappingEntry<'a>>,
    rival: Option<MappingEntry<'a>>,
    /// Entries that would apply if more than the issuer's name were known, and why it is not.
    weak: Vec<(MappingEntry<'a>, String)>,
}

impl<'a> Claims<'a> {
    /// Adds the entry that names the certificate by `form`, and returns whether it applies: an issuer's name may mean
    /// another CA.
    fn consider<T: Trace>(
        &mut self,
        holder: MappingEntry<'a>,
        form: NameForm,
        issuer: PathIssuer<'_>,
        trace: &mut T,
    ) -> bool {
        let binding = if form == NameForm::IssuerSerial { issuer.binding(holder.pin()) } else { Binding::Bound };
        match binding {
            Binding::Bound => self.add(holder, trace),
            // Neither proves more than a name, and the client chooses which certificates of a CA it presents.
            Binding::Unproven if holder.status() != MappingStatus::Enabled => self.add(holder, trace),
            Binding::Other | Binding::Unproven => {
                let why = match binding {
                    Binding::Other => "means another CA of that name",
                    _ => "the certificate of the issuer that it names is not at hand",
                };
                trace.step(STAGE, Verdict::Skip, || format!("{holder}: {why}"));
                return false;
            }
            // A mapping that denies applies to every CA with the name.
            Binding::Weak(_) if holder.status() != MappingStatus::Enabled => self.add(holder, trace),
            Binding::Weak(why) => {
                trace.step(STAGE, Verdict::Note, || format!("WEAK: {holder}: {why}"));
                self.weak.push((holder, why));
            }
        }
        true
    }

    fn add<T: Trace>(&mut self, holder: MappingEntry<'a>, trace: &mut T) {
        trace.step(STAGE, Verdict::Note, || match holder.status() {
            MappingStatus::Enabled => format!("{holder}: user {:?}", holder.user()),
            MappingStatus::Disabled => format!("{holder}: disabled"),
            MappingStatus::Invalid | MappingStatus::InvalidDisabled => format!("{holder}: does not compile"),
        });
        match holder.status() {
            MappingStatus::Disabled | MappingStatus::InvalidDisabled => _ = self.disabled.get_or_insert(holder),
            MappingStatus::Invalid => _ = self.invalid.get_or_insert(holder),
            MappingStatus::Enabled => {
                let first = self.first.get_or_insert(holder);
                if !first.agrees_with(&holder) {
                    self.rival.get_or_insert(holder);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.disabled.is_none() && self.invalid.is_none() && self.weak.is_empty()
    }

    /// The result of all claims; `None` without claims. A disabled entry outweighs everything.
    fn settle(&self) -> Option<Result<MappingEntry<'a>, Unmapped>> {
        if let Some(holder) = &self.disabled {
            return Some(Err(Unmapped { reason: Reason::AccountDisabled, detail: format!("{holder} is disabled") }));
        }
        if let Some(holder) = &self.invalid {
            let detail = format!("{holder} does not compile");
            return Some(Err(Unmapped { reason: Reason::PolicyInvalid, detail }));
        }
        let Some(first) = self.first else {
            let (holder, why) = self.weak.first()?;
            return Some(Err(Unmapped { reason: Reason::WeakMapping, detail: format!("{holder}: {why}") }));
        };
        let weak = self.weak.iter().map(|(holder, _)| holder).find(|weak| !first.agrees_with(weak));
        Some(match self.rival.as_ref().or(weak) {
            Some(rival) => Err(Unmapped {
                reason: Reason::MappingAmbiguous,
                detail: format!("{first} says user {:?}, {rival} says user {:?}", first.user(), rival.user()),
            }),
            None => Ok(first),
        })
    }
}

fn specific<T: Trace>(
    mapping: &MappingSection,
    namespace: &str,
    table: &MappingTable,
    certificate: &Certificate,
    issuer: PathIssuer<'_>,
    trace: &mut T,
) -> Option<Result<Arc<Identity>, Unmapped>> {
    let mut claims = Claims::default();
    let list = &mapping.one_to_one;
    if !list.is_empty() {
        let mut found = false;
        keys_of(certificate, list.forms(), |form, key| {
            for entry in list.find(form, key) {
                found |= claims.consider(MappingEntry::OneToOne(entry), form, issuer, trace);
            }
        });
        if !found {
            trace.step(STAGE, Verdict::Skip, || {
                format!("no oneToOne entry, of {}, names the certificate, sha256 {}", list.len(), certificate.sha256())
            });
        }
    }
    if let Some(selector) = &mapping.selector {
        let mut found = false;
        keys_of(certificate, table.forms(), |form, key| {
            for entry in table.find(namespace, selector, form, key) {
                found |= claims.consider(MappingEntry::Object(entry, form), form, issuer, trace);
            }
        });
        if !found {
            trace.step(STAGE, Verdict::Skip, || {
                let labels: Vec<_> =
                    selector.match_labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                let labels = if labels.is_empty() { "any labels".to_owned() } else { labels.join(",") };
                format!("no CertificateMapping in namespace {namespace} with {labels} names the certificate")
            });
        }
    }
    if T::KEEPS && claims.is_empty() {
        note_reversed(mapping, namespace, table, certificate, trace);
    }
    Some(match claims.settle()? {
        Ok(holder) => {
            trace.step(STAGE, Verdict::Pass, || format!("{holder} decides: user {:?}", holder.user()));
            Ok(holder.identity())
        }
        Err(Unmapped { reason, detail }) => fail(trace, reason, detail),
    })
}

/// Notes entries that would name the certificate if their distinguished name had the reverse order, which OpenSSL
/// prints.
fn note_reversed<T: Trace>(
    mapping: &MappingSection,
    namespace: &str,
    table: &MappingTable,
    certificate: &Certificate,
    trace: &mut T,
) {
    let mut note = |holder: MappingEntry<'_>, form: NameForm| {
        trace.step(STAGE, Verdict::Note, || {
            let name = if form == NameForm::Subject { certificate.subject() } else { certificate.issuer() };
            format!("{holder} would match in reverse order: write {:?}", name.to_rfc4514())
        });
    };
    reversed_keys_of(certificate, mapping.one_to_one.forms(), |form, key| {
        mapping.one_to_one.find(form, key).for_each(|entry| note(MappingEntry::OneToOne(entry), form));
    });
    if let Some(selector) = &mapping.selector {
        reversed_keys_of(certificate, table.forms(), |form, key| {
            table.find(namespace, selector, form, key).for_each(|entry| note(MappingEntry::Object(entry, form), form));
        });
    }
}

/// The identity of a certificate under a policy without a mapping section: its subject, or, if that is empty, its only
/// URI, else its first DNS name, else its first e-mail address.
///
/// A name of one form never equals one of another, in particular not a subject: a subject has `=` after its first
/// attribute type, a URI has `:` before any `=`, an e-mail address has `@` and neither of them, a host name has none of
/// the three. An alternative name that does not have its form denies; no other name is tried.
pub fn subject_identity<T: Trace>(certificate: &Certificate, trace: &mut T) -> Result<Arc<Identity>, Unmapped> {
    let (field, user) = if certificate.subject().is_empty() {
        let (field, well_formed, name) = match alternative_name(certificate) {
            Some(found) => found,
            None => {
                let detail = "the certificate has neither subject nor URI, DNS name or e-mail address";
                return fail(trace, Reason::NoMapping, detail.to_owned());
            }
        };
        if !well_formed(name) {
            let shown: String = name.chars().take(256).collect();
            let detail = format!("the certificate's {field} {shown:?} is not well-formed, and it has no subject");
            return fail(trace, Reason::NoMapping, detail);
        }
        (field, name.to_owned())
    } else {
        ("subject", certificate.subject().to_rfc4514())
    };
    if user.len() > MAX_HEADER_VALUE {
        let detail =
            format!("the certificate's {field} makes a user of {} bytes: at most {MAX_HEADER_VALUE}", user.len());
        return fail(trace, Reason::NoMapping, detail);
    }
    if let Some(problem) = header_value_problem(&user) {
        return fail(trace, Reason::NoMapping, format!("the certificate's {field} {user:?} {problem}"));
    }
    trace.step(STAGE, Verdict::Pass, || format!("no mapping: the {field} is the user, {user:?}"));
    Ok(Arc::new(Identity { user, groups: Vec::new(), uid: None, extra: BTreeMap::new() }))
}

/// The name of its form, the check that it can be a user, and the name.
type AlternativeName<'a> = (&'static str, fn(&str) -> bool, &'a str);

fn alternative_name(certificate: &Certificate) -> Option<AlternativeName<'_>> {
    let names = certificate.subject_alt_names();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::Uri(uri) => Some(uri),
        _ => None,
    });
    if let (Some(uri), None) = (uris.next(), uris.next()) {
        return Some(("URI", is_uri, uri));
    }
    let dns = names.iter().find_map(|name| match name {
        GeneralName::Dns(name) => Some(name),
        _ => None,
    });
    if let Some(name) = dns {
        return Some(("DNS name", is_host, name));
    }
    names.iter().find_map(|name| match name {
        GeneralName::Email(address) => Some(("e-mail address", is_email as fn(&str) -> bool, address.as_str())),
        _ => None,
    })
}

/// RFC 3986 section 3: a scheme, a colon, and something more; printable ASCII without blanks.
fn is_uri(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
        && text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
                && !rest.is_empty()
        })
}

/// RFC 1123 section 2.1, with the underscores in common use. A wildcard is not a host.
fn is_host(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        })
}

/// RFC 5321 section 4.1.2: a dot-string, without `=`, at a host. Quoted local parts are rejected.
fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, host)| {
        let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/?^_`{|}~.".contains(&b);
        !local.is_empty() && local.bytes().all(atom) && is_host(host)
    })
}

#[cfg(test)]
mod tests;
