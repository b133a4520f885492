//! The way to the pool thread: commands, looks at the pool, and transactions for a block.

use alloy_primitives::{Address, B256};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use entente_chain::{NodeId, RecoveredBlock, RecoveredTransaction, limits::POOL_COMMANDS};
use entente_evm::{Room, SkipReason, TransactionSource};
use entente_pool::PoolError;
use entente_rpc::{PoolContent, PoolStatus};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;

/// A build waits this long for the pool before it gives up.
const BEST_TIMEOUT: Duration = Duration::from_secs(5);

/// One transaction, shared.
pub(crate) type Shared = Arc<RecoveredTransaction>;

/// What may be asked of the pool.
pub(crate) enum PoolCommand {
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
    Committed {
        /// The block.
        block: Box<RecoveredBlock>,
        /// Transactions of blocks that are no longer canonical.
        returned: Vec<Shared>,
    },
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
pub(crate) enum PoolQuery {
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
pub(crate) struct PoolStopped;

/// The way to the pool thread.
#[derive(Clone)]
pub(crate) struct PoolHandle {
    commands: Sender<PoolCommand>,
}

impl PoolHandle {
    /// A bounded queue of commands.
    #[must_use]
    pub(crate) fn bounded() -> (Self, Receiver<PoolCommand>) {
        let (commands, receiver) = crossbeam_channel::bounded(POOL_COMMANDS);
        (Self { commands }, receiver)
    }

    /// Hands a command over unless the queue is full.
    ///
    /// # Errors
    /// When the pool is overloaded or stopped.
    pub(crate) fn offer(&self, command: PoolCommand) -> Result<(), PoolStopped> {
        self.commands.try_send(command).map_err(|refused| {
            if matches!(refused, TrySendError::Full(_)) {
                metrics::counter!("entente_pool_commands_dropped_total").increment(1);
            }
            PoolStopped
        })
    }

    /// Tells the pool about a new head, and which transactions came back from blocks that were
    /// left; waits for room.
    pub(crate) fn committed(&self, block: RecoveredBlock, returned: Vec<Shared>) {
        let block = Box::new(block);
        drop(self.commands.send(PoolCommand::Committed { block, returned }));
    }

    /// Tells the pool what a build could not use.
    pub(crate) fn skipped(&self, skipped: Vec<(B256, String)>) {
        if !skipped.is_empty() {
            drop(self.commands.send(PoolCommand::Skipped(skipped)));
        }
    }

    /// Ends the pool thread after what was asked before.
    pub(crate) fn stop(&self) {
        drop(self.commands.send(PoolCommand::Stop));
    }

    /// Transactions for a block, best first.
    ///
    /// # Errors
    /// When the pool stopped or is silent for long.
    pub(crate) fn best(
        &self,
        gas: u64,
        bytes: usize,
        base_fee: u64,
    ) -> Result<PoolSource, PoolStopped> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.commands
            .send(PoolCommand::Best { gas, bytes, base_fee, reply })
            .map_err(|_| PoolStopped)?;
        let transactions = answer.recv_timeout(BEST_TIMEOUT).map_err(|_| PoolStopped)?;
        Ok(PoolSource::new(transactions))
    }
}

/// Feeds a build from the pool; a sender whose transaction was skipped is left out of the block.
pub(crate) struct PoolSource {
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
    pub(crate) fn into_skipped(self) -> Vec<(B256, String)> {
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
