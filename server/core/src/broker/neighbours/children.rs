//! The hosts that this server starts itself, on threads and in processes: when to start them, and
//! when to start them again.

use crate::broker::neighbours::Neighbours;
use crate::broker::neighbours::peers::pause;
use crate::broker::{Broker, ConnId, Effect, Rights, TimerKey};
use crate::ids::ChildId;
use crate::log_limiter::{LogKind, LogSource};
use crate::name::Name;
use crate::reason::{Code, Reason};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Where a plugin's code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// In the loop of its server, or of its host.
    Inline,
    /// On a thread of its own in its server's process.
    Thread,
    /// In a process of its own.
    Process,
}

/// Whether a plugin is started again after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// It stays failed. The default inline and on a thread, where nothing else is possible.
    Never,
    /// Its process is started again, however it ended, as long as the server goes on. The default
    /// in a process of its own.
    OnFailure,
}

/// A host that a server starts.
#[derive(Clone, Debug)]
pub struct ChildConfig {
    /// What its plugin is called until it registers.
    pub name: Name,
    /// Where it runs: not inline, where a plugin needs no host.
    pub placement: Placement,
    /// Whether it is started again.
    pub restart: Restart,
    /// What it may register.
    pub rights: Rights,
}

/// How far a host that a server starts has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChildState {
    Starting,
    Running,
    /// It has ended, and is started again when its time has come, if ever.
    Ended(Reason),
}

#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) config: ChildConfig,
    pub(crate) state: ChildState,
    pub(crate) conn: Option<ConnId>,
    started: Duration,
    failures: u32,
}

impl Neighbours {
    /// Whether any host of this server runs in a process of its own.
    pub(crate) fn has_processes(&self) -> bool {
        self.children.values().any(|child| child.config.placement == Placement::Process)
    }

    /// Where the host with this connection runs, if this server started it.
    pub(crate) fn placement_of(&self, conn: ConnId) -> Option<Placement> {
        let child = self.children.values().find(|child| child.conn == Some(conn))?;
        Some(child.config.placement)
    }

    /// A host that was started has its link.
    pub(crate) fn child_connected(&mut self, id: ChildId, conn: ConnId) {
        if let Some(child) = self.children.get_mut(&id) {
            child.state = ChildState::Running;
            child.conn = Some(conn);
        }
    }
}

impl Broker {
    /// Adds a host, and asks the shell to start it.
    pub fn add_child(&mut self, config: ChildConfig) -> ChildId {
        let id = ChildId(self.neighbours.children.len() as u32);
        let (state, conn, started) = (ChildState::Starting, None, self.now);
        self.neighbours.children.insert(id, Child { config, state, conn, started, failures: 0 });
        self.effects.push_back(Effect::StartChild(id));
        id
    }

    /// The link of a host is gone: the host ends, or has ended.
    pub(crate) fn child_unlinked(&mut self, id: ChildId, reason: Reason) {
        if let Some(child) = self.neighbours.children.get_mut(&id) {
            child.conn = None;
            if !matches!(child.state, ChildState::Ended(_)) {
                child.state = ChildState::Ended(reason);
            }
            self.effects.push_back(Effect::EndChild(id));
        }
    }

    pub(crate) fn do_child_ended(&mut self, id: ChildId, why: &str) {
        let random = self.next_random();
        let (least, most) = (self.settings.limits.redial_min, self.settings.limits.redial_max);
        let (now, stopping) = (self.now, self.stopping);
        let Some(child) = self.neighbours.children.get_mut(&id) else { return };
        // Why a plugin failed says more than how its process ended.
        if !matches!(&child.state, ChildState::Ended(reason) if reason.is(Code::PluginFailed)) {
            child.state = ChildState::Ended(Reason::server(Code::HostLost, why));
        }
        // Who ran for longer than the longest pause begins anew.
        if now.saturating_sub(child.started) > most {
            child.failures = 0;
        }
        let name = child.config.name.clone();
        if child.config.restart == Restart::OnFailure && !stopping {
            let pause = pause(child.failures, least, most, random);
            child.failures = child.failures.saturating_add(1);
            self.timers.set(TimerKey::Restart(id), now + pause);
            let text = format_args!("the host of {name} ended: {why}; it is started again");
            self.log(LogSource::Child(id), LogKind::HostEnded, text);
        } else if !stopping {
            let text = format_args!("the host of {name} ended: {why}");
            self.log(LogSource::Child(id), LogKind::HostEnded, text);
        }
    }

    /// The time to start a host again has come.
    pub(crate) fn restart_child(&mut self, id: ChildId) {
        let (now, stopping) = (self.now, self.stopping);
        // Somebody may hold the link of a host that is gone, and with it the names of its plugins.
        if let Some(conn) = self.neighbours.children.get(&id).and_then(|child| child.conn) {
            self.cut_off(conn, Reason::server(Code::HostLost, "it is started again"));
        }
        if let Some(child) = self.neighbours.children.get_mut(&id).filter(|_| !stopping) {
            child.state = ChildState::Starting;
            child.started = now;
            self.effects.push_back(Effect::StartChild(id));
        }
    }
}
