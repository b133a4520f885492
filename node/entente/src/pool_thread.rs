//! The thread that owns the transaction pool. Commands are taken many at a time, so that a flood of
//! small submissions costs one validation pass and one gossip frame.

use crate::{
    clock::Clock,
    consensus_thread::ConsensusInputs,
    network_ports::NetworkPorts,
    pool_handle::{PoolCommand, PoolQuery, Shared},
};
use alloy_primitives::{Address, B256};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use entente_chain::{NodeId, RecoveredBlock, SealedHeader, StateError, limits::POOL_BATCH};
use entente_consensus::Input;
use entente_pool::{Inserted, Origin, Pool, PoolError};
use entente_rpc::{Events, PoolContent, PoolStatus};
use entente_storage::{ChainReader, StateStore, StateView};
use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How often transactions that wait long are offered to peers again.
const REGOSSIP_INTERVAL: Duration = Duration::from_secs(2);
/// What the pool thread needs beside the pool.
pub(crate) struct PoolPorts {
    /// The head.
    pub(crate) reader: ChainReader,
    /// The head's state.
    pub(crate) states: StateStore,
    /// Hears whether transactions wait.
    pub(crate) consensus: ConsensusInputs,
    /// Gossip.
    pub(crate) network: NetworkPorts,
    /// Pending transactions for subscribers.
    pub(crate) events: Events,
    /// Time.
    pub(crate) clock: Clock,
}

/// Where the results of a submission go.
type Reply = oneshot::Sender<Vec<Result<B256, PoolError>>>;

/// Transactions gathered from many commands, with where they came from.
#[derive(Default)]
struct Batch {
    submitted: Vec<(Vec<Shared>, Reply)>,
    received: Vec<(NodeId, Vec<Shared>)>,
    transactions: usize,
}

struct PoolThread<'a> {
    pool: Pool,
    ports: &'a PoolPorts,
    waiting_told: Option<bool>,
}

