//! The routes of one host pattern: which of them a path and a method select, best first.
//!
//! Owns the tables by path, and the treatment of `HEAD`. The tables answer two questions: which routes match a path as
//! written ([`Paths::matches`]), and which would match it if the spellings of [`super::spelling`] were one
//! ([`Paths::respelt`]).

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::Route;
use super::path::PathPattern;
use super::spelling::fold;
use crate::domain::api::PathCase;

type PathTable<T> = HashMap<Box<[u8]>, Vec<T>, RandomState>;

type PatternsByFold = HashMap<Box<[u8]>, BTreeSet<Box<[u8]>>, RandomState>;

/// The routes of one host pattern.
#[derive(Debug, Default)]
pub struct Paths {
    exact: PathTable<Choice>,
    prefix: PathTable<Choice>,
    /// The lengths of prefixes, longest first. They bound the look-ups for one path.
    prefix_lengths: Vec<usize>,
    any: Vec<Choice>,
    /// Invalid policies whose intended paths or methods are unknown.
    unreadable: Vec<Choice>,
    /// Patterns that are not their own form (see [`fold`]), by that form.
    exact_forms: PatternsByFold,
    prefix_forms: PatternsByFold,
    prefix_form_lengths: Vec<usize>,
    /// Whether any route looks at the path.
    pub looks_at_path: bool,
    /// The methods that routes name.
    pub methods: BTreeSet<Box<str>>,
}

/// A policy among those of one host and path pattern, best first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choice {
    order: MethodOrder,
    /// The policy's number.
    pub policy: usize,
    /// The methods; empty for any.
    pub methods: Vec<String>,
    case: PathCase,
}

/// Routes that name methods precede those that do not.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MethodOrder {
    Named,
    Any,
}

/// A path pattern that covers a request.
#[derive(Copy, Clone, Debug)]
pub enum Reach<'a> {
    /// This path.
    Exact(&'a [u8]),
    /// This path and those below it.
    Below(&'a [u8]),
    /// Any path.
    Any,
    /// The intended paths are unknown.
    Unreadable,
}

/// How specific a path pattern is after spellings are folded; greater is more specific.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Any path.
    Any,
    /// Paths below one of this length.
    Below(usize),
    /// One path.
    Exact,
}

impl Paths {
    /// Adds a route of the policy with this number.
    pub fn add(&mut self, route: &Route, policy: usize) {
        let order = if route.methods.is_empty() { MethodOrder::Any } else { MethodOrder::Named };
        let choice = Choice { order, policy, methods: route.methods.clone(), case: route.case };
        let is_guarded = route.case == PathCase::Ambiguous;
        match &route.path {
            PathPattern::Exact(path) => {
                if is_guarded {
                    note_form(&mut self.exact_forms, path);
                }
                self.exact.entry(path.as_slice().into()).or_default().push(choice);
            }
            PathPattern::Prefix(path) if !path.is_empty() => {
                // Every path would be a spelling of a pattern whose form is empty.
                if is_guarded && *fold(path) != *b"/" {
                    note_form(&mut self.prefix_forms, path);
                }
                self.prefix.entry(path.as_slice().into()).or_default().push(choice);
            }
            PathPattern::Prefix(_) | PathPattern::Any => self.any.push(choice),
            PathPattern::Unreadable => self.unreadable.push(choice),
        }
        self.methods.extend(route.methods.iter().map(|method| method.as_str().into()));
        self.looks_at_path |= !matches!(route.path, PathPattern::Any | PathPattern::Unreadable);
    }

    /// Sorts everything after all routes were added.
    pub fn sort(&mut self) {
        self.prefix_lengths = lengths(&self.prefix);
        self.prefix_form_lengths = lengths(&self.prefix_forms);
        self.exact.values_mut().chain(self.prefix.values_mut()).for_each(|choices| choices.sort());
        self.any.sort();
        self.unreadable.sort();
    }

