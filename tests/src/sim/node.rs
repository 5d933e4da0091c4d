//! One server or host of the simulation: a broker with its plugins, driven exactly as the shell
//! drives it.

use super::Shared;
use super::actor::{Actor, CallbackOutcome, PluginSpec};
use super::channel::Host;
use super::direct::Dialling;
use super::hosts::NodeKind;
use super::pipe::{Pipe, Read};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use trunkline_core::broker::{
    Broker, ChildId, ConnId, Dial, DirectDial, Effect, Grants, Handle, Misuse, Opened, Opening,
    Outcome, PeerProcess, Permission, PluginConfig, PluginId, Security, Settings, Step, Told,
};
use trunkline_core::key::Key;
use trunkline_core::reason::{Code, Reason};
use trunkline_core::route::Route;

/// Rounds of effects in one turn. Effects that are left wait for the next one.
const ROUNDS: usize = 16;

/// How long a closing connection may take to write its last bytes.
const LINGER: Duration = Duration::from_secs(5);

/// How long a host may take to stop.
const STOP_TIME: Duration = Duration::from_secs(5);

/// If more effects than this are queued, because a crowd of plugins has arrived, only some of them
/// have an audit before them. An audit before each would take long.
const MANY_EFFECTS: usize = 256;

/// More plugins in a directory than any queue holds.
const LARGE_DIRECTORY: usize = 2000;

/// A server's order to start or end a host.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// Start it, with this pipe.
    Start(ChildId, usize),
    /// End it, if it runs.
    End(ChildId),
}

/// One server or host.
pub struct Node {
    /// Its number, for traces.
    pub number: usize,
    /// Its kind, and how it is started.
    pub node_kind: NodeKind,
    /// It runs. If it does not, its broker is a fresh one.
    pub alive: bool,
    /// How often it was started.
    pub generation: u64,
    /// The plugins that it has at each start.
    pub initial_plugins: Vec<PluginSpec>,
    /// Plugins that start when the link to the server is up.
    pub waiting: Vec<PluginSpec>,
    /// It is stopping, and has ended by this time.
    pub stop_by: Option<Duration>,
    /// Orders for hosts, in this order.
    pub orders: Vec<Order>,
    /// Hosts that have ended, and will be reported to the broker in the next turn.
    pub ended: Vec<(ChildId, &'static str)>,
    /// Its broker.
    pub broker: Broker,
    /// Its plugins that run.
    pub actors: BTreeMap<PluginId, Actor>,
    /// The pipe of each connection, and its side.
    pub conns: BTreeMap<ConnId, (usize, usize)>,
    /// Connections whose pipe was full.
    pub blocked: BTreeSet<ConnId>,
    /// Closing connections, with the time at which they end if their outbox is not empty.
    pub closing: BTreeMap<ConnId, Duration>,
    /// Pipes that wait to be accepted.
    pub backlog: Vec<usize>,
    /// Dials that the broker has requested.
    pub dials: Vec<Dial>,
    /// Its direct connections.
    pub dialling: Dialling,
    /// Plugins that failed or were stopped, and may be restarted.
    pub restartable: Vec<PluginSpec>,
}

impl Node {
    /// A server or a host without plugins and connections.
    pub fn new(number: usize, node_kind: NodeKind, settings: Settings) -> Node {
        Node {
            number,
            node_kind,
            alive: node_kind == NodeKind::Server,
            generation: 0,
            initial_plugins: Vec::new(),
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
            restartable: Vec::new(),
        }
    }

    /// Adds and starts a plugin, unless one of its name runs.
    pub fn start(&mut self, shared: &mut Shared, spec: PluginSpec) {
        let PluginSpec { kind, name, version, expose, advertised, manages_links } = spec.clone();
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
        let started = (self.broker.home().0, spec.name.clone());
        *shared.starts.entry(started).or_default() += 1;
        let mut actor = Actor::new(spec, &self.broker);
        let (broker, others, restartable) =
            (&mut self.broker, &mut self.actors, &mut self.restartable);
        actor.start(&mut Host { broker, plugin, shared, others, restartable });
        shared.note(self.number, format_args!("{} starts", actor.label(plugin)));
        self.actors.insert(plugin, actor);
        self.broker.plugin_started(plugin);
        let process = (self.number, self.generation);
        let direct = shared.networks.advertise(&mut shared.random, process, advertised);
        self.broker.set_direct(plugin, direct);
    }

