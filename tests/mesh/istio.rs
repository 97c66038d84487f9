//! `deploy/istio` on a real istiod, with a stock Envoy as the gateway's proxy.

use std::net::SocketAddr;
use std::process::Command;

use hyper::StatusCode;
use serde_json::json;

use crate::journey::{Gateway, Spellings};
use crate::stage::{Stage, dump, helm, must, run};
use certgate_harness::client::admin_get;
use certgate_harness::envoy::Envoy;
use certgate_harness::pki::Leaf;
use certgate_harness::ports::PortLease;
use certgate_harness::process::Process;
use certgate_harness::upstream::Upstream;
use certgate_harness::wait::{PATIENCE, until};

/// The example's AuthorizationPolicy.
const POLICY: &str = "authorizationpolicies.security.istio.io/certgate";

const SERVER: &str = "istiod.istio-system.svc";

/// What the mesh has to leave out for an Envoy that is not Istio's own build: statistics by a filter that only that has,
/// and certificates of the mesh, which Istio's agent would fetch.
const STOCK_ENVOY: &str = r#"{"meshConfig": {
    "defaultProviders": {"metrics": []}, "enablePrometheusMerge": false, "enableAutoMtls": false
}}"#;

/// A running istiod.
struct Istiod {
    _process: Process,
    xds: PortLease,
    _ports: [PortLease; 3],
}

impl Istiod {
    async fn start(stage: &Stage) -> Self {
        let leases = [PortLease::take(), PortLease::take(), PortLease::take()];
        let xds = PortLease::take();
        let (certificate, key) =
            stage.pki.server_root.issue(Leaf::server(SERVER)).write(stage.directory.path(), "istiod");
        let root = stage.write("istiod-ca.pem", &stage.pki.server_root.pem());
        let mut command = Command::new(stage.part.join("istiod"));
        command.arg("discovery").current_dir(stage.directory.path());
        command.arg("--kubeconfig").arg(stage.cluster.admin_kubeconfig());
        command.arg("--tlsCertFile").arg(certificate).arg("--tlsKeyFile").arg(key).arg("--caCertFile").arg(root);
        let [http, grpc, monitoring] = leases.each_ref().map(|lease| lease.address().to_string());
        command.args(["--secureGRPCAddr", &xds.address().to_string(), "--httpAddr", &http, "--grpcAddr", &grpc]);
        command.args(["--monitoringAddr", &monitoring, "--httpsAddr", "", "--ctrlz_port", "0"]);
        command.env("POD_NAMESPACE", "istio-system");
        for (variable, value) in [
            ("PILOT_ENABLE_ALPN_FILTER", "false"),
            ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
            ("ENABLE_CA_SERVER", "false"),
            ("PILOT_CERT_PROVIDER", "none"),
            ("PILOT_ENABLE_GATEWAY_API", "false"),
        ] {
            command.env(variable, value);
        }
        let mut process = Process::spawn("istiod", command, stage.directory.path());
        until("istiod is ready", 2 * PATIENCE, async || {
            assert!(process.ended().is_none(), "istiod does not stay up:\n{}", process.log());
            admin_get(leases[0].address(), "/ready").await.filter(|(status, _)| *status == 200)
        })
        .await;
        Self { _process: process, xds, _ports: leases }
    }
}

/// The configuration of the mesh, as Istio's own chart writes it from the example's values.
fn mesh_config(stage: &Stage) -> String {
    let chart = stage.part.join("chart");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/istio/istiod-values.yaml");
    let stock = stage.write("stock-envoy.yaml", STOCK_ENVOY);
    let args = ["template", "istiod", chart.to_str().unwrap(), "--namespace", "istio-system"];
    let values = ["--show-only", "templates/configmap.yaml", "--values", example, "--values", stock.to_str().unwrap()];
    must(helm(&stage.cluster, &args, &values))
}

/// The gateway's proxy, which istiod tells everything.
async fn start_envoy(stage: &Stage, istiod: SocketAddr) -> Envoy {
    let token = stage.cluster.kubectl(&[
        "create",
        "token",
        "istio-ingressgateway",
        "--namespace",
        "istio-ingress",
        "--audience",
        "istio-ca",
    ]);
    let ads = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    let bootstrap = json!({
        "node": {
            "id": "router~10.0.0.9~gateway-1.istio-ingress~istio-ingress.svc.cluster.local",
            "cluster": "istio-ingressgateway.istio-ingress",
            "metadata": {
                "NAMESPACE": "istio-ingress", "SERVICE_ACCOUNT": "istio-ingressgateway", "CLUSTER_ID": "Kubernetes",
                "ISTIO_VERSION": "1.31.0", "LABELS": {"istio": "ingressgateway"},
            },
        },
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {
            "lds_config": ads, "cds_config": ads,
            "ads_config": {
                "api_type": "GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
                "grpc_services": [{
                    "envoy_grpc": {"cluster_name": "istiod"},
                    "initial_metadata": [{"key": "authorization", "value": format!("Bearer {}", token.trim())}],
                }],
            },
        },
        "static_resources": {"clusters": [{
            "name": "istiod", "type": "STATIC", "connect_timeout": "5s",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": SERVER,
                "common_tls_context": {"validation_context": {
                    "trusted_ca": {"inline_string": stage.pki.server_root.pem()},
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": SERVER}}],
                }},
            }},
            "load_assignment": {"cluster_name": "istiod", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {
                "socket_address": {"address": istiod.ip().to_string(), "port_value": istiod.port()},
            }}}]}]},
        }]},
    });
    let directory = stage.directory.path();
    Envoy::launch("gateway", &bootstrap.to_string(), "json", directory, directory.join("access.log")).await
}

