//! `TrustProfile`; its sources are [`super::source`]'s, its `requirements` are [`super::requirements`]'s, its
//! `revocation` is [`super::revocation`]'s.

use std::collections::BTreeSet;
use std::fmt;

use super::metadata::{metadata, shown};
use super::requirements::{Requirements, requirements};
use super::revocation::{CompiledRevocation, revocation};
use super::source::{CertificateSource, Role, sources};
use super::{Field, FieldError, MAX_HASHES, MAX_SOURCES, Report};
use crate::domain::api::{
    AllowedNamespaces, AnchorExtensionsSpec, CertificateHash, DisallowedHash, Kind, NamespacesFrom, ObjectMeta,
    PeerSource, RequirementsSpec, RevocationModeSpec, TrustModeSpec, TrustProfileSpec, TrustSource,
};
use certgate_x509::Sha256;

/// A `TrustProfile` that is checked, with its sources named and not read.
#[derive(Debug)]
pub struct CompiledProfile {
    /// What makes a certificate valid.
    pub mode: TrustModeSpec,
    /// The trust anchors.
    pub anchors: Vec<CertificateSource>,
    /// Help for path building.
    pub intermediates: Vec<CertificateSource>,
    /// Certificates that are accepted as they are.
    pub peers: Vec<CertificateSource>,
    /// Keys for which any certificate is accepted.
    pub peer_keys: BTreeSet<Sha256>,
    /// The CAs that may issue client certificates.
    pub issuing_authorities: Option<BTreeSet<Sha256>>,
    /// CAs of which a path needs one.
    pub trust_list: Option<BTreeSet<Sha256>>,
    /// Certificates that are refused.
    pub disallowed: BTreeSet<Sha256>,
    /// Keys that are refused.
    pub disallowed_keys: BTreeSet<Sha256>,
    /// What a path must fulfil besides.
    pub requirements: Requirements,
    /// How revocation is checked; `None` when it is not.
    pub revocation: Option<CompiledRevocation>,
    /// Who may refer to the profile.
    pub allowed_namespaces: AllowedNamespaces,
    /// The certificates of inline sources that do not count; they are among the warnings too.
    pub skipped: Vec<FieldError>,
}

/// Compiles a `TrustProfile`.
pub fn trust_profile(meta: &ObjectMeta, spec: &TrustProfileSpec) -> (Option<CompiledProfile>, Report) {
    let mut report = Report::default();
    metadata(Kind::TrustProfile, meta, &mut report);
    let field = Field::root("spec");
    let anchors_field = field.child("trustAnchors");
    let peers_field = field.child("trustedPeers");
    let authorities_field = field.child("issuingAuthorities");
    let chain = spec.mode != TrustModeSpec::Peer;
    let peer = spec.mode != TrustModeSpec::Chain;
    let mut skipped = Vec::new();
    // In mode Peer no path ends at these certificates, so they need not be CAs.
    let role = match spec.anchor_extensions {
        AnchorExtensionsSpec::Enforce if chain => Role::Anchor,
        AnchorExtensionsSpec::Enforce | AnchorExtensionsSpec::Ignore => Role::Any,
    };
    let anchors = sources(&anchors_field, spec.trust_anchors.iter().enumerate(), role, &mut skipped, &mut report);
    let intermediates = spec.intermediates.iter().enumerate();
    let intermediates = sources(&field.child("intermediates"), intermediates, Role::Any, &mut skipped, &mut report);
    let (peers, peer_keys) = peers(&peers_field, &spec.trusted_peers, &mut skipped, &mut report);
    let issuing_authorities = narrowing(&authorities_field, spec.issuing_authorities.as_deref(), &mut report);
    let trust_list = narrowing(&field.child("trustList"), spec.trust_list.as_deref(), &mut report);
    let (disallowed, disallowed_keys) = disallowed(&field.child("disallowed"), &spec.disallowed, &mut report);
    let requirements_field = field.child("requirements");
    let requirements = requirements(&requirements_field, &spec.requirements, &mut report);
    let revocation_field = field.child("revocation");
    let revocation = spec.revocation.as_ref().and_then(|spec| revocation(&revocation_field, spec, &mut report));
    allowed_namespaces(&field.child("allowedNamespaces"), &spec.allowed_namespaces, &mut report);

    if chain && spec.anchor_extensions == AnchorExtensionsSpec::Ignore {
        let message = "WEAK: with Ignore the key of any certificate in trustAnchors can issue every identity, a client's \
                       too";
        report.warning(&field.child("anchorExtensions"), message);
    }
    if chain && spec.trust_anchors.is_empty() {
        report.warning(&anchors_field, "there are no trust anchors: no path can be valid");
    }
    if !chain && !spec.trust_anchors.is_empty() {
        report.warning(&anchors_field, "mode Peer does not use trust anchors");
    }
    if peer && spec.trusted_peers.is_empty() {
        report.warning(&peers_field, "there are no trusted peers");
    }
    if !peer && !spec.trusted_peers.is_empty() {
        report.warning(&peers_field, "mode Chain does not use trusted peers");
    }
    if !chain && spec.issuing_authorities.is_some() {
        report.warning(&authorities_field, "mode Peer knows no issuing CA: with this list every certificate is denied");
    }
    if !chain && spec.requirements != RequirementsSpec::default() {
        report.warning(&requirements_field, "mode Peer knows no path: a peer need not fulfil them");
    }
    if !chain && spec.revocation.as_ref().is_some_and(|spec| spec.mode != RevocationModeSpec::NoCheck) {
        report.warning(&revocation_field, "mode Peer knows no path: the revocation of a peer is not checked");
    }
    let profile = report.errors.is_empty().then(|| CompiledProfile {
        mode: spec.mode,
        anchors,
        intermediates,
        peers,
        peer_keys,
        issuing_authorities,
        trust_list,
        disallowed,
        disallowed_keys,
        requirements,
        revocation,
        allowed_namespaces: spec.allowed_namespaces.clone(),
        skipped,
    });
    (profile, report)
}

