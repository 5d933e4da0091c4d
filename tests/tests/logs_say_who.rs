//! Each line of the log says who speaks, in each form, whatever plugins and peers say.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Server, Setup, Socket, run_to_its_end};

/// How long a record may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Text that would end a string, a line or an object, or take over a terminal.
const HOSTILE: &str =
    "\"}{\"level\":\"error\",\"plugin\":\"other\"} \\ \\u0000 \x1b[2J \u{202e}é🦀\t";

fn harms() -> PathBuf {
    fixtures::plugin(Api::Ours, "harms")
}

/// A server with the plugin `harms` in a process, as `evil`, and inline.
fn two_harms(log: &str) -> Setup {
    Setup::new("alpha")
        .limit(log)
        .plugin(&harms(), "placement = \"process\"\nname = \"evil\"")
        .plugin(&harms(), "name = \"inline\"")
}

/// Has both plugins log, and print on stderr.
fn speak(server: &Server) {
    server.wait_until("both run", |status| {
        ["evil", "inline"].iter().all(|name| status.is(name, "running"))
    });
    let mut peer = Peer::link_as(Socket::unix(server), 9, "na\"me\\");
    for name in ["evil", "inline"] {
        let chan = peer.open(name);
        assert_eq!(peer.ask(chan, &format!("stderr {name} {HOSTILE}")), "written");
        assert_eq!(peer.ask(chan, "log 1000"), "logged");
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
}

/// Whether a time is as in RFC 3339, in UTC and microseconds.
fn is_time(text: &str) -> bool {
    let pattern = "0000-00-00T00:00:00.000000Z";
    let fits = |(c, p): (char, char)| if p == '0' { c.is_ascii_digit() } else { c == p };
    text.len() == pattern.len() && text.chars().zip(pattern.chars()).all(fits)
}

/// The objects of a log, each of which has the documented fields and no others.
fn objects(lines: &[String]) -> Vec<Value> {
    let all: Vec<Value> = lines.iter().map(|line| parse(line)).collect();
    for (object, line) in all.iter().zip(lines) {
        let fields: BTreeMap<&str, &str> = object
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        assert!(is_time(fields["time"]), "{line}");
        assert!(["error", "warn", "info", "debug", "trace"].contains(&fields["level"]), "{line}");
        let target = fields["target"];
        let of = target.strip_prefix("plugin::").or_else(|| target.strip_prefix("host::"));
        assert_eq!(fields.get("plugin").copied(), of, "{line}");
        assert_eq!(fields.len(), 4 + usize::from(of.is_some()), "{line}");
        assert!(fields.contains_key("message"), "{line}");
    }
    all
}

/// The one record with a text.
fn with<'a>(all: &'a [Value], text: &str) -> &'a Value {
    let mut found = all.iter().filter(|object| object["message"].as_str().unwrap().contains(text));
    let one = found.next().unwrap_or_else(|| panic!("no {text:?} in {all:#?}"));
    assert!(found.next().is_none(), "several {text:?} in {all:#?}");
    one
}

#[test]
fn each_json_line_is_one_object_that_names_the_plugin() {
    let folder = Folder::new();
    let mut alpha = Server::start(&folder, &two_harms("[log]\nformat = \"json\""));
    speak(&alpha);
    assert!(alpha.command("stop", &[]).status.success());
    assert_eq!(alpha.wait_for_end(), 0);
    let all = objects(&alpha.log().since(0));
    let printed = with(&all, "evil \"}{");
    assert_eq!(printed["message"], format!("evil {HOSTILE}"), "it parses to what was printed");
    assert_eq!((&printed["plugin"], &printed["level"]), (&"evil".into(), &"info".into()));
    // The descriptors of the server are those of all its plugins, of which there is one.
    assert_eq!(with(&all, "inline \"}{")["plugin"], "inline");
    for name in ["evil", "inline"] {
        let own = |object: &&Value| object["target"] == format!("plugin::{name}");
        let logged = |object: &&Value| object["message"] == "x".repeat(1000);
        assert_eq!(all.iter().filter(own).filter(logged).count(), 1, "{name}");
    }
    assert_eq!(with(&all, "plugin evil 1 runs")["target"], "host::evil");
}

#[test]
fn what_several_plugins_of_a_process_print_has_no_name_rather_than_a_wrong_one() {
    let folder = Folder::new();
    let setup = two_harms("[log]\nformat = \"json\"").plugin(&plugin("echo"), "");
    let alpha = Server::start(&folder, &setup);
    speak(&alpha);
    let line = parse(&alpha.log().wait_for(0, "inline \\\"}{"));
    assert_eq!((&line["target"], line.get("plugin")), (&"printed".into(), None));
}

