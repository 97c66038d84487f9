//! The forms in which a mapping names a certificate, brought to bytes that are equal exactly when the names are.
//!
//! The same functions make the key of what an operator wrote and the keys of what a certificate holds, so the two
//! cannot come to differ.

use std::borrow::Cow;

use crate::domain::certificate::Certificate;
use crate::domain::fingerprint::Sha256;
use crate::domain::general_name::GeneralName;
use crate::domain::matcher::fold_case;
use crate::domain::name::Name;

/// A way to name a certificate.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Form {
    /// SHA-256 of the certificate's DER.
    Sha256,
    /// Issuer and serial number.
    IssuerSerial,
    /// SHA-256 of the DER SubjectPublicKeyInfo.
    PublicKeySha256,
    /// A URI among the subject alternative names.
    Uri,
    /// A user principal name among them.
    UserPrincipalName,
    /// A DNS name among them.
    Dns,
    /// An e-mail address among them.
    Email,
    /// The subject.
    Subject,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 8] = [
        Self::Sha256,
        Self::IssuerSerial,
        Self::PublicKeySha256,
        Self::Uri,
        Self::UserPrincipalName,
        Self::Dns,
        Self::Email,
        Self::Subject,
    ];

    /// The form as its field is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::IssuerSerial => "issuerSerial",
            Self::PublicKeySha256 => "publicKeySha256",
            Self::Uri => "uri",
            Self::UserPrincipalName => "userPrincipalName",
            Self::Dns => "dns",
            Self::Email => "email",
            Self::Subject => "subject",
        }
    }
}

/// A set of forms.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Forms(u8);

impl Forms {
    /// The set with `form`.
    #[must_use]
    pub const fn with(self, form: Form) -> Self {
        Self(self.0 | (1 << form as u8))
    }

    /// Whether `form` is in the set.
    pub const fn contains(self, form: Form) -> bool {
        self.0 & (1 << form as u8) != 0
    }
}

/// What names a certificate: a form and its canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameKey {
    /// The form.
    pub form: Form,
    /// Equal bytes of equal forms name the same certificates.
    pub bytes: Vec<u8>,
}

impl NameKey {
    /// The certificate with this SHA-256 of its DER.
    pub fn sha256(sha256: Sha256) -> Self {
        Self { form: Form::Sha256, bytes: sha256.as_bytes().to_vec() }
    }

    /// Any certificate for the key with this SHA-256 of its DER SubjectPublicKeyInfo.
    pub fn public_key_sha256(sha256: Sha256) -> Self {
        Self { form: Form::PublicKeySha256, bytes: sha256.as_bytes().to_vec() }
    }

    /// The certificate that `issuer` issued under `serial`, big-endian without leading zero octets.
    pub fn issuer_serial(issuer: &Name, serial: &[u8]) -> Self {
        Self { form: Form::IssuerSerial, bytes: issuer_serial(issuer, serial) }
    }

    /// Certificates with this URI.
    pub fn uri(uri: &str) -> Self {
        Self { form: Form::Uri, bytes: uri.as_bytes().to_vec() }
    }

    /// Certificates with this user principal name.
    pub fn user_principal_name(name: &str) -> Self {
        Self { form: Form::UserPrincipalName, bytes: fold_case(name).as_bytes().to_vec() }
    }

    /// Certificates with this DNS name.
    pub fn dns(name: &str) -> Self {
        Self { form: Form::Dns, bytes: dns(name).as_bytes().to_vec() }
    }

    /// Certificates with this e-mail address.
    pub fn email(address: &str) -> Self {
        Self { form: Form::Email, bytes: email(address).as_bytes().to_vec() }
    }

    /// Certificates with this subject.
    pub fn subject(subject: &Name) -> Self {
        Self { form: Form::Subject, bytes: subject.canonical().to_vec() }
    }
}

/// The issuer's canonical bytes after their length, then the serial number.
fn issuer_serial(issuer: &Name, serial: &[u8]) -> Vec<u8> {
    let issuer = issuer.canonical();
    let length = u32::try_from(issuer.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], issuer, serial].concat()
}

