//! Where a plugin has its files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Host, ask};
use crate::abi::{Bytes, Sink};
use crate::{By, Reason};

/// Folders: since version 1.3 of the API.
impl Host {
    /// The folder for the plugin's own files, as an absolute path. It is created at the first call,
    /// with mode 0700, and is kept when the plugin or the server ends.
    ///
    /// It is `data/NAME` in the `state` folder of the server, or of the host if the plugin runs in
    /// one that was started by hand; NAME is [`name`](Self::name). A plugin that moves to another
    /// machine does not take it along.
    ///
    /// ```
    /// # use trunkline_plugin::prelude::*;
    /// fn open_database(host: &Host) -> Result<std::fs::File, Reason> {
    ///     let file = host.data_dir()?.join("database");
    ///     std::fs::File::create(&file)
    ///         .map_err(|error| Reason::new("no-database", format!("{}: {error}", file.display())))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// `no-data-folder` if it cannot be created, belongs to another user, or the host was started
    /// without a configuration file; `not-supported` from a server whose API is older than 1.3.
    pub fn data_dir(&self) -> Result<PathBuf, Reason> {
        let function = self.table.data_dir().ok_or_else(not_supported)?;
        let mut folder = PathBuf::new();
        // SAFETY: the host shows what is alive.
        let mut take = |path: &Bytes| folder = path_of(unsafe { path.as_slice() });
        // SAFETY: the sinks are used during the call only.
        ask(|refusal| unsafe { function(self.context, Sink::new(&mut take), refusal) })?;
        Ok(folder)
    }

    /// The folder of the configuration file; `None` from a server whose API is older than 1.3.
    pub(crate) fn config_dir(&self) -> Option<PathBuf> {
        let function = self.table.config_dir()?;
        let mut folder = None;
        // SAFETY: the host shows what is alive.
        let mut take = |path: &Bytes| folder = Some(path_of(unsafe { path.as_slice() }));
        // SAFETY: the sink is used during the call only.
        unsafe { function(self.context, Sink::new(&mut take)) };
        folder
    }
}

fn path_of(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

/// The refusal for a host whose table ends before the function.
#[cold]
fn not_supported() -> Reason {
    let text = "this server's plugin API is older than 1.3 and has no data folders; \
                run a newer server";
    Reason::received(By::Server, "not-supported", text)
}
