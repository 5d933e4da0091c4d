//! How much of the speed of the primitive is left when 4 KiB frames are sealed and opened.
//!
//! The primitive is XSalsa20-Poly1305 over 4,096 bytes and nothing else, between two buffers and in
//! place. All is measured in turns, so that a change of the machine's speed hits all alike; the
//! figure is the median of the rounds' ratios. Arguments: `[ROUNDS]`, 5 or more.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use dryoc::classic::crypto_box::{
    crypto_box_detached_afternm_inplace as primitive_seal_in_place,
    crypto_box_open_detached_afternm_inplace as primitive_open_in_place,
};
use dryoc::classic::crypto_secretbox::crypto_secretbox_detached as primitive_seal;
use trunkline_shs::{BODY_MAX, HEADER, Opened, Opener, Sealer};

/// What Trunkline goes for: see "Speed" in the design.
const TARGET: f64 = 0.85;
/// Rounds when nobody says how many.
const ROUNDS: usize = 21;
/// Turns of each round. Of each kind of work, the turn of median length counts, so that turns in
/// which another program ran do not.
const TURNS: usize = 201;
/// Frames of a turn: 128 KiB, far less than the time for which a program keeps a core.
const FRAMES: usize = 32;

const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 24] = [9; 24];

/// What is measured.
#[derive(Clone, Copy)]
enum Work {
    PrimitiveSeal,
    Seal,
    Open,
    PrimitiveSealInPlace,
    PrimitiveOpen,
    SealInPlace,
}

/// In this order, so that what is opened is what was sealed just before.
const TURN: [Work; 6] = [
    Work::PrimitiveSeal,
    Work::Seal,
    Work::Open,
    Work::PrimitiveSealInPlace,
    Work::PrimitiveOpen,
    Work::SealInPlace,
];

/// Seconds of the median turn, for each kind of work.
type Round = [f64; TURN.len()];

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = match std::env::args().nth(1) {
        Some(text) => text.parse::<usize>()?.max(5),
        None => ROUNDS,
    };
    let mut bench = Bench::new();
    bench.round()?;
    let rounds = (0..rounds).map(|_| bench.round()).collect::<Result<Vec<Round>, _>>()?;
    report("seal", &rounds, Work::PrimitiveSeal, Work::Seal);
    report("seal_in_place", &rounds, Work::PrimitiveSealInPlace, Work::SealInPlace);
    report("open", &rounds, Work::PrimitiveOpen, Work::Open);
    Ok(())
}

/// One line: the median of the ratios, and the median speeds.
fn report(what: &str, rounds: &[Round], primitive: Work, ours: Work) {
    let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    let speed = |work: Work| of(&|round| (FRAMES * BODY_MAX) as f64 / round[work as usize] / 1e6);
    let ratio = of(&|round| round[primitive as usize] / round[ours as usize]);
    println!(
        "{what}: ratio {ratio:.3} (target {TARGET}), {:.0} MB/s of the primitive's {:.0} MB/s",
        speed(ours),
        speed(primitive),
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The buffers and both ends of a stream.
struct Bench {
    plain: Vec<u8>,
    /// Room for the frames of a turn.
    wire: Vec<u8>,
    sealer: Sealer,
    opener: Opener,
    nonce: [u8; 24],
    tags: Vec<[u8; 16]>,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            plain: (0..BODY_MAX).map(|i| i as u8).collect(),
            wire: vec![0; FRAMES * (BODY_MAX + HEADER)],
            sealer: Sealer::new(&KEY, &NONCE),
            opener: Opener::new(&KEY, &NONCE),
            nonce: NONCE,
            tags: vec![[0; 16]; FRAMES],
        }
    }

    fn round(&mut self) -> Result<Round, Box<dyn Error>> {
        let mut turns: [Vec<f64>; TURN.len()] = Default::default();
        for _ in 0..TURNS {
            for work in TURN {
                let start = Instant::now();
                self.turn(work)?;
                turns[work as usize].push(start.elapsed().as_secs_f64());
            }
            self.open()?;
        }
        Ok(turns.map(median))
    }

    fn turn(&mut self, work: Work) -> Result<(), Box<dyn Error>> {
        match work {
            Work::PrimitiveSeal => self.primitive_seal(),
            Work::Seal => self.seal(),
            Work::Open => self.open(),
            Work::PrimitiveSealInPlace => self.primitive_seal_in_place(),
            Work::PrimitiveOpen => self.primitive_open(),
            Work::SealInPlace => self.seal_in_place(),
        }
    }

    fn next_nonce(nonce: &mut [u8; 24]) {
        nonce[0] = nonce[0].wrapping_add(1);
    }

    fn primitive_seal(&mut self) -> Result<(), Box<dyn Error>> {
        for (frame, tag) in self.wire.chunks_exact_mut(BODY_MAX + HEADER).zip(&mut self.tags) {
            Bench::next_nonce(&mut self.nonce);
            primitive_seal(&mut frame[HEADER..], tag, &self.plain, &self.nonce, &KEY)?;
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<(), Box<dyn Error>> {
        for frame in self.wire.chunks_exact_mut(BODY_MAX + HEADER) {
            self.sealer.seal(&self.plain, frame)?;
        }
        Ok(())
    }

    fn primitive_seal_in_place(&mut self) -> Result<(), Box<dyn Error>> {
        for (frame, tag) in self.wire.chunks_exact_mut(BODY_MAX + HEADER).zip(&mut self.tags) {
            primitive_seal_in_place(&mut frame[HEADER..], tag, &self.nonce, &KEY);
        }
        Ok(())
    }

    fn seal_in_place(&mut self) -> Result<(), Box<dyn Error>> {
        for frame in self.wire.chunks_exact_mut(BODY_MAX + HEADER) {
            self.sealer.seal_in_place(frame)?;
        }
        Ok(())
    }

    fn primitive_open(&mut self) -> Result<(), Box<dyn Error>> {
        for (frame, tag) in self.wire.chunks_exact_mut(BODY_MAX + HEADER).zip(&self.tags) {
            primitive_open_in_place(&mut frame[HEADER..], tag, &self.nonce, &KEY)?;
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), Box<dyn Error>> {
        for frame in self.wire.chunks_exact_mut(BODY_MAX + HEADER) {
            match self.opener.open(frame)? {
                (_, Opened::Body(body)) => drop(black_box(body)),
                _ => return Err("a frame has no body".into()),
            }
        }
        Ok(())
    }
}
