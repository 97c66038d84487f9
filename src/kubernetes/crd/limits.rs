//! What the API server checks of a value besides its shape: bounds, patterns, and CEL rules about one object.
//!
//! A table by path over the schemas that the Rust types give. Every list, map and text has a bound, if only a general
//! one: CEL rules are admitted by what they might cost at most. Where the compiler has a bound of its own, the number
//! comes from there. What a text must look like is said in [`texts`].

mod texts;

use serde_json::{Value, json};

use crate::domain::api::Kind;
use crate::domain::policy::compile::{
    MAX_EVIDENCE, MAX_HASHES, MAX_IDENTITY_TEXT, MAX_MATCHES, MAX_ONE_TO_ONE, MAX_POLICIES, MAX_RULE_PARTS, MAX_RULES,
    MAX_SOURCES, MAX_TEXT, MAXIMUM_RSA_BITS, MINIMUM_RSA_BITS, WEAKEST_RSA_BITS,
};
use certgate_x509::ANY_POLICY;
use texts::{
    CRL_PEM, DATA_KEY, Form, HEADER, HEADER_TEXT, LISTED_TEXT, METHOD, NAME, NAMESPACE, OID, PEM, SERIAL_NUMBER,
    SHA256, SIGNER, URI, hosts, text,
};

/// The bound of a list or map that the table does not name.
const GENERAL_ITEMS: usize = 64;

/// What is added to the schema at a path: `a.b` a property, `[]` the elements of a list, `{}` the values of a map.
pub type Limits = Vec<(String, Value)>;

/// The largest PEM text in an object; etcd takes objects of 1.5 MiB by default.
const MAX_INLINE: usize = 1024 * 1024;

/// The limits of a kind's spec.
pub fn of(kind: Kind) -> Limits {
    let mut limits = Limits::new();
    match kind {
        Kind::TrustProfile => trust_profile(&mut limits),
        Kind::CertificatePolicy => certificate_policy(&mut limits),
        Kind::CertificateMapping => {
            certificate_name(&mut limits, "certificate");
            identity(&mut limits, "identity");
        }
        _ => {}
    }
    limits
}

/// The limits of a kind's status.
pub fn of_status(kind: Kind) -> Limits {
    let mut limits = vec![
        ("conditions".to_owned(), json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})),
        ("conditions[].lastTransitionTime".to_owned(), json!({"format": "date-time"})),
        ("conditions[].message".to_owned(), json!({"maxLength": 32768})),
        ("conditions[].status".to_owned(), json!({"enum": ["True", "False", "Unknown"]})),
    ];
    if kind == Kind::TrustProfile {
        limits.push(("nextExpiry".to_owned(), json!({"format": "date-time"})));
        for time in
            ["trustAnchors[].notAfter", "nextCrlUpdate", "crls[].thisUpdate", "crls[].nextUpdate", "crls[].endsAt"]
        {
            limits.push((time.to_owned(), json!({"format": "date-time"})));
        }
    }
    limits
}

fn trust_profile(limits: &mut Limits) {
    for list in ["trustAnchors", "intermediates"] {
        trust_sources(limits, list, &["configMap", "secret", "clusterTrustBundle", "inline", "file"]);
    }
    let or_key = ["publicKeySha256", "configMap", "secret", "clusterTrustBundle", "inline", "file"];
    trust_sources(limits, "trustedPeers", &or_key);
    hash(limits, "trustedPeers[].publicKeySha256");
    rule(
        limits,
        "trustedPeers[]",
        "!has(self.publicKeySha256) || !has(self.onBadCertificate)",
        "onBadCertificate is about places that hold certificates; a publicKeySha256 stands alone",
    );
    sources(limits, "revocation.crls", &["configMap", "secret", "inline", "file"], CRL_PEM);
    for list in ["issuingAuthorities", "trustList", "disallowed"] {
        add(limits, list, json!({"maxItems": MAX_HASHES, "x-kubernetes-list-type": "atomic"}));
        hash(limits, &format!("{list}[].sha256"));
    }
    hash(limits, "disallowed[].publicKeySha256");
    exactly_one(limits, "disallowed[]", &["sha256", "publicKeySha256"]);
    for narrowing in ["issuingAuthorities", "trustList"] {
        add(limits, narrowing, json!({"minItems": 1}));
    }
    requirements(limits);
    rule(
        limits,
        "allowedNamespaces",
        "has(self.selector) == (self.from == 'Selector')",
        "selector is given with `from: Selector`, and only then",
    );
    label_selector(limits, "allowedNamespaces.selector");
}

