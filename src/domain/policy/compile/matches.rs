//! The `match` section of a policy: the routes that it expands to.

use std::collections::BTreeSet;

use super::metadata::shown;
use super::{Field, MAX_MATCHES, MAX_ROUTES, Report};
use crate::domain::api::{FieldError, PathCase, PathMatch, RequestMatch};
use crate::domain::decide::selection::guess::{Recognized, recognize};
use crate::domain::decide::selection::host::HostPattern;
use crate::domain::decide::selection::path::PathPattern;
use crate::domain::decide::selection::{Route, USUAL_METHODS};

/// The longest path of a policy. Prefixes bound the work that one request can cause.
const MAX_PATH: usize = 1024;

/// The longest method; the longest registered one has 17 characters.
const MAX_METHOD: usize = 32;

/// The most guesses at the hosts of one policy that cannot be read; each request is compared with all of them. With
/// more, the policy stands for every host.
const MAX_GUESSES: usize = 64;

/// The routes that `matches` expand to.
///
/// What cannot be read might be anything, and a request must not fall to another policy for it: a path or method
/// selects its hosts whole, and a host every one that can be recognised in it (see [`recognize`]).
pub fn matches(field: &Field<'_>, matches: &[RequestMatch], report: &mut Report) -> Vec<Route> {
    report.cap(field, matches.len(), MAX_MATCHES);
    let mut routes = Vec::new();
    for (at, spec) in matches.iter().enumerate() {
        request_match(&field.at(at), spec, &mut routes, report);
    }
    if routes.len() > MAX_ROUTES {
        report.error(field, format_args!("{} hosts times paths: at most {MAX_ROUTES} are allowed", routes.len()));
        for route in &mut routes {
            (route.path, route.methods) = (PathPattern::Unreadable, Vec::new());
        }
    }
    let is_guess = |host: &&HostPattern| matches!(host, HostPattern::Guess(_));
    if routes.iter().map(|route| &route.host).filter(is_guess).collect::<BTreeSet<_>>().len() > MAX_GUESSES {
        routes.push(everything());
    }
    routes.sort();
    routes.dedup();
    if routes.contains(&everything()) {
        // It precedes all others.
        routes.retain(|route| !matches!(route.host, HostPattern::Guess(_)) || *route == everything());
    }
    routes
}

/// Every request, for a policy whose `match` cannot be read.
pub fn everything() -> Route {
    let Recognized { host, .. } = Recognized::everything();
    Route { host, path: PathPattern::Unreadable, case: PathCase::Ambiguous, methods: Vec::new() }
}

/// The hosts that cannot be read.
pub fn unreadable_hosts(field: &Field<'_>, matches: &[RequestMatch]) -> Vec<FieldError> {
    let mut report = Report::default();
    for (at, spec) in matches.iter().enumerate() {
        let entry = field.at(at);
        let hosts = entry.child("hosts");
        for (at, host) in spec.hosts.iter().enumerate() {
            host_pattern(&hosts.at(at), host, &mut report);
        }
    }
    report.errors
}

fn host_pattern(field: &Field<'_>, text: &str, report: &mut Report) -> Option<HostPattern> {
    report.take(field, HostPattern::new(text).map_err(|error| format!("{}: {error}", shown(text))))
}

fn request_match(field: &Field<'_>, spec: &RequestMatch, routes: &mut Vec<Route>, report: &mut Report) {
    let hosts_field = field.child("hosts");
    let mut hosts = Vec::with_capacity(spec.hosts.len().max(1));
    // Entries with a path: which paths they mean cannot be read.
    let mut whole_hosts = Vec::new();
    for (at, host) in spec.hosts.iter().enumerate() {
        match host_pattern(&hosts_field.at(at), host, report) {
            Some(pattern) => hosts.push(pattern),
            None => {
                for Recognized { host, has_path } in recognize(host) {
                    if has_path { whole_hosts.push(host) } else { hosts.push(host) }
                }
            }
        }
    }
    if spec.hosts.is_empty() {
        hosts.push(HostPattern::Any);
    }
    let mut unreadable = false;
    let (paths_field, methods_field) = (field.child("paths"), field.child("methods"));
    let mut paths = Vec::with_capacity(spec.paths.len().max(1));
    for (at, path) in spec.paths.iter().enumerate() {
        match path_match(&paths_field.at(at), path, report) {
            Some(pattern) => paths.push((pattern, path.case)),
            None => unreadable = true,
        }
    }
    if spec.paths.is_empty() {
        paths.push((PathPattern::Any, PathCase::Ambiguous));
    }
    let mut methods = Vec::with_capacity(spec.methods.len());
    for (at, method) in spec.methods.iter().enumerate() {
        match report.take(&methods_field.at(at), check_method(method)) {
            Some(method) => methods.push(method.to_owned()),
            None => unreadable = true,
        }
    }
    methods.sort();
    methods.dedup();
    if unreadable {
        (paths, methods) = (vec![(PathPattern::Unreadable, PathCase::Ambiguous)], Vec::new());
    }
    if hosts.len().saturating_mul(paths.len()) > MAX_ROUTES {
        let message =
            format_args!("{} hosts times {} paths: at most {MAX_ROUTES} are allowed", hosts.len(), paths.len());
        report.error(field, message);
        paths = vec![(PathPattern::Unreadable, PathCase::Ambiguous)];
    }
    for host in hosts {
        for (path, case) in &paths {
            routes.push(Route { host: host.clone(), path: path.clone(), case: *case, methods: methods.clone() });
        }
    }
    routes.extend(whole_hosts.into_iter().map(|host| Route { host, ..everything() }));
}

fn path_match(field: &Field<'_>, spec: &PathMatch, report: &mut Report) -> Option<PathPattern> {
    let (text, field, compile): (_, _, fn(&str) -> _) = match (&spec.exact, &spec.prefix) {
        (Some(text), None) => (text, field.child("exact"), PathPattern::exact),
        (None, Some(text)) => (text, field.child("prefix"), PathPattern::prefix),
        _ => {
            report.error(field, "want exactly one of exact, prefix");
            return None;
        }
    };
    if text.len() > MAX_PATH {
        report.error(&field, format_args!("{} bytes: at most {MAX_PATH} are allowed", text.len()));
        return None;
    }
    if text.contains('*') {
        let message = format!("{}: `*` is no wildcard here; a prefix covers all below it", shown(text));
        report.warning(&field, message);
    }
    report.take(&field, compile(text).map_err(|error| format!("{}: {error}", shown(text))))
}

/// RFC 9110 section 9.1: a method is a token, and case-sensitive.
fn check_method(method: &str) -> Result<&str, String> {
    if method.is_empty() || method.len() > MAX_METHOD || !method.bytes().all(is_token) {
        return Err(format!("{} is not a method", shown(method)));
    }
    match USUAL_METHODS.iter().find(|usual| usual.eq_ignore_ascii_case(method)) {
        Some(usual) if *usual != method => Err(format!("{}: methods are case-sensitive: write {usual}", shown(method))),
        _ => Ok(method),
    }
}

/// RFC 9110 section 5.6.2.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
