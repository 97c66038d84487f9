//! x509-limbo, each case by its own usage: most of its certificates are a server's, some a client's.
//!
//! The suite also judges what is not a path's: whether a server has the name that a client wanted, and what the
//! CA/Browser Forum asks of certificates of the public web.

use super::whole::run;

const NAME: &str = "the wanted host name is the caller's to compare";
const ANCHOR: &str =
    "RFC 5280 6.1.1 (d): a trust anchor is a name and a key; the rest of its certificate is not checked";
const ISSUER: &str = "RFC 5280 4.2.1: what CAs are to write, and 6.1 does not check";
const FORUM: &str = "a rule of the CA/Browser Forum for the public web, and none of RFC 5280 section 6.1";
const HOST: &str = "the syntax of a dNSName is checked where it is compared";
const PERIOD: &str = "a constraint with a leading period holds the names below it, as in OpenSSL, Go and webpki";
const COUNT: &str = "max_path_length counts self-issued intermediates too";

#[rustfmt::skip]
const DIVERGENCES: &[(&str, &str)] = &[
    ("pathlen::max-chain-depth-1-self-issued", COUNT),
    ("rfc5280::aki::critical-aki", ANCHOR),
    ("rfc5280::aki::cross-signed-root-missing-aki", ANCHOR),
    ("rfc5280::aki::intermediate-missing-aki", ISSUER),
    ("rfc5280::aki::leaf-missing-aki", ISSUER),
    ("rfc5280::ca-as-leaf-wrong-san", NAME),
    ("rfc5280::nc::invalid-dnsname-leading-period", PERIOD),
    ("rfc5280::nc::permitted-dns-match-noncritical", ISSUER),
    ("rfc5280::pc::ica-noncritical-pc", ISSUER),
    ("rfc5280::root-missing-basic-constraints", ANCHOR),
    ("rfc5280::root-non-critical-basic-constraints", ANCHOR),
    ("rfc5280::san::ip-in-dns", HOST),
    ("rfc5280::san::underscore-dns", HOST),
    ("rfc5280::ski::critical-ski", ANCHOR),
    ("rfc5280::ski::intermediate-missing-ski", ISSUER),
    ("rfc5280::ski::root-missing-ski", ANCHOR),
    ("rfc5280::unknown-critical-extension-root", ANCHOR),
    ("rfc5280::validity::expired-root", ANCHOR),
    ("webpki::aki::root-with-aki-all-fields", ANCHOR),
    ("webpki::aki::root-with-aki-missing-keyidentifier", ANCHOR),
    ("webpki::aki::root-with-aki-ski-mismatch", ANCHOR),
    ("webpki::ca-as-leaf", FORUM),
    ("webpki::cn::case-mismatch", FORUM),
    ("webpki::cn::ipv4-hex-mismatch", FORUM),
    ("webpki::cn::ipv4-leading-zeros-mismatch", FORUM),
    ("webpki::cn::ipv6-non-rfc5952-mismatch", FORUM),
    ("webpki::cn::ipv6-uncompressed-mismatch", FORUM),
    ("webpki::cn::ipv6-uppercase-mismatch", FORUM),
    ("webpki::cn::not-in-san", FORUM),
    ("webpki::cn::punycode-not-in-san", FORUM),
    ("webpki::cn::utf8-vs-punycode-mismatch", FORUM),
    ("webpki::ee-basicconstraints-ca", FORUM),
    ("webpki::eku::ee-anyeku", FORUM),
    ("webpki::eku::ee-critical-eku", FORUM),
    ("webpki::eku::ee-without-eku", FORUM),
    ("webpki::eku::root-has-eku", ANCHOR),
    ("webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf", FORUM),
    ("webpki::forbidden-rsa-not-divisible-by-8-in-root", ANCHOR),
    ("webpki::san::mismatch-apex-subdomain-san", NAME),
    ("webpki::san::mismatch-domain-san", NAME),
    ("webpki::san::mismatch-subdomain-apex-san", NAME),
    ("webpki::san::mismatch-subdomain-san", NAME),
    ("webpki::san::no-san", FORUM),
    ("webpki::san::public-suffix-multi-label-wildcard-san", FORUM),
    ("webpki::san::public-suffix-private-namespace-wildcard-san", FORUM),
    ("webpki::san::public-suffix-wildcard-san", FORUM),
    ("webpki::san::san-critical-with-nonempty-subject", FORUM),
    ("webpki::san::san-wildcard-only", NAME),
    ("webpki::san::wildcard-embedded-leftmost-san", NAME),
    ("webpki::san::wildcard-embedded-ulabel-san", NAME),
    ("webpki::san::wildcard-match-across-labels-san", NAME),
    ("webpki::san::wildcard-not-in-leftmost-san", NAME),
];

#[test]
fn x509_limbo() {
    run("limbo.jsonl", 208, |_| {}, DIVERGENCES);
}
