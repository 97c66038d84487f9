//! The forms in which a mapping names a certificate, converted to bytes that are equal exactly when the names are.
//!
//! The same functions make the key from an operator's text and the keys of a certificate, so the two cannot diverge.

use std::borrow::Cow;

use crate::domain::decide::matcher::fold_case;
use certgate_x509::{Certificate, GeneralName, Name, Sha256};

/// A way to name a certificate.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NameForm {
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

impl NameForm {
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

    /// The name of the form's field.
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
pub struct NameForms(u8);

impl NameForms {
    /// The set with `form`.
    #[must_use]
    pub const fn with(self, form: NameForm) -> Self {
        Self(self.0 | (1 << form as u8))
    }

    /// Whether `form` is in the set.
    pub const fn contains(self, form: NameForm) -> bool {
        self.0 & (1 << form as u8) != 0
    }
}

/// A certificate's name: a form and its canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameKey {
    /// The form.
    pub form: NameForm,
    /// Equal bytes of equal forms name the same certificates.
    pub bytes: Vec<u8>,
}

impl NameKey {
    /// The certificate with this SHA-256 of its DER.
    pub fn sha256(sha256: Sha256) -> Self {
        Self { form: NameForm::Sha256, bytes: sha256.as_bytes().to_vec() }
    }

    /// Any certificate for the key with this SHA-256 of its DER SubjectPublicKeyInfo.
    pub fn public_key_sha256(sha256: Sha256) -> Self {
        Self { form: NameForm::PublicKeySha256, bytes: sha256.as_bytes().to_vec() }
    }

    /// The certificate that `issuer` issued under `serial`, big-endian without leading zero octets.
    pub fn issuer_serial(issuer: &Name, serial: &[u8], pin: Option<IssuerPin>) -> Self {
        let mut bytes = issuer_serial(issuer.canonical(), serial);
        match pin {
            None => {}
            Some(IssuerPin::Certificate(sha256)) => {
                bytes.push(CERTIFICATE_PIN);
                bytes.extend_from_slice(sha256.as_bytes());
            }
            Some(IssuerPin::PublicKey(sha256)) => {
                bytes.push(PUBLIC_KEY_PIN);
                bytes.extend_from_slice(sha256.as_bytes());
            }
        }
        Self { form: NameForm::IssuerSerial, bytes }
    }

    /// Certificates with this URI.
    pub fn uri(uri: &str) -> Self {
        Self { form: NameForm::Uri, bytes: uri.as_bytes().to_vec() }
    }

    /// Certificates with this user principal name.
    pub fn user_principal_name(name: &str) -> Self {
        Self { form: NameForm::UserPrincipalName, bytes: fold_case(name).as_bytes().to_vec() }
    }

    /// Certificates with this DNS name.
    pub fn dns(name: &str) -> Self {
        Self { form: NameForm::Dns, bytes: dns(name).as_bytes().to_vec() }
    }

    /// Certificates with this e-mail address.
    pub fn email(address: &str) -> Self {
        Self { form: NameForm::Email, bytes: email(address).as_bytes().to_vec() }
    }

    /// Certificates with this subject.
    pub fn subject(subject: &Name) -> Self {
        Self { form: NameForm::Subject, bytes: subject.canonical().to_vec() }
    }
}

/// What a name of the form issuerSerial states about the issuer besides its name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum IssuerPin {
    /// SHA-256 of a certificate of the issuer.
    Certificate(Sha256),
    /// SHA-256 of the issuer's DER SubjectPublicKeyInfo.
    PublicKey(Sha256),
}

const CERTIFICATE_PIN: u8 = 1;
const PUBLIC_KEY_PIN: u8 = 2;

/// The issuer's canonical bytes after their length, then the serial number after its length. A pin follows, if there is
/// one.
fn issuer_serial(issuer: &[u8], serial: &[u8]) -> Vec<u8> {
    let length = u32::try_from(issuer.len()).unwrap_or(u32::MAX);
    // RFC 5280 section 4.1.2.2 allows at most 20 octets; a certificate's longer one equals no mapping's.
    let serial_length = u8::try_from(serial.len()).unwrap_or(u8::MAX);
    [&length.to_be_bytes()[..], issuer, &[serial_length], serial].concat()
}

/// Where the issuer and the serial number end in the bytes of a name of the form issuerSerial.
fn borders(key: &[u8]) -> Option<(usize, usize)> {
    let length = u32::from_be_bytes(key.first_chunk::<4>().copied()?);
    let issuer_end = usize::try_from(length).ok()?.checked_add(4)?;
    let serial_end = issuer_end.checked_add(1)?.checked_add(usize::from(*key.get(issuer_end)?))?;
    (serial_end <= key.len()).then_some((issuer_end, serial_end))
}

/// The bytes for look-up: all but the pin of an issuer.
pub fn lookup(form: NameForm, key: &[u8]) -> &[u8] {
    match form {
        NameForm::IssuerSerial => borders(key).and_then(|(_, end)| key.get(..end)).unwrap_or(key),
        _ => key,
    }
}

