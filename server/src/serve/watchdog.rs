//! The watchdog of a loop: a thread that logs which plugin blocks the loop, and for how long. It
//! does not interrupt a plugin. If configured, it ends the plugin's process.

use crate::config::Blocked;
use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};
use trunkline_core::broker::PluginId;

/// The signal with which the watchdog ends its process. An exit code could be the plugin's own. No
/// other program sends this signal, and the kernel sends it only if a plugin asks for it.
pub(super) const BLOCKED_SIGNAL: i32 = signal_hook::consts::SIGVTALRM;

/// The exit code of that process if the signal has no effect.
const BLOCKED_EXIT: i32 = 1;

/// How often the watchdog checks the loop within the limit. More checks make reports more punctual,
/// and cost wakeups while the loop is busy.
const CHECKS_PER_LIMIT: u32 = 4;

/// The number in a call record when no plugin runs. Plugins are numbered from 0.
const NO_PLUGIN: u32 = u32::MAX;

/// State shared by a loop and its watchdog. Calls are frequent, so each costs the loop only two
/// plain stores.
#[derive(Debug)]
struct SharedState {
    /// The current call, see [`call`]. Only the loop writes it.
    call: AtomicU64,
    /// The innermost callee, if plugins call each other within that call. Only the loop writes it.
    within: AtomicU32,
    /// The loop is not waiting for events. Only the loop writes it.
    turning: AtomicBool,
    /// The watchdog sleeps until the loop wakes it.
    parked: AtomicBool,
    stopped: AtomicBool,
    /// The name of each plugin, and what to do if it blocks.
    plugins: Mutex<BTreeMap<u32, (String, Blocked)>>,
    /// The plugin's file that is being loaded: its code runs before it is a plugin.
    loading: Mutex<Option<PathBuf>>,
}

/// What other threads use to ask what a loop is doing.
#[derive(Debug)]
pub(super) struct Observer(Arc<SharedState>);

/// The loop's handle of its watchdog.
#[derive(Debug)]
pub(super) struct Watchdog {
    limit: Duration,
    state: Arc<SharedState>,
    calls: Cell<u32>,
    /// The thread starts with the first plugin.
    thread: OnceCell<Thread>,
}

impl Watchdog {
    /// A watchdog for the loop of this thread, which is in a turn. It reports calls that take
    /// longer than `limit`.
    pub(super) fn new(limit: Duration) -> Watchdog {
        let state = SharedState {
            call: AtomicU64::new(call(0, NO_PLUGIN)),
            within: AtomicU32::new(NO_PLUGIN),
            turning: AtomicBool::new(true),
            parked: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            plugins: Mutex::default(),
            loading: Mutex::default(),
        };
        Watchdog { limit, state: Arc::new(state), calls: Cell::new(0), thread: OnceCell::new() }
    }

    /// Adds a plugin whose calls are watched.
    pub(super) fn watch(&self, id: PluginId, name: String, blocked: Blocked) {
        let mut plugins = self.state.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        plugins.insert(id.0, (name, blocked));
        drop(plugins);
        if self.thread.get().is_none() {
            match start(self.state.clone(), self.limit) {
                Ok(thread) => drop(self.thread.set(thread)),
                Err(error) => log::warn!(
                    "the watchdog thread could not start, blocked plugins go unreported: {error}"
                ),
            }
        }
    }

    /// For another thread, which asks what this loop is doing.
    pub(super) fn observer(&self) -> Observer {
        Observer(self.state.clone())
    }

    /// Loads a plugin's file.
    pub(super) fn load<T>(&self, file: &Path, load: impl FnOnce() -> T) -> T {
        let loading = || self.state.loading.lock().unwrap_or_else(PoisonError::into_inner);
        *loading() = Some(file.into());
        let loaded = load();
        *loading() = None;
        loaded
    }

    /// Runs a callback of a plugin from the loop. If it is nested in another callback, that one is
    /// the current call again afterwards.
    #[inline(always)]
    pub(super) fn call<T>(&self, id: PluginId, callback: impl FnOnce() -> T) -> T {
        let calls = self.calls.get().wrapping_add(1);
        self.calls.set(calls);
        let before = self.state.call.load(Ordering::Relaxed);
        self.state.call.store(call(calls, id.0), Ordering::Relaxed);
        let returned = callback();
        self.state.call.store(before, Ordering::Relaxed);
        returned
    }

