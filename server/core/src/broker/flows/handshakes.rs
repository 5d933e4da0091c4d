//! How the peers of encrypted connections prove their keys, and which of them are let in. The
//! neighbours know who may link, the meetings who holds a ticket, the switch decrypts.

use crate::broker::meetings::Meetings;
use crate::broker::meetings::arrivals::Held;
use crate::broker::neighbours::Neighbours;
use crate::broker::switch::Switch;
use crate::broker::{ConnId, Opened};
use crate::key::Key;
use crate::reason::{Code, Reason};
use crate::wire::WireEvent;
use alloc::string::ToString;
use alloc::vec::Vec;

/// What follows from the bytes that a connection brought.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Next {
    /// The peer is let in, and hears who we are.
    pub(crate) says_hello: bool,
    /// From now on the deadline of the link counts, not that of the handshake.
    pub(crate) arms: bool,
    /// The key whose owner may not link.
    pub(crate) refuses: Option<Key>,
    /// Why the connection ends at once.
    pub(crate) ends: Option<Reason>,
}

/// Decrypts what a connection brought, up to where its peer has to be let in.
pub(crate) fn open_wire(
    neighbours: &mut Neighbours,
    meetings: &mut Meetings,
    switch: &mut Switch,
    id: ConnId,
    (bytes, plain): (&mut [u8], &mut Vec<u8>),
) -> Next {
    let (mut input, mut next) = (bytes, Next::default());
    while next.ends.is_none() {
        match meetings.hold(id, input) {
            Held::No => {}
            Held::Kept => break,
            Held::TooMuch => {
                let text = "too much was said before anything was granted";
                next.ends = Some(Reason::server(Code::ProtocolViolation, text));
                break;
            }
        }
        match switch.open_wire(id, &mut input, plain) {
            Ok(WireEvent::Waiting) => break,
            Ok(WireEvent::Asks(key)) => match judge_caller(neighbours, meetings, switch, id, key) {
                Ok(says_hello) => next.says_hello |= says_hello,
                Err(reason) => (next.refuses, next.ends) = (Some(key), Some(reason)),
            },
            Ok(WireEvent::Admitted) => next.arms |= neighbours.is_admitted(id),
            // The end of the transport follows; bytes that do are an error.
            Ok(WireEvent::Goodbye) => {}
            Err(error) => {
                let code = match neighbours.is_shaking(id) {
                    true => Code::HandshakeFailed,
                    false => Code::ProtocolViolation,
                };
                next.ends = Some(Reason::server(code, error.to_string()));
            }
        }
    }
    next
}

/// The owner of a key wants to link: whether it is let in and hears who we are. A process that
/// wants a direct connection is let in if it holds a ticket, and waits otherwise, because it may be
/// faster than the servers' message about it.
fn judge_caller(
    neighbours: &mut Neighbours,
    meetings: &mut Meetings,
    switch: &mut Switch,
    id: ConnId,
    key: Key,
) -> Result<bool, Reason> {
    if neighbours.conn(id).is_some_and(|conn| conn.how == Opened::Direct) {
        match meetings.holds_ticket(key) {
            true => {
                admit_direct(neighbours, switch, id, key);
            }
            false => meetings.asks(id, key),
        }
        return Ok(false);
    }
    let grants = neighbours.grants_of(key)?;
    let admitted = switch.admit(id);
    if admitted {
        neighbours.is_let_in(id, key, grants);
    }
    Ok(admitted)
}

/// Lets a process in that holds a ticket, unless its connection has ended meanwhile.
pub(crate) fn admit_direct(
    neighbours: &mut Neighbours,
    switch: &mut Switch,
    id: ConnId,
    key: Key,
) -> bool {
    let admitted = neighbours.is_shaking(id) && switch.admit(id);
    if admitted {
        neighbours.direct_is_let_in(id, key);
    }
    switch.touch(id);
    admitted
}
