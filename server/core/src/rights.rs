//! What a configuration grants to a plugin, or to a host for its plugins, and how a wider request
//! is narrowed. Requests and refusals are decided elsewhere.

use crate::address::Host;
use crate::key::Key;
use crate::name::Name;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The servers whose plugins may see and reach a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expose {
    /// Plugins of this server.
    Local,
    /// Plugins of every linked server.
    Peers,
    /// Plugins of the servers with these keys.
    Keys(Vec<Key>),
}

impl Expose {
    /// The narrower of this and `most`.
    pub(crate) fn within(self, most: &Expose) -> Expose {
        match (self, most) {
            (asked, Expose::Peers) => asked,
            (Expose::Local, _) | (_, Expose::Local) => Expose::Local,
            (Expose::Peers, Expose::Keys(granted)) => Expose::Keys(granted.clone()),
            (Expose::Keys(mut asked), Expose::Keys(granted)) => {
                asked.retain(|key| granted.contains(key));
                Expose::Keys(asked)
            }
        }
    }
}

/// Keys that one plugin may be exposed to.
pub const KEYS_MAX: usize = 64;

/// What a plugin may do only where its configuration says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Permission {
    /// Open and close links to other servers.
    Links,
}

impl Permission {
    /// All of them.
    pub(crate) const ALL: [Permission; 1] = [Permission::Links];

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

/// A set of things that are granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted<T> {
    /// Whatever is asked for.
    Any,
    /// These, and no others.
    Only(BTreeSet<T>),
}

impl<T: Ord> Granted<T> {
    /// Whether a thing is granted.
    pub fn has(&self, wanted: &T) -> bool {
        match self {
            Granted::Any => true,
            Granted::Only(these) => these.contains(wanted),
        }
    }

    /// Whether anything is granted that fits.
    pub(crate) fn has_any(&self, fits: impl Fn(&T) -> bool) -> bool {
        match self {
            Granted::Any => true,
            Granted::Only(these) => these.iter().any(fits),
        }
    }
}

impl<T: Ord> FromIterator<T> for Granted<T> {
    fn from_iter<I: IntoIterator<Item = T>>(these: I) -> Granted<T> {
        Granted::Only(these.into_iter().collect())
    }
}

/// The names that a host's plugins may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Whatever it registers.
    Any,
    /// The first name that it registers, which is not known beforehand; then no other.
    First,
    /// These, and no others.
    Only(BTreeSet<Name>),
}

impl Names {
    /// Whether a plugin may have this name.
    pub(crate) fn has(&self, wanted: &Name) -> bool {
        match self {
            Names::Any | Names::First => true,
            Names::Only(these) => these.contains(wanted),
        }
    }
}

/// What a host may register for its plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The names of its plugins.
    pub names: Names,
    /// The widest `expose` of its plugins.
    pub expose: Expose,
    /// What its plugins may do beyond the default.
    pub allow: Granted<Permission>,
    /// Where it may take direct connections.
    pub advertise: Granted<Advertise>,
}

impl Rights {
    /// Whatever a host asks for: it is one of our own user.
    pub fn all() -> Rights {
        Rights {
            names: Names::Any,
            expose: Expose::Peers,
            allow: Granted::Any,
            advertise: Granted::Any,
        }
    }

    /// Nothing at all.
    pub fn none() -> Rights {
        Rights {
            names: Names::Only(BTreeSet::new()),
            expose: Expose::Local,
            allow: Granted::Only(BTreeSet::new()),
            advertise: Granted::Only(BTreeSet::new()),
        }
    }

    /// Whether a TCP port may be advertised.
    pub(crate) fn has_port(&self, wanted: u16) -> bool {
        self.advertise.has_any(|place| match place {
            Advertise::Unix => false,
            Advertise::Net { port, .. } => *port == 0 || *port == wanted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn keys(numbers: &[u8]) -> Expose {
        Expose::Keys(numbers.iter().map(|number| Key([*number; 32])).collect())
    }

    #[test]
    fn of_what_is_asked_and_what_is_granted_the_narrower_holds() {
        for (asked, granted, left) in [
            (Expose::Local, Expose::Peers, Expose::Local),
            (Expose::Peers, Expose::Peers, Expose::Peers),
            (keys(&[1, 2]), Expose::Peers, keys(&[1, 2])),
            (Expose::Local, Expose::Local, Expose::Local),
            (Expose::Peers, Expose::Local, Expose::Local),
            (keys(&[1]), Expose::Local, Expose::Local),
            (Expose::Local, keys(&[1]), Expose::Local),
            (Expose::Peers, keys(&[1, 3]), keys(&[1, 3])),
            (keys(&[1, 2]), keys(&[2, 3]), keys(&[2])),
        ] {
            let text = alloc::format!("{asked:?} within {granted:?}");
            assert_eq!(asked.within(&granted), left, "{text}");
        }
    }

    #[test]
    fn a_port_is_granted_by_its_number_or_by_any() {
        let net = |port| Advertise::Net { host: "0.0.0.0".parse().expect("a host"), port };
        let ports = |places: Vec<Advertise>| {
            let rights = Rights { advertise: places.into_iter().collect(), ..Rights::none() };
            [80, 81].map(|port| rights.has_port(port))
        };
        assert_eq!(ports(vec![]), [false, false]);
        assert_eq!(ports(vec![Advertise::Unix]), [false, false]);
        assert_eq!(ports(vec![Advertise::Unix, net(81)]), [false, true]);
        assert_eq!(ports(vec![net(0)]), [true, true]);
    }
}
