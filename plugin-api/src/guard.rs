//! Keeps a panic on the side of the boundary on which it happened.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `call`; a panic becomes its message.
pub(crate) fn guard<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    // A plugin that panicked is never entered again, so its half-done state is never observed.
    catch_unwind(AssertUnwindSafe(call)).map_err(message_of)
}

/// The message of a panic's payload; empty if it is not text.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("")
}

/// Takes the message out of a payload and drops the payload, which may panic as well.
#[cold]
fn message_of(payload: Box<dyn Any + Send>) -> String {
    let message = match text_of(&*payload) {
        "" => "a panic without a message".to_owned(),
        text => text.to_owned(),
    };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // This payload's drop may panic again, without end. Therefore it is leaked.
        std::mem::forget(second);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A payload whose drop panics.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any(Bomb);
        }
    }

    #[test]
    fn what_a_call_returns_comes_back() {
        assert_eq!(guard(|| 7), Ok(7));
    }

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(guard(|| panic!("at {}", 7)), Err::<(), _>("at 7".to_owned()));
        assert_eq!(guard(|| panic!("plain")), Err::<(), _>("plain".to_owned()));
    }

    #[test]
    fn a_payload_whose_drop_panics_is_contained() {
        let message = guard(|| std::panic::panic_any(Bomb)).unwrap_err();
        assert_eq!(message, "a panic without a message");
    }
}
