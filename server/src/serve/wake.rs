//! How other threads wake the loop: a queue of plugins to wake, and of looked-up names.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use trunkline_core::broker::{ChildId, PluginId};

/// What other threads left for the loop.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Plugins whose wakers were used, each once however often.
    pub(super) plugins: BTreeSet<PluginId>,
    /// Names that were looked up, by the number of the dial that waits for it.
    pub(super) lookups: Vec<(u64, io::Result<Vec<SocketAddr>>)>,
    /// Hosts on threads that have ended, and how.
    pub(super) children: Vec<(ChildId, String)>,
}

/// Where other threads leave what the loop shall do.
#[derive(Debug)]
pub(super) struct Mailbox {
    waker: mio::Waker,
    left: Mutex<Left>,
}

impl Mailbox {
    pub(super) fn new(waker: mio::Waker) -> Arc<Mailbox> {
        Arc::new(Mailbox { waker, left: Mutex::default() })
    }

    fn leave(&self, leave: impl FnOnce(&mut Left)) {
        leave(&mut self.left.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = self.waker.wake() {
            log::error!("the loop cannot be woken: {error}");
        }
    }

    /// Takes what was left.
    pub(super) fn take(&self) -> Left {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A host on a thread has ended.
    pub(super) fn child_ended(&self, child: ChildId, why: String) {
        self.leave(|left| left.children.push((child, why)));
    }

    /// A waker that wakes a plugin.
    pub(super) fn waker_of(self: &Arc<Mailbox>, plugin: PluginId) -> Waker {
        Waker::from(Arc::new(PluginWaker { mailbox: self.clone(), plugin }))
    }

    /// Looks a name up on a thread of its own: the system's resolver blocks.
    pub(super) fn look_up(self: &Arc<Mailbox>, dial: u64, host: String, port: u16) {
        let mailbox = self.clone();
        let look = move || {
            let found = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port));
            mailbox.leave(|left| left.lookups.push((dial, found.map(Iterator::collect))));
        };
        let spawned = std::thread::Builder::new().name("lookup".into()).spawn(look);
        if let Err(error) = spawned {
            self.leave(|left| left.lookups.push((dial, Err(error))));
        }
    }
}

struct PluginWaker {
    mailbox: Arc<Mailbox>,
    plugin: PluginId,
}

impl Wake for PluginWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mailbox.leave(|left| {
            left.plugins.insert(self.plugin);
        });
    }
}
