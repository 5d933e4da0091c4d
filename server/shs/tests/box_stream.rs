//! What a box stream carries, and what it refuses.
#![allow(clippy::expect_used, clippy::unwrap_used)] // Helpers of tests may panic as well.

mod pair;

use libsodium_rs::crypto_secretbox;
use pair::{Random, accept, dial, give, sessions};
use trunkline_shs::sealed_len;
use trunkline_shs::{BODY_MAX, Error, HEADER, Misuse, Opened, Opener, Progress, Reader, Sealer};

const KEY: [u8; 32] = [0x6b; 32];
const NONCE: [u8; 24] = [0x6e; 24];

fn ends() -> (Sealer, Opener) {
    (Sealer::new(&KEY, &NONCE), Opener::new(&KEY, &NONCE))
}

/// Everything that `bytes` contain, given in pieces of at most `piece` bytes.
fn read(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Reader), Error> {
    let mut reader = Reader::from(ends().1);
    let mut bodies = Vec::new();
    for chunk in bytes.chunks(piece) {
        let mut chunk = chunk.to_vec();
        let mut at = 0;
        loop {
            let (used, opened) = reader.next(&mut chunk[at..])?;
            at += used;
            match opened {
                Opened::Body(body) => bodies.extend_from_slice(body),
                Opened::Goodbye => {}
                Opened::Waiting => break,
            }
        }
        assert_eq!(at, chunk.len(), "a waiting reader takes all that it is given");
        assert!(reader.kept() < BODY_MAX, "less than a body is kept");
    }
    Ok((bodies, reader))
}

/// A frame as libsodium makes it, with any header, even one that no sealer makes.
fn forged(number: u8, length: u16, body: &[u8]) -> Vec<u8> {
    let boxed = secretbox(body, 2 * number + 1);
    let header = [&length.to_be_bytes()[..], &boxed[..16]].concat();
    [&secretbox(&header, 2 * number)[..], &boxed[16..]].concat()
}

fn secretbox(plain: &[u8], after: u8) -> Vec<u8> {
    let mut nonce = NONCE;
    nonce[23] += after;
    let key = crypto_secretbox::Key::from_bytes(&KEY).unwrap();
    let nonce = crypto_secretbox::Nonce::try_from_slice(&nonce).unwrap();
    crypto_secretbox::seal(plain, &nonce, &key)
}

#[test]
fn random_lengths_arrive_in_pieces_of_any_size() {
    let mut random = Random(0x5eed);
    for round in 0..60 {
        let length = random.below(3 * BODY_MAX);
        let plain = random.bytes(length);
        let (mut sealer, _) = ends();
        let mut wire = Vec::new();
        for part in plain.chunks(1 + random.below(2 * BODY_MAX)) {
            let before = wire.len();
            sealer.append(part, &mut wire).unwrap();
            assert_eq!(wire.len() - before, sealed_len(part.len()));
        }
        wire.extend_from_slice(&sealer.goodbye().unwrap());
        let piece = 1 + random.below(if round < 20 { 40 } else { 2 * BODY_MAX });
        let (bodies, reader) = read(&wire, piece).unwrap();
        assert!(bodies == plain, "round {round}: {length} bytes in pieces of {piece}");
        assert_eq!(reader.end(), Ok(()));
    }
}

#[test]
fn the_three_ways_to_seal_make_the_same_bytes() {
    let mut random = Random(7);
    for length in [1, 2, 31, 32, 33, 64, 1000, BODY_MAX] {
        let body = random.bytes(length);
        let mut appended = vec![0xaa];
        ends().0.append(&body, &mut appended).unwrap();
        let mut in_place = [&[0xcc; HEADER][..], &body].concat();
        ends().0.seal_in_place(&mut in_place).unwrap();
        let mut frame = vec![0xdd; length + HEADER + 3];
        assert_eq!(ends().0.seal(&body, &mut frame), Ok(length + HEADER));
        assert!(appended[1..] == in_place[..], "append and seal_in_place, {length} bytes");
        assert!(frame[..length + HEADER] == in_place[..], "seal and seal_in_place");
        assert_eq!(frame[length + HEADER..], [0xdd; 3], "seal wrote behind the frame");
        assert!(in_place == forged(0, length as u16, &body), "what libsodium makes");
    }
}

#[test]
fn slices_that_are_joined_are_sealed_as_one() {
    let bytes = Random(9).bytes(2 * BODY_MAX + 100);
    for cuts in [[0, 0], [0, 16], [1, BODY_MAX], [BODY_MAX, BODY_MAX + 1], [16, bytes.len()]] {
        let [first, second] = cuts;
        let slices = [&bytes[..first], &bytes[first..second], &bytes[second..]];
        let (mut joined, mut whole) = (Vec::new(), Vec::new());
        ends().0.append_joined(&slices, &mut joined).unwrap();
        ends().0.append(&bytes, &mut whole).unwrap();
        assert!(joined == whole, "cut at {cuts:?}, the frames are others");
    }
}

