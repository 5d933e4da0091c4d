//! The meaning of a mio token: a kind of event source, and its number.

use mio::Token;

/// The event source that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// A signal was received.
    Signal,
    /// Another thread woke the loop.
    Wake,
    /// A listener, by its place in the list.
    Listener(usize),
    /// A connection, by its number.
    Conn(u32),
    /// A connection that is being dialled, by the number of the attempt.
    Dial(u64),
    /// A descriptor that a plugin watches.
    Watch(u64),
    /// The timer for the next deadline.
    Alarm,
}

/// Bits for the kind, above the number. No number grows to 2^60.
const KIND_SHIFT: u32 = 60;

impl Ready {
    pub(super) fn token(self) -> Token {
        let (kind, number) = match self {
            Ready::Signal => (0, 0),
            Ready::Wake => (1, 0),
            Ready::Listener(index) => (2, index as u64),
            Ready::Conn(number) => (3, u64::from(number)),
            Ready::Dial(number) => (4, number),
            Ready::Watch(number) => (5, number),
            Ready::Alarm => (6, 0),
        };
        Token((kind << KIND_SHIFT | number) as usize)
    }

    pub(super) fn of(token: Token) -> Ready {
        let number = token.0 as u64 & ((1 << KIND_SHIFT) - 1);
        match token.0 as u64 >> KIND_SHIFT {
            0 => Ready::Signal,
            1 => Ready::Wake,
            2 => Ready::Listener(number as usize),
            3 => Ready::Conn(number as u32),
            4 => Ready::Dial(number),
            5 => Ready::Watch(number),
            _ => Ready::Alarm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_as_its_event_source() {
        let number = (1 << KIND_SHIFT) - 1;
        for ready in [
            Ready::Signal,
            Ready::Wake,
            Ready::Listener(3),
            Ready::Conn(u32::MAX),
            Ready::Dial(0),
            Ready::Watch(number),
            Ready::Alarm,
        ] {
            assert_eq!(Ready::of(ready.token()), ready);
        }
    }
}
