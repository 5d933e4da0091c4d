//! Instructions for each operation, counted by valgrind where it is installed: the same from run to
//! run, also on a machine that does something else meanwhile.
//!
//! `bench count WHAT TIMES` does an operation so often. It is run with so many and with twice as
//! many, so that all that happens once falls out of the difference.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

use trunkline_core::broker::{ConnId, Handle, Opened};
use trunkline_core::control::Role;
use trunkline_plugin::Channel;
use trunkline_tests::folder::Folder;
use trunkline_tests::processes::{PipeEnd, Processes};

use crate::calls;
use crate::fact::Fact;
use crate::programs::Programs;

pub(crate) const INSTRUCTIONS: &str = "instructions";

/// An operation that is counted.
struct Counted {
    /// The argument of `bench count`.
    what: &'static str,
    /// For people.
    name: &'static str,
    /// The function whose instructions count, with those that it calls; none: all of them.
    within: Option<&'static str>,
    times: u64,
}

const COUNTED: [Counted; 4] = [
    Counted { what: "call", name: "guarded call, empty", within: None, times: 10_000 },
    Counted { what: "work", name: "guarded call, 64 bytes of work", within: None, times: 10_000 },
    Counted {
        what: "link",
        name: "link, 64 bytes written",
        within: Some("*instructions::write_path*"),
        times: 2_000,
    },
    Counted {
        what: "link",
        name: "link, 64 bytes read",
        within: Some("*instructions::read_path*"),
        times: 2_000,
    },
];

/// Counts all of them; one line where valgrind is missing.
pub(crate) fn facts(programs: &Programs) -> Result<Vec<Fact>, String> {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        let why = "valgrind is not installed";
        return Ok(vec![Fact::skipped(INSTRUCTIONS, "instructions for each operation", why)]);
    }
    let folder = Folder::new();
    let count = |counted: &Counted| {
        let total = |times| total(&programs.bench, &folder, counted, times);
        let difference = total(counted.times * 2)?.saturating_sub(total(counted.times)?);
        let each = difference as f64 / counted.times as f64;
        Ok(Fact::new(INSTRUCTIONS, counted.name, 1, each, "instructions"))
    };
    let within = call_within_a_server(programs, &folder);
    COUNTED.iter().map(count).chain([within]).collect()
}

/// A call from plugin to plugin goes through all of a server, so that a whole one is counted.
fn call_within_a_server(programs: &Programs, folder: &Folder) -> Result<Fact, String> {
    const TIMES: u64 = 5_000;
    let total = |times: u64| {
        let config = folder.path().join("calls.toml");
        let path = programs.measure.display();
        let text = format!(
            "[server]\nname = \"calls\"\nkey = \"calls.key\"\nlisten = []\n\n\
             [[plugin]]\npath = \"{path}\"\nname = \"sink\"\n\n\
             [[plugin]]\npath = \"{path}\"\nname = \"caller\"\nrequired = true\n\
             [plugin.config]\ncalls = {times}\n"
        );
        std::fs::write(&config, text).map_err(|error| error.to_string())?;
        let mut server = Command::new(&programs.trunkline);
        server.args(["run", "--config"]).arg(&config);
        let said = counted(server, folder, None)?;
        match said.output.contains("all-answered") {
            true => Ok(said.total),
            false => Err(format!("calls within a server: {}", said.output.trim_end())),
        }
    };
    // The first run makes the key.
    total(1)?;
    let each = total(TIMES * 2)?.saturating_sub(total(TIMES)?) as f64 / TIMES as f64;
    Ok(Fact::new(INSTRUCTIONS, "call within a server, empty", 1, each, "instructions"))
}

/// The instructions of a run of this program under valgrind.
fn total(bench: &Path, folder: &Folder, counted: &Counted, times: u64) -> Result<u64, String> {
    let mut program = Command::new(bench);
    program.args(["count", counted.what, &times.to_string()]);
    let said = self::counted(program, folder, counted.within)?;
    match said.succeeded {
        true => Ok(said.total),
        false => Err(format!("valgrind: {}", said.output.trim_end())),
    }
}

