//! `trunkline check`: validates a configuration or plugin files, and starts nothing.

use super::{DEFAULT_CONFIG, Failed, print};
use crate::config::check::{Checked, check_file};
use std::path::{Path, PathBuf};

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
                print(&format!("ok: {}: {name} version {version}\n", plugin.display()))?;
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
        print(&format!("note: {note}\n"))?;
    }
    let Some(config) = config.filter(|_| problems.is_empty()) else {
        return Err(problems.into());
    };
    let counts = [
        count(config.plugins.len(), "plugin", "plugins"),
        count(config.listen.len(), "address", "addresses"),
        count(config.peers.len(), "peer", "peers"),
    ];
    let (file, name, counts) = (file.display(), &config.name, counts.join(", "));
    print(&format!("ok: {file}: server {name} with {counts}\n"))
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
