//! The text of a host's configuration file, built from the parts that a test needs.

// A test whose keys cannot be made must fail.
#![allow(clippy::expect_used)]

use super::Server;
use crate::folder::Folder;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use trunkline::key::SecretKey;
use trunkline_core::key::Key;

/// A configuration under construction.
#[derive(Clone, Debug)]
pub struct HostSetup {
    name: String,
    server: String,
    lines: String,
    tables: String,
    /// What runs it, when that is not today's program.
    program: Option<PathBuf>,
}

impl HostSetup {
    /// A host without plugins, of the server at an address. It redials quickly.
    #[must_use]
    pub fn new(name: &str, server: &str) -> HostSetup {
        let (name, server) = (name.to_owned(), server.to_owned());
        HostSetup { name, server, lines: String::new(), tables: String::new(), program: None }
    }

    /// Has another program run it, such as that of an earlier release.
    #[must_use]
    pub fn by(mut self, program: &Path) -> HostSetup {
        self.program = Some(program.to_owned());
        self
    }

    /// A host of a server, over its unix socket.
    #[must_use]
    pub fn beside(name: &str, server: &Server) -> HostSetup {
        HostSetup::new(name, &format!("unix:{}", server.socket().display()))
    }

    /// A host of a server, over TCP, with keys.
    #[must_use]
    pub fn dialling(name: &str, server: &Server, at: impl std::fmt::Display) -> HostSetup {
        let (port, key) = (server.port(), server.key());
        HostSetup::new(name, &format!("net:{at}:{port}~shs:{key}"))
    }

    /// Makes the host's key file before the host runs; returns its public key.
    ///
    /// # Panics
    ///
    /// When the file cannot be made.
    #[must_use]
    pub fn key_in(name: &str, folder: &Folder) -> Key {
        let file = folder.path().join(format!("{name}.key"));
        SecretKey::read_or_make(&file).expect("a key file can be made").0.public()
    }

    /// Adds a line to `[host]`.
    #[must_use]
    pub fn line(mut self, line: &str) -> HostSetup {
        let _ = writeln!(self.lines, "{line}");
        self
    }

    /// Adds a line to `[limits]`; before any plugin.
    #[must_use]
    pub fn limit(mut self, line: &str) -> HostSetup {
        let _ = writeln!(self.tables, "{line}");
        self
    }

    /// Loads a plugin that every server may see. `lines` are appended to its table, and may end
    /// with `[plugin.config]`.
    #[must_use]
    pub fn plugin(mut self, file: &Path, lines: &str) -> HostSetup {
        let file = file.display().to_string();
        let table = format!("[[plugin]]\npath = {file:?}\nexpose = \"peers\"\n{lines}");
        let _ = writeln!(self.tables, "{table}");
        self
    }

    pub(super) fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its folder for sockets, below that of its file.
    pub(super) fn state(&self) -> String {
        format!("{}.state", self.name)
    }

    /// The whole file.
    pub(super) fn text(&self) -> String {
        let HostSetup { name, server, lines, tables, .. } = self;
        let state = self.state();
        let head = format!("[host]\nname = {name:?}\nkey = \"{name}.key\"\nserver = {server:?}");
        let limits = "[limits]\nredial-ms = 50\nredial-max-ms = 500";
        format!("{head}\nstate = {state:?}\n{lines}\n{limits}\n{tables}")
    }
}
