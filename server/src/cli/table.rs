//! A status as tables for people.

use super::status_answer::{Channel, Link, Plugin, Server, Status};
use crate::confine::Bound;
use std::collections::BTreeMap;
use trunkline_core::printable::Printable;

/// The status as text: one paragraph for the server, then one table for each kind of thing.
pub(super) fn render(status: &Status) -> String {
    let Server { name, key, addresses, uptime_us, version } = &status.server;
    let names = Names::of(status);
    let uptime = duration(*uptime_us);
    let server = format!("server {name}  key {key}  version {version}  up {uptime}");
    let mut text = format!("{}\n", Printable(server));
    for address in addresses {
        text.push_str(&format!("  listens on {}\n", Printable(address)));
    }
    text.push('\n');
    text.push_str(&table(
        &["PLUGIN", "VERSION", "STATE", "PLACEMENT", "SERVER", "CHANNELS", "CALLS", "REASON"],
        status.plugins.iter().map(|plugin| plugin.row(key, &names)),
    ));
    text.push_str(&bounds(status));
    text.push('\n');
    text.push_str(&table(
        &["LINK", "ROLE", "STATE", "ADDRESS", "PLUGINS", "STREAMS", "IN", "OUT", "RTT", "REASON"],
        status.links.iter().map(|link| link.row(&names)),
    ));
    text.push('\n');
    text.push_str(&table(
        &["CHANNEL", "FROM", "TO", "ROUTE", "IN", "OUT"],
        status.channels.iter().map(|channel| channel.row(&names)),
    ));
    text
}

/// The bounds of confined plugins, one a line; nothing if there are none.
fn bounds(status: &Status) -> String {
    let mut rows = Vec::new();
    for plugin in &status.plugins {
        let bounds = plugin.confined.iter().flat_map(|report| &report.bounds);
        rows.extend(bounds.map(|bound| [vec![plugin.name.clone()], bound.cells()].concat()));
    }
    match rows.is_empty() {
        true => String::new(),
        false => {
            let headings = ["CONFINED", "BOUND", "ASKED", "IN FORCE", "MEANS"];
            format!("\n{}", table(&headings, rows.into_iter()))
        }
    }
}

impl Bound {
    /// Its cells in a table: the bound, what was asked, whether it is in force, and by what.
    pub(super) fn cells(&self) -> Vec<String> {
        let in_force = if self.in_force { "yes" } else { "NO" };
        vec![self.bound.clone(), self.asked.clone(), in_force.into(), self.means.clone()]
    }
}

impl Plugin {
    fn row(&self, our_key: &str, names: &Names<'_>) -> Vec<String> {
        vec![
            self.name.clone(),
            self.version(),
            self.state.clone(),
            self.placement.clone(),
            if self.server == our_key { "here".into() } else { names.of_key(&self.server) },
            self.channels.to_string(),
            self.calls(),
            self.reason.clone().unwrap_or_default(),
        ]
    }

    /// Its version, which is not known of a plugin that has not been loaded.
    fn version(&self) -> String {
        match (self.version, self.state.as_str()) {
            (0, "failed" | "starting") => String::new(),
            (version, _) => version.to_string(),
        }
    }

    /// The calls that it has made and those that it has to answer, as far as the server knows.
    fn calls(&self) -> String {
        match (self.calls_made, self.calls_to_answer) {
            (Some(made), Some(to_answer)) => format!("{made} out, {to_answer} in"),
            _ => String::new(),
        }
    }
}

impl Link {
    fn row(&self, names: &Names<'_>) -> Vec<String> {
        vec![
            names.text(&self.name, &self.peer),
            self.role.clone(),
            self.state.clone(),
            self.address.clone(),
            self.plugins.map(|count| count.to_string()).unwrap_or_default(),
            self.streams.to_string(),
            bytes(self.bytes_in),
            bytes(self.bytes_out),
            self.rtt_us.map(duration).unwrap_or_default(),
            self.reason.clone().unwrap_or_default(),
        ]
    }
}

impl Channel {
    fn row(&self, names: &Names<'_>) -> Vec<String> {
        vec![
            self.id.to_string(),
            names.of_end(&self.from),
            names.of_end(&self.to),
            self.route.clone(),
            bytes(self.bytes_in),
            bytes(self.bytes_out),
        ]
    }
}

/// Columns under their headings, each as wide as its widest cell; `none` stands for no rows.
pub(super) fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let headings: Vec<String> = headings.iter().map(|heading| heading.to_string()).collect();
    let printable = |row: Vec<String>| row.iter().map(|cell| Printable(cell).to_string()).collect();
    let mut rows: Vec<Vec<String>> = rows.map(printable).collect();
    if rows.is_empty() {
        rows.push(vec!["none".into()]);
    }
    rows.insert(0, headings);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// What servers and hosts are called in all tables: by their names. A key stands beside a name that
