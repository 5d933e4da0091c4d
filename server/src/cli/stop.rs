//! `trunkline stop`: tells a running server to end in order.

use super::{Failed, client};
use crate::config::Config;
use std::path::Path;

pub(super) fn stop(file: &Path) -> Result<(), Failed> {
    let config = Config::load(file)?;
    let Some(socket) = config.control_socket() else { return Ok(()) };
    client::request(socket, "stop").map_err(|why| format!("stop: {why}"))?;
    Ok(())
}
