//! The layer between a connection's bytes and its link: nothing (`noauth`), or Secret Handshake and
//! box stream (`shs`). It does not decide which keys may connect.

use crate::bymux::Outbox;
use crate::key::Key;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use trunkline_shs::{
    BODY_MAX, Ephemeral, Error, Handshake, Identity, MESSAGE_MAX, NetworkId, Opened, Progress,
    Reader, Sealer, Session,
};

/// Bytes that are encrypted at once, before the socket is known to take them. Fifteen frames are
/// enough to amortize a `write(2)`, and are the most that fit in one segment of a TCP connection
/// within the machine. Control can no longer overtake encrypted bytes.
pub(crate) const SEAL_AT_ONCE: usize = 15 * BODY_MAX;

/// How a connection's bytes are protected from its opening on.
#[derive(Debug)]
pub enum Security {
    /// Not at all: every process that can reach the socket is trusted.
    NoAuth,
    /// By Secret Handshake and box stream.
    Shs {
        /// The key that we dialled; `None` for an acceptor, which learns the key.
        expected: Option<Key>,
        /// A fresh key pair for this one handshake.
        ephemeral: Ephemeral,
    },
}

/// The bytes of one connection on their way between socket and link.
#[derive(Debug)]
pub(crate) enum Wire {
    /// Plain bytes.
    Plain,
    /// Proved keys and encryption.
    Secured(Box<Secured>),
}

/// The result of decrypting some bytes.
#[derive(Debug)]
pub(crate) enum WireEvent {
    /// All input is used up.
    Waiting,
    /// The peer proved this key and asks for the connection: [`Secured::admit`] it or not.
    Asks(Key),
    /// The acceptor that we dialled has proved its key, and admits us.
    Admitted,
    /// The peer has ended the stream.
    Goodbye,
}

/// Handshake and box stream of one connection, with the bytes that wait for its socket.
pub(crate) struct Secured {
    stage: Stage,
    /// Handshake messages and frames. Frames are numbered, so their order is fixed.
    outgoing: Vec<u8>,
    /// Bytes at the front of `outgoing` that the socket has taken.
    sent: usize,
    /// The other side has proved that it knows the network id.
    greeted: bool,
}

#[allow(clippy::large_enum_variant)] // Both are behind one box.
enum Stage {
    Shaking(Handshake),
    Open { sealer: Sealer, reader: Reader },
}

impl Wire {
    /// The wire of a new connection.
    ///
    /// # Errors
    /// The key that is expected is no usable key.
    pub(crate) fn new(
        security: Security,
        us: &Identity,
        network: &NetworkId,
    ) -> Result<Wire, Error> {
        let (expected, ephemeral) = match security {
            Security::NoAuth => return Ok(Wire::Plain),
            Security::Shs { expected, ephemeral } => (expected, ephemeral),
        };
        let mut outgoing = Vec::new();
        let handshake = match expected {
            Some(peer) => Handshake::dial(network, us, &peer.0, ephemeral, &mut outgoing)?,
            None => Handshake::accept(network, us, ephemeral),
        };
        let stage = Stage::Shaking(handshake);
        Ok(Wire::Secured(Box::new(Secured { stage, outgoing, sent: 0, greeted: false })))
    }

    /// Whether the other side has proved its key, if that is required.
    pub(crate) fn is_proved(&self) -> bool {
        match self {
            Wire::Plain => true,
            Wire::Secured(secured) => matches!(secured.stage, Stage::Open { .. }),
        }
    }

    /// Whether the bytes in the link's outbox can be encrypted.
    pub(crate) fn can_seal(&mut self) -> bool {
        match self {
            Wire::Plain => true,
            Wire::Secured(secured) => secured.sealer().is_some(),
        }
    }
}

