//! Addresses, and what is read out of them: hosts, keys, names, and what others may be told.

use crate::Script;
use trunkline_core::address::{
    ADDRESS_MAX, Address, Alternate, Endpoint, Host, Part, ReceivedAddress, Scope, Shareable,
    Skipped, Transform, Transport, UNIX_PATH_MAX,
};
use trunkline_core::key::Key;
use trunkline_core::name::Name;

/// A text, or an address that is built of its parts.
pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    match script.below(3) {
        0 => read_address(script.rest()),
        1 => build_address(&mut script),
        _ => read_others(script.rest()),
    }
}

/// The grammar has one way to write each address, so that printing gives back what was read.
fn read_address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Address>() {
        Ok(address) => {
            assert_eq!(address.to_string(), text, "an address is printed as it was read");
            check_address(&address);
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.position), "{error:?} is no place in the text");
            assert!(!error.to_string().contains(char::is_control), "{error} goes to a terminal");
        }
    }
}

fn build_address(script: &mut Script<'_>) {
    let mut alternates = Vec::new();
    for _ in 0..=script.below(4) {
        let Some(transport) = part(script) else { return };
        let mut transforms = Vec::new();
        for _ in 0..script.below(3) {
            let Some(transform) = part(script) else { return };
            transforms.push(transform);
        }
        alternates.push(Alternate::new(transport, transforms));
    }
    let Ok(address) = Address::new(alternates) else { return };
    let text = address.to_string();
    assert!(text.len() <= ADDRESS_MAX, "{} bytes are printed", text.len());
    assert_eq!(text.parse(), Ok(address.clone()), "{text} is read as it was built");
    check_address(&address);
}

fn part(script: &mut Script<'_>) -> Option<Part> {
    const NAMES: [&str; 6] = ["net", "unix", "shs", "noauth", "onion", "ws"];
    let name = match script.byte() {
        known @ 0..=199 => NAMES[usize::from(known) % NAMES.len()].to_string(),
        other => text(script, usize::from(other) - 200)?,
    };
    let count = script.below(5);
    let data = (0..count).map(|_| datum(script)).collect::<Option<Vec<String>>>()?;
    Part::new(&name, data).ok()
}

fn datum(script: &mut Script<'_>) -> Option<String> {
    match script.byte() {
        0 => Some("10.0.0.1".into()),
        1 => Some("fe80".into()),
        2 => Some("1".into()),
        3 => Some("8008".into()),
        4 => Some(Key([script.byte(); 32]).to_string()),
        length => text(script, usize::from(length)),
    }
}

fn text(script: &mut Script<'_>, length: usize) -> Option<String> {
    String::from_utf8(script.bytes(length).to_vec()).ok()
}

/// What holds for each address, however it came about.
fn check_address(address: &Address) {
    let (dialled, skipped) = address.endpoints();
    let (listened, _) = address.listen_endpoints();
    assert_eq!(dialled.len() + skipped.len(), address.alternates().len(), "none is lost");
    assert!(dialled.iter().all(|at| listened.contains(at)), "what is dialled can be listened on");
    for Skipped { why, .. } in &skipped {
        assert!(!why.to_string().is_empty());
    }
    listened.iter().for_each(check_endpoint);
    let shared = address.shareable(Scope::Local);
    assert_eq!(address.shareable(Scope::Device), shared, "nothing of this device is shared");
    for least in [Scope::Local, Scope::Public] {
        if let Some(shared) = address.shareable(least) {
            check_shareable(&shared, least);
        }
    }
}

fn check_endpoint(endpoint: &Endpoint) {
    let printed = endpoint.to_string();
    let read = printed.parse::<Address>().map(|address| address.listen_endpoints().0);
    assert_eq!(read, Ok(vec![endpoint.clone()]), "{printed} is read as it was printed");
    match &endpoint.transport {
        Transport::Unix { path } => assert!((1..=UNIX_PATH_MAX).contains(&path.len())),
        Transport::Net { host, .. } => {
            let plain = endpoint.transform == Transform::NoAuth;
            assert!(!plain || host.is_loopback(), "{printed} has no key, and is not loopback");
        }
    }
    let alternate = Alternate::try_from(endpoint);
    assert!(alternate.is_ok(), "{printed} came out of an address, and fits into none");
}

fn check_shareable(shared: &Shareable, least: Scope) {
    let endpoints = shared.endpoints();
    assert_eq!(endpoints.len(), shared.address().alternates().len(), "all of it is understood");
    for endpoint in &endpoints {
        assert!(endpoint.scope() >= least, "{endpoint} reaches less far than {least:?}");
        assert!(endpoint.transform != Transform::NoAuth, "{endpoint} asks for no key");
        assert!(matches!(endpoint.transport, Transport::Net { .. }), "{endpoint} is a path");
    }
    let heard = minicbor::to_vec(shared).ok().and_then(|said| minicbor::decode(&said).ok());
    assert_eq!(heard, Some(ReceivedAddress(Some(shared.clone()))), "what is sent is what is heard");
}

/// What is written in addresses, and in the configuration.
fn read_others(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(host) = text.parse::<Host>() {
        assert_eq!(host.to_string().parse(), Ok(host.clone()), "{host} is read as printed");
        assert!(!host.is_loopback() || host.scope() == Scope::Device, "{host} is not elsewhere");
    }
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.as_str(), text);
        assert!(text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_lowercase()));
    }
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.to_string(), text, "a key has one way to be written");
    }
}
