//! Control messages on their way in: one at a time, and long lists in parts, so that the broker can
//! go on with the rest later.

use super::Fault;
use crate::control::{Announced, FrameReader, Message, Plugins, Withdrawn};
use crate::key::Key;
use crate::name::Name;
use alloc::vec;
use alloc::vec::Vec;

/// Names in one part of a list.
pub(super) const PART: usize = 64;

/// What has arrived on the control stream and is not dealt with.
#[derive(Debug)]
pub(super) struct ControlInput {
    reader: FrameReader,
    /// Bytes behind the message that was given last, and how many of them were read.
    behind: Vec<u8>,
    read: usize,
    list: Option<List>,
}

/// The rest of a list, as messages of the same kind will bring it.
#[derive(Debug)]
enum List {
    Plugins(vec::IntoIter<Announced>),
    Withdrawn(vec::IntoIter<Name>, Option<Key>),
}

impl ControlInput {
    pub(super) fn new(longest: usize) -> ControlInput {
        ControlInput { reader: FrameReader::new(longest), behind: Vec::new(), read: 0, list: None }
    }

    /// Whether [`next`](ControlInput::next) may have a message.
    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        self.read < self.behind.len() || self.list.is_some()
    }

    /// Takes bytes, when none are pending: the first message in them.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Option<Message>, Fault> {
        let mut rest = bytes;
        let frame = self.reader.read(&mut rest)?;
        let message = frame.map(|frame| Message::decode(frame.as_slice())).transpose()?;
        self.behind.extend_from_slice(rest);
        Ok(message.map(|message| self.first_part(message)))
    }

    /// The next message of those that are pending.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Fault> {
        if let Some(part) = self.next_part() {
            return Ok(Some(part));
        }
        let mut rest = &self.behind[self.read..];
        let frame = self.reader.read(&mut rest)?;
        let message = frame.map(|frame| Message::decode(frame.as_slice())).transpose()?;
        self.read = self.behind.len() - rest.len();
        if self.read == self.behind.len() {
            (self.behind, self.read) = (Vec::new(), 0);
        }
        Ok(message.map(|message| self.first_part(message)))
    }

    /// Brings plugins of the last message once more, in parts, before anything else.
    pub(super) fn bring_later(&mut self, plugins: Vec<Announced>) {
        self.list = (!plugins.is_empty()).then(|| List::Plugins(plugins.into_iter()));
    }

    /// The message, of whose list the part behind the first one is kept.
    fn first_part(&mut self, message: Message) -> Message {
        match message {
            Message::Plugins(Plugins { mut plugins }) => {
                self.list = rest_of(&mut plugins).map(List::Plugins);
                Message::Plugins(Plugins { plugins })
            }
            Message::Withdrawn(Withdrawn { mut names, server }) => {
                self.list = rest_of(&mut names).map(|rest| List::Withdrawn(rest, server));
                Message::Withdrawn(Withdrawn { names, server })
            }
            other => other,
        }
    }

    fn next_part(&mut self) -> Option<Message> {
        let list = self.list.as_mut()?;
        let (part, left) = match list {
            List::Plugins(rest) => {
                let plugins = rest.by_ref().take(PART).collect();
                (Message::Plugins(Plugins { plugins }), rest.len())
            }
            List::Withdrawn(rest, server) => {
                let names = rest.by_ref().take(PART).collect();
                (Message::Withdrawn(Withdrawn { names, server: *server }), rest.len())
            }
        };
        if left == 0 {
            self.list = None;
        }
        Some(part)
    }
}

fn rest_of<T>(list: &mut Vec<T>) -> Option<vec::IntoIter<T>> {
    (list.len() > PART).then(|| list.split_off(PART).into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::MESSAGE_MAX;
    use alloc::format;

    fn withdrawn(count: usize) -> Message {
        let names = (0..count).map(|n| format!("n{n}").parse().expect("a name")).collect();
        Message::Withdrawn(Withdrawn { names, server: Some(Key([7; 32])) })
    }

    /// The numbers of names in the messages that some bytes bring in pieces of a size.
    fn lists(bytes: &[u8], piece: usize) -> Vec<usize> {
        let mut input = ControlInput::new(MESSAGE_MAX);
        let mut lists = Vec::new();
        for piece in bytes.chunks(piece) {
            let mut message = input.take(piece).expect("legal");
            loop {
                match message {
                    Some(Message::Withdrawn(part)) => {
                        assert_eq!(part.server, Some(Key([7; 32])));
                        lists.push(part.names.len());
                    }
                    Some(other) => panic!("{other:?} was never said"),
                    None => assert!(!input.is_pending()),
                }
                if !input.is_pending() {
                    break;
                }
                message = input.next().expect("legal");
            }
        }
        lists
    }

    #[test]
    fn messages_come_one_by_one_and_long_lists_in_parts_however_they_are_cut() {
        let bytes =
            [withdrawn(1), withdrawn(2 * PART + 5), withdrawn(0)].map(|m| m.frame()).concat();
        for piece in [1, 7, 100, bytes.len()] {
            assert_eq!(lists(&bytes, piece), [1, PART, PART, 5, 0], "in pieces of {piece}");
        }
    }
}
