//! The search for a path, from the leaf upwards.
//!
//! Depth first over names: a candidate issuer is a certificate whose subject is the child's issuer. Signatures are
//! verified only once a chain of names has reached an anchor, from the leaf upwards, each pair of a child and a key at
//! most once, and within the pool once for all searches; so neither dead ends nor decoys that lead nowhere cost one.
//! Candidates are tried in the order in which they are likely right (key identifiers agree, in their validity period,
//! anchors first), so that an honest chain costs one pass. Nothing recurses on input. Certificates by number are
//! [`super::nodes`]'s, limits [`super::budget`]'s.

use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::certificate::Certificate;
use crate::der::DerError;
use crate::time::UnixTime;
use crate::trace::{Trace, Verdict};

use super::budget::{Account, Budget};
use super::error::{Rank, shown};
use super::key_kind::KeyOrigin;
use super::nodes::{Node, Nodes};
use super::pool::Pool;
use super::signature::{PublicKey, SignatureError};
use super::{
    PathError, PathFailure, PathParameters, Rejection, RolloverRule, ValidPath, constraints, policies, validate,
};

/// After this many steps the search is unusual, and it pays to compute which certificates can lead to an anchor at all.
const REACH_AFTER: u32 = 200;

/// Finds a path from `leaf` to an anchor of `pool` that is valid at `now` and that `accept` accepts.
///
/// `presented` certificates help to build paths and are not trusted. The result of `accept` is returned with the path.
pub fn find_path<T: Trace, R>(
    leaf: &Arc<Certificate>,
    presented: &[Arc<Certificate>],
    pool: &Pool,
    parameters: &PathParameters,
    now: UnixTime,
    trace: &mut T,
    accept: impl FnMut(&ValidPath, &mut T) -> Result<R, Rejection>,
) -> Result<(ValidPath, R), PathFailure> {
    find_path_within(&Budget::default(), leaf, presented, pool, parameters, now, trace, accept)
}

/// [`find_path`] within the rest of a shared budget.
#[expect(clippy::too_many_arguments, reason = "the inputs of RFC 5280 section 6.1.1, and what they may cost")]
pub fn find_path_within<T: Trace, R>(
    budget: &Budget,
    leaf: &Arc<Certificate>,
    presented: &[Arc<Certificate>],
    pool: &Pool,
    parameters: &PathParameters,
    now: UnixTime,
    trace: &mut T,
    accept: impl FnMut(&ValidPath, &mut T) -> Result<R, Rejection>,
) -> Result<(ValidPath, R), PathFailure> {
    budget.fails(None);
    if let Err(error) = validate::leaf(leaf, parameters, now) {
        return Err(PathFailure { error, position: 0, path: vec![Arc::clone(leaf)] });
    }
    let search = Search {
        leaf,
        presented: presented.len(),
        nodes: Nodes::new(leaf, presented, pool, now),
        pool,
        parameters,
        now,
        budget,
        signatures: HashMap::default(),
        offered: false,
        best: None,
    };
    search.run(trace, accept)
}

struct Search<'a> {
    leaf: &'a Arc<Certificate>,
    /// How many certificates came along.
    presented: usize,
    nodes: Nodes<'a>,
    pool: &'a Pool,
    parameters: &'a PathParameters,
    now: UnixTime,
    budget: &'a Budget,
    /// Signatures verified so far, by child and key.
    signatures: HashMap<(Node, u32), Result<(), SignatureError>, RandomState>,
    /// Whether `accept` was called for a path.
    offered: bool,
    best: Option<FarthestFailure>,
}

/// A certificate of the path being built, and what is left to try above it.
struct Frame {
    node: Node,
    /// Intermediates from the leaf to this one, itself included unless it is self-issued or the leaf.
    counted: u32,
    candidates: Range<usize>,
}

struct FarthestFailure {
    rank: Rank,
    error: PathError,
    position: usize,
    path: Vec<Node>,
}

/// The result of a chain that reached an anchor.
enum Completion<R> {
    Accepted(ValidPath, R),
    /// The signature of this position does not verify by the key above it.
    BadSignature(usize),
    Refused,
    /// No budget is left.
    Stop,
}

