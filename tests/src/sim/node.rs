//! One server or host of the simulation: a broker, driven exactly as the shell drives it, with its
//! plugins.

use super::Shared;
use super::actor::{Actor, Character, Outcome};
use super::channel::Host;
use super::direct::Dialling;
use super::hosts::Nature;
use super::pipe::{Pipe, Read};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use trunkline_core::broker::{
    Broker, ChildId, ConnId, Dial, DirectDial, Effect, Grants, Handle, Misuse, Opened, Opening,
    Outcome as Ending, PeerProcess, Permission, PluginConfig, PluginId, Security, Settings, Step,
    Told,
};
use trunkline_core::key::Key;
use trunkline_core::reason::{Code, Reason};
use trunkline_core::route::Route;

/// Rounds of effects in one turn; what is left goes on in the next one.
const ROUNDS: usize = 16;

/// How long a connection that hangs up may take to write what is left.
const HANG_UP: Duration = Duration::from_secs(5);

/// How long a host that stops may take until it is gone.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Effects of one kind that wait at a time when a crowd of plugins comes: an audit before each of
/// them would take long, and see the same.
const MANY_EFFECTS: usize = 256;

/// Plugins of a directory that no queue holds.
const LARGE_DIRECTORY: usize = 2000;

/// What a server wants done with a host.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// It is started, with a pipe.
    Start(ChildId, usize),
    /// It is ended, if it runs.
    End(ChildId),
}

/// One server or host.
pub struct Node {
    /// Its number, for traces.
    pub number: usize,
    /// What it is, and where it comes from.
    pub nature: Nature,
    /// It runs. One that does not has a broker that knows nothing.
    pub alive: bool,
    /// How often it was started.
    pub life: u64,
    /// The plugins that it begins with, each time.
    pub begins_with: Vec<Character>,
    /// Plugins that start when it is known who their server is.
    pub waiting: Vec<Character>,
    /// It stops, and is gone at this time at the latest.
    pub stop_by: Option<Duration>,
    /// What becomes of the hosts that it starts, in this order.
    pub orders: Vec<Order>,
    /// Hosts of which it is about to hear that they have ended.
    pub ended: Vec<(ChildId, &'static str)>,
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
    /// What it has to do with direct connections.
    pub dialling: Dialling,
    /// Plugins that failed, which may come back.
    pub fallen: Vec<Character>,
}

impl Node {
    /// A server or a host without plugins and connections.
    pub fn new(number: usize, nature: Nature, settings: Settings) -> Node {
        Node {
            number,
            nature,
            alive: nature == Nature::Server,
            life: 0,
            begins_with: Vec::new(),
            waiting: Vec::new(),
            stop_by: None,
            orders: Vec::new(),
            ended: Vec::new(),
            broker: Broker::new(settings),
            actors: BTreeMap::new(),
            conns: BTreeMap::new(),
            blocked: BTreeSet::new(),
            closing: BTreeMap::new(),
            backlog: Vec::new(),
            dials: Vec::new(),
            dialling: Dialling::default(),
            fallen: Vec::new(),
        }
    }

    /// Adds and starts a plugin, unless one of its name runs.
    pub fn start(&mut self, shared: &mut Shared, character: Character) {
        let Character { kind, name, version, expose, advertised, manages_links } =
            character.clone();
        let uses = kind.uses().iter().filter_map(|name| Some((name.parse().ok()?, 0))).collect();
        let invites = kind.invites().iter().filter_map(|name| name.parse().ok()).collect();
        let allow = manages_links.then_some(Permission::Links).into_iter().collect();
        let config =
            PluginConfig { expose, uses, invites, allow, ..PluginConfig::new(name, version) };
        let plugin = match self.broker.add_plugin(config) {
            Ok(plugin) => plugin,
            Err(why) if why.text.contains("a plugin of the host") => {
                shared.trace.saw("a name that a host has");
                return;
            }
            Err(_) => return,
        };
        let started = (self.broker.home().0, character.name.clone());
        *shared.starts.entry(started).or_default() += 1;
        let mut actor = Actor::new(character, &self.broker);
        let (broker, others, fallen) = (&mut self.broker, &mut self.actors, &mut self.fallen);
        actor.start(&mut Host { broker, plugin, shared, others, fallen });
        shared.note(self.number, format_args!("{} starts", actor.label(plugin)));
        self.actors.insert(plugin, actor);
        self.broker.plugin_started(plugin);
        let process = (self.number, self.life);
        let direct = shared.networks.advertise(&mut shared.random, process, advertised);
        self.broker.set_direct(plugin, direct);
    }