/// two have, and in place of one that is not known.
struct Names<'a> {
    by_key: BTreeMap<&'a str, &'a str>,
    /// How many have each name.
    owners: BTreeMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn of(status: &'a Status) -> Names<'a> {
        let links = status.links.iter().map(|link| (link.peer.as_str(), link.name.as_str()));
        let own = (status.server.key.as_str(), status.server.name.as_str());
        // The link of a host names its server, of which the host itself has the key.
        let all = [own].into_iter().chain(links);
        let named = all.filter(|(key, name)| !key.is_empty() && !name.is_empty());
        let by_key: BTreeMap<&str, &str> = named.collect();
        let mut owners = BTreeMap::new();
        by_key.values().for_each(|name| *owners.entry(*name).or_default() += 1);
        Names { by_key, owners }
    }

    fn of_key(&self, key: &str) -> String {
        self.text(self.by_key.get(key).copied().unwrap_or_default(), key)
    }

    /// A peer by the name that it has beside its key, as far as either is known.
    fn text(&self, name: &str, key: &str) -> String {
        let shared = self.owners.get(name).is_some_and(|owners| *owners > 1);
        match (name, shared) {
            ("", _) => short(key),
            (name, true) => format!("{name} ({})", short(key)),
            (name, false) => name.into(),
        }
    }

    /// `plugin@KEY` with the server's name.
    fn of_end(&self, text: &str) -> String {
        match text.split_once('@') {
            Some((plugin, key)) => format!("{plugin}@{}", self.of_key(key)),
            None => text.into(),
        }
    }
}

/// The start of a key, as it stands in logs.
fn short(key: &str) -> String {
    const SHORT: usize = 8;
    key.chars().take(SHORT).collect()
}

fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        1_000_000..60_000_000 => format!("{:.1} s", us as f64 / 1e6),
        60_000_000..3_600_000_000 => format!("{} min", us / 60_000_000),
        _ => format!("{} h", us / 3_600_000_000),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} B"),
        1_024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_shown_in_aligned_columns() {
        let json = r#"{"server":{"name":"alpha","key":"AAAAAAAAAAAA","addresses":["unix:/a~noauth"],
            "uptime_us":61000000,"version":"0.1.0"},
            "plugins":[{"name":"echo","version":1,"state":"running","reason":null,
              "placement":"process","server":"AAAAAAAAAAAA","addresses":[],"channels":2,
              "calls_made":0,"calls_to_answer":3,"confined":{"best_effort":false,"bounds":[
              {"bound":"memory-mib","asked":"64","in_force":true,"means":"RLIMIT_DATA"}]}},
              {"name":"ping","version":10,"state":"failed","reason":"panicked",
              "placement":"remote","server":"BBBBBBBBBBBB","addresses":[],"channels":0,
              "calls_made":null,"calls_to_answer":null}],
            "links":[{"peer":"BBBBBBBBBBBB","name":"beta","role":"server","address":"unix:b",
              "state":"up","streams":1,"bytes_in":0,"bytes_out":0,"rtt_us":null,"reason":null}],
            "channels":[{"id":7,"from":"ping@BBBBBBBBBBBB","to":"echo@AAAAAAAAAAAA","route":"link",
              "bytes_in":64,"bytes_out":1572864}]}"#;
        let shown = render(&serde_json::from_str(json).unwrap());
        let expected = "server alpha  key AAAAAAAAAAAA  version 0.1.0  up 1 min\n  \
            listens on unix:/a~noauth\n\n\
            PLUGIN  VERSION  STATE    PLACEMENT  SERVER  CHANNELS  CALLS        REASON\n\
            echo    1        running  process    here    2         0 out, 3 in\n\
            ping    10       failed   remote     beta    0                      panicked\n\n\
            CONFINED  BOUND       ASKED  IN FORCE  MEANS\n\
            echo      memory-mib  64     yes       RLIMIT_DATA\n\n\
            LINK  ROLE    STATE  ADDRESS  PLUGINS  STREAMS  IN   OUT  RTT  REASON\n\
            beta  server  up     unix:b            1        0 B  0 B\n\n\
            CHANNEL  FROM       TO          ROUTE  IN    OUT\n\
            7        ping@beta  echo@alpha  link   64 B  1.5 MiB\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_key_is_shown_only_where_two_have_one_name_or_none_is_known() {
        let link = |key: &str, name: &str| {
            format!(
                r#"{{"peer":"{key}","name":"{name}","role":"server","address":"a","state":"up",
                "streams":0,"bytes_in":0,"bytes_out":0,"rtt_us":null,"reason":null}}"#
            )
        };
        let links = [("BBBBBBBBBB", "beta"), ("CCCCCCCCCC", "beta"), ("DDDDDDDDDD", "delta")];
        let links: Vec<String> = links.iter().map(|(key, name)| link(key, name)).collect();
        let json = format!(
            r#"{{"server":{{"name":"alpha","key":"AAAAAAAAAA","addresses":[],"uptime_us":1,
            "version":"1"}},"plugins":[],"links":[{}],"channels":[]}}"#,
            links.join(",")
        );
        let status = serde_json::from_str(&json).unwrap();
        let names = Names::of(&status);
        for (end, expected) in [
            ("x@AAAAAAAAAA", "x@alpha"),
            ("x@BBBBBBBBBB", "x@beta (BBBBBBBB)"),
            ("x@CCCCCCCCCC", "x@beta (CCCCCCCC)"),
            ("x@DDDDDDDDDD", "x@delta"),
            ("x@EEEEEEEEEE", "x@EEEEEEEE"),
        ] {
            assert_eq!(names.of_end(end), expected);
        }
        let shown = render(&status);
        let rows = ["\nbeta (BBBBBBBB)  server", "\nbeta (CCCCCCCC)  server", "\ndelta  "];
        assert!(rows.iter().all(|row| shown.contains(row)), "{shown}");
    }
}