impl<'a> Search<'a> {
    fn run<T: Trace, R>(
        mut self,
        trace: &mut T,
        mut accept: impl FnMut(&ValidPath, &mut T) -> Result<R, Rejection>,
    ) -> Result<(ValidPath, R), PathFailure> {
        let mut frames = Vec::with_capacity(4);
        frames.push(Frame { node: 0, counted: 0, candidates: self.nodes.candidates(0) });
        if frames.first().is_none_or(|frame| frame.candidates.is_empty()) {
            let leaf = self.leaf;
            self.fail(&frames, None, 0, Rank::DeadEnd, || unknown_issuer(leaf), trace);
        }
        while let Some(frame) = frames.last_mut() {
            let (node, counted) = (frame.node, frame.counted);
            let Some(candidate) = frame.candidates.next().and_then(|position| self.nodes.candidate(position)) else {
                frames.pop();
                continue;
            };
            if let Err(error) = self.budget.step(self.nodes.origin(candidate), self.presented) {
                self.fail(&frames, None, 0, error.rank(), || error.clone(), trace);
                break;
            }
            if self.known_bad(node, candidate) || self.is_loop(&frames, candidate) {
                continue;
            }
            if self.nodes.is_anchor(candidate) {
                match self.complete(&frames, candidate, trace, &mut accept) {
                    Completion::Accepted(path, result) => return Ok((path, result)),
                    // Everything above the pair is removed with it.
                    Completion::BadSignature(position) => frames.truncate(position.saturating_add(1)),
                    Completion::Refused => {}
                    Completion::Stop => break,
                }
                continue;
            }
            self.descend(&mut frames, candidate, counted, trace);
        }
        Err(self.failure())
    }

    /// Adds an intermediate to the path, unless it is unfit as one.
    fn descend<T: Trace>(&mut self, frames: &mut Vec<Frame>, candidate: Node, counted: u32, trace: &mut T) {
        let Some(certificate) = self.nodes.certificate(candidate) else { return };
        let intermediates = u32::try_from(frames.len()).unwrap_or(u32::MAX);
        let limit = self.parameters.max_path_length;
        if self.budget.steps_taken() >= REACH_AFTER && !self.nodes.can_reach(candidate, intermediates, limit) {
            return;
        }
        if intermediates > limit {
            self.fail(frames, Some(candidate), frames.len(), Rank::DeadEnd, || PathError::TooLong(limit), trace);
            return;
        }
        let outcome = if self.is_next_key(certificate) {
            validate::next_key(certificate, counted, self.now)
        } else {
            validate::issuer(certificate, counted, self.now)
        };
        if let Err(error) = outcome {
            self.fail(frames, Some(candidate), frames.len(), error.rank(), || error.clone(), trace);
            return;
        }
        let counted = if certificate.is_self_issued() { counted } else { counted.saturating_add(1) };
        let candidates = self.nodes.candidates(candidate);
        let dead_end = candidates.is_empty();
        frames.push(Frame { node: candidate, counted, candidates });
        if dead_end {
            let at = frames.len().saturating_sub(1);
            self.fail(frames, None, at, Rank::DeadEnd, || unknown_issuer(certificate), trace);
        }
    }

    /// Whether an anchor may have issued the certificate to its own name, and that is sufficient.
    fn is_next_key(&self, certificate: &Certificate) -> bool {
        self.parameters.rollover == RolloverRule::KeyCertSign
            && certificate.is_self_issued()
            && self.pool.anchors().iter().any(|anchor| anchor.subject() == certificate.subject())
    }

