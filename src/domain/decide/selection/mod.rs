//! Which policy decides a request: exactly one, or none.
//!
//! Owns the order of precedence (host, then path, then methods, then age, then name, as Gateway API orders routes) and
//! the rejection of ambiguous paths and methods. It does not know what a policy does.
//!
//! Selection is deliberately strict in three respects. A path is checked whenever any policy whose hosts cover the
//! request selects by path, even when a policy of a more specific host would win without a path. A method is checked
//! whenever any of those policies names methods: RFC 9110 section 9.1 makes methods case-sensitive, but some servers
//! accept `post` for `POST`, and such a request must not reach them by the policy for other methods. No policy selects
//! it: [`Reason::NoPolicy`]. A path is rejected if another policy, as specific as the selected one or more, would match
//! another spelling of it ([`spelling`]): the upstream may treat both spellings as one path. The exception is a suffix
//! after a colon, where the paths of both policies write it out ([`spelling::told_apart`]).
//!
//! A policy whose host cannot be read precedes all others for every host that it might mean ([`guess`]).

pub mod guess;
pub mod host;
mod misses;
pub mod path;
mod paths;
pub mod spelling;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::domain::api::PathCase;
use crate::domain::decide::decision::Denial;
use crate::domain::decide::reason::Reason;
use crate::domain::request::{Http, Request};
use certgate_x509::{Trace, Verdict};
use guess::HostGuess;
use host::HostPattern;
use path::PathPattern;
use paths::{Choice, Paths, Rank, Reach};

/// Some of the requests that a policy decides: one host pattern, one path pattern, and methods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The hosts.
    pub host: HostPattern,
    /// The paths.
    pub path: PathPattern,
    /// Whether the upstream distinguishes the path from its other spellings.
    pub case: PathCase,
    /// The methods; empty for any.
    pub methods: Vec<String>,
}

/// The part of a policy that selection uses. Its number is its place in the list that [`Selection::new`] takes.
#[derive(Copy, Clone, Debug)]
pub struct Candidate<'a> {
    /// `namespace/name`.
    pub name: &'a str,
    /// What it decides.
    pub routes: &'a [Route],
}

/// The policies by host, path and method.
#[derive(Debug, Default)]
pub struct Selection {
    names: Vec<Box<str>>,
    by_name: HashMap<Box<str>, usize, RandomState>,
    exact: HashMap<Box<str>, Paths, RandomState>,
    below: HashMap<Box<str>, Paths, RandomState>,
    any: Paths,
    /// Hosts that invalid policies might mean.
    guesses: BTreeMap<HostGuess, Paths>,
    /// Whether any path pattern is not its own form.
    has_forms: bool,
}

/// The methods of RFC 9110 section 9.3 and RFC 5789: those that a careless server accepts in any case.
pub const USUAL_METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// How many policies the trace names that would decide without the selected one.
const SHOWN_LOSERS: usize = 8;

/// A policy that no request reaches, with the policies that win in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The policy's number.
    pub loser: usize,
    /// The numbers of the policies that win in its place.
    pub winners: Vec<usize>,
}

