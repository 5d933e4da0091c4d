//! A whole file: its tables, and the checks that concern more than one of them.

use super::addresses::Context;
use super::problem::{Problem, Report};
use super::read::Table;
use super::{Config, File, HostConfig, LogConfig, Loopback, Peer, PluginConfig};
use super::{host, limits, logging, peer, plugin, server, syntax};
use std::path::{Path, PathBuf};
use trunkline_core::limits::Limits;

/// The readable part of a file. A file with problems has one too, so that the rest can be checked.
pub(super) struct Draft {
    pub(super) owner: Owner,
    pub(super) peers: Vec<Peer>,
    pub(super) plugins: Vec<PluginConfig>,
    limits: Limits,
    log: LogConfig,
}

/// Whether the file is a server's or a host's, with the content of that table. `None` if a required
/// key of the table is missing or wrong.
pub(super) enum Owner {
    Server(Option<Config>),
    Host(Option<HostConfig>),
    /// Neither table exists, or both do. This has been reported.
    Unclear,
}

/// The two kinds of files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Server,
    Host,
}

impl Draft {
    /// The whole configuration; `None` if a part is missing, which has been reported.
    pub(super) fn complete(self, notes: Vec<Problem>) -> Option<File> {
        let Draft { owner, peers, plugins, limits, log } = self;
        match owner {
            Owner::Server(server) => {
                Some(File::Server(Config { peers, plugins, limits, log, notes, ..server? }))
            }
            Owner::Host(host) => {
                Some(File::Host(HostConfig { plugins, limits, log, notes, ..host? }))
            }
            Owner::Unclear => None,
        }
    }
}

/// Reads a file of this kind. For a file of the other kind this is the only problem reported.
pub(super) fn load(file: &Path, wanted: Kind) -> Result<File, Vec<Problem>> {
    let text = syntax::read_file(file).map_err(|problem| vec![problem])?;
    load_text(file, &text, wanted)
}

/// As [`load`], for a text that is not in a file.
pub(super) fn load_text(file: &Path, text: &str, wanted: Kind) -> Result<File, Vec<Problem>> {
    let mut report = Report::new(file, text);
    let draft = read(&mut report);
    let mistaken = match (wanted, &draft.owner) {
        (Kind::Server, Owner::Host(_)) => Some("this is a host's file; use `trunkline host"),
        (Kind::Host, Owner::Server(_)) => Some("this is a server's file; use `trunkline run"),
        _ => None,
    };
    if let Some(start) = mistaken {
        let message = format!("{start} --config {}`", file.display());
        return Err(vec![Problem { file: file.into(), line: None, message }]);
    }
    let notes = report.finish()?;
    draft.complete(notes).ok_or_else(Vec::new)
}

/// Reads all tables of the file.
pub(super) fn read(report: &mut Report<'_>) -> Draft {
    let tables = syntax::parse(report);
    let mut root = Table::new("file", 0..0, tables.get_ref());
    let folder = folder_of(report.file);
    let (loopback, owner) = read_owner(&mut root, &folder, report);
    let context = Context { folder: &folder, loopback };
    let kind = match &owner {
        Owner::Host(_) => Kind::Host,
        Owner::Server(_) | Owner::Unclear => Kind::Server,
    };
    let peers = match kind {
        Kind::Server => peer::read_all(root.tables("peer", "[[peer]]", report), &context, report),
        Kind::Host => {
            for table in root.tables("peer", "[[peer]]", report) {
                let message = "[[peer]]: a host links only with its `server`; remove this table";
                report.problem(table.span(), message.into());
            }
            Vec::new()
        }
    };
    let tables = root.tables("plugin", "[[plugin]]", report);
    let plugins = plugin::read_all(tables, &context, kind, report);
    let mut limits = match &owner {
        Owner::Server(Some(server)) => server.limits.clone(),
        Owner::Host(Some(host)) => host.limits.clone(),
        _ => Limits::default(),
    };
    if let Some(table) = root.table("limits", "[limits]", report) {
        limits::read(table, &mut limits, report);
    }
    let log = root.table("log", "[log]", report).map(|table| logging::read(table, report));
    root.refuse_unknown(report);
    Draft { owner, peers, plugins, limits, log: log.unwrap_or_default() }
}

/// Reads the `[server]` or the `[host]` table. If both exist, both are read, because either may be
/// the intended one.
fn read_owner(root: &mut Table<'_>, folder: &Path, report: &mut Report<'_>) -> (Loopback, Owner) {
    let server_there = root.get("server").map(|value| report.line(&value.span()));
    let host_there = root.get("host").map(|value| value.span());
    let table = root.table("server", "[server]", report);
    let server = table.map(|table| server::read(table, folder, report));
    let table = root.table("host", "[host]", report);
    let host = table.and_then(|table| host::read(table, folder, report));
    // Without the table, addresses on loopback get no problem of their own.
    let (loopback, server) = server.unwrap_or((Loopback::Insecure, None));
    let owner = match (server_there, host_there) {
        (Some(_), None) => Owner::Server(server),
        (None, Some(_)) => Owner::Host(host),
        (Some(line), Some(span)) => {
            let message = format!("[host]: the file has [server] too, in line {line}");
            report.problem(&span, format!("{message}; move one to a file of its own"));
            Owner::Unclear
        }
        (None, None) => {
            let message = "[server] is missing; add it, with a `name` and a `key`";
            report.missing(None, format!("{message}; or [host], for `trunkline host`"));
            Owner::Unclear
        }
    };
    (loopback, owner)
}

/// The folder of a file, absolute.
fn folder_of(file: &Path) -> PathBuf {
    // This fails only without a working directory; then no relative path can be found anyway.
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.into());
    absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}
