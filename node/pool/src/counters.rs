//! What became of transactions: nothing leaves without a reason.

use std::collections::BTreeMap;

/// Why a transaction left the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Removal {
    /// It stands in a block.
    Included,
    /// Another transaction used its nonce.
    Stale,
    /// One with the same nonce took its place.
    Replaced,
    /// Its sender can no longer pay for it.
    Unfunded,
    /// Room was needed for another.
    Evicted,
    /// The nonces before it did not come.
    Expired,
    /// Execution refused it, or no block has room for it any more.
    Invalid,
}

impl Removal {
    /// A short name for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Included => "included",
            Self::Stale => "stale",
            Self::Replaced => "replaced",
            Self::Unfunded => "unfunded",
            Self::Evicted => "evicted",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
        }
    }
}

/// Totals since the pool exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolCounters {
    /// Transactions that got in.
    pub inserted: u64,
    /// Transactions that left, by reason.
    pub removed: BTreeMap<Removal, u64>,
    /// Transactions that did not get in, by [`crate::PoolError::reason`].
    pub refused: BTreeMap<&'static str, u64>,
    /// Transactions of reverted blocks that came back.
    pub returned: u64,
}
