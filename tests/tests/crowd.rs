//! A plugin with thousands of channels fails: each of its peers receives the reason, and the link
//! stays.

#![allow(clippy::expect_used)]

use std::time::Duration;
use trunkline_core::broker::{
    Accept, Broker, ConnId, Effect, Expose, Grants, Handle, Keep, Opened, Opening, PeerConfig,
    PeerProcess, PluginConfig, PluginId, Rights, Security, Settings, Step, Target, Told,
};
use trunkline_core::control::Role;
use trunkline_core::key::{Key, NETWORK};
use trunkline_core::limits::Limits;
use trunkline_core::reason::Code;
use trunkline_shs::Identity;

/// The number of channels. The reasons for their end are many times the credit of the control
/// stream.
const CHANNELS: usize = 3000;

struct Side {
    broker: Broker,
    conn: ConnId,
    plugin: PluginId,
    accepted: Vec<Handle>,
    ended: usize,
    dials: usize,
}

impl Side {
    fn new(number: u8, plugin: &str) -> Side {
        let settings = Settings {
            identity: Identity::from_seed(&[number; 32]),
            network: NETWORK,
            accept: Accept::Listed,
            name: format!("server-{number}"),
            role: Role::Server,
            machine: Key([0; 32]),
            software: String::new(),
            limits: Limits::default(),
            secret: [number; 32],
            seed: 1,
        };
        let mut broker = Broker::new(settings);
        let name = plugin.parse().expect("a name");
        let config = PluginConfig { expose: Expose::Peers, ..PluginConfig::new(name, 1) };
        let plugin = broker.add_plugin(config).expect("a new name");
        broker.plugin_started(plugin);
        Side { broker, conn: ConnId(0), plugin, accepted: Vec::new(), ended: 0, dials: 0 }
    }

    fn connect(&mut self, how: Opened) {
        let (grants, address, security) = (Grants::Server, "a pipe".into(), Security::NoAuth);
        let opening =
            Opening { how, grants, address, security, from: None, process: PeerProcess::Foreign };
        self.conn = self.broker.connected(opening);
    }

    fn perform(&mut self) {
        while let Some(effect) = self.broker.next_effect() {
            match effect {
                Effect::Tell(plugin, Told::Open(handle, _)) => {
                    self.broker.accept(plugin, handle).expect("it waits for an answer");
                    self.accepted.push(handle);
                }
                Effect::Tell(_, Told::Ended(_, reason)) => {
                    let reason = reason.expect("it was not closed in order");
                    assert!(reason.is(Code::PluginFailed), "{reason}");
                    self.ended += 1;
                }
                Effect::Tell(..) => {}
                Effect::Dial(_) => self.dials += 1,
                other => panic!("nobody asked for {other:?}"),
            }
        }
    }

    /// Moves all waiting bytes to the other side; returns whether there were any.
    fn send(&mut self, other: &mut Side) -> bool {
        self.perform();
        let bytes = self.broker.outgoing(self.conn).concat();
        self.broker.flushed(self.conn, bytes.len());
        other.feed(&bytes);
        while let [(_, unread)] = &other.broker.take_unread()[..] {
            other.broker.tick(Duration::ZERO);
            other.feed(unread);
        }
        !bytes.is_empty()
    }

    fn feed(&mut self, mut input: &[u8]) {
        loop {
            let step = self.broker.receive(self.conn, &mut input);
            self.perform();
            match step {
                Step::Done => return,
                Step::More => {}
                Step::Write { .. } => panic!("nobody writes"),
            }
        }
    }
}

fn exchange(a: &mut Side, b: &mut Side) {
    while a.send(b) | b.send(a) {}
}

#[test]
fn all_channels_of_a_failed_plugin_end_with_its_reason() {
    let (mut a, mut b) = (Side::new(1, "caller"), Side::new(2, "callee"));
    let (role, keep) = (Role::Server, Keep::Always);
    let peer = PeerConfig {
        key: None,
        name: None,
        endpoints: Vec::new(),
        role,
        keep,
        rights: Rights::all(),
    };
    let peer = a.broker.add_peer(peer);
    a.connect(Opened::Dialled(peer));
    b.connect(Opened::Accepted);
    exchange(&mut a, &mut b);
    let target = Target { name: "callee".parse().expect("a name"), least: 1, server: None };
    for _ in 0..CHANNELS {
        a.broker.open(a.plugin, &target).expect("it is there");
        exchange(&mut a, &mut b);
    }
    assert_eq!(b.accepted.len(), CHANNELS);
    a.broker.audit().expect("all in order");
    b.broker.audit().expect("all in order");

    b.broker.plugin_failed(b.plugin, &"why ".repeat(250));
    exchange(&mut a, &mut b);
    assert_eq!(a.ended, CHANNELS, "so many ends were told");
    assert!(a.broker.has_no_channels() && b.broker.has_no_channels());
    a.broker.tick(Duration::from_secs(1));
    assert_eq!(a.broker.linked_servers().count(), 1, "the link goes on");
    assert_eq!(a.dials, 0);
}
