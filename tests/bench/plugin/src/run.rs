//! One measurement: its channels from opening to end, and its result.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use trunkline_plugin::prelude::*;

use crate::command::{Command, round_trips};
use crate::sink::{COUNT, ECHO};

/// A running measurement.
pub(crate) struct Run {
    lanes: HashMap<Channel, Lane>,
    /// Channels that are not open yet. All begin together.
    opening: usize,
    /// The message of round trips.
    message: Vec<u8>,
    /// The block that is written in a flood.
    piece: Vec<u8>,
    duration: Duration,
    began: Instant,
    /// When the last byte was counted and the last echo had arrived.
    took: Duration,
    over: bool,
    /// Nanoseconds of each round trip.
    times: Vec<u64>,
    /// Bytes of each flooded channel, as counted by the sink.
    counted: Vec<u64>,
    problem: Option<String>,
}

/// One channel.
struct Lane {
    kind: Kind,
    /// Whether its purpose has been sent.
    greeted: bool,
    /// Bytes of the current block that were accepted.
    sent: usize,
}

enum Kind {
    /// Round trips. This many bytes of the current message have not been echoed yet.
    Ping { asked: Instant, missing: usize },
    /// A flood. The sink answers at the end with the number of bytes.
    Flood { answer: Vec<u8> },
}

impl Run {
    pub(crate) fn open(host: &Host, command: &Command) -> Result<Self, Reason> {
        let mut run = Self {
            lanes: HashMap::new(),
            opening: command.pings + command.floods,
            message: vec![7; command.size.max(1)],
            piece: vec![7; command.flood_size.max(1)],
            duration: Duration::from_millis(command.ms),
            began: Instant::now(),
            took: Duration::ZERO,
            over: false,
            times: Vec::new(),
            counted: Vec::new(),
            problem: None,
        };
        let target = command.target();
        for number in 0..run.opening {
            let kind = match number < command.pings {
                true => Kind::Ping { asked: run.began, missing: run.message.len() },
                false => Kind::Flood { answer: Vec::new() },
            };
            match host.open(&target) {
                Ok(channel) => {
                    run.lanes.insert(channel, Lane { kind, greeted: false, sent: 0 });
                }
                Err(why) => {
                    run.lanes.keys().for_each(|channel| host.abort(*channel, why.clone()));
                    return Err(why);
                }
            }
        }
        Ok(run)
    }

    /// Counts an open channel. When all are open, all begin.
    pub(crate) fn opened(&mut self, host: &Host, channel: Channel) {
        if !self.lanes.contains_key(&channel) {
            return;
        }
        self.opening -= 1;
        if self.opening > 0 {
            return;
        }
        host.set_timer(self.duration);
        self.began = Instant::now();
        for (channel, lane) in &mut self.lanes {
            if let Kind::Ping { asked, .. } = &mut lane.kind {
                *asked = self.began;
            }
            lane.pump(host, *channel, &self.message, &self.piece);
        }
    }

    pub(crate) fn credit(&mut self, host: &Host, channel: Channel) {
        match self.lanes.get_mut(&channel) {
            Some(Lane { kind: Kind::Flood { .. }, .. }) if self.over => {}
            Some(lane) if self.opening == 0 => {
                lane.pump(host, channel, &self.message, &self.piece);
            }
            _ => {}
        }
    }

    pub(crate) fn write(&mut self, host: &Host, channel: Channel, bytes: &[u8]) {
        let Some(lane) = self.lanes.get_mut(&channel) else { return };
        let (asked, missing) = match &mut lane.kind {
            Kind::Flood { answer } => return answer.extend_from_slice(bytes),
            Kind::Ping { asked, missing } => (asked, missing),
        };
        *missing = missing.saturating_sub(bytes.len());
        if *missing > 0 {
            return;
        }
        let now = Instant::now();
        self.times.push(now.duration_since(*asked).as_nanos() as u64);
        if self.over {
            return host.close(channel);
        }
        (*asked, *missing, lane.sent) = (now, self.message.len(), 0);
        lane.pump(host, channel, &self.message, &self.piece);
    }

    /// Stops sending. Bytes in flight still arrive.
    pub(crate) fn time_is_up(&mut self, host: &Host) {
        self.over = true;
        for (channel, lane) in &self.lanes {
            if matches!(lane.kind, Kind::Flood { .. }) {
                host.close(*channel);
            }
        }
    }

    /// Handles the end of a channel. Returns whether it was the last one.
    pub(crate) fn ended(&mut self, channel: Channel, why: Option<&Reason>) -> bool {
        let Some(lane) = self.lanes.remove(&channel) else { return false };
        if let Kind::Flood { answer } = lane.kind {
            let count = answer.try_into().map(u64::from_le_bytes);
            self.counted.push(count.unwrap_or_default());
        }
        if let Some(why) = why {
            self.problem.get_or_insert(format!("a channel ended: {why}"));
        } else if !self.over {
            self.problem.get_or_insert("a channel ended before its time".to_owned());
        }
        self.took = self.began.elapsed();
        self.lanes.is_empty()
    }

    /// The result as a line.
    pub(crate) fn report(mut self) -> Result<String, String> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let bytes: u64 = self.counted.iter().sum();
        let least = self.counted.iter().min().copied().unwrap_or_default();
        let most = self.counted.iter().max().copied().unwrap_or_default();
        let trips = round_trips(self.took, self.times.len(), &mut self.times);
        Ok(format!("{{{trips},\"bytes\":{bytes},\"least\":{least},\"most\":{most}}}"))
    }
}

impl Lane {
    /// Writes until a write is short. `credit` then continues.
    fn pump(&mut self, host: &Host, channel: Channel, message: &[u8], piece: &[u8]) {
        let (greeting, bytes) = match self.kind {
            Kind::Ping { .. } => (ECHO, message),
            Kind::Flood { .. } => (COUNT, piece),
        };
        if !self.greeted {
            self.greeted = host.write(channel, &[greeting]) == 1;
        }
        while self.greeted && self.sent < bytes.len() {
            let rest = &bytes[self.sent..];
            let taken = host.write(channel, rest);
            self.sent += taken;
            if taken < rest.len() {
                return;
            }
            if let Kind::Flood { .. } = self.kind {
                self.sent = 0;
            }
        }
    }
}
