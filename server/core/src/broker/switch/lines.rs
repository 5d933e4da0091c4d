//! The connections by their numbers, as far as they carry bytes. Every message looks some up, so
//! that it takes no search.

use crate::ids::{ConnId, EndId};
use crate::link::Link;
use crate::turn_budget::UsedInTurn;
use crate::wire::Wire;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A connection as far as it carries bytes. The neighbours know the peer at its other end.
#[derive(Debug)]
pub(crate) struct Line {
    pub(super) link: Link,
    pub(super) wire: Wire,
    /// It is among those that may have something to write.
    touched: bool,
    /// Nothing more is read from it: it ends as soon as its outbox is written.
    pub(super) ended: bool,
    /// Its peer broke a rule, and the event that says so is still queued.
    pub(super) faulted: bool,
    /// A ping is unanswered: whether the socket takes more is found out by trying. The kernel says
    /// so only when much of its buffer is free, which takes minutes on a slow path.
    pub(super) tries_socket: bool,
    /// Its peer is not to be told what plugins of this server say when they fail.
    pub(super) foreign: bool,
    /// By how much windows of this link have grown, in bytes.
    pub(super) grown: u64,
    /// Bytes that plugins consumed while the ping was on its way that is not answered, by their
    /// ends.
    pub(super) in_round: BTreeMap<EndId, u64>,
    /// Streams of the peer whose preface has not been answered.
    pub(super) unanswered: usize,
    /// The work that it has caused in this turn, and what it has said that waits for the next one.
    pub(super) used: UsedInTurn,
    pub(super) unread: Option<Vec<u8>>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

impl Line {
    /// A connection on which nothing was said. What plugins say when they fail is for `foreign`
    /// ones to know no more than that they failed.
    pub(super) fn new(link: Link, wire: Wire, foreign: bool) -> Line {
        Line {
            link,
            wire,
            touched: false,
            ended: false,
            faulted: false,
            tries_socket: false,
            foreign,
            grown: 0,
            in_round: BTreeMap::new(),
            unanswered: 0,
            used: UsedInTurn::default(),
            unread: None,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// The link, to look at.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Bytes that came from the peer, and bytes that went there.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.bytes_in, self.bytes_out)
    }

    /// Streams of the peer whose preface has not been answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// By how much windows of this link have grown, in bytes.
    pub(crate) fn grown(&self) -> u64 {
        self.grown
    }

    /// Whether the peer has said anything that a stranger could not.
    pub(crate) fn has_spoken(&self) -> bool {
        match &self.wire {
            Wire::Plain => self.bytes_in > 0,
            Wire::Secured(secured) => secured.is_greeted(),
        }
    }
}

/// Places that there are at first.
const FEW: usize = 8;

/// A connection lies at the place that its number gives, modulo the places that there are. A number
/// whose place is taken is left out; of the places, half are free at least.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Each in a box, so that one which has proved nothing costs little. As many places as some
    /// power of two.
    places: Vec<Option<(ConnId, Box<Line>)>>,
    count: usize,
    next: u32,
}

impl Lines {
    pub(crate) fn new() -> Lines {
        Lines { places: (0..FEW).map(|_| None).collect(), count: 0, next: 0 }
    }

    #[inline]
    fn place(&self, id: ConnId) -> usize {
        id.0 as usize & (self.places.len() - 1)
    }

    /// The number of the next connection, which has to be put in before another one is numbered.
    pub(crate) fn number(&mut self) -> ConnId {
        if 2 * self.count >= self.places.len() {
            self.grow();
        }
        let mut id = ConnId(self.next);
        while self.places[self.place(id)].is_some() {
            id.0 = id.0.wrapping_add(1);
        }
        self.next = id.0.wrapping_add(1);
        id
    }

    /// Twice as many places: numbers that lay apart still do.
    fn grow(&mut self) {
        let twice = (0..2 * self.places.len()).map(|_| None).collect();
        for taken in core::mem::replace(&mut self.places, twice).into_iter().flatten() {
            let place = self.place(taken.0);
            self.places[place] = Some(taken);
        }
    }

    /// Puts a connection in under the number that it was given.
    pub(crate) fn insert(&mut self, id: ConnId, line: Line) {
        let place = self.place(id);
        self.count += usize::from(self.places[place].is_none());
        self.places[place] = Some((id, Box::new(line)));
    }

    pub(crate) fn remove(&mut self, id: &ConnId) {
        let place = self.place(*id);
        if self.contains_key(id) {
            self.places[place] = None;
            self.count -= 1;
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: &ConnId) -> Option<&Line> {
        match &self.places[self.place(*id)] {
            Some((other, line)) if other == id => Some(line),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: &ConnId) -> Option<&mut Line> {
        let place = self.place(*id);
        match &mut self.places[place] {
            Some((other, line)) if other == id => Some(line),
            _ => None,
        }
    }

    /// A connection that may have something to write, noted as such unless it is already.
    #[inline]
    pub(crate) fn touch(&mut self, id: ConnId, touched: &mut Vec<ConnId>) -> Option<&mut Line> {
        let line = self.get_mut(&id)?;
        if !core::mem::replace(&mut line.touched, true) {
            touched.push(id);
        }
        Some(line)
    }

    /// A connection is no more among those that may have something to write.
    pub(super) fn untouch(&mut self, id: &ConnId) {
        if let Some(line) = self.get_mut(id) {
            line.touched = false;
        }
    }

    pub(crate) fn contains_key(&self, id: &ConnId) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// All connections, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ConnId, &Line)> {
        self.places.iter().flatten().map(|(id, line)| (id, &**line))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &ConnId> {
        self.iter().map(|(id, _)| id)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Line> {
        self.iter().map(|(_, line)| line)
    }
}
