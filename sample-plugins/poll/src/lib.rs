//! Poll: calls another plugin periodically, and logs its answer, or why there is none.
//!
//! It works the same wherever the other plugin runs: the same lines handle an answer that is there
//! when the call returns and one that comes later.

use std::time::Duration;

use trunkline_plugin::prelude::*;

struct Poll {
    target: Target,
    settings: Settings,
}

/// The settings in `[plugin.config]`.
#[derive(serde::Deserialize)]
#[serde(crate = "trunkline_plugin::serde", rename_all = "kebab-case", deny_unknown_fields, default)]
struct Settings {
    /// The plugin to call.
    to: String,
    /// The key or name of the only server to call.
    server: Option<String>,
    /// The request.
    request: String,
    /// Milliseconds from one call to the next.
    every_ms: u64,
    /// The deadline of each call, in milliseconds.
    deadline_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let (to, request) = ("clock".into(), String::new());
        Self { to, server: None, request, every_ms: 1000, deadline_ms: 1000 }
    }
}

impl Plugin for Poll {
    const ABOUT: About = About::new("poll", 1).uses("clock", 1);

    fn start(host: &Host, config: Config) -> Result<Self, Reason> {
        let settings: Settings = config.read()?;
        if settings.every_ms == 0 {
            return Err(Reason::new(
                "bad-config",
                "plugin.config.every-ms: 0 is too short; the least is 1",
            ));
        }
        if settings.to != "clock" {
            host.uses(&settings.to, 1)?;
        }
        let target = Target::new(&*settings.to);
        let target = match &settings.server {
            Some(server) => target.on_server(server),
            None => target,
        };
        host.set_timer(Duration::from_millis(settings.every_ms));
        Ok(Self { target, settings })
    }

    fn timer(&mut self, host: &Host, _: Timer) {
        let Settings { request, every_ms, deadline_ms, .. } = &self.settings;
        host.set_timer(Duration::from_millis(*every_ms));
        let deadline = Duration::from_millis(*deadline_ms);
        if let Some(outcome) = host.call(&self.target, request.as_bytes(), deadline).over() {
            self.log_outcome(outcome);
        }
    }

    fn reply(&mut self, _host: &Host, _call: Call, outcome: Result<&[u8], Unanswered>) {
        self.log_outcome(outcome);
    }
}

impl Poll {
    fn log_outcome(&self, outcome: Result<&[u8], Unanswered>) {
        let to = &self.settings.to;
        match outcome {
            Ok(answer) => log::info!("poll {to}: {}", String::from_utf8_lossy(answer)),
            Err(why) => log::warn!("poll {to}: {why}"),
        }
    }
}

trunkline_plugin::export_plugin!(Poll);
