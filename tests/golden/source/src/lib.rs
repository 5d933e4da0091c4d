//! Uses the whole plugin API of a minor version, one command a line, and answers each with a line.
//! It is built once with the last commit of that version, and loaded by every later server.

#![forbid(unsafe_code)]

#[cfg(feature = "api-1-2")]
mod calls;
#[cfg(feature = "api-1-3")]
mod folders;
#[cfg(feature = "api-1-1")]
mod links;
mod opened;
mod waits;

use std::collections::BTreeMap;

use trunkline_plugin::By;
use trunkline_plugin::prelude::*;

use opened::Opened;
use waits::Waits;

/// Ten, and the minor version of the API.
const VERSION: u64 = 10
    + cfg!(feature = "api-1-1") as u64
    + cfg!(feature = "api-1-2") as u64
    + cfg!(feature = "api-1-3") as u64;

struct Golden {
    settings: Settings,
    /// The line that has not ended yet, of the channel for commands.
    line: Vec<u8>,
    /// The answer to the next incoming channel.
    next: Next,
    /// The channels that were not opened for commands.
    special: BTreeMap<Channel, Next>,
    /// The channel with `hold`, and the bytes that it has brought.
    held: Option<(Channel, usize)>,
    /// Bytes that are still to be written, by channel.
    pours: BTreeMap<Channel, usize>,
    opened: Opened,
    waits: Waits,
    #[cfg(feature = "api-1-2")]
    calls: calls::Calls,
    #[cfg(feature = "api-1-3")]
    config: Config,
}

/// What an incoming channel is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Commands,
    Join,
    Refuse,
    AcceptLater,
    RefuseLater,
    Hold,
    Abort,
    StopRead,
}

#[derive(serde::Deserialize)]
#[serde(crate = "trunkline_plugin::serde", deny_unknown_fields)]
struct Settings {
    greeting: String,
}

impl Plugin for Golden {
    const ABOUT: About = About::new("golden", VERSION).uses("echo", 1).invites("nobody");

    fn start(host: &Host, config: Config) -> Result<Self, Reason> {
        let settings: Settings = config.read()?;
        if settings.greeting == "none" {
            return Err(Reason::new("no-greeting", "it was told to greet nobody"));
        }
        log::info!("{} starts as {}", Self::ABOUT.name(), host.name());
        Ok(Self {
            settings,
            line: Vec::new(),
            next: Next::Commands,
            special: BTreeMap::new(),
            held: None,
            pours: BTreeMap::new(),
            opened: Opened::default(),
            waits: Waits::default(),
            #[cfg(feature = "api-1-2")]
            calls: calls::Calls::default(),
            #[cfg(feature = "api-1-3")]
            config,
        })
    }

    fn open(&mut self, host: &Host, channel: Channel, caller: &Caller) -> Answer {
        let Caller { name, version, local, server } = caller;
        let ours = *server == host.server().key;
        log::info!("opened by {name} {version}, local {local}, ours {ours}: {:?}", self.next);
        let next = std::mem::replace(&mut self.next, Next::Commands);
        if next != Next::Commands {
            self.special.insert(channel, next);
        }
        match next {
            Next::Refuse => return Answer::Refuse(Reason::new("not-now", "as it was told")),
            Next::AcceptLater | Next::RefuseLater => {
                self.waits.answer(host, channel);
                return Answer::Later;
            }
            Next::Join => host.join(channel, channel),
            Next::Hold => {
                host.hold(channel);
                self.held = Some((channel, 0));
            }
            Next::Commands | Next::Abort | Next::StopRead => {}
        }
        Answer::Accept
    }

    fn opened(&mut self, host: &Host, channel: Channel) {
        self.opened.up(host, channel);
    }

    fn credit(&mut self, host: &Host, channel: Channel, room: u64) {
        log::debug!("{} may write {room}", channel.number());
        self.pour(host, channel);
    }

