//! Checked plugin names and versions. It does not know where a plugin is.

use alloc::string::String;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// A plugin's version. Each new version works for the users of every older one.
pub type Version = u64;

/// Longest name in bytes. It bounds the cost of a directory entry.
pub const NAME_MAX: usize = 64;

/// A plugin's name: 1 to 64 of `a-z 0-9 - . _`, beginning with a letter. Copies share the text: a
/// name lies in many tables at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text is not a plugin name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// The text is empty.
    Empty,
    /// The text has this many bytes, which is over [`NAME_MAX`].
    TooLong(usize),
    /// The first character is not a lower-case letter.
    FirstCharacter(char),
    /// A character that names may not hold.
    Character(char),
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Name, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.as_str().into()
    }
}

/// Names are ordered and compared as their texts.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let first = text.chars().next().ok_or(NameError::Empty)?;
        if text.len() > NAME_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        if !first.is_ascii_lowercase() {
            return Err(NameError::FirstCharacter(first));
        }
        let legal = |c: &char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.' | '_');
        match text.chars().find(|c| !legal(c)) {
            Some(other) => Err(NameError::Character(other)),
            None => Ok(Name(text.into())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => f.write_str("a name must not be empty"),
            NameError::TooLong(n) => {
                write!(f, "a name may have at most {NAME_MAX} bytes, this one has {n}")
            }
            NameError::FirstCharacter(c) => {
                write!(f, "a name must begin with a letter a-z, not {c:?}")
            }
            NameError::Character(c) => write!(f, "a name may hold only a-z 0-9 - . _, not {c:?}"),
        }
    }
}

impl core::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn only_valid_names_are_accepted() {
        for good in ["a", "echo", "a-b.c_9", &"x".repeat(64)] {
            assert_eq!(good.parse::<Name>().map(|n| n.to_string()).as_deref(), Ok(good));
        }
        assert_eq!("".parse::<Name>(), Err(NameError::Empty));
        assert_eq!("x".repeat(65).parse::<Name>(), Err(NameError::TooLong(65)));
        assert_eq!("9a".parse::<Name>(), Err(NameError::FirstCharacter('9')));
        assert_eq!("aB".parse::<Name>(), Err(NameError::Character('B')));
        assert_eq!("é".parse::<Name>(), Err(NameError::FirstCharacter('é')));
    }
}
