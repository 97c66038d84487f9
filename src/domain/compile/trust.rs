//! `TrustProfile`; its `requirements` are [`super::requirements`]'s, its `revocation` is [`super::revocation`]'s.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::metadata::{check_name, metadata, shown};
use super::requirements::{Requirements, requirements};
use super::revocation::{CompiledRevocation, revocation};
use super::{Field, MAX_HASHES, MAX_SOURCES, Report};
use crate::domain::certificate::Certificate;
use crate::domain::encoding::bundle;
use crate::domain::fingerprint::Sha256;
use crate::domain::spec::{
    AllowedNamespaces, BundleRef, CertificateHash, KeyRef, Kind, LabelSelector, NamespacesFrom, ObjectMeta,
    RequirementsSpec, RevocationModeSpec, TrustModeSpec, TrustProfileSpec, TrustSource,
};

/// The longest name of a signer: a host name of 253 octets, a slash, and a path (Kubernetes' limit for
/// CertificateSigningRequests is 571).
const MAX_SIGNER: usize = 571;

/// The longest path of a file.
const MAX_FILE: usize = 4096;

/// A profile as it stands by itself; its sources are not resolved.
#[derive(Debug)]
pub struct CompiledProfile {
    /// What makes a certificate valid.
    pub mode: TrustModeSpec,
    /// The trust anchors.
    pub anchors: Vec<SourceRef>,
    /// Help for path building.
    pub intermediates: Vec<SourceRef>,
    /// Certificates that are accepted as they are.
    pub peers: Vec<SourceRef>,
    /// The CAs that may issue client certificates.
    pub issuing_authorities: Option<BTreeSet<Sha256>>,
    /// CAs of which a path needs one.
    pub trust_list: Option<BTreeSet<Sha256>>,
    /// Certificates that are refused.
    pub disallowed: BTreeSet<Sha256>,
    /// What a path must fulfil besides.
    pub requirements: Requirements,
    /// How revocation is checked; `None` when it is not.
    pub revocation: Option<CompiledRevocation>,
    /// Who may refer to the profile.
    pub allowed_namespaces: AllowedNamespaces,
}

/// Where certificates come from, or other things that are signed.
#[derive(Clone, Debug)]
pub enum SourceRef<T = Certificate> {
    /// A key of a ConfigMap or Secret of the profile's namespace.
    Key(Kind, KeyRef),
    /// ClusterTrustBundles.
    Bundle(BundleName),
    /// A file.
    File(String),
    /// The profile itself.
    Inline(Arc<[Arc<T>]>),
}

/// Which ClusterTrustBundles a source means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BundleName {
    /// The one of this name.
    Name(String),
    /// Those of this signer with these labels.
    Signer(String, LabelSelector),
}

/// Compiles a `TrustProfile`.
pub fn trust_profile(meta: &ObjectMeta, spec: &TrustProfileSpec) -> (Option<CompiledProfile>, Report) {
    let mut report = Report::default();
    metadata(Kind::TrustProfile, meta, &mut report);
    let field = Field::root("spec");
    let anchors_field = field.child("trustAnchors");
    let peers_field = field.child("trustedPeers");
    let authorities_field = field.child("issuingAuthorities");
    let anchors = sources(&anchors_field, &spec.trust_anchors, &mut report);
    let intermediates = sources(&field.child("intermediates"), &spec.intermediates, &mut report);
    let peers = sources(&peers_field, &spec.trusted_peers, &mut report);
    let issuing_authorities = narrowing(&authorities_field, spec.issuing_authorities.as_deref(), &mut report);
    let trust_list = narrowing(&field.child("trustList"), spec.trust_list.as_deref(), &mut report);
    let disallowed = hashes(&field.child("disallowed"), &spec.disallowed, &mut report);
    let requirements_field = field.child("requirements");
    let requirements = requirements(&requirements_field, &spec.requirements, &mut report);
    let revocation_field = field.child("revocation");
    let revocation = spec.revocation.as_ref().and_then(|spec| revocation(&revocation_field, spec, &mut report));
    allowed_namespaces(&field.child("allowedNamespaces"), &spec.allowed_namespaces, &mut report);

    let chain = spec.mode != TrustModeSpec::Peer;
    let peer = spec.mode != TrustModeSpec::Chain;
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
        issuing_authorities,
        trust_list,
        disallowed,
        requirements,
        revocation,
        allowed_namespaces: spec.allowed_namespaces.clone(),
    });
    (profile, report)
}

