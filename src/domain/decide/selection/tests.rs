//! Selection row by row, and against a model without tables.

use proptest::prelude::*;

use super::*;
use crate::domain::request::{Http, NoHeaders};
use certgate_x509::{NoTrace, Recorder};

struct Fake {
    name: String,
    routes: Vec<Route>,
}

/// A route; a path that ends in `!` means `case: Sensitive`, a host that begins with `~` is a guess at that text.
fn route(host: &str, path: &str, methods: &[&str]) -> Route {
    let (path, case) = match path.strip_suffix('!') {
        Some(path) => (path, PathCase::Sensitive),
        None => (path, PathCase::Ambiguous),
    };
    let path = match path {
        "" => PathPattern::Any,
        "?" => PathPattern::Unreadable,
        text => match text.strip_suffix("/**") {
            Some("") => PathPattern::prefix("/").unwrap(),
            Some(prefix) => PathPattern::prefix(prefix).unwrap(),
            None => PathPattern::exact(text).unwrap(),
        },
    };
    let host = match host.strip_prefix('~') {
        Some(text) => guess::recognize(text).pop().unwrap().host,
        None => HostPattern::new(host).unwrap(),
    };
    Route { host, path, case, methods: methods.iter().map(|method| (*method).to_owned()).collect() }
}

/// Policies from `host path methods…` lines; a path ending in `/**` is a prefix, `-` is any, `?` unreadable.
fn policies(lines: &[&str]) -> Vec<Fake> {
    let fake = |(at, line): (usize, &&str)| {
        let routes = line.split(" | ").map(|route_text| {
            let mut words = route_text.split_whitespace();
            let (host, path) = (words.next().unwrap(), words.next().unwrap());
            route(host, if path == "-" { "" } else { path }, &words.collect::<Vec<_>>())
        });
        Fake { name: format!("ns/p{at}"), routes: routes.collect() }
    };
    lines.iter().enumerate().map(fake).collect()
}

fn candidates(fakes: &[Fake]) -> Vec<Candidate<'_>> {
    fakes.iter().map(|fake| Candidate { name: &fake.name, routes: &fake.routes }).collect()
}

fn request<'a>(host: &'a str, path: &'a str, method: &'a str) -> Request<'a> {
    Request {
        named_policy: None,
        http: Some(Http { host: host.as_bytes(), method: method.as_bytes(), path: path.as_bytes() }),
        peer_certificate: b"",
        headers: &NoHeaders,
        source_address: None,
    }
}

fn select(fakes: &[Fake], request: &Request<'_>) -> Result<usize, Reason> {
    Selection::new(&candidates(fakes)).select(request, &mut NoTrace).map_err(|denial| denial.reason)
}

