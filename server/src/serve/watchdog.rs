//! The watchdog of a loop: a thread that tells which plugin blocks the loop, and for how long. It
//! does nothing to a plugin; at most, it ends its process.

use crate::config::Blocked;
use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};
use trunkline_core::broker::PluginId;

/// The exit code of a process that ends because its plugin blocks it.
pub(super) const BLOCKED_EXIT: i32 = 3;

/// Looks at the loop in the time after which a call is too long: more make reports more punctual,
/// and cost wakeups while the loop is busy.
const LOOKS: u32 = 4;

/// Stands in a call for no plugin. No plugin has that number: they are counted from 0.
const NOBODY: u32 = u32::MAX;

/// What a loop and its watchdog share. Calls are frequent: each costs the loop two plain stores.
#[derive(Debug)]
struct Pulse {
    /// Only the loop writes it.
    call: AtomicU64,
    /// The plugin that runs within that call, if it was called by another one. Only the loop writes
    /// it.
    within: AtomicU32,
    /// The loop is not waiting for events. Only the loop writes it.
    turning: AtomicBool,
    /// The watchdog sleeps until the loop wakes it.
    parked: AtomicBool,
    over: AtomicBool,
    /// What to call the plugins, and what to do about them.
    plugins: Mutex<BTreeMap<u32, (String, Blocked)>>,
}

/// The loop's side.
#[derive(Debug)]
pub(super) struct Watchdog {
    limit: Duration,
    pulse: Arc<Pulse>,
    calls: Cell<u32>,
    /// It starts with the first plugin.
    thread: OnceCell<Thread>,
}

impl Watchdog {
    /// A watchdog for the loop of this thread, which begins in the middle of a turn. Calls that
    /// last for `limit` are too long.
    pub(super) fn new(limit: Duration) -> Watchdog {
        let pulse = Pulse {
            call: AtomicU64::new(call(0, NOBODY)),
            within: AtomicU32::new(NOBODY),
            turning: AtomicBool::new(true),
            parked: AtomicBool::new(false),
            over: AtomicBool::new(false),
            plugins: Mutex::default(),
        };
        Watchdog { limit, pulse: Arc::new(pulse), calls: Cell::new(0), thread: OnceCell::new() }
    }

    /// Watches calls to a plugin, too.
    pub(super) fn watch(&self, id: PluginId, name: String, blocked: Blocked) {
        let mut plugins = self.pulse.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        plugins.insert(id.0, (name, blocked));
        drop(plugins);
        if self.thread.get().is_none() {
            match start(self.pulse.clone(), self.limit) {
                // There was none a moment ago.
                Ok(thread) => drop(self.thread.set(thread)),
                Err(error) => log::warn!("nobody watches for plugins that block: {error}"),
            }
        }
    }

    /// Calls a plugin. Where another one runs that called it, and that fails, the call of that one
    /// goes on afterwards.
    pub(super) fn call<T>(&self, id: PluginId, callback: impl FnOnce() -> T) -> T {
        let calls = self.calls.get().wrapping_add(1);
        self.calls.set(calls);
        let before = self.pulse.call.load(Ordering::Relaxed);
        self.pulse.call.store(call(calls, id.0), Ordering::Relaxed);
        let returned = callback();
        self.pulse.call.store(before, Ordering::Relaxed);
        returned
    }

    /// Calls a plugin within a call of another one. The time of that goes on; if it is too long,
    /// the innermost plugin is the one that blocks.
    pub(super) fn within<T>(&self, id: PluginId, callback: impl FnOnce() -> T) -> T {
        let before = self.pulse.within.load(Ordering::Relaxed);
        self.pulse.within.store(id.0, Ordering::Relaxed);
        let returned = callback();
        self.pulse.within.store(before, Ordering::Relaxed);
        returned
    }

    /// The loop has something to do.
    pub(super) fn turn_begins(&self) {
        self.pulse.turning.store(true, Ordering::Relaxed);
        // Either we see that it is parked, or it sees that we turn; it has a fence like this one.
        fence(Ordering::SeqCst);
        if self.pulse.parked.load(Ordering::Relaxed) {
            self.pulse.parked.store(false, Ordering::Relaxed);
            self.wake();
        }
    }

    /// The loop waits for events.
    pub(super) fn turn_ends(&self) {
        self.pulse.turning.store(false, Ordering::Relaxed);
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.pulse.over.store(true, Ordering::Relaxed);
        self.wake();
    }
}

/// Two calls to one plugin differ in their number, so that many short ones are not taken for one.
fn call(number: u32, plugin: u32) -> u64 {
    u64::from(number) << 32 | u64::from(plugin)
}

fn plugin_of(call: u64) -> Option<u32> {
    let plugin = call as u32;
    (plugin != NOBODY).then_some(plugin)
}

fn start(pulse: Arc<Pulse>, limit: Duration) -> io::Result<Thread> {
    let thread = std::thread::Builder::new().name("watchdog".into());
    let handle = thread.spawn(move || pulse.watch(limit))?;
    Ok(handle.thread().clone())
}

impl Pulse {
    fn watch(&self, limit: Duration) {
        let pause = limit / LOOKS;
        let mut seen = Seen::new(limit);
        let mut looked = Instant::now();
        let mut blamed = None;
        while !self.over.load(Ordering::Relaxed) {
            let now = Instant::now();
            let passed = now.duration_since(looked);
            looked = now;
            // Time in which this thread did not run says nothing about the plugin.
            let report = seen.look(self.call.load(Ordering::Relaxed), passed.min(2 * pause));
            if let Some(report) = report {
                self.report(report, &mut blamed);
            }
            match self.turning.load(Ordering::Relaxed) {
                true => std::thread::park_timeout(pause),
                false => self.park(),
            }
        }
    }

