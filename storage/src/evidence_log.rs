//! Provable breaches of the protocol: opaque bytes in order, the newest ones. Nothing waits for
//! them: they are written without waiting for the disk, and a lost one costs no safety.

use crate::{Batch, Column, Durability, KeyRange, KeyValue, StoreError, columns::number_at_end};
use std::{ops::ControlFlow, sync::Arc};

/// Records kept; older ones are deleted, so that a liar cannot fill the disk.
pub const EVIDENCE_KEPT: u64 = 1024;

/// Adds breaches. There is one per database.
#[derive(Debug)]
pub struct EvidenceLog {
    disk: Arc<dyn KeyValue>,
    /// Sequence number of the next record.
    next: u64,
}

impl EvidenceLog {
    pub(crate) fn open(disk: Arc<dyn KeyValue>) -> Result<Self, StoreError> {
        let next = newest_sequence(&*disk)?.map_or(0, |newest| newest.saturating_add(1));
        Ok(Self { disk, next })
    }

    /// Adds a record, and deletes the one that is no longer among the newest.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn append(&mut self, record: &[u8]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(Column::Evidence, &self.next.to_be_bytes(), record);
        if let Some(oldest) = self.next.checked_sub(EVIDENCE_KEPT) {
            batch.delete(Column::Evidence, &oldest.to_be_bytes());
        }
        self.disk.write(&batch, Durability::Buffered)?;
        self.next = self.next.saturating_add(1);
        Ok(())
    }
}

/// Reads breaches. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EvidenceReader {
    disk: Arc<dyn KeyValue>,
}

impl EvidenceReader {
    pub(crate) const fn new(disk: Arc<dyn KeyValue>) -> Self {
        Self { disk }
    }

    /// At most `limit` records, newest first.
    ///
    /// # Errors
    /// When the disk fails or a key is damaged.
    pub fn newest(&self, limit: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let Some(newest) = newest_sequence(&*self.disk)? else { return Ok(Vec::new()) };
        let Some(before) = limit.min(EVIDENCE_KEPT).checked_sub(1) else { return Ok(Vec::new()) };
        let range = KeyRange::numbers(&[], newest.saturating_sub(before), newest);
        let mut records = Vec::new();
        self.disk.scan(Column::Evidence, &range, &mut |_, record| {
            records.push(record.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        records.reverse();
        Ok(records)
    }
}

fn newest_sequence(disk: &dyn KeyValue) -> Result<Option<u64>, StoreError> {
    let newest = disk.last(Column::Evidence, &KeyRange::all())?;
    newest.map(|(key, _)| number_at_end(Column::Evidence, &key)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryDisk;

    #[test]
    fn the_newest_records_are_kept_and_come_first_after_opening_again() {
        let disk = Arc::new(MemoryDisk::default());
        let shared: Arc<dyn KeyValue> = disk.clone();
        let reader = EvidenceReader::new(Arc::clone(&shared));
        assert_eq!(reader.newest(10), Ok(vec![]));
        let mut log = EvidenceLog::open(Arc::clone(&shared)).unwrap();
        for number in 0..EVIDENCE_KEPT {
            log.append(&number.to_be_bytes()).unwrap();
        }
        let mut log = EvidenceLog::open(shared).unwrap();
        log.append(b"newest").unwrap();
        assert_eq!(disk.count(Column::Evidence) as u64, EVIDENCE_KEPT);
        let newest = reader.newest(2).unwrap();
        assert_eq!(newest, [b"newest".to_vec(), (EVIDENCE_KEPT - 1).to_be_bytes().to_vec()]);
        assert_eq!(reader.newest(0), Ok(vec![]));
        let all = reader.newest(u64::MAX).unwrap();
        assert_eq!(all.last(), Some(&1_u64.to_be_bytes().to_vec()), "the oldest one went");
    }

    /// Golden bytes of a key.
    #[test]
    fn key_is_the_sequence_number() {
        let disk = Arc::new(MemoryDisk::default());
        let mut log = EvidenceLog::open(disk.clone()).unwrap();
        log.append(b"a").unwrap();
        log.append(b"b").unwrap();
        let key = [0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(*disk.get(Column::Evidence, &key).unwrap().unwrap(), b"b"[..]);
    }
}
