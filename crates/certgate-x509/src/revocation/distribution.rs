//! Distribution points of certificates (RFC 5280 section 4.2.1.13), issuing distribution points of CRLs (section
//! 5.2.5), and when one matches the other (section 6.3.3 (b)).
//!
//! A certificate's points are read in place, without a copy: most CRLs name no point, and then no names are compared.
//! Names are compared as encoded, directory names by section 7.1; two spellings of one URI are two names.

use bytes::Bytes;

use crate::der::{self, DerError, Reader, tag};
use crate::general_name::GeneralName;
use crate::name::{Name, NameError};

use crate::limits::MAX_DISTRIBUTION_POINTS;

use super::reason::ReasonFlags;

/// directoryName in a GeneralName.
const DIRECTORY_NAME: u8 = tag::context_constructed(4);

/// One distribution point of a certificate, borrowed from its extension.
#[derive(Copy, Clone, Debug)]
pub(super) struct DistributionPoint<'a> {
    /// distributionPoint.
    pub(super) name: Option<PointName<'a>>,
    /// reasons; all of them when the field is absent.
    pub(super) reasons: ReasonFlags,
    /// The content of cRLIssuer, GeneralNames.
    pub(super) crl_issuer: Option<&'a [u8]>,
}

/// DistributionPointName.
#[derive(Copy, Clone, Debug)]
pub(super) enum PointName<'a> {
    /// The content of fullName, GeneralNames.
    Full(&'a [u8]),
    /// The content of nameRelativeToCRLIssuer, a RelativeDistinguishedName.
    Relative(&'a [u8]),
}

/// Reads the points of CRLDistributionPoints, the value of cRLDistributionPoints and freshestCRL. A malformed point
/// ends the list with its error.
pub(super) fn points(value: &[u8]) -> Result<DistributionPoints<'_>, DerError> {
    let list = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
    if list.is_empty() { Err(DerError::Empty) } else { Ok(DistributionPoints { list, left: MAX_DISTRIBUTION_POINTS }) }
}

/// The points of one extension.
#[derive(Clone, Debug)]
pub(super) struct DistributionPoints<'a> {
    list: Reader<'a>,
    left: usize,
}

impl<'a> Iterator for DistributionPoints<'a> {
    type Item = Result<DistributionPoint<'a>, DerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.list.is_empty() {
            return None;
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.list = Reader::new(&[]);
            return Some(Err(DerError::TooDeep(MAX_DISTRIBUTION_POINTS)));
        };
        self.left = left;
        let point = DistributionPoint::read(&mut self.list);
        if point.is_err() {
            self.list = Reader::new(&[]);
        }
        Some(point)
    }
}

impl<'a> DistributionPoint<'a> {
    fn read(list: &mut Reader<'a>) -> Result<Self, DerError> {
        let mut fields = list.nested(tag::SEQUENCE)?;
        let name = match fields.optional(tag::context_constructed(0))? {
            Some(tlv) => Some(PointName::read(tlv.content)?),
            None => None,
        };
        let reasons = match fields.optional(tag::context(1))? {
            Some(tlv) => ReasonFlags::from_bit_string(tlv.content)?,
            None => ReasonFlags::ALL,
        };
        let crl_issuer = match fields.optional(tag::context_constructed(2))? {
            Some(tlv) if tlv.content.is_empty() => return Err(DerError::Empty),
            other => other.map(|tlv| tlv.content),
        };
        fields.finish()?;
        // 4.2.1.13: a point does not consist of reasons alone.
        if name.is_none() && crl_issuer.is_none() {
            return Err(DerError::Empty);
        }
        Ok(Self { name, reasons, crl_issuer })
    }

    /// The number of its names; a point without names counts as one.
    pub(super) fn names(&self) -> usize {
        let full = match self.name {
            Some(PointName::Full(content)) => general_names(content).count(),
            Some(PointName::Relative(_)) | None => 0,
        };
        full.saturating_add(general_names(self.crl_issuer.unwrap_or_default()).count()).max(1)
    }

    /// The names of cRLIssuer that are directory names.
    pub(super) fn crl_issuers(&self) -> impl Iterator<Item = Name> + use<'a> {
        general_names(self.crl_issuer.unwrap_or_default()).filter_map(|(tag, content, _)| directory_name(tag, content))
    }
}