/// A DNS name in ASCII lower case without a trailing dot (RFC 4343).
fn dns(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    ascii_lower(name)
}

/// An e-mail address with its domain in lower case; the local part stays as it is (RFC 5321 section 2.4).
fn email(address: &str) -> Cow<'_, str> {
    match address.rsplit_once('@') {
        Some((local, domain)) if domain.bytes().any(|b| b.is_ascii_uppercase()) => {
            Cow::Owned(format!("{local}@{}", domain.to_ascii_lowercase()))
        }
        _ => Cow::Borrowed(address),
    }
}

fn ascii_lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Calls `visit` with each key of `certificate` whose form is among `forms`.
///
/// A form that no mapping uses costs nothing. An empty subject names nobody. Of an ECDSA signature both forms count.
pub fn keys_of(certificate: &Certificate, forms: Forms, mut visit: impl FnMut(Form, &[u8])) {
    if forms.contains(Form::Sha256) {
        certificate.aliases().for_each(|sha256| visit(Form::Sha256, sha256.as_bytes()));
    }
    if forms.contains(Form::IssuerSerial) {
        visit(Form::IssuerSerial, &issuer_serial(certificate.issuer(), certificate.serial_number()));
    }
    if forms.contains(Form::PublicKeySha256) {
        visit(Form::PublicKeySha256, certificate.public_key_sha256().as_bytes());
    }
    for name in certificate.subject_alt_names() {
        match name {
            GeneralName::Uri(uri) if forms.contains(Form::Uri) => visit(Form::Uri, uri.as_bytes()),
            GeneralName::UserPrincipalName(name) if forms.contains(Form::UserPrincipalName) => {
                visit(Form::UserPrincipalName, fold_case(name).as_bytes());
            }
            GeneralName::Dns(name) if forms.contains(Form::Dns) => visit(Form::Dns, dns(name).as_bytes()),
            GeneralName::Email(address) if forms.contains(Form::Email) => {
                visit(Form::Email, email(address).as_bytes());
            }
            _ => {}
        }
    }
    if forms.contains(Form::Subject) && !certificate.subject().is_empty() {
        visit(Form::Subject, certificate.subject().canonical());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_have_equal_keys() {
        let rows = [
            ("DNS case", NameKey::dns("API.Example.com"), NameKey::dns("api.example.COM"), true),
            ("DNS trailing dot", NameKey::dns("api.example.com."), NameKey::dns("api.example.com"), true),
            ("DNS of another name", NameKey::dns("a.example.com"), NameKey::dns("b.example.com"), false),
            ("mail domain case", NameKey::email("Bob@Example.com"), NameKey::email("Bob@example.COM"), true),
            ("mail local part case", NameKey::email("Bob@example.com"), NameKey::email("bob@example.com"), false),
            ("mail with two at signs", NameKey::email("A@B@C"), NameKey::email("A@B@c"), true),
            ("UPN case", NameKey::user_principal_name("Bob@CORP"), NameKey::user_principal_name("bob@corp"), true),
            ("UPN outside ASCII", NameKey::user_principal_name("MÜ@c"), NameKey::user_principal_name("mü@c"), true),
            ("UPN look-alike", NameKey::user_principal_name("\u{212a}@c"), NameKey::user_principal_name("k@c"), false),
            ("URI case", NameKey::uri("spiffe://a/B"), NameKey::uri("spiffe://a/b"), false),
            ("forms differ", NameKey::uri("a@b"), NameKey::email("a@b"), false),
        ];
        for (name, left, right, equal) in rows {
            assert_eq!(left == right, equal, "{name}");
        }
    }

    #[test]
    fn form_sets_hold_what_they_were_given() {
        for form in Form::ALL {
            let set = Forms::default().with(form);
            for other in Form::ALL {
                assert_eq!(set.contains(other), form == other);
            }
        }
    }
}
