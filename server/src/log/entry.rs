//! One line of the log, and its text for people or for the server of a host.

use log::Level;
use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};
use trunkline_core::printable::Printable;

/// Bytes of one text. What is longer is cut, so that a line stays readable and bounded.
pub(super) const TEXT_MAX: usize = 8 * 1024;

/// What an entry takes beside its texts, in bytes: itself, and its time and level in the line.
const OVERHEAD: usize = 128;

/// Begins a record within the output of a host that a server started. Everything else is printed.
pub(super) const FRAME: u8 = 0x1e;

/// A line before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    time: SystemTime,
    /// A plain line has none.
    level: Option<Level>,
    target: String,
    text: String,
    /// How many lines are lost if this one is: those that it counts, or itself.
    pub(super) stands_for: u64,
    /// It only says that others were dropped.
    pub(super) is_notice: bool,
}

/// How entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As text, with or without colours.
    Text { coloured: bool },
    /// For the server that started this process: [`FRAME`], a digit for the level, a space, the
    /// target, a space and the text.
    Frames,
}

impl Format {
    /// Text, in colours on a terminal or as `RUST_LOG_STYLE` says.
    pub(super) fn for_people(terminal: bool) -> Format {
        let style = std::env::var("RUST_LOG_STYLE").unwrap_or_default();
        let coloured = match style.as_str() {
            "always" => true,
            "never" => false,
            _ => terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        Format::Text { coloured }
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
        let (time, target) = (SystemTime::now(), target.to_owned());
        let (level, stands_for, is_notice) = (Some(level), 1, false);
        Entry { time, level, target, text: bounded.text, stands_for, is_notice }
    }

    /// A line as it is, without time and level.
    pub(super) fn plain(text: &str) -> Entry {
        let entry = Entry::new(Level::Error, "", &format_args!("{text}"));
        Entry { level: None, ..entry }
    }

    /// That this many lines found the queue full, or could not be written.
    pub(super) fn dropped(count: u64) -> Entry {
        let text = format_args!("{count} log lines were dropped, because stderr took no more");
        let entry = Entry::new(Level::Warn, module_path!(), &text);
        Entry { stands_for: count, is_notice: true, ..entry }
    }

    /// That a source has used up its budget.
    pub(super) fn over_budget(source: &str, count: u64) -> Entry {
        let text = format_args!(
            "{count} lines of {source} were dropped: it logs more than {} KiB a second",
            super::accounts::RATE / 1024
        );
        Entry { stands_for: count, ..Entry::new(Level::Warn, module_path!(), &text) }
    }

    /// What it counts for where bytes are counted.
    pub(super) fn cost(&self) -> usize {
        OVERHEAD + self.target.len() + self.text.len()
    }

    /// Appends it as one line.
    pub(super) fn write(&self, format: Format, line: &mut String) {
        // A string takes everything.
        let _ = match (format, self.level) {
            (_, None) => Ok(()),
            (Format::Text { coloured: false }, Some(level)) => {
                write!(line, "[{} {level:<5} {}] ", Time(self.time), Printable(&self.target))
            }
            (Format::Text { coloured: true }, Some(level)) => {
                let (time, colour) = (Time(self.time), colour(level));
                let target = Printable(&self.target);
                write!(
                    line,
                    "\x1b[90m[\x1b[0m{time} {colour}{level:<5}\x1b[0m {target}\x1b[90m]\x1b[0m "
                )
            }
            (Format::Frames, Some(level)) => {
                let (frame, level) = (char::from(FRAME), level as usize);
                write!(line, "{frame}{level} {} ", Printable(&self.target))
            }
        };
        let _ = writeln!(line, "{}", Printable(&self.text));
    }

    /// The line that a plugin's process wrote. Its target is the plugin's, or that of its host,
    /// whatever the process says.
    pub(super) fn of_plugin(plugin: &str, line: &[u8]) -> Entry {
        let own = format!("{}{plugin}", super::PLUGIN);
        let line = String::from_utf8_lossy(line);
        let Some((level, target, text)) = parse(&line) else {
            return Entry::new(Level::Info, &own, &format_args!("{line}"));
        };
        match target.starts_with(super::PLUGIN) {
            true => Entry::new(level, &own, &format_args!("{text}")),
            false => Entry::new(level, &format!("host::{plugin}"), &format_args!("{text}")),
        }
    }
}

/// A record of a host's output: level, target and text.
fn parse(line: &str) -> Option<(Level, &str, &str)> {
    let frame = line.strip_prefix(char::from(FRAME))?;
    let (level, rest) = frame.split_once(' ')?;
    let (target, text) = rest.split_once(' ')?;
    let level = Level::iter().find(|known| (*known as usize).to_string() == level)?;
    Some((level, target, text))
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[1;31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug => "\x1b[34m",
        Level::Trace => "\x1b[36m",
    }
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

/// Shows a time as in RFC 3339, in UTC and whole seconds.
struct Time(SystemTime);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (days, time) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Year, month and day, this many days after the first of January 1970. Years begin in March here,
/// so that the leap day is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (of_month, month) = (day - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    (era * 400 + year + u64::from(month <= 2), month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(entry: &Entry, format: Format) -> String {
        let mut line = String::new();
        entry.write(format, &mut line);
        line
    }

    #[test]
    fn a_line_has_time_level_and_target() {
        let mut entry = Entry::new(Level::Info, "a::b", &format_args!("it runs"));
        entry.time = UNIX_EPOCH + std::time::Duration::from_secs(1_709_210_096);
        let text = line(&entry, Format::Text { coloured: false });
        assert_eq!(text, "[2024-02-29T12:34:56Z INFO  a::b] it runs\n");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (19_782, (2024, 2, 29)),
            (20_088, (2024, 12, 31)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }

    #[test]
    fn a_record_is_one_line_without_control_characters() {
        let entry = Entry::new(Level::Warn, "a\nb", &format_args!("c\n[x] d\x1b[2J\u{9b}é"));
        let text = line(&entry, Format::Text { coloured: false });
        assert!(text.ends_with("WARN  a\\nb] c\\n[x] d\\u{1b}[2J\\u{9b}é\n"), "{text:?}");
    }

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
        let frame = line(&record, Format::Frames);
        assert_eq!(shown(frame.trim_end().as_bytes()), of(Level::Debug, "plugin::evil", "a b"));
        let host = b"\x1e2 trunkline::serve all is lost";
        assert_eq!(shown(host), of(Level::Warn, "host::evil", "all is lost"));
        for printed in ["[2024-02-29T12:34:56Z ERROR trunkline] x", "\x1e9 a b", "\x1e1 a", ""] {
            assert_eq!(shown(printed.as_bytes()), of(Level::Info, "plugin::evil", printed));
        }
    }
}
