//! The groups that carry bytes between processes: round trips, message sizes, numbers of channels.

use std::path::Path;

use crate::bare::child::Child;
use crate::bare::{self, Place};
use crate::contender::{Contender, Group, Metric};
use crate::cores::Layout;
use crate::peers::Peers;
use crate::plan::BULK;
use crate::processes::with_cpu;
use crate::programs::Programs;
use crate::routes::{
    LINK_SHS, LINK_TCP, LINK_UNIX, LOCAL, PROCESS, RELAY, ROUTES, Route, Servers, TCP, THREAD, UNIX,
};

pub(crate) const ROUND_TRIPS: &str = "round trips of 64 bytes";
pub(crate) const SIZES: &str = "throughput by message size";
pub(crate) const CHANNELS: &str = "throughput by number of channels";
pub(crate) const BARE_UNIX: &str = "bare unix socket";
pub(crate) const BARE_TCP: &str = "bare tcp socket";
pub(crate) const YAMUX_UNIX: &str = "yamux, unix";
pub(crate) const YAMUX_TCP: &str = "yamux, tcp";
pub(crate) const TONIC: &str = "tonic unary call, unix";

pub(crate) const CALL_EMPTY: &str = "call, local, empty";
pub(crate) const CALL_LOCAL: &str = "call, local";
pub(crate) const CALL_THREAD: &str = "call, thread";
pub(crate) const CALL_PROCESS: &str = "call, process";
pub(crate) const CALL_LINK_UNIX: &str = "call, link, unix";
pub(crate) const CALL_LINK_TCP: &str = "call, link, tcp";
pub(crate) const CALL_LINK_SHS: &str = "call, link, tcp, shs";

/// Bytes of a message that is echoed.
pub(crate) const MESSAGE: usize = 64;

/// The processes that are started before measuring.
pub(crate) struct Stage {
    pub(crate) servers: Servers,
    pub(crate) peers: Peers,
    unix: Child,
    tcp: Child,
}

impl Stage {
    pub(crate) fn set(programs: &Programs) -> Result<Stage, String> {
        let servers = Servers::start(programs)?;
        let folder = servers.folder.path();
        let child = |name: &str| Child::start(&programs.bench, "bare", &place(folder, name));
        let (unix, tcp) = (child("bare-unix")?, child("bare-tcp")?);
        let peers = Peers::start(programs, folder)?;
        Ok(Stage { servers, peers, unix, tcp })
    }

    /// Assigns both sides of each measurement to cores.
    pub(crate) fn lay_out(&self, layout: &Layout) -> Result<(), String> {
        let children = [self.unix.id(), self.tcp.id()].into_iter().chain(self.peers.processes());
        children.into_iter().try_for_each(|child| layout.far(child))?;
        self.servers.lay_out(layout)
    }

    fn bare_ping<'a>(&'a self, name: &str, child: &'a Child) -> Contender<'a> {
        Contender::new(name, move |length| {
            with_cpu(&[child.id()], || bare::ping(&child.place, MESSAGE, length))
        })
    }

    fn bare_flood<'a>(&'a self, name: &str, child: &'a Child, size: usize) -> Contender<'a> {
        Contender::new(name, move |length| {
            with_cpu(&[child.id()], || bare::flood(&child.place, size, length))
        })
    }

