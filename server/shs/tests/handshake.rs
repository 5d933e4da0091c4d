//! What the handshake refuses, and what it never keeps.
#![allow(clippy::expect_used, clippy::unwrap_used)] // Helpers of tests may panic as well.

mod pair;

use pair::{NETWORK, accept, acceptor, dial, dialler, ephemeral, give, messages};
use trunkline_shs::{Ephemeral, Error, Handshake, Identity, Misuse, Progress};

/// X25519 public keys with which every shared secret is zero: the points of low order and their
/// encodings that are not canonical.
const LOW_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// Ed25519 public keys of low order (of order 1, 2, 4 and 8).
const LOW_ORDER_LONG_TERM: [&str; 4] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
];

fn unhex(text: &str) -> [u8; 32] {
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

/// The authenticator and the key: what message 1 and 2 are, made by libsodium.
fn greeting(ephemeral: &[u8; 32]) -> Vec<u8> {
    let key = libsodium_rs::crypto_auth::Key::from_slice(&NETWORK).unwrap();
    let mac = libsodium_rs::crypto_auth::auth(ephemeral, &key).unwrap();
    [mac.as_bytes(), &ephemeral[..]].concat()
}

#[test]
fn every_flipped_bit_of_every_message_is_refused_without_an_answer() {
    let good = messages();
    for (number, message) in good.iter().enumerate() {
        for bit in 0..message.len() * 8 {
            let mut bad = message.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let mut end = ready_for(number, &good);
            let mut output = Vec::new();
            let error = end.receive(&mut &bad[..], &mut output).expect_err("a flipped bit passed");
            let expected = [Error::Network, Error::Network, Error::Hello, Error::Answer][number];
            assert_eq!(error, expected, "bit {bit} of message {}", number + 1);
            assert!(output.is_empty(), "bit {bit} of message {} was answered", number + 1);
            assert_eq!(end.receive(&mut &good[0][..], &mut output).unwrap_err(), expected);
            assert!(output.is_empty(), "a failed handshake went on");
        }
    }
}

/// The end that expects the message with this number, counted from 0.
fn ready_for(number: usize, good: &[Vec<u8>; 4]) -> Handshake {
    let mut end = if number.is_multiple_of(2) { accept() } else { dial().0 };
    if number >= 2 {
        let _ = give(&mut end, &good[number - 2]).expect("a good message");
    }
    end
}

#[test]
fn another_network_is_refused_at_the_first_message() {
    let (_, first) = dial();
    let mut other = Handshake::accept(&[0x4f; 32], &acceptor(), ephemeral(4));
    assert_eq!(give(&mut other, &first).unwrap_err(), Error::Network);
}

#[test]
fn a_dialler_with_the_wrong_key_for_the_server_gets_no_answer() {
    let wrong = Identity::from_seed(&[9; 32]);
    let mut first = Vec::new();
    let mut dialler =
        Handshake::dial(&NETWORK, &dialler(), wrong.public(), ephemeral(3), &mut first).unwrap();
    let mut acceptor = accept();
    let (_, second) = give(&mut acceptor, &first).unwrap();
    let (_, third) = give(&mut dialler, &second).unwrap();
    assert_eq!(give(&mut acceptor, &third).unwrap_err(), Error::Hello);
}

#[test]
fn a_server_without_the_key_cannot_answer() {
    let (mut dialler, first) = dial();
    let mut impostor = Handshake::accept(&NETWORK, &Identity::from_seed(&[9; 32]), ephemeral(4));
    let (_, second) = give(&mut impostor, &first).unwrap();
    let (_, third) = give(&mut dialler, &second).unwrap();
    assert_eq!(give(&mut impostor, &third).unwrap_err(), Error::Hello);
    // Whatever the acceptor sends instead of message 4 is refused.
    assert_eq!(give(&mut dialler, &[0; 80]).unwrap_err(), Error::Answer);
}

#[test]
fn messages_of_an_earlier_handshake_are_refused() {
    let old = messages();
    let mut acceptor = Handshake::accept(&NETWORK, &acceptor(), ephemeral(7));
    let _ = give(&mut acceptor, &old[0]).expect("message 1 holds nothing that is new");
    assert_eq!(give(&mut acceptor, &old[2]).unwrap_err(), Error::Hello, "message 3");
    let mut dialler = Handshake::dial(
        &NETWORK,
        &dialler(),
        pair::acceptor().public(),
        ephemeral(8),
        &mut Vec::new(),
    )
    .unwrap();
    let _ = give(&mut dialler, &old[1]).expect("message 2 holds nothing that is new");
    assert_eq!(give(&mut dialler, &old[3]).unwrap_err(), Error::Answer, "message 4");
}

#[test]
fn ephemeral_keys_of_low_order_are_refused_without_an_answer() {
    for text in LOW_ORDER {
        let message = greeting(&unhex(text));
        let mut output = Vec::new();
        let error = accept().receive(&mut &message[..], &mut output).unwrap_err();
        assert_eq!(error, Error::LowOrder, "the acceptor took {text}");
        let error = dial().0.receive(&mut &message[..], &mut output).unwrap_err();
        assert_eq!(error, Error::LowOrder, "the dialler took {text}");
        assert!(output.is_empty(), "{text} was answered");
    }
}

#[test]
fn a_server_key_of_low_order_cannot_be_dialled() {
    for text in LOW_ORDER_LONG_TERM {
        let mut output = Vec::new();
        let dialled =
            Handshake::dial(&NETWORK, &dialler(), &unhex(text), ephemeral(3), &mut output);
        assert_eq!(dialled.map(|_| ()).unwrap_err(), Error::PeerKey, "{text}");
        assert!(output.is_empty(), "{text} was dialled");
    }
}

#[test]
fn messages_may_arrive_byte_by_byte() {
    let [first, second, third, fourth] = messages();
    let (mut dialler, _) = dial();
    let mut acceptor = accept();
    let mut output = Vec::new();
    for byte in first {
        let progress = acceptor.receive(&mut &[byte][..], &mut output).unwrap();
        assert!(matches!(progress, Progress::Waiting));
    }
    assert_eq!(output, second);
    output.clear();
    for byte in second {
        let _ = dialler.receive(&mut &[byte][..], &mut output).unwrap();
    }
    assert_eq!(output, third);
    for (i, byte) in third.iter().enumerate() {
        let progress = acceptor.receive(&mut &[*byte][..], &mut Vec::new()).unwrap();
        assert_eq!(matches!(progress, Progress::Asks(_)), i == 111, "after byte {i}");
    }
    for (i, byte) in fourth.iter().enumerate() {
        let progress = dialler.receive(&mut &[*byte][..], &mut Vec::new()).unwrap();
        assert_eq!(matches!(progress, Progress::Done(_)), i == 79, "after byte {i}");
    }
}

#[test]
fn nothing_behind_the_handshake_is_taken() {
    let [first, second, third, fourth] = messages();
    let behind = [0xee; 5000];
    let mut acceptor = accept();
    let _ = give(&mut acceptor, &first).unwrap();
    let bytes = [&third[..], &behind].concat();
    let mut rest = &bytes[..];
    for _ in 0..3 {
        let progress = acceptor.receive(&mut rest, &mut Vec::new()).unwrap();
        assert!(matches!(progress, Progress::Asks(key) if key == *dialler().public()));
        assert_eq!(rest, behind, "the acceptor took more than message 3 before it decided");
    }
    let (mut dialler, _) = dial();
    let _ = give(&mut dialler, &second).unwrap();
    let bytes = [&fourth[..], &behind].concat();
    let mut rest = &bytes[..];
    assert!(matches!(dialler.receive(&mut rest, &mut Vec::new()), Ok(Progress::Done(_))));
    assert_eq!(rest, behind, "the dialler took more than message 4");
    assert!(matches!(dialler.receive(&mut rest, &mut Vec::new()), Ok(Progress::Waiting)));
    assert_eq!(rest, behind, "a finished handshake took bytes");
}

#[test]
fn a_half_open_handshake_is_far_below_4_kib() {
    // It has no allocation of its own.
    assert!(size_of::<Handshake>() <= 2048, "{} bytes", size_of::<Handshake>());
}

#[test]
fn only_a_peer_that_asks_can_be_admitted_and_only_once() {
    let good = messages();
    let mut output = Vec::new();
    let mut acceptor = accept();
    assert_eq!(acceptor.admit(&mut output).unwrap_err(), Misuse::NoPeerWaits);
    let _ = give(&mut acceptor, &good[0]).unwrap();
    assert_eq!(acceptor.admit(&mut output).unwrap_err(), Misuse::NoPeerWaits);
    let _ = give(&mut acceptor, &good[2]).unwrap();
    assert!(output.is_empty());
    assert!(acceptor.admit(&mut output).is_ok(), "misuse must not end the handshake");
    assert_eq!(output, good[3]);
    assert_eq!(acceptor.admit(&mut output).unwrap_err(), Misuse::NoPeerWaits);
    let (mut dialler, _) = dial();
    assert_eq!(dialler.admit(&mut output).unwrap_err(), Misuse::NoPeerWaits);
    assert!(dialler.sealer().is_none(), "there is no key before message 2");
}

#[test]
fn each_session_has_other_keys() {
    let (dialled, _) = pair::sessions();
    let mut acceptor = Handshake::accept(&NETWORK, &acceptor(), Ephemeral::from_secret(&[5; 32]));
    let (mut dialler, first) = dial();
    let (_, second) = give(&mut acceptor, &first).unwrap();
    let _ = give(&mut dialler, &second).unwrap();
    let other = dialler.sealer().expect("message 2 makes the keys").export();
    assert_ne!(dialled.sealer.export().0, other.0);
    assert_ne!(dialled.sealer.export().0, dialled.opener.export().0, "one key for each direction");
}
