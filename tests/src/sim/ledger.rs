//! The bytes that plugins send: their values, how many were accepted, and whether all have arrived.
//!
//! The first eight bytes of stream *s* are the number *s*; the others are a hash of *s* and of
//! their place. So a reader can check the bytes without a copy of them, however they were relayed.

/// Bytes of the stream number at the start of each stream.
const HEAD: u64 = 8;

/// The record of one stream of bytes, from a writing to a reading plugin.
#[derive(Debug, Default)]
struct StreamRecord {
    written: u64,
    closed: bool,
    claimed: bool,
}

/// All streams of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    streams: Vec<StreamRecord>,
    /// Closes of writers that had sent nothing, and closes received by readers of nothing.
    empty_sent: u64,
    empty_received: u64,
    /// Garbage was injected into a link, so wrong bytes may arrive.
    pub tainted: bool,
    /// Bytes that were checked.
    pub checked: u64,
}

/// Eight bytes of stream `s`, from byte `8 * word` on.
fn word(s: u64, word: u64) -> [u8; HEAD as usize] {
    if word == 0 {
        return s.to_le_bytes();
    }
    let mixed = s.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ word.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9).to_be_bytes()
}

impl Ledger {
    /// A new stream.
    pub fn begin(&mut self) -> u64 {
        self.streams.push(StreamRecord::default());
        self.streams.len() as u64 - 1
    }

    /// The bytes of a stream from `from` on.
    pub fn bytes(stream: u64, from: u64, count: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count as usize + 2 * HEAD as usize);
        for at in from / HEAD..(from + count).div_ceil(HEAD) {
            bytes.extend_from_slice(&word(stream, at));
        }
        bytes.truncate((from % HEAD + count) as usize);
        bytes.drain(..(from % HEAD) as usize);
        bytes
    }

    /// Notes that bytes of a writer were accepted.
    pub fn written(&mut self, stream: u64, count: u64) {
        self.streams[stream as usize].written += count;
    }

    /// Notes that a writer has closed, perhaps without having written anything.
    pub fn closed(&mut self, stream: Option<u64>) {
        match stream.map(|stream| &mut self.streams[stream as usize]) {
            Some(sent) => {
                sent.closed = true;
                self.empty_sent += u64::from(sent.written == 0);
            }
            None => self.empty_sent += 1,
        }
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }
}

/// The progress of one reader.
#[derive(Debug, Default)]
pub struct StreamReader {
    head: [u8; HEAD as usize],
    stream: Option<u64>,
    /// Bytes that have arrived.
    pub got: u64,
    unchecked: bool,
}

impl StreamReader {
    /// A reader of bytes that may be anything, because they come from a stranger.
    pub fn unchecked() -> StreamReader {
        StreamReader { unchecked: true, ..StreamReader::default() }
    }

    /// Checks bytes that have arrived.
    pub fn take(&mut self, ledger: &mut Ledger, bytes: &[u8]) -> Result<(), String> {
        let result = self.check(ledger, bytes);
        if self.unchecked {
            self.got += bytes.len() as u64;
        }
        if result.is_err() && ledger.tainted {
            self.unchecked = true;
            return Ok(());
        }
        result
    }

    fn check(&mut self, ledger: &mut Ledger, bytes: &[u8]) -> Result<(), String> {
        if self.unchecked {
            return Ok(());
        }
        let missing = HEAD.saturating_sub(self.got).min(bytes.len() as u64);
        let (head, rest) = bytes.split_at(missing as usize);
        for byte in head {
            self.head[self.got as usize] = *byte;
            self.got += 1;
        }
        if missing > 0 && self.got == HEAD {
            self.claim(ledger)?;
        }
        let Some(stream) = self.stream else { return Ok(()) };
        if Ledger::bytes(stream, self.got, rest.len() as u64) != rest {
            return Err(format!("bytes of stream {stream} are wrong, from byte {} on", self.got));
        }
        self.got += rest.len() as u64;
        ledger.checked += bytes.len() as u64;
        let written = ledger.streams[stream as usize].written;
        match self.got > written {
            true => Err(format!("{} bytes of stream {stream} came, {written} were sent", self.got)),
            false => Ok(()),
        }
    }

    fn claim(&mut self, ledger: &mut Ledger) -> Result<(), String> {
        let stream = u64::from_le_bytes(self.head);
        let sent = ledger.streams.get_mut(usize::try_from(stream).unwrap_or(usize::MAX));
        let sent = sent.ok_or_else(|| format!("the first bytes name stream {stream:#x}"))?;
        if std::mem::replace(&mut sent.claimed, true) {
            return Err(format!("stream {stream} came to two readers"));
        }
        self.stream = Some(stream);
        Ok(())
    }

    /// Checks that a stream that was closed has arrived completely.
    pub fn close(&mut self, ledger: &mut Ledger) -> Result<(), String> {
        if self.unchecked || ledger.tainted {
            return Ok(());
        }
        let Some(stream) = self.stream else {
            ledger.empty_received += 1;
            return match self.got == 0 && ledger.empty_received <= ledger.empty_sent {
                true => Ok(()),
                false => Err(format!("a close came after {} bytes, but was not sent", self.got)),
            };
        };
        let StreamRecord { written, closed, .. } = ledger.streams[stream as usize];
        match closed && written == self.got {
            true => Ok(()),
            false => Err(format!(
                "the close of stream {stream} came after {} of {written} bytes, closed: {closed}",
                self.got
            )),
        }
    }

    /// The stream's number, once it has arrived.
    pub fn stream(&self) -> Option<u64> {
        self.stream
    }
}
