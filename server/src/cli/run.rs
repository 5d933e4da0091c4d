//! `trunkline run`: reads the configuration and the key, then starts the server.

use super::Failed;
use crate::config::Config;
use crate::inherited;
use crate::key::{Origin, SecretKey};
use crate::log::Whose;
use crate::serve::serve;
use std::path::Path;

pub(super) fn run(file: &Path) -> Result<(), Failed> {
    inherited::set_signal_mask()?;
    crate::log::start(Whose::OwnProcess)?;
    inherited::forbid_inspection()?;
    let config = Config::load(file)?;
    crate::log::configure(&config.log, &config.plugins)
        .map_err(|why| Failed::from(format!("{}: {why}", file.display())))?;
    for note in &config.notes {
        log::warn!("{note}");
    }
    let (secret, origin) =
        SecretKey::read_or_make(&config.key).map_err(|error| Failed::from(error.to_string()))?;
    if origin == Origin::Made {
        log::info!("{}: made a new key: {}", config.key.display(), secret.public());
    }
    serve(&config, &secret).map_err(Failed::from)
}
