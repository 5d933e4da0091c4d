//! The process of a plugin, and what it starts, is nothing to its server but the host of that
//! plugin: no other host, no server and not the command line.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::fmt::Write;
use std::path::Path;
use trunkline_core::bymux::{Packet, StreamId};
use trunkline_core::control::{Hello, Message, Role};
use trunkline_core::key::Key;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{
    Chan, Peer, PeerEvent, Server, Setup, Socket, Status, hello, wait_until,
};

/// What the log and the process are told.
const REASON: &str = "belongs to the host of harms";

/// What is said of processes of which only that is known.
const DESCENDS: &str = "was started by a server's plugin, and may be no peer of it";

/// The program that runs another one as a daemon.
const DAEMON: &str = env!("CARGO_BIN_EXE_daemon");

const PROCESS: &str = "placement = \"process\"";

/// The first bytes of a peer of this role, in hexadecimal.
fn first_bytes(role: Role) -> String {
    let frame = Message::Hello(Hello { role, ..hello(Key([7; 32])) }).frame();
    let stream = StreamId::CONTROL;
    let header = Packet::Write { stream, length: frame.len() as u64 }.encode();
    [header.as_bytes(), &frame].concat().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn a_process_of_a_plugin_is_no_other_peer_of_its_server() {
    let folder = Folder::new();
    let harms = fixtures::plugin(Api::Ours, "harms");
    let setup = Setup::new("alpha").plugin(&harms, "placement = \"process\"");
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", |status| status.is("harms", "running"));
    let socket = alpha.socket();
    let mut peer = Peer::link(Socket::unix(&alpha), 1);
    let chan = peer.open("harms");
    peer.wait_for("the answer", |event| matches!(event, PeerEvent::Answer(..)));
    for role in [Role::Server, Role::Host, Role::Command] {
        let mark = alpha.log().mark();
        let line = format!("say {} {}", socket.display(), first_bytes(role));
        let answer = peer.ask(chan, &line);
        assert!(answer.contains("not-allowed") && answer.contains(REASON), "{role:?}: {answer}");
        let line = alpha.log().wait_for(mark, " ended: ");
        assert!(line.contains("not-allowed") && line.contains(REASON), "{line}");
        let lines = alpha.log().since(mark);
        let about = lines.iter().filter(|line| line.contains(REASON));
        let (audited, said): (Vec<_>, Vec<_>) = about.partition(|line| line.contains(" audit] "));
        assert_eq!((audited.len(), said.len()), (1, 1), "it is said once: {lines:?}");
    }
    // So is what it starts.
    let (program, socket) = (trunkline(), socket.display());
    let asks = format!("run {} status --server unix:{socket}", program.display());
    let answer = peer.ask(chan, &asks);
    assert!(answer.contains(REASON), "{answer}");

    let status = alpha.status();
    assert!(status.is("harms", "running"), "it goes on, and others are served: {status:#?}");
}

fn runs(status: &Status) -> bool {
    status.plugins.iter().all(|plugin| plugin.state == "running")
}

/// A channel to the plugin that does what it is asked.
fn to_harms(server: &Server) -> (Peer, Chan) {
    let mut peer = Peer::link(Socket::unix(server), 1);
    let chan = peer.open("harms");
    peer.wait_for("the answer", |event| matches!(event, PeerEvent::Answer(..)));
    (peer, chan)
}

/// Has the plugin's process run the program as a daemon; returns what that says until it says this.
fn says_as_daemon(plugin: &mut (Peer, Chan), folder: &Folder, program: &str, text: &str) -> String {
    let output = folder.path().join("said");
    let _ = std::fs::remove_file(&output);
    let line = format!("leave {DAEMON} {} {} {program}", output.display(), trunkline().display());
    let (peer, chan) = plugin;
    let first = peer.ask(*chan, &line);
    assert!(first.parse::<u32>().is_ok(), "it does not start: {first}");
    let said = || std::fs::read_to_string(&output).unwrap_or_default();
    wait_until(&format!("{program} says {text:?}"), || said().contains(text));
    said()
}

/// Ends what a plugin has left.
fn end_daemons(server: &Server) {
    let host = server.process().children().into_iter().min_by_key(|child| child.0);
    for child in server.process().children() {
        if Some(child) != host {
            child.signal(Signal::KILL);
        }
    }
}

#[test]
fn a_daemon_of_a_plugin_is_no_peer_of_its_server() {
    let folder = Folder::new();
    let harms = fixtures::plugin(Api::Ours, "harms");
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&harms, PROCESS));
    alpha.wait_until("it runs", runs);
    let mut plugin_of_alpha = to_harms(&alpha);
    let (socket, config) = (alpha.socket(), folder.path().join("alpha.toml"));
    let (socket, config) = (socket.display(), config.display());

    let status = format!("status --server unix:{socket}");
    let stop = format!("stop --config {config}");
    let echo = plugin("echo");
    let host = format!("host --server unix:{socket} --plugin {}", echo.display());
    let server = "[server]\nname = \"beta\"\nkey = \"beta.key\"\nlisten = []\n";
    let peer = format!("[[peer]]\naddress = \"unix:{socket}~noauth\"\nkeep = true\n");
    let file = folder.write("beta.toml", format!("{server}{peer}"));
    let run = format!("run --config {}", file.display());
    for program in [status, stop, host, run] {
        let mark = alpha.log().mark();
        let said = says_as_daemon(&mut plugin_of_alpha, &folder, &program, "not-allowed");
        assert!(said.contains(DESCENDS), "{program}: {said}");
        let line = alpha.log().wait_for(mark, DESCENDS);
        assert!(line.contains("not-allowed"), "{line}");
        end_daemons(&alpha);
    }
    let now = alpha.status();
    assert!(now.is("harms", "running") && now.plugins.len() == 1, "{now:#?}");
}