fn sources(field: &Field<'_>, specs: &[TrustSource], report: &mut Report) -> Vec<SourceRef> {
    report.cap(field, specs.len(), MAX_SOURCES);
    specs.iter().enumerate().filter_map(|(at, spec)| source(&field.at(at), spec, report)).collect()
}

fn source(field: &Field<'_>, spec: &TrustSource, report: &mut Report) -> Option<SourceRef> {
    let TrustSource { config_map, secret, cluster_trust_bundle, inline, file } = spec;
    match (config_map, secret, cluster_trust_bundle, inline, file) {
        (Some(key), None, None, None, None) => {
            key_ref(&field.child("configMap"), key, report);
            Some(SourceRef::Key(Kind::ConfigMap, key.clone()))
        }
        (None, Some(key), None, None, None) => {
            key_ref(&field.child("secret"), key, report);
            Some(SourceRef::Key(Kind::Secret, key.clone()))
        }
        (None, None, Some(bundle), None, None) => {
            bundle_name(&field.child("clusterTrustBundle"), bundle, report).map(SourceRef::Bundle)
        }
        (None, None, None, Some(pem), None) => {
            let certificates = certificates(&Bytes::copy_from_slice(pem.as_bytes()));
            report.take(&field.child("inline"), certificates).map(|found| SourceRef::Inline(found.into()))
        }
        (None, None, None, None, Some(path)) => Some(file_ref(&field.child("file"), path, report)),
        _ => {
            report.error(field, "want exactly one of configMap, secret, clusterTrustBundle, inline, file");
            None
        }
    }
}

fn bundle_name(field: &Field<'_>, spec: &BundleRef, report: &mut Report) -> Option<BundleName> {
    let BundleRef { name, signer_name, label_selector } = spec;
    let labels = field.child("labelSelector");
    match (name, signer_name) {
        (Some(name), None) => {
            // Names of bundles may hold colons after a signer's name; they are only looked up.
            if name.is_empty() {
                report.error(&field.child("name"), "the name is empty");
            }
            if label_selector.is_some() {
                report.error(&labels, "a labelSelector is given with signerName only");
            }
            Some(BundleName::Name(name.clone()))
        }
        (None, Some(signer)) => {
            // As the API server takes them: a domain, a slash, and a path.
            let parts = signer.split_once('/');
            let sound = parts.is_some_and(|(domain, path)| domain.contains('.') && !path.is_empty());
            if !sound || signer.len() > MAX_SIGNER || !signer.bytes().all(is_signer_byte) {
                let message = format_args!("{} is not the name of a signer: want domain/path", shown(signer));
                report.error(&field.child("signerName"), message);
            }
            let Some(selector) = label_selector else {
                report.error(&labels, "signerName needs a labelSelector; `{}` selects all bundles of the signer");
                return None;
            };
            Some(BundleName::Signer(signer.clone(), selector.clone()))
        }
        _ => {
            report.error(field, "want exactly one of name, signerName");
            None
        }
    }
}

const fn is_signer_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/' | b'_')
}

pub(super) fn file_ref<T>(field: &Field<'_>, path: &str, report: &mut Report) -> SourceRef<T> {
    if path.is_empty() || path.len() > MAX_FILE || path.chars().any(char::is_control) {
        report.error(field, format_args!("{} is not the path of a file", shown(path)));
    }
    SourceRef::File(path.to_owned())
}

pub(super) fn key_ref(field: &Field<'_>, spec: &KeyRef, report: &mut Report) {
    check_name(&field.child("name"), &spec.name, report);
    if spec.key.is_empty() {
        report.error(&field.child("key"), "the key is empty");
    }
}

/// The certificates in a PEM text, at least one, each once.
pub fn certificates(pem: &Bytes) -> Result<Vec<Arc<Certificate>>, String> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for (at, der) in (1..).zip(bundle::certificates(pem).map_err(|error| error.to_string())?) {
        let certificate = Certificate::from_der(der).map_err(|error| format!("certificate {at}: {error}"))?;
        if seen.insert(certificate.sha256()) {
            out.push(Arc::new(certificate));
        }
    }
    Ok(out)
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