#[test]
fn the_most_specific_policy_decides() {
    const API: &str = "api.example.com";
    let none = Err(Reason::NoPolicy);
    let ambiguous = Err(Reason::PathAmbiguous);
    type Row<'a> = (&'a str, &'a [&'a str], (&'a str, &'a str, &'a str), Result<usize, Reason>);
    let rows: &[Row<'_>] = &[
        ("no policies", &[], (API, "/", "GET"), none),
        ("exact host beats wildcard", &["*.example.com -", "api.example.com -"], (API, "/", "GET"), Ok(1)),
        ("longer wildcard beats shorter", &["*.com -", "*.example.com -"], (API, "/", "GET"), Ok(1)),
        ("wildcard beats any host", &["* -", "*.com -"], (API, "/", "GET"), Ok(1)),
        ("a wildcard spans labels", &["*.com -"], (API, "/", "GET"), Ok(0)),
        ("a wildcard needs a label", &["*.example.com -"], ("example.com", "/", "GET"), none),
        ("a wildcard matches whole labels", &["*.example.com -"], ("evilexample.com", "/", "GET"), none),
        ("any host", &["* -"], ("other", "/", "GET"), Ok(0)),
        ("any host is still a host", &["* -"], ("", "/", "GET"), none),
        ("a host with illegal characters selects nothing", &["* -"], ("a b", "/", "GET"), none),
        ("host in upper case with port and dot", &["api.example.com -"], ("API.example.COM.:8443", "/", "GET"), Ok(0)),
        ("host before path", &["* /v1", "api.example.com -"], (API, "/v1", "GET"), Ok(1)),
        ("exact path beats prefix", &["* /v1/**", "* /v1"], (API, "/v1", "GET"), Ok(1)),
        ("longer prefix beats shorter", &["* /v1/**", "* /v1/payments/**"], (API, "/v1/payments/7", "GET"), Ok(1)),
        ("prefix beats any path", &["* -", "* /v1/**"], (API, "/v1", "GET"), Ok(1)),
        ("prefix takes whole segments", &["* /v1/pay/**"], (API, "/v1/payments", "GET"), none),
        ("prefix takes itself with a slash", &["* /v1/pay/**"], (API, "/v1/pay/", "GET"), Ok(0)),
        ("exact path with a slash is another", &["* /v1"], (API, "/v1/", "GET"), none),
        ("HEAD belongs to GET", &["* -", "* - GET"], (API, "/", "HEAD"), Ok(1)),
        ("unless it is named", &["* - GET", "* - HEAD"], (API, "/", "HEAD"), Ok(1)),
        ("by a policy of the same path", &["* /a GET", "* - HEAD"], (API, "/a", "HEAD"), Ok(0)),
        ("HEAD is no other method's", &["* -", "* - POST"], (API, "/", "HEAD"), Ok(0)),
        ("GET is not HEAD's", &["* -", "* - HEAD"], (API, "/", "GET"), Ok(0)),
        ("path before method", &["* /v1/** GET", "* /v1/x"], (API, "/v1/x", "GET"), Ok(1)),
        ("methods named beat any", &["* /v1", "* /v1 GET"], (API, "/v1", "GET"), Ok(1)),
        ("another method goes to the one without", &["* /v1", "* /v1 GET"], (API, "/v1", "POST"), Ok(0)),
        ("methods are case-sensitive", &["* - GET"], (API, "/", "get"), none),
        ("post is no way around POST", &["* -", "* - POST"], (API, "/", "post"), none),
        ("nor is Post, whatever path names it", &["* -", "* /a POST"], (API, "/b", "Post"), none),
        ("nor when a wider host names it", &["api.example.com -", "*.com - POST"], (API, "/", "pOST"), none),
        ("nor get, where others are named", &["* -", "* - POST"], (API, "/", "get"), none),
        ("a named method that is not usual", &["* -", "* - Purge"], (API, "/", "PURGE"), none),
        ("it is compared whole", &["* -", "* - POST"], (API, "/", "postx"), Ok(0)),
        ("where no policy names methods", &["* -"], (API, "/", "post"), Ok(0)),
        ("where another host's does", &["* -", "a.example - POST"], (API, "/", "post"), Ok(0)),
        ("an unusual method as it is named", &["* -", "* - Purge"], (API, "/", "Purge"), Ok(1)),
        ("number of methods does not count", &["* - GET POST", "* - GET"], (API, "/", "GET"), Ok(0)),
        ("the earlier in order wins a tie", &["* -", "* -"], (API, "/", "GET"), Ok(0)),
        ("prefix / and any path tie", &["* -", "* /**"], (API, "/x", "GET"), Ok(0)),
        (
            "a method that does not match falls to a shorter prefix",
            &["* /v1/** POST", "* /**"],
            (API, "/v1", "GET"),
            Ok(1),
        ),
        (
            "a path that does not match falls to a wildcard host",
            &["api.example.com /a", "*.example.com -"],
            (API, "/b", "GET"),
            Ok(1),
        ),
        ("several routes of one policy", &["* /a | * /b"], (API, "/b", "GET"), Ok(0)),
        ("the query is not compared", &["* /a"], (API, "/a?b=/../c;#%zz", "GET"), Ok(0)),
        ("escapes are compared decoded", &["* /a%20b", "* -"], (API, "/a%20b", "GET"), Ok(0)),
        ("an escape that is not needed by RFC 3986 reserves", &["* /a!b", "* -"], (API, "/a%21b", "GET"), Ok(0)),
        ("ambiguous path where a policy selects by path", &["* -", "* /a"], (API, "/b/../a", "GET"), ambiguous),
        (
            "an overlong slash is no way around",
            &["* -", "* /admin/**"],
            (API, "/x%c0%af..%c0%afadmin", "GET"),
            ambiguous,
        ),
        ("nor is an escaped query", &["* -", "* /admin"], (API, "/admin%3fx", "GET"), ambiguous),
        ("nor are dots before a blank", &["* -", "* /admin"], (API, "/a/..%20/admin", "GET"), ambiguous),
        ("ambiguous path where none does", &["* -"], (API, "/b/../a", "GET"), Ok(0)),
        ("a policy of another host does not count", &["a.example /x", "* -"], (API, "//", "GET"), Ok(1)),
        ("a policy of a wider host counts", &["api.example.com -", "*.com /x"], (API, "//", "GET"), ambiguous),
        ("prefix / counts", &["* /**"], (API, "//", "GET"), ambiguous),
        ("methods alone do not count", &["* - GET"], (API, "//", "GET"), Ok(0)),
        ("asterisk form where a policy selects by path", &["* /**"], (API, "*", "OPTIONS"), ambiguous),
        ("asterisk form where none does", &["* -"], (API, "*", "OPTIONS"), Ok(0)),
        ("an unreadable path takes its whole host", &["* /a", "* ?"], (API, "/a", "GET"), Ok(1)),
        ("an unreadable path leaves other hosts alone", &["api.example.com ?", "* -"], ("other", "/", "GET"), Ok(1)),
        (
            "an unreadable host takes what it might mean",
            &["a.admin.x -", "~*admin.x -"],
            ("a.admin.x", "/", "GET"),
            Ok(1),
        ),
        ("a port may have told two apart", &["a.x -", "~a.x:8443 -"], ("a.x", "/", "GET"), Ok(1)),
        ("a scheme with one slash", &["admin -", "~https:/admin -"], ("admin", "/", "GET"), Ok(1)),
        ("a list by a bar", &["b.x /a", "~a.x|b.x -"], ("b.x", "/a", "GET"), Ok(1)),
        ("it leaves the rest alone", &["* -", "~*admin.x -"], ("admin.y", "/", "GET"), Ok(0)),
        ("and other paths", &["* -", "~*admin.x /a"], ("admin.x", "/b", "GET"), Ok(0)),
        ("one that tells nothing takes all", &["api.example.com /a", "~{} -"], (API, "/a", "GET"), Ok(1)),
        (
            "an unreadable path leaves more specific hosts alone",
            &["*.example.com ?", "api.example.com -"],
            (API, "/", "GET"),
            Ok(1),
        ),
    ];
    for (name, lines, (host, path, method), want) in rows {
        assert_eq!(select(&policies(lines), &request(host, path, method)), *want, "{name}");
    }
}

