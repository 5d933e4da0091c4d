//! CONFIGURATION.md has every key of a configuration file, and no other.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::Command;
use trunkline_core::limits::{Limit, Limits};
use trunkline_tests::binaries::trunkline;
use trunkline_tests::folder::Folder;
use trunkline_tests::tidy::root;

/// The cells of the tables, by heading and key.
fn documented() -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let text = std::fs::read_to_string(root().join("CONFIGURATION.md")).unwrap();
    let mut sections: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## `") {
            section = heading.trim_end_matches('`').to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<String> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
            let key = cells[0].trim_end_matches('`').to_owned();
            sections.entry(section.clone()).or_default().insert(key, cells);
        }
    }
    sections
}

/// The keys that each table of a file may have, as `trunkline check` lists them.
fn known(file: &str) -> BTreeMap<String, Vec<String>> {
    let folder = Folder::new();
    let file = folder.write("a.toml", file);
    let said = Command::new(trunkline()).arg("check").arg("--config").arg(file).output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    let unknown =
        said.lines().filter_map(|line| line.split_once(": unknown key `qqqqqqqq`; known are "));
    let keys = |list: &str| list.split(", ").map(str::to_owned).collect();
    let table = |place: &str| place.rsplit(' ').next().unwrap_or_default().to_owned();
    unknown.map(|(place, list)| (table(place), keys(list))).collect()
}

#[test]
fn every_key_is_documented_and_no_other() {
    let documented = documented();
    let tables = ["[server]", "[[peer]]", "[[plugin]]", "[plugin.confine]", "[limits]", "[log]"];
    let mut known_to = known(&tables.map(|table| format!("{table}\nqqqqqqqq = 1\n")).concat());
    let host = known("[host]\nqqqqqqqq = 1\n").remove("[host]").unwrap();
    // Keys that a host shares with a server are documented there.
    let server = &known_to["[server]"];
    let of_a_host = host.into_iter().filter(|key| !server.contains(key)).collect();
    known_to.insert("[host]".to_owned(), of_a_host);
    assert_eq!(known_to.len(), 7, "all tables were asked for: {known_to:?}");
    for (table, mut keys) in known_to {
        keys.sort_unstable();
        let shown: Vec<String> = documented[&table].keys().cloned().collect();
        assert_eq!(shown, keys, "the keys of {table}");
    }
}

#[test]
fn the_defaults_of_limits_are_those_of_a_server() {
    let (documented, limits) = (&documented()["[limits]"], Limits::default());
    for limit in Limit::ALL {
        let (name, value) = (limit.as_str(), limit.value(&limits));
        let (key, default) = match name.strip_suffix("-us") {
            Some(name) => (format!("{name}-ms"), value / 1000),
            None => (name.to_owned(), value),
        };
        let shown = documented[&key][1].replace(',', "");
        assert_eq!(shown, default.to_string(), "the default of {key}");
    }
}
