//! The plugin itself: what it measures, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use trunkline_plugin::prelude::*;

use crate::config::Settings;
use crate::pattern::Pattern;
use crate::run::Plan;
use crate::session::Session;

/// Measures round trips to a plugin on each server that has it.
pub(crate) struct Ping {
    settings: Settings,
    plan: Plan,
    pattern: Pattern,
    sessions: BTreeMap<Channel, Session>,
    /// When the next run on a channel begins.
    next_runs: BTreeMap<Timer, Channel>,
}

impl Plugin for Ping {
    const ABOUT: About = About::new("ping", 1).uses("echo", 1);

    fn start(host: &Host, config: Config) -> Result<Self, Reason> {
        let settings: Settings = config.read()?;
        let plan = settings.plan()?;
        announce_use(host, &settings.to)?;
        let (sessions, next_runs) = Default::default();
        let mut ping = Self { settings, plan, pattern: Pattern::new(), sessions, next_runs };
        for entry in host.directory() {
            ping.appeared(host, &entry);
        }
        Ok(ping)
    }

    fn opened(&mut self, host: &Host, channel: Channel) {
        if let Some(session) = self.sessions.get_mut(&channel) {
            session.begin(host, self.plan, &self.pattern);
        }
    }

    fn credit(&mut self, host: &Host, channel: Channel, _room: u64) {
        if let Some(session) = self.sessions.get_mut(&channel) {
            session.send(host, &self.pattern);
        }
    }

    fn write(&mut self, host: &Host, channel: Channel, bytes: &[u8]) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        match session.receive(bytes, &self.pattern) {
            Ok(None) => session.send(host, &self.pattern),
            Ok(Some(report)) => {
                log::info!("ping {}: {report}", session.title);
                self.plan_next(host, channel);
            }
            Err(reason) => {
                log::error!("ping {}: {reason}", session.title);
                self.sessions.remove(&channel);
                host.abort(channel, reason);
            }
        }
    }

    fn ended(&mut self, host: &Host, channel: Channel, why: Option<&Reason>) {
        let Some(session) = self.sessions.remove(&channel) else { return };
        match why {
            Some(why) => log::warn!("ping {}: the channel ended: {why}", session.title),
            None => log::warn!("ping {}: the other end closed the channel", session.title),
        }
        if session.again {
            let there = host.directory();
            let there = there.iter().filter(|entry| entry.server == session.server);
            there.for_each(|entry| self.appeared(host, entry));
        }
    }

    fn directory(&mut self, host: &Host, change: &Change) {
        match change {
            Change::Appeared(entry) | Change::Changed(entry) => self.appeared(host, entry),
            Change::Left(_) => {}
        }
    }

    fn timer(&mut self, host: &Host, timer: Timer) {
        if let Some(channel) = self.next_runs.remove(&timer)
            && let Some(session) = self.sessions.get_mut(&channel)
        {
            session.begin(host, self.plan, &self.pattern);
        }
    }
}

impl Ping {
    /// Opens a channel to a plugin if it is one to measure.
    fn appeared(&mut self, host: &Host, entry: &Entry) {
        let server = name_of(host, entry);
        let wanted = self.settings.server.as_ref();
        let here = |wanted: &String| *wanted == server || *wanted == entry.server.to_string();
        if entry.name != self.settings.to || !wanted.is_none_or(here) {
            return;
        }
        let mut sessions = self.sessions.values_mut();
        if let Some(session) = sessions.find(|session| session.server == entry.server) {
            session.again = true;
            return;
        }
        let title = format!("{}@{server}", entry.name);
        let target = Target::new(&*entry.name).on_server(entry.server.to_string());
        match host.open(&target) {
            Ok(channel) => {
                self.sessions.insert(channel, Session::new(channel, entry.server, title));
            }
            Err(why) => log::warn!("ping {title}: the channel was refused: {why}"),
        }
    }

    /// Sets the timer for the next run, if there is to be one.
    fn plan_next(&mut self, host: &Host, channel: Channel) {
        let (Some(session), 1..) = (self.sessions.get(&channel), self.settings.every_ms) else {
            return;
        };
        let pause = Duration::from_millis(self.settings.every_ms).saturating_sub(session.age());
        self.next_runs.insert(host.set_timer(pause), channel);
    }
}

/// Declares the plugin that this one connects to, unless [`Ping::ABOUT`] declares it already.
///
/// # Errors
///
/// The host's, if the name is invalid. An old host without this function is no error.
fn announce_use(host: &Host, name: &str) -> Result<(), Reason> {
    if name == "echo" {
        return Ok(());
    }
    match host.uses(name, 1) {
        Err(why) if why.code() == "not-supported" => {
            log::debug!("ping: the use of {name} could not be declared to the server: {why}");
            Ok(())
        }
        told => told,
    }
}

/// The name of a plugin's server; the beginning of its key if it has no name.
fn name_of(host: &Host, entry: &Entry) -> String {
    let links = host.links();
    let mut servers = links.iter().map(|link| &link.peer).chain([host.server()]);
    match servers.find(|server| server.key == entry.server) {
        Some(server) if !server.name.is_empty() => server.name.clone(),
        _ => format!("{:.8}", entry.server),
    }
}
