//! Text from others, such as a peer's reason, made safe to show on a terminal and in one line of a
//! log. It is escaped where it is received, and again on each way out.

use alloc::string::String;
use core::fmt::{self, Write};

/// A value that is shown with [`is_unsafe`] characters escaped, as `\u{1b}`.
#[derive(Clone, Copy, Debug)]
pub struct Printable<T>(pub T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Escapes what is written through it.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_unsafe) {
            let (plain, escaped) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut chars = escaped.chars();
            if let Some(c) = chars.next() {
                write!(self.0, "{}", c.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Whether a character controls a terminal or a line rather than being seen in it: control
/// characters, line and paragraph separators, and those that change the direction of text.
pub fn is_unsafe(c: char) -> bool {
    let separates = matches!(c, '\u{2028}' | '\u{2029}');
    let marks_direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}');
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || separates || marks_direction || turns
}

/// The text of a peer or a plugin, escaped and cut to at most so many bytes, at the border of a
/// character.
pub(crate) fn received(text: &str, most: usize) -> String {
    let mut kept = String::new();
    for c in text.chars() {
        let before = kept.len();
        match is_unsafe(c) {
            true => kept.extend(c.escape_default()),
            false => kept.push(c),
        }
        if kept.len() > most {
            kept.truncate(before);
            break;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const HOSTILE: &str = "no\x1b]0;owned\x07\n yes \u{9b}2J \u{202e}\u{2028}é🦀";
    const SHOWN: &str = r"no\u{1b}]0;owned\u{7}\n yes \u{9b}2J \u{202e}\u{2028}é🦀";

    #[test]
    fn what_controls_a_terminal_or_a_line_is_escaped() {
        assert_eq!(Printable(HOSTILE).to_string(), SHOWN);
        assert_eq!(received(HOSTILE, 1000), SHOWN);
    }

    #[test]
    fn escaped_text_is_not_escaped_again() {
        assert_eq!(Printable(SHOWN).to_string(), SHOWN);
        assert_eq!(received(SHOWN, 1000), SHOWN);
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_never_within_an_escape() {
        for most in 0..SHOWN.len() {
            let kept = received(HOSTILE, most);
            assert!(kept.len() <= most && SHOWN.starts_with(&kept));
            assert!(
                !kept.ends_with('\\') && kept.matches('{').count() == kept.matches('}').count()
            );
        }
    }
}
