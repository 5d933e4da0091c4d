//! Addresses in a configuration file: where to listen, what to dial, what to announce.

use super::Loopback;
use super::problem::Report;
use super::read::Text;
use std::path::Path;
use trunkline_core::address::{
    Address, Endpoint, Scope, Skipped, Transform, Transport, UNIX_PATH_MAX, WhySkipped, suggestion,
};

/// What an address of the file is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Where a server listens.
    Listen,
    /// Where a server dials a peer.
    Dial,
    /// Where a host dials its server.
    DialServer,
    /// Where others dial a server.
    Announce,
    /// Where a plugin's host listens for direct connections.
    Advertise,
}

/// What is needed to judge an address of the file.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// The absolute folder of the file, to which paths are relative.
    pub(super) folder: &'a Path,
    pub(super) loopback: Loopback,
}

impl Context<'_> {
    /// The usable alternates of an address. Each other one becomes a problem or a note.
    pub(super) fn endpoints(
        &self,
        text: &Text<'_>,
        purpose: Purpose,
        report: &mut Report<'_>,
    ) -> Vec<Endpoint> {
        let address: Address = match text.text.parse() {
            Ok(address) => address,
            Err(error) => {
                text.reject(report, format!("{error}{}", suggestion(text.text)));
                return Vec::new();
            }
        };
        let (endpoints, skipped) = match purpose {
            Purpose::Listen | Purpose::Advertise => address.listen_endpoints(),
            Purpose::Dial | Purpose::DialServer | Purpose::Announce => address.endpoints(),
        };
        let mut usable = Vec::new();
        for endpoint in &endpoints {
            match self.usable(endpoint, purpose) {
                Ok(endpoint) => usable.push(endpoint),
                Err(why) => text.reject(report, why),
            }
        }
        for skipped in &skipped {
            report_skipped(text, skipped, endpoints.is_empty(), report);
        }
        usable
    }

    /// The endpoint with an absolute path, or why it cannot serve the purpose.
    fn usable(&self, endpoint: &Endpoint, purpose: Purpose) -> Result<Endpoint, String> {
        match purpose {
            Purpose::Listen => own_key(endpoint, "a server listens")?,
            Purpose::Dial | Purpose::DialServer => {}
            Purpose::Announce => {
                if endpoint.scope() == Scope::Device {
                    return Err("this cannot be reached from another machine; name a `net` \
                                address that others can dial"
                        .into());
                }
                own_key(endpoint, "a server is dialled")?;
            }
            Purpose::Advertise => own_key(endpoint, "a plugin is reached")?,
        }
        let transport = match (&endpoint.transport, endpoint.transform, purpose) {
            (Transport::Unix { .. }, _, Purpose::Advertise) => {
                return Err(
                    "the path of a plugin's socket is chosen by its host; write \"unix\"".into()
                );
            }
            (Transport::Unix { path }, ..) => socket_path(self.folder, path)?,
            (Transport::Net { .. }, Transform::NoAuth, _) => {
                self.keyless_allowed(purpose)?;
                endpoint.transport.clone()
            }
            (Transport::Net { .. }, Transform::Shs(_) | Transform::ShsKnownKey, _) => {
                endpoint.transport.clone()
            }
        };
        Ok(Endpoint { transport, transform: endpoint.transform })
    }

    /// Whether `net` on loopback may be used without keys.
    fn keyless_allowed(&self, purpose: Purpose) -> Result<(), String> {
        match purpose {
            Purpose::Listen | Purpose::Dial => self.loopback_allowed(),
            Purpose::DialServer => Err("over `net` a host must know its server's key; write \
                                        `~shs:KEY`, or a unix address"
                .into()),
            Purpose::Announce | Purpose::Advertise => {
                Err("over `net` both sides prove their keys; write `~shs`, or nothing".into())
            }
        }
    }

    fn loopback_allowed(&self) -> Result<(), String> {
        match self.loopback {
            Loopback::Insecure => Ok(()),
            Loopback::KeysOnly => Err("every user of this machine could link under any identity; \
                                       if you want that, add `insecure-loopback = true` to [server]"
                .into()),
        }
    }
}

/// Refuses a key in an address of our own, where only our own key can be proved.
fn own_key(endpoint: &Endpoint, what: &str) -> Result<(), String> {
    match endpoint.transform {
        Transform::Shs(_) => Err(format!("{what} with its own key; write `~shs`")),
        Transform::NoAuth | Transform::ShsKnownKey => Ok(()),
    }
}

/// A unix socket at a path relative to a folder.
pub(crate) fn socket_path(folder: &Path, path: &str) -> Result<Transport, String> {
    let full = folder.join(path);
    let Some(full) = full.to_str() else {
        return Err(format!("{} is not UTF-8; move the file", full.display()));
    };
    match full.len() {
        0..=UNIX_PATH_MAX => Ok(Transport::Unix { path: full.into() }),
        long => Err(format!(
            "{full} has {long} bytes, a socket's path has at most {UNIX_PATH_MAX}; use a \
             shorter one"
        )),
    }
}

/// An alternate of an unknown kind is only a note if another one is usable, because a newer
/// version may know that kind.
fn report_skipped(text: &Text<'_>, skipped: &Skipped, alone: bool, report: &mut Report<'_>) {
    match (&skipped.why, alone) {
        (WhySkipped::NoAuthBeyondLoopback, _) => {
            text.reject(report, format!("{}; anyone who can connect would be let in", skipped.why));
        }
        (why, false) if why.is_unknown() => {
            let message = format!("`{}`: skipped {skipped}", text.key);
            report.note(&text.span, message);
        }
        (why, _) => text.reject(report, format!("{why}{}", suggestion(text.text))),
    }
}
