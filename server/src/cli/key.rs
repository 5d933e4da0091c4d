//! `trunkline key`: makes a key if there is none, prints the public key.

use super::{Failed, print};
use crate::inherited;
use crate::key::{Origin, SecretKey};
use std::path::Path;

pub(super) fn key(file: &Path) -> Result<(), Failed> {
    inherited::forbid_inspection()?;
    let (secret, origin) =
        SecretKey::read_or_make(file).map_err(|error| Failed::from(error.to_string()))?;
    if origin == Origin::Made {
        super::print_error(&format!("{}: made a new key; keep it secret", file.display()));
    }
    print(&format!("{}\n", secret.public()))
}
