//! The search for a path, from the leaf upwards.
//!
//! Depth first over names: a candidate issuer is a certificate whose subject is the child's issuer. Signatures are
//! verified only once a chain of names has reached an anchor, from the leaf upwards, each pair of a child and a key at
//! most once, and within the pool once for all searches; so neither dead ends nor decoys that lead nowhere cost one. Candidates are tried in the order in which
//! they are likely right (key identifiers agree, in their validity period, anchors first), so that an honest chain
//! costs one pass. Nothing recurses on input.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use crate::domain::certificate::Certificate;
use crate::domain::der::DerError;
use crate::domain::time::UnixTime;
use crate::domain::trace::{Trace, Verdict};

use super::budget::Budget;
use super::error::Rank;
use super::pool::{Pool, SubjectIndex};
use super::signature::{PublicKey, SignatureError};
use super::{PathError, PathFailure, PathParameters, Rejection, RolloverRule, ValidPath, policies, validate};

/// After so many steps the search is not an ordinary one, and it pays to work out which certificates can lead to an
/// anchor at all.
const REACH_AFTER: u32 = 200;

/// Finds a path from `leaf` to an anchor of `pool` that is valid at `now` and that `accept` takes.
///
/// `presented` certificates help to build paths and are trusted for nothing. What `accept` returns is handed back
/// beside the path.
pub fn find<T: Trace, R>(
    leaf: &Arc<Certificate>,
    presented: &[Arc<Certificate>],
    pool: &Pool,
    parameters: &PathParameters,
    now: UnixTime,
    trace: &mut T,
    accept: impl FnMut(&ValidPath, &mut T) -> Result<R, Rejection>,
) -> Result<(ValidPath, R), PathFailure> {
    if let Err(error) = validate::leaf(leaf, parameters, now) {
        return Err(PathFailure { error, position: 0, path: vec![Arc::clone(leaf)] });
    }
    let search = Search {
        leaf,
        presented,
        presented_index: SubjectIndex::new(presented),
        pool,
        parameters,
        now,
        budget: Budget::default(),
        keys: HashMap::default(),
        signatures: HashMap::default(),
        reach: None,
        best: None,
    };
    search.run(trace, accept)
}

/// A certificate of the search: 0 is the leaf, then the presented ones, then the pool.
type Node = u32;

struct Search<'a> {
    leaf: &'a Arc<Certificate>,
    presented: &'a [Arc<Certificate>],
    presented_index: SubjectIndex,
    pool: &'a Pool,
    parameters: &'a PathParameters,
    now: UnixTime,
    budget: Budget,
    /// A number for each distinct public key met.
    keys: HashMap<&'a [u8], u32, RandomState>,
    /// Signatures verified so far, by child and key.
    signatures: HashMap<(Node, u32), Result<(), SignatureError>, RandomState>,
    /// How many intermediates at least lie between a node and an anchor, by names; `None` inside: no way. Made late.
    reach: Option<Vec<Option<u32>>>,
    best: Option<Failure>,
}

/// A certificate of the path being built, and what is left to try above it.
struct Frame {
    node: Node,
    /// Intermediates from the leaf to this one, itself included unless it is self-issued or the leaf.
    counted: u32,
    candidates: Vec<Node>,
    next: usize,
}

struct Failure {
    rank: Rank,
    error: PathError,
    position: usize,
    path: Vec<Node>,
}

