//! The last step of a `TrustProfile`: from a [`CompiledProfile`], which names its sources, to a [`ResolvedProfile`],
//! which holds what they contain and verifies certificates.
//!
//! A source whose content has never been readable makes the profile unavailable: a replica must not decide by a part of
//! what the author wrote. Owned here: which content is joined to what, and which errors its author gets. Reading the
//! sources and keeping their last good content is the wing `store`'s.

use std::collections::BTreeSet;
use std::sync::Arc;

use certgate_x509::{
    Certificate, Crl, DEFAULT_MAX_PATH_LENGTH, KeyPurpose, PathParameters, RevocationData, RevocationMode,
    RevocationPolicy, SignaturePolicy, UsageRule,
};

use super::{CertificateSource, CompiledProfile, CompiledRevocation, SourceRef};
use crate::domain::api::{ExtendedKeyUsageSpec, Field, FieldError, Kind, ObjectId, TrustModeSpec};
use crate::domain::decide::resolved_profile::ResolvedProfile;
use crate::domain::decide::verifier::{CertificateVerifier, TrustMode, VerifierParameters};

/// The certificates or CRLs that a source contains.
pub type SourceContent<T> = Arc<[Arc<T>]>;

/// A source as it was last read.
#[derive(Debug)]
pub struct LoadedSource<T> {
    /// The last good content.
    pub good: Option<SourceContent<T>>,
    /// Why the present content cannot be used.
    pub error: Option<String>,
    /// The parts of the present content that were left out, and why.
    pub skipped: Vec<String>,
}

impl<T> Default for LoadedSource<T> {
    fn default() -> Self {
        Self { good: None, error: None, skipped: Vec::new() }
    }
}

impl<T> LoadedSource<T> {
    /// The state of a source that is assumed to be empty.
    pub fn empty() -> Self {
        Self { good: Some(Vec::new().into()), ..Self::default() }
    }
}

/// Looks up the sources of one profile. `None` for inline sources.
pub trait ProfileSources {
    /// The state of a source of certificates.
    fn certificates(&self, source: &CertificateSource) -> Option<&LoadedSource<Certificate>>;

    /// The state of a source of CRLs.
    fn crls(&self, source: &SourceRef<Crl>) -> Option<&LoadedSource<Crl>>;

    /// Whether the object that a source names is absent and assumed to exist.
    fn is_assumed(&self, source: &SourceRef) -> bool;
}

/// The result of resolving a profile.
#[derive(Debug, Default)]
pub struct Resolution {
    /// What is wrong with its sources; its CRLs included.
    pub errors: Vec<FieldError>,
    /// What is doubtful about its CRLs.
    pub warnings: Vec<FieldError>,
    /// The certificates that are left out of its sources; warnings as well.
    pub skipped: Vec<FieldError>,
    /// Why there is no resolved profile; `None` when there is one.
    unavailable: Option<String>,
    joined: Option<ResolvedWithSources>,
}

/// A resolved profile with what it was made from.
#[derive(Debug)]
struct ResolvedWithSources {
    certificates: [Vec<SourceContent<Certificate>>; 3],
    crls: Vec<SourceContent<Crl>>,
    profile: Arc<ResolvedProfile>,
    /// CRLs that are older than what the profile has used already.
    rolled_back: Vec<FieldError>,
    /// CRLs that no certificate of the profile has signed.
    unsigned: Vec<FieldError>,
}

impl Resolution {
    /// The resolved profile, or why there is none.
    ///
    /// # Errors
    /// The first source whose content has never been readable.
    pub fn profile(&self) -> Result<&Arc<ResolvedProfile>, &str> {
        match &self.joined {
            Some(joined) => Ok(&joined.profile),
            None => Err(self.unavailable.as_deref().unwrap_or(NOT_READ)),
        }
    }

    /// Every warning about the sources.
    pub fn all_warnings(&self) -> impl Iterator<Item = &FieldError> {
        self.warnings.iter().chain(&self.skipped)
    }
}

/// Why a profile is unavailable that has not been resolved yet.
pub const NOT_READ: &str = "its sources have not been read";

