//! `TrustProfile`: how a client certificate is validated.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LabelSelector;

/// How a client certificate is validated: what it must chain to, and what narrows that trust.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustProfileSpec {
    /// Chain (default): a valid path to a trust anchor. Peer: the very certificate is listed in trustedPeers; only its
    /// dates and the disallowed list are checked besides. PeerOrChain: either of the two.
    #[serde(default)]
    pub mode: TrustModeSpec,
    /// Where the trust anchors come from. The sources are a union; a certificate that occurs twice counts once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust_anchors: Vec<TrustSource>,
    /// Whether a trust anchor must be a CA's certificate. Enforce (default): one of version 3 whose basicConstraints has
    /// no cA, or whose keyUsage has no keyCertSign, is a bad certificate (see onBadCertificate). Ignore: any certificate
    /// may be an anchor, and whoever has its key can issue every identity; it is reported as a warning for as long as it
    /// stands here.
    #[serde(default)]
    pub anchor_extensions: AnchorExtensionsSpec,
    /// CA certificates that help to build a path. They lend no trust.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intermediates: Vec<TrustSource>,
    /// The client certificates that modes Peer and PeerOrChain accept as they are, byte for byte; or the keys for which
    /// they accept any certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_peers: Vec<PeerSource>,
    /// The CAs that may issue client certificates: the certificate right above the client's on the path must be listed.
    /// Listing a higher CA does not count. Omitted: any CA of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuing_authorities: Option<Vec<CertificateHash>>,
    /// CA certificates of which the path must hold at least one. It only narrows what the anchors trust. Omitted: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_list: Option<Vec<CertificateHash>>,
    /// Certificates and keys that are refused wherever they stand on the path, in every mode; nor do they sign CRLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disallowed: Vec<DisallowedHash>,
    /// What the certificates of a path must fulfil besides.
    #[serde(default)]
    pub requirements: RequirementsSpec,
    /// How it is checked whether certificates of the path have been revoked. Omitted: it is not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<RevocationSpec>,
    /// The namespaces whose policies may refer to this profile.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
}

/// The validation mode of a trust profile.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrustModeSpec {
    /// A valid path to a trust anchor.
    #[default]
    Chain,
    /// Byte identity with a trusted peer.
    Peer,
    /// Either of the two.
    PeerOrChain,
}

/// A place that holds certificates in PEM; exactly one of the fields besides onBadCertificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustSource {
    /// A key of a ConfigMap in the profile's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<KeyRef>,
    /// A key of a Secret in the profile's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<KeyRef>,
    /// A ClusterTrustBundle, or all of one signer that carry given labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_trust_bundle: Option<BundleRef>,
    /// The PEM itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<String>,
    /// The path of a PEM file that certgate can read. A relative path starts at the policy directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What a certificate does to the others of the source that is malformed, or that is no CA's where a trust anchor is
    /// wanted. Refuse: none of them counts, as where the text is no PEM; an inline source is an error then, any other
    /// keeps its last good content. Skip: the others count, and the status tells. Default: Refuse for inline, else Skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_bad_certificate: Option<OnBadCertificateSpec>,
}

/// What a certificate that cannot be used does to the others of its source.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum OnBadCertificateSpec {
    /// It alone does not count.
    Skip,
    /// None of them counts.
    Refuse,
}

/// Whether the extensions of a trust anchor must let it be one.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AnchorExtensionsSpec {
    /// They must.
    #[default]
    Enforce,
    /// They are not looked at.
    Ignore,
}

/// A place that holds certificates of peers in PEM, or a peer's key; exactly one of the fields besides onBadCertificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerSource {
    /// SHA-256 of the DER SubjectPublicKeyInfo: any certificate for this key, within its dates. The names in it are its
    /// holder's word, so it is mapped by publicKeySha256, sha256 or inline alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_sha256: Option<String>,
    /// A key of a ConfigMap in the profile's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<KeyRef>,
    /// A key of a Secret in the profile's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<KeyRef>,
    /// A ClusterTrustBundle, or all of one signer that carry given labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_trust_bundle: Option<BundleRef>,
    /// The PEM itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<String>,
    /// The path of a PEM file that certgate can read. A relative path starts at the policy directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What a malformed certificate does to the others of the source, as in trustAnchors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_bad_certificate: Option<OnBadCertificateSpec>,
}

