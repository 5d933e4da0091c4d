//! `trunkline status`: asks a running server what it does, and shows it as tables or as JSON, or
//! judges it.

use super::status_answer::Status;
use super::{Failed, Server, client, health, print, printable_json, table};
use crate::config::Config;
use mio::{Events, Poll, Token};
use signal_hook_mio::v1_0::Signals;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trunkline_core::address::{Address, Transport, suggestion};
use trunkline_core::printable::Printable;

/// The period of `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(1);
const SIGINT: i32 = 2;
/// Clears the terminal and moves to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// How a status is shown.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Tables,
    Json,
}

/// How often a status is shown.
#[derive(Clone, Copy)]
pub(super) enum Times {
    Once,
    UntilInterrupted,
}

pub(super) fn status(server: &Server, form: Form, times: Times) -> Result<(), Failed> {
    let socket = socket(server)?;
    match times {
        Times::Once => print(&shown(&socket, form)?),
        Times::UntilInterrupted => watch(&socket, form),
    }
}

/// Whether a server has all that its configuration asks for. Each missing thing is an error.
pub(super) fn check(server: &Server) -> Result<(), Failed> {
    let socket = socket(server)?;
    let status = parsed(&socket, &answer(&socket)?)?;
    let line = health::judge(&status).map_err(Failed)?;
    print(&format!("{}\n", Printable(line)))
}

/// The unix socket of the server that the arguments name.
pub(super) fn socket(server: &Server) -> Result<PathBuf, Failed> {
    let Some(text) = &server.server else {
        let config = Config::load(&server.config)?;
        let none = || Failed::from(format!("{}: no unix socket", server.config.display()));
        return config.control_socket().map(Into::into).ok_or_else(none);
    };
    let wrong = |why: &str| Failed::from(format!("--server: {text:?}: {why}{}", suggestion(text)));
    let address: Address = text.parse().map_err(|error| wrong(&format!("{error}")))?;
    let (endpoints, skipped) = address.endpoints();
    let path = endpoints.into_iter().find_map(|endpoint| match endpoint.transport {
        Transport::Unix { path } => Some(PathBuf::from(path)),
        Transport::Net { .. } => None,
    });
    path.ok_or_else(|| match skipped.first() {
        Some(skipped) => wrong(&skipped.why.to_string()),
        None => wrong("only a unix address is possible, such as unix:alpha.sock"),
    })
}

fn shown(socket: &Path, form: Form) -> Result<String, Failed> {
    let answer = answer(socket)?;
    match form {
        Form::Json => {
            let text = String::from_utf8(answer).map_err(|error| unreadable(socket, &error))?;
            Ok(printable_json(&text))
        }
        Form::Tables => Ok(table::render(&parsed(socket, &answer)?)),
    }
}

fn answer(socket: &Path) -> Result<Vec<u8>, Failed> {
    client::request(socket, "status").map_err(|why| Failed::from(format!("status: {why}")))
}

fn parsed(socket: &Path, answer: &[u8]) -> Result<Status, Failed> {
    serde_json::from_slice(answer).map_err(|error| unreadable(socket, &error))
}

fn unreadable(socket: &Path, error: &dyn std::fmt::Display) -> Failed {
    Failed::from(format!("status: {}: the answer cannot be read: {error}", socket.display()))
}

/// Shows the status each second, until SIGINT. If the server is missing, that is shown instead,
/// because it may come back.
fn watch(socket: &Path, form: Form) -> Result<(), Failed> {
    let failed = |error: std::io::Error| Failed::from(format!("status: {error}"));
    let mut poll = Poll::new().map_err(failed)?;
    let mut signals = Signals::new([SIGINT]).map_err(failed)?;
    let registry = poll.registry();
    registry.register(&mut signals, Token(0), mio::Interest::READABLE).map_err(failed)?;
    let clear = if super::prints_to_terminal() { CLEAR } else { "" };
    let mut events = Events::with_capacity(1);
    loop {
        match shown(socket, form) {
            Ok(text) => print(&format!("{clear}{text}"))?,
            Err(Failed(lines)) => lines.iter().for_each(|line| super::print_error(line)),
        }
        let next = Instant::now() + WATCH_EVERY;
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            match poll.poll(&mut events, Some(left)) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(failed(error));
                }
                _ if signals.pending().next().is_some() => return Ok(()),
                _ => {}
            }
        }
    }
}
