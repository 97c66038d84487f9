use super::*;

const MAPPING: &str = "apiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {name: a}\n\
                           spec:\n  certificate: {dns: a.example}\n  identity: {user: a}\n";

fn faults(text: &str) -> Vec<String> {
    let found = read(text.as_bytes(), 1);
    let show = |f: DocumentFault| {
        let object = f.object.map_or_else(String::new, |o| format!("{o}: "));
        format!("{}: {object}{}: {}", f.fault.at, f.fault.path, f.fault.message)
    };
    found.faults.into_iter().map(show).collect()
}

fn names(found: &ParsedChunk) -> Vec<String> {
    found.objects.iter().map(|(object, at)| format!("{}@{}", object.id(), at.line)).collect()
}

#[test]
fn every_kind_is_read() {
    assert!(Kind::ALL.into_iter().all(|kind| !KindSchema::of(kind).top.is_empty()));
    for (text, want) in [
        (MAPPING, "CertificateMapping default/a@1"),
        (
            "{apiVersion: certgate.dev/v1alpha1, kind: TrustProfile, metadata: {name: t}, spec: {}}",
            "TrustProfile default/t@1",
        ),
        (
            "{apiVersion: certgate.dev/v1alpha1, kind: CertificatePolicy, metadata: {name: p, namespace: pay}, spec: {trustRef: {name: t}}, status: {x: [~]}}",
            "CertificatePolicy pay/p@1",
        ),
        ("{apiVersion: v1, kind: Secret, metadata: {name: s}, type: Opaque, immutable: true}", "Secret default/s@1"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: }", "ConfigMap default/c@1"),
        ("{apiVersion: v1, kind: Namespace, metadata: {name: c}, spec: {finalizers: [kubernetes]}}", "Namespace c@1"),
        (
            "{apiVersion: certificates.k8s.io/v1alpha1, kind: ClusterTrustBundle, metadata: {name: b}, spec: {trustBundle: x}}",
            "ClusterTrustBundle b@1",
        ),
    ] {
        let found = read(text.as_bytes(), 1);
        assert_eq!(faults(text), Vec::<String>::new(), "{text}");
        assert_eq!(names(&found), [want]);
    }
}

#[test]
fn secrets_and_config_maps_give_their_bytes() {
    let data = |text: &str| match read(text.as_bytes(), 1).objects.pop() {
        Some((Object::Secret { data, .. } | Object::ConfigMap { data, .. }, _)) => data,
        other => panic!("{other:?}"),
    };
    let secret = data(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  a: QUJD\n  b: |\n    QU\n    JD\n  c: QUJD\nstringData: {c: plain}\n",
    );
    let want = [("a", "ABC"), ("b", "ABC"), ("c", "plain")];
    assert_eq!(
        secret.iter().map(|(k, v)| (k.as_str(), &**v)).collect::<Vec<_>>(),
        want.map(|(k, v)| (k, v.as_bytes()))
    );
    let map =
        data("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\ndata: {ca.crt: PEM}\nbinaryData: {der: MAA=}\n");
    assert_eq!(map.get("ca.crt").map(|b| &**b), Some(&b"PEM"[..]));
    assert_eq!(map.get("der").map(|b| &**b), Some(&[0x30, 0x00][..]));
}

#[test]
fn lists_are_flattened() {
    let list = |api: &str, kind: &str| {
        format!(
            "apiVersion: {api}\nkind: {kind}\nmetadata: {{resourceVersion: \"\"}}\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {{name: ns}}\n\
                 - apiVersion: apps/v1\n  kind: Deployment\n- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: c}}}}\n"
        )
    };
    for (api, kind) in [("v1", "List"), ("v1", "ConfigMapList"), ("certgate.dev/v1alpha1", "CertificateMappingList")] {
        let found = read(list(api, kind).as_bytes(), 10);
        assert_eq!(names(&found), ["Namespace ns@14", "ConfigMap default/c@19"], "{kind}");
        assert_eq!(found.foreign.len(), 1);
        assert!(found.faults.is_empty());
    }
    assert_eq!(faults("{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: []}]}").len(), 1);
    assert_eq!(faults("{apiVersion: v1, kind: List}"), ["1:1: items: is required"]);
}

#[test]
fn other_kinds_are_passed_over_with_what_yaml_they_have() {
    for text in [
        "apiVersion: apps/v1\nkind: Deployment\nspec: {a: &x 1, b: *x, a: 2}\n",
        "apiVersion: v1\nkind: Service\nspec: {a: !!str 1}\n",
        "apiVersion: policy.open-cluster-management.io/v1\nkind: CertificatePolicy\n",
    ] {
        let found = read(text.as_bytes(), 1);
        assert_eq!((found.objects.len(), found.foreign.len(), found.faults.len()), (0, 1, 0), "{text}");
    }
}