#[test]
fn bytes_that_are_no_utf8_are_replaced_in_json() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &two_harms("[log]\nformat = \"json\""));
    alpha.wait_until("it runs", |status| status.is("evil", "running"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("evil");
    assert_eq!(peer.ask(chan, "print"), "Ok(())");
    alpha.log().wait_for(0, "\u{fffd}");
    objects(&alpha.log().since(0));
}

#[test]
fn an_error_at_the_end_is_an_object_too() {
    let folder = Folder::new();
    let taken = Setup::new("alpha").plugin(&harms(), "required = true\n[plugin.config]\nqqq = 1");
    let (code, said) = run_to_its_end(&folder, &taken.limit("[log]\nformat = \"json\""));
    let all = objects(&said.lines().map(str::to_owned).collect::<Vec<_>>());
    let last = all.last().unwrap();
    assert_eq!((code, &last["level"], &last["target"]), (1, &"error".into(), &"trunkline".into()));
    assert!(last["message"].as_str().unwrap().contains("qqq"), "{last}");
}

#[test]
fn each_plugin_has_its_own_level_for_what_it_logs_and_prints() {
    let folder = Folder::new();
    let setup = Setup::new("alpha")
        .limit("[log]\nlevel = \"warn\"")
        .plugin(&harms(), "placement = \"process\"\nname = \"quiet\"")
        .plugin(&harms(), "placement = \"process\"\nname = \"loud\"\nlog = \"debug\"")
        .plugin(&harms(), "placement = \"thread\"\nname = \"threaded\"\nlog = \"info\"");
    let alpha = Server::start_up_to(&folder, &setup, "host::loud] plugin loud 1 runs");
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    alpha.wait_until("all run", |status| {
        ["quiet", "loud", "threaded"].iter().all(|name| status.is(name, "running"))
    });
    for name in ["quiet", "threaded", "loud"] {
        let chan = peer.open(name);
        assert_eq!(peer.ask(chan, "log 1000"), "logged");
        assert_eq!(peer.ask(chan, &format!("stderr said by {name}")), "written");
    }
    alpha.log().wait_for(0, "plugin::loud] said by loud");
    alpha.log().wait_for(0, "plugin::threaded] said by threaded");
    alpha.log().wait_for(0, "plugin::threaded] xxx");
    let lines = alpha.log().since(0);
    let quiet = |line: &&String| {
        let own = line.contains("quiet") || line.contains(" trunkline::serve");
        own && !line.contains(" audit] ")
    };
    assert_eq!(lines.iter().find(quiet), None);
}

#[test]
fn rust_log_wins_over_the_configuration() {
    let folder = Folder::new();
    let setup = two_harms("[log]\nlevel = \"error\"").variable("RUST_LOG", "debug".as_ref());
    let alpha = Server::start(&folder, &setup);
    alpha.log().wait_for(0, "INFO  host::evil] plugin evil 1 runs");
}

/// A journal of the test's own, which is not read yet.
struct Journal(UnixDatagram);

/// The records that a journal gets. They are read at once, so that the server never waits.
struct Records(Receiver<BTreeMap<String, String>>);

impl Journal {
    fn new(folder: &Folder) -> (Journal, String) {
        let path = folder.path().join("journal.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let table = format!("[log]\ntarget = \"journald\"\njournald-socket = {path:?}");
        (Journal(socket), table)
    }

    /// Reads from now on, until nothing comes for long.
    fn read(self) -> Records {
        let (records, received) = channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length) = self.0.recv(&mut buffer) {
                if records.send(fields(&buffer[..length])).is_err() {
                    return;
                }
            }
        });
        Records(received)
    }
}

impl Records {
    /// Waits for a record with a text.
    fn wait_for(&self, text: &str) -> BTreeMap<String, String> {
        loop {
            let record = self.0.recv_timeout(PATIENCE);
            let record = record.unwrap_or_else(|why| panic!("no record with {text:?}: {why}"));
            if record["MESSAGE"].contains(text) {
                return record;
            }
        }
    }
}

