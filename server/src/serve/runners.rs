//! The table of the plugins that run in this process, with the watchdog of their calls. What they
//! are told is in `shared.rs`.

use super::watchdog::Watchdog;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use trunkline_core::broker::PluginId;
use trunkline_core::name::{Name, Version};
use trunkline_plugin::host::Instance;

/// What is known of a plugin from its start to its end.
pub(super) struct Hosted {
    pub(super) id: PluginId,
    pub(super) name: Name,
    pub(super) version: Version,
    /// The first thing that the plugin did and may not do; it fails for it.
    pub(super) misuse: RefCell<Option<String>>,
}

/// A plugin that runs.
pub(super) struct Runner {
    /// Borrowed while the plugin is on the stack.
    pub(super) instance: RefCell<Instance>,
    pub(super) hosted: Rc<Hosted>,
}

/// All plugins that run in this process.
pub(super) struct Runners {
    /// By their numbers, which are small where plugins run.
    running: RefCell<Vec<Option<Rc<Runner>>>>,
    watchdog: Watchdog,
    last_failure: RefCell<Option<String>>,
}

impl Runners {
    /// Nobody runs yet; a call that lasts for `limit` is too long.
    pub(super) fn new(limit: Duration) -> Runners {
        let (running, last_failure) = Default::default();
        Runners { running, watchdog: Watchdog::new(limit), last_failure }
    }

    /// Who watches the calls to plugins.
    pub(super) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    /// Whether no plugin runs.
    pub(super) fn is_empty(&self) -> bool {
        self.running.borrow().iter().all(Option::is_none)
    }

    /// Why the last plugin that failed did.
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
        let id = runner.hosted.id;
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
