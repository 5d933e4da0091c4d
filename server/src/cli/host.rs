//! `trunkline host`: runs plugins for a server; and the host that a server itself starts.

use super::{DEFAULT_KEY, Failed, run};
use crate::config::HostConfig;
use crate::key::{Origin, SecretKey};
use crate::serve;
use std::path::{Path, PathBuf};

/// The host of a configuration file, or of what stands on the command line.
pub(super) fn host(
    server: Option<&str>,
    key: Option<&Path>,
    plugins: &[PathBuf],
    config: Option<&Path>,
) -> Result<(), Failed> {
    run::log_to_stderr();
    let config = match (config, server) {
        (Some(file), _) => HostConfig::load(file)?,
        (None, Some(server)) => {
            HostConfig::of_arguments(server, key.unwrap_or(Path::new(DEFAULT_KEY)), plugins)?
        }
        (None, None) => return Err(Failed::from("host: name its server or its file".to_string())),
    };
    for note in &config.notes {
        log::warn!("{note}");
    }
    let secret = SecretKey::read_or_make(&config.key).map_err(|error| error.to_string())?;
    if secret.1 == Origin::Made {
        log::info!("{}: a new key was made: {}", config.key.display(), secret.0.public());
    }
    serve::host(&config, &secret.0).map_err(Failed::from)
}

/// The host that a server starts in this process.
pub(super) fn child() -> Result<(), Failed> {
    run::log_to_stderr();
    // Whoever reads the server's log has been told.
    serve::child()?.map_err(|_| Failed(Vec::new()))
}
