//! Frames, and what they hold: control messages, prefaces and answers.

use crate::Script;
use crate::words::{self, Words};
use std::fmt::Debug;
use trunkline_core::control::{
    Answer, FrameReader, FrameTooLong, LENGTH_BYTES, Message, Preface, Role,
};

/// Bytes that are read, or messages that are written and read again.
pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    match script.below(5) {
        0 => read_message(script.rest()),
        1 => read_preface(script.rest()),
        2 => read_answer(script.rest()),
        3 => cut_frames(&mut script),
        _ => write_and_read(&mut script),
    }
}

fn body(frame: &[u8]) -> &[u8] {
    let (length, body) = frame.split_at(LENGTH_BYTES);
    assert_eq!(length, (body.len() as u32).to_be_bytes(), "the length stands in front");
    body
}

/// What can be read can be written, and stays the same from then on. A part of it may not be
/// written: addresses beyond what a field holds.
fn read_message(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else { return };
    let frame = message.frame();
    let again = Message::decode(body(&frame));
    assert_eq!(again.map(|again| again.frame()).ok(), Some(frame), "{message:?}");
}

fn read_preface(bytes: &[u8]) {
    let Ok(preface) = Preface::decode(bytes) else { return };
    let frame = preface.frame();
    let again = Preface::decode(body(&frame));
    assert_eq!(again.map(|again| again.frame()).ok(), Some(frame), "{preface:?}");
}

fn read_answer(bytes: &[u8]) {
    let Ok(answer) = Answer::decode(bytes) else { return };
    let frame = answer.frame();
    let again = Answer::decode(body(&frame));
    assert_eq!(again.map(|again| again.frame()).ok(), Some(frame), "{answer:?}");
}

/// All frames of these bytes, and whether a too long one ends them.
fn frames(reader: &mut FrameReader, bytes: &[u8], found: &mut Vec<Vec<u8>>) -> bool {
    let mut input = bytes;
    loop {
        match reader.read(&mut input) {
            Ok(Some(frame)) => found.push(frame.as_slice().to_vec()),
            Ok(None) => {
                assert!(input.is_empty(), "{} bytes are left unread", input.len());
                return true;
            }
            Err(FrameTooLong { announced, limit }) => {
                assert!(announced as usize > limit, "{announced} bytes are within {limit}");
                return false;
            }
        }
    }
}

/// Frames are the same wherever the bytes are cut.
fn cut_frames(script: &mut Script<'_>) {
    let limit = script.below(300);
    let (mut cuts, bytes) = (script.cuts(), script.rest());
    let (mut whole, mut pieces) = (FrameReader::new(limit), FrameReader::new(limit));
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    let complete = frames(&mut whole, bytes, &mut expected);
    let mut goes_on = true;
    cuts.pieces(bytes, |piece| {
        goes_on = frames(&mut pieces, piece, &mut found);
        goes_on
    });
    assert_eq!((&found, goes_on), (&expected, complete), "the cuts make no difference");
    assert!(expected.iter().all(|frame| frame.len() <= limit));
    let used: usize = expected.iter().map(|frame| LENGTH_BYTES + frame.len()).sum();
    assert!(!complete || whole.in_frame() == (used < bytes.len()), "a frame has begun, or not");
}

/// What is written is read as it was, also with a field that only a later version knows; and it is
/// an error when its end is missing.
fn write_and_read(script: &mut Script<'_>) {
    let (kind, cut) = (script.below(4), script.below(4096));
    let length = script.below(24);
    let extra = script.bytes(length);
    let mut words = Words { script, tickets: &[], streams: &[] };
    match kind {
        0 => {
            let who = words.script.pick(&words::HOSTILE);
            let role = words.script.pick(&[Role::Server, Role::Host, Role::Command]);
            let hello = Message::Hello(words.hello(words::key(who), role));
            round_trip(&hello, &hello.frame(), Message::decode, extra);
            cut_short(&hello.frame(), Message::decode, cut);
        }
        1 => {
            let message = words.message();
            round_trip(&message, &message.frame(), Message::decode, extra);
            if !matches!(message, Message::Other(_)) {
                cut_short(&message.frame(), Message::decode, cut);
            }
        }
        2 => {
            let preface = words.preface();
            round_trip(&preface, &preface.frame(), Preface::decode, extra);
            if !matches!(preface, Preface::Other(_)) {
                cut_short(&preface.frame(), Preface::decode, cut);
            }
        }
        _ => {
            let answer = words.answer();
            round_trip(&answer, &answer.frame(), Answer::decode, extra);
            cut_short(&answer.frame(), Answer::decode, cut);
        }
    }
}

fn round_trip<T: PartialEq + Debug, E>(
    said: &T,
    frame: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    extra: &[u8],
) {
    let body = body(frame);
    assert_eq!(decode(body).ok().as_ref(), Some(said), "it is read as it was written");
    let newer = decode(&with_field(body, extra)).ok();
    assert_eq!(newer.as_ref(), Some(said), "a field of a later version is skipped");
}

fn cut_short<T: Debug, E>(frame: &[u8], decode: impl Fn(&[u8]) -> Result<T, E>, cut: usize) {
    let body = body(frame);
    let end = cut % body.len();
    let taken = decode(&body[..end]).ok();
    assert!(taken.is_none(), "{end} of {} bytes are taken for {taken:?}", body.len());
}

/// A message with one field more: number 99, which holds these bytes, at most 23.
fn with_field(body: &[u8], value: &[u8]) -> Vec<u8> {
    // An array of two, the kind in at most 9 bytes, and a map of fewer than 23 fields.
    let at = 1 + match body[1] {
        0x18 => 2,
        0x19 => 3,
        0x1a => 5,
        0x1b => 9,
        _ => 1,
    };
    let mut newer = body.to_vec();
    assert_eq!(newer[at] & 0xe0, 0xa0, "the body of a message is a map");
    newer[at] += 1;
    newer.extend([0x18, 99, 0x40 | value.len() as u8]);
    newer.extend_from_slice(value);
    newer
}
