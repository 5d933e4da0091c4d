//! The `[host]` table.

use super::addresses::{Context, Purpose};
use super::identity::{self, Identity, Wording};
use super::keys::{self, TableKey};
use super::problem::Report;
use super::read::Table;
use super::{HostConfig, LogConfig, Loopback, limits};
use std::path::{Path, PathBuf};
use trunkline_core::address::Endpoint;

const WORDING: Wording = Wording {
    name_example: "name = \"gamma\"",
    key_example: "key = \"gamma.key\"",
    whose: "a host's",
};

/// Reads the table; the parts that other tables fill are empty. `None` if a required key is missing
/// or wrong.
pub(super) fn read(
    mut table: Table<'_>,
    folder: &Path,
    report: &mut Report<'_>,
) -> Option<HostConfig> {
    let Identity { name, key, state, network } =
        identity::read(&mut table, &WORDING, folder, report);
    let server = server(&mut table, folder, report);
    let limits = limits::pauses(&mut table, report);
    table.refuse_unknown(report);
    Some(HostConfig {
        file: report.file.into(),
        name: name?,
        key: key?,
        state: Some(state),
        server: server?,
        network,
        plugins: Vec::new(),
        limits,
        log: LogConfig::default(),
        notes: Vec::new(),
    })
}

/// Where to dial the server; `None` if there is no usable address.
fn server(table: &mut Table<'_>, folder: &Path, report: &mut Report<'_>) -> Option<Vec<Endpoint>> {
    let example = "server = \"unix:alpha.sock\"";
    let missing = "`~shs`, the default of `net`, needs the server's key; write `~shs:KEY`";
    let text = table.required("server", example, report)?;
    let context = Context { folder, loopback: Loopback::KeysOnly };
    let mut endpoints = context.endpoints(&text, Purpose::DialServer, report);
    keys::resolve(&text, &mut endpoints, TableKey::Absent, missing, report);
    (!endpoints.is_empty()).then_some(endpoints)
}

/// A configuration file with the content of the command line. Its plugins are `required`, because
/// the user has named each of them.
pub(super) fn text_of(server: &str, key: &Path, plugins: &[PathBuf]) -> String {
    let quoted = |text: &str| toml::Value::String(text.into()).to_string();
    let key = quoted(&key.to_string_lossy());
    let head = format!("[host]\nname = \"host\"\nkey = {key}\nserver = {}\n", quoted(server));
    let table = |path: &PathBuf| {
        format!("[[plugin]]\npath = {}\nrequired = true\n", quoted(&path.to_string_lossy()))
    };
    plugins.iter().map(table).fold(head, |text, table| text + &table)
}
