//! Rules that deny against names that are written to get round them.

use super::*;

/// What a certificate comes to under one rule that denies, and under one that allows by the same part.
fn verdicts(pki: &Pki, part: &Value, template: &Template) -> [Result<String, Reason>; 2] {
    let client = pki.issue(template);
    let rule = |name: &str, action: &str| json!({"name": name, "action": action, "where": [part]});
    let with_user = |mut rule: Value| {
        rule["identity"] = json!({"user": "matched"});
        rule
    };
    let rest = json!({"name": "rest", "action": "Allow", "where": [{"field": "Issuer", "attribute": "CN", "value": "*"}], "identity": {"user": "rest"}});
    let mappings = [json!({"rules": [rule("one", "Deny"), rest]}), json!({"rules": [with_user(rule("one", "Allow"))]})];
    mappings.map(|mapping| {
        let decision = decide(&with_policy(pki, json!({"mapping": mapping})), &client);
        outcome(&decision).map(|user| user.unwrap_or_default().to_owned())
    })
}

fn organization(text: Text, value: &str) -> Template {
    let subject = vec![vec![(O, text, value.to_owned())], vec![(CN, Text::Utf8, "x".to_owned())]];
    Template { subject, ..Template::default() }
}

fn alternative(san: San) -> Template {
    Template { sans: vec![san], ..Template::default() }
}