fn requirements(limits: &mut Limits) {
    let at = "requirements";
    add(limits, &format!("{at}.minimumRsaBits"), json!({"minimum": WEAKEST_RSA_BITS, "maximum": MAXIMUM_RSA_BITS}));
    add(limits, &format!("{at}.maxPathLength"), json!({"minimum": 0, "maximum": 32}));
    // Sets: what is listed twice is a slip.
    let algorithms = format!("{at}.allowedSignatureAlgorithms");
    add(limits, &algorithms, json!({"minItems": 1, "maxItems": 16, "x-kubernetes-list-type": "set"}));
    add(limits, &format!("{at}.weakCryptography"), json!({"maxItems": 4, "x-kubernetes-list-type": "set"}));
    let policies = format!("{at}.certificatePolicies.initialPolicySet");
    add(limits, &policies, json!({"minItems": 1, "maxItems": MAX_POLICIES, "x-kubernetes-list-type": "set"}));
    text(limits, &format!("{policies}[]"), OID, 256);
    rule(
        limits,
        &policies,
        &format!("!('{ANY_POLICY}' in self)"),
        "anyPolicy makes every policy count: leave initialPolicySet out instead",
    );
    let has_word = |word: &str| format!("has(self.weakCryptography) && '{word}' in self.weakCryptography");
    let (sha1, rsa) = (has_word("AcceptSha1Signatures"), has_word("AcceptRsaBelow2048"));
    let listed = "has(self.allowedSignatureAlgorithms)";
    let with_sha1 = "self.allowedSignatureAlgorithms.exists(a, a.endsWith('Sha1'))";
    let bits = "has(self.minimumRsaBits)";
    let rows = [
        (
            format!("!{bits} || self.minimumRsaBits >= {MINIMUM_RSA_BITS} || ({rsa})"),
            "minimumRsaBits below 2048 needs weakCryptography: [AcceptRsaBelow2048]",
        ),
        (
            format!("!({rsa}) || ({bits} && self.minimumRsaBits < {MINIMUM_RSA_BITS})"),
            "weakCryptography AcceptRsaBelow2048 needs minimumRsaBits, from 1024 to 2047",
        ),
        (
            format!("!{listed} || !{with_sha1} || ({sha1})"),
            "a signature algorithm with SHA-1 needs weakCryptography: [AcceptSha1Signatures]",
        ),
        (
            format!("!({sha1}) || !{listed} || {with_sha1}"),
            "weakCryptography has AcceptSha1Signatures, but allowedSignatureAlgorithms lists no algorithm with SHA-1",
        ),
    ];
    for (words, message) in rows {
        rule(limits, at, &words, message);
    }
}

fn trust_sources(limits: &mut Limits, list: &str, choices: &[&str]) {
    sources(limits, list, choices, PEM);
    let bundle = format!("{list}[].clusterTrustBundle");
    exactly_one(limits, &bundle, &["name", "signerName"]);
    rule(
        limits,
        &bundle,
        "has(self.labelSelector) == has(self.signerName)",
        "labelSelector is given with signerName, and only then",
    );
    add(limits, &format!("{bundle}.name"), json!({"minLength": 1, "maxLength": 253}));
    text(limits, &format!("{bundle}.signerName"), SIGNER, 571);
    label_selector(limits, &format!("{bundle}.labelSelector"));
}

/// A list of places that hold something in PEM, each given in one of the `choices`.
fn sources(limits: &mut Limits, list: &str, choices: &[&str], pem: Form) {
    add(limits, list, json!({"maxItems": MAX_SOURCES, "x-kubernetes-list-type": "atomic"}));
    let item = format!("{list}[]");
    exactly_one(limits, &item, choices);
    for kind in ["configMap", "secret"] {
        text(limits, &format!("{item}.{kind}.name"), NAME, 253);
        text(limits, &format!("{item}.{kind}.key"), DATA_KEY, 253);
    }
    text(limits, &format!("{item}.inline"), pem, MAX_INLINE);
    add(limits, &format!("{item}.file"), json!({"minLength": 1, "maxLength": 4096}));
}

fn certificate_policy(limits: &mut Limits) {
    add(limits, "match", json!({"maxItems": MAX_MATCHES, "x-kubernetes-list-type": "atomic"}));
    hosts(limits, "match[].hosts");
    add(limits, "match[].paths", json!({"maxItems": 1024, "x-kubernetes-list-type": "atomic"}));
    exactly_one(limits, "match[].paths[]", &["exact", "prefix"]);
    for field in ["exact", "prefix"] {
        let at = format!("match[].paths[].{field}");
        add(limits, &at, json!({"maxLength": 1024}));
        rule(limits, &at, "self.startsWith('/')", "a path begins with `/`");
    }
    add(limits, "match[].methods", json!({"maxItems": 32, "x-kubernetes-list-type": "set"}));
    text(limits, "match[].methods[]", METHOD, 32);
    evidence(limits);
    text(limits, "trustRef.name", NAME, 253);
    text(limits, "trustRef.namespace", NAMESPACE, 63);
    mapping(limits);
    for header in ["user", "groups", "uid"] {
        text(limits, &format!("response.headers.{header}"), HEADER, 128);
    }
    add(limits, "response.headers.extra", json!({"maxProperties": 32}));
    text(limits, "response.headers.extra{}", HEADER, 128);
    for status in ["status", "missingCertificateStatus"] {
        add(limits, &format!("response.denial.{status}"), json!({"minimum": 400, "maximum": 599}));
    }
}

