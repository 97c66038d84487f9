//! The certificates of one search as numbered nodes: possible issuers by names, and the key of each node.
//!
//! Repeated queries about a node are computed once: its candidate issuers, the likeliest first, and the number of its
//! key. So the cost of a search step does not depend on the length of names and keys.

use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use crate::certificate::Certificate;
use crate::time::UnixTime;

use super::KeyOrigin;
use super::pool::{Pool, SubjectIndex};
use super::validate;

/// A certificate of the search: 0 is the leaf, then the presented ones, then the pool.
pub(super) type Node = u32;

/// A distinct public key that was met.
#[derive(Copy, Clone, Debug)]
struct KnownKey {
    origin: KeyOrigin,
    /// Whether a certificate of the client was verified with it.
    used: bool,
}

/// What has been worked out about a node.
#[derive(Clone, Debug, Default)]
struct NodeFacts {
    key: Option<u32>,
    candidates: Option<Range<usize>>,
}

pub(super) struct Nodes<'a> {
    leaf: &'a Arc<Certificate>,
    presented: &'a [Arc<Certificate>],
    presented_index: SubjectIndex,
    pool: &'a Pool,
    now: UnixTime,
    /// Of the leaf and the presented certificates.
    own: Vec<NodeFacts>,
    /// Of the pool's, as far as they were met.
    others: HashMap<Node, NodeFacts, RandomState>,
    /// The candidates of all nodes that were asked about.
    lists: Vec<Node>,
    keys: Vec<KnownKey>,
    numbers: HashMap<&'a [u8], u32, RandomState>,
    /// The least number of intermediates between one of the client's certificates and an anchor, by names; the inner
    /// `None`: there is no path. Computed late.
    reach: Option<Vec<Option<u32>>>,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(
        leaf: &'a Arc<Certificate>,
        presented: &'a [Arc<Certificate>],
        pool: &'a Pool,
        now: UnixTime,
    ) -> Self {
        Self {
            leaf,
            presented,
            presented_index: SubjectIndex::new(presented),
            pool,
            now,
            own: vec![NodeFacts::default(); presented.len().saturating_add(1)],
            others: HashMap::default(),
            lists: Vec::new(),
            keys: Vec::new(),
            numbers: HashMap::default(),
            reach: None,
        }
    }

    pub(super) fn certificate(&self, node: Node) -> Option<&'a Arc<Certificate>> {
        let presented = match (node as usize).checked_sub(1) {
            None => return Some(self.leaf),
            Some(position) => position,
        };
        match presented.checked_sub(self.presented.len()) {
            None => self.presented.get(presented),
            Some(position) => self.pool.certificates().get(position),
        }
    }

    /// The position of a node in the pool; `None` for a presented certificate.
    pub(super) fn pool_position(&self, node: Node) -> Option<usize> {
        (node as usize).checked_sub(1)?.checked_sub(self.presented.len())
    }

    pub(super) fn is_anchor(&self, node: Node) -> bool {
        self.pool_position(node).is_some_and(|position| self.pool.is_anchor(position))
    }

    /// Where a certificate came from.
    pub(super) fn origin(&self, node: Node) -> KeyOrigin {
        if self.pool_position(node).is_some() { KeyOrigin::Configured } else { KeyOrigin::Presented }
    }

    fn facts(&mut self, node: Node) -> &mut NodeFacts {
        match self.own.get_mut(node as usize) {
            Some(known) => known,
            None => self.others.entry(node).or_default(),
        }
    }

    /// The number of a node's public key; equal keys have the same.
    pub(super) fn key(&mut self, node: Node) -> Option<u32> {
        if let Some(known) = self.facts(node).key {
            return Some(known);
        }
        let certificate = self.certificate(node)?;
        let fresh = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(certificate.public_key()).or_insert(fresh);
        if number == fresh {
            let configured = self.pool_position(node).is_some() || self.pool.has_key(certificate.public_key());
            let origin = if configured { KeyOrigin::Configured } else { KeyOrigin::Presented };
            self.keys.push(KnownKey { origin, used: false });
        }
        self.facts(node).key = Some(number);
        Some(number)
    }

    /// Where a key came from: a configured key stays one in a presented certificate.
    pub(super) fn key_origin(&self, key: u32) -> KeyOrigin {
        self.keys.get(key as usize).map_or(KeyOrigin::Presented, |key| key.origin)
    }

    /// Whether a certificate of the client is verified with a key for the first time.
    pub(super) fn is_first_use(&mut self, key: u32) -> bool {
        self.keys.get_mut(key as usize).is_some_and(|key| !std::mem::replace(&mut key.used, true))
    }

    /// The issuers to try for a node, the likeliest first, as positions for [`Nodes::candidate`]. Key identifiers order
    /// and never exclude.
    pub(super) fn candidates(&mut self, node: Node) -> Range<usize> {
        if let Some(known) = &self.facts(node).candidates {
            return known.clone();
        }
        let start = self.lists.len();
        if let Some(child) = self.certificate(node) {
            let first = u32::try_from(self.own.len()).unwrap_or(u32::MAX);
            let pool = self.pool.with_subject(child.issuer()).iter().map(|position| first.saturating_add(*position));
            let presented = self.presented_index.find(self.presented, child.issuer());
            let presented = presented.iter().map(|position| position.saturating_add(1));
            self.lists.extend(pool.chain(presented));
            if self.lists.len().saturating_sub(start) > 1 {
                let mut found = self.lists.split_off(start);
                self.sort(&mut found, child);
                self.lists.extend(found);
            }
        }
        let range = start..self.lists.len();
        self.facts(node).candidates = Some(range.clone());
        range
    }

    fn sort(&self, found: &mut [Node], child: &Certificate) {
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

    /// The candidate at a position of the range that [`Nodes::candidates`] gave.
    pub(super) fn candidate(&self, position: usize) -> Option<Node> {
        self.lists.get(position).copied()
    }

    /// Whether, going by names, an anchor can be reached from one of the client's certificates that is the
    /// `intermediates`-th of its path, of at most `limit`. For those of the pool it is not worked out.
    pub(super) fn can_reach(&mut self, node: Node, intermediates: u32, limit: u32) -> bool {
        if self.reach.is_none() {
            self.reach = Some(self.reachable(limit));
        }
        match self.reach.as_ref().and_then(|reach| reach.get(node as usize)) {
            None => true,
            Some(more) => more.is_some_and(|more| intermediates.saturating_add(more) <= limit),
        }
    }

    /// For each of the client's certificates the least number of further intermediates to an anchor: breadth first,
    /// from the anchors' names downwards. A configured intermediate is taken to be right below an anchor.
    fn reachable(&self, limit: u32) -> Vec<Option<u32>> {
        let mut reach: Vec<Option<u32>> = vec![None; self.own.len()];
        let mut names: HashSet<&[u8], RandomState> = HashSet::default();
        for distance in 0..=limit {
            let mut found = Vec::new();
            for (slot, node) in reach.iter_mut().zip(0_u32..) {
                let Some(certificate) = self.certificate(node).filter(|_| slot.is_none()) else { continue };
                let issuer = certificate.issuer();
                let leads = match distance {
                    0 => self.pool.has_anchor(issuer),
                    1 => names.contains(issuer.canonical()) || !self.pool.with_subject(issuer).is_empty(),
                    _ => names.contains(issuer.canonical()),
                };
                if leads {
                    *slot = Some(distance);
                    found.push(certificate.subject().canonical());
                }
            }
            if found.is_empty() && distance > 0 {
                break;
            }
            names.extend(found);
        }
        reach
    }

    /// The last second until which the validity of every examined certificate stays as it is now.
    pub(super) fn unchanged_until(&self) -> UnixTime {
        let met = self.lists.iter().filter(|node| self.pool_position(**node).is_some() && !self.is_anchor(**node));
        let met = met.filter_map(|node| self.certificate(*node));
        let ends = std::iter::once(self.leaf).chain(self.presented).chain(met).map(|certificate| {
            if self.now < certificate.not_before() {
                certificate.not_before().minus(1)
            } else if self.now <= certificate.not_after() {
                certificate.not_after()
            } else {
                UnixTime::from_secs(i64::MAX)
            }
        });
        ends.min().unwrap_or(self.now)
    }
}
