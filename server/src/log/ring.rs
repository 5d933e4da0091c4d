//! The latest records, for those who ask later.

use super::entry::Entry;
use std::collections::VecDeque;
use std::sync::Arc;

/// Records that are kept at most: some minutes of a busy server.
pub(super) const RECORDS_MAX: usize = 1_000;

/// Bytes that they take at most. Long texts leave room for fewer records.
const BYTES_MAX: usize = 1 << 20;

/// The latest records, in order.
#[derive(Debug, Default)]
pub(super) struct Ring {
    records: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// The number of the record that comes next; the first one has 0.
    next: u64,
}

/// A part of the ring.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The number of the first record. If it is above the one that was asked for, those between are
    /// not kept any more.
    pub(super) first: u64,
    pub(super) records: Vec<Arc<Entry>>,
}

impl Ring {
    pub(super) fn push(&mut self, record: Arc<Entry>) {
        self.bytes += record.cost();
        self.records.push_back(record);
        self.next += 1;
        while self.records.len() > RECORDS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.records.pop_front() else { return };
            self.bytes -= oldest.cost();
        }
    }

    /// The records from the one with this number on.
    pub(super) fn since(&self, number: u64) -> Part {
        let oldest = self.next - self.records.len() as u64;
        let first = number.clamp(oldest, self.next);
        let skipped = usize::try_from(first - oldest).unwrap_or(usize::MAX);
        Part { first, records: self.records.iter().skip(skipped).cloned().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::TEXT_MAX;
    use super::*;
    use log::Level;

    fn ring(records: impl IntoIterator<Item = String>) -> Ring {
        let mut ring = Ring::default();
        for text in records {
            ring.push(Arc::new(Entry::new(Level::Info, "a", &format_args!("{text}"))));
        }
        ring
    }

    fn texts(part: &Part) -> Vec<&str> {
        part.records.iter().map(|record| record.text.as_str()).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped() {
        let ring = ring((0..5).map(|number| number.to_string()));
        let all = ring.since(0);
        assert_eq!((all.first, texts(&all)), (0, vec!["0", "1", "2", "3", "4"]));
        let rest = ring.since(3);
        assert_eq!((rest.first, texts(&rest)), (3, vec!["3", "4"]));
        assert_eq!(ring.since(5), Part { first: 5, records: Vec::new() });
        assert_eq!(ring.since(99).first, 5, "a number of another process begins at the end");
    }

    #[test]
    fn the_oldest_records_make_room_and_a_reader_learns_how_many() {
        let ring = ring((0..RECORDS_MAX + 7).map(|number| number.to_string()));
        let part = ring.since(3);
        assert_eq!((part.first, texts(&part)[..2].to_vec()), (7, vec!["7", "8"]));
        assert_eq!(part.records.len(), RECORDS_MAX);
    }

    #[test]
    fn long_records_do_not_take_more_memory() {
        let ring = ring((0..RECORDS_MAX).map(|_| "x".repeat(TEXT_MAX)));
        let kept = ring.since(0).records;
        assert!(kept.len() > 100, "{}", kept.len());
        assert!(kept.iter().map(|record| record.cost()).sum::<usize>() <= BYTES_MAX);
    }
}
