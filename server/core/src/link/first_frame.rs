//! Streams whose first frame, a preface or an answer, is not yet complete.

use crate::bymux::{MuxRole, StreamId};
use crate::control::{Frame, FrameReader, FrameTooLong, PREFACE_MAX};
use crate::limits::{Limits, WINDOW};
use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

/// A frame reader for each stream that still waits for its first frame. Incomplete frames are
/// charged to the link's window: each of them may become a channel with 64 KiB of its own, so a
/// link has as many of them as of channels that wait for an answer. Each has the time of a
/// handshake, counted from its first byte.
#[derive(Debug)]
pub(super) struct AwaitingFirstFrame {
    readers: BTreeMap<StreamId, FirstFrame>,
    /// Our role, which says whose stream an id is.
    role: MuxRole,
    /// Streams of the peer that never had a complete preface.
    without_preface: usize,
    /// Streams of which a part of the first frame has arrived, in the order of their deadlines.
    incomplete: BTreeSet<(Duration, StreamId)>,
    /// How many frames may be incomplete.
    most: usize,
    /// How long a frame may take from its first byte.
    time: Duration,
}

#[derive(Debug)]
struct FirstFrame {
    /// `None` if the frame is not awaited any longer. The stream is then of no use until it ends.
    reader: Option<FrameReader>,
    /// Bytes that the frame has used so far.
    used: u64,
    /// The deadline of a frame of which a part has arrived.
    deadline: Option<Duration>,
}

/// The outcome of reading a first frame.
pub(super) enum Progress<'a> {
    /// It is complete, and used so many bytes.
    Complete(Frame<'a>, u64),
    /// More bytes must follow.
    Incomplete,
    /// Too many frames of this link are incomplete.
    TooMany,
}

impl AwaitingFirstFrame {
    pub(super) fn new(role: MuxRole, limits: &Limits) -> AwaitingFirstFrame {
        AwaitingFirstFrame {
            readers: BTreeMap::new(),
            role,
            without_preface: 0,
            incomplete: BTreeSet::new(),
            most: usize::try_from(limits.link_window / WINDOW).unwrap_or(usize::MAX),
            time: limits.handshake,
        }
    }

    pub(super) fn add(&mut self, stream: StreamId) {
        let reader = FrameReader::new(PREFACE_MAX);
        let first = FirstFrame { reader: Some(reader), used: 0, deadline: None };
        let known = self.readers.insert(stream, first).is_some();
        self.without_preface += usize::from(!known && !self.role.creates(stream));
    }

    pub(super) fn remove(&mut self, stream: StreamId) {
        let Some(first) = self.readers.remove(&stream) else { return };
        self.without_preface -= usize::from(!self.role.creates(stream));
        if let Some(deadline) = first.deadline {
            self.incomplete.remove(&(deadline, stream));
        }
    }

    /// Does not wait any longer. A stream of the peer is remembered until it ends, as one without a
    /// preface.
    pub(super) fn give_up(&mut self, stream: StreamId) {
        if self.role.creates(stream) {
            self.remove(stream);
        } else if let Some(first) = self.readers.get_mut(&stream) {
            first.reader = None;
            if let Some(deadline) = first.deadline.take() {
                self.incomplete.remove(&(deadline, stream));
            }
        }
    }

    /// Streams of the peer that never had a complete preface.
    pub(super) fn without_preface(&self) -> usize {
        self.without_preface
    }

    pub(super) fn holds(&self, stream: StreamId) -> bool {
        !self.readers.is_empty() && self.readers.contains_key(&stream)
    }

    /// Takes bytes until the stream's first frame is complete.
    pub(super) fn read<'a>(
        &mut self,
        now: Duration,
        stream: StreamId,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a>, FrameTooLong> {
        let Some(first) = self.readers.get_mut(&stream) else { return Ok(Progress::Incomplete) };
        let Some(reader) = &mut first.reader else {
            *input = &[];
            return Ok(Progress::Incomplete);
        };
        let before = input.len();
        let frame = reader.read(input)?;
        first.used += (before - input.len()) as u64;
        let used = first.used;
        if let Some(frame) = frame {
            self.remove(stream);
            return Ok(Progress::Complete(frame, used));
        }
        if first.deadline.is_none() {
            let deadline = now + self.time;
            first.deadline = Some(deadline);
            self.incomplete.insert((deadline, stream));
        }
        Ok(match self.incomplete.len() > self.most {
            true => Progress::TooMany,
            false => Progress::Incomplete,
        })
    }

    /// The deadline of the frame that has waited longest for its rest.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.incomplete.first().map(|(deadline, _)| *deadline)
    }

    /// A stream whose frame is incomplete although its deadline has passed.
    pub(super) fn next_overdue(&self, now: Duration) -> Option<StreamId> {
        let (_, stream) = self.incomplete.first().filter(|(deadline, _)| *deadline <= now)?;
        Some(*stream)
    }
}
