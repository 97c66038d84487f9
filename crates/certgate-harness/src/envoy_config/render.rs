//! The types as Envoy's JSON.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{
    Authorization, ClientCertificates, Cluster, Config, Details, DownstreamTls, FailureMode, Format, ForwardClientCert,
    HealthChecks, Http, Listener, Mutations, Paths, PeerCertificate, Protocol, RawHeaders, Resumption, Route, UPSTREAM,
    Underscores,
};
use crate::pki::Identity;

const HTTP_CONNECTION_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

impl Config {
    /// The bootstrap. Keys and certificates are written inline; the access log goes to `access_log`.
    pub fn bootstrap(&self, access_log: &Path) -> Value {
        json!({
            "node": {"id": "certgate-test", "cluster": "certgate-test"},
            "admin": {"address": socket_address(&SocketAddr::from(([127, 0, 0, 1], 0)))},
            "static_resources": {
                "listeners": self.listeners.iter().map(|l| l.render(access_log)).collect::<Vec<_>>(),
                "clusters": self.clusters.iter().map(Cluster::render).collect::<Vec<_>>(),
            },
        })
    }
}

impl Listener {
    fn render(&self, access_log: &Path) -> Value {
        let address = self.address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let filters = match &self.protocol {
            Protocol::Http(http) => vec![http.render(self, access_log)],
            Protocol::Tcp => {
                let authorization = self.authorization.iter().map(|a| a.network_filter(&self.name));
                authorization.chain([tcp_proxy(&self.name, access_log)]).collect()
            }
        };
        let mut chain = Map::new();
        chain.insert("filters".to_owned(), Value::from(filters));
        if let Some(tls) = &self.tls {
            chain.insert("transport_socket".to_owned(), tls.render(&self.protocol));
        }
        json!({"name": self.name, "address": socket_address(&address), "filter_chains": [chain]})
    }
}

impl Http {
    fn render(&self, listener: &Listener, access_log: &Path) -> Value {
        let mut filters = Vec::new();
        if !self.strip.is_empty() {
            let mutations: Vec<Value> = self.strip.iter().map(|name| json!({"remove": name})).collect();
            filters.push(json!({
                "name": "strip-spoofable",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
                    "mutations": {"request_mutations": mutations},
                },
            }));
        }
        if let Some(authorization) = &listener.authorization {
            filters.push(authorization.http_filter());
        }
        filters.push(json!({
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }));
        let mut config = json!({
            "@type": HTTP_CONNECTION_MANAGER,
            "stat_prefix": listener.name,
            "codec_type": "AUTO",
            "forward_client_cert_details": self.forward.name(),
            "normalize_path": self.paths == Paths::Normalized,
            "merge_slashes": self.paths == Paths::Normalized,
            "path_with_escaped_slashes_action":
                if self.paths == Paths::Normalized { "REJECT_REQUEST" } else { "KEEP_UNCHANGED" },
            "common_http_protocol_options": {"headers_with_underscores_action": self.underscores.name()},
            "route_config": {
                "virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": self.routes.iter().map(Route::render).collect::<Vec<_>>(),
                }],
            },
            "http_filters": filters,
            "access_log": [access_log_to(access_log)],
        });
        let sets = matches!(self.forward, ForwardClientCert::SanitizeSet | ForwardClientCert::AppendForward);
        if let (true, Some(config)) = (sets, config.as_object_mut()) {
            let mut details = self.details.render();
            details["format"] = json!(if self.format == Format::Json { "JSON" } else { "TEXT" });
            config.insert("set_current_client_cert_details".to_owned(), details);
        }
        json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": config})
    }
}

impl Details {
    fn render(self) -> Value {
        match self {
            Self::CertAndChain => json!({"cert": true, "chain": true}),
            Self::Cert => json!({"cert": true, "subject": true, "dns": true, "uri": true}),
            Self::All => {
                json!({"cert": true, "chain": true, "subject": true, "dns": true, "uri": true, "issuer": true})
            }
            Self::Names => json!({"subject": true, "dns": true, "uri": true}),
        }
    }
}

impl Underscores {
    fn name(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::RejectRequest => "REJECT_REQUEST",
        }
    }
}

impl Route {
    fn render(&self) -> Value {
        let mut route = json!({
            "match": {"prefix": self.prefix},
            "route": {"cluster": self.cluster, "timeout": "10s"},
        });
        if let (false, Some(route)) = (self.context_extensions.is_empty(), route.as_object_mut()) {
            let extensions: Map<String, Value> =
                self.context_extensions.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            let per_route = json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
                "check_settings": {"context_extensions": extensions},
            });
            route.insert("typed_per_filter_config".to_owned(), json!({"envoy.filters.http.ext_authz": per_route}));
        }
        route
    }
}

