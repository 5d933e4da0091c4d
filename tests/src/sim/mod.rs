//! The simulation: several brokers, of servers and hosts, with scripted plugins, seeded byte
//! pipes and a virtual clock.
//!
//! Nothing here opens a socket or looks at a real clock: a seed says all that will happen. A run
//! has four parts: chaos, in which links are cut, clocks jump and plugins fail; rest, in which all
//! channels come to their end, but for those to plugins that never read; calm, in which those read
//! as well; and the end, after which nothing may be left.

pub mod actor;
mod calls;
pub mod channel;
mod chaos;
mod checks;
pub mod direct;
pub mod hostile;
mod hosts;
pub mod ledger;
mod links;
pub mod node;
mod offers;
pub mod pipe;
mod questions;
pub mod random;
mod script;
mod stranger;
pub mod trace;
pub mod world;

use ledger::Ledger;
use random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use trace::Trace;
use trunkline_core::key::Key;
use trunkline_core::name::Name;
use world::World;

/// One who takes part in a run.
#[derive(Debug)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// The number of the server to which its plugins belong: a server's own.
    pub home: usize,
    /// Its machine.
    pub machine: u64,
}

/// What everything in one run shares.
#[derive(Debug)]
pub struct Shared {
    /// The virtual time.
    pub now: Duration,
    /// The source of chance.
    pub random: Random,
    /// All bytes that were sent.
    pub ledger: Ledger,
    /// All calls that were made.
    pub calls: calls::Calls,
    /// What happened.
    pub trace: Trace,
    /// No more faults and no more channels.
    pub calm: bool,
    /// How many channels of a thousand carry many bytes.
    pub bulk: u64,
    /// The keys of the servers, by their numbers.
    pub keys: Vec<Key>,
    /// Links between servers run over Secret Handshake and box stream.
    pub secured: bool,
    /// Who takes part, by their numbers: servers first, then hosts.
    pub cast: Vec<Part>,
    /// Names that two plugins of one server have, of which one at most is taken.
    pub contested: BTreeSet<(usize, Name)>,
    /// Plugins open and close links again and again.
    pub eager: bool,
    /// Servers whose link a plugin has closed, the lower key first.
    pub closed: BTreeSet<(Key, Key)>,
    /// How often a plugin of a name was started, by the server.
    pub starts: BTreeMap<(Key, Name), usize>,
    /// The pipes that have served two servers, the lower key first.
    pub links: BTreeMap<(Key, Key), BTreeSet<usize>>,
    /// The pipe over which the channel came that a plugin is being asked about.
    pub told_over: Option<usize>,
    /// Channels that were opened, less those that somebody was asked about: who opens them, at
    /// which server, and to whom.
    pub unasked: BTreeMap<(Name, Key, Name), u64>,
    /// Where processes take direct connections, and who reaches whom.
    pub networks: direct::Networks,
    /// Plugins are stopped and do not come back.
    pub closing: bool,
    /// Garbage was put into a link, so that it may end for a broken rule.
    pub garbled: bool,
    /// Garbage, or somebody who knows no rules, was there.
    pub visited: bool,
    /// A clock jumped: tickets are over that are still under way, with the memory of their use.
    pub jumped: bool,
}

impl Shared {
    /// Keeps a line about a server or a host.
    pub fn note(&mut self, node: usize, line: std::fmt::Arguments<'_>) {
        self.trace.note(self.now, format_args!("{} {line}", self.cast[node].name));
    }
}

/// What a run that went well has seen.
#[derive(Debug, Default)]
pub struct Report {
    /// How often each kind of fault and behaviour happened.
    pub seen: BTreeMap<&'static str, u64>,
    /// Streams of bytes.
    pub streams: usize,
    /// Bytes that were checked.
    pub bytes: u64,
    /// Turns of all servers.
    pub turns: u64,
}

/// Runs one seed.
///
/// # Errors
/// What did not hold, with the last events.
pub fn run(seed: u64) -> Result<Report, String> {
    let mut world = World::new(seed);
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let what = match ran {
        Ok(Ok(())) => {
            let Shared { ledger, trace, .. } = world.shared;
            let (streams, bytes, turns) = (ledger.streams(), ledger.checked, world.turns);
            return Ok(Report { seen: trace.seen, streams, bytes, turns });
        }
        Ok(Err(what)) => what,
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(text) => format!("panic: {text}"),
            None => "panic".to_string(),
        },
    };
    Err(format!("seed {seed}: {what}\n{}", world.shared.trace.text()))
}
