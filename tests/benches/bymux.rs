//! `make bench`: what bymux costs, as a ratio to the same bytes without it in the same run. It
//! passes no judgement: only ratios can be compared between machines, and only on a quiet one.

// A measurement that cannot go on must stop.
#![allow(clippy::expect_used)]

use std::io::{IoSlice, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use trunkline_core::bymux::{Connection, Event, Profile, QUANTUM, Role, StreamId};

/// The most bytes that are carried in one measurement: a tenth of a second or so on a socket.
const TOTAL: usize = 256 * 1024 * 1024;
/// The most writes in one measurement: a small one costs a system call all the same.
const WRITES: usize = 512 * 1024;
/// Rounds in which everything is measured in turn; the best of each counts, because what disturbs a
/// measurement only makes it slower.
const ROUNDS: usize = 5;
/// What is read from a socket at once, in bytes.
const READ: usize = 256 * 1024;

/// A way to carry [`total`] bytes, in writes of so many bytes.
type Way = fn(usize) -> Duration;

fn main() {
    println!("one stream, without a bound to its credit; best of {ROUNDS} rounds");
    println!();
    println!("  {:<12} {:<8} {:>10} {:>10} {:>7}", "OVER", "WRITES", "BARE", "BYMUX", "RATIO");
    for (over, bare, bymux) in [
        ("memory", copy_bare as Way, copy_bymux as Way),
        ("unix socket", socket_bare, socket_bymux),
    ] {
        for (size, name) in [(64 * 1024, "64 KiB"), (4 * 1024, "4 KiB"), (64, "64 B")] {
            let (bare, bymux) = compare(size, bare, bymux);
            let ratio = bymux / bare;
            println!("  {over:<12} {name:<8} {bare:>5.2} GB/s {bymux:>5.2} GB/s {ratio:>7.2}");
        }
    }
}

/// How many bytes are carried in writes of this size, which divides them.
fn total(size: usize) -> usize {
    TOTAL.min(size * WRITES)
}

/// The best of both, in gigabytes for each second.
fn compare(size: usize, bare: Way, bymux: Way) -> (f64, f64) {
    let rounds = || (0..ROUNDS).map(|_| (bare(size), bymux(size)));
    let times: Vec<_> = rounds().collect();
    let rate =
        |best: Option<Duration>| total(size) as f64 / 1e9 / best.unwrap_or_default().as_secs_f64();
    (rate(times.iter().map(|t| t.0).min()), rate(times.iter().map(|t| t.1).min()))
}

/// Two ends with one stream between them on which the first may write without a bound.
fn ends() -> (Connection, Connection, StreamId) {
    let profile = Profile { global_credit: 1, ..Profile::VANILLA };
    let mut from = Connection::new(Role::Proactive, profile, 0);
    let mut to = Connection::new(Role::Reactive, profile, 0);
    let stream = from.create().expect("there is credit for one stream");
    carry(&mut from, &mut to);
    to.credit_infinite(stream);
    carry(&mut to, &mut from);
    (from, to, stream)
}

/// Hands over all that waits, and gives how many bytes of payload came.
fn carry(from: &mut Connection, to: &mut Connection) -> usize {
    let mut payload = 0;
    for slice in from.outbox().slices() {
        payload += receive(to, slice);
    }
    let sent = from.outbox().len();
    from.outbox_mut().advance(sent);
    payload
}

/// Receives, and gives how many bytes of payload came.
fn receive(to: &mut Connection, mut input: &[u8]) -> usize {
    let mut payload = 0;
    while let Some(event) = to.receive(&mut input).expect("the peer keeps the rules") {
        if let Event::Write { bytes, .. } = event {
            payload += std::hint::black_box(bytes).len();
        }
    }
    payload
}

/// A queue that is filled as far as one stream may fill it, and emptied: what bymux has to do at
/// the least.
fn copy_bare(size: usize) -> Duration {
    let (bytes, mut queue) = (vec![7; size], Vec::<u8>::with_capacity(QUANTUM));
    let began = Instant::now();
    let mut carried = 0;
    while carried < total(size) {
        while queue.len() < QUANTUM {
            queue.extend_from_slice(std::hint::black_box(&bytes));
        }
        carried += std::hint::black_box(&queue).len();
        queue.clear();
    }
    began.elapsed()
}

fn copy_bymux(size: usize) -> Duration {
    let (mut from, mut to, stream) = ends();
    let bytes = vec![7; size];
    let began = Instant::now();
    let mut carried = 0;
    while carried < total(size) {
        fill(&mut from, stream, &bytes, total(size));
        carried += carry(&mut from, &mut to);
    }
    began.elapsed()
}

/// Writes until no more is taken or so many bytes are; gives how many were.
fn fill(from: &mut Connection, stream: StreamId, bytes: &[u8], most: usize) -> usize {
    // Whoever was cut short waits to be named.
    from.next_ready();
    let mut filled = 0;
    while filled < most {
        let piece = &std::hint::black_box(bytes)[..bytes.len().min(most - filled)];
        let taken = from.write(stream, piece);
        filled += taken;
        if taken < piece.len() {
            break;
        }
    }
    filled
}

fn socket_bare(size: usize) -> Duration {
    let (mut near, mut far) = UnixStream::pair().expect("a pair of sockets");
    let bytes = vec![7; size];
    let began = Instant::now();
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; READ];
        let mut carried = 0;
        while carried < total(size) {
            carried += far.read(&mut buffer).expect("the other end is open");
        }
    });
    for _ in 0..total(size) / size {
        near.write_all(&bytes).expect("the other end is open");
    }
    reader.join().expect("the reader ends");
    began.elapsed()
}

fn socket_bymux(size: usize) -> Duration {
    let (mut near, mut far) = UnixStream::pair().expect("a pair of sockets");
    let (mut from, mut to, stream) = ends();
    let bytes = vec![7; size];
    let began = Instant::now();
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; READ];
        let mut carried = 0;
        while carried < total(size) {
            let length = far.read(&mut buffer).expect("the other end is open");
            carried += receive(&mut to, &buffer[..length]);
        }
    });
    let mut left = total(size);
    while left > 0 || !from.outbox().is_empty() {
        left -= fill(&mut from, stream, &bytes, left);
        let slices = from.outbox().slices().map(IoSlice::new);
        let sent = near.write_vectored(&slices).expect("the other end is open");
        from.outbox_mut().advance(sent);
    }
    reader.join().expect("the reader ends");
    began.elapsed()
}
