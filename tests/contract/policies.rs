//! Policy processing against a model: the tree of RFC 5280 section 6.1, written down as it stands there, node by node.
//! The engine's graph must agree with it on every random chain.

#![allow(clippy::unwrap_used, reason = "a test may panic and print")]

use certgate_testing::der as support;
use certgate_x509::{LeafRule, NoTrace, PathParameters, PolicyParameters, Pool, UsageRule, find_path};

use std::collections::BTreeSet;
use std::sync::OnceLock;

use proptest::prelude::*;
use support::{Draft, NOW, SigningKey, ext};

/// anyPolicy in the model; other policies are small numbers.
const ANY: u8 = 0;

#[derive(Clone, Debug)]
struct Spec {
    self_issued: bool,
    policies: Option<BTreeSet<u8>>,
    mappings: Vec<(u8, u8)>,
    explicit: Option<u8>,
    inhibit_mapping: Option<u8>,
    inhibit_any: Option<u8>,
}

#[derive(Clone, Debug)]
struct Inputs {
    set: BTreeSet<u8>,
    explicit: bool,
    inhibit_mapping: bool,
    inhibit_any: bool,
}

#[derive(Clone, Debug)]
struct TreeNode {
    depth: usize,
    parent: Option<usize>,
    policy: u8,
    expected: BTreeSet<u8>,
    gone: bool,
}

/// The valid_policy_tree.
struct Tree(Vec<TreeNode>);

impl Tree {
    fn at(&self, depth: usize) -> Vec<usize> {
        (0..self.0.len()).filter(|n| !self.0[*n].gone && self.0[*n].depth == depth).collect()
    }

    fn add(&mut self, parent: usize, policy: u8, expected: BTreeSet<u8>) {
        let depth = self.0[parent].depth + 1;
        self.0.push(TreeNode { depth, parent: Some(parent), policy, expected, gone: false });
    }

    fn has_child(&self, node: usize) -> bool {
        self.0.iter().any(|n| !n.gone && n.parent == Some(node))
    }

    /// Deletes nodes of a depth less than `depth` without children, over and over.
    fn prune(&mut self, depth: usize) {
        loop {
            let dead = (0..self.0.len()).find(|n| !self.0[*n].gone && self.0[*n].depth < depth && !self.has_child(*n));
            match dead {
                Some(dead) => self.0[dead].gone = true,
                None => return,
            }
        }
    }

    fn remove_with_children(&mut self, node: usize) {
        self.0[node].gone = true;
        for child in 0..self.0.len() {
            if !self.0[child].gone && self.0[child].parent == Some(node) {
                self.remove_with_children(child);
            }
        }
    }

    fn is_null(&self) -> bool {
        self.0.iter().all(|n| n.gone)
    }
}

