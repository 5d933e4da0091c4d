//! Neighbours: peers and the links to them, hosts, and the server of a host. They decide who may be
//! linked as what, which link serves a server, and when to dial or start whom.
//!
//! They look up no plugin, and call no other owner: what others know is asked by the broker, and
//! comes in as plain values. What the broker needs at once is the result of a method. What follows
//! for others is an [`Event`], which the broker hands on before it returns to the shell. What the
//! shell has to do goes into the queue of effects, because its order among all effects counts.

pub(crate) mod children;
pub(crate) mod connections;
pub(crate) mod ending;
pub(crate) mod greeting;
pub(crate) mod host_rights;
pub(crate) mod linking;
pub(crate) mod peer_links;
pub(crate) mod peers;
pub(crate) mod places;
pub(crate) mod proving;
mod reach;
#[cfg(test)]
mod tests;
pub(crate) mod uplink;
pub(crate) mod usefulness;

use crate::broker::registry::partners::Index;
use crate::broker::{Accept, Settings, TimerKey};
use crate::control::Role;
use crate::ids::{ChildId, ConnId, PeerId, PluginId};
use crate::key::Key;
use crate::limits::{Limit, Limits};
use crate::log_limiter::{LogKind, LogSource};
use crate::reason::Reason;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use children::Child;
use connections::{Conn, ConnPhase, PeerInfo};
use core::time::Duration;
use peers::Peer;
use places::Places;
use uplink::Home;

/// The processes that this one is linked to, or may be.
#[derive(Debug)]
pub(crate) struct Neighbours {
    /// The key and the machine of this process, whether it is a host, and who may link with it.
    own_key: Key,
    own_machine: Key,
    is_host: bool,
    accept: Accept,
    /// The server that this process belongs to: itself, or that of a host.
    home: Home,
    /// The link that serves each server.
    servers: BTreeMap<Key, ConnId>,
    peers: BTreeMap<PeerId, Peer>,
    next_peer: u32,
    /// The peers that have, or turned out to have, a key.
    peers_by_key: Index<Key, PeerId>,
    /// Names that the configuration gives to servers; no other server is known by them.
    bound_names: BTreeMap<String, Key>,
    /// Peers that are not dialled before a plugin of this server appears or changes.
    resting: BTreeSet<PeerId>,
    children: BTreeMap<ChildId, Child>,
    conns: BTreeMap<ConnId, Box<Conn>>,
    /// Connections whose peers may have to say yet who they are; some have said it since.
    young: BTreeSet<ConnId>,
    places: Places,
    limits: Limits,
    now: Duration,
    random: u64,
    /// This process ends: no peer is dialled, and no host is started any more.
    stopping: bool,
    events: VecDeque<Event>,
}

/// What follows for others from what the neighbours decided, beside what the shell has to do.
#[derive(Debug)]
#[must_use]
pub(crate) enum Event {
    /// A deadline is set, in place of one with the same key.
    Arm(TimerKey, Duration),
    /// A deadline is needed no more.
    Disarm(TimerKey),
    /// The log has to say something, which is charged to its cause.
    Line(LogSource, LogKind, String),
    /// A limit was reached.
    Reached(Limit),
    /// A link that a plugin wanted did not come about.
    NotLinked {
        /// The plugin, which is told.
        plugin: PluginId,
        /// The server to which the link was to be.
        server: Key,
        /// Why there is none.
        reason: Reason,
    },
}

impl Neighbours {
    /// No process but this one.
    pub(crate) fn new(settings: &Settings) -> Neighbours {
        let (servers, peers, resting, children, conns, young) = Default::default();
        let (home, peers_by_key) = (Home::of(settings), Index::default());
        Neighbours {
            own_key: home.key,
            own_machine: settings.machine,
            is_host: settings.role == Role::Host,
            accept: settings.accept,
            home,
            servers,
            peers,
            next_peer: 0,
            peers_by_key,
            bound_names: BTreeMap::new(),
            resting,
            children,
            conns,
            young,
            places: Places::new(settings.limits.links),
            limits: settings.limits.clone(),
            now: Duration::ZERO,
            random: settings.seed,
            stopping: false,
            events: VecDeque::new(),
        }
    }