#[test]
fn no_spelling_of_a_path_leads_past_its_policy() {
    type Row<'a> = (&'a str, &'a [&'a str], (&'a str, &'a str), Result<usize, Reason>);
    let ambiguous = Err(Reason::PathAmbiguous);
    const LAX_AND_STRICT: &[&str] = &["* -", "* /admin/**"];
    let mut rows: Vec<Row<'_>> = vec![
        ("as it is written", LAX_AND_STRICT, ("/admin", "GET"), Ok(1)),
        ("below it", LAX_AND_STRICT, ("/admin/Users./x::y", "GET"), Ok(1)),
        ("another path", LAX_AND_STRICT, ("/Administrators", "GET"), Ok(0)),
        ("a name that goes on after a dot", LAX_AND_STRICT, ("/admin.css", "GET"), Ok(0)),
        ("a slash past exact", &["* -", "* /admin"], ("/admin/", "GET"), ambiguous),
        ("none past exact", &["* -", "* /admin/"], ("/admin", "GET"), ambiguous),
        ("below exact is another path", &["* -", "* /admin"], ("/Admin/x", "GET"), Ok(0)),
        ("written in capitals", &["* -", "* /Admin/**"], ("/Admin", "GET"), Ok(1)),
        ("small letters for capitals", &["* -", "* /Admin/**"], ("/admin", "GET"), ambiguous),
        ("another name below", &["* /a/**", "* /a/b/**"], ("/a/B/c", "GET"), ambiguous),
        ("a shorter prefix changes nothing", &["* /a/**", "* /a/b/**"], ("/A/b", "GET"), Err(Reason::NoPolicy)),
        ("nor does one that stays shorter", &["* /A/**", "* /a/b/**"], ("/a/b", "GET"), Ok(1)),
        ("the same policy in both spellings", &["* -", "* /admin | * /admin/"], ("/admin/", "GET"), Ok(1)),
        ("its own lax path", &["* - | * /admin"], ("/Admin", "GET"), Ok(0)),
        ("two policies for two spellings", &["* /admin/**", "* /Admin/**"], ("/Admin", "GET"), ambiguous),
        ("both of which say so", &["* /admin/**!", "* /Admin/**!"], ("/Admin", "GET"), Ok(1)),
        ("one of which says so", &["* /admin/**", "* /Admin/**!"], ("/Admin", "GET"), ambiguous),
        ("that one's own path", &["* /admin/**", "* /Admin/**!"], ("/admin", "GET"), Ok(0)),
        ("a sensitive path", &["* -", "* /admin/**!"], ("/Admin", "GET"), Ok(0)),
        ("the method of the other does not fit", &["* -", "* /admin/** POST"], ("/Admin", "GET"), Ok(0)),
        ("it fits", &["* -", "* /admin/** POST"], ("/Admin", "POST"), ambiguous),
        ("HEAD is GET", &["* -", "* /admin/** GET"], ("/Admin", "HEAD"), ambiguous),
        ("a wider host's policy is less specific", &["x -", "* /admin/**"], ("/Admin", "GET"), Ok(0)),
        ("a narrower host's is more", &["* -", "x /admin/**"], ("/Admin", "GET"), ambiguous),
        ("however short its path", &["* /Admin/b", "x /admin/**"], ("/Admin/b", "GET"), ambiguous),
        ("another host's is nothing", &["* -", "y /admin/**"], ("/Admin", "GET"), Ok(0)),
        ("nobody gets it anyway", &["* /admin/**"], ("/Admin", "GET"), Err(Reason::NoPolicy)),
        ("a spelling in between", &["* /** | * /x/y/**", "* /x./**"], ("/X./y", "GET"), ambiguous),
        ("a prefix of which nothing is left", &["* -", "* /.../**"], ("/a", "GET"), Ok(0)),
        ("a plus for a blank", &["* -", "* /my%20files/**"], ("/my+files", "GET"), ambiguous),
        ("a blank for a plus", &["* -", "* /my+files/**"], ("/my%20files/x", "GET"), ambiguous),
        ("a letter in two characters", &["* -", "* /caf%C3%A9/**"], ("/cafe%CC%81", "GET"), ambiguous),
        ("ordinary paths of one policy", &["* -", "* /v1/**"], ("/v1/items/Foo:batchGet", "GET"), Ok(1)),
        ("of another", &["* -", "* /admin/**"], ("/Users/Alice+Bob/a.txt./x:y", "GET"), Ok(0)),
        ("of one that is alone", &["* /**"], ("/Admin.%20/%E2%80%8B+/x::y/", "GET"), Ok(0)),
        ("of one with two paths", &["* /** | * /a/**"], ("/A:x/", "GET"), Ok(0)),
        ("a mark of its own", &["* -", "* /cafe/**"], ("/caf%C3%A9", "GET"), Ok(0)),
        ("a verb behind a colon", &["* /items", "* /items:get"], ("/items:get", "GET"), Ok(1)),
        ("the path without it", &["* /items", "* /items:get"], ("/items", "GET"), Ok(0)),
        ("below a prefix", &["* /v1/**", "* /v1/items/**", "* /v1/items:get"], ("/v1/items:get", "GET"), Ok(2)),
        ("the prefix itself", &["* /v1/**", "* /v1/items/**", "* /v1/items:get"], ("/v1/items/7", "GET"), Ok(1)),
        ("a prefix with a verb", &["* /items/**", "* /items:get/**"], ("/items:get/7", "GET"), Ok(1)),
        ("beside it", &["* /items/**", "* /items:get/**"], ("/items/7", "GET"), Ok(0)),
        ("one of two verbs", &["* /items:get", "* /items:put"], ("/items:put", "GET"), Ok(1)),
        ("two verbs that differ in case", &["* /items:get", "* /items:GET"], ("/items:GET", "GET"), ambiguous),
        ("a verb that nobody names", &["* -", "* /items", "* /items:get"], ("/items:put", "GET"), ambiguous),
        ("a verb beside the strict one", &["* -", "* /items:get"], ("/items:put", "GET"), ambiguous),
        ("a path that only a catch-all takes", &["* -", "* /items:get"], ("/items", "GET"), ambiguous),
        ("or a prefix above it", &["* /v1/**", "* /v1/svc:80/x"], ("/v1/svc/x", "GET"), ambiguous),
        ("a verb in capitals", &["* -", "* /items", "* /items:get"], ("/items:GET", "GET"), ambiguous),
        ("a verb with a dot", &["* -", "* /items", "* /items:get"], ("/items:get.", "GET"), ambiguous),
        ("a blank before it", &["* -", "* /items", "* /items:get"], ("/items%20:get", "GET"), ambiguous),
        ("a full-width colon", &["* -", "* /items", "* /items:get"], ("/items%EF%BC%9Aget", "GET"), ambiguous),
        ("a verb on a name in capitals", &["* /items", "* /Items:get"], ("/Items:get", "GET"), Ok(1)),
        ("another spelling below a verb", &["* /x:v/**", "* /x:v/b"], ("/x:v/B", "GET"), ambiguous),
        ("the path of another below a verb", &["* /x/b", "* /x:v/**"], ("/x:v/b", "GET"), Ok(1)),
        ("a verb that no policy selects", &["* /items", "* /items:get"], ("/items:put", "GET"), Err(Reason::NoPolicy)),
        ("a stream, though it is named", &["* /admin", "* /admin::$DATA"], ("/admin::$DATA", "GET"), ambiguous),
        ("the file of a stream", &["* /admin", "* /admin::$DATA"], ("/admin", "GET"), ambiguous),
        ("both told apart", &["* /admin!", "* /admin::$DATA!"], ("/admin::$DATA", "GET"), Ok(1)),
    ];
    for spelling in [
        "/Admin",
        "/ADMIN/x",
        "/admin.",
        "/admin./x",
        "/admin%20",
        "/admin%20/x",
        "/%20admin",
        "/admin+",
        "/admin%C2%A0",
        "/admin%20.",
        "/admin::$DATA",
        "/admin:stream/x",
        "/%20/admin",
        "/.../admin",
        "/adm%C4%B1n",
        "/Admin/",
        "/%EF%BC%A1dmin",
        "/ad%C2%ADmin",
        "/admin%E2%80%8B/x",
        "/admin%EF%BC%8Fx",
        "/admin%EF%BC%9Bx=1/y",
        "/adm%C4%B0n",
        "/Admin%20./x",
        "/%EF%BB%BFadmin::$DATA",
    ] {
        rows.push(("a spelling", LAX_AND_STRICT, (spelling, "GET"), ambiguous));
    }
    for (name, lines, (path, method), want) in rows {
        assert_eq!(select(&policies(lines), &request("x", path, method)), want, "{name}: {path}");
    }
    // The denial names the policy that would decide, and the setting to write.
    let mut recorder = Recorder::default();
    let fakes = policies(LAX_AND_STRICT);
    let denial = Selection::new(&candidates(&fakes)).select(&request("x", "/Admin", "GET"), &mut recorder).unwrap_err();
    for part in ["policy ns/p0 (host *, any path", "policy ns/p1 (host *, paths below /admin", "`case: Sensitive`"] {
        assert!(denial.detail.contains(part), "{part}: {}", denial.detail);
    }
}

