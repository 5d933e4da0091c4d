//! What concerns several owners. Functions here name the owners that they read and write; methods
//! of the broker ask the owners one after the other, and hand on what they return.

pub(crate) mod call_streams;
pub(crate) mod calling;
pub(crate) mod carrying;
pub(crate) mod commands;
pub(crate) mod connections;
mod effects;
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
pub(crate) mod reporting;
pub(crate) mod requests;
pub(crate) mod settling;
pub(crate) mod telling;
pub(crate) mod trying;
pub(crate) mod turns;
pub(crate) mod uplink;
