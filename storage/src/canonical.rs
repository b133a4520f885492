//! What every handle of one database shares: the disk, the published head, and the marks by which
//! readers notice writes that overlap with their reads.

use crate::{
    KeyValue, StoreError, chain_records,
    chain_store::BlockCache,
    change_set::ChangeSet,
    private_states::{Disk as PrivateDisk, PrivateRoots},
    schema,
    state_trie::StateTrie,
    state_write,
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
    /// A private state, whose roots no header names.
    private: Option<PrivateRoots>,
}

/// A revert that is being written.
pub(crate) struct Reverting<'a> {
    canonical: &'a Canonical,
    _guard: MutexGuard<'a, ()>,
}

impl Drop for Reverting<'_> {
    fn drop(&mut self) {
        self.canonical.reverts.fetch_add(1, SeqCst);
    }
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
            private: None,
        })
    }

    /// A private state beside the public one, on a disk that is its own part of the database.
    pub(crate) fn private(public: &Self, disk: Arc<PrivateDisk>, tip: Tip) -> Self {
        Self {
            begun: AtomicU64::new(tip.head.header.number),
            oldest: AtomicU64::new(public.oldest.load(SeqCst)),
            blocks: BlockCache::default(),
            tip: Mutex::new(tip),
            reverts: AtomicU64::new(0),
            reverting: Mutex::new(()),
            private: Some(PrivateRoots::new(Arc::clone(&disk))),
            disk,
        }
    }

    /// The state root after a block of the chain.
    pub(crate) fn state_root(&self, number: BlockNumber) -> Result<B256, StoreError> {
        let header = chain_records::header(&*self.disk, number)?;
        let header = header.ok_or(StoreError::UnknownBlock(number))?.header;
        match &self.private {
            Some(roots) => roots.root_at(number),
            None => Ok(header.state_root),
        }
    }

    /// What a block replaced; nothing, where it did nothing in a private state.
    pub(crate) fn replaced(&self, number: BlockNumber) -> Result<ChangeSet, StoreError> {
        match &self.private {
            Some(roots) if !roots.has_changes(number)? => Ok(ChangeSet::default()),
            _ => state_write::change_set(&*self.disk, number),
        }
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

    /// Blocks are taken back until the guard is dropped. Readers that overlap with it read again.
    pub(crate) fn start_revert(&self) -> Reverting<'_> {
        let guard = locked(&self.reverting);
        self.reverts.fetch_add(1, SeqCst);
        Reverting { canonical: self, _guard: guard }
    }

    /// Sets the oldest block whose state can be read.
    pub(crate) fn set_oldest(&self, number: BlockNumber) {
        self.oldest.store(number, SeqCst);
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
