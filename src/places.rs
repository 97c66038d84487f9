//! Limits of concurrent connections, handshakes and calls that cost their client nothing, and which one is evicted for
//! a newcomer.
//!
//! A connection that has proved nothing yet, or waits for its next request, holds a place for a while at no cost to its
//! client. So do a handshake and a call whose message does not arrive. A client that reaches a port could take all
//! places and lock everyone else out. So when all places are taken, a newcomer evicts the holder that has waited
//! longest. A holder that is being served keeps its place.
//!
//! Holders that were served before ("known") and those that never were ("strangers") wait separately. Strangers evict
//! one another, and evict known holders only until strangers hold their share of the places ([`STRANGERS`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The share of the places, as a divisor, that strangers may hold while known holders wait.
const STRANGERS: usize = 4;

/// How many evicted holders may still be present before newcomers wait: until they leave, their resources are not free.
const MAX_EVICTED_PRESENT: usize = 128;

/// A limited number of places.
#[derive(Clone, Debug)]
pub struct Places {
    limit: usize,
    state: Arc<Mutex<PlacesState>>,
    left: Arc<Notify>,
}

#[derive(Debug, Default)]
struct PlacesState {
    taken: usize,
    /// Evicted holders that have not left yet.
    leaving: usize,
    /// The next number in the order of waiting.
    next: u64,
    /// Waiting strangers, in the order in which they began to wait.
    strangers: BTreeMap<u64, Arc<Notify>>,
    /// Waiting known holders, in the order in which they began to wait.
    known: BTreeMap<u64, Arc<Notify>>,
}

/// The current use of a place.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Use {
    /// Waits under this number, and was never served.
    Stranger(u64),
    /// Waits under this number, and was served before.
    Known(u64),
    /// Is being served.
    Served,
}

impl Places {
    /// At most `limit` at once.
    pub fn new(limit: usize) -> Self {
        Self { limit, state: Arc::default(), left: Arc::default() }
    }

    /// At most `limit` places, and at most half of the files that the process may open. The other half is left to
    /// everything else, so that one port cannot keep another from accepting.
    pub fn of_open_files(limit: usize) -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let half = files.and_then(|files| usize::try_from(files / 2).ok()).unwrap_or(usize::MAX);
        Self::new(limit.min(half).max(1))
    }

    /// The limit.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Waits while too many evicted holders have not left yet. For one waiter: the task that accepts all others.
    pub async fn wait_for_evicted(&self) {
        while self.state().leaving >= MAX_EVICTED_PRESENT {
            self.left.notified().await;
        }
    }

    /// A place for a newcomer, which waits at first. `None`: all others are being served.
    pub fn admit(&self) -> Option<Place> {
        let mut state = self.state();
        if state.taken >= self.limit {
            state.oldest(self.limit)?.notify_one();
            // The newcomer takes over the place of the evicted holder, which frees none when it leaves.
            state.leaving += 1;
        } else {
            state.taken += 1;
        }
        let leave = Arc::<Notify>::default();
        let number = state.number();
        state.strangers.insert(number, leave.clone());
        drop(state);
        Some(Place { places: self.clone(), leave, state: Mutex::new(Use::Stranger(number)) })
    }

    fn state(&self) -> MutexGuard<'_, PlacesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlacesState {
    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Removes the holder to evict from those that wait.
    fn oldest(&mut self, limit: usize) -> Option<Arc<Notify>> {
        let oldest = match self.strangers.len() > limit / STRANGERS {
            true => self.strangers.pop_first(),
            false => self.known.pop_first().or_else(|| self.strangers.pop_first()),
        };
        oldest.or_else(|| self.known.pop_first()).map(|(_, leave)| leave)
    }

    /// Removes a holder from those that wait. `false`: it was evicted.
    fn take(&mut self, place: Use) -> bool {
        match place {
            Use::Stranger(number) => self.strangers.remove(&number).is_some(),
            Use::Known(number) => self.known.remove(&number).is_some(),
            Use::Served => true,
        }
    }
}

/// A taken place.
#[derive(Debug)]
pub struct Place {
    places: Places,
    leave: Arc<Notify>,
    state: Mutex<Use>,
}

impl Place {
    /// The holder is served from now on and keeps its place. `false`: it was just evicted.
    pub fn serve(&self) -> bool {
        let mut state = self.own();
        let kept = self.places.state().take(*state);
        if kept {
            *state = Use::Served;
        }
        kept
    }

