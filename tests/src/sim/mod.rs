//! The simulation: the brokers of several servers and hosts, with scripted plugins, seeded byte
//! pipes and a virtual clock.
//!
//! Nothing here opens a socket or reads a real clock, so a seed determines the whole run. A run has
//! four phases:
//!
//! 1. chaos: links are cut, clocks jump and plugins fail;
//! 2. rest: all channels end, except those to plugins that never read;
//! 3. calm: these plugins read too;
//! 4. the end: everything is stopped, and nothing may be left.

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

/// The facts of a server or host that do not change in a run.
#[derive(Debug)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// The number of the server to which its plugins belong. For a server it is its own number.
    pub home: usize,
    /// Its machine.
    pub machine: u64,
}

/// State that all parts of a run share.
#[derive(Debug)]
pub struct Shared {
    /// The virtual time.
    pub now: Duration,
    /// The random number generator.
    pub random: Random,
    /// All bytes that were sent.
    pub ledger: Ledger,
    /// All calls that were made.
    pub calls: calls::Calls,
    /// The log of events.
    pub trace: Trace,
    /// There are no more faults, and no new channels.
    pub calm: bool,
    /// How many of a thousand channels are bulk transfers.
    pub bulk: u64,
    /// The keys of the servers, by their numbers.
    pub keys: Vec<Key>,
    /// Links between servers are encrypted.
    pub secured: bool,
    /// The servers and then the hosts, by their numbers.
    pub info: Vec<NodeInfo>,
    /// Names that two plugins of one server have, of which at most one is accepted.
    pub contested: BTreeSet<(usize, Name)>,
    /// Plugins open and close links often.
    pub eager: bool,
    /// Servers whose link a plugin has closed, the lower key first.
    pub closed: BTreeSet<(Key, Key)>,
    /// How often a plugin with this name was started at this server.
    pub starts: BTreeMap<(Key, Name), usize>,
    /// The pipes that have served two servers, the lower key first.
    pub links: BTreeMap<(Key, Key), BTreeSet<usize>>,
    /// The pipe of the request that a plugin is being asked about.
    pub request_pipe: Option<usize>,
    /// Opened channels that no callee has been asked about yet, by caller, its server, and callee.
    pub unasked: BTreeMap<(Name, Key, Name), u64>,
    /// Where processes listen for direct connections, and which process can reach which.
    pub networks: direct::Networks,
    /// Plugins are stopped and are not restarted.
    pub closing: bool,
    /// Garbage was injected into a link, so links may end with a protocol violation.
    pub garbled: bool,
    /// Garbage was injected, or a stranger connected, so a protocol violation may be reported.
    pub strangers: bool,
    /// A clock clock_jumped, so tickets may have expired early, and the records of used ones too.
    pub clock_jumped: bool,
}

impl Shared {
    /// Logs a line about a server or a host.
    pub fn note(&mut self, node: usize, line: std::fmt::Arguments<'_>) {
        self.trace.note(self.now, format_args!("{} {line}", self.info[node].name));
    }
}

/// The statistics of a run that succeeded.
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
/// The check that failed, with the last events.
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
