//! Encryption alone: the speed of encrypting and decrypting 4 KiB frames, relative to the
//! primitive, which is XSalsa20-Poly1305 over 4,096 bytes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use dryoc::classic::crypto_box::crypto_box_open_detached_afternm_inplace as primitive_decrypt;
use dryoc::classic::crypto_secretbox::crypto_secretbox_detached as primitive_encrypt;
use trunkline_shs::{BODY_MAX, HEADER, Opened, Opener, Sealer};

use crate::contender::{Contender, Group, Metric, Sample};

/// Frames between two readings of the clock: 128 KiB.
const FRAMES: usize = 32;
const FRAME: usize = BODY_MAX + HEADER;
const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 24] = [9; 24];

pub(crate) const ENCRYPTION: &str = "encryption";
pub(crate) const PRIMITIVE_ENCRYPT: &str = "primitive, encrypt";
pub(crate) const PRIMITIVE_DECRYPT: &str = "primitive, decrypt";
pub(crate) const ENCRYPT: &str = "box stream, encrypt";
pub(crate) const DECRYPT: &str = "box stream, decrypt";

pub(crate) fn group() -> Group<'static> {
    Group {
        key: ENCRYPTION,
        title: "Encryption alone, on one core".to_owned(),
        metric: Metric::Rate,
        x: 0,
        contenders: vec![
            Contender::new(PRIMITIVE_ENCRYPT, encrypt_bare),
            Contender::new(ENCRYPT, encrypt).against(PRIMITIVE_ENCRYPT),
            Contender::new(PRIMITIVE_DECRYPT, decrypt_bare),
            Contender::new(DECRYPT, decrypt).against(PRIMITIVE_DECRYPT),
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

/// Repeats `prepare` and `step` with the frames. Only `step` is timed, until its time reaches the
/// given one.
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
    // One thread computes all the time, so wall time is processor time.
    Ok(Sample { cpu: seconds, ..Sample::of(frames, frames * BODY_MAX as u64, seconds) })
}

fn encrypt_bare(length: Duration) -> Result<Sample, String> {
    repeat(length, |_| Ok(()), Bench::encrypt_bare)
}

fn encrypt(length: Duration) -> Result<Sample, String> {
    repeat(length, |_| Ok(()), Bench::encrypt)
}

fn decrypt_bare(length: Duration) -> Result<Sample, String> {
    repeat(length, Bench::encrypt_bare, Bench::decrypt_bare)
}

fn decrypt(length: Duration) -> Result<Sample, String> {
    repeat(length, Bench::encrypt, Bench::decrypt)
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

    fn encrypt_bare(&mut self) -> Result<(), String> {
        for (frame, tag) in self.wire.chunks_exact_mut(FRAME).zip(&mut self.tags) {
            primitive_encrypt(&mut frame[HEADER..], tag, &self.plain, black_box(&NONCE), &KEY)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn decrypt_bare(&mut self) -> Result<(), String> {
        for (frame, tag) in self.wire.chunks_exact_mut(FRAME).zip(&self.tags) {
            primitive_decrypt(&mut frame[HEADER..], tag, black_box(&NONCE), &KEY)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn encrypt(&mut self) -> Result<(), String> {
        for frame in self.wire.chunks_exact_mut(FRAME) {
            self.sealer.seal(&self.plain, frame).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn decrypt(&mut self) -> Result<(), String> {
        for frame in self.wire.chunks_exact_mut(FRAME) {
            match self.opener.open(frame).map_err(|error| error.to_string())? {
                (_, Opened::Body(body)) => drop(black_box(body)),
                _ => return Err("a frame has no body".to_owned()),
            }
        }
        Ok(())
    }
}
