//! Servers and hosts that run: the entry points for the command line. Each begins with a duty
//! (`duty.rs`) and is one loop (`event_loop.rs`): read all, tick, flush all. What to do, the broker
//! decides.

mod alarm;
mod children;
mod commands;
mod connections;
mod convert;
mod dialling;
mod direct;
mod duty;
mod event_loop;
mod explain_json;
mod lineage;
mod listening;
mod machine;
mod plugin_host;
mod plugins;
mod reachable;
mod runners;
mod shared;
mod socket;
mod socket_folders;
mod spec;
mod status_json;
mod token;
mod turn;
mod wake;
mod watch;
mod watchdog;

use crate::config::{Config, HostConfig};
use crate::key::SecretKey;
use duty::{Duty, Handles};
use event_loop::Loop;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Runs a server until it is told to stop. An error is one line.
pub(crate) fn serve(config: &Config, secret: &SecretKey) -> Result<(), String> {
    raise_descriptor_limit();
    let mut server = Loop::start(Duty::server(config, secret)?)?;
    log::info!("server {} ({}) is ready", config.name, secret.public());
    server.run()?;
    log::info!("the server has ended");
    Ok(())
}

/// Runs a host, which runs plugins for a server, until it is told to stop.
pub(crate) fn host(config: &HostConfig, secret: &SecretKey) -> Result<(), String> {
    raise_descriptor_limit();
    let mut host = Loop::start(Duty::host(config, secret)?)?;
    log::info!("host {} ({}) is ready", config.name, secret.public());
    host.run()?;
    log::info!("the host has ended");
    Ok(())
}

/// Runs the host that a server started in this process, until that has no more use for it. An error
/// says why it did not begin; how it ended then, the log says already.
pub(crate) fn child() -> Result<Result<(), String>, String> {
    raise_descriptor_limit();
    let (spec, stream) = children::inherit()?;
    let duty = Duty { handles: Handles::Signals, ..Duty::of_spec(spec, stream) };
    Ok(Loop::start(duty)?.run())
}

/// A server of many links needs many descriptors: as many as the system lets us have.
fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        log::debug!("the limit of open files stays as it is: {error}");
    }
}
