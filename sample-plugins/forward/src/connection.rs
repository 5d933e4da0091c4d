//! One connection from beginning to end: its stage, and what each event means there.

use std::io;
use std::mem;
use std::net::TcpStream;
use std::rc::Rc;

use trunkline_net::tcp;
use trunkline_plugin::{Channel, Host, Interest, Readiness, Reason, Watch, log};

use crate::asking::{Asking, Destination};
use crate::greeting::GreetingReader;
use crate::pump::{Pace, Pump};
use crate::service::{self, Greeted, Services};
use crate::window::{Spare, Window};

/// What the handler of an event may use.
pub(crate) struct Place<'a> {
    pub(crate) host: &'a Host,
    pub(crate) services: &'a Services,
    /// The memory that windows share for their growth.
    pub(crate) spare: &'a Spare,
    /// The buffer into which sockets are read.
    pub(crate) chunk: &'a mut [u8],
}

/// How to continue after an event; a reason means that both sides are reset.
pub(crate) type Next = Result<Pace, Reason>;

/// A channel and, except for the first moments of the serving side, a TCP connection.
pub(crate) struct Connection {
    /// Its name in the log.
    pub(crate) title: Rc<str>,
    /// Its channel, which may have ended while the socket still takes held bytes.
    pub(crate) channel: Channel,
    pub(crate) watch: Option<Watch>,
    stage: Stage,
}

enum Stage {
    /// Accepted here; a peer is asked for the service.
    Asking(Box<Asking>, TcpStream),
    /// Opened by a peer, whose greeting is incomplete.
    Greeting(GreetingReader),
    /// Connecting to the service's address. The channel may have closed already.
    Connecting(Box<Pump>),
    /// Both sides are up.
    Carrying(Box<Pump>),
    /// Replaces a stage while the next one is made from it.
    Over,
}

impl Connection {
    /// A connection that was accepted here. The socket is reset if no server serves it.
    pub(crate) fn accepted(
        host: &Host,
        socket: TcpStream,
        watch: Watch,
        destination: &Rc<Destination>,
    ) -> Result<Self, Reason> {
        let (asking, channel) = Asking::start(host, destination).inspect_err(|_| {
            host.unwatch(watch);
            reset_on_drop(&socket);
        })?;
        let title = Rc::clone(&destination.title);
        let stage = Stage::Asking(Box::new(asking), socket);
        Ok(Self { title, channel, watch: Some(watch), stage })
    }

    /// A connection that a peer opens.
    pub(crate) fn opened(host: &Host, channel: Channel, title: String) -> Self {
        host.hold(channel);
        let stage = Stage::Greeting(GreetingReader::default());
        Self { title: title.into(), channel, watch: None, stage }
    }

    /// The channel brings bytes.
    pub(crate) fn bytes(&mut self, place: &mut Place<'_>, bytes: &[u8]) -> Next {
        match &mut self.stage {
            Stage::Asking(..) => self.answered(place, bytes),
            Stage::Greeting(_) => self.greeted(place, bytes),
            Stage::Connecting(pump) => pump.give(bytes).map(|()| Pace::Waits).map_err(reset),
            Stage::Carrying(pump) => {
                pump.give(bytes).map_err(reset)?;
                pump.advance_to_socket(&mut (place.host, self.channel)).map_err(reset)
            }
            Stage::Over => Ok(Pace::Waits),
        }
    }

    /// The channel has closed.
    pub(crate) fn closed(&mut self, place: &mut Place<'_>) -> Next {
        match &mut self.stage {
            Stage::Asking(..) => {
                Err(Reason::new("bad-answer", "the peer closed the channel without an answer"))
            }
            Stage::Greeting(_) => {
                Err(Reason::new("bad-greeting", "the channel closed before it named a service"))
            }
            Stage::Connecting(pump) => {
                pump.close();
                Ok(Pace::Waits)
            }
            Stage::Carrying(pump) => {
                pump.close();
                pump.advance_to_socket(&mut (place.host, self.channel)).map_err(reset)
            }
            Stage::Over => Ok(Pace::Waits),
        }
    }

    /// The other end no longer reads. After this end's close, that is the answer to it; before, it
    /// corresponds to a TCP reset.
    pub(crate) fn stopped(&mut self) -> Next {
        match &self.stage {
            Stage::Carrying(pump) if pump.has_closed() => Ok(Pace::Waits),
            _ => Err(Reason::new(TCP_RESET, "the other end stopped reading")),
        }
    }

    /// The channel has ended. After an orderly end, the socket may still have to take held bytes.
    pub(crate) fn ended(&mut self, place: &mut Place<'_>, why: Option<&Reason>) -> Next {
        match (&mut self.stage, why) {
            (Stage::Asking(asking, _), Some(why)) => {
                self.channel = asking.refused(place.host, why)?;
                Ok(Pace::Waits)
            }
            (_, Some(why)) => Err(why.clone()),
            (_, None) => self.closed(place),
        }
    }

