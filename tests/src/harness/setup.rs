//! The text of a configuration file, built from the parts that a test needs.

// A test whose keys cannot be made must fail.
#![allow(clippy::expect_used)]

use crate::folder::Folder;
use std::fmt::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trunkline::key::SecretKey;
use trunkline_core::key::Key;

/// A user, and a group, who is neither root nor the user that runs the tests.
pub const NOBODY: u32 = 65_534;

/// A configuration under construction.
#[derive(Clone, Debug)]
pub struct Setup {
    name: String,
    listen: String,
    /// For a host: the address of its server.
    home: Option<String>,
    server: String,
    nothing_in_common_ms: u64,
    /// The shortest and the longest pause before a peer is dialled again.
    redial_ms: (u64, u64),
    tables: String,
    variables: Vec<(&'static str, PathBuf)>,
    /// What runs it, when that is not today's program.
    program: Option<PathBuf>,
    stdout: Option<Arc<OwnedFd>>,
    closed: bool,
}

impl Setup {
    /// A server that listens on `NAME.sock` and has no peers and no plugins. It redials quickly, so
    /// that tests are quick. Unused links stay, because test peers have no plugins.
    #[must_use]
    pub fn new(name: &str) -> Setup {
        Setup {
            name: name.into(),
            listen: format!("\"unix:{name}.sock~noauth\""),
            home: None,
            server: String::new(),
            nothing_in_common_ms: 3_600_000,
            redial_ms: (50, 500),
            tables: String::new(),
            variables: Vec::new(),
            program: None,
            stdout: None,
            closed: false,
        }
    }

    /// Runs it as a user who is not root: [`NOBODY`] if the test is root. It can be inspected by no
    /// process of that user, as outside of tests.
    #[must_use]
    pub fn closed(self) -> Setup {
        Setup { closed: true, ..self }
    }

    /// Gives it a stdout; otherwise that is `/dev/null`.
    #[must_use]
    pub fn stdout(mut self, stdout: Arc<OwnedFd>) -> Setup {
        self.stdout = Some(stdout);
        self
    }

    /// Has another program run it, such as that of an earlier release.
    #[must_use]
    pub fn by(mut self, program: &Path) -> Setup {
        self.program = Some(program.to_owned());
        self
    }

    /// Sets a variable of the server's environment.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: &Path) -> Setup {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// A host of the server at this address.
    #[must_use]
    pub fn host(name: &str, home: &str) -> Setup {
        Setup { home: Some(home.into()), ..Setup::new(name) }
    }

    /// Also listens on a TCP port that the system chooses.
    #[must_use]
    pub fn tcp(mut self) -> Setup {
        self.listen.push_str(", \"net:127.0.0.1:0~noauth\"");
        self.server("insecure-loopback = true")
    }

    /// Also listens on a TCP port that the system chooses, with keys.
    #[must_use]
    pub fn secured(self) -> Setup {
        self.listen("net:127.0.0.1:0~shs")
    }

    /// Also listens at an address.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Setup {
        let _ = write!(self.listen, ", {address:?}");
        self
    }

    /// Makes the server's key file before the server runs; returns its public key.
    ///
    /// # Panics
    ///
    /// When the file cannot be made.
    #[must_use]
    pub fn key_in(&self, folder: &Folder) -> Key {
        let file = folder.path().join(format!("{}.key", self.name));
        SecretKey::read_or_make(&file).expect("a key file can be made").0.public()
    }

    /// Adds a line to `[server]`.
    #[must_use]
    pub fn server(mut self, line: &str) -> Setup {
        let _ = writeln!(self.server, "{line}");
        self
    }

    /// Dials a peer again after a pause between these, in milliseconds.
    #[must_use]
    pub fn quick_redials(self, shortest: u64, longest: u64) -> Setup {
        Setup { redial_ms: (shortest, longest), ..self }
    }

    /// Ends unused links after this time.
    #[must_use]
    pub fn nothing_in_common_ms(mut self, after: u64) -> Setup {
        self.nothing_in_common_ms = after;
        self
    }

