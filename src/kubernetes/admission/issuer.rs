//! Keeps the webhook's certificate in a Secret: every replica shows what stands there, and one keeps it fresh.
//!
//! Owns who does what when. All replicas watch the Secret by its name. The holder of the Lease makes and renews the
//! certificate ([`super::certificate`] says how) and writes the authorities into the webhook configuration, again and
//! again, so that an edit by somebody else does not last.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Resource as _;
use kube::api::{GetParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::api::{Api, ApiError, Target};
use super::super::follow::{EventHandler, follow};
use super::super::lease::LeaseOptions;
use super::super::wire::{self, Received};
use super::certificate::{self, CertificateOptions, Data, RotationStep};
use super::server::ALPN;
use crate::domain::api::{Kind, NamespacedName, Object};
use crate::telemetry::limit::LogLimit;
use crate::tls::accept::Acceptor;
use crate::tls::health::ServerHealth;
use crate::tls::identity::ServerIdentity;
use crate::tls::server::TlsServer;
use certgate_x509::{Sha256, UnixTime};

/// How often it is looked whether there is something to do.
const CHECK_PERIOD: Duration = Duration::from_secs(5);

/// How often it is looked whether the lease is held.
const LEASE_POLL_PERIOD: Duration = Duration::from_millis(200);

/// How long API servers may take to learn new authorities. They watch their webhook configurations, so it is a second.
const CA_PROPAGATION_DELAY: Duration = Duration::from_secs(30);

/// How often one failure is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Who owns the fields (server-side bookkeeping).
const FIELD_MANAGER: &str = "certgate-admission";

/// Where the certificate lies, and who has to believe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerOptions {
    /// The Secret.
    pub secret: NamespacedName,
    /// The name of the ValidatingWebhookConfiguration whose `caBundle`s are kept; `None` when somebody else does.
    pub configuration: Option<String>,
    /// What stands in the certificate.
    pub terms: CertificateOptions,
    /// Whose holder makes the certificate.
    pub lease: LeaseOptions,
}

impl IssuerOptions {
    fn tick(&self) -> Duration {
        CHECK_PERIOD.min(self.terms.lifetime / 20)
    }

    fn propagation(&self) -> Duration {
        CA_PROPAGATION_DELAY.min(self.terms.lifetime / 6)
    }
}

/// Where the certificate is served.
#[derive(Clone, Debug)]
pub struct ServedCertificate {
    acceptor: watch::Sender<Option<Arc<Acceptor>>>,
    health: Arc<ServerHealth>,
}

impl ServedCertificate {
    /// Nothing yet.
    pub fn new(acceptor: watch::Sender<Option<Arc<Acceptor>>>, health: Arc<ServerHealth>) -> Self {
        Self { acceptor, health }
    }

    fn show(&self, identity: &ServerIdentity) {
        let present = self.acceptor.borrow().clone();
        match present {
            Some(acceptor) => acceptor.server().replace(identity),
            None => {
                let server = Arc::new(TlsServer::new(identity, ALPN, self.health.clone()));
                self.acceptor.send_replace(Some(Arc::new(Acceptor::new(server))));
            }
        }
        let certificate = identity.certificate();
        tracing::info!(
            sha256 = %certificate.sha256(),
            not_after = %certificate.not_after(),
            "the admission webhook shows this certificate"
        );
    }
}

/// Shows what stands in the Secret, now and whenever it changes. Never returns.
pub async fn serve_certificate(api: Api, options: IssuerOptions, served: ServedCertificate) -> ! {
    let target = target(&options);
    let mut watcher = SecretEventHandler {
        served,
        last: None,
        failures: LogLimit::every(LOG_INTERVAL),
        secret: options.secret.clone(),
    };
    follow(&api, &target, &mut watcher).await
}

fn target(options: &IssuerOptions) -> Target {
    let NamespacedName { namespace, name } = &options.secret;
    Target { name: Some(name.to_string()), ..Target::all(Kind::Secret, Some(namespace)) }
}

struct SecretEventHandler {
    served: ServedCertificate,
    last: Option<Sha256>,
    failures: LogLimit,
    secret: NamespacedName,
}

impl EventHandler for SecretEventHandler {
    fn listing(&mut self) {}

    fn listed(&mut self) {}

    fn changed(&mut self, received: Box<Received>) {
        let Object::Secret { data, .. } = received.object else { return };
        match certificate::identity(&data) {
            Some(identity) => {
                let sha256 = identity.certificate().sha256();
                if self.last.replace(sha256) != Some(sha256) {
                    self.served.show(&identity);
                }
            }
            None if data.is_empty() => {}
            None => tracing::warn!(
                secret = %self.secret,
                "the Secret holds no certificate with its key; what was served before stays"
            ),
        }
    }

    fn deleted(&mut self, _: &NamespacedName) {
        tracing::warn!(
            secret = %self.secret,
            "the Secret of the admission webhook is gone; what was served before stays"
        );
    }

    fn heard(&mut self) {
        self.failures.reset();
    }

    fn failed(&mut self, error: &ApiError, _: Duration) {
        if self.failures.admit().is_some() {
            tracing::warn!(secret = %self.secret, "cannot watch the Secret of the admission webhook: {error}");
        }
    }
}

