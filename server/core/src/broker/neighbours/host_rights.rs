//! What the hosts of this server may register. A registration says what a host asks for; what it
//! gets is decided by the server's configuration.

use super::children::Child;
use super::connections::Conn;
use super::{Event, Neighbours};
use crate::address::{Shareable, Transport};
use crate::broker::{
    Advertise, ChildId, ConnId, Direct, Grants, Names, Opened, PluginConfig, Rights,
};
use crate::log_limiter::LogKind;
use crate::name::Name;
use crate::reason::{Code, Reason};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

impl Neighbours {
    /// What a host may register. A host of our own user, which came over a unix socket, may
    /// register anything.
    fn with_rights<T>(&self, host: ConnId, look: impl FnOnce(&Rights) -> T) -> T {
        let granted = match self.conn(host) {
            Some(Conn { how: Opened::Child(child), .. }) => {
                self.children.get(child).map(|child| &child.config.rights)
            }
            Some(Conn { grants: Grants::Everything, .. }) => return look(&Rights::all()),
            Some(Conn { proved: Some(key), .. }) => {
                self.listed(*key).map(|peer| &peer.config.rights)
            }
            Some(_) | None => None,
        };
        match granted {
            Some(rights) => look(rights),
            None => look(&Rights::none()),
        }
    }

    fn child_of(&self, host: ConnId) -> Option<ChildId> {
        match self.conn(host)?.how {
            Opened::Child(child) => Some(child),
            _ => None,
        }
    }

    /// Whether a host may register a plugin of this name.
    pub(crate) fn judge_name(&self, host: ConnId, name: &Name) -> Result<(), Reason> {
        let child = self.child_of(host);
        if !self.with_rights(host, |rights| rights.names.has(name)) {
            let text = match child {
                Some(_) => format!("this process runs one plugin, whose name is not {name}"),
                None => format!("the [[peer]] of this host does not list {name} in its `names`"),
            };
            return Err(Reason::server(Code::NotAllowed, text));
        }
        let reserved = |(id, other): (&ChildId, &Child)| {
            let names = &other.config.rights.names;
            child != Some(*id) && *names != Names::First && *names != Names::Any && names.has(name)
        };
        if child.is_some() && self.children.iter().any(reserved) {
            let text = format!("the name {name} is taken by another [[plugin]] of this server");
            return Err(Reason::server(Code::NameTaken, text));
        }
        Ok(())
    }

    /// A host has registered a plugin of this name: where its plugin's name was not known, it is
    /// from now on.
    pub(crate) fn settle_name(&mut self, host: ConnId, name: &Name) {
        let child = self.child_of(host).and_then(|child| self.children.get_mut(&child));
        if let Some(child) = child
            && child.config.rights.names == Names::First
        {
            child.config.rights.names = Names::Only(BTreeSet::from([name.clone()]));
        }
    }

    /// Takes from a registration what the host may not have; gives the words of the configuration
    /// that would grant it.
    pub(crate) fn withhold(
        &self,
        host: ConnId,
        config: &mut PluginConfig,
        direct: &mut Direct,
    ) -> Vec<&'static str> {
        self.with_rights(host, |rights| {
            let (asked, places) = (config.clone(), direct.clone());
            config.expose = config.expose.clone().within(&rights.expose);
            config.allow.retain(|what| rights.allow.has(what));
            if !rights.advertise.has(&Advertise::Unix) {
                direct.socket = None;
            }
            direct.net.retain(|address| has_ports(rights, address));
            direct.loopback = direct.loopback.filter(|port| rights.has_port(*port));
            let less = [
                ("expose", config.expose != asked.expose),
                ("allow", config.allow != asked.allow),
                ("advertise", *direct != places),
            ];
            less.into_iter().filter(|(_, less)| *less).map(|(word, _)| word).collect()
        })
    }

    /// A host asks for more of a plugin than it is granted, of these words of the configuration.
    pub(crate) fn log_withheld(&mut self, host: ConnId, name: &Name, words: &[&str]) {
        let label = self.conn(host).map(|conn| conn.label()).unwrap_or_default();
        let words = words.join(", ");
        let text = format!(
            "the host {label} asks for more {words} of its plugin {name} than the file of this \
             server grants, and does not get it"
        );
        self.happens(Event::Line(self.log_source(host), LogKind::WithheldRights, text));
    }
}

/// Whether each port of an address may be advertised.
fn has_ports(rights: &Rights, address: &Shareable) -> bool {
    address.endpoints().into_iter().all(|endpoint| match endpoint.transport {
        Transport::Net { port, .. } => rights.has_port(port),
        Transport::Unix { .. } => false,
    })
}
