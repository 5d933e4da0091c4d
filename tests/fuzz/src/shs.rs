//! The handshake and the box stream: bytes of strangers, and sessions that an attacker changes on
//! their way.

use crate::Script;
use crate::script::Cuts;
use crate::words::identity;
use trunkline_shs::{
    BODY_MAX, Ephemeral, HEADER, Handshake, NetworkId, Opened, Opener, Progress, Reader, Sealer,
    Session, keyed_hash,
};

const NETWORK: NetworkId = [7; 32];

/// Bytes that the acceptor has to have as they were sent before it may believe anything: messages
/// 1 and 3.
const TO_ACCEPTOR: usize = 64 + 112;

/// The same for the dialler: messages 2 and 4.
const TO_DIALLER: usize = 64 + 80;

/// Bytes of a stranger, or a session with an attacker on the way.
pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    match script.below(6) {
        0 => stranger(&mut script),
        1 => frames_without_the_key(&mut script),
        _ => session(&mut script),
    }
}

fn ephemeral(number: u8) -> Ephemeral {
    Ephemeral::from_secret(&[number; 32])
}

/// A stranger to the network is told nothing, and is never admitted.
fn stranger(script: &mut Script<'_>) {
    let dials = script.flag();
    let mut first = Vec::new();
    let mut handshake = match dials {
        true => {
            let (us, peer) = (identity(2), identity(3).public());
            let begun = Handshake::dial(&NETWORK, us, peer, ephemeral(9), &mut first);
            begun.expect("the key of a peer that exists")
        }
        false => Handshake::accept(&NETWORK, identity(2), ephemeral(9)),
    };
    let (mut cuts, bytes) = (script.cuts(), script.rest());
    let mut answer = Vec::new();
    cuts.pieces(bytes, |piece| {
        let mut input = piece;
        match handshake.receive(&mut input, &mut answer) {
            Ok(Progress::Waiting) => assert!(input.is_empty(), "it waits, and has not read all"),
            Ok(other) => panic!("bytes of a stranger lead to {other:?}"),
            Err(_) => {
                let again = handshake.receive(&mut &[][..], &mut answer);
                assert!(again.is_err(), "it stays failed");
                return false;
            }
        }
        true
    });
    assert!(answer.is_empty() || knows_the_network(bytes), "{} bytes are told", answer.len());
}

/// Whether a handshake begins with a key that is authenticated by the network's id. A fuzzer may
/// learn one from the comparisons that it watches.
fn knows_the_network(bytes: &[u8]) -> bool {
    let Some((code, rest)) = bytes.split_first_chunk::<32>() else { return false };
    rest.get(..32).is_some_and(|key| keyed_hash(&NETWORK, key) == *code)
}

/// Frames without the key cannot be opened, and no more than one header is kept of them.
fn frames_without_the_key(script: &mut Script<'_>) {
    let mut reader = Reader::from(Opener::new(&[script.byte(); 32], &[script.byte(); 24]));
    let (mut cuts, bytes) = (script.cuts(), script.rest());
    cuts.pieces(bytes, |piece| {
        let mut piece = piece.to_vec();
        match reader.next(&mut piece) {
            Ok((used, Opened::Waiting)) => assert_eq!(used, piece.len(), "it waits for more"),
            Ok((_, opened)) => panic!("bytes without the key are taken for {opened:?}"),
            Err(_) => return false,
        }
        assert!(reader.kept() < HEADER, "{} bytes of a header are kept", reader.kept());
        true
    });
    assert!(reader.end().is_err() && !reader.has_ended(), "there was no goodbye");
}

/// What the attacker does to one direction, at one byte.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    Flip(u8),
    Insert(u8),
    Remove,
    Repeat,
    Cut,
}

/// One direction: what was sent, and what arrives of it.
struct Lane<'a> {
    sent: Vec<u8>,
    arrived: Vec<u8>,
    /// Bytes of `sent` that are on their way no more.
    passed: usize,
    change: Change,
    at: usize,
    cut: bool,
    cuts: Cuts<'a>,
}

