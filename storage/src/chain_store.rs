//! Reads the canonical chain: headers, blocks, receipts, indices. Decoded blocks and receipts are
//! kept for a while, because clients ask for one receipt of a block after the other.

use crate::{
    Column, KeyRange, LogIndexQuery, StoreError,
    canonical::{Canonical, Head, locked},
    chain_records, columns, log_index, schema,
};
use alloy_primitives::{B256, Bytes, U256};
use entente_chain::{BlockNumber, Receipt, RecoveredBlock, SealedHeader};
use lru::LruCache;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};

/// Decoded blocks kept, and as many receipt lists.
const BLOCKS_KEPT: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// Decoded blocks and receipts by number.
#[derive(Debug)]
pub(crate) struct BlockCache {
    blocks: Mutex<LruCache<BlockNumber, Arc<RecoveredBlock>>>,
    receipts: Mutex<LruCache<BlockNumber, Arc<Vec<Receipt>>>>,
}

impl Default for BlockCache {
    fn default() -> Self {
        Self {
            blocks: Mutex::new(LruCache::new(BLOCKS_KEPT)),
            receipts: Mutex::new(LruCache::new(BLOCKS_KEPT)),
        }
    }
}

impl BlockCache {
    pub(crate) fn insert(&self, block: Arc<RecoveredBlock>, receipts: Arc<Vec<Receipt>>) {
        let number = block.header.number;
        locked(&self.blocks).put(number, block);
        locked(&self.receipts).put(number, receipts);
    }

    pub(crate) fn clear(&self) {
        locked(&self.blocks).clear();
        locked(&self.receipts).clear();
    }
}

/// A block and its receipts, shared.
pub type BlockWithReceipts = (Arc<RecoveredBlock>, Arc<Vec<Receipt>>);

/// Reads the canonical chain, whole blocks at a time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ChainReader {
    canonical: Arc<Canonical>,
}

impl ChainReader {
    pub(crate) const fn new(canonical: Arc<Canonical>) -> Self {
        Self { canonical }
    }

    /// The newest block; before a genesis is stored, an empty header with a zero hash. Never
    /// waits for the disk.
    #[must_use]
    pub fn head(&self) -> Arc<Head> {
        self.canonical.tip().head
    }

