//! Which links of its server each host has been told of: by cursor, as of plugins.

use super::changes::{Changes, News};
use super::news::Telling;
use crate::broker::LinkChange;
use crate::control::{Linked, Message, Server, Unlinked};
use crate::ids::ConnId;
use crate::key::Key;
use crate::reason::{Code, Reason};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes of one message about links, of whose limit of 64 KiB they leave half to spare.
const BYTES_PER_MESSAGE: usize = 32 * 1024;

/// Key, and the numbers of the fields, in bytes.
const FIXED: usize = 48;

/// How far hosts have been told of links.
#[derive(Debug, Default)]
pub(crate) struct LinkNews {
    changes: Changes<Key, ConnId>,
    /// Links that were over, as long as a host has to hear so: the server's name, and why.
    over: BTreeMap<Key, (String, Reason)>,
    /// So many of them are looked through, next, for those of which all hosts have heard.
    look_at: usize,
}

impl LinkNews {
    /// A link came up, or went down.
    pub(crate) fn note(&mut self, change: &LinkChange) {
        let Some(reason) = &change.down else { return self.changes.set(&change.server) };
        self.changes.remove(&change.server);
        if !self.changes.remembers(&change.server) {
            return;
        }
        self.over.insert(change.server, (change.name.clone(), reason.clone()));
        if self.over.len() > self.look_at {
            self.over.retain(|server, _| self.changes.remembers(server));
            self.look_at = 2 * self.over.len() + 16;
        }
    }

    /// A host has been told of all links, and hears of what follows.
    pub(crate) fn listen(&mut self, host: ConnId) {
        self.changes.listen_from_now(host);
    }

    /// A host is gone.
    pub(crate) fn ignore(&mut self, host: ConnId) {
        self.changes.ignore(host);
    }

    /// Whether a host has still to be told something.
    pub(crate) fn is_behind(&self, host: ConnId) -> bool {
        self.changes.is_behind(host)
    }

    /// The links that are over and remembered all the same.
    pub(crate) fn remembered(&self) -> usize {
        self.changes.remembered()
    }

    /// What a host is told next of links, as much as one message holds: `name_of` names those that
    /// are up.
    pub(super) fn next_told<'a>(
        &mut self,
        host: ConnId,
        name_of: impl Fn(Key) -> Option<&'a str>,
    ) -> Telling {
        let (mut messages, mut servers, mut bytes) = (Vec::new(), Vec::new(), 0);
        while bytes < BYTES_PER_MESSAGE
            && let Some((key, news)) = self.changes.next(host)
        {
            if news != News::Present {
                let (name, reason) = self.why(key);
                bytes += FIXED + name.len() + reason.code.len() + reason.text.len();
                let server = Server { key, name };
                messages.push(Message::Unlinked(Unlinked { server, reason, plugin: None }));
            }
            if let Some(name) = name_of(key).filter(|_| news != News::Gone) {
                bytes += FIXED + name.len();
                servers.push(Server { key, name: name.into() });
            }
        }
        if !servers.is_empty() {
            messages.push(Message::Linked(Linked { servers, addresses: None }));
        }
        Telling { messages, bytes }
    }

    fn why(&self, server: Key) -> (String, Reason) {
        let unknown = || (String::new(), Reason::server(Code::LinkLost, "the link is over"));
        self.over.get(&server).cloned().unwrap_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::TEXT_MAX;

    fn change(server: u32, down: bool) -> LinkChange {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&server.to_be_bytes());
        let reason = Reason::plugin("enough", &"x".repeat(TEXT_MAX));
        LinkChange { server: Key(key), name: "far".into(), down: down.then_some(reason) }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn servers_that_link_and_leave_cost_a_slow_host_nothing_but_what_it_was_told() {
        let mut news = LinkNews::default();
        let host = ConnId(1);
        news.listen(host);
        for server in 0..100_000 {
            news.note(&change(server, false));
            news.note(&change(server, true));
        }
        assert_eq!((news.remembered(), news.over.len()), (0, 0));
        assert_eq!(news.changes.next(host), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn a_server_that_flaps_is_told_once_with_the_last_reason() {
        let mut news = LinkNews::default();
        let host = ConnId(1);
        news.note(&change(7, false));
        news.listen(host);
        for _ in 0..1_000 {
            news.note(&change(7, true));
            news.note(&change(7, false));
        }
        let key = change(7, false).server;
        assert_eq!(news.changes.next(host), Some((key, News::Again)));
        assert_eq!(news.why(key).0, "far");
        assert_eq!(news.changes.next(host), None);
        for server in 0..100 {
            news.note(&change(server, true));
        }
        assert!(news.over.len() <= 17, "{} are kept", news.over.len());
    }
}
