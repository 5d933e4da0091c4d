//! Sealing alone: how much of the speed of the primitive is left when 4 KiB frames are sealed and
//! opened. The primitive is XSalsa20-Poly1305 over 4,096 bytes and nothing else.

use std::hint::black_box;
use std::time::{Duration, Instant};

use dryoc::classic::crypto_box::crypto_box_open_detached_afternm_inplace as primitive_open;
use dryoc::classic::crypto_secretbox::crypto_secretbox_detached as primitive_seal;
use trunkline_shs::{BODY_MAX, HEADER, Opened, Opener, Sealer};

use crate::contender::{Contender, Group, Metric, Sample};

/// Frames between two looks at the clock: 128 KiB.
const FRAMES: usize = 32;
const FRAME: usize = BODY_MAX + HEADER;
const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 24] = [9; 24];

pub(crate) const SEALING: &str = "sealing";
pub(crate) const PRIMITIVE_SEAL: &str = "primitive, seal";
pub(crate) const PRIMITIVE_OPEN: &str = "primitive, open";
pub(crate) const SEAL: &str = "box stream, seal";
pub(crate) const OPEN: &str = "box stream, open";

pub(crate) fn group() -> Group<'static> {
    Group {
        key: SEALING,
        title: "Sealing alone, on one core".to_owned(),
        metric: Metric::Rate,
        x: 0,
        contenders: vec![
            Contender::new(PRIMITIVE_SEAL, seal_bare),
            Contender::new(SEAL, seal).against(PRIMITIVE_SEAL),
            Contender::new(PRIMITIVE_OPEN, open_bare),
            Contender::new(OPEN, open).against(PRIMITIVE_OPEN),
        ],
    }
}

/// The frames of a turn, and both ends of a stream.
struct Bench {
    plain: Vec<u8>,
    wire: Vec<u8>,
    sealer: Sealer,
    opener: Opener,
    tags: Vec<[u8; 16]>,
}

type Step = fn(&mut Bench) -> Result<(), String>;

/// Does `prepare` and then `step` to the frames, again and again; `step` alone is timed, until it
/// has taken so long.
fn repeat(length: Duration, prepare: Step, step: Step) -> Result<Sample, String> {
    let mut bench = Bench::new();
    let (mut turns, mut took) = (0, Duration::ZERO);
    while took < length {
        prepare(&mut bench)?;
        let began = Instant::now();
        step(&mut bench)?;
        took += began.elapsed();
        turns += 1;
    }
    let (frames, seconds) = (turns * FRAMES as u64, took.as_secs_f64());
    // One thread computes and waits for nothing.
    Ok(Sample { cpu: seconds, ..Sample::of(frames, frames * BODY_MAX as u64, seconds) })
}

fn seal_bare(length: Duration) -> Result<Sample, String> {
    repeat(length, |_| Ok(()), Bench::seal_bare)
}

fn seal(length: Duration) -> Result<Sample, String> {
    repeat(length, |_| Ok(()), Bench::seal)
}

fn open_bare(length: Duration) -> Result<Sample, String> {
    repeat(length, Bench::seal_bare, Bench::open_bare)
}

fn open(length: Duration) -> Result<Sample, String> {
    repeat(length, Bench::seal, Bench::open)
}

impl Bench {
    fn new() -> Bench {
        Bench {
            plain: (0..BODY_MAX).map(|i| i as u8).collect(),
            wire: vec![0; FRAMES * FRAME],
            sealer: Sealer::new(&KEY, &NONCE),
            opener: Opener::new(&KEY, &NONCE),
            tags: vec![[0; 16]; FRAMES],
        }
    }

    fn seal_bare(&mut self) -> Result<(), String> {
        for (frame, tag) in self.wire.chunks_exact_mut(FRAME).zip(&mut self.tags) {
            primitive_seal(&mut frame[HEADER..], tag, &self.plain, black_box(&NONCE), &KEY)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn open_bare(&mut self) -> Result<(), String> {
        for (frame, tag) in self.wire.chunks_exact_mut(FRAME).zip(&self.tags) {
            primitive_open(&mut frame[HEADER..], tag, black_box(&NONCE), &KEY)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<(), String> {
        for frame in self.wire.chunks_exact_mut(FRAME) {
            self.sealer.seal(&self.plain, frame).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        for frame in self.wire.chunks_exact_mut(FRAME) {
            match self.opener.open(frame).map_err(|error| error.to_string())? {
                (_, Opened::Body(body)) => drop(black_box(body)),
                _ => return Err("a frame has no body".to_owned()),
            }
        }
        Ok(())
    }
}
