//! What can happen in a run, one thing at a time.

use super::peer::{Origin, Peer};
use super::words::{HOSTILE, NAMES, Words};
use super::world::World;
use super::{Script, VICTIM, key, name, setup};
use std::time::Duration;
use trunkline_core::broker::{ChildId, Grants, Opened, PeerProcess, PluginId, Target};
use trunkline_core::bymux::{Packet, StreamId};
use trunkline_core::control::{Message, Preface, Presented, Role};
use trunkline_core::key::Key;
use trunkline_core::limits::WINDOW;
use trunkline_core::reason::Reason;
use trunkline_core::route::Route;

/// Bytes of streams, which mean nothing.
static FILLER: [u8; 70_000] = [0x5a; 70_000];

/// Connections of hostile peers at a time.
const PEERS_MAX: usize = 24;

impl World {
    /// Does what the script says next.
    pub(super) fn step(&mut self, script: &mut Script<'_>) {
        match script.below(32) {
            0 => self.dial_in(script),
            1 => self.answer_dial(script),
            2 => self.with_peer(script, hello),
            3..=5 => self.with_peer(script, message),
            6..=9 => self.with_peer(script, open),
            10 | 11 => self.with_peer(script, answer),
            12 | 13 => self.with_peer(script, write),
            14 => self.with_peer(script, half_frame),
            15 => self.with_peer(script, credit),
            16 | 17 => self.with_peer(script, end_stream),
            18 => self.with_peer(script, packet),
            19 => self.with_peer(script, raw),
            20 => self.with_peer(script, manner),
            21 => self.with_peer(script, flood),
            22 => self.with_peer(script, calls),
            23 => self.leave(script),
            24 => self.wait(Duration::from_millis(script.number().min(60_000))),
            25 => self.jump(Duration::from_millis(script.number().min(120_000) * 10)),
            26..=28 => self.plugin_does(script),
            29 => self.ask(script),
            30 => self.check_innocent(),
            _ => self.meet_and_greet(script),
        }
    }

    /// A hostile peer says something.
    fn with_peer(&mut self, script: &mut Script<'_>, say: fn(&mut Peer, &mut Words<'_, '_>)) {
        if self.peers.is_empty() {
            self.meet_and_greet(script);
        }
        let at = script.below(self.peers.len());
        let Some(peer) = self.peers.get_mut(at) else { return };
        let streams = peer.streams();
        say(peer, &mut Words { script, tickets: &self.tickets, streams: &streams });
        self.deliver(at);
    }

    /// A peer connects, in one of the ways in which one can.
    fn dial_in(&mut self, script: &mut Script<'_>) {
        let node = script.below(self.nodes.len());
        let who = script.pick(&HOSTILE);
        let (how, grants, sealed) = match script.below(6) {
            0 | 1 => (Opened::Accepted, Grants::Everything, false),
            2 => (Opened::Accepted, Grants::Server, true),
            3 => (Opened::Direct, Grants::Everything, false),
            4 => (Opened::Direct, Grants::Server, true),
            _ => match self.nodes[node].children.pop() {
                Some(child) => (Opened::Child(child), Grants::Everything, false),
                None => return,
            },
        };
        let of_child = PeerProcess::OfChild(ChildId(0));
        let process = match how {
            Opened::Accepted if !sealed => script.pick(&[
                PeerProcess::Foreign,
                PeerProcess::Foreign,
                of_child,
                PeerProcess::Descendant,
                PeerProcess::Ended,
                PeerProcess::Untraced,
            ]),
            _ => PeerProcess::Foreign,
        };
        // A host listens for direct connections only.
        let is_host = self.nodes[node].broker.settings().role == Role::Host;
        let how = if is_host { Opened::Direct } else { how };
        if self.peers.len() < PEERS_MAX && self.nodes[node].broker.accepts(grants) {
            self.connect(&Origin { node, who, how, process }, grants, sealed);
        }
    }

