//! `deploy/envoy-gateway` on a real Envoy Gateway, with a stock Envoy for the proxy that it would run in a pod.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::journey::{Gateway, Spellings};
use crate::stage::{Stage, dump, must, run};
use certgate_harness::client::admin_get;
use certgate_harness::envoy::Envoy;
use certgate_harness::ports::PortLease;
use certgate_harness::process::Process;
use certgate_harness::upstream::Upstream;
use certgate_harness::wait::{PATIENCE, until};

const NAMESPACE: &str = "envoy-gateway-system";

/// As Envoy Gateway's chart configures it, without what asks for pods, and with what `trailers.yaml` needs.
const CONFIGURATION: &str = "\
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyGateway
gateway: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
extensionApis: {enableEnvoyPatchPolicy: true}
provider:
  type: Kubernetes
  kubernetes:
    leaderElection: {disable: true}
    proxyTopologyInjector: {disabled: true}
";

/// What the example takes for granted: the class, which Envoy Gateway's own quickstart makes.
const CLASS: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
";

/// Writes the files of a Secret or ConfigMap into a folder, as a mount would.
fn mount(object: &Value, folder: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).unwrap();
    for (name, content) in object["data"].as_object().unwrap() {
        let content = content.as_str().unwrap();
        let bytes = if object["kind"] == "Secret" {
            base64::engine::general_purpose::STANDARD.decode(content).unwrap()
        } else {
            content.as_bytes().to_vec()
        };
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// A root folder for Envoy Gateway, which reads its certificates at `/certs`.
fn make_root(stage: &Stage) -> PathBuf {
    let root = stage.directory.path().join("envoy-gateway-root");
    for folder in ["tmp", "etc", "var"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let (from, to) = (stage.part.join("envoy-gateway"), root.join("envoy-gateway"));
    fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ())).unwrap();
    let ca = fs::read(stage.cluster.directory().join("certs/apiserver.crt")).unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://{}", stage.cluster.address()),
            "certificate-authority-data": base64::engine::general_purpose::STANDARD.encode(ca),
        }}],
        "users": [{"name": "admin", "user": {"token": crate::cluster::Cluster::ADMIN_TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
    });
    fs::write(root.join("kubeconfig"), kubeconfig.to_string()).unwrap();
    fs::write(root.join("envoy-gateway.yaml"), CONFIGURATION).unwrap();
    root
}

/// A command in that root. Only root may change it, so others become root of a user namespace of their own.
fn envoy_gateway(root: &Path, args: &[&str]) -> Command {
    let mut command = if rustix::process::getuid().is_root() {
        Command::new("chroot")
    } else {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "chroot"]);
        unshare
    };
    command.arg(root).arg("/envoy-gateway").args(args);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("KUBECONFIG", "/kubeconfig").env("HOME", "/tmp");
    command.env("ENVOY_GATEWAY_NAMESPACE", NAMESPACE).env("KUBERNETES_CLUSTER_DOMAIN", "cluster.local");
    command
}

/// The Deployment that Envoy Gateway makes for the Gateway of the example.
async fn proxy(stage: &Stage, process: &mut Process) -> Value {
    until("Envoy Gateway makes a proxy", 2 * PATIENCE, async || {
        assert!(process.ended().is_none(), "Envoy Gateway does not stay up:\n{}", process.log());
        let found = stage.cluster.get(&[
            "deployments",
            "--namespace",
            NAMESPACE,
            "--selector",
            "gateway.envoyproxy.io/owning-gateway-name=api",
        ]);
        found["items"].get(0).cloned()
    })
    .await
}