impl<'a> PointName<'a> {
    fn read(explicit: &'a [u8]) -> Result<Self, DerError> {
        let mut choice = Reader::new(explicit);
        let tlv = choice.any()?;
        choice.finish()?;
        if tlv.content.is_empty() {
            return Err(DerError::Empty);
        }
        match tlv.tag {
            0xa0 => {
                let mut names = Reader::new(tlv.content);
                while !names.is_empty() {
                    names.any()?;
                }
                Ok(Self::Full(tlv.content))
            }
            0xa1 => Ok(Self::Relative(tlv.content)),
            found => Err(DerError::UnexpectedTag { wanted: 0xa0, found }),
        }
    }
}

/// A BOOLEAN DEFAULT FALSE; X.690 11.5: the default is not encoded.
fn flag(fields: &mut Reader<'_>, n: u8) -> Result<bool, DerError> {
    match fields.optional(tag::context(n))? {
        None => Ok(false),
        Some(tlv) if der::boolean(tlv.content)? => Ok(true),
        Some(_) => Err(DerError::BadBoolean),
    }
}

/// Tag, content and whole of each name, as far as they are DER.
fn general_names(content: &[u8]) -> impl Iterator<Item = (u8, &[u8], &[u8])> {
    let mut reader = Reader::new(content);
    std::iter::from_fn(move || reader.any().ok().map(|tlv| (tlv.tag, tlv.content, tlv.whole)))
        .take(MAX_DISTRIBUTION_POINTS)
}

fn directory_name(tag: u8, content: &[u8]) -> Option<Name> {
    if tag == DIRECTORY_NAME { Name::from_der(Bytes::copy_from_slice(content)).ok() } else { None }
}

/// `issuer` with one more RDN, which `rdn` holds as the content of a SET.
fn relative_name(issuer: &Name, rdn: &[u8]) -> Result<Name, NameError> {
    let rdns = der::exactly(issuer.der(), tag::SEQUENCE)?.content;
    let mut content = Vec::with_capacity(rdns.len().saturating_add(rdn.len()).saturating_add(8));
    content.extend_from_slice(rdns);
    der::write(&mut content, tag::SET, rdn);
    let mut whole = Vec::with_capacity(content.len().saturating_add(8));
    der::write(&mut whole, tag::SEQUENCE, &content);
    Name::from_der(whole)
}

/// The kind of certificate that a CRL covers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CrlSubjects {
    /// Every certificate of its issuer.
    All,
    /// onlyContainsUserCerts.
    EndEntities,
    /// onlyContainsCACerts.
    Cas,
    /// onlyContainsAttributeCerts: not relevant to certgate.
    Attributes,
}

/// issuingDistributionPoint: the scope of a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuingDistributionPoint {
    /// The names of the point; a relative one is resolved. `None`: the CRL is not bound to a point.
    names: Option<Box<[IssuingName]>>,
    subjects: CrlSubjects,
    reasons: ReasonFlags,
    indirect: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum IssuingName {
    Directory(Name),
    /// The whole DER of any other form.
    Other(Box<[u8]>),
}