/// 6.1, policies only: the user-constrained policies, with [`ANY`] for a remaining anyPolicy; `None` for a failure.
fn model(chain: &[Spec], inputs: &Inputs) -> Option<BTreeSet<u8>> {
    let n = chain.len();
    let start = |inhibited| if inhibited { 0 } else { n + 1 };
    let (mut explicit, mut mapping, mut any) =
        (start(inputs.explicit), start(inputs.inhibit_mapping), start(inputs.inhibit_any));
    let root = TreeNode { depth: 0, parent: None, policy: ANY, expected: BTreeSet::from([ANY]), gone: false };
    let mut tree = Tree(vec![root]);
    for (index, spec) in chain.iter().enumerate() {
        let i = index + 1;
        match &spec.policies {
            Some(policies) if !tree.is_null() => {
                for p in policies.iter().filter(|p| **p != ANY) {
                    let matching: Vec<_> =
                        tree.at(i - 1).into_iter().filter(|n| tree.0[*n].expected.contains(p)).collect();
                    if matching.is_empty()
                        && let Some(node) = tree.at(i - 1).into_iter().find(|n| tree.0[*n].policy == ANY)
                    {
                        tree.add(node, *p, BTreeSet::from([*p]));
                    }
                    matching.into_iter().for_each(|node| tree.add(node, *p, BTreeSet::from([*p])));
                }
                if policies.contains(&ANY) && (any > 0 || (i < n && spec.self_issued)) {
                    for node in tree.at(i - 1) {
                        for value in tree.0[node].expected.clone() {
                            let appears = tree.0.iter().any(|c| !c.gone && c.parent == Some(node) && c.policy == value);
                            if !appears {
                                tree.add(node, value, BTreeSet::from([value]));
                            }
                        }
                    }
                }
                tree.prune(i);
            }
            _ => tree.0.iter_mut().for_each(|node| node.gone = true),
        }
        if explicit == 0 && tree.is_null() {
            return None;
        }
        if i == n {
            break;
        }
        if spec.mappings.iter().any(|(issuer, subject)| *issuer == ANY || *subject == ANY) {
            return None;
        }
        let issuers: BTreeSet<u8> = spec.mappings.iter().map(|(issuer, _)| *issuer).collect();
        for id in issuers {
            let mapped: BTreeSet<u8> = spec.mappings.iter().filter(|(i, _)| *i == id).map(|(_, s)| *s).collect();
            let nodes: Vec<_> = tree.at(i).into_iter().filter(|n| tree.0[*n].policy == id).collect();
            if mapping > 0 {
                if nodes.is_empty() && tree.at(i).into_iter().any(|n| tree.0[n].policy == ANY) {
                    let above = tree.at(i - 1).into_iter().find(|n| tree.0[*n].policy == ANY).unwrap();
                    tree.add(above, id, mapped.clone());
                }
                nodes.into_iter().for_each(|node| tree.0[node].expected = mapped.clone());
            } else {
                nodes.into_iter().for_each(|node| tree.0[node].gone = true);
                tree.prune(i);
            }
        }
        if !spec.self_issued {
            (explicit, mapping, any) = (explicit.saturating_sub(1), mapping.saturating_sub(1), any.saturating_sub(1));
        }
        explicit = explicit.min(spec.explicit.map_or(usize::MAX, usize::from));
        mapping = mapping.min(spec.inhibit_mapping.map_or(usize::MAX, usize::from));
        any = any.min(spec.inhibit_any.map_or(usize::MAX, usize::from));
    }
    explicit = explicit.saturating_sub(1);
    if chain.last()?.explicit == Some(0) {
        explicit = 0;
    }
    if !inputs.set.is_empty() && !tree.is_null() {
        let parent_is_any = |tree: &Tree, n: usize| tree.0[n].parent.is_some_and(|p| tree.0[p].policy == ANY);
        let live = |tree: &Tree| (0..tree.0.len()).filter(|n| !tree.0[*n].gone).collect::<Vec<_>>();
        let node_set: Vec<_> = live(&tree).into_iter().filter(|n| parent_is_any(&tree, *n)).collect();
        for node in &node_set {
            if tree.0[*node].policy != ANY && !inputs.set.contains(&tree.0[*node].policy) {
                tree.remove_with_children(*node);
            }
        }
        if let Some(last) = tree.at(n).into_iter().find(|node| tree.0[*node].policy == ANY) {
            let named: BTreeSet<u8> = node_set.iter().map(|node| tree.0[*node].policy).collect();
            let parent = tree.0[last].parent.unwrap();
            for p in inputs.set.iter().filter(|p| !named.contains(p)) {
                tree.add(parent, *p, BTreeSet::from([*p]));
            }
            tree.0[last].gone = true;
        }
        tree.prune(n);
    }
    if explicit == 0 && tree.is_null() {
        return None;
    }
    // 6.1.6 leaves the tree; the policies in the anchor's domain are those right below anyPolicy nodes.
    let roots = (0..tree.0.len()).filter(|node| {
        let node = &tree.0[*node];
        !node.gone && node.parent.is_some_and(|p| tree.0[p].policy == ANY) && (node.policy != ANY || node.depth == n)
    });
    Some(roots.map(|node| tree.0[node].policy).collect())
}

fn dotted(policy: u8) -> String {
    if policy == ANY { ext::ANY_POLICY.to_owned() } else { format!("1.2.3.{policy}") }
}

