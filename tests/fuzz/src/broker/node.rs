//! One of our own processes: a broker that is driven as the shell drives it, with its plugins.

use super::plugins::{self, Plugin, Ran};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use trunkline_core::address::{Endpoint, Transform};
use trunkline_core::broker::{
    Broker, ChildId, ConnId, DirectDial, DirectId, DirectPlace, Effect, Handle, PeerId,
    PluginConfig, PluginId, Settings, Step,
};
use trunkline_core::key::Key;
use trunkline_core::reason::Reason;

/// Bytes that one read of a connection brings, as in a server.
pub(super) const READ: usize = 64 * 1024;

/// Commands of the command line that are not answered at once.
const COMMANDS_MAX: usize = 8;

/// A server or a host.
pub(super) struct Node {
    pub(super) broker: Broker,
    pub(super) plugins: BTreeMap<PluginId, Plugin>,
    /// What it wants dialled, with the key that has to be there; without one, a unix socket.
    pub(super) dials: Vec<(PeerId, Option<Key>)>,
    pub(super) directs: Vec<(DirectId, Option<Key>)>,
    pub(super) children: Vec<ChildId>,
    pub(super) commands: Vec<Handle>,
    /// Connections that end when all is written, and since when.
    pub(super) hanging: BTreeMap<ConnId, Duration>,
    /// Connections that it has cut off.
    pub(super) cut: Vec<ConnId>,
    pub(super) home_found: bool,
    pub(super) now: Duration,
    /// Effects that were performed.
    pub(super) effects: u64,
}

impl Node {
    pub(super) fn new(settings: Settings) -> Node {
        Node {
            broker: Broker::new(settings),
            plugins: BTreeMap::new(),
            dials: Vec::new(),
            directs: Vec::new(),
            children: Vec::new(),
            commands: Vec::new(),
            hanging: BTreeMap::new(),
            cut: Vec::new(),
            home_found: false,
            now: Duration::ZERO,
            effects: 0,
        }
    }

    /// Starts a plugin, unless its name is taken.
    pub(super) fn start(&mut self, kind: &'static str, config: PluginConfig) {
        if let Ok(id) = self.broker.add_plugin(config) {
            self.plugins.insert(id, Plugin::new(kind));
            self.broker.plugin_started(id);
        }
    }

    /// The plugin of a kind, if it runs.
    pub(super) fn plugin(&self, kind: &str) -> Option<PluginId> {
        let mut found = self.plugins.iter().filter(|(_, plugin)| plugin.kind == kind);
        found.next().map(|(id, _)| *id)
    }

    /// What must hold after each step.
    pub(super) fn audit(&self) {
        if let Err(what) = self.broker.audit() {
            panic!("audit: {what}");
        }
    }

    /// The time is `now`.
    pub(super) fn tick(&mut self, now: Duration) {
        self.now = now;
        self.broker.tick(now);
        self.perform();
    }

    /// Takes what a connection brought.
    pub(super) fn receive(&mut self, id: ConnId, bytes: &mut [u8]) {
        let mut plain = Vec::new();
        let opened = self.broker.unseal(id, bytes, &mut plain).to_vec();
        self.perform();
        self.feed(id, &opened);
    }

    fn feed(&mut self, id: ConnId, mut input: &[u8]) {
        loop {
            let before = input.len();
            let step = self.broker.receive(id, &mut input);
            let over = matches!(step, Step::Done);
            let write = match step {
                Step::Write { plugin, channel, bytes } => Some((plugin, channel, bytes)),
                Step::Done | Step::More => None,
            };
            self.perform();
            if let Some((plugin, channel, bytes)) = write {
                self.run(plugin, |one, broker| one.read(plugin, broker, channel, bytes));
            }
            if over {
                break;
            }
            assert!(input.len() <= before, "the input grows");
        }
    }

    /// A turn of the loop begins, with what the last one had no room for.
    pub(super) fn begin_turn(&mut self) {
        self.broker.tick(self.now);
        for (id, bytes) in self.broker.take_unread() {
            self.feed(id, &bytes);
        }
        self.perform();
    }

    /// Whether something is left for the next turn.
    pub(super) fn has_work(&self) -> bool {
        let mut ids = self.broker.connections().map(|(id, _)| id);
        let behind = ids.any(|id| self.broker.is_behind(id));
        behind || self.broker.effects_waiting() > 0 || !self.cut.is_empty()
    }