impl CompiledProfile {
    /// The sources of certificates by field: `trustAnchors`, `intermediates`, `trustedPeers`.
    pub fn certificate_sources(&self) -> [(&'static str, &[CertificateSource]); 3] {
        [("trustAnchors", &self.anchors), ("intermediates", &self.intermediates), ("trustedPeers", &self.peers)]
    }

    /// The sources of CRLs.
    pub fn crl_sources(&self) -> &[SourceRef<Crl>] {
        self.revocation.as_ref().map(|revocation| &*revocation.crls).unwrap_or_default()
    }

    /// Joins the profile `id` with the contents of its sources.
    ///
    /// `former` is the last resolution of the same compiled profile: what has not changed is taken over from it, so
    /// that nothing that was built for path building is built again. `used` is the revocation data that any version of
    /// this profile has used so far: no CRL replaces a newer one.
    #[must_use]
    pub fn resolve(
        &self,
        id: &ObjectId,
        sources: &impl ProfileSources,
        former: Option<Resolution>,
        used: &RevocationData,
    ) -> Resolution {
        let spec = Field::root("spec");
        let mut out = Resolution::default();
        let certificates = self.certificate_sources().map(|(name, list)| {
            let list = list.iter().map(|source| (&source.source, sources.certificates(source)));
            gather(&spec.child(name), list, &mut out)
        });
        let [anchors, ..] = &certificates;
        if out.unavailable.is_none()
            && self.mode != TrustModeSpec::Peer
            && !self.anchors.is_empty()
            && anchors.iter().all(|list| list.is_empty())
            && !self.anchors.iter().any(|source| sources.is_assumed(&source.source))
        {
            // The author listed anchors. Denying every client as untrusted would blame the clients.
            let problem = "no certificate of trustAnchors can be used".to_owned();
            out.errors.push(FieldError::new(spec.child("trustAnchors").to_string(), problem.clone()));
            out.unavailable = Some(problem);
        }
        let field = spec.child("revocation");
        let list = self.crl_sources().iter().map(|source| (source, sources.crls(source)));
        let crls = gather(&field.child("crls"), list, &mut out);
        if out.unavailable.is_none() {
            let former = former.and_then(|former| former.joined);
            let joined = self.join(former, id, certificates, crls, used);
            out.errors.extend(joined.rolled_back.iter().cloned());
            out.warnings.extend(joined.unsigned.iter().cloned());
            out.joined = Some(joined);
        }
        out
    }

    fn join(
        &self,
        former: Option<ResolvedWithSources>,
        id: &ObjectId,
        certificates: [Vec<SourceContent<Certificate>>; 3],
        crls: Vec<SourceContent<Crl>>,
        used: &RevocationData,
    ) -> ResolvedWithSources {
        let verifier = match former {
            Some(former) if certificates.iter().zip(&former.certificates).all(|(now, then)| same(now, then)) => {
                if same(&crls, &former.crls) {
                    return former;
                }
                Arc::clone(former.profile.verifier())
            }
            _ => Arc::new(CertificateVerifier::new(verifier_parameters(self, &certificates))),
        };
        let signatures = self.requirements.signatures;
        let policy = revocation_policy(self.revocation.as_ref(), signatures);
        let mut seen = BTreeSet::new();
        let offered = crls.iter().flat_map(|list| list.iter()).filter(|crl| seen.insert(Arc::as_ptr(crl))).cloned();
        let offered = RevocationData::new(offered);
        // A CRL replaces another only once its signature is verified.
        offered.verify_by(verifier.signers().anchors(), &signatures);
        offered.verify_by(verifier.signers().intermediates(), &signatures);
        let spec = Field::root("spec");
        let revocation = spec.child("revocation");
        let field = revocation.child("crls").to_string();
        let problem = |message: String| FieldError::new(field.clone(), message);
        let unsigned = offered.unverified(&signatures).map(|crl| {
            problem(format!(
                "{crl} is not signed by an anchor or intermediate of this profile: it will probably be ignored"
            ))
        });
        let unsigned = unsigned.collect();
        let (data, rolled_back) =
            used.retain_signers(|spki| verifier.accepts_crl_key(spki)).updated(offered, &signatures);
        let name = format!("{}/{}", id.namespace, id.name).into();
        ResolvedWithSources {
            certificates,
            crls,
            profile: Arc::new(ResolvedProfile::new(name, verifier, policy, Arc::new(data))),
            rolled_back: rolled_back.iter().map(|rolled_back| problem(rolled_back.to_string())).collect(),
            unsigned,
        }
    }
}

/// The contents of a list of sources. Notes in `out` what cannot be used.
fn gather<'s, T: 's>(
    field: &Field<'_>,
    list: impl Iterator<Item = (&'s SourceRef<T>, Option<&'s LoadedSource<T>>)>,
    out: &mut Resolution,
) -> Vec<SourceContent<T>> {
    let mut contents = Vec::new();
    for (at, (source, state)) in list.enumerate() {
        if let SourceRef::Inline(content) = source {
            contents.push(Arc::clone(content));
        }
        let Some(state) = state else { continue };
        let field = field.at(at);
        let field = match source {
            SourceRef::Key(Kind::Secret, _) => field.child("secret"),
            SourceRef::Key(..) => field.child("configMap"),
            SourceRef::Bundle(_) => field.child("clusterTrustBundle"),
            SourceRef::File(_) | SourceRef::Inline(_) => field.child("file"),
        };
        let problem = |problem: &dyn std::fmt::Display| FieldError::new(field.to_string(), problem.to_string());
        out.skipped.extend(state.skipped.iter().map(|skipped| problem(skipped)));
        let error = state.error.as_deref();
        let kept = if state.good.is_some() { "; its last good content stays in use" } else { "" };
        if let Some(error) = error {
            out.errors.push(problem(&format_args!("{error}{kept}")));
        }
        match &state.good {
            Some(good) => contents.push(Arc::clone(good)),
            None => {
                let problem = error.unwrap_or("not read").to_owned();
                out.unavailable.get_or_insert(problem);
            }
        }
    }
    contents
}

/// Whether both lists hold the same contents, compared by address.
fn same<T>(left: &[SourceContent<T>], right: &[SourceContent<T>]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| Arc::ptr_eq(left, right))
}

