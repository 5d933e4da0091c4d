//! Alternates that we support: `net` and `unix`, each with `noauth` or `shs`.

use super::{AddressError, Alternate, Host, Part, grammar};
use crate::key::Key;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt;

/// Longest path of a unix socket in bytes: `sun_path` has 108, the last of which is a zero.
pub const UNIX_PATH_MAX: usize = 107;

/// An address to listen on or to dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The transport.
    pub transport: Transport,
    /// The transform.
    pub transform: Transform,
}

/// The transport of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Net {
        /// The host, which may have to be resolved.
        host: Host,
        /// The port; 0 only for listening, where the system chooses one.
        port: u16,
    },
    /// A unix stream socket.
    Unix {
        /// The path, at most [`UNIX_PATH_MAX`] bytes. The caller decides what a relative path is
        /// relative to.
        path: String,
    },
}

/// The peers that are trusted at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transform {
    /// Every process that can reach it. Only on unix sockets and on loopback.
    NoAuth,
    /// The owner of this key, proved by Secret Handshake.
    Shs(Key),
    /// As `Shs`, with a key that is known from elsewhere: our own for listening, a `[[peer]]`'s for
    /// dialling. Written as `~shs`, or omitted behind `net`.
    ShsKnownKey,
}

/// An alternate that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The alternate as it was written.
    pub alternate: Alternate,
    /// Why it cannot be used.
    pub why: WhySkipped,
}

/// Why an alternate cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhySkipped {
    /// A transport that this version does not know; it may come from a later version.
    UnknownTransport(String),
    /// A transform, or an order of transforms, that this version does not know.
    UnknownTransform(String),
    /// `net` with fewer than two data.
    HostOrPortMissing,
    /// Neither an IP address nor a host name.
    BadHost(String),
    /// Not a decimal number from 1 (for listening: 0) to 65535.
    BadPort(String),
    /// `unix` without a path.
    PathMissing,
    /// A path of this many bytes, which is over [`UNIX_PATH_MAX`].
    PathTooLong(usize),
    /// Anything other than one key behind `shs`.
    BadKey,
    /// Data behind `noauth`, which takes none.
    NoAuthData,
    /// `noauth` on a host that is not certainly loopback.
    NoAuthBeyondLoopback,
}

impl WhySkipped {
    /// Whether a newer version, or another implementation, may understand the alternate.
    pub fn is_unknown(&self) -> bool {
        matches!(self, WhySkipped::UnknownTransport(_) | WhySkipped::UnknownTransform(_))
    }
}

impl Endpoint {
    /// The alternate as a place to dial.
    pub(super) fn dialled(alternate: &Alternate) -> Result<Endpoint, WhySkipped> {
        match Endpoint::listened(alternate)? {
            Endpoint { transport: Transport::Net { port: 0, .. }, .. } => {
                Err(WhySkipped::BadPort("0".into()))
            }
            endpoint => Ok(endpoint),
        }
    }

    /// The alternate as a place to listen on.
    pub(super) fn listened(alternate: &Alternate) -> Result<Endpoint, WhySkipped> {
        let part = alternate.transport();
        let transport = match part.name() {
            "net" => net(part.data())?,
            "unix" => unix(part.data())?,
            other => return Err(WhySkipped::UnknownTransport(other.into())),
        };
        let transform = transform(alternate.transforms(), &transport)?;
        match (&transport, transform) {
            (Transport::Net { host, .. }, Transform::NoAuth) if !host.is_loopback() => {
                Err(WhySkipped::NoAuthBeyondLoopback)
            }
            _ => Ok(Endpoint { transport, transform }),
        }
    }
}

fn net(data: &[String]) -> Result<Transport, WhySkipped> {
    let [host @ .., port] = data else { return Err(WhySkipped::HostOrPortMissing) };
    if host.is_empty() {
        return Err(WhySkipped::HostOrPortMissing);
    }
    // The colons of an IPv6 address have split it.
    let host = host.join(":");
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let bad_port = || WhySkipped::BadPort(port.clone());
    let number = digits.then(|| port.parse().ok()).flatten().ok_or_else(bad_port)?;
    match host.parse() {
        Ok(host) => Ok(Transport::Net { host, port: number }),
        Err(_) => Err(WhySkipped::BadHost(host)),
    }
}