/// Runs the proxy of that Deployment: its own bootstrap, with other addresses, files and ports.
async fn start_envoy(stage: &Stage, deployment: &Value) -> Envoy {
    let directory = stage.directory.path();
    let name = deployment["metadata"]["name"].as_str().unwrap();
    let (certs, sds) = (directory.join("proxy-certs"), directory.join("proxy-sds"));
    mount(&stage.cluster.get(&["secret", "envoy", "--namespace", NAMESPACE]), &certs);
    mount(&stage.cluster.get(&["configmap", name, "--namespace", NAMESPACE]), &sds);
    for file in fs::read_dir(&sds).unwrap().map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("/certs", certs.to_str().unwrap())).unwrap();
    }
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let container = containers.iter().find(|container| container["name"] == "envoy").unwrap();
    let args: Vec<_> = container["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let after = |flag: &str| {
        let at = args.iter().position(|arg| *arg == flag || arg.starts_with(&format!("{flag}=")))?;
        args[at]
            .strip_prefix(&format!("{flag}="))
            .or_else(|| args.get(at + 1).copied())
            .or_else(|| args[at].split_once(' ').map(|(_, value)| value))
    };
    let cluster = args
        .iter()
        .find_map(|arg| arg.strip_prefix("--service-cluster "))
        .or_else(|| after("--service-cluster"))
        .unwrap();
    let bootstrap =
        args.iter().find_map(|arg| arg.strip_prefix("--config-yaml ")).or_else(|| after("--config-yaml")).unwrap();
    println!("{args:#?}");
    let node = format!("node:\n  id: proxy-1\n  cluster: {cluster}\n");
    let mut text = bootstrap
        .replace("node:\n", &node)
        .replace(&format!("envoy-gateway.{NAMESPACE}.svc.cluster.local."), "127.0.0.1")
        .replace(&format!("envoy-gateway.{NAMESPACE}.svc.cluster.local"), "127.0.0.1")
        .replace("/sds", sds.to_str().unwrap());
    for port in ["19000", "19001", "19003"] {
        text = text.replace(&format!("port_value: {port}"), "port_value: 0");
    }
    Envoy::launch("gateway", &text, "yaml", directory, directory.join("access.log")).await
}

/// The endpoint of a Service. The API server takes no loopback address, but a name for one, which Envoy knows without a DNS server.
fn endpoint(namespace: &str, service: &str, port: &str, address: SocketAddr) -> String {
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: FQDN\n\
         metadata: {{name: {service}, namespace: {namespace}, labels: {{kubernetes.io/service-name: {service}}}}}\n\
         ports: [{{name: {port}, port: {}, protocol: TCP}}]\nendpoints: [{{addresses: [{service}.localhost]}}]\n",
        address.port()
    )
}

/// Whether the listener has the filter that asks certgate.
async fn filters(envoy: &Envoy) -> &'static str {
    let (_, text) = admin_get(envoy.admin(), "/config_dump?resource=dynamic_listeners").await.unwrap();
    if text.contains("filters.http.ext_authz") { "the filter is there" } else { "there is no filter" }
}

/// The CA file of the gateway's clients.
fn make_roots(stage: &Stage) {
    let from = format!("--from-file=ca.crt={}", stage.directory.path().join("partner-roots.pem").display());
    stage.cluster.kubectl(&["create", "configmap", "partner-roots", "--namespace", "gateways", &from]);
}

