//! Certificate policies: RFC 5280 sections 6.1.3 (d) to (f), 6.1.4 (a), (b) and (h) to (j), and 6.1.5 (a), (b), (g).
//!
//! The valid policy tree of RFC 5280 grows exponentially under hostile mappings. Kept here instead is the graph of RFC
//! 9618: at each depth one node for each policy, with edges to its parents; its size is that of the certificates'
//! extensions. The results are those of the tree.

use crate::certificate::Certificate;
use crate::oid::Oid;

use super::PathError;

/// anyPolicy, 2.5.29.32.0.
pub const ANY_POLICY: Oid = Oid::from_static(&[0x55, 0x1d, 0x20, 0]);

/// The inputs of RFC 5280 section 6.1.1 (c) and (e) to (g).
#[derive(Clone, Debug, Default)]
pub struct PolicyParameters {
    /// user-initial-policy-set; empty means any-policy.
    pub initial_policy_set: Vec<Oid>,
    /// initial-explicit-policy: the path must be valid for at least one policy of the set.
    pub initial_explicit_policy: bool,
    /// initial-policy-mapping-inhibit: mappings are ignored.
    pub initial_policy_mapping_inhibit: bool,
    /// initial-any-policy-inhibit: anyPolicy is ignored.
    pub initial_inhibit_any_policy: bool,
}

/// The policies for which a path is valid: the user-constrained-policy-set of RFC 5280 section 6.1.6, in the policy
/// domain of the trust anchor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidPolicies {
    /// The path is valid for any policy, named by it or not; only where the initial set is any-policy too.
    pub any: bool,
    /// Policies for which it is valid; sorted, each once.
    pub policies: Vec<Oid>,
}

impl ValidPolicies {
    /// Whether the path is valid for no policy at all, as most paths are whose certificates name none.
    pub fn is_empty(&self) -> bool {
        !self.any && self.policies.is_empty()
    }

    /// The policies in dotted form; `anyPolicy` for those that the path is valid for without naming them.
    pub fn names(&self) -> Vec<String> {
        let any = self.any.then(|| "anyPolicy".to_owned());
        self.policies.iter().map(ToString::to_string).chain(any).collect()
    }
}

/// One policy at one depth.
struct PolicyNode<'a> {
    policy: &'a Oid,
    /// Indices of nodes of the depth above. Empty: the parent is the anyPolicy node above.
    parents: Vec<usize>,
    /// Whether policyMappings replaced the expected policy set `{policy}`.
    mapped: bool,
}

/// The nodes of one depth.
#[derive(Default)]
struct Level<'a> {
    /// Sorted by policy; anyPolicy is not among them.
    nodes: Vec<PolicyNode<'a>>,
    /// Whether there is an anyPolicy node. Its only parent can be the anyPolicy node above.
    any: bool,
    /// Pairs of an expected policy and the node that expects it, sorted.
    expected: Vec<(&'a Oid, usize)>,
}

