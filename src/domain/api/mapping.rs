//! `CertificateMapping`: one certificate name and the identity it stands for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One certificate name and the identity it stands for. Policies of the same namespace choose mappings by their labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateMappingSpec {
    /// The name of the certificate.
    pub certificate: CertificateName,
    /// Who the certificate stands for.
    pub identity: IdentitySpec,
    /// Enabled (default), or Disabled: the certificate is denied with ACCOUNT_DISABLED and does not fall through.
    #[serde(default)]
    pub state: MappingState,
}

/// What names a certificate; exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateName {
    /// SHA-256 of the certificate's DER, 64 hexadecimal digits; colons and upper case are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The certificate itself in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<String>,
    /// The issuer and the serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_serial: Option<IssuerSerial>,
    /// SHA-256 of the DER SubjectPublicKeyInfo: any certificate for this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_sha256: Option<String>,
    /// A subject alternative name of type URI, compared byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// A user principal name in the subject alternative names; upper and lower case do not differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_principal_name: Option<String>,
    /// A subject alternative name of type DNS, without wildcards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// A subject alternative name of type e-mail; only the part before the @ is case-sensitive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The whole subject in RFC 4514 form, most specific part first, such as `CN=acme,O=Acme,C=DE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// A certificate's issuer and serial number. The issuer is that of the validated path, and its key must be known by more
/// than its name: by one of the two hashes, or because the trust profile's anchors and intermediates hold exactly one key
/// of this name. Otherwise the certificate is denied with WEAK_MAPPING.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerSerial {
    /// The issuer in RFC 4514 form, most specific part first.
    pub issuer: String,
    /// The serial number in hexadecimal; colons are accepted.
    pub serial_number: String,
    /// SHA-256 of the issuing CA's certificate. Another certificate of that CA, of the same name and key, counts as well
    /// where the named one is in the trust profile or sent along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_sha256: Option<String>,
    /// SHA-256 of the issuing CA's DER SubjectPublicKeyInfo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_public_key_sha256: Option<String>,
}

/// Who a certificate stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentitySpec {
    /// The account's name.
    pub user: String,
    /// The account's groups. A group may not hold a comma.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// An identifier that outlives the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Further attributes: key and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Whether an entry is in force.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MappingState {
    /// It is.
    #[default]
    Enabled,
    /// It is not.
    Disabled,
}