#[test]
fn the_trace_tells_why_no_policy_fits() {
    let lines = ["x /a | x /a/**", "x - POST", "*.y -", "* /B/** PUT"];
    let fakes = policies(&lines);
    let steps = |fakes: &[Fake], host: &str| {
        let mut recorder = Recorder::default();
        let selected = Selection::new(&candidates(fakes)).select(&request(host, "/b", "GET"), &mut recorder);
        assert_eq!(selected.map_err(|denial| denial.reason), Err(Reason::NoPolicy));
        recorder.steps().iter().skip(1).map(|step| step.detail.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        steps(&fakes, "x"),
        [
            r#"policy ns/p0 does not fit: host x, path /a, any method: the path is "/b""#,
            r#"policy ns/p0 does not fit: host x, paths below /a, any method: the path is "/b""#,
            r#"policy ns/p1 does not fit: host x, any path, method POST: the method is "GET""#,
            r#"policy ns/p3 does not fit: host *, paths below /B, method PUT: the path is "/b""#,
            r#"NO_POLICY: no policy selects host x, path "/b", method "GET""#,
        ]
        .map(|line| line.trim_start_matches("NO_POLICY: "))
    );
    let last = |steps: Vec<String>| steps[steps.len() - 2].clone();
    assert_eq!(last(steps(&fakes[..3], "z")), "no policy covers this host; policies name *.y, x");
    assert_eq!(last(steps(&[], "z")), "no policy has a match: policies are reached only where a route names them");
    let many: Vec<String> = (0..40).map(|n| format!("x /{n}")).collect();
    let told = steps(&policies(&many.iter().map(String::as_str).collect::<Vec<_>>()), "x");
    assert_eq!((told.len(), &*told[16]), (18, "24 more routes of this host do not fit"));
}

#[test]
fn a_named_policy_is_authoritative() {
    let fakes = policies(&["* -", "api.example.com -"]);
    let rows: &[(&str, &[u8], Result<usize, Reason>)] = &[
        ("it beats a better match", b"ns/p0", Ok(0)),
        ("unknown name", b"ns/p9", Err(Reason::NoPolicy)),
        ("name without namespace", b"p0", Err(Reason::NoPolicy)),
        ("empty name", b"", Err(Reason::NoPolicy)),
        ("not UTF-8", b"ns/\xff", Err(Reason::NoPolicy)),
        ("other case", b"NS/p0", Err(Reason::NoPolicy)),
    ];
    for (row, name, want) in rows {
        let request = Request { named_policy: Some(name), ..request("api.example.com", "/a/../b", "GET") };
        assert_eq!(select(&fakes, &request), *want, "{row}");
        let tcp = Request { http: None, ..request };
        assert_eq!(select(&fakes, &tcp), *want, "{row}, not HTTP");
    }
    let tcp = Request { http: None, ..request("", "", "") };
    assert_eq!(select(&fakes, &tcp), Err(Reason::NoPolicy));
}

#[test]
fn policies_that_lose_everything_are_conflicted() {
    type Row<'a> = (&'a str, &'a [&'a str], &'a [(usize, &'a [usize])]);
    let rows: &[Row<'_>] = &[
        ("same host and path", &["* /a", "* /a"], &[(1, &[0])]),
        ("other path", &["* /a", "* /b"], &[]),
        ("something is left", &["* /a", "* /a | * /b"], &[]),
        ("any path and prefix / are the same", &["* -", "* /**"], &[(1, &[0])]),
        ("methods of the loser are covered", &["* /a GET POST", "* /a GET"], &[(1, &[0])]),
        ("methods of the loser are covered by two", &["* /a GET", "* /a POST", "* /a POST GET"], &[(2, &[0, 1])]),
        ("methods are not all covered", &["* /a GET", "* /a GET POST"], &[]),
        ("named methods win over an older policy without", &["* /a", "* /a GET"], &[]),
        ("no routes", &["* /a", "* /a"], &[(1, &[0])]),
        ("three alike", &["* -", "* -", "* -"], &[(1, &[0]), (2, &[0])]),
    ];
    for (name, lines, want) in rows {
        let fakes = policies(lines);
        let candidates = candidates(&fakes);
        let got = Selection::new(&candidates).conflicts(&candidates);
        let got: Vec<_> = got.iter().map(|conflict| (conflict.loser, &*conflict.winners)).collect();
        assert_eq!(got, *want, "{name}");
    }
    let silent = Fake { name: "ns/silent".into(), routes: vec![] };
    assert_eq!(Selection::new(&candidates(&[silent])).conflicts(&[]), []);
}

#[test]
fn the_trace_tells_who_would_have_decided() {
    let fakes = policies(&["* -", "*.example.com -", "api.example.com /v1/** GET POST | api.example.com -", "* /x"]);
    let mut recorder = Recorder::default();
    let candidates = candidates(&fakes);
    let selected = Selection::new(&candidates).select(&request("API.example.com:1", "/v1/a?q", "GET"), &mut recorder);
    assert_eq!(selected, Ok(2));
    let steps: Vec<_> = recorder.steps().iter().map(|step| (step.verdict, &*step.detail)).collect();
    assert_eq!(
        steps,
        [
            (Verdict::Note, r#"host api.example.com (of "API.example.com:1"), path "/v1/a", method "GET""#),
            (Verdict::Pass, "policy ns/p2: host api.example.com, paths below /v1, method GET or POST"),
            (Verdict::Skip, "policy ns/p1 comes after it: host *.example.com, any path, any method"),
            (Verdict::Skip, "policy ns/p0 comes after it: host *, any path, any method"),
        ]
    );
}

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
