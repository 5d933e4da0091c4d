//! Plugins that the configuration names and that could not be loaded. They have no record, because
//! no plugin was added: `status` and `explain` would not know of them.

use super::Registry;
use crate::name::Name;
use crate::reason::Reason;

/// A plugin of this process that could not be loaded.
#[derive(Debug)]
pub(crate) struct NotLoaded {
    /// Its configured name, or the one that its file suggests.
    pub(crate) name: Name,
    pub(crate) reason: Reason,
}

impl Registry {
    /// Keeps why a plugin could not be loaded. Only the configuration names such plugins, so their
    /// number is bounded.
    pub(crate) fn note_not_loaded(&mut self, name: Name, reason: Reason) {
        self.not_loaded.push(NotLoaded { name, reason });
    }

    /// The plugins that could not be loaded, in the order of the configuration.
    pub(crate) fn not_loaded(&self) -> impl Iterator<Item = &NotLoaded> {
        self.not_loaded.iter()
    }
}
