//! What texts must look like, in words.
//!
//! A pattern of OpenAPI is shown to who breaks it as it is, a rule with its message. So texts have rules, wherever the
//! API server can afford them: it refuses a definition whose rules might cost too much with lists and texts as long as
//! they may be. Where it cannot, a pattern is left, and the webhook has the words.

use serde_json::{Map, Value, json};

use super::{Limits, add, rule};

/// The most that one rule may cost by [`cost`]: the API server's limit is ten million for each rule, and ten times that
/// for all rules of a definition.
const AFFORDABLE: u64 = 7_000_000;

/// The key under which a [`Form`] waits in a schema for the number of entries to be known.
const WAITING: &str = "x-form";

/// What a text must look like.
#[derive(Copy, Clone, Debug)]
pub struct Form {
    pattern: &'static str,
    message: &'static str,
}

/// An object's name (RFC 1123 subdomain).
pub const NAME: Form = Form {
    pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    message: "not the name of an object: want lower-case letters, digits, `-` and dots, with a letter or digit at both ends \
              of each part",
};

/// A namespace's name (RFC 1123 label).
pub const NAMESPACE: Form = Form {
    pattern: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    message: "not the name of a namespace: want lower-case letters, digits and `-`, with a letter or digit at both ends",
};

/// A key of a ConfigMap or Secret.
pub const DATA_KEY: Form = Form {
    pattern: "^[-._a-zA-Z0-9]+$",
    message: "not a key of a ConfigMap or Secret: want letters, digits, `-`, `_` and dots",
};

/// A SHA-256 in hexadecimal, with or without colons.
pub const SHA256: Form = Form {
    pattern: "^[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}$",
    message: "not a SHA-256: want 64 hexadecimal digits, colons allowed between bytes",
};

/// RFC 9110 section 5.6.2.
const TOKEN: &str = "^[-!#$%&'*+.^_`|~0-9A-Za-z]+$";

/// A method (RFC 9110 section 9.1).
pub const METHOD: Form = Form { pattern: TOKEN, message: "not a method: want one, such as GET, without blanks" };

/// A field name (RFC 9110 section 5.1).
pub const HEADER: Form = Form {
    pattern: TOKEN,
    message: "not the name of a header: want letters, digits and `-`, without blanks and colons",
};

/// A text that can travel in a header.
pub const HEADER_TEXT: Form =
    Form { pattern: "^[^[:cntrl:]]+$", message: "empty, or with control characters, which no header carries" };

/// The same for texts that are joined by commas.
pub const LISTED_TEXT: Form = Form {
    pattern: "^[^,[:cntrl:]]+$",
    message: "empty, or with a comma, which separates the values in a header, or with control characters",
};

/// A dotted object identifier.
pub const OID: Form = Form {
    pattern: r"^[0-2](\.(0|[1-9][0-9]*))+$",
    message: "not an object identifier: want numbers and dots, as in 1.3.6.1.4.1.99999.1",
};

/// A signer: a domain, a slash, and a path.
pub const SIGNER: Form = Form {
    pattern: r"^[-0-9A-Za-z]+(\.[-0-9A-Za-z]+)+/[-._/0-9A-Za-z]+$",
    message: "not the name of a signer: want a domain, a slash and a path, as in example.com/roots",
};

/// A serial number in hexadecimal, with or without colons.
pub const SERIAL_NUMBER: Form = Form {
    pattern: "^([0-9A-Fa-f]+|[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*)$",
    message: "not a serial number: want hexadecimal digits, colons allowed between bytes",
};

/// A URI as certificates have it (RFC 5280 section 4.2.1.6).
pub const URI: Form = Form {
    pattern: "^[-+.0-9A-Za-z]+:[!-~]*$",
    message: "not a URI: want a scheme, a colon, and ASCII without blanks behind it, as it stands in the certificate",
};

/// PEM with a certificate.
pub const PEM: Form = Form {
    pattern: "-----BEGIN [0-9A-Z ]*CERTIFICATE-----",
    message: "no certificate in PEM: want -----BEGIN CERTIFICATE-----",
};