/// What became of a chain that reached an anchor.
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
        let mut frames = vec![Frame { node: 0, counted: 0, candidates: self.candidates(0), next: 0 }];
        if frames.first().is_none_or(|frame| frame.candidates.is_empty()) {
            let leaf = self.leaf;
            self.fail(&frames, None, 0, Rank::DeadEnd, || unknown_issuer(leaf), trace);
        }
        while let Some(frame) = frames.last_mut() {
            let Some(candidate) = frame.candidates.get(frame.next).copied() else {
                frames.pop();
                continue;
            };
            frame.next = frame.next.saturating_add(1);
            let (node, counted) = (frame.node, frame.counted);
            if let Err(error) = self.budget.step() {
                self.fail(&frames, None, 0, error.rank(), || error.clone(), trace);
                break;
            }
            if self.known_bad(node, candidate) || self.is_loop(&frames, candidate) {
                continue;
            }
            if self.is_anchor(candidate) {
                match self.complete(&frames, candidate, trace, &mut accept) {
                    Completion::Accepted(path, result) => return Ok((path, result)),
                    // Everything above the pair goes with it.
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

    /// Takes an intermediate onto the path, unless it cannot be one there.
    fn descend<T: Trace>(&mut self, frames: &mut Vec<Frame>, candidate: Node, counted: u32, trace: &mut T) {
        let Some(certificate) = self.certificate(candidate) else { return };
        let intermediates = u32::try_from(frames.len()).unwrap_or(u32::MAX);
        if !self.can_reach(candidate, intermediates) {
            return;
        }
        if intermediates > self.parameters.max_path_length {
            let limit = self.parameters.max_path_length;
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
        let candidates = self.candidates(candidate);
        let dead_end = candidates.is_empty();
        frames.push(Frame { node: candidate, counted, candidates, next: 0 });
        if dead_end {
            let at = frames.len().saturating_sub(1);
            self.fail(frames, None, at, Rank::DeadEnd, || unknown_issuer(certificate), trace);
        }
    }

    /// Whether an anchor may have issued the certificate to its own name, and that is enough.
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
        let nodes: Vec<Node> = frames.iter().map(|frame| frame.node).chain([anchor]).collect();
        for (position, pair) in nodes.windows(2).enumerate() {
            let [child, issuer] = pair else { continue };
            match self.verify(*child, *issuer) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    // A weak or unknown key is the issuer's fault, everything else the child's.
                    let issuers = matches!(
                        error,
                        SignatureError::WeakKey { .. } | SignatureError::UnsupportedKey(_) | SignatureError::Key(_)
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
        let certificates: Vec<&Arc<Certificate>> = nodes.iter().filter_map(|node| self.certificate(*node)).collect();
        let outcome = self.check_whole(&certificates).and_then(|policies| {
            let path = ValidPath { certificates: certificates.iter().map(|c| Arc::clone(c)).collect(), policies };
            trace.step("path", Verdict::Note, || format!("valid so far: {}", describe(path.certificates())));
            match accept(&path, trace) {
                Ok(result) => Ok((path, result)),
                Err(Rejection { reason, detail }) => Err((0, PathError::Rejected { reason, detail })),
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
    fn check_whole(&mut self, path: &[&'a Arc<Certificate>]) -> Result<policies::ValidPolicies, (usize, PathError)> {
        self.budget.path().map_err(|error| (0, error))?;
        let below_anchor = path.split_last().map(|(_, below)| below).unwrap_or_default();
        let top = below_anchor.len().saturating_sub(1);
        for certificate in below_anchor {
            let policies = certificate.certificate_policies().map_or(0, <[_]>::len);
            let mappings = certificate.policy_mappings().map_or(0, <[_]>::len);
            self.budget.policies(policies.saturating_add(mappings)).map_err(|error| (0, error))?;
        }
        let downwards = below_anchor.iter().rev().map(|certificate| &***certificate);
        let policies = policies::check(downwards, &self.parameters.policies)
            .map_err(|(index, error)| (top.saturating_sub(index), error))?;
        // 6.1.3 (b), (c): the constraints of every certificate above hold for the names of those below, self-issued
        // ones apart unless last.
        for (above, constrainer) in path.iter().enumerate().skip(1) {
            let Some(constraints) = constrainer.name_constraints() else { continue };
            for (position, certificate) in below_anchor.iter().enumerate().take(above) {
                if position == 0 || !certificate.is_self_issued() {
                    constraints.check(certificate, constrainer, &mut self.budget).map_err(|error| (position, error))?;
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
        let in_pool = self.pool_position(child).zip(self.pool_position(issuer));
        let (Some(certificate), Some(issuer)) = (self.certificate(child), self.certificate(issuer)) else {
            return Ok(Err(SignatureError::Key(DerError::Empty)));
        };
        let fresh = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let key = *self.keys.entry(issuer.public_key()).or_insert(fresh);
        if let Some(known) = self.signatures.get(&(child, key)) {
            return Ok(known.clone());
        }
        let policy = &self.parameters.signatures;
        if let Some(known) = in_pool.and_then(|pair| self.pool.known_signature(pair, policy)) {
            self.signatures.insert((child, key), known.clone());
            return Ok(known);
        }
        let outcome = match PublicKey::parse(issuer.public_key()) {
            Ok(key) => {
                self.budget.signature(key.cost())?;
                key.verify(certificate.signature_algorithm(), certificate.tbs(), certificate.signature(), policy)
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
    fn known_bad(&self, child: Node, candidate: Node) -> bool {
        if self.signatures.is_empty() {
            return false;
        }
        let key = self.certificate(candidate).and_then(|certificate| self.keys.get(certificate.public_key()));
        key.and_then(|key| self.signatures.get(&(child, *key))).is_some_and(Result::is_err)
    }

    /// Whether an intermediate of the path has the candidate's name and key already (RFC 4158 section 2.4.2).
    fn is_loop(&self, frames: &[Frame], candidate: Node) -> bool {
        let Some(candidate) = self.certificate(candidate) else { return true };
        frames.iter().skip(1).filter_map(|frame| self.certificate(frame.node)).any(|certificate| {
            certificate.public_key() == candidate.public_key() && certificate.subject() == candidate.subject()
        })
    }

    /// The issuers to try for a node, the likeliest first. Key identifiers order and never exclude.
    fn candidates(&self, node: Node) -> Vec<Node> {
        let Some(child) = self.certificate(node) else { return Vec::new() };
        let pool = self.pool.with_subject(child.issuer()).iter().map(|position| self.pool_node(*position));
        let presented = self.presented_index.find(self.presented, child.issuer()).iter().map(|p| p.saturating_add(1));
        let mut found: Vec<Node> = pool.chain(presented).collect();
        if found.len() > 1 {
            let wanted = child.authority_key_identifier();
            found.sort_by_cached_key(|node| {
                let Some(candidate) = self.certificate(*node) else { return (3, true, true, true, true) };
                let hint = match (wanted, candidate.subject_key_identifier()) {
                    (Some(wanted), Some(found)) if wanted == found => 0_u8,
                    (Some(_), Some(_)) => 2,
                    _ => 1,
                };
                let anchor = self.is_anchor(*node);
                let untimely = validate::time(candidate, self.now).is_err();
                // One step from an anchor, going by names, is better than farther; self-issued intermediates are rare
                // in honest chains and the cheapest decoys.
                let far = !anchor && !self.pool.has_anchor(candidate.issuer());
                (hint, !anchor && untimely, !anchor, far, !anchor && candidate.is_self_issued())
            });
        }
        found
    }

    /// Whether, going by names, an anchor can be reached from an intermediate that is the `intermediates`-th of its
    /// path. Always so until the search has become long.
    fn can_reach(&mut self, node: Node, intermediates: u32) -> bool {
        if self.reach.is_none() && self.budget.steps_taken() >= REACH_AFTER {
            self.reach = Some(self.reachable());
        }
        match &self.reach {
            None => true,
            Some(reach) => reach
                .get(node as usize)
                .copied()
                .flatten()
                .is_some_and(|more| intermediates.saturating_add(more) <= self.parameters.max_path_length),
        }
    }

    /// For each node the least number of further intermediates to an anchor: breadth first, from the anchors' names
    /// downwards.
    fn reachable(&self) -> Vec<Option<u32>> {
        let count = self.presented.len().saturating_add(self.pool.certificates().len()).saturating_add(1);
        let mut reach: Vec<Option<u32>> = vec![None; count];
        let mut names: HashSet<&[u8], RandomState> =
            self.pool.anchors().iter().map(|anchor| anchor.subject().canonical()).collect();
        for distance in 0..=self.parameters.max_path_length {
            let mut found = Vec::new();
            for (slot, node) in reach.iter_mut().zip(0_u32..) {
                let certificate = self.certificate(node).filter(|_| slot.is_none() && !self.is_anchor(node));
                if let Some(certificate) = certificate.filter(|c| names.contains(c.issuer().canonical())) {
                    *slot = Some(distance);
                    found.push(certificate.subject().canonical());
                }
            }
            if found.is_empty() {
                break;
            }
            names.extend(found);
        }
        reach
    }

    fn certificate(&self, node: Node) -> Option<&'a Arc<Certificate>> {
        let presented = match (node as usize).checked_sub(1) {
            None => return Some(self.leaf),
            Some(position) => position,
        };
        match presented.checked_sub(self.presented.len()) {
            None => self.presented.get(presented),
            Some(position) => self.pool.certificates().get(position),
        }
    }

    fn pool_node(&self, position: u32) -> Node {
        u32::try_from(self.presented.len()).unwrap_or(u32::MAX).saturating_add(1).saturating_add(position)
    }

    fn pool_position(&self, node: Node) -> Option<usize> {
        (node as usize).checked_sub(1)?.checked_sub(self.presented.len())
    }

    fn is_anchor(&self, node: Node) -> bool {
        self.pool_position(node).is_some_and(|position| self.pool.is_anchor(position))
    }

    /// Keeps a failure when it got farther than the one that is kept.
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
            self.resolve(&Failure { rank, error: error(), position, path: path() }).explain()
        });
        if self.best.as_ref().is_none_or(|best| rank > best.rank) {
            self.best = Some(Failure { rank, error: error(), position, path: path() });
        }
    }

    fn resolve(&self, failure: &Failure) -> PathFailure {
        PathFailure {
            error: failure.error.clone(),
            position: failure.position,
            path: failure.path.iter().filter_map(|node| self.certificate(*node)).map(Arc::clone).collect(),
        }
    }

    fn failure(mut self) -> PathFailure {
        let kept = self.best.take().unwrap_or_else(|| Failure {
            rank: Rank::DeadEnd,
            error: unknown_issuer(self.leaf),
            position: 0,
            path: vec![0],
        });
        self.resolve(&kept)
    }
}

fn unknown_issuer(certificate: &Certificate) -> PathError {
    PathError::UnknownIssuer(certificate.issuer().to_rfc4514())
}

/// The subjects of a path, the leaf first.
fn describe(path: &[Arc<Certificate>]) -> String {
    let subjects: Vec<String> = path.iter().map(|certificate| format!("[{}]", certificate.subject())).collect();
    subjects.join(" issued by ")
}

impl PathFailure {
    /// The failure with the path it belongs to.
    pub fn explain(&self) -> String {
        format!("{}; path: {}", self, describe(&self.path))
    }
}
