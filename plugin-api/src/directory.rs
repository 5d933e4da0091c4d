//! What a plugin learns about other plugins, servers and links.

use core::fmt;

use base64ct::{Base64, Encoding};

use crate::Reason;

/// A server's public key, shown in standard base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 32]);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 32 bytes are 44 characters of base64.
        let mut text = [0; 44];
        f.pad(Base64::encode(&self.0, &mut text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A server: its key, and its name for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its key.
    pub key: Key,
    /// Its name in logs and status; not unique.
    pub name: String,
}

/// The plugin that opens a channel, or calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: u64,
    /// The key of its server, which vouches for name and version.
    pub server: Key,
    /// Whether its server is this one.
    pub local: bool,
}

/// A plugin in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// The key of its server.
    pub server: Key,
    /// Whether its server is this one.
    pub local: bool,
}

/// What changed in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A plugin appeared.
    Appeared(Entry),
    /// A plugin has another version now.
    Changed(Entry),
    /// A plugin left.
    Left(Entry),
}

impl Change {
    /// The change with this number; `None` for one that only a later version knows.
    pub(crate) fn numbered(number: u8, entry: Entry) -> Option<Self> {
        match number {
            0 => Some(Self::Appeared(entry)),
            1 => Some(Self::Changed(entry)),
            2 => Some(Self::Left(entry)),
            _ => None,
        }
    }

    /// The plugin that changed.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        match self {
            Self::Appeared(entry) | Self::Changed(entry) | Self::Left(entry) => entry,
        }
    }
}

/// A link to another server that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The server at its other side.
    pub peer: Server,
}

/// What happened to a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// It is up.
    Up(Link),
    /// It is down, for this reason.
    Down(Link, Reason),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_in_standard_base64() {
        assert_eq!(Key([0xff; 32]).to_string(), "/".repeat(42) + "8=");
    }

    #[test]
    fn a_change_that_only_a_later_version_knows_is_none() {
        let entry = || Entry { name: "a".into(), version: 1, server: Key([1; 32]), local: true };
        let known = [Change::Appeared(entry()), Change::Changed(entry()), Change::Left(entry())];
        let numbered = [0, 1, 2].map(|number| Change::numbered(number, entry()));
        assert_eq!(numbered, known.map(Some));
        assert_eq!([3, u8::MAX].map(|number| Change::numbered(number, entry())), [None, None]);
    }
}