/// What came of a program under valgrind.
struct Said {
    total: u64,
    succeeded: bool,
    output: String,
}

/// Runs a program under valgrind.
fn counted(program: Command, folder: &Folder, within: Option<&str>) -> Result<Said, String> {
    let out = folder.path().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    if let Some(within) = within {
        command.arg(format!("--toggle-collect={within}"));
    }
    command.arg(program.get_program()).args(program.get_args());
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("valgrind: {error}"))?;
    let text = std::fs::read_to_string(&out).map_err(|error| format!("callgrind: {error}"))?;
    let total = read_total(&text).ok_or("callgrind counted nothing")?;
    let succeeded = output.status.success();
    Ok(Said { total, succeeded, output: String::from_utf8_lossy(&output.stderr).into_owned() })
}

/// The number in the line `totals: 12345`.
fn read_total(text: &str) -> Option<u64> {
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    line?.trim().parse().ok().filter(|total| *total > 0)
}

/// `bench count WHAT TIMES`.
pub(crate) fn repeat(what: &str, times: &str) -> Result<(), String> {
    let times: u64 = times.parse().map_err(|_| format!("{times:?} is not a number"))?;
    match what {
        "call" => {
            let mut instance = calls::guarded()?;
            (0..times).for_each(|_| drop(black_box(black_box(&mut instance).wake())));
        }
        "work" => {
            let mut instance = calls::guarded()?;
            let bytes = [7; 64];
            (0..times)
                .for_each(|_| drop(black_box(instance.write(Channel::new(1), black_box(&bytes)))));
        }
        "link" => Link::open().carry(times),
        _ => return Err(format!("{what} is nothing that can be counted")),
    }
    Ok(())
}

/// Two servers as bare brokers, and a channel between their plugins; no socket, no clock.
struct Link {
    processes: Processes,
    channel: Handle,
    ends: [ConnId; 2],
}

impl Link {
    fn open() -> Link {
        let mut processes = Processes::default();
        let from = processes.add(Role::Server, 1, "from");
        let to = processes.add(Role::Server, 1, "to");
        let end = |process, how| PipeEnd { process, how, sees: None };
        let peer = processes.add_peer(from);
        let ends =
            processes.connect(end(from, Opened::Dialled(peer)), end(to, Opened::Accepted), None);
        processes.run();
        let channel = processes.all[from].open("to");
        processes.run();
        Link { processes, channel, ends }
    }

    fn carry(mut self, times: u64) {
        for _ in 0..times {
            let bytes = write_path(&mut self.processes, self.channel, self.ends[0]);
            read_path(&mut self.processes, self.ends[1], bytes);
            self.processes.all[1].bytes.clear();
            // The credit that comes back.
            self.processes.run();
        }
    }
}

/// What a plugin's write costs until its bytes are handed to the socket.
#[inline(never)]
fn write_path(processes: &mut Processes, channel: Handle, link: ConnId) -> Vec<u8> {
    let from = &mut processes.all[0];
    let _ = black_box(from.broker.write(from.plugin, channel, &[7; 64]));
    from.send(link)
}

/// What bytes from the socket cost until the plugin has had them.
#[inline(never)]
fn read_path(processes: &mut Processes, link: ConnId, bytes: Vec<u8>) {
    processes.all[1].receive(link, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found() {
        assert_eq!(read_total("events: Ir\nfn=a\n1 2\n\ntotals: 4711\n"), Some(4711));
        assert_eq!(read_total("events: Ir\ntotals: 0\n"), None, "nothing was collected");
        assert_eq!(read_total("events: Ir\n"), None);
    }

    #[test]
    fn all_that_is_counted_can_be_repeated() {
        for counted in COUNTED {
            assert_eq!(repeat(counted.what, "3"), Ok(()), "{}", counted.name);
        }
        assert!(repeat("nothing", "3").is_err(), "there is no such operation");
    }
}
