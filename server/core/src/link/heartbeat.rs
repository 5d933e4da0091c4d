//! Whether a link is alive, and its round-trip time.

use core::time::Duration;

/// The wait for a pong is measured in so many steps. A step counts as one, however late its end is
/// noticed: this process may have been stopped, the machine suspended, or the loop blocked. So a
/// gap in our own time is at most one step of the peer's silence, and the sockets are read before
/// the next step ends.
const STEPS: u32 = 4;

/// A step does not count while bytes flow at this rate, in bytes a second: on a slow path the pong
/// waits behind them. Slower than any line in use, and faster than a byte now and then.
const SLOWEST: u64 = 1024;

/// Bytes that may flow before a pong comes, in both directions together. A pong overtakes what its
/// sender has not yet given to its socket, so it waits only for what lies in the buffers of the
/// kernels and of the path: some megabytes. A peer that never answers ends after these bytes.
const FLOW_MAX: u64 = 64 << 20;

/// When the peer was last heard from, and whether a pong is missing.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    dead_after: Duration,
    heard: Duration,
    ping: Option<Ping>,
    rtt: Option<Duration>,
    round: Round,
    death: Death,
}

/// How the death of a peer is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    BySilence,
    /// The connection itself tells, at once.
    ByItsEnd,
}

/// A ping without a pong.
#[derive(Clone, Copy, Debug)]
struct Ping {
    sent: Duration,
    /// The end of the current step.
    step_ends: Duration,
    /// Steps that passed in silence.
    silent: u32,
    /// `None` in the first step, which counts whatever flows.
    flow: Option<Flow>,
}

/// How many bytes had flowed on a connection.
#[derive(Clone, Copy, Debug)]
struct Flow {
    /// At the end of the first step.
    first: u64,
    /// At the end of the last one.
    last: u64,
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
        let (round, death) = (Round(0), Death::BySilence);
        Heartbeat { interval, dead_after, heard: now, ping: None, rtt: None, round, death }
    }

    /// From now on silence does not mean that the peer is dead.
    pub(super) fn allow_silence(&mut self) {
        self.death = Death::ByItsEnd;
    }

    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    pub(super) fn ping_sent(&mut self, now: Duration) {
        let step_ends = now + self.step();
        self.ping = Some(Ping { sent: now, step_ends, silent: 0, flow: None });
        self.round.0 |= 1;
    }

    pub(super) fn pong(&mut self, now: Duration) {
        if let Some(ping) = self.ping.take() {
            self.rtt = Some(now.saturating_sub(ping.sent));
            self.round.0 += 1;
        }
    }

    pub(super) fn round(&self) -> Round {
        self.round
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Silence alone does not end a link, and other words do not keep it: a ping must have gone
    /// unanswered for its whole time, while this process ran and no bytes flowed. `flowed` counts
    /// all bytes of this connection that its socket has brought or taken.
    pub(super) fn tick(&mut self, now: Duration, flowed: u64) -> Beat {
        if now < self.deadline() {
            return Beat::Nothing;
        }
        let (step, death) = (self.step(), self.death);
        let Some(ping) = &mut self.ping else { return Beat::Ping };
        ping.step_ends = now + step;
        let Flow { first, last } = ping.flow.unwrap_or(Flow { first: flowed, last: flowed });
        ping.flow = Some(Flow { first, last: flowed });
        if flowed.saturating_sub(last) < least_flow(step) {
            ping.silent += 1;
        }
        let silent = ping.silent >= STEPS || flowed.saturating_sub(first) > FLOW_MAX;
        match silent && death == Death::BySilence {
            true => Beat::Dead,
            false => Beat::Nothing,
        }
    }

    /// How long a step is.
    fn step(&self) -> Duration {
        let step = self.dead_after.saturating_sub(self.interval) / STEPS;
        step.max(Duration::from_millis(1))
    }

    pub(super) fn deadline(&self) -> Duration {
        self.ping.map_or(self.heard + self.interval, |ping| ping.step_ends)
    }
}

/// The bytes of a step that is not silent.
fn least_flow(step: Duration) -> u64 {
    let bytes = u128::from(SLOWEST) * step.as_millis() / 1000;
    u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: fn(u64) -> Duration = Duration::from_secs;

    fn pinged() -> Heartbeat {
        let mut heartbeat = Heartbeat::new(SECOND(0), SECOND(10), SECOND(30));
        assert_eq!(heartbeat.tick(SECOND(9), 0), Beat::Nothing);
        assert_eq!(heartbeat.tick(SECOND(10), 0), Beat::Ping);
        heartbeat.ping_sent(SECOND(10));
        heartbeat
    }

    /// The second in which a peer is dead of which `flowed` bytes were seen by each second.
    fn dead_at(heartbeat: &mut Heartbeat, flowed: impl Fn(u64) -> u64) -> Option<u64> {
        (11..100_000).find(|at| heartbeat.tick(SECOND(*at), flowed(*at)) == Beat::Dead)
    }

    #[test]
    fn a_silent_peer_is_pinged_then_dead() {
        assert_eq!(dead_at(&mut pinged(), |_| 7), Some(30));
    }

    #[test]
    fn a_byte_now_and_then_is_no_answer() {
        let mut heartbeat = pinged();
        let dead = (11..200).find(|at| {
            heartbeat.heard(SECOND(*at));
            heartbeat.tick(SECOND(*at), *at) == Beat::Dead
        });
        assert_eq!(dead, Some(30));
    }

    #[test]
    fn while_bytes_flow_on_a_slow_path_a_pong_may_be_late_but_not_forever() {
        let mut heartbeat = pinged();
        let dead = dead_at(&mut heartbeat, |at| at * 16_000);
        let seconds = FLOW_MAX / 16_000;
        assert!(dead.is_some_and(|dead| dead > seconds && dead < seconds + 30), "{dead:?}");
        // The flow stops: nothing is left that the pong could wait for.
        let dead = dead_at(&mut pinged(), |at| at.min(100) * 16_000);
        assert_eq!(dead, Some(100 + 15), "three steps more, after the one of the ping");
    }

    #[test]
    fn a_gap_in_our_own_time_is_not_the_peers_silence() {
        for gap in [20, 25, 41, 3600] {
            let mut heartbeat = pinged();
            assert_eq!(heartbeat.tick(SECOND(11), 0), Beat::Nothing);
            assert_eq!(heartbeat.tick(SECOND(11 + gap), 0), Beat::Nothing, "after {gap} s");
            let dead = (12 + gap..).find(|at| heartbeat.tick(SECOND(*at), 0) == Beat::Dead);
            assert_eq!(dead, Some(11 + gap + 15), "after {gap} s");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn where_the_connection_tells_of_an_end_silence_does_not() {
        let mut heartbeat = pinged();
        heartbeat.allow_silence();
        assert_eq!(dead_at(&mut heartbeat, |_| 0), None);
    }

    #[test]
    fn after_a_clock_jump_the_link_pings_before_it_ends() {
        let mut heartbeat = Heartbeat::new(SECOND(0), SECOND(10), SECOND(30));
        assert_eq!(heartbeat.tick(SECOND(3600), 0), Beat::Ping);
        heartbeat.ping_sent(SECOND(3600));
        heartbeat.heard(SECOND(3601));
        heartbeat.pong(SECOND(3601));
        assert_eq!(heartbeat.rtt(), Some(SECOND(1)));
        assert_eq!(heartbeat.deadline(), SECOND(3611));
    }
}