    /// Performs as many effects as are waiting now.
    pub(super) fn perform(&mut self) {
        for _ in 0..self.broker.effects_waiting() {
            let Some(effect) = self.broker.next_effect() else { break };
            self.effects += 1;
            match effect {
                Effect::Tell(plugin, told) => {
                    assert!(self.plugins.contains_key(&plugin), "{plugin:?} is over: {told:?}");
                    self.run(plugin, |one, broker| one.tell(plugin, broker, told));
                }
                Effect::Dial(dial) => self.dials.push((dial.peer, key_at(&dial.endpoints))),
                Effect::DialDirect(DirectDial { id, place }) => {
                    let key = match place {
                        DirectPlace::Socket(_) => None,
                        DirectPlace::Net(at) | DirectPlace::Punch(at) => key_at(&at),
                        // This side waits for the other one's connection.
                        DirectPlace::Answer(_) => continue,
                    };
                    self.directs.push((id, key));
                }
                Effect::DropDial(id) => self.directs.retain(|(other, _)| *other != id),
                Effect::HangUp(id) => {
                    self.hanging.insert(id, self.now);
                }
                Effect::CutOff(id) => self.cut.push(id),
                Effect::TakeAgain(id, mut bytes) => self.receive(id, &mut bytes),
                Effect::HomeFound => self.home_found = true,
                Effect::StartChild(child) => self.children.push(child),
                Effect::Orphaned | Effect::EndChild(_) => {}
                Effect::Reject(plugin, _) => self.fail(plugin),
                Effect::Command { request, name } => self.command(request, &name),
            }
        }
    }

    /// Runs a callback of a plugin, which fails when it breaks its contract.
    pub(super) fn run(
        &mut self,
        plugin: PluginId,
        callback: impl FnOnce(&mut Plugin, &mut Broker) -> Ran,
    ) {
        let Some(one) = self.plugins.get_mut(&plugin) else { return };
        if callback(one, &mut self.broker).is_err() {
            self.fail(plugin);
        }
    }

    /// A plugin panics, or breaks its contract.
    pub(super) fn fail(&mut self, plugin: PluginId) {
        if self.plugins.remove(&plugin).is_some() {
            self.broker.plugin_failed(plugin, "it was scripted to fail");
        }
    }

    /// A plugin calls another one.
    pub(super) fn call(&mut self, caller: PluginId, to: (&str, Option<Key>), request: &[u8]) {
        let called = plugins::call(&mut self.broker, &mut self.plugins, caller, to, request);
        if let Err(failed) = called {
            self.plugins.remove(&failed);
        }
    }

    fn command(&mut self, request: Handle, name: &str) {
        let words: Vec<&str> = name.split(' ').collect();
        let reply = match words[..] {
            ["explain", from, to] => format!("{:?}", self.broker.explain(from, to)),
            ["status"] => format!("{:?}", self.broker.status()),
            [] | [""] if self.commands.len() < COMMANDS_MAX => {
                self.commands.push(request);
                return;
            }
            _ => {
                let reason = Reason::plugin("mine", "no such command");
                return self.broker.answer_command(request, Err(reason));
            }
        };
        self.broker.answer_command(request, Ok(reply.as_bytes()));
    }

    /// What goes out on a connection now, as much as one read brings.
    pub(super) fn outgoing(&mut self, id: ConnId) -> Vec<u8> {
        let mut bytes = self.broker.outgoing(id).concat();
        bytes.truncate(READ);
        self.broker.flushed(id, bytes.len());
        bytes
    }

    /// The transport of a connection is gone. Each channel over it is told so.
    pub(super) fn disconnected(&mut self, id: ConnId) {
        let over: BTreeSet<(PluginId, Handle)> =
            self.broker.channels_over(id).into_iter().collect();
        self.hanging.remove(&id);
        self.broker.disconnected(id, "it is gone");
        self.audit();
        while self.broker.effects_waiting() > 0 {
            self.perform();
        }
        for (plugin, handle) in over {
            let knows = self.plugins.get(&plugin).is_some_and(|p| p.channels.contains_key(&handle));
            assert!(!knows, "{plugin:?} was not told that {handle:?} is over");
        }
    }
}

/// The key that has to be at one of these places.
fn key_at(endpoints: &[Endpoint]) -> Option<Key> {
    endpoints.iter().find_map(|endpoint| match endpoint.transform {
        Transform::Shs(key) => Some(key),
        Transform::NoAuth | Transform::ShsKnownKey => None,
    })
}