impl Secured {
    /// Decrypts received bytes: those for the link are appended to `plain`. Advances `input`. It
    /// stops at each event that its owner has to handle; call it again until it waits.
    pub(crate) fn open(
        &mut self,
        input: &mut &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<WireEvent, Error> {
        match &mut self.stage {
            Stage::Shaking(handshake) => {
                let mut rest: &[u8] = input;
                let before = rest.len();
                let progress = handshake.receive(&mut rest, &mut self.outgoing);
                let used = before - rest.len();
                *input = &mut core::mem::take(input)[used..];
                self.greeted |= self.outgoing.len() > self.sent;
                match progress? {
                    Progress::Waiting => Ok(WireEvent::Waiting),
                    Progress::Asks(key) => Ok(WireEvent::Asks(Key(key))),
                    Progress::Done(session) => {
                        self.begin(session);
                        Ok(WireEvent::Admitted)
                    }
                }
            }
            Stage::Open { reader, .. } => loop {
                let (used, opened) = reader.next(input)?;
                let heard = match opened {
                    Opened::Body(body) => {
                        plain.extend_from_slice(body);
                        None
                    }
                    Opened::Goodbye => Some(WireEvent::Goodbye),
                    Opened::Waiting => Some(WireEvent::Waiting),
                };
                *input = &mut core::mem::take(input)[used..];
                if let Some(heard) = heard {
                    return Ok(heard);
                }
            },
        }
    }

    /// Admits the key that asked; has no effect if none did.
    pub(crate) fn admit(&mut self) {
        if let Stage::Shaking(handshake) = &mut self.stage
            && let Ok(session) = handshake.admit(&mut self.outgoing)
        {
            self.begin(session);
        }
    }

    /// Whether the other side has proved that it knows the network id.
    pub(crate) fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Whether we dialled, and our hello is on its way or waits for the answer.
    pub(crate) fn has_said_hello(&mut self) -> bool {
        matches!(self.stage, Stage::Shaking(_)) && self.sealer().is_some()
    }

    /// Encrypts the front of an outbox; returns how many of its bytes. Nothing while frames wait;
    /// only behind a handshake message, so that both are sent together.
    pub(crate) fn seal(&mut self, outbox: &Outbox, spare: &mut Vec<u8>) -> usize {
        if self.waiting().len() > MESSAGE_MAX || outbox.is_empty() || self.sealer().is_none() {
            return 0;
        }
        let mut buffer = self.take_buffer(spare);
        let Some(sealer) = self.sealer() else { return 0 };
        let mut room = SEAL_AT_ONCE;
        let slices = outbox.slices().map(|slice| {
            let front = &slice[..slice.len().min(room)];
            room -= front.len();
            front
        });
        // It fails only after goodbye, and then there is no sealer.
        let sealed = sealer.append_joined(&slices, &mut buffer);
        self.outgoing = buffer;
        sealed.map_or(0, |()| SEAL_AT_ONCE - room)
    }

    /// The last frame, after which nothing is sent.
    pub(crate) fn seal_goodbye(&mut self) {
        if let Stage::Open { sealer, .. } = &mut self.stage
            && let Ok(frame) = sealer.goodbye()
        {
            self.outgoing.extend_from_slice(&frame);
        }
    }

    /// The bytes that wait for the socket.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.outgoing[self.sent..]
    }

    /// The socket took this many bytes. An empty buffer is passed on to the next connection that
    /// encrypts.
    pub(crate) fn advance(&mut self, count: usize, spare: &mut Vec<u8>) {
        self.sent = (self.sent + count).min(self.outgoing.len());
        if self.sent == self.outgoing.len() {
            self.sent = 0;
            self.outgoing.clear();
            if self.outgoing.capacity() > spare.capacity() {
                core::mem::swap(&mut self.outgoing, spare);
            }
            self.outgoing = Vec::new();
        }
    }

    /// A buffer to encrypt into. Waiting handshake messages stay in front.
    fn take_buffer(&mut self, spare: &mut Vec<u8>) -> Vec<u8> {
        if self.outgoing.is_empty() {
            self.sent = 0;
            core::mem::take(spare)
        } else {
            core::mem::take(&mut self.outgoing)
        }
    }

    fn begin(&mut self, session: Session) {
        let Session { sealer, opener, .. } = session;
        self.stage = Stage::Open { sealer, reader: Reader::from(opener) };
    }

    fn sealer(&mut self) -> Option<&mut Sealer> {
        match &mut self.stage {
            Stage::Shaking(handshake) => handshake.sealer(),
            Stage::Open { sealer, .. } if !sealer.has_ended() => Some(sealer),
            Stage::Open { .. } => None,
        }
    }

    /// Whether the peer has said goodbye.
    pub(crate) fn is_complete(&self) -> bool {
        match &self.stage {
            Stage::Open { reader, .. } => reader.has_ended(),
            Stage::Shaking(_) => false,
        }
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Shaking(_) => "shaking",
            Stage::Open { .. } => "open",
        };
        f.debug_struct("Secured").field("stage", &stage).finish_non_exhaustive()
    }
}
