//! The demonstration: two servers with the sample plugins, and what can be seen when they meet. It
//! waits for what the servers say, each time with a deadline, and never merely for time to pass.

mod fetch;
mod file;
mod report;
mod server;
mod setup;
mod status;
mod web;

use std::time::{Duration, Instant};

use crate::folder::Folder;
use file::File;
use server::{Interrupt, Server};
use setup::Programs;
use status::{Channel, Status};
use web::Web;

/// What is fetched through the two `forward` plugins, in bytes.
const FILE_SIZE: usize = 64 * 1024 * 1024;

/// How long to wait for anything that a server should do. On an idle machine all of it happens in
/// milliseconds; ten seconds are for one that is busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one `ping` plugin measured, in the words of its log line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) megabytes_per_second: f64,
}

/// Runs all of it and prints what happens.
///
/// # Errors
///
/// What did not hold, in one line. What the servers logged is on stderr then.
pub fn run() -> Result<(), String> {
    let interrupt = Interrupt::catch()?;
    let programs = Programs::beside_this_program()?;
    let folder = Folder::new();
    let result = show(&programs, &folder, &interrupt);
    let path = folder.path().to_path_buf();
    drop(folder);
    let result = result.map_err(|why| interrupt.blame(why));
    let seconds = result?;
    if path.exists() {
        return Err(format!("{} is still there", path.display()));
    }
    report::end(seconds);
    Ok(())
}

/// Everything between making the folder and removing it; how many seconds it took.
fn show(programs: &Programs, folder: &Folder, interrupt: &Interrupt) -> Result<f64, String> {
    let began = Instant::now();
    report::begin();
    programs.link_into(folder.path())?;
    let file = File::make(folder, FILE_SIZE)?;
    let mut web = Web::serve(&file)?;

    // Beta first: the system chooses its port, and alpha has to know it.
    let config = folder.write("beta.toml", setup::beta(web.address()));
    let mut beta = Server::start(programs, "beta", config, interrupt)?;
    let within = beta.ping_result("beta")?;
    let address = beta.status()?.net_address()?;
    let config = folder.write("alpha.toml", setup::alpha(&address));
    let mut alpha = Server::start(programs, "alpha", config, interrupt)?;
    alpha.wait_for("its link to beta", |line| line.contains("link to beta").then_some(()))?;
    beta.wait_for("its link to alpha", |line| line.contains("link to alpha").then_some(()))?;
    report::servers(&[alpha.status()?, beta.status()?]);
    report::directories(&alpha.status()?, &beta.status()?)?;

    let across = alpha.ping_result("beta")?;
    let entrance = alpha.forward_address()?;
    let fetched = fetch::fetch(entrance, PATIENCE)?;
    // The connection is still open, and so are the channels.
    let (near, far) = (alpha.status()?, beta.status()?);
    let (local, link) = (ping_route(&far, "ping")?, ping_route(&near, "ping")?);
    let carried = ping_route(&near, "forward")?;
    let rows = [
        report::Pair::pinged("ping@beta", "echo@beta", local, &within),
        report::Pair::pinged("ping@alpha", "echo@beta", link, &across),
        report::Pair::carried("forward@alpha", "forward@beta", carried, fetched.rate(), FILE_SIZE),
    ];
    report::pairs(&rows);
    let digest = fetched.end()?;
    report::file(entrance, web.address(), &file, &digest);
    if digest != file.digest() {
        return Err("what was fetched is not what was served".into());
    }
    alpha.stop()?;
    beta.stop()?;
    web.stop()?;
    setup::nothing_left(folder.path())?;
    Ok(began.elapsed().as_secs_f64())
}

fn ping_route(_status: &Status, _from: &str) -> Result<String, String> {
    let _: Option<&Channel> = None;
    todo!()
}