fn evidence(limits: &mut Limits) {
    add(limits, "evidence", json!({"minItems": 1, "maxItems": MAX_EVIDENCE, "x-kubernetes-list-type": "atomic"}));
    exactly_one(limits, "evidence[]", &["peerCertificate", "xfcc", "header"]);
    add(limits, "evidence[].xfcc.element", json!({"minimum": 1, "maximum": 32}));
    add(limits, "evidence[].xfcc.by", json!({"minLength": 1}));
    for header in ["name", "chainName"] {
        text(limits, &format!("evidence[].header.{header}"), HEADER, 128);
    }
    rule(
        limits,
        "evidence[].header",
        "self.format != 'HAProxy' || has(self.name)",
        "format HAProxy has no usual header: give its name",
    );
    rule(
        limits,
        "evidence[].header",
        "!has(self.chainName) || self.format in ['RFC9440', 'HAProxy']",
        "chainName goes with the formats RFC9440 and HAProxy only",
    );
}

fn mapping(limits: &mut Limits) {
    rule(
        limits,
        "mapping",
        "has(self.oneToOne) || has(self.selector) || has(self.rules)",
        "nothing is mapped: give oneToOne, selector or rules, or leave mapping out",
    );
    label_selector(limits, "mapping.selector");
    add(limits, "mapping.oneToOne", json!({"maxItems": MAX_ONE_TO_ONE, "x-kubernetes-list-type": "atomic"}));
    certificate_name(limits, "mapping.oneToOne[].certificate");
    identity(limits, "mapping.oneToOne[].identity");
    // Atomic, because the first rule that matches decides: two owners' lists must not be merged in silence.
    add(limits, "mapping.rules", json!({"maxItems": MAX_RULES, "x-kubernetes-list-type": "atomic"}));
    text(limits, "mapping.rules[].name", HEADER_TEXT, MAX_TEXT);
    rule(
        limits,
        "mapping.rules[]",
        "has(self.identity) == (self.action == 'Allow')",
        "a rule that allows needs an identity, and one that denies has none",
    );
    identity(limits, "mapping.rules[].identity");
    let parts = "mapping.rules[].where";
    add(limits, parts, json!({"minItems": 1, "maxItems": MAX_RULE_PARTS, "x-kubernetes-list-type": "atomic"}));
    rule(
        limits,
        &format!("{parts}[]"),
        "has(self.attribute) == (self.field in ['Subject', 'Issuer'])",
        "the fields Subject and Issuer need an attribute, and no other has one",
    );
    add(limits, &format!("{parts}[].attribute"), json!({"minLength": 1, "maxLength": 256}));
}

/// The forms of a certificate's name.
const NAME_FORMS: [&str; 9] =
    ["sha256", "inline", "issuerSerial", "publicKeySha256", "uri", "userPrincipalName", "dns", "email", "subject"];

fn certificate_name(limits: &mut Limits, at: &str) {
    exactly_one(limits, at, &NAME_FORMS);
    rule(
        limits,
        &format!("{at}.issuerSerial"),
        "!has(self.issuerSha256) || !has(self.issuerPublicKeySha256)",
        "want at most one of issuerSha256, issuerPublicKeySha256",
    );
    for form in ["sha256", "publicKeySha256", "issuerSerial.issuerSha256", "issuerSerial.issuerPublicKeySha256"] {
        hash(limits, &format!("{at}.{form}"));
    }
    text(limits, &format!("{at}.inline"), PEM, 65536);
    text(limits, &format!("{at}.issuerSerial.serialNumber"), SERIAL_NUMBER, 128);
    text(limits, &format!("{at}.uri"), URI, MAX_TEXT);
    for form in ["userPrincipalName", "dns", "email", "subject", "issuerSerial.issuer"] {
        add(limits, &format!("{at}.{form}"), json!({"minLength": 1}));
    }
}

