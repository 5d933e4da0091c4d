//! The keys that `[server]` and `[host]` share: name, key, state folder, network.

use super::problem::Report;
use super::read::{Table, Text};
use crate::key::SecretKey;
use std::path::{Path, PathBuf};
use trunkline_core::key::Key;
use trunkline_core::printable::is_unsafe;

/// Longest name of a server or a host, in bytes. Log lines and `hello` contain it.
const NAME_MAX: usize = 64;

/// The identity of a process. `None` where a key is missing or wrong, which has been reported.
pub(super) struct Identity {
    pub(super) name: Option<String>,
    /// The file of the secret key.
    pub(super) key: Option<PathBuf>,
    /// The folder for sockets.
    pub(super) state: PathBuf,
    pub(super) network: Option<[u8; 32]>,
}

/// What differs between `[server]` and `[host]`.
pub(super) struct Wording {
    /// The suggestion if the name is missing.
    pub(super) name_example: &'static str,
    /// The suggestion if the key is missing.
    pub(super) key_example: &'static str,
    /// The owner of the name, such as `a server's`.
    pub(super) whose: &'static str,
}

/// Reads the keys that both tables have.
pub(super) fn read(
    table: &mut Table<'_>,
    wording: &Wording,
    folder: &Path,
    report: &mut Report<'_>,
) -> Identity {
    let name = table.required("name", wording.name_example, report);
    let key = table.required("key", wording.key_example, report);
    Identity {
        name: name.and_then(|text| legal_name(&text, wording.whose, report)),
        key: key.map(|text| key_file(&text, folder, report)),
        state: state_folder(table, folder, report),
        network: table.string("network", report).and_then(|text| network(&text, report)),
    }
}

pub(super) fn legal_name(text: &Text<'_>, whose: &str, report: &mut Report<'_>) -> Option<String> {
    let legal = (1..=NAME_MAX).contains(&text.text.len())
        && text.text.trim() == text.text
        && !text.text.contains(is_unsafe);
    if !legal {
        let rule = "name has 1 to 64 bytes, no control characters, no space around it";
        text.reject(report, format!("{whose} {rule}"));
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
        text.reject(report, "there is no such folder; make it, or name another file");
    }
    path
}

/// The folder for sockets. By default it is beside the file and has its name, ending in `.state`.
fn state_folder(table: &mut Table<'_>, folder: &Path, report: &mut Report<'_>) -> PathBuf {
    let Some(text) = table.string("state", report) else {
        return folder.join(report.file.with_extension("state").file_name().unwrap_or_default());
    };
    let state = folder.join(text.text);
    if state.exists() && !state.is_dir() {
        text.reject(report, "this is not a folder; name another one");
    }
    state
}

/// Any 32 bytes, in the format of a public key.
fn network(text: &Text<'_>, report: &mut Report<'_>) -> Option<[u8; 32]> {
    let bytes = text.text.parse::<Key>();
    if bytes.is_err() {
        let rule = "a network is the standard base64 of 32 bytes (44 characters ending in =)";
        text.reject(report, format!("{rule}; `openssl rand -base64 32` prints a new one"));
    }
    bytes.ok().map(|Key(bytes)| bytes)
}
