//! A scripted plugin. It checks the events that it receives, and the seed decides what it does.

use super::calls::OwnCalls;
use super::channel::{Channel, Host, Pace, State, legal};
use super::direct::Advertised;
use super::offers::Pairs;
use super::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use trunkline_core::broker::{Broker, CallId, Expose, Handle, LinkChange, PluginId, Told};
use trunkline_core::directory::{Change, ChangeKind, Entry};
use trunkline_core::key::Key;
use trunkline_core::name::{Name, Version};
use trunkline_core::reason::{Code, Reason};

/// The behaviour of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Opens channels, one after another.
    Driver,
    /// Joins each channel to itself.
    Echo,
    /// Echo that answers later.
    Later,
    /// Reads.
    Sink,
    /// Reads, and gives credit late.
    Slow,
    /// Gives no credit before the run is calm.
    Never,
    /// Writes.
    Source,
    /// Writes and reads.
    Duplex,
    /// Stops reading in the middle of a stream.
    Deaf,
    /// Refuses.
    Refuse,
    /// Joins each channel to one that it opens.
    Relay,
    /// Invites guests and other inviters.
    Inviter,
    /// Is invited.
    Guest,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 13] = [
        Kind::Driver,
        Kind::Echo,
        Kind::Later,
        Kind::Sink,
        Kind::Slow,
        Kind::Never,
        Kind::Source,
        Kind::Duplex,
        Kind::Deaf,
        Kind::Refuse,
        Kind::Relay,
        Kind::Inviter,
        Kind::Guest,
    ];

    /// The names that a plugin of this kind declares in `uses`.
    pub fn uses(self) -> &'static [&'static str] {
        match self {
            Kind::Driver => &["echo", "later"],
            Kind::Relay => &["relay"],
            _ => &[],
        }
    }

    /// The name under which a plugin of this kind runs.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Driver => "driver",
            Kind::Echo => "echo",
            Kind::Later => "later",
            Kind::Sink => "sink",
            Kind::Slow => "slow",
            Kind::Never => "never",
            Kind::Source => "source",
            Kind::Duplex => "duplex",
            Kind::Deaf => "deaf",
            Kind::Refuse => "refuse",
            Kind::Relay => "relay",
            Kind::Inviter => "inviter",
            Kind::Guest => "guest",
        }
    }
}

/// The purpose of a timer.
#[derive(Clone, Copy, Debug)]
pub(super) enum TimerUse {
    Open,
    Credit(Handle),
    Answer(Handle),
    Abort(Handle),
    Reply(CallId),
}

/// How a callback ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackOutcome {
    /// It returned.
    Returned,
    /// It panicked.
    Panicked,
    /// It misused its host.
    Misused,
}

/// The properties of a plugin, which it keeps when it is restarted.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// Its behaviour.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// Its version.
    pub version: Version,
    /// Which servers may see it.
    pub expose: Expose,
    /// Where it listens for direct connections.
    pub advertised: Advertised,
    /// Whether it may open and close links.
    pub manages_links: bool,
}

/// One plugin.
#[derive(Debug)]
pub struct Actor {
    /// Its behaviour.
    pub kind: Kind,
    /// Its properties.
    pub spec: PluginSpec,
    /// Its open channels.
    pub channels: BTreeMap<Handle, Channel>,
    /// Channels that have ended: no event may concern them.
    ended_channels: BTreeSet<Handle>,
    /// Channels that were lost with a link, with the code that their end has to carry.
    pub lost: BTreeMap<Handle, Code>,
    /// Outgoing channels of a relay that are not answered yet, with the incoming ones.
    pub(super) relayed: BTreeMap<Handle, Handle>,
    pub(super) timers: BTreeMap<u64, TimerUse>,
    directory: BTreeMap<(Name, Key), Version>,
    pub(super) links: BTreeSet<Key>,
    /// Servers to which it has requested a link, without an outcome so far.
    pub(super) wanted: BTreeSet<Key>,
    /// Links that it has requested, each of which may be reported as failed.
    pub(super) requests: BTreeMap<Key, usize>,
    pub(super) pairs: Pairs,
    pub(super) calls: OwnCalls,
    /// The number of callbacks until it panics.
    panics_in: Option<u64>,
}

impl Actor {
    /// A plugin that has just been added.
    pub fn new(spec: PluginSpec, broker: &Broker) -> Actor {
        let entries = broker.directory();
        Actor {
            pairs: Pairs::new(spec.kind, broker),
            kind: spec.kind,
            spec,
            channels: BTreeMap::new(),
            ended_channels: BTreeSet::new(),
            lost: BTreeMap::new(),
            relayed: BTreeMap::new(),
            timers: BTreeMap::new(),
            directory: entries.map(|e| ((e.name, e.server), e.version)).collect(),
            links: broker.servers().map(|(key, _)| key).collect(),
            wanted: BTreeSet::new(),
            requests: BTreeMap::new(),
            calls: OwnCalls::default(),
            panics_in: None,
        }
    }

