//! The memory of an idle channel, and the effect of many idle channels on one in use.

use std::time::Duration;

use crate::cores::Cores;
use crate::fact::Fact;
use crate::plan::Plan;
use crate::processes;
use crate::programs::Programs;
use crate::routes::{LINK_UNIX, LOCAL, Route, Servers, Traffic};
use crate::shapes::MESSAGE;

pub(crate) const MEMORY: &str = "memory per idle channel";
pub(crate) const IDLE: &str = "round trip beside idle channels";
pub(crate) const LINK_OPENED: &str = "link, server that opened them";
pub(crate) const LINK_TAKEN: &str = "link, server that took them";
pub(crate) const WITHIN: &str = "local, both ends in one server";

/// Channels that are opened at a time, so that not all of them are announced at once.
const AT_ONCE: usize = 1_000;

/// One side of a link cannot have more streams open than the protocol's global credit, 65,536,
/// whatever the limits say.
const MOST_OVER_A_LINK: usize = 65_000;

/// Opens idle channels over a link and within a server. Each measurement has its own servers,
/// because a process does not return freed memory to the system at once.
pub(crate) fn facts(programs: &Programs, plan: &Plan) -> Result<Vec<Fact>, String> {
    let mut facts = Vec::new();
    let over_link = [("alpha", LINK_OPENED), ("beta-unix", LINK_TAKEN)];
    grow(programs, plan, (LINK_UNIX, MOST_OVER_A_LINK), &over_link, &mut facts)?;
    grow(programs, plan, (LOCAL, usize::MAX), &[("alpha", WITHIN)], &mut facts)?;
    Ok(facts)
}

fn grow(
    programs: &Programs,
    plan: &Plan,
    (route, most): (Route, usize),
    watched: &[(&str, &str)],
    facts: &mut Vec<Fact>,
) -> Result<(), String> {
    let servers = Servers::start(programs)?;
    servers.lay_out(&Cores::find()?.together())?;
    // Memory that a server allocates once, with the first channel of a kind, is not counted.
    round_trip(&servers, route, plan.turn)?;
    let memory = |server: &str| processes::memory(servers.id(server)?);
    let before: Vec<u64> =
        watched.iter().map(|(server, _)| memory(server)).collect::<Result<_, _>>()?;
    let mut open = 0;
    for count in plan.idle.iter().map(|count| (*count).min(most)) {
        while open < count {
            let more = AT_ONCE.min(count - open);
            servers.driver_inline().hold(&route.traffic(), more)?;
            open += more;
        }
        for ((server, name), before) in watched.iter().zip(&before) {
            let bytes = memory(server)?.saturating_sub(*before) as f64 / count as f64;
            facts.push(Fact::new(MEMORY, *name, count, bytes, "B"));
        }
        let median = round_trip(&servers, route, plan.turn)?;
        facts.push(Fact::new(IDLE, route.name, count, median, "s"));
    }
    Cores::find()?.anywhere().near(std::process::id())?;
    servers.stop()
}

/// The median round trip of a message, in seconds.
pub(crate) fn round_trip(servers: &Servers, route: Route, length: Duration) -> Result<f64, String> {
    let traffic = Traffic { size: MESSAGE, pings: 1, ..route.traffic() };
    let sample = servers.measure(route, &traffic, length)?;
    sample.percentiles.map(|(median, _)| median).ok_or_else(|| "no round trip came back".to_owned())
}
