//! The `[server]` table.

use super::addresses::{Context, Purpose, socket_path};
use super::identity::{self, Identity, Wording};
use super::problem::Report;
use super::read::{Table, Text};
use super::{Accept, Config, LogConfig, Loopback, limits};
use std::path::Path;
use trunkline_core::address::{Endpoint, Transform, Transport};

/// The socket for the command line if `listen` has no unix address.
const DEFAULT_SOCKET: &str = "trunkline.sock";

const WORDING: Wording = Wording {
    name_example: "name = \"alpha\"",
    key_example: "key = \"alpha.key\"",
    whose: "a server's",
};

/// Reads the table; the parts that other tables fill are empty. `None` if a required key is missing
/// or wrong.
pub(super) fn read(
    mut table: Table<'_>,
    folder: &Path,
    report: &mut Report<'_>,
) -> (Loopback, Option<Config>) {
    let Identity { name, key, state, network } =
        identity::read(&mut table, &WORDING, folder, report);
    let choices = [("listed", Accept::Listed), ("anyone", Accept::Anyone)];
    let accept = table.choice("accept", &choices, report).unwrap_or(Accept::Listed);
    let loopback = match table.flag("insecure-loopback", report) {
        Some(true) => Loopback::Insecure,
        _ => Loopback::KeysOnly,
    };
    let context = Context { folder, loopback };
    let listen = listen(&mut table, &context, &state, report);
    let announce = announce(&mut table, &context, report);
    let limits = limits::pauses(&mut table, report);
    table.refuse_unknown(report);
    let config = name.zip(key).map(|(name, key)| Config {
        file: report.file.into(),
        name,
        key,
        state,
        network,
        listen,
        announce,
        accept,
        loopback,
        peers: Vec::new(),
        plugins: Vec::new(),
        limits,
        log: LogConfig::default(),
        notes: Vec::new(),
    });
    (loopback, config)
}

fn listen(
    table: &mut Table<'_>,
    context: &Context<'_>,
    state: &Path,
    report: &mut Report<'_>,
) -> Vec<Endpoint> {
    let mut listen: Vec<Endpoint> = Vec::new();
    for text in table.strings("listen", report) {
        for endpoint in context.endpoints(&text, Purpose::Listen, report) {
            if listen.iter().any(|earlier| same_place(earlier, &endpoint)) {
                text.reject_duplicate(report);
            }
            check_folder(&text, &endpoint, state, report);
            listen.push(endpoint);
        }
    }
    if !listen.iter().any(serves_command_line) {
        match socket_path(state, DEFAULT_SOCKET) {
            Ok(transport) => listen.push(Endpoint { transport, transform: Transform::NoAuth }),
            Err(why) => report.problem(table.span(), format!("`state`: {why}")),
        }
    }
    listen
}

/// Whether the command line, which has no key, can reach the server here.
pub(super) fn serves_command_line(endpoint: &Endpoint) -> bool {
    let Endpoint { transport, transform } = endpoint;
    matches!((transport, transform), (Transport::Unix { .. }, Transform::NoAuth))
}

/// Whether both name the same socket, so that only one of them can listen. The transform may
/// differ.
fn same_place(one: &Endpoint, other: &Endpoint) -> bool {
    let chosen_later = matches!(one.transport, Transport::Net { port: 0, .. });
    one == other || (one.transport == other.transport && !chosen_later)
}

fn announce(
    table: &mut Table<'_>,
    context: &Context<'_>,
    report: &mut Report<'_>,
) -> Vec<Endpoint> {
    let mut announce: Vec<Endpoint> = Vec::new();
    for text in table.strings("announce", report) {
        for endpoint in context.endpoints(&text, Purpose::Announce, report) {
            if announce.contains(&endpoint) {
                text.reject_duplicate(report);
            }
            announce.push(endpoint);
        }
    }
    announce
}

/// The folder of a socket must exist, except the state folder, which the server creates.
fn check_folder(text: &Text<'_>, endpoint: &Endpoint, state: &Path, report: &mut Report<'_>) {
    if let Transport::Unix { path } = &endpoint.transport {
        let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
        if folder != state && !folder.is_dir() {
            text.reject(report, format!("there is no folder {}; make it", folder.display()));
        }
    }
}