impl PeerSource {
    /// The place that holds certificates; no field of it is given when a key is.
    pub fn source(&self) -> TrustSource {
        TrustSource {
            config_map: self.config_map.clone(),
            secret: self.secret.clone(),
            cluster_trust_bundle: self.cluster_trust_bundle.clone(),
            inline: self.inline.clone(),
            file: self.file.clone(),
            on_bad_certificate: self.on_bad_certificate,
        }
    }
}

/// A key of a ConfigMap or Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRef {
    /// The object's name.
    pub name: String,
    /// The key within its data. Default: ca.crt.
    #[serde(default = "default_key")]
    pub key: String,
}

fn default_key() -> String {
    "ca.crt".to_owned()
}

/// ClusterTrustBundles: one by name, or those of a signer, as in Kubernetes' projected volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleRef {
    /// The object's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In place of a name: every bundle of this signer that the labelSelector selects. They are a union.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer_name: Option<String>,
    /// The labels of the signer's bundles; given with signerName, and only then. `{}` selects all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,
}

/// A certificate, named by its fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateHash {
    /// SHA-256 of the certificate's DER, 64 hexadecimal digits; colons and upper case are accepted.
    pub sha256: String,
}

/// A certificate or key that is refused, named by its fingerprint; exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DisallowedHash {
    /// SHA-256 of the certificate's DER, 64 hexadecimal digits; colons and upper case are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// SHA-256 of the DER SubjectPublicKeyInfo: every certificate for this key, in whichever encoding of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_sha256: Option<String>,
}

/// What the certificates of a path must fulfil besides a valid path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequirementsSpec {
    /// How the extended key usage of the client certificate must permit clientAuth. A CA above it that has the extension
    /// must list clientAuth or anyExtendedKeyUsage in any case. Default: Listed.
    #[serde(default)]
    pub extended_key_usage: ExtendedKeyUsageSpec,
    /// The smallest RSA modulus, in bits, that any certificate of the path, or signer of a CRL, may have. Default: 2048.
    /// From 1024 to 2047 only with `weakCryptography: [AcceptRsaBelow2048]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_rsa_bits: Option<i64>,
    /// The smallest elliptic curve that an ECDSA key of the path, or of a signer of a CRL, may use. Ed25519 counts as
    /// P256. Default: P256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_ecdsa_curve: Option<EcdsaCurveSpec>,
    /// The algorithms of the signatures that count, of certificates below the trust anchor and of CRLs. Those with SHA-1
    /// only with `weakCryptography: [AcceptSha1Signatures]`. Omitted: every algorithm listed here but those with SHA-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_signature_algorithms: Option<Vec<SignatureAlgorithmSpec>>,
    /// Lowers the bar below what is considered secure, for this profile, for certificates and CRLs alike. Each word is
    /// reported as a warning for as long as it stands here. AcceptSha1Signatures: signatures with SHA-1 count; whoever
    /// can have a CA sign something of their choice can forge them. AcceptRsaBelow2048: minimumRsaBits may be less than
    /// 2048; such keys can be broken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weak_cryptography: Vec<WeakCryptographySpec>,
    /// The certificate policies (RFC 5280 section 4.2.1.4) that a path must be valid for. Omitted: none is asked for, and
    /// what the CAs of the path ask for counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_policies: Option<CertificatePoliciesSpec>,
    /// The largest number of CA certificates, self-issued ones included, between the client certificate and the trust
    /// anchor. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_path_length: Option<i64>,
}

/// The inputs of RFC 5280 section 6.1.1 (c), (e), (f) and (g).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificatePoliciesSpec {
    /// The policies that count, as dotted object identifiers in the policy domain of the trust anchor
    /// (user-initial-policy-set). Omitted: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_policy_set: Option<Vec<String>>,
    /// Whether a path must be valid for at least one of the policies that count (initial-explicit-policy). Required: it
    /// must. NotRequired: only where a CA of the path asks for it. Default: Required with an initialPolicySet, else
    /// NotRequired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explicit_policy: Option<ExplicitPolicySpec>,
    /// Whether CAs of the path may map policies to those of another domain (initial-policy-mapping-inhibit).
    #[serde(default)]
    pub policy_mapping: PermissionSpec,
    /// Whether anyPolicy in a certificate stands for every policy (initial-any-policy-inhibit).
    #[serde(default)]
    pub any_policy: PermissionSpec,
}

/// Whether a path must be valid for a policy.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExplicitPolicySpec {
    /// It must.
    Required,
    /// It must where a CA asks for it.
    NotRequired,
}