    /// The shortest way to a linked peer: one that connects and says hello.
    fn meet_and_greet(&mut self, script: &mut Script<'_>) {
        self.dial_in(script);
        let Some(peer) = self.peers.last_mut() else { return };
        let mut words = Words { script, tickets: &self.tickets, streams: &[] };
        match peer.direct {
            true => present(peer, &mut words),
            false => hello(peer, &mut words),
        }
        self.deliver(self.peers.len() - 1);
    }

    /// What a process of ours has dialled is there, or is not.
    fn answer_dial(&mut self, script: &mut Script<'_>) {
        let at = script.below(self.nodes.len());
        let (what, there) = (script.below(6), script.flag() && self.peers.len() < PEERS_MAX);
        let node = &mut self.nodes[at];
        match what {
            0 | 1 => {
                let Some((peer, key)) = node.dials.pop() else { return };
                let dialled = there && self.is_reached(at, Opened::Dialled(peer), key);
                if !dialled {
                    self.nodes[at].broker.dial_failed(peer, "no peer is there");
                }
            }
            2..=4 => {
                let Some((id, key)) = node.directs.pop() else { return };
                let dialled = there && self.is_reached(at, Opened::DirectDial(id), key);
                if !dialled {
                    self.nodes[at].broker.direct_failed(id, "no peer is there");
                }
            }
            _ => {
                if let Some(child) = node.children.pop() {
                    node.broker.child_ended(child, "it cannot be started");
                }
            }
        }
    }

    /// Whether a hostile peer is where a process of ours dials: one with this key, or any of them
    /// on a unix socket.
    fn is_reached(&mut self, node: usize, how: Opened, wanted: Option<Key>) -> bool {
        let holder = |wanted| HOSTILE.into_iter().find(|who| key(*who) == wanted);
        let Some(who) = wanted.map_or(Some(HOSTILE[0]), holder) else { return false };
        let process = PeerProcess::Foreign;
        let origin = Origin { node, who, how, process };
        self.connect(&origin, Grants::Server, wanted.is_some());
        true
    }

    /// A peer is gone from one moment to the next.
    fn leave(&mut self, script: &mut Script<'_>) {
        if !self.peers.is_empty() {
            let at = script.below(self.peers.len());
            self.drop_peer(at);
        }
    }

    /// A user asks for the status, and why two plugins are connected or not.
    fn ask(&mut self, script: &mut Script<'_>) {
        let node = script.below(self.nodes.len());
        let (from, to) = (script.pick(&NAMES), script.pick(&NAMES));
        let broker = &self.nodes[node].broker;
        assert!(!broker.explain(from, to).rules.is_empty(), "{from} and {to} are explained");
        let status = broker.status();
        let at = format!("{to}@{}", key(VICTIM));
        assert!(!broker.explain(from, &at).rules.is_empty() || status.plugins.is_empty());
    }

    /// A plugin of the victim does something unprompted.
    fn plugin_does(&mut self, script: &mut Script<'_>) {
        let node = &mut self.nodes[VICTIM];
        let ids: Vec<PluginId> = node.plugins.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = script.pick(&ids);
        let what = script.below(16);
        if what < 9 {
            self.channel_does(id, what, script);
            return;
        }
        let (to, length) = (script.pick(&NAMES), script.below(20_000));
        let mut words = Words { script, tickets: &[], streams: &[] };
        let broker = &mut node.broker;
        match what {
            9 => {
                let (name, least) = (words.name(), words.version());
                // Too many partners are refused.
                let _ = broker.uses(id, name, least);
            }
            10 => {
                let _ = broker.invites(id, words.name());
            }
            11 => {
                let after = Duration::from_millis(words.script.number().min(60_000));
                broker.set_timer(id, after);
            }
            12 => {
                let address = words.dialled();
                let _ = match words.script.flag() {
                    true => broker.open_link(id, &address).map(drop),
                    false => broker.close_link(id, words.hostile_key()),
                };
            }
            13 => {
                let server = words.script.flag().then(|| words.key());
                node.call(id, (to, server), &FILLER[..length]);
            }
            14 => self.answer_call(id, script),
            _ => self.life_of(id, script),
        }
    }

