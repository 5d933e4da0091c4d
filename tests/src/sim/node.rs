//! One server of the simulation: a broker, driven exactly as the shell drives it, with its plugins.

use super::Shared;
use super::actor::{Actor, Kind, Outcome};
use super::channel::Host;
use super::pipe::{Pipe, Read};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use trunkline_core::broker::{
    Broker, ConnId, Dial, Effect, Expose, Grants, Handle, Misuse, Opened, Opening, PluginConfig,
    PluginId, Security, Settings, Step, Told,
};
use trunkline_core::key::Key;

/// Rounds of effects in one turn; what is left goes on in the next one.
const ROUNDS: usize = 16;

/// How long a connection that hangs up may take to write what is left.
const HANG_UP: Duration = Duration::from_secs(5);

/// One server.
pub struct Node {
    /// Its number, for traces.
    pub number: usize,
    /// What decides.
    pub broker: Broker,
    /// Its plugins that run.
    pub actors: BTreeMap<PluginId, Actor>,
    /// Its connections: which pipe, which side.
    pub conns: BTreeMap<ConnId, (usize, usize)>,
    /// Connections whose pipe was full.
    pub blocked: BTreeSet<ConnId>,
    /// Connections that end with their outbox, or at a time.
    pub closing: BTreeMap<ConnId, Duration>,
    /// Pipes that wait to be accepted.
    pub backlog: Vec<usize>,
    /// What the broker wants dialled.
    pub dials: Vec<Dial>,
    /// Plugins that failed, which may come back.
    pub fallen: Vec<(Kind, u64, Expose)>,
}

impl Node {
    /// A server without plugins and connections.
    pub fn new(number: usize, settings: Settings) -> Node {
        Node {
            number,
            broker: Broker::new(settings),
            actors: BTreeMap::new(),
            conns: BTreeMap::new(),
            blocked: BTreeSet::new(),
            closing: BTreeMap::new(),
            backlog: Vec::new(),
            dials: Vec::new(),
            fallen: Vec::new(),
        }
    }

    /// Adds and starts a plugin, unless one of its name runs.
    pub fn start(&mut self, shared: &mut Shared, kind: Kind, version: u64, expose: Expose) {
        let Ok(name) = kind.name().parse() else { return };
        let uses = kind.uses().iter().filter_map(|name| Some((name.parse().ok()?, 0))).collect();
        let (invites, allow) = (Vec::new(), Vec::new());
        let config = PluginConfig { name, version, expose: expose.clone(), uses, invites, allow };
        let Ok(plugin) = self.broker.add_plugin(config) else { return };
        let mut actor = Actor::new(kind, version, expose, &self.broker);
        actor.start(&mut Host { broker: &mut self.broker, plugin, shared });
        shared.note(self.number, format_args!("{} starts", actor.label(plugin)));
        self.actors.insert(plugin, actor);
        self.broker.plugin_started(plugin);
    }

    /// Stops a plugin in order.
    pub fn stop_plugin(&mut self, shared: &mut Shared, plugin: PluginId) {
        if let Some(actor) = self.actors.remove(&plugin) {
            shared.note(self.number, format_args!("{} stops", actor.label(plugin)));
            self.fallen.push((actor.kind, actor.version, actor.expose));
            self.broker.plugin_stopped(plugin);
        }
    }

    /// One turn of the loop: read, perform, write.
    pub fn turn(&mut self, shared: &mut Shared, pipes: &mut [Pipe]) -> Result<(), String> {
        self.broker.tick(shared.now);
        self.accept(shared, pipes);
        for id in self.conns.keys().copied().collect::<Vec<_>>() {
            self.read(id, shared, pipes)?;
        }
        for id in std::mem::take(&mut self.blocked) {
            self.flush_one(id, shared, pipes);
        }
        for _ in 0..ROUNDS {
            self.perform_waiting(shared)?;
            self.flush(shared, pipes);
            if self.broker.effects_waiting() == 0 {
                break;
            }
        }
        self.finish_closing(shared, pipes);
        match self.actors.values().find(|actor| !actor.lost.is_empty()) {
            Some(actor) if self.broker.effects_waiting() == 0 => {
                Err(format!("{} was not told of a cut: {:?}", actor.kind.name(), actor.lost))
            }
            _ => Ok(()),
        }
    }

    fn accept(&mut self, shared: &mut Shared, pipes: &mut [Pipe]) {
        while !self.backlog.is_empty() && self.broker.accepts(Grants::Server) {
            let pipe = self.backlog.remove(0);
            self.connected(shared, pipes, pipe, 1, Opened::Accepted, None);
        }
    }

