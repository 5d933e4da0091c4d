//! Streams of calls: messages that are cut into pieces and put together again.

use crate::Script;
use crate::script::Cuts;
use std::collections::BTreeSet;
use trunkline_core::calls::{
    CallMessage, CallReader, CallSender, CallSide, CallViolation, Kind, MESSAGE_COST, PIECE_MAX,
};

/// Bytes of the header of a piece.
const HEADER: u64 = 7;

/// Calls of a run: more of them only take longer.
const CALLS: u32 = 16;

/// Room that is never short.
const PLENTY: u64 = 1 << 40;

/// Bytes of a peer, or messages that we write and read again.
pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    match script.below(3) {
        0 => cut_bytes(&mut script),
        1 => little_room(&mut script),
        _ => send_and_read(&mut script),
    }
}

/// One end of a stream of calls. A caller knows its calls, a callee the requests that arrived.
struct End {
    side: CallSide,
    reader: CallReader,
    open: BTreeSet<u32>,
    longest: usize,
    room: u64,
}

impl End {
    fn new(side: CallSide, longest: usize, room: u64) -> End {
        let open = match side {
            CallSide::Caller => (1..=4).collect(),
            CallSide::Callee => BTreeSet::new(),
        };
        End { side, reader: CallReader::new(side), open, longest, room }
    }

    /// The messages in a piece of bytes.
    fn read(&mut self, piece: &[u8], found: &mut Vec<CallMessage>) -> Result<(), CallViolation> {
        let mut input = piece;
        loop {
            let open = &self.open;
            let is_open = |call| open.contains(&call);
            let read = self.reader.read(&mut input, self.longest, self.room, is_open)?;
            let Some(message) = read else { break };
            self.note(&message);
            found.push(message);
        }
        assert!(input.is_empty(), "{} bytes are left unread", input.len());
        Ok(())
    }

    fn note(&mut self, message: &CallMessage) {
        match (self.side, message) {
            (CallSide::Callee, CallMessage::Whole(Kind::Request, call, _)) => {
                assert!(self.open.insert(*call), "call {call} is asked twice");
            }
            (CallSide::Callee, CallMessage::Whole(Kind::Cancel, call, bytes)) => {
                assert!(bytes.is_empty(), "nothing is said with a cancellation");
                self.reader.forget(*call);
                self.open.remove(call);
            }
            (CallSide::Caller, CallMessage::Whole(_, call, _) | CallMessage::TooMuch(_, call)) => {
                assert!(self.open.remove(call), "an outcome of {call}, for which nobody waits");
            }
            _ => {}
        }
        if let CallMessage::Whole(kind, _, bytes) = message {
            let by_caller = matches!(kind, Kind::Request | Kind::Cancel);
            assert_eq!(
                by_caller,
                self.side == CallSide::Callee,
                "{kind:?} comes from the other side"
            );
            assert!(bytes.len() <= self.longest.max(PIECE_MAX), "{} bytes", bytes.len());
        }
    }

    /// What is kept is within its room, and was said.
    fn check(&self, said: u64) {
        let (held, begun) = (self.reader.held(), self.reader.begun().count() as u64);
        assert!(held <= self.room, "{held} bytes are held, there is room for {}", self.room);
        assert!(held >= begun * MESSAGE_COST, "{begun} messages cost {held} bytes");
        let most = said / HEADER * MESSAGE_COST + said;
        assert!(held <= most, "{held} bytes are held of {said} that were said");
    }
}

fn side(script: &mut Script<'_>) -> CallSide {
    if script.flag() { CallSide::Callee } else { CallSide::Caller }
}

/// Where the bytes are cut makes no difference.
fn cut_bytes(script: &mut Script<'_>) {
    let side = side(script);
    let (mut cuts, bytes) = (script.cuts(), script.rest());
    let longest = PIECE_MAX + 100;
    let (mut whole, mut pieces) =
        (End::new(side, longest, PLENTY), End::new(side, longest, PLENTY));
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    let outcome = whole.read(bytes, &mut expected);
    let mut last = Ok(());
    let mut said = 0;
    cuts.pieces(bytes, |piece| {
        last = pieces.read(piece, &mut found);
        said += piece.len() as u64;
        pieces.check(said);
        last.is_ok()
    });
    assert_eq!((found, last), (expected, outcome), "the cuts make no difference");
    if last.is_ok() {
        assert_eq!(pieces.reader.held(), whole.reader.held());
        assert!(pieces.reader.begun().eq(whole.reader.begun()));
    }
}