/// Why issuingDistributionPoint is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdpError {
    /// Not DER.
    #[error("{0}")]
    Der(#[from] DerError),
    /// A name in it cannot be read.
    #[error("{0}")]
    Name(#[from] NameError),
    /// More than one of its booleans is set.
    #[error("more than one of onlyContainsUserCerts, onlyContainsCACerts and onlyContainsAttributeCerts")]
    Contradiction,
    /// Too many names.
    #[error("more than {MAX_DISTRIBUTION_POINTS} names")]
    TooMany,
}

impl IssuingDistributionPoint {
    /// Parses the value of the extension of a CRL of `issuer`.
    pub(super) fn parse(value: &[u8], issuer: &Name) -> Result<Self, IdpError> {
        der::check(value)?;
        let mut fields = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
        // 5.2.5: not an empty sequence.
        if fields.is_empty() {
            return Err(DerError::Empty.into());
        }
        let names = match fields.optional(tag::context_constructed(0))? {
            Some(tlv) => Some(Self::names(PointName::read(tlv.content)?, issuer)?),
            None => None,
        };
        let (user, ca) = (flag(&mut fields, 1)?, flag(&mut fields, 2)?);
        let reasons = match fields.optional(tag::context(3))? {
            Some(tlv) => ReasonFlags::from_bit_string(tlv.content)?,
            None => ReasonFlags::ALL,
        };
        let (indirect, attributes) = (flag(&mut fields, 4)?, flag(&mut fields, 5)?);
        fields.finish()?;
        // 5.2.5: at most one of the three is set.
        let subjects = match (user, ca, attributes) {
            (false, false, false) => CrlSubjects::All,
            (true, false, false) => CrlSubjects::EndEntities,
            (false, true, false) => CrlSubjects::Cas,
            (false, false, true) => CrlSubjects::Attributes,
            _ => return Err(IdpError::Contradiction),
        };
        Ok(Self { names, subjects, reasons, indirect })
    }

    fn names(point: PointName<'_>, issuer: &Name) -> Result<Box<[IssuingName]>, IdpError> {
        match point {
            PointName::Relative(rdn) => Ok(Box::new([IssuingName::Directory(relative_name(issuer, rdn)?)])),
            PointName::Full(content) => {
                let mut reader = Reader::new(content);
                let mut names = Vec::with_capacity(2);
                while !reader.is_empty() {
                    let tlv = reader.any()?;
                    if names.len() >= MAX_DISTRIBUTION_POINTS {
                        return Err(IdpError::TooMany);
                    }
                    names.push(match tlv.tag {
                        DIRECTORY_NAME => IssuingName::Directory(Name::from_der(Bytes::copy_from_slice(tlv.content))?),
                        _ => IssuingName::Other(tlv.whole.into()),
                    });
                }
                Ok(names.into())
            }
        }
    }

    /// Whether the scopes overlap: in a kind of certificate, a reason, and a name if both have names.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let subjects = self.subjects == other.subjects || [self, other].iter().any(|p| p.subjects == CrlSubjects::All);
        let reasons = self.reasons.without(other.reasons) != self.reasons;
        let names = match (&self.names, &other.names) {
            (Some(one), Some(other)) => one.iter().any(|name| other.contains(name)),
            _ => true,
        };
        subjects && reasons && names
    }

    /// The names of the point in readable form; none if the CRL is not bound to a point.
    pub fn point_names(&self) -> impl Iterator<Item = String> {
        let readable = |name: &IssuingName| match name {
            IssuingName::Directory(name) => name.to_rfc4514(),
            IssuingName::Other(der) => {
                let der = Bytes::copy_from_slice(der);
                match GeneralName::read(&mut Reader::new(&der), &der) {
                    Ok(GeneralName::Uri(text) | GeneralName::Dns(text) | GeneralName::Email(text)) => text,
                    Ok(other) => other.to_string(),
                    Err(_) => "unreadable name".to_owned(),
                }
            }
        };
        self.names.iter().flatten().map(readable)
    }

    /// Which certificates the CRL is about.
    pub fn subjects(&self) -> CrlSubjects {
        self.subjects
    }

    /// Which reasons the CRL is about (onlySomeReasons).
    pub fn reasons(&self) -> ReasonFlags {
        self.reasons
    }

    /// indirectCRL.
    pub fn is_indirect(&self) -> bool {
        self.indirect
    }

    /// 6.3.3 (b) (2) (i): one of the CRL's names is one of the point's, or of its cRLIssuer if the point has no name; a
    /// relative name is relative to `issuer`. A CRL without names matches every point.
    pub(super) fn is_at(&self, point: &DistributionPoint<'_>, issuer: &Name) -> bool {
        let Some(names) = &self.names else { return true };
        match point.name {
            Some(PointName::Relative(rdn)) => relative_name(issuer, rdn)
                .is_ok_and(|wanted| names.iter().any(|name| matches!(name, IssuingName::Directory(n) if *n == wanted))),
            Some(PointName::Full(content)) => Self::any_is(names, content),
            None => Self::any_is(names, point.crl_issuer.unwrap_or_default()),
        }
    }

    /// The same for a point that has only the certificate issuer's name (the last paragraph of 6.3.3).
    pub(super) fn is_at_issuer(&self, issuer: &Name) -> bool {
        let Some(names) = &self.names else { return true };
        names.iter().any(|name| matches!(name, IssuingName::Directory(n) if n == issuer))
    }

    fn any_is(names: &[IssuingName], content: &[u8]) -> bool {
        general_names(content).any(|(tag, content, whole)| match directory_name(tag, content) {
            Some(wanted) => names.iter().any(|name| matches!(name, IssuingName::Directory(n) if *n == wanted)),
            None => names.iter().any(|name| matches!(name, IssuingName::Other(other) if **other == *whole)),
        })
    }
}