fn revocation_policy(compiled: Option<&CompiledRevocation>, signatures: SignaturePolicy) -> RevocationPolicy {
    match compiled {
        None => RevocationPolicy { mode: RevocationMode::NoCheck, signatures, ..RevocationPolicy::default() },
        Some(compiled) => RevocationPolicy {
            mode: RevocationMode::Offline,
            scope: compiled.scope,
            on_unknown: compiled.on_unknown,
            freshness: compiled.freshness,
            signatures,
        },
    }
}

fn verifier_parameters(
    compiled: &CompiledProfile,
    [anchors, intermediates, peers]: &[Vec<SourceContent<Certificate>>; 3],
) -> VerifierParameters {
    VerifierParameters {
        mode: match compiled.mode {
            TrustModeSpec::Chain => TrustMode::Chain,
            TrustModeSpec::Peer => TrustMode::Peer,
            TrustModeSpec::PeerOrChain => TrustMode::PeerOrChain,
        },
        anchors: union(anchors),
        intermediates: union(intermediates),
        peers: union(peers),
        issuing_authorities: compiled.issuing_authorities.as_ref().map(|set| set.iter().copied().collect()),
        trust_list: compiled.trust_list.as_ref().map(|set| set.iter().copied().collect()),
        peer_keys: compiled.peer_keys.iter().copied().collect(),
        disallowed: compiled.disallowed.iter().copied().collect(),
        disallowed_keys: compiled.disallowed_keys.iter().copied().collect(),
        requirements: PathParameters {
            usage: match compiled.requirements.extended_key_usage {
                ExtendedKeyUsageSpec::Listed => UsageRule::Listed(KeyPurpose::ClientAuth),
                ExtendedKeyUsageSpec::Permitted => UsageRule::Permitted(KeyPurpose::ClientAuth),
                ExtendedKeyUsageSpec::PermittedOrAny => UsageRule::PermittedOrAny(KeyPurpose::ClientAuth),
            },
            signatures: compiled.requirements.signatures,
            policies: compiled.requirements.policies.clone(),
            max_path_length: compiled.requirements.max_path_length.unwrap_or(DEFAULT_MAX_PATH_LENGTH),
            ..PathParameters::default()
        },
    }
}

/// Each certificate once, in the order of the sources.
fn union(lists: &[SourceContent<Certificate>]) -> Vec<Arc<Certificate>> {
    let mut seen = BTreeSet::new();
    lists.iter().flat_map(|list| list.iter()).filter(|certificate| seen.insert(certificate.sha256())).cloned().collect()
}
