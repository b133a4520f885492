//! The pool itself: what it holds and the indices over it. Everything that changes an entry goes
//! through [`Pool::put`], [`Pool::swap`], [`Pool::take`] and [`Pool::advance`], which keep them consistent.

use crate::{
    PoolLimits,
    counters::{PoolCounters, Removal},
    sender::{Entry, GappedKey, SenderQueue},
};
use alloy_primitives::{Address, B256};
use entente_chain::{ChainSpec, RecoveredTransaction};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

type Transactions = Vec<Arc<RecoveredTransaction>>;

/// Waiting transactions.
#[derive(Debug)]
pub struct Pool {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) limits: PoolLimits,
    pub(crate) senders: HashMap<Address, SenderQueue>,
    by_hash: HashMap<B256, (Address, u64)>,
    /// Gapped transactions, oldest first.
    pub(crate) gapped: BTreeSet<GappedKey>,
    /// Senders by the tip of their last executable transaction, cheapest first.
    pub(crate) tails: BTreeSet<(u128, Address)>,
    /// When and which transactions peers were told of, oldest first; may name ones that left.
    pub(crate) gossiped: VecDeque<(u64, B256)>,
    bytes: usize,
    arrivals: u64,
    pub(crate) counters: PoolCounters,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(limits: PoolLimits, spec: Arc<ChainSpec>) -> Self {
        Self {
            spec,
            limits,
            senders: HashMap::new(),
            by_hash: HashMap::new(),
            gapped: BTreeSet::new(),
            tails: BTreeSet::new(),
            gossiped: VecDeque::new(),
            bytes: 0,
            arrivals: 0,
            counters: PoolCounters::default(),
        }
    }

    /// How many transactions wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Memory that they take in bytes, bookkeeping included.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many could stand in the next block.
    #[must_use]
    pub fn executable(&self) -> usize {
        self.len() - self.gapped.len()
    }

    /// Executable and gapped transactions, geth's "pending" and "queued".
    #[must_use]
    pub fn status(&self) -> (usize, usize) {
        (self.executable(), self.gapped.len())
    }

    /// Totals since the pool exists.
    #[must_use]
    pub const fn counters(&self) -> &PoolCounters {
        &self.counters
    }

    /// A waiting transaction.
    #[must_use]
    pub fn get(&self, hash: B256) -> Option<Arc<RecoveredTransaction>> {
        self.entry(hash).map(|entry| Arc::clone(&entry.transaction))
    }

    /// Whether a transaction waits.
    #[must_use]
    pub fn contains(&self, hash: B256) -> bool {
        self.by_hash.contains_key(&hash)
    }

    /// Those of the hashes that do not wait here.
    #[must_use]
    pub fn unknown(&self, hashes: &[B256]) -> Vec<B256> {
        hashes.iter().copied().filter(|hash| !self.contains(*hash)).collect()
    }

    /// The first nonce that no waiting transaction of a sender uses; `None` when none of its waits.
    #[must_use]
    pub fn pending_nonce(&self, address: Address) -> Option<u64> {
        self.senders.get(&address).map(SenderQueue::first_gap)
    }

    /// Executable and gapped transactions, by sender and nonce.
    #[must_use]
    pub fn content(&self) -> (Transactions, Transactions) {
        let mut queues: Vec<_> = self.senders.values().collect();
        queues.sort_unstable_by_key(|queue| queue.address);
        let mut content = (Vec::new(), Vec::new());
        for queue in queues {
            let (executable, gapped) = split(queue);
            content.0.extend(executable);
            content.1.extend(gapped);
        }
        content
    }

    /// Executable and gapped transactions of one sender, by nonce.
    #[must_use]
    pub fn content_from(&self, address: Address) -> (Transactions, Transactions) {
        self.senders.get(&address).map(split).unwrap_or_default()
    }

    pub(crate) fn entry(&self, hash: B256) -> Option<&Entry> {
        let (address, nonce) = self.by_hash.get(&hash)?;
        self.senders.get(address)?.entries.get(nonce)
    }

    pub(crate) fn slot_of(&self, hash: B256) -> Option<(Address, u64)> {
        self.by_hash.get(&hash).copied()
    }

    pub(crate) const fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Adds an entry whose nonce is free. `next` is the account's nonce.
    pub(crate) fn put(&mut self, entry: Entry, next: u64) {
        let (address, nonce) = entry.transaction.slot();
        self.by_hash.insert(entry.hash, (address, nonce));
        self.bytes += entry.bytes();
        self.gossiped.push_back((entry.gossiped_ms, entry.hash));
        self.counters.inserted += 1;
        let queue = self.senders.entry(address).or_insert_with(|| SenderQueue::new(address, next));
        self.gapped.insert(queue.gapped_key(nonce, &entry));
        queue.entries.insert(nonce, entry);
        for key in queue.promote() {
            self.gapped.remove(&key);
        }
        self.settle_tail(address);
        self.forget_gossip();
    }

    /// Puts an entry in the place of the one with its sender and nonce.
    pub(crate) fn swap(&mut self, entry: Entry) {
        let (address, nonce) = entry.transaction.slot();
        let Some(queue) = self.senders.get_mut(&address) else { return };
        let gapped = !queue.is_executable(nonce);
        let new_key = queue.gapped_key(nonce, &entry);
        self.by_hash.insert(entry.hash, (address, nonce));
        self.bytes += entry.bytes();
        self.gossiped.push_back((entry.gossiped_ms, entry.hash));
        self.counters.inserted += 1;
        if let Some(old) = queue.entries.insert(nonce, entry) {
            self.by_hash.remove(&old.hash);
            self.bytes -= old.bytes();
            *self.counters.removed.entry(Removal::Replaced).or_default() += 1;
            if gapped {
                self.gapped.remove(&queue.gapped_key(nonce, &old));
                self.gapped.insert(new_key);
            }
        }
        self.settle_tail(address);
        self.forget_gossip();
    }

    /// Takes an entry out; what followed it becomes gapped.
    pub(crate) fn take(&mut self, address: Address, nonce: u64, why: Removal) {
        let Some(queue) = self.senders.get_mut(&address) else { return };
        for key in queue.demote_from(nonce) {
            self.gapped.insert(key);
        }
        let Some(entry) = queue.entries.remove(&nonce) else { return };
        self.gapped.remove(&queue.gapped_key(nonce, &entry));
        self.by_hash.remove(&entry.hash);
        self.bytes -= entry.bytes();
        *self.counters.removed.entry(why).or_default() += 1;
        self.settle_tail(address);
    }

    /// Follows the account's nonce: what is below it leaves (`why` tells each one's reason), what
    /// follows it without a gap becomes executable.
    pub(crate) fn advance(&mut self, address: Address, next: u64, why: impl Fn(B256) -> Removal) {
        let Some(queue) = self.senders.get_mut(&address) else { return };
        if next < queue.next {
            // The head went back: nonces before ours are open again.
            self.gapped.extend(queue.demote_from(queue.next));
        }
        while let Some(first) = queue.entries.first_entry()
            && *first.key() < next
        {
            let (nonce, entry) = first.remove_entry();
            self.gapped.remove(&(entry.arrival, address, nonce));
            self.by_hash.remove(&entry.hash);
            self.bytes -= entry.bytes();
            *self.counters.removed.entry(why(entry.hash)).or_default() += 1;
        }
        let passed = usize::try_from(next.saturating_sub(queue.next)).unwrap_or(usize::MAX);
        queue.executable = queue.executable.saturating_sub(passed);
        queue.next = next;
        for key in queue.promote() {
            self.gapped.remove(&key);
        }
        self.settle_tail(address);
    }

    /// Brings the index of tails up to date; forgets a sender without transactions.
    fn settle_tail(&mut self, address: Address) {
        let Some(queue) = self.senders.get_mut(&address) else { return };
        let tail = queue.last_executable().map(|(_, entry)| entry.tip_cap());
        if tail != queue.tail {
            if let Some(old) = queue.tail {
                self.tails.remove(&(old, address));
            }
            if let Some(new) = tail {
                self.tails.insert((new, address));
            }
            queue.tail = tail;
        }
        if queue.entries.is_empty() {
            self.senders.remove(&address);
        }
    }
}

fn split(queue: &SenderQueue) -> (Transactions, Transactions) {
    let mut all = queue.entries.values().map(|entry| Arc::clone(&entry.transaction));
    (all.by_ref().take(queue.executable).collect(), all.collect())
}
