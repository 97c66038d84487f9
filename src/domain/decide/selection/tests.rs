//! Selection row by row, and against a model without tables.

mod model;

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