#[test]
fn the_example_holds_on_a_real_envoy_gateway() {
    run(async {
        let Some(mut stage) = Stage::set("envoy-gateway").await else { return };
        // Its Service says so. Then trailers may reach it.
        stage.upstream = Upstream::start_http2().await;
        for namespace in [NAMESPACE, "gateways"] {
            stage.cluster.kubectl(&["create", "namespace", namespace]);
        }
        let root = make_root(&stage);
        must(envoy_gateway(&root, &["certgen", "--disable-topology-injector"]).output().unwrap());
        mount(&stage.cluster.get(&["secret", "envoy-gateway", "--namespace", NAMESPACE]), &root.join("certs"));
        let server = envoy_gateway(&root, &["server", "--config-path", "/envoy-gateway.yaml"]);
        let mut process = Process::spawn("envoy-gateway", server, stage.directory.path());

        stage.apply(CLASS);
        stage.apply(&stage.gateway_secret("gateways", None));
        make_roots(&stage);
        let slice = endpoint("certgate-system", "certgate-headless", "grpc", stage.certgate.address());
        stage.cluster.apply(&slice);
        stage.apply(
            "apiVersion: v1\nkind: Service\nmetadata: {name: payments-api, namespace: payments}\n\
             spec: {ports: [{name: http, port: 8080, targetPort: http, appProtocol: kubernetes.io/h2c}]}\n",
        );
        stage.cluster.apply(&endpoint("payments", "payments-api", "http", stage.upstream.address()));

        let https = PortLease::take();
        let objects = stage.example("envoy-gateway/gateway.yaml");
        assert!(objects.contains("port: 443"));
        stage.apply(&stage.example("envoy-gateway/authorization.yaml"));
        stage.apply(&stage.example("envoy-gateway/trailers.yaml"));
        stage.apply(&objects.replace("port: 443", &format!("port: {}", https.address().port())));
        let deployment = proxy(&stage, &mut process).await;
        let envoy = start_envoy(&stage, &deployment).await;
        let gateway = Gateway::at(&stage, https.address());
        let siege = gateway.besiege();
        stage.apply(&stage.example("envoy-gateway/policy.yaml"));
        dump(&envoy).await;
        gateway.play(Spellings::Closed).await;

        // Without one of these, Envoy Gateway takes the filter that asks certgate away, or the filter has nobody to ask.
        // A connection of that time may have no filter, ever.
        let guard = stage.example("envoy-gateway/authorization.yaml");
        let service = stage.cluster.get(&["service", "certgate-headless", "--namespace", "certgate-system"]);
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "spec": service["spec"],
            "metadata": {"name": "certgate-headless", "namespace": "certgate-system"},
        });
        let service = service.to_string();
        for (what, namespace, again) in [
            ("referencegrant/certgate", "certgate-system", &guard),
            ("securitypolicy/certgate", "gateways", &guard),
            ("endpointslice/certgate-headless", "certgate-system", &slice),
            ("service/certgate-headless", "certgate-system", &service),
        ] {
            let held = gateway.hold().await;
            stage.cluster.kubectl(&["delete", what, "--namespace", namespace]);
            gateway.until_acme_is_refused().await;
            let amid = gateway.hold().await;
            println!("without {what}: {}", filters(&envoy).await);
            stage.cluster.apply(again);
            gateway.until_acme_passes().await;
            held.are_refused().await;
            amid.are_refused().await;
        }

        // Certgate answers strangers where the gateway lets them in.
        let mode = |mode: &str| {
            let patch =
                format!(r#"[{{"op": "replace", "path": "/spec/tls/clientValidation/mode", "value": "{mode}"}}]"#);
            let what =
                ["patch", "clienttrafficpolicy", "client-certificates", "--namespace", "gateways", "--type=json"];
            stage.cluster.kubectl(&[what.as_slice(), &["-p", &patch]].concat());
        };
        let stranger = Gateway::stranger();
        mode("RequireAny");
        gateway.until_refused_for("CERT_UNTRUSTED", Some(&stranger)).await;
        mode("Request");
        gateway.until_refused_for("CERT_REQUIRED", None).await;
        gateway.until_refused_for("CERT_UNTRUSTED", Some(&stranger)).await;
        gateway.until_acme_passes().await;
        mode("RequireAndVerify");

        // Without the CA file of the clients, the ClientTrafficPolicy is not valid.
        for _ in 0..3 {
            stage.cluster.kubectl(&["delete", "configmap", "partner-roots", "--namespace", "gateways"]);
            gateway.until_acme_is_refused().await;
            let amid = gateway.hold().await;
            make_roots(&stage);
            gateway.until_acme_passes().await;
            amid.are_refused().await;
        }
        siege.lift().await;

        stage.certgate.process().kill();
        Gateway::at(&stage, https.address()).denies_without_certgate(StatusCode::SERVICE_UNAVAILABLE).await;
        drop((envoy, process));
    });
}
