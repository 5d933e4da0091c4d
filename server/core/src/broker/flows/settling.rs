//! The order of the owners: what happened in each is passed on to those that it concerns, before
//! the broker returns to the shell.

use super::call_streams;
use super::links::tell_not_linked;
use super::places::opened_by;
use crate::broker::{Broker, neighbours, registry, switch};

impl Broker {
    /// Hands on what happened in the owners, and ends the links whose peers broke a rule. It is the
    /// last step of all that the shell asks for, so that nothing finds the world changed under it.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if !self.is_settled() {
            self.hand_on();
        }
    }

    /// Whether no owner has anything to pass on. All are asked, with `&`, because that takes one
    /// branch for all of them: nearly always none has.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.registry.is_settled()
            & self.neighbours.is_settled()
            & self.meetings.is_settled()
            & self.calls.is_settled()
            & self.switch.is_settled()
    }

    /// The owners are asked in this order, again from the first one after each event: the switch
    /// is the last, so that a link ends when all others have had their say.
    #[cold]
    fn hand_on(&mut self) {
        loop {
            if let Some(event) = self.registry.next_event() {
                self.registry_event(event);
            } else if let Some(event) = self.neighbours.next_event() {
                self.neighbours_event(event);
            } else if let Some(event) = self.meetings.next_event() {
                self.meetings_event(event);
            } else if let Some(event) = self.calls.next_event() {
                self.calls_event(event);
            } else if let Some(event) = self.calls.next_stream_event() {
                let effects = &mut self.effects;
                call_streams::perform(&mut self.calls, &mut self.switch, event, effects);
            } else if let Some(event) = self.switch.next_event() {
                self.switch_event(event);
            } else {
                return;
            }
        }
    }

    fn registry_event(&mut self, event: registry::Event) {
        match event {
            registry::Event::Pair(pair) => self.connect_pair(&pair),
            registry::Event::InCommon(link) => self.update_link_need(link),
            registry::Event::PluginsChanged => self.neighbours.wake_peers(&mut self.effects),
            registry::Event::Reached(limit) => self.counters.count(limit),
            registry::Event::Log(conn, kind, text) => {
                self.log_about(conn, kind, format_args!("{text}"));
            }
        }
    }

    fn neighbours_event(&mut self, event: neighbours::Event) {
        match event {
            neighbours::Event::Arm(key, at) => self.timers.set(key, at),
            neighbours::Event::Disarm(key) => {
                self.timers.cancel(key);
            }
            neighbours::Event::Line(source, kind, text) => {
                self.log(source, kind, format_args!("{text}"));
            }
            neighbours::Event::Reached(limit) => self.counters.count(limit),
            neighbours::Event::NotLinked { plugin, server, reason } => {
                let (registry, switch) = (&self.registry, &mut self.switch);
                tell_not_linked(registry, switch, (plugin, server, reason), &mut self.effects);
            }
        }
    }

    fn switch_event(&mut self, event: switch::Event) {
        match event {
            switch::Event::GivenUp(near) => self.meetings.give_up(near),
            switch::Event::CandidateLost { far, near, reason } => {
                self.meetings.candidate_lost(near, far, reason);
            }
            switch::Event::Failed(info, reason) => self.note_failure(&info, info.route, reason),
            switch::Event::DirectOver(plugins, info) => {
                let (registry, neighbours) = (&self.registry, &self.neighbours);
                if plugins.iter().any(|plugin| opened_by(registry, neighbours, *plugin, &info)) {
                    self.tell_direct(&info, true);
                }
            }
            switch::Event::TicketOver(channel) => self.meetings.channel_over(channel),
            switch::Event::Reached(limit) => self.counters.count(limit),
            switch::Event::Faulted(conn, fault) => self.end_by_fault(conn, &fault),
        }
    }
}