/// With little room, what does not fit is told, and nothing is over its bound.
fn little_room(script: &mut Script<'_>) {
    let side = side(script);
    let (longest, room) = (script.below(600), script.below(1200) as u64);
    let mut end = End::new(side, longest, room);
    let (mut cuts, bytes) = (script.cuts(), script.rest());
    let (mut said, mut found) = (0, Vec::new());
    cuts.pieces(bytes, |piece| {
        said += piece.len() as u64;
        let goes_on = end.read(piece, &mut found).is_ok();
        end.check(said);
        goes_on
    });
    for call in end.reader.begun().collect::<Vec<_>>() {
        end.reader.forget(call);
    }
    assert_eq!(end.reader.held(), 0, "what is forgotten costs nothing");
}

/// Messages come out as they went in, or are withdrawn; each of them once.
fn send_and_read(script: &mut Script<'_>) {
    let mut sender = CallSender::default();
    let mut end = End::new(CallSide::Callee, 1 << 20, PLENTY);
    let mut cuts = script.cuts();
    let (mut expected, mut withdrawn) = (Vec::new(), BTreeSet::new());
    let mut found = Vec::new();
    for call in 1..=CALLS {
        if script.is_over() {
            break;
        }
        match script.below(8) {
            0 if call > 1 => {
                let earlier = script.below(call as usize) as u32;
                // One of which the last piece is on its way waits no longer, and arrives.
                if sender.waits(earlier) {
                    withdrawn.insert(earlier);
                }
                sender.withdraw(earlier);
            }
            1..=3 => transfer(&mut sender, &mut end, script.below(70_000), &mut cuts, &mut found),
            _ => {
                let bytes = vec![call as u8; length(script)];
                sender.push(Kind::Request, call, bytes.clone());
                expected.push((call, bytes));
            }
        }
        assert_eq!(
            sender.held() > 0,
            (1..=CALLS).any(|call| sender.waits(call)),
            "held, and waits"
        );
    }
    transfer(&mut sender, &mut end, usize::MAX, &mut cuts, &mut found);
    assert!(sender.is_empty() && sender.held() == 0, "{} bytes are left", sender.held());
    let mut whole: Vec<(u32, Vec<u8>)> = found.into_iter().filter_map(request).collect();
    whole.sort();
    expected.retain(|(call, _)| !withdrawn.contains(call));
    assert_eq!(whole, expected, "each message comes once, as it was sent");
    let begun: BTreeSet<u32> = end.reader.begun().collect();
    assert!(begun.is_subset(&withdrawn), "{begun:?} are begun, {withdrawn:?} were withdrawn");
}

fn length(script: &mut Script<'_>) -> usize {
    match script.byte() {
        small @ 0..=199 => usize::from(small),
        large => (usize::from(large) - 199) * 600 - script.below(3),
    }
}

fn request(message: CallMessage) -> Option<(u32, Vec<u8>)> {
    match message {
        CallMessage::Whole(Kind::Request, call, bytes) => Some((call, bytes)),
        _ => None,
    }
}

/// So many bytes go from the one side to the other.
fn transfer(
    sender: &mut CallSender,
    end: &mut End,
    most: usize,
    cuts: &mut Cuts<'_>,
    found: &mut Vec<CallMessage>,
) {
    let mut left = most;
    while left > 0 {
        let bytes = sender.bytes();
        let bytes = bytes[..bytes.len().min(left)].to_vec();
        if bytes.is_empty() {
            return;
        }
        sender.advance(bytes.len());
        left -= bytes.len();
        cuts.pieces(&bytes, |piece| {
            let read = end.read(piece, found);
            assert_eq!(read, Ok(()), "our own bytes are legal");
            true
        });
    }
}
