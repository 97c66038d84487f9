//! Why no policy selects a request, for `explain`: the policies of its host, each with the mismatch.

use std::collections::BTreeSet;

use super::paths::{Choice, Reach};
use super::spelling::fold;
use super::{Level, Selection, quoted};
use certgate_x509::{Trace, Verdict};

/// How many policies or hosts are named.
const SHOWN: usize = 16;

impl Selection {
    /// Reports why the routes that cover `host` do not match the path or the method; without such routes, reports the
    /// hosts that policies name.
    pub(super) fn tell_misses<T: Trace>(&self, host: &str, path: &[u8], method: &[u8], trace: &mut T) {
        let mut told = 0_usize;
        for (level, paths) in self.levels(host) {
            for (choice, reach) in paths.all() {
                told = told.saturating_add(1);
                if told > SHOWN {
                    continue;
                }
                trace.step("select", Verdict::Skip, || {
                    let (what, found) = if reach.covers(path) { ("method", method) } else { ("path", path) };
                    format!(
                        "policy {} does not fit: host {level}, {reach}, {}: the {what} is {}",
                        self.name_of(choice.policy),
                        choice.methods_in_words(),
                        quoted(found)
                    )
                });
            }
        }
        if told > SHOWN {
            let more = told.saturating_sub(SHOWN);
            trace.step("select", Verdict::Note, || format!("{more} more routes of this host do not fit"));
        }
        if let Some((level, reach, choice)) = self.respelt_match(host, path, method) {
            trace.step("select", Verdict::Note, || {
                format!(
                    "another spelling of the path would be selected by policy {} (host {level}, {reach}): paths that \
                     differ in case, or in dots, blanks or a slash at the end, are different paths",
                    self.name_of(choice.policy)
                )
            });
        }
        if told == 0 {
            trace.step("select", Verdict::Note, || self.hosts_in_words());
        }
    }

    /// The best route that matches the path and the method after spellings of paths are folded.
    fn respelt_match<'a>(
        &'a self,
        host: &'a str,
        path: &[u8],
        method: &[u8],
    ) -> Option<(Level<'a>, Reach<'a>, &'a Choice)> {
        let form = fold(path);
        self.levels(host).find_map(|(level, paths)| {
            let mut all = paths.all().into_iter();
            let (choice, reach) =
                all.find(|(choice, reach)| !reach.covers(path) && reach.covers_form(&form) && choice.takes(method))?;
            Some((level, reach, choice))
        })
    }

    fn hosts_in_words(&self) -> String {
        let exact = self.exact.keys().map(|host| host.to_string());
        let hosts: BTreeSet<String> = exact.chain(self.below.keys().map(|suffix| format!("*{suffix}"))).collect();
        if hosts.is_empty() {
            return "no policy has a match: policies are reached only where a route names them".to_owned();
        }
        let more = match hosts.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let shown: Vec<String> = hosts.into_iter().take(SHOWN).collect();
        format!("no policy covers this host; policies name {}{more}", shown.join(", "))
    }
}