/// Makes and renews the certificate for as long as the lease is held. Never returns.
pub async fn manage_certificate(
    api: Api,
    options: IssuerOptions,
    held: Rc<Cell<Option<Instant>>>,
    clock: fn() -> UnixTime,
) -> ! {
    let keeper = CertificateManager { api, options, known: RefCell::default(), clock };
    let failures = LogLimit::every(LOG_INTERVAL);
    let mut looked: Option<Instant> = None;
    loop {
        tokio::time::sleep(LEASE_POLL_PERIOD).await;
        if held.get().is_none_or(|until| Instant::now() >= until) {
            looked = None;
            keeper.known.take();
            continue;
        }
        if looked.is_some_and(|at| at.elapsed() < keeper.options.tick()) {
            continue;
        }
        looked = Some(Instant::now());
        match keeper.look().await {
            Ok(()) => failures.reset(),
            // Another replica was faster; the next look sees what it did.
            Err(error) if error.is_conflict() => {}
            Err(error) => {
                if failures.admit().is_some() {
                    tracing::warn!("cannot keep the certificate of the admission webhook: {error}");
                }
            }
        }
    }
}

struct CertificateManager {
    api: Api,
    options: IssuerOptions,
    /// The next authority that the webhook configuration holds, and since when.
    known: RefCell<Option<(Sha256, Instant)>>,
    clock: fn() -> UnixTime,
}

impl CertificateManager {
    async fn look(&self) -> Result<(), ApiError> {
        let now = (self.clock)();
        let secrets = Request::new(target(&self.options).path());
        let name = &*self.options.secret.name;
        let present = match self.api.call(secrets.get(name, &GetParams::default())).await {
            Ok(text) => Some(text),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let (mut data, version) = match &present {
            Some(text) => data_of(text)?,
            None => Default::default(),
        };
        let is_known = match (certificate::next_authority(&data), *self.known.borrow()) {
            (Some(next), Some((known, since))) => {
                known == Sha256::of(next) && since.elapsed() >= self.options.propagation()
            }
            _ => false,
        };
        let step = certificate::plan(&data, &self.options.terms, is_known, now);
        if step != RotationStep::Keep {
            let next = certificate::take(step, data.clone(), &self.options.terms, now)
                .map_err(|error| ApiError::Unreadable(format!("no certificate can be made: {error}")))?;
            let secret = self.secret(&data, &next, version.as_deref());
            let request = match version {
                // What else stands in it, such as Helm's labels, is not ours.
                Some(_) => secrets.patch(name, &PatchParams::default(), &Patch::Merge(&secret)),
                None => secrets.create(&PostParams::default(), secret.to_string().into_bytes()),
            };
            self.api.call(request).await?;
            data = next;
            tracing::info!(
                secret = %self.options.secret,
                "{}",
                match step {
                    RotationStep::Announce => "the next certificate of the admission webhook is announced",
                    RotationStep::TakeOver => "the next certificate of the admission webhook takes over",
                    RotationStep::Begin | RotationStep::Keep => "a certificate was made for the admission webhook",
                }
            );
        }
        if let Some(configuration) = &self.options.configuration {
            self.tell(configuration, &certificate::authorities(&data)).await?;
        }
        let known = certificate::next_authority(&data).map(|next| Sha256::of(next));
        let mut noted = self.known.borrow_mut();
        if noted.as_ref().map(|(known, _)| *known) != known {
            *noted = known.map(|known| (known, Instant::now()));
        }
        Ok(())
    }

    /// The Secret with `next` in place of `former`; of the `version` that was read, so that nobody else's work is
    /// undone.
    fn secret(&self, former: &Data, next: &Data, version: Option<&str>) -> Value {
        let gone = former.keys().filter(|key| !next.contains_key(*key)).map(|key| (key.clone(), Value::Null));
        let kept = next.iter().map(|(key, value)| (key.clone(), Value::from(STANDARD.encode(value))));
        let data: serde_json::Map<_, _> = gone.chain(kept).collect();
        let mut metadata = json!({"name": self.options.secret.name, "namespace": self.options.secret.namespace});
        if let Some(version) = version {
            metadata["resourceVersion"] = version.into();
        }
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
    }

    /// Writes the authorities into the webhooks that have others.
    async fn tell(&self, configuration: &str, authorities: &[u8]) -> Result<(), ApiError> {
        let configurations = Request::new(ValidatingWebhookConfiguration::url_path(&(), None));
        let present: Value = self.api.call_json(configurations.get(configuration, &GetParams::default())).await?;
        let wanted = STANDARD.encode(authorities);
        let webhooks = present["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
        let outdated: Vec<Value> = webhooks
            .iter()
            .filter(|webhook| webhook["clientConfig"]["caBundle"] != *wanted)
            .map(|webhook| json!({"name": webhook["name"], "clientConfig": {"caBundle": wanted}}))
            .collect();
        if outdated.is_empty() {
            return Ok(());
        }
        let patch = json!({
            "metadata": {"resourceVersion": present["metadata"]["resourceVersion"]},
            "webhooks": outdated,
        });
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.api.call(configurations.patch(configuration, &params, &Patch::Strategic(&patch))).await?;
        tracing::info!(configuration, "the webhook configuration has the authorities of the admission webhook");
        Ok(())
    }
}

/// Data and version of a Secret.
fn data_of(text: &[u8]) -> Result<(Data, Option<String>), ApiError> {
    let text = std::str::from_utf8(text).map_err(|error| ApiError::Unreadable(error.to_string()))?;
    let (received, version) = wire::object(Kind::Secret, text)?;
    match received.object {
        Object::Secret { data, .. } => Ok((data, Some(version))),
        _ => Err(ApiError::Unreadable("no Secret".to_owned())),
    }
}