    /// Whether some pattern is not its own form, so that a path that is its own form may still have another spelling.
    pub fn has_forms(&self) -> bool {
        !(self.exact_forms.is_empty() && self.prefix_forms.is_empty())
    }

    /// The choices for a path and method, best first, each with the path pattern that matched.
    pub fn matches<'a>(&'a self, path: &'a [u8], method: &'a [u8]) -> impl Iterator<Item = (&'a Choice, Reach<'a>)> {
        let unreadable = self.unreadable.iter().map(|choice| (choice, Reach::Unreadable));
        let exact = self.exact.get(path).into_iter();
        let exact = exact.flat_map(move |all| taking(all, method)).map(move |choice| (choice, Reach::Exact(path)));
        let below = prefixes(path, &self.prefix_lengths).filter_map(move |prefix| {
            Some(taking(self.prefix.get(prefix)?, method).map(move |choice| (choice, Reach::Below(prefix))))
        });
        let any = taking(&self.any, method).map(|choice| (choice, Reach::Any));
        unreadable.chain(exact).chain(below.flatten()).chain(any)
    }

    /// The choices for spellings of the path whose form is `form`, each with its pattern, in no order. Omits a pattern
    /// if all its choices for the method have `case: Sensitive`.
    pub fn respelt<'a>(
        &'a self,
        form: &'a [u8],
        method: &'a [u8],
    ) -> impl Iterator<Item = (Rank, &'a Choice, Reach<'a>)> {
        let first = move |choices: &'a [Choice]| {
            let is_guarded = taking(choices, method).any(|choice| choice.case == PathCase::Ambiguous);
            taking(choices, method).next().filter(|_| is_guarded)
        };
        let forms = self.exact_forms.get(form).into_iter().flatten().map(|path| &**path);
        let exact = std::iter::once(form).chain(forms).filter_map(move |path| {
            let (path, choices) = self.exact.get_key_value(path)?;
            Some((Rank::Exact, first(choices)?, Reach::Exact(path)))
        });
        let of_prefix = move |rank: usize, prefix: &'a [u8]| {
            let (prefix, choices) = self.prefix.get_key_value(prefix)?;
            Some((Rank::Below(rank), first(choices)?, Reach::Below(prefix)))
        };
        let below = prefixes(form, &self.prefix_lengths).filter_map(move |prefix| of_prefix(prefix.len(), prefix));
        let forms = prefixes(form, &self.prefix_form_lengths).flat_map(move |prefix| {
            let paths = self.prefix_forms.get(prefix).into_iter().flatten();
            paths.filter_map(move |path| of_prefix(prefix.len(), path))
        });
        exact.chain(below).chain(forms)
    }

    /// All choices, each with its path pattern, the most specific patterns first.
    pub fn all(&self) -> Vec<(&Choice, Reach<'_>)> {
        let mut exact: Vec<_> = self.exact.iter().collect();
        exact.sort_by_key(|(path, _)| *path);
        let mut prefix: Vec<_> = self.prefix.iter().collect();
        prefix.sort_by_key(|(path, _)| (Reverse(path.len()), *path));
        let exact = exact.into_iter().flat_map(|(path, all)| all.iter().map(|choice| (choice, Reach::Exact(path))));
        let prefix = prefix.into_iter().flat_map(|(path, all)| all.iter().map(|choice| (choice, Reach::Below(path))));
        let any = self.any.iter().map(|choice| (choice, Reach::Any));
        exact.chain(prefix).chain(any).collect()
    }

    /// The choices of the same path pattern, best first.
    pub fn choices(&self, path: &PathPattern) -> Option<&[Choice]> {
        Some(match path {
            PathPattern::Exact(path) => self.exact.get(path.as_slice())?,
            PathPattern::Prefix(path) if !path.is_empty() => self.prefix.get(path.as_slice())?,
            PathPattern::Prefix(_) | PathPattern::Any => &self.any,
            PathPattern::Unreadable => &self.unreadable,
        })
    }
}

