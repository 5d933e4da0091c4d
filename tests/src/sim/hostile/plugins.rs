//! The plugins of innocent processes: some accept every channel, some send a message each turn.

use std::collections::{BTreeMap, VecDeque};
use trunkline_core::broker::{Broker, Handle, PluginId, Target, Told};

/// Bytes of one message, all of which are the number of its probe.
const MESSAGE: usize = 64;

/// The prefix of the names of plugins that send messages.
pub(super) const PROBE: &str = "probe-";

/// Turns between two short channels of a probe, each for one message.
const SHORT_CHANNEL_EVERY: u64 = 8;

/// Messages in flight, and the longest latencies so far.
#[derive(Debug, Default)]
pub(super) struct Measurements {
    /// The victim's turn.
    pub(super) turn: u64,
    /// The turns in which the messages in flight were written, by probe.
    in_flight: Vec<VecDeque<u64>>,
    /// The turn in which a channel was opened that is not up yet, by probe.
    opening: Vec<Option<u64>>,
    pub(super) latency: u64,
    pub(super) opened_after: u64,
    pub(super) arrived: u64,
    /// The first harm to an innocent plugin.
    pub(super) harm: Option<String>,
}

impl Measurements {
    pub(super) fn harm(&mut self, what: impl FnOnce() -> String) {
        if self.harm.is_none() {
            self.harm = Some(what());
        }
    }

    fn new_probe(&mut self) -> usize {
        self.in_flight.push(VecDeque::new());
        self.opening.push(None);
        self.opening.len() - 1
    }

    fn arrives(&mut self, probe: usize) {
        if let Some(written) = self.in_flight.get_mut(probe).and_then(VecDeque::pop_front) {
            self.latency = self.latency.max(self.turn - written);
            self.arrived += 1;
        }
    }

    fn opened(&mut self, probe: usize) {
        if let Some(begun) = self.opening.get_mut(probe).and_then(Option::take) {
            self.opened_after = self.opened_after.max(self.turn - begun);
        }
    }

    /// Includes the messages and channels that are late already.
    pub(super) fn note_late(&mut self) {
        let oldest = self.in_flight.iter().filter_map(|probe| probe.front()).min();
        let opening = self.opening.iter().flatten().min();
        self.latency = self.latency.max(oldest.map_or(0, |written| self.turn - written));
        self.opened_after = self.opened_after.max(opening.map_or(0, |begun| self.turn - begun));
    }

    /// Whether all messages have arrived and all channels are up.
    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight.iter().all(VecDeque::is_empty) && self.opening.iter().all(Option::is_none)
    }
}

/// A plugin that opens channels and writes to them.
#[derive(Debug)]
struct Probe {
    plugin: PluginId,
    target: Target,
    /// The numbers of its lasting channel and of its short ones in the measurements.
    numbers: [usize; 2],
    /// The channel that lasts, and whether it is up.
    lasting: Option<(Handle, bool)>,
    short: Option<Handle>,
    /// Bytes that the broker has not accepted.
    waiting: Vec<u8>,
}

/// The plugins of one process.
#[derive(Debug, Default)]
pub(super) struct Plugins {
    probes: Vec<Probe>,
    /// Channels that probes have opened to a plugin here, with the incomplete message.
    taken: BTreeMap<Handle, Option<Vec<u8>>>,
}

impl Plugins {
    /// Makes a plugin send messages to another one, on any server.
    pub(super) fn probe(&mut self, log: &mut Measurements, plugin: PluginId, target: Target) {
        let numbers = [log.new_probe(), log.new_probe()];
        let (lasting, short, waiting) = Default::default();
        self.probes.push(Probe { plugin, target, numbers, lasting, short, waiting });
    }

    /// Lets the probes send, once a turn.
    pub(super) fn send_probes(&mut self, broker: &mut Broker, log: &mut Measurements) {
        for probe in &mut self.probes {
            probe.send(broker, log);
        }
    }

