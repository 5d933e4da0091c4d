//! bymux alone, in memory: a stream against copying the same bytes into a queue and out of it,
//! which is the minimum for any implementation.

use std::hint::black_box;
use std::time::{Duration, Instant};

use trunkline_core::bymux::{Connection, Event, MuxRole, Profile, QUANTUM, StreamId};

use crate::contender::{Contender, Group, Metric, Sample};

pub(crate) const MULTIPLEXING: &str = "bymux in memory";
pub(crate) const COPY: &str = "bare copy";
pub(crate) const BYMUX: &str = "bymux";

/// Sizes of a write, in bytes; each divides a quantum.
pub(crate) const SIZES: [usize; 3] = [64, 4 * 1024, 64 * 1024];

/// Quanta between two readings of the clock.
const QUANTA: usize = 16;

pub(crate) fn group(size: usize) -> Group<'static> {
    let title = format!("bymux in memory, writes of {}", crate::report::bytes(size as f64));
    let contenders = vec![
        Contender::new(COPY, move |length| Ok(copy(size, length))),
        Contender::new(BYMUX, move |length| carry(size, length)).against(COPY),
    ];
    Group { key: MULTIPLEXING, title, metric: Metric::Rate, x: size, contenders }
}

/// Repeats a step that carries one quantum. Returns the bytes that were carried.
fn repeat(
    size: usize,
    length: Duration,
    mut quantum: impl FnMut() -> Result<usize, String>,
) -> Result<Sample, String> {
    let (mut bytes, began) = (0, Instant::now());
    while began.elapsed() < length {
        for _ in 0..QUANTA {
            bytes += quantum()?;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    // One thread computes all the time, so wall time is processor time.
    Ok(Sample { cpu: seconds, ..Sample::of((bytes / size) as u64, bytes as u64, seconds) })
}

fn copy(size: usize, length: Duration) -> Sample {
    let (bytes, mut queue) = (vec![7; size], Vec::<u8>::with_capacity(QUANTUM));
    let copied = repeat(size, length, || {
        queue.clear();
        while queue.len() < QUANTUM {
            queue.extend_from_slice(black_box(&bytes));
        }
        Ok(black_box(&queue).len())
    });
    copied.unwrap_or_default()
}

fn carry(size: usize, length: Duration) -> Result<Sample, String> {
    let (mut from, mut to, stream) = ends()?;
    let bytes = vec![7; size];
    repeat(size, length, || {
        // A stream whose write was short has to be taken from the ready list.
        from.next_ready();
        while from.write(stream, black_box(&bytes)) == size {}
        hand_over(&mut from, &mut to)
    })
}

/// Two ends with one stream, on which the first one has unlimited credit.
fn ends() -> Result<(Connection, Connection, StreamId), String> {
    let profile = Profile { global_credit: 1, ..Profile::VANILLA };
    let mut from = Connection::new(MuxRole::Dialler, profile, 0);
    let mut to = Connection::new(MuxRole::Acceptor, profile, 0);
    let stream = from.create().ok_or("there is no credit for a stream")?;
    hand_over(&mut from, &mut to)?;
    to.credit_infinite(stream);
    hand_over(&mut to, &mut from)?;
    Ok((from, to, stream))
}

/// Passes all queued bytes to the other end. Returns the payload bytes that arrived.
fn hand_over(from: &mut Connection, to: &mut Connection) -> Result<usize, String> {
    let mut payload = 0;
    for mut input in from.outbox().slices() {
        while let Some(event) = to.receive(&mut input).map_err(|error| format!("{error:?}"))? {
            if let Event::Write { bytes, .. } = event {
                payload += black_box(bytes).len();
            }
        }
    }
    let sent = from.outbox().len();
    from.outbox_mut().advance(sent);
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_written_bytes_arrive() {
        for size in SIZES {
            let sample = carry(size, Duration::from_millis(1)).expect("the ends keep the rules");
            assert!(sample.bytes > 0.0, "writes of {size} bytes carry nothing");
        }
    }
}