    /// Runs a callee within the call of another plugin. The time of the outer call goes on. If it
    /// is too long, the innermost plugin is reported.
    #[inline(always)]
    pub(super) fn within<T>(&self, id: PluginId, callback: impl FnOnce() -> T) -> T {
        let before = self.state.within.load(Ordering::Relaxed);
        self.state.within.store(id.0, Ordering::Relaxed);
        let returned = callback();
        self.state.within.store(before, Ordering::Relaxed);
        returned
    }

    /// The loop has events to process.
    pub(super) fn turn_begins(&self) {
        self.state.turning.store(true, Ordering::Relaxed);
        // `park` has the same fence. So either we see `parked`, or it sees `turning`.
        fence(Ordering::SeqCst);
        if self.state.parked.load(Ordering::Relaxed) {
            self.state.parked.store(false, Ordering::Relaxed);
            self.wake();
        }
    }

    /// The loop waits for events.
    pub(super) fn turn_ends(&self) {
        self.state.turning.store(false, Ordering::Relaxed);
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        self.wake();
    }
}

/// The record of a call. Calls of the same plugin have different numbers, so that many short calls
/// are not taken for a long one.
fn call(number: u32, plugin: u32) -> u64 {
    u64::from(number) << 32 | u64::from(plugin)
}

fn plugin_of(call: u64) -> Option<u32> {
    let plugin = call as u32;
    (plugin != NO_PLUGIN).then_some(plugin)
}

fn start(state: Arc<SharedState>, limit: Duration) -> io::Result<Thread> {
    let thread = std::thread::Builder::new().name("watchdog".into());
    let handle = thread.spawn(move || state.watch(limit))?;
    Ok(handle.thread().clone())
}

impl SharedState {
    fn watch(&self, limit: Duration) {
        let pause = limit / CHECKS_PER_LIMIT;
        let mut timer = CallTimer::new(limit);
        let mut checked = Instant::now();
        let mut blamed = None;
        while !self.stopped.load(Ordering::Relaxed) {
            let now = Instant::now();
            let passed = now.duration_since(checked);
            checked = now;
            // If this thread was not scheduled for longer, the plugin may not have been either.
            let report = timer.check(self.call.load(Ordering::Relaxed), passed.min(2 * pause));
            if let Some(report) = report {
                self.report(report, &mut blamed);
            }
            match self.turning.load(Ordering::Relaxed) {
                true => std::thread::park_timeout(pause),
                false => self.park(),
            }
        }
    }

    /// Sleeps until the loop is in a turn, or has ended.
    fn park(&self) {
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.turning.load(Ordering::Relaxed) {
            self.parked.store(false, Ordering::Relaxed);
        }
        while self.parked.load(Ordering::Relaxed) && !self.stopped.load(Ordering::Relaxed) {
            std::thread::park();
        }
    }

    /// Logs the innermost plugin of the call, and keeps it in `blamed`, so that the end of the call
    /// is logged for the same plugin.
    fn report(&self, report: Report, blamed: &mut Option<u32>) {
        let plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let (plugin, time) = match report {
            Report::Blocks(plugin, time) => (*blamed.insert(self.innermost(plugin)), time),
            Report::Returned(plugin, time) => (blamed.take().unwrap_or(plugin), time),
        };
        let Some((name, blocked)) = plugins.get(&plugin) else { return };
        let seconds = time.as_secs_f64();
        match (report, blocked) {
            (Report::Returned(..), _) => {
                log::info!(
                    "plugin {name} has returned after blocking its loop for about {seconds:.0} s"
                );
            }
            (Report::Blocks(..), Blocked::Report) => {
                log::warn!("plugin {name} has blocked its loop for {seconds:.1} s");
            }
            (Report::Blocks(..), Blocked::End) => {
                let what = "ending its process (`blocked` is \"end\")";
                log::error!("plugin {name} has blocked its loop for {seconds:.1} s; {what}");
                crate::log::finish();
                // An orderly stop could deadlock, because the plugin may hold locks.
                let _ = signal_hook::low_level::emulate_default_handler(BLOCKED_SIGNAL);
                signal_hook::low_level::exit(BLOCKED_EXIT);
            }
        }
    }

