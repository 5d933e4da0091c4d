//! Configuration files: any text, and texts of the words that mean something.

use crate::Script;
use std::fmt::Write;
use std::path::Path;
use trunkline::config::{Config, HostConfig, Problem};

/// A file that is nowhere: nothing of it is read but its name.
const FILE: &str = "/nowhere/trunkline.toml";

/// A text, or one of lines that are nearly right.
pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let text = match script.below(2) {
        0 => String::from_utf8_lossy(script.rest()).into_owned(),
        _ => lines(&mut script),
    };
    check(&text, server);
    check(&text, host);
}

/// What a file says: its notes and the lines of its plugins, or its problems.
type Said = Result<(Vec<Problem>, Vec<usize>), Vec<Problem>>;

fn server(text: &str) -> Said {
    let config = Config::from_text(Path::new(FILE), text)?;
    Ok((config.notes, config.plugins.iter().map(|plugin| plugin.line).collect()))
}

fn host(text: &str) -> Said {
    let config = HostConfig::from_text(Path::new(FILE), text)?;
    Ok((config.notes, config.plugins.iter().map(|plugin| plugin.line).collect()))
}

/// Each problem is one line for people, and names a line that there is. A comment above the text
/// changes nothing but the lines.
fn check(text: &str, read: fn(&str) -> Said) {
    let said = read(text);
    let lines = text.split('\n').count();
    let (Ok((told, _)) | Err(told)) = &said;
    assert!(said.is_ok() || !told.is_empty(), "a file is refused without a reason");
    for problem in told {
        let shown = problem.to_string();
        assert!(!shown.contains(char::is_control), "not one line of text: {shown:?}");
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{shown}");
    }
    let byte_order_mark = text.starts_with('\u{feff}');
    if !byte_order_mark {
        let above = read(&format!("# a comment\n{text}"));
        assert_eq!(moved(above, 0), moved(said, 1), "with a comment above");
    }
}

/// The same, some lines further down. Lines that a message names are left out.
fn moved(said: Said, by: usize) -> Said {
    let down = |problems: Vec<Problem>| -> Vec<Problem> {
        let moved = |Problem { file, line, message }| Problem {
            file,
            line: line.map(|line: usize| line + by),
            message: without_lines(message),
        };
        problems.into_iter().map(moved).collect()
    };
    match said {
        Ok((notes, lines)) => Ok((down(notes), lines.iter().map(|line| line + by).collect())),
        Err(problems) => Err(down(problems)),
    }
}

fn without_lines(message: String) -> String {
    let mut parts = message.split("line ");
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |text, part| {
        text + "line " + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

const TABLES: [&str; 9] = [
    "[server]",
    "[host]",
    "[[peer]]",
    "[[plugin]]",
    "[plugin.config]",
    "[limits]",
    "[peer]",
    "[unknown]",
    "[server",
];

const KEYS: [&str; 40] = [
    "name",
    "key",
    "state",
    "network",
    "listen",
    "announce",
    "accept",
    "insecure-loopback",
    "heartbeat-ms",
    "dead-after-ms",
    "server",
    "address",
    "role",
    "keep",
    "path",
    "placement",
    "expose",
    "advertise",
    "allow",
    "restart",
    "blocked",
    "required",
    "sha256",
    "config",
    "half-open",
    "handshake-ms",
    "links",
    "streams-per-link",
    "channels-per-plugin",
    "calls-per-plugin",
    "call-size",
    "plugins-per-peer",
    "stream-window",
    "stream-window-max",
    "link-window",
    "redial-ms",
    "redial-max-ms",
    "outbox",
    "watchdog-ms",
    "nmae",
];

const VALUES: [&str; 32] = [
    "\"alpha\"",
    "\"alpha.key\"",
    "true",
    "false",
    "1",
    "65536",
    "4000000000",
    "-1",
    "0x10",
    "1.5",
    "\"net:10.0.0.1:8008~shs\"",
    "[\"unix:a.sock~noauth\", \"net:0.0.0.0:0~shs\"]",
    "[]",
    "{}",
    "\"listed\"",
    "\"anyone\"",
    "\"host\"",
    "\"server\"",
    "\"inline\"",
    "\"process\"",
    "\"on-failure\"",
    "\"peers\"",
    "[\"links\"]",
    "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"",
    "[\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\", \"local\"]",
    "[1, \"a\"]",
    "\"\"",
    "\"libecho.so\"",
    "\"a\\u001bb\\n\"",
    "1979-05-27",
    "[[1]",
    "\"net:127.0.0.1:7~noauth\"",
];

fn lines(script: &mut Script<'_>) -> String {
    let mut text = String::new();
    for _ in 0..64 {
        if script.is_over() {
            break;
        }
        let key = script.pick(&KEYS);
        // Writing to a `String` cannot fail.
        let _ = match script.below(8) {
            0 | 1 => writeln!(text, "{}", script.pick(&TABLES)),
            2 => writeln!(text, "{key} = {}", script.number()),
            3 => {
                let length = script.below(20);
                let value = String::from_utf8_lossy(script.bytes(length)).into_owned();
                writeln!(text, "{key} = {value:?}")
            }
            4 => {
                let length = script.below(8);
                writeln!(text, "{}", String::from_utf8_lossy(script.bytes(length)))
            }
            _ => writeln!(text, "{key} = {}", script.pick(&VALUES)),
        };
    }
    text
}
