//! The thread that owns the transaction pool. Commands are taken many at a time, so that a flood of
//! small submissions costs one validation pass and one gossip frame.

use crate::{clock::Clock, consensus_thread::ConsensusInputs, network_ports::NetworkPorts};
use alloy_primitives::{Address, B256};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use entente_chain::{
    NodeId, RecoveredBlock, RecoveredTransaction,
    limits::{POOL_BATCH, POOL_COMMANDS},
};
use entente_consensus::Input;
use entente_evm::{Room, SkipReason, TransactionSource};
use entente_pool::{Inserted, Origin, Pool, PoolError};
use entente_rpc::{Events, PoolContent, PoolStatus};
use entente_storage::{ChainReader, StateStore};
use std::{
    collections::{BTreeSet, VecDeque},
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How often transactions that wait long are offered to peers again.
const REGOSSIP_INTERVAL: Duration = Duration::from_secs(2);
/// A build waits this long for the pool before it gives up.
const BEST_TIMEOUT: Duration = Duration::from_secs(5);

/// One transaction, shared.
pub type Shared = Arc<RecoveredTransaction>;

/// What may be asked of the pool.
pub enum PoolCommand {
    /// Transactions of a client of this node.
    Submit {
        /// The transactions.
        transactions: Vec<Shared>,
        /// One result per transaction.
        reply: oneshot::Sender<Vec<Result<B256, PoolError>>>,
    },
    /// Transactions of a peer.
    Received {
        /// The peer.
        from: NodeId,
        /// The transactions.
        transactions: Vec<Shared>,
    },
    /// A new head.
    Committed(RecoveredBlock),
    /// Executable transactions for a block.
    Best {
        /// Gas of the block.
        gas: u64,
        /// Bytes of the block's body.
        bytes: usize,
        /// Base fee of the block.
        base_fee: u64,
        /// The transactions in order.
        reply: Sender<Vec<Shared>>,
    },
    /// Transactions that a build found not executable.
    Skipped(Vec<(B256, String)>),
    /// A look at the pool.
    Query(PoolQuery),
    /// End.
    Stop,
}

/// Looks at the pool.
pub enum PoolQuery {
    /// A waiting transaction.
    Get(B256, oneshot::Sender<Option<Shared>>),
    /// The nonce after all executable transactions of a sender.
    PendingNonce(Address, oneshot::Sender<Option<u64>>),
    /// How many wait.
    Status(oneshot::Sender<PoolStatus>),
    /// Everything, or what one sender has.
    Content(Option<Address>, oneshot::Sender<PoolContent>),
}

/// The pool has stopped or does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transaction pool does not answer")]
pub struct PoolStopped;

/// The way to the pool thread.
#[derive(Clone)]
pub struct PoolHandle {
    commands: Sender<PoolCommand>,
}

impl PoolHandle {
    /// A bounded queue of commands.
    #[must_use]
    pub fn bounded() -> (Self, Receiver<PoolCommand>) {
        let (commands, receiver) = crossbeam_channel::bounded(POOL_COMMANDS);
        (Self { commands }, receiver)
    }

    /// Hands a command over unless the queue is full.
    ///
    /// # Errors
    /// When the pool is overloaded or stopped.
    pub fn offer(&self, command: PoolCommand) -> Result<(), PoolStopped> {
        self.commands.try_send(command).map_err(|refused| {
            if matches!(refused, TrySendError::Full(_)) {
                metrics::counter!("entente_pool_commands_dropped_total").increment(1);
            }
            PoolStopped
        })
    }

    /// Tells the pool about a new head; waits for room.
    pub fn committed(&self, block: RecoveredBlock) {
        drop(self.commands.send(PoolCommand::Committed(block)));
    }

    /// Tells the pool what a build could not use.
    pub fn skipped(&self, skipped: Vec<(B256, String)>) {
        if !skipped.is_empty() {
            drop(self.commands.send(PoolCommand::Skipped(skipped)));
        }
    }

    /// Ends the pool thread after what was asked before.
    pub fn stop(&self) {
        drop(self.commands.send(PoolCommand::Stop));
    }

    /// Transactions for a block, best first.
    ///
    /// # Errors
    /// When the pool stopped or is silent for long.
    pub fn best(&self, gas: u64, bytes: usize, base_fee: u64) -> Result<PoolSource, PoolStopped> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.commands
            .send(PoolCommand::Best { gas, bytes, base_fee, reply })
            .map_err(|_| PoolStopped)?;
        let transactions = answer.recv_timeout(BEST_TIMEOUT).map_err(|_| PoolStopped)?;
        Ok(PoolSource::new(transactions))
    }
}