    /// The holder was served, and from now on waits (again) as the last one. `false`: it was evicted.
    pub fn served(&self) -> bool {
        let mut state = self.own();
        let mut all = self.places.state();
        let kept = all.take(*state);
        if kept {
            let number = all.number();
            all.known.insert(number, self.leave.clone());
            *state = Use::Known(number);
        }
        kept
    }

    /// The holder has begun a request: it waits on, as the last one of its kind. `false`: it was evicted.
    pub fn request_started(&self) -> bool {
        let mut state = self.own();
        let mut all = self.places.state();
        let kept = all.take(*state);
        if kept {
            let number = all.number();
            match *state {
                Use::Stranger(_) => {
                    all.strangers.insert(number, self.leave.clone());
                    *state = Use::Stranger(number);
                }
                Use::Known(_) | Use::Served => {
                    all.known.insert(number, self.leave.clone());
                    *state = Use::Known(number);
                }
            }
        }
        kept
    }

    /// Completes when the holder was evicted.
    pub async fn evicted(&self) {
        self.leave.notified().await;
    }

    fn own(&self) -> MutexGuard<'_, Use> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let own = *self.own();
        let mut state = self.places.state();
        // An evicted holder frees no place.
        if state.take(own) {
            state.taken -= 1;
        } else {
            state.leaving -= 1;
            self.places.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_longest_gives_way_and_who_is_served_stays() {
        let places = Places::new(3);
        let [first, second, third] = [(); 3].map(|()| places.admit().unwrap());
        assert!(first.serve());
        let fourth = places.admit().expect("the second gives way");
        second.evicted().await;
        assert!(!second.serve() && !second.served() && !second.request_started(), "its place is another's");
        drop(second);
        assert!(third.serve() && fourth.serve());
        assert!(places.admit().is_none(), "all are being served");
        assert!(third.served());
        assert!(first.served());
        let fifth = places.admit().expect("the third began to wait first");
        third.evicted().await;
        drop((first, third, fourth, fifth));
        let again = [(); 3].map(|()| places.admit().unwrap());
        assert!(again.iter().all(Place::serve), "every place was given back, and none twice");
        assert!(places.admit().is_none());
    }

    #[tokio::test]
    async fn strangers_push_one_another_out_and_have_a_share_all_the_same() {
        let places = Places::new(8);
        let known: Vec<_> = (0..8).map(|_| places.admit().unwrap()).collect();
        assert!(known.iter().all(Place::served));
        assert!(known[0].served(), "the last call of the first has ended last");
        let mut strangers: Vec<_> = (0..3).map(|_| places.admit().unwrap()).collect();
        for gone in &known[1..=3] {
            gone.evicted().await;
        }
        // Three of eight are more than a quarter.
        for gone in 0..100 {
            strangers.push(places.admit().expect("a stranger gives way"));
            strangers[gone].evicted().await;
        }
        assert!([0, 4, 5, 6, 7].iter().all(|at: &usize| known[*at].serve()), "those who were served stay");
        assert!(strangers.iter().rev().take(3).all(Place::serve));
        assert!(places.admit().is_none(), "no place is counted twice");
    }

    #[tokio::test]
    async fn newcomers_wait_for_those_who_leave() {
        let places = Places::new(2);
        let mut leaving: Vec<_> = (0..2 + MAX_EVICTED_PRESENT).map(|_| places.admit().unwrap()).collect();
        let mut few = std::pin::pin!(places.wait_for_evicted());
        tokio::select! {
            biased;
            () = few.as_mut() => panic!("{MAX_EVICTED_PRESENT} are there yet that have lost their places"),
            () = tokio::task::yield_now() => {}
        }
        drop(leaving.remove(0));
        few.await;
        drop(leaving);
        places.wait_for_evicted().await;
        let state = places.state();
        assert_eq!((state.leaving, state.taken), (0, 0));
    }

    #[tokio::test]
    async fn who_asks_waits_anew_among_its_like() {
        let places = Places::new(2);
        let [first, second] = [(); 2].map(|()| places.admit().unwrap());
        assert!(first.request_started());
        let _third = places.admit().unwrap();
        second.evicted().await;
        assert!(first.serve());
    }

    #[test]
    fn open_files_bound_the_connections() {
        assert_eq!(Places::of_open_files(2).limit(), 2);
        assert!(Places::of_open_files(usize::MAX).limit() < usize::MAX / 2, "the process has some limit");
    }
}
