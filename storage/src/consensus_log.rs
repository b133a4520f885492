//! The durable records of a consensus engine: opaque bytes in order. A record is on the disk when
//! `append` returns; a vote leaves the node only after that.

use crate::{Batch, Column, Durability, KeyRange, KeyValue, StoreError, columns::number_at_end};
use std::{ops::ControlFlow, sync::Arc};

/// The log of one engine. Owned by the consensus thread.
#[derive(Debug)]
pub struct ConsensusLog {
    disk: Arc<dyn KeyValue>,
    durability: Durability,
    /// Sequence number of the oldest record kept.
    first: u64,
    /// Sequence number of the next record.
    next: u64,
    failed: bool,
}

impl ConsensusLog {
    pub(crate) fn open(
        disk: Arc<dyn KeyValue>,
        durability: Durability,
    ) -> Result<Self, StoreError> {
        let mut first = None;
        disk.scan(Column::ConsensusLog, &KeyRange::all(), &mut |key, _| {
            first = Some(number_at_end(Column::ConsensusLog, key)?);
            Ok(ControlFlow::Break(()))
        })?;
        let last = match disk.last(Column::ConsensusLog, &KeyRange::all())? {
            Some((key, _)) => Some(number_at_end(Column::ConsensusLog, &key)?),
            None => None,
        };
        let next = last.map_or(0, |last| last.saturating_add(1));
        Ok(Self { disk, durability, first: first.unwrap_or(next), next, failed: false })
    }

    /// Adds records in order, all or none of them; they are durable on return.
    ///
    /// # Errors
    /// When the disk fails. The log refuses everything from then on: what is durable is known
    /// only after opening again.
    pub fn append(&mut self, records: impl Iterator<Item = Vec<u8>>) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        let mut batch = Batch::default();
        let mut next = self.next;
        for record in records {
            batch.put(Column::ConsensusLog, &next.to_be_bytes(), &record);
            next = next.saturating_add(1);
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.disk.write(&batch, self.durability).inspect_err(|_| self.failed = true)?;
        self.next = next;
        Ok(())
    }

    /// All records, oldest first.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn recover(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut records = Vec::new();
        self.disk.scan(Column::ConsensusLog, &KeyRange::all(), &mut |_, record| {
            records.push(record.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(records)
    }

    /// Drops all records but the newest `keep`. Need not be durable: a dropped record that comes
    /// back is only old.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn forget(&mut self, keep: u64) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        let until = self.next.saturating_sub(keep);
        let mut batch = Batch::default();
        for sequence in self.first..until {
            batch.delete(Column::ConsensusLog, &sequence.to_be_bytes());
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.disk.write(&batch, Durability::Buffered).inspect_err(|_| self.failed = true)?;
        self.first = until;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryDisk;

    fn records(texts: &[&str]) -> impl Iterator<Item = Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn records_come_back_in_order_after_opening_again() {
        let disk: Arc<dyn KeyValue> = Arc::new(MemoryDisk::default());
        let mut log = ConsensusLog::open(Arc::clone(&disk), Durability::Synced).unwrap();
        log.append(records(&["a", "b"])).unwrap();
        let mut log = ConsensusLog::open(disk, Durability::Synced).unwrap();
        log.append(records(&["c"])).unwrap();
        assert_eq!(log.recover().unwrap(), records(&["a", "b", "c"]).collect::<Vec<_>>());
    }

    #[test]
    fn forget_keeps_the_newest() {
        let disk: Arc<dyn KeyValue> = Arc::new(MemoryDisk::default());
        let mut log = ConsensusLog::open(Arc::clone(&disk), Durability::Synced).unwrap();
        log.append(records(&["a", "b", "c"])).unwrap();
        log.forget(1).unwrap();
        let mut log = ConsensusLog::open(disk, Durability::Synced).unwrap();
        assert_eq!(log.recover().unwrap(), records(&["c"]).collect::<Vec<_>>());
        log.forget(0).unwrap();
        log.append(records(&["d"])).unwrap();
        assert_eq!(log.recover().unwrap(), records(&["d"]).collect::<Vec<_>>());
    }

    /// Golden bytes of a key.
    #[test]
    fn key_is_the_sequence_number() {
        let disk = Arc::new(MemoryDisk::default());
        let mut log = ConsensusLog::open(disk.clone(), Durability::Synced).unwrap();
        log.append(records(&["a", "b"])).unwrap();
        let key = [0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(*disk.get(Column::ConsensusLog, &key).unwrap().unwrap(), b"b"[..]);
    }
}
