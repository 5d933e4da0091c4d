//! `trunkline host`: runs plugins for a server. Also runs the host that a server starts.

use super::{DEFAULT_KEY, Failed};
use crate::config::HostConfig;
use crate::inherited;
use crate::key::{Origin, SecretKey};
use crate::log::Whose;
use crate::serve;
use std::path::{Path, PathBuf};
use trunkline_core::address::{Endpoint, Transform};

/// The host of a configuration file, or of the arguments.
pub(super) fn host(
    server: Option<&str>,
    key: Option<&Path>,
    plugins: &[PathBuf],
    config: Option<&Path>,
) -> Result<(), Failed> {
    inherited::set_signal_mask()?;
    crate::log::start(Whose::OwnProcess)?;
    inherited::forbid_inspection()?;
    let config = match (config, server) {
        (Some(file), _) => HostConfig::load(file)?,
        (None, Some(server)) => {
            HostConfig::of_arguments(server, key.unwrap_or(Path::new(DEFAULT_KEY)), plugins)?
        }
        (None, None) => {
            return Err(Failed::from("host: neither --server nor --config is given".to_string()));
        }
    };
    crate::log::configure(&config.log, &config.plugins)
        .map_err(|why| Failed::from(format!("{}: {why}", config.file.display())))?;
    for note in &config.notes {
        log::warn!("{note}");
    }
    let named = key.is_some() || config.state.is_some();
    let secret = if named || config.server.iter().any(asks_for_key) {
        key_of(&config.key)?
    } else {
        // Over a unix socket no key has to be proved; this one only tells the host from others.
        SecretKey::random()
    };
    serve::host(&config, &secret).map_err(Failed::from)
}

/// Whether the server at this address identifies hosts by their keys.
fn asks_for_key(endpoint: &Endpoint) -> bool {
    endpoint.transform != Transform::NoAuth
}

fn key_of(file: &Path) -> Result<SecretKey, Failed> {
    let (secret, origin) = SecretKey::read_or_make(file).map_err(|error| error.to_string())?;
    if origin == Origin::Made {
        log::info!("{}: made a new key: {}", file.display(), secret.public());
    }
    Ok(secret)
}

/// The host that a server starts in this process.
pub(super) fn child() -> Result<(), Failed> {
    inherited::set_signal_mask()?;
    // A confined process has lost its rights before its second thread, that of its log, starts.
    let child = serve::Child::inherit()?;
    let child = child.confine().map_err(|_| Failed(Vec::new()))?;
    crate::log::start(Whose::Child)?;
    // The error is in the server's log already.
    child.run()?.map_err(|_| Failed(Vec::new()))
}