/// PEM with a CRL.
pub const CRL_PEM: Form =
    Form { pattern: "-----BEGIN X509 CRL-----", message: "no CRL in PEM: want -----BEGIN X509 CRL-----" };

/// The text at `at` has this form, and at most so many characters.
pub fn text(limits: &mut Limits, at: &str, form: Form, most: usize) {
    add(limits, at, json!({"maxLength": most, WAITING: {"pattern": form.pattern, "message": form.message}}));
}

/// Makes a rule of the form that waits in `schema`, or a pattern where a rule for so many `entries` costs too much.
pub fn settle(schema: &mut Map<String, Value>, entries: u64) {
    let Some(form) = schema.remove(WAITING) else { return };
    let pattern = form["pattern"].as_str().unwrap_or_default();
    let most = schema.get("maxLength").and_then(Value::as_u64).unwrap_or_default();
    if cost(pattern, most).saturating_mul(entries) > AFFORDABLE {
        schema.insert("pattern".to_owned(), Value::from(pattern));
        return;
    }
    let quoted = pattern.replace('\\', r"\\").replace('\'', r"\'");
    let rule = json!({"rule": format!("self.matches('{quoted}')"), "message": form["message"]});
    match schema.get_mut("x-kubernetes-validations") {
        Some(Value::Array(rules)) => rules.push(rule),
        _ => {
            schema.insert("x-kubernetes-validations".to_owned(), json!([rule]));
        }
    }
}

/// What the API server takes `matches` to cost: a tenth for each byte of the text, four of them a character, times a
/// quarter for each of the pattern.
fn cost(pattern: &str, most: u64) -> u64 {
    let text = most.saturating_mul(4).saturating_add(1).div_ceil(10);
    text.saturating_mul((pattern.len() as u64).div_ceil(4))
}

/// The hosts of one entry in `match`: as many as leave the rules affordable.
const MAX_HOSTS: usize = 256;

/// Hosts as [`HostPattern`](crate::domain::decide::selection::host::HostPattern) reads them: a name, `*.` and a name, `*`,
/// or an IPv6 address in brackets. Each mistake has its own words, and each rule one short pattern at most: they are
/// admitted by what they cost for [`MAX_HOSTS`] in each of the entries of `match`.
pub fn hosts(limits: &mut Limits, list: &str) {
    add(limits, list, json!({"maxItems": MAX_HOSTS, "x-kubernetes-list-type": "set"}));
    let at = format!("{list}[]");
    add(limits, &at, json!({"maxLength": 256}));
    let labels = "want a name with labels of 1 to 63 characters between its dots, and of 253 characters in all";
    for (words, message) in [
        (
            "self.startsWith('[') ? self.endsWith(']') || !self.contains(']') : !self.contains(':')",
            "a host has no scheme and no port here: the request's port is ignored",
        ),
        (
            "!self.contains('/') && !self.contains('@')",
            "a host has no path and no user here: write the name alone, and paths in paths",
        ),
        (
            r"self.startsWith('[') || !self.matches('[^-.*/:@\\w]')",
            "a host has ASCII letters, digits, `-`, `_` and dots only: write other names as requests carry them, with \
             labels that begin with `xn--`",
        ),
        (
            "self == '*' || !self.contains('*') || self.startsWith('*.') && self.lastIndexOf('*') == 0",
            "`*` must be the whole first label, as in `*.example.com`, or the whole host",
        ),
        (r"self != '*.' && (self.startsWith('[') || !self.matches('[^.]{64}|^\\.|\\.\\.|^$'))", labels),
        ("self.size() - (self.endsWith('.') ? 1 : 0) - (self.startsWith('*.') ? 2 : 0) <= 253", labels),
        (
            // From `.` to `:` there are digits, and the slash, which has a rule of its own.
            "!self.startsWith('[') || self.matches('^.[.-:A-Fa-f]+](:|$)')",
            "in brackets stands an IPv6 address and nothing else, as in `[2001:db8::1]`",
        ),
        (
            "!self.startsWith('[') || self.contains(':')",
            "in brackets stands an IPv6 address: write an IPv4 address without brackets",
        ),
    ] {
        rule(limits, &at, words, message);
    }
}
