//! The servers: alpha with drivers and sinks of each kind, and three betas to which it has links.

use std::path::Path;
use std::time::{Duration, Instant};

use trunkline_tests::demo::Server;
use trunkline_tests::folder::Folder;

use super::{Driver, From, ROUTES};
use crate::cores::Layout;
use crate::processes;
use crate::programs::Programs;

/// How long it may take until the directory has all plugins.
const PATIENCE: Duration = Duration::from_secs(30);

/// All servers, and the drivers of alpha. Dropping it ends them.
pub(crate) struct Servers {
    pub(super) inline: Driver,
    pub(super) process: Driver,
    processes: Vec<u32>,
    servers: Vec<Server>,
    /// The folder of all files. It is dropped last.
    pub(crate) folder: Folder,
}

impl Servers {
    /// Starts all of them. `tables` are further plugins of alpha.
    pub(crate) fn start(programs: &Programs) -> Result<Servers, String> {
        let folder = Folder::new();
        let start = |name: &'static str, text: String| {
            let file = folder.write(&format!("{name}.toml"), text);
            Server::start(&programs.trunkline, name, file)
        };
        let listens = [
            ("beta-unix", "unix:beta-unix.sock~noauth", ""),
            ("beta-tcp", "net:127.0.0.1:0~noauth", "insecure-loopback = true\n"),
            ("beta-shs", "net:127.0.0.1:0~shs", ""),
        ];
        let (mut servers, mut peers) = (Vec::new(), String::new());
        for (name, listen, more) in listens {
            let more = format!("accept = \"anyone\"\n{more}");
            let text = beta(programs, name, listen, &more);
            let server = start(name, text)?;
            let address = match listen.starts_with("unix") {
                true => listen.to_owned(),
                false => server.net_address()?,
            };
            peers += &format!("[[peer]]\naddress = {address:?}\nkeep = true\n");
            servers.push(server);
        }
        let text = alpha(programs, folder.path(), &peers);
        let alpha = start("alpha", text)?;
        for (beta, ..) in listens {
            alpha.wait_for_link(beta)?;
        }
        let [inline, process] =
            ["inline", "process"].map(|name| control(folder.path(), name)).map(wait_for_driver);
        let (inline, process) = (inline?, process?);
        let deadline = Instant::now() + PATIENCE;
        // Five sinks and two drivers of alpha, and a sink of each beta.
        while inline.directory()?.min(process.directory()?) < 6 + 2 + 3 {
            if Instant::now() > deadline {
                return Err("alpha does not know all plugins in time".to_owned());
            }
            std::thread::yield_now();
        }
        servers.push(alpha);
        let family = |server: &Server| processes::family(server.id());
        let processes = servers.iter().flat_map(family).collect();
        let servers = Servers { inline, process, processes, servers, folder };
        servers.check()?;
        Ok(servers)
    }

    /// All servers and hosts.
    pub(crate) fn processes(&self) -> &[u32] {
        &self.processes
    }

    /// The driver in alpha's process.
    pub(crate) fn driver_inline(&self) -> &Driver {
        &self.inline
    }

    /// Assigns all of them to cores: this process, the drivers and alpha to the near one, all other
    /// sinks to the far one.
    pub(crate) fn lay_out(&self, layout: &Layout) -> Result<(), String> {
        let near = [std::process::id(), self.id("alpha")?, self.process.process()?];
        for process in self.processes.iter().chain(&near[..1]) {
            match near.contains(process) {
                true => layout.near(*process)?,
                false => layout.far(*process)?,
            }
        }
        // A plugin with a thread of its own is a host with this name.
        layout.far_threads(near[1], "host-")
    }

    /// The process of a server.
    pub(crate) fn id(&self, name: &str) -> Result<u32, String> {
        let server = self.servers.iter().find(|server| server.name() == name);
        server.map(Server::id).ok_or_else(|| format!("there is no server {name}"))
    }

    /// Alpha.
    fn alpha(&self) -> Result<&Server, String> {
        self.servers.last().ok_or_else(|| "no server runs".to_owned())
    }

    /// Checks that each route is what its name says.
    fn check(&self) -> Result<(), String> {
        for route in ROUTES {
            let (Some(expected), From::Process) = (route.expected, route.from) else { continue };
            self.process.hold(&route.traffic(), 1)?;
            let found = self.alpha()?.explained("drive-process", route.to)?;
            self.process.release()?;
            if found != expected {
                return Err(format!(
                    "{} goes over {found}, and should over {expected}",
                    route.name
                ));
            }
        }
        Ok(())
    }

    /// Ends all servers in order.
    pub(crate) fn stop(self) -> Result<(), String> {
        let Servers { servers, folder, .. } = self;
        servers.into_iter().rev().try_for_each(Server::stop)?;
        drop(folder);
        Ok(())
    }
}

/// The table of a measuring plugin, from further lines of the table and its configuration.
pub(crate) fn plugin(programs: &Programs, name: &str, lines: &str) -> String {
    let path = programs.measure.display().to_string();
    format!("[[plugin]]\npath = {path:?}\nname = {name:?}\nexpose = \"peers\"\n{lines}\n")
}

/// Limits that no measurement reaches.
pub(crate) fn limits() -> &'static str {
    "[limits]\nstreams-per-link = 131072\nchannels-per-plugin = 1000000\n\
     plugins-per-peer = 1000000\nlinks = 10000\nhalf-open = 2000\n"
}

fn beta(programs: &Programs, name: &str, listen: &str, more: &str) -> String {
    let server = format!("[server]\nname = {name:?}\nkey = \"{name}.key\"\n");
    let listen = format!("listen = [{listen:?}]\n{more}");
    format!("{server}{listen}{}{}", limits(), plugin(programs, "sink", ""))
}

fn alpha(programs: &Programs, folder: &Path, peers: &str) -> String {
    let plugin = |name: &str, lines: &str| plugin(programs, name, lines);
    let driver = |name: &str, lines: &str| {
        let path = control(folder, name).display().to_string();
        plugin(&format!("drive-{name}"), &format!("{lines}[plugin.config]\ncontrol = {path:?}"))
    };
    [
        "[server]\nname = \"alpha\"\nkey = \"alpha.key\"\nlisten = [\"unix:alpha.sock~noauth\"]\n\
         insecure-loopback = true\n",
        limits(),
        peers,
        &driver("inline", ""),
        &driver("process", "placement = \"process\"\n"),
        &plugin("sink", ""),
        &plugin("sink-thread", "placement = \"thread\""),
        &plugin("sink-process", "placement = \"process\""),
        &plugin("sink-unix", "placement = \"process\"\nadvertise = [\"unix\"]"),
        &plugin("sink-tcp", "placement = \"process\"\nadvertise = [\"net:127.0.0.1:0\"]"),
        &plugin("sink-relay", "placement = \"process\""),
    ]
    .concat()
}

/// The control socket of a driver.
fn control(folder: &Path, driver: &str) -> std::path::PathBuf {
    folder.join(format!("drive-{driver}.sock"))
}

/// A driver in a process may start listening after its server is ready.
pub(crate) fn wait_for_driver(socket: std::path::PathBuf) -> Result<Driver, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Driver::connect(&socket) {
            Err(_) if Instant::now() < deadline => std::thread::yield_now(),
            connected => return connected,
        }
    }
}
