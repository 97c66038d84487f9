//! Which certificates and reasons a CRL speaks about (RFC 5280 section 6.3.3 (b) and (d)).

use crate::certificate::{Certificate, Version, id};
use crate::der::DerError;
use crate::name::Name;

use super::crl::Crl;
use super::distribution::{self, DistributionPoint, IssuingDistributionPoint, Subjects};
use super::reason::Reasons;

/// Where a certificate says that its status is found.
#[derive(Debug)]
pub(super) struct Points<'a> {
    pub(super) certificate: &'a Certificate,
    points: Option<distribution::Points<'a>>,
    /// Who else than the certificate issuer may speak about it: the cRLIssuer names of its points.
    pub(super) other_issuers: Vec<Name>,
    /// Whether its own issuer may.
    pub(super) own_issuer: bool,
    /// Why the extension cannot be read. Then the issuer's own CRLs can say that the certificate is revoked, and nothing
    /// can say that it is not.
    pub(super) problem: Option<String>,
}

/// Names in all points of a certificate that are looked at, for each CRL. Real ones have up to five.
const MAX_NAMES: usize = 64;

/// The reasons for which a CRL counts.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Covered {
    /// Being listed for one of these revokes.
    pub(super) listing: Reasons,
    /// Not being listed means not being revoked for these.
    pub(super) absence: Reasons,
}

impl<'a> Points<'a> {
    /// Reads cRLDistributionPoints. Without it, the issuer's own CRLs speak (6.3.3, last paragraph).
    pub(super) fn of(certificate: &'a Certificate) -> Self {
        let absent = Self { certificate, points: None, other_issuers: Vec::new(), own_issuer: true, problem: None };
        match certificate.extension(id::CRL_DISTRIBUTION_POINTS) {
            None => absent,
            Some(extension) => {
                Self::read(certificate, extension.value).unwrap_or_else(|error| Self { problem: Some(error), ..absent })
            }
        }
    }

    fn read(certificate: &'a Certificate, value: &'a [u8]) -> Result<Self, String> {
        let malformed = |error: DerError| error.to_string();
        let points = distribution::points(value).map_err(malformed)?;
        let mut other_issuers: Vec<Name> = Vec::new();
        let mut own_issuer = false;
        let mut names = 0_usize;
        for point in points.clone() {
            let point = point.map_err(malformed)?;
            names = names.saturating_add(point.names());
            if names > MAX_NAMES {
                return Err(format!("more than {MAX_NAMES} names"));
            }
            if point.crl_issuer.is_none() {
                own_issuer = true;
            }
            for name in point.crl_issuers() {
                if !other_issuers.contains(&name) {
                    other_issuers.push(name);
                }
            }
        }
        Ok(Self { certificate, points: Some(points), other_issuers, own_issuer, problem: None })
    }

    /// The reasons for which `crl` speaks about the certificate; none when it does not.
    pub(super) fn reasons(&self, crl: &Crl) -> Covered {
        let scope = crl.issuing_distribution_point();
        let mut found = Covered { listing: Reasons::NONE, absence: Reasons::NONE };
        if !is_about(scope.map_or(Subjects::All, IssuingDistributionPoint::subjects), self.certificate) {
            return found;
        }
        let reasons = scope.map_or(Reasons::ALL, IssuingDistributionPoint::reasons);
        let is_indirect = scope.is_some_and(IssuingDistributionPoint::is_indirect);
        let is_own = crl.issuer() == self.certificate.issuer();
        for point in self.points.iter().flat_map(Clone::clone).filter_map(Result::ok) {
            if Self::means(&point, crl, is_own) {
                let reasons = point.reasons.and(reasons);
                found.listing = found.listing.or(reasons);
                // Stricter than RFC 5280: a point without cRLIssuer does not lead to an indirect CRL. What that lists
                // is revoked; what it does not list may be meant to be found elsewhere.
                if point.crl_issuer.is_some() || !is_indirect {
                    found.absence = found.absence.or(reasons);
                }
            }
        }
        // "repeat the process above with any available CRLs not specified in a distribution point but issued by the
        // certificate issuer ... assume a DP with ... a distribution point name of the certificate issuer". Where
        // every point names another CRL issuer, the certificate's issuer has said that it does not speak itself.
        if is_own && self.own_issuer && scope.is_none_or(|scope| scope.is_at_issuer(crl.issuer())) {
            found = Covered { listing: found.listing.or(reasons), absence: found.absence.or(reasons) };
        }
        found
    }

    /// 6.3.3 (b) (1) and (2) (i).
    fn means(point: &DistributionPoint<'_>, crl: &Crl, is_own: bool) -> bool {
        let scope = crl.issuing_distribution_point();
        let is_indirect = scope.is_some_and(IssuingDistributionPoint::is_indirect);
        let issuer_fits = match point.crl_issuer {
            // 4.2.1.13: an issuer that names itself should have omitted it; that makes its CRL no less its own.
            Some(_) => (is_indirect || is_own) && point.crl_issuers().any(|name| name == *crl.issuer()),
            None => is_own,
        };
        issuer_fits && scope.is_none_or(|scope| scope.is_at(point, crl.issuer()))
    }
}

/// 6.3.3 (b) (2) (ii) to (iv). What kind of certificate one of version 1 or 2 is cannot be told.
fn is_about(subjects: Subjects, certificate: &Certificate) -> bool {
    let is_ca = certificate.basic_constraints().is_some_and(|constraints| constraints.is_ca);
    let tells = certificate.version() == Version::V3;
    match subjects {
        Subjects::All => true,
        Subjects::EndEntities => tells && !is_ca,
        Subjects::Cas => tells && is_ca,
        Subjects::Attributes => false,
    }
}