    /// The header of a block.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn header(&self, number: BlockNumber) -> Result<Option<SealedHeader>, StoreError> {
        let head = self.head();
        if head.header.number == number && head.header.hash() != B256::ZERO {
            return Ok(Some(head.header.clone()));
        }
        Ok(chain_records::header(&*self.canonical.disk, number)?.map(|record| record.header))
    }

    /// The header of a canonical block by its hash.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn header_by_hash(&self, hash: B256) -> Result<Option<SealedHeader>, StoreError> {
        let Some(number) = self.number(hash)? else { return Ok(None) };
        Ok(self.header(number)?.filter(|header| header.hash() == hash))
    }

    /// The number of a canonical block.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn number(&self, hash: B256) -> Result<Option<BlockNumber>, StoreError> {
        let key = hash.as_slice();
        let value = self.canonical.disk.get(Column::Numbers, key)?;
        value.map(|value| columns::number_value(Column::Numbers, key, &value)).transpose()
    }

    /// The hash of a block.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn hash(&self, number: BlockNumber) -> Result<Option<B256>, StoreError> {
        let head = self.head();
        if head.header.number == number && head.header.hash() != B256::ZERO {
            return Ok(Some(head.header.hash()));
        }
        let key = number.to_be_bytes();
        let value = self.canonical.disk.get(Column::Headers, &key)?;
        value.map(|value| Ok(chain_records::split_header(&key, &value)?.0)).transpose()
    }

    /// Sum of the difficulties from genesis to a block, while it is canonical.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn total_difficulty(&self, header: &SealedHeader) -> Result<Option<U256>, StoreError> {
        let key = header.number.to_be_bytes();
        let Some(value) = self.canonical.disk.get(Column::Headers, &key)? else { return Ok(None) };
        let (hash, total, _) = chain_records::split_header(&key, &value)?;
        Ok((hash == header.hash()).then_some(total))
    }

    /// A block with the senders that were stored with it.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn block(&self, number: BlockNumber) -> Result<Option<Arc<RecoveredBlock>>, StoreError> {
        let canonical = &self.canonical;
        canonical.steadily(|reverts| {
            if let Some(block) = locked(&canonical.blocks.blocks).get(&number) {
                return Ok(Some(Arc::clone(block)));
            }
            let Some(record) = chain_records::header(&*canonical.disk, number)? else {
                return Ok(None);
            };
            let Some(body) = chain_records::body(&*canonical.disk, number)? else {
                return Ok(None);
            };
            let body = Arc::new(body);
            let block = Arc::new(RecoveredBlock { header: record.header, body });
            // A block that was taken back meanwhile must not outlive the clearing of the cache.
            let mut kept = locked(&canonical.blocks.blocks);
            if canonical.reverts() == reverts {
                kept.put(number, Arc::clone(&block));
            }
            Ok(Some(block))
        })
    }

    /// A canonical block by its hash.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn block_by_hash(&self, hash: B256) -> Result<Option<Arc<RecoveredBlock>>, StoreError> {
        let Some(number) = self.number(hash)? else { return Ok(None) };
        Ok(self.block(number)?.filter(|block| block.hash() == hash))
    }

    /// The receipts of a block.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn receipts(&self, number: BlockNumber) -> Result<Option<Arc<Vec<Receipt>>>, StoreError> {
        let canonical = &self.canonical;
        canonical.steadily(|reverts| {
            if let Some(receipts) = locked(&canonical.blocks.receipts).get(&number) {
                return Ok(Some(Arc::clone(receipts)));
            }
            let Some(receipts) = chain_records::receipts(&*canonical.disk, number)? else {
                return Ok(None);
            };
            let receipts = Arc::new(receipts);
            let mut kept = locked(&canonical.blocks.receipts);
            if canonical.reverts() == reverts {
                kept.put(number, Arc::clone(&receipts));
            }
            Ok(Some(receipts))
        })
    }

    /// A block and its receipts, both of one branch also while the chain changes to another.
    ///
    /// # Errors
    /// When the disk fails or a record is damaged.
    pub fn block_with_receipts(
        &self,
        number: BlockNumber,
    ) -> Result<Option<BlockWithReceipts>, StoreError> {
        self.canonical.steadily(|_| {
            let block = self.block(number)?;
            let receipts = self.receipts(number)?;
            Ok(block.zip(receipts))
        })
    }

    /// The block of a transaction, and its index there.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn transaction_location(
        &self,
        hash: B256,
    ) -> Result<Option<(BlockNumber, u32)>, StoreError> {
        let key = hash.as_slice();
        let value = self.canonical.disk.get(Column::Transactions, key)?;
        value.map(|value| columns::decode_location(key, &value)).transpose()
    }

    /// The canonical block that holds a transaction, and the index there.
    ///
    /// # Errors
    /// When the disk fails or a record is damaged.
    pub fn block_of_transaction(
        &self,
        hash: B256,
    ) -> Result<Option<(Arc<RecoveredBlock>, u32)>, StoreError> {
        self.canonical.steadily(|_| {
            let Some((number, index)) = self.transaction_location(hash)? else { return Ok(None) };
            Ok(self.block(number)?.map(|block| (block, index)))
        })
    }

    /// The RLP of a block, as exported and as sent to peers.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn raw_block(&self, number: BlockNumber) -> Result<Option<Bytes>, StoreError> {
        let canonical = &self.canonical;
        canonical.steadily(|_| chain_records::raw_block(&*canonical.disk, number))
    }

    /// The newest tally that was stored with a block at or below `number`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn tally(&self, number: BlockNumber) -> Result<Option<Bytes>, StoreError> {
        let range = KeyRange::numbers(&[], 0, number);
        Ok(self.canonical.disk.last(Column::Tallies, &range)?.map(|(_, tally)| tally))
    }

    /// The blocks between `from` and `to`, both included, that may have logs for a query,
    /// ascending; not beyond the head. The caller bounds the range and filters the logs.
    ///
    /// # Errors
    /// When the disk fails or the index is damaged.
    pub fn blocks_with_logs(
        &self,
        query: &LogIndexQuery,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Vec<BlockNumber>, StoreError> {
        let to = to.min(self.head().header.number);
        if from > to {
            return Ok(Vec::new());
        }
        log_index::blocks(&*self.canonical.disk, query, from, to)
    }

    /// The oldest block whose state can be read.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn oldest_state(&self) -> Result<BlockNumber, StoreError> {
        schema::oldest_state(&*self.canonical.disk)
    }
}

#[cfg(test)]
mod tests;