/// The sources of peers, and the keys of those that are named by them.
fn peers(
    field: &Field<'_>,
    specs: &[PeerSource],
    skipped: &mut Vec<FieldError>,
    report: &mut Report,
) -> (Vec<CertificateSource>, BTreeSet<Sha256>) {
    report.cap(field, specs.len(), MAX_SOURCES);
    let (mut places, mut keys) = (Vec::new(), BTreeSet::new());
    for (at, spec) in specs.iter().enumerate() {
        let source = spec.source();
        match &spec.public_key_sha256 {
            Some(text) if source == TrustSource::default() => {
                let key = text.parse::<Sha256>().map_err(|error| quote(text, &error));
                keys.extend(report.take(&field.at(at).child("publicKeySha256"), key));
            }
            Some(_) => {
                let message = "want either publicKeySha256 or a place that holds certificates";
                report.error(&field.at(at), message);
            }
            None => places.push((at, source)),
        }
    }
    let places = places.iter().map(|(at, source)| (*at, source));
    (sources(field, places, Role::Any, skipped, report), keys)
}

/// A list that narrows. An empty one would deny everything, or nothing: its author must say which.
fn narrowing(field: &Field<'_>, spec: Option<&[CertificateHash]>, report: &mut Report) -> Option<BTreeSet<Sha256>> {
    let spec = spec?;
    if spec.is_empty() {
        report.error(field, "the list is empty: name a certificate, or leave it out to allow any");
    }
    Some(hashes(field, spec, report))
}

fn hashes(field: &Field<'_>, spec: &[CertificateHash], report: &mut Report) -> BTreeSet<Sha256> {
    report.cap(field, spec.len(), MAX_HASHES);
    let hash = |(at, spec): (usize, &CertificateHash)| {
        report.take(&field.at(at).child("sha256"), spec.sha256.parse().map_err(|error| quote(&spec.sha256, &error)))
    };
    spec.iter().enumerate().filter_map(hash).collect()
}

/// Certificates and keys, each named by exactly one fingerprint.
fn disallowed(field: &Field<'_>, spec: &[DisallowedHash], report: &mut Report) -> (BTreeSet<Sha256>, BTreeSet<Sha256>) {
    report.cap(field, spec.len(), MAX_HASHES);
    let (mut certificates, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for (at, spec) in spec.iter().enumerate() {
        let field = field.at(at);
        let mut hash = |name: &str, text: &str| {
            report.take(&field.child(name), text.parse::<Sha256>().map_err(|error| quote(text, &error)))
        };
        match (&spec.sha256, &spec.public_key_sha256) {
            (Some(text), None) => certificates.extend(hash("sha256", text)),
            (None, Some(text)) => keys.extend(hash("publicKeySha256", text)),
            _ => report.error(&field, "want exactly one of sha256, publicKeySha256"),
        }
    }
    (certificates, keys)
}

fn quote(text: &str, error: &dyn fmt::Display) -> String {
    format!("{}: {error}", shown(text))
}

fn allowed_namespaces(field: &Field<'_>, spec: &AllowedNamespaces, report: &mut Report) {
    match (spec.from, &spec.selector) {
        (NamespacesFrom::Selector, None) => report.error(&field.child("selector"), "from: Selector needs a selector"),
        (NamespacesFrom::Same | NamespacesFrom::All, Some(_)) => {
            report.error(&field.child("selector"), "a selector is used with from: Selector only");
        }
        _ => {}
    }
}
