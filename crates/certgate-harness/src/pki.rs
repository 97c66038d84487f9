//! Certificates for tests: CAs, and leaves with any names, usages and dates.
//!
//! The CAs here are ordinary ones. The unit tests cover malformed DER and unusual signatures.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, OtherNameValue, RevocationReason,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The otherName that holds a user principal name.
const UPN: [u64; 10] = [1, 3, 6, 1, 4, 1, 311, 20, 2, 3];

/// A certification authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// This certificate and those above it, without the root.
    chain: Vec<CertificateDer<'static>>,
}

impl Authority {
    /// A self-signed root.
    pub fn root(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let params = authority_params(name);
        let certificate = params.self_signed(&key).expect("the parameters are sound").der().clone();
        Self { issuer: Issuer::new(params, key), certificate, chain: Vec::new() }
    }

    /// An authority certified by this one.
    pub fn intermediate(&self, name: &str) -> Self {
        self.intermediate_with(name, |_| ())
    }

    /// An authority certified by this one, its parameters changed first.
    pub fn intermediate_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = authority_params(name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("the parameters are sound").der().clone();
        let chain = [std::slice::from_ref(&certificate), &self.chain].concat();
        Self { issuer: Issuer::new(params, key), certificate, chain }
    }

    /// Certifies `leaf` with a new key.
    pub fn issue(&self, leaf: Leaf) -> Identity {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = leaf.0.signed_by(&key, &self.issuer).expect("the parameters are sound").der().clone();
        let chain = [std::slice::from_ref(&certificate), &self.chain].concat();
        Identity { chain, key: key.serialize_der() }
    }

    /// A CRL in DER: made an hour ago, current for a day, and listing these serial numbers as revoked on 2026-01-02 for
    /// keyCompromise.
    pub fn crl(&self, number: u64, serials: &[&[u8]]) -> Vec<u8> {
        self.crl_with(number, serials, |_| ())
    }

    /// A CRL whose nextUpdate is half an hour ago; it lists nothing.
    pub fn stale_crl(&self, number: u64) -> Vec<u8> {
        self.crl_with(number, &[], |params| {
            params.next_update = date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now() - HOUR / 2);
        })
    }

    /// A CRL whose nextUpdate is at this moment; it lists nothing.
    pub fn crl_until(&self, number: u64, next_update: SystemTime) -> Vec<u8> {
        self.crl_with(number, &[], |params| params.next_update = date_time_ymd(1970, 1, 1) + since_1970(next_update))
    }

    /// A CRL with its parameters changed first.
    pub fn crl_with(
        &self,
        number: u64,
        serials: &[&[u8]],
        change: impl FnOnce(&mut CertificateRevocationListParams),
    ) -> Vec<u8> {
        let revoked = |serial: &&[u8]| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: date_time_ymd(2026, 1, 2),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let mut params = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now() - HOUR),
            next_update: date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now() + DAY),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        change(&mut params);
        params.signed_by(&self.issuer).expect("the parameters are sound").der().to_vec()
    }

    /// The authority's own certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The authority's own certificate, armoured.
    pub fn pem(&self) -> String {
        pem(&self.certificate)
    }

    /// SHA-256 of the authority's certificate.
    pub fn sha256(&self) -> String {
        sha256(&self.certificate)
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Certgate Test");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now() - DAY);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now() + 365 * DAY);
    params
}

/// A certificate and its private key, with the authorities between it and its root.
#[derive(Clone)]
pub struct Identity {
    /// Leaf first, without the root.
    pub chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Identity").field(&self.sha256()).finish()
    }
}

impl Identity {
    /// A leaf that its own key has signed.
    pub fn self_signed(leaf: Leaf) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = leaf.0.self_signed(&key).expect("the parameters are sound").der().clone();
        Self { chain: vec![certificate], key: key.serialize_der() }
    }

    /// The same leaf, presented without any authority's certificate.
    pub fn leaf_only(&self) -> Self {
        Self { chain: self.chain[..1].to_vec(), key: self.key.clone() }
    }

    /// The same leaf, presented with `more` after its chain.
    pub fn with_extra(&self, more: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        Self { chain: self.chain.iter().cloned().chain(more).collect(), key: self.key.clone() }
    }

    /// The leaf.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// The leaf, armoured.
    pub fn pem(&self) -> String {
        pem(self.der())
    }

    /// The leaf and the authorities below the root, armoured.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|certificate| pem(certificate)).collect()
    }

    /// The private key, armoured.
    pub fn key_pem(&self) -> String {
        armour("PRIVATE KEY", &self.key)
    }

    /// SHA-256 of the leaf.
    pub fn sha256(&self) -> String {
        sha256(self.der())
    }

    /// The private key as rustls takes it.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    /// Writes `NAME.pem` (with chain) and `NAME.key` and returns their paths.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let certificate = directory.join(format!("{name}.pem"));
        let key = directory.join(format!("{name}.key"));
        std::fs::write(&certificate, self.chain_pem()).expect("the directory is writable");
        std::fs::write(&key, self.key_pem()).expect("the directory is writable");
        (certificate, key)
    }
}

