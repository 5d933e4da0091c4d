//! All who take part in a run: our own processes with the link between them, and hostile peers.

use super::VICTIM;
use super::node::{Node, READ};
use super::peer::{Origin, Peer, Protection};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use trunkline_core::broker::{ConnId, Grants, Opened, Opening, PeerProcess, Security};
use trunkline_core::control::Ticket;

/// Turns in which those who are ours exchange what they have to say: two that keep
/// answering each other would never come to an end.
const ROUNDS: usize = 200;

/// Rounds in which hostile peers read and answer. One that grants a byte for each byte would take
/// as many as there are bytes.
const PEER_ROUNDS: usize = 24;

/// How long a closing connection may take to write what is left.
const HANG_UP: Duration = Duration::from_secs(5);

/// The run.
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) nodes: Vec<Node>,
    /// The link between the victim and the innocent: its end at each of them.
    pub(super) link: Option<[ConnId; 2]>,
    pub(super) peers: Vec<Peer>,
    pub(super) tickets: Vec<Ticket>,
    /// Bytes that hostile peers have said, and bytes that the innocent was told.
    pub(super) said: u64,
    pub(super) told: u64,
    /// Steps that were made.
    pub(super) steps: u64,
    /// Bytes that were in use before anything was started, where that is known.
    pub(super) in_use: Option<i64>,
    /// A number for each connection.
    pub(super) connections: u8,
}

impl World {
    /// The victim's side of a link with the innocent.
    pub(super) fn join_nodes(&mut self, dialled: Opened, grants: Grants) {
        let opening = |how, grants| Opening {
            how,
            grants,
            address: "innocent".into(),
            security: Security::NoAuth,
            from: None,
            process: PeerProcess::Foreign,
        };
        let innocent = self.nodes[1].broker.connected(opening(dialled, Grants::Server));
        let victim = self.nodes[VICTIM].broker.connected(opening(Opened::Accepted, grants));
        self.link = Some([victim, innocent]);
    }

    /// A hostile peer connects.
    pub(super) fn connect(&mut self, origin: &Origin, grants: Grants, sealed: bool) {
        let &Origin { node, who, how, .. } = origin;
        self.connections = self.connections.wrapping_add(1);
        let protection = match sealed {
            true => Protection::shs(who, node, how, self.connections),
            false => Protection::none(),
        };
        let (security, line) = protection.split();
        let from = sealed.then(|| SocketAddr::from(([10, 9, 0, who as u8], 999)));
        let process = origin.process;
        let opening = Opening { how, grants, address: "hostile".into(), security, from, process };
        let id = self.nodes[node].broker.connected(opening);
        self.peers.push(Peer::new(id, origin, line));
        self.settle();
    }

    /// What a peer has to say arrives, as far as it is read in this turn; whether any of it does.
    pub(super) fn deliver(&mut self, at: usize) -> bool {
        let Some(peer) = self.peers.get_mut(at) else { return false };
        let (id, cut) = (peer.id, peer.cut.clamp(1, READ));
        let node = &mut self.nodes[peer.node];
        let (mut bytes, mut read) = (peer.take_out(), 0);
        for piece in bytes.chunks_mut(cut) {
            if node.broker.is_behind(id) {
                break;
            }
            read += piece.len();
            node.receive(id, piece);
        }
        self.said += read as u64;
        peer.put_back(bytes.split_off(read));
        read > 0
    }

    /// A hostile peer's transport is gone.
    pub(super) fn drop_peer(&mut self, at: usize) {
        let peer = self.peers.remove(at);
        self.nodes[peer.node].disconnected(peer.id);
    }

    /// All exchange what there is to say, until all is quiet or a hostile peer goes on too long.
    pub(super) fn settle(&mut self) {
        for round in 0.. {
            self.nodes.iter_mut().for_each(Node::begin_turn);
            self.end_connections();
            let passed = self.pass_link();
            let told = round < PEER_ROUNDS && self.flush_peers();
            if !passed && !told && !self.nodes.iter().any(Node::has_work) {
                break;
            }
            assert!(round < ROUNDS, "there is no end of what is said between ours");
        }
        self.nodes.iter().for_each(Node::audit);
    }

    /// The link between ours carries all that waits; whether there was anything.
    fn pass_link(&mut self) -> bool {
        let mut passed = false;
        let mut touched = Vec::new();
        for from in 0..self.nodes.len() {
            self.nodes[from].broker.take_touched(&mut touched);
            let Some(link) = self.link else { continue };
            if self.nodes[1 - from].broker.is_behind(link[1 - from]) {
                continue;
            }
            let mut bytes = self.nodes[from].outgoing(link[from]);
            if from == VICTIM {
                self.told += bytes.len() as u64;
            }
            if !bytes.is_empty() {
                passed = true;
                self.nodes[1 - from].receive(link[1 - from], &mut bytes);
            }
            // Streams may wait for their turn though nothing is left to write.
            self.nodes[from].broker.flushed(link[from], 0);
        }
        passed
    }

    /// Hostile peers that read are told what there is for them, and answer as far as the protocol
    /// wants them to.
    fn flush_peers(&mut self) -> bool {
        let mut passed = false;
        for at in 0..self.peers.len() {
            let peer = &mut self.peers[at];
            if peer.reads {
                let node = &mut self.nodes[peer.node];
                let mut bytes = node.outgoing(peer.id);
                if !bytes.is_empty() {
                    passed = true;
                    peer.hear(&mut bytes, &mut self.tickets);
                }
                node.broker.flushed(peer.id, 0);
            }
            passed |= self.deliver(at);
        }
        // A peer need not remember more tickets than it can name.
        let many = self.tickets.len().saturating_sub(200);
        self.tickets.drain(..many);
        passed
    }

    /// Connections that our side ends are ended.
    fn end_connections(&mut self) {
        for node in 0..self.nodes.len() {
            let mut ended: BTreeSet<ConnId> = self.nodes[node].cut.drain(..).collect();
            let hanging: Vec<(ConnId, Duration)> =
                self.nodes[node].hanging.iter().map(|(id, since)| (*id, *since)).collect();
            for (id, since) in hanging {
                let written = self.nodes[node].broker.is_written(id);
                if written || since + HANG_UP <= self.now {
                    ended.insert(id);
                }
            }
            for id in ended {
                self.end_connection(node, id);
            }
        }
    }

    fn end_connection(&mut self, node: usize, id: ConnId) {
        self.nodes[node].disconnected(id);
        self.peers.retain(|peer| (peer.node, peer.id) != (node, id));
        if let Some(link) = self.link
            && link[node] == id
        {
            self.link = None;
            self.nodes[1 - node].disconnected(link[1 - node]);
        }
    }

    /// Time passes. Each deadline is met when it is due.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now.saturating_add(time);
        for _ in 0..64 {
            let due = self.nodes.iter().filter_map(|node| node.broker.deadline()).min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.now = due.max(self.now);
            self.tick();
        }
        self.now = end;
        self.tick();
    }

    /// The clock is set, without anything in between.
    pub(super) fn jump(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        self.tick();
    }

    fn tick(&mut self) {
        for node in 0..self.nodes.len() {
            self.nodes[node].tick(self.now);
        }
        self.settle();
    }
}
