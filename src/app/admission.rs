//! The admission webhook beside the rest.
//!
//! Owns its thread: reviews may take milliseconds, which must be taken neither from requests nor from the admin port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::AdmissionConfig;
use crate::envoy::service::system_clock;
use crate::kubernetes::admission::issuer::Shown;
use crate::kubernetes::admission::metrics::AdmissionMetrics;
pub use crate::kubernetes::admission::metrics::Exported;
use crate::kubernetes::admission::review::Reviewer;
use crate::kubernetes::admission::server::{ALPN, Webhook};
use crate::kubernetes::admission::sources;
use crate::kubernetes::cluster::AdmissionFeed;
use crate::kubernetes::selector::PolicySelector;
use crate::kubernetes::store::Scope;
use crate::tls::health::TlsHealth;
use crate::tls::server::TlsServer;
use crate::tls::watch::{FollowError, WatchOptions, follow};

/// Serves the webhook on a thread of its own, for as long as the process lives. What it judges by comes through the feed.
pub fn start(
    listener: std::net::TcpListener,
    config: &AdmissionConfig,
    (scope, selector): (Scope, Option<PolicySelector>),
    metrics: Arc<AdmissionMetrics>,
    health: &TlsHealth,
) -> Result<AdmissionFeed, FollowError> {
    let (views, view) = watch::channel(None);
    let (shown, tls) = watch::channel(None);
    let (asker, questions) = sources::channel();
    let health = health.server("admission");
    let feed = match &config.files {
        Some(files) => {
            shown.send_replace(Some(follow(files.clone(), ALPN, health, WatchOptions::default())?));
            AdmissionFeed { views, shown: None, questions }
        }
        None => AdmissionFeed { views, shown: Some(Shown::new(shown.clone(), health)), questions },
    };
    let webhook = Webhook::new(Reviewer::new(view, scope, selector, system_clock).asking(asker), metrics);
    spawn(listener, webhook, shown, tls)?;
    Ok(feed)
}

fn spawn(
    listener: std::net::TcpListener,
    webhook: Webhook,
    shown: watch::Sender<Option<Arc<TlsServer>>>,
    tls: watch::Receiver<Option<Arc<TlsServer>>>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _entered = runtime.enter();
        TcpListener::from_std(listener)?
    };
    thread::Builder::new().name("admission".to_owned()).spawn(move || {
        // The sender lives as long as the server: a certificate from files has no other owner.
        let _shown = shown;
        // A panic in a connection ends that connection; those in reviews are caught and answered.
        match runtime.block_on(webhook.serve(listener, tls)) {}
    })?;
    Ok(())
}

/// Binds the webhook's address.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    super::on_any_family(address, std::net::TcpListener::bind)
}
