//! Cuts bytes into complete lines of bounded length.

use super::entry::{FRAME, TEXT_MAX};

/// The line that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    part: Vec<u8>,
}

impl Lines {
    /// Passes on the lines that these bytes complete, without their ends. A line that is too long
    /// is passed on in pieces. A record begins a line, also behind one that is not complete.
    pub(super) fn take(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        for byte in bytes {
            let (ends, begins) = (*byte == b'\n', *byte == FRAME && !self.part.is_empty());
            // Room for what stands before the text of a record.
            if ends || begins || self.part.len() >= TEXT_MAX + 256 {
                line(&self.part);
                self.part.clear();
            }
            if !ends {
                self.part.push(*byte);
            }
        }
    }

    /// Passes on what is left, when nothing more comes.
    pub(super) fn end(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.part.is_empty() {
            line(&std::mem::take(&mut self.part));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        let mut keep = |line: &[u8]| all.push(String::from_utf8_lossy(line).into_owned());
        parts.iter().for_each(|part| lines.take(part, &mut keep));
        lines.end(&mut keep);
        all
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_arrive() {
        let text = b"one\n\ntwo\x1e3 a b\nlast";
        let expected = ["one", "", "two", "\x1e3 a b", "last"];
        assert_eq!(lines(&[text]), expected);
        for at in 0..text.len() {
            assert_eq!(lines(&[&text[..at], &text[at..]]), expected, "cut at {at}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_passed_on_in_pieces() {
        let pieces = lines(&[&vec![b'x'; 3 * TEXT_MAX]]);
        assert!(pieces.len() >= 3, "{}", pieces.len());
        assert!(pieces.iter().all(|piece| piece.len() <= TEXT_MAX + 256));
        assert_eq!(pieces.concat().len(), 3 * TEXT_MAX, "nothing is lost");
    }
}