    /// Stops a plugin in order.
    pub fn stop_plugin(&mut self, shared: &mut Shared, plugin: PluginId) {
        if let Some(actor) = self.actors.remove(&plugin) {
            shared.note(self.number, format_args!("{} stops", actor.label(plugin)));
            self.fallen.push(actor.character);
            self.broker.plugin_stopped(plugin);
        }
    }

    /// One turn of the loop: read, perform, write.
    pub fn turn(&mut self, shared: &mut Shared, pipes: &mut Vec<Pipe>) -> Result<(), String> {
        self.broker.tick(shared.now);
        for (child, why) in std::mem::take(&mut self.ended) {
            self.broker.child_ended(child, why);
        }
        for (id, bytes) in self.broker.take_unread() {
            shared.trace.saw("a peer that says more than a turn has room for");
            self.feed(id, &bytes, shared, pipes)?;
        }
        self.accept(shared, pipes);
        for id in self.conns.keys().copied().collect::<Vec<_>>() {
            self.read(id, shared, pipes)?;
        }
        for id in std::mem::take(&mut self.blocked) {
            self.flush_one(id, shared, pipes);
        }
        for _ in 0..ROUNDS {
            self.perform_waiting(shared, pipes)?;
            self.flush(shared, pipes);
            if self.broker.effects_waiting() == 0 {
                break;
            }
        }
        self.end_without_plugins(shared);
        self.finish_closing(shared, pipes);
        match self.actors.values().find(|actor| !actor.lost.is_empty()) {
            Some(actor) if self.broker.effects_waiting() == 0 => {
                Err(format!("{} was not told of a cut: {:?}", actor.character.name, actor.lost))
            }
            _ => Ok(()),
        }
    }

    fn accept(&mut self, shared: &mut Shared, pipes: &mut [Pipe]) {
        while let Some(at) = self.acceptable(pipes) {
            let pipe = self.backlog.remove(at);
            let how = if pipes[pipe].direct { Opened::Direct } else { Opened::Accepted };
            self.connected(shared, pipes, pipe, 1, how, None);
        }
    }

    /// The first pipe in the backlog that can be accepted now.
    pub fn acceptable(&self, pipes: &[Pipe]) -> Option<usize> {
        let admitted = |pipe: &usize| match pipes[*pipe].secured {
            true => Grants::Server,
            false => pipes[*pipe].grants,
        };
        self.backlog.iter().position(|pipe| self.broker.accepts(admitted(pipe)))
    }

    /// A host that its server started lives for its plugins.
    fn end_without_plugins(&mut self, shared: &mut Shared) {
        let lives_for_plugins = matches!(self.nature, Nature::Child { .. });
        let none = self.actors.is_empty() && self.waiting.is_empty();
        if self.alive && lives_for_plugins && none && !shared.closing && self.stop_by.is_none() {
            shared.trace.saw("a host without plugins");
            self.broker.stop(&Reason::server(Code::PluginFailed, "its plugin is gone"));
            self.stop(shared);
        }
    }

    /// Begins to end in order.
    pub fn stop(&mut self, shared: &mut Shared) {
        if self.alive && self.stop_by.is_none() {
            shared.note(self.number, format_args!("stops"));
            self.stop_by = Some(shared.now + STOP_TIME);
            for plugin in self.actors.keys().rev().copied().collect::<Vec<_>>() {
                self.stop_plugin(shared, plugin);
            }
            self.broker.stop(&Reason::server(Code::ServerStopping, "the server is going down"));
        }
    }

