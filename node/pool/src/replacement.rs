//! When a transaction takes the place of a waiting one with the same nonce.

use crate::sender::tip_cap;
use crate::{PoolLimits, sender::Entry};
use alloy_consensus::Transaction;
use entente_chain::{BlockNumber, RecoveredTransaction};

/// Whether `new` may replace `old`: cap and tip pay more by the bump; or both are free and the
/// old one has waited long enough. Without the second rule a free transaction that no block takes
/// could never be cancelled where gas has no price.
pub(crate) fn allowed(
    limits: &PoolLimits,
    old: &Entry,
    new: &RecoveredTransaction,
    head: BlockNumber,
) -> bool {
    if old.fee_cap() == 0 && new.max_fee_per_gas() == 0 {
        return head.saturating_sub(old.arrived_at) >= limits.free_replacement_blocks;
    }
    let bump = |price: u128| {
        let more = price.saturating_mul(u128::from(limits.price_bump_percent)) / 100;
        price.saturating_add(more.max(1))
    };
    let tip_rises = tip_cap(new) >= bump(old.tip_cap());
    // A dynamic fee transaction without a tip can only be outbid by its cap.
    let tipless = old.tip_cap() == 0 && tip_cap(new) == 0;
    new.max_fee_per_gas() >= bump(old.fee_cap()) && (tip_rises || tipless)
}