impl<'a> Lane<'a> {
    fn new(script: &mut Script<'a>) -> Lane<'a> {
        let change = match script.below(8) {
            1 => Change::Flip(1 << script.below(8)),
            2 => Change::Insert(script.byte()),
            3 => Change::Remove,
            4 => Change::Repeat,
            5 => Change::Cut,
            _ => Change::Nothing,
        };
        let at = script.below(1000);
        let (sent, arrived) = (Vec::new(), Vec::new());
        Lane { sent, arrived, passed: 0, change, at, cut: false, cuts: script.cuts() }
    }

    /// What arrives of the bytes that were sent since.
    fn pass(&mut self) -> Vec<u8> {
        let mut news = Vec::new();
        for at in self.passed..self.sent.len() {
            let byte = self.sent[at];
            match self.change {
                _ if self.cut => {}
                Change::Flip(bit) if at == self.at => news.push(byte ^ bit),
                Change::Insert(more) if at == self.at => news.extend([more, byte]),
                Change::Repeat if at == self.at => news.extend([byte, byte]),
                Change::Remove if at == self.at => {}
                Change::Cut if at == self.at => self.cut = true,
                _ => news.push(byte),
            }
        }
        self.passed = self.sent.len();
        self.arrived.extend_from_slice(&news);
        news
    }

    /// Whether so many bytes have arrived as they were sent.
    fn is_intact(&self, count: usize) -> bool {
        let (sent, arrived) = (self.sent.get(..count), self.arrived.get(..count));
        arrived.is_some() && sent == arrived
    }
}

/// One end, from its first message to its last frame.
enum Stage {
    Shaking(Box<Handshake>),
    Up(Box<(Sealer, Reader)>),
    Failed,
}

struct Side {
    stage: Stage,
    said: Vec<u8>,
    /// The bytes of the lane behind each frame that was said, with those of the bodies by then.
    frames: Vec<(usize, usize)>,
    heard: Vec<u8>,
    goodbye: bool,
}

impl Side {
    fn new(handshake: Handshake) -> Side {
        let (said, heard) = (Vec::new(), Vec::new());
        let stage = Stage::Shaking(Box::new(handshake));
        Side { stage, said, frames: Vec::new(), heard, goodbye: false }
    }

    fn begins(&mut self, session: Session) {
        let Session { sealer, opener, .. } = session;
        self.stage = Stage::Up(Box::new((sealer, Reader::from(opener))));
    }

    fn say(&mut self, length: usize, lane: &mut Lane<'_>) {
        if let Stage::Up(up) = &mut self.stage
            && !up.0.has_ended()
        {
            let body: Vec<u8> = (0..length).map(|n| (self.said.len() + n) as u8).collect();
            up.0.append(&body, &mut lane.sent).expect("nothing was said behind goodbye");
            self.said.extend(body);
            self.frames.push((lane.sent.len(), self.said.len()));
        }
    }

    fn say_goodbye(&mut self, lane: &mut Lane<'_>) {
        if let Stage::Up(up) = &mut self.stage
            && let Ok(goodbye) = up.0.goodbye()
        {
            lane.sent.extend(goodbye);
        }
    }

    /// Takes bytes; says what the handshake answers.
    fn hear(&mut self, piece: &[u8], acceptor: bool, answers: &mut Lane<'_>) {
        let mut rest = piece;
        while let Stage::Shaking(handshake) = &mut self.stage {
            match handshake.receive(&mut rest, &mut answers.sent) {
                Ok(Progress::Waiting) => return assert!(rest.is_empty(), "bytes are left"),
                Ok(Progress::Asks(who)) => {
                    assert!(acceptor && who == *identity(2).public(), "another key asks");
                    let session = handshake.admit(&mut answers.sent).expect("a peer asks");
                    self.begins(session);
                }
                Ok(Progress::Done(session)) => {
                    assert!(!acceptor && session.peer == *identity(3).public());
                    self.begins(session);
                }
                Err(_) => self.stage = Stage::Failed,
            }
        }
        self.open(&mut rest.to_vec());
    }

