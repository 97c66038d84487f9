//! Bad input: for each kind, objects that are wrong, who refuses them, and in what words.
//!
//! Those that the definitions refuse are refused everywhere; those that are left to the webhook pass where it is not
//! asked, and are refused where it is. Nothing is stored: the API server is asked to try.

mod rows;

use std::process::Output;
use std::sync::Arc;

use certgate::domain::api::Kind;
use certgate::domain::api::Kind::{CertificateMapping as Mapping, CertificatePolicy as Policy, TrustProfile as Trust};
use certgate::kubernetes::api::collection_path;

use crate::admission::{Webhook, named, words};
use crate::cluster::Cluster;
use crate::with_cluster;

/// Who refuses.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum By {
    /// The API server, before it looks at the kind: the text cannot be read. (kubectl itself takes the last of two
    /// equal keys, so these are sent as they are.)
    Reading,
    /// The schema of the definition: types, words, ranges, formats, what is not known.
    Schema,
    /// A rule (CEL) of the definition.
    Rule,
    /// The webhook.
    Webhook,
}
use By::{Reading, Webhook as Hook};

type Row = (Kind, By, String, &'static str);

/// Sends an object as it is, without kubectl reading it.
fn send(cluster: &Cluster, kind: Kind, namespace: &str, spec: &str) -> Output {
    let text = format!(
        r#"{{"apiVersion": "certgate.dev/v1alpha1", "kind": "{kind}", "metadata": {{"name": "wrong"}}, "spec": {spec}}}"#
    );
    let file = cluster.directory().join("raw.json");
    std::fs::write(&file, text).unwrap();
    let path = format!("{}?dryRun=All&fieldValidation=Strict", collection_path(kind, Some(namespace)));
    cluster.try_kubectl(&["create", "--raw", &path, "-f", file.to_str().unwrap()])
}

#[test]
fn every_wrong_object_is_refused_by_somebody_in_clear_words() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (reviewed, unreviewed) = (cluster.new_namespace(), cluster.new_namespace());
        // What some of the objects contradict.
        cluster.apply(
            &[
                named(Trust, &reviewed, "private", "{}"),
                named(
                    Policy,
                    &reviewed,
                    "selecting",
                    "{trustRef: {name: private}, mapping: {selector: {matchLabels: {}}}}",
                ),
                named(Mapping, &reviewed, "taken", "{certificate: {uri: \"taken:a\"}, identity: {user: u}}"),
                named(Trust, &unreviewed, "private", "{}"),
            ]
            .concat(),
        );
        let also = format!("--namespace={unreviewed}");
        let _webhook = Webhook::start_also(&cluster, &reviewed, &[&also]).await;
        let mut problems = Vec::new();
        for kind in [Trust, Policy, Mapping] {
            let of_kind = rows::rows().into_iter().filter(|row| row.0 == kind).count();
            assert!(of_kind >= 20, "{kind}: {of_kind} rows");
        }
        for (kind, by, spec, want) in rows::rows() {
            let shown: String = spec.chars().take(120).collect();
            for namespace in [&reviewed, &unreviewed] {
                let spec = spec.replace("ELSEWHERE", if *namespace == reviewed { &unreviewed } else { &reviewed });
                let output = match by {
                    Reading => send(&cluster, kind, namespace, &spec),
                    _ => cluster.try_apply(&["--dry-run=server"], &named(kind, namespace, "wrong", &spec)),
                };
                let said = words(&output);
                let passes = by == Hook && *namespace == unreviewed;
                let right =
                    if passes { output.status.success() } else { !output.status.success() && said.contains(want) };
                if !right {
                    let said: String = said.chars().take(600).collect();
                    problems.push(format!(
                        "{kind} by {by:?} (reviewed: {}): {shown}\n  wanted: {want}\n  found: {said}",
                        *namespace == reviewed
                    ));
                }
            }
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}
