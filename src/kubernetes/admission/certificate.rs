//! The webhook's certificate where certgate makes it itself: what stands in the Secret, and what is to be done with it.
//!
//! Each certificate comes with an authority of its own, whose key is forgotten at once: nobody can issue another one,
//! and nothing but the server's key has to be kept. A renewal is announced first: the new authority goes into the
//! `caBundle` beside the one in use, and only when the API server has had time to learn it does the new certificate
//! take over.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::tls::identity::ServerIdentity;
use certgate_x509::{GeneralName, UnixTime, encoding::bundle};

/// The keys of the Secret.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// The authority of the certificate, and the one before it.
const AUTHORITIES: &str = "ca.crt";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const NEXT_AUTHORITY: &str = "next-ca.crt";

/// How far clocks may differ.
const CLOCK_SKEW_SECS: i64 = 300;

/// The data of the Secret.
pub type Data = BTreeMap<String, Bytes>;

/// Under which names the webhook is called, and how long a certificate lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateOptions {
    /// DNS names or addresses.
    pub hosts: Vec<String>,
    /// How long a certificate is valid. It is renewed when a third of that is left.
    pub lifetime: Duration,
}

impl CertificateOptions {
    fn lifetime_secs(&self) -> i64 {
        i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX)
    }
}

/// What is to be done next.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// Nothing.
    Keep,
    /// Make a certificate that takes over at once: there is none that anybody could believe.
    Begin,
    /// Make the certificate that comes after the present one.
    Announce,
    /// Let the next certificate take over.
    TakeOver,
}

/// What is to be done. `is_known` says that the API server has had time to learn the next authority.
pub fn plan(data: &Data, terms: &CertificateOptions, is_known: bool, now: UnixTime) -> RotationStep {
    let usable = |identity: &ServerIdentity| identity.not_after() > now && covers(identity, &terms.hosts);
    let Some(current) = identity(data).filter(usable).filter(|_| !authorities(data).is_empty()) else {
        return RotationStep::Begin;
    };
    let next = read(data, NEXT_CERTIFICATE, NEXT_KEY).filter(usable).filter(|_| has_certificates(data, NEXT_AUTHORITY));
    match next {
        Some(_) if is_known => RotationStep::TakeOver,
        Some(_) => RotationStep::Keep,
        None if current.not_after().since(now) < terms.lifetime_secs() / 3 => RotationStep::Announce,
        None => RotationStep::Keep,
    }
}

/// The data after a step.
pub fn take(
    step: RotationStep,
    mut data: Data,
    terms: &CertificateOptions,
    now: UnixTime,
) -> Result<Data, rcgen::Error> {
    match step {
        RotationStep::Keep => {}
        RotationStep::Begin => {
            let made = IssuedCertificate::new(terms, now)?;
            let former = first_authority(&data);
            data.clear();
            data.insert(CERTIFICATE.to_owned(), made.certificate.into());
            data.insert(KEY.to_owned(), made.key.into());
            data.insert(AUTHORITIES.to_owned(), [made.authority, former].concat().into());
        }
        RotationStep::Announce => {
            let made = IssuedCertificate::new(terms, now)?;
            data.insert(NEXT_CERTIFICATE.to_owned(), made.certificate.into());
            data.insert(NEXT_KEY.to_owned(), made.key.into());
            data.insert(NEXT_AUTHORITY.to_owned(), made.authority.into());
        }
        RotationStep::TakeOver => {
            // Replicas that have not seen the change still show the former certificate.
            let former = first_authority(&data);
            let mut next = |key: &str| data.remove(key).unwrap_or_default();
            let (certificate, key, authority) = (next(NEXT_CERTIFICATE), next(NEXT_KEY), next(NEXT_AUTHORITY));
            data.insert(CERTIFICATE.to_owned(), certificate);
            data.insert(KEY.to_owned(), key);
            data.insert(AUTHORITIES.to_owned(), [&authority[..], former.as_bytes()].concat().into());
        }
    }
    Ok(data)
}

/// What is to be served to the API server.
pub fn identity(data: &Data) -> Option<ServerIdentity> {
    read(data, CERTIFICATE, KEY)
}

/// Everything that the API server should believe: the authority in use, the one before it, and the next.
pub fn authorities(data: &Data) -> Vec<u8> {
    let known = [AUTHORITIES, NEXT_AUTHORITY].into_iter().filter(|key| has_certificates(data, key));
    known.filter_map(|key| data.get(key)).flat_map(|pem| pem.iter().copied()).collect()
}

/// The next authority, while there is one.
pub fn next_authority(data: &Data) -> Option<&Bytes> {
    data.get(NEXT_AUTHORITY).filter(|_| has_certificates(data, NEXT_AUTHORITY))
}

fn read(data: &Data, certificate: &str, key: &str) -> Option<ServerIdentity> {
    ServerIdentity::from_pem(data.get(certificate)?, data.get(key)?).ok()
}

fn has_certificates(data: &Data, key: &str) -> bool {
    data.get(key).is_some_and(|pem| bundle::certificates(pem).is_ok())
}

/// The first block of the authorities; empty when there is none.
fn first_authority(data: &Data) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    let text = data.get(AUTHORITIES).filter(|_| has_certificates(data, AUTHORITIES));
    let text = text.and_then(|pem| std::str::from_utf8(pem).ok()).unwrap_or_default();
    text.find(END).map_or_else(String::new, |at| format!("{}\n", &text[..at + END.len()]))
}

