//! What the pool holds at most, and how long.

/// Bounds of a pool. All are above 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Transactions in all.
    pub transactions: usize,
    /// Memory of all transactions in bytes, bookkeeping included.
    pub bytes: usize,
    /// Executable transactions of one sender.
    pub executable_per_sender: usize,
    /// Gapped transactions of one sender.
    pub gapped_per_sender: usize,
    /// How long a gapped transaction waits, in milliseconds.
    pub gapped_lifetime_ms: u64,
    /// By how much a replacement must pay more, in percent.
    pub price_bump_percent: u32,
    /// Blocks that a free transaction must have waited before a free one may replace it.
    pub free_replacement_blocks: u64,
    /// How long an executable transaction waits before peers are told again, in milliseconds.
    pub regossip_after_ms: u64,
    /// Most transactions that peers are told of again in one go.
    pub regossip_batch: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            transactions: 100_000,
            bytes: 128 * 1024 * 1024,
            executable_per_sender: 10_000,
            gapped_per_sender: 1000,
            gapped_lifetime_ms: 3 * 60 * 60 * 1000,
            price_bump_percent: 10,
            free_replacement_blocks: 3,
            regossip_after_ms: 30_000,
            regossip_batch: 256,
        }
    }
}