    fn open(&mut self, bytes: &mut [u8]) {
        let Stage::Up(up) = &mut self.stage else { return };
        let mut input = bytes;
        loop {
            let used = match up.1.next(input) {
                Ok((_, Opened::Waiting)) => break,
                Ok((used, Opened::Body(body))) => {
                    self.heard.extend_from_slice(body);
                    used
                }
                Ok((used, Opened::Goodbye)) => {
                    self.goodbye = true;
                    used
                }
                Err(_) => {
                    self.stage = Stage::Failed;
                    return;
                }
            };
            input = &mut std::mem::take(&mut input)[used..];
        }
        assert!(up.1.kept() < HEADER + BODY_MAX, "{} bytes are kept", up.1.kept());
        assert_eq!(up.1.end().is_ok(), self.goodbye, "the end is in order behind goodbye only");
    }

    fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up(_))
    }
}

/// Two ends that know each other's keys: what arrives was sent, up to the first changed byte.
fn session(script: &mut Script<'_>) {
    let [mut forth, mut back] = [Lane::new(script), Lane::new(script)];
    let (us, peer) = (identity(2), identity(3));
    let dialled =
        Handshake::dial(&NETWORK, us, peer.public(), ephemeral(script.byte()), &mut forth.sent);
    let mut dialler = Side::new(dialled.expect("the key of a peer that exists"));
    let accepted = Handshake::accept(&NETWORK, peer, ephemeral(script.byte()));
    let mut acceptor = Side::new(accepted);
    exchange(&mut dialler, &mut acceptor, &mut forth, &mut back);
    for _ in 0..32 {
        if script.is_over() {
            break;
        }
        let length = script.below(2 * BODY_MAX + 2);
        match script.below(8) {
            0 => dialler.say_goodbye(&mut forth),
            1 => acceptor.say_goodbye(&mut back),
            2..=4 => dialler.say(length, &mut forth),
            _ => acceptor.say(length, &mut back),
        }
        exchange(&mut dialler, &mut acceptor, &mut forth, &mut back);
    }
    check_direction(&dialler, &acceptor, &forth);
    check_direction(&acceptor, &dialler, &back);
}

fn exchange(dialler: &mut Side, acceptor: &mut Side, forth: &mut Lane<'_>, back: &mut Lane<'_>) {
    loop {
        let (there, here) = (forth.pass(), back.pass());
        if there.is_empty() && here.is_empty() {
            break;
        }
        let (mut cuts, mut other) = (forth.cuts.clone(), back.cuts.clone());
        cuts.pieces(&there, |piece| {
            acceptor.hear(piece, true, back);
            true
        });
        other.pieces(&here, |piece| {
            dialler.hear(piece, false, forth);
            true
        });
        let proved = !acceptor.is_up() || forth.is_intact(TO_ACCEPTOR);
        assert!(proved, "the acceptor believes what was changed: {:?}", forth.change);
        let proved = !dialler.is_up() || back.is_intact(TO_DIALLER);
        assert!(proved, "the dialler believes what was changed: {:?}", back.change);
    }
}

/// What one end has heard is what the other one has said, up to the first frame that was changed.
fn check_direction(from: &Side, to: &Side, lane: &Lane<'_>) {
    assert!(from.said.starts_with(&to.heard), "what was not said is heard");
    let intact = |(end, _): &&(usize, usize)| lane.is_intact(*end);
    let said = from.frames.iter().rev().find(intact).map_or(0, |(_, bodies)| *bodies);
    let heard = to.heard.len();
    assert!(heard >= said || !to.is_up(), "{heard} bytes are heard of {said}");
    if lane.is_intact(lane.sent.len()) && from.is_up() {
        assert_eq!(heard, from.said.len(), "all arrived as it was said");
        // A byte that the attacker adds at the end changes nothing of what was sent. Behind
        // goodbye it ends the session nevertheless; elsewhere it may begin a frame.
        let more = lane.arrived.len() > lane.sent.len();
        assert_eq!(to.is_up(), !(more && to.goodbye), "{:?} at {}", lane.change, lane.at);
    }
}
