//! What has to hold between servers, and at rest.

use super::node::Node;
use super::pipe::Pipe;
use super::world::World;
use std::collections::BTreeMap;
use trunkline_core::broker::{ConnId, Expose};
use trunkline_core::key::Key;
use trunkline_core::name::Name;

impl World {
    /// What a side of a link thinks it may write is at most what the other side has granted.
    pub(super) fn check_accounts(&self, number: usize) -> Result<(), String> {
        for (pipe, _) in self.nodes[number].conns.values() {
            self.check_pipe(&self.pipes[*pipe])?;
        }
        Ok(())
    }

    fn check_pipe(&self, pipe: &Pipe) -> Result<(), String> {
        let [Some(a), Some(b)] = pipe.ends else { return Ok(()) };
        if pipe.tainted || self.is_ending(a) || self.is_ending(b) {
            return Ok(());
        }
        let accounts =
            |(node, conn): (usize, ConnId)| self.nodes[node].broker.stream_accounts(conn);
        let theirs = accounts(b);
        for ours in accounts(a) {
            // A stream that one side does not know is new, or over.
            let found = theirs.binary_search_by_key(&ours.stream, |theirs| theirs.stream);
            let Ok(theirs) = found.map(|at| theirs[at]) else { continue };
            if ours.writable > theirs.granted || theirs.writable > ours.granted {
                return Err(format!("{a:?} has {ours:?}, {b:?} has {theirs:?}"));
            }
        }
        Ok(())
    }

    fn is_ending(&self, (node, conn): (usize, ConnId)) -> bool {
        self.nodes[node].broker.is_ending(conn)
    }

    /// All is quiet: only channels to plugins that never read may be left.
    pub(super) fn check_rest(&self) -> Result<(), String> {
        for node in &self.nodes {
            for (plugin, actor) in &node.actors {
                let at = format!("server-{} {}", node.number, actor.label(*plugin));
                actor.check_view(&node.broker).map_err(|what| format!("{at}: {what}"))?;
                let hangs = actor.channels.iter().find(|(_, c)| c.must_end());
                if let Some((handle, channel)) = hangs {
                    return Err(format!("{at}: {handle:?} hangs: {channel:?}"));
                }
            }
            self.check_links(node)?;
            self.check_directory(node)?;
        }
        Ok(())
    }

    /// Every two servers have one link. One that lost against it may be left while a channel to a
    /// plugin that never reads holds it.
    fn check_links(&self, node: &Node) -> Result<(), String> {
        let others = self.shared.keys.iter().filter(|key| **key != self.shared.keys[node.number]);
        let others: Vec<Key> = others.copied().collect();
        let linked: Vec<Key> = node.broker.linked_servers().collect();
        let conns: Vec<(ConnId, bool)> = node.broker.connections().collect();
        let held = |id: &ConnId| !node.broker.stream_accounts(*id).is_empty();
        match linked == others && conns.iter().all(|(id, serves)| *serves || held(id)) {
            true => Ok(()),
            false => Err(format!("server-{}: {conns:?}, links to {linked:?}", node.number)),
        }
    }

    /// A server knows of each other one just what that exposes to it.
    fn check_directory(&self, node: &Node) -> Result<(), String> {
        let home = self.shared.keys[node.number];
        let mut expected: BTreeMap<(Key, Name), u64> = BTreeMap::new();
        for other in &self.nodes {
            let key = self.shared.keys[other.number];
            for actor in other.actors.values() {
                let seen = key == home
                    || match &actor.expose {
                        Expose::Local => false,
                        Expose::Peers => true,
                        Expose::Keys(keys) => keys.contains(&home),
                    };
                if seen && let Ok(name) = actor.kind.name().parse() {
                    expected.insert((key, name), actor.version);
                }
            }
        }
        let known = node.broker.directory().map(|e| ((e.server, e.name), e.version));
        let known: BTreeMap<(Key, Name), u64> = known.collect();
        match known == expected {
            true => Ok(()),
            false => Err(format!("server-{} knows {known:?}, not {expected:?}", node.number)),
        }
    }

    /// All plugins read: every channel has ended.
    pub(super) fn check_calm(&self) -> Result<(), String> {
        for node in &self.nodes {
            for (plugin, actor) in &node.actors {
                if let Some(what) = actor.stuck() {
                    let label = actor.label(*plugin);
                    return Err(format!("server-{} {label}: {what}", node.number));
                }
            }
            self.check_no_channels(node)?;
        }
        self.check_rest()
    }

    fn check_no_channels(&self, node: &Node) -> Result<(), String> {
        let number = node.number;
        if !node.broker.has_no_channels() {
            let left = node.broker.status().channels;
            return Err(format!("server-{number} has channels left: {left:?}"));
        }
        for id in node.conns.keys() {
            let open = node.broker.stream_accounts(*id);
            if !open.is_empty() {
                return Err(format!("server-{number} {id:?} has streams left: {open:?}"));
            }
        }
        match node.broker.status().plugins.iter().find(|plugin| plugin.channels > 0) {
            Some(plugin) => Err(format!("server-{number} counts channels of {plugin:?}")),
            None => Ok(()),
        }
    }

    /// All plugins are stopped: only the links are left.
    pub(super) fn check_stopped(&self) -> Result<(), String> {
        for node in &self.nodes {
            self.check_no_channels(node)?;
            self.check_links(node)?;
            self.check_directory(node)?;
            let [links, _, plugins] = node.broker.timers_set();
            if links != node.conns.len() || plugins > 0 {
                let timers = node.broker.timers_set();
                return Err(format!("server-{} has timers left: {timers:?}", node.number));
            }
        }
        Ok(())
    }

    /// The servers are stopped: nothing is left.
    pub(super) fn check_ended(&self) -> Result<(), String> {
        for node in &self.nodes {
            let conns: Vec<_> = node.broker.connections().collect();
            let entries = node.broker.directory().count();
            let [links, _, plugins] = node.broker.timers_set();
            if !conns.is_empty() || entries > 0 || links + plugins > 0 {
                let number = node.number;
                return Err(format!(
                    "server-{number} is stopped, but has {conns:?}, {entries} entries"
                ));
            }
        }
        match self.pipes.iter().all(Pipe::is_over) {
            true => Ok(()),
            false => Err("a pipe is still open".to_string()),
        }
    }
}