    fn write(&mut self, host: &Host, channel: Channel, bytes: &[u8]) {
        if self.opened.heard(host, channel, bytes) {
            return;
        }
        match (self.special.get(&channel), &mut self.held) {
            (Some(Next::Abort), _) => {
                return host.abort(channel, Reason::new("enough", "as it was told"));
            }
            (Some(Next::StopRead), _) => return host.stop_read(channel),
            (Some(Next::Hold), Some((_, count))) => {
                *count += bytes.len();
                return;
            }
            _ => {}
        }
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            self.line(host, channel, &String::from_utf8_lossy(&line));
        }
    }

    fn close(&mut self, host: &Host, channel: Channel) {
        log::info!("closed by the other end");
        host.close(channel);
    }

    fn stop_read(&mut self, _: &Host, _: Channel) {
        log::info!("the other end reads no more");
    }

    fn ended(&mut self, host: &Host, channel: Channel, why: Option<&Reason>) {
        self.special.remove(&channel);
        let told = why.map_or("in order".to_owned(), |why| {
            let by = if why.by() == By::Plugin { "plugin" } else { "server" };
            format!("{by} {}: {}", why.code(), why.text())
        });
        log::info!("ended: {told}");
        if let Some((asker, back)) = self.opened.over(channel) {
            say(host, asker, &format!("{back}, ended {told}"));
        }
    }

    fn directory(&mut self, _: &Host, change: &Change) {
        let word = match change {
            Change::Appeared(_) => "appeared",
            Change::Changed(_) => "changed",
            Change::Left(_) => "left",
        };
        log::info!("{word}: {}", shown(change.entry()));
    }

    fn link(&mut self, _: &Host, change: &LinkChange) {
        match change {
            LinkChange::Up(link) => log::info!("up: {} {}", link.peer.name, link.peer.key),
            LinkChange::Down(link, why) => log::info!("down: {} {}", link.peer.name, why.code()),
        }
    }

    fn timer(&mut self, host: &Host, timer: Timer) {
        #[cfg(feature = "api-1-2")]
        if self.calls.fired(host, timer) {
            return;
        }
        if let Some(channel) = self.waits.fired(host, timer) {
            match self.special.get(&channel) {
                Some(Next::RefuseLater) => {
                    host.refuse(channel, Reason::new("not-later", "as it was told"));
                }
                _ => host.accept(channel),
            }
        }
    }

    fn ready(&mut self, host: &Host, watch: Watch, readiness: Readiness) {
        self.waits.ready(host, watch, readiness);
    }

    fn wake(&mut self, host: &Host) {
        self.waits.woken(host);
    }

    fn stop(&mut self, host: &Host) {
        log::info!("{} stops", host.name());
    }

    #[cfg(feature = "api-1-2")]
    fn call(&mut self, host: &Host, call: Call, caller: &Caller, request: &[u8]) {
        self.calls.called(host, call, caller, request);
    }

    #[cfg(feature = "api-1-2")]
    fn cancelled(&mut self, host: &Host, call: Call) {
        self.calls.cancelled(host, call);
    }

    #[cfg(feature = "api-1-2")]
    fn reply(&mut self, host: &Host, call: Call, outcome: Result<&[u8], Unanswered>) {
        self.calls.reply(host, call, outcome);
    }
}

impl Golden {
    /// Obeys a line. What takes time is answered later.
    fn line(&mut self, host: &Host, channel: Channel, line: &str) {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let answer = match command {
            "greet" => self.settings.greeting.clone(),
            "about" => {
                let Server { name, key } = host.server();
                format!("{} {VERSION} at {name} {key}", host.name())
            }
            "directory" => list(host.directory().iter().map(shown)),
            "links" => list(host.links().into_iter().map(|link| link.peer.name)),
            "log" => {
                log::warn!("{rest}");
                "logged".to_owned()
            }
            "next" => match next(rest) {
                Some(next) => {
                    self.next = next;
                    "next".to_owned()
                }
                None => "what?".to_owned(),
            },
            "held" => format!("{}", self.held.map_or(0, |(_, count)| count)),
            "consumed" => {
                if let Some((held, _)) = self.held {
                    host.credit(held, rest.parse().unwrap_or(0));
                }
                "consumed".to_owned()
            }
            "pour" => {
                self.pours.insert(channel, rest.parse().unwrap_or(0));
                return self.pour(host, channel);
            }
            "open" => match self.opened.begin(host, channel, rest) {
                Ok(()) => return,
                Err(why) => format!("refused at once {}", why.code()),
            },
            "timer" => return self.waits.time(host, channel),
            "watch" => match self.waits.watch(host, channel) {
                Ok(()) => return,
                Err(why) => why.to_string(),
            },
            "wake" => return self.waits.wake(host, channel),
            "panic" => panic!("{rest}"),
            _ => match self.newer(host, channel, command, rest) {
                Some(answer) => answer,
                None => return,
            },
        };
        say(host, channel, &answer);
    }

    /// The commands that minor versions have added.
    fn newer(&mut self, host: &Host, channel: Channel, word: &str, rest: &str) -> Option<String> {
        #[cfg(feature = "api-1-1")]
        if let Some(answer) = links::obey(host, word, rest) {
            return Some(answer);
        }
        #[cfg(feature = "api-1-2")]
        if ["call", "cancel"].contains(&word) {
            return self.calls.obey(host, channel, word, rest);
        }
        #[cfg(feature = "api-1-3")]
        if let Some(answer) = folders::obey(host, &self.config, word, rest) {
            return Some(answer);
        }
        let _ = (host, channel, word, rest);
        Some("what?".to_owned())
    }

    /// Writes what is left to be poured, as far as there is room, and a line's end behind it.
    fn pour(&mut self, host: &Host, channel: Channel) {
        let Some(left) = self.pours.get_mut(&channel) else { return };
        while *left > 0 {
            let bytes = [b'.'; 4096];
            let taken = host.write(channel, &bytes[..bytes.len().min(*left)]);
            *left -= taken;
            if taken == 0 {
                return;
            }
        }
        if host.write(channel, b"\n") == 1 {
            self.pours.remove(&channel);
        }
    }
}

fn next(word: &str) -> Option<Next> {
    Some(match word {
        "join" => Next::Join,
        "refuse" => Next::Refuse,
        "accept-later" => Next::AcceptLater,
        "refuse-later" => Next::RefuseLater,
        "hold" => Next::Hold,
        "abort" => Next::Abort,
        "stop-read" => Next::StopRead,
        _ => return None,
    })
}

/// Writes a line, for which there is room: the sender of commands reads the answers.
fn say(host: &Host, channel: Channel, line: &str) {
    let _ = host.write(channel, format!("{line}\n").as_bytes());
}

fn shown(entry: &Entry) -> String {
    let place = if entry.local { "here" } else { "elsewhere" };
    format!("{}-{}-{place}", entry.name, entry.version)
}

/// Words in order, so that a test can compare them.
fn list(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.collect();
    words.sort();
    words.join(" ")
}

trunkline_plugin::export_plugin!(Golden);
