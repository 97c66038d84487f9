//! certgate goes away, stalls, drains and comes back.

use std::time::Duration;

use crate::with_envoy;
use certgate_harness::certgate::Certgate;
use certgate_harness::client::{Call, Client};
use certgate_harness::envoy::Envoy;
use certgate_harness::envoy_config::{Config, FailureMode, Listener};
use certgate_harness::load::{Load, Seen};
use certgate_harness::pki::Pki;
use certgate_harness::policies::{PolicyDirectory, documents, indent, policy, trust};
use certgate_harness::process::Signal;
use certgate_harness::upstream::Upstream;
use certgate_harness::wait::{PATIENCE, until};
use certgate_harness::world::{MTLS, World};

fn policies(pki: &Pki) -> String {
    let known = format!("intermediates:\n- inline: |\n{}", indent(&pki.issuing.pem(), 4));
    let clients = trust("clients", &[pki.root.pem()], &known);
    let open = policy("open", "match: [{paths: [{prefix: /}]}]\ntrustRef: {name: clients}\n");
    documents([clients.as_str(), open.as_str()])
}

#[test]
fn killed_and_started_again() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let texts = policies(&pki);
        let mut listeners = World::listeners(&pki);
        listeners.push(
            Listener::https("open", &pki.server, &pki.root.pem()).authorization(|a| a.failure = FailureMode::Allow),
        );
        let mut world = World::start_listeners(pki, &texts, listeners).await;
        world.get(&acme, "/").await.allowed_as("CN=acme");
        world.certgate.kill();
        let outcome = world.get(&acme, "/").await;
        assert_eq!((outcome.reply.served(), outcome.reply.status.as_u16()), (false, 403), "{outcome:#?}");
        assert_eq!(outcome.access.details.as_deref(), Some("ext_authz_error"));
        // What failure_mode_allow means, and why nobody should want it.
        let echo = world.client_of("open", None).send(Call::get("/").header("x-certgate-user", "admin")).await.echo();
        assert_eq!(echo.header("x-certgate-user"), Some("admin"));
        world.certgate.restart().await;
        until("Envoy finds certgate again", PATIENCE, async || {
            world.get(&acme, "/").await.reply.served().then_some(())
        })
        .await;
        world.get(&acme, "/").await.allowed_as("CN=acme");
    });
}

#[test]
fn stalled() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let texts = policies(&pki);
        let mut world = World::start_with(pki, &texts, |listener| listener.authorization(|a| a.timeout = "0.2s")).await;
        until("certgate answers in time", PATIENCE, async || world.get(&acme, "/").await.reply.served().then_some(()))
            .await;
        world.certgate.process().signal(Signal::STOP);
        let outcome = world.get(&acme, "/").await;
        assert_eq!((outcome.reply.served(), outcome.reply.status.as_u16()), (false, 403), "{outcome:#?}");
        world.certgate.process().signal(Signal::CONT);
        until("certgate answers again", PATIENCE, async || world.get(&acme, "/").await.reply.served().then_some(()))
            .await;
    });
}

/// Envoy opens one connection and sends everything at once over it: nothing is refused for being too much.
#[test]
fn a_burst_over_a_cold_connection() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let texts = policies(&pki);
        let world = World::start(pki, &texts).await;
        let client = world.client(&acme);
        let mut connections = Vec::new();
        for _ in 0..60 {
            connections.push(client.connect().await);
        }
        let requests: Vec<_> = connections
            .into_iter()
            .map(|mut connection| tokio::spawn(async move { connection.send(Call::get("/")).await.served() }))
            .collect();
        let mut served = 0;
        for request in requests {
            served += usize::from(request.await.expect("a client does not panic"));
        }
        assert_eq!(served, 60);
    });
}

/// Two instances behind health checks; each in turn is asked to end, under load, and comes back. No request notices,
/// and no retry is needed: an instance says that it goes before it goes, and that it is there once it can decide.
#[test]
fn drained_under_load() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let directory = PolicyDirectory::with(&policies(&pki));
        let upstream = Upstream::start().await;
        let options = ["--drain-delay", "1s"];
        let mut instances = [
            Certgate::start_with(directory.path(), &options).await,
            Certgate::start_with(directory.path(), &options).await,
        ];
        let config = Config::new(upstream.address(), instances.iter().map(Certgate::address))
            .checking_health()
            .listener(Listener::https(MTLS, &pki.server, &pki.root.pem()));
        let envoy = Envoy::start(&config).await;
        let client = Client::tls(envoy.address(MTLS), pki.server_root.der(), Some(&acme));
        let load = Load::start(vec![client; 8], "/");
        load.answers(200).await;
        for instance in &mut instances {
            until("both are healthy", PATIENCE, async || {
                (envoy.counter("cluster.authz.membership_healthy").await == 2).then_some(())
            })
            .await;
            instance.terminate();
            let status = instance.process().wait(Duration::from_secs(20)).await;
            assert!(status.success(), "it ends well: {status}\n{}", instance.log());
            load.answers(200).await;
            instance.restart().await;
            load.answers(200).await;
        }
        let samples = load.stop().await;
        let wrong: Vec<_> = samples.iter().filter(|s| !matches!(s.seen, Seen::Served { .. })).collect();
        assert!(
            wrong.is_empty(),
            "{} of {} requests failed: {:#?}",
            wrong.len(),
            samples.len(),
            &wrong[..wrong.len().min(3)]
        );
    });
}

/// The last instance answers what it has been asked before it ends.
#[test]
fn an_instance_that_drains_says_so_and_ends() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let texts = policies(&pki);
        let mut world = World::start(pki, &texts).await;
        world.get(&acme, "/").await.allowed_as("CN=acme");
        world.certgate.terminate();
        let status = world.certgate.process().wait(Duration::from_secs(20)).await;
        assert!(status.success(), "an idle connection does not hold it up: {status}\n{}", world.certgate.log());
        let outcome = world.get(&acme, "/").await;
        assert_eq!((outcome.reply.served(), outcome.reply.status.as_u16()), (false, 403));
    });
}