/// Feeds a build from the pool; a sender whose transaction was skipped is left out of the block.
pub struct PoolSource {
    waiting: VecDeque<Shared>,
    senders_out: BTreeSet<Address>,
    last: Option<Address>,
    skipped: Vec<(B256, String)>,
}

impl PoolSource {
    fn new(transactions: Vec<Shared>) -> Self {
        Self {
            waiting: transactions.into(),
            senders_out: BTreeSet::new(),
            last: None,
            skipped: Vec::new(),
        }
    }

    /// What the build could not use, with the reason.
    #[must_use]
    pub fn into_skipped(self) -> Vec<(B256, String)> {
        self.skipped
    }
}

impl TransactionSource for PoolSource {
    fn next(&mut self, room: Room) -> Option<Shared> {
        while let Some(transaction) = self.waiting.pop_front() {
            let sender = transaction.sender();
            if self.senders_out.contains(&sender) {
                continue;
            }
            let gas = alloy_consensus::Transaction::gas_limit(transaction.envelope());
            if gas > room.gas || transaction.encoded().len() > room.bytes {
                self.senders_out.insert(sender);
                continue;
            }
            self.last = Some(sender);
            return Some(transaction);
        }
        None
    }

    fn skipped(&mut self, hash: B256, reason: SkipReason) {
        self.senders_out.extend(self.last);
        // One that only did not fit stays in the pool.
        if !matches!(reason, SkipReason::NoRoom) {
            self.skipped.push((hash, reason.to_string()));
        }
    }
}

/// What the pool thread needs beside the pool.
pub struct PoolPorts {
    /// The head.
    pub reader: ChainReader,
    /// The head's state.
    pub states: StateStore,
    /// Hears whether transactions wait.
    pub consensus: ConsensusInputs,
    /// Gossip.
    pub network: NetworkPorts,
    /// Pending transactions for subscribers.
    pub events: Events,
    /// Time.
    pub clock: Clock,
}

/// Transactions gathered from many commands, with where they came from.
#[derive(Default)]
struct Batch {
    submitted: Vec<(Vec<Shared>, oneshot::Sender<Vec<Result<B256, PoolError>>>)>,
    received: Vec<(NodeId, Vec<Shared>)>,
    transactions: usize,
}

struct PoolThread<'a> {
    pool: Pool,
    ports: &'a PoolPorts,
    waiting_told: Option<bool>,
}

/// Runs until nobody can send commands any more.
pub fn run(pool: Pool, commands: &Receiver<PoolCommand>, ports: &PoolPorts) {
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
    fn take(
        &mut self,
        first: PoolCommand,
        commands: &Receiver<PoolCommand>,
    ) -> ControlFlow<()> {
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
            PoolCommand::Committed(block) => self.on_committed(&block),
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
                drop(reply.send(self.pool.pending_nonce(address)));
            }
            PoolQuery::Status(reply) => {
                let (pending, queued) = self.pool.status();
                drop(reply.send(PoolStatus { pending, queued }));
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

    fn on_committed(&mut self, block: &RecoveredBlock) {
        let state = match self.ports.states.at(block.header.number) {
            Ok(state) => state,
            Err(error) => {
                tracing::error!(%error, "the pool cannot read the new head's state");
                return;
            }
        };
        let now = self.ports.clock.now().elapsed;
        self.pool.on_block(&block.header, &state, block.transactions(), Vec::new(), now);
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

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn count(value: usize) -> f64 {
    value as f64
}
