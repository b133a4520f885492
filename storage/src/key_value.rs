//! The seam to a disk: ordered columns of bytes, and batches that are written as a whole.
//!
//! Everything above is ordinary structs, so that tries, indices and recovery run for real over
//! any implementation. Nothing here knows what the bytes mean ([`crate::columns`] does).

use crate::{columns::Column, error::StoreError};
use alloy_primitives::Bytes;
use std::{fmt::Debug, ops::ControlFlow, ops::Range};

/// Whether a write must survive the loss of power when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On the disk when the call returns.
    Synced,
    /// Survives the process, not the machine; becomes durable with the next synced write.
    Buffered,
}

/// Called for each record of a scan, in the order of keys.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'a;

/// The only seam to a disk. Reads see whole batches or nothing of them.
pub trait KeyValue: Send + Sync + Debug {
    /// The value under a key.
    ///
    /// # Errors
    /// When the disk fails.
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Visits the records of a range in the order of keys until it ends or `visit` breaks.
    ///
    /// # Errors
    /// When the disk fails, or what `visit` returned.
    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError>;

    /// The last record of a range: (key, value).
    ///
    /// # Errors
    /// When the disk fails.
    fn last(&self, column: Column, range: &KeyRange) -> Result<Option<(Bytes, Bytes)>, StoreError>;

    /// Writes a batch as a whole, over all columns. Later entries win over earlier ones.
    ///
    /// # Errors
    /// When the disk fails; then it is unknown whether the batch was written.
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError>;
}

/// Keys from `from` up to, but not with, `until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key.
    pub from: Vec<u8>,
    /// First key that is no longer meant; `None`: to the end of the column.
    pub until: Option<Vec<u8>>,
}

impl KeyRange {
    /// A whole column.
    #[must_use]
    pub const fn all() -> Self {
        Self { from: Vec::new(), until: None }
    }

    /// Every key that starts with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        Self { from: prefix.to_vec(), until: after_prefix(prefix) }
    }

    /// `prefix` followed by a big-endian number between `first` and `last`, both included.
    #[must_use]
    pub fn numbers(prefix: &[u8], first: u64, last: u64) -> Self {
        let until = match last.checked_add(1) {
            Some(next) => Some(with_number(prefix, next)),
            None => after_prefix(prefix),
        };
        Self { from: with_number(prefix, first), until }
    }

    /// Whether a key is in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.from.as_slice() && self.until.as_deref().is_none_or(|until| key < until)
    }
}

/// `prefix` followed by a big-endian number.
pub(crate) fn with_number(prefix: &[u8], number: u64) -> Vec<u8> {
    [prefix, &number.to_be_bytes()].concat()
}

/// The smallest key after all that start with `prefix`.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let end = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut until = prefix.get(..=end)?.to_vec();
    let last = until.last_mut()?;
    *last = last.saturating_add(1);
    Some(until)
}

#[derive(Clone, Debug)]
struct Placed {
    column: Column,
    key: Range<usize>,
    value: Option<Range<usize>>,
}

/// Writes over all columns that become visible and durable together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    writes: Vec<Placed>,
}

impl Batch {
    /// Sets a value.
    pub fn put(&mut self, column: Column, key: &[u8], value: &[u8]) {
        let key = self.place(key);
        let value = Some(self.place(value));
        self.writes.push(Placed { column, key, value });
    }

    /// Removes a value; it need not be there.
    pub fn delete(&mut self, column: Column, key: &[u8]) {
        let key = self.place(key);
        self.writes.push(Placed { column, key, value: None });
    }

    /// The writes in the order they were added; `None` removes.
    pub fn iter(&self) -> impl Iterator<Item = (Column, &[u8], Option<&[u8]>)> {
        let bytes = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.writes
            .iter()
            .map(move |write| (write.column, bytes(&write.key), write.value.as_ref().map(bytes)))
    }

    /// Number of writes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    fn place(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_of_a_prefix_ends_after_its_last_key() {
        let range = KeyRange::prefix(&[1, 0xff]);
        assert_eq!(range.until, Some(vec![2]));
        assert!(range.contains(&[1, 0xff, 0xff, 0xff]));
        assert!(!range.contains(&[2]));
    }

    #[test]
    fn range_of_numbers_includes_both_ends() {
        let range = KeyRange::numbers(b"a", 3, 5);
        let inside = |number| range.contains(&with_number(b"a", number));
        assert_eq!([2, 3, 5, 6].map(inside), [false, true, true, false]);
        assert!(KeyRange::numbers(b"a", 3, u64::MAX).contains(&with_number(b"a", u64::MAX)));
    }

    #[test]
    fn batch_keeps_the_order_of_writes() {
        let mut batch = Batch::default();
        batch.put(Column::Meta, b"k", b"v");
        batch.delete(Column::Meta, b"k");
        let writes: Vec<_> = batch.iter().collect();
        assert_eq!(
            writes,
            [(Column::Meta, &b"k"[..], Some(&b"v"[..])), (Column::Meta, &b"k"[..], None)]
        );
    }
}
