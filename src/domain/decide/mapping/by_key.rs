//! The identity of a certificate that is trusted for its key alone.
//!
//! The holder of the key chooses the rest of the certificate, so none of its names proves an identity: a mapping must
//! name the key, or this certificate by its SHA-256. Names that deny still deny. They do not protect against the holder
//! of the key, who can omit them.

use std::sync::Arc;

use super::key::{NameForm, keys_of};
use super::rules::{self, Folds, MappingSection};
use super::table::{MappingStatus, MappingTable};
use super::{Claims, MappingEntry, STAGE, Unmapped, fail};
use crate::domain::api::Precedence;
use crate::domain::decide::identity::Identity;
use crate::domain::decide::reason::Reason;
use certgate_x509::{Certificate, Trace, Verdict};

/// The identity under a policy's mapping section, if it has one.
pub fn identify_by_key<T: Trace>(
    mapping: Option<&MappingSection>,
    namespace: &str,
    table: &MappingTable,
    certificate: &Certificate,
    trace: &mut T,
) -> Result<Arc<Identity>, Unmapped> {
    let unmapped = "the certificate is trusted for its key alone, and no mapping names it by publicKeySha256 or sha256: \
                  other names in it are its holder's word";
    let Some(mapping) = mapping else { return fail(trace, Reason::NoMapping, unmapped.to_owned()) };
    if mapping.precedence == Precedence::DenyFirst
        && let Some(rule) = rules::first_deny(&mapping.rules, certificate, &Folds::default(), trace)
    {
        return fail(trace, Reason::MappingDenied, format!("rule {:?} denies the certificate", rule.name));
    }
    let mut claims = Claims::default();
    let list = &mapping.one_to_one;
    keys_of(certificate, list.forms(), |form, key| {
        list.find(form, key).for_each(|entry| consider(&mut claims, MappingEntry::OneToOne(entry), form, trace));
    });
    if let Some(selector) = &mapping.selector {
        keys_of(certificate, table.forms(), |form, key| {
            for entry in table.find(namespace, selector, form, key) {
                consider(&mut claims, MappingEntry::Object(entry, form), form, trace);
            }
        });
    }
    match claims.settle() {
        Some(Ok(holder)) => {
            trace.step(STAGE, Verdict::Pass, || format!("{holder} decides: user {:?}", holder.user()));
            Ok(holder.identity())
        }
        Some(Err(Unmapped { reason, detail })) => fail(trace, reason, detail),
        None => fail(trace, Reason::NoMapping, unmapped.to_owned()),
    }
}

/// Adds the entries that name the certificate by `form`, if the form proves more than the holder's claim or the entry
/// denies.
fn consider<'a, T: Trace>(claims: &mut Claims<'a>, holder: MappingEntry<'a>, form: NameForm, trace: &mut T) {
    let binds = matches!(form, NameForm::Sha256 | NameForm::PublicKeySha256);
    if binds || holder.status() != MappingStatus::Enabled {
        claims.add(holder, trace);
    } else {
        trace.step(STAGE, Verdict::Skip, || format!("{holder}: its holder's word"));
    }
}
