//! Poll: calls another plugin again and again, and logs what it answers, or why it does not.
//!
//! Where the other plugin is does not matter to it: an answer that is there when the call returns
//! and one that comes later are handled by the same lines.

use std::time::Duration;

use trunkline_plugin::prelude::*;

struct Poll {
    target: Target,
    settings: Settings,
}

/// What `[plugin.config]` may say.
#[derive(serde::Deserialize)]
#[serde(crate = "trunkline_plugin::serde", rename_all = "kebab-case", deny_unknown_fields, default)]
struct Settings {
    /// The plugin to call.
    to: String,
    /// The key or name of the only server where it is called.
    server: Option<String>,
    /// What it is asked.
    request: String,
    /// Milliseconds from one call to the next.
    every_ms: u64,
    /// Milliseconds that an answer may take.
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
            return Err(Reason::new("bad-config", "plugin.config.every-ms: 0 is too often"));
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
            self.told(outcome);
        }
    }

    fn reply(&mut self, _host: &Host, _call: Call, outcome: Result<&[u8], Unanswered>) {
        self.told(outcome);
    }
}

impl Poll {
    fn told(&self, outcome: Result<&[u8], Unanswered>) {
        let to = &self.settings.to;
        match outcome {
            Ok(answer) => log::info!("poll {to}: {}", String::from_utf8_lossy(answer)),
            Err(why) => log::warn!("poll {to}: {why}"),
        }
    }
}

trunkline_plugin::export_plugin!(Poll);