    /// Validates a chain that has reached an anchor: signatures first, since without them it is no chain; then
    /// policies, name constraints and usage; then the caller's check.
    fn complete<T: Trace, R>(
        &mut self,
        frames: &[Frame],
        anchor: Node,
        trace: &mut T,
        accept: &mut impl FnMut(&ValidPath, &mut T) -> Result<R, Rejection>,
    ) -> Completion<R> {
        let mut nodes: Vec<Node> = Vec::with_capacity(frames.len().saturating_add(1));
        nodes.extend(frames.iter().map(|frame| frame.node).chain([anchor]));
        for (position, pair) in nodes.windows(2).enumerate() {
            let [child, issuer] = pair else { continue };
            match self.verify(*child, *issuer) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    // A weak or unknown key is the issuer's fault, everything else the child's.
                    let issuers = matches!(
                        error,
                        SignatureError::WeakKey { .. }
                            | SignatureError::Oversized { .. }
                            | SignatureError::BadExponent
                            | SignatureError::UnsupportedKey(_)
                            | SignatureError::Key(_)
                    );
                    let at = if issuers { position.saturating_add(1) } else { position };
                    let error = || PathError::Signature(error.clone());
                    self.fail(frames, Some(anchor), at, Rank::Signature, error, trace);
                    return Completion::BadSignature(position);
                }
                Err(error) => {
                    self.fail(frames, Some(anchor), position, error.rank(), || error.clone(), trace);
                    return Completion::Stop;
                }
            }
        }
        let certificates: Vec<Arc<Certificate>> =
            nodes.iter().filter_map(|node| self.nodes.certificate(*node)).cloned().collect();
        let outcome = self.check_whole(&certificates).and_then(|policies| {
            self.offered = true;
            let path = ValidPath { certificates, policies };
            trace.step("path", Verdict::Note, || format!("valid so far: {}", describe(path.certificates())));
            match accept(&path, trace) {
                Ok(result) => Ok((path, result)),
                Err(Rejection { kind, detail }) => Err((0, PathError::Rejected { kind, detail })),
            }
        });
        match outcome {
            Ok((path, result)) => Completion::Accepted(path, result),
            Err((position, error)) => {
                let stop = matches!(error, PathError::Budget { .. });
                self.fail(frames, Some(anchor), position, error.rank(), || error.clone(), trace);
                if stop { Completion::Stop } else { Completion::Refused }
            }
        }
    }

    /// The rules over a whole path, the leaf first and the anchor last. Errors name the certificate's position.
    fn check_whole(&self, path: &[Arc<Certificate>]) -> Result<policies::ValidPolicies, (usize, PathError)> {
        self.budget.path().map_err(|error| (0, error))?;
        let below_anchor = path.split_last().map(|(_, below)| below).unwrap_or_default();
        let top = below_anchor.len().saturating_sub(1);
        for certificate in below_anchor {
            let policies = certificate.certificate_policies().map_or(0, <[_]>::len);
            let mappings = certificate.policy_mappings().map_or(0, <[_]>::len);
            self.budget.policies(policies.saturating_add(mappings)).map_err(|error| (0, error))?;
        }
        let downwards = below_anchor.iter().rev().map(|certificate| &**certificate);
        let policies = policies::check(downwards, &self.parameters.policies)
            .map_err(|(index, error)| (top.saturating_sub(index), error))?;
        // 6.1.3 (b), (c): the constraints of every certificate above hold for the names of those below, self-issued
        // ones apart unless last.
        for (above, constrainer) in path.iter().enumerate().skip(1) {
            let Some(constraints) = constrainer.name_constraints() else { continue };
            for (position, certificate) in below_anchor.iter().enumerate().take(above) {
                if position == 0 || !certificate.is_self_issued() {
                    constraints::check(constraints, certificate, constrainer, self.budget)
                        .map_err(|error| (position, error))?;
                }
            }
        }
        for (position, certificate) in below_anchor.iter().enumerate() {
            let usage = self.parameters.usage;
            match position {
                0 => validate::leaf_usage(certificate, self.parameters),
                _ => validate::issuer_usage(certificate, usage),
            }
            .map_err(|error| (position, error))?;
        }
        Ok(policies)
    }

    /// Verifies the signature of `child` by the key of `issuer`, once for each key.
    fn verify(&mut self, child: Node, issuer: Node) -> Result<Result<(), SignatureError>, PathError> {
        let (Some(certificate), Some(authority), Some(key)) =
            (self.nodes.certificate(child), self.nodes.certificate(issuer), self.nodes.key(issuer))
        else {
            return Ok(Err(SignatureError::Key(DerError::Empty)));
        };
        if let Some(known) = self.signatures.get(&(child, key)) {
            return Ok(known.clone());
        }
        let policy = &self.parameters.signatures;
        let in_pool = self.nodes.pool_position(child).zip(self.nodes.pool_position(issuer));
        if let Some(known) = in_pool.and_then(|pair| self.pool.known_signature(pair, policy)) {
            self.signatures.insert((child, key), known.clone());
            return Ok(known);
        }
        let origin = self.nodes.key_origin(key);
        let parsed = PublicKey::parse(authority.public_key()).and_then(|key| key.check_cost(origin).map(|()| key));
        let outcome = match parsed {
            Ok(_) if self.budget.knows_link(certificate, authority, policy) => Ok(()),
            Ok(public_key) => {
                // The first use of each configured key is charged to the configuration; further uses are charged to the
                // client.
                let once = in_pool.is_some() || self.nodes.is_first_use(key);
                let account =
                    if origin == KeyOrigin::Configured && once { Account::Configured } else { Account::Presented };
                self.budget.signature(account, public_key.cost(certificate.tbs().len()))?;
                public_key.verify(certificate.signature_algorithm(), certificate.tbs(), certificate.signature(), policy)
            }
            Err(error) => Err(error),
        };
        if let Some(pair) = in_pool {
            self.pool.learn_signature(pair, policy, &outcome);
        }
        self.signatures.insert((child, key), outcome.clone());
        Ok(outcome)
    }

    /// Whether the signature of `child` is known not to verify by the key of `candidate`.
    fn known_bad(&mut self, child: Node, candidate: Node) -> bool {
        if self.signatures.is_empty() {
            return false;
        }
        let key = self.nodes.key(candidate);
        key.and_then(|key| self.signatures.get(&(child, key))).is_some_and(Result::is_err)
    }

    /// Whether an intermediate of the path has the candidate's name and key already (RFC 4158 section 2.4.2).
    fn is_loop(&self, frames: &[Frame], candidate: Node) -> bool {
        let Some(candidate) = self.nodes.certificate(candidate) else { return true };
        frames.iter().skip(1).filter_map(|frame| self.nodes.certificate(frame.node)).any(|certificate| {
            certificate.public_key() == candidate.public_key() && certificate.subject() == candidate.subject()
        })
    }

    /// Keeps a failure if it got farther than the kept one.
    fn fail<T: Trace>(
        &mut self,
        frames: &[Frame],
        top: Option<Node>,
        position: usize,
        rank: Rank,
        error: impl Fn() -> PathError,
        trace: &mut T,
    ) {
        let path = || frames.iter().map(|frame| frame.node).chain(top).collect::<Vec<_>>();
        trace.step("path", Verdict::Skip, || {
            self.resolve(&FarthestFailure { rank, error: error(), position, path: path() }).explain()
        });
        if self.best.as_ref().is_none_or(|best| rank > best.rank) {
            self.best = Some(FarthestFailure { rank, error: error(), position, path: path() });
        }
    }

    fn resolve(&self, failure: &FarthestFailure) -> PathFailure {
        PathFailure {
            error: failure.error.clone(),
            position: failure.position,
            path: failure.path.iter().filter_map(|node| self.nodes.certificate(*node)).map(Arc::clone).collect(),
        }
    }

    fn failure(mut self) -> PathFailure {
        let kept = self.best.take().unwrap_or_else(|| FarthestFailure {
            rank: Rank::DeadEnd,
            error: unknown_issuer(self.leaf),
            position: 0,
            path: vec![0],
        });
        // A rejection by the caller, and a failure that names the time of the check, do not depend on the certificates
        // alone.
        let lasts = !self.offered && kept.rank != Rank::Time;
        self.budget.fails(lasts.then(|| self.nodes.unchanged_until()));
        self.resolve(&kept)
    }
}

fn unknown_issuer(certificate: &Certificate) -> PathError {
    PathError::UnknownIssuer(shown(certificate.issuer()))
}

/// The subjects of a path, the leaf first.
fn describe(path: &[Arc<Certificate>]) -> String {
    let subjects: Vec<String> = path.iter().map(|certificate| format!("[{}]", shown(certificate.subject()))).collect();
    subjects.join(" issued by ")
}

impl PathFailure {
    /// The failure with the path it belongs to.
    pub fn explain(&self) -> String {
        format!("{}; path: {}", self, describe(&self.path))
    }
}