impl DownstreamTls {
    fn render(&self, protocol: &Protocol) -> Value {
        let alpn: &[&str] = match protocol {
            Protocol::Http(_) => &["h2", "http/1.1"],
            Protocol::Tcp => &[],
        };
        let mut common = json!({"alpn_protocols": alpn, "tls_certificates": [tls_certificate(&self.server)]});
        let require = !matches!(self.clients, ClientCertificates::AcceptUntrusted { .. });
        let context = match &self.clients {
            ClientCertificates::AcceptUntrusted { anchors } => {
                Some(json!({"trusted_ca": inline(anchors), "trust_chain_verification": "ACCEPT_UNTRUSTED"}))
            }
            ClientCertificates::Require { anchors } => Some(json!({"trusted_ca": inline(anchors)})),
            ClientCertificates::RequireUnvalidated => None,
        };
        if let (Some(context), Some(common)) = (context, common.as_object_mut()) {
            common.insert("validation_context".to_owned(), context);
        }
        let disabled = self.resumption == Resumption::Disabled;
        json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "require_client_certificate": require,
                "disable_stateless_session_resumption": disabled,
                "disable_stateful_session_resumption": disabled,
                "common_tls_context": common,
            },
        })
    }
}

impl Authorization {
    fn http_filter(&self) -> Value {
        json!({
            "name": "envoy.filters.http.ext_authz",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
                "transport_api_version": "V3",
                "failure_mode_allow": self.failure == FailureMode::Allow,
                "include_peer_certificate": self.peer_certificate == PeerCertificate::Included,
                "include_tls_session": true,
                "encode_raw_headers": self.headers == RawHeaders::Lines,
                "validate_mutations": self.mutations == Mutations::Validated,
                "grpc_service": self.grpc_service(),
            },
        })
    }

    fn network_filter(&self, name: &str) -> Value {
        json!({
            "name": "envoy.filters.network.ext_authz",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz",
                "stat_prefix": name,
                "transport_api_version": "V3",
                "failure_mode_allow": self.failure == FailureMode::Allow,
                "include_peer_certificate": self.peer_certificate == PeerCertificate::Included,
                "include_tls_session": true,
                "grpc_service": self.grpc_service(),
            },
        })
    }

    fn grpc_service(&self) -> Value {
        let mut service = json!({
            "timeout": self.timeout,
            "envoy_grpc": {"cluster_name": self.cluster, "authority": "authz.example.test"},
        });
        if let (true, Some(service)) = (self.retries > 0, service.as_object_mut()) {
            let policy = json!({
                "num_retries": self.retries,
                "retry_on": "unavailable,reset,connect-failure",
                // The longest interval is also the time that each attempt has.
                "retry_back_off": {"base_interval": "0.01s", "max_interval": self.timeout},
            });
            service.insert("retry_policy".to_owned(), policy);
        }
        service
    }
}

impl Cluster {
    fn render(&self) -> Value {
        let endpoints: Vec<Value> =
            self.addresses.iter().map(|at| json!({"endpoint": {"address": socket_address(at)}})).collect();
        let mut cluster = json!({
            "name": self.name,
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {"cluster_name": self.name, "endpoints": [{"lb_endpoints": endpoints}]},
        });
        let fields = cluster.as_object_mut().expect("it is an object");
        if self.http2 {
            let options = json!({
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            });
            let key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
            fields.insert("typed_extension_protocol_options".to_owned(), json!({key: options}));
        }
        if self.health == HealthChecks::Grpc {
            let check = json!({
                "timeout": "1s",
                "interval": "0.1s",
                "no_traffic_interval": "0.1s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            });
            fields.insert("health_checks".to_owned(), json!([check]));
            // Without this, Envoy would use unready authorizers when half of them are absent, and would batch changes
            // of health for a second by default, which a drain delay would have to exceed.
            let balance = json!({"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"});
            fields.insert("common_lb_config".to_owned(), balance);
        }
        if let Some(tls) = &self.tls {
            let context = json!({
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": tls.sni,
                "common_tls_context": {
                    "tls_certificates": tls.identity.iter().map(tls_certificate).collect::<Vec<_>>(),
                    "validation_context": {"trusted_ca": inline(&tls.anchors)},
                },
            });
            let socket = json!({"name": "envoy.transport_sockets.tls", "typed_config": context});
            fields.insert("transport_socket".to_owned(), socket);
        }
        cluster
    }
}

fn tcp_proxy(name: &str, access_log: &Path) -> Value {
    json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": name,
            "cluster": UPSTREAM,
            "access_log": [access_log_to(access_log)],
        },
    })
}

fn access_log_to(path: &Path) -> Value {
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": {"json_format": {
                "id": "%REQ(x-request-id)%",
                "status": "%RESPONSE_CODE%",
                "details": "%RESPONSE_CODE_DETAILS%",
                "flags": "%RESPONSE_FLAGS%",
                "authz": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%",
            }},
        },
    })
}

fn tls_certificate(identity: &Identity) -> Value {
    json!({"certificate_chain": inline(&identity.chain_pem()), "private_key": inline(&identity.key_pem())})
}

fn inline(text: &str) -> Value {
    json!({"inline_string": text})
}

fn socket_address(address: &SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
