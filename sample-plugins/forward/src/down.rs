//! The links that went down lately, to say why no server serves a connection.

use std::cell::RefCell;
use std::collections::VecDeque;

use trunkline_plugin::{Key, Link, LinkChange, Reason};

/// Links that are remembered, for the end of a line of the log; servers come and go without end.
const REMEMBERED: usize = 4;

/// Links that are down, the latest last.
#[derive(Debug, Default)]
pub(crate) struct DownLinks(RefCell<VecDeque<Down>>);

#[derive(Debug)]
struct Down {
    name: String,
    key: Key,
    why: Reason,
}

impl DownLinks {
    /// A link has come up or gone down.
    pub(crate) fn note(&self, change: &LinkChange) {
        let mut down = self.0.borrow_mut();
        let (LinkChange::Up(link) | LinkChange::Down(link, _)) = change;
        let Link { peer } = link;
        down.retain(|other| other.key != peer.key);
        if let LinkChange::Down(_, why) = change {
            if down.len() == REMEMBERED {
                down.pop_front();
            }
            let (name, key, why) = (peer.name.clone(), peer.key, why.clone());
            down.push_back(Down { name, key, why });
        }
    }

    /// `; the link to NAME is down: WHY` for each; with a server, by its key or name, for that one
    /// only.
    pub(crate) fn told(&self, server: Option<&str>) -> String {
        let down = self.0.borrow();
        let is_meant = |down: &&Down| {
            server.is_none_or(|server| down.name == server || down.key.to_string() == server)
        };
        let one = |down: &Down| {
            let name = if down.name.is_empty() { down.key.to_string() } else { down.name.clone() };
            format!("; the link to {name} is down: {}", down.why)
        };
        down.iter().filter(is_meant).map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_plugin::Server;

    fn link(number: u8) -> Link {
        Link { peer: Server { key: Key([number; 32]), name: format!("server-{number}") } }
    }

    #[test]
    fn only_links_that_are_still_down_are_told() {
        let links = DownLinks::default();
        let why = || Reason::new("cut", "by the test");
        links.note(&LinkChange::Down(link(1), why()));
        links.note(&LinkChange::Down(link(2), why()));
        let both = links.told(None);
        assert!(both.contains("; the link to server-1 is down: cut: by the test"));
        assert!(both.contains("server-2"), "{both}");
        assert!(!links.told(Some("server-2")).contains("server-1"));
        assert!(links.told(Some(&Key([1; 32]).to_string())).contains("server-1"));
        links.note(&LinkChange::Up(link(1)));
        assert!(!links.told(None).contains("server-1"));
    }

    #[test]
    fn few_links_are_remembered() {
        let links = DownLinks::default();
        for number in 0..100 {
            links.note(&LinkChange::Down(link(number), Reason::new("cut", "")));
        }
        assert_eq!(links.told(None).matches("is down").count(), REMEMBERED);
        assert!(links.told(None).contains("server-99"));
    }
}
