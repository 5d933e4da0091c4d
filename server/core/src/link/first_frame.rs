//! Streams whose first frame, a preface or an answer, has not arrived completely.

use crate::bymux::StreamId;
use crate::control::{Frame, FrameReader, FrameTooLong, PREFACE_MAX};
use alloc::collections::BTreeMap;

/// A frame reader for each stream that still waits for its first frame.
#[derive(Debug, Default)]
pub(super) struct AwaitingFirstFrame {
    readers: BTreeMap<StreamId, FirstFrame>,
}

#[derive(Debug)]
struct FirstFrame {
    reader: FrameReader,
    /// Bytes that the frame has used so far.
    used: u64,
}

impl AwaitingFirstFrame {
    pub(super) fn add(&mut self, stream: StreamId) {
        let reader = FrameReader::new(PREFACE_MAX);
        self.readers.insert(stream, FirstFrame { reader, used: 0 });
    }

    pub(super) fn remove(&mut self, stream: StreamId) {
        self.readers.remove(&stream);
    }

    pub(super) fn holds(&self, stream: StreamId) -> bool {
        !self.readers.is_empty() && self.readers.contains_key(&stream)
    }

    /// Takes bytes until the stream's first frame is complete. Returns the frame, and how many
    /// bytes it used.
    pub(super) fn read<'a>(
        &mut self,
        stream: StreamId,
        input: &mut &'a [u8],
    ) -> Result<Option<(Frame<'a>, u64)>, FrameTooLong> {
        let Some(first) = self.readers.get_mut(&stream) else { return Ok(None) };
        let before = input.len();
        let frame = first.reader.read(input)?;
        first.used += (before - input.len()) as u64;
        let used = first.used;
        if frame.is_some() {
            self.readers.remove(&stream);
        }
        Ok(frame.map(|frame| (frame, used)))
    }
}