    fn life_of(&mut self, id: PluginId, script: &mut Script<'_>) {
        let node = &mut self.nodes[VICTIM];
        let kind = node.plugins.get(&id).map(|plugin| plugin.kind);
        match script.below(3) {
            0 => node.fail(id),
            1 => {
                node.plugins.remove(&id);
                node.broker.plugin_stopped(id);
            }
            _ => {}
        }
        if let Some(kind) = kind.filter(|_| script.flag()) {
            setup::start(&mut self.nodes[VICTIM], kind);
        }
        // One that failed comes back later.
        let all = ["echo", "late", "trap", "slow", "inviter", "user", "joiner"];
        let kind = script.pick(&all);
        if self.nodes[VICTIM].plugin(kind).is_none() {
            setup::start(&mut self.nodes[VICTIM], kind);
        }
    }

    fn answer_call(&mut self, id: PluginId, script: &mut Script<'_>) {
        let (length, how) = (script.below(20_000), script.below(4));
        self.nodes[VICTIM].run(id, |plugin, broker| {
            let made: Vec<_> = plugin.made.iter().copied().collect();
            match (how, plugin.asked.pop()) {
                (0, Some(call)) => broker.refuse_call(id, call, Reason::plugin("mine", "no")),
                (1..=2, Some(call)) => broker.answer_call(id, call, &FILLER[..length]),
                _ if made.is_empty() => Ok(()),
                _ => broker.cancel_call(id, script.pick(&made)),
            }
        });
    }

    /// A plugin does something with a channel.
    fn channel_does(&mut self, id: PluginId, what: usize, script: &mut Script<'_>) {
        let to = script.pick(&NAMES);
        let server = script.flag().then(|| key(script.below(6)).to_string());
        let length = script.below(FILLER.len());
        let node = &mut self.nodes[VICTIM];
        if what == 0 {
            let target = Target { name: name(to), least: 0, server };
            if let Some(plugin) = node.plugins.get_mut(&id) {
                plugin.open(id, &mut node.broker, &target);
            }
            return;
        }
        node.run(id, |plugin, broker| {
            let Some(handle) = plugin.channel(script) else { return Ok(()) };
            let channel = plugin.channels.get(&handle).copied().unwrap_or_default();
            match what {
                1 | 2 => broker.write(id, handle, &FILLER[..length]).map(drop),
                3 => broker.close(id, handle),
                4 => broker.stop_read(id, handle),
                5 if channel.held => broker.credit(id, handle, length as u64),
                5 if channel.asked => {
                    plugin.channels.remove(&handle);
                    broker.refuse(id, handle, Reason::plugin("mine", "no"))
                }
                6 if channel.asked => {
                    plugin.channels.entry(handle).or_default().asked = false;
                    broker.accept(id, handle)
                }
                7 => {
                    let other = plugin.channel(script).unwrap_or(handle);
                    for end in [handle, other] {
                        let known = plugin.channels.remove(&end);
                        if known.is_some_and(|channel| channel.asked) {
                            broker.accept(id, end)?;
                        }
                    }
                    broker.join(id, handle, other)
                }
                _ => {
                    plugin.channels.remove(&handle);
                    broker.abort(id, handle, Reason::plugin("mine", "enough"))
                }
            }
        });
    }
}

fn hello(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let role = words.script.pick(&[Role::Server, Role::Host, Role::Command, Role::Server]);
    let hello = words.hello(key(peer.who), role);
    peer.write(0, &Message::Hello(hello).frame());
}

fn present(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let presented = Presented { ticket: words.ticket(), route: Route::Unix };
    let stream = peer.open(WINDOW);
    peer.write(stream, &Preface::Direct(presented).frame());
}

fn message(peer: &mut Peer, words: &mut Words<'_, '_>) {
    peer.write(0, &words.message().frame());
}