    /// Makes it panic or misuse its host in one of its next callbacks.
    pub fn schedule_panic(&mut self, random: &mut Random) {
        self.panics_in = Some(random.size(0, 60));
    }

    /// Its first callback.
    pub fn start(&mut self, host: &mut Host<'_>) {
        if self.kind == Kind::Driver {
            self.set(host, Duration::from_micros(1), TimerUse::Open);
        }
    }

    pub(super) fn set(&mut self, host: &mut Host<'_>, after: Duration, due: TimerUse) {
        let timer = host.broker.set_timer(host.plugin, after);
        self.timers.insert(timer, due);
    }

    /// Runs its callback for an event.
    pub fn tell(&mut self, host: &mut Host<'_>, told: Told) -> Result<CallbackOutcome, String> {
        let scheduled = self.count_down();
        if scheduled == Some(CallbackOutcome::Panicked) && host.shared.random.chance(500) {
            return Ok(CallbackOutcome::Panicked);
        }
        match told {
            Told::Open(handle, caller) => self.asked(host, handle, &caller)?,
            Told::Opened(handle) => self.opened(host, handle)?,
            Told::Credit(handle) => self.with(host, handle, Channel::on_credit)?,
            Told::Deliver(handle) => {
                let bytes = host.broker.take_inbox(host.plugin, handle);
                if !bytes.is_empty() {
                    self.bytes(host, handle, &bytes)?;
                }
                host.broker.consumed(host.plugin, handle, bytes.len());
            }
            Told::Close(handle) => self.with(host, handle, Channel::on_close)?,
            Told::StopRead(handle) => self.with(host, handle, Channel::on_stop)?,
            Told::Ended(handle, reason) => self.ended(host, handle, reason)?,
            Told::Directory(change) => {
                self.pair_changed(&change, host.broker.home().0);
                self.directory_changed(&change)?;
            }
            Told::Link(change) => self.link_changed(host, &change)?,
            Told::Timer(timer) => self.timer(host, timer)?,
            Told::Call(call, _, request) => {
                let outcome = self.called(host, call, &request)?;
                return Ok(scheduled.unwrap_or(outcome));
            }
            Told::Cancelled(call) => self.call_cancelled(host, call)?,
            Told::Reply(call, ending) => self.call_replied(host, call, ending)?,
        }
        Ok(scheduled.unwrap_or(CallbackOutcome::Returned))
    }

    fn count_down(&mut self) -> Option<CallbackOutcome> {
        let left = self.panics_in.as_mut()?;
        *left = left.checked_sub(1).unwrap_or(u64::MAX);
        match *left {
            u64::MAX => Some(CallbackOutcome::Panicked),
            n if n % 97 == 13 => Some(CallbackOutcome::Misused),
            _ => None,
        }
    }

    /// Passes it bytes of the read buffer.
    pub fn write(
        &mut self,
        host: &mut Host<'_>,
        handle: Handle,
        bytes: &[u8],
    ) -> Result<CallbackOutcome, String> {
        let scheduled = self.count_down();
        self.bytes(host, handle, bytes)?;
        host.broker.consumed(host.plugin, handle, bytes.len());
        Ok(scheduled.unwrap_or(CallbackOutcome::Returned))
    }

    fn bytes(&mut self, host: &mut Host<'_>, handle: Handle, bytes: &[u8]) -> Result<(), String> {
        self.with(host, handle, |channel, host, handle| channel.on_bytes(host, handle, bytes))?;
        let due = self.channels.get_mut(&handle).and_then(Channel::due);
        if let Some(after) = due {
            host.shared.trace.saw("late credit");
            self.set(host, after, TimerUse::Credit(handle));
        }
        Ok(())
    }

