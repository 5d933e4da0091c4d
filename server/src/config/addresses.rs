//! Addresses in a configuration file, as places where this version can listen or that it can dial.

use super::Loopback;
use super::problem::Report;
use super::read::Text;
use std::path::Path;
use trunkline_core::address::{
    Address, Endpoint, Skipped, Transform, Transport, UNIX_PATH_MAX, WhySkipped,
};

/// What an address of the file is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Listen,
    Dial,
}

/// What is needed to judge an address of the file.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// The folder of the file, absolute: relative paths begin there.
    pub(super) folder: &'a Path,
    pub(super) loopback: Loopback,
}

impl Context<'_> {
    /// The usable alternates of an address; the others become problems or notes.
    pub(super) fn endpoints(
        &self,
        text: &Text<'_>,
        purpose: Purpose,
        report: &mut Report<'_>,
    ) -> Vec<Endpoint> {
        let address: Address = match text.text.parse() {
            Ok(address) => address,
            Err(error) => {
                text.wrong(report, error);
                return Vec::new();
            }
        };
        let (endpoints, skipped) = match purpose {
            Purpose::Listen => address.listen_endpoints(),
            Purpose::Dial => address.endpoints(),
        };
        let mut usable = Vec::new();
        for endpoint in &endpoints {
            match self.usable(endpoint) {
                Ok(endpoint) => usable.push(endpoint),
                Err(why) => text.wrong(report, why),
            }
        }
        for skipped in &skipped {
            tell_skipped(text, skipped, endpoints.is_empty(), report);
        }
        usable
    }

    /// The endpoint with an absolute path, if this version can use it.
    fn usable(&self, endpoint: &Endpoint) -> Result<Endpoint, String> {
        let transport = match (&endpoint.transport, endpoint.transform) {
            (_, Transform::Shs(_) | Transform::ShsKnownKey) => {
                return Err("`~shs`, which `net` means by itself, does not work yet; use a unix \
                            address, or `~noauth` on loopback"
                    .into());
            }
            (Transport::Net { .. }, Transform::NoAuth) => {
                self.loopback_allowed()?;
                endpoint.transport.clone()
            }
            (Transport::Unix { path }, Transform::NoAuth) => socket_path(self.folder, path)?,
        };
        Ok(Endpoint { transport, transform: endpoint.transform })
    }

    fn loopback_allowed(&self) -> Result<(), String> {
        match self.loopback {
            Loopback::Insecure => Ok(()),
            Loopback::KeysOnly => Err("every user of this machine could link as anybody; if you \
                                       want that, add `insecure-loopback = true` to [server]"
                .into()),
        }
    }
}

/// A unix socket at a path that is relative to a folder.
pub(super) fn socket_path(folder: &Path, path: &str) -> Result<Transport, String> {
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

/// What a newer version may understand is noted only, as long as something else can be used.
fn tell_skipped(text: &Text<'_>, skipped: &Skipped, alone: bool, report: &mut Report<'_>) {
    match (&skipped.why, alone) {
        (WhySkipped::NoAuthBeyondLoopback, _) => {
            text.wrong(report, format!("{}; it would let in whoever gets there", skipped.why));
        }
        (why, false) if why.is_unknown() => {
            let message = format!("`{}`: skipped {skipped}", text.key);
            report.note(&text.span, message);
        }
        (why, _) => text.wrong(report, why),
    }
}
