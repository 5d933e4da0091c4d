//! The hosts that this server starts itself, on threads and in processes: when to start them, and
//! when to start them again.

use super::peers::pause;
use super::{Event, Neighbours};
use crate::broker::effect::Effects;
use crate::broker::{ConnId, Effect, Rights, TimerKey};
use crate::ids::ChildId;
use crate::log_limiter::{LogKind, LogSource};
use crate::name::Name;
use crate::reason::{Code, Reason};
use alloc::format;
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
    pub(crate) id: ChildId,
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

    /// The host with this connection, if this server started it, and where it runs.
    pub(crate) fn child_at(&self, conn: ConnId) -> Option<(ChildId, Placement)> {
        let (id, child) = self.children.iter().find(|(_, child)| child.conn == Some(conn))?;
        Some((*id, child.config.placement))
    }

    /// A host that was started has its link.
    pub(crate) fn child_connected(&mut self, id: ChildId, conn: ConnId) {
        if let Some(child) = self.children.get_mut(&id) {
            child.state = ChildState::Running;
            child.conn = Some(conn);
        }
    }

    /// Adds a host, which the shell starts.
    pub(crate) fn add_child(&mut self, config: ChildConfig, effects: &mut Effects) -> ChildId {
        let id = ChildId(self.children.len() as u32);
        let (state, conn, started) = (ChildState::Starting, None, self.now);
        self.children.insert(id, Child { id, config, state, conn, started, failures: 0 });
        effects.push_back(Effect::StartChild(id));
        id
    }

    /// The link of a host is gone: the host ends, or has ended.
    pub(crate) fn child_unlinked(&mut self, id: ChildId, reason: Reason, effects: &mut Effects) {
        if let Some(child) = self.children.get_mut(&id) {
            child.conn = None;
            if !matches!(child.state, ChildState::Ended(_)) {
                // How its process ended is reported in a moment. Until then, its plugin is shown as
                // its channels are.
                child.state = ChildState::Ended(match reason.is(Code::TransportLost) {
                    true => host_lost(&reason),
                    false => reason,
                });
            }
            effects.push_back(Effect::EndChild(id));
        }
    }

    /// A host has ended, or could not be started: when it is started again, if ever.
    pub(crate) fn child_ended(&mut self, id: ChildId, why: &str) {
        let random = self.next_random();
        let (least, most) = (self.limits.redial_min, self.limits.redial_max);
        let (now, stopping) = (self.now, self.stopping);
        let Some(child) = self.children.get_mut(&id) else { return };
        // Why a plugin failed says more than how its process ended.
        if !matches!(&child.state, ChildState::Ended(reason) if reason.is(Code::PluginFailed)) {
            child.state = ChildState::Ended(Reason::server(Code::HostLost, why));
        }
        // A host that ran for longer than the longest pause begins anew.
        if now.saturating_sub(child.started) > most {
            child.failures = 0;
        }
        if stopping {
            return;
        }
        let mut text = format!("the host of {} ended: {why}", child.config.name);
        if child.config.restart == Restart::OnFailure {
            let pause = pause(child.failures, least, most, random);
            child.failures = child.failures.saturating_add(1);
            self.happens(Event::Arm(TimerKey::Restart(id), now + pause));
            text.push_str("; it is started again");
        }
        self.happens(Event::Line(LogSource::Child(id), LogKind::HostEnded, text));
    }

    /// The link of a host that is to be started: it may be held although the host is gone.
    pub(crate) fn link_of_child(&self, id: ChildId) -> Option<ConnId> {
        self.children.get(&id)?.conn
    }

    /// Starts a host again.
    pub(crate) fn start_child(&mut self, id: ChildId, effects: &mut Effects) {
        let (now, stopping) = (self.now, self.stopping);
        if let Some(child) = self.children.get_mut(&id).filter(|_| !stopping) {
            child.state = ChildState::Starting;
            child.started = now;
            effects.push_back(Effect::StartChild(id));
        }
    }
}

/// The reason for what ends with the link to a host.
pub(super) fn host_lost(reason: &Reason) -> Reason {
    Reason::server(Code::HostLost, format!("the host ended: {reason}"))
}
