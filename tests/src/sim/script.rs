//! The behaviour of scripted plugins: how each kind answers, what drivers open, how relays join.

use super::actor::{Actor, Kind, TimerUse};
use super::channel::{Channel, Host, Pace, State, legal};
use super::ledger::StreamReader;
use std::time::Duration;
use trunkline_core::broker::{Caller, Handle, Target};
use trunkline_core::reason::{By, Reason};

/// Channels that one driver has at a time.
const CHANNELS: usize = 6;

/// Most bytes that one channel carries in one direction.
const BYTES: u64 = 150_000;

/// Most bytes of a bulk channel. They are enough for its window to grow.
const BULK: u64 = 2_000_000;

impl Actor {
    /// Another plugin opens a channel.
    pub(super) fn asked(
        &mut self,
        host: &mut Host<'_>,
        handle: Handle,
        caller: &Caller,
    ) -> Result<(), String> {
        let mut channel = Channel::new(State::Asked);
        let trusted = host.shared.keys.contains(&caller.server);
        let offered = self.is_offered(host, caller);
        match offered {
            true => self.pair(host, caller)?,
            false => self.check_asked_once(host, caller)?,
        }
        if !trusted {
            channel.reader = StreamReader::unchecked();
            host.shared.trace.saw("a channel from a stranger");
        }
        if self.channels.insert(handle, channel).is_some() {
            return Err("it was asked about a channel that it has already".into());
        }
        match self.kind {
            Kind::Echo => self.echo(host, handle),
            Kind::Later => {
                if host.shared.random.chance(500) {
                    self.join(host, handle, handle)?;
                }
                self.answer_later(host, handle);
                Ok(())
            }
            Kind::Refuse if host.shared.random.chance(500) => {
                self.answer_later(host, handle);
                Ok(())
            }
            Kind::Refuse => self.refuse(host, handle),
            _ if offered => self.answer_offer(host, handle),
            Kind::Relay if !trusted => self.refuse(host, handle),
            Kind::Relay => self.relay(host, handle),
            _ => self.take(host, handle),
        }
    }

    fn answer_offer(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        if host.shared.random.chance(200) {
            host.shared.trace.saw("an offer refused");
            return self.refuse(host, handle);
        }
        host.shared.trace.saw("an offer accepted");
        self.take(host, handle)
    }

    /// Checks that a plugin is asked once for each opened channel, whatever routes were tried.
    fn check_asked_once(&self, host: &mut Host<'_>, caller: &Caller) -> Result<(), String> {
        let pair = (caller.name.clone(), caller.server, self.spec.name.clone());
        let left = host.shared.unasked.entry(pair).or_default();
        let stranger = !host.shared.keys.contains(&caller.server);
        match left.checked_sub(1) {
            Some(less) => *left = less,
            None if host.shared.ledger.tainted || host.shared.clock_jumped || stranger => {}
            None => return Err(format!("it was asked, but {} has opened no channel", caller.name)),
        }
        Ok(())
    }

    fn echo(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        let join_first = host.shared.random.chance(500);
        if join_first {
            self.join(host, handle, handle)?;
        }
        legal(host.broker.accept(host.plugin, handle))?;
        if !join_first {
            self.join(host, handle, handle)?;
        }
        Ok(())
    }

    pub(super) fn join(&mut self, host: &mut Host<'_>, a: Handle, b: Handle) -> Result<(), String> {
        for handle in [a, b] {
            if let Some(channel) = self.channels.get_mut(&handle) {
                channel.state = State::Joined;
            }
        }
        host.shared.trace.saw(if a == b { "a join to itself" } else { "a relay" });
        let line = format_args!("#{} joins {:#x} and {:#x}", host.plugin.0, a.0, b.0);
        host.shared.trace.note(host.shared.now, line);
        legal(host.broker.join(host.plugin, a, b))
    }

    fn answer_later(&mut self, host: &mut Host<'_>, handle: Handle) {
        host.shared.trace.saw("a late answer");
        let after = Duration::from_micros(host.shared.random.size(1, 400_000));
        self.set(host, after, TimerUse::Answer(handle));
    }

    fn refuse(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        host.shared.trace.saw("a refusal");
        legal(host.broker.refuse(host.plugin, handle, Reason::plugin("never", "not to you")))?;
        self.forget(handle);
        Ok(())
    }