    /// Sleeps until the loop turns, or is over.
    fn park(&self) {
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.turning.load(Ordering::Relaxed) {
            self.parked.store(false, Ordering::Relaxed);
        }
        while self.parked.load(Ordering::Relaxed) && !self.over.load(Ordering::Relaxed) {
            std::thread::park();
        }
    }

    /// Tells of the plugin that runs within the call, and when that is over of the one that was
    /// `blamed` for it.
    fn report(&self, report: Report, blamed: &mut Option<u32>) {
        let plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let (plugin, time) = match report {
            Report::Blocks(plugin, time) => {
                let within = self.within.load(Ordering::Relaxed);
                let innermost = if within == NOBODY { plugin } else { within };
                (*blamed.insert(innermost), time)
            }
            Report::Returned(plugin, time) => (blamed.take().unwrap_or(plugin), time),
        };
        let Some((name, blocked)) = plugins.get(&plugin) else { return };
        let seconds = time.as_secs_f64();
        match (report, blocked) {
            (Report::Returned(..), _) => {
                log::info!("plugin {name} lets its loop go on after about {seconds:.0} s");
            }
            (Report::Blocks(..), Blocked::Report) => {
                log::warn!("plugin {name} blocks its loop for {seconds:.1} s");
            }
            (Report::Blocks(..), Blocked::End) => {
                let what = "its process ends, as its configuration says";
                log::error!("plugin {name} blocks its loop for {seconds:.1} s; {what}");
                // The plugin may hold what an end in order would wait for.
                signal_hook::low_level::exit(BLOCKED_EXIT);
            }
        }
    }
}

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    /// A call to this plugin has lasted so long, and goes on.
    Blocks(u32, Duration),
    /// One that was told of is over.
    Returned(u32, Duration),
}

/// What the watchdog has seen of one call.
#[derive(Debug)]
struct Seen {
    limit: Duration,
    call: u64,
    lasted: Duration,
    /// When to tell next.
    next: Duration,
}

impl Seen {
    fn new(limit: Duration) -> Seen {
        Seen { limit, call: call(0, NOBODY), lasted: Duration::ZERO, next: limit }
    }

    /// Looks at the call that goes on, when so much time has passed since the last look.
    fn look(&mut self, call: u64, passed: Duration) -> Option<Report> {
        if call != self.call {
            let (told, lasted) = (self.next > self.limit, self.lasted.saturating_add(passed));
            let before = std::mem::replace(self, Seen { call, ..Seen::new(self.limit) });
            let plugin = plugin_of(before.call).filter(|_| told);
            return plugin.map(|plugin| Report::Returned(plugin, lasted));
        }
        let plugin = plugin_of(call)?;
        self.lasted = self.lasted.saturating_add(passed);
        if self.lasted < self.next {
            return None;
        }
        while self.next <= self.lasted {
            self.next = self.next.saturating_mul(2);
        }
        Some(Report::Blocks(plugin, self.lasted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of calls that were seen, one look a second; four seconds are too long.
    fn told(calls: &[u64]) -> Vec<(usize, Report)> {
        let second = Duration::from_secs(1);
        let mut seen = Seen::new(4 * second);
        let told = |(at, call): (usize, &u64)| Some((at, seen.look(*call, second)?));
        calls.iter().enumerate().filter_map(told).collect()
    }

    #[test]
    fn a_call_goes_on_behind_one_that_was_made_within_it() {
        let watchdog = Watchdog::new(Duration::from_secs(1));
        let running = || plugin_of(watchdog.pulse.call.load(Ordering::Relaxed));
        watchdog.call(PluginId(7), || {
            watchdog.call(PluginId(8), || assert_eq!(running(), Some(8)));
            assert_eq!(running(), Some(7), "whoever blocks now is named");
        });
        assert_eq!(running(), None);
    }

    #[test]
    fn one_call_is_told_of_when_it_is_too_long_and_each_time_that_has_doubled() {
        let calls = [[call(1, 7); 18].as_slice(), &[call(1, NOBODY); 4]].concat();
        let blocks = |seconds| Report::Blocks(7, Duration::from_secs(seconds));
        let returned = Report::Returned(7, Duration::from_secs(18));
        assert_eq!(
            told(&calls),
            [(4, blocks(4)), (8, blocks(8)), (16, blocks(16)), (18, returned)]
        );
    }

    #[test]
    fn short_calls_and_waiting_are_not_told_of() {
        assert_eq!(told(&[call(3, NOBODY); 100]), []);
        let many: Vec<u64> = (0..100).map(|number| call(number, 7)).collect();
        assert_eq!(told(&many), []);
        assert_eq!(told(&[call(1, 0); 4]), []);
    }

    #[test]
    fn the_next_call_is_another_one() {
        let calls = [[call(1, 7); 5].as_slice(), &[call(2, 8); 5]].concat();
        let (long, all) = (Duration::from_secs(4), Duration::from_secs(5));
        let expected = [
            (4, Report::Blocks(7, long)),
            (5, Report::Returned(7, all)),
            (9, Report::Blocks(8, long)),
        ];
        assert_eq!(told(&calls), expected);
    }
}
