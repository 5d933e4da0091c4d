//! Which plugin to open a channel to, or to call.

use core::sync::atomic::{AtomicU64, Ordering};

/// The plugin to open a channel to, or to call: a name, a least version, and a place.
///
/// ```
/// use trunkline_plugin::Target;
///
/// let anywhere = Target::new("echo");
/// let there = Target::new("echo").version(3).on_server("beta");
/// # let _ = (anywhere, there);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    name: String,
    version: u64,
    place: Place,
    hint: Hint,
}

/// Where the host found the plugin the last time, in the host's own terms; 0 means unknown. It
/// makes the next call faster and has no other effect: targets that differ only in the hint are
/// equal.
#[derive(Debug, Default)]
struct Hint(AtomicU64);

impl Clone for Hint {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

impl PartialEq for Hint {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Hint {}

/// Where to look for the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On this server if it exists here, else on any linked server that has it.
    Anywhere,
    /// On this server only.
    Here,
    /// On the linked server with this key (in base64) or this name.
    Server(String),
}

impl Target {
    /// The plugin with this name, of any version, on any server.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), version: 0, place: Place::Anywhere, hint: Hint::default() }
    }

    /// Requires this version or a later one.
    #[must_use]
    pub fn version(mut self, least: u64) -> Self {
        self.version = least;
        self
    }

    /// On this server only.
    #[must_use]
    pub fn here(mut self) -> Self {
        self.place = Place::Here;
        self
    }

    /// On the linked server with this key (in base64) or this name only.
    #[must_use]
    pub fn on_server(mut self, key_or_name: impl Into<String>) -> Self {
        self.place = Place::Server(key_or_name.into());
        self
    }

    /// The wanted name, as the plugin wrote it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The least version that suffices.
    #[must_use]
    pub fn least_version(&self) -> u64 {
        self.version
    }

    pub(crate) fn hint(&self) -> u64 {
        self.hint.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set_hint(&self, hint: u64) {
        self.hint.0.store(hint, Ordering::Relaxed);
    }

    /// Where to look for it.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }
}
