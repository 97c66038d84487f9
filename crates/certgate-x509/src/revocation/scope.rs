//! Which certificates and reasons a CRL applies to (RFC 5280 section 6.3.3 (b) and (d)).

use crate::certificate::{Certificate, Version, id};
use crate::der::DerError;
use crate::name::Name;

use super::crl::Crl;
use super::distribution::{self, CrlSubjects, DistributionPoint, IssuingDistributionPoint};
use super::reason::ReasonFlags;

/// Where a certificate's status is published, by its own extension.
#[derive(Debug)]
pub(super) struct StatusPoints<'a> {
    pub(super) certificate: &'a Certificate,
    points: Option<distribution::DistributionPoints<'a>>,
    /// The cRLIssuer names of its points: other issuers whose CRLs may apply.
    pub(super) other_issuers: Vec<Name>,
    /// Whether CRLs of its own issuer may apply.
    pub(super) own_issuer: bool,
    /// Why the extension cannot be read. Then the issuer's own CRLs can prove that the certificate is revoked, and no
    /// CRL can prove that it is not.
    pub(super) problem: Option<String>,
}

/// The most names in all points of a certificate that are examined for each CRL. Real certificates have up to five.
const MAX_POINT_NAMES: usize = 64;

/// The reasons that a CRL covers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct CoveredReasons {
    /// Being listed for one of these revokes.
    pub(super) listing: ReasonFlags,
    /// Not being listed means not being revoked for these.
    pub(super) absence: ReasonFlags,
}

impl<'a> StatusPoints<'a> {
    /// Reads cRLDistributionPoints. Without it, the issuer's own CRLs apply (6.3.3, last paragraph).
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
            if names > MAX_POINT_NAMES {
                return Err(format!("more than {MAX_POINT_NAMES} names"));
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

    /// The reasons for which `crl` applies to the certificate; empty if it does not apply.
    pub(super) fn reasons(&self, crl: &Crl) -> CoveredReasons {
        let scope = crl.issuing_distribution_point();
        let mut found = CoveredReasons { listing: ReasonFlags::NONE, absence: ReasonFlags::NONE };
        if !is_about(scope.map_or(CrlSubjects::All, IssuingDistributionPoint::subjects), self.certificate) {
            return found;
        }
        let reasons = scope.map_or(ReasonFlags::ALL, IssuingDistributionPoint::reasons);
        let is_indirect = scope.is_some_and(IssuingDistributionPoint::is_indirect);
        let is_own = crl.issuer() == self.certificate.issuer();
        for point in self.points.iter().flat_map(Clone::clone).filter_map(Result::ok) {
            if Self::means(&point, crl, is_own) {
                let reasons = point.reasons.and(reasons);
                found.listing = found.listing.or(reasons);
                // Stricter than RFC 5280: a point without cRLIssuer does not lead to an indirect CRL. A certificate
                // that such a CRL lists is revoked; the status of one that it does not list may be published elsewhere.
                if point.crl_issuer.is_some() || !is_indirect {
                    found.absence = found.absence.or(reasons);
                }
            }
        }
        // "repeat the process above with any available CRLs not specified in a distribution point but issued by the
        // certificate issuer ... assume a DP with ... a distribution point name of the certificate issuer". Where
        // every point names another CRL issuer, the certificate's issuer publishes no status itself.
        if is_own && self.own_issuer && scope.is_none_or(|scope| scope.is_at_issuer(crl.issuer())) {
            found = CoveredReasons { listing: found.listing.or(reasons), absence: found.absence.or(reasons) };
        }
        found
    }

    /// 6.3.3 (b) (1) and (2) (i).
    fn means(point: &DistributionPoint<'_>, crl: &Crl, is_own: bool) -> bool {
        let scope = crl.issuing_distribution_point();
        let is_indirect = scope.is_some_and(IssuingDistributionPoint::is_indirect);
        let issuer_fits = match point.crl_issuer {
            // 4.2.1.13: an issuer that names itself should have omitted the field; its CRL is its own all the same.
            Some(_) => (is_indirect || is_own) && point.crl_issuers().any(|name| name == *crl.issuer()),
            None => is_own,
        };
        issuer_fits && scope.is_none_or(|scope| scope.is_at(point, crl.issuer()))
    }
}

/// 6.3.3 (b) (2) (ii) to (iv). A certificate of version 1 or 2 does not state whether it is a CA's.
fn is_about(subjects: CrlSubjects, certificate: &Certificate) -> bool {
    let is_ca = certificate.basic_constraints().is_some_and(|constraints| constraints.is_ca);
    let is_v3 = certificate.version() == Version::V3;
    match subjects {
        CrlSubjects::All => true,
        CrlSubjects::EndEntities => is_v3 && !is_ca,
        CrlSubjects::Cas => is_v3 && is_ca,
        CrlSubjects::Attributes => false,
    }
}
