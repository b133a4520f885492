//! Records of private transactions: sealed values by kind and key. What they are is known to
//! whoever holds the cipher.

use crate::{
    Batch, Column, Durability, KeyRange, KeyValue, StoreError,
    value_cipher::{CipherCheck, ValueCipher},
};
use std::{fmt, ops::ControlFlow, sync::Arc};

/// Its kind is taken from the records'.
const CHECK: CipherCheck =
    CipherCheck { column: Column::Payloads, key: &[0], value: b"entente private records" };

/// What a record is; the first byte of its key. 0 is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordKind(pub u8);

/// Kind and key of a record, and its new value; `None` removes it.
pub type RecordChange<'a> = (RecordKind, &'a [u8], Option<&'a [u8]>);

/// Called for each record of a scan with its key and value, in the order of keys.
pub type VisitRecord<'a> = dyn FnMut(&[u8], Vec<u8>) -> ControlFlow<()> + 'a;

/// Sealed records of private transactions. There is one per database.
pub struct PrivateRecords {
    disk: Arc<dyn KeyValue>,
    cipher: Arc<dyn ValueCipher>,
    durability: Durability,
}

impl fmt::Debug for PrivateRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateRecords").field("disk", &self.disk).finish_non_exhaustive()
    }
}

impl PrivateRecords {
    /// Checks that what is there was sealed by this cipher.
    pub(crate) fn open(
        disk: Arc<dyn KeyValue>,
        cipher: Arc<dyn ValueCipher>,
        durability: Durability,
    ) -> Result<Self, StoreError> {
        match CHECK.passes(&*disk, &*cipher, durability)? {
            true => Ok(Self { disk, cipher, durability }),
            false => Err(unsealed(CHECK.key)),
        }
    }

    /// The value of a record.
    ///
    /// # Errors
    /// When the disk fails, or the record was changed or moved.
    pub fn get(&self, kind: RecordKind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = placed(kind, key);
        let Some(sealed) = self.disk.get(Column::Payloads, &key)? else { return Ok(None) };
        self.cipher.open(&key, &sealed).map(Some).ok_or_else(|| unsealed(&key))
    }

    /// Writes values, and removes records where there is `None`: all of them or none, durable on
    /// return.
    ///
    /// # Errors
    /// When the disk fails; then it is unknown whether anything was written.
    pub fn write(&self, changes: &[RecordChange<'_>]) -> Result<(), StoreError> {
        self.write_as(changes, self.durability)
    }

    /// As [`write`](Self::write), but not synced: it survives the process, and a loss of power only
    /// after the next synced write.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_unsynced(&self, changes: &[RecordChange<'_>]) -> Result<(), StoreError> {
        self.write_as(changes, Durability::Buffered)
    }

    fn write_as(
        &self,
        changes: &[RecordChange<'_>],
        durability: Durability,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (kind, key, value) in changes {
            let key = placed(*kind, key);
            match value {
                Some(value) => {
                    batch.put(Column::Payloads, &key, &self.cipher.seal(&key, value));
                }
                None => batch.delete(Column::Payloads, &key),
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.disk.write(&batch, durability)
    }

    /// Visits the records of a kind from a key on until they end or `visit` breaks.
    ///
    /// # Errors
    /// When the disk fails, or a record was changed or moved.
    pub fn scan(
        &self,
        kind: RecordKind,
        from: &[u8],
        visit: &mut VisitRecord<'_>,
    ) -> Result<(), StoreError> {
        let range = KeyRange { from: placed(kind, from), ..KeyRange::prefix(&[kind.0]) };
        self.disk.scan(Column::Payloads, &range, &mut |key, sealed| {
            let value = self.cipher.open(key, sealed).ok_or_else(|| unsealed(key))?;
            Ok(visit(key.get(1..).unwrap_or_default(), value))
        })
    }
}

fn placed(kind: RecordKind, key: &[u8]) -> Vec<u8> {
    [&[kind.0], key].concat()
}

fn unsealed(key: &[u8]) -> StoreError {
    let cause = "sealed with another key, or damaged; use the privacy keys the database was made \
                 with";
    StoreError::record(Column::Payloads, key, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryDisk;

    /// A seal that shows what is bound: key length, mark, key, value.
    struct Marked(u8);

    impl ValueCipher for Marked {
        fn seal(&self, key: &[u8], value: &[u8]) -> Vec<u8> {
            [&[self.0], key, value].concat()
        }

        fn open(&self, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
            let bound = [&[self.0], key].concat();
            sealed.strip_prefix(bound.as_slice()).map(<[u8]>::to_vec)
        }
    }

    fn open(disk: &Arc<MemoryDisk>, mark: u8) -> Result<PrivateRecords, StoreError> {
        PrivateRecords::open(disk.clone(), Arc::new(Marked(mark)), Durability::Synced)
    }

    #[test]
    fn records_of_a_kind_come_back_in_order_and_unsealed() {
        let disk = Arc::new(MemoryDisk::default());
        let records = open(&disk, 7).unwrap();
        let (one, other) = (RecordKind(1), RecordKind(2));
        records
            .write(&[
                (one, b"b", Some(b"2")),
                (one, b"a", Some(b"1")),
                (other, b"a", Some(b"3")),
                (one, b"c", Some(b"4")),
            ])
            .unwrap();
        records.write(&[(one, b"c", None)]).unwrap();
        let records = open(&disk, 7).unwrap();
        assert_eq!(records.get(other, b"a").unwrap().unwrap(), b"3");
        assert_eq!(records.get(one, b"c").unwrap(), None);
        let mut seen = Vec::new();
        records
            .scan(one, b"", &mut |key, value| {
                seen.push((key.to_vec(), value));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(seen, [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())]);
        let mut from_b = 0;
        records
            .scan(one, b"b", &mut |_, _| {
                from_b += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(from_b, 1);
    }

    #[test]
    fn another_key_is_noticed_when_opening() {
        let disk = Arc::new(MemoryDisk::default());
        open(&disk, 7).unwrap();
        let text = open(&disk, 8).unwrap_err().to_string();
        assert!(text.contains("sealed with another key"), "{text}");
        open(&disk, 7).unwrap();
    }

    #[test]
    fn a_record_under_another_key_does_not_open() {
        let disk = Arc::new(MemoryDisk::default());
        let records = open(&disk, 7).unwrap();
        records.write(&[(RecordKind(1), b"a", Some(b"v"))]).unwrap();
        let sealed = disk.get(Column::Payloads, &[1, b'a']).unwrap().unwrap();
        let mut batch = Batch::default();
        batch.put(Column::Payloads, &[1, b'b'], &sealed);
        disk.write(&batch, Durability::Synced).unwrap();
        assert!(records.get(RecordKind(1), b"b").is_err());
        assert!(records.scan(RecordKind(1), b"b", &mut |_, _| ControlFlow::Continue(())).is_err());
    }
}
