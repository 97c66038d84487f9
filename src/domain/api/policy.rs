//! `CertificatePolicy`: which requests, on what evidence, who is allowed as whom, and what is answered.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LabelSelector;
use super::mapping::{CertificateName, IdentitySpec, MappingState};

/// Which requests the policy decides, where their certificate is found, what validates it, who is allowed and as whom,
/// and what is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificatePolicySpec {
    /// The requests that the policy decides: any of these. Omitted or empty: only requests whose route names the policy
    /// (context extension certgate.dev/policy).
    #[serde(default, rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<RequestMatch>,
    /// Enforce (default): a denial denies. Audit: a denial is recorded, and the request passes without an identity.
    #[serde(default)]
    pub mode: ModeSpec,
    /// Where the client certificate is looked for, in order; the first source that is present decides. Default: the
    /// certificate that the proxy reports for its peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Vec<EvidenceSpec>>,
    /// The trust profile that validates the certificate.
    pub trust_ref: TrustRef,
    /// Required (default): a request without a certificate is denied. Optional: it passes without an identity; a
    /// certificate that is presented must still be valid and mapped.
    #[serde(default)]
    pub certificate: CertificateRequirement,
    /// Who is allowed, and as whom. Omitted: every valid certificate, as its own subject; one with an empty subject as
    /// its only URI, else its first DNS name, else its first e-mail address, when that is a URI with a scheme, a host
    /// name, or an address without `=`, `:` and quotes before the `@`, and so cannot be taken for a subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<MappingSpec>,
    /// What the upstream and the client are told.
    #[serde(default)]
    pub response: ResponseSpec,
}

/// Requests by host, path and method. A request matches when each list that is not empty holds a match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestMatch {
    /// Host names: `api.example.com`, or `*.example.com` for all names below it. Empty: any host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Paths. Empty: any path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathMatch>,
    /// Methods, case-sensitive. GET stands for HEAD too, unless a policy of the same host and path names HEAD. Empty: any
    /// method.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
}

/// A path, without the query; exactly one of exact and prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PathMatch {
    /// The path is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// The path is this one or lies below it; whole segments are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Ambiguous (default): a request whose path is another spelling of this one, and would therefore come to another
    /// policy, is refused with PATH_AMBIGUOUS. Spellings differ in case, dots or blanks at the end of a segment, blanks at
    /// its beginning, one blank (or `+`) for another, a slash at the end, what follows a colon, compatibility forms of
    /// Unicode (NFKC), or characters that show nothing. Paths of two policies that differ in a plain suffix behind a colon,
    /// such as /items and /items:export, are two paths. Sensitive: the upstream tells all of these apart, so they are other
    /// paths.
    #[serde(default)]
    pub case: PathCase,
}

/// Whether another spelling of a path is another path to the upstream.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum PathCase {
    /// It may be the same one.
    #[default]
    Ambiguous,
    /// It is another one.
    Sensitive,
}

/// Whether a policy's denials bind.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ModeSpec {
    /// A denial denies.
    #[default]
    Enforce,
    /// A denial is recorded, and the request passes without an identity.
    Audit,
}

/// A place where a proxy puts the client certificate; exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvidenceSpec {
    /// The peer certificate in the proxy's own report (Envoy: include_peer_certificate).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_certificate: Option<PeerCertificateEvidence>,
    /// The x-forwarded-client-cert header. Trust it only where the proxy replaces what clients send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xfcc: Option<XfccEvidence>,
    /// A header of another proxy. Trust it only where that proxy replaces what clients send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderEvidence>,
}

/// The peer certificate in the proxy's own report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerCertificateEvidence {
    /// Where the certificates that the client sent along are taken from; they only help to build a path.
    #[serde(default)]
    pub chain_from: ChainFrom,
}

/// Where a peer certificate's chain is taken from.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChainFrom {
    /// Nowhere.
    #[default]
    None,
    /// The Chain of the x-forwarded-client-cert element whose Hash is that of the peer certificate.
    Xfcc,
}

/// Which element of the x-forwarded-client-cert header counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct XfccEvidence {
    /// The element, counted from the right: 1 is what the nearest proxy wrote.
    pub element: i64,
    /// The URI that the element's By must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A header that carries a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderEvidence {
    /// How the header is written.
    pub format: HeaderFormat,
    /// The header's name. Default: what the format's proxy calls it; HAProxy has no such default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The header with further certificates, for the formats RFC9440 and HAProxy. Omitted: none is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_name: Option<String>,
}

/// How a certificate is written into a header.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HeaderFormat {
    /// RFC 9440: base64 DER between colons (Client-Cert, Client-Cert-Chain).
    #[serde(rename = "RFC9440")]
    Rfc9440,
    /// nginx and ingress-nginx: URL-encoded PEM (ssl-client-cert).
    Nginx,
    /// Traefik: base64 DER without armour, the chain after commas (X-Forwarded-Tls-Client-Cert).
    Traefik,
    /// HAProxy: base64 DER.
    #[serde(rename = "HAProxy")]
    HaProxy,
    /// AWS ALB: URL-encoded PEM with `+`, `=` and `/` left raw (X-Amzn-Mtls-Clientcert).
    #[serde(rename = "ALB")]
    Alb,
}

