//! `revocation` of a `TrustProfile`, and CRLs as operators keep them.

use std::fmt;

use super::metadata::shown;
use super::source::{file_ref, key_ref};
use super::{Field, MAX_SOURCES, Report, SourceRef};
use crate::domain::api::{
    CrlKeyRef, CrlSource, KeyRef, Kind, OnUnknownSpec, RevocationModeSpec, RevocationScopeSpec, RevocationSpec,
};
use crate::domain::policy::duration::GoDuration;
use certgate_x509::revocation::{Crl, CrlReader, Freshness, MaxAge, OnUnknown, RevocationScope};

/// The greatest `maxAge`, in seconds: ten years. CRLs of off-line roots live for one.
const MAX_MAX_AGE: i64 = 10 * 366 * 24 * 3600;

/// The greatest `clockSkew`, in seconds: a day. More is no clock but another time zone.
const MAX_CLOCK_SKEW: i64 = 24 * 3600;

/// How a profile checks revocation; its CRLs are not resolved.
#[derive(Debug)]
pub struct CompiledRevocation {
    /// Which certificates of a path.
    pub scope: RevocationScope,
    /// What follows when nothing is known.
    pub on_unknown: OnUnknown,
    /// How old CRLs may be.
    pub freshness: Freshness,
    /// Where CRLs come from.
    pub crls: Vec<SourceRef<Crl>>,
}

/// Compiles `revocation`; `None` when it is not checked, or on errors.
pub(super) fn revocation(field: &Field<'_>, spec: &RevocationSpec, report: &mut Report) -> Option<CompiledRevocation> {
    let default = Freshness::default();
    let max_age = spec.max_age.as_deref().and_then(|text| {
        let seconds = duration(&field.child("maxAge"), text, 1, MAX_MAX_AGE, report)?;
        Some(MaxAge::Seconds(seconds))
    });
    let clock_skew = spec
        .clock_skew
        .as_deref()
        .and_then(|text| duration(&field.child("clockSkew"), text, 0, MAX_CLOCK_SKEW, report));
    let crls_field = field.child("crls");
    report.cap(&crls_field, spec.crls.len(), MAX_SOURCES);
    let source = |(at, spec): (usize, &CrlSource)| source(&crls_field.at(at), spec, report);
    let crls: Vec<_> = spec.crls.iter().enumerate().filter_map(source).collect();
    match (spec.mode, spec.crls.is_empty(), spec.on_unknown) {
        (RevocationModeSpec::NoCheck, false, _) => {
            report.warning(&crls_field, "mode NoCheck does not use CRLs: revoked certificates pass");
        }
        (RevocationModeSpec::Offline, true, OnUnknownSpec::Deny) => {
            report.warning(&crls_field, "there are no CRLs: every certificate below an anchor is unknown and denied");
        }
        (RevocationModeSpec::Offline, true, OnUnknownSpec::Allow) => {
            report.warning(&crls_field, "there are no CRLs: with onUnknown Allow nothing is checked");
        }
        _ => {}
    }
    (spec.mode == RevocationModeSpec::Offline).then(|| CompiledRevocation {
        scope: match spec.scope {
            RevocationScopeSpec::EndEntity => RevocationScope::EndEntity,
            RevocationScopeSpec::ExcludeRoot => RevocationScope::ExcludeRoot,
            RevocationScopeSpec::EntireChain => RevocationScope::EntireChain,
        },
        on_unknown: match spec.on_unknown {
            OnUnknownSpec::Deny => OnUnknown::Deny,
            OnUnknownSpec::Allow => OnUnknown::Allow,
        },
        freshness: Freshness {
            max_age: max_age.unwrap_or(default.max_age),
            clock_skew: clock_skew.unwrap_or(default.clock_skew),
        },
        crls,
    })
}

/// A duration in whole seconds, within bounds.
fn duration(field: &Field<'_>, text: &str, from: i64, to: i64, report: &mut Report) -> Option<i64> {
    let quote = |error: &dyn fmt::Display| format!("{}: {error}", shown(text));
    let GoDuration(parsed) = report.take(field, text.parse().map_err(|error| quote(&error)))?;
    let seconds = i64::try_from(parsed.as_secs()).unwrap_or(i64::MAX);
    if parsed.subsec_nanos() != 0 {
        report.error(field, quote(&"want whole seconds"));
    } else if !(from..=to).contains(&seconds) {
        report.error(field, quote(&format_args!("out of range: want {from}s to {}h", to / 3600)));
    }
    Some(seconds)
}

fn source(field: &Field<'_>, spec: &CrlSource, report: &mut Report) -> Option<SourceRef<Crl>> {
    let CrlSource { config_map, secret, inline, file } = spec;
    let mut key = |name: &str, kind: Kind, spec: &CrlKeyRef| {
        let key = KeyRef { name: spec.name.clone(), key: spec.key.clone() };
        key_ref(&field.child(name), &key, report);
        Some(SourceRef::Key(kind, key))
    };
    match (config_map, secret, inline, file) {
        (Some(spec), None, None, None) => key("configMap", Kind::ConfigMap, spec),
        (None, Some(spec), None, None) => key("secret", Kind::Secret, spec),
        (None, None, Some(pem), None) => {
            let field = field.child("inline");
            let crls = report.take(&field, CrlReader::read(pem.as_bytes()).map_err(|error| error.to_string()));
            crls.map(|found| SourceRef::Inline(found.into()))
        }
        (None, None, None, Some(path)) => Some(file_ref(&field.child("file"), path, report)),
        _ => {
            report.error(field, "want exactly one of configMap, secret, inline, file");
            None
        }
    }
}
