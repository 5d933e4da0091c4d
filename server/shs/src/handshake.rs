//! The handshake of both roles: which message is expected, and what follows from it.

use alloc::vec::Vec;
use core::fmt;

use crate::agreement::{self, Direction, PublicKeys, agree};
use crate::messages::{self, ANSWER_BOX, GREETING, HELLO_BOX, Hello};
use crate::primitives::{self, Secret};
use crate::{Ephemeral, Error, Identity, MESSAGE_MAX, Misuse, NetworkId, Opener};
use crate::{PublicKey, Sealer};

/// One handshake, from either end.
pub struct Handshake {
    network: NetworkId,
    us: Identity,
    ephemeral: Ephemeral,
    /// The front of the expected message, whose rest has not arrived yet.
    held: [u8; MESSAGE_MAX],
    held_length: usize,
    state: State,
}

/// The progress of a handshake.
#[derive(Debug)]
#[must_use]
#[allow(clippy::large_enum_variant)] // There is one for each read of a handshake, and none is kept.
pub enum Progress {
    /// All input is used up, and more is needed.
    Waiting,
    /// For the acceptor: the owner of this key asks for the connection. Call [`Handshake::admit`],
    /// or drop the handshake and close without another byte.
    Asks(PublicKey),
    /// Both ends have proved their keys. The rest of the input belongs to the session.
    Done(Session),
}

/// The result of a handshake: the box stream in both directions.
pub struct Session {
    /// Makes the frames of outgoing bytes.
    pub sealer: Sealer,
    /// Opens the frames of incoming bytes.
    pub opener: Opener,
    /// The key of the other end.
    pub peer: PublicKey,
}

enum State {
    /// The dialler has sent message 1.
    Dialled {
        peer: PublicKey,
        peer_curve: [u8; 32],
    },
    /// The dialler has sent message 3, and perhaps frames.
    SaidHello(Proven),
    /// The acceptor has sent nothing yet.
    Listening,
    /// The acceptor has sent message 2.
    Greeted {
        theirs: [u8; 32],
        ab: Secret,
    },
    /// The acceptor knows the dialler's key, and its owner has to decide.
    Asking(Proven),
    /// It is finished or was given up.
    Over,
    Failed(Error),
}

/// What both ends have after message 3.
struct Proven {
    peer: PublicKey,
    hello: Hello,
    ab: Secret,
    k3: Secret,
    session: Session,
}

impl Handshake {
    /// Begins as the dialler, who knows the acceptor's key, and appends message 1 to `output`.
    ///
    /// # Errors
    ///
    /// The peer's key is not a usable ed25519 key.
    pub fn dial(
        network: &NetworkId,
        us: &Identity,
        peer: &PublicKey,
        ephemeral: Ephemeral,
        output: &mut Vec<u8>,
    ) -> Result<Handshake, Error> {
        let peer_curve = primitives::to_curve_public(peer).ok_or(Error::PeerKey)?;
        output.extend_from_slice(&messages::greeting(network, &ephemeral.public));
        let state = State::Dialled { peer: *peer, peer_curve };
        Ok(Handshake::new(network, us, ephemeral, state))
    }

    /// Begins as the acceptor, who learns the dialler's key from message 3.
    pub fn accept(network: &NetworkId, us: &Identity, ephemeral: Ephemeral) -> Handshake {
        Handshake::new(network, us, ephemeral, State::Listening)
    }

    /// Takes what the handshake needs from the front of `input`, never more, and appends its
    /// messages to `output`.
    ///
    /// # Errors
    ///
    /// The peer failed. Nothing was appended, and the connection has to be closed.
    pub fn receive(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<Progress, Error> {
        loop {
            match &self.state {
                State::Failed(error) => return Err(*error),
                State::Asking(proven) => return Ok(Progress::Asks(proven.peer)),
                _ => {}
            }
            if !self.hold(input) {
                return Ok(Progress::Waiting);
            }
            let message = self.held;
            let length = core::mem::take(&mut self.held_length);
            match self.step(&message[..length], output) {
                Ok(None) => {}
                Ok(Some(session)) => return Ok(Progress::Done(session)),
                Err(error) => self.state = State::Failed(error),
            }
        }
    }

    /// For the acceptor, after [`Progress::Asks`]: appends message 4 to `output`. Frames may follow
    /// it at once.
    ///
    /// # Errors
    ///
    /// No peer asks.
    pub fn admit(&mut self, output: &mut Vec<u8>) -> Result<Session, Misuse> {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Asking(Proven { hello, ab, k3, session, .. }) => {
                let message = messages::answer(&self.us, &self.network, &hello, &ab, &k3);
                output.extend_from_slice(&message);
                Ok(session)
            }
            other => {
                self.state = other;
                Err(Misuse::NoPeerWaits)
            }
        }
    }

    /// For the dialler, from message 3 on: the sealer for frames that may be sent before message 4
    /// arrives. The session continues with it. Only the right acceptor can open these frames, but
    /// whether it admits us is not known yet.
    pub fn sealer(&mut self) -> Option<&mut Sealer> {
        match &mut self.state {
            State::SaidHello(proven) => Some(&mut proven.session.sealer),
            _ => None,
        }
    }

