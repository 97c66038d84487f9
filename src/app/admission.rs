//! Runs the admission webhook.
//!
//! Owns its thread: a review may take milliseconds, which it must take neither from requests nor from the admin port.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::watch;

use crate::clock;
use crate::config::AdmissionConfig;
use crate::kubernetes::admission::issuer::ServedCertificate;
use crate::kubernetes::admission::metrics::AdmissionMetrics;
pub use crate::kubernetes::admission::metrics::ReviewMetrics;
use crate::kubernetes::admission::review::Reviewer;
use crate::kubernetes::admission::server::{ALPN, Webhook};
use crate::kubernetes::admission::sources;
use crate::kubernetes::cluster::AdmissionFeed;
use crate::kubernetes::scope::Scope;
use crate::kubernetes::selector::PolicySelector;
use crate::listeners::Bound;
use crate::tls::accept::Acceptor;
use crate::tls::health::TlsHealth;
use crate::tls::watch::{FollowError, TlsWatchOptions, follow};

/// Serves the webhook on a thread of its own for the lifetime of the process. `feed` delivers the objects that reviews
/// are compared with.
pub fn start(
    bound: Bound,
    config: &AdmissionConfig,
    (scope, selector): (Scope, Option<PolicySelector>),
    metrics: Arc<AdmissionMetrics>,
    health: &TlsHealth,
) -> Result<AdmissionFeed, FollowError> {
    let (views, view) = watch::channel(None);
    let (served, tls) = watch::channel(None);
    let (source_client, questions) = sources::channel();
    let health = health.server("admission");
    let feed = match &config.files {
        Some(files) => {
            let server = follow(files.clone(), ALPN, health, TlsWatchOptions::default())?;
            served.send_replace(Some(Arc::new(Acceptor::new(server))));
            AdmissionFeed { views, served: None, questions }
        }
        None => AdmissionFeed { views, served: Some(ServedCertificate::new(served.clone(), health)), questions },
    };
    let webhook = Webhook::new(Reviewer::new(view, scope, selector, clock::now).asking(source_client), metrics);
    spawn(bound, webhook, served, tls)?;
    Ok(feed)
}

fn spawn(
    bound: Bound,
    webhook: Webhook,
    served: watch::Sender<Option<Arc<Acceptor>>>,
    tls: watch::Receiver<Option<Arc<Acceptor>>>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _entered = runtime.enter();
        bound.listen()?
    };
    thread::Builder::new().name("admission".to_owned()).spawn(move || {
        // Lives as long as the server: nothing else owns the sender of a certificate from files.
        let _served = served;
        // A panic in a connection ends that connection; the reviewer catches those of reviews and answers them.
        match runtime.block_on(webhook.serve(listener, tls)) {}
    })?;
    Ok(())
}
