//! Streams whose first frame, a preface or an answer, has not arrived whole.

use crate::bymux::StreamId;
use crate::control::{Frame, FrameReader, FrameTooLong, PREFACE_MAX};
use alloc::collections::BTreeMap;

/// A reader for each stream that is still young.
#[derive(Debug, Default)]
pub(super) struct YoungStreams {
    readers: BTreeMap<StreamId, Young>,
}

#[derive(Debug)]
struct Young {
    reader: FrameReader,
    /// Bytes that the frame has taken so far.
    used: u64,
}

impl YoungStreams {
    pub(super) fn add(&mut self, stream: StreamId) {
        let reader = FrameReader::new(PREFACE_MAX);
        self.readers.insert(stream, Young { reader, used: 0 });
    }

    pub(super) fn remove(&mut self, stream: StreamId) {
        self.readers.remove(&stream);
    }

    pub(super) fn holds(&self, stream: StreamId) -> bool {
        !self.readers.is_empty() && self.readers.contains_key(&stream)
    }

    /// Takes bytes until the stream's first frame is whole: the frame, and how many bytes it took.
    pub(super) fn read<'a>(
        &mut self,
        stream: StreamId,
        input: &mut &'a [u8],
    ) -> Result<Option<(Frame<'a>, u64)>, FrameTooLong> {
        let Some(young) = self.readers.get_mut(&stream) else { return Ok(None) };
        let before = input.len();
        let frame = young.reader.read(input)?;
        young.used += (before - input.len()) as u64;
        let used = young.used;
        if frame.is_some() {
            self.readers.remove(&stream);
        }
        Ok(frame.map(|frame| (frame, used)))
    }
}
