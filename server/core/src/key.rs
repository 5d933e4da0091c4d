//! Public keys, which identify servers and hosts. Secret keys are kept elsewhere.

use alloc::string::String;
use base64ct::{Base64, Encoding};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// An ed25519 public key, printed as standard base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(pub [u8; 32]);

/// The network of servers without a configured one: the SHA-256 of `trunkline`.
pub const NETWORK: [u8; 32] = [
    0xc3, 0x5d, 0x87, 0x0a, 0x42, 0xbc, 0x53, 0x18, 0x8d, 0xf3, 0x6c, 0x93, 0x0b, 0xfc, 0x34, 0x71,
    0xbc, 0x4e, 0x2f, 0xef, 0x72, 0xca, 0x46, 0xe0, 0x7f, 0xa3, 0x77, 0xad, 0xa4, 0x3f, 0x19, 0xdf,
];

/// The text is not the standard base64 of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError;

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        match Base64::decode(text, &mut bytes) {
            Ok(decoded) if decoded.len() == 32 => Ok(Key(bytes)),
            _ => Err(KeyError),
        }
    }
}

impl Key {
    /// The first eight characters of the printed key, for logs.
    pub fn short(&self) -> String {
        let mut text = Base64::encode_string(&self.0);
        text.truncate(8);
        text
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Base64::encode_string(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key is the standard base64 of 32 bytes (44 characters ending in =)")
    }
}

impl core::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_key_is_printed_as_it_is_read() {
        let text = "DTNmX+4SjsgZ7xyDh5xxmNtFqa6pWi5Qtw7cE8aR9TQ=";
        assert_eq!(text.parse::<Key>().map(|k| k.to_string()).as_deref(), Ok(text));
    }

    #[test]
    fn short_long_and_unpadded_keys_are_refused() {
        for bad in ["", "AAAA", "DTNmX+4SjsgZ7xyDh5xxmNtFqa6pWi5Qtw7cE8aR9TQ", &"A".repeat(48)] {
            assert_eq!(bad.parse::<Key>(), Err(KeyError), "{bad} was taken for a key");
        }
    }
}
