//! Selection against a model without tables, written from the documentation.

use super::*;

/// How well a route matches a request, by the rules of the documentation; greater is better.
fn fit(route: &Route, host: &str, path: &str, method: &str) -> Option<Fit> {
    let (host_rank, host_length) = match &route.host {
        HostPattern::Exact(name) => (name == host).then_some((2, 0))?,
        HostPattern::Below(suffix) => {
            (host.len() > suffix.len() && host.ends_with(suffix.as_str())).then_some((1, suffix.len()))?
        }
        HostPattern::Any => (0, 0),
        HostPattern::Guess(guess) => guess.covers(host).then_some((3, 0))?,
    };
    let (path_rank, path_length) = match &route.path {
        PathPattern::Unreadable => return Some((host_rank, host_length, 3, 0, true)),
        PathPattern::Exact(exact) => (exact == path.as_bytes()).then_some((2, 0))?,
        PathPattern::Prefix(prefix) => {
            let prefix = std::str::from_utf8(prefix).unwrap();
            (path == prefix || path.starts_with(&format!("{prefix}/"))).then_some((1, prefix.len()))?
        }
        PathPattern::Any => (1, 0),
    };
    let named = !route.methods.is_empty();
    // The caller handles HEAD.
    (!named || route.methods.iter().any(|m| m == method)).then_some((
        host_rank,
        host_length,
        path_rank,
        path_length,
        named,
    ))
}

fn naive(fakes: &[Fake], host: &str, path: &str, method: &str) -> Result<usize, Reason> {
    let covers = |route: &&Route| {
        fit(&Route { path: PathPattern::Any, methods: vec![], ..(*route).clone() }, host, "/", "X").is_some()
    };
    let by_path = |route: &Route| matches!(route.path, PathPattern::Exact(_) | PathPattern::Prefix(_));
    let bad = ["//", "/.", "%20.", "%2f", "%3f", "%23", "%c0", "%ff", ";", "\\", "%61"];
    let ambiguous = bad.iter().any(|bad| path.contains(bad)) || !path.starts_with('/');
    if ambiguous && fakes.iter().flat_map(|fake| &fake.routes).filter(covers).any(by_path) {
        return Err(Reason::PathAmbiguous);
    }
    let named: Vec<_> = fakes.iter().flat_map(|fake| &fake.routes).filter(covers).flat_map(|r| &r.methods).collect();
    if !named.is_empty() && method.to_uppercase() != method {
        return Err(Reason::NoPolicy);
    }
    let Some((best_fit, best, selected)) = best_of(fakes, host, path, method, |_| true) else {
        return Err(Reason::NoPolicy);
    };
    let rank = |(host, length, path, ..): Fit, route: &Route| (host, length, path, depth(route));
    if best_fit.2 == 3 || !fakes.iter().flat_map(|fake| &fake.routes).filter(covers).any(by_path) {
        return Ok(best);
    }
    // Every other spelling of the path in this small world, and the pattern that matches it. Whether yet another
    // pattern would match that spelling first does not matter.
    let leads_elsewhere = |other: &String| {
        fakes.iter().flat_map(|fake| &fake.routes).any(|pattern| {
            let alike = |other: &Route| other.host == pattern.host && same_path(other, pattern);
            best_of(fakes, host, other, method, alike).is_some_and(|(fit, at, route)| {
                let takes = |other: &&Route| fit_of(fakes, other, host, path_of(other), method).is_some();
                let mut taking = fakes.iter().flat_map(|fake| &fake.routes).filter(|other| alike(other)).filter(takes);
                // One that is less specific would not get the path, if spellings were one.
                at != best
                    && !told_apart(selected, route)
                    && taking.any(|route| route.case == PathCase::Ambiguous)
                    && rank(fit, route) >= rank(best_fit, selected)
            })
        })
    };
    if spellings(path).iter().any(leads_elsewhere) { Err(Reason::PathAmbiguous) } else { Ok(best) }
}

type Fit = (usize, usize, usize, usize, bool);

