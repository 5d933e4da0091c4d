//! The timer that wakes a waiting loop at its next deadline. It is not set again when a deadline
//! only moves further away.

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

/// How often the timer is set to a later deadline. Setting it for each message would cost more than
/// one useless wakeup in this time. An idle loop has no useless wakeups.
const SET_LATER_EVERY: Duration = Duration::from_secs(1);

/// The timer of one loop. It replaces the poll's own timeout, which the kernel would set and cancel
/// for each message.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: OwnedFd,
    /// When the loop started. Deadlines count from here.
    started: Instant,
    state: Timer,
}

/// Whether the timer is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    Disarmed,
    Armed { deadline: Duration, armed_at: Duration },
}

impl Alarm {
    pub(super) fn new(registry: &Registry, started: Instant) -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let token = Ready::Alarm.token();
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Alarm { timer, started, state: Timer::Disarmed })
    }

    /// The timer has woken the loop.
    pub(super) fn fired(&mut self) {
        self.state = Timer::Disarmed;
    }

    /// The poll's timeout for the `next` deadline, in a turn that began at `now`. It is `None` if
    /// the timer will wake the poll.
    pub(super) fn wait(&mut self, now: Duration, next: Option<Duration>) -> Option<Duration> {
        let next = next?;
        if !self.state.must_be_set(now, next) {
            return None;
        }
        let left = next.saturating_sub(self.started.elapsed());
        if left.is_zero() {
            return Some(left);
        }
        match self.set(left) {
            Ok(()) => {
                self.state = Timer::Armed { deadline: next, armed_at: now };
                None
            }
            Err(error) => {
                log::debug!("the timer cannot be set, so the poll has a timeout instead: {error}");
                Some(left)
            }
        }
    }

    /// Sets the timer. The poll is edge-triggered and reports each expiry, so the timer is never
    /// read.
    fn set(&self, left: Duration) -> io::Result<()> {
        let value = Timespec::try_from(left).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

impl Timer {
    fn must_be_set(self, now: Duration, next: Duration) -> bool {
        match self {
            Timer::Disarmed => true,
            Timer::Armed { deadline, armed_at } => {
                next < deadline || next > deadline && now >= armed_at + SET_LATER_EVERY
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_deadline_sets_the_timer_at_once_and_a_later_one_seldom() {
        let second = Duration::from_secs;
        let state = Timer::Armed { deadline: second(10), armed_at: second(1) };
        for (now, next, expected) in [
            (second(1), second(10), false),
            (second(1), second(9), true),
            (second(1), second(11), false),
            (second(2), second(11), true),
            (second(2), second(10), false),
        ] {
            assert_eq!(state.must_be_set(now, next), expected, "for {next:?} at {now:?}");
        }
        assert!(Timer::Disarmed.must_be_set(second(1), second(2)), "a fired timer is set again");
    }

    #[test]
    fn a_deadline_wakes_the_poll_and_a_past_one_needs_no_waiting() {
        let mut poll = mio::Poll::new().unwrap();
        let mut events = mio::Events::with_capacity(1);
        let started = Instant::now();
        let mut alarm = Alarm::new(poll.registry(), started).unwrap();
        for _ in 0..2 {
            let deadline = started.elapsed() + Duration::from_millis(5);
            assert_eq!(alarm.wait(started.elapsed(), Some(deadline)), None, "the timer is set");
            poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
            assert!(started.elapsed() >= deadline, "it fires at the deadline");
            let token = events.iter().next().map(|event| event.token());
            assert_eq!(token, Some(Ready::Alarm.token()), "the poll reports that it fired");
            alarm.fired();
        }
        let past = Some(Duration::ZERO);
        assert_eq!(alarm.wait(started.elapsed(), past), Some(Duration::ZERO));
        assert_eq!(
            alarm.wait(started.elapsed(), None),
            None,
            "without a deadline the poll waits for events only"
        );
    }
}
