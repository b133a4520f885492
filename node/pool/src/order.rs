//! Who goes into the next block.

use crate::{Pool, sender::Entry};
use alloy_consensus::Transaction;
use alloy_primitives::Address;
use entente_chain::{RecoveredTransaction, limits::BLOCK_TRANSACTIONS_MAX};
use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

/// The least gas of any transaction.
const TRANSACTION_GAS_MIN: u64 = 21_000;

/// The next transaction of a sender, best first: what it pays; then, where all pay the same, each
/// sender in turn; then who came first.
type Candidate = (u128, Reverse<usize>, Reverse<u64>, Address, u64);

impl Pool {
    /// Executable transactions for a block with this base fee in wei, in the order they should
    /// stand in it, as many as could fit if each used the least gas, up to `max_bytes`: what a
    /// transaction uses is known only when it runs. A sender's nonces stay in order; one that can
    /// never fit or cannot pay the base fee holds back those after it.
    #[must_use]
    pub fn best(
        &self,
        max_gas: u64,
        max_bytes: usize,
        base_fee: u64,
    ) -> Vec<Arc<RecoveredTransaction>> {
        let base_fee = u128::from(base_fee);
        let (mut gas, mut bytes) = (max_gas, max_bytes);
        let mut chosen = Vec::new();
        let mut candidates: BinaryHeap<Candidate> = self
            .senders
            .values()
            .filter_map(|queue| {
                let entry = queue.executables().next()?;
                candidate(entry, 0, base_fee, (queue.address, queue.next))
            })
            .collect();
        while let Some((_, Reverse(turn), _, address, nonce)) = candidates.pop() {
            if gas < TRANSACTION_GAS_MIN || chosen.len() >= BLOCK_TRANSACTIONS_MAX {
                break;
            }
            let Some(queue) = self.senders.get(&address) else { continue };
            let Some(entry) = queue.entries.get(&nonce) else { continue };
            let transaction = &entry.transaction;
            let Some(bytes_left) = bytes.checked_sub(transaction.encoded().len()) else { continue };
            if transaction.gas_limit() > max_gas {
                continue;
            }
            (gas, bytes) = (gas.saturating_sub(TRANSACTION_GAS_MIN), bytes_left);
            chosen.push(Arc::clone(transaction));
            let Some(after) = nonce.checked_add(1).filter(|after| queue.is_executable(*after))
            else {
                continue;
            };
            if let Some(entry) = queue.entries.get(&after) {
                candidates.extend(candidate(entry, turn + 1, base_fee, (address, after)));
            }
        }
        chosen
    }
}

/// `None` when the transaction cannot pay the base fee.
fn candidate(
    entry: &Entry,
    turn: usize,
    base_fee: u128,
    (address, nonce): (Address, u64),
) -> Option<Candidate> {
    let tip = entry.fee_cap().checked_sub(base_fee)?.min(entry.tip_cap());
    Some((tip, Reverse(turn), Reverse(entry.arrival), address, nonce))
}