/// The pin of a key, if it has one.
pub fn pin(form: NameForm, key: &[u8]) -> Option<IssuerPin> {
    let (_, end) = borders(key).filter(|_| form == NameForm::IssuerSerial)?;
    let (kind, sha256) = key.get(end..)?.split_first()?;
    let sha256 = Sha256::from_bytes(sha256.try_into().ok()?);
    match *kind {
        CERTIFICATE_PIN => Some(IssuerPin::Certificate(sha256)),
        PUBLIC_KEY_PIN => Some(IssuerPin::PublicKey(sha256)),
        _ => None,
    }
}

/// Whether two keys of one form may name one certificate, as far as the keys show. `false` is certain, except for two
/// pins of different kinds.
pub fn may_coincide(form: NameForm, left: &[u8], right: &[u8]) -> bool {
    lookup(form, left) == lookup(form, right)
        && match (pin(form, left), pin(form, right)) {
            (Some(left), Some(right)) => left == right,
            _ => true,
        }
}

/// The canonical form of the distinguished name within a key: the subject, or the issuer.
pub fn distinguished_name(form: NameForm, key: &[u8]) -> Option<&[u8]> {
    match form {
        NameForm::Subject => Some(key),
        NameForm::IssuerSerial => key.get(4..borders(key)?.0),
        _ => None,
    }
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
/// A form that no mapping uses costs nothing. An empty subject yields no key. An ECDSA signature has two forms, and
/// both yield keys.
pub fn keys_of(certificate: &Certificate, forms: NameForms, mut visit: impl FnMut(NameForm, &[u8])) {
    if forms.contains(NameForm::Sha256) {
        certificate.aliases().for_each(|sha256| visit(NameForm::Sha256, sha256.as_bytes()));
    }
    if forms.contains(NameForm::IssuerSerial) {
        visit(NameForm::IssuerSerial, &issuer_serial(certificate.issuer().canonical(), certificate.serial_number()));
    }
    if forms.contains(NameForm::PublicKeySha256) {
        visit(NameForm::PublicKeySha256, certificate.public_key_sha256().as_bytes());
    }
    for name in certificate.subject_alt_names() {
        match name {
            GeneralName::Uri(uri) if forms.contains(NameForm::Uri) => visit(NameForm::Uri, uri.as_bytes()),
            GeneralName::UserPrincipalName(name) if forms.contains(NameForm::UserPrincipalName) => {
                visit(NameForm::UserPrincipalName, fold_case(name).as_bytes());
            }
            GeneralName::Dns(name) if forms.contains(NameForm::Dns) => visit(NameForm::Dns, dns(name).as_bytes()),
            GeneralName::Email(address) if forms.contains(NameForm::Email) => {
                visit(NameForm::Email, email(address).as_bytes());
            }
            _ => {}
        }
    }
    if forms.contains(NameForm::Subject) && !certificate.subject().is_empty() {
        visit(NameForm::Subject, certificate.subject().canonical());
    }
}

/// Calls `visit` with the keys that the certificate would have if its distinguished names had the reverse order, where
/// that order makes a difference.
pub fn reversed_keys_of(certificate: &Certificate, forms: NameForms, mut visit: impl FnMut(NameForm, &[u8])) {
    let reversed = |name: &Name| Some(name.reversed_canonical()).filter(|reversed| reversed != name.canonical());
    if let Some(issuer) = reversed(certificate.issuer()).filter(|_| forms.contains(NameForm::IssuerSerial)) {
        visit(NameForm::IssuerSerial, &issuer_serial(&issuer, certificate.serial_number()));
    }
    if let Some(subject) = reversed(certificate.subject()).filter(|_| forms.contains(NameForm::Subject)) {
        visit(NameForm::Subject, &subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_no_part_of_what_is_looked_up() {
        let issuer = Name::parse_rfc4514("CN=CA,O=Acme").unwrap();
        let [one, other] = [b"1", b"2"].map(|text| Sha256::of(text));
        let key = |pin| NameKey::issuer_serial(&issuer, &[0x2a, 0], pin).bytes;
        let (plain, form) = (key(None), NameForm::IssuerSerial);
        assert_eq!((lookup(form, &plain), pin(form, &plain)), (&*plain, None));
        for pinned in [IssuerPin::Certificate(one), IssuerPin::PublicKey(one)] {
            let bytes = key(Some(pinned));
            assert_eq!((lookup(form, &bytes), pin(form, &bytes)), (&*plain, Some(pinned)));
            assert_eq!(distinguished_name(form, &bytes), Some(issuer.canonical()));
            assert!(may_coincide(form, &bytes, &plain) && may_coincide(form, &bytes, &bytes));
            assert!(!may_coincide(form, &bytes, &key(Some(IssuerPin::Certificate(other)))));
        }
        assert!(!may_coincide(form, &plain, &NameKey::issuer_serial(&issuer, &[0x2a], None).bytes));
        for end in 0..plain.len() {
            assert_eq!(pin(form, &plain[..end]), None, "{end}");
        }
    }

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
        for form in NameForm::ALL {
            let set = NameForms::default().with(form);
            for other in NameForm::ALL {
                assert_eq!(set.contains(other), form == other);
            }
        }
    }
}