/// Processes the policies of a path of certificates, first the one that the anchor issued, last the leaf.
pub(super) fn check<'a>(
    path: impl ExactSizeIterator<Item = &'a Certificate> + Clone,
    parameters: &'a PolicyParameters,
) -> Result<ValidPolicies, (usize, PathError)> {
    let count = path.len();
    // 6.1.2 (d) to (f): n + 1 unless inhibited from the start.
    let start =
        |inhibited: bool| if inhibited { 0 } else { u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1) };
    let mut explicit_policy = start(parameters.initial_explicit_policy);
    let mut policy_mapping = start(parameters.initial_policy_mapping_inhibit);
    let mut inhibit_any_policy = start(parameters.initial_inhibit_any_policy);
    // 6.1.2 (a): one anyPolicy node. `None` later on is the NULL tree.
    let mut graph: Option<Vec<Level<'a>>> = Some(vec![Level { any: true, ..Level::default() }]);

    for (index, certificate) in path.enumerate() {
        let depth = index.saturating_add(1);
        let last = depth == count;
        let self_issued = certificate.is_self_issued();
        // 6.1.3 (d), (e).
        graph = match (graph, certificate.certificate_policies()) {
            (Some(mut levels), Some(policies)) => {
                let any_counts = inhibit_any_policy > 0 || (!last && self_issued);
                let level = levels.last().map(|above| next_level(above, policies, any_counts)).unwrap_or_default();
                let empty = level.is_empty();
                levels.push(level);
                if empty { None } else { Some(levels) }
            }
            _ => None,
        };
        // 6.1.3 (f).
        if explicit_policy == 0 && graph.is_none() {
            return Err((index, PathError::NoValidPolicy));
        }
        if last {
            // 6.1.5 (a), (b).
            explicit_policy = explicit_policy.saturating_sub(1);
            if certificate.policy_constraints().is_some_and(|c| c.require_explicit_policy == Some(0)) {
                explicit_policy = 0;
            }
            break;
        }
        if let Some(mappings) = certificate.policy_mappings() {
            // 6.1.4 (a).
            if mappings.iter().any(|(issuer, subject)| *issuer == ANY_POLICY || *subject == ANY_POLICY) {
                return Err((index, PathError::AnyPolicyMapped));
            }
            // 6.1.4 (b).
            if let Some(level) = graph.as_mut().and_then(|levels| levels.last_mut()) {
                if policy_mapping > 0 {
                    level.map(mappings)
                } else {
                    level.delete(mappings)
                }
                if level.is_empty() {
                    graph = None;
                }
            }
        }
        // 6.1.4 (h).
        if !self_issued {
            explicit_policy = explicit_policy.saturating_sub(1);
            policy_mapping = policy_mapping.saturating_sub(1);
            inhibit_any_policy = inhibit_any_policy.saturating_sub(1);
        }
        // 6.1.4 (i), (j).
        let constraints = certificate.policy_constraints().unwrap_or_default();
        explicit_policy = explicit_policy.min(constraints.require_explicit_policy.unwrap_or(u32::MAX));
        policy_mapping = policy_mapping.min(constraints.inhibit_policy_mapping.unwrap_or(u32::MAX));
        inhibit_any_policy = inhibit_any_policy.min(certificate.inhibit_any_policy().unwrap_or(u32::MAX));
    }

    // 6.1.5 (g).
    let valid = graph.as_ref().map(|levels| constrained(levels, &parameters.initial_policy_set)).unwrap_or_default();
    if explicit_policy == 0 && !valid.any && valid.policies.is_empty() {
        return Err((count.saturating_sub(1), PathError::NoValidPolicy));
    }
    Ok(valid)
}

/// 6.1.3 (d): the nodes below `above` for the policies of a certificate.
fn next_level<'a>(above: &Level<'a>, policies: &'a [Oid], any_counts: bool) -> Level<'a> {
    let parents_of = |policy: &Oid| -> Vec<usize> {
        let from = above.expected.partition_point(|(expected, _)| *expected < policy);
        above
            .expected
            .iter()
            .skip(from)
            .take_while(|(expected, _)| *expected == policy)
            .map(|(_, node)| *node)
            .collect()
    };
    let mut nodes: Vec<PolicyNode<'a>> = Vec::with_capacity(policies.len());
    let mut asserted: Vec<&'a Oid> = policies.iter().filter(|policy| **policy != ANY_POLICY).collect();
    asserted.sort_unstable();
    // (1) (i) and (ii).
    for policy in &asserted {
        let parents = parents_of(policy);
        if !parents.is_empty() || above.any {
            nodes.push(PolicyNode { policy, parents, mapped: false });
        }
    }
    let mut any = false;
    // (2).
    if any_counts && asserted.len() != policies.len() {
        let mut unasserted: Vec<&'a Oid> = above
            .expected
            .iter()
            .map(|(expected, _)| *expected)
            .filter(|e| asserted.binary_search(e).is_err())
            .collect();
        unasserted.dedup();
        nodes.extend(unasserted.into_iter().map(|policy| PolicyNode {
            policy,
            parents: parents_of(policy),
            mapped: false,
        }));
        any = above.any;
    }
    let mut level = Level { nodes, any, expected: Vec::new() };
    level.sort(&[]);
    level
}

