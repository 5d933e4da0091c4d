//! The first bytes of a channel, which name the service. Pure: no service is looked up here.

use std::fmt;

use trunkline_plugin::serde::Deserialize;

/// The serving side's answer to a greeting once the service's address is connected.
pub(crate) const CONNECTED: u8 = 0;

/// The name of a service: 1 to 255 bytes, because its length is sent in one byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(crate = "trunkline_plugin::serde", try_from = "String")]
pub(crate) struct Service(String);

impl Service {
    /// The greeting: the first bytes of a channel to this service.
    pub(crate) fn greeting(&self) -> Vec<u8> {
        let length = u8::try_from(self.0.len()).unwrap_or(u8::MAX);
        [&[length], self.0.as_bytes()].concat()
    }
}

impl TryFrom<String> for Service {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.len() {
            1..=255 => Ok(Self(name)),
            length => Err(format!("a service's name must have 1 to 255 bytes, not {length}")),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A peer chose the name; characters that could disturb a terminal are escaped.
        self.0.escape_debug().fmt(f)
    }
}

/// Reads a greeting that may arrive in pieces. It never holds more than 256 bytes.
#[derive(Debug, Default)]
pub(crate) struct GreetingReader {
    bytes: Vec<u8>,
}

/// The state of a greeting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read<'a> {
    /// More bytes are needed.
    Partly,
    /// It is complete, and these bytes follow it.
    Whole(Service, &'a [u8]),
    /// It is invalid, for this reason.
    Bad(String),
}

impl GreetingReader {
    /// Reads more bytes.
    pub(crate) fn read<'a>(&mut self, bytes: &'a [u8]) -> Read<'a> {
        let Some(&length) = self.bytes.first().or(bytes.first()) else { return Read::Partly };
        let missing = usize::from(length) + 1 - self.bytes.len();
        let Some((end, rest)) = bytes.split_at_checked(missing) else {
            self.bytes.extend_from_slice(bytes);
            return Read::Partly;
        };
        self.bytes.extend_from_slice(end);
        let name = String::from_utf8(self.bytes.split_off(1));
        match name
            .map_err(|_| "a service's name must be UTF-8".to_owned())
            .and_then(Service::try_from)
        {
            Ok(service) => Read::Whole(service, rest),
            Err(why) => Read::Bad(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> Service {
        Service::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn a_greeting_is_read_however_it_is_split() {
        for name in ["w", "web", &"x".repeat(255)] {
            let sent = [&service(name).greeting()[..], b"rest"].concat();
            for at in 0..=name.len() {
                let mut reader = GreetingReader::default();
                assert_eq!(reader.read(&sent[..at]), Read::Partly, "{name} split at {at}");
                let whole = Read::Whole(service(name), b"rest");
                assert_eq!(reader.read(&sent[at..]), whole, "{name} split at {at}");
            }
        }
    }

    #[test]
    fn a_bad_greeting_is_refused() {
        assert!(matches!(GreetingReader::default().read(&[0, 1]), Read::Bad(_)), "an empty name");
        assert!(matches!(GreetingReader::default().read(&[1, 0xff]), Read::Bad(_)), "not UTF-8");
        assert!(Service::try_from("x".repeat(256)).is_err(), "a name of 256 bytes");
    }
}
