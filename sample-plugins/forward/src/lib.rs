//! Forward: carries TCP connections through channels, with no thread of its own.
//!
//! One `forward` listens, a peer's `forward` serves; each may do both. Half-close, resets and slow
//! readers travel through a channel as they would through one plain TCP connection.
//!
//! # What is said on a channel
//!
//! 1. The listening side opens a channel to the plugin `forward` and writes a greeting: one byte
//!    with the length of the service's name, 1 to 255, and the name in UTF-8.
//! 2. The serving side connects to the service's address and answers with one byte, 0. Until it
//!    came, the listening side sends nothing more. A service that is not served is refused by an
//!    abort with the code `unknown-service`, one that cannot be reached with `unreachable`.
//! 3. All that follows is what the TCP connections carry. A FIN becomes a close of the channel, a
//!    reset becomes an abort with the code `tcp-reset`, and the same the other way round: a channel
//!    that is aborted or lost resets the TCP connection.
//!
//! # Memory
//!
//! A connection that waits for nobody holds no buffer. One that does holds at most 64 KiB of what
//! its socket sent and the channel did not take (`CHUNK`), and at most the channel's window of what
//! the channel brought and the socket did not take: credit is given by hand, for what the socket
//! has taken. A window is 64 KiB at first, or what the server's limits say. It doubles each time
//! that the socket has kept up for a whole window, up to 1 MiB for a connection, and up to 64 MiB
//! more than the first ones for all together (`window`). One buffer of 64 KiB is shared by all
//! connections for reading.

mod asking;
mod candidates;
mod config;
mod connection;
mod connections;
mod forward;
mod greeting;
mod listener;
mod pump;
mod service;
mod tcp;
mod to_channel;
mod to_socket;
mod window;

/// How many bytes are read from a socket at once: what a channel takes at first, so that more would
/// only wait in memory.
const CHUNK: usize = 64 * 1024;

trunkline_plugin::export_plugin!(forward::Forward);
