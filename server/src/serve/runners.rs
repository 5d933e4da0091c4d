//! The table of the plugins that run in this process, with the watchdog of their calls. Their
//! callbacks are run in `shared.rs`.

use super::watchdog::Watchdog;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use trunkline_core::broker::PluginId;
use trunkline_core::name::{Name, Version};
use trunkline_plugin::host::Instance;

/// The facts of a plugin that do not change while it runs, and its misuse.
pub(super) struct PluginInfo {
    pub(super) id: PluginId,
    pub(super) name: Name,
    pub(super) version: Version,
    /// The plugin's first misuse of the API, for which it fails.
    pub(super) misuse: RefCell<Option<String>>,
}

/// A plugin that runs.
pub(super) struct Runner {
    /// Borrowed while the plugin is on the stack.
    pub(super) instance: RefCell<Instance>,
    pub(super) info: Rc<PluginInfo>,
}

/// All plugins that run in this process.
pub(super) struct Runners {
    /// Indexed by the plugin's number, because numbers of local plugins are small.
    running: RefCell<Vec<Option<Rc<Runner>>>>,
    watchdog: Watchdog,
    last_failure: RefCell<Option<String>>,
}

impl Runners {
    /// An empty table. The watchdog reports calls that take longer than `limit`.
    pub(super) fn new(limit: Duration) -> Runners {
        let (running, last_failure) = Default::default();
        Runners { running, watchdog: Watchdog::new(limit), last_failure }
    }

    pub(super) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    /// Whether no plugin runs.
    pub(super) fn is_empty(&self) -> bool {
        self.running.borrow().iter().all(Option::is_none)
    }

    /// The error of the plugin that failed last.
    pub(super) fn last_failure(&self) -> Option<String> {
        self.last_failure.borrow().clone()
    }

    pub(super) fn note_failure(&self, why: String) {
        self.last_failure.replace(Some(why));
    }

    #[inline]
    pub(super) fn get(&self, id: PluginId) -> Option<Rc<Runner>> {
        self.running.borrow().get(id.0 as usize)?.clone()
    }

    pub(super) fn add(&self, runner: Runner) {
        let id = runner.info.id;
        let (at, mut running) = (id.0 as usize, self.running.borrow_mut());
        if running.len() <= at {
            running.resize_with(at + 1, || None);
        }
        running[at] = Some(Rc::new(runner));
    }

    pub(super) fn remove(&self, id: PluginId) -> Option<Rc<Runner>> {
        self.running.borrow_mut().get_mut(id.0 as usize)?.take()
    }

    /// The plugin that has started last.
    pub(super) fn last(&self) -> Option<PluginId> {
        let at = self.running.borrow().iter().rposition(Option::is_some);
        at.and_then(|at| u32::try_from(at).ok()).map(PluginId)
    }
}
