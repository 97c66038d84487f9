//! How many connections a port has, and which one goes when another comes.
//!
//! A connection that has proved nothing yet, or waits for its next request, holds its place for a while and costs its owner
//! nothing: whoever reaches a port could take all places and keep everybody else out. So when all are taken, the connection
//! that has waited longest gives its place to the newcomer. One that is being served keeps its place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The connections of one port.
#[derive(Clone, Debug)]
pub struct Connections {
    limit: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Numbers those that begin to wait.
    next: u64,
    /// Those that wait, by when they began.
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Connections {
    /// At most `limit` at once.
    pub fn new(limit: usize) -> Self {
        Self { limit, state: Arc::default() }
    }

    /// The most connections, which is `limit` unless the process may not open that many files: half of those are left to
    /// everything else, so that one port cannot keep another from accepting.
    pub fn of_open_files(limit: usize) -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let half = files.and_then(|files| usize::try_from(files / 2).ok()).unwrap_or(usize::MAX);
        Self::new(limit.min(half).max(1))
    }

    /// The most connections at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// A place for one more, which waits at first. `None`: all others are being served.
    pub fn admit(&self) -> Option<Place> {
        let mut state = self.state();
        if state.taken >= self.limit {
            let (_, oldest) = state.waiting.pop_first()?;
            oldest.notify_one();
            // Its place is the newcomer's; it leaves without giving one back.
        } else {
            state.taken += 1;
        }
        let leave = Arc::<Notify>::default();
        let number = state.wait(leave.clone());
        drop(state);
        Some(Place { connections: self.clone(), leave, number: Mutex::new(Some(number)) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&mut self, leave: Arc<Notify>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, leave);
        number
    }
}

/// A connection's place.
#[derive(Debug)]
pub struct Place {
    connections: Connections,
    leave: Arc<Notify>,
    /// Its number while it waits.
    number: Mutex<Option<u64>>,
}

impl Place {
    /// From now on it is served and keeps its place. `false`: it has just lost it.
    pub fn serve(&self) -> bool {
        let mut number = self.number();
        match *number {
            Some(waits) if self.connections.state().waiting.remove(&waits).is_none() => false,
            Some(_) => {
                *number = None;
                true
            }
            None => true,
        }
    }

    /// From now on it waits again, behind all others that do.
    pub fn wait(&self) {
        let mut number = self.number();
        if number.is_none() {
            *number = Some(self.connections.state().wait(self.leave.clone()));
        }
    }

    /// When it has lost its place.
    pub async fn lost(&self) {
        self.leave.notified().await;
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let number = self.number().take();
        let mut state = self.connections.state();
        // One that lost its place has none to give back.
        if number.is_none_or(|waits| state.waiting.remove(&waits).is_some()) {
            state.taken -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_longest_gives_way_and_who_is_served_stays() {
        let connections = Connections::new(3);
        let [first, second, third] = [(); 3].map(|()| connections.admit().unwrap());
        assert!(first.serve());
        let fourth = connections.admit().expect("the second gives way");
        second.lost().await;
        assert!(!second.serve(), "its place is another's");
        drop(second);
        assert!(third.serve() && fourth.serve());
        assert!(connections.admit().is_none(), "all are being served");
        third.wait();
        first.wait();
        let fifth = connections.admit().expect("the third began to wait first");
        third.lost().await;
        drop((first, third, fourth, fifth));
        let again = [(); 3].map(|()| connections.admit().unwrap());
        assert!(again.iter().all(Place::serve), "every place was given back, and none twice");
        assert!(connections.admit().is_none());
    }

    #[test]
    fn open_files_bound_the_connections() {
        assert_eq!(Connections::of_open_files(2).limit(), 2);
        assert!(Connections::of_open_files(usize::MAX).limit() < usize::MAX / 2, "the process has some limit");
    }
}
