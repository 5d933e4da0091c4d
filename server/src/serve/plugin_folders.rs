//! Where the plugins of a process have their files.

use crate::ownership::check_folder;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf, absolute};
use trunkline_core::name::Name;

/// The folder of the data folders, in the state folder.
const DATA: &str = "data";

/// The folders of this process's plugins. All paths are absolute: a plugin may change the working
/// directory.
#[derive(Debug)]
pub(super) struct PluginFolders {
    config: PathBuf,
    data: Data,
}

/// Where plugins have their data folders.
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// In this state folder.
    In(PathBuf),
    /// This host has no state folder.
    Nowhere,
    /// The process is confined: this one plugin has this folder, which exists.
    Of(Name, PathBuf),
    /// The process is confined, and may change no data folder.
    Refused,
}

impl PluginFolders {
    /// Those of plugins that this file names.
    pub(super) fn new(file: &Path, data: Data) -> io::Result<PluginFolders> {
        let mut config = absolute(file)?;
        config.pop();
        let data = match data {
            Data::In(state) => Data::In(absolute(state)?),
            data => data,
        };
        Ok(PluginFolders { config, data })
    }

    /// The folder of the configuration file.
    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// The data folder of a plugin. It is created if it does not exist.
    pub(super) fn data_of(&self, plugin: &Name) -> Result<PathBuf, String> {
        let state = match &self.data {
            Data::In(state) => state,
            Data::Of(name, folder) if name == plugin => return Ok(folder.clone()),
            Data::Of(name, _) => {
                return Err(format!(
                    "its data folder was made for {name}, before its code could say its name; add \
                     `name = \"{plugin}\"` to its [[plugin]]"
                ));
            }
            Data::Refused => {
                return Err(
                    "it is confined; add \"data\" to `write` in its [plugin.confine]".into()
                );
            }
            Data::Nowhere => {
                return Err("this host has no `state` folder; start it with --config".into());
            }
        };
        let all = state.join(DATA);
        // A name has no slash, and does not begin with a dot.
        let folder = all.join(plugin.as_str());
        for folder in [&all, &folder] {
            make(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        Ok(folder)
    }
}

fn make(folder: &Path) -> Result<(), String> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map_err(|error| format!("it cannot be created: {error}")),
    }
    match folder.is_dir() {
        true => check_folder(folder),
        false => Err("it is not a folder".into()),
    }
}
