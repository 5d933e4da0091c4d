//! Plugins that open and close links of their server, if they may, and are notified of the outcome.

use super::Shared;
use super::actor::Actor;
use super::channel::Host;
use trunkline_core::broker::LinkChange;
use trunkline_core::control::Role;
use trunkline_core::key::Key;
use trunkline_core::reason::{Code, Reason};

impl Shared {
    /// Notes that a plugin has closed the link of two servers, which then need not be linked.
    fn close_link(&mut self, a: Key, b: Key) {
        self.closed.insert((a.min(b), a.max(b)));
    }

    /// Whether a plugin has ever closed the link of two servers.
    pub(super) fn has_closed(&self, a: Key, b: Key) -> bool {
        self.closed.contains(&(a.min(b), a.max(b)))
    }
}

impl Actor {
    /// Opens or closes a link, or tries to.
    pub(super) fn manage_links(&mut self, host: &mut Host<'_>) -> Result<(), String> {
        let to = host.shared.random.below(host.shared.keys.len() as u64) as usize;
        let (home, key) = (host.broker.home().0, host.shared.keys[to]);
        if !self.spec.manages_links {
            return self.check_not_allowed(host, key);
        }
        if host.shared.random.chance(300) {
            return self.close_link(host, home, key);
        }
        let wrong = host.shared.random.chance(150);
        let other = host.shared.random.pick(&host.shared.keys);
        let key = if wrong { other } else { key };
        let address = format!("net:127.0.0.1:{}~shs:{key}", 8000 + to);
        if host.shared.keys[to] == home || self.wanted.contains(&key) {
            return Ok(());
        }
        match host.broker.open_link(host.plugin, &address) {
            Ok(found) if found != key => Err(format!("{address} is taken for {found}")),
            Ok(_) => {
                host.shared.note_link(host.plugin.0, "opens a link to", key);
                *self.requests.entry(key).or_default() += 1;
                // If it still knows an older link, it is notified of the end of that one first.
                if !self.links.contains(&key) {
                    self.wanted.insert(key);
                }
                Ok(())
            }
            Err(reason) if reason.is(Code::SelfLink) && key == home => Ok(()),
            Err(reason) if reason.is(Code::LinkLost) => Ok(()),
            Err(reason) => Err(format!("a link to {address} was refused: {reason}")),
        }
    }

    fn check_not_allowed(&self, host: &mut Host<'_>, key: Key) -> Result<(), String> {
        let address = format!("net:127.0.0.1:8000~shs:{key}");
        let opened = host.broker.open_link(host.plugin, &address).map(drop);
        let closed = host.broker.close_link(host.plugin, key);
        let refused =
            |result: &Result<(), Reason>| result.as_ref().is_err_and(|r| r.is(Code::NotAllowed));
        match refused(&opened) && refused(&closed) {
            true => Ok(()),
            false => Err(format!("it may not manage links: {opened:?}, {closed:?}")),
        }
    }

    fn close_link(&mut self, host: &mut Host<'_>, home: Key, key: Key) -> Result<(), String> {
        match host.broker.close_link(host.plugin, key) {
            Ok(()) => {
                host.shared.note_link(host.plugin.0, "closes the link to", key);
                host.shared.close_link(home, key);
                Ok(())
            }
            Err(reason) if reason.is(Code::UnknownServer) || reason.is(Code::LinkLost) => Ok(()),
            Err(reason) => Err(format!("a link was not closed: {reason}")),
        }
    }

    /// Updates its view by a change of a link: it is up, it is down, or it could not be opened.
    /// Returns whether the change was new to it.
    pub(super) fn is_new(&mut self, host: &mut Host<'_>, change: &LinkChange) -> bool {
        let wanted = self.wanted.remove(&change.server);
        match &change.down {
            None => {
                if wanted {
                    host.shared.trace.saw("a link that a plugin opened");
                }
                // A host's request may reach its server only after this link has ended again.
                if host.broker.settings().role == Role::Server {
                    self.requests.remove(&change.server);
                }
                self.links.insert(change.server)
            }
            Some(reason) => {
                if reason.is(Code::LinkClosed) {
                    host.shared.trace.saw("a link that a plugin closed");
                }
                let was_up = self.links.remove(&change.server);
                was_up || self.could_not_open(host, change.server)
            }
        }
    }

    /// Notes that a link could not be opened. Returns whether it had requested one.
    fn could_not_open(&mut self, host: &mut Host<'_>, server: Key) -> bool {
        host.shared.trace.saw("a link that could not be opened");
        let left = self.requests.get(&server).and_then(|requests| requests.checked_sub(1));
        left.is_some_and(|left| self.requests.insert(server, left).is_some())
    }
}

impl Shared {
    fn note_link(&mut self, plugin: u32, what: &str, key: Key) {
        self.trace.note(self.now, format_args!("#{plugin} {what} {}", key.short()));
    }
}
