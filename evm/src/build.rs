//! Builds a block from waiting transactions, by the loop that executes blocks.

use crate::{
    BlockError, Executed, Executor, InvalidTransaction,
    block_run::{BlockRun, Failure},
    body,
    executor::into_executed,
    system,
};
use alloy_consensus::{Header, Transaction, proofs::calculate_withdrawals_root};
use alloy_primitives::{Address, B256};
use entente_chain::{
    BlockBody, RecoveredTransaction, SealedHeader, StateReader,
    fork::Fork,
    limits::{BLOCK_BUILD_BYTES_MAX, BLOCK_TRANSACTIONS_MAX},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The cheapest transaction: with less gas left a block is full.
const TRANSACTION_GAS_MIN: u64 = 21_000;

/// What still fits into the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Gas.
    pub gas: u64,
    /// Bytes of encoded transactions.
    pub bytes: usize,
}

/// Why a transaction was left out of the block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// It may not stand in this block; perhaps in none.
    #[error(transparent)]
    Invalid(InvalidTransaction),
    /// It asks for more gas or bytes than are left: a later block may take it.
    #[error("no room left in the block")]
    NoRoom,
}

/// Where transactions come from, best first; transactions of one sender in order.
pub trait TransactionSource {
    /// The next one that may fit, `None` to end the block.
    fn next(&mut self, room: Room) -> Option<Arc<RecoveredTransaction>>;
    /// The last one was left out. Those of its sender that come later cannot stand either.
    fn skipped(&mut self, hash: B256, reason: SkipReason);
}

/// What to build.
pub struct BuildRequest<'a> {
    /// Every field that does not follow from the transactions.
    pub template: Header,
    /// The parent.
    pub parent: &'a SealedHeader,
    /// Who builds: whom COINBASE names. Not every header format keeps it in the coinbase.
    pub author: Address,
    /// No transaction is begun after this time.
    pub time_limit: Duration,
}

/// A block without its state root and seals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The header; the state root is still zero.
    pub header: Header,
    /// The body.
    pub body: Arc<BlockBody>,
    /// What executing it gave.
    pub executed: Executed,
}

impl Executor {
    /// Builds a block on the parent's `state` until gas, bytes, time or transactions are used up.
    /// A transaction that may not stand in it is told to the source and left out.
    ///
    /// # Errors
    /// When this node fails; never because of a transaction.
    pub fn build(
        &self,
        request: BuildRequest<'_>,
        state: &dyn StateReader,
        source: &mut dyn TransactionSource,
    ) -> Result<Draft, BlockError> {
        let BuildRequest { mut template, parent, author, time_limit } = request;
        let mut run = self.run(&template, parent, author, state)?;
        let deadline = Instant::now().checked_add(time_limit);
        let transactions = fill(&mut run, source, deadline)?;
        let blob_gas_used = run.blob_gas_used();
        let withdrawals = (run.facts.fork >= Fork::Shanghai).then(Default::default);
        let requests = system::finish(&mut run, &template, &[], &[], author)?;
        let (executed, receipts_root) = into_executed(run, requests);
        template.state_root = B256::ZERO;
        template.transactions_root = body::transactions_root(&transactions);
        template.receipts_root = receipts_root;
        template.logs_bloom = executed.bloom;
        template.gas_used = executed.gas_used;
        template.withdrawals_root = withdrawals.as_ref().map(|_| calculate_withdrawals_root(&[]));
        template.blob_gas_used = blob_gas_used;
        template.requests_hash = executed.requests_hash;
        let body = Arc::new(BlockBody { transactions, ommers: Vec::new(), withdrawals });
        Ok(Draft { header: template, body, executed })
    }
}

fn fill(
    run: &mut BlockRun<'_>,
    source: &mut dyn TransactionSource,
    deadline: Option<Instant>,
) -> Result<Vec<Arc<RecoveredTransaction>>, BlockError> {
    let mut transactions = Vec::new();
    let mut bytes = BLOCK_BUILD_BYTES_MAX;
    while transactions.len() < BLOCK_TRANSACTIONS_MAX
        && run.gas_to_fill() >= TRANSACTION_GAS_MIN
        && deadline.is_none_or(|deadline| Instant::now() < deadline)
    {
        let Some(transaction) = source.next(Room { gas: run.gas_to_fill(), bytes }) else { break };
        let left = bytes.checked_sub(transaction.encoded().len());
        let Some(left) = left else {
            source.skipped(transaction.hash(), SkipReason::NoRoom);
            continue;
        };
        if transaction.gas_limit() > run.gas_to_fill() {
            source.skipped(transaction.hash(), SkipReason::NoRoom);
            continue;
        }
        match run.transact(&transaction) {
            Ok(()) => {
                bytes = left;
                transactions.push(transaction);
            }
            Err(Failure::Invalid(InvalidTransaction::BlockGasUsedUp { .. })) => {
                source.skipped(transaction.hash(), SkipReason::NoRoom);
            }
            Err(Failure::Invalid(cause)) => {
                source.skipped(transaction.hash(), SkipReason::Invalid(cause));
            }
            // Another block takes it, once its payload is here or the proposer is no party.
            Err(Failure::Broken(BlockError::PayloadUnavailable { .. })) => {
                source.skipped(transaction.hash(), SkipReason::NoRoom);
            }
            Err(Failure::Broken(cause)) => return Err(cause),
        }
    }
    Ok(transactions)
}

#[cfg(test)]
mod tests;