    /// The channel has room.
    pub(crate) fn room(&mut self, place: &mut Place<'_>) -> Next {
        match &mut self.stage {
            Stage::Asking(asking, _) => {
                asking.greet(place.host, self.channel);
                Ok(Pace::Waits)
            }
            Stage::Carrying(_) => self.read_on(place),
            Stage::Greeting(_) | Stage::Connecting(_) | Stage::Over => Ok(Pace::Waits),
        }
    }

    /// The socket may be read further.
    pub(crate) fn read_on(&mut self, place: &mut Place<'_>) -> Next {
        let Stage::Carrying(pump) = &mut self.stage else { return Ok(Pace::Waits) };
        let pipe = &mut (place.host, self.channel);
        pump.advance_to_channel(pipe, place.chunk).map_err(reset)
    }

    /// The socket became ready.
    pub(crate) fn ready(&mut self, place: &mut Place<'_>, readiness: Readiness) -> Next {
        match &mut self.stage {
            Stage::Asking(_, socket) => match socket.take_error() {
                Ok(None) => Ok(Pace::Waits),
                Ok(Some(error)) | Err(error) => Err(reset(error)),
            },
            Stage::Connecting(pump) => match service::is_connected(pump)? {
                true => self.connected(place),
                false => Ok(Pace::Waits),
            },
            Stage::Carrying(pump) => {
                pump.ready(readiness).map_err(reset)?;
                self.carry(place)
            }
            Stage::Greeting(_) | Stage::Over => Ok(Pace::Waits),
        }
    }

    /// Makes the TCP side see a reset when the connection is dropped.
    pub(crate) fn reset_on_drop(&self) {
        match &self.stage {
            Stage::Asking(_, socket) => reset_on_drop(socket),
            Stage::Connecting(pump) | Stage::Carrying(pump) => reset_on_drop(pump.socket()),
            Stage::Greeting(_) | Stage::Over => {}
        }
    }

    fn carry(&mut self, place: &mut Place<'_>) -> Next {
        let Stage::Carrying(pump) = &mut self.stage else { return Ok(Pace::Waits) };
        match pump.advance_to_socket(&mut (place.host, self.channel)).map_err(reset)? {
            Pace::Over => Ok(Pace::Over),
            _ => self.read_on(place),
        }
    }

    fn answered(&mut self, place: &mut Place<'_>, bytes: &[u8]) -> Next {
        let Some((answer, rest)) = bytes.split_first() else { return Ok(Pace::Waits) };
        if let Stage::Asking(asking, _) = &self.stage {
            asking.check(*answer)?;
        }
        if let Stage::Asking(asking, socket) = mem::replace(&mut self.stage, Stage::Over) {
            self.stage =
                Stage::Carrying(Box::new(asking.into_pump(socket, Window::new(place.spare))));
        }
        match self.bytes(place, rest)? {
            Pace::Over => Ok(Pace::Over),
            _ => self.carry(place),
        }
    }

    fn greeted(&mut self, place: &mut Place<'_>, bytes: &[u8]) -> Next {
        let Stage::Greeting(reader) = &mut self.stage else { return Ok(Pace::Waits) };
        let Greeted::Connecting(pump, title) =
            service::greet(place.services, reader, place.spare, bytes)?
        else {
            return Ok(Pace::Waits);
        };
        self.watch = Some(watch(place.host, pump.socket())?);
        self.title = title.into();
        self.stage = Stage::Connecting(pump);
        Ok(Pace::Waits)
    }

    fn connected(&mut self, place: &mut Place<'_>) -> Next {
        if let Stage::Connecting(mut pump) = mem::replace(&mut self.stage, Stage::Over) {
            pump.assume_ready();
            self.stage = Stage::Carrying(pump);
        }
        self.carry(place)
    }
}

/// Watches a socket in both directions for its whole life.
pub(crate) fn watch(host: &Host, socket: &TcpStream) -> Result<Watch, Reason> {
    host.watch(socket, Interest::READABLE | Interest::WRITABLE)
}

/// Makes the other side see a reset, not an orderly end, when the socket is dropped.
fn reset_on_drop(socket: &TcpStream) {
    if let Err(error) = tcp::reset_on_drop(socket) {
        log::debug!("a connection could not be reset and ends in order: {error}");
    }
}

/// The reason that the other end gets for an error of the TCP connection.
fn reset(error: io::Error) -> Reason {
    Reason::new(TCP_RESET, error.to_string())
}

/// The code of an end by a TCP reset, which is not worth a warning.
pub(crate) const TCP_RESET: &str = "tcp-reset";