#[test]
fn nothing_that_looks_or_reads_the_same_gets_round_a_denial() {
    let pki = Pki::new();
    let sales = json!({"field": "Subject", "attribute": "O", "value": "Sales"});
    let prefix = json!({"field": "Subject", "attribute": "O", "value": "Sales*"});
    let issuer = json!({"field": "Issuer", "attribute": "OU", "value": "Sales"});
    let ca = json!({"field": "Issuer", "attribute": "CN", "value": "ACME ca"});
    let path = json!({"field": "URI", "value": "spiffe://acme/ns/a/*"});
    let any_case = json!({"field": "Subject", "attribute": "O", "value": "Sales", "case": "Insensitive"});
    let uri = json!({"field": "URI", "value": "https://evil.example/*"});
    let dns = json!({"field": "DNS", "value": "*.evil.example"});
    let mail = json!({"field": "Email", "value": "bob@evil.example"});
    let principal = json!({"field": "UserPrincipalName", "value": "*@evil.example"});
    let org = organization;
    let (utf8, text) = (Text::Utf8, |text: &str| text.to_owned());
    let evasions: Vec<(&str, &Value, Template)> = vec![
        ("GeneralString", &sales, org(Text::General, "Sales")),
        ("not a string at all", &sales, org(Text::Octets, "Sales")),
        ("T.61 with an accent", &sales, org(Text::Teletex, "Sal\u{c2}es")),
        ("T.61 with an escape sequence", &sales, org(Text::Teletex, "Sa\u{1b}les")),
        ("soft hyphen", &sales, org(utf8, "Sa\u{ad}les")),
        ("soft hyphen in a BMPString", &sales, org(Text::Bmp, "Sa\u{ad}les")),
        ("zero width space", &sales, org(utf8, "Sales\u{200b}")),
        ("zero width joiner before the asterisk", &prefix, org(utf8, "Sal\u{200d}es EMEA")),
        ("byte order mark", &sales, org(utf8, "\u{feff}Sales")),
        ("tag characters", &sales, org(utf8, "Sales\u{e0020}\u{e007f}")),
        ("control character", &sales, org(utf8, "Sal\u{8}es")),
        ("full width", &sales, org(utf8, "\u{ff33}\u{ff41}les")),
        ("mathematical letters", &sales, org(utf8, "\u{1d412}ales")),
        ("long s", &any_case, org(utf8, "\u{17f}ales")),
        ("no-break space", &sales, org(utf8, "Sales\u{a0}\u{200b} ")),
        ("URI with a dot", &uri, alternative(San::Uri(text("https://evil.example./x")))),
        ("URI with an escaped dot", &uri, alternative(San::Uri(text("https://evil%2Eexample/x")))),
        ("URI with an escaped letter", &uri, alternative(San::Uri(text("https://%65vil.example/x")))),
        ("URI with its port", &uri, alternative(San::Uri(text("https://evil.example:443/x")))),
        ("URI with dot and port", &uri, alternative(San::Uri(text("https://evil.example.:443/x")))),
        ("DNS with two dots", &dns, alternative(San::Dns(text("a.evil.example..")))),
        ("issuer in another case", &ca, org(utf8, "Sales")),
        ("URI with a user", &uri, alternative(San::Uri(text("https://user:x@evil.example/x")))),
        ("URI with dot segments in its path", &path, alternative(San::Uri(text("spiffe://acme/ns/b/%2E%2e/./a/c")))),
        ("URI without a path", &uri, alternative(San::Uri(text("https://evil.example")))),
        ("URI with a query for its path", &uri, alternative(San::Uri(text("https://evil.example?x")))),
        ("URI with a backslash", &uri, alternative(San::Uri(text("https://evil.example\\@good.example/x")))),
        ("URI with three slashes", &uri, alternative(San::Uri(text("https:///evil.example/x")))),
        ("URI with one slash", &uri, alternative(San::Uri(text("HTTPS:/evil.example/x")))),
        ("URI with an escaped ideographic stop", &uri, alternative(San::Uri(text("https://evil%E3%80%82example/x")))),
        ("URI with an escape in an escape", &uri, alternative(San::Uri(text("https://evil%252Eexample/x")))),
        ("URI with two at signs", &uri, alternative(San::Uri(text("https://a@evil.example@good.example/x")))),
        ("DNS with a port", &dns, alternative(San::Dns(text("a.evil.example:443")))),
        ("DNS with a path", &dns, alternative(San::Dns(text("a.evil.example/")))),
        ("mail with a blank at the end", &mail, alternative(San::Email(text("bob@evil.example ")))),
        ("mail with blanks at the at sign", &mail, alternative(San::Email(text(" bob @ evil.example. ")))),
        ("mail with a comment", &mail, alternative(San::Email(text("bob(x)@evil.example")))),
        ("mail with a comment behind it", &mail, alternative(San::Email(text("bob@evil.example(x)")))),
        ("mail in brackets", &mail, alternative(San::Email(text("Bob <bob@evil.example>")))),
        ("mail with a scheme", &mail, alternative(San::Email(text("mailto:bob@evil.example")))),
        ("mail in quotes in part", &mail, alternative(San::Email(text("b\"ob\"@evil.example")))),
        ("a text too long to fold", &sales, org(utf8, &"\u{fdfa}".repeat(1_366))),
        ("principal with a blank", &principal, alternative(San::Upn(text("bob@evil.example ")))),
        (
            "principal with blanks",
            &principal,
            alternative(San::Upn(text("bob\u{ff20}\u{a0}evil.example\u{2003}\u{200b}"))),
        ),
        ("mail with a dot", &mail, alternative(San::Email(text("bob@Evil.example.")))),
        ("mail in quotes", &mail, alternative(San::Email(text("\"bob\"@evil.example")))),
        ("mail beyond ASCII", &mail, alternative(San::Mailbox(text("bob@evil.example")))),
        ("principal with a dot", &principal, alternative(San::Upn(text("bob@evil.example.")))),
        ("principal in full width", &principal, alternative(San::Upn(text("bob\u{ff20}evil\u{3002}example")))),
        ("principal in a PrintableString", &principal, alternative(San::UpnIn(Text::Printable, text("bob")))),
        ("principal in a BMPString", &principal, alternative(San::UpnIn(Text::Bmp, text("bob@evil.example")))),
        ("principal in T.61", &principal, alternative(San::UpnIn(Text::Teletex, text("bob@evil.example")))),
    ];
    for (row, part, template) in evasions {
        let [denied, allowed] = verdicts(&pki, part, &template);
        assert_eq!(denied, Err(Reason::MappingDenied), "{row}");
        assert_eq!(allowed, Err(Reason::NoMapping), "{row}: a rule that allows compares exactly");
    }
    let others: Vec<(&str, &Value, Template)> = vec![
        ("another name", &sales, org(utf8, "Legal")),
        ("another name, as long as what is folded", &sales, org(utf8, &"\u{e4}".repeat(2_048))),
        ("another name that is long and plain", &sales, org(utf8, &"a".repeat(4_097))),
        ("another name with an accent", &sales, org(utf8, "S\u{e4}les")),
        ("another script", &sales, org(utf8, "S\u{430}les")),
        ("another case", &sales, org(utf8, "SALES")),
        ("no such attribute", &issuer, org(utf8, "Sales")),
        ("T.61 that is plain", &sales, org(Text::Teletex, "Legal")),
        ("another host", &uri, alternative(San::Uri(text("https://evil.example.org/x")))),
        ("another port", &uri, alternative(San::Uri(text("https://evil.example:8443/x")))),
        ("another name above the host", &dns, alternative(San::Dns(text("evil.example")))),
        ("another path", &path, alternative(San::Uri(text("spiffe://acme/ns/b/a/c")))),
        ("another host with a user", &uri, alternative(San::Uri(text("https://evil.example@good.example/x")))),
        ("a URI without a host", &uri, alternative(San::Uri(text("urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66")))),
        ("a URI with an address", &uri, alternative(San::Uri(text("https://[2001:db8::1]:8443/x%20y")))),
        ("a URI with an empty host", &uri, alternative(San::Uri(text("ldap:///CN=a,O=b?x")))),
        ("a wildcard", &dns, alternative(San::Dns(text("*.good_1.example")))),
        ("addresses among DNS names", &dns, alternative(San::Dns(text("2001:db8::1")))),
        ("mail with every sign", &mail, alternative(San::Email(text("b.o+b!#$%&'*/=?^_`{|}~-@[192.0.2.1]")))),
        ("mail that needs quotes", &mail, alternative(San::Email(text("\"a (b) <c@d>\"@good.example")))),
        ("a name instead of mail", &mail, alternative(San::Email(text("Bob Smith")))),
        ("a principal with blanks", &principal, alternative(San::Upn(text("bob smith@good.example")))),
        ("a principal in Japanese", &principal, alternative(San::Upn(text("\u{592a}\u{90ce}@\u{4f8b}.example")))),
        ("umlauts", &sales, org(utf8, "M\u{fc}ller S\u{f6}hne")),
        ("umlauts in T.61's place", &sales, org(Text::Bmp, "M\u{fc}ller")),
        ("Japanese", &sales, org(utf8, "\u{55b6}\u{696d}\u{90e8}")),
        ("emoji with a joiner", &sales, org(utf8, "\u{1f469}\u{200d}\u{1f4bb}")),
        ("Turkish", &any_case, org(utf8, "\u{130}stanbul Sat\u{131}\u{15f}")),
        ("another mailbox", &mail, alternative(San::Email(text("bobby@evil.example")))),
        ("another domain", &principal, alternative(San::Upn(text("bob@evil.example.org")))),
        ("no mail at all", &mail, alternative(San::UpnIn(Text::Bmp, text("bob@evil.example")))),
    ];
    for (row, part, template) in others {
        assert_eq!(verdicts(&pki, part, &template), [Ok("rest".to_owned()), Err(Reason::NoMapping)], "{row}");
    }
}

