//! Recovers senders, each only once: what the pool has seen is not recovered again when a block
//! brings it.

use alloy_primitives::{B256, Bytes, keccak256};
use entente_chain::{
    Block, BlockBody, RecoveredBlock, RecoveredTransaction, SealedHeader, TransactionEnvelope,
    limits::TRANSACTION_BYTES_MAX,
    transaction::{Signing, TransactionError},
};
use lru::LruCache;
use rayon::prelude::*;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Locks of the cache; one connection rarely waits for another.
const SHARDS: usize = 16;
/// Batches up to this size are recovered on the calling thread: handing them out costs more.
const INLINE_MAX: usize = 3;

type Shard = LruCache<B256, Arc<RecoveredTransaction>>;

/// A transaction of a batch has no sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transaction {index}: {cause}")]
pub struct SenderError {
    /// Place in the batch, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub cause: TransactionError,
}

/// Recovered transactions by hash, least recently used out first.
pub struct Senders {
    signing: Signing,
    shards: Vec<Mutex<Shard>>,
}

impl Senders {
    /// Keeps about `capacity` transactions of a chain that signs them this way.
    #[must_use]
    pub fn new(capacity: usize, signing: Signing) -> Self {
        let each = NonZeroUsize::new(capacity / SHARDS).unwrap_or(NonZeroUsize::MIN);
        Self { signing, shards: (0..SHARDS).map(|_| Mutex::new(LruCache::new(each))).collect() }
    }

    /// The transaction with this hash, if it was recovered lately.
    #[must_use]
    pub fn get(&self, hash: B256) -> Option<Arc<RecoveredTransaction>> {
        self.shard(hash).and_then(|mut shard| shard.get(&hash).cloned())
    }

    /// Recovers the senders of a batch, on all cores when it is worth it.
    ///
    /// # Errors
    /// The first transaction that has no sender.
    pub fn recover(
        &self,
        batch: Vec<TransactionEnvelope>,
    ) -> Result<Vec<Arc<RecoveredTransaction>>, SenderError> {
        let one = |(index, envelope)| {
            self.recover_one(envelope).map_err(|cause| SenderError { index, cause })
        };
        if batch.len() <= INLINE_MAX {
            return batch.into_iter().enumerate().map(one).collect();
        }
        batch.into_par_iter().enumerate().map(one).collect()
    }

    /// Recovers the senders of a block. `hash` is the block hash by the engine's rule.
    ///
    /// # Errors
    /// The first transaction that has no sender.
    pub fn recover_block(&self, block: Block, hash: B256) -> Result<RecoveredBlock, SenderError> {
        let Block { header, transactions, ommers, withdrawals } = block;
        let transactions = self.recover(transactions)?;
        let body = Arc::new(BlockBody { transactions, ommers, withdrawals });
        Ok(RecoveredBlock { header: SealedHeader::new(header, hash), body })
    }

    /// Decodes EIP-2718 bytes from outside and recovers the sender.
    ///
    /// # Errors
    /// When there are too many bytes, they are not exactly one transaction, or it has no sender.
    pub fn decode(&self, encoded: Bytes) -> Result<Arc<RecoveredTransaction>, TransactionError> {
        if encoded.len() > TRANSACTION_BYTES_MAX {
            let (got, allowed) = (encoded.len(), TRANSACTION_BYTES_MAX);
            return Err(TransactionError::Oversized { got, allowed });
        }
        // The hash of a transaction is the hash of its bytes, so known ones are not even decoded.
        let hash = keccak256(&encoded);
        if let Some(known) = self.get(hash) {
            return Ok(known);
        }
        let transaction = Arc::new(RecoveredTransaction::decode(encoded, self.signing)?);
        self.keep(&transaction);
        Ok(transaction)
    }

    /// [`Self::decode`] for a batch, on all cores when it is worth it.
    #[must_use]
    pub fn decode_batch(
        &self,
        batch: Vec<Bytes>,
    ) -> Vec<Result<Arc<RecoveredTransaction>, TransactionError>> {
        if batch.len() <= INLINE_MAX {
            return batch.into_iter().map(|encoded| self.decode(encoded)).collect();
        }
        batch.into_par_iter().map(|encoded| self.decode(encoded)).collect()
    }

    fn recover_one(
        &self,
        envelope: TransactionEnvelope,
    ) -> Result<Arc<RecoveredTransaction>, TransactionError> {
        if let Some(known) = self.get(*envelope.tx_hash()) {
            return Ok(known);
        }
        let transaction = Arc::new(RecoveredTransaction::recover(envelope, self.signing)?);
        self.keep(&transaction);
        Ok(transaction)
    }

    fn keep(&self, transaction: &Arc<RecoveredTransaction>) {
        let hash = transaction.hash();
        if let Some(mut shard) = self.shard(hash) {
            shard.put(hash, Arc::clone(transaction));
        }
    }

    fn shard(&self, hash: B256) -> Option<MutexGuard<'_, Shard>> {
        let shard = self.shards.get(usize::from(hash[0]) % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