    /// Adds a line to `[limits]`; before any peer and plugin.
    #[must_use]
    pub fn limit(mut self, line: &str) -> Setup {
        let _ = writeln!(self.tables, "{line}");
        self
    }

    /// Dials the server of this name in the same folder.
    #[must_use]
    pub fn peer(self, name: &str) -> Setup {
        self.peer_at(&format!("unix:{name}.sock~noauth"))
    }

    /// Dials an address.
    #[must_use]
    pub fn peer_at(mut self, address: &str) -> Setup {
        let _ = writeln!(self.tables, "[[peer]]\naddress = {address:?}");
        self
    }

    /// Lists the key of a server that dials us.
    #[must_use]
    pub fn peer_key(mut self, key: Key) -> Setup {
        let _ = writeln!(self.tables, "[[peer]]\nkey = \"{key}\"");
        self
    }

    /// Dials the server of a key over TCP.
    #[must_use]
    pub fn peer_with(mut self, key: Key, at: SocketAddr) -> Setup {
        let _ = writeln!(self.tables, "[[peer]]\nkey = \"{key}\"\naddress = \"net:{at}\"");
        self
    }

    /// Keeps the link to the peer that was added last, even if no plugins use it.
    #[must_use]
    pub fn keep(mut self) -> Setup {
        self.tables.push_str("keep = true\n");
        self
    }

    /// Lists a host by its key.
    #[must_use]
    pub fn host_key(mut self, key: Key) -> Setup {
        let _ = writeln!(self.tables, "[[peer]]\nkey = \"{key}\"\nrole = \"host\"");
        self
    }

    /// Adds a line to the table that was added last.
    #[must_use]
    pub fn more(mut self, line: &str) -> Setup {
        let _ = writeln!(self.tables, "{line}");
        self
    }

    /// Loads a plugin that every server may see. `lines` are appended to its table, and may end
    /// with `[plugin.config]`.
    #[must_use]
    pub fn plugin(self, file: &Path, lines: &str) -> Setup {
        self.plugin_for("\"peers\"", file, lines)
    }

    /// Loads a plugin that only servers of this key may see.
    #[must_use]
    pub fn plugin_for_key(self, key: Key, file: &Path, lines: &str) -> Setup {
        self.plugin_for(&format!("[\"{key}\"]"), file, lines)
    }

    fn plugin_for(mut self, expose: &str, file: &Path, lines: &str) -> Setup {
        let file = file.display().to_string();
        let _ = writeln!(self.tables, "[[plugin]]\npath = {file:?}\nexpose = {expose}\n{lines}");
        self
    }

    /// The server's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What its environment says beside ours.
    pub(super) fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        self.variables.clone()
    }

    /// Its stdout, when that is not `/dev/null`.
    pub(super) fn own_stdout(&self) -> Option<Arc<OwnedFd>> {
        self.stdout.clone()
    }

    /// Whether it runs as a user who is not root.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The program that runs it, when that is not today's.
    pub(super) fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// The command that runs it.
    pub(super) fn command(&self) -> &'static str {
        if self.home.is_some() { "host" } else { "run" }
    }

    /// The whole file.
    pub(super) fn text(&self) -> String {
        let Setup { name, listen, home, server, nothing_in_common_ms, tables, .. } = self;
        let (kind, place) = match home {
            Some(home) => ("host", format!("server = {home:?}")),
            None => ("server", format!("listen = [{listen}]")),
        };
        let head = format!("[{kind}]\nname = {name:?}\nkey = \"{name}.key\"\n{place}");
        let (shortest, longest) = self.redial_ms;
        let limits = format!("[limits]\nredial-ms = {shortest}\nredial-max-ms = {longest}");
        let useless = format!("nothing-in-common-ms = {nothing_in_common_ms}");
        format!("{head}\n{server}\n{limits}\n{useless}\n{tables}")
    }
}
