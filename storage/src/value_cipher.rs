//! The seam to the cipher that protects private columns at rest. Keys are not this crate's matter.

/// Seals and opens values of private columns. The key of a record is bound to its value, so that
/// records cannot be swapped.
pub trait ValueCipher: Send + Sync {
    /// The sealed form of a value.
    fn seal(&self, key: &[u8], value: &[u8]) -> Vec<u8>;
    /// The value, or `None` when it was not sealed by this cipher under this key.
    fn open(&self, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>>;
}