impl Selection {
    /// Builds the table. `candidates` are in the order that breaks ties: older ones first, then by name.
    pub fn new(candidates: &[Candidate<'_>]) -> Self {
        let mut selection = Self::default();
        for (policy, candidate) in candidates.iter().enumerate() {
            selection.names.push(candidate.name.into());
            selection.by_name.entry(candidate.name.into()).or_insert(policy);
            for route in candidate.routes {
                let paths = match &route.host {
                    HostPattern::Exact(host) => selection.exact.entry(host.as_str().into()).or_default(),
                    HostPattern::Below(suffix) => selection.below.entry(suffix.as_str().into()).or_default(),
                    HostPattern::Any => &mut selection.any,
                    HostPattern::Guess(guess) => selection.guesses.entry(guess.clone()).or_default(),
                };
                paths.add(route, policy);
            }
        }
        selection.hosts_mut().for_each(Paths::sort);
        let has_forms = selection.hosts_mut().any(|paths| paths.has_forms());
        selection.has_forms = has_forms;
        selection
    }

    /// The policy that decides `request`, by its number.
    pub fn select<T: Trace>(&self, request: &Request<'_>, trace: &mut T) -> Result<usize, Denial> {
        if let Some(named) = request.named_policy {
            return self.select_named(named, request, trace);
        }
        let Some(http) = &request.http else {
            let detail = "the request is not HTTP and its route names no policy";
            return Err(refuse(trace, Reason::NoPolicy, || detail.to_owned()));
        };
        let Some(host) = host::normalize(http.host) else {
            return Err(refuse(trace, Reason::NoPolicy, || format!("{} is not a host", quoted(http.host))));
        };
        let raw_path = path::without_query(http.path);
        trace.step("select", Verdict::Note, || {
            let (authority, path, method) = (quoted(http.host), quoted(raw_path), quoted(http.method));
            format!("host {host} (of {authority}), path {path}, method {method}")
        });
        let looks_at_path = self.levels(&host).any(|(_, paths)| paths.looks_at_path);
        let canonical = match path::canonical(raw_path) {
            Ok(path) => path,
            Err(ambiguity) if looks_at_path => {
                let detail = || format!("path {} is ambiguous: {ambiguity}", quoted(raw_path));
                return Err(refuse(trace, Reason::PathAmbiguous, detail));
            }
            // The value is not used.
            Err(_) => raw_path.into(),
        };
        if let Some(meant) = self.misspelt_method(&host, http.method) {
            let detail = || {
                let method = quoted(http.method);
                format!("method {method} is ambiguous: it is {meant} to servers that do not heed case")
            };
            return Err(refuse(trace, Reason::NoPolicy, detail));
        }
        let mut found = self.levels(&host).enumerate().flat_map(|(at, (level, paths))| {
            paths.matches(&canonical, http.method).map(move |(choice, reach)| Match { at, level, reach, choice })
        });
        let Some(best) = found.next() else {
            if T::KEEPS {
                self.tell_misses(&host, &canonical, http.method, trace);
            }
            return Err(refuse(trace, Reason::NoPolicy, || {
                format!("no policy selects host {host}, path {}, method {}", quoted(raw_path), quoted(http.method))
            }));
        };
        let form = if looks_at_path { spelling::fold(&canonical) } else { Cow::Borrowed(&*canonical) };
        if (self.has_forms || matches!(form, Cow::Owned(_)))
            && let Some(rival) = self.rival(&host, &form, http.method, &best)
        {
            return Err(refuse(trace, Reason::PathAmbiguous, || {
                format!(
                    "path {} is ambiguous: it selects policy {} ({best}), and policy {} ({rival}) where case, dots and \
                     blanks at the ends of names, a last slash and what follows a colon make no difference; an upstream \
                     that heeds them is told by `case: Sensitive` at that path",
                    quoted(raw_path),
                    self.name_of(best.choice.policy),
                    self.name_of(rival.choice.policy)
                )
            }));
        }
        trace.step("select", Verdict::Pass, || format!("policy {}: {best}", self.name_of(best.choice.policy)));
        for other in found.take(if T::KEEPS { SHOWN_LOSERS } else { 0 }) {
            if other.choice.policy != best.choice.policy {
                let name = || self.name_of(other.choice.policy);
                trace.step("select", Verdict::Skip, || format!("policy {} comes after it: {other}", name()));
            }
        }
        Ok(best.choice.policy)
    }

    /// The route of another policy, as specific as `best` or more, that matches the path in another spelling.
    ///
    /// All spellings are tried, not only the fully folded one: the upstream may distinguish any of them. The exception:
    /// the policy of `best` writes a segment as the request has it, and the other policy writes the same segment with
    /// another suffix after a colon. Then the two policies declare that these are two paths. A suffix that the selected
    /// policy does not write makes no exception: it is in a segment that the policy's path does not reach.
    fn rival<'a>(&'a self, host: &'a str, form: &'a [u8], method: &'a [u8], best: &Match<'a>) -> Option<Match<'a>> {
        let best_rank = best.reach.rank()?;
        let is_told = |reach: &Reach<'_>| {
            best.reach.path().zip(reach.path()).is_some_and(|(own, other)| spelling::told_apart(own, other))
        };
        self.levels(host).enumerate().take_while(|(at, _)| *at <= best.at).find_map(|(at, (level, paths))| {
            let least = if at == best.at { best_rank } else { Rank::Any };
            paths
                .respelt(form, method)
                .find(|(rank, choice, reach)| *rank >= least && choice.policy != best.choice.policy && !is_told(reach))
                .map(|(_, choice, reach)| Match { at, level, reach, choice })
        })
    }

    fn select_named<T: Trace>(&self, named: &[u8], request: &Request<'_>, trace: &mut T) -> Result<usize, Denial> {
        let found = std::str::from_utf8(named).ok().and_then(|name| self.by_name.get(name));
        match found {
            Some(policy) => {
                trace.step("select", Verdict::Pass, || format!("the route names policy {}", quoted(named)));
                if T::KEEPS && request.http.as_ref().is_some_and(|http| !self.covers(*policy, http)) {
                    trace.step("select", Verdict::Note, || {
                        "the policy's match would not select this request; what the route names overrides match"
                            .to_owned()
                    });
                }
                Ok(*policy)
            }
            None => Err(refuse(trace, Reason::NoPolicy, || {
                format!("the route names policy {}, which does not exist (want namespace/name)", quoted(named))
            })),
        }
    }

    /// Whether the match of `policy` covers `http`, even if another policy is better.
    fn covers(&self, policy: usize, http: &Http<'_>) -> bool {
        let Some(host) = host::normalize(http.host) else { return false };
        let raw_path = path::without_query(http.path);
        let path = path::canonical(raw_path).unwrap_or_else(|_| raw_path.into());
        self.levels(&host)
            .any(|(_, paths)| paths.matches(&path, http.method).any(|(choice, _)| choice.policy == policy))
    }

    /// The policies that lose to others every request that they name.
    pub fn conflicts(&self, candidates: &[Candidate<'_>]) -> Vec<Conflict> {
        let conflict = |(loser, candidate): (usize, &Candidate<'_>)| {
            let mut winners = BTreeSet::new();
            for route in candidate.routes {
                winners.extend(Choice::shadows(self.choices(route)?, loser, route)?);
            }
            (!winners.is_empty()).then(|| Conflict { loser, winners: winners.into_iter().collect() })
        };
        candidates.iter().enumerate().filter_map(conflict).collect()
    }

    /// The policies with the same host and path patterns as `route`, best first.
    fn choices(&self, route: &Route) -> Option<&[Choice]> {
        let paths = match &route.host {
            HostPattern::Exact(host) => self.exact.get(host.as_str())?,
            HostPattern::Below(suffix) => self.below.get(suffix.as_str())?,
            HostPattern::Any => &self.any,
            HostPattern::Guess(guess) => self.guesses.get(guess)?,
        };
        paths.choices(&route.path)
    }

    /// The host patterns that cover `host`, most specific first, after the guesses that cover it.
    fn levels<'a>(&'a self, host: &'a str) -> impl Iterator<Item = (Level<'a>, &'a Paths)> {
        let guesses = self.guesses.iter().filter(|(guess, _)| guess.covers(host));
        let guesses = guesses.map(|(guess, paths)| (Level::Guess(guess), paths));
        let exact = self.exact.get(host).map(|paths| (Level::Exact(host), paths));
        let suffixes = host.match_indices('.').filter_map(|(at, _)| host.get(at..));
        let below = suffixes.filter_map(|suffix| Some((Level::Below(suffix), self.below.get(suffix)?)));
        guesses.chain(exact).chain(below).chain(std::iter::once((Level::Any, &self.any)))
    }

    /// The method that differs from `method` in case alone, if any policy of the host names methods.
    fn misspelt_method<'a>(&'a self, host: &'a str, method: &[u8]) -> Option<&'a str> {
        if USUAL_METHODS.iter().any(|usual| usual.as_bytes() == method) {
            return None;
        }
        let named = || self.levels(host).flat_map(|(_, paths)| &paths.methods).map(|named| &**named);
        if named().any(|named| named.as_bytes() == method) {
            return None;
        }
        let usual = USUAL_METHODS.into_iter().filter(|_| named().next().is_some());
        named().chain(usual).find(|known| known.as_bytes().eq_ignore_ascii_case(method))
    }

    fn hosts_mut(&mut self) -> impl Iterator<Item = &mut Paths> {
        let named = self.exact.values_mut().chain(self.below.values_mut()).chain(self.guesses.values_mut());
        named.chain(std::iter::once(&mut self.any))
    }

    fn name_of(&self, policy: usize) -> &str {
        self.names.get(policy).map_or("", |name| name)
    }
}

/// A host pattern that covers a request, for the trace.
#[derive(Copy, Clone)]
enum Level<'a> {
    Guess(&'a HostGuess),
    Exact(&'a str),
    Below(&'a str),
    Any,
}

impl std::fmt::Display for Level<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Guess(guess) => guess.fmt(f),
            Self::Exact(host) => f.write_str(host),
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A route that covers a request, for the trace.
struct Match<'a> {
    /// The place of its host pattern among those that cover the request.
    at: usize,
    level: Level<'a>,
    reach: Reach<'a>,
    choice: &'a Choice,
}

impl std::fmt::Display for Match<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "host {}, {}, {}", self.level, self.reach, self.choice.methods_in_words())
    }
}

fn refuse<T: Trace>(trace: &mut T, reason: Reason, detail: impl FnOnce() -> String) -> Denial {
    let denial = Denial::new(reason, detail());
    trace.step("select", Verdict::Fail, || denial.detail.clone());
    denial
}

/// Bytes of a request for people to read: quoted, escaped, cut to a length fit for a log.
fn quoted(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    let more = if shown.len() < bytes.len() { "…" } else { "" };
    format!("\"{}\"{more}", shown.escape_ascii())
}

#[cfg(test)]
mod tests;
