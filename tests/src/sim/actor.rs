//! A scripted plugin: what it is told must make sense, and what it does comes from the seed.

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

/// What a plugin is for.
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
    /// Stops reading in the middle.
    Deaf,
    /// Refuses.
    Refuse,
    /// Joins each channel to one that it opens.
    Relay,
    /// Invites guests, and others of its kind.
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

    /// The names of the plugins that one of this kind says it opens channels to.
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

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    Open,
    Credit(Handle),
    Answer(Handle),
    Abort(Handle),
    Reply(CallId),
}

/// How a call into a plugin ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned.
    Returned,
    /// It panicked.
    Panicked,
    /// It misused its host.
    Misused,
}

/// What a plugin is, whether it runs or not.
#[derive(Clone, Debug)]
pub struct Character {
    /// What it is for.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// Its version.
    pub version: Version,
    /// Who may see it.
    pub expose: Expose,
    /// Where it takes direct connections.
    pub advertised: Advertised,
    /// Whether it may open and close links.
    pub manages_links: bool,
}

/// One plugin.
#[derive(Debug)]
pub struct Actor {
    /// What it is for.
    pub kind: Kind,
    /// What it is.
    pub character: Character,
    /// The channels of which it may be told.
    pub channels: BTreeMap<Handle, Channel>,
    /// Handles that are past: nothing may be told of them.
    past: BTreeSet<Handle>,
    /// Channels that were lost with a link, whose end has to name that.
    pub lost: BTreeMap<Handle, Code>,
    /// Outgoing channels of a relay that waits for their answer, with the incoming ones.
    pub(super) relayed: BTreeMap<Handle, Handle>,
    pub(super) timers: BTreeMap<u64, Due>,
    directory: BTreeMap<(Name, Key), Version>,
    pub(super) links: BTreeSet<Key>,
    /// Servers to which it wanted a link, without having been told what became of it.
    pub(super) wanted: BTreeSet<Key>,
    /// Links that it asked for, of each of which it may be told that it did not come about.
    pub(super) requests: BTreeMap<Key, usize>,
    pub(super) pairs: Pairs,
    pub(super) calls: OwnCalls,
    /// So many calls from now, it panics.
    fuse: Option<u64>,
}

impl Actor {
    /// A plugin that has just been added.
    pub fn new(character: Character, broker: &Broker) -> Actor {
        let entries = broker.directory();
        Actor {
            pairs: Pairs::new(character.kind, broker),
            kind: character.kind,
            character,
            channels: BTreeMap::new(),
            past: BTreeSet::new(),
            lost: BTreeMap::new(),
            relayed: BTreeMap::new(),
            timers: BTreeMap::new(),
            directory: entries.map(|e| ((e.name, e.server), e.version)).collect(),
            links: broker.servers().map(|(key, _)| key).collect(),
            wanted: BTreeSet::new(),
            requests: BTreeMap::new(),
            calls: OwnCalls::default(),
            fuse: None,
        }
    }

    /// Makes it panic or misuse its host in one of its next calls.
    pub fn light_fuse(&mut self, random: &mut Random) {
        self.fuse = Some(random.size(0, 60));
    }

    /// Its first call.
    pub fn start(&mut self, host: &mut Host<'_>) {
        if self.kind == Kind::Driver {
            self.set(host, Duration::from_micros(1), Due::Open);
        }
    }

    pub(super) fn set(&mut self, host: &mut Host<'_>, after: Duration, due: Due) {
        let timer = host.broker.set_timer(host.plugin, after);
        self.timers.insert(timer, due);
    }

    /// Tells it something.
    pub fn tell(&mut self, host: &mut Host<'_>, told: Told) -> Result<Outcome, String> {
        let fuse = self.burn();
        if fuse == Some(Outcome::Panicked) && host.shared.random.chance(500) {
            return Ok(Outcome::Panicked);
        }
        match told {
            Told::Open(handle, caller) => self.asked(host, handle, &caller)?,
            Told::Opened(handle) => self.opened(host, handle)?,
            Told::Credit(handle) => self.with(host, handle, Channel::told_credit)?,
            Told::Deliver(handle) => {
                let bytes = host.broker.take_inbox(host.plugin, handle);
                if !bytes.is_empty() {
                    self.bytes(host, handle, &bytes)?;
                }
                host.broker.consumed(host.plugin, handle, bytes.len());
            }
            Told::Close(handle) => self.with(host, handle, Channel::told_close)?,
            Told::StopRead(handle) => self.with(host, handle, Channel::told_stop)?,
            Told::Ended(handle, reason) => self.ended(host, handle, reason)?,
            Told::Directory(change) => {
                self.pair_changed(&change, host.broker.home().0);
                self.directory_changed(&change)?;
            }
            Told::Link(change) => self.link_changed(host, &change)?,
            Told::Timer(timer) => self.timer(host, timer)?,
            Told::Call(call, _, request) => {
                let outcome = self.called(host, call, &request)?;
                return Ok(fuse.unwrap_or(outcome));
            }
            Told::Cancelled(call) => self.call_cancelled(host, call)?,
            Told::Reply(call, ending) => self.call_replied(host, call, ending)?,
        }
        Ok(fuse.unwrap_or(Outcome::Returned))
    }

    fn burn(&mut self) -> Option<Outcome> {
        let left = self.fuse.as_mut()?;
        *left = left.checked_sub(1).unwrap_or(u64::MAX);
        match *left {
            u64::MAX => Some(Outcome::Panicked),
            n if n % 97 == 13 => Some(Outcome::Misused),
            _ => None,
        }
    }

