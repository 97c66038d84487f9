//! The decision cache changes no decision about hostile chains. `tests/contract/decision_cache.rs` has edits and CRLs.

use super::*;

/// A few certificates out of which questions are made: some good, some forged, some whose time begins or ends within
/// seconds.
struct World {
    anchors: [Arc<Certificate>; 2],
    leaves: Vec<Arc<Certificate>>,
    chain: Vec<Arc<Certificate>>,
    snapshots: Vec<Arc<Snapshot>>,
}

impl World {
    fn new() -> Self {
        let [one, two, ca, stranger] = [(); 4].map(|()| SigningKey::ed25519());
        let roots = [&one, &two].map(|key| Draft::ca("CN=Root", "CN=Root", key).sign(key));
        let issuing = |signer: &SigningKey, from: i64, to: i64, n: u8| {
            let mut draft = Draft::ca("CN=CA", "CN=Root", &ca);
            draft.serial = vec![n];
            draft.valid(NOW.plus(from), NOW.plus(to));
            draft.sign(signer)
        };
        let leaf = |key: &SigningKey, issuer: &str, to: i64| {
            let mut draft = Draft::client("CN=leaf", issuer, &one);
            draft.valid(NOW.minus(9), NOW.plus(to));
            draft.sign(key)
        };
        let chain = vec![
            issuing(&one, -9, 99, 1),
            issuing(&two, 3, 99, 2),
            issuing(&one, -9, 4, 3),
            issuing(&stranger, -9, 99, 4),
            Draft::ca("CN=CA", "CN=Root", &stranger).sign(&stranger),
            Draft::ca("CN=CA", "CN=CA", &SigningKey::hollow_rsa(4096, F4, 1)).sign(&stranger),
        ];
        let leaves = vec![
            leaf(&ca, "CN=CA", 99),
            leaf(&stranger, "CN=CA", 99),
            leaf(&ca, "CN=CA", 6),
            leaf(&stranger, "CN=Root", 99),
            leaf(&two, "CN=Root", 99),
        ];
        let mut world = Self { anchors: roots, leaves, chain, snapshots: Vec::new() };
        world.edit(0);
        world
    }

    /// Publishes an edit of the profile; the edits before can still be asked, as by a request that is in flight.
    fn edit(&mut self, anchor: usize) {
        self.snapshots.push(snapshot(&self.anchors[anchor]));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]

    /// With and without the memory the same is decided, whatever is asked, edited and waited for.
    #[test]
    fn the_memory_changes_no_decision(
        steps in proptest::collection::vec((0_u8..10, 0_usize..5, 0_usize..64, 0_i64..4), 1..60)
    ) {
        let mut world = World::new();
        let cache = DecisionCache::default();
        let mut now = NOW;
        for (what, leaf, some, seconds) in steps {
            match what {
                0 => world.edit(some % 2),
                1 => now = now.plus(seconds),
                2 => now = now.minus(seconds),
                _ => {
                    let mut chain: Vec<_> = world.chain.iter().enumerate().filter(|(n, _)| some >> n & 1 == 1)
                        .map(|(_, certificate)| Arc::clone(certificate)).collect();
                    if what % 2 == 0 {
                        chain.reverse();
                    }
                    let traefik = what == 9;
                    let leaf = &world.leaves[leaf];
                    let (host, headers) = if traefik {
                        ("traefik", joined(&std::iter::once(leaf).chain(&chain).collect::<Vec<_>>()))
                    } else {
                        ("api", forwarded(leaf, &chain))
                    };
                    let request = request(host, &headers);
                    for snapshot in world.snapshots.iter().rev().take(2) {
                        let plain = snapshot.decide(&request, now, &mut NoTrace);
                        let recalling = snapshot.decide_cached(&request, now, &cache);
                        proptest::prop_assert_eq!(outcome(&recalling), outcome(&plain));
                        proptest::prop_assert_eq!(recalling.presented(), plain.presented());
                    }
                }
            }
        }
    }
}