/// Records a pattern by its form, unless it is its own form.
fn note_form(forms: &mut PatternsByFold, path: &[u8]) {
    let form = fold(path);
    if *form != *path {
        forms.entry(form.as_ref().into()).or_default().insert(path.into());
    }
}

/// The lengths of the keys, longest first.
fn lengths<T>(table: &HashMap<Box<[u8]>, T, RandomState>) -> Vec<usize> {
    let lengths: BTreeSet<usize> = table.keys().map(|prefix| prefix.len()).collect();
    lengths.into_iter().rev().collect()
}

/// The prefixes of whole segments that have one of these lengths.
fn prefixes<'a>(path: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    lengths.iter().filter_map(move |length| {
        let (prefix, rest) = path.split_at_checked(*length)?;
        (rest.is_empty() || rest.first() == Some(&b'/')).then_some(prefix)
    })
}

/// The choices of one pattern that match `method`, best first. HEAD is GET without the content of the response (RFC
/// 9110 section 9.3.2), so choices that match GET match it, unless some choice names HEAD.
fn taking<'a>(choices: &'a [Choice], method: &'a [u8]) -> impl Iterator<Item = &'a Choice> {
    let is_head = method == b"HEAD" && !choices.iter().any(|choice| choice.methods.iter().any(|named| named == "HEAD"));
    let method: &[u8] = if is_head { b"GET" } else { method };
    choices.iter().filter(move |choice| choice.takes(method))
}

impl Choice {
    /// Whether the choice names the method, or any.
    pub fn takes(&self, method: &[u8]) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|named| named.as_bytes() == method)
    }

    /// The methods in words.
    pub fn methods_in_words(&self) -> String {
        if self.methods.is_empty() { "any method".to_owned() } else { format!("method {}", self.methods.join(" or ")) }
    }

    /// The policies among `choices`, the choices of `route`'s pattern, that match every request of `route` before
    /// `loser` does; `None` if some request remains for `loser`.
    pub fn shadows(choices: &[Self], loser: usize, route: &Route) -> Option<BTreeSet<usize>> {
        let before =
            |order: MethodOrder| choices.iter().filter(move |choice| choice.order == order && choice.policy < loser);
        if route.methods.is_empty() {
            return before(MethodOrder::Any).next().map(|choice| BTreeSet::from([choice.policy]));
        }
        let taker = |method: &String| before(MethodOrder::Named).find(|choice| choice.methods.contains(method));
        route.methods.iter().map(|method| taker(method).map(|choice| choice.policy)).collect()
    }
}

impl Reach<'_> {
    /// How specific the pattern is once spellings are folded; `None` where no spelling makes a difference.
    pub fn rank(&self) -> Option<Rank> {
        match self {
            Self::Exact(_) => Some(Rank::Exact),
            Self::Below(prefix) => Some(match fold(prefix).len() {
                1 => Rank::Any,
                length => Rank::Below(length),
            }),
            Self::Any => Some(Rank::Any),
            Self::Unreadable => None,
        }
    }

    /// The path that the pattern writes out, if any.
    pub fn path(&self) -> Option<&[u8]> {
        match self {
            Self::Exact(path) | Self::Below(path) => Some(path),
            Self::Any | Self::Unreadable => None,
        }
    }

    /// Whether the pattern, in its form, covers the form of a path.
    pub fn covers_form(&self, form: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => *fold(exact) == *form,
            Self::Below(prefix) => {
                let prefix = fold(prefix);
                Reach::Below(&prefix).covers(form)
            }
            Self::Any | Self::Unreadable => true,
        }
    }

    /// Whether the pattern covers `path`.
    pub fn covers(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => *exact == path,
            Self::Below(prefix) => {
                path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
            }
            Self::Any | Self::Unreadable => true,
        }
    }
}

impl fmt::Display for Reach<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "path {}", String::from_utf8_lossy(path)),
            Self::Below(path) => write!(f, "paths below {}", String::from_utf8_lossy(path)),
            Self::Any => f.write_str("any path"),
            Self::Unreadable => f.write_str("an unreadable path or method, which stands for all"),
        }
    }
}
