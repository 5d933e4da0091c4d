//! A hostile plugin attacks its server, other plugins, the user's files and processes, and the
//! network. In a process that is not confined most of that succeeds, so the attacks are real ones;
//! confined, it fails, and harms nothing.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use trunkline_core::bymux::{Packet, StreamId};
use trunkline_core::control::{Hello, Message, Role};
use trunkline_core::key::Key;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, Peer, PeerEvent, Process, Server, Setup, Socket, hello};

/// What a plugin that is not confined must be able to do at least.
const SUCCEED_AT_LEAST: usize = 15;

/// What its surroundings are to keep.
const PRECIOUS: &str = "precious";

/// The longest time that a plugin beside it may need for an answer, on a machine under load.
const INNOCENT_PATIENCE: Duration = Duration::from_secs(5);

/// A process of the test, which is killed at the end.
struct Victim(Child);

impl Victim {
    fn new() -> Victim {
        Victim(Command::new("sleep").arg("600").spawn().expect("it starts"))
    }

    fn process(&self) -> Process {
        Process(self.0.id())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server with the hostile plugin and an innocent one, and all that is attacked. It is made for
/// one attempt after the other: what one of them destroys, no other one needs.
struct Surroundings {
    outside: PathBuf,
    alpha: Server,
    traced: Victim,
    stopped: Victim,
    killed: Victim,
    tcp: TcpListener,
    udp: UdpSocket,
    _unix: UnixListener,
    _named: UnixListener,
    name: String,
    folder: Folder,
}

impl Surroundings {
    /// `lines` end the table of the hostile plugin.
    fn new(lines: &str) -> Surroundings {
        let folder = Folder::new();
        let [outside, plugins] = ["outside", "plugins"].map(|name| folder.path().join(name));
        for made in [&outside, &plugins, &outside.join("mount")] {
            fs::create_dir(made).expect("a new folder");
        }
        for name in ["truncated", "removed", "renamed", "mode"] {
            fs::write(outside.join(name), PRECIOUS).expect("a new file");
        }
        let file = plugins.join("libhostile.so");
        fs::copy(fixtures::plugin(Api::Ours, "hostile"), &file).expect("a copy");
        let setup = Setup::new("alpha")
            .plugin(&plugin("echo"), "placement = \"process\"")
            .plugin(&file, &format!("placement = \"process\"\n{lines}"));
        let alpha = Server::start(&folder, &setup);
        let both =
            |name| move |status: &trunkline_tests::harness::Status| status.is(name, "running");
        alpha.wait_until("the innocent plugin runs", both("echo"));
        alpha.wait_until("the hostile plugin runs", both("hostile"));
        let echo = folder.path().join("alpha.state/data/echo");
        fs::create_dir_all(&echo).expect("the state folder is ours");
        fs::write(echo.join("secret"), PRECIOUS).expect("a new file");

        let name = format!("trunkline-test-{}", std::process::id());
        let name = format!("{name}-{}", folder.path().display().to_string().replace('/', "-"));
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        tcp.set_nonblocking(true).expect("it can be");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        udp.set_nonblocking(true).expect("it can be");
        let unix = UnixListener::bind(outside.join("service.sock")).expect("a new socket");
        Surroundings {
            alpha,
            traced: Victim::new(),
            stopped: Victim::new(),
            killed: Victim::new(),
            tcp,
            udp,
            _unix: unix,
            _named: UnixListener::bind_addr(&address).expect("the name is new"),
            name,
            outside,
            folder,
        }
    }

    fn attempts(&self) -> Vec<String> {
        let mut all = self.on_files();
        all.extend(self.on_processes());
        all.extend(self.on_sockets());
        all.extend(on_the_kernel().map(str::to_owned));
        all.push(format!("mount {}", self.outside.join("mount").display()));
        all
    }

    fn on_files(&self) -> Vec<String> {
        let ours = |name: &str| self.folder.path().join(name).display().to_string();
        let outside = |name: &str| self.outside.join(name).display().to_string();
        vec![
            format!("read-file {}", ours("alpha.key")),
            format!("read-file {}", ours("alpha.toml")),
            format!("read-file {}", ours("alpha.state/data/echo/secret")),
            format!("read-file {}", outside("mode")),
            format!("list-folder {}", outside("")),
            format!("write-file {}", ours("alpha.state/hostile")),
            format!("write-file {}", outside("new")),
            format!("append-to-file {}", ours("plugins/libhostile.so")),
            format!("truncate-file {}", outside("truncated")),
            format!("remove-file {}", outside("removed")),
            format!("rename-file {} {}", outside("renamed"), outside("other")),
            format!("change-mode {}", outside("mode")),
            format!("make-link {} {}", ours("alpha.key"), outside("link")),
            format!("fill-disk {}", outside("full")),
        ]
    }

    fn on_processes(&self) -> Vec<String> {
        let [traced, stopped, killed] =
            [&self.traced, &self.stopped, &self.killed].map(|victim| victim.process().0);
        let server = self.alpha.process().0;
        let maps = fs::read_to_string(format!("/proc/{traced}/maps")).expect("it is ours");
        let address = maps.split('-').next().expect("an address");
        vec![
            format!("read-environment {server}"),
            format!("list-descriptors {server}"),
            format!("open-memory {server}"),
            format!("copy-descriptor {server}"),
            format!("signal {server} {}", Signal::CONT.as_raw()),
            format!("read-environment {traced}"),
            format!("list-descriptors {traced}"),
            format!("open-memory {traced}"),
            format!("read-memory {traced} {address}"),
            format!("copy-descriptor {traced}"),
            format!("trace {traced}"),
            format!("set-limit {traced}"),
            format!("set-priority {traced}"),
            format!("signal {stopped} {}", Signal::STOP.as_raw()),
            format!("signal {killed} {}", Signal::KILL.as_raw()),
            "daemonize".into(),
        ]
    }

    fn on_sockets(&self) -> Vec<String> {
        let socket = self.alpha.socket();
        let tcp = self.tcp.local_addr().expect("it is bound");
        let udp = self.udp.local_addr().expect("it is bound");
        let mut all: Vec<String> = [Role::Server, Role::Host, Role::Command]
            .map(|role| format!("say {} {}", socket.display(), first_bytes(role)))
            .into();
        all.extend([
            format!("connect-tcp {tcp}"),
            "listen-tcp".into(),
            format!("send-udp {udp}"),
            format!("connect-unix {}", self.outside.join("service.sock").display()),
            format!("connect-abstract {}", self.name),
        ]);
        all
    }
}

fn on_the_kernel() -> impl Iterator<Item = &'static str> {
    [
        "run-program /bin/true",
        "allocate",
        "open-files",
        "netlink-socket",
        "packet-socket",
        "raw-socket",
        "new-user-namespace",
        "change-user",
        "bpf",
        "perf-events",
        "keyring",
        "io-uring",
        "raise-limits",
        "flood-the-log",
    ]
    .into_iter()
}

/// The first bytes of a peer of this role, in hexadecimal. As a host it has the name of another
/// one.
fn first_bytes(role: Role) -> String {
    let name = if role == Role::Host { "echo" } else { "beta" };
    let hello = Hello { role, name: name.into(), ..hello(Key([7; 32])) };
    let frame = Message::Hello(hello).frame();
    let stream = StreamId::CONTROL;
    let header = Packet::Write { stream, length: frame.len() as u64 }.encode();
    [header.as_bytes(), &frame].concat().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A channel to the hostile plugin.
fn to_hostile(alpha: &Server) -> (Peer, Chan) {
    let mut peer = Peer::link(Socket::unix(alpha), 1);
    let chan = peer.open("hostile");
    peer.wait_for("the answer", |event| matches!(event, PeerEvent::Answer(..)));
    (peer, chan)
}

/// Makes all attempts, while an innocent plugin is asked again and again. Returns the answers.
fn attack(surroundings: &Surroundings) -> BTreeMap<String, String> {
    let over = AtomicBool::new(false);
    let mut answers = BTreeMap::new();
    std::thread::scope(|scope| {
        let innocent = scope.spawn(|| ask_the_innocent(&surroundings.alpha, &over));
        let (mut peer, chan) = to_hostile(&surroundings.alpha);
        for attempt in surroundings.attempts() {
            let answer = peer.ask(chan, &attempt);
            println!("{}: {}", shortened(&attempt), shortened(&answer));
            answers.insert(attempt, answer);
        }
        over.store(true, Ordering::Relaxed);
        let (asked, longest) = innocent.join().expect("the innocent plugin answers");
        println!("beside it, {asked} channels were echoed, each within {longest:?}");
        // How often depends on the machine.
        assert!(asked >= 5, "the innocent plugin was asked {asked} times only");
        assert!(longest < INNOCENT_PATIENCE, "the innocent plugin took {longest:?}");
    });
    answers
}

fn shortened(text: &str) -> String {
    text.chars().take(110).collect()
}

/// Returns how often it was asked, and how long it took at most.
fn ask_the_innocent(alpha: &Server, over: &AtomicBool) -> (usize, Duration) {
    let mut peer = Peer::link(Socket::unix(alpha), 2);
    let (mut asked, mut longest) = (0, Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        peer.echo("echo", b"is anybody there?");
        longest = longest.max(begun.elapsed());
        asked += 1;
        std::thread::park_timeout(Duration::from_millis(5));
    }
    (asked, longest)
}

/// The daemon that the hostile plugin made, if it could.
fn daemon(answers: &BTreeMap<String, String>) -> Option<Process> {
    answers.get("daemonize")?.strip_prefix("done ")?.parse().ok().map(Process)
}

#[test]
fn a_plugin_that_is_not_confined_succeeds_with_most_attacks() {
    let surroundings = Surroundings::new("");
    let answers = attack(&surroundings);
    let daemon = daemon(&answers).expect("it can fork twice");
    assert!(daemon.state().is_some_and(|state| state != 'Z'), "the daemon outlives its parents");
    daemon.signal(Signal::KILL);
    let done = answers.values().filter(|answer| answer.starts_with("done ")).count();
    println!("{done} of {} attempts succeed", answers.len());
    assert!(answers.len() >= 20, "only {} attempts are made", answers.len());
    assert!(done >= SUCCEED_AT_LEAST, "only {done} attempts succeed: {answers:#?}");
    // These attempts are real.
    let key = fs::read_to_string(surroundings.folder.path().join("alpha.key"));
    let key = key.expect("the key file").trim_end().to_owned();
    let told = answers.iter().find(|(attempt, _)| attempt.ends_with("alpha.key"));
    assert!(told.is_some_and(|(_, answer)| answer.contains(&key)), "the key is not told");
    assert_eq!(surroundings.stopped.process().state(), Some('T'));
    assert_eq!(surroundings.killed.process().state(), Some('Z'));
    assert!(surroundings.tcp.accept().is_ok(), "a connection has come");
    // Its own server knows its descendants also without confinement.
    for role in [Role::Server, Role::Host, Role::Command] {
        let said = answers.iter().find(|(attempt, _)| attempt.ends_with(&first_bytes(role)));
        let (_, answer) = said.expect("it was tried");
        assert!(answer.contains("not-allowed"), "{role:?}: {answer}");
    }
}

/// The table of a plugin that may write in its data folder, and nothing else.
const CONFINED: &str = "[plugin.confine]\nwrite = [\"data\"]\nnetwork = \"none\"\n\
                        memory-mib = 256\nprocesses = 1\nopen-files = 256";

/// Attempts that do not fail, because what they do is bounded by other means.
const BOUNDED: [&str; 1] = ["flood-the-log"];

/// The files that the attacks concern, with their modes and what is in them.
fn files(surroundings: &Surroundings) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let root = surroundings.folder.path();
    let mut folders: Vec<PathBuf> = vec![root.into()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("it is ours") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            let mode = metadata.permissions().mode();
            match (metadata.is_dir(), metadata.is_file()) {
                (true, _) => folders.push(path),
                (_, true) => {
                    all.insert(path.clone(), (mode, fs::read(&path).expect("it is ours")));
                }
                // A socket, for example.
                _ => {
                    all.insert(path, (mode, Vec::new()));
                }
            }
        }
    }
    all
}

