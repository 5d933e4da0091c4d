//! The `[[plugin]]` tables.

use super::problem::Report;
use super::read::{Table, Text};
use super::{Expose, PluginConfig, Required, json, peer};
use std::path::{Path, PathBuf};
use toml::de::DeValue;
use trunkline_core::name::Name;

pub(super) fn read_all(
    tables: Vec<Table<'_>>,
    folder: &Path,
    report: &mut Report<'_>,
) -> Vec<PluginConfig> {
    let mut plugins: Vec<PluginConfig> = Vec::new();
    for table in tables {
        let span = table.span().clone();
        let Some(plugin) = read(table, folder, report) else { continue };
        if let Some(earlier) =
            plugins.iter().find(|earlier| plugin.name.is_some() && earlier.name == plugin.name)
            && let Some(name) = &plugin.name
        {
            let line = earlier.line;
            let message = format!("[[plugin]]: the name `{name}` is that of line {line}");
            report.problem(&span, format!("{message}; give one of them another `name`"));
        }
        plugins.push(plugin);
    }
    plugins
}

fn read(mut table: Table<'_>, folder: &Path, report: &mut Report<'_>) -> Option<PluginConfig> {
    let required = match table.flag("required", report) {
        Some(true) => Required::Yes,
        _ => Required::No,
    };
    let path = table.required("path", "path = \"libecho.so\"", report);
    let path = path.and_then(|text| file(&text, folder, required, report));
    let name = table.string("name", report).and_then(|text| name(&text, report));
    let sha256 = table.string("sha256", report).and_then(|text| sha256(&text, report));
    let expose = expose(&mut table, report);
    allow(&mut table, report);
    one_of_these_works(&mut table, "restart", &["never", "on-failure"], report);
    one_of_these_works(&mut table, "placement", &["inline", "thread", "process"], report);
    table.not_yet("advertise", "remove it: channels go over links so far", report);
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
    let path = path?;
    Some(PluginConfig { path, name, config_json, required, sha256, expose, line })
}

/// The path of the plugin file. Only a required one must be there: the server can do without
/// the others.
fn file(
    text: &Text<'_>,
    folder: &Path,
    required: Required,
    report: &mut Report<'_>,
) -> Option<PathBuf> {
    let path = folder.join(text.text);
    if text.text.is_empty() {
        text.wrong(report, "a file is needed, such as \"libecho.so\"");
        return None;
    }
    if required == Required::Yes && !path.is_file() {
        text.wrong(report, format!("there is no file {}; build it first", path.display()));
    }
    Some(path)
}

fn name(text: &Text<'_>, report: &mut Report<'_>) -> Option<Name> {
    let name = text.text.parse::<Name>();
    if let Err(error) = &name {
        text.wrong(report, error);
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
            text.wrong(report, "a SHA-256 has 64 hexadecimal digits; `sha256sum FILE` prints it");
            return None;
        }
    }
    Some(hash)
}

fn expose(table: &mut Table<'_>, report: &mut Report<'_>) -> Expose {
    match table.get("expose").map(|value| value.get_ref()) {
        Some(DeValue::Array(_)) => {
            let keys = table.strings("expose", report);
            Expose::Keys(keys.iter().filter_map(|text| peer::key(text, report)).collect())
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

/// The words that `expose` may be, apart from a list of keys.
#[derive(Clone, Copy)]
enum Exposed {
    Local,
    Peers,
}

fn allow(table: &mut Table<'_>, report: &mut Report<'_>) {
    for text in table.strings("allow", report) {
        match text.text {
            "links" => text.wrong(report, "does not work yet; remove it"),
            _ => text.wrong(report, "not a known value; known are links"),
        }
    }
}

/// A key of which only the first, default value works in this version.
fn one_of_these_works(
    table: &mut Table<'_>,
    key: &'static str,
    known: &[&str],
    report: &mut Report<'_>,
) {
    let Some(text) = table.string(key, report) else { return };
    match known.iter().position(|value| *value == text.text) {
        Some(0) => {}
        Some(_) => {
            text.wrong(report, format!("does not work yet; only \"{}\" does", known[0]));
        }
        None => {
            let known = known.join(", ");
            text.wrong(report, format!("not a known value; known are {known}"));
        }
    }
}
