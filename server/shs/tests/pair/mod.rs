//! Two ends of a handshake in one process, for the tests of this crate.
#![allow(dead_code, clippy::expect_used)] // Each test file uses its part of it.

use trunkline_shs::{Ephemeral, Error, Handshake, Identity, NetworkId, Progress, Session};

/// The network of the tests.
pub(crate) const NETWORK: NetworkId = [0x4e; 32];

/// A pseudo-random generator (xorshift), so that every failure can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    /// This many bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.number() as u8).collect()
    }

    /// As many bytes as an array has.
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.number() as u8)
    }
}

/// The dialler's identity.
pub(crate) fn dialler() -> Identity {
    Identity::from_seed(&[1; 32])
}

/// The acceptor's identity.
pub(crate) fn acceptor() -> Identity {
    Identity::from_seed(&[2; 32])
}

/// An ephemeral key that is the same each time.
pub(crate) fn ephemeral(number: u8) -> Ephemeral {
    Ephemeral::from_secret(&[number; 32])
}

/// A dialler and message 1.
pub(crate) fn dial() -> (Handshake, Vec<u8>) {
    let mut message = Vec::new();
    let dial =
        Handshake::dial(&NETWORK, &dialler(), acceptor().public(), ephemeral(3), &mut message);
    (dial.expect("the acceptor's key is good"), message)
}

/// An acceptor.
pub(crate) fn accept() -> Handshake {
    Handshake::accept(&NETWORK, &acceptor(), ephemeral(4))
}

/// Gives all of `input`; returns the bytes that are sent in return.
pub(crate) fn give(to: &mut Handshake, input: &[u8]) -> Result<(Progress, Vec<u8>), Error> {
    let mut output = Vec::new();
    let mut rest = input;
    let progress = to.receive(&mut rest, &mut output)?;
    assert!(rest.is_empty(), "{} bytes of the handshake were left", rest.len());
    Ok((progress, output))
}

/// The four messages of the handshake between the two.
pub(crate) fn messages() -> [Vec<u8>; 4] {
    let (mut dialler, first) = dial();
    let mut acceptor = accept();
    let (_, second) = give(&mut acceptor, &first).expect("message 1 is good");
    let (_, third) = give(&mut dialler, &second).expect("message 2 is good");
    let (progress, none) = give(&mut acceptor, &third).expect("message 3 is good");
    assert!(matches!(progress, Progress::Asks(_)) && none.is_empty(), "the acceptor asks first");
    let mut fourth = Vec::new();
    acceptor.admit(&mut fourth).expect("the dialler has asked");
    [first, second, third, fourth]
}

/// Both ends of a session: the dialler's and the acceptor's.
pub(crate) fn sessions() -> (Session, Session) {
    let (mut dialler, first) = dial();
    let mut acceptor = accept();
    let (_, second) = give(&mut acceptor, &first).expect("message 1 is good");
    let (_, third) = give(&mut dialler, &second).expect("message 2 is good");
    let _ = give(&mut acceptor, &third).expect("message 3 is good");
    let mut fourth = Vec::new();
    let accepted = acceptor.admit(&mut fourth).expect("the dialler has asked");
    match give(&mut dialler, &fourth).expect("message 4 is good").0 {
        Progress::Done(dialled) => (dialled, accepted),
        other => panic!("the dialler is not done after message 4 but {other:?}"),
    }
}