/// The fields of a record, as journald reads them.
fn fields(record: &[u8]) -> BTreeMap<String, String> {
    let (mut rest, mut fields) = (record, BTreeMap::new());
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'=' | b'\n')).unwrap();
        let name = String::from_utf8(rest[..end].to_vec()).unwrap();
        let (value, behind) = match rest[end] {
            b'=' => {
                let value = &rest[end + 1..];
                value.split_at(value.iter().position(|byte| *byte == b'\n').unwrap())
            }
            _ => {
                let (length, value) = rest[end + 1..].split_at(8);
                let length = u64::from_le_bytes(length.try_into().unwrap());
                value.split_at(length.try_into().unwrap())
            }
        };
        assert_eq!(behind.first(), Some(&b'\n'), "each field ends");
        let value = String::from_utf8(value.to_vec()).unwrap();
        assert_eq!(fields.insert(name, value), None, "each field is there once");
        rest = &behind[1..];
    }
    fields
}

#[test]
fn the_journal_gets_a_record_with_fields_for_each_line() {
    let folder = Folder::new();
    let (journal, table) = Journal::new(&folder);
    let setup = two_harms(&table);
    let journal = journal.read();
    let mut alpha = Server::start_unheard(&folder, &setup);
    let ready = journal.wait_for("is ready");
    assert_eq!((&*ready["PRIORITY"], &*ready["TARGET"]), ("6", "trunkline::serve"));
    assert_eq!((&*ready["SYSLOG_IDENTIFIER"], ready.get("PLUGIN")), ("trunkline", None));
    journal.wait_for("plugin evil 1 runs");
    alpha.wait_until("its server knows it", |status| status.is("evil", "running"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("evil");
    assert_eq!(peer.ask(chan, &format!("stderr evil {HOSTILE}")), "written");
    let printed = journal.wait_for("evil \"}{");
    assert_eq!(printed["MESSAGE"], format!("evil {HOSTILE}"));
    assert_eq!((&*printed["PLUGIN"], &*printed["TARGET"]), ("evil", "plugin::evil"));
    assert!(alpha.command("stop", &[]).status.success());
    journal.wait_for("the server has ended");
    assert_eq!(alpha.wait_for_end(), 0);
    assert_eq!(alpha.log().text(), "", "nothing goes to stderr beside");
}

#[test]
fn a_journal_that_is_not_read_stops_nothing_and_lost_lines_are_counted() {
    let folder = Folder::new();
    let (journal, table) = Journal::new(&folder);
    let mut setup = Setup::new("alpha").limit(&table);
    // Together they log more than the plugins' half of the queue and the kernel hold, and each of
    // them no more than its budget.
    for name in ["a", "b", "c"] {
        setup = setup.plugin(&harms(), &format!("name = {name:?}"));
    }
    let alpha = Server::start_unheard(&folder, &setup);
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    for name in ["a", "b", "c"] {
        let chan = peer.open(name);
        assert_eq!(peer.ask(chan, "log 400000"), "logged");
    }
    let _ = alpha.status();
    let notice = journal.read().wait_for("log lines were dropped, because journald took no more");
    assert_eq!(notice["PRIORITY"], "4");
}

#[test]
fn a_target_that_cannot_be_opened_is_one_error_at_the_start() {
    let folder = Folder::new();
    let path = folder.path().join("nobody.sock");
    let table = format!("[log]\ntarget = \"journald\"\njournald-socket = {path:?}");
    let (code, said) = run_to_its_end(&folder, &two_harms(&table));
    let file = folder.path().join("alpha.toml");
    let expected = format!(
        "trunkline: {}: [log]: journald cannot be reached at {}: No such file or directory \
         (os error 2); start it, or write `target = \"stderr\"`",
        file.display(),
        path.display()
    );
    assert_eq!(code, 1);
    assert_eq!(said, expected);
}

#[test]
fn the_latest_lines_can_be_asked_for() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &two_harms("[log]\nformat = \"json\""));
    speak(&alpha);
    alpha.log().wait_for(0, "inline \\\"}{");
    let ask = |more: &[&str]| {
        let output = alpha.command("log", more);
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let shown = ask(&[]);
    assert!(shown[0].starts_with('[') && shown[0].contains("] "), "{shown:#?}");
    assert!(!shown.concat().contains(char::is_control));
    let all: Vec<Value> = ask(&["--json"]).iter().map(|line| parse(line)).collect();
    let numbers: Vec<u64> = all.iter().map(|object| object["number"].as_u64().unwrap()).collect();
    assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{numbers:?}");
    assert_eq!(with(&all, "inline \"}{")["plugin"], "inline");
    let from = numbers.len() as u64 - 2;
    let rest = ask(&["--json", "--from", &from.to_string()]);
    assert_eq!(parse(&rest[0]), all[all.len() - 2]);
}
