//! Messages that are told to the parts of the broker that they concern.

mod call_streams;
pub(crate) mod calling;
pub(crate) mod carrying;
pub(crate) mod commands;
pub(crate) mod connections;
pub(crate) mod ending;
pub(crate) mod first_frames;
mod handshakes;
pub(crate) mod hosts;
pub(crate) mod links;
pub(crate) mod log_lines;
pub(crate) mod messages;
pub(crate) mod opening;
pub(crate) mod pairing;
pub(crate) mod places;
pub(crate) mod plugins;
pub(crate) mod requests;
pub(crate) mod telling;
pub(crate) mod trying;
pub(crate) mod turns;
pub(crate) mod uplink;