    fn new(network: &NetworkId, us: &Identity, ephemeral: Ephemeral, state: State) -> Handshake {
        let held = [0; MESSAGE_MAX];
        Handshake { network: *network, us: us.clone(), ephemeral, held, held_length: 0, state }
    }

    /// Moves bytes until the expected message is complete; returns whether it is.
    fn hold(&mut self, input: &mut &[u8]) -> bool {
        let expected = match self.state {
            State::Dialled { .. } | State::Listening => GREETING,
            State::Greeted { .. } => HELLO_BOX,
            State::SaidHello(_) => ANSWER_BOX,
            State::Asking(_) | State::Over | State::Failed(_) => return false,
        };
        let taken = (expected - self.held_length).min(input.len());
        let (front, rest) = input.split_at(taken);
        self.held[self.held_length..self.held_length + taken].copy_from_slice(front);
        self.held_length += taken;
        *input = rest;
        self.held_length == expected
    }

    /// Checks a complete message.
    fn step(&mut self, message: &[u8], output: &mut Vec<u8>) -> Result<Option<Session>, Error> {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Dialled { peer, peer_curve } => {
                let message = message.try_into().map_err(|_| Error::Network)?;
                let proven = self.send_hello(message, peer, &peer_curve, output)?;
                self.state = State::SaidHello(proven);
            }
            State::SaidHello(proven) => {
                let message = message.try_into().map_err(|_| Error::Answer)?;
                let Proven { peer, hello, ab, k3, session } = proven;
                messages::check_answer(message, &peer, &self.network, &hello, &ab, &k3)?;
                return Ok(Some(session));
            }
            State::Listening => {
                let message = message.try_into().map_err(|_| Error::Network)?;
                let theirs = messages::read_greeting(&self.network, message)?;
                let ab = agree(&self.ephemeral.secret, &theirs)?;
                output
                    .extend_from_slice(&messages::greeting(&self.network, &self.ephemeral.public));
                self.state = State::Greeted { theirs, ab };
            }
            State::Greeted { theirs, ab } => {
                let message = message.try_into().map_err(|_| Error::Hello)?;
                self.state = State::Asking(self.receive_hello(message, theirs, ab)?);
            }
            // No message is expected then, so none arrives.
            state @ (State::Asking(_) | State::Over | State::Failed(_)) => self.state = state,
        }
        Ok(None)
    }

    /// The dialler has message 2 and answers with message 3.
    fn send_hello(
        &self,
        message: &[u8; GREETING],
        peer: PublicKey,
        peer_curve: &[u8; 32],
        output: &mut Vec<u8>,
    ) -> Result<Proven, Error> {
        let network = &self.network;
        let theirs = messages::read_greeting(network, message)?;
        let ab = agree(&self.ephemeral.secret, &theirs)?;
        let a_long_b = agree(&self.ephemeral.secret, peer_curve)?;
        let long_a_b = agree(self.us.curve(), &theirs)?;
        let hello = messages::hello(&self.us, network, &peer, &ab);
        let hello_key = agreement::hello_key(network, &ab, &a_long_b);
        let k3 = agreement::answer_key(network, &ab, &a_long_b, &long_a_b);
        let ends = PublicKeys {
            dialler: *self.us.public(),
            acceptor: peer,
            dialler_ephemeral: self.ephemeral.public,
            acceptor_ephemeral: theirs,
        };
        let sending = agreement::to_acceptor(network, &k3, &ends);
        let receiving = agreement::to_dialler(network, &k3, &ends);
        output.extend_from_slice(&messages::seal_hello(&hello, &hello_key));
        Ok(Proven { peer, hello, ab, k3, session: Session::new(peer, &sending, &receiving) })
    }

    /// The acceptor has message 3.
    fn receive_hello(
        &self,
        message: &[u8; HELLO_BOX],
        theirs: [u8; 32],
        ab: Secret,
    ) -> Result<Proven, Error> {
        let network = &self.network;
        let a_long_b = agree(self.us.curve(), &theirs)?;
        let hello_key = agreement::hello_key(network, &ab, &a_long_b);
        let (hello, peer) =
            messages::read_hello(message, &hello_key, network, self.us.public(), &ab)?;
        let peer_curve = primitives::to_curve_public(&peer).ok_or(Error::PeerKey)?;
        let long_a_b = agree(&self.ephemeral.secret, &peer_curve)?;
        let k3 = agreement::answer_key(network, &ab, &a_long_b, &long_a_b);
        let ends = PublicKeys {
            dialler: peer,
            acceptor: *self.us.public(),
            dialler_ephemeral: theirs,
            acceptor_ephemeral: self.ephemeral.public,
        };
        let sending = agreement::to_dialler(network, &k3, &ends);
        let receiving = agreement::to_acceptor(network, &k3, &ends);
        Ok(Proven { peer, hello, ab, k3, session: Session::new(peer, &sending, &receiving) })
    }
}

impl Session {
    fn new(peer: PublicKey, sending: &Direction, receiving: &Direction) -> Session {
        Session {
            sealer: Sealer::new(&sending.key, &sending.nonce),
            opener: Opener::new(&receiving.key, &receiving.nonce),
            peer,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("held", &self.held_length).finish_non_exhaustive()
    }
}