impl<'a> Level<'a> {
    fn is_empty(&self) -> bool {
        self.nodes.is_empty() && !self.any
    }

    /// Restores the order of the nodes and what they expect.
    fn sort(&mut self, mappings: &'a [(Oid, Oid)]) {
        self.nodes.sort_unstable_by_key(|node| node.policy);
        let mut sorted: Vec<&'a (Oid, Oid)> = mappings.iter().collect();
        sorted.sort_unstable();
        self.expected.clear();
        for (at, node) in self.nodes.iter().enumerate() {
            if node.mapped {
                let from = sorted.partition_point(|(issuer, _)| issuer < node.policy);
                let mapped = sorted.iter().skip(from).take_while(|(issuer, _)| issuer == node.policy);
                self.expected.extend(mapped.map(|(_, subject)| (subject, at)));
            } else {
                self.expected.push((node.policy, at));
            }
        }
        self.expected.sort_unstable();
        self.expected.dedup();
    }

    /// 6.1.4 (b) (1): the expected policies of a mapped node are those that it is mapped to; where anyPolicy is
    /// alone, the mapped policy gets a node of its own.
    fn map(&mut self, mappings: &'a [(Oid, Oid)]) {
        let mut issuers: Vec<&'a Oid> = mappings.iter().map(|(issuer, _)| issuer).collect();
        issuers.sort_unstable();
        issuers.dedup();
        let mut added = Vec::new();
        for issuer in issuers {
            match self.nodes.binary_search_by(|node| node.policy.cmp(issuer)) {
                Ok(at) => {
                    if let Some(node) = self.nodes.get_mut(at) {
                        node.mapped = true;
                    }
                }
                Err(_) if self.any => added.push(PolicyNode { policy: issuer, parents: Vec::new(), mapped: true }),
                Err(_) => {}
            }
        }
        self.nodes.append(&mut added);
        self.sort(mappings);
    }

    /// 6.1.4 (b) (2): mapping is inhibited; the mapped policies go.
    fn delete(&mut self, mappings: &[(Oid, Oid)]) {
        let mut issuers: Vec<&Oid> = mappings.iter().map(|(issuer, _)| issuer).collect();
        issuers.sort_unstable();
        self.nodes.retain(|node| issuers.binary_search(&node.policy).is_err());
        self.sort(&[]);
    }
}

/// 6.1.5 (g): the policies at the roots of policy domains (children of anyPolicy) from which a node of the last depth
/// descends, as far as the initial set has them.
fn constrained(levels: &[Level<'_>], initial: &[Oid]) -> ValidPolicies {
    let unconstrained = initial.is_empty() || initial.contains(&ANY_POLICY);
    let wanted = |policy: &Oid| unconstrained || initial.contains(policy);
    let mut policies: Vec<Oid> = Vec::new();
    let last_any = levels.last().is_some_and(|level| level.any);
    let mut live: Vec<usize> = (0..levels.last().map_or(0, |level| level.nodes.len())).collect();
    for level in levels.iter().rev() {
        let mut above = Vec::new();
        for node in live.iter().filter_map(|at| level.nodes.get(*at)) {
            if !node.parents.is_empty() {
                above.extend_from_slice(&node.parents);
            } else if wanted(node.policy) {
                policies.push(node.policy.clone());
            }
        }
        above.sort_unstable();
        above.dedup();
        live = above;
    }
    if last_any {
        policies.extend(initial.iter().filter(|policy| **policy != ANY_POLICY).cloned());
    }
    policies.sort_unstable();
    policies.dedup();
    // (g) (iii): if the initial set names policies, anyPolicy represents those.
    ValidPolicies { any: last_any && unconstrained, policies }
}
