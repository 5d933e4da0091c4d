//! The files of the demo: the programs, and a configuration for each server.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The sample plugins that the demo loads.
const PLUGINS: [&str; 3] = ["libecho.so", "libforward.so", "libping.so"];

/// The programs built by `make build`.
pub(super) struct Programs {
    trunkline: PathBuf,
    plugins: [PathBuf; PLUGINS.len()],
}

impl Programs {
    /// Finds them where cargo puts them, which is beside this program.
    pub(super) fn beside_this_program() -> Result<Self, String> {
        let demo = std::env::current_exe();
        let demo = demo.map_err(|error| format!("this program's own file: {error}"))?;
        let programs = Self {
            trunkline: demo.with_file_name("trunkline"),
            plugins: PLUGINS.map(|plugin| demo.with_file_name(plugin)),
        };
        for path in [&programs.trunkline].into_iter().chain(&programs.plugins) {
            if !path.is_file() {
                return Err(format!("{} is missing; run `make build` first", path.display()));
            }
        }
        Ok(programs)
    }

    pub(super) fn trunkline(&self) -> &Path {
        &self.trunkline
    }

    /// Makes a secret key as a user would; returns the public key.
    pub(super) fn make_key(&self, file: &Path) -> Result<String, String> {
        let made = Command::new(&self.trunkline).arg("key").arg(file).output();
        let made = made.map_err(|error| format!("trunkline key: {error}"))?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).trim_end().into());
        }
        Ok(String::from_utf8_lossy(&made.stdout).trim_end().into())
    }

    /// Puts the plugins beside the configuration files.
    pub(super) fn link_into(&self, folder: &Path) -> Result<(), String> {
        for (path, name) in self.plugins.iter().zip(PLUGINS) {
            let link = folder.join(name);
            symlink(path, &link).map_err(|error| format!("{}: {error}", link.display()))?;
        }
        Ok(())
    }
}

/// The server that exposes plugins: an echo, and a web server behind `forward`. Only the server
/// with alpha's key may link.
pub(super) fn beta(web: SocketAddr, alpha: &str) -> String {
    format!(
        r#"[server]
name = "beta"
key = "beta.key"
listen = ["unix:beta.sock~noauth", "net:127.0.0.1:0~shs"]

[[peer]]
key = "{alpha}"

[[plugin]]
path = "libecho.so"
expose = "peers"

[[plugin]]
path = "libforward.so"
expose = "peers"
[plugin.config]
serve = {{ web = "{web}" }}

[[plugin]]
path = "libping.so"
[plugin.config]
{PING}"#
    )
}

/// The server whose plugins use those of beta, which has this key and this address.
pub(super) fn alpha(key: &str, address: &str) -> String {
    format!(
        r#"[server]
name = "alpha"
key = "alpha.key"
listen = ["unix:alpha.sock~noauth"]

[[peer]]
key = "{key}"
address = "{address}"

[[plugin]]
path = "libforward.so"
[plugin.config]
listen = [{{ address = "127.0.0.1:0", to = "web", server = "beta" }}]

[[plugin]]
path = "libping.so"
[plugin.config]
{PING}"#
    )
}

/// The same for both, because a plugin need not know where the nearest `echo` is.
const PING: &str = r#"to = "echo"
size = 64
count = 2000
"#;

/// A server with all its plugins in processes of their own: three `echo`, which can be reached in
/// different ways, and a `ping` for each.
pub(super) fn gamma() -> String {
    let server = r#"[server]
name = "gamma"
key = "gamma.key"
listen = ["unix:gamma.sock~noauth"]
"#;
    let pair = |(route, advertise): (&str, &str)| {
        format!(
            r#"
[[plugin]]
path = "libecho.so"
name = "echo-{route}"
placement = "process"
advertise = [{advertise}]

[[plugin]]
path = "libping.so"
name = "ping-{route}"
placement = "process"
[plugin.config]
to = "echo-{route}"
size = 64
count = 2000
"#
        )
    };
    let ways = [("unix", r#""unix""#), ("tcp", r#""net:127.0.0.1:0""#), ("relay", "")];
    ways.into_iter().map(pair).fold(server.into(), |text, pair| text + &pair)
}

/// Checks that servers that stopped in order have removed their sockets.
pub(super) fn nothing_left(folder: &Path) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        if entry.file_type().map_err(cannot)?.is_socket() {
            return Err(format!("{} was left behind", entry.path().display()));
        }
    }
    Ok(())
}