#[test]
fn a_session_carries_both_directions() {
    let (mut dialled, mut accepted) = sessions();
    for (from, to) in [(true, "there"), (false, "back")] {
        let (sender, receiver) = match from {
            true => (&mut dialled, &mut accepted),
            false => (&mut accepted, &mut dialled),
        };
        let mut wire = Vec::new();
        sender.sealer.append(to.as_bytes(), &mut wire).unwrap();
        let (used, opened) = receiver.opener.open(&mut wire).unwrap();
        assert_eq!((used, opened), (HEADER + to.len(), Opened::Body(&mut to.as_bytes().to_vec())));
    }
}

#[test]
fn data_rides_with_messages_3_and_4() {
    let (mut dialler, first) = dial();
    let mut acceptor = accept();
    let (_, second) = give(&mut acceptor, &first).unwrap();
    let (_, mut read) = give(&mut dialler, &second).unwrap();
    dialler.sealer().expect("the keys are known").append(b"early", &mut read).unwrap();
    // One read of the acceptor holds message 3 and the first frame.
    let mut rest = &read[..];
    assert!(matches!(acceptor.receive(&mut rest, &mut Vec::new()), Ok(Progress::Asks(_))));
    let mut frames = rest.to_vec();
    let mut fourth = Vec::new();
    let mut accepted = acceptor.admit(&mut fourth).unwrap();
    let (_, opened) = accepted.opener.open(&mut frames).unwrap();
    assert_eq!(opened, Opened::Body(&mut b"early".to_vec()));
    accepted.sealer.append(b"answer", &mut fourth).unwrap();
    // One read of the dialler holds message 4 and a frame, and its sealer continues where it was.
    let mut rest = &fourth[..];
    let Ok(Progress::Done(mut dialled)) = dialler.receive(&mut rest, &mut Vec::new()) else {
        panic!("message 4 is good")
    };
    let mut frames = rest.to_vec();
    assert_eq!(dialled.opener.open(&mut frames).unwrap().1, Opened::Body(&mut b"answer".to_vec()));
    let mut more = Vec::new();
    dialled.sealer.append(b"more", &mut more).unwrap();
    let (_, opened) = accepted.opener.open(&mut more).unwrap();
    assert_eq!(opened, Opened::Body(&mut b"more".to_vec()));
}

#[test]
fn every_flipped_bit_of_a_frame_is_refused() {
    let body = [0x62; 40];
    let mut good = Vec::new();
    ends().0.append(&body, &mut good).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let mut opener = ends().1;
        let expected = if bit < HEADER * 8 { Error::Header } else { Error::Body };
        assert_eq!(opener.open(&mut bad), Err(expected), "bit {bit}");
        // It does not continue, not even with bytes that would have been right.
        assert_eq!(opener.open(&mut good.clone()), Err(expected), "after bit {bit}");
        assert_eq!(opener.open(&mut []), Err(expected), "after bit {bit}");
    }
}

#[test]
fn a_replayed_a_skipped_and_a_swapped_frame_are_refused() {
    let mut sealer = ends().0;
    let frames: Vec<Vec<u8>> = (0..12_u8)
        .map(|i| {
            let mut frame = Vec::new();
            sealer.append(&[i; 10], &mut frame).unwrap();
            frame
        })
        .collect();
    // More frames than headers are prepared at once.
    for expected in 0..frames.len() {
        for (given, frame) in frames.iter().enumerate() {
            let mut opener = ends().1;
            for frame in &frames[..expected] {
                opener.open(&mut frame.clone()).unwrap();
            }
            let result = opener.open(&mut frame.clone()).map(|(used, _)| used);
            let right = if given == expected { Ok(frame.len()) } else { Err(Error::Header) };
            assert_eq!(result, right, "frame {given} in place of {expected}");
        }
    }
}

#[test]
fn a_frame_of_the_other_direction_is_refused() {
    let (mut dialled, _) = sessions();
    let mut wire = Vec::new();
    dialled.sealer.append(b"reflected", &mut wire).unwrap();
    assert_eq!(dialled.opener.open(&mut wire), Err(Error::Header));
}