fn identity(limits: &mut Limits, at: &str) {
    text(limits, &format!("{at}.user"), HEADER_TEXT, MAX_IDENTITY_TEXT);
    text(limits, &format!("{at}.uid"), HEADER_TEXT, MAX_IDENTITY_TEXT);
    add(limits, &format!("{at}.groups"), json!({"maxItems": 256, "x-kubernetes-list-type": "set"}));
    text(limits, &format!("{at}.groups[]"), LISTED_TEXT, MAX_IDENTITY_TEXT);
    add(limits, &format!("{at}.extra{{}}"), json!({"minItems": 1, "x-kubernetes-list-type": "set"}));
    text(limits, &format!("{at}.extra{{}}[]"), LISTED_TEXT, MAX_IDENTITY_TEXT);
}

fn hash(limits: &mut Limits, at: &str) {
    text(limits, at, SHA256, 95);
}

fn label_selector(limits: &mut Limits, at: &str) {
    add(limits, &format!("{at}.matchLabels"), json!({"maxProperties": GENERAL_ITEMS}));
    // RFC 1123 and the conventions of labels: 63 characters.
    add(limits, &format!("{at}.matchLabels{{}}"), json!({"maxLength": 63}));
}

fn exactly_one(limits: &mut Limits, at: &str, fields: &[&str]) {
    let given: Vec<_> = fields.iter().map(|field| format!("has(self.{field})")).collect();
    let message = format!("want exactly one of {}", fields.join(", "));
    rule(limits, at, &format!("[{}].exists_one(given, given)", given.join(", ")), &message);
}

fn rule(limits: &mut Limits, at: &str, rule: &str, message: &str) {
    add(limits, at, json!({"x-kubernetes-validations": [{"rule": rule, "message": message}]}));
}

fn add(limits: &mut Limits, at: &str, value: Value) {
    limits.push((at.to_owned(), value));
}

/// Adds `limits` to `schema`, the general bounds where there are none, and turns the rest into the structural form.
///
/// # Panics
/// When a limit names a field that the schema does not have: the table is stale.
pub fn apply(schema: &mut Value, limits: &Limits) {
    for (path, addition) in limits {
        let target = find(schema, path).unwrap_or_else(|| panic!("the schema has no field {path}"));
        merge(target, addition);
    }
    complete(schema, 1);
}

/// The schema of the field at `path`.
fn find<'a>(schema: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    let mut at = schema;
    for step in path.split('.') {
        let name = step.split(['[', '{']).next().unwrap_or(step);
        at = at.get_mut("properties")?.get_mut(name)?;
        let mut rest = step.get(name.len()..)?;
        while !rest.is_empty() {
            (at, rest) = match (rest.strip_prefix("[]"), rest.strip_prefix("{}")) {
                (Some(rest), _) => (at.get_mut("items")?, rest),
                (_, Some(rest)) => (at.get_mut("additionalProperties")?, rest),
                _ => return None,
            };
        }
    }
    Some(at)
}

/// Adds the keys of `addition`; rules are collected.
fn merge(target: &mut Value, addition: &Value) {
    let (Value::Object(target), Value::Object(addition)) = (target, addition) else { return };
    for (key, value) in addition {
        match (target.get_mut(key), value) {
            (Some(Value::Array(present)), Value::Array(more)) if key == "x-kubernetes-validations" => {
                present.extend(more.iter().cloned());
            }
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}

/// General bounds, and no `additionalProperties: false`: the API server prunes or refuses unknown fields by itself. There may
/// be so many `entries` of the schema in one object.
fn complete(schema: &mut Value, entries: u64) {
    let Value::Object(object) = schema else { return };
    if object.get("additionalProperties") == Some(&Value::Bool(false)) {
        object.remove("additionalProperties");
    }
    let bound = |object: &mut serde_json::Map<String, Value>, key: &str, most: usize| {
        if !object.contains_key(key) {
            object.insert(key.to_owned(), Value::from(most));
        }
    };
    match object.get("type").and_then(Value::as_str) {
        Some("string") if !object.contains_key("enum") && !object.contains_key("format") => {
            bound(object, "maxLength", MAX_TEXT);
        }
        Some("integer") => {
            object.insert("format".to_owned(), Value::from("int64"));
        }
        Some("array") => {
            bound(object, "maxItems", GENERAL_ITEMS);
            if !object.contains_key("x-kubernetes-list-type") {
                object.insert("x-kubernetes-list-type".to_owned(), Value::from("atomic"));
            }
        }
        Some("object") if object.contains_key("additionalProperties") => {
            bound(object, "maxProperties", GENERAL_ITEMS);
        }
        _ => {}
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(|inner| complete(inner, entries));
    }
    texts::settle(object, entries);
    for (inner, most) in [("items", "maxItems"), ("additionalProperties", "maxProperties")] {
        let most = object.get(most).and_then(Value::as_u64).unwrap_or(1);
        if let Some(inner) = object.get_mut(inner) {
            complete(inner, entries.saturating_mul(most));
        }
    }
}