    /// A pipe is open at this side.
    pub fn connected(
        &mut self,
        shared: &mut Shared,
        pipes: &mut [Pipe],
        pipe: usize,
        side: usize,
        how: Opened,
        expected: Option<Key>,
    ) {
        let address = format!("pipe {pipe}");
        let security = match shared.secured {
            true => Security::Shs { expected, ephemeral: shared.random.ephemeral() },
            false => Security::NoAuth,
        };
        let grants = Grants::Server;
        let opening = Opening { how, grants, address, security, from: None };
        let id = self.broker.connected(opening);
        shared.note(self.number, format_args!("{id:?} is side {side} of pipe {pipe}"));
        self.conns.insert(id, (pipe, side));
        pipes[pipe].ends[side] = Some((self.number, id));
    }

    /// Whether bytes of a connection can be read now.
    pub fn readable(&self, id: ConnId, now: Duration, pipes: &[Pipe]) -> bool {
        let Some((pipe, side)) = self.conns.get(&id) else { return false };
        pipes[*pipe].ways[1 - side].readable_at().is_some_and(|at| at <= now)
    }

    fn read(&mut self, id: ConnId, shared: &mut Shared, pipes: &mut [Pipe]) -> Result<(), String> {
        if !self.readable(id, shared.now, pipes) || shared.random.chance(100) {
            return Ok(());
        }
        let Some(&(pipe, side)) = self.conns.get(&id) else { return Ok(()) };
        if shared.random.chance(20) {
            shared.trace.saw("one-byte reads");
            for _ in 0..shared.random.size(1, 60) {
                self.read_once(id, 1, shared, &mut pipes[pipe], side)?;
            }
        }
        let most = shared.random.size(1, 128 * 1024) as usize;
        self.read_once(id, most, shared, &mut pipes[pipe], side)
    }

    fn read_once(
        &mut self,
        id: ConnId,
        most: usize,
        shared: &mut Shared,
        pipe: &mut Pipe,
        side: usize,
    ) -> Result<(), String> {
        if !self.conns.contains_key(&id) {
            return Ok(());
        }
        match pipe.ways[1 - side].read(shared.now, most) {
            Read::Bytes(mut bytes) => {
                let mut plain = Vec::new();
                let opened = self.broker.unseal(id, &mut bytes, &mut plain);
                self.feed(id, opened, shared)
            }
            Read::Nothing => Ok(()),
            Read::End => {
                pipe.ends[side] = None;
                pipe.ways[side].end();
                self.disconnected(id, shared, "the peer closed it");
                Ok(())
            }
        }
    }

    /// The transport of a connection is gone: each channel over it has to be told.
    fn disconnected(&mut self, id: ConnId, shared: &mut Shared, why: &str) {
        shared.note(self.number, format_args!("{id:?} is gone: {why}"));
        self.conns.remove(&id);
        self.blocked.remove(&id);
        self.closing.remove(&id);
        for (plugin, handle) in self.broker.channels_over(id) {
            let Some(actor) = self.actors.get_mut(&plugin) else { continue };
            if actor.channels.contains_key(&handle) {
                shared.trace.saw("a channel cut");
                actor.lost.insert(handle);
            }
        }
        self.broker.disconnected(id, why);
    }

    fn feed(&mut self, id: ConnId, bytes: &[u8], shared: &mut Shared) -> Result<(), String> {
        let mut input = bytes;
        loop {
            let step = self.broker.receive(id, &mut input);
            self.perform_waiting(shared)?;
            match step {
                Step::Done => return Ok(()),
                Step::More => {}
                Step::Write { plugin, channel, bytes } => {
                    self.write(plugin, channel, bytes, shared)?;
                }
            }
        }
    }

    /// Performs as many effects as are waiting now.
    fn perform_waiting(&mut self, shared: &mut Shared) -> Result<(), String> {
        for _ in 0..self.broker.effects_waiting() {
            self.broker.audit().map_err(|what| format!("server-{}: {what}", self.number))?;
            match self.broker.next_effect() {
                Some(Effect::Tell(plugin, told)) => self.tell(plugin, told, shared)?,
                Some(Effect::Dial(dial)) => self.dials.push(dial),
                Some(Effect::HangUp(id)) => {
                    shared.note(self.number, format_args!("hang up {id:?}"));
                    self.closing.insert(id, shared.now + HANG_UP);
                }
                Some(Effect::CutOff(id)) => {
                    shared.note(self.number, format_args!("cut off {id:?}"));
                    self.closing.insert(id, Duration::ZERO);
                }
                Some(Effect::Command { .. }) => return Err("nobody gave a command".into()),
                Some(other) => return Err(format!("nobody asked for {other:?}")),
                None => break,
            }
        }
        Ok(())
    }

    fn tell(&mut self, plugin: PluginId, told: Told, shared: &mut Shared) -> Result<(), String> {
        shared.note(self.number, format_args!("#{} is told {}", plugin.0, brief(&told)));
        self.run(plugin, shared, |actor, host| actor.tell(host, told))
    }

    fn write(
        &mut self,
        plugin: PluginId,
        channel: Handle,
        bytes: &[u8],
        shared: &mut Shared,
    ) -> Result<(), String> {
        let count = bytes.len();
        let at = channel.0;
        shared.note(self.number, format_args!("#{} is told {count} bytes {at:#x}", plugin.0));
        self.run(plugin, shared, |actor, host| actor.write(host, channel, bytes))
    }

