//! What a plugin declares about itself; all of it is checked at compile time.

/// The most names in `uses`, and in `invites`, because they travel in each server's hello.
pub(crate) const MOST_NAMES: usize = 8;

/// The most bytes in a plugin's name.
const LONGEST_NAME: usize = 64;

/// Name, version, and the other plugins that this one uses or invites.
///
/// A version is one number: each version must work for the users of every older one. A breaking
/// change takes a new name.
///
/// ```
/// use trunkline_plugin::About;
///
/// const ABOUT: About = About::new("mirror", 3).uses("store", 2).invites("watcher");
/// assert_eq!(ABOUT.name(), "mirror");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    name: &'static str,
    version: u64,
    uses: List<Use>,
    invites: List<&'static str>,
}

/// A plugin that another one uses, with the least version that suffices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The wanted plugin's name.
    pub name: &'static str,
    /// The least version that suffices.
    pub version: u64,
}

impl About {
    /// A plugin with this name and version.
    ///
    /// # Panics
    ///
    /// If the name is not 1 to 64 of `a-z 0-9 - . _`, beginning with a letter. In
    /// [`Plugin::ABOUT`](crate::Plugin::ABOUT) that is a compile error.
    #[must_use]
    pub const fn new(name: &'static str, version: u64) -> Self {
        assert!(is_name(name), "a plugin's name is 1 to 64 of a-z 0-9 - . _, a letter first");
        Self { name, version, uses: List::of(Use { name: "", version: 0 }), invites: List::of("") }
    }

    /// Declares that this plugin opens channels to `name`, or calls it, at `version` or later. At
    /// most 8 names.
    ///
    /// Servers keep a link because of such a declaration. A link without open channels, of which no
    /// plugin uses or invites one of the other side, is closed after 5 s unless a server's
    /// configuration says otherwise. A plugin may open channels and make calls without this
    /// declaration. For a name that comes from the configuration there is
    /// [`Host::uses`](crate::Host::uses).
    ///
    /// # Panics
    ///
    /// If the name is not valid, or is the ninth.
    #[must_use]
    pub const fn uses(mut self, name: &'static str, version: u64) -> Self {
        assert!(is_name(name), "a plugin's name is 1 to 64 of a-z 0-9 - . _, a letter first");
        self.uses = self.uses.with(Use { name, version });
        self
    }

    /// Declares that plugins called `name` on other servers should connect to this one. At most 8
    /// names.
    ///
    /// If a linked server has such a plugin, and may see this one, it connects the two: each is
    /// asked by [`Plugin::open`](crate::Plugin::open), as if the other had opened the channel. Like
    /// [`uses`](Self::uses), it keeps the link.
    ///
    /// # Panics
    ///
    /// If the name is not valid, or is the ninth.
    #[must_use]
    pub const fn invites(mut self, name: &'static str) -> Self {
        assert!(is_name(name), "a plugin's name is 1 to 64 of a-z 0-9 - . _, a letter first");
        self.invites = self.invites.with(name);
        self
    }

    /// The plugin's own name; a server's configuration may give it another one.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The plugin's version.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The plugins that this one opens channels to.
    #[must_use]
    pub const fn used(&self) -> &[Use] {
        self.uses.as_slice()
    }

    /// The names of plugins that should connect to this one.
    #[must_use]
    pub const fn invited(&self) -> &[&'static str] {
        self.invites.as_slice()
    }
}

/// Whether this is 1 to 64 of `a-z 0-9 - . _`, beginning with a letter.
pub(crate) const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > LONGEST_NAME || !bytes[0].is_ascii_lowercase() {
        return false;
    }
    let mut at = 1;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_') {
            return false;
        }
        at += 1;
    }
    true
}

/// A list that can be built in a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct List<T> {
    items: [T; MOST_NAMES],
    len: usize,
}

impl<T: Copy> List<T> {
    /// An empty list; `filler` is never seen.
    const fn of(filler: T) -> Self {
        Self { items: [filler; MOST_NAMES], len: 0 }
    }

    const fn with(mut self, item: T) -> Self {
        assert!(self.len < MOST_NAMES, "a plugin names at most 8 others of each kind");
        self.items[self.len] = item;
        self.len += 1;
        self
    }

    const fn as_slice(&self) -> &[T] {
        self.items.split_at(self.len).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_begin_with_a_letter_and_are_bounded() {
        for good in ["a", "echo", "a-b.c_9", &"x".repeat(64)] {
            assert!(is_name(good), "{good:?} is a valid name");
        }
        for bad in ["", "9a", "-a", "Echo", "a b", "é", "a/b", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad:?} is not a valid name");
        }
    }

    #[test]
    fn what_was_said_is_what_is_read() {
        const ABOUT: About = About::new("a", 7).uses("b", 2).uses("c", 3).invites("d");
        assert_eq!((ABOUT.name(), ABOUT.version()), ("a", 7));
        let expected = [Use { name: "b", version: 2 }, Use { name: "c", version: 3 }];
        assert_eq!(ABOUT.used(), expected);
        assert_eq!(ABOUT.invited(), ["d"]);
    }
}
