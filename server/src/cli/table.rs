//! A status as tables for people.

use super::status_answer::{Channel, Link, Plugin, Server, Status};
use trunkline_core::printable::Printable;

/// The status as text: one paragraph for the server, then one table for each kind of thing.
pub(super) fn render(status: &Status) -> String {
    let Server { name, key, addresses, uptime_us, version } = &status.server;
    let uptime = duration(*uptime_us);
    let server = format!("server {name}  key {key}  version {version}  up {uptime}");
    let mut text = format!("{}\n", Printable(server));
    for address in addresses {
        text.push_str(&format!("  listens on {}\n", Printable(address)));
    }
    text.push('\n');
    text.push_str(&table(
        &["PLUGIN", "VERSION", "STATE", "PLACEMENT", "SERVER", "CHANNELS", "CALLS", "REASON"],
        status.plugins.iter().map(|plugin| plugin.row(key)),
    ));
    text.push('\n');
    text.push_str(&table(
        &["LINK", "ROLE", "STATE", "ADDRESS", "PLUGINS", "STREAMS", "IN", "OUT", "RTT", "REASON"],
        status.links.iter().map(Link::row),
    ));
    text.push('\n');
    text.push_str(&table(
        &["CHANNEL", "FROM", "TO", "ROUTE", "IN", "OUT"],
        status.channels.iter().map(Channel::row),
    ));
    text
}

impl Plugin {
    fn row(&self, our_key: &str) -> Vec<String> {
        vec![
            self.name.clone(),
            self.version(),
            self.state.clone(),
            self.placement.clone(),
            if self.server == our_key { "here".into() } else { short(&self.server) },
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
    fn row(&self) -> Vec<String> {
        let who = if self.name.is_empty() { short(&self.peer) } else { self.name.clone() };
        vec![
            who,
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
    fn row(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            end(&self.from),
            end(&self.to),
            self.route.clone(),
            bytes(self.bytes_in),
            bytes(self.bytes_out),
        ]
    }
}

/// Columns under their headings, each as wide as its widest cell; `none` stands for no rows.
fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
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

/// `plugin@KEY` with the start of the key only.
fn end(text: &str) -> String {
    match text.split_once('@') {
        Some((plugin, key)) => format!("{plugin}@{}", short(key)),
        None => text.into(),
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
              "placement":"inline","server":"AAAAAAAAAAAA","addresses":[],"channels":2,
              "calls_made":0,"calls_to_answer":3},
              {"name":"ping","version":10,"state":"failed","reason":"panicked",
              "placement":"remote","server":"BBBBBBBBBBBB","addresses":[],"channels":0,
              "calls_made":null,"calls_to_answer":null}],
            "links":[],
            "channels":[{"id":7,"from":"ping@BBBBBBBBBBBB","to":"echo@AAAAAAAAAAAA","route":"link",
              "bytes_in":64,"bytes_out":1572864}]}"#;
        let shown = render(&serde_json::from_str(json).unwrap());
        let expected = "server alpha  key AAAAAAAAAAAA  version 0.1.0  up 1 min\n  \
            listens on unix:/a~noauth\n\n\
            PLUGIN  VERSION  STATE    PLACEMENT  SERVER    CHANNELS  CALLS        REASON\n\
            echo    1        running  inline     here      2         0 out, 3 in\n\
            ping    10       failed   remote     BBBBBBBB  0                      panicked\n\n\
            LINK  ROLE  STATE  ADDRESS  PLUGINS  STREAMS  IN  OUT  RTT  REASON\n\
            none\n\n\
            CHANNEL  FROM           TO             ROUTE  IN    OUT\n\
            7        ping@BBBBBBBB  echo@AAAAAAAA  link   64 B  1.5 MiB\n";
        assert_eq!(shown, expected);
    }
}