/// The first words of the attempts that succeeded.
fn succeeded(answers: &BTreeMap<String, String>) -> Vec<&str> {
    let done = answers.iter().filter(|(_, answer)| !answer.starts_with("failed "));
    done.filter_map(|(attempt, _)| attempt.split(' ').next()).collect()
}

/// The plugins and links that a status shows, without what changes by itself.
fn shown(alpha: &Server) -> Vec<String> {
    let status = alpha.status();
    let plugins = status.plugins.iter().map(|plugin| format!("{} {}", plugin.name, plugin.state));
    plugins.chain([format!("{:?}", status.server.key)]).collect()
}

#[test]
fn a_confined_plugin_fails_with_each_attack_and_harms_nothing() {
    let surroundings = Surroundings::new(CONFINED);
    let alpha = &surroundings.alpha;
    let (before, status) = (files(&surroundings), shown(alpha));
    let server = alpha.process();
    let answers = attack(&surroundings);
    assert_eq!(succeeded(&answers), BOUNDED, "{answers:#?}");
    let line = alpha.log().wait_for(0, "dropped");
    assert!(line.contains("hostile"), "the flood is counted: {line}");

    assert_eq!(files(&surroundings), before, "a file has changed");
    for victim in [&surroundings.traced, &surroundings.stopped, &surroundings.killed] {
        assert_eq!(victim.process().state(), Some('S'), "a process of others was harmed");
    }
    let blocked = std::io::ErrorKind::WouldBlock;
    assert_eq!(surroundings.tcp.accept().map(drop).map_err(|e| e.kind()), Err(blocked));
    assert_eq!(surroundings.udp.recv(&mut [0]).map(drop).map_err(|e| e.kind()), Err(blocked));
    assert_eq!(alpha.process(), server);
    assert_eq!(shown(alpha), status, "the server goes on as before");
}

#[test]
fn a_plugin_that_may_use_the_network_and_fork_does_nothing_else() {
    let lines = "[plugin.confine]\nnetwork = \"any\"\nprocesses = 4\nmemory-mib = 256\n\
                 best-effort = true";
    let surroundings = Surroundings::new(lines);
    let alpha = &surroundings.alpha;
    let (before, status) = (files(&surroundings), shown(alpha));
    let answers = attack(&surroundings);
    // Without `open-files` it has the limit of its server.
    let allowed =
        ["connect-tcp", "daemonize", "flood-the-log", "listen-tcp", "open-files", "send-udp"];
    assert_eq!(succeeded(&answers), allowed, "{answers:#?}");
    let daemon = daemon(&answers).expect("a number");
    daemon.signal(Signal::KILL);
    assert_eq!(files(&surroundings), before, "a file has changed");
    assert_eq!(shown(alpha), status, "the server goes on as before");
}