/// Opens a stream, in one piece with its first bytes.
fn open(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let window = words.script.pick(&[WINDOW, 1, 0, 1 << 20]);
    let (frame, more) = (words.preface().frame(), words.script.below(300));
    let stream = peer.open(window);
    peer.write(stream, &[&frame, &FILLER[..more]].concat());
}

/// Opens a stream and says half of what it is for; or some streams, each of which begins so.
fn half_frame(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let frame = words.preface().frame();
    let (end, count) = (words.script.below(frame.len()), words.script.below(40));
    for _ in 0..=count {
        let stream = peer.open(0);
        peer.write(stream, &frame[..end]);
    }
}

fn answer(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let stream = words.stream();
    let answer = words.answer();
    let invites = matches!(answer, trunkline_core::control::Answer::Direct(_));
    if !invites || peer.may_invite(stream) {
        let more = words.script.below(100);
        peer.write(stream, &[&answer.frame(), &FILLER[..more]].concat());
    }
}

fn write(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let stream = words.stream();
    if words.script.flag() {
        let length = words.script.below(FILLER.len());
        peer.write(stream, &FILLER[..length]);
    } else {
        let length = words.script.below(64);
        let bytes = words.script.bytes(length).to_vec();
        peer.write(stream, &bytes);
    }
}

/// Lets the broker write some more, all at once or a byte at a time.
fn credit(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let stream = if words.script.flag() { words.stream() } else { 0 };
    let amount = words.script.number().min(1 << 40);
    for _ in 0..=words.script.below(64) {
        peer.credit(stream, amount);
    }
}

fn end_stream(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let stream = words.stream();
    match words.script.below(3) {
        0 => peer.close(stream),
        1 => peer.stop_read(stream),
        _ => {
            peer.close(stream);
            peer.stop_read(stream);
        }
    }
}

/// A packet that needs no account.
fn packet(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let stream = StreamId(words.stream());
    for _ in 0..=words.script.below(8) {
        peer.say(match words.script.below(7) {
            0 => Packet::Ping(stream),
            1 => Packet::Pong(stream),
            2 => Packet::GlobalPing,
            3 => Packet::GlobalPong,
            4 => Packet::GlobalCredit(words.script.number() % 100),
            5 => Packet::GlobalClose,
            _ => Packet::GlobalStopRead,
        });
    }
}

fn raw(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let (length, sealed) = (words.script.below(64), words.script.flag());
    let bytes = words.script.bytes(length);
    match sealed {
        true => peer.say_raw(bytes),
        false => peer.say_unsealed(bytes),
    }
}

/// How a peer behaves from now on.
fn manner(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let what = words.script.byte();
    (peer.reads, peer.grants) = (what & 1 == 0, what & 2 == 0);
    peer.cut = match what >> 2 {
        0 => usize::MAX,
        length => usize::from(length),
    };
}

/// The same again and again, in one piece: messages, or streams.
fn flood(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let count = words.script.below(256);
    let (first, second) = (words.message().frame(), words.message().frame());
    let preface = words.preface().frame();
    match words.script.below(3) {
        0 => peer.write(0, &[&first[..], &second].concat().repeat(count)),
        1 => peer.write(0, &first.repeat(count)),
        _ => {
            for _ in 0..count {
                let stream = peer.open(WINDOW);
                peer.write(stream, &preface);
            }
        }
    }
}

/// Pieces of messages on a stream of calls.
fn calls(peer: &mut Peer, words: &mut Words<'_, '_>) {
    let stream = words.stream();
    let mut bytes = Vec::new();
    for _ in 0..=words.script.below(6) {
        let (kind, call, length) = (words.script.byte(), words.script.byte(), words.script.byte());
        bytes.extend([kind & 0xc7, 0, 0, 0, call & 15, 0, length]);
        bytes.extend(&FILLER[..usize::from(length)]);
    }
    peer.write(stream, &bytes);
}