    /// Whether it has stopped.
    pub fn has_ended(&self, now: Duration) -> bool {
        self.stop_by.is_some_and(|by| self.conns.is_empty() || by <= now)
    }

    /// It is gone from one moment to the next, with all that it had; each of its pipes ends, behind
    /// what was written, or with it.
    pub fn die(&mut self, shared: &mut Shared, pipes: &mut [Pipe], settings: Settings) {
        shared.note(self.number, format_args!("is gone"));
        for (pipe, side) in self.conns.values() {
            pipes[*pipe].ends[*side] = None;
            let way = &mut pipes[*pipe].ways[*side];
            match shared.random.chance(500) {
                true => way.end(),
                false => way.cut(shared.random.below(way.queued() as u64 + 1) as usize),
            }
        }
        for pipe in &self.backlog {
            pipes[*pipe].ways[1].end();
        }
        let begins_with = std::mem::take(&mut self.begins_with);
        let life = self.life + 1;
        *self = Node { life, begins_with, ..Node::new(self.number, self.nature, settings) };
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
        let security = match pipes[pipe].secured {
            true => Security::Shs { expected, ephemeral: shared.random.ephemeral() },
            false => Security::NoAuth,
        };
        let grants = match side == 1 && !pipes[pipe].secured {
            true => pipes[pipe].grants,
            false => Grants::Server,
        };
        let from = pipes[pipe].from.filter(|_| side == 1);
        let opening =
            Opening { how, grants, address, security, from, process: PeerProcess::Foreign };
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

    fn read(
        &mut self,
        id: ConnId,
        shared: &mut Shared,
        pipes: &mut Vec<Pipe>,
    ) -> Result<(), String> {
        if !self.readable(id, shared.now, pipes) || shared.random.chance(100) {
            return Ok(());
        }
        if shared.random.chance(20) {
            shared.trace.saw("one-byte reads");
            for _ in 0..shared.random.size(1, 60) {
                self.read_once(id, 1, shared, pipes)?;
            }
        }
        let most = shared.random.size(1, 128 * 1024) as usize;
        self.read_once(id, most, shared, pipes)
    }

    fn read_once(
        &mut self,
        id: ConnId,
        most: usize,
        shared: &mut Shared,
        pipes: &mut Vec<Pipe>,
    ) -> Result<(), String> {
        let Some(&(number, side)) = self.conns.get(&id) else { return Ok(()) };
        if self.broker.is_behind(id) {
            return Ok(());
        }
        let pipe = &mut pipes[number];
        match pipe.ways[1 - side].read(shared.now, most) {
            Read::Bytes(mut bytes) => {
                let mut plain = Vec::new();
                let opened = self.broker.unseal(id, &mut bytes, &mut plain);
                self.feed(id, opened, shared, pipes)
            }
            Read::Nothing => Ok(()),
            Read::End => {
                pipe.ends[side] = None;
                pipe.ways[side].end();
                self.disconnected(id, shared, pipes, "the peer closed it");
                Ok(())
            }
        }
    }

    /// The transport of a connection is gone: each channel over it has to be told.
    fn disconnected(&mut self, id: ConnId, shared: &mut Shared, pipes: &[Pipe], why: &str) {
        shared.note(self.number, format_args!("{id:?} is gone: {why}"));
        let pipe = self.conns.remove(&id).map(|(pipe, _)| pipe);
        let to_host = pipe.is_some_and(|pipe| pipes[pipe].host.is_some());
        let code = match self.nature {
            Nature::Server if to_host => Code::HostLost,
            _ => Code::LinkLost,
        };
        if self.broker.uplink_conn() == Some(id) {
            // What it wanted of its server is lost with the link.
            self.actors.values_mut().for_each(|actor| actor.wanted.clear());
        }
        self.blocked.remove(&id);
        self.closing.remove(&id);
        for (plugin, handle) in self.broker.channels_over(id) {
            let Some(actor) = self.actors.get_mut(&plugin) else { continue };
            if actor.channels.contains_key(&handle) {
                shared.trace.saw("a channel cut");
                actor.lost.insert(handle, code);
            }
        }
        self.broker.disconnected(id, why);
    }

    fn feed(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        shared: &mut Shared,
        pipes: &mut Vec<Pipe>,
    ) -> Result<(), String> {
        let mut input = bytes;
        loop {
            let step = self.broker.receive(id, &mut input);
            self.perform_waiting(shared, pipes)?;
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
    fn perform_waiting(
        &mut self,
        shared: &mut Shared,
        pipes: &mut Vec<Pipe>,
    ) -> Result<(), String> {
        for waiting in (0..self.broker.effects_waiting()).rev() {
            let at = &shared.cast[self.number].name;
            if waiting < MANY_EFFECTS || waiting % MANY_EFFECTS == 0 {
                self.broker.audit().map_err(|what| format!("{at}: {what}"))?;
            }
            self.note_links(shared);
            match self.broker.next_effect() {
                Some(Effect::Tell(plugin, told)) => self.tell(plugin, told, shared)?,
                Some(Effect::Dial(dial)) => self.dials.push(dial),
                Some(Effect::HangUp(id)) => {
                    shared.note(self.number, format_args!("hang up {id:?}"));
                    if self
                        .conns
                        .get(&id)
                        .is_some_and(|(pipe, side)| pipes[*pipe].direct && *side == 0)
                    {
                        self.dialling.hangs_up();
                    }
                    self.closing.insert(id, shared.now + HANG_UP);
                }
                Some(Effect::CutOff(id)) => {
                    shared.note(self.number, format_args!("cut off {id:?}"));
                    self.note_refused_key(id, shared, pipes);
                    self.closing.insert(id, Duration::ZERO);
                }
                Some(Effect::HomeFound) => self.home_found(shared),
                Some(Effect::Orphaned) => self.stop(shared),
                Some(Effect::Reject(plugin, reason)) => self.reject(plugin, &reason, shared)?,
                Some(Effect::StartChild(child)) => self.start_child(child, shared, pipes),
                Some(Effect::EndChild(child)) => self.orders.push(Order::End(child)),
                Some(Effect::Command { .. }) => return Err("nobody gave a command".into()),
                Some(Effect::DialDirect(dial)) => self.dial_direct(dial, shared),
                Some(Effect::DropDial(id)) => self.dialling.give_up(id, shared),
                Some(Effect::TakeAgain(id, mut bytes)) => {
                    shared.trace.saw("a caller that was let in late");
                    let mut plain = Vec::new();
                    let opened = self.broker.unseal(id, &mut bytes, &mut plain);
                    self.feed(id, opened, shared, pipes)?;
                }
                None => break,
            }
        }
        Ok(())
    }

    /// Notes the pipes that serve this server and another one.
    fn note_links(&self, shared: &mut Shared) {
        let ours = self.broker.key();
        for (theirs, id) in self.broker.links().filter(|_| !self.is_host()) {
            if let Some((pipe, _)) = self.conns.get(&id) {
                let pair = (ours.min(theirs), ours.max(theirs));
                shared.links.entry(pair).or_default().insert(*pipe);
            }
        }
    }

    /// The pipe over which a channel goes to a server.
    fn way_of(&self, plugin: PluginId, handle: Handle) -> Option<usize> {
        let over = |id: &ConnId| self.broker.channels_over(*id).contains(&(plugin, handle));
        let conn = self.conns.iter().find(|(id, _)| over(id) && !self.is_host());
        conn.map(|(_, (pipe, _))| *pipe)
    }

    fn dial_direct(&mut self, dial: DirectDial, shared: &mut Shared) {
        shared.note(self.number, format_args!("dials {dial:?}"));
        self.dialling.begin(dial);
    }

    /// Notes the route of a channel that is up, where it is one of several.
    fn note_route(&mut self, channel: Handle, shared: &mut Shared) {
        let gave_up = self.dialling.has_given_up();
        let what = match (self.broker.route(channel), gave_up) {
            (Some(Route::Unix), _) => "a direct channel over unix",
            (Some(Route::Tcp), _) => "a direct channel over tcp",
            (Some(Route::Punched), _) => "a direct channel that was punched",
            (Some(_), true) => "a relay that won over a slow direct connection",
            _ => return,
        };
        shared.note(self.number, format_args!("{what}"));
        shared.trace.saw(what);
    }

    fn note_refused_key(&self, id: ConnId, shared: &mut Shared, pipes: &[Pipe]) {
        let Some((pipe, 1)) = self.conns.get(&id) else { return };
        if pipes[*pipe].unlisted && pipes[*pipe].ways[1].written > 0 {
            shared.trace.saw("a refused key");
        }
    }

    /// The server of this host is found: its plugins start.
    fn home_found(&mut self, shared: &mut Shared) {
        if self.broker.directory().count() > LARGE_DIRECTORY {
            shared.trace.saw("a host that linked beside a crowd of plugins");
        }
        for character in std::mem::take(&mut self.waiting) {
            self.start(shared, character);
        }
    }

    /// The server does not take a plugin: it stops.
    fn reject(
        &mut self,
        plugin: PluginId,
        reason: &Reason,
        shared: &mut Shared,
    ) -> Result<(), String> {
        let Some(actor) = self.actors.get(&plugin) else { return Ok(()) };
        let (label, name) = (actor.label(plugin), &actor.character.name);
        if !shared.contested.contains(&(shared.cast[self.number].home, name.clone())) {
            return Err(format!("{label} was rejected, but nobody else has its name: {reason}"));
        }
        shared.note(self.number, format_args!("{label} is rejected: {reason}"));
        shared.trace.saw("a taken name");
        self.fail(plugin, shared, "its name is taken");
        Ok(())
    }

    fn start_child(&mut self, child: ChildId, shared: &mut Shared, pipes: &mut Vec<Pipe>) {
        if !shared.calm && shared.random.chance(50) {
            shared.trace.saw("a host that cannot be started");
            self.broker.child_ended(child, "it cannot be started");
            return;
        }
        let pipe = pipes.len();
        pipes.push(Pipe::to_child(&mut shared.random));
        self.connected(shared, pipes, pipe, 1, Opened::Child(child), None);
        self.orders.push(Order::Start(child, pipe));
    }

    fn tell(&mut self, plugin: PluginId, told: Told, shared: &mut Shared) -> Result<(), String> {
        shared.note(self.number, format_args!("#{} is told {}", plugin.0, brief(&told)));
        if let Told::Open(handle, caller) = &told {
            super::hosts::note_way(shared, self.number, caller.name.as_str());
            let offers = matches!(caller.name.as_str(), "inviter" | "guest");
            shared.told_over = offers.then(|| self.way_of(plugin, *handle)).flatten();
        }
        if let Told::Opened(handle) = told {
            self.note_route(handle, shared);
        }
        self.dialling.has_given_up();
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
        let Some(mut actor) = self.actors.remove(&plugin) else {
            return Err(format!("plugin #{} is over, and was told something", plugin.0));
        };
        let (broker, others, fallen) = (&mut self.broker, &mut self.actors, &mut self.fallen);
        let outcome = call(&mut actor, &mut Host { broker, plugin, shared, others, fallen });
        let outcome = outcome.map_err(|error| format!("{}: {error}", actor.label(plugin)));
        self.actors.insert(plugin, actor);
        let outcome = outcome?;
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
            self.fallen.push(actor.character);
            self.broker.plugin_failed(plugin, why);
        }
    }

    fn flush(&mut self, shared: &mut Shared, pipes: &mut [Pipe]) {
        let mut touched = Vec::new();
        self.broker.take_touched(&mut touched);
        for id in touched {
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
                self.disconnected(id, shared, pipes, "hung up");
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
        Told::Call(call, caller, request) => {
            format!("call {:#x} by {} with {} bytes", call.0, caller.name, request.len())
        }
        Told::Cancelled(call) => format!("cancelled {:#x}", call.0),
        Told::Reply(call, Ending::Answered(answer)) => {
            format!("reply {:#x} with {} bytes", call.0, answer.len())
        }
        Told::Reply(call, ending) => format!("reply {:#x}: {ending:?}", call.0),
    }
}