    /// Tells it bytes that were not copied.
    pub fn write(
        &mut self,
        host: &mut Host<'_>,
        handle: Handle,
        bytes: &[u8],
    ) -> Result<Outcome, String> {
        let fuse = self.burn();
        self.bytes(host, handle, bytes)?;
        host.broker.consumed(host.plugin, handle, bytes.len());
        Ok(fuse.unwrap_or(Outcome::Returned))
    }

    fn bytes(&mut self, host: &mut Host<'_>, handle: Handle, bytes: &[u8]) -> Result<(), String> {
        self.with(host, handle, |channel, host, handle| channel.told_bytes(host, handle, bytes))?;
        let due = self.channels.get_mut(&handle).and_then(Channel::due);
        if let Some(after) = due {
            host.shared.trace.saw("late credit");
            self.set(host, after, Due::Credit(handle));
        }
        Ok(())
    }

    /// Does something with a channel that is there.
    fn with(
        &mut self,
        host: &mut Host<'_>,
        handle: Handle,
        act: impl FnOnce(&mut Channel, &mut Host<'_>, Handle) -> Result<(), String>,
    ) -> Result<(), String> {
        match self.channels.get_mut(&handle) {
            Some(channel) => act(channel, host, handle),
            None if self.past.contains(&handle) => {
                Err("it was told of a channel after its end".into())
            }
            None => Err("it was told of a channel that it never had".into()),
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
            None if is(Code::HostLost) => host.shared.trace.saw("a lost host told from afar"),
            None if is(Code::LinkLost) => host.shared.trace.saw("a lost link told from afar"),
            Some(Code::HostLost) => host.shared.trace.saw("a lost host told"),
            _ => {}
        }
        self.check_no_violation(host, reason.as_ref())?;
        let silent = |reason: &Reason| reason.text.contains("without an answer");
        if !host.shared.ledger.tainted && reason.as_ref().is_some_and(silent) {
            return Err("a server of this project did not answer a channel".into());
        }
        host.shared.trace.saw(if lost.is_some() { "a cut told" } else { "an end told" });
        self.with(host, handle, |channel, _, _| channel.told_end(reason.as_ref()))?;
        self.forget(handle);
        if let Some(incoming) = self.relayed.remove(&handle)
            && self.channels.contains_key(&incoming)
        {
            legal(host.broker.refuse(host.plugin, incoming, Reason::plugin("no-way", "")))?;
            self.forget(incoming);
        }
        Ok(())
    }

    /// However deep a reason lies in another one, nobody of this run has broken the protocol.
    fn check_no_violation(&self, host: &Host<'_>, reason: Option<&Reason>) -> Result<(), String> {
        let word = Code::ProtocolViolation.as_str();
        match reason.filter(|reason| reason.text.contains(word) && !host.shared.visited) {
            Some(reason) => Err(format!("a channel ended for a broken rule: {reason}")),
            None => Ok(()),
        }
    }

    /// Nothing may be told of a channel any more.
    pub(super) fn forget(&mut self, handle: Handle) {
        self.channels.remove(&handle);
        self.lost.remove(&handle);
        self.past.insert(handle);
    }

    /// The run is calm: what was never read is read now.
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
            _ => Err(format!("it was told {line}, but knew {known:?}")),
        }
    }

    fn link_changed(&mut self, host: &mut Host<'_>, change: &LinkChange) -> Result<(), String> {
        let fault = change.down.as_ref().filter(|reason| reason.is(Code::ProtocolViolation));
        let known = host.shared.keys.contains(&change.server);
        if let Some(reason) = fault.filter(|_| known && !host.shared.garbled) {
            return Err(format!("two servers of this project broke the protocol: {reason}"));
        }
        if change.down.as_ref().is_some_and(|reason| reason.is(Code::NothingInCommon)) {
            host.shared.trace.saw("nothing in common");
        }
        match self.is_news(host, change) {
            true => Ok(()),
            false => Err(format!("it was told {change:?}, which it knew")),
        }
    }

    /// Compares what it was told with what its server knows.
    pub fn check_view(&self, broker: &Broker) -> Result<(), String> {
        let entries = broker.directory();
        let known: BTreeMap<_, _> = entries.map(|e| ((e.name, e.server), e.version)).collect();
        let links: BTreeSet<Key> = broker.servers().map(|(key, _)| key).collect();
        if !self.wanted.is_empty() {
            return Err(format!("nobody told it of the links to {:?}", self.wanted));
        }
        if known != self.directory {
            return Err(format!("it was told {:?}, its broker knows {known:?}", self.directory));
        }
        match links == self.links {
            true => Ok(()),
            false => Err(format!("it knows the links {:?}, its broker {links:?}", self.links)),
        }
    }

    /// The calls that have not ended.
    pub fn open_calls(&self) -> Option<String> {
        let open = self.calls.open()?;
        Some(format!("{}: {open}", self.character.name))
    }

    /// The channels that hang, and what is known of them.
    pub fn stuck(&self) -> Option<String> {
        let (handle, channel) = self.channels.iter().find(|(_, c)| c.state != State::Joined)?;
        Some(format!("channel {:#x} of {} hangs: {channel:?}", handle.0, self.character.name))
    }

    /// Its own number, for traces.
    pub fn label(&self, plugin: PluginId) -> String {
        format!("{}#{}", self.character.name, plugin.0)
    }
}
