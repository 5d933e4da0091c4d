//! Connections, as far as it matters who is at the other end: how they came to be, how far they
//! have come, and to whom what they cause is charged.

use super::Neighbours;
use crate::audit::Dialler;
use crate::broker::{ChildId, ConnId, DirectId, PeerId, Security};
use crate::bymux::MuxRole;
use crate::control::Role;
use crate::key::Key;
use crate::log_limiter::LogSource;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;
use trunkline_shs::keyed_hash;

/// How a connection came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// This server dialled a configured peer.
    Dialled(PeerId),
    /// The other side dialled.
    Accepted,
    /// This process was started with it, for its server; when it is gone, so is its reason to be.
    Inherited,
    /// This server started a process with it.
    Child(ChildId),
    /// This process dialled another one directly, for one channel.
    DirectDial(DirectId),
    /// Another process dialled this one directly, for one channel.
    Direct,
}

/// What the other side of a connection may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grants {
    /// A server, a host or the command line: it came over a unix socket that only our user can
    /// open.
    Everything,
    /// A server.
    Server,
    /// A host, whose plugins become this server's.
    Host,
}

/// The process at the other end of a unix socket, as far as the shell knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerProcess {
    /// It is none that this server started, or it is not known, as over TCP.
    #[default]
    Foreign,
    /// The process of a host that this server started, or a descendant of it.
    OfChild(ChildId),
    /// A descendant of this server, or of the server of this host, which a host may have started:
    /// a daemon, for example.
    Descendant,
    /// It ended before it could be looked at: it is not known whose it was.
    Ended,
    /// Its ancestors cannot be found: it is not known whose it is.
    Untraced,
}

/// A connection that has just been opened.
#[derive(Debug)]
pub struct Opening {
    /// Which side dialled.
    pub how: Opened,
    /// What the other side may be.
    pub grants: Grants,
    /// The address, for logs and `status`.
    pub address: String,
    /// How its bytes are protected.
    pub security: Security,
    /// The TCP address at its other end.
    pub from: Option<SocketAddr>,
    /// The process at its other end.
    pub process: PeerProcess,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnPhase {
    /// The peer has not proved its key.
    Shaking,
    /// The peer has not said hello.
    AwaitsHello,
    /// The peer of a direct connection has not presented its ticket.
    AwaitsTicket,
    /// Channels may be opened.
    Up,
    /// Another link serves the same server: this one ends with its last stream.
    Draining,
    /// It ends as soon as its outbox is written.
    Ending,
}

/// A connection, as far as it matters who is at its other end.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) how: Opened,
    pub(crate) grants: Grants,
    pub(crate) process: PeerProcess,
    pub(crate) address: String,
    /// The process that made it, over a unix socket.
    pub(crate) dialler: Option<Dialler>,
    /// The key that we dialled, and the one that the peer has proved.
    pub(crate) expected: Option<Key>,
    pub(crate) proved: Option<Key>,
    pub(crate) from: Option<SocketAddr>,
    pub(crate) phase: ConnPhase,
    pub(crate) hello: Option<PeerInfo>,
    /// Links of the same server that it has taken the place of, one after the other.
    pub(crate) successions: Successions,
    /// Whether a plugin of ours concerns one of the peer's, or we keep the link anyway; and
    /// what the peer says of that.
    pub(crate) wanted: Wants,
    /// Neither side has a use for the link, which has some time left.
    pub(super) rests: bool,
}

/// Links of one server, dialled by the same side, each of which took the place of one that was up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Successions {
    pub(crate) count: u32,
    pub(crate) warned: bool,
}

/// Which sides have a use for a link.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    pub(crate) ours: bool,
    pub(crate) theirs: bool,
}

/// What the peer's hello said of it.
#[derive(Debug)]
pub(crate) struct PeerInfo {
    pub(crate) key: Key,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) machine: Key,
}

impl Conn {
    /// A connection whose peer has proved nothing.
    pub(crate) fn new(opening: &Opening) -> Conn {
        Conn {
            how: opening.how,
            grants: opening.grants,
            process: opening.process,
            address: opening.address.clone(),
            dialler: None,
            expected: match &opening.security {
                Security::Shs { expected, .. } => *expected,
                Security::NoAuth => None,
            },
            proved: None,
            from: opening.from,
            phase: ConnPhase::Shaking,
            hello: None,
            successions: Successions::default(),
            wanted: Wants::default(),
            rests: false,
        }
    }

