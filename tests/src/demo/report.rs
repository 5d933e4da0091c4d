//! The output of the demo, and its checks.

use std::net::SocketAddr;
use std::time::Duration;

use super::Measured;
use super::columns::aligned;
use super::file::File;
use crate::harness::{PluginInfo, Status};

/// The loaded plugins: on which server, and whether the other server may see it.
const LOADED: [(&str, &str, Seen); 5] = [
    ("alpha", "forward", Seen::Here),
    ("alpha", "ping", Seen::Here),
    ("beta", "echo", Seen::ByBoth),
    ("beta", "forward", Seen::ByBoth),
    ("beta", "ping", Seen::Here),
];

/// The servers that should know a plugin.
#[derive(PartialEq)]
enum Seen {
    /// Only its own server: it is not exposed.
    Here,
    /// Its own server and that server's peers.
    ByBoth,
}

/// Two plugins with a channel between them.
pub(super) struct Pair {
    from: &'static str,
    to: &'static str,
    route: String,
    round_trip: Option<(f64, f64)>,
    megabytes_per_second: f64,
}

impl Pair {
    pub(super) fn pinged(
        from: &'static str,
        to: &'static str,
        route: String,
        measured: Measured,
    ) -> Self {
        let round_trip = Some((measured.p50_us, measured.p99_us));
        let megabytes_per_second = measured.megabytes_per_second;
        Self { from, to, route, round_trip, megabytes_per_second }
    }

    pub(super) fn carried(
        from: &'static str,
        to: &'static str,
        route: String,
        megabytes_per_second: f64,
    ) -> Self {
        Self { from, to, route, round_trip: None, megabytes_per_second }
    }

    fn row(&self) -> Vec<String> {
        let time = |time: Option<f64>| time.map_or("-".into(), |us| format!("{us:.1} us"));
        vec![
            self.from.into(),
            self.to.into(),
            self.route.clone(),
            time(self.round_trip.map(|(p50, _)| p50)),
            time(self.round_trip.map(|(_, p99)| p99)),
            format!("{:.0} MB/s", self.megabytes_per_second),
        ]
    }
}

/// Prints which server sees which plugins, and checks that this is as configured.
pub(super) fn directories(alpha: &Status, beta: &Status, address: &str) -> Result<(), String> {
    let key = |server: &Status| server.server.key.clone();
    println!(
        "Two servers run on this machine, and each lists the other's key. Over TCP, where all"
    );
    println!("is encrypted, alpha has dialled beta at");
    println!("  {address}");
    println!("Each has loaded plugins from .so files, and knows which ones the other exposes:");
    println!();
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    for (on, name, seen) in LOADED {
        let home = if on == "alpha" { alpha } else { beta };
        let views = [alpha, beta].map(|viewer| {
            let view = view(viewer, name, home);
            let expected = key(viewer) == key(home) || seen == Seen::ByBoth;
            if view.is_none() == expected {
                wrong.push(format!("{} and {name}@{on}", viewer.server.name));
            }
            view.unwrap_or_else(|| "not exposed".into())
        });
        let [by_alpha, by_beta] = views;
        rows.push(vec![format!("{name}@{on}"), by_alpha, by_beta]);
    }
    print!("{}", aligned(&["PLUGIN", "SEEN BY ALPHA", "SEEN BY BETA"], &rows));
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("who sees whom is not as configured: {}", wrong.join(", "))),
    }
}

/// How one server sees a plugin, if it does and the plugin runs.
fn view(viewer: &Status, name: &str, home: &Status) -> Option<String> {
    let is_it = |it: &&PluginInfo| it.name == name && it.server == home.server.key;
    let plugin = viewer.plugins.iter().find(is_it)?;
    let place = if viewer.server.key == home.server.key { "here" } else { "through the link" };
    (plugin.state == "running").then(|| format!("version {}, {place}", plugin.version))
}

/// Prints the connected pairs, with route and speed.
pub(super) fn pairs(pairs: &[Pair]) {
    println!();
    println!(
        "Plugins ask for a name; the servers decide the route. Those of gamma, a third server, are"
    );
    println!("each in a process of their own:");
    println!();
    let heading = ["FROM", "TO", "ROUTE", ">RTT p50", ">RTT p99", ">THROUGHPUT"];
    let rows: Vec<_> = pairs.iter().map(Pair::row).collect();
    print!("{}", aligned(&heading, &rows));
}

/// Prints the digests of the file, and checks that they are equal.
pub(super) fn file(
    file: &File,
    web: SocketAddr,
    entrance: SocketAddr,
    fetched: &str,
) -> Result<(), String> {
    let mebibytes = file.size() / 1024 / 1024;
    println!();
    println!("A file of {mebibytes} MiB, fetched by HTTP through the two forward plugins:");
    println!();
    println!("  client -> {entrance} forward@alpha -> link -> forward@beta -> {web} HTTP server");
    println!("  SHA-256 as served   {}", file.digest());
    println!("  SHA-256 as fetched  {fetched}");
    println!();
    match fetched == file.digest() {
        true => Ok(()),
        false => Err("the file that came is not the one that was served".into()),
    }
}

/// Prints that all checks passed.
pub(super) fn end(took: Duration) {
    println!("All servers stopped in order and left nothing behind.");
    println!("All checks passed in {:.1} s.", took.as_secs_f64());
}