/// Runs until nobody can send commands any more.
pub(crate) fn run(pool: Pool, commands: &Receiver<PoolCommand>, ports: &PoolPorts) {
    let mut thread = PoolThread { pool, ports, waiting_told: None };
    let mut regossip_at = Instant::now() + REGOSSIP_INTERVAL;
    loop {
        let first = match commands.recv_deadline(regossip_at) {
            Ok(command) => command,
            Err(RecvTimeoutError::Timeout) => {
                thread.regossip();
                regossip_at = Instant::now() + REGOSSIP_INTERVAL;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if thread.take(first, commands).is_break() {
            return;
        }
        thread.tell_whether_transactions_wait();
    }
}

impl PoolThread<'_> {
    /// Takes a command and those right behind it; submissions are gathered into one insertion.
    fn take(&mut self, first: PoolCommand, commands: &Receiver<PoolCommand>) -> ControlFlow<()> {
        let mut batch = Batch::default();
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(command) = next {
            match command {
                PoolCommand::Submit { transactions, reply } => {
                    batch.transactions += transactions.len();
                    batch.submitted.push((transactions, reply));
                }
                PoolCommand::Received { from, transactions } => {
                    batch.transactions += transactions.len();
                    batch.received.push((from, transactions));
                }
                PoolCommand::Stop => return ControlFlow::Break(()),
                // Order matters to these: what came before them is inserted first.
                other => {
                    self.insert(std::mem::take(&mut batch));
                    self.carry_out(other);
                }
            }
            taken += 1;
            let full = taken >= POOL_BATCH || batch.transactions >= POOL_BATCH;
            next = if full { None } else { commands.try_recv().ok() };
        }
        self.insert(batch);
        ControlFlow::Continue(())
    }

    fn carry_out(&mut self, command: PoolCommand) {
        match command {
            PoolCommand::Committed { block, returned } => self.on_committed(&block, returned),
            PoolCommand::Best { gas, bytes, base_fee, reply } => {
                drop(reply.send(self.pool.best(gas, bytes, base_fee)));
            }
            PoolCommand::Skipped(skipped) => {
                for (hash, reason) in skipped {
                    tracing::debug!(%hash, %reason, "transaction was not executable in a block");
                    self.pool.remove_unexecutable(hash);
                }
            }
            PoolCommand::Query(query) => self.answer(query),
            PoolCommand::Submit { .. } | PoolCommand::Received { .. } | PoolCommand::Stop => {}
        }
    }

    fn answer(&self, query: PoolQuery) {
        match query {
            PoolQuery::Get(hash, reply) => drop(reply.send(self.pool.get(hash))),
            PoolQuery::PendingNonce(address, reply) => {
                let _gone = reply.send(self.pool.pending_nonce(address));
            }
            PoolQuery::Status(reply) => {
                let (pending, queued) = self.pool.status();
                let _gone = reply.send(PoolStatus { pending, queued });
            }
            PoolQuery::Content(sender, reply) => drop(reply.send(self.content(sender))),
        }
    }

    fn content(&self, sender: Option<Address>) -> PoolContent {
        let (pending, queued) = match sender {
            Some(address) => self.pool.content_from(address),
            None => self.pool.content(),
        };
        PoolContent { pending, queued }
    }

    fn insert(&mut self, batch: Batch) {
        if batch.transactions == 0 {
            for (_, reply) in batch.submitted {
                drop(reply.send(Vec::new()));
            }
            return;
        }
        let mut local = Vec::new();
        for (transactions, reply) in batch.submitted {
            let results = self.insert_from(Origin::Local, transactions, &mut local);
            drop(reply.send(results));
        }
        if !local.is_empty() {
            self.ports.network.broadcast_transactions(&local);
        }
        for (from, transactions) in batch.received {
            let mut new = Vec::new();
            drop(self.insert_from(Origin::Remote, transactions, &mut new));
            if !new.is_empty() {
                self.ports.network.relay_transactions(from, &new);
            }
        }
    }

    /// Inserts transactions; those that are new are added to `new`.
    fn insert_from(
        &mut self,
        origin: Origin,
        transactions: Vec<Shared>,
        new: &mut Vec<Shared>,
    ) -> Vec<Result<B256, PoolError>> {
        let head = self.ports.reader.head();
        let state = match self.ports.states.at(head.header.number) {
            Ok(state) => state,
            Err(error) => {
                tracing::error!(%error, "the pool cannot read the state");
                return transactions.iter().map(|_| Err(PoolError::Unavailable)).collect();
            }
        };
        let now = self.ports.clock.now().elapsed;
        let shared = transactions.clone();
        let results = self.pool.insert(transactions, &head.header, &state, now, origin);
        let listened = self.ports.events.pending.receiver_count() > 0;
        shared
            .into_iter()
            .zip(results)
            .map(|(transaction, result)| {
                let hash = transaction.hash();
                if origin == Origin::Remote {
                    self.count_remote(&result);
                }
                result.map(|Inserted { .. }| {
                    if listened {
                        drop(self.ports.events.pending.send(Arc::clone(&transaction)));
                    }
                    new.push(transaction);
                    hash
                })
            })
            .collect()
    }

    fn count_remote(&self, result: &Result<Inserted, PoolError>) {
        if result.is_err() {
            metrics::counter!("entente_pool_remote_refused_total").increment(1);
        }
    }

    fn on_committed(&mut self, block: &RecoveredBlock, returned: Vec<Shared>) {
        let (head, state) = match head_to_follow(&self.ports.reader, &self.ports.states, block) {
            Ok(head) => head,
            Err(error) => {
                tracing::error!(%error, "the pool cannot read the new head's state");
                return;
            }
        };
        let now = self.ports.clock.now().elapsed;
        self.pool.on_block(&head, &state, block.transactions(), returned, now);
        self.waiting_told = None;
        let (executable, held) = self.pool.status();
        metrics::gauge!("entente_pool_executable").set(count(executable));
        metrics::gauge!("entente_pool_held").set(count(held));
    }

    fn regossip(&mut self) {
        let now = self.ports.clock.now().elapsed;
        let transactions = self.pool.regossip(now);
        if !transactions.is_empty() {
            self.ports.network.broadcast_transactions(&transactions);
        }
    }

    /// Level-triggered: told when it changes, and again after each commit.
    fn tell_whether_transactions_wait(&mut self) {
        let waiting = self.pool.executable() > 0;
        if self.waiting_told != Some(waiting) {
            self.waiting_told = Some(waiting);
            self.ports.consensus.send(Input::TransactionsWaiting(waiting));
        }
    }
}

/// A committed block with the state after it. When the chain has left the block meanwhile, the head:
/// what came back into the pool with the block must not be lost with it.
fn head_to_follow(
    reader: &ChainReader,
    states: &StateStore,
    block: &RecoveredBlock,
) -> Result<(SealedHeader, StateView), StateError> {
    match states.at(block.header.number) {
        Ok(state) if state.hash() == block.hash() => Ok((block.header.clone(), state)),
        Ok(_) | Err(_) => {
            let head = reader.head().header.clone();
            let state = states.at(head.number)?;
            Ok((head, state))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn count(value: usize) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use entente_chain::{
        BlockBody, Header, StateChanges,
        genesis::{Genesis, GenesisBuilder},
    };
    use entente_storage::{BlockCommit, ChainWriter, Database, StorageOptions};

    /// An empty child of the head.
    fn extend(
        database: &Database,
        writer: &mut ChainWriter,
        extra_data: &'static [u8],
    ) -> RecoveredBlock {
        let parent = database.reader().head().header.clone();
        let trie = database.states().trie_at_head().expect("a trie");
        let changes = Arc::new(StateChanges::default());
        let state = database.states().root_after(&trie, changes).expect("a root");
        let header = Header {
            number: parent.number + 1,
            parent_hash: parent.hash(),
            state_root: parent.state_root,
            extra_data: extra_data.into(),
            ..Header::default()
        };
        let hash = header.hash_slow();
        let header = SealedHeader::new(header, hash);
        let block = RecoveredBlock { header, body: Arc::new(BlockBody::default()) };
        let commit = BlockCommit {
            block: block.clone(),
            receipts: Vec::new(),
            state,
            tally: None,
            private: Vec::new(),
        };
        writer.commit(commit).expect("committed");
        block
    }

    /// The pool may be behind the chain: the branch whose head it hears of may be gone again.
    #[test]
    fn a_head_that_was_left_is_replaced_by_the_one_that_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let json = GenesisBuilder::new(1337, vec![Address::repeat_byte(1)]).to_json();
        let genesis = Genesis::parse(json.as_bytes()).expect("a genesis");
        let options = StorageOptions { sync: false, ..StorageOptions::default() };
        let database = Database::open(folder.path(), &options).expect("a database");
        database.initialise(&genesis, json.as_bytes()).expect("initialised");
        let mut writer = database.writer().expect("the writer");
        let (reader, states) = (database.reader(), database.states());
        let follow = |block: &RecoveredBlock| {
            let (head, state) = head_to_follow(&reader, &states, block).expect("a head");
            assert_eq!(state.hash(), head.hash());
            head
        };
        let left = extend(&database, &mut writer, b"left");
        assert_eq!(follow(&left), left.header);
        writer.revert_to(0).expect("reverted");
        assert_eq!(follow(&left), genesis.header, "no block at that height");
        let first = extend(&database, &mut writer, b"stays");
        assert_eq!(follow(&left), first.header, "another block at that height");
        let second = extend(&database, &mut writer, b"stays");
        assert_eq!(follow(&left), second.header);
        assert_eq!(follow(&first), first.header, "canonical, and the pool is behind");
    }
}