    /// Plans what to do with a channel, and accepts it.
    fn take(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        let kind = self.kind;
        let Some(channel) = self.channels.get_mut(&handle) else { return Ok(()) };
        plan(channel, host, kind);
        if channel.pace != Pace::Automatic {
            legal(host.broker.hold(host.plugin, handle))?;
        }
        if host.shared.random.chance(200) {
            host.shared.trace.saw("a write before accept");
            channel.pump(host, handle)?;
            if channel.stop_at.is_some() && host.shared.random.chance(200) {
                channel.stop(host, handle)?;
            }
        }
        match host.shared.random.chance(150) {
            true => self.answer_later(host, handle),
            false => self.accept(host, handle)?,
        }
        Ok(())
    }

    fn accept(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        let Some(channel) = self.channels.get_mut(&handle) else { return Ok(()) };
        if channel.state == State::Asked {
            channel.state = State::Up;
        }
        if channel.state != State::Aborted {
            legal(host.broker.accept(host.plugin, handle))?;
        }
        Ok(())
    }

    /// A timer fired.
    pub(super) fn timer(&mut self, host: &mut Host<'_>, timer: u64) -> Result<(), String> {
        match self.timers.remove(&timer) {
            None => Err("a timer fired that was not set".into()),
            Some(TimerUse::Open) => self.drive(host),
            Some(TimerUse::Credit(handle)) => match self.channels.get_mut(&handle) {
                Some(channel) => channel.release(host, handle),
                None => Ok(()),
            },
            Some(TimerUse::Answer(handle)) => self.answer(host, handle),
            Some(TimerUse::Reply(call)) => self.answer_call(host, call),
            Some(TimerUse::Abort(handle)) => match self.channels.get_mut(&handle) {
                Some(channel) if channel.state == State::Asking => {
                    host.shared.trace.saw("an abort while the answer is in flight");
                    channel.abort(host, handle)
                }
                _ => Ok(()),
            },
        }
    }

    fn answer(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        if !self.channels.contains_key(&handle) {
            return Ok(());
        }
        match self.kind {
            Kind::Refuse => self.refuse(host, handle),
            Kind::Later => {
                let joined = self.channels.get(&handle).is_some_and(|c| c.state == State::Joined);
                self.accept(host, handle)?;
                if joined { Ok(()) } else { self.join(host, handle, handle) }
            }
            _ => self.accept(host, handle),
        }
    }

    fn drive(&mut self, host: &mut Host<'_>) -> Result<(), String> {
        if host.shared.calm {
            return Ok(());
        }
        if host.shared.random.chance(300) {
            self.make_calls(host)?;
        }
        if self.channels.len() < CHANNELS {
            self.drive_one(host)?;
        }
        let times = if host.shared.eager { 300 } else { 40 };
        if host.shared.random.chance(times) {
            self.manage_links(host)?;
        }
        let pause = host.shared.random.size(1, 1_500_000);
        self.set(host, Duration::from_micros(pause), TimerUse::Open);
        Ok(())
    }

    fn drive_one(&mut self, host: &mut Host<'_>) -> Result<(), String> {
        let to = host.shared.random.pick(&Kind::ALL);
        let Some(handle) = self.open(host, to)? else { return Ok(()) };
        let mut channel = Channel::new(State::Asking);
        plan(&mut channel, host, Kind::Duplex);
        channel.echoed = matches!(to, Kind::Echo | Kind::Later);
        channel.peer_never_reads = to == Kind::Never;
        if channel.pace != Pace::Automatic {
            legal(host.broker.hold(host.plugin, handle))?;
        }
        let random = &mut host.shared.random;
        let (at_once, stop, abort) = (random.chance(600), random.chance(80), random.chance(30));
        if at_once {
            channel.pump(host, handle)?;
        }
        if stop && channel.state == State::Asking {
            channel.stop(host, handle)?;
        }
        if abort && channel.state == State::Asking {
            host.shared.trace.saw("an abort before the answer");
            channel.abort(host, handle)?;
        }
        self.channels.insert(handle, channel);
        if host.shared.random.chance(30) {
            let after = Duration::from_micros(host.shared.random.size(1_000, 600_000));
            self.set(host, after, TimerUse::Abort(handle));
        }
        Ok(())
    }