#[test]
fn a_plugin_gives_no_commands_to_the_host_of_another_one() {
    let folder = Folder::new();
    let harms = fixtures::plugin(Api::Ours, "harms");
    for placement in [PROCESS, "placement = \"thread\""] {
        let setup = Setup::new("alpha").plugin(&harms, PROCESS);
        let alpha = Server::start(&folder, &setup.plugin(&plugin("echo"), placement));
        alpha.wait_until("both run", |status| runs(status) && status.plugins.len() == 2);
        let socket = socket_of("echo", &folder.path().join("alpha.state"));
        let (mut peer, chan) = to_harms(&alpha);
        let asks = format!("run {} status --server unix:{socket}", trunkline().display());
        let answer = peer.ask(chan, &asks);
        assert!(answer.contains(DESCENDS), "{placement}: {answer}");
        let answer = peer.ask(chan, &format!("say {socket} {}", first_bytes(Role::Command)));
        assert!(answer.contains("not-allowed") && answer.contains(DESCENDS), "{answer}");

        let status = std::process::Command::new(trunkline())
            .args(["status", "--server", &format!("unix:{socket}")])
            .output();
        let status = status.expect("it can be started");
        assert!(status.status.success(), "others are served: {status:?}");
    }
}

/// The socket of a host for its own status.
fn socket_of(plugin: &str, state: &Path) -> String {
    let entries = std::fs::read_dir(state).expect("the state folder is there");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    let is_its = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(&format!("{plugin}.")) && name.ends_with(".sock")
    };
    paths.find(is_its).expect("it has a socket").display().to_string()
}

#[test]
fn what_plugins_leave_does_not_stay_as_zombies_of_the_server() {
    let folder = Folder::new();
    let harms = fixtures::plugin(Api::Ours, "harms");
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&harms, PROCESS));
    alpha.wait_until("it runs", runs);
    let mut plugin = to_harms(&alpha);
    for _ in 0..3 {
        says_as_daemon(&mut plugin, &folder, "--version", "trunkline");
    }
    let host = plugin.0.ask(plugin.1, "pid");
    let only_host = || {
        let children = alpha.process().children();
        children.len() == 1 && children[0].0.to_string() == host
    };
    let after = wait_until("the server has waited for them", only_host);
    println!("the last daemon was gone after {after:?}");
}

#[test]
fn a_server_without_processes_serves_what_its_inline_plugins_start() {
    let folder = Folder::new();
    let harms = fixtures::plugin(Api::Ours, "harms");
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&harms, ""));
    let (mut peer, chan) = to_harms(&alpha);
    let asks = format!(
        "leave {} stop --config {}/alpha.toml",
        trunkline().display(),
        folder.path().display()
    );
    peer.ask(chan, &asks);
    alpha.log().wait_for(0, "stopping: requested by the command line");
}
