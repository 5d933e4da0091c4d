//! The state folder of a server or a host: it is made at the start, and one process uses it.

use crate::ownership::check_folder;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use trunkline_net::{FileLock, Holder};

/// The file in it whose lock this process holds.
const LOCK: &str = "lock";

/// The state folder of this process, or of its server.
#[derive(Debug)]
pub(super) struct StateFolder {
    path: PathBuf,
    owner: Owner,
}

#[derive(Debug)]
enum Owner {
    /// This process, which has no lock yet, or cannot have one in this file system.
    Ours(Option<FileLock>),
    /// The server that started this host.
    Server,
}

impl StateFolder {
    /// Creates the folder if it does not exist, with mode 0700.
    pub(super) fn make(path: &Path) -> Result<StateFolder, String> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| format!("{}: cannot be created: {error}", path.display()))?;
        check_folder(path).map_err(|why| refused(path, &why))?;
        Ok(StateFolder { path: path.into(), owner: Owner::Ours(None) })
    }

    /// The folder of the server that started this host. The server has the lock.
    pub(super) fn of_server(path: PathBuf) -> StateFolder {
        StateFolder { path, owner: Owner::Server }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Excludes other servers and hosts from the folder, until this is dropped.
    pub(super) fn lock(&mut self) -> Result<(), String> {
        let Owner::Ours(lock) = &mut self.owner else { return Ok(()) };
        match FileLock::take(&self.path.join(LOCK)) {
            Ok(taken) => *lock = Some(taken),
            Err(Holder::NoLocks) => {}
            Err(Holder::Process(process)) => {
                let which = Some(process).filter(|process| *process != 0);
                let which = which.map(|process| format!(" (process {process})"));
                let why = format!("another server{} uses it", which.unwrap_or_default());
                return Err(refused(&self.path, &why));
            }
            Err(Holder::Unknown(error)) => {
                return Err(refused(&self.path, &format!("it cannot be locked: {error}")));
            }
        }
        Ok(())
    }
}

fn refused(path: &Path, why: &str) -> String {
    format!("{}: {why}; name another `state` folder", path.display())
}
