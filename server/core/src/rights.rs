//! What a configuration grants to a plugin.

use crate::address::Host;
use crate::key::Key;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Who may see and reach a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expose {
    /// Plugins of this server.
    Local,
    /// Plugins of every linked server.
    Peers,
    /// Plugins of the servers with these keys.
    Keys(Vec<Key>),
}

/// What a plugin may do only where its configuration says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Permission {
    /// Open and close links to other servers.
    Links,
}

impl Permission {
    /// What a word of the configuration means.
    pub(crate) fn of(word: &str) -> Option<Permission> {
        [Permission::Links].into_iter().find(|permission| permission.as_str() == word)
    }

    /// The word that the configuration uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Permission::Links => "links",
        }
    }
}

/// Where a plugin's process listens for direct connections to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Advertise {
    /// A unix socket, at a path that the process chooses.
    Unix,
    /// TCP with the key of the process.
    Net {
        /// On which of this machine's addresses.
        host: Host,
        /// 0: one that the system chooses.
        port: u16,
    },
}