    /// Round trips of 64 bytes over each route, on this many cores.
    pub(crate) fn round_trips(&self, cores: usize) -> Group<'_> {
        let mut contenders =
            vec![self.bare_ping(BARE_UNIX, &self.unix), self.bare_ping(BARE_TCP, &self.tcp)];
        let route = |route: Route| compared(self.servers.ping(route, MESSAGE), route);
        contenders.extend(ROUTES.map(route));
        contenders.extend(self.calls());
        contenders.push(self.peers.yamux_ping(YAMUX_UNIX).against(BARE_UNIX));
        contenders.push(self.peers.yamux_ping(YAMUX_TCP).against(BARE_TCP));
        contenders.push(self.peers.tonic_ping(TONIC).against(BARE_UNIX));
        let place = match cores {
            1 => "both sides on one core",
            _ => "each side on a core of its own",
        };
        let title = format!("Round trips of 64 bytes, {place}");
        group(ROUND_TRIPS, title, Metric::Latency, cores, contenders)
    }

    /// Calls with 64 bytes and an answer of 64 bytes, and empty calls.
    fn calls(&self) -> Vec<Contender<'_>> {
        let call = |(name, route, against): (_, Route, _)| {
            self.servers.call(name, route, MESSAGE).against(against)
        };
        let across = [
            (CALL_THREAD, THREAD, BARE_UNIX),
            (CALL_PROCESS, PROCESS, BARE_UNIX),
            (CALL_LINK_UNIX, LINK_UNIX, BARE_UNIX),
            (CALL_LINK_TCP, LINK_TCP, BARE_TCP),
            (CALL_LINK_SHS, LINK_SHS, BARE_TCP),
        ];
        let within = [(CALL_EMPTY, 0), (CALL_LOCAL, MESSAGE)];
        let within = within.map(|(name, size)| self.servers.call(name, LOCAL, size));
        within.into_iter().chain(across.map(call)).collect()
    }

    /// A flood of messages of one size.
    pub(crate) fn throughput(&self, size: usize) -> Group<'_> {
        let mut contenders = vec![
            self.bare_flood(BARE_UNIX, &self.unix, size),
            self.bare_flood(BARE_TCP, &self.tcp, size),
        ];
        let route = |route: Route| compared(self.servers.flood(route, size, 1), route);
        contenders.extend(ROUTES.map(route));
        contenders.push(self.peers.yamux_flood(YAMUX_UNIX, size, 1).against(BARE_UNIX));
        contenders.push(self.peers.yamux_flood(YAMUX_TCP, size, 1).against(BARE_TCP));
        let title =
            format!("Throughput one way, messages of {}", crate::report::bytes(size as f64));
        group(SIZES, title, Metric::Rate, size, contenders)
    }

    /// Floods on several channels at once, against one channel.
    pub(crate) fn channels(&self, channels: usize) -> Group<'_> {
        let route = |route: Route| self.servers.flood(route, BULK, channels);
        let contenders = vec![
            route(LINK_UNIX).against(YAMUX_UNIX),
            route(LINK_SHS),
            route(RELAY),
            self.peers.yamux_flood(YAMUX_UNIX, BULK, channels),
        ];
        let noun = if channels == 1 { "channel" } else { "channels at once" };
        let title = format!("Throughput of {channels} {noun}, messages of 64 KiB");
        group(CHANNELS, title, Metric::Rate, channels, contenders)
    }
}

fn group<'a>(
    key: &'static str,
    title: String,
    metric: Metric,
    x: usize,
    contenders: Vec<Contender<'a>>,
) -> Group<'a> {
    Group { key, title, metric, x, contenders }
}

/// A route, compared with the bare socket of its kind.
fn compared<'a>(contender: Contender<'a>, route: Route) -> Contender<'a> {
    let name = route.name;
    if [TCP, LINK_TCP, LINK_SHS].iter().any(|tcp| tcp.name == name) {
        contender.against(BARE_TCP)
    } else if [THREAD, PROCESS, UNIX, RELAY, LINK_UNIX].iter().any(|unix| unix.name == name) {
        contender.against(BARE_UNIX)
    } else {
        debug_assert_eq!(name, LOCAL.name, "a route is over a socket or local");
        contender
    }
}

/// The address of a child. Its name ends with the kind of its socket.
pub(crate) fn place(folder: &Path, name: &str) -> Place {
    match name.ends_with("tcp") {
        true => Place::Tcp(std::net::SocketAddr::from(([127, 0, 0, 1], 0))),
        false => Place::Unix(folder.join(format!("{name}.sock"))),
    }
}
