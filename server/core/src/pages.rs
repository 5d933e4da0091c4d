//! A table that grows page by page: no item is ever moved, and at most one page is spare. It does
//! not interpret its items, and frees no place.

use alloc::vec::Vec;

/// A growing table, whose pages hold `PAGE` items each.
#[derive(Debug)]
pub(crate) struct Pages<T, const PAGE: usize> {
    /// All but the last one are full.
    pages: Vec<Vec<T>>,
}

impl<T, const PAGE: usize> Default for Pages<T, PAGE> {
    fn default() -> Self {
        Pages { pages: Vec::new() }
    }
}

impl<T, const PAGE: usize> Pages<T, PAGE> {
    pub(crate) fn len(&self) -> usize {
        match self.pages.split_last() {
            Some((last, full)) => full.len() * PAGE + last.len(),
            None => 0,
        }
    }

    /// Adds an item behind all others.
    pub(crate) fn push(&mut self, item: T) {
        match self.pages.last_mut() {
            Some(last) if last.len() < PAGE => last.push(item),
            _ => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(item);
                self.pages.push(page);
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.pages.get(at / PAGE)?.get(at % PAGE)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.pages.get_mut(at / PAGE)?.get_mut(at % PAGE)
    }

    /// All items, in the order in which they were added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_where_they_were_put() {
        let mut pages: Pages<usize, 4> = Pages::default();
        for item in 0..10 {
            assert_eq!(pages.len(), item);
            pages.push(item);
        }
        *pages.get_mut(9).expect("the last one") = 90;
        let all: Vec<usize> = pages.iter().copied().collect();
        assert_eq!(all, [0, 1, 2, 3, 4, 5, 6, 7, 8, 90]);
        assert_eq!((pages.get(3), pages.get(4), pages.get(10)), (Some(&3), Some(&4), None));
    }
}
