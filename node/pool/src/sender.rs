//! One sender's waiting transactions in nonce order.

use crate::insert::Origin;
use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256, U256};
use entente_chain::{BlockNumber, RecoveredTransaction};
use std::{collections::BTreeMap, sync::Arc};

/// Bookkeeping of one transaction beside its bytes, about: envelope, maps, indices.
const ENTRY_BYTES: usize = 768;

/// A waiting transaction.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) transaction: Arc<RecoveredTransaction>,
    pub(crate) hash: B256,
    /// Order of arrival.
    pub(crate) arrival: u64,
    /// Head when it arrived.
    pub(crate) arrived_at: BlockNumber,
    pub(crate) arrived_ms: u64,
    /// When peers were told last.
    pub(crate) gossiped_ms: u64,
    pub(crate) origin: Origin,
    /// Most that it may take from the sender's balance, in wei.
    pub(crate) cost: U256,
}

impl Entry {
    /// Memory it takes in bytes. Its input may be held twice, in the envelope and as bytes.
    pub(crate) fn bytes(&self) -> usize {
        bytes(&self.transaction)
    }

    pub(crate) fn fee_cap(&self) -> u128 {
        self.transaction.max_fee_per_gas()
    }

    /// What it pays a proposer per gas at most.
    pub(crate) fn tip_cap(&self) -> u128 {
        tip_cap(&self.transaction)
    }
}

pub(crate) fn bytes(transaction: &RecoveredTransaction) -> usize {
    ENTRY_BYTES + 2 * transaction.encoded().len()
}

pub(crate) fn tip_cap(transaction: &RecoveredTransaction) -> u128 {
    let fee_cap = transaction.max_fee_per_gas();
    transaction.max_priority_fee_per_gas().map_or(fee_cap, |tip| tip.min(fee_cap))
}

/// Gas at its price, blobs at theirs, and the value.
pub(crate) fn cost(transaction: &RecoveredTransaction) -> U256 {
    let gas = U256::from(transaction.gas_limit());
    let price = U256::from(transaction.max_fee_per_gas());
    let blob_gas = U256::from(transaction.blob_gas_used().unwrap_or(0));
    let blob_price = U256::from(transaction.max_fee_per_blob_gas().unwrap_or(0));
    gas.saturating_mul(price)
        .saturating_add(blob_gas.saturating_mul(blob_price))
        .saturating_add(transaction.value())
}

/// Where a gapped transaction stands in the index of gapped ones: oldest first.
pub(crate) type GappedKey = (u64, Address, u64);

/// One sender's transactions: `executable` of them from nonce `next` on, the others gapped.
#[derive(Debug)]
pub(crate) struct SenderQueue {
    pub(crate) address: Address,
    /// The account's nonce at the head.
    pub(crate) next: u64,
    pub(crate) executable: usize,
    pub(crate) entries: BTreeMap<u64, Entry>,
    /// Tip of the last executable one, as the index of tails has it.
    pub(crate) tail: Option<u128>,
}

impl SenderQueue {
    pub(crate) const fn new(address: Address, next: u64) -> Self {
        Self { address, next, executable: 0, entries: BTreeMap::new(), tail: None }
    }

    /// The first nonce that is missing.
    pub(crate) const fn first_gap(&self) -> u64 {
        self.next.saturating_add(self.executable as u64)
    }

    pub(crate) const fn is_executable(&self, nonce: u64) -> bool {
        nonce >= self.next && nonce < self.first_gap()
    }

    pub(crate) fn gapped(&self) -> usize {
        self.entries.len() - self.executable
    }

    pub(crate) fn executables(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().take(self.executable)
    }

    pub(crate) fn gapped_key(&self, nonce: u64, entry: &Entry) -> GappedKey {
        (entry.arrival, self.address, nonce)
    }

    /// Counts in what follows without a gap; names what is no longer gapped.
    pub(crate) fn promote(&mut self) -> Vec<GappedKey> {
        let mut promoted = Vec::new();
        while let Some(entry) = self.entries.get(&self.first_gap()) {
            promoted.push(self.gapped_key(self.first_gap(), entry));
            self.executable += 1;
        }
        promoted
    }

    /// Counts only nonces below `nonce` as executable; names what became gapped.
    pub(crate) fn demote_from(&mut self, nonce: u64) -> Vec<GappedKey> {
        if !self.is_executable(nonce) {
            return Vec::new();
        }
        let range = self.entries.range(nonce..self.first_gap());
        let demoted = range.map(|(nonce, entry)| self.gapped_key(*nonce, entry)).collect();
        self.executable = usize::try_from(nonce - self.next).unwrap_or(0);
        demoted
    }

    /// The last executable one.
    pub(crate) fn last_executable(&self) -> Option<(u64, &Entry)> {
        let nonce = self.first_gap().checked_sub(1).filter(|_| self.executable > 0)?;
        self.entries.get(&nonce).map(|entry| (nonce, entry))
    }
}
