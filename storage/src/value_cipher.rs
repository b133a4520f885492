//! The seam to whoever holds the database key: values of private columns are sealed before they
//! are written and opened after they are read.

use crate::{Batch, Column, Durability, KeyValue, StoreError};

/// Seals values. The key of a record is bound to its value, so that a sealed value cannot be moved
/// under another key.
pub trait ValueCipher: Send + Sync {
    /// Seals a value under its key.
    fn seal(&self, key: &[u8], value: &[u8]) -> Vec<u8>;

    /// Opens what [`seal`](Self::seal) made under the same key; `None` when it was changed, moved
    /// or made with another database key.
    fn open(&self, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>>;
}

/// A value of a private column by which another cipher is noticed when the column is opened.
pub(crate) struct CipherCheck {
    pub(crate) column: Column,
    pub(crate) key: &'static [u8],
    pub(crate) value: &'static [u8],
}

impl CipherCheck {
    /// Whether the column was sealed by this cipher; one that is new is from now on.
    pub(crate) fn passes(
        &self,
        disk: &dyn KeyValue,
        cipher: &dyn ValueCipher,
        durability: Durability,
    ) -> Result<bool, StoreError> {
        if let Some(sealed) = disk.get(self.column, self.key)? {
            return Ok(cipher.open(self.key, &sealed).as_deref() == Some(self.value));
        }
        let mut batch = Batch::default();
        batch.put(self.column, self.key, &cipher.seal(self.key, self.value));
        disk.write(&batch, durability)?;
        Ok(true)
    }
}
