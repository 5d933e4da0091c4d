//! The demonstration: servers with the sample plugins, and what their status shows. It waits for
//! conditions, each with a deadline, and never merely for time to pass.

mod columns;
mod fetch;
mod file;
mod report;
mod server;
mod setup;
mod web;

use std::time::Instant;

use crate::folder::Folder;
use crate::harness::PATIENCE;
pub use columns::aligned;
use file::File;
use report::Pair;
pub use server::{Interrupt, Server};
use setup::Programs;
use web::Web;

/// The size of the file that is fetched through the two `forward` plugins, in bytes.
const FILE_SIZE: usize = 64 * 1024 * 1024;

/// The measurements of a `ping` plugin.
#[derive(Debug, Clone, PartialEq)]
struct Measured {
    p50_us: f64,
    p99_us: f64,
    megabytes_per_second: f64,
}

/// Runs the whole demonstration and prints the results.
///
/// # Errors
///
/// The check that failed, in one line. The servers' logs are on stderr then.
pub fn run() -> Result<(), String> {
    let began = Instant::now();
    let interrupt = Interrupt::catch()?;
    let programs = Programs::beside_this_program()?;
    let folder = Folder::new();
    let path = folder.path().to_path_buf();
    let outcome = show(&programs, &folder);
    drop(folder);
    interrupt.judge(outcome)?;
    if path.exists() {
        return Err(format!("{} is still there", path.display()));
    }
    report::end(began.elapsed());
    Ok(())
}

/// Everything between making the folder and removing it.
fn show(programs: &Programs, folder: &Folder) -> Result<(), String> {
    programs.link_into(folder.path())?;
    let file = File::make(folder, FILE_SIZE)?;
    let mut web = Web::serve(&file)?;

    // Each server lists the other's key, so both are made before.
    let [alpha_key, beta_key] =
        ["alpha.key", "beta.key"].map(|file| programs.make_key(&folder.path().join(file)));
    let (alpha_key, beta_key) = (alpha_key?, beta_key?);
    // Beta starts first, because the system chooses its port, and alpha needs it.
    let config = folder.write("beta.toml", setup::beta(web.address(), &alpha_key));
    let beta = Server::start(programs.trunkline(), "beta", config)?;
    let address = beta.net_address()?;
    let config = folder.write("alpha.toml", setup::alpha(&beta_key, &address));
    let alpha = Server::start(programs.trunkline(), "alpha", config)?;
    alpha.wait_for_link("beta")?;
    beta.wait_for_link("alpha")?;
    report::directories(&alpha.status()?, &beta.status()?, &address)?;

    let gamma =
        Server::start(programs.trunkline(), "gamma", folder.write("gamma.toml", setup::gamma()))?;
    let mut pairs = pinged(&alpha, &beta)?;
    pairs.extend(pinged_in_processes(&gamma)?);
    let entrance = alpha.forward_address()?;
    let fetched = fetch::fetch(entrance, PATIENCE)?;
    // The connection is still open, and so is the channel that carries it.
    let carried = alpha.route("forward", "forward", &beta)?;
    pairs.push(Pair::carried("forward@alpha", "forward@beta", carried, fetched.rate()));
    report::pairs(&pairs);
    let digest = fetched.end()?;
    report::file(&file, web.address(), entrance, &digest)?;

    alpha.stop()?;
    beta.stop()?;
    gamma.stop()?;
    web.stop()?;
    setup::nothing_left(folder.path())
}

/// The results of the two `ping` plugins, each with the nearest `echo`.
fn pinged(alpha: &Server, beta: &Server) -> Result<Vec<Pair>, String> {
    let within = beta.route("ping", "echo", beta)?;
    let across = alpha.route("ping", "echo", beta)?;
    Ok(vec![
        Pair::pinged("ping@beta", "echo@beta", within, beta.ping_result("echo@beta")?),
        Pair::pinged("ping@alpha", "echo@beta", across, alpha.ping_result("echo@beta")?),
    ])
}

/// The result of each `ping` of gamma: both plugins of a pair run in processes of their own.
fn pinged_in_processes(gamma: &Server) -> Result<Vec<Pair>, String> {
    let ways = [
        ("unix", "ping-unix", "echo-unix"),
        ("tcp", "ping-tcp", "echo-tcp"),
        ("relay", "ping-relay", "echo-relay"),
    ];
    let pair = |(expected, from, to): (&str, &'static str, &'static str)| {
        let measured = gamma.ping_result(&format!("{to}@gamma"))?;
        let route = gamma.explained(from, to)?;
        match route == expected {
            true => Ok(Pair::pinged(from, to, route, measured)),
            false => Err(format!("{from} to {to} goes over {route}, and should over {expected}")),
        }
    };
    ways.into_iter().map(pair).collect()
}