    fn open(&mut self, host: &mut Host<'_>, to: Kind) -> Result<Option<Handle>, String> {
        let keys = &host.shared.keys;
        let here = host.shared.random.below(2 * keys.len() as u64 + 1) as usize;
        let server = match (keys.get(here), keys.get(here.wrapping_sub(keys.len()))) {
            (Some(key), _) => Some(key.to_string()),
            (_, Some(_)) => Some(format!("server-{}", here - keys.len())),
            _ => None,
        };
        let name = to.name().parse().map_err(|error| format!("{error:?}"))?;
        let least = host.shared.random.below(4);
        match host.broker.open(host.plugin, &Target { name, least, server }) {
            Ok(handle) => {
                let pair = (self.spec.name.clone(), host.broker.home().0, to.name().parse());
                if let (from, home, Ok(to)) = pair {
                    *host.shared.unasked.entry((from, home, to)).or_default() += 1;
                }
                let (caller, at) = (host.plugin.0, handle.0);
                let line = format_args!("#{caller} opens {at:#x} to {}", to.name());
                host.shared.trace.note(host.shared.now, line);
                Ok(Some(handle))
            }
            Err(reason) if reason.by == By::Server => {
                host.shared.trace.saw("an open refused at once");
                Ok(None)
            }
            Err(reason) => {
                Err(format!("a refusal of a server is marked as a plugin's: {reason:?}"))
            }
        }
    }

    /// Opens the other half of a relay, and joins the halves in one of several orders.
    fn relay(&mut self, host: &mut Host<'_>, incoming: Handle) -> Result<(), String> {
        let kinds = [
            Kind::Echo,
            Kind::Sink,
            Kind::Slow,
            Kind::Source,
            Kind::Duplex,
            Kind::Deaf,
            Kind::Relay,
        ];
        let to = host.shared.random.pick(&kinds);
        let Some(out) = self.open(host, to)? else { return self.refuse(host, incoming) };
        self.channels.insert(out, Channel::new(State::Asking));
        match host.shared.random.below(4) {
            0 => {
                self.join(host, incoming, out)?;
                self.accept(host, incoming)
            }
            1 => {
                self.accept(host, incoming)?;
                self.join(host, out, incoming)
            }
            2 => {
                self.join(host, out, incoming)?;
                self.answer_later(host, incoming);
                Ok(())
            }
            _ => {
                self.relayed.insert(out, incoming);
                Ok(())
            }
        }
    }

    /// The other half of a relay is up.
    pub(super) fn relay_on(
        &mut self,
        host: &mut Host<'_>,
        incoming: Handle,
        out: Handle,
    ) -> Result<(), String> {
        if !self.channels.contains_key(&incoming) {
            return self.abort_half(host, out);
        }
        self.join(host, incoming, out)?;
        self.accept(host, incoming)
    }

    fn abort_half(&mut self, host: &mut Host<'_>, out: Handle) -> Result<(), String> {
        match self.channels.get_mut(&out) {
            Some(channel) => channel.abort(host, out),
            None => Ok(()),
        }
    }
}

/// Plans what is written to a channel, and how it is read.
fn plan(channel: &mut Channel, host: &mut Host<'_>, kind: Kind) {
    let random = &mut host.shared.random;
    let total = match random.below(1000) {
        0..20 => 0,
        n if n < 20 + host.shared.bulk => random.size(BYTES, BULK),
        _ => random.size(8, BYTES),
    };
    if matches!(kind, Kind::Source | Kind::Duplex | Kind::Driver | Kind::Inviter | Kind::Guest) {
        channel.plan(&mut host.shared.ledger, total);
    }
    let random = &mut host.shared.random;
    channel.pace = match kind {
        Kind::Slow => Pace::Slow(random.size(1, 300_000)),
        Kind::Never if !host.shared.calm => Pace::Never,
        Kind::Duplex if random.chance(100) => Pace::Slow(random.size(1, 100_000)),
        _ => Pace::Automatic,
    };
    if kind == Kind::Deaf || random.chance(30) {
        channel.stop_at = Some(random.size(1, BYTES / 4));
    }
    if total > BYTES && random.chance(300) {
        channel.abort_at = Some(random.size(total / 2, total));
    } else if random.chance(60) {
        channel.abort_at = Some(random.size(1, BYTES));
    }
}
