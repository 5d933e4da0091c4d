//! What wakes a loop that waits when its next deadline comes: one timer of the system, which stays
//! as it is while deadlines move away.

use super::token::Ready;
use mio::unix::SourceFd;
use mio::{Interest, Registry};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often the timer is set for a deadline that has moved away: setting it for each message would
/// cost more than to be woken in vain once in that time, and an idle loop never is.
const SET_LATER_EVERY: Duration = Duration::from_secs(1);

/// The timer of one loop. A time-out of the poll itself would be set and cancelled at each message.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: OwnedFd,
    /// When the loop started: deadlines count from here.
    started: Instant,
    rings: Rings,
}

/// When the timer wakes the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rings {
    Never,
    At { deadline: Duration, set: Duration },
}

impl Alarm {
    pub(super) fn new(registry: &Registry, started: Instant) -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let token = Ready::Alarm.token();
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Alarm { timer, started, rings: Rings::Never })
    }

    /// The timer has woken the loop.
    pub(super) fn rang(&mut self) {
        self.rings = Rings::Never;
    }

    /// How long the poll may wait, in a turn that began at `now`, for the next deadline: as long as
    /// it takes where the timer wakes it.
    pub(super) fn wait(&mut self, now: Duration, next: Option<Duration>) -> Option<Duration> {
        let next = next?;
        if !self.rings.has_to_change(now, next) {
            return None;
        }
        let left = next.saturating_sub(self.started.elapsed());
        if left.is_zero() {
            return Some(left);
        }
        match self.set(left) {
            Ok(()) => {
                self.rings = Rings::At { deadline: next, set: now };
                None
            }
            Err(error) => {
                log::debug!("the timer cannot be set, the poll waits instead: {error}");
                Some(left)
            }
        }
    }

    /// Sets the timer. The poll tells of each time that it rings, so that nobody has to read it.
    fn set(&self, left: Duration) -> io::Result<()> {
        let value = Timespec::try_from(left).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

impl Rings {
    fn has_to_change(self, now: Duration, next: Duration) -> bool {
        match self {
            Rings::Never => true,
            Rings::At { deadline, set } => {
                next < deadline || next > deadline && now >= set + SET_LATER_EVERY
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_is_set_for_what_is_sooner_and_seldom_for_what_is_later() {
        let second = Duration::from_secs;
        let rings = Rings::At { deadline: second(10), set: second(1) };
        for (now, next, expected) in [
            (second(1), second(10), false),
            (second(1), second(9), true),
            (second(1), second(11), false),
            (second(2), second(11), true),
            (second(2), second(10), false),
        ] {
            assert_eq!(rings.has_to_change(now, next), expected, "for {next:?} at {now:?}");
        }
        assert!(Rings::Never.has_to_change(second(1), second(2)), "a timer that rang is set again");
    }

    #[test]
    fn a_deadline_wakes_the_poll_and_one_that_is_past_is_not_waited_for() {
        let mut poll = mio::Poll::new().unwrap();
        let mut events = mio::Events::with_capacity(1);
        let started = Instant::now();
        let mut alarm = Alarm::new(poll.registry(), started).unwrap();
        for _ in 0..2 {
            let deadline = started.elapsed() + Duration::from_millis(5);
            assert_eq!(alarm.wait(started.elapsed(), Some(deadline)), None, "the timer is set");
            poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
            assert!(started.elapsed() >= deadline, "it rings when the deadline is there");
            let token = events.iter().next().map(|event| event.token());
            assert_eq!(token, Some(Ready::Alarm.token()), "the poll tells that it rang");
            alarm.rang();
        }
        let past = Some(Duration::ZERO);
        assert_eq!(alarm.wait(started.elapsed(), past), Some(Duration::ZERO));
        assert_eq!(alarm.wait(started.elapsed(), None), None, "nothing is waited for");
    }
}
