//! Trunkline by route: real servers, real processes, and the measuring plugin at both ends.

mod driver;
pub(crate) mod setup;

pub(crate) use driver::{Driver, Traffic};
pub(crate) use setup::Servers;

use std::time::Duration;

use crate::contender::{Contender, Sample};
use crate::processes;

/// A route from one plugin to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) name: &'static str,
    from: From,
    /// The sink's name.
    to: &'static str,
    /// The sink's server, if it is another one.
    server: Option<&'static str>,
    /// The route's name in the output of `trunkline explain`, if the servers choose the route.
    expected: Option<&'static str>,
}

/// Where the driver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// In the server's process.
    Inline,
    /// In its own process.
    Process,
}

const fn local(name: &'static str, to: &'static str) -> Route {
    Route { name, from: From::Inline, to, server: None, expected: None }
}

const fn direct(name: &'static str, to: &'static str, route: &'static str) -> Route {
    Route { name, from: From::Process, to, server: None, expected: Some(route) }
}

const fn link(name: &'static str, server: &'static str) -> Route {
    Route { name, from: From::Inline, to: "sink", server: Some(server), expected: None }
}

pub(crate) const LOCAL: Route = local("local", "sink");
pub(crate) const THREAD: Route = local("thread", "sink-thread");
pub(crate) const PROCESS: Route = local("process", "sink-process");
pub(crate) const UNIX: Route = direct("unix", "sink-unix", "unix");
pub(crate) const TCP: Route = direct("tcp (encrypted)", "sink-tcp", "tcp");
pub(crate) const RELAY: Route = direct("relay", "sink-relay", "relay");
pub(crate) const LINK_UNIX: Route = link("link, unix, noauth", "beta-unix");
pub(crate) const LINK_TCP: Route = link("link, tcp, noauth", "beta-tcp");
pub(crate) const LINK_SHS: Route = link("link, tcp, shs", "beta-shs");

/// All of them.
pub(crate) const ROUTES: [Route; 9] =
    [LOCAL, THREAD, PROCESS, UNIX, TCP, RELAY, LINK_UNIX, LINK_TCP, LINK_SHS];

impl Servers {
    /// Round trips over a route.
    pub(crate) fn ping(&self, route: Route, size: usize) -> Contender<'_> {
        let traffic = Traffic { size, pings: 1, ..route.traffic() };
        Contender::new(route.name, move |length| self.measure(route, &traffic, length))
    }

    /// A contender that makes calls over a route.
    pub(crate) fn call(&self, name: &str, route: Route, size: usize) -> Contender<'_> {
        let traffic = Traffic { size, ..route.traffic() };
        Contender::new(name, move |length| {
            processes::with_cpu(self.processes(), || self.driver(route).call(&traffic, length))
        })
    }

    /// Floods over a route, on several channels at once.
    pub(crate) fn flood(&self, route: Route, size: usize, channels: usize) -> Contender<'_> {
        let traffic = Traffic { flood_size: size, floods: channels, ..route.traffic() };
        Contender::new(route.name, move |length| self.measure(route, &traffic, length))
    }

    /// Lets a driver measure, and adds the processor time of all servers and hosts.
    pub(crate) fn measure(
        &self,
        route: Route,
        traffic: &Traffic,
        length: Duration,
    ) -> Result<Sample, String> {
        processes::with_cpu(self.processes(), || self.driver(route).measure(traffic, length))
    }

    fn driver(&self, route: Route) -> &Driver {
        match route.from {
            From::Inline => &self.inline,
            From::Process => &self.process,
        }
    }
}

impl Route {
    /// Traffic to the sink of this route, none of it yet.
    pub(crate) fn traffic(&self) -> Traffic {
        let server = self.server.map(str::to_owned);
        Traffic { to: self.to.to_owned(), server, ..Traffic::default() }
    }
}
