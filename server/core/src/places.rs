//! Numbered places for items that come and go. Room is taken and given back page by page, and an
//! item is never moved. It does not interpret its items.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Places of one page.
const PAGE: usize = 64;

/// Items by their places, of which the lowest free ones are taken first.
#[derive(Debug)]
pub(crate) struct Places<T> {
    pages: Vec<Page<T>>,
    /// The pages that have a free place, without those that have not begun.
    roomy: BTreeSet<usize>,
}

#[derive(Debug)]
struct Page<T> {
    /// As many as the page has places, or none.
    items: Vec<Option<T>>,
    used: usize,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Places { pages: Vec::new(), roomy: BTreeSet::new() }
    }
}

impl<T> Places<T> {
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.pages.get(at / PAGE)?.items.get(at % PAGE)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.pages.get_mut(at / PAGE)?.items.get_mut(at % PAGE)?.as_mut()
    }

    /// The lowest free place.
    pub(crate) fn vacancy(&self) -> usize {
        let page = self.roomy.first().copied().unwrap_or(self.pages.len());
        let items = self.pages.get(page).map(|page| &page.items);
        let free = items.and_then(|items| items.iter().position(Option::is_none));
        page * PAGE + free.unwrap_or(0)
    }

    /// Puts an item at a place, instead of what was there.
    pub(crate) fn insert(&mut self, at: usize, item: T) {
        let number = at / PAGE;
        while self.pages.len() <= number {
            self.roomy.insert(self.pages.len());
            self.pages.push(Page { items: Vec::new(), used: 0 });
        }
        let Some(page) = self.pages.get_mut(number) else { return };
        if page.items.is_empty() {
            page.items.resize_with(PAGE, || None);
        }
        if let Some(place) = page.items.get_mut(at % PAGE) {
            page.used += usize::from(place.replace(item).is_none());
        }
        if page.used == PAGE {
            self.roomy.remove(&number);
        }
    }

    /// Takes an item away.
    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let number = at / PAGE;
        let page = self.pages.get_mut(number)?;
        let item = page.items.get_mut(at % PAGE)?.take()?;
        page.used -= 1;
        if page.used == 0 {
            page.items = Vec::new();
        }
        self.roomy.insert(number);
        while self.pages.last().is_some_and(|last| last.used == 0) {
            self.pages.pop();
            self.roomy.remove(&self.pages.len());
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_place_is_taken_first() {
        let mut places = Places::default();
        for item in 0..5 * PAGE {
            assert_eq!(places.vacancy(), item);
            places.insert(item, item);
        }
        for at in [200, 3, 70] {
            assert_eq!(places.remove(at), Some(at));
            assert_eq!(places.get(at), None);
            assert_eq!(places.remove(at), None);
        }
        for at in [3, 70, 200, 5 * PAGE] {
            assert_eq!(places.vacancy(), at);
            places.insert(at, at);
        }
        *places.get_mut(70).expect("an item") = 7;
        assert_eq!((places.get(70), places.get(71)), (Some(&7), Some(&71)));
    }

    #[test]
    fn pages_without_items_take_no_room() {
        let mut places = Places::default();
        (0..10 * PAGE).for_each(|item| places.insert(item, item));
        for at in (1..9 * PAGE).chain(9 * PAGE + 1..10 * PAGE) {
            places.remove(at);
        }
        let begun = |places: &Places<usize>| {
            places.pages.iter().filter(|page| page.items.capacity() > 0).count()
        };
        assert_eq!((places.pages.len(), begun(&places)), (10, 2));
        places.remove(9 * PAGE);
        assert_eq!((places.pages.len(), begun(&places)), (1, 1));
        places.remove(0);
        assert_eq!((places.pages.len(), places.roomy.len(), places.vacancy()), (0, 0, 0));
        places.insert(3 * PAGE, 1);
        assert_eq!(places.vacancy(), 0, "pages that were passed over have places");
    }
}