/// The content of a leaf.
pub struct Leaf(CertificateParams);

impl Leaf {
    /// A client's certificate: `clientAuth`, valid for a day, with a common name.
    pub fn client(common_name: &str) -> Self {
        let mut leaf = Self::nameless();
        leaf.0.distinguished_name.push(DnType::CommonName, common_name);
        leaf
    }

    /// A client's certificate with an empty subject.
    pub fn nameless() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now() - HOUR);
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now() + DAY);
        Self(params)
    }

    /// A server's certificate for a DNS name.
    pub fn server(dns: &str) -> Self {
        Self::client(dns).dns(dns).usages([ExtendedKeyUsagePurpose::ServerAuth])
    }

    /// A certificate for both ends, as a proxy has one.
    pub fn proxy(dns: &str) -> Self {
        Self::client(dns).dns(dns).usages([ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// Adds an attribute to the subject.
    pub fn attribute(mut self, kind: DnType, value: &str) -> Self {
        self.0.distinguished_name.push(kind, value);
        self
    }

    /// Adds `O=value`.
    pub fn organization(self, value: &str) -> Self {
        self.attribute(DnType::OrganizationName, value)
    }

    /// Adds `OU=value`.
    pub fn unit(self, value: &str) -> Self {
        self.attribute(DnType::OrganizationalUnitName, value)
    }

    /// Adds a DNS name.
    pub fn dns(self, value: &str) -> Self {
        self.alternative(SanType::DnsName(value.try_into().expect("ASCII")))
    }

    /// Adds a URI.
    pub fn uri(self, value: &str) -> Self {
        self.alternative(SanType::URI(value.try_into().expect("ASCII")))
    }

    /// Adds an email address.
    pub fn email(self, value: &str) -> Self {
        self.alternative(SanType::Rfc822Name(value.try_into().expect("ASCII")))
    }

    /// Adds a user principal name.
    pub fn upn(self, value: &str) -> Self {
        self.alternative(SanType::OtherName((UPN.to_vec(), OtherNameValue::Utf8String(value.to_owned()))))
    }

    fn alternative(mut self, name: SanType) -> Self {
        self.0.subject_alt_names.push(name);
        self
    }

    /// Replaces the extended key usages; none at all leaves the extension out.
    pub fn usages(mut self, usages: impl IntoIterator<Item = ExtendedKeyUsagePurpose>) -> Self {
        self.0.extended_key_usages = usages.into_iter().collect();
        self
    }

    /// Sets the serial number.
    pub fn serial(mut self, serial: &[u8]) -> Self {
        self.0.serial_number = Some(SerialNumber::from_slice(serial));
        self
    }

    /// Valid until an hour ago.
    pub fn expired(mut self) -> Self {
        self.0.not_before = date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now() - 3 * HOUR);
        self.0.not_after = date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now() - HOUR);
        self
    }

    /// Valid from an hour hence.
    pub fn not_yet_valid(mut self) -> Self {
        self.0.not_before = date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now() + HOUR);
        self
    }

    /// Valid for `time` more, to the second.
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.0.not_after = date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now() + time);
        self
    }

    /// Changes whatever else.
    pub fn with(mut self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        change(&mut self.0);
        self
    }
}

/// The authorities that most tests need: a root with an issuing authority below it for clients, and one for servers.
pub struct Pki {
    /// The anchor of the clients.
    pub root: Authority,
    /// The issuer of clients' certificates, below `root`.
    pub issuing: Authority,
    /// The anchor of the servers.
    pub server_root: Authority,
    /// What the proxies present to clients.
    pub server: Identity,
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

impl Pki {
    /// The name in the server's certificate.
    pub const SERVER_NAME: &'static str = "api.example.test";

    /// Makes new authorities.
    pub fn new() -> Self {
        let root = Authority::root("Clients Root");
        let issuing = root.intermediate("Clients Issuing");
        let server_root = Authority::root("Servers Root");
        let server = server_root.issue(Leaf::server(Self::SERVER_NAME));
        Self { root, issuing, server_root, server }
    }

    /// A client of the issuing authority.
    pub fn client(&self, common_name: &str) -> Identity {
        self.issuing.issue(Leaf::client(common_name))
    }
}

/// Lower-case hexadecimal SHA-256.
pub fn sha256(der: &[u8]) -> String {
    digest::digest(&digest::SHA256, der).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Armours a certificate.
pub fn pem(der: &[u8]) -> String {
    armour("CERTIFICATE", der)
}

/// Armours a CRL.
pub fn crl_pem(der: &[u8]) -> String {
    armour("X509 CRL", der)
}

fn armour(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned() + "\n");
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", lines.collect::<String>())
}

/// What to add to `date_time_ymd(1970, 1, 1)` to get `moment`. The sum's type is not ours to name.
fn since_1970(moment: SystemTime) -> Duration {
    moment.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970")
}
