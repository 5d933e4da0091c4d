//! Calls that only one file makes, so that they are made in one way.

use super::source::has_word;
use super::{Finding, Source};

/// Calls, and the files that may make them.
struct Forbidden {
    calls: &'static [&'static str],
    allowed: &'static [&'static str],
    instead: &'static str,
}

/// The folders that are loaded into a server's process.
const SHIPPED: [&str; 3] = ["server/", "plugin-api/", "sample-plugins/"];

const FORBIDDEN: [Forbidden; 16] = [
    Forbidden {
        calls: &["SystemTime::now", "UNIX_EPOCH", "modified()"],
        allowed: &["server/src/log/", "server/net/src/unix.rs", "sample-plugins/clock/"],
        instead: "the time of day jumps, so it may be shown only; use Instant",
    },
    Forbidden {
        calls: &["socket_peercred"],
        allowed: &[],
        instead: "use trunkline_net::credentials: a process may have the number 0 for us",
    },
    Forbidden {
        calls: &["TcpListener::bind", "TcpStream::connect", "connect_timeout"],
        allowed: &[],
        instead: "use trunkline_net::tcp, which sets all options",
    },
    Forbidden {
        calls: &["UnixListener::bind", "UnixStream::connect", "UdpSocket::bind"],
        allowed: &[],
        instead: "use trunkline_net::unix, which has the lock of the file and never blocks",
    },
    Forbidden {
        calls: &["Socket::new", "socket_with", "acceptfrom_with", "accept_with"],
        allowed: &["server/net/src/tcp.rs", "server/net/src/unix.rs", "server/net/src/datagram.rs"],
        instead: "use trunkline_net, which sets all options",
    },
    Forbidden {
        calls: &["set_write_timeout", "set_read_timeout", "connect_within"],
        allowed: &["server/src/cli/", "server/net/src/unix.rs"],
        instead: "the loop waits for no peer; make the socket non-blocking",
    },
    Forbidden {
        calls: &["socket2"],
        allowed: &["server/net/"],
        instead: "use trunkline_net; add what it lacks there",
    },
    Forbidden {
        calls: &["remove_file(", "fs::unlink(", "unlinkat("],
        allowed: &["server/net/src/unix.rs", "server/net/src/lock.rs", "server/src/key.rs"],
        instead: "a file may be another's by now; remove it by identity, as SocketFile does",
    },
    Forbidden {
        calls: &["umask("],
        allowed: &[],
        instead: "the mask belongs to all threads; set the mode of the file itself",
    },
    Forbidden {
        calls: &["signal_hook_mio"],
        allowed: &[
            "server/src/serve/signals.rs",
            "server/src/serve/event_loop.rs",
            "server/src/cli/status.rs",
        ],
        instead: "the loop may be blocked; signals.rs owns the signals that end a process",
    },
    Forbidden {
        calls: &["process::exit(", "low_level::exit("],
        allowed: &["server/src/serve/signals.rs", "server/src/serve/watchdog.rs"],
        instead: "stop in order; signals.rs ends the process when that takes too long",
    },
    Forbidden {
        calls: &["setrlimit("],
        allowed: &["server/src/serve/open_files.rs", "server/src/confine/limits.rs"],
        instead: "programs that plugins start inherit it; open_files.rs raises it if needed",
    },
    Forbidden {
        calls: &["thread_set_mask(", "thread_block(", "sigprocmask("],
        allowed: &["server/src/inherited.rs"],
        instead: "the mask is set once, before the first thread, in inherited.rs",
    },
    Forbidden {
        calls: &["println!", "print!", "eprintln!", "eprint!", "dbg!"],
        allowed: &[],
        instead: "it waits for whoever reads it; use log, or in a command cli::print",
    },
    Forbidden {
        calls: &["io::stderr", "stderr()", "dup2_stdout", "dup2_stderr"],
        allowed: &["server/src/log/stderr.rs"],
        instead: "it waits for whoever reads it; use log, or crate::log::plain_line",
    },
    Forbidden {
        calls: &["io::stdout", "stdout()"],
        allowed: &["server/src/cli/mod.rs"],
        instead: "only commands have something to print; use cli::print",
    },
];

/// Shipped code makes these calls only where they are allowed.
#[must_use]
pub fn one_place_each(source: &Source) -> Vec<Finding> {
    if !source.is_below(&SHIPPED) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for rule in FORBIDDEN.iter().filter(|rule| !source.is_below(rule.allowed)) {
        for (number, line) in source.shipped_code() {
            if let Some(call) = rule.calls.iter().find(|call| has_word(line, call)) {
                findings.push(source.finding(number, format!("{call}: {}", rule.instead)));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_outside_of_its_file_is_found() {
        for (path, line) in [
            ("server/src/a.rs", "let a = std::net::TcpListener::bind(b)?;"),
            ("server/src/a.rs", "let a = mio::net::UnixStream::connect(b)?;"),
            ("sample-plugins/a/src/lib.rs", "let a = Socket::new(b, c, None)?;"),
            ("server/net/src/lib.rs", "let a = Socket::new(b, c, None)?;"),
            ("server/src/a.rs", "use socket2::SockRef;"),
            ("server/src/serve/a.rs", "ours.set_write_timeout(Some(time))?;"),
            ("server/src/a.rs", "let _ = std::fs::remove_file(path);"),
            ("server/net/src/unix.rs", "rustix::process::umask(mask);"),
            ("server/src/log/stderr.rs", "eprintln!(a);"),
            ("server/src/cli/mod.rs", "writeln!(std::io::stderr(), a);"),
            ("server/src/log/stderr.rs", "std::io::stdout().lock();"),
        ] {
            assert_eq!(one_place_each(&Source::new(path, line)).len(), 1, "{path}: {line}");
        }
    }

    #[test]
    fn a_call_in_its_file_or_in_a_test_is_not_found() {
        for (path, line) in [
            ("server/net/src/tcp.rs", "let a = Socket::new(b, c, None)?;"),
            ("server/net/src/unix.rs", "std::fs::remove_file(path)"),
            ("server/shs/examples/a.rs", "let a = TcpListener::bind(b)?;"),
            ("tests/tests/a.rs", "let a = TcpListener::bind(b)?;"),
            ("server/src/a.rs", "// TcpListener::bind would block"),
            ("server/src/cli/mod.rs", "std::io::stdout().lock();"),
            ("server/src/log/stderr.rs", "rustix::stdio::dup2_stderr(&writer)?;"),
            ("server/src/a.rs", "command.stdout(output).stderr(output);"),
        ] {
            assert_eq!(one_place_each(&Source::new(path, line)), [], "{path}: {line}");
        }
    }
}
