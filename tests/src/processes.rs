//! Servers and hosts as bare brokers, connected by pipes without delay. A test drives them in time
//! of its own and dials for them, or does not. It knows no sockets.

// A test whose processes do not work must not go on.
#![allow(clippy::expect_used)]

use std::net::SocketAddr;
use std::time::Duration;
use trunkline_core::broker::{
    Accept, Broker, ConnId, Direct, DirectDial, DirectId, Effect, Expose, Grants, Handle, Opened,
    Opening, PeerConfig, PeerId, PeerProcess, PluginConfig, PluginId, Rights, Security, Settings,
    Step, Target, Told,
};
use trunkline_core::control::Role;
use trunkline_core::key::{Key, NETWORK};
use trunkline_core::limits::Limits;
use trunkline_core::reason::Reason;
use trunkline_shs::{Ephemeral, Identity};

/// Bytes that one read of a connection brings, as in a server.
const READ: usize = 64 * 1024;

/// How the plugin of a process answers who opens a channel to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// At once.
    Accepts,
    /// With a reason of its own, `not-today`.
    Refuses,
    /// Not by itself.
    Waits,
}

/// One process, with one plugin.
#[derive(Debug)]
pub struct Process {
    /// What decides.
    pub broker: Broker,
    /// Its plugin.
    pub plugin: PluginId,
    /// What that does when it is asked.
    pub answers: Answers,
    /// The channels that were opened to it.
    pub asked: Vec<Handle>,
    /// The channels of its own that were accepted.
    pub opened: Vec<Handle>,
    /// Why its channels ended.
    pub ended: Vec<Option<Reason>>,
    /// What it was sent.
    pub bytes: Vec<u8>,
    /// What the process shall dial for channels.
    pub dials: Vec<DirectDial>,
    /// What it shall dial no more.
    pub dropped: Vec<DirectId>,
    hanging_up: Vec<ConnId>,
}

/// Processes by their numbers, and the time, which is the same for all.
#[derive(Debug, Default)]
pub struct Processes {
    /// All of them.
    pub all: Vec<Process>,
    pipes: Vec<[(usize, ConnId); 2]>,
    now: Duration,
}

/// One end of a pipe.
#[derive(Clone, Copy, Debug)]
pub struct PipeEnd {
    /// The process.
    pub process: usize,
    /// How it came by it.
    pub how: Opened,
    /// The address at which it sees the other end.
    pub sees: Option<SocketAddr>,
}

impl Process {
    fn new(number: u8, role: Role, machine: u8, plugin: &str) -> Process {
        let settings = Settings {
            identity: Identity::from_seed(&[number; 32]),
            network: NETWORK,
            accept: Accept::Anyone,
            name: format!("process-{number}"),
            role,
            machine: Key([machine; 32]),
            software: String::new(),
            limits: Limits::default(),
            secret: [number; 32],
            seed: 1,
        };
        let mut broker = Broker::new(settings);
        let config = PluginConfig {
            expose: Expose::Peers,
            ..PluginConfig::new(plugin.parse().expect("a name"), 1)
        };
        let plugin = broker.add_plugin(config).expect("a new name");
        broker.plugin_started(plugin);
        Process {
            broker,
            plugin,
            answers: Answers::Accepts,
            asked: Vec::new(),
            opened: Vec::new(),
            ended: Vec::new(),
            bytes: Vec::new(),
            dials: Vec::new(),
            dropped: Vec::new(),
            hanging_up: Vec::new(),
        }
    }

    /// Its plugin opens a channel to another one.
    ///
    /// # Panics
    ///
    /// When it is refused at once.
    pub fn open(&mut self, name: &str) -> Handle {
        let target = Target { name: name.parse().expect("a name"), least: 1, server: None };
        self.broker.open(self.plugin, &target).expect("it is there")
    }

    /// What a connection brought.
    pub fn receive(&mut self, id: ConnId, mut bytes: Vec<u8>) {
        let mut plain = Vec::new();
        let opened = self.broker.unseal(id, &mut bytes, &mut plain);
        for read in opened.chunks(READ) {
            self.feed(id, read);
            loop {
                let unread = self.broker.take_unread();
                if unread.is_empty() {
                    break;
                }
                self.broker.tick(Duration::ZERO);
                unread.iter().for_each(|(id, bytes)| self.feed(*id, bytes));
            }
        }
    }

    fn feed(&mut self, id: ConnId, mut input: &[u8]) {
        loop {
            let step = self.broker.receive(id, &mut input);
            self.perform();
            match step {
                Step::Done => return,
                Step::More => {}
                Step::Write { channel, bytes, .. } => {
                    self.bytes.extend_from_slice(bytes);
                    self.broker.consumed(self.plugin, channel, bytes.len());
                }
            }
        }
    }

    /// Takes what a connection has to write.
    pub fn send(&mut self, id: ConnId) -> Vec<u8> {
        let bytes = self.broker.outgoing(id).concat();
        self.broker.flushed(id, bytes.len());
        bytes
    }

