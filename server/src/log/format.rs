//! The forms of a line: text for people, JSON, and the frames of a host for its server.

use super::entry::{Entry, FRAME, plugin_of};
use super::time::{Microseconds, Seconds};
use crate::config::LogFormat;
use log::Level;
use std::fmt;
use std::io::Write;
use trunkline_core::printable::{Printable, is_unsafe};

/// How entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As text, with or without colours.
    Text { coloured: bool },
    /// One JSON object a line.
    Json,
    /// For the server that started this process: [`FRAME`], a digit for the level, a space, the
    /// target, a space and the text.
    Frames,
}

impl Format {
    /// The form that a configuration names. Text is in colours on a terminal or as
    /// `RUST_LOG_STYLE` says.
    pub(super) fn configured(format: LogFormat, terminal: bool) -> Format {
        if format == LogFormat::Json {
            return Format::Json;
        }
        let style = std::env::var("RUST_LOG_STYLE").unwrap_or_default();
        let coloured = match style.as_str() {
            "always" => true,
            "never" => false,
            _ => terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        Format::Text { coloured }
    }

    /// Appends an entry as one line.
    pub(super) fn write(self, entry: &Entry, line: &mut Vec<u8>) {
        let (time, target) = (Seconds(entry.time), Printable(&entry.target));
        // A vector takes everything.
        let _ = match (self, entry.level) {
            (Format::Json, _) => return write_json(None, entry, line),
            (_, None) => Ok(()),
            (Format::Text { coloured: false }, Some(level)) => {
                write!(line, "[{time} {level:<5} {target}] ")
            }
            (Format::Text { coloured: true }, Some(level)) => {
                let colour = colour(level);
                write!(
                    line,
                    "\x1b[90m[\x1b[0m{time} {colour}{level:<5}\x1b[0m {target}\x1b[90m]\x1b[0m "
                )
            }
            (Format::Frames, Some(level)) => {
                write!(line, "{}{} {target} ", char::from(FRAME), level as usize)
            }
        };
        let _ = writeln!(line, "{}", Printable(&entry.text));
    }
}

/// Appends an entry as a JSON object in a line, with its number among the latest ones.
pub(super) fn write_json(number: Option<u64>, entry: &Entry, line: &mut Vec<u8>) {
    let (time, level) = (Microseconds(entry.time), word(entry.level()));
    let (target, text) = (Escaped(&entry.target), Escaped(&entry.text));
    // A vector takes everything.
    let _ = match number {
        Some(number) => write!(line, "{{\"number\":{number},"),
        None => write!(line, "{{"),
    };
    let _ = write!(line, "\"time\":\"{time}\",\"level\":\"{level}\",\"target\":\"{target}\"");
    if let Some(plugin) = plugin_of(&entry.target) {
        let _ = write!(line, ",\"plugin\":\"{}\"", Escaped(plugin));
    }
    let _ = writeln!(line, ",\"message\":\"{text}\"}}");
}

/// The word of a level, as in a configuration.
fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
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

/// The inside of a JSON string. Characters that control a terminal are escaped too, which JSON
/// itself does not ask for, because JSON lines are read on terminals.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(|c| matches!(c, '"' | '\\') || is_unsafe(c)) {
            let (plain, escaped) = rest.split_at(at);
            f.write_str(plain)?;
            let mut chars = escaped.chars();
            match chars.next() {
                Some(c @ ('"' | '\\')) => write!(f, "\\{c}")?,
                // All of them are below U+10000.
                Some(c) => write!(f, "\\u{:04x}", u32::from(c))?,
                None => {}
            }
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn line(entry: &Entry, format: Format) -> String {
        let mut line = Vec::new();
        format.write(entry, &mut line);
        String::from_utf8(line).unwrap()
    }

    fn entry(target: &str, text: &str) -> Entry {
        let time = UNIX_EPOCH + Duration::from_micros(1_709_210_096_000_042);
        Entry { time, ..Entry::new(Level::Info, target, &format_args!("{text}")) }
    }

    #[test]
    fn a_line_has_time_level_and_target() {
        let text = line(&entry("a::b", "it runs"), Format::Text { coloured: false });
        assert_eq!(text, "[2024-02-29T12:34:56Z INFO  a::b] it runs\n");
    }

    #[test]
    fn a_record_is_one_line_without_control_characters() {
        let text = line(&entry("a\nb", "c\n[x] d\x1b[2J\u{9b}é"), Format::Text { coloured: false });
        assert!(text.ends_with("INFO  a\\nb] c\\n[x] d\\u{1b}[2J\\u{9b}é\n"), "{text:?}");
    }

    #[test]
    fn a_json_line_names_the_plugin() {
        let of = |target: &str| line(&entry(target, "it runs"), Format::Json);
        let head = "{\"time\":\"2024-02-29T12:34:56.000042Z\",\"level\":\"info\",\"target\":";
        let plugin = "\"plugin::echo\",\"plugin\":\"echo\",\"message\":\"it runs\"}\n";
        assert_eq!(of("plugin::echo"), format!("{head}{plugin}"));
        assert_eq!(of("a::b"), format!("{head}\"a::b\",\"message\":\"it runs\"}}\n"));
    }

    #[test]
    fn a_json_line_is_printable_and_parses_to_the_text_that_was_logged() {
        let every: String = (0..=0x2100).filter_map(char::from_u32).collect();
        for text in ["\"}\n{\"level\":\"error", "\\", "\\u0022", "é🦀\u{10ffff}", every.as_str()]
        {
            let line = line(&entry("a\"b", text), Format::Json);
            let inner = line.strip_suffix('\n').unwrap();
            assert!(!inner.contains(is_unsafe), "{inner}");
            let parsed: serde_json::Value = serde_json::from_str(inner).unwrap();
            let logged = entry("a\"b", text);
            assert_eq!(parsed["message"], *logged.text);
            assert_eq!(parsed["target"], "a\"b");
        }
    }

    #[test]
    fn an_error_of_the_command_is_a_record_in_json_only() {
        let error = Entry::plain("trunkline: a: b");
        assert_eq!(line(&error, Format::Text { coloured: false }), "trunkline: a: b\n");
        let parsed: serde_json::Value = serde_json::from_str(&line(&error, Format::Json)).unwrap();
        assert_eq!((&parsed["level"], &parsed["target"]), (&"error".into(), &"trunkline".into()));
    }
}