/// A trust profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustRef {
    /// The profile's name.
    pub name: String,
    /// The profile's namespace. Default: the policy's. Another one must permit it (allowedNamespaces).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Whether a request must carry a certificate.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CertificateRequirement {
    /// A request without a certificate is denied.
    #[default]
    Required,
    /// A request without a certificate passes without an identity.
    Optional,
}

/// Who is allowed, and as whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MappingSpec {
    /// SpecificFirst (default): oneToOne entries and CertificateMapping objects beat the rules. DenyFirst: a Deny rule
    /// that matches beats everything.
    #[serde(default)]
    pub precedence: Precedence,
    /// Single certificates, each with its identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_to_one: Vec<OneToOne>,
    /// CertificateMapping objects of the policy's namespace, by their labels. Omitted: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Rules in order: the first that matches decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

/// What is looked at first.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Precedence {
    /// Single certificates beat rules.
    #[default]
    SpecificFirst,
    /// A Deny rule that matches beats everything.
    DenyFirst,
}

/// One certificate and its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OneToOne {
    /// The certificate, in any of the forms.
    pub certificate: CertificateName,
    /// Who the certificate stands for.
    pub identity: IdentitySpec,
    /// Enabled (default), or Disabled: the certificate is denied with ACCOUNT_DISABLED.
    #[serde(default)]
    pub state: MappingState,
}

/// A rule over the names in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The rule's name, for logs and explain.
    pub name: String,
    /// Allow or Deny the certificates that the rule matches.
    pub action: RuleAction,
    /// What the certificate must have: all of these.
    #[serde(rename = "where")]
    pub parts: Vec<RulePart>,
    /// Who a matching certificate stands for; with Allow only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentitySpec>,
    /// Enabled (default), or Disabled: the rule is passed over.
    #[serde(default)]
    pub state: MappingState,
}

/// What a rule does with a certificate that it matches.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RuleAction {
    /// The certificate is allowed, as the rule's identity.
    Allow,
    /// The certificate is denied; later rules are not asked.
    Deny,
}

/// A test of one name in the certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RulePart {
    /// Which names are tested.
    pub field: RuleField,
    /// The attribute of a Subject or Issuer: a short name such as CN, OU, O, or a dotted object identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The value, compared as a whole. `*` stands for any characters, `\*` for an asterisk, `\\` for a backslash.
    /// A name that is missing never matches. In attributes of a Subject or Issuer blanks at the ends do not count, and
    /// several of them count as one. In a rule that denies, characters that nobody sees do not count either, nor
    /// differences of Unicode's compatibility forms (NFKC); and a name that cannot be compared matches.
    pub value: String,
    /// Sensitive (default) or Insensitive to upper and lower case. DNS and user principal names have no case, so there
    /// it makes no difference; nor have the scheme and host of a URI and the domain of an e-mail address.
    #[serde(default)]
    pub case: Case,
    /// Any (default): where a name has several values, one that matches is enough. Every: all of them must match, and
    /// there must be one.
    #[serde(default)]
    pub values: Values,
}

/// How many of several values must match.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Values {
    /// One.
    #[default]
    Any,
    /// All of them.
    Every,
}

/// A kind of name in a certificate.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RuleField {
    /// An attribute of the subject.
    Subject,
    /// An attribute of the issuer.
    Issuer,
    /// A subject alternative name of type URI.
    #[serde(rename = "URI")]
    Uri,
    /// A subject alternative name of type DNS.
    #[serde(rename = "DNS")]
    Dns,
    /// A subject alternative name of type e-mail.
    Email,
    /// A subject alternative name that is a user principal name.
    UserPrincipalName,
}

/// Whether upper and lower case differ.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Case {
    /// They differ.
    #[default]
    Sensitive,
    /// They do not.
    Insensitive,
}

/// What the upstream and the client are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResponseSpec {
    /// The request headers that carry the identity to the upstream.
    #[serde(default)]
    pub headers: ResponseHeaders,
    /// How much of a decision Envoy gets as dynamic metadata, for access logs and later filters: None, Summary (default)
    /// or Full.
    #[serde(default)]
    pub metadata: MetadataSpec,
    /// How a denied client is answered.
    #[serde(default)]
    pub denial: DenialSpec,
}

/// How much of a decision Envoy gets as dynamic metadata.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MetadataSpec {
    /// Nothing.
    None,
    /// What access logs show: the policy, the reason of a denial, the user and the groups, the certificate's SHA-256.
    #[default]
    Summary,
    /// Also mode and verdict, the rest of the identity, and the certificate's names and serial number.
    Full,
}

/// The request headers that carry the identity to the upstream. Copies that a client sends are removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResponseHeaders {
    /// The header for the user. Default: x-certgate-user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The header for the groups, joined by commas. Default: x-certgate-groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<String>,
    /// The header for the uid. Omitted: the uid is not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Headers for extra attributes: key of the identity's extra, and header name. Attributes not named are not sent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, String>,
}

/// How a denied client is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DenialSpec {
    /// The HTTP status of a denial, 400 to 599. Default: 403. Failures of certgate's own surroundings stay 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// The HTTP status when a required certificate is missing, 400 to 599. Default: that of other denials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_certificate_status: Option<i64>,
    /// What the client learns: Nothing (default) or the Reason code.
    #[serde(default)]
    pub reveal: RevealSpec,
}

/// How much of a denial the client sees.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RevealSpec {
    /// The status alone.
    #[default]
    Nothing,
    /// The status and the reason code.
    Reason,
}
