//! Addresses: the vectors, parsing and printing, supported alternates, and what may be sent to
//! others.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use trunkline_core::address::{ADDRESS_MAX, Address, Alternate, Part, Rule, Scope};

const KEY: &str = "DTNmX+4SjsgZ7xyDh5xxmNtFqa6pWi5Qtw7cE8aR9TQ=";

#[test]
fn every_vector_parses_to_its_expected_result() {
    let lines = include_str!("../vectors/addresses.jsonl").lines();
    let mut count = 0;
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let vector: Value = serde_json::from_str(line).unwrap();
        let text = vector["address"].as_str().unwrap();
        match (text.parse::<Address>(), vector["valid"].as_bool().unwrap()) {
            (Ok(address), true) => {
                assert_eq!(as_json(&address), vector["decode"], "{text:?} is read as {address:?}");
                assert_eq!(address.to_string().parse(), Ok(address), "{text:?} printed and read");
            }
            (Err(_), false) => {}
            (Ok(address), false) => panic!("{text:?} is not valid, but is read as {address:?}"),
            (Err(error), true) => panic!("{text:?} is valid, but refused: {error}"),
        }
        count += 1;
    }
    assert!(count >= 58, "only {count} vectors were run");
}

#[test]
fn no_prefix_of_a_vector_panics_and_valid_ones_round_trip() {
    for line in include_str!("../vectors/addresses.jsonl").lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let text = vector["address"].as_str().unwrap();
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            for piece in [&text[..end], &text[end..]] {
                if let Ok(address) = piece.parse::<Address>() {
                    assert_eq!(address.to_string().parse(), Ok(address), "{piece:?}");
                }
            }
        }
    }
}

#[test]
fn printed_addresses_parse_to_the_same_address() {
    let mut random = Random(1);
    for round in 0..20_000 {
        let address = random.address();
        let printed = address.to_string();
        assert_eq!(printed.parse(), Ok(address), "round {round}: {printed}");
    }
}

#[test]
fn endpoints_round_trip_through_their_printed_form() {
    for text in [
        "net:host.example:8008~shs",
        "net:1.2.3.4:1~noauth;net:127.0.0.1:1~noauth",
        "net:fe80::1%wlan0:65535",
        "net:[2001:db8::1]:8008",
        "net:::1:8080~noauth",
        "net::::8100~shs",
        "net:::ffff!:1.2.3.4:5~shs",
        "unix:/a:b!;c~noauth",
        &format!("net:localhost:4848~shs:{KEY}"),
    ] {
        let (endpoints, _) = text.parse::<Address>().unwrap().listen_endpoints();
        assert_ne!(endpoints, [], "{text} has nothing to listen on");
        for endpoint in endpoints {
            let alternate = Alternate::try_from(&endpoint).unwrap();
            let address = Address::new(vec![alternate]).unwrap();
            let again = address.listen_endpoints().0;
            assert_eq!(again, std::slice::from_ref(&endpoint), "{text} as {address}");
            let shown = endpoint.to_string().parse::<Address>().unwrap();
            assert_eq!(shown.listen_endpoints().0, [endpoint], "{text} shown as {shown}");
        }
    }
}

#[test]
fn an_ipv6_host_is_printed_without_brackets() {
    let (endpoints, _) = "net:[2001:DB8::1]:8008~shs".parse::<Address>().unwrap().endpoints();
    let alternate = Alternate::try_from(&endpoints[0]).unwrap();
    assert_eq!(alternate.to_string(), "net:2001:db8::1:8008~shs");
    assert_eq!(endpoints[0].to_string(), "net:2001:db8::1:8008~shs");
}

#[test]
fn an_address_has_at_most_4_kib() {
    let longest = format!("net:{}", "x".repeat(ADDRESS_MAX - 4));
    let address: Address = longest.parse().expect("4096 bytes are legal");
    assert_eq!(address.to_string(), longest);
    let error = format!("{longest}x").parse::<Address>().unwrap_err();
    assert_eq!((error.position, error.rule), (ADDRESS_MAX, Rule::TooLong));
    let escaped = Part::new("net", vec![":".repeat(ADDRESS_MAX / 2)]).unwrap();
    let error = Address::new(vec![Alternate::new(escaped, vec![])]).unwrap_err();
    assert_eq!(error.rule, Rule::TooLong, "escaped, this has more than 4096 bytes");
    assert_eq!(Address::new(vec![]).unwrap_err().rule, Rule::EmptyPart);
}

