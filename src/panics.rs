//! Panics as values: work that may panic on hostile input costs one request, not the process.
//!
//! Owns the process's panic hook as far as guarded work goes: while [`guarded`] runs, a panic's place and message are
//! kept for the caller instead of being printed. Other panics go to the hook that was there before.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// Source file, line and column.
    pub place: String,
    /// What the panic said.
    pub message: String,
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`; a panic in it becomes an error.
///
/// `work` must not leave partial changes that a later call could observe: certgate passes closures over immutable
/// snapshots and counters.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !keep_place(info) {
                others(info)
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|payload| Panic {
        place: PLACE.take().unwrap_or_else(|| "unknown place".to_owned()),
        message: message_of(&*payload),
    })
}

fn keep_place(info: &PanicHookInfo<'_>) -> bool {
    let guarded = GUARDED.get();
    if guarded {
        PLACE.set(info.location().map(ToString::to_string));
    }
    guarded
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a payload that is not text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_with_its_place_and_message() {
        let caught = guarded(|| panic!("broken {}", 7)).unwrap_err();
        assert_eq!(caught.message, "broken 7");
        assert!(caught.place.starts_with(file!()), "{}", caught.place);
        assert_eq!(guarded(|| 1), Ok(1));
    }

    #[test]
    fn nested_guards_keep_the_outer_one() {
        let outer: Result<(), Panic> = guarded(|| {
            let _ = guarded(|| panic!("inner"));
            panic!("outer")
        });
        assert_eq!(outer.unwrap_err().message, "outer");
    }
}
