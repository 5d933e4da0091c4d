//! Hosts of `net` addresses: IP addresses and names, checked so that a name can never be read as an
//! IP address. The shell resolves names.

use alloc::string::{String, ToString};
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// Longest DNS name in bytes (RFC 1035).
const NAME_MAX: usize = 253;
/// Longest label of a DNS name in bytes (RFC 1035).
const LABEL_MAX: usize = 63;

/// The host of a `net` address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Host {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
    /// An IPv6 address on a named interface of this machine (`fe80::1%wlan0`).
    V6Zone(Ipv6Addr, HostName),
    /// A name that has to be resolved.
    Name(HostName),
}

/// A name of 1 to 253 letters, digits, `-`, `_` and `.`, which no resolver reads as an IP address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

/// A text is neither an IP address nor a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostError;

impl Host {
    /// Whether this is certainly loopback: 127.0.0.0/8, ::1 or `localhost`.
    pub fn is_loopback(&self) -> bool {
        match self {
            Host::V4(v4) => v4.is_loopback(),
            Host::V6(v6) | Host::V6Zone(v6, _) => match v6.to_ipv4_mapped() {
                Some(v4) => v4.is_loopback(),
                None => v6.is_loopback(),
            },
            Host::Name(name) => name.is("localhost"),
        }
    }
}

impl HostName {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is that name, in either case and with or without the dot of the root.
    pub(super) fn is(&self, name: &str) -> bool {
        self.without_root().eq_ignore_ascii_case(name)
    }

    /// Whether this is a name below `domain`, which begins with a dot.
    pub(super) fn is_below(&self, domain: &str) -> bool {
        let name = self.without_root();
        let start = name.len().checked_sub(domain.len());
        start.is_some_and(|start| name[start..].eq_ignore_ascii_case(domain))
    }

    fn without_root(&self) -> &str {
        self.0.strip_suffix('.').unwrap_or(&self.0)
    }
}

impl TryFrom<String> for Host {
    type Error = HostError;

    fn try_from(text: String) -> Result<Host, HostError> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> String {
        host.to_string()
    }
}

impl FromStr for Host {
    type Err = HostError;

    /// Reads `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]`, `fe80::1%eth0` and `host.example`.
    fn from_str(text: &str) -> Result<Host, HostError> {
        if let Ok(v4) = text.parse() {
            return Ok(Host::V4(v4));
        }
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if inner.is_none() && !text.contains(':') {
            return text.parse().map(Host::Name);
        }
        let text = inner.unwrap_or(text);
        let (number, zone) = text.split_once('%').map_or((text, None), |(n, z)| (n, Some(z)));
        let v6 = number.parse().map_err(|_| HostError)?;
        match zone {
            None => Ok(Host::V6(v6)),
            Some(zone) => Ok(Host::V6Zone(v6, label_name(zone)?)),
        }
    }
}

impl FromStr for HostName {
    type Err = HostError;

    fn from_str(text: &str) -> Result<HostName, HostError> {
        let labels = text.strip_suffix('.').unwrap_or(text);
        // A resolver reads `127.1`, `2130706433` and `0x7f.1` as IPv4 addresses. Therefore a text
        // that ends in a number is not a name (as in the URL standard).
        let last = labels.rsplit('.').next().unwrap_or("");
        let hexadecimal = last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
        if hexadecimal || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(HostError);
        }
        label_name(text)
    }
}

/// A text of valid labels, which may be a number.
fn label_name(text: &str) -> Result<HostName, HostError> {
    let labels = text.strip_suffix('.').unwrap_or(text);
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let fits = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(legal)
    };
    match labels.len() <= NAME_MAX && labels.split('.').all(fits) {
        true => Ok(HostName(text.into())),
        false => Err(HostError),
    }
}

impl fmt::Display for Host {
    /// Prints without brackets, because the JavaScript peers need that.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::V4(v4) => v4.fmt(f),
            Host::V6(v6) => v6.fmt(f),
            Host::V6Zone(v6, zone) => write!(f, "{v6}%{zone}"),
            Host::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither an IP address nor a host name")
    }
}

impl core::error::Error for HostError {}