    /// The plugin whose code runs for this call: the innermost one.
    fn innermost(&self, plugin: u32) -> u32 {
        let within = self.within.load(Ordering::Relaxed);
        if within == NO_PLUGIN { plugin } else { within }
    }
}

impl Observer {
    /// Which foreign code the loop is running, if it is. Never waits, because
    /// the thread that asks may be the only one that can still end the process.
    pub(super) fn foreign_code(&self) -> Option<String> {
        if let Some(plugin) = plugin_of(self.0.call.load(Ordering::Relaxed)) {
            let plugins = self.0.plugins.try_lock().ok()?;
            let (name, _) = plugins.get(&self.0.innermost(plugin))?;
            return Some(format!("plugin {name} has not returned"));
        }
        let loading = self.0.loading.try_lock().ok()?;
        loading.as_ref().map(|file| format!("{}: loading it has not ended", file.display()))
    }
}

/// A change that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    /// A call of this plugin has taken this long, and continues.
    Blocks(u32, Duration),
    /// A call that was reported has returned.
    Returned(u32, Duration),
}

/// Measures the current call.
#[derive(Debug)]
struct CallTimer {
    limit: Duration,
    call: u64,
    lasted: Duration,
    /// The time of the next report. It doubles with each one.
    next: Duration,
}

impl CallTimer {
    fn new(limit: Duration) -> CallTimer {
        CallTimer { limit, call: call(0, NO_PLUGIN), lasted: Duration::ZERO, next: limit }
    }

    /// Checks the current call, `passed` after the last check.
    fn check(&mut self, call: u64, passed: Duration) -> Option<Report> {
        if call != self.call {
            let (reported, lasted) = (self.next > self.limit, self.lasted.saturating_add(passed));
            let before = std::mem::replace(self, CallTimer { call, ..CallTimer::new(self.limit) });
            let plugin = plugin_of(before.call).filter(|_| reported);
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

    /// The reports for these calls, with one check a second and a limit of four seconds.
    fn reports(calls: &[u64]) -> Vec<(usize, Report)> {
        let second = Duration::from_secs(1);
        let mut timer = CallTimer::new(4 * second);
        let report = |(at, call): (usize, &u64)| Some((at, timer.check(*call, second)?));
        calls.iter().enumerate().filter_map(report).collect()
    }

    #[test]
    fn the_outer_call_is_current_again_after_a_nested_one() {
        let watchdog = Watchdog::new(Duration::from_secs(1));
        let running = || plugin_of(watchdog.state.call.load(Ordering::Relaxed));
        watchdog.call(PluginId(7), || {
            watchdog.call(PluginId(8), || assert_eq!(running(), Some(8)));
            assert_eq!(running(), Some(7), "the outer plugin may block now");
        });
        assert_eq!(running(), None);
    }

    #[test]
    fn a_long_call_is_reported_at_the_limit_and_each_time_its_length_doubles() {
        let calls = [[call(1, 7); 18].as_slice(), &[call(1, NO_PLUGIN); 4]].concat();
        let blocks = |seconds| Report::Blocks(7, Duration::from_secs(seconds));
        let returned = Report::Returned(7, Duration::from_secs(18));
        assert_eq!(
            reports(&calls),
            [(4, blocks(4)), (8, blocks(8)), (16, blocks(16)), (18, returned)]
        );
    }

    #[test]
    fn short_calls_and_waiting_are_not_reported() {
        assert_eq!(reports(&[call(3, NO_PLUGIN); 100]), []);
        let many: Vec<u64> = (0..100).map(|number| call(number, 7)).collect();
        assert_eq!(reports(&many), []);
        assert_eq!(reports(&[call(1, 0); 4]), []);
    }

    #[test]
    fn two_calls_in_a_row_are_measured_apart() {
        let calls = [[call(1, 7); 5].as_slice(), &[call(2, 8); 5]].concat();
        let (long, all) = (Duration::from_secs(4), Duration::from_secs(5));
        let expected = [
            (4, Report::Blocks(7, long)),
            (5, Report::Returned(7, all)),
            (9, Report::Blocks(8, long)),
        ];
        assert_eq!(reports(&calls), expected);
    }
}
