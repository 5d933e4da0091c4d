//! A relay between two programs on unix sockets without keys that records what each of them says:
//! control messages, and the first frame on each stream in each direction.

// A recording that does not work must not go on.
#![allow(clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trunkline_core::bymux::{Packet, StreamId};
use trunkline_core::control::{FrameReader, MESSAGE_MAX};

/// What a frame is, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On stream 0.
    Control,
    /// The first one on another stream, from the side that has opened it.
    Preface,
    /// The first one on another stream, from the side that has not.
    Answer,
}

/// A frame, without its length.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// What has said it.
    pub by: &'static str,
    /// What it is.
    pub place: Place,
    /// What was said.
    pub bytes: Vec<u8>,
}

/// A relay, which ends with the process.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Mutex<Vec<Frame>>>);

impl Tap {
    /// Listens on `socket`, and connects to `to` for each connection that comes. `dialler` and
    /// `acceptor` are what the two sides are called in the record; nothing is recorded of a side
    /// without a name.
    ///
    /// # Panics
    ///
    /// When the socket cannot be made.
    pub fn listen(&self, socket: &Path, to: &Path, dialler: &'static str, acceptor: &'static str) {
        let listener = UnixListener::bind(socket).expect("a socket of the relay's own");
        let (tap, to) = (self.clone(), to.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = UnixStream::connect(&to).expect("the program listens");
                let opened = Arc::default();
                tap.carry(&client, &server, dialler, &opened);
                tap.carry(&server, &client, acceptor, &opened);
            }
        });
    }

    /// What was said so far.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        lock(&self.0).clone()
    }

    fn carry(&self, from: &UnixStream, to: &UnixStream, by: &'static str, opened: &Opened) {
        let mut from = from.try_clone().expect("a descriptor");
        let mut to = to.try_clone().expect("a descriptor");
        let mut side = Side::new(by, opened.clone());
        let tap = self.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                // Before it is passed on, so that each answer follows its question in the record.
                let said = side.take(&buffer[..count]);
                lock(&tap.0).extend(said.into_iter().filter(|frame| !frame.by.is_empty()));
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

/// The streams that one side or the other has opened.
type Opened = Arc<Mutex<BTreeSet<StreamId>>>;

/// What one side has said.
struct Side {
    by: &'static str,
    opened: Opened,
    /// Bytes that are not a whole packet yet.
    rest: Vec<u8>,
    control: FrameReader,
    /// The first frame of each stream; none when it is whole.
    streams: BTreeMap<StreamId, Option<(Place, FrameReader)>>,
}

impl Side {
    fn new(by: &'static str, opened: Opened) -> Side {
        let control = FrameReader::new(MESSAGE_MAX);
        Side { by, opened, rest: Vec::new(), control, streams: BTreeMap::new() }
    }

    fn take(&mut self, bytes: &[u8]) -> Vec<Frame> {
        self.rest.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.rest);
        let (mut left, mut frames) = (&bytes[..], Vec::new());
        while let Some((packet, header)) = Packet::decode(left).expect("a packet") {
            let Packet::Write { stream, length } = packet else {
                left = &left[header..];
                continue;
            };
            let length = usize::try_from(length).expect("a length");
            let Some(payload) = left.get(header..header + length) else { break };
            self.payload(stream, payload, &mut frames);
            left = &left[header + length..];
        }
        self.rest = left.to_vec();
        frames
    }

    fn payload(&mut self, stream: StreamId, mut bytes: &[u8], frames: &mut Vec<Frame>) {
        let by = self.by;
        if stream == StreamId::CONTROL {
            while let Some(frame) = self.control.read(&mut bytes).expect("a frame") {
                let bytes = frame.as_slice().to_vec();
                frames.push(Frame { by, place: Place::Control, bytes });
            }
            return;
        }
        let opened = &self.opened;
        let reader = self.streams.entry(stream).or_insert_with(|| {
            let place = match lock(opened).insert(stream) {
                true => Place::Preface,
                false => Place::Answer,
            };
            Some((place, FrameReader::new(MESSAGE_MAX)))
        });
        let Some((place, first)) = reader else { return };
        if let Some(frame) = first.read(&mut bytes).expect("a frame") {
            frames.push(Frame { by, place: *place, bytes: frame.as_slice().to_vec() });
            *reader = None;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
