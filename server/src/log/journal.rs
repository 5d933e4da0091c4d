//! The journal of systemd, over its native protocol: a datagram for each record, with fields.
//!
//! A datagram that is too large could be passed as a file. Lines are cut at 8 KiB, so that all
//! datagrams fit.

use super::entry::{Entry, plugin_of};
use log::Level;
use std::io;
use std::path::Path;
use trunkline_net::datagram::Datagrams;

/// What the journal calls this program.
const IDENTIFIER: &str = "trunkline";

/// The way to journald.
#[derive(Debug)]
pub(super) struct Journal {
    datagrams: Datagrams,
}

impl Journal {
    /// Finds journald at its socket.
    pub(super) fn open(socket: &Path) -> io::Result<Journal> {
        Ok(Journal { datagrams: Datagrams::to(socket)? })
    }

    /// Sends a record without waiting; whether it is sent.
    pub(super) fn send_at_once(&self, record: &[u8]) -> bool {
        self.datagrams.send_at_once(record).is_ok()
    }

    /// Sends a record, and waits as long as journald takes no more; whether it is sent.
    pub(super) fn send(&self, record: &[u8]) -> bool {
        self.datagrams.send(record).is_ok()
    }
}

/// Appends the fields of an entry.
pub(super) fn write(entry: &Entry, record: &mut Vec<u8>) {
    field("MESSAGE", &entry.text, record);
    field("PRIORITY", priority(entry.level()), record);
    field("SYSLOG_IDENTIFIER", IDENTIFIER, record);
    field("TARGET", &entry.target, record);
    if let Some(plugin) = plugin_of(&entry.target) {
        field("PLUGIN", plugin, record);
    }
}

/// Appends a field. A value with a line end is given with its length, so that it cannot begin
/// another field.
fn field(name: &str, value: &str, record: &mut Vec<u8>) {
    record.extend_from_slice(name.as_bytes());
    match value.contains('\n') {
        true => {
            record.push(b'\n');
            record.extend_from_slice(&(value.len() as u64).to_le_bytes());
        }
        false => record.push(b'='),
    }
    record.extend_from_slice(value.as_bytes());
    record.push(b'\n');
}

/// The priority of syslog.
fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "3",
        Level::Warn => "4",
        Level::Info => "6",
        Level::Debug | Level::Trace => "7",
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::TEXT_MAX;
    use super::*;

    fn record(entry: &Entry) -> Vec<u8> {
        let mut record = Vec::new();
        write(entry, &mut record);
        record
    }

    #[test]
    fn a_record_has_the_fields_of_its_line() {
        let entry = Entry::new(Level::Warn, "plugin::echo", &format_args!("a=b"));
        let fields = "MESSAGE=a=b\nPRIORITY=4\nSYSLOG_IDENTIFIER=trunkline\n\
                      TARGET=plugin::echo\nPLUGIN=echo\n";
        assert_eq!(String::from_utf8(record(&entry)).unwrap(), fields);
    }

    #[test]
    fn a_text_with_line_ends_cannot_make_fields() {
        let text = "a\nPRIORITY=0\n";
        let entry = Entry::new(Level::Info, "x", &format_args!("{text}"));
        let expected = [b"MESSAGE\n\x0d\0\0\0\0\0\0\0a\nPRIORITY=0\n\n", &b"PRIORITY=6\n"[..]];
        assert!(record(&entry).starts_with(&expected.concat()), "{:?}", record(&entry));
    }

    #[test]
    fn the_longest_record_fits_in_a_datagram_of_every_system() {
        let text = "x".repeat(2 * TEXT_MAX);
        let entry = Entry::new(Level::Info, "x", &format_args!("{text}"));
        // The kernel's least send buffer is 4,608 bytes, its usual default 212,992.
        assert!(record(&entry).len() < 16 * 1024, "{}", record(&entry).len());
    }
}