/// The policy and route that the documentation assigns the request to, if only some routes apply.
fn best_of<'a>(
    fakes: &'a [Fake],
    host: &str,
    path: &str,
    method: &str,
    counts: impl Fn(&Route) -> bool,
) -> Option<(Fit, usize, &'a Route)> {
    let mut best: Option<(Fit, usize, &Route)> = None;
    for (at, fake) in fakes.iter().enumerate() {
        for route in fake.routes.iter().filter(|route| counts(route)) {
            if let Some(fit) = fit_of(fakes, route, host, path, method)
                && best.is_none_or(|(former, ..)| fit > former)
            {
                best = Some((fit, at, route));
            }
        }
    }
    best
}

/// How well a route among others matches: HEAD is GET where none of the same host and path names it.
fn fit_of(fakes: &[Fake], route: &Route, host: &str, path: &str, method: &str) -> Option<Fit> {
    let alike = |other: &&Route| other.host == route.host && same_path(other, route);
    let alike = fakes.iter().flat_map(|fake| &fake.routes).filter(alike);
    let is_named = alike.flat_map(|other| &other.methods).any(|named| named == "HEAD");
    fit(route, host, path, if method == "HEAD" && !is_named { "GET" } else { method })
}

/// A path that the route takes.
fn path_of(route: &Route) -> &str {
    match &route.path {
        PathPattern::Exact(path) | PathPattern::Prefix(path) => std::str::from_utf8(path).unwrap(),
        PathPattern::Any | PathPattern::Unreadable => "/",
    }
}

fn same_path(left: &Route, right: &Route) -> bool {
    let any = |path: &PathPattern| matches!(path, PathPattern::Any) || *path == PathPattern::Prefix(Vec::new());
    left.path == right.path || (any(&left.path) && any(&right.path))
}

/// Whether two routes write different suffixes after the colon of a segment; `:$D` is not a suffix.
fn told_apart(own: &Route, other: &Route) -> bool {
    let suffix = |segment: &str| segment.split_once(':').map_or(String::new(), |(_, suffix)| suffix.to_lowercase());
    let suffixes =
        |route| path_of(route).split('/').filter(|segment| !segment.is_empty()).map(suffix).collect::<Vec<_>>();
    let (own, other) = (suffixes(own), suffixes(other));
    own.iter().zip(&other).any(|(own, other)| own != other && !own.starts_with(':') && !other.starts_with(':'))
}

/// How many segments a route's path has.
fn depth(route: &Route) -> usize {
    match &route.path {
        PathPattern::Exact(path) | PathPattern::Prefix(path) => {
            path.split(|b| *b == b'/').filter(|s| !s.is_empty()).count()
        }
        PathPattern::Any | PathPattern::Unreadable => 0,
    }
}

/// The spellings of a path of the names a and b; `X..` is one that no policy has written.
fn spellings(path: &str) -> Vec<String> {
    let words = ["a", "A", "a.", "A..", "a:x", "A:x", "a:y", "a::$D", "b", "B", "B.."];
    let name = |segment: &str| segment.split_once(':').map_or(segment.to_owned(), |(name, _)| name.to_owned());
    let plain = |segment: &str| name(segment).trim_end_matches(['.', ' ']).to_lowercase();
    let mut all = vec![String::new()];
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let segment = plain(&segment.replace("%20", " "));
        let alike: Vec<&str> = words.into_iter().filter(|word| plain(word) == segment).collect();
        let alike = if alike.is_empty() { vec![segment.as_str()] } else { alike };
        all = all.iter().flat_map(|head| alike.iter().map(move |word| format!("{head}/{word}"))).collect();
    }
    all.iter().flat_map(|path| [path.clone(), format!("{path}/")]).filter(|path| !path.is_empty()).collect()
}

