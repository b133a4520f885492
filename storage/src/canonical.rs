//! What every handle of one database shares: the disk, the published head, and the marks by which
//! readers notice writes that overlap with their reads.

use crate::{
    KeyValue, StoreError, chain_records, chain_store::BlockCache, schema, state_trie::StateTrie,
};
use alloy_primitives::{B256, U256};
use entente_chain::{BlockNumber, Header, SealedHeader};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::SeqCst},
};

/// The newest block of the canonical chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its header and hash.
    pub header: SealedHeader,
    /// Sum of the difficulties from genesis to it.
    pub total_difficulty: U256,
}

/// Head and the trie of its state, published together.
#[derive(Clone, Debug)]
pub(crate) struct Tip {
    pub(crate) head: Arc<Head>,
    pub(crate) trie: StateTrie,
}

/// State shared by the handles of one database.
#[derive(Debug)]
pub(crate) struct Canonical {
    pub(crate) disk: Arc<dyn KeyValue>,
    pub(crate) blocks: BlockCache,
    tip: Mutex<Tip>,
    /// Newest block whose batch may have reached the disk; set before the batch is written.
    pub(crate) begun: AtomicU64,
    /// Oldest block whose state can be read; set before older reverse changes are deleted.
    pub(crate) oldest: AtomicU64,
    /// Counts the starts and ends of reverts: odd while one is being written.
    reverts: AtomicU64,
    /// Held while a revert is being written.
    reverting: Mutex<()>,
}

impl Canonical {
    /// Reads the head; a new database gets an empty one.
    pub(crate) fn open(disk: Arc<dyn KeyValue>) -> Result<Self, StoreError> {
        let tip = match schema::head_number(&*disk)? {
            Some(number) => read_tip(&*disk, number)?,
            None => Tip {
                head: Arc::new(Head {
                    header: SealedHeader::new(Header::default(), B256::ZERO),
                    total_difficulty: U256::ZERO,
                }),
                trie: StateTrie::empty(),
            },
        };
        Ok(Self {
            begun: AtomicU64::new(tip.head.header.number),
            oldest: AtomicU64::new(schema::oldest_state(&*disk)?),
            disk,
            blocks: BlockCache::default(),
            tip: Mutex::new(tip),
            reverts: AtomicU64::new(0),
            reverting: Mutex::new(()),
        })
    }

    /// Head and trie. Held only for the copy of two pointers.
    pub(crate) fn tip(&self) -> Tip {
        locked(&self.tip).clone()
    }

    pub(crate) fn publish(&self, tip: Tip) {
        *locked(&self.tip) = tip;
    }

    /// Marks that the batch of a block is about to be written.
    pub(crate) fn begin(&self, number: BlockNumber) {
        self.begun.store(number, SeqCst);
    }

    /// Runs `write`, which takes blocks back. Readers that overlap with it read again.
    pub(crate) fn revert<T>(&self, write: impl FnOnce() -> T) -> T {
        let _guard = locked(&self.reverting);
        self.reverts.fetch_add(1, SeqCst);
        let result = write();
        self.reverts.fetch_add(1, SeqCst);
        result
    }

    /// Number of reverts started and ended so far.
    pub(crate) fn reverts(&self) -> u64 {
        self.reverts.load(SeqCst)
    }

    /// Reads several records as if no block had been taken back in between. `read` gets the count
    /// of reverts and may run again.
    pub(crate) fn steadily<T, E>(&self, mut read: impl FnMut(u64) -> Result<T, E>) -> Result<T, E> {
        loop {
            let before = self.reverts();
            if before % 2 == 1 {
                // Waits for the revert in progress; there is no other use of this lock.
                drop(locked(&self.reverting));
                continue;
            }
            let result = read(before);
            if self.reverts() == before {
                return result;
            }
        }
    }
}

pub(crate) fn read_tip(disk: &dyn KeyValue, number: BlockNumber) -> Result<Tip, StoreError> {
    let record = chain_records::header(disk, number)?.ok_or(StoreError::UnknownBlock(number))?;
    let trie = StateTrie::stored(record.header.state_root);
    let head = Arc::new(Head { header: record.header, total_difficulty: record.total_difficulty });
    Ok(Tip { head, trie })
}

/// A panic while one of our locks is held leaves whole values behind: each is replaced at once.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
