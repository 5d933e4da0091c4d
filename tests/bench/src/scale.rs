//! How a server scales with the plugins in its directory and with its links. The peers are
//! simulated in this process. Idle channels are measured in `memory.rs`.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use trunkline_core::bymux::MuxRole;
use trunkline_core::control::{Announced, Message, Plugins};
use trunkline_core::key::Key;
use trunkline_tests::harness::{Peer, PeerEvent, Socket, hello};

use crate::cores::Cores;
use crate::fact::Fact;
use crate::memory::round_trip;
use crate::plan::Plan;
use crate::processes;
use crate::programs::Programs;
use crate::routes::{LINK_UNIX, Servers};

pub(crate) const CONVERGED: &str = "time to converge";
pub(crate) const PER_ITEM: &str = "memory per item";
pub(crate) const MESSAGE_COST: &str = "round trip over a link beside them";

/// Plugins in one control message. With the longest of these names it is far below 64 KiB.
const AT_ONCE: usize = 1_000;
/// The kind of a control message that does not exist.
const NOBODY_KNOWS: u64 = 9_999;
/// How long a server may take to process the messages.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn facts(programs: &Programs, plan: &Plan) -> Result<Vec<Fact>, String> {
    let mut facts = Vec::new();
    plugins(programs, plan, &mut facts)?;
    links(programs, plan, &mut facts)?;
    Ok(facts)
}

/// One peer announces more and more plugins, until the driver's directory has them.
fn plugins(programs: &Programs, plan: &Plan, facts: &mut Vec<Fact>) -> Result<(), String> {
    let servers = Servers::start(programs)?;
    servers.lay_out(&Cores::find()?.together())?;
    let (mut peer, alpha) = (link_to(&servers, 0)?, servers.id("alpha")?);
    let (known, before) = (servers.driver_inline().directory()?, processes::memory(alpha)?);
    let mut announced = 0;
    for &count in plan.plugins {
        let (began, from) = (Instant::now(), announced);
        while announced < count {
            let until = count.min(announced + AT_ONCE);
            let plugins = (announced..until).map(plugin).collect::<Result<_, _>>()?;
            peer.send_message(&Message::Plugins(Plugins { plugins }));
            // The server answers that it does not know this message. Credit arrives while waiting
            // for that.
            peer.send_message(&Message::Other(NOBODY_KNOWS));
            let unknown =
                |event: &PeerEvent| matches!(event, PeerEvent::Message(Message::Unknown(_)));
            peer.wait_for("an answer", unknown);
            announced = until;
        }
        while servers.driver_inline().directory()? < known + count {
            if began.elapsed() > PATIENCE {
                return Err(format!("{count} plugins are not known in time"));
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let took = began.elapsed().as_secs_f64() / (count - from) as f64;
        let bytes = processes::memory(alpha)?.saturating_sub(before) as f64 / count as f64;
        facts.push(Fact::new(CONVERGED, "plugins, each", count, took, "s"));
        facts.push(Fact::new(PER_ITEM, "plugins", count, bytes, "B"));
        let median = round_trip(&servers, LINK_UNIX, plan.turn)?;
        facts.push(Fact::new(MESSAGE_COST, "plugins", count, median, "s"));
    }
    Cores::find()?.anywhere().near(std::process::id())?;
    servers.stop()
}

fn plugin(number: usize) -> Result<Announced, String> {
    let name = format!("plugin-{number}").parse().map_err(|error| format!("{error:?}"))?;
    Ok(Announced::new(name, 1))
}

/// More and more peers link and wait for the server's hello.
fn links(programs: &Programs, plan: &Plan, facts: &mut Vec<Fact>) -> Result<(), String> {
    let servers = Servers::start(programs)?;
    servers.lay_out(&Cores::find()?.together())?;
    let (mut peers, alpha) = (Vec::new(), servers.id("alpha")?);
    let before = processes::memory(alpha)?;
    for &count in plan.links {
        let (began, from) = (Instant::now(), peers.len());
        while peers.len() < count {
            peers.push(link_to(&servers, peers.len() + 1)?);
        }
        let took = began.elapsed().as_secs_f64() / (count - from) as f64;
        let bytes = processes::memory(alpha)?.saturating_sub(before) as f64 / count as f64;
        facts.push(Fact::new(CONVERGED, "links, each", count, took, "s"));
        facts.push(Fact::new(PER_ITEM, "links", count, bytes, "B"));
        let median = round_trip(&servers, LINK_UNIX, plan.turn)?;
        facts.push(Fact::new(MESSAGE_COST, "links", count, median, "s"));
    }
    drop(peers);
    Cores::find()?.anywhere().near(std::process::id())?;
    servers.stop()
}

/// Links to alpha as a server with a key of this number.
fn link_to(servers: &Servers, number: usize) -> Result<Peer, String> {
    let path = servers.folder.path().join("alpha.sock");
    let stream =
        UnixStream::connect(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut key = [255; 32];
    key[..8].copy_from_slice(&(number as u64).to_le_bytes());
    let mut peer = Peer::send_hello(Socket::from(stream), MuxRole::Dialler, hello(Key(key)));
    peer.wait_for("hello", |event| matches!(event, PeerEvent::Message(Message::Hello(_))));
    Ok(peer)
}
