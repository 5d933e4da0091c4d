//! The `[[plugin]]` tables.

use super::addresses::{Context, Purpose};
use super::file::Kind;
use super::problem::Report;
use super::read::{Table, Text};
use super::{Advertise, Blocked, Confine, Expose, Permission};
use super::{Placement, PluginConfig, Required, Restart};
use super::{confine, json, keys, logging};
use std::path::{Path, PathBuf};
use toml::de::DeValue;
use trunkline_core::address::Transport;
use trunkline_core::name::Name;
use trunkline_core::rights::KEYS_MAX;

pub(super) fn read_all(
    tables: Vec<Table<'_>>,
    context: &Context<'_>,
    kind: Kind,
    report: &mut Report<'_>,
) -> Vec<PluginConfig> {
    let mut plugins: Vec<PluginConfig> = Vec::new();
    for table in tables {
        let span = table.span().clone();
        let Some(plugin) = read(table, context, kind, report) else { continue };
        if let Some(earlier) =
            plugins.iter().find(|earlier| plugin.name.is_some() && earlier.name == plugin.name)
            && let Some(name) = &plugin.name
        {
            let line = earlier.line;
            let message = format!("[[plugin]]: the name `{name}` is already in line {line}");
            report.problem(&span, format!("{message}; give one of them another `name`"));
        }
        plugins.push(plugin);
    }
    plugins
}

fn read(
    mut table: Table<'_>,
    context: &Context<'_>,
    kind: Kind,
    report: &mut Report<'_>,
) -> Option<PluginConfig> {
    let required = match table.flag("required", report) {
        Some(true) => Required::Yes,
        _ => Required::No,
    };
    let path = table.required("path", "path = \"libecho.so\"", report);
    let path = path.and_then(|text| file(&text, context.folder, required, report));
    let name = table.string("name", report).and_then(|text| name(&text, report));
    let sha256 = table.string("sha256", report).and_then(|text| sha256(&text, report));
    let expose = expose(&mut table, report);
    let allow = allow(&mut table, report);
    let placement = placement(&mut table, kind, report);
    let restart = restart(&mut table, kind, placement, report);
    let blocked = blocked(&mut table, kind, placement, report);
    let log = logging::level(&mut table, "log", report);
    let confine = confine::read(&mut table, context, kind, placement, report);
    let advertise = advertise(&mut table, context, confine.as_ref(), report);
    let config_json = match table.get("config").map(|value| (value.get_ref(), value.span())) {
        None => "{}".into(),
        Some((DeValue::Table(config), _)) => json::from_table(config, report),
        Some((_, span)) => {
            let message = "`config`: expected a table; write [plugin.config] and its keys below";
            report.problem(&span, message.into());
            String::new()
        }
    };
    let line = report.line(table.span());
    table.refuse_unknown(report);
    Some(PluginConfig {
        path: path?,
        name,
        config_json,
        required,
        sha256,
        expose,
        allow,
        placement: placement.unwrap_or(Placement::Inline),
        restart,
        blocked,
        advertise,
        log,
        confine,
        line,
    })
}

/// The path of the plugin file. Only the file of a required plugin must exist, because the server
/// starts without the others.
fn file(
    text: &Text<'_>,
    folder: &Path,
    required: Required,
    report: &mut Report<'_>,
) -> Option<PathBuf> {
    let path = folder.join(text.text);
    if text.text.is_empty() {
        text.reject(report, "a file is needed, such as \"libecho.so\"");
        return None;
    }
    if required == Required::Yes && !path.is_file() {
        text.reject(report, format!("there is no file {}; build it first", path.display()));
    }
    Some(path)
}

pub(super) fn name(text: &Text<'_>, report: &mut Report<'_>) -> Option<Name> {
    let name = text.text.parse::<Name>();
    if let Err(error) = &name {
        text.reject(report, error);
    }
    name.ok()
}

fn sha256(text: &Text<'_>, report: &mut Report<'_>) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let pairs: Vec<&[u8]> = text.text.as_bytes().chunks(2).collect();
    let byte = |pair: &&[u8]| {
        let legal = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
        let digits = std::str::from_utf8(pair).ok().filter(|_| legal)?;
        u8::from_str_radix(digits, 16).ok()
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    match bytes {
        Some(bytes) if bytes.len() == hash.len() => hash.copy_from_slice(&bytes),
        _ => {
            text.reject(report, "a SHA-256 has 64 hexadecimal digits; `sha256sum FILE` prints it");
            return None;
        }
    }
    Some(hash)
}