fn unix(data: &[String]) -> Result<Transport, WhySkipped> {
    let path = data.join(":");
    match path.len() {
        0 => Err(WhySkipped::PathMissing),
        1..=UNIX_PATH_MAX => Ok(Transport::Unix { path }),
        long => Err(WhySkipped::PathTooLong(long)),
    }
}

fn transform(parts: &[Part], transport: &Transport) -> Result<Transform, WhySkipped> {
    match parts {
        [] if matches!(transport, Transport::Unix { .. }) => Ok(Transform::NoAuth),
        [] => Ok(Transform::ShsKnownKey),
        [part] => match (part.name(), part.data()) {
            ("noauth", []) => Ok(Transform::NoAuth),
            ("noauth", _) => Err(WhySkipped::NoAuthData),
            ("shs", []) => Ok(Transform::ShsKnownKey),
            ("shs", [key]) => key.parse().map(Transform::Shs).map_err(|_| WhySkipped::BadKey),
            ("shs", _) => Err(WhySkipped::BadKey),
            (other, _) => Err(WhySkipped::UnknownTransform(other.into())),
        },
        [_, second, ..] => Err(WhySkipped::UnknownTransform(second.name().into())),
    }
}

impl TryFrom<&Endpoint> for Alternate {
    type Error = AddressError;

    /// The endpoint as an alternate. Fails if a path cannot be written in an address, because it
    /// holds a space or a character that is not ASCII.
    fn try_from(endpoint: &Endpoint) -> Result<Alternate, AddressError> {
        let transport = match &endpoint.transport {
            Transport::Net { host, port } => {
                let mut data: Vec<String> = host.to_string().split(':').map(Into::into).collect();
                data.push(port.to_string());
                Part::new("net", data)?
            }
            Transport::Unix { path } => Part::new("unix", vec![path.clone()])?,
        };
        let transform = match endpoint.transform {
            Transform::NoAuth => Part::new("noauth", Vec::new())?,
            Transform::Shs(key) => Part::new("shs", vec![format!("{key}")])?,
            Transform::ShsKnownKey => Part::new("shs", Vec::new())?,
        };
        Ok(Alternate::new(transport, vec![transform]))
    }
}

impl fmt::Display for Endpoint {
    /// Prints as an address, even if a path holds characters that an address cannot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            // Its colons stay bare, because the JavaScript peers read IPv6 only in that form.
            Transport::Net { host, port } => write!(f, "net:{host}:{port}")?,
            Transport::Unix { path } => {
                f.write_str("unix:")?;
                grammar::escape(path, f)?;
            }
        }
        match self.transform {
            Transform::NoAuth => f.write_str("~noauth"),
            Transform::Shs(key) => write!(f, "~shs:{key}"),
            Transform::ShsKnownKey => f.write_str("~shs"),
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.alternate, self.why)
    }
}

impl fmt::Display for WhySkipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhySkipped::UnknownTransport(name) => {
                write!(f, "the transport `{name}` is unknown; known are net and unix")
            }
            WhySkipped::UnknownTransform(name) => {
                write!(f, "the transform `{name}` is unknown here; known are noauth and shs")
            }
            WhySkipped::HostOrPortMissing => f.write_str("a host or a port is missing"),
            WhySkipped::BadHost(host) => {
                write!(f, "`{host}` is neither an IP address nor a host name")
            }
            WhySkipped::BadPort(port) => write!(f, "`{port}` is not a port from 1 to 65535"),
            WhySkipped::PathMissing => f.write_str("a path is missing"),
            WhySkipped::PathTooLong(n) => {
                write!(
                    f,
                    "a socket's path may have at most {UNIX_PATH_MAX} bytes, this one has {n}"
                )
            }
            WhySkipped::BadKey => f.write_str("`shs` needs one key, the base64 of 32 bytes"),
            WhySkipped::NoAuthData => f.write_str("`noauth` takes no data"),
            WhySkipped::NoAuthBeyondLoopback => {
                f.write_str("`noauth` is for unix sockets and loopback only")
            }
        }
    }
}