fn any_route() -> impl Strategy<Value = Route> {
    let host = prop::sample::select(vec!["a.x", "b.a.x", "c.x", "*.x", "*.a.x", "*", "~*a.x"]);
    let path = prop::sample::select(vec![
        "", "", "?", "/**", "/a/**", "/a/b/**", "/a", "/a/b", "/a/", "/ab", "/A", "/A/**", "/a./b/**", "/a/B/**",
        "/a!", "/A/**!", "/a./b!", "/a:x", "/a:x/**", "/A:x", "/a:x/b", "/a:y", "/a::$D", "/a:y!",
    ]);
    let methods = prop::sample::subsequence(vec!["GET", "POST", "HEAD"], 0..=2);
    (host, path, methods).prop_map(|(host, path, methods)| match path {
        "?" => route(host, path, &[]),
        path => route(host, path, &methods),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn agrees_with_the_naive_model(
        policies in prop::collection::vec(prop::collection::vec(any_route(), 0..4), 0..6),
        host in prop::sample::select(vec!["a.x", "b.a.x", "d.b.a.x", "c.x", "x", "z", "a.y"]),
        segments in prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "a", "b", "A", "B", "a.", "A%20", "", ".", "..", "a%2fb", "a;b", "a\\b", "a:x", "a:x", "a:X", "a:y", "a:z", "a::$D", "%61", "..%20", "%20.", "%c0%af", "a%ff", "%3fa", "a%23"]), 0..4),
        method in prop::sample::select(vec!["GET", "POST", "PUT", "HEAD", "get", "Post"]),
        query in prop::sample::select(vec!["", "?", "?a=/../b"]),
    ) {
        let fakes: Vec<Fake> = policies.into_iter().enumerate().map(|(at, routes)| Fake { name: format!("ns/{at}"), routes }).collect();
        let path = segments.iter().map(|segment| format!("/{segment}")).collect::<String>();
        let target = format!("{path}{query}");
        prop_assert_eq!(select(&fakes, &request(host, &target, method)), naive(&fakes, host, &path, method));
    }

    #[test]
    fn a_suffix_that_nobody_names_chooses_no_other_policy(
        policies in prop::collection::vec(prop::collection::vec(any_route(), 1..4), 1..5),
        host in prop::sample::select(vec!["a.x", "b.a.x", "c.x", "z"]),
        before in prop::collection::vec(prop::sample::select(vec!["a", "A", "b", "a.", "a:x", "a:y"]), 0..2),
        name in prop::sample::select(vec!["a", "A", "b", "a."]),
        suffix in prop::sample::select(vec![":z", ":", "::$Z", ":X", ":x:", ":x.", ":x%20"]),
        after in prop::collection::vec(prop::sample::select(vec!["a", "b", "B", "a:x"]), 0..2),
    ) {
        let mut fakes: Vec<Fake> = policies.into_iter().enumerate().map(|(at, routes)| Fake { name: format!("ns/{at}"), routes }).collect();
        for fake in &mut fakes {
            // An unreadable path denies whatever it matches.
            fake.routes.retain(|route| route.path != PathPattern::Unreadable);
            fake.routes.iter_mut().for_each(|route| route.case = PathCase::Ambiguous);
        }
        let path = |suffix: &str| {
            let segments = before.iter().map(|s| (*s).to_owned()).chain([format!("{name}{suffix}")]).chain(after.iter().map(|s| (*s).to_owned()));
            segments.map(|segment| format!("/{segment}")).collect::<String>()
        };
        let (with, without) = (path(suffix), path(""));
        if let Ok(policy) = select(&fakes, &request(host, &with, "GET")) {
            let plainly = select(&fakes, &request(host, &without, "GET"));
            prop_assert!(plainly == Ok(policy) || plainly == Err(Reason::PathAmbiguous), "{with}: {policy} {plainly:?}");
        }
    }

    #[test]
    fn a_policy_never_widens_what_another_protects_elsewhere(
        policies in prop::collection::vec(prop::collection::vec(any_route(), 1..3), 1..4),
        added in prop::collection::vec(any_route(), 1..3),
        host in prop::sample::select(vec!["a.x", "b.a.x", "c.x", "z"]),
        path in prop::sample::select(vec!["/", "/a", "/a/b", "/ab", "//"]),
    ) {
        // A request that the new policy does not decide is decided as before, or denied.
        let mut fakes: Vec<Fake> = policies.into_iter().enumerate().map(|(at, routes)| Fake { name: format!("ns/{at}"), routes }).collect();
        let before = select(&fakes, &request(host, path, "GET"));
        let new = fakes.len();
        fakes.push(Fake { name: "ns/new".into(), routes: added });
        let after = select(&fakes, &request(host, path, "GET"));
        prop_assert!(after == before || after == Ok(new) || after == Err(Reason::PathAmbiguous), "{before:?} {after:?}");
    }
}
