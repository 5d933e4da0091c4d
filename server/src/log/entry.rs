//! One line of the log before it is written: who says what, when.

use super::{HOST, PLUGIN};
use log::Level;
use std::fmt::{self, Write};
use std::ops::AddAssign;
use std::time::SystemTime;
use trunkline_core::audit;

/// Bytes of one text. What is longer is cut, so that a line stays readable and bounded.
pub(super) const TEXT_MAX: usize = 8 * 1024;

/// What an entry takes beside its texts, in bytes: itself, and its time and level in the line.
const OVERHEAD: usize = 128;

/// Begins a record within the output of a host that a server started. Everything else is printed.
pub(super) const FRAME: u8 = 0x1e;

/// A line before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) time: SystemTime,
    /// A plain line has none.
    pub(super) level: Option<Level>,
    pub(super) target: String,
    pub(super) text: String,
    /// How many lines are lost if this one is: those that it counts, or itself.
    pub(super) stands_for: Count,
    /// It only says that others were dropped.
    pub(super) is_notice: bool,
}

/// A number of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// All of them.
    pub(super) lines: u64,
    /// Those of the audit.
    pub(super) audit: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, more: Count) {
        self.lines += more.lines;
        self.audit += more.audit;
    }
}

impl Entry {
    pub(super) fn new(level: Level, target: &str, text: &fmt::Arguments<'_>) -> Entry {
        let mut bounded = Bounded { text: String::new(), more: 0 };
        // Formatting fails only if a type says so; what it wrote until then is kept.
        let _ = bounded.write_fmt(*text);
        if bounded.more > 0 {
            let _ = write!(bounded.text, " ... ({} bytes more)", bounded.more);
        }
        let stands_for = Count { lines: 1, audit: u64::from(target == audit::TARGET) };
        let (time, target, level) = (SystemTime::now(), target.to_owned(), Some(level));
        Entry { time, level, target, text: bounded.text, stands_for, is_notice: false }
    }

    /// A line that text shows as it is, without time and level.
    pub(super) fn plain(text: &str) -> Entry {
        let entry = Entry::new(Level::Error, "trunkline", &format_args!("{text}"));
        Entry { level: None, ..entry }
    }

    /// That these lines found the queue full, or could not be written to `whom`.
    pub(super) fn dropped(count: Count, whom: &str) -> Entry {
        let Count { lines, audit } = count;
        let of_audit = match audit {
            0 => String::new(),
            audit => format!("{audit} of them of the audit, "),
        };
        let text =
            format_args!("{lines} log lines were dropped, {of_audit}because {whom} took no more");
        let entry = Entry::new(Level::Warn, module_path!(), &text);
        Entry { stands_for: count, is_notice: true, ..entry }
    }

    /// That a source has used up its budget.
    pub(super) fn over_budget(source: &str, count: u64) -> Entry {
        let text = format_args!(
            "{count} lines of {source} were dropped: it logs more than {} KiB a second",
            super::accounts::RATE / 1024
        );
        let stands_for = Count { lines: count, audit: 0 };
        Entry { stands_for, ..Entry::new(Level::Warn, module_path!(), &text) }
    }

    /// The line that a plugin's process wrote. Its target is the plugin's, or that of its host,
    /// whatever the process says.
    pub(super) fn of_plugin(plugin: &str, line: &[u8]) -> Entry {
        let own = format!("{PLUGIN}{plugin}");
        let line = String::from_utf8_lossy(line);
        let Some((level, target, text)) = parse(&line) else {
            return Entry::new(Level::Info, &own, &format_args!("{line}"));
        };
        match target.starts_with(PLUGIN) {
            true => Entry::new(level, &own, &format_args!("{text}")),
            false => Entry::new(level, &format!("{HOST}{plugin}"), &format_args!("{text}")),
        }
    }

    /// Its level; that of a plain line, which is an error of the command.
    pub(super) fn level(&self) -> Level {
        self.level.unwrap_or(Level::Error)
    }

    /// Whether it belongs to the audit, which no flood of other lines displaces.
    pub(super) fn is_audit(&self) -> bool {
        self.target == audit::TARGET
    }

    /// What it counts for where bytes are counted.
    pub(super) fn cost(&self) -> usize {
        OVERHEAD + self.target.len() + self.text.len()
    }
}

/// The plugin that a target belongs to: that of its own lines, or that of its host.
pub(super) fn plugin_of(target: &str) -> Option<&str> {
    target.strip_prefix(PLUGIN).or_else(|| target.strip_prefix(HOST))
}

/// A record of a host's output: level, target and text.
fn parse(line: &str) -> Option<(Level, &str, &str)> {
    let frame = line.strip_prefix(char::from(FRAME))?;
    let (level, rest) = frame.split_once(' ')?;
    let (target, text) = rest.split_once(' ')?;
    let level = Level::iter().find(|known| (*known as usize).to_string() == level)?;
    Some((level, target, text))
}

/// A text that keeps its first bytes, and counts the others.
struct Bounded {
    text: String,
    more: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let mut room = TEXT_MAX.saturating_sub(self.text.len()).min(part.len());
        if self.more > 0 {
            room = 0;
        }
        let taken = part.floor_char_boundary(room);
        self.text.push_str(&part[..taken]);
        self.more += part.len() - taken;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::Format;
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(TEXT_MAX);
        let entry = Entry::new(Level::Warn, "a", &format_args!("x{text}yz"));
        let kept = entry.text.strip_suffix(&format!(" ... ({} bytes more)", TEXT_MAX + 4));
        assert_eq!(kept.map(str::len), Some(TEXT_MAX - 1), "{}", &entry.text[TEXT_MAX - 1..]);
    }

    #[test]
    fn what_a_process_writes_has_the_name_of_its_plugin() {
        let shown = |bytes: &[u8]| {
            let entry = Entry::of_plugin("evil", bytes);
            (entry.level, entry.target, entry.text)
        };
        let of = |level, target: &str, text: &str| (Some(level), target.into(), text.into());
        let record = Entry::new(Level::Debug, "plugin::other", &format_args!("a b"));
        let mut frame = Vec::new();
        Format::Frames.write(&record, &mut frame);
        assert_eq!(shown(frame.trim_ascii_end()), of(Level::Debug, "plugin::evil", "a b"));
        let host = b"\x1e2 trunkline::serve all is lost";
        assert_eq!(shown(host), of(Level::Warn, "host::evil", "all is lost"));
        let audit = b"\x1e3 audit link-up key=forged";
        assert_eq!(shown(audit), of(Level::Info, "host::evil", "link-up key=forged"));
        for printed in ["[2024-02-29T12:34:56Z ERROR trunkline] x", "\x1e9 a b", "\x1e1 a", ""] {
            assert_eq!(shown(printed.as_bytes()), of(Level::Info, "plugin::evil", printed));
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced() {
        assert_eq!(Entry::of_plugin("evil", b"a\xff\xfeb").text, "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn the_plugin_of_a_line_is_in_its_target() {
        let targets = ["plugin::echo", "host::echo", "printed", "audit", "trunkline::plugin::x"];
        let plugins = targets.map(plugin_of);
        assert_eq!(plugins, [Some("echo"), Some("echo"), None, None, None]);
    }
}