    /// Performs all effects, but for dials, which are kept.
    pub fn perform(&mut self) {
        while let Some(effect) = self.broker.next_effect() {
            match effect {
                Effect::Tell(_, told) => self.told(told),
                Effect::DialDirect(dial) => self.dials.push(dial),
                Effect::DropDial(id) => self.dropped.push(id),
                Effect::HangUp(id) | Effect::CutOff(id) => self.hanging_up.push(id),
                Effect::TakeAgain(id, bytes) => self.receive(id, bytes),
                Effect::HomeFound | Effect::Dial(_) => {}
                other => panic!("nobody asked for {other:?}"),
            }
        }
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Open(handle, _) => {
                self.asked.push(handle);
                let refusal = || Reason::plugin("not-today", "it is closed");
                match self.answers {
                    Answers::Accepts => self.broker.accept(self.plugin, handle),
                    Answers::Refuses => self.broker.refuse(self.plugin, handle, refusal()),
                    Answers::Waits => Ok(()),
                }
                .expect("it waits for an answer");
            }
            Told::Opened(handle) => self.opened.push(handle),
            Told::Deliver(handle) => {
                let bytes = self.broker.take_inbox(self.plugin, handle);
                self.broker.consumed(self.plugin, handle, bytes.len());
                self.bytes.extend(bytes);
            }
            Told::Ended(_, reason) => self.ended.push(reason),
            _ => {}
        }
    }

    /// Whether a connection has ended, or only waits for its last bytes to be taken.
    #[must_use]
    pub fn has_hung_up(&self, id: ConnId) -> bool {
        self.broker.is_ending(id)
    }
}

impl Processes {
    /// Adds a server, or a host, on a machine; its number.
    pub fn add(&mut self, role: Role, machine: u8, plugin: &str) -> usize {
        let number = self.all.len();
        self.all.push(Process::new(number as u8 + 1, role, machine, plugin));
        number
    }

    /// Links a host to its server, which sees it at this address.
    pub fn link(&mut self, host: usize, server: usize, seen: Option<SocketAddr>) {
        let peer = self.add_peer(host);
        let dialler = PipeEnd { process: host, how: Opened::Dialled(peer), sees: None };
        let acceptor = PipeEnd { process: server, how: Opened::Accepted, sees: seen };
        self.connect(dialler, acceptor, None);
        self.run();
    }

    /// Adds a server to those that a process dials; it is not dialled yet.
    pub fn add_peer(&mut self, process: usize) -> PeerId {
        let (key, endpoints, role) = (None, Vec::new(), Role::Server);
        let keep = trunkline_core::broker::Keep::Always;
        self.all[process].broker.add_peer(PeerConfig {
            key,
            name: None,
            endpoints,
            role,
            keep,
            rights: Rights::all(),
        })
    }

    /// Where the plugin of a host takes direct connections.
    pub fn advertise(&mut self, host: usize, direct: Direct) {
        let process = &mut self.all[host];
        process.broker.set_direct(process.plugin, direct);
        self.run();
    }

    /// Connects two processes; over a pipe with keys, when the dialler expects one. The dialler's
    /// end comes first. Nothing is sent before [`run`](Processes::run).
    pub fn connect(&mut self, a: PipeEnd, b: PipeEnd, expected: Option<Key>) -> [ConnId; 2] {
        let ends = [(a, expected), (b, None)].map(|(end, key)| {
            let PipeEnd { process, how, sees } = end;
            let ephemeral =
                Ephemeral::from_secret(&[process as u8 + 100 + self.pipes.len() as u8; 32]);
            let security = match expected {
                Some(_) => Security::Shs { expected: key, ephemeral },
                None => Security::NoAuth,
            };
            let (grants, address) = (Grants::Everything, "a pipe".into());
            let opening = Opening {
                how,
                grants,
                address,
                security,
                from: sees,
                process: PeerProcess::Foreign,
            };
            (process, self.all[process].broker.connected(opening))
        });
        self.pipes.push(ends);
        ends.map(|(_, id)| id)
    }

    /// Delivers bytes until both sides are silent.
    pub fn run(&mut self) {
        loop {
            self.all.iter_mut().for_each(Process::perform);
            for process in &mut self.all {
                process.broker.take_touched(&mut Vec::new());
            }
            let mut busy = self.hang_up();
            for [a, b] in self.pipes.clone() {
                for ((from, sends), (to, takes)) in [(a, b), (b, a)] {
                    let bytes = self.all[from].send(sends);
                    if !bytes.is_empty() {
                        busy = true;
                        self.all[to].receive(takes, bytes);
                    }
                }
            }
            if !busy {
                return;
            }
        }
    }

    /// Closes the pipes whose last bytes were taken.
    fn hang_up(&mut self) -> bool {
        let mut any = false;
        for number in 0..self.all.len() {
            let Process { broker, hanging_up, .. } = &mut self.all[number];
            let done = hanging_up.extract_if(.., |id| broker.is_written(*id));
            for id in done.collect::<Vec<_>>() {
                any = true;
                self.cut(number, id);
            }
        }
        any
    }

    /// Cuts a pipe: both processes notice.
    pub fn cut(&mut self, process: usize, id: ConnId) {
        let Some(at) = self.pipes.iter().position(|pipe| pipe.contains(&(process, id))) else {
            self.all[process].broker.disconnected(id, "cut");
            return;
        };
        for (process, id) in self.pipes.remove(at) {
            self.all[process].broker.disconnected(id, "cut");
        }
    }

    /// Lets time go by, with everything that happens meanwhile.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.all.iter().filter_map(|process| process.broker.deadline()).min();
            self.now = next.unwrap_or(end).clamp(self.now, end);
            for process in &mut self.all {
                process.broker.tick(self.now);
            }
            self.run();
            let due = self.all.iter().filter_map(|process| process.broker.deadline()).min();
            if self.now == end && due.is_none_or(|due| due > end) {
                return;
            }
        }
    }

    /// Checks the accounts of all brokers.
    ///
    /// # Panics
    ///
    /// When one of them is wrong.
    pub fn audit(&self) {
        for process in &self.all {
            process.broker.audit().expect("all in order");
        }
    }
}