#[test]
fn documents_that_could_be_ours_are_errors() {
    for (name, text, want) in [
        ("no kind", "apiVersion: certgate.dev/v1alpha1\n", "1:1: kind: is required"),
        ("no apiVersion", "kind: CertificatePolicy\n", "1:1: CertificatePolicy default/?: apiVersion: is required"),
        ("text", "hello\n", "1:1: : want a mapping with apiVersion and kind"),
        (
            "other version",
            "apiVersion: certgate.dev/v1\nkind: TrustProfile\n",
            "1:13: TrustProfile default/?: apiVersion: unknown version `v1`; want certgate.dev/v1alpha1",
        ),
        (
            "misspelt kind",
            "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfil\n",
            "2:7: TrustProfil default/?: kind: unknown kind `TrustProfil`; did you mean `TrustProfile`?",
        ),
        (
            "misspelt group",
            "apiVersion: certgate.io/v1alpha1\nkind: TrustProfile\nmetadata: {name: x}\n",
            "1:13: TrustProfile default/x: apiVersion: unknown group `certgate.io`; did you mean `certgate.dev/v1alpha1`?",
        ),
        (
            "a second kind",
            "apiVersion: apps/v1\nkind: Deployment\nkind: TrustProfile\n",
            "3:1: Deployment default/?: : duplicate key `kind`: first at line 2, column 1",
        ),
        (
            "a second kind, on one line",
            "{apiVersion: apps/v1, kind: Deployment, kind: TrustProfile}\n",
            "1:41: Deployment default/?: : duplicate key `kind`: first at line 1, column 23",
        ),
        (
            "merged kind",
            "<<: {kind: TrustProfile}\napiVersion: v1\nkind: Pod\n",
            "1:1: Pod default/?: : merge keys are not supported; write the fields out",
        ),
        ("not UTF-8", "a: \u{fffd}", "1:4: : not UTF-8"),
    ] {
        if name == "not UTF-8" {
            let found = read(b"a: \xff\n", 1);
            assert_eq!(found.faults[0].fault.at, Mark { line: 1, column: 4 });
            continue;
        }
        assert_eq!(faults(text), [want], "{name}");
    }
}

#[test]
fn our_kinds_are_passed_over_only_when_certainly_of_others() {
    let groups = [
        ("policy.open-cluster-management.io/v1", true),
        ("example.com/v1alpha1", true),
        ("v1alpha1", false),
        ("v1", false),
        ("''", false),
        ("/v1alpha1", false),
        ("security/v1alpha1", false),
        ("certgate/v1alpha1", false),
        ("certgate.example.com/v1alpha1", false),
        ("certgates.io.example/v1alpha1", false),
        ("dev.certgate/v1alpha1", false),
        ("www.certgate.dev/v1alpha1", false),
        ("Certgate.Dev/v1alpha1", false),
        ("CERTGATE.DEV/v1alpha1", false),
        ("cretgtae.dev/v1alpha1", false),
        ("certgate.dev.v1alpha1", false),
        ("example.com/certgate.dev/v1alpha1", false),
        ("example..com/v1", false),
        ("example.com/", false),
    ];
    for own in Kind::OWN.map(Kind::name) {
        for (api, is_foreign) in groups {
            let document = format!("{{apiVersion: {api}, kind: {own}, metadata: {{name: x}}, spec: {{}}}}");
            for text in [
                document.clone(),
                format!("apiVersion: v1\nkind: List\nitems: [{document}]\n"),
                format!("{{apiVersion: {api}, kind: {own}List, items: []}}"),
            ] {
                let found = read(text.as_bytes(), 1);
                let want = if is_foreign { (0, 1, 0) } else { (0, 0, 1) };
                assert_eq!((found.objects.len(), found.foreign.len(), found.faults.len()), want, "{text}");
                assert!(is_foreign || found.faults[0].fault.path == "apiVersion", "{text}");
            }
        }
    }
    let list = "{apiVersion: v2, kind: List, items: []}";
    assert_eq!(faults(list), ["1:14: List default/?: apiVersion: unknown version `v2`; want `v1`"]);
}

#[test]
fn all_errors_of_a_document_are_named() {
    let text = "apiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {name: A, labels: {x: 1}}\nspce: {}\nspec:\n  \
                    certificate: {sha: x}\n  identity: {user: yes}\n  state: Disbled\n";
    let found = faults(text);
    let parts =
        ["spce", "spec.certificate.sha", "spec.identity.user", "spec.state", "metadata.labels.x", "metadata.name"];
    assert_eq!(found.len(), parts.len(), "{found:#?}");
    for (line, part) in found.iter().zip(parts) {
        assert!(line.contains(&format!("CertificateMapping default/A: {part}: ")), "{line}");
    }
}

#[test]
fn a_broken_secret_is_an_error_with_its_key() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  ca.crt: '***'\nstringdata: {}\n";
    let found = faults(text);
    assert!(
        found[0].starts_with("6:1: Secret default/s: stringdata: unknown field; did you mean `stringData`?"),
        "{found:?}"
    );
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  ca.crt: '***'\n";
    assert!(faults(text)[0].starts_with("5:11: Secret default/s: data[\"ca.crt\"]: not base64"), "{:?}", faults(text));
}

#[test]
fn fields_of_objects_are_found_again() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}\n";
    let wanted = |kind, line| ObjectSelector { kind, namespace: "default", name: "a", line };
    let at = |kind, line, path| {
        FieldLocator::of(list.as_bytes(), 1).locate(wanted(kind, line), path).map(|m| (m.line, m.column))
    };
    assert_eq!(at(Kind::ConfigMap, None, "data.k"), Some((5, 68)));
    assert_eq!(at(Kind::Secret, Some(4), "metadata.name"), Some((4, 51)));
    assert_eq!(at(Kind::Secret, Some(5), "metadata.name"), None);
    assert_eq!(at(Kind::TrustProfile, None, ""), None);
}
