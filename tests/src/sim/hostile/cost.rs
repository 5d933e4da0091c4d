//! The cost of attackers for their victim, and its bounds.

use std::time::Duration;

/// The counters of the program.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Bytes that are allocated now.
    pub live: i64,
    /// Allocations and reallocations.
    pub allocations: i64,
    /// CPU time of this thread.
    pub cpu: Duration,
    /// Lines that were logged, debug messages and the audit not counted.
    pub lines: u64,
    /// Lines of the audit.
    pub audited: u64,
}

/// Reads the counters.
pub type Meter = fn() -> Reading;

/// The cost of one turn of the victim's loop.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// Bytes that were read from attackers.
    pub(super) received: i64,
    pub(super) allocations: i64,
    pub(super) cpu: Duration,
    /// Effects that were performed.
    pub(super) effects: i64,
    /// Bytes that were written to innocent peers.
    pub(super) sent: i64,
    /// Lines that were logged, without the audit.
    pub(super) lines: u64,
    /// Lines of the audit.
    pub(super) audited: u64,
}

/// The cost of attackers so far.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// Turns of the victim's loop.
    pub turns: u64,
    /// Bytes of attackers that the victim read.
    pub received: i64,
    /// Turns until a message arrived, at worst.
    pub latency: u64,
    /// Turns until a channel was open, at worst.
    pub opening: u64,
    /// Turns until a host that linked during the attack had its plugin in the directory.
    pub joining: Option<u64>,
    /// Bytes that the victim kept for each connection of attackers, at most.
    pub kept: i64,
    /// Bytes that the victim kept after the attackers had disconnected, in tables that have grown.
    pub spare: i64,
    /// Bytes that it kept beyond these after one more attack.
    pub left: i64,
    /// Allocations so far for each byte of attackers so far, at worst.
    pub allocations: f64,
    /// Effects so far for each byte of attackers so far, at worst.
    pub effects: f64,
    /// Bytes that were written to innocent peers in one turn, at most.
    pub sent: i64,
    /// The longest turn of the victim's loop, in CPU time.
    pub longest: Duration,
    /// Lines in the victim's log for each attacker and second that has begun.
    pub lines: f64,
    /// Lines of the audit so far for each byte of attackers so far, at worst: each has its price.
    pub audited: f64,
    /// Sums of all turns.
    total: Turn,
}

impl Cost {
    /// Adds a turn. Work is charged to all bytes received so far, because a disconnect causes work
    /// without new bytes.
    pub(super) fn add(&mut self, turn: Turn) {
        /// Bytes of innocent peers in a turn, to which their share of the work is charged.
        const INNOCENT: i64 = 4096;
        let total = &mut self.total;
        total.received += turn.received + INNOCENT;
        total.allocations += turn.allocations;
        total.effects += turn.effects;
        let received = total.received as f64;
        self.turns += 1;
        self.received += turn.received;
        self.allocations = self.allocations.max(total.allocations as f64 / received);
        self.effects = self.effects.max(total.effects as f64 / received);
        total.audited += turn.audited;
        self.audited = self.audited.max(total.audited as f64 / received);
        self.sent = self.sent.max(turn.sent);
        self.longest = self.longest.max(turn.cpu);
        total.lines += turn.lines;
    }

    /// Notes how long the attackers have been there by now, all of them together.
    pub(super) fn note_attackers(&mut self, seconds: u64) {
        self.lines = self.lines.max(self.total.lines as f64 / seconds as f64);
    }

    /// Compares the costs that are known during the attack with their bounds.
    ///
    /// # Errors
    /// Each bound that does not hold.
    pub(super) fn check(&self, bounds: &Bounds) -> Result<(), String> {
        let (longest, most) = (self.longest.as_secs_f64(), bounds.longest.as_secs_f64());
        self.compare(&[
            ("turns until a message arrived", self.latency as f64, bounds.latency as f64),
            ("turns until a channel was open", self.opening as f64, bounds.opening as f64),
            ("bytes kept for each attacker", self.kept as f64, bounds.kept as f64),
            ("allocations for each byte", self.allocations, bounds.allocations),
            ("effects for each byte", self.effects, bounds.effects),
            ("bytes written to others in one turn", self.sent as f64, bounds.sent as f64),
            ("seconds of the longest turn", longest, most),
            ("lines of the log for each attacker and second", self.lines, bounds.lines),
            ("lines of the audit for each byte", self.audited, bounds.audited),
        ])
    }

    /// Compares the costs that are known at the end with their bounds.
    ///
    /// # Errors
    /// Each bound that does not hold.
    pub(super) fn check_end(&self, bounds: &Bounds) -> Result<(), String> {
        let joining = self.joining.map_or(f64::INFINITY, |turns| turns as f64);
        self.compare(&[
            ("turns until a late host had linked", joining, bounds.joining as f64),
            ("bytes of tables at the end", self.spare as f64, bounds.spare as f64),
            ("bytes left of one more attack", self.left as f64, bounds.left as f64),
        ])
    }

    fn compare(&self, all: &[(&str, f64, f64)]) -> Result<(), String> {
        let broken = all.iter().filter(|(_, is, most)| is > most);
        let lines: Vec<String> =
            broken.map(|(what, is, most)| format!("{what}: {is:.2}, at most {most}")).collect();
        match lines.is_empty() {
            true => Ok(()),
            false => Err(format!("{}\n{self:?}", lines.join("\n"))),
        }
    }
}

/// Bounds of the cost of attackers.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Turns until a message arrives.
    pub latency: u64,
    /// Turns until a channel is open: two messages in a row, there and back.
    pub opening: u64,
    /// Turns until a late host is in the directory.
    pub joining: u64,
    /// Bytes kept for each connection.
    pub kept: i64,
    /// Bytes of tables that have grown.
    pub spare: i64,
    /// Bytes left of one more attack.
    pub left: i64,
    /// Allocations for each byte.
    pub allocations: f64,
    /// Effects for each byte.
    pub effects: f64,
    /// Bytes that innocent peers are sent in one turn.
    pub sent: i64,
    /// The longest turn, in CPU time.
    pub longest: Duration,
    /// Lines of the log for each attacker and second that has begun.
    pub lines: f64,
    /// Lines of the audit for each byte.
    pub audited: f64,
}
