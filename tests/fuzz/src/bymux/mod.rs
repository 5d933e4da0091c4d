//! The multiplexer: bytes of a peer, whole and cut, and two ends that speak to each other.

mod hostile;
mod pair;

use super::Script;

/// Bytes of a hostile peer, or a conversation.
pub(super) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    match script.below(3) {
        0 => hostile::cut_bytes(&mut script),
        1 => hostile::answer(&mut script),
        _ => pair::talk(&mut script),
    }
}