/// Whether certificates may make use of a feature.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PermissionSpec {
    /// They may, unless a CA of the path forbids it.
    #[default]
    Permitted,
    /// They may not.
    Inhibited,
}

/// An elliptic curve of ECDSA keys.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the curves")]
pub enum EcdsaCurveSpec {
    P256,
    P384,
    P521,
}

/// A signature algorithm.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the algorithms")]
pub enum SignatureAlgorithmSpec {
    RsaPkcs1Sha1,
    RsaPkcs1Sha256,
    RsaPkcs1Sha384,
    RsaPkcs1Sha512,
    RsaPssSha256,
    RsaPssSha384,
    RsaPssSha512,
    EcdsaSha1,
    EcdsaSha256,
    EcdsaSha384,
    EcdsaSha512,
    Ed25519,
}

/// Cryptography that is not considered secure any more.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WeakCryptographySpec {
    /// Signatures with SHA-1 count.
    AcceptSha1Signatures,
    /// `minimumRsaBits` may be less than 2048.
    AcceptRsaBelow2048,
}

/// What counts as permission to authenticate clients.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExtendedKeyUsageSpec {
    /// The client certificate lists clientAuth.
    #[default]
    Listed,
    /// The client certificate lists clientAuth, or has no such extension.
    Permitted,
    /// The client certificate lists clientAuth or anyExtendedKeyUsage, or has no such extension.
    PermittedOrAny,
}

/// How revocation is checked. A listed peer (modes Peer and PeerOrChain) has no path, so it is not checked for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevocationSpec {
    /// Offline: by the CRLs listed here. NoCheck: not at all, which is also what leaving `revocation` out means.
    pub mode: RevocationModeSpec,
    /// Which certificates of the path are checked. EndEntity: the client's alone. ExcludeRoot (default): every one below
    /// the trust anchor. EntireChain: the trust anchor too, by a CRL of its own.
    #[serde(default)]
    pub scope: RevocationScopeSpec,
    /// What follows when nothing current speaks about a certificate. Deny (default), or Allow. A certificate that is
    /// listed as revoked is denied in any case.
    #[serde(default)]
    pub on_unknown: OnUnknownSpec,
    /// The greatest age of a CRL, counted from its thisUpdate, such as 24h; its nextUpdate counts besides. Omitted:
    /// nextUpdate alone decides, and 168h where a CRL has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    /// How far the clocks of CRL issuers and this machine may differ, up to 24h. Default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew: Option<String>,
    /// Where the CRLs come from, complete and delta. The sources are a union; their order means nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crls: Vec<CrlSource>,
}

/// Whether revocation is checked.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RevocationModeSpec {
    /// By the CRLs at hand.
    Offline,
    /// Not at all.
    NoCheck,
}

/// Which certificates of a path are checked for revocation.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RevocationScopeSpec {
    /// The client's certificate.
    EndEntity,
    /// Every certificate below the trust anchor.
    #[default]
    ExcludeRoot,
    /// The trust anchor too.
    EntireChain,
}

/// What follows when it is not known whether a certificate has been revoked.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnUnknownSpec {
    /// The path is refused.
    #[default]
    Deny,
    /// The path passes.
    Allow,
}

/// A place that holds CRLs, as any number of PEM blocks (`X509 CRL`) or one in DER; exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CrlSource {
    /// A key of a ConfigMap in the profile's namespace; DER stands in its binaryData.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<CrlKeyRef>,
    /// A key of a Secret in the profile's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<CrlKeyRef>,
    /// The PEM itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<String>,
    /// The path of a file that certgate can read. A relative path starts at the policy directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// A key of a ConfigMap or Secret that holds CRLs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CrlKeyRef {
    /// The object's name.
    pub name: String,
    /// The key within its data. Default: ca.crl.
    #[serde(default = "default_crl_key")]
    pub key: String,
}

fn default_crl_key() -> String {
    "ca.crl".to_owned()
}

/// The namespaces whose policies may refer to a trust profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedNamespaces {
    /// Same (default): the profile's own. All: every one. Selector: those whose labels the selector matches.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// The labels of permitted namespaces; only with `from: Selector`. Every namespace carries the label
    /// kubernetes.io/metadata.name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// How [`AllowedNamespaces`] chooses.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// The profile's own namespace.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// The namespaces that the selector matches.
    Selector,
}
