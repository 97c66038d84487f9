//! Hosts and paths, and the policies that they select; the first line is the host, the second the method, the rest the
//! request target.
#![no_main]

#[path = "../../crates/certgate-x509/fuzz/fuzz_targets/limit.rs"]
mod limit;

use std::sync::LazyLock;

use certgate::domain::request::{Http, NoHeaders, Request};
use certgate::domain::decide::selection::guess::recognize;
use certgate::domain::decide::selection::host::{self, HostPattern};
use certgate::domain::decide::selection::path::{self, PathPattern};
use certgate::domain::decide::selection::spelling::fold;
use certgate::domain::decide::selection::{Candidate, Route, Selection};
use certgate::domain::api::PathCase;
use certgate_x509::trace::NoTrace;
use libfuzzer_sys::fuzz_target;

const ADMIN: usize = 0;

/// `/admin` of one host is protected by a policy of its own; all else of all hosts by another.
static SELECTION: LazyLock<Selection> = LazyLock::new(|| {
    let host = |text| HostPattern::new(text).expect("a host");
    let prefix = |text| PathPattern::prefix(text).expect("a path");
    let admin = [Route { host: host("api.example.com"), path: prefix("/admin"), case: PathCase::Ambiguous, methods: vec![] }];
    let wild = [
        Route {
            host: host("*.example.com"),
            path: PathPattern::exact("/a").expect("a path"),
            case: PathCase::Sensitive,
            methods: vec!["GET".into()],
        },
        Route { host: host("*"), path: prefix("/"), case: PathCase::Ambiguous, methods: vec![] },
    ];
    let candidates = [Candidate { name: "a/admin", routes: &admin }, Candidate { name: "a/wild", routes: &wild }];
    Selection::new(&candidates)
});

fuzz_target!(|input: &[u8]| limit::within_limit(|| run(input)));

fn run(input: &[u8]) {
    let mut parts = input.splitn(3, |octet| *octet == b'\n');
    let (authority, method, target) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());

    let normal = host::normalize(authority);
    if let Some(normal) = &normal {
        assert!(!normal.bytes().any(|octet| octet.is_ascii_uppercase()));
        assert_eq!(host::normalize(normal.as_bytes()).as_ref(), Some(normal), "normalized once and for all");
    }

    // Whatever stands in a policy as a host, something is denied for it.
    if let Ok(text) = std::str::from_utf8(authority)
        && HostPattern::new(text).is_err()
    {
        let found = recognize(text);
        assert!(!found.is_empty());
        for found in found {
            if let HostPattern::Guess(guess) = found.host {
                guess.covers("api.example.com");
            }
        }
    }

    let canonical = path::canonical(path::without_query(target));
    if let Ok(canonical) = &canonical {
        assert!(canonical.starts_with(b"/") && !canonical.contains(&b'\\') && !canonical.contains(&b';'));
        assert!(!canonical.split(|octet| *octet == b'/').any(|segment| matches!(segment, b"." | b"..")));
        let text = std::str::from_utf8(canonical).expect("UTF-8");
        assert!(!text.split('/').any(|segment| matches!(segment.trim(), "." | "..")) && !text.contains(['?', '#']));
        assert!(!canonical.windows(2).any(|pair| pair == b"//"));
        let form = fold(canonical);
        assert_eq!(fold(&form), form, "folded once and for all");
    }

    let request = Request {
        named_policy: None,
        http: Some(Http { host: authority, method, path: target }),
        peer_certificate: b"",
        headers: &NoHeaders,
        source_address: None,
    };
    let selected = SELECTION.select(&request, &mut NoTrace);
    let (Some(normal), Ok(canonical)) = (normal, canonical) else {
        assert!(selected.is_err(), "an unreadable host or path selects nothing");
        return;
    };
    let below_admin = canonical.as_ref() == b"/admin" || canonical.starts_with(b"/admin/");
    // A policy of all hosts below example.com names a method.
    let usual = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"].map(str::as_bytes);
    let in_other_case = normal.ends_with(".example.com")
        && !usual.contains(&method)
        && usual.iter().any(|usual| usual.eq_ignore_ascii_case(method));
    assert!(!in_other_case || selected.is_err(), "a method in another case selects nothing");
    let is_admin = normal == "api.example.com" && below_admin && !in_other_case;
    assert_eq!(
        selected.as_ref().is_ok_and(|policy| *policy == ADMIN),
        is_admin,
        "the protected path is protected in every spelling"
    );
    let form = fold(&canonical);
    let spells_admin = *form == *b"/admin" || form.starts_with(b"/admin/");
    let slips = normal == "api.example.com" && spells_admin && !below_admin;
    assert!(!slips || selected.is_err(), "no other spelling comes to another policy");
}