#[test]
fn an_error_names_the_place_and_the_rule() {
    for (text, position, rule) in [
        ("", 0, Rule::EmptyPart),
        ("net:a~", 6, Rule::EmptyPart),
        ("net:a;;net:b", 6, Rule::EmptyPart),
        ("net:a;Net:b", 6, Rule::NameStart('N')),
        ("n:a", 1, Rule::NameTooShort),
        ("nEt:a", 1, Rule::NameCharacter('E')),
        ("net!:a", 3, Rule::NameCharacter('!')),
        ("net:a b", 5, Rule::DataCharacter(' ')),
        ("unix:/tmp/ü", 10, Rule::DataCharacter('ü')),
        ("net:a!b", 5, Rule::Escape(Some('b'))),
        ("net:a!ü", 5, Rule::Escape(Some('ü'))),
        ("net:a!", 5, Rule::Escape(None)),
    ] {
        let error = text.parse::<Address>().unwrap_err();
        assert_eq!((error.position, error.rule), (position, rule), "{text:?}");
    }
}

#[test]
fn unusable_alternates_are_skipped_with_a_reason() {
    for (text, reason) in [
        ("onion:x.onion:80", "the transport `onion` is unknown; known are net and unix"),
        ("net:h:1~gzip", "the transform `gzip` is unknown here; known are noauth and shs"),
        ("net:h:1~shs~gzip", "the transform `gzip` is unknown here; known are noauth and shs"),
        ("net:8008", "a host or a port is missing"),
        ("net:", "a host or a port is missing"),
        ("net:host:", "`` is not a port from 1 to 65535"),
        ("net:host:0", "`0` is not a port from 1 to 65535"),
        ("net:host:65536", "`65536` is not a port from 1 to 65535"),
        ("net:host:-1", "`-1` is not a port from 1 to 65535"),
        ("net:host:+1", "`+1` is not a port from 1 to 65535"),
        ("net:host:1e3", "`1e3` is not a port from 1 to 65535"),
        ("net::8008", "`` is neither an IP address nor a host name"),
        ("net:a!:b:8008", "`a:b` is neither an IP address nor a host name"),
        ("net:[127.0.0.1]:1", "`[127.0.0.1]` is neither an IP address nor a host name"),
        ("net:127.1:1", "`127.1` is neither an IP address nor a host name"),
        ("net:2130706433:1", "`2130706433` is neither an IP address nor a host name"),
        ("net:0x7f.0x1:1", "`0x7f.0x1` is neither an IP address nor a host name"),
        ("net:127.0.0.01:1", "`127.0.0.01` is neither an IP address nor a host name"),
        ("unix:", "a path is missing"),
        ("unix", "a path is missing"),
        ("unix:/a~noauth:x", "`noauth` takes no data"),
        ("net:h:1~shs:short", "`shs` needs one key, the base64 of 32 bytes"),
        (&format!("net:h:1~shs:{KEY}:x"), "`shs` needs one key, the base64 of 32 bytes"),
        ("net:h:1~noauth", "`noauth` is for unix sockets and loopback only"),
        ("net:0.0.0.0:1~noauth", "`noauth` is for unix sockets and loopback only"),
    ] {
        let address: Address = format!("{text};net:good.example:1").parse().unwrap();
        let (endpoints, skipped) = address.endpoints();
        assert_eq!(endpoints.len(), 1, "{text}");
        assert_eq!(skipped.len(), 1, "{text}");
        assert_eq!(skipped[0].why.to_string(), reason, "{text}");
    }
}

#[test]
fn a_unix_path_has_at_most_107_bytes_and_keeps_its_colons() {
    let (endpoints, skipped) = format!("unix:a:{};unix:{}", "b".repeat(105), "c".repeat(108))
        .parse::<Address>()
        .unwrap()
        .endpoints();
    assert_eq!(endpoints.len(), 1);
    assert!(endpoints[0].to_string().starts_with("unix:a!:bbb"));
    assert_eq!(
        skipped[0].why.to_string(),
        "a socket's path may have at most 107 bytes, this one has 108"
    );
}

#[test]
fn port_0_is_valid_for_listening_only() {
    let address: Address = "net:0.0.0.0:0~shs".parse().unwrap();
    assert_eq!(address.listen_endpoints().0.len(), 1);
    assert_eq!(address.endpoints().0.len(), 0);
}