#[test]
fn a_cut_at_every_byte_is_seen() {
    let mut sealer = ends().0;
    let mut wire = Vec::new();
    sealer.append(&[5; 50], &mut wire).unwrap();
    sealer.append(&[6; 7], &mut wire).unwrap();
    wire.extend_from_slice(&sealer.goodbye().unwrap());
    for cut in 0..wire.len() {
        for piece in [1, 1000] {
            let (_, reader) = read(&wire[..cut], piece).unwrap();
            assert_eq!(reader.end(), Err(Error::Truncated), "cut after {cut} bytes");
        }
    }
    assert_eq!(read(&wire, 1).unwrap().1.end(), Ok(()));
}

#[test]
fn a_body_of_4097_is_refused_before_it_comes() {
    for (length, expected) in [(4097, Error::BodyTooLong(4097)), (65535, Error::BodyTooLong(65535))]
    {
        let frame = forged(0, length, &vec![0; usize::from(length)]);
        let mut opener = ends().1;
        assert_eq!(opener.open(&mut frame[..HEADER].to_vec()), Err(expected));
        assert_eq!(read(&frame, 1).map(|_| ()), Err(expected));
    }
    let frame = forged(0, 4096, &[0; 4096]);
    assert_eq!(read(&frame, 100).unwrap().0, [0; 4096]);
    let mut sealer = ends().0;
    let mut room = vec![0; 9000];
    assert_eq!(sealer.seal(&[0; 4097], &mut room), Err(Misuse::BodyLength(4097)));
    assert_eq!(sealer.seal_in_place(&mut room), Err(Misuse::BodyLength(9000 - HEADER)));
}

#[test]
fn an_empty_frame_is_legal_and_authenticated() {
    let mut wire = forged(0, 0, &[]);
    wire.extend_from_slice(&forged(1, 2, b"ok"));
    let mut opener = ends().1;
    let mut bytes = wire.clone();
    assert_eq!(opener.open(&mut bytes), Ok((HEADER, Opened::Body(&mut []))));
    assert_eq!(opener.open(&mut bytes[HEADER..]).unwrap().1, Opened::Body(&mut b"ok".to_vec()));
    for piece in 1..wire.len() {
        assert_eq!(read(&wire, piece).unwrap().0, b"ok", "pieces of {piece}");
    }
    // The tag of another body.
    let header = [&[0, 0][..], &secretbox(b"other", 1)[..16]].concat();
    assert_eq!(ends().1.open(&mut secretbox(&header, 0)), Err(Error::Body));
    // A sealer makes none.
    assert_eq!(ends().0.seal(&[], &mut [0; 40]), Err(Misuse::BodyLength(0)));
}

#[test]
fn nothing_may_follow_goodbye() {
    let mut sealer = ends().0;
    let mut wire = sealer.goodbye().unwrap().to_vec();
    assert_eq!(sealer.append(b"x", &mut wire), Err(Misuse::AfterGoodbye));
    assert_eq!(sealer.seal(b"x", &mut [0; 40]), Err(Misuse::AfterGoodbye));
    assert_eq!(sealer.goodbye(), Err(Misuse::AfterGoodbye));
    assert_eq!(wire.len(), HEADER);
    let mut opener = ends().1;
    assert_eq!(opener.open(&mut wire), Ok((HEADER, Opened::Goodbye)));
    assert_eq!(opener.open(&mut []), Ok((0, Opened::Waiting)));
    assert_eq!(opener.end(), Ok(()));
    let mut after = forged(1, 1, b"x");
    assert_eq!(opener.open(&mut after), Err(Error::AfterGoodbye));
    assert_eq!(opener.end(), Err(Error::AfterGoodbye));
    for piece in [1, 34, 35, 100] {
        let both = [&wire[..0], &ends().0.goodbye().unwrap(), &after].concat();
        assert_eq!(read(&both, piece).map(|_| ()), Err(Error::AfterGoodbye), "pieces of {piece}");
    }
}

#[test]
fn a_sealer_that_refuses_has_changed_nothing() {
    let (mut sealer, mut opener) = ends();
    let mut frame = [0; 40];
    assert_eq!(sealer.seal(&[1; 20], &mut frame), Err(Misuse::Room(40)));
    assert_eq!(sealer.seal(&[], &mut frame), Err(Misuse::BodyLength(0)));
    assert_eq!(sealer.seal_in_place(&mut frame[..20]), Err(Misuse::Room(20)));
    assert_eq!(frame, [0; 40]);
    assert_eq!(sealer.seal(&[1; 6], &mut frame), Ok(40));
    assert_eq!(opener.open(&mut frame), Ok((40, Opened::Body(&mut [1; 6]))));
}

#[test]
fn an_opener_never_waits_for_more_than_a_frame() {
    let mut random = Random(99);
    for _ in 0..200 {
        let mut opener = ends().1;
        let mut garbage = random.bytes(HEADER);
        assert_eq!(opener.needed(), HEADER);
        assert_eq!(opener.open(&mut garbage), Err(Error::Header));
    }
}
