//! The header of each piece of a message: kind, call and length.

/// The longest piece of a message in bytes. A short message waits for at most one piece of each
/// long message.
pub const PIECE_MAX: usize = 16 * 1024;

/// Bytes of a header.
pub(super) const HEADER: usize = 7;

/// Not the first piece of its message.
const CONTINUES: u8 = 0x40;

/// Not the last piece of its message.
const MORE: u8 = 0x80;

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller's request.
    Request,
    /// The caller no longer waits. It has no bytes.
    Cancel,
    /// The callee's answer.
    Answer,
    /// The callee, or its server, refuses. The bytes are a reason.
    Refused,
    /// It is unknown whether the request was done. The bytes are a reason.
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
pub(super) struct PieceHeader {
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

impl PieceHeader {
    pub(super) fn encode(self) -> [u8; HEADER] {
        let more = if self.last { 0 } else { MORE };
        let continues = if self.first { 0 } else { CONTINUES };
        let [a, b, c, d] = self.call.to_be_bytes();
        // A piece has at most 2^14 bytes.
        let [high, low] = (self.length as u16).to_be_bytes();
        [self.kind.number() | more | continues, a, b, c, d, high, low]
    }

    /// Reads a header; `None` if there is no such kind, or the piece is too long.
    pub(super) fn decode(bytes: [u8; HEADER]) -> Option<PieceHeader> {
        let [first, a, b, c, d, high, low] = bytes;
        let number = first & !(MORE | CONTINUES);
        let kind = Kind::ALL.into_iter().find(|kind| kind.number() == number)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        (length <= PIECE_MAX).then_some(PieceHeader {
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
    fn headers_match_the_protocol() {
        let header =
            PieceHeader { kind: Kind::Answer, first: true, last: true, call: 258, length: 5 };
        assert_eq!(header.encode(), [3, 0, 0, 1, 2, 0, 5]);
        let middle = PieceHeader { first: false, last: false, length: PIECE_MAX, ..header };
        assert_eq!(middle.encode(), [0xc3, 0, 0, 1, 2, 0x40, 0]);
        for header in [header, middle] {
            assert_eq!(PieceHeader::decode(header.encode()), Some(header));
        }
        assert_eq!(PieceHeader::decode([0, 0, 0, 0, 1, 0, 0]), None);
        assert_eq!(PieceHeader::decode([6, 0, 0, 0, 1, 0, 0]), None);
        assert_eq!(PieceHeader::decode([1, 0, 0, 0, 1, 0x40, 1]), None);
    }
}