fn covers(identity: &ServerIdentity, hosts: &[String]) -> bool {
    let names = identity.certificate().subject_alt_names();
    hosts.iter().all(|host| {
        names.iter().any(|name| match (name, host.parse::<IpAddr>()) {
            (GeneralName::Ip(named), Ok(address)) => *named == address,
            (GeneralName::Dns(name), Err(_)) => name == host,
            _ => false,
        })
    })
}

/// A certificate with its key and authority, in PEM.
struct IssuedCertificate {
    certificate: String,
    key: String,
    authority: String,
}

impl IssuedCertificate {
    fn new(terms: &CertificateOptions, now: UnixTime) -> Result<Self, rcgen::Error> {
        let until = now.plus(terms.lifetime_secs());
        let mut authority = params(&format!("certgate admission CA {now}"), now, until);
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_key = KeyPair::generate()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let mut server = params("certgate admission", now, until);
        for host in &terms.hosts {
            server.subject_alt_names.push(match host.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.as_str().try_into()?),
            });
        }
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key))?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem(), authority: authority_certificate.pem() })
    }
}

fn params(name: &str, now: UnixTime, until: UnixTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |time: UnixTime| epoch + Duration::from_secs(u64::try_from(time.as_secs()).unwrap_or_default());
    params.not_before = at(now.minus(CLOCK_SKEW_SECS));
    params.not_after = at(until);
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn terms() -> CertificateOptions {
        CertificateOptions {
            hosts: vec!["certgate.system.svc".to_owned(), "127.0.0.1".to_owned()],
            lifetime: Duration::from_secs(90 * 86_400),
        }
    }

    fn now() -> UnixTime {
        UnixTime::from_secs(1_795_321_800)
    }

    fn blocks(pem: &[u8]) -> usize {
        bundle::certificates(pem).map_or(0, |found| found.len())
    }

    #[test]
    fn a_certificate_is_made_announced_and_replaced() {
        let (terms, start) = (terms(), now());
        let empty = Data::new();
        assert_eq!(plan(&empty, &terms, false, start), RotationStep::Begin);
        let first = take(RotationStep::Begin, empty, &terms, start).unwrap();
        assert_eq!(plan(&first, &terms, false, start), RotationStep::Keep);
        assert_eq!(blocks(&authorities(&first)), 1);
        assert_eq!(identity(&first).unwrap().not_after(), start.plus(90 * DAY));

        let due = start.plus(60 * DAY + 1);
        assert_eq!(plan(&first, &terms, false, due.minus(60)), RotationStep::Keep);
        assert_eq!(plan(&first, &terms, false, due), RotationStep::Announce);
        let announced = take(RotationStep::Announce, first.clone(), &terms, due).unwrap();
        assert_eq!(announced.get(CERTIFICATE), first.get(CERTIFICATE), "the first one is served still");
        assert_eq!(blocks(&authorities(&announced)), 2);
        assert_eq!(plan(&announced, &terms, false, due), RotationStep::Keep, "the API server may not know it yet");
        assert_eq!(plan(&announced, &terms, true, due), RotationStep::TakeOver);

        let second = take(RotationStep::TakeOver, announced.clone(), &terms, due).unwrap();
        assert_eq!(second.get(CERTIFICATE), announced.get(NEXT_CERTIFICATE));
        assert_eq!(second.len(), 3, "nothing of the announcement stays");
        assert_eq!(blocks(&authorities(&second)), 2, "the former authority stays for replicas that lag");
        assert_eq!(plan(&second, &terms, true, due), RotationStep::Keep);
        let later = due.plus(60 * DAY + 1);
        let third = take(RotationStep::Announce, second, &terms, later).unwrap();
        let third = take(RotationStep::TakeOver, third, &terms, later).unwrap();
        assert_eq!(blocks(&authorities(&third)), 2, "no more than two in rest");
    }

    #[test]
    fn what_nobody_could_believe_is_replaced_at_once() {
        let (terms, start) = (terms(), now());
        let good = take(RotationStep::Begin, Data::new(), &terms, start).unwrap();
        let other = CertificateOptions { hosts: vec!["other.svc".to_owned()], ..terms.clone() };
        let broken = |key: &str, value: &'static [u8]| {
            let mut data = good.clone();
            data.insert(key.to_owned(), Bytes::from_static(value));
            data
        };
        for (name, data, terms, at) in [
            ("expired", good.clone(), &terms, start.plus(90 * DAY)),
            ("another name", good.clone(), &other, start),
            ("no key", broken(KEY, b""), &terms, start),
            ("no certificate", broken(CERTIFICATE, b"nonsense"), &terms, start),
            ("no authority", broken(AUTHORITIES, b""), &terms, start),
        ] {
            assert_eq!(plan(&data, terms, true, at), RotationStep::Begin, "{name}");
            let made = take(RotationStep::Begin, data, terms, at).unwrap();
            assert_eq!(plan(&made, terms, true, at), RotationStep::Keep, "{name}");
        }
        let mut half = take(RotationStep::Announce, good, &terms, start).unwrap();
        half.insert(NEXT_KEY.to_owned(), Bytes::new());
        assert_eq!(plan(&half, &terms, true, start), RotationStep::Keep, "a broken announcement is no certificate");
        assert_eq!(plan(&half, &terms, true, start.plus(61 * DAY)), RotationStep::Announce);
    }
}
