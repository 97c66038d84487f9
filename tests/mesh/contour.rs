//! `deploy/contour` on a real Contour, with a stock Envoy, which is what Contour runs.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use base64::Engine as _;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::journey::{Gateway, Spellings};
use crate::stage::{Stage, dump, must, run};
use certgate_harness::envoy::Envoy;
use certgate_harness::ports::PortLease;
use certgate_harness::process::Process;

/// A running Contour, and where its Envoys listen for clients.
struct Contour {
    _process: Process,
    xds: PortLease,
    https: PortLease,
    _ports: [PortLease; 4],
}

impl Contour {
    fn start(stage: &Stage) -> Self {
        let [xds, https, http, metrics, debug, stats] = std::array::from_fn(|_| PortLease::take());
        let port = |lease: &PortLease| lease.address().port().to_string();
        let mut command = Command::new(stage.part.join("contour"));
        command.arg("serve").arg("--kubeconfig").arg(stage.cluster.admin_kubeconfig());
        command.args(["--insecure", "--disable-leader-election", "--xds-address", "127.0.0.1"]);
        command.args(["--xds-port", &port(&xds), "--http-address", "127.0.0.1", "--http-port", &port(&metrics)]);
        command.args(["--health-address", "127.0.0.1", "--health-port", &port(&metrics)]);
        command.args([
            "--debug-http-port",
            &port(&debug),
            "--stats-address",
            "127.0.0.1",
            "--stats-port",
            &port(&stats),
        ]);
        command.args(["--envoy-service-https-address", "127.0.0.1", "--envoy-service-https-port", &port(&https)]);
        command.args(["--envoy-service-http-address", "127.0.0.1", "--envoy-service-http-port", &port(&http)]);
        let process = Process::spawn("contour", command, stage.directory.path());
        Self { _process: process, xds, https, _ports: [http, metrics, debug, stats] }
    }
}

/// Runs Envoy with the bootstrap that Contour makes for it.
async fn start_envoy(stage: &Stage, contour: &Contour) -> Envoy {
    let directory = stage.directory.path();
    let path = directory.join("contour-bootstrap.json");
    let mut command = Command::new(stage.part.join("contour"));
    command.arg("bootstrap").arg(&path).args(["--xds-address", "127.0.0.1"]);
    must(command.args(["--xds-port", &contour.xds.address().port().to_string()]).output().unwrap());
    let mut bootstrap: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    // A pod's command line gives the node, and the admin port is a socket there.
    bootstrap["node"] = json!({"id": "envoy-1", "cluster": "projectcontour"});
    bootstrap["admin"] = json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}});
    Envoy::launch("gateway", &bootstrap.to_string(), "json", directory, directory.join("access.log")).await
}

/// The endpoint of a Service, written where the API server keeps it: it would not take a loopback address.
fn endpoint(stage: &Stage, namespace: &str, service: &str, port: &str, address: SocketAddr) {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": service, "namespace": namespace, "uid": format!("uid-of-{service}"),
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"kubernetes.io/service-name": service},
        },
        "ports": [{"name": port, "port": address.port(), "protocol": "TCP"}],
        "endpoints": [{"addresses": [address.ip()], "conditions": {"ready": true}}],
    });
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let key = format!("/registry/endpointslices/{namespace}/{service}");
    let put = json!({"key": base64(&key), "value": base64(&slice.to_string())}).to_string();
    let url = format!("http://{}/v3/kv/put", stage.cluster.etcd_address());
    must(Command::new("curl").args(["-sS", "--fail", "-X", "POST", "-d", &put, &url]).output().unwrap());
}

#[test]
fn the_example_holds_on_a_real_contour() {
    run(async {
        let Some(mut stage) = Stage::set("contour").await else { return };
        stage.cluster.kubectl(&["create", "namespace", "projectcontour"]);
        stage.apply(&stage.gateway_secret("payments", None));
        let from = format!("--from-file=ca.crt={}", stage.directory.path().join("partner-roots.pem").display());
        stage.cluster.kubectl(&["create", "secret", "generic", "partner-roots", "--namespace", "payments", &from]);
        endpoint(&stage, "certgate-system", "certgate-headless", "grpc", stage.certgate.address());
        stage.apply(
            "apiVersion: v1\nkind: Service\nmetadata: {name: payments-api, namespace: payments}\n\
             spec: {ports: [{name: http, port: 8080, targetPort: http}]}\n",
        );
        endpoint(&stage, "payments", "payments-api", "http", stage.upstream.address());

        let contour = Contour::start(&stage);
        let envoy = start_envoy(&stage, &contour).await;
        let gateway = Gateway::at(&stage, contour.https.address());
        let siege = gateway.besiege();
        // As kubectl applies a folder.
        for file in ["extension-service.yaml", "policy.yaml", "proxy.yaml"] {
            stage.apply(&stage.example(&format!("contour/{file}")));
        }
        gateway.until_acme_passes().await;
        dump(&envoy).await;
        gateway.play(Spellings::Passed).await;

        // Without its ExtensionService, the HTTPProxy is not valid.
        for _ in 0..3 {
            let held = gateway.hold().await;
            stage.cluster.kubectl(&["delete", "extensionservice", "certgate", "--namespace", "certgate-system"]);
            gateway.until_acme_is_refused().await;
            let amid = gateway.hold().await;
            stage.apply(&stage.example("contour/extension-service.yaml"));
            gateway.until_acme_passes().await;
            held.are_refused().await;
            amid.are_refused().await;
        }

        // Certgate answers strangers where the gateway lets them in.
        let set = |field: &str| {
            let path = format!("/spec/virtualhost/tls/clientValidation/{field}");
            let patch = json!([{"op": "add", "path": path, "value": true}]).to_string();
            let what = ["patch", "httpproxy", "api", "--namespace", "payments", "--type=json", "-p"];
            stage.cluster.kubectl(&[what.as_slice(), &[&patch]].concat());
        };
        set("optionalClientCertificate");
        gateway.until_refused_for("CERT_REQUIRED", None).await;
        set("skipClientCertValidation");
        gateway.until_refused_for("CERT_UNTRUSTED", Some(&Gateway::stranger())).await;
        gateway.until_acme_passes().await;
        siege.lift().await;

        stage.certgate.process().kill();
        Gateway::at(&stage, contour.https.address()).denies_without_certgate(StatusCode::FORBIDDEN).await;
        drop((envoy, contour));
    });
}
