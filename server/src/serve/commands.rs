//! Answers the commands of the command line.

use super::event_loop::Loop;
use super::explain_json;
use super::status_json;
use crate::config::LogFormat;
use trunkline_core::address::Scope;
use trunkline_core::broker::Handle;
use trunkline_core::control::Role;
use trunkline_core::reason::{Code, Reason};

impl Loop {
    pub(super) fn command(&mut self, request: Handle, name: &str) {
        let words: Vec<&str> = name.split(' ').collect();
        match words[..] {
            ["explain", from, to] => {
                let bounds = self.children.bounds();
                let broker = self.shared.broker.borrow();
                let json = explain_json::render(&broker.explain(from, to), &broker, &bounds);
                drop(broker);
                self.shared.broker.borrow_mut().answer_command(request, Ok(&json));
            }
            ["status"] => {
                let status = self.status();
                self.shared.broker.borrow_mut().answer_command(request, Ok(&status));
            }
            ["log", form @ ("text" | "json"), number] => {
                let form = if form == "json" { LogFormat::Json } else { LogFormat::Text };
                let lines = crate::log::latest(form, number.parse().unwrap_or(0));
                let reason = || {
                    let text = "the log of this host is in that of its server";
                    Reason::server(Code::UnknownCommand, text)
                };
                let answer = lines.as_deref().ok_or_else(reason);
                self.shared.broker.borrow_mut().answer_command(request, answer);
            }
            ["stop"] => {
                self.shared.broker.borrow_mut().answer_command(request, Ok(b""));
                log::info!("stopping: requested by the command line");
                self.stop();
            }
            _ => {
                let text = format!("{name} is not a command of this server");
                let reason = Reason::server(Code::UnknownCommand, text);
                self.shared.broker.borrow_mut().answer_command(request, Err(reason));
            }
        }
    }

    fn status(&mut self) -> Vec<u8> {
        let bounds = self.children.bounds();
        let broker = self.shared.broker.borrow();
        let settings = broker.settings();
        let (_, home) = broker.home();
        let name = match settings.role {
            Role::Host => format!("{}, a host of {home}", settings.name),
            Role::Server | Role::Command => settings.name.clone(),
        };
        let server = status_json::Server {
            name: &name,
            key: broker.home().0.to_string(),
            addresses: broker.addresses(Scope::Device).map(ToString::to_string).collect(),
            uptime_us: status_json::microseconds(self.started.elapsed()),
            longest_turn_us: status_json::microseconds(self.longest_turn),
            version: env!("CARGO_PKG_VERSION"),
        };
        status_json::render(server, &settings.limits, &broker.status(), &bounds)
    }
}