    /// Does something with an open channel.
    fn with(
        &mut self,
        host: &mut Host<'_>,
        handle: Handle,
        act: impl FnOnce(&mut Channel, &mut Host<'_>, Handle) -> Result<(), String>,
    ) -> Result<(), String> {
        match self.channels.get_mut(&handle) {
            Some(channel) => act(channel, host, handle),
            None if self.ended_channels.contains(&handle) => {
                Err("an event concerns a channel that has ended".into())
            }
            None => Err("an event concerns a channel that it never had".into()),
        }
    }

    fn opened(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        self.with(host, handle, |channel, _, _| match channel.state {
            State::Asking => {
                channel.state = State::Up;
                Ok(())
            }
            state => Err(format!("a channel is up that was {state:?}")),
        })?;
        match self.relayed.remove(&handle) {
            Some(incoming) => self.relay_on(host, incoming, handle),
            None => self.with(host, handle, |channel, host, handle| channel.pump(host, handle)),
        }
    }

    fn ended(
        &mut self,
        host: &mut Host<'_>,
        handle: Handle,
        reason: Option<Reason>,
    ) -> Result<(), String> {
        let lost = self.lost.remove(&handle);
        let is = |code| reason.as_ref().is_some_and(|reason| reason.is(code));
        if let Some(code) = lost.filter(|code| !is(*code)) {
            return Err(format!("its end should say {code:?}, but it ended with {reason:?}"));
        }
        match lost {
            None if is(Code::HostLost) => host.shared.trace.saw("a lost host reported by a relay"),
            None if is(Code::LinkLost) => host.shared.trace.saw("a lost link reported by a relay"),
            Some(Code::HostLost) => host.shared.trace.saw("a lost host reported"),
            _ => {}
        }
        self.check_no_violation(host, reason.as_ref())?;
        let silent = |reason: &Reason| reason.text.contains("without an answer");
        if !host.shared.ledger.tainted && reason.as_ref().is_some_and(silent) {
            return Err("a simulated server did not answer a channel".into());
        }
        host.shared.trace.saw(if lost.is_some() { "a cut reported" } else { "an end reported" });
        self.with(host, handle, |channel, _, _| channel.on_end(reason.as_ref()))?;
        self.forget(handle);
        if let Some(incoming) = self.relayed.remove(&handle)
            && self.channels.contains_key(&incoming)
        {
            legal(host.broker.refuse(host.plugin, incoming, Reason::plugin("no-way", "")))?;
            self.forget(incoming);
        }
        Ok(())
    }

    /// No reason, however deeply nested, reports a protocol violation between nodes of this run.
    fn check_no_violation(&self, host: &Host<'_>, reason: Option<&Reason>) -> Result<(), String> {
        let word = Code::ProtocolViolation.as_str();
        match reason.filter(|reason| reason.text.contains(word) && !host.shared.strangers) {
            Some(reason) => Err(format!("a channel ended with a protocol violation: {reason}")),
            None => Ok(()),
        }
    }

    /// Marks a channel as ended.
    pub(super) fn forget(&mut self, handle: Handle) {
        self.channels.remove(&handle);
        self.lost.remove(&handle);
        self.ended_channels.insert(handle);
    }

    /// Reads all that was never read, because the run is in its calm phase.
    pub fn release_all(&mut self, host: &mut Host<'_>) -> Result<(), String> {
        for (handle, channel) in &mut self.channels {
            if channel.pace == Pace::Never {
                channel.pace = Pace::Slow(1);
                channel.release(host, *handle)?;
            }
        }
        Ok(())
    }

    fn directory_changed(&mut self, change: &Change) -> Result<(), String> {
        let Change { kind, entry: Entry { name, version, server } } = change.clone();
        let line = format!("{kind:?} {name} {version} at {}", server.short());
        let known = match kind {
            ChangeKind::Left => self.directory.remove(&(name, server)),
            _ => self.directory.insert((name, server), version),
        };
        match (kind, known) {
            (ChangeKind::Appeared, None) => Ok(()),
            (ChangeKind::Changed, Some(old)) if old != version => Ok(()),
            (ChangeKind::Left, Some(old)) if old == version => Ok(()),
            _ => Err(format!("it received {line}, but knew {known:?}")),
        }
    }

    fn link_changed(&mut self, host: &mut Host<'_>, change: &LinkChange) -> Result<(), String> {
        let fault = change.down.as_ref().filter(|reason| reason.is(Code::ProtocolViolation));
        let known = host.shared.keys.contains(&change.server);
        if let Some(reason) = fault.filter(|_| known && !host.shared.garbled) {
            return Err(format!(
                "a link of two simulated servers ended with a violation: {reason}"
            ));
        }
        if change.down.as_ref().is_some_and(|reason| reason.is(Code::NothingInCommon)) {
            host.shared.trace.saw("nothing in common");
        }
        match self.is_new(host, change) {
            true => Ok(()),
            false => Err(format!("it received {change:?}, which it knew")),
        }
    }

    /// Compares its view of directory and links with its broker's.
    pub fn check_view(&self, broker: &Broker) -> Result<(), String> {
        let entries = broker.directory();
        let known: BTreeMap<_, _> = entries.map(|e| ((e.name, e.server), e.version)).collect();
        let links: BTreeSet<Key> = broker.servers().map(|(key, _)| key).collect();
        if !self.wanted.is_empty() {
            return Err(format!("it was not notified of the links to {:?}", self.wanted));
        }
        if known != self.directory {
            return Err(format!("it knows {:?}, its broker {known:?}", self.directory));
        }
        match links == self.links {
            true => Ok(()),
            false => Err(format!("it knows the links {:?}, its broker {links:?}", self.links)),
        }
    }

    /// The calls that have not ended.
    pub fn open_calls(&self) -> Option<String> {
        let open = self.calls.open()?;
        Some(format!("{}: {open}", self.spec.name))
    }

    /// A channel that has not ended, if there is one.
    pub fn stuck(&self) -> Option<String> {
        let (handle, channel) = self.channels.iter().find(|(_, c)| c.state != State::Joined)?;
        Some(format!("channel {:#x} of {} hangs: {channel:?}", handle.0, self.spec.name))
    }

    /// Its name and number, for traces.
    pub fn label(&self, plugin: PluginId) -> String {
        format!("{}#{}", self.spec.name, plugin.0)
    }
}
