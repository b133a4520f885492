//! The seam to whoever holds the database key: values of private columns are sealed before they
//! are written and opened after they are read.

/// Seals values. The key of a record is bound to its value, so that a sealed value cannot be moved
/// under another key.
pub trait ValueCipher: Send + Sync {
    /// Seals a value under its key.
    fn seal(&self, key: &[u8], value: &[u8]) -> Vec<u8>;

    /// Opens what [`seal`](Self::seal) made under the same key; `None` when it was changed, moved
    /// or made with another database key.
    fn open(&self, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>>;
}
