//! `trunkline check`: validates a configuration or plugin files, and starts nothing.

use super::{DEFAULT_CONFIG, Failed, print};
use crate::config::File;
use crate::config::check::{Checked, check_file};
use std::path::{Path, PathBuf};
use trunkline_core::printable::Printable;

pub(super) fn check(config: Option<&Path>, plugins: &[PathBuf]) -> Result<(), Failed> {
    let mut lines = Vec::new();
    if config.is_some() || plugins.is_empty() {
        let file = config.unwrap_or(Path::new(DEFAULT_CONFIG));
        if let Err(Failed(problems)) = check_config(file) {
            lines.extend(problems);
        }
    }
    for plugin in plugins {
        match crate::loader::load(plugin, None) {
            Ok(module) => {
                let about = module.about();
                let (name, version) = (about.name(), about.version());
                let file = Printable(plugin.display());
                print(&format!("ok: {file}: {name} version {version}\n"))?;
            }
            Err(error) => lines.push(error.to_string()),
        }
    }
    match lines.is_empty() {
        true => Ok(()),
        false => Err(Failed(lines)),
    }
}

fn check_config(file: &Path) -> Result<(), Failed> {
    let Checked { problems, notes, config } = check_file(file);
    for note in notes {
        print(&format!("note: {}\n", Printable(note)))?;
    }
    let Some(config) = config.filter(|_| problems.is_empty()) else {
        return Err(problems.into());
    };
    let (what, name, counts) = match &config {
        File::Server(config) => {
            let counts = [
                count(config.plugins.len(), "plugin", "plugins"),
                count(config.listen.len(), "address", "addresses"),
                count(config.peers.len(), "peer", "peers"),
            ];
            ("server", &config.name, counts.join(", "))
        }
        File::Host(config) => {
            let plugins = count(config.plugins.len(), "plugin", "plugins");
            let addresses = count(config.server.len(), "address", "addresses");
            ("host", &config.name, format!("{plugins}, {addresses} of its server"))
        }
    };
    print(&format!("ok: {}: {what} {name} with {counts}\n", Printable(file.display())))
}

pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
