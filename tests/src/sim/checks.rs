//! Checks between servers during a run, and at the end of each phase.

use super::actor::PluginSpec;
use super::hosts::NodeKind;
use super::node::Node;
use super::pipe::Pipe;
use super::world::World;
use std::collections::BTreeMap;
use trunkline_core::broker::{ConnId, Expose, Keep, PluginState};
use trunkline_core::key::Key;
use trunkline_core::name::Name;
use trunkline_core::reason::{Code, Reason};

impl World {
    /// Checks for each stream that one side's send credit is at most what the other side has
    /// granted.
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
            // If one side does not know a stream, it is new, or has ended.
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

    /// Checks the end of the rest phase: only channels to plugins that never read may be left.
    pub(super) fn check_rest(&self) -> Result<(), String> {
        for node in &self.nodes {
            for (plugin, actor) in &node.actors {
                let name = &self.shared.info[node.number].name;
                let at = format!("{name} {}", actor.label(*plugin));
                actor.check_view(&node.broker).map_err(|what| format!("{at}: {what}"))?;
                actor.check_pairs(&node.broker).map_err(|what| format!("{at}: {what}"))?;
                if let Some(open) = actor.open_calls() {
                    return Err(format!("{at}: {open}"));
                }
                let hangs = actor.channels.iter().find(|(_, c)| c.must_end());
                if let Some((handle, channel)) = hangs {
                    return Err(format!("{at}: {handle:?} hangs: {channel:?}"));
                }
            }
            self.check_knowledge(node)?;
            self.check_direct(node)?;
            self.check_reasons(node)?;
        }
        Ok(())
    }

    /// Checks the directory and the links of a node.
    fn check_knowledge(&self, node: &Node) -> Result<(), String> {
        match node.node_kind {
            NodeKind::Server => {
                self.check_links(node)?;
                self.check_directory(node)
            }
            _ if node.alive => self.check_host(node),
            _ => Ok(()),
        }
    }

    /// Checks that no recorded reason is a protocol violation.
    fn check_reasons(&self, node: &Node) -> Result<(), String> {
        let status = node.broker.status();
        let of_plugins = status.plugins.into_iter().filter_map(|plugin| match plugin.state {
            PluginState::Failed(reason) => Some(reason),
            _ => None,
        });
        let of_links = status.links.into_iter().filter_map(|link| link.reason);
        let word = Code::ProtocolViolation.as_str();
        let broken = |reason: &Reason| reason.to_string().contains(word);
        match of_plugins.chain(of_links).find(broken) {
            Some(reason) if !self.shared.strangers => {
                Err(format!("{}: {reason}", self.shared.info[node.number].name))
            }
            _ => Ok(()),
        }
    }

    /// Checks that two servers have one link exactly if they need it. The loser of two links may
    /// still be draining, if it carries a channel to a plugin that never reads.
    fn check_links(&self, node: &Node) -> Result<(), String> {
        let linked: Vec<Key> = node.broker.linked_servers().collect();
        let conns: Vec<(ConnId, bool)> = node.broker.connections().collect();
        let held = |id: &ConnId| !node.broker.stream_accounts(*id).is_empty();
        let wrong = |other: &&Node| {
            let is_linked = linked.contains(&self.shared.keys[other.number]);
            match self.must_link(node, other) {
                Some(must) => is_linked != must && !(is_linked && conns.iter().any(|c| held(&c.0))),
                None => false,
            }
        };
        let to_host = |id: &ConnId| {
            let pipe = node.conns.get(id).map(|(pipe, _)| &self.pipes[*pipe]);
            pipe.is_some_and(|pipe| self.serves_host(pipe, node.number))
        };
        let servers = &self.nodes[..self.servers()];
        let mut others = servers.iter().filter(|other| other.number != node.number);
        match others.find(wrong) {
            None if conns.iter().all(|(id, serves)| *serves || to_host(id) || held(id)) => Ok(()),
            _ => Err(format!("server-{}: {conns:?}, links to {linked:?}", node.number)),
        }
    }