    /// The peer's key: as it says, as it has proved, or as we dialled it.
    pub(crate) fn known_key(&self) -> Option<Key> {
        self.hello.as_ref().map(|peer| peer.key).or(self.proved).or(self.expected)
    }

    pub(crate) fn peer_name(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.name.as_str())
    }

    /// Whether this connection is for one channel between two processes.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.how, Opened::DirectDial(_) | Opened::Direct)
    }

    /// Whether the peer is a host.
    pub(crate) fn is_host(&self) -> bool {
        self.role() == Some(Role::Host)
    }

    /// What the peer is, once it has said so.
    pub(crate) fn role(&self) -> Option<Role> {
        self.hello.as_ref().map(|hello| hello.role)
    }

    /// Name or address, for logs.
    pub(crate) fn label(&self) -> String {
        match &self.hello {
            Some(peer) => format!("{} ({})", peer.name, peer.key.short()),
            None => self.address.clone(),
        }
    }
}

impl Neighbours {
    /// A connection is open, whose peer has proved its key, or need not. The connection that it
    /// takes the place of is returned, which ends.
    #[must_use]
    pub(crate) fn connected(
        &mut self,
        id: ConnId,
        mut conn: Conn,
        proved: bool,
        has_spoken: impl Fn(ConnId) -> bool,
    ) -> Option<ConnId> {
        if proved {
            conn.phase = first_phase(conn.how);
        }
        match conn.how {
            Opened::Dialled(peer) => self.peer_connected(peer, id),
            Opened::Child(child) => self.child_connected(child, id),
            _ => {}
        }
        let evicted = self.make_room(&conn, has_spoken);
        self.conns.insert(id, Box::new(conn));
        self.young.insert(id);
        evicted
    }

    /// Notes the process that made a connection.
    pub(crate) fn dialled_by(&mut self, id: ConnId, dialler: Dialler) {
        if let Some(conn) = self.conn_mut(id) {
            conn.dialler = Some(dialler);
        }
    }

    /// How far a connection has come.
    pub(crate) fn phase(&self, id: ConnId) -> Option<ConnPhase> {
        self.conn(id).map(|conn| conn.phase)
    }

    /// The name of the peer of a connection: as it is known, or as it was when it was linked last.
    pub(crate) fn name_at(&self, conn: &Conn) -> String {
        let dialled = || match conn.how {
            Opened::Dialled(peer) => self.peer(peer)?.name(),
            _ => None,
        };
        conn.peer_name().or_else(dialled).unwrap_or_default().into()
    }

    /// To whom a line of the log about a connection is charged.
    pub(crate) fn log_source(&self, id: ConnId) -> LogSource {
        let Some(conn) = self.conn(id) else { return LogSource::Others };
        let key = conn.hello.as_ref().map(|hello| hello.key).or(conn.proved);
        match (conn.how, key) {
            (Opened::Child(child), _) => LogSource::Child(child),
            (Opened::Dialled(peer), _) if self.is_configured(peer) => LogSource::Peer(peer),
            (_, Some(key)) => {
                let listed = self.configured(key);
                listed.map_or(LogSource::Key(key), LogSource::Peer)
            }
            (_, None) => conn.from.map_or(LogSource::Others, |from| LogSource::Address(from.ip())),
        }
    }
}

impl Opened {
    /// Which side of the multiplexer this process is.
    pub(crate) fn side(self) -> MuxRole {
        match self {
            Opened::Dialled(_) | Opened::Inherited | Opened::DirectDial(_) => MuxRole::Dialler,
            Opened::Accepted | Opened::Child(_) | Opened::Direct => MuxRole::Acceptor,
        }
    }
}

impl ConnPhase {
    /// Whether the peer has still to say who it is, or what it comes for.
    pub(crate) fn is_young(self) -> bool {
        matches!(self, ConnPhase::Shaking | ConnPhase::AwaitsHello | ConnPhase::AwaitsTicket)
    }
}

/// What comes first on a connection whose peer has proved its key, as far as that is asked for.
pub(crate) fn first_phase(how: Opened) -> ConnPhase {
    match how {
        Opened::DirectDial(_) => ConnPhase::Up,
        Opened::Direct => ConnPhase::AwaitsTicket,
        _ => ConnPhase::AwaitsHello,
    }
}

/// What scatters the streams of a connection, which its peer must not know.
pub(crate) fn stream_key(secret: &[u8; 32], id: ConnId) -> u64 {
    let mut message = *b"streams\0    ";
    message[8..].copy_from_slice(&id.0.to_be_bytes());
    let hash = keyed_hash(secret, &message);
    hash.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}