    fn run(
        &mut self,
        plugin: PluginId,
        shared: &mut Shared,
        call: impl FnOnce(&mut Actor, &mut Host<'_>) -> Result<Outcome, String>,
    ) -> Result<(), String> {
        let Some(actor) = self.actors.get_mut(&plugin) else {
            return Err(format!("plugin #{} is over, and was told something", plugin.0));
        };
        let mut host = Host { broker: &mut self.broker, plugin, shared };
        let outcome = call(actor, &mut host);
        let outcome = outcome.map_err(|error| format!("{}: {error}", actor.label(plugin)))?;
        match outcome {
            Outcome::Returned => return Ok(()),
            Outcome::Panicked => shared.trace.saw("a plugin's panic"),
            Outcome::Misused => {
                let misuse = self.broker.close(plugin, Handle(u64::MAX));
                if misuse != Err(Misuse::NoSuchChannel) {
                    return Err(format!("misuse gave {misuse:?}"));
                }
                shared.trace.saw("a plugin's misuse");
            }
        }
        self.fail(plugin, shared, "it was scripted to fail");
        Ok(())
    }

    /// A plugin panicked.
    pub fn fail(&mut self, plugin: PluginId, shared: &mut Shared, why: &str) {
        if let Some(actor) = self.actors.remove(&plugin) {
            shared.note(self.number, format_args!("{} fails", actor.label(plugin)));
            self.fallen.push((actor.kind, actor.version, actor.expose));
            self.broker.plugin_failed(plugin, why);
        }
    }

    fn flush(&mut self, shared: &mut Shared, pipes: &mut [Pipe]) {
        for id in self.broker.take_touched() {
            self.flush_one(id, shared, pipes);
        }
    }

    fn flush_one(&mut self, id: ConnId, shared: &mut Shared, pipes: &mut [Pipe]) {
        let Some(&(pipe, side)) = self.conns.get(&id) else { return };
        let pipe = &mut pipes[pipe];
        let at = shared.now + pipe.delay + Duration::from_micros(shared.random.size(0, 2000));
        loop {
            let outgoing = self.broker.outgoing(id);
            let waiting: usize = outgoing.iter().map(|slice| slice.len()).sum();
            if waiting == 0 {
                break;
            }
            let short = shared.random.chance(100);
            let most = if short { shared.random.size(1, 20_000) as usize } else { usize::MAX };
            let most = most.min(pipe.ways[side].room());
            let mut taken = 0;
            for slice in outgoing {
                taken += pipe.ways[side].write(&slice[..slice.len().min(most - taken)], at);
            }
            let all = taken == waiting;
            self.broker.flushed(id, taken);
            if short || !all {
                shared.trace.saw(if short { "a short write" } else { "a full pipe" });
                self.blocked.insert(id);
                return;
            }
        }
        // Streams may be waiting for their turn though nothing is left to write.
        self.broker.flushed(id, 0);
    }

    /// Whether a connection whose pipe was full can be written to again.
    pub fn writable(&self, id: ConnId, pipes: &[Pipe]) -> bool {
        let Some((pipe, side)) = self.conns.get(&id) else { return true };
        pipes[*pipe].ways[*side].is_writable()
    }

    fn finish_closing(&mut self, shared: &mut Shared, pipes: &mut [Pipe]) {
        let (broker, now) = (&mut self.broker, shared.now);
        let closing = self.closing.iter().map(|(id, by)| (*id, *by)).collect::<Vec<_>>();
        let done = closing.into_iter().filter(|(id, by)| broker.is_written(*id) || *by <= now);
        for (id, _) in done.collect::<Vec<_>>() {
            self.closing.remove(&id);
            if let Some(&(pipe, side)) = self.conns.get(&id) {
                pipes[pipe].ends[side] = None;
                pipes[pipe].ways[side].end();
                self.disconnected(id, shared, "hung up");
            }
        }
    }
}

/// What a plugin is told, in a few words.
fn brief(told: &Told) -> String {
    match told {
        Told::Open(handle, caller) => format!("open {:#x} by {}", handle.0, caller.name),
        Told::Opened(handle) => format!("opened {:#x}", handle.0),
        Told::Credit(handle) => format!("credit {:#x}", handle.0),
        Told::Deliver(handle) => format!("deliver {:#x}", handle.0),
        Told::Close(handle) => format!("close {:#x}", handle.0),
        Told::StopRead(handle) => format!("stop-read {:#x}", handle.0),
        Told::Ended(handle, None) => format!("ended {:#x} in order", handle.0),
        Told::Ended(handle, Some(reason)) => format!("ended {:#x}: {reason}", handle.0),
        Told::Directory(change) => {
            let entry = &change.entry;
            format!("{:?} {} at {}", change.kind, entry.name, entry.server.short())
        }
        Told::Link(change) => format!("link to {}: {:?}", change.name, change.down),
        Told::Timer(timer) => format!("timer {timer}"),
    }
}
