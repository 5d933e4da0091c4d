//! Messages from other threads to the loop: plugins to wake, resolved names, hosts that have ended,
//! signals.

use super::lookups::NamedPlace;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use trunkline_core::broker::{ChildId, PluginId};

/// Messages that the loop has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// Plugins whose wakers were used, each once.
    pub(super) plugins: BTreeSet<PluginId>,
    /// Resolved names.
    pub(super) lookups: Vec<(NamedPlace, io::Result<Vec<SocketAddr>>)>,
    /// Hosts on threads that have ended, with the reason.
    pub(super) children: Vec<(ChildId, String)>,
    /// The signal that stops this loop.
    pub(super) stop: Option<&'static str>,
}

/// Other threads post messages here, which wakes the loop.
#[derive(Debug)]
pub(super) struct Mailbox {
    waker: mio::Waker,
    messages: Mutex<Messages>,
}

impl Mailbox {
    pub(super) fn new(waker: mio::Waker) -> Arc<Mailbox> {
        Arc::new(Mailbox { waker, messages: Mutex::default() })
    }

    fn post(&self, add: impl FnOnce(&mut Messages)) {
        add(&mut self.messages.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = self.waker.wake() {
            log::error!("the loop cannot be woken: {error}");
        }
    }

    /// Takes all messages.
    pub(super) fn take(&self) -> Messages {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A host on a thread has ended.
    pub(super) fn child_ended(&self, child: ChildId, why: String) {
        self.post(|messages| messages.children.push((child, why)));
    }

    /// A signal was received that stops this loop.
    pub(super) fn stop(&self, signal: &'static str) {
        self.post(|messages| messages.stop = Some(signal));
    }

    /// A waker for a plugin.
    pub(super) fn waker_of(self: &Arc<Mailbox>, plugin: PluginId) -> Waker {
        Waker::from(Arc::new(PluginWaker { mailbox: self.clone(), plugin }))
    }

    /// Resolves a name on a thread of its own, because the system's resolver blocks.
    pub(super) fn look_up(self: &Arc<Mailbox>, place: NamedPlace) {
        let (mailbox, wanted) = (self.clone(), place.clone());
        let look = move || {
            let found = std::net::ToSocketAddrs::to_socket_addrs(&(wanted.0.as_str(), wanted.1));
            mailbox.post(|messages| messages.lookups.push((wanted, found.map(Iterator::collect))));
        };
        let spawned = std::thread::Builder::new().name("lookup".into()).spawn(look);
        if let Err(error) = spawned {
            self.post(|messages| messages.lookups.push((place, Err(error))));
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
        self.mailbox.post(|messages| {
            messages.plugins.insert(self.plugin);
        });
    }
}
