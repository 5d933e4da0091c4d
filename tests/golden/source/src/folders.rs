//! What API 1.3 added: a data folder, and paths relative to the configuration file.

use std::fs::{read_to_string, write};

use trunkline_plugin::prelude::*;

/// The answer to a command, if it is one of these.
pub(crate) fn obey(host: &Host, config: &Config, word: &str, rest: &str) -> Option<String> {
    let done = match word {
        "data" => host.data_dir().map(|folder| folder.display().to_string()),
        "keep" => {
            file(host).and_then(|file| write(file, rest).map_err(failed)).map(|()| rest.to_owned())
        }
        "kept" => file(host).and_then(|file| read_to_string(file).map_err(failed)),
        "path" => config.path(rest).map(|path| path.display().to_string()),
        _ => return None,
    };
    Some(match done {
        Ok(text) => format!("done {text}"),
        Err(why) => format!("refused {}", why.code()),
    })
}

fn file(host: &Host) -> Result<std::path::PathBuf, Reason> {
    host.data_dir().map(|folder| folder.join("kept"))
}

fn failed(error: std::io::Error) -> Reason {
    Reason::new("cannot-keep", error.to_string())
}
