//! Calls within a process: what the guard and the ABI cost, against calls without them.
//!
//! A call is empty, or adds up 64 bytes. Calls from one plugin to another are measured in servers,
//! with the round trips.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use trunkline_plugin::host::{Instance, Module};
use trunkline_plugin::{About, Channel, Config, Host, Plugin, Reason};

use crate::contender::{Contender, Group, Metric, Sample};
use crate::processes;
use crate::programs::Programs;
use crate::quiet_host::QuietHost;

/// Calls between two readings of the clock.
const BATCH: u64 = 4096;
/// The input of the calls with work.
const BYTES: [u8; 64] = [7; 64];
/// A channel that does not exist. The worker ignores it.
const CHANNEL: u64 = 1;

pub(crate) const INLINED: &str = "inlined";
pub(crate) const DYNAMIC: &str = "Box<dyn Trait>";
pub(crate) const GUARDED: &str = "guarded, through the ABI";
pub(crate) const LOADED: &str = "guarded, from a .so file";
pub(crate) const HOP: &str = "mpsc to a thread and back";
pub(crate) const EMPTY: &str = "calls, empty";
pub(crate) const WORK: &str = "calls, 64 bytes of work";
pub(crate) const ANSWERS: &str = "calls, answered";
pub(crate) const ANSWER_EMPTY: &str = "Box<dyn Trait>, empty answer";
pub(crate) const ANSWER_64: &str = "Box<dyn Trait>, 64 bytes back";

/// The worker of the measuring plugin, as a type of this program.
#[derive(Default)]
pub(crate) struct Worker(u64);

/// The same calls without the ABI of plugins.
trait Callee {
    fn wake(&mut self);
    fn write(&mut self, channel: u64, bytes: &[u8]);
    /// As a call between plugins: the caller owns the answer.
    fn ask(&mut self, request: &[u8]) -> Vec<u8>;
}

impl Callee for Worker {
    fn wake(&mut self) {
        black_box(&mut self.0);
    }

    fn write(&mut self, _channel: u64, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        black_box(self.0);
    }

    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        request.to_vec()
    }
}

impl Plugin for Worker {
    const ABOUT: About = About::new("worker", 1);

    fn start(_host: &Host, _config: Config) -> Result<Self, Reason> {
        Ok(Worker(0))
    }

    fn wake(&mut self, _host: &Host) {
        Callee::wake(self);
    }

    fn write(&mut self, _host: &Host, channel: Channel, bytes: &[u8]) {
        Callee::write(self, channel.number(), bytes);
    }
}

/// All groups.
pub(crate) fn groups(programs: &Programs) -> Result<[Group<'static>; 3], String> {
    let group = |key, title: &str, contenders| {
        let title = title.to_owned();
        Group { key, title, metric: Metric::Latency, x: 0, contenders }
    };
    let empty = group(EMPTY, "Calls within a process, empty", empty(programs)?);
    let work = group(WORK, "Calls within a process, 64 bytes of work", work(programs)?);
    let title = "Calls within a process that give an answer";
    Ok([empty, work, group(ANSWERS, title, answers())])
}

/// The baseline of calls between plugins, which returns an answer too.
fn answers() -> Vec<Contender<'static>> {
    let [mut empty, mut some] = [boxed(), boxed()];
    vec![
        repeated(ANSWER_EMPTY, move || drop(black_box(black_box(&mut empty).ask(black_box(b""))))),
        repeated(ANSWER_64, move || drop(black_box(black_box(&mut some).ask(black_box(&BYTES))))),
    ]
}

fn empty(programs: &Programs) -> Result<Vec<Contender<'static>>, String> {
    let (mut inlined, mut dynamic) = (Worker::default(), boxed());
    let (mut guarded, mut loaded) = (guarded()?, loaded(programs)?);
    Ok(vec![
        repeated(INLINED, move || Callee::wake(&mut inlined)),
        repeated(DYNAMIC, move || black_box(&mut dynamic).wake()),
        repeated(GUARDED, move || drop(black_box(black_box(&mut guarded).wake()))).against(DYNAMIC),
        repeated(LOADED, move || drop(black_box(black_box(&mut loaded).wake()))).against(DYNAMIC),
        hop().against(DYNAMIC),
    ])
}

fn work(programs: &Programs) -> Result<Vec<Contender<'static>>, String> {
    let (mut inlined, mut dynamic) = (Worker::default(), boxed());
    let (mut guarded, mut loaded) = (guarded()?, loaded(programs)?);
    let through = |instance: &mut Instance| {
        drop(black_box(black_box(instance).write(Channel::new(CHANNEL), black_box(&BYTES))));
    };
    Ok(vec![
        repeated(INLINED, move || Callee::write(&mut inlined, CHANNEL, black_box(&BYTES))),
        repeated(DYNAMIC, move || black_box(&mut dynamic).write(CHANNEL, black_box(&BYTES))),
        repeated(GUARDED, move || through(&mut guarded)).against(DYNAMIC),
        repeated(LOADED, move || through(&mut loaded)).against(DYNAMIC),
    ])
}

/// A callee whose type the compiler does not know.
fn boxed() -> Box<dyn Callee> {
    black_box(Box::<Worker>::default())
}

/// The worker behind the ABI, in this program.
pub(crate) fn guarded() -> Result<Instance, String> {
    let started = Module::of::<Worker>().create(Rc::new(QuietHost), "");
    started.map_err(|error| format!("the worker: {error}"))
}

/// The worker loaded from the plugin's file.
fn loaded(programs: &Programs) -> Result<Instance, String> {
    let module = trunkline::loader::load(&programs.measure, None).map_err(|e| e.to_string())?;
    let started = module.create(Rc::new(QuietHost), r#"{"work":true}"#);
    started.map_err(|error| format!("the loaded worker: {error}"))
}

fn repeated(name: &str, mut call: impl FnMut() + 'static) -> Contender<'static> {
    Contender::new(name, move |length| Ok(repeat(length / 4, BATCH, &mut call)))
}

/// Repeats a call for a part of a turn, which is enough because calls are short.
fn repeat(length: Duration, batch: u64, mut call: impl FnMut()) -> Sample {
    let (cpu, began) = (processes::cpu(&[]), Instant::now());
    let mut count = 0;
    while began.elapsed() < length {
        (0..batch).for_each(|_| call());
        count += batch;
    }
    let sample = Sample::of(count, 0, began.elapsed().as_secs_f64());
    Sample { cpu: processes::cpu(&[]) - cpu, ..sample }
}

/// A message to another thread and one back: the cost of a call between threads.
fn hop() -> Contender<'static> {
    let (ask, asked) = mpsc::channel::<u64>();
    let (answer, answered) = mpsc::channel::<u64>();
    // The thread ends when the contender, which owns the other ends, is dropped.
    std::thread::spawn(move || asked.iter().all(|number| answer.send(number).is_ok()));
    Contender::new(HOP, move |length| {
        let mut failed = false;
        let sample = repeat(length, 64, || {
            failed |= ask.send(7).is_err() || answered.recv().is_err();
        });
        if failed { Err("the thread is gone".to_owned()) } else { Ok(sample) }
    })
}
