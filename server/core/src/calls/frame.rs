//! The header of each piece of a message: what it is, of which call, and how long.

/// The longest piece of a message in bytes. A short message waits for no more than one of them for
/// each long one that is on its way.
pub const PIECE_MAX: usize = 16 * 1024;

/// Bytes of a header.
pub(super) const HEADER: usize = 7;

/// Not the first piece of its message.
const CONTINUES: u8 = 0x40;

/// Not the last piece of its message.
const MORE: u8 = 0x80;

/// What a message says of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller asks.
    Request,
    /// The caller does not wait any longer. It has no bytes.
    Cancel,
    /// The callee answers.
    Answer,
    /// The callee, or its server, says no. The bytes are a reason.
    Refused,
    /// Nobody knows whether it was done. The bytes are a reason.
    Lost,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Request, Kind::Cancel, Kind::Answer, Kind::Refused, Kind::Lost];

    fn number(self) -> u8 {
        match self {
            Kind::Request => 1,
            Kind::Cancel => 2,
            Kind::Answer => 3,
            Kind::Refused => 4,
            Kind::Lost => 5,
        }
    }
}

/// One piece's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// The first piece of its message.
    pub(super) first: bool,
    /// The last one.
    pub(super) last: bool,
    /// The call.
    pub(super) call: u32,
    /// Bytes that follow.
    pub(super) length: usize,
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER] {
        let more = if self.last { 0 } else { MORE };
        let continues = if self.first { 0 } else { CONTINUES };
        let [a, b, c, d] = self.call.to_be_bytes();
        // A piece has at most 2^14 bytes.
        let [high, low] = (self.length as u16).to_be_bytes();
        [self.kind.number() | more | continues, a, b, c, d, high, low]
    }

    /// Reads a header; nothing when there is no such kind, or the piece is too long.
    pub(super) fn decode(bytes: [u8; HEADER]) -> Option<Header> {
        let [first, a, b, c, d, high, low] = bytes;
        let number = first & !(MORE | CONTINUES);
        let kind = Kind::ALL.into_iter().find(|kind| kind.number() == number)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        (length <= PIECE_MAX).then_some(Header {
            kind,
            first: first & CONTINUES == 0,
            last: first & MORE == 0,
            call: u32::from_be_bytes([a, b, c, d]),
            length,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_they_are_written_down() {
        let header = Header { kind: Kind::Answer, first: true, last: true, call: 258, length: 5 };
        assert_eq!(header.encode(), [3, 0, 0, 1, 2, 0, 5]);
        let middle = Header { first: false, last: false, length: PIECE_MAX, ..header };
        assert_eq!(middle.encode(), [0xc3, 0, 0, 1, 2, 0x40, 0]);
        for header in [header, middle] {
            assert_eq!(Header::decode(header.encode()), Some(header));
        }
        assert_eq!(Header::decode([0, 0, 0, 0, 1, 0, 0]), None);
        assert_eq!(Header::decode([6, 0, 0, 0, 1, 0, 0]), None);
        assert_eq!(Header::decode([1, 0, 0, 0, 1, 0x40, 1]), None);
    }
}
