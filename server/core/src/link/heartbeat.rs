//! Whether a link is alive, and its round-trip time.

use core::time::Duration;

/// A tick that comes this much later than its deadline means that the machine slept, or a plugin
/// blocked the loop.
const ASLEEP: Duration = Duration::from_secs(1);

/// When the peer was last heard from, and whether a pong is missing.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    dead_after: Duration,
    heard: Duration,
    ping_sent: Option<Duration>,
    rtt: Option<Duration>,
    round: Round,
}

/// A period of a link's life: the time of one ping, or between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round(u64);

impl Round {
    /// Whether a ping is unanswered.
    pub fn is_measured(self) -> bool {
        !self.0.is_multiple_of(2)
    }
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing.
    Nothing,
    /// Send a ping.
    Ping,
    /// The peer has been silent for too long.
    Dead,
}

impl Heartbeat {
    pub(super) fn new(now: Duration, interval: Duration, dead_after: Duration) -> Heartbeat {
        Heartbeat { interval, dead_after, heard: now, ping_sent: None, rtt: None, round: Round(0) }
    }

    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    pub(super) fn ping_sent(&mut self, now: Duration) {
        self.ping_sent = Some(now);
        self.round.0 |= 1;
    }

    pub(super) fn pong(&mut self, now: Duration) {
        if let Some(sent) = self.ping_sent.take() {
            self.rtt = Some(now.saturating_sub(sent));
            self.round.0 += 1;
        }
    }

    pub(super) fn round(&self) -> Round {
        self.round
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Silence alone does not end a link: a ping must have gone unanswered for its whole time while
    /// this process was awake. A machine that slept reads its sockets before it gives up.
    pub(super) fn tick(&mut self, now: Duration) -> Beat {
        let Some(late) = now.checked_sub(self.deadline()) else { return Beat::Nothing };
        match self.ping_sent {
            None => Beat::Ping,
            Some(_) if late < ASLEEP => Beat::Dead,
            Some(_) => {
                self.heard = now;
                Beat::Nothing
            }
        }
    }

    pub(super) fn deadline(&self) -> Duration {
        match self.ping_sent {
            None => self.heard + self.interval,
            Some(sent) => self.heard.max(sent) + self.dead_after.saturating_sub(self.interval),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_silent_peer_is_pinged_then_dead() {
        let mut heartbeat = Heartbeat::new(SECOND(0), SECOND(10), SECOND(30));
        assert_eq!(heartbeat.tick(SECOND(9)), Beat::Nothing);
        assert_eq!(heartbeat.tick(SECOND(10)), Beat::Ping);
        heartbeat.ping_sent(SECOND(10));
        assert_eq!(heartbeat.tick(SECOND(29)), Beat::Nothing);
        assert_eq!(heartbeat.tick(SECOND(30)), Beat::Dead);
    }

    #[test]
    fn a_sleep_with_an_unanswered_ping_does_not_end_a_link() {
        let mut heartbeat = Heartbeat::new(SECOND(0), SECOND(10), SECOND(30));
        heartbeat.ping_sent(SECOND(10));
        assert_eq!(heartbeat.tick(SECOND(3600)), Beat::Nothing);
        assert_eq!(heartbeat.tick(SECOND(3619)), Beat::Nothing);
        assert_eq!(heartbeat.tick(SECOND(3620)), Beat::Dead);
    }

    #[test]
    fn after_a_clock_jump_the_link_pings_before_it_ends() {
        let mut heartbeat = Heartbeat::new(SECOND(0), SECOND(10), SECOND(30));
        assert_eq!(heartbeat.tick(SECOND(3600)), Beat::Ping);
        heartbeat.ping_sent(SECOND(3600));
        heartbeat.heard(SECOND(3601));
        heartbeat.pong(SECOND(3601));
        assert_eq!(heartbeat.rtt(), Some(SECOND(1)));
        assert_eq!(heartbeat.deadline(), SECOND(3611));
    }
}