/// A workload behind a Service that the API server knows; it takes no endpoint on a loopback address, but Istio does.
fn workload(namespace: &str, name: &str, label: &str, port: &str, address: SocketAddr) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{address: {}, ports: {{{port}: {}}}, labels: {label}}}\n",
        address.ip(),
        address.port()
    )
}

#[test]
fn the_example_holds_on_a_real_istio() {
    run(async {
        let Some(mut stage) = Stage::set("istio").await else { return };
        // The port's name says so. Then trailers may reach it.
        stage.upstream = Upstream::start_http2().await;
        for namespace in ["istio-system", "istio-ingress"] {
            stage.cluster.kubectl(&["create", "namespace", namespace]);
        }
        // The gateway's account may read the Secrets of its namespace, as Istio's chart `gateway` has it.
        let rules = r#"[{apiGroups: [""], resources: [secrets], verbs: [get, watch, list]}]"#;
        stage.cluster.service_account("istio-ingress", "istio-ingressgateway", rules);
        stage.apply(&stage.gateway_secret("istio-ingress", Some(&stage.pki.root.pem())));
        stage.apply(&mesh_config(&stage));

        let selector =
            stage.cluster.get(&["service", "certgate", "--namespace", "certgate-system"])["spec"]["selector"]
                .to_string();
        stage.apply(&workload("certgate-system", "certgate", &selector, "grpc", stage.certgate.address()));
        stage.apply(
            "apiVersion: v1\nkind: Service\nmetadata: {name: payments-api, namespace: payments}\n\
             spec: {selector: {app: payments-api}, ports: [{name: http2, port: 8080, targetPort: http2}]}\n",
        );
        let upstream = stage.upstream.address();
        stage.apply(&workload("payments", "payments-api", "{app: payments-api}", "http2", upstream));

        let (istiod, https) = (Istiod::start(&stage).await, PortLease::take());
        let envoy = start_envoy(&stage, istiod.xds.address()).await;
        let gateway = Gateway::at(&stage, https.address());
        let siege = gateway.besiege();
        let (port, here) = ("port: {number: 443,", format!("port: {{number: {},", https.address().port()));
        let objects = stage.example("istio/gateway.yaml");
        assert!(objects.contains(port));
        stage.apply(&objects.replace(port, &here));
        stage.apply(&stage.example("istio/hardening.yaml"));
        stage.apply(&stage.example("istio/policy.yaml"));
        dump(&envoy).await;
        gateway.play(Spellings::Closed).await;

        // A provider that the mesh does not have.
        let edit = |what: &str, patch: &str| {
            stage.cluster.kubectl(&["patch", what, "--namespace", "istio-ingress", "--type=json", "-p", patch]);
        };
        let provider =
            |name: &str| format!(r#"[{{"op": "replace", "path": "/spec/provider/name", "value": "{name}"}}]"#);
        edit(POLICY, &provider("misspelt"));
        gateway.until_acme_is_refused().await;
        let amid = gateway.hold().await;
        edit(POLICY, &provider("certgate"));
        gateway.until_acme_passes().await;
        amid.are_refused().await;

        // Clients without a certificate get certgate's answer.
        let mode = r#"[{"op": "replace", "path": "/spec/servers/0/tls/mode", "value": "OPTIONAL_MUTUAL"}]"#;
        edit("gateways.networking.istio.io/api", mode);
        gateway.until_refused_for("CERT_REQUIRED", None).await;
        gateway.until_acme_passes().await;
        siege.lift().await;
        // Where nobody asks certgate, nobody is believed to be somebody.
        stage.cluster.kubectl(&["delete", POLICY, "--namespace", "istio-ingress"]);
        gateway.passes_without_identity().await;
        stage.apply(&objects.replace(port, &here));
        gateway.until_crow_is_refused().await;
        gateway.until_acme_passes().await;

        stage.certgate.process().kill();
        Gateway::at(&stage, https.address()).denies_without_certgate(StatusCode::SERVICE_UNAVAILABLE).await;
        drop((envoy, istiod));
    });
}