#[test]
fn a_look_alike_in_the_rule_denies_what_it_looks_like() {
    let pki = Pki::new();
    for written in ["Sa\u{ad}les", "\u{ff33}ales", "Sal\u{200b}*"] {
        let part = json!({"field": "Subject", "attribute": "O", "value": written});
        let [denied, allowed] = verdicts(&pki, &part, &organization(Text::Utf8, "Sales"));
        assert_eq!((denied, allowed), (Err(Reason::MappingDenied), Err(Reason::NoMapping)), "{written:?}");
    }
}

#[test]
fn a_rule_may_want_every_value() {
    let pki = Pki::new();
    let part = |values: Option<&str>| match values {
        None => json!({"field": "Subject", "attribute": "O", "value": "Contoso"}),
        Some(values) => json!({"field": "Subject", "attribute": "O", "value": "Contoso", "values": values}),
    };
    let subject = |values: &[(Text, &str)]| Template {
        subject: values
            .iter()
            .map(|(text, value)| vec![(O, *text, (*value).to_owned())])
            .chain([vec![(CN, Text::Utf8, "x".into())]])
            .collect(),
        ..Template::default()
    };
    let hit = || [Err(Reason::MappingDenied), Ok("matched".to_owned())];
    let miss = || [Ok("rest".to_owned()), Err(Reason::NoMapping)];
    let contoso = (Text::Utf8, "Contoso");
    let odd = (Text::General, "Contoso");
    for (row, values, template, want) in [
        ("one value", Some("Every"), subject(&[contoso]), hit()),
        ("twice the same", Some("Every"), subject(&[contoso, contoso]), hit()),
        ("another one above", Some("Every"), subject(&[(Text::Utf8, "Partner"), contoso]), miss()),
        ("another one above, and one is enough", Some("Any"), subject(&[(Text::Utf8, "Partner"), contoso]), hit()),
        ("one is enough unless the rule says", None, subject(&[(Text::Utf8, "Partner"), contoso]), hit()),
        ("none", Some("Every"), subject(&[]), miss()),
        (
            "one that is not compared",
            Some("Every"),
            subject(&[odd, contoso]),
            [Err(Reason::MappingDenied), Err(Reason::NoMapping)],
        ),
    ] {
        assert_eq!(verdicts(&pki, &part(values), &template), want, "{row}");
    }
}