    /// Whether two servers must be linked, or must not be. `None` if both are possible: a plugin
    /// has closed their link, or only one of them can dial, and may not know what they have in
    /// common.
    fn must_link(&self, a: &Node, b: &Node) -> Option<bool> {
        let useful = self.uses_any(a, b) || self.uses_any(b, a);
        let pair = (a.number.max(b.number), a.number.min(b.number));
        if self.shared.has_closed(self.shared.keys[a.number], self.shared.keys[b.number]) {
            return None;
        }
        match (self.keep, useful) {
            (Keep::Always, _) => Some(true),
            (Keep::WhileUseful, false) => Some(false),
            (Keep::WhileUseful, true) => self.mutual.contains(&pair).then_some(true),
        }
    }

    /// Whether a plugin of `user` uses or invites a plugin of `other` that `user` may see.
    fn uses_any(&self, user: &Node, other: &Node) -> bool {
        let home = self.shared.keys[user.number];
        let wants = |plugin: &PluginSpec| [plugin.kind.uses(), plugin.kind.invites()].concat();
        let mut names = self.plugins_of(user).flat_map(wants);
        names.any(|name| {
            let mut plugins = self.plugins_of(other);
            plugins.any(|p| p.name.as_str() == name && is_exposed(&p.expose, home))
        })
    }

    /// The plugins of a server and of its hosts.
    fn plugins_of(&self, server: &Node) -> impl Iterator<Item = &PluginSpec> {
        let members = self.members(server.number).into_iter();
        let actors = members.flat_map(|number| self.nodes[number].actors.values());
        actors.map(|actor| &actor.spec)
    }

    /// Checks that a server knows exactly the plugins that the others expose to it.
    fn check_directory(&self, node: &Node) -> Result<(), String> {
        let home = self.shared.keys[node.number];
        let mut expected: BTreeMap<(Key, Name), u64> = BTreeMap::new();
        for other in &self.nodes[..self.servers()] {
            let key = self.shared.keys[other.number];
            let linked = key == home || node.broker.linked_servers().any(|linked| linked == key);
            for plugin in self.plugins_of(other).filter(|_| linked) {
                if key == home || is_exposed(&plugin.expose, home) {
                    expected.insert((key, plugin.name.clone()), plugin.version);
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

    /// Checks the end of the calm phase: every channel has ended.
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
        if node.broker.unsettled().told_of > 0 {
            return Err(format!("server-{number} remembers direct channels of its hosts"));
        }
        match node.broker.status().plugins.iter().find(|plugin| plugin.channels > 0) {
            Some(plugin) => Err(format!("server-{number} counts channels of {plugin:?}")),
            None => Ok(()),
        }
    }

    /// Checks that only the links are left after all plugins have stopped.
    pub(super) fn check_stopped(&self) -> Result<(), String> {
        for node in &self.nodes {
            self.check_no_channels(node)?;
            self.check_knowledge(node)?;
            let [links, _, plugins, useless] = node.broker.timers_set();
            if links != node.conns.len() || plugins + useless > 0 {
                let timers = node.broker.timers_set();
                return Err(format!("server-{} has timers left: {timers:?}", node.number));
            }
        }
        Ok(())
    }

    /// Checks that nothing is left after all servers have stopped.
    pub(super) fn check_ended(&self) -> Result<(), String> {
        for node in &self.nodes {
            let conns: Vec<_> = node.broker.connections().collect();
            let entries = node.broker.directory().count();
            let [links, _, plugins, useless] = node.broker.timers_set();
            if !conns.is_empty() || entries > 0 || links + plugins + useless > 0 {
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

pub(super) fn is_exposed(expose: &Expose, to: Key) -> bool {
    match expose {
        Expose::Local => false,
        Expose::Peers => true,
        Expose::Keys(keys) => keys.contains(&to),
    }
}
