//! What the store waits for, and what it says of sources that it has not been told.

use std::cell::RefCell;

use serde_json::json;

use super::*;
use crate::domain::api::{ObjectMeta, Origin};

/// A source that is forbidden is told from one that is missing, for as long as something names it.
#[test]
fn what_is_forbidden_is_told_and_forgotten() {
    let store = Store::new(Scope::Cluster, None, Rc::default(), Arc::new(Health::new()));
    let store = Rc::new(RefCell::new(store));
    let target = Target { name: Some("roots".to_owned()), ..Target::all(Kind::Secret, Some("ns")) };
    let origin = Origin { file: "".into(), document: 0 };
    let meta = ObjectMeta { namespace: "ns".into(), name: "t".into(), origin, ..ObjectMeta::default() };
    let spec = serde_json::from_value(json!({"trustAnchors": [{"secret": {"name": "roots"}}]})).unwrap();
    store.borrow_mut().index.apply(Object::TrustProfile { meta, spec });
    let told = || {
        let mut store = store.borrow_mut();
        store.index.publish();
        let problems = store.index.problems();
        problems.iter().flat_map(|problem| &problem.errors).map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let mut handler = SetEventHandler { store: store.clone(), target: target.clone() };
    let refused = |code| ApiError::Refused { code, reason: String::new(), message: String::new(), retry_after: None };
    store.borrow_mut().add(&target);
    handler.failed(&refused(403), Duration::ZERO);
    assert!(told().contains("Secret ns/roots may not be read"), "{}", told());
    handler.failed(&refused(404), Duration::ZERO);
    assert!(told().contains("Secret ns/roots does not exist"), "{}", told());
    handler.failed(&refused(403), Duration::ZERO);
    store.borrow_mut().remove(&target);
    assert!(told().contains("Secret ns/roots does not exist"), "{}", told());
}

/// A ConfigMap that comes with its profile is waited for, and is not called missing before the server has said so.
#[test]
fn a_source_is_not_missing_before_its_first_list() {
    let hour = Duration::from_secs(3600);
    let store = Store::new(Scope::Cluster, None, Rc::default(), Arc::new(Health::new()));
    let store = Rc::new(RefCell::new(store));
    let meta = ObjectMeta { namespace: "ns".into(), name: "t".into(), ..ObjectMeta::default() };
    let spec: TrustProfileSpec =
        serde_json::from_value(json!({"trustAnchors": [{"configMap": {"name": "roots"}}]})).unwrap();
    let target = sources_of(&Scope::Cluster, "ns", &spec).pop_first().unwrap();
    let told = || {
        let mut store = store.borrow_mut();
        store.index.publish();
        store.note_published();
        let problems = store.index.problems();
        problems.iter().flat_map(|problem| &problem.errors).map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    told();
    store.borrow_mut().index.apply(Object::TrustProfile { meta, spec: Box::new(spec) });
    store.borrow_mut().add(&target);
    let first = Instant::now();
    let mut handler = SetEventHandler { store: store.clone(), target: target.clone() };
    let due_after = |waited: Duration| store.borrow().is_due(Instant::now() + waited, hour, hour);
    assert!(!due_after(Duration::ZERO), "the list of its source is on its way");
    assert!(due_after(hour), "it is not waited for longer than that");
    // Another source, named later, puts nothing off.
    let other = Target { name: Some("other".to_owned()), ..target };
    store.borrow_mut().add(&other);
    assert!(store.borrow().is_due(first + hour, hour, hour), "what the first one holds up waits since then");
    store.borrow_mut().remove(&other);
    assert!(told().contains("ConfigMap ns/roots has not been read yet"), "{}", told());
    handler.listing();
    assert!(!due_after(Duration::ZERO));
    handler.listed();
    assert!(due_after(Duration::ZERO), "what is known now is told");
    assert!(told().contains("ConfigMap ns/roots does not exist"), "{}", told());
}
