//! The outcome depends on the objects and not on the order of the edits that led to them.

use super::*;

/// An edit of a small world: objects by a few names, in a few versions each, some of them broken.
#[derive(Clone, Debug)]
enum Edit {
    Apply(u8, u8, u8),
    Delete(u8, u8),
    Publish,
}

fn object(kind: u8, slot: u8, version: u8, pki: &Pki) -> Object {
    let document = u32::from(slot / 3);
    let name = ["a", "b", "c"][usize::from(slot % 3)];
    let meta = ObjectMeta {
        labels: [("api".to_owned(), ["x", "y"][usize::from(version % 2)].to_owned())].into(),
        creation_timestamp: (version == 3).then(|| UnixTime::from_secs(1)),
        ..meta(name, document)
    };
    match kind {
        0 => {
            let spec = [
                json!({"trustAnchors": [{"inline": pem(&pki.ca)}]}),
                json!({"mode": "Peer", "trustedPeers": [{"inline": pem(&pki.client)}]}),
                json!({"trustAnchors": [{"inline": "broken"}]}),
                json!({}),
            ][usize::from(version)]
            .clone();
            Object::TrustProfile { meta, spec: serde_json::from_value(spec).unwrap() }
        }
        1 => {
            let rule = |action: &str| json!({"name": "r", "action": action, "where": [{"field": "DNS", "value": "*"}], "identity": (action == "Allow").then(|| json!({"user": "rule"}))});
            let (trust, hosts) = (["a", "b", "c"][usize::from((slot + version) % 3)], ["api", "*.api", "*", "a b"]);
            let mapping = [
                json!({"selector": {"matchLabels": {"api": "x"}}}),
                json!({"selector": {}, "rules": [rule("Allow")]}),
                json!({"rules": [rule("Deny")]}),
                json!({}),
            ][usize::from(version)]
            .clone();
            let spec = json!({"match": [{"hosts": [hosts[usize::from((slot * 2 + version) % 4)]]}], "trustRef": {"name": trust}, "mapping": mapping});
            Object::CertificatePolicy { meta, spec: serde_json::from_value(spec).unwrap() }
        }
        _ => {
            let spec = [
                json!({"certificate": {"dns": "c.example"}, "identity": {"user": name}}),
                json!({"certificate": {"subject": "CN=client,O=Contoso,C=DE"}, "identity": {"user": "same", "groups": [name]}}),
                json!({"certificate": {"dns": "*"}, "identity": {"user": name}, "state": "Disabled"}),
                json!({"certificate": {"dns": "c.example"}, "identity": {"user": ""}}),
            ][usize::from(version)]
            .clone();
            Object::CertificateMapping { meta, spec: serde_json::from_value(spec).unwrap() }
        }
    }
}

fn observed(
    index: &mut Index,
    last: Option<Arc<Snapshot>>,
    pki: &Pki,
) -> (Vec<Result<String, Reason>>, Vec<String>, Vec<Arc<str>>) {
    let snapshot = index.publish().or(last).expect("published once");
    let decisions = ["api", "x.api", "other"].iter().map(|host| decide(&snapshot, host, &pki.client)).collect();
    (decisions, lines(index), snapshot.identity_headers().to_vec())
}

fn any_edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        6 => (0..3_u8, 0..6_u8, 0..4_u8).prop_map(|(kind, slot, version)| Edit::Apply(kind, slot, version)),
        2 => (0..3_u8, 0..6_u8).prop_map(|(kind, slot)| Edit::Delete(kind, slot)),
        1 => Just(Edit::Publish),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn history_does_not_matter(edits in prop::collection::vec(any_edit(), 0..40), seed in any::<u64>()) {
        let pki = pki();
        let mut lived = Index::new();
        let mut last = None;
        let mut store: BTreeMap<(u8, u8), u8> = BTreeMap::new();
        for edit in &edits {
            match *edit {
                Edit::Apply(kind, slot, version) => {
                    lived.apply(object(kind, slot, version, &pki));
                    store.insert((kind, slot), version);
                }
                Edit::Delete(kind, slot) => {
                    lived.delete(&object(kind, slot, 0, &pki).id());
                    store.remove(&(kind, slot));
                }
                Edit::Publish => last = lived.publish().or(last),
            }
        }
        // The same store, filled at once, in another order.
        let mut shuffled: Vec<_> = store.into_iter().collect();
        let mut random = seed;
        shuffled.sort_by_cached_key(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random
        });
        let mut fresh = Index::new();
        for ((kind, slot), version) in shuffled {
            fresh.apply(object(kind, slot, version, &pki));
        }
        prop_assert_eq!(observed(&mut lived, last, &pki), observed(&mut fresh, None, &pki));
    }
}