/// Hosts in `net` addresses, and their scopes.
const SCOPES: &[(&str, Scope)] = &[
    ("127.0.0.1", Scope::Device),
    ("127.255.3.4", Scope::Device),
    ("0.0.0.0", Scope::Device),
    ("::1", Scope::Device),
    ("::", Scope::Device),
    ("::ffff:127.0.0.1", Scope::Device),
    ("::ffff:7f00:1", Scope::Device),
    ("localhost", Scope::Device),
    ("LocalHost.", Scope::Device),
    ("a.localhost", Scope::Device),
    ("fe80::1%eth0", Scope::Device),
    ("10.0.0.1", Scope::Local),
    ("172.16.0.1", Scope::Local),
    ("172.31.255.255", Scope::Local),
    ("172.32.0.1", Scope::Public),
    ("192.168.1.1", Scope::Local),
    ("192.169.1.1", Scope::Public),
    ("169.254.1.1", Scope::Local),
    ("100.63.255.255", Scope::Public),
    ("100.64.0.0", Scope::Local),
    ("100.127.255.255", Scope::Local),
    ("100.128.0.0", Scope::Public),
    ("fe80::1", Scope::Local),
    ("febf::1", Scope::Local),
    ("fec0::1", Scope::Public),
    ("fc00::1", Scope::Local),
    ("fdff::1", Scope::Local),
    ("::ffff:10.0.0.1", Scope::Local),
    ("::ffff:8.8.8.8", Scope::Public),
    ("printer.local", Scope::Local),
    ("2001:db8::1", Scope::Public),
    ("8.8.8.8", Scope::Public),
    ("example.com", Scope::Public),
    ("notlocalhost", Scope::Public),
];

#[test]
fn endpoints_have_the_scopes_of_the_table() {
    for (host, scope) in SCOPES {
        let (endpoints, skipped) =
            format!("net:{host}:8008").parse::<Address>().unwrap().endpoints();
        assert_eq!(skipped, [], "{host}");
        assert_eq!(endpoints[0].scope(), *scope, "{host}");
    }
    let (endpoints, _) = "unix:/run/a.sock".parse::<Address>().unwrap().endpoints();
    assert_eq!(endpoints[0].scope(), Scope::Device);
}

#[test]
fn device_scope_alternates_are_never_shared() {
    for least in [Scope::Device, Scope::Local, Scope::Public] {
        for (host, scope) in SCOPES {
            let address: Address = format!("unix:/a;net:{host}:8008~shs").parse().unwrap();
            let shared = address.shareable(least).map(|shared| shared.to_string());
            let expected = *scope >= least.max(Scope::Local);
            assert_eq!(shared.is_some(), expected, "{host}, at least {least:?}");
            assert!(!shared.is_some_and(|text| text.contains("unix")), "{host} with a path");
        }
    }
    for text in ["net:8.8.8.8:1~noauth", "net:8.8.8.8:0~shs", "onion:x:80", "net:h:1~gzip"] {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.shareable(Scope::Local), None, "{text} cannot be dialled by anybody");
    }
}

fn as_json(address: &Address) -> Value {
    let part = |part: &Part| serde_json::json!({"name": part.name(), "data": part.data()});
    let alternate = |alternate: &Alternate| {
        let transforms = alternate.transforms().iter();
        std::iter::once(alternate.transport()).chain(transforms).map(part).collect::<Value>()
    };
    address.alternates().iter().map(alternate).collect()
}

/// SplitMix64: the same addresses in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }

    fn text(&mut self, alphabet: &[u8], least: u64) -> String {
        let length = least + self.below(8);
        let mut pick = || alphabet[self.below(alphabet.len() as u64) as usize] as char;
        (0..length).map(|_| pick()).collect()
    }

    fn part(&mut self) -> Part {
        let name = format!("a{}", self.text(b"az09-", 1));
        let data = (0..self.below(4)).map(|_| self.text(b"!~:;[]%/aZ9\"@", 0)).collect();
        Part::new(&name, data).unwrap()
    }

    fn address(&mut self) -> Address {
        let alternates = (0..=self.below(3)).map(|_| {
            let transport = self.part();
            let transforms = (0..self.below(3)).map(|_| self.part()).collect();
            Alternate::new(transport, transforms)
        });
        Address::new(alternates.collect()).unwrap()
    }
}