    /// Handles an event of a plugin.
    pub(super) fn tell(
        &mut self,
        broker: &mut Broker,
        log: &mut Measurements,
        plugin: PluginId,
        told: Told,
    ) {
        match told {
            Told::Open(handle, caller) => {
                let innocent = caller.name.as_str().starts_with(PROBE);
                self.taken.insert(handle, innocent.then(Vec::new));
                if let Err(misuse) = broker.accept(plugin, handle) {
                    log.harm(|| format!("a channel cannot be accepted: {misuse}"));
                }
            }
            Told::Opened(handle) => self.opened(broker, log, handle),
            Told::Credit(handle) => {
                let lasting = |probe: &&mut Probe| probe.lasting.is_some_and(|l| l.0 == handle);
                if let Some(probe) = self.probes.iter_mut().find(lasting) {
                    probe.write(broker, handle);
                }
            }
            Told::Deliver(handle) => {
                let bytes = broker.take_inbox(plugin, handle);
                self.bytes(log, handle, &bytes);
                broker.consumed(plugin, handle, bytes.len());
            }
            // Closes this direction too, so that the channel ends.
            Told::Close(handle) => drop(broker.close(plugin, handle)),
            Told::Ended(handle, reason) => {
                self.taken.remove(&handle);
                let mine = self.probes.iter_mut().find(|probe| probe.has(handle));
                if let Some(probe) = mine {
                    probe.ended(log, handle, reason.map(|reason| reason.to_string()));
                }
            }
            _ => {}
        }
    }

    fn opened(&mut self, broker: &mut Broker, log: &mut Measurements, handle: Handle) {
        let Some(probe) = self.probes.iter_mut().find(|probe| probe.has(handle)) else { return };
        if let Some((lasting, up)) = &mut probe.lasting
            && *lasting == handle
        {
            *up = true;
            log.opened(probe.numbers[0]);
            return;
        }
        log.opened(probe.numbers[1]);
        log.in_flight[probe.numbers[1]].push_back(log.turn);
        let message = message(probe.numbers[1]);
        let taken = broker.write(probe.plugin, handle, &message);
        if taken != Ok(MESSAGE) || broker.close(probe.plugin, handle).is_err() {
            log.harm(|| format!("a channel that is up takes {taken:?} of a message"));
        }
    }

    /// Handles bytes of a channel.
    pub(super) fn bytes(&mut self, log: &mut Measurements, handle: Handle, bytes: &[u8]) {
        let Some(Some(rest)) = self.taken.get_mut(&handle) else { return };
        rest.extend_from_slice(bytes);
        let whole = rest.len() / MESSAGE * MESSAGE;
        for message in rest[..whole].chunks(MESSAGE) {
            log.arrives(usize::from(message[0]));
        }
        rest.drain(..whole);
    }
}

impl Probe {
    fn has(&self, handle: Handle) -> bool {
        self.lasting.is_some_and(|(lasting, _)| lasting == handle) || self.short == Some(handle)
    }

    fn send(&mut self, broker: &mut Broker, log: &mut Measurements) {
        match self.lasting {
            None => {
                self.lasting = self.open(broker, log, 0).map(|handle| (handle, false));
            }
            Some((_, false)) => {}
            Some((handle, true)) => {
                log.in_flight[self.numbers[0]].push_back(log.turn);
                self.waiting.extend_from_slice(&message(self.numbers[0]));
                self.write(broker, handle);
            }
        }
        if log.turn.is_multiple_of(SHORT_CHANNEL_EVERY) && self.short.is_none() {
            self.short = self.open(broker, log, 1);
        }
    }

    fn open(
        &mut self,
        broker: &mut Broker,
        log: &mut Measurements,
        which: usize,
    ) -> Option<Handle> {
        match broker.open(self.plugin, &self.target) {
            Ok(handle) => {
                log.opening[self.numbers[which]] = Some(log.turn);
                Some(handle)
            }
            Err(reason) => {
                log.harm(|| format!("{} cannot be opened: {reason}", self.target.name));
                None
            }
        }
    }

    fn write(&mut self, broker: &mut Broker, handle: Handle) {
        let taken = broker.write(self.plugin, handle, &self.waiting).unwrap_or(0);
        self.waiting.drain(..taken);
    }

    fn ended(&mut self, log: &mut Measurements, handle: Handle, why: Option<String>) {
        let in_order = self.short == Some(handle) && why.is_none();
        if self.short == Some(handle) {
            self.short = None;
        }
        if !in_order {
            let to = &self.target.name;
            log.harm(|| format!("a channel to {to} ended: {}", why.unwrap_or_default()));
        }
    }
}

fn message(number: usize) -> [u8; MESSAGE] {
    [number as u8; MESSAGE]
}