pub(super) fn expose(table: &mut Table<'_>, report: &mut Report<'_>) -> Expose {
    match table.get("expose").map(|value| value.get_ref()) {
        Some(DeValue::Array(_)) => {
            let keys = table.strings("expose", report);
            if let Some(text) = keys.get(KEYS_MAX) {
                text.reject(report, "a list has 64 keys at most; \"peers\" stands for all of them");
            }
            Expose::Keys(keys.iter().filter_map(|text| keys::key(text, report)).collect())
        }
        Some(_) => {
            let choices = [("local", Exposed::Local), ("peers", Exposed::Peers)];
            match table.choice("expose", &choices, report) {
                Some(Exposed::Peers) => Expose::Peers,
                _ => Expose::Local,
            }
        }
        None => Expose::Local,
    }
}

/// The values of `expose` that are not a list of keys.
#[derive(Clone, Copy)]
enum Exposed {
    Local,
    Peers,
}

pub(super) fn allow(table: &mut Table<'_>, report: &mut Report<'_>) -> Vec<Permission> {
    let mut allowed = Vec::new();
    for text in table.strings("allow", report) {
        match text.choice(&[("links", Permission::Links)], report) {
            Some(permission) if allowed.contains(&permission) => text.reject_duplicate(report),
            permission => allowed.extend(permission),
        }
    }
    allowed
}

/// Where the plugin runs; `None` if the value is wrong.
fn placement(table: &mut Table<'_>, kind: Kind, report: &mut Report<'_>) -> Option<Placement> {
    let Some(text) = table.string("placement", report) else { return Some(Placement::Inline) };
    let words = [
        ("inline", Placement::Inline),
        ("thread", Placement::Thread),
        ("process", Placement::Process),
    ];
    let placement = text.choice(&words, report)?;
    if kind == Kind::Host && placement != Placement::Inline {
        text.reject(report, "a host's plugins run in the host itself; remove this");
    }
    Some(placement)
}

/// Whether the plugin is restarted after a failure; only one in a process can be.
fn restart(
    table: &mut Table<'_>,
    kind: Kind,
    placement: Option<Placement>,
    report: &mut Report<'_>,
) -> Restart {
    let default = match placement {
        Some(Placement::Process) => Restart::OnFailure,
        Some(Placement::Inline | Placement::Thread) | None => Restart::Never,
    };
    let Some(text) = table.string("restart", report) else { return default };
    let words = [("never", Restart::Never), ("on-failure", Restart::OnFailure)];
    let Some(restart) = text.choice(&words, report) else { return default };
    match (restart, kind, placement) {
        (Restart::OnFailure, Kind::Host, _) => {
            text.reject(report, "a host's plugins are not restarted; remove this");
        }
        (Restart::OnFailure, Kind::Server, Some(Placement::Inline | Placement::Thread)) => {
            let why = "only a plugin in a process of its own is restarted; remove this, or add \
                       `placement = \"process\"`";
            text.reject(report, why);
        }
        _ => {}
    }
    restart
}

/// What happens when the plugin blocks its loop; only a process of its own can be ended.
fn blocked(
    table: &mut Table<'_>,
    kind: Kind,
    placement: Option<Placement>,
    report: &mut Report<'_>,
) -> Blocked {
    let Some(text) = table.string("blocked", report) else { return Blocked::Report };
    let words = [("report", Blocked::Report), ("end", Blocked::End)];
    let blocked = text.choice(&words, report).unwrap_or(Blocked::Report);
    match (blocked, kind, placement) {
        (Blocked::End, Kind::Host, _) => {
            text.reject(report, "a host is not ended for one of its plugins; remove this");
        }
        (Blocked::End, Kind::Server, Some(Placement::Inline | Placement::Thread)) => {
            let why = "only a process of the plugin's own can be ended; remove this, or add \
                       `placement = \"process\"`";
            text.reject(report, why);
        }
        _ => {}
    }
    blocked
}

fn advertise(
    table: &mut Table<'_>,
    context: &Context<'_>,
    confine: Option<&Confine>,
    report: &mut Report<'_>,
) -> Vec<Advertise> {
    let mut places: Vec<Advertise> = Vec::new();
    for text in table.strings("advertise", report) {
        let listened = match text.text {
            "unix" => vec![Advertise::Unix],
            _ => {
                let endpoints = context.endpoints(&text, Purpose::Advertise, report);
                endpoints
                    .into_iter()
                    .map(|endpoint| match endpoint.transport {
                        Transport::Net { host, port } => Advertise::Net { host, port },
                        Transport::Unix { .. } => Advertise::Unix,
                    })
                    .collect()
            }
        };
        for place in listened {
            if places.contains(&place) {
                text.reject_duplicate(report);
            }
            if let Some(confine) = confine {
                confine::refuse_advertise(confine, &text, &place, report);
            }
            places.push(place);
        }
    }
    places
}
