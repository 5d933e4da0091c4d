//! The connections by their numbers. Every message looks some up, so that it takes no search.

use crate::broker::ConnId;
use crate::broker::neighbours::connections::Conn;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Places that there are at first.
const FEW: usize = 8;

/// A connection lies at the place that its number gives, modulo the places that there are. A number
/// whose place is taken is left out; of the places, half are free at least.
#[derive(Debug)]
pub(crate) struct Conns {
    /// Each in a box, so that one which has proved nothing costs little. As many places as some
    /// power of two.
    places: Vec<Option<(ConnId, Box<Conn>)>>,
    count: usize,
    next: u32,
}

impl Conns {
    pub(crate) fn new() -> Conns {
        Conns { places: (0..FEW).map(|_| None).collect(), count: 0, next: 0 }
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
    pub(crate) fn insert(&mut self, id: ConnId, conn: Conn) {
        let place = self.place(id);
        self.count += usize::from(self.places[place].is_none());
        self.places[place] = Some((id, Box::new(conn)));
    }

    pub(crate) fn remove(&mut self, id: &ConnId) {
        let place = self.place(*id);
        if self.contains_key(id) {
            self.places[place] = None;
            self.count -= 1;
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: &ConnId) -> Option<&Conn> {
        match &self.places[self.place(*id)] {
            Some((other, conn)) if other == id => Some(conn),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: &ConnId) -> Option<&mut Conn> {
        let place = self.place(*id);
        match &mut self.places[place] {
            Some((other, conn)) if other == id => Some(conn),
            _ => None,
        }
    }

    /// A connection that may have something to write, noted as such unless it is already.
    #[inline]
    pub(crate) fn touch(&mut self, id: ConnId, touched: &mut Vec<ConnId>) -> Option<&mut Conn> {
        let conn = self.get_mut(&id)?;
        if !core::mem::replace(&mut conn.touched, true) {
            touched.push(id);
        }
        Some(conn)
    }

    pub(crate) fn contains_key(&self, id: &ConnId) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// All connections, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ConnId, &Conn)> {
        self.places.iter().flatten().map(|(id, conn)| (id, &**conn))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &ConnId> {
        self.iter().map(|(id, _)| id)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Conn> {
        self.iter().map(|(_, conn)| conn)
    }
}
