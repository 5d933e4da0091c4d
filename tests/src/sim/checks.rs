//! What has to hold between servers, and at rest.

use super::actor::Character;
use super::hosts::Nature;
use super::node::Node;
use super::pipe::Pipe;
use super::world::World;
use std::collections::BTreeMap;
use trunkline_core::broker::{ConnId, Expose, Keep, PluginState};
use trunkline_core::key::Key;
use trunkline_core::name::Name;
use trunkline_core::reason::{Code, Reason};

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
                let name = &self.shared.cast[node.number].name;
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

    /// Each one knows and is linked to what it has to.
    fn check_knowledge(&self, node: &Node) -> Result<(), String> {
        match node.nature {
            Nature::Server => {
                self.check_links(node)?;
                self.check_directory(node)
            }
            _ if node.alive => self.check_host(node),
            _ => Ok(()),
        }
    }

    /// Nobody of this run has broken the protocol, as far as anybody remembers.
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
            Some(reason) if !self.shared.visited => {
                Err(format!("{}: {reason}", self.shared.cast[node.number].name))
            }
            _ => Ok(()),
        }
    }

    /// Every two servers have one link, if they have to. One that lost against it may be left
    /// while a channel to a plugin that never reads holds it.
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

    /// Whether two servers have to be linked, or must not be; `None` where a plugin has closed
    /// their link, or where only one of them can dial, and may not have heard of what they have in
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

    /// Whether a plugin of one server says that it uses or invites one of the other that its server
    /// sees.
    fn uses_any(&self, user: &Node, other: &Node) -> bool {
        let home = self.shared.keys[user.number];
        let wants = |plugin: &Character| [plugin.kind.uses(), plugin.kind.invites()].concat();
        let mut names = self.plugins_of(user).flat_map(wants);
        names.any(|name| {
            let mut plugins = self.plugins_of(other);
            plugins.any(|p| p.name.as_str() == name && is_exposed(&p.expose, home))
        })
    }

    /// The plugins of a server, wherever they run.
    fn plugins_of(&self, server: &Node) -> impl Iterator<Item = &Character> {
        let members = self.members(server.number).into_iter();
        let actors = members.flat_map(|number| self.nodes[number].actors.values());
        actors.map(|actor| &actor.character)
    }

    /// A server knows of each other one just what that exposes to it.
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
        if node.broker.unsettled().told_of > 0 {
            return Err(format!("server-{number} remembers direct channels of its hosts"));
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
            self.check_knowledge(node)?;
            let [links, _, plugins, useless] = node.broker.timers_set();
            if links != node.conns.len() || plugins + useless > 0 {
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
