//! Why something was refused, failed or ended.

use core::fmt;
use std::borrow::Cow;

/// The most bytes in a reason's code.
const LONGEST_CODE: usize = 64;

/// The most bytes in a reason's text; the rest is cut off. A reason fits in one control message
/// with room to spare.
const LONGEST_TEXT: usize = 1024;

/// A code for programs and a sentence for people.
///
/// The giver of a reason is kept apart from its code, so that a server's reason cannot be mistaken
/// for a plugin's. A reason made by a plugin is always [`By::Plugin`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    by: By,
    code: Cow<'static, str>,
    text: String,
}

/// The giver of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// The plugin at the other end, or this one.
    Plugin,
    /// A server on the path.
    Server,
}

impl Reason {
    /// A plugin's reason: a kebab-case code, and a sentence of at most 1 KiB (the rest is cut off).
    ///
    /// # Panics
    ///
    /// If the code is not 1 to 64 of `a-z 0-9 -`.
    #[must_use]
    #[track_caller]
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        assert!(is_code(code), "a reason's code is 1 to 64 of a-z 0-9 -, not {code:?}");
        Self { by: By::Plugin, code: Cow::Borrowed(code), text: cut(text.into()) }
    }

    /// A reason that came from elsewhere; `None` if its code is invalid.
    #[cfg(feature = "host")]
    #[must_use]
    pub fn from_parts(by: By, code: &str, text: &str) -> Option<Self> {
        is_code(code).then(|| Self::received(by, code, text))
    }

    /// A reason as the host delivers it; the host has checked it.
    pub(crate) fn received(by: By, code: &str, text: &str) -> Self {
        Self { by, code: Cow::Owned(code.to_owned()), text: cut(text.to_owned()) }
    }

    /// The giver of the reason.
    #[must_use]
    pub fn by(&self) -> By {
        self.by
    }

    /// The code, for programs.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence, for people.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

impl std::error::Error for Reason {}

impl From<std::io::Error> for Reason {
    fn from(error: std::io::Error) -> Self {
        Self::new("io", error.to_string())
    }
}

/// Whether this is 1 to 64 of `a-z 0-9 -`.
fn is_code(code: &str) -> bool {
    (1..=LONGEST_CODE).contains(&code.len())
        && code.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Cuts off the part of the text that is beyond the limit.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST_TEXT));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let reason = Reason::new("too-long", "é".repeat(600) + "x");
        assert_eq!(reason.text().len(), 1024);
        let reason = Reason::new("too-long", format!("x{}", "é".repeat(600)));
        assert_eq!(reason.text().len(), 1023);
    }

    #[test]
    #[should_panic(expected = "a reason's code is")]
    fn a_code_is_kebab_case() {
        let _ = Reason::new("No Such Thing", "");
    }
}
