//! Clients that send requests continuously and record the answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::client::{Call, Client};

/// One answer.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When the request was sent.
    pub sent: Instant,
    /// When the answer arrived.
    pub answered: Instant,
    pub seen: Seen,
}

/// The outcome of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The upstream answered; these identity headers had reached it.
    Served { user: Option<String>, groups: Option<String> },
    /// It was denied.
    Refused(u16),
    /// There was no answer.
    Broken(String),
}

/// Running clients. Each has one connection and sends its next request when the last is answered, or at its interval.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<Sample>>>,
}

impl Load {
    /// Starts the clients.
    pub fn start(clients: impl IntoIterator<Item = Client>, path: &'static str) -> Self {
        Self::start_paced(clients, path, Duration::ZERO)
    }

    /// The same, with a minimum interval between the requests of a client, so that other processes get processor time.
    pub fn start_paced(clients: impl IntoIterator<Item = Client>, path: &'static str, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let tasks = clients
            .into_iter()
            .map(|client| tokio::spawn(ask(client, path, every, Arc::clone(&stop), Arc::clone(&answered))))
            .collect();
        Self { stop, answered, tasks }
    }

    /// Waits for so many more answers.
    pub async fn answers(&self, more: usize) {
        let goal = self.answered.load(Ordering::Relaxed) + more;
        super::wait::until("the clients get answers", super::wait::PATIENCE, async || {
            (self.answered.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    /// Stops the clients and returns the answers in their order.
    pub async fn stop(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        let mut samples = Vec::new();
        for task in self.tasks {
            samples.extend(task.await.expect("a client does not panic"));
        }
        samples.sort_by_key(|sample| sample.answered);
        samples
    }
}

async fn ask(
    client: Client,
    path: &str,
    every: Duration,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut connection = client.connect().await;
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let seen = match connection.try_send(Call::get(path)).await {
            Ok(reply) if reply.served() => {
                let echo = reply.echo();
                let header = |name| echo.header(name).map(str::to_owned);
                Seen::Served { user: header("x-certgate-user"), groups: header("x-certgate-groups") }
            }
            Ok(reply) => Seen::Refused(reply.status.as_u16()),
            Err(error) => {
                connection = client.connect().await;
                Seen::Broken(error.to_string())
            }
        };
        samples.push(Sample { sent, answered: Instant::now(), seen });
        answered.fetch_add(1, Ordering::Relaxed);
        if !every.is_zero() {
            tokio::time::sleep(every.saturating_sub(sent.elapsed())).await;
        }
    }
    samples
}
