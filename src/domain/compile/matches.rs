//! The `match` section of a policy: the routes that it stands for.

use super::metadata::shown;
use super::{Field, MAX_MATCHES, MAX_ROUTES, Report};
use crate::domain::selection::host::HostPattern;
use crate::domain::selection::path::PathPattern;
use crate::domain::selection::{Route, USUAL_METHODS};
use crate::domain::spec::{PathMatch, RequestMatch};

/// The longest path of a policy. Prefixes bound the work that one request can cause.
const MAX_PATH: usize = 1024;

/// The longest method; the longest registered one has 17 characters.
const MAX_METHOD: usize = 32;

/// The routes that `matches` stand for.
///
/// A host that cannot be read selects nothing; a path or method that cannot be read might be any, so it selects its
/// hosts whole.
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
    routes.sort();
    routes.dedup();
    routes
}

fn request_match(field: &Field<'_>, spec: &RequestMatch, routes: &mut Vec<Route>, report: &mut Report) {
    let hosts_field = field.child("hosts");
    let mut hosts = Vec::with_capacity(spec.hosts.len().max(1));
    for (at, host) in spec.hosts.iter().enumerate() {
        let pattern = HostPattern::new(host).map_err(|error| format!("{}: {error}", shown(host)));
        hosts.extend(report.take(&hosts_field.at(at), pattern));
    }
    if spec.hosts.is_empty() {
        hosts.push(HostPattern::Any);
    }
    let mut unreadable = false;
    let (paths_field, methods_field) = (field.child("paths"), field.child("methods"));
    let mut paths = Vec::with_capacity(spec.paths.len().max(1));
    for (at, path) in spec.paths.iter().enumerate() {
        match path_match(&paths_field.at(at), path, report) {
            Some(pattern) => paths.push(pattern),
            None => unreadable = true,
        }
    }
    if spec.paths.is_empty() {
        paths.push(PathPattern::Any);
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
        (paths, methods) = (vec![PathPattern::Unreadable], Vec::new());
    }
    if hosts.len().saturating_mul(paths.len()) > MAX_ROUTES {
        let message =
            format_args!("{} hosts times {} paths: at most {MAX_ROUTES} are allowed", hosts.len(), paths.len());
        report.error(field, message);
        paths = vec![PathPattern::Unreadable];
    }
    for host in hosts {
        for path in &paths {
            routes.push(Route { host: host.clone(), path: path.clone(), methods: methods.clone() });
        }
    }
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
        let message = format!("{}: `*` stands for itself here; a prefix covers all below it", shown(text));
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