    /// A turn of the loop begins.
    pub(crate) fn begin_turn(&mut self, now: Duration) {
        self.now = now;
    }

    /// This process ends.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether no event is queued.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.events.is_empty()
    }

    /// The next thing that others have to hear of.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn happens(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// The next number of a small generator (xorshift64*), which need not be hard to guess: it
    /// spreads pauses.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Only the server with a key is known by a name.
    fn bind_name(&mut self, name: &str, key: Key) {
        self.bound_names.insert(name.into(), key);
    }

    /// The name by which a server is known here: the one that the configuration gives it, or its
    /// own unless the configuration gives that to another one.
    pub(crate) fn name_of(&self, key: Key, own: String) -> String {
        if let Some((name, _)) = self.bound_names.iter().find(|(_, bound)| **bound == key) {
            return name.clone();
        }
        match self.bound_names.contains_key(&own) {
            true => key.short(),
            false => own,
        }
    }

    /// Whether this process runs plugins for a server, and is none.
    #[inline]
    pub(crate) fn is_host(&self) -> bool {
        self.is_host
    }

    /// The key of the server that this process belongs to.
    #[inline]
    pub(crate) fn home_key(&self) -> Key {
        self.home.key
    }

    /// The name of the server that this process belongs to.
    pub(crate) fn home_name(&self) -> &str {
        &self.home.name
    }

    /// The servers that are linked to the server of this host, with their names.
    pub(crate) fn links_of_home(&self) -> impl Iterator<Item = (Key, &str)> {
        self.home.links.iter().map(|(key, name)| (*key, name.as_str()))
    }

    /// The link that serves a server.
    pub(crate) fn link_to(&self, server: Key) -> Option<ConnId> {
        self.servers.get(&server).copied()
    }

    /// The servers that are linked, each with the connection that serves it.
    pub(crate) fn links(&self) -> impl Iterator<Item = (Key, ConnId)> {
        self.servers.iter().map(|(key, id)| (*key, *id))
    }

    /// The servers that are linked to the one that this process belongs to, with their names.
    pub(crate) fn linked_servers(&self) -> impl Iterator<Item = (Key, &str)> {
        let name = |conn: ConnId| self.conn(conn).and_then(|conn| conn.peer_name());
        let linked = self.links().map(move |(key, conn)| (key, name(conn).unwrap_or_default()));
        linked.chain(self.links_of_home())
    }

    /// A connection.
    pub(crate) fn conn(&self, id: ConnId) -> Option<&Conn> {
        self.conns.get(&id).map(|conn| &**conn)
    }

    fn conn_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(&id).map(|conn| &mut **conn)
    }

    /// All connections, also those that are ending.
    pub(crate) fn conns(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.conns.iter().map(|(id, conn)| (*id, &**conn))
    }

    /// The peer at the other end of a connection, as far as it has said hello.
    pub(crate) fn hello(&self, id: ConnId) -> Option<&PeerInfo> {
        self.conns.get(&id)?.hello.as_ref()
    }

    /// Whether the peer of a connection has still to say who it is, or what it comes for.
    pub(crate) fn is_young(&self, id: ConnId) -> bool {
        self.conns.get(&id).is_some_and(|conn| conn.phase.is_young())
    }

    /// A direct connection has presented a ticket that is good.
    pub(crate) fn is_met(&mut self, id: ConnId) {
        if let Some(conn) = self.conn_mut(id) {
            conn.phase = ConnPhase::Up;
        }
    }

    /// A peer.
    pub(crate) fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(&id)
    }

    /// Whether the configuration lists a peer: no plugin asked for it.
    pub(crate) fn is_configured(&self, id: PeerId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.wanted_by.is_empty())
    }

    /// The peer that the configuration lists with a key, or that turned out to have it.
    pub(crate) fn configured(&self, key: Key) -> Option<PeerId> {
        self.peers_by_key.of(&key).copied().find(|id| self.is_configured(*id))
    }

    /// The connections that hold a place of their server's or host's share.
    pub(crate) fn places(&self) -> impl Iterator<Item = ConnId> {
        self.places.held()
    }

    /// All peers.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// The hosts that this server starts.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Child> {
        self.children.values()
    }
}
