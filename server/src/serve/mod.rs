//! Runs servers and hosts: the entry points for the command line. Each is one event loop
//! (`event_loop.rs`), started with a setup (`setup.rs`): read all, tick, flush all. The broker
//! makes all decisions.

mod adopted;
mod alarm;
mod child;
mod children;
mod commands;
mod connections;
mod convert;
mod dialling;
mod direct;
mod event_loop;
mod explain_json;
mod handover;
mod host_socket;
mod lineage;
mod listening;
mod lookups;
mod machine;
mod open_files;
mod orphans;
mod own_end;
mod plugin_folders;
mod plugin_host;
mod plugins;
mod proc_stat;
mod process_groups;
mod process_handle;
mod reachable;
mod runners;
mod setup;
mod shared;
mod signals;
mod socket;
mod socket_folders;
mod spec;
mod state_folder;
mod status_json;
mod stopped;
mod token;
mod turn;
mod wake;
mod watch;
mod watchdog;

use crate::config::{Config, HostConfig};
use crate::key::SecretKey;
use event_loop::Loop;
use setup::Setup;

/// Runs a server until it stops. An error is one line.
pub(crate) fn serve(config: &Config, secret: &SecretKey) -> Result<(), String> {
    let mut server = Loop::start(Setup::server(config, secret)?)?;
    let failed = failed(&server, config.plugins.len());
    log::info!("server {} ({}) is ready{failed}", config.name, secret.public());
    server.run()?;
    log::info!("the server has ended");
    Ok(())
}

/// How many of a server's plugins failed, and which, for the end of a line; empty if none did.
fn failed(server: &Loop, all: usize) -> String {
    let status = server.shared.broker.borrow().status();
    let names: Vec<&str> = status.failed().map(|plugin| plugin.name.as_str()).collect();
    match names.len() {
        0 => String::new(),
        count => format!("; {count} of {all} plugins failed: {}", names.join(", ")),
    }
}

/// Runs a host, which runs plugins for a server, until it stops.
pub(crate) fn host(config: &HostConfig, secret: &SecretKey) -> Result<(), String> {
    let mut host = Loop::start(Setup::host(config, secret)?)?;
    log::info!("host {} ({}) is ready", config.name, secret.public());
    host.run()?;
    log::info!("the host has ended");
    Ok(())
}

pub(crate) use child::Child;