fn engine(chain: &[Spec], inputs: &Inputs) -> Option<BTreeSet<u8>> {
    static KEYS: OnceLock<Vec<SigningKey>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| (0..8).map(|_| SigningKey::ed25519()).collect());
    let root = Draft::ca("CN=0", "CN=0", &keys[0]).sign(&keys[0]);
    let mut issuer = "CN=0".to_owned();
    let mut certificates = Vec::new();
    for (index, spec) in chain.iter().enumerate() {
        let subject = if spec.self_issued { issuer.clone() } else { format!("CN={}", index + 1) };
        let mut draft = Draft::ca(&subject, &issuer, &keys[index + 1]);
        if let Some(policies) = &spec.policies {
            let policies: Vec<String> = policies.iter().map(|policy| dotted(*policy)).collect();
            draft.set(ext::policies(&policies.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        if !spec.mappings.is_empty() {
            let pairs: Vec<_> = spec.mappings.iter().map(|(i, s)| (dotted(*i), dotted(*s))).collect();
            draft.set(ext::mappings(&pairs.iter().map(|(i, s)| (i.as_str(), s.as_str())).collect::<Vec<_>>()));
        }
        if spec.explicit.is_some() || spec.inhibit_mapping.is_some() {
            draft.set(ext::policy_constraints(spec.explicit, spec.inhibit_mapping));
        }
        if let Some(after) = spec.inhibit_any {
            draft.set(ext::inhibit_any_policy(after));
        }
        certificates.push(draft.sign(&keys[index]));
        issuer = subject;
    }
    let leaf = certificates.pop().unwrap();
    let parameters = PathParameters {
        usage: UsageRule::Unchecked,
        leaf: LeafRule::AnyCertificate,
        policies: PolicyParameters {
            initial_policy_set: inputs.set.iter().map(|policy| dotted(*policy).parse().unwrap()).collect(),
            initial_explicit_policy: inputs.explicit,
            initial_policy_mapping_inhibit: inputs.inhibit_mapping,
            initial_inhibit_any_policy: inputs.inhibit_any,
        },
        ..PathParameters::default()
    };
    let pool = Pool::new([root], []);
    let found = find_path(&leaf, &certificates, &pool, &parameters, NOW, &mut NoTrace, |_, _| Ok(()));
    found.ok().map(|(path, ())| {
        let valid = path.policies();
        let number = |policy: &certgate_x509::Oid| policy.to_string().rsplit('.').next()?.parse::<u8>().ok();
        let any = (valid.any && inputs.set.is_empty()).then_some(ANY);
        valid.policies.iter().filter_map(number).chain(any).collect()
    })
}

fn spec() -> impl Strategy<Value = Spec> {
    let sometimes = || prop::option::weighted(0.2, 0_u8..3);
    (
        prop::bool::weighted(0.25),
        prop::option::weighted(0.9, prop::collection::btree_set(0_u8..5, 1..4)),
        prop::collection::vec((prop_oneof![1 => Just(ANY), 40 => 1_u8..5], 1_u8..5), 0..3),
        sometimes(),
        sometimes(),
        sometimes(),
    )
        .prop_map(|(self_issued, policies, mappings, explicit, inhibit_mapping, inhibit_any)| Spec {
            self_issued,
            policies,
            mappings,
            explicit,
            inhibit_mapping,
            inhibit_any,
        })
}

fn inputs() -> impl Strategy<Value = Inputs> {
    let set = prop_oneof![Just(BTreeSet::new()), prop::collection::btree_set(1_u8..5, 1..3)];
    (set, any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2)).prop_map(
        |(set, explicit, inhibit_mapping, inhibit_any)| Inputs { set, explicit, inhibit_mapping, inhibit_any },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn the_graph_agrees_with_the_tree(chain in prop::collection::vec(spec(), 1..6), inputs in inputs()) {
        prop_assert_eq!(engine(&chain, &inputs), model(&chain, &inputs));
    }
}

/// What a CA's anyPolicy stands for when it maps a policy that it does not name: nothing once anyPolicy is inhibited.
/// OpenSSL 3.0 makes up the policy all the same, and accepts.
#[test]
fn a_mapping_revives_no_inhibited_any_policy() {
    let spec = |policies: &[u8], mappings: &[(u8, u8)], inhibit_any| Spec {
        self_issued: false,
        policies: Some(policies.iter().copied().collect()),
        mappings: mappings.to_vec(),
        explicit: None,
        inhibit_mapping: None,
        inhibit_any,
    };
    let inputs = |inhibit_any| Inputs { set: BTreeSet::new(), explicit: true, inhibit_mapping: false, inhibit_any };
    let by_caller = [spec(&[1, ANY], &[(3, 3)], None), spec(&[3], &[], None), spec(&[3], &[], None)];
    let by_ca = |after| [spec(&[2, 3], &[(1, 1)], after), spec(&[ANY], &[(3, 1)], None), spec(&[1, 2], &[], None)];
    for (chain, inputs, want) in [
        (&by_caller, inputs(true), None),
        (&by_caller, inputs(false), Some([3].into())),
        (&by_ca(Some(0)), inputs(false), None),
        (&by_ca(None), inputs(false), Some([2, 3].into())),
    ] {
        assert_eq!(engine(chain, &inputs), want);
        assert_eq!(model(chain, &inputs), want);
    }
}
