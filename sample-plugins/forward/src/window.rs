//! How far a channel may be ahead of its socket. The window grows while the socket keeps up, so
//! that one connection can fill a long path, and a slow reader holds little memory.

use std::cell::Cell;
use std::rc::Rc;

/// The least window that a channel has at first; servers may be configured to give more.
pub(crate) const FIRST: u64 = 64 * 1024;

/// The largest window.
pub(crate) const LARGEST: u64 = 1024 * 1024;

/// The most by which the windows of all connections together may have grown.
pub(crate) const SPARE: u64 = 64 * 1024 * 1024;

/// The rest of [`SPARE`]; its clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Spare(Rc<Cell<u64>>);

impl Default for Spare {
    fn default() -> Self {
        Self(Rc::new(Cell::new(SPARE)))
    }
}

/// The window of one channel. Its growth is returned when it is dropped.
#[derive(Debug)]
pub(crate) struct Window {
    size: u64,
    /// Bytes that were consumed and for which no credit was given.
    owed: u64,
    /// Bytes that were consumed since the socket was last behind, or the window last grew.
    kept_up: u64,
    spare: Spare,
}

impl Window {
    pub(crate) fn new(spare: &Spare) -> Self {
        Self { size: FIRST, owed: 0, kept_up: 0, spare: spare.clone() }
    }

    /// This many bytes were consumed on their way to the socket.
    pub(crate) fn consume(&mut self, count: usize) {
        self.owed += count as u64;
    }

    /// The credit to give now, in pieces of half a window, since each is a packet. `keeps_up` says
    /// that the socket has taken everything that came: when it did so for a whole window, that
    /// doubles.
    pub(crate) fn take_credit(&mut self, keeps_up: bool) -> Option<u64> {
        if self.owed < self.size / 2 {
            return None;
        }
        let mut credit = std::mem::take(&mut self.owed);
        self.kept_up = if keeps_up { self.kept_up + credit } else { 0 };
        if self.kept_up >= self.size {
            credit += self.grow();
        }
        Some(credit)
    }

    /// Doubles, as far as the shared memory allows.
    fn grow(&mut self) -> u64 {
        let Spare(left) = &self.spare;
        let more = self.size.min(LARGEST - self.size).min(left.get());
        left.set(left.get() - more);
        self.size += more;
        self.kept_up = 0;
        more
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let Spare(left) = &self.spare;
        left.set(left.get() + self.size - FIRST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The credit of a whole window, in as many pieces as it comes in.
    fn carry(window: &mut Window, keeps_up: bool) -> u64 {
        let (size, mut credit) = (window.size, 0);
        for _ in 0..size / 1024 {
            window.consume(1024);
            credit += window.take_credit(keeps_up).unwrap_or(0);
        }
        credit
    }

    #[test]
    fn a_window_doubles_while_the_socket_keeps_up() {
        let mut window = Window::new(&Spare::default());
        assert_eq!(carry(&mut window, false), FIRST, "a slow socket gives back what it took");
        let mut size = FIRST;
        while size < LARGEST {
            assert_eq!(carry(&mut window, true), 2 * size, "what it took, and as much more");
            size *= 2;
        }
        assert_eq!(carry(&mut window, true), LARGEST, "it has grown as far as it may");
    }

    #[test]
    fn all_windows_share_what_they_grow_by() {
        let spare = Spare::default();
        let count = usize::try_from(SPARE / (LARGEST - FIRST)).unwrap() + 2;
        let mut windows: Vec<Window> = (0..count).map(|_| Window::new(&spare)).collect();
        for window in &mut windows {
            for _ in 0..6 {
                carry(window, true);
            }
        }
        let grown: u64 = windows.iter().map(|window| window.size - FIRST).sum();
        assert_eq!(grown, SPARE);
        assert_eq!(
            windows.last().map(|window| window.size),
            Some(FIRST),
            "nothing was left for it"
        );
        drop(windows);
        assert_eq!(spare.0.get(), SPARE, "it is given back");
    }
}
