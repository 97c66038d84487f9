//! How many there may be at once of what costs its owner nothing, and which one goes when another comes.
//!
//! A connection that has proved nothing yet, or waits for its next request, holds its place for a while and costs its owner
//! nothing; so do a handshake and a call whose message does not come. Whoever reaches a port could take all places and keep
//! everybody else out. So when all are taken, one that waits gives its place to the newcomer, the one that has waited longest
//! first. One that is being served keeps its place.
//!
//! Those that were served before and those that never were wait apart: newcomers that are never served push one another
//! out, and of the others only those that take the places up to [`STRANGERS`] for newcomers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The share of the places, as a divisor, that those may hold that were never served while others were.
const STRANGERS: usize = 4;

/// So many may have lost their places and not left yet before newcomers wait: what they hold is not free until then.
const MAX_LEAVING: usize = 128;

/// Places for so many at once.
#[derive(Clone, Debug)]
pub struct Places {
    limit: usize,
    state: Arc<Mutex<State>>,
    left: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Those that have lost their places and are there yet.
    leaving: usize,
    /// Numbers those that begin to wait.
    next: u64,
    /// Those that wait and were never served, by when they began.
    strangers: BTreeMap<u64, Arc<Notify>>,
    /// Those that wait and were served before, by when they began.
    known: BTreeMap<u64, Arc<Notify>>,
}

/// What a place is taken for at the moment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Use {
    /// It waits under this number, and was never served.
    Stranger(u64),
    /// It waits under this number, and was served before.
    Known(u64),
    /// It is being served.
    Served,
}

impl Places {
    /// At most `limit` at once.
    pub fn new(limit: usize) -> Self {
        Self { limit, state: Arc::default(), left: Arc::default() }
    }

    /// The most connections, which is `limit` unless the process may not open that many files: half of those are left to
    /// everything else, so that one port cannot keep another from accepting.
    pub fn of_open_files(limit: usize) -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let half = files.and_then(|files| usize::try_from(files / 2).ok()).unwrap_or(usize::MAX);
        Self::new(limit.min(half).max(1))
    }

    /// The most at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Waits while too many have lost their places and not left yet. For one at a time, who lets all others in.
    pub async fn few_leave(&self) {
        while self.state().leaving >= MAX_LEAVING {
            self.left.notified().await;
        }
    }

    /// A place for one more, which waits at first. `None`: all others are being served.
    pub fn admit(&self) -> Option<Place> {
        let mut state = self.state();
        if state.taken >= self.limit {
            state.oldest(self.limit)?.notify_one();
            // Its place is the newcomer's; it leaves without giving one back.
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Takes the one that gives way out of those that wait.
    fn oldest(&mut self, limit: usize) -> Option<Arc<Notify>> {
        let oldest = match self.strangers.len() > limit / STRANGERS {
            true => self.strangers.pop_first(),
            false => self.known.pop_first().or_else(|| self.strangers.pop_first()),
        };
        oldest.or_else(|| self.known.pop_first()).map(|(_, leave)| leave)
    }

    /// Takes one out of those that wait. `false`: it has lost its place.
    fn take(&mut self, place: Use) -> bool {
        match place {
            Use::Stranger(number) => self.strangers.remove(&number).is_some(),
            Use::Known(number) => self.known.remove(&number).is_some(),
            Use::Served => true,
        }
    }
}

/// A place that is taken.
#[derive(Debug)]
pub struct Place {
    places: Places,
    leave: Arc<Notify>,
    state: Mutex<Use>,
}

impl Place {
    /// From now on it is served and keeps its place. `false`: it has just lost it.
    pub fn serve(&self) -> bool {
        let mut state = self.own();
        let kept = self.places.state().take(*state);
        if kept {
            *state = Use::Served;
        }
        kept
    }

    /// It was served, and from now on waits (again) behind all others that do. `false`: it has lost its place.
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

    /// It has just begun to ask: it goes on waiting, behind those that wait as it does. `false`: it has lost its place.
    pub fn asks(&self) -> bool {
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

    /// When it has lost its place.
    pub async fn lost(&self) {
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
        // One that lost its place has none to give back.
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
        second.lost().await;
        assert!(!second.serve() && !second.served() && !second.asks(), "its place is another's");
        drop(second);
        assert!(third.serve() && fourth.serve());
        assert!(places.admit().is_none(), "all are being served");
        assert!(third.served());
        assert!(first.served());
        let fifth = places.admit().expect("the third began to wait first");
        third.lost().await;
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
            gone.lost().await;
        }
        // Three of eight are more than a quarter.
        for gone in 0..100 {
            strangers.push(places.admit().expect("a stranger gives way"));
            strangers[gone].lost().await;
        }
        assert!([0, 4, 5, 6, 7].iter().all(|at: &usize| known[*at].serve()), "those who were served stay");
        assert!(strangers.iter().rev().take(3).all(Place::serve));
        assert!(places.admit().is_none(), "no place is counted twice");
    }

    #[tokio::test]
    async fn newcomers_wait_for_those_who_leave() {
        let places = Places::new(2);
        let mut leaving: Vec<_> = (0..2 + MAX_LEAVING).map(|_| places.admit().unwrap()).collect();
        let mut few = std::pin::pin!(places.few_leave());
        tokio::select! {
            biased;
            () = few.as_mut() => panic!("{MAX_LEAVING} are there yet that have lost their places"),
            () = tokio::task::yield_now() => {}
        }
        drop(leaving.remove(0));
        few.await;
        drop(leaving);
        places.few_leave().await;
        let state = places.state();
        assert_eq!((state.leaving, state.taken), (0, 0));
    }

    #[tokio::test]
    async fn who_asks_waits_anew_among_its_like() {
        let places = Places::new(2);
        let [first, second] = [(); 2].map(|()| places.admit().unwrap());
        assert!(first.asks());
        let _third = places.admit().unwrap();
        second.lost().await;
        assert!(first.serve());
    }

    #[test]
    fn open_files_bound_the_connections() {
        assert_eq!(Places::of_open_files(2).limit(), 2);
        assert!(Places::of_open_files(usize::MAX).limit() < usize::MAX / 2, "the process has some limit");
    }
}
