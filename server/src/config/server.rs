//! The `[server]` table and the whole of the file around it.

use super::addresses::{Context, Purpose, socket_path};
use super::problem::{Problem, Report};
use super::read::{Table, Text};
use super::{Accept, Config, Loopback, Peer, PluginConfig, limits, peer, plugin, syntax};
use crate::key::SecretKey;
use std::path::{Path, PathBuf};
use trunkline_core::address::{Endpoint, Transform, Transport};
use trunkline_core::limits::Limits;

/// Longest name of a server in bytes. It stands in every log line and in `hello`.
const SERVER_NAME_MAX: usize = 64;
/// The socket for the command line where `listen` names none.
const DEFAULT_SOCKET: &str = "trunkline.sock";
/// What could be read of a file; also of one with problems, so that the rest can be checked.
pub(super) struct Draft {
    /// `None` when something is missing without which there is no server.
    pub(super) server: Option<Config>,
    pub(super) peers: Vec<Peer>,
    pub(super) plugins: Vec<PluginConfig>,
    limits: Limits,
}

impl Draft {
    /// The whole configuration.
    pub(super) fn config(self, notes: Vec<Problem>) -> Option<Config> {
        let Draft { server, peers, plugins, mut limits } = self;
        let server = server?;
        limits.heartbeat = server.limits.heartbeat;
        limits.dead_after = server.limits.dead_after;
        Some(Config { peers, plugins, limits, notes, ..server })
    }
}

/// What the file says.
pub(super) fn read(report: &mut Report<'_>) -> Draft {
    let tables = syntax::parse(report);
    let mut root = Table::new("file", 0..0, tables.get_ref());
    let folder = folder_of(report.file);
    match (root.get("server"), root.get("host")) {
        (_, Some(host)) => {
            let message = "[host]: hosts do not work yet; write [server], for `trunkline run`";
            report.problem(&host.span(), message.into());
        }
        (None, None) => {
            report.missing(None, "[server] is missing; add it, with a `name` and a `key`".into());
        }
        _ => {}
    }
    let server = root.table("server", "[server]", report);
    let server = server.map(|table| read_server(table, &folder, report));
    // Without the table there is nothing to say about loopback: the missing table is told already.
    let loopback = server.as_ref().map_or(Loopback::Insecure, |(loopback, _)| *loopback);
    let context = Context { folder: &folder, loopback };
    let peers = peer::read_all(root.tables("peer", "[[peer]]", report), &context, report);
    let plugins = plugin::read_all(root.tables("plugin", "[[plugin]]", report), &folder, report);
    let mut limits = Limits::default();
    if let Some(table) = root.table("limits", "[limits]", report) {
        limits::read(table, &mut limits, report);
    }
    root.refuse_unknown(report);
    Draft { server: server.and_then(|(_, config)| config), peers, plugins, limits }
}

/// The folder of a file, absolute.
fn folder_of(file: &Path) -> PathBuf {
    // It only fails without a working folder; then nothing relative can be found anyway.
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.into());
    absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

fn read_server(
    mut table: Table<'_>,
    folder: &Path,
    report: &mut Report<'_>,
) -> (Loopback, Option<Config>) {
    let name = table.required("name", "name = \"alpha\"", report);
    let name = name.and_then(|text| server_name(&text, report));
    let key = table.required("key", "key = \"alpha.key\"", report);
    let key = key.map(|text| key_file(&text, folder, report));
    let state = state_folder(&mut table, folder, report);
    let choices = [("listed", Accept::Listed), ("anyone", Accept::Anyone)];
    let accept = table.choice("accept", &choices, report).unwrap_or(Accept::Listed);
    let loopback = match table.flag("insecure-loopback", report) {
        Some(true) => Loopback::Insecure,
        _ => Loopback::KeysOnly,
    };
    let listen = listen(&mut table, &Context { folder, loopback }, &state, report);
    let limits = pauses(&mut table, report);
    table.not_yet("network", "remove it: servers of every network can link", report);
    table.not_yet("announce", "remove it: only addresses on this machine work so far", report);
    table.refuse_unknown(report);
    let config = name.zip(key).map(|(name, key)| Config {
        file: report.file.into(),
        name,
        key,
        state,
        listen,
        accept,
        loopback,
        peers: Vec::new(),
        plugins: Vec::new(),
        limits,
        notes: Vec::new(),
    });
    (loopback, config)
}

fn server_name(text: &Text<'_>, report: &mut Report<'_>) -> Option<String> {
    let legal = (1..=SERVER_NAME_MAX).contains(&text.text.len())
        && text.text.trim() == text.text
        && !text.text.chars().any(char::is_control);
    if !legal {
        let rule = "a server's name has 1 to 64 bytes, no control characters, no space around it";
        text.wrong(report, rule);
    }
    legal.then(|| text.text.into())
}

fn key_file(text: &Text<'_>, folder: &Path, report: &mut Report<'_>) -> PathBuf {
    let path = folder.join(text.text);
    if path.exists() {
        if let Err(error) = SecretKey::read(&path) {
            report.problem(&text.span, format!("`key`: {error}"));
        }
    } else if !path.parent().is_some_and(Path::is_dir) || text.text.is_empty() {
        text.wrong(report, "there is no such folder; make it, or name another file");
    }
    path
}

/// The folder for sockets; by default it has the name of the file and stands beside it.
fn state_folder(table: &mut Table<'_>, folder: &Path, report: &mut Report<'_>) -> PathBuf {
    let Some(text) = table.string("state", report) else {
        return folder.join(report.file.with_extension("state").file_name().unwrap_or_default());
    };
    let state = folder.join(text.text);
    if state.exists() && !state.is_dir() {
        text.wrong(report, "this is not a folder; name another one");
    }
    state
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
            if listen.contains(&endpoint) {
                text.wrong(report, "given twice; remove one");
            }
            check_folder(&text, &endpoint, state, report);
            listen.push(endpoint);
        }
    }
    let unix = |endpoint: &Endpoint| matches!(endpoint.transport, Transport::Unix { .. });
    if !listen.iter().any(unix) {
        match socket_path(state, DEFAULT_SOCKET) {
            Ok(transport) => listen.push(Endpoint { transport, transform: Transform::NoAuth }),
            Err(why) => report.problem(table.span(), format!("`state`: {why}")),
        }
    }
    listen
}

/// A socket needs its folder, except for the state folder, which the server makes.
fn check_folder(text: &Text<'_>, endpoint: &Endpoint, state: &Path, report: &mut Report<'_>) {
    if let Transport::Unix { path } = &endpoint.transport {
        let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
        if folder != state && !folder.is_dir() {
            text.wrong(report, format!("there is no folder {}; make it", folder.display()));
        }
    }
}

/// The default limits, with the pauses that `[server]` sets.
fn pauses(table: &mut Table<'_>, report: &mut Report<'_>) -> Limits {
    let mut limits = Limits::default();
    limits::milliseconds(table, "heartbeat-ms", &mut limits.heartbeat, report);
    limits::milliseconds(table, "dead-after-ms", &mut limits.dead_after, report);
    if limits.dead_after <= limits.heartbeat {
        let message = "[server]: `dead-after-ms` must be more than `heartbeat-ms`";
        let (dead_after, heartbeat) = (limits.dead_after.as_millis(), limits.heartbeat.as_millis());
        let message = format!("{message}; these are {dead_after} and {heartbeat}");
        report.problem(table.span(), message);
    }
    limits
}
