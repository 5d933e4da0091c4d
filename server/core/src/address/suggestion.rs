//! What was meant by a text that is no address, or one of an unknown transport.

use alloc::format;
use alloc::string::String;

/// An address that a text may stand for which is written as elsewhere: `host:port`,
/// `tcp://host:port`, or the path of a socket. It is for the end of an error's text, and empty if
/// nothing is known to be meant.
///
/// ```
/// # use trunkline_core::address::suggestion;
/// assert_eq!(suggestion("127.0.0.1:8008"), "; write net:127.0.0.1:8008");
/// assert_eq!(suggestion("tcp://beta.example:8008"), "; write net:beta.example:8008");
/// assert_eq!(suggestion("/run/alpha.sock"), "; write unix:/run/alpha.sock");
/// assert_eq!(suggestion("net:127.0.0.1:8008"), "");
/// ```
pub fn suggestion(text: &str) -> String {
    match meant(text) {
        Some(address) => format!("; write {address}"),
        None => String::new(),
    }
}

fn meant(text: &str) -> Option<String> {
    // Its transforms are right as they are, and what follows may be an address.
    let (place, transforms) = match text.split_once('~') {
        Some((place, transforms)) => (place, format!("~{transforms}")),
        None => (text, String::new()),
    };
    let unscheme = |scheme: &str| place.strip_prefix(scheme);
    let place = unscheme("tcp://").or_else(|| unscheme("tcp:")).unwrap_or(place);
    let (host, port) = place.rsplit_once(':').unwrap_or((place, ""));
    if is_path(place) {
        return Some(format!("unix:{place}{transforms}"));
    }
    (is_host(host) && port.parse::<u16>().is_ok()).then(|| format!("net:{place}{transforms}"))
}

fn is_path(place: &str) -> bool {
    let starts = ["/", "./", "../"].iter().any(|start| place.starts_with(start));
    starts || (place.ends_with(".sock") && !place.contains(':'))
}

/// Whether it looks like a host, and is not a transport whose data are incomplete.
fn is_host(host: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_six = six.contains(':') && six.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
    let is_transport = matches!(host, "net" | "unix");
    is_six || (!host.is_empty() && !is_transport && host.chars().all(legal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    #[test]
    fn what_is_written_as_elsewhere_is_recognized() {
        for (text, expected) in [
            ("127.0.0.1:8008", Some("net:127.0.0.1:8008")),
            ("0.0.0.0:0", Some("net:0.0.0.0:0")),
            ("localhost:80", Some("net:localhost:80")),
            ("beta.example:8008~shs", Some("net:beta.example:8008~shs")),
            ("[::1]:8008", Some("net:[::1]:8008")),
            ("::1:8008", Some("net:::1:8008")),
            ("tcp://127.0.0.1:8008", Some("net:127.0.0.1:8008")),
            ("tcp:beta:8008", Some("net:beta:8008")),
            ("/tmp/a.sock~noauth", Some("unix:/tmp/a.sock~noauth")),
            ("alpha.sock", Some("unix:alpha.sock")),
            ("net:127.0.0.1:8008", None),
            ("net:8008", None),
            ("unix:a:80", None),
            ("127.0.0.1", None),
            ("127.0.0.1:808080", None),
            ("127.0.0.1:http", None),
            ("a b:80", None),
            (":80", None),
            ("", None),
        ] {
            assert_eq!(meant(text).as_deref(), expected, "{text:?}");
            if let Some(address) = expected {
                let parsed: Address = address.parse().expect("a suggestion is an address");
                assert_eq!(parsed.listen_endpoints().0.len(), 1, "{address} can be used");
            }
        }
    }
}