    /// Stops a plugin in order.
    pub fn stop_plugin(&mut self, shared: &mut Shared, plugin: PluginId) {
        if let Some(actor) = self.actors.remove(&plugin) {
            shared.note(self.number, format_args!("{} stops", actor.label(plugin)));
            self.restartable.push(actor.spec);
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
            shared.trace.saw("a peer that exceeds its budget of a turn");
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
                Err(format!("{} was not told of a cut: {:?}", actor.spec.name, actor.lost))
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

    /// Stops a host that its server started when its last plugin has ended.
    fn end_without_plugins(&mut self, shared: &mut Shared) {
        let exits_without_plugins = matches!(self.node_kind, NodeKind::Child { .. });
        let none = self.actors.is_empty() && self.waiting.is_empty();
        if self.alive && exits_without_plugins && none && !shared.closing && self.stop_by.is_none()
        {
            shared.trace.saw("a host without plugins");
            self.broker.stop(&Reason::server(Code::PluginFailed, "its plugin is gone"));
            self.stop(shared);
        }
    }

    /// Begins an orderly stop.
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

    /// Ends at once and loses its state. Each of its pipes ends, after the bytes in flight, or in
    /// the middle of them.
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
        let initial_plugins = std::mem::take(&mut self.initial_plugins);
        let generation = self.generation + 1;
        *self = Node {
            generation,
            initial_plugins,
            ..Node::new(self.number, self.node_kind, settings)
        };
    }

    /// Opens a connection at one side of a pipe.
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

    /// Ends a connection. The end of each of its channels has to be reported.
    fn disconnected(&mut self, id: ConnId, shared: &mut Shared, pipes: &[Pipe], why: &str) {
        shared.note(self.number, format_args!("{id:?} is gone: {why}"));
        let pipe = self.conns.remove(&id).map(|(pipe, _)| pipe);
        let to_host = pipe.is_some_and(|pipe| pipes[pipe].host.is_some());
        let code = match self.node_kind {
            NodeKind::Server if to_host => Code::HostLost,
            _ => Code::LinkLost,
        };
        if self.broker.uplink_conn() == Some(id) {
            // Its requests to the server are lost with the link.
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

    /// Performs the effects that are queued now.
    fn perform_waiting(
        &mut self,
        shared: &mut Shared,
        pipes: &mut Vec<Pipe>,
    ) -> Result<(), String> {
        for waiting in (0..self.broker.effects_waiting()).rev() {
            let at = &shared.info[self.number].name;
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
                        self.dialling.closes();
                    }
                    self.closing.insert(id, shared.now + LINGER);
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
                Some(Effect::Command { .. }) => {
                    return Err("a command came, but there is no command line".into());
                }
                Some(Effect::DialDirect(dial)) => self.dial_direct(dial, shared),
                Some(Effect::DropDial(id)) => self.dialling.give_up(id, shared),
                Some(Effect::TakeAgain(id, mut bytes)) => {
                    shared.trace.saw("a caller admitted late");
                    let mut plain = Vec::new();
                    let opened = self.broker.unseal(id, &mut bytes, &mut plain);
                    self.feed(id, opened, shared, pipes)?;
                }
                None => break,
            }
        }
        Ok(())
    }

    /// Notes the pipes that serve as links between two servers.
    fn note_links(&self, shared: &mut Shared) {
        let ours = self.broker.key();
        for (theirs, id) in self.broker.links().filter(|_| !self.is_host()) {
            if let Some((pipe, _)) = self.conns.get(&id) {
                let pair = (ours.min(theirs), ours.max(theirs));
                shared.links.entry(pair).or_default().insert(*pipe);
            }
        }
    }

    /// The pipe that carries a channel to another server.
    fn pipe_of(&self, plugin: PluginId, handle: Handle) -> Option<usize> {
        let over = |id: &ConnId| self.broker.channels_over(*id).contains(&(plugin, handle));
        let conn = self.conns.iter().find(|(id, _)| over(id) && !self.is_host());
        conn.map(|(_, (pipe, _))| *pipe)
    }

    fn dial_direct(&mut self, dial: DirectDial, shared: &mut Shared) {
        shared.note(self.number, format_args!("dials {dial:?}"));
        self.dialling.begin(dial);
    }

    /// Notes the route of a channel that has come up, if there were several.
    fn note_route(&mut self, channel: Handle, shared: &mut Shared) {
        let cancelled = self.dialling.take_cancelled();
        let what = match (self.broker.route(channel), cancelled) {
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

    /// The link to this host's server is up, so its plugins start.
    fn home_found(&mut self, shared: &mut Shared) {
        if self.broker.directory().count() > LARGE_DIRECTORY {
            shared.trace.saw("a host that linked beside a crowd of plugins");
        }
        for spec in std::mem::take(&mut self.waiting) {
            self.start(shared, spec);
        }
    }

    /// Removes a plugin that the server rejects.
    fn reject(
        &mut self,
        plugin: PluginId,
        reason: &Reason,
        shared: &mut Shared,
    ) -> Result<(), String> {
        let Some(actor) = self.actors.get(&plugin) else { return Ok(()) };
        let (label, name) = (actor.label(plugin), &actor.spec.name);
        if !shared.contested.contains(&(shared.info[self.number].home, name.clone())) {
            return Err(format!(
                "{label} was rejected, but no other plugin has its name: {reason}"
            ));
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
        shared.note(self.number, format_args!("#{} gets {}", plugin.0, describe(&told)));
        if let Told::Open(handle, caller) = &told {
            super::hosts::note_path(shared, self.number, caller.name.as_str());
            let offers = matches!(caller.name.as_str(), "inviter" | "guest");
            shared.request_pipe = offers.then(|| self.pipe_of(plugin, *handle)).flatten();
        }
        if let Told::Opened(handle) = told {
            self.note_route(handle, shared);
        }
        self.dialling.take_cancelled();
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
        shared.note(self.number, format_args!("#{} gets {count} bytes {at:#x}", plugin.0));
        self.run(plugin, shared, |actor, host| actor.write(host, channel, bytes))
    }

    fn run(
        &mut self,
        plugin: PluginId,
        shared: &mut Shared,
        call: impl FnOnce(&mut Actor, &mut Host<'_>) -> Result<CallbackOutcome, String>,
    ) -> Result<(), String> {
        let Some(mut actor) = self.actors.remove(&plugin) else {
            return Err(format!("plugin #{} has ended, but got an event", plugin.0));
        };
        let (broker, others, restartable) =
            (&mut self.broker, &mut self.actors, &mut self.restartable);
        let outcome = call(&mut actor, &mut Host { broker, plugin, shared, others, restartable });
        let outcome = outcome.map_err(|error| format!("{}: {error}", actor.label(plugin)));
        self.actors.insert(plugin, actor);
        let outcome = outcome?;
        match outcome {
            CallbackOutcome::Returned => return Ok(()),
            CallbackOutcome::Panicked => shared.trace.saw("a plugin's panic"),
            CallbackOutcome::Misused => {
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

    /// Removes a plugin that panicked or was rejected.
    pub fn fail(&mut self, plugin: PluginId, shared: &mut Shared, why: &str) {
        if let Some(actor) = self.actors.remove(&plugin) {
            shared.note(self.number, format_args!("{} fails", actor.label(plugin)));
            self.restartable.push(actor.spec);
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
        // Streams may wait for their turn although the outbox is empty.
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
                self.disconnected(id, shared, pipes, "closed");
            }
        }
    }
}

/// An event of a plugin, in a few words.
fn describe(told: &Told) -> String {
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
        Told::Reply(call, Outcome::Answered(answer)) => {
            format!("reply {:#x} with {} bytes", call.0, answer.len())
        }
        Told::Reply(call, ending) => format!("reply {:#x}: {ending:?}", call.0),
    }
}
