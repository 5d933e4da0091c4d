//! Forward: carries TCP connections through channels, without a thread of its own.
//!
//! One `forward` listens, a peer's `forward` serves; each may do both. Half-close, resets and slow
//! readers travel through a channel as they would through one plain TCP connection.
//!
//! # The protocol on a channel
//!
//! 1. The listening side opens a channel to the plugin `forward` and writes a greeting: one byte
//!    with the length of the service's name, 1 to 255, and the name in UTF-8.
//! 2. The serving side connects to the service's address and answers with one byte, 0. Until then,
//!    the listening side sends nothing more. An abort with the code `unknown-service` refuses an
//!    unknown service, one with `unreachable` a service that cannot be reached.
//! 3. Everything that follows is what the TCP connections carry. A FIN becomes a close of the
//!    channel, a reset becomes an abort with the code `tcp-reset`, and the same the other way
//!    round: a channel that is aborted or lost resets the TCP connection.
//!
//! # Memory
//!
//! An idle connection holds no buffer. A busy one holds at most 64 KiB (`CHUNK`) that its socket
//! sent and the channel did not take, and at most the channel's window that the channel brought and
//! the socket did not take: credit is given by hand, for what the socket has taken. A window is 64
//! KiB at first, or what the server's limits say. It doubles each time that the socket has kept up
//! for a whole window, up to 1 MiB for a connection, and up to 64 MiB of growth for all together
//! (`window`). All connections share one buffer of 64 KiB for reading.

mod asking;
mod candidates;
mod complaints;
mod config;
mod connection;
mod connections;
mod down;
mod forward;
mod greeting;
mod listener;
mod pump;
mod service;
mod to_channel;
mod to_socket;
mod window;

/// How many bytes are read from a socket at once: as many as a channel takes at first, because more
/// would only wait in memory.
const CHUNK: usize = 64 * 1024;

trunkline_plugin::export_plugin!(forward::Forward);
