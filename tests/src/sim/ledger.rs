//! The bytes that plugins send: what they are, how many were taken, and whether all of them came.
//!
//! Each byte of stream *s* comes from a hash of *s* and of the byte's place, but for the first
//! eight, which name *s*. So a reader can check what comes without a copy, wherever it was relayed
//! through.

/// Bytes at the start of each stream that name it.
const HEAD: u64 = 8;

/// One stream of bytes, from one plugin's writing to another one's reading.
#[derive(Debug, Default)]
struct Sent {
    written: u64,
    closed: bool,
    claimed: bool,
}

/// All streams of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    streams: Vec<Sent>,
    /// Closes of ends that had sent nothing, and those that were told to readers of nothing.
    empty_sent: u64,
    empty_told: u64,
    /// Garbage was put into a link, so that wrong bytes may come.
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
        self.streams.push(Sent::default());
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

    /// Bytes of a stream were taken from its writer.
    pub fn written(&mut self, stream: u64, count: u64) {
        self.streams[stream as usize].written += count;
    }

    /// A writer closed its stream, or closed without ever having written.
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

/// One reader's progress.
#[derive(Debug, Default)]
pub struct Reader {
    head: [u8; HEAD as usize],
    stream: Option<u64>,
    /// Bytes that came.
    pub got: u64,
    unchecked: bool,
}

impl Reader {
    /// A reader of bytes that nobody vouches for.
    pub fn unchecked() -> Reader {
        Reader { unchecked: true, ..Reader::default() }
    }

    /// Bytes came.
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

    /// The stream's end was told: all of it must have come.
    pub fn close(&mut self, ledger: &mut Ledger) -> Result<(), String> {
        if self.unchecked || ledger.tainted {
            return Ok(());
        }
        let Some(stream) = self.stream else {
            ledger.empty_told += 1;
            return match self.got == 0 && ledger.empty_told <= ledger.empty_sent {
                true => Ok(()),
                false => Err(format!("a close came after {} bytes, nobody sent that", self.got)),
            };
        };
        let Sent { written, closed, .. } = ledger.streams[stream as usize];
        match closed && written == self.got {
            true => Ok(()),
            false => Err(format!(
                "the close of stream {stream} came after {} of {written} bytes, closed: {closed}",
                self.got
            )),
        }
    }

    /// The stream that comes, once its name has come.
    pub fn stream(&self) -> Option<u64> {
        self.stream
    }
}
