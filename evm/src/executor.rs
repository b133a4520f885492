//! Executes whole blocks: one pass, receipts, gas, and what changed.

use crate::{
    BlockError,
    block_run::{BlockRun, Failure},
    body,
    code_cache::CodeCache,
    database::BlockState,
    environment::BlockFacts,
    private::{PrivateExecuted, PrivateRun},
    system,
};
use alloy_consensus::{Header, Transaction as _};
use alloy_primitives::{Address, B256, Bloom};
use entente_chain::{
    ChainSpec, Receipt, RecoveredBlock, RecoveredTransaction, SealedHeader, StateChanges,
    StateReader, private::PrivateStates, transaction::has_private_signature,
};
use std::{fmt, sync::Arc};

/// Says who made a sealed block: what COINBASE gives where the header keeps something else in its
/// coinbase (votes of Clique and IBFT 1).
pub type AuthorOf = dyn Fn(&Header) -> Option<Address> + Send + Sync;

/// What executing a block gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// One receipt per transaction.
    pub receipts: Vec<Receipt>,
    /// Gas used by all transactions.
    pub gas_used: u64,
    /// Over all logs.
    pub bloom: Bloom,
    /// What the block changed in the state.
    pub changes: StateChanges,
    /// EIP-7685, from Prague on.
    pub requests_hash: Option<B256>,
    /// What it changed in the private states of this node.
    pub private: Vec<PrivateExecuted>,
}

/// Executes blocks and calls by the rules of one chain. Cheap to clone; clones share the cache of
/// analysed code.
#[derive(Clone)]
pub struct Executor {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) codes: Arc<CodeCache>,
    author_of: Arc<AuthorOf>,
    pub(crate) privacy: Option<Arc<dyn PrivateStates>>,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Executor {
    /// An executor for a chain whose headers name their author in the coinbase.
    #[must_use]
    pub fn new(spec: Arc<ChainSpec>) -> Self {
        Self::with_author(spec, Arc::new(|header| Some(header.beneficiary)))
    }

    /// An executor that asks `author_of` who made a block; without an answer it is the coinbase.
    #[must_use]
    pub fn with_author(spec: Arc<ChainSpec>, author_of: Arc<AuthorOf>) -> Self {
        Self { spec, codes: Arc::new(CodeCache::new()), author_of, privacy: None }
    }

    /// Runs private transactions too, in the private states of this node.
    #[must_use]
    pub fn with_private_states(self, states: Arc<dyn PrivateStates>) -> Self {
        Self { privacy: Some(states), ..self }
    }

    /// Whom COINBASE names in a block.
    pub(crate) fn author(&self, header: &Header) -> Address {
        (self.author_of)(header).unwrap_or(header.beneficiary)
    }

    pub(crate) fn run<'a>(
        &'a self,
        header: &Header,
        parent: &SealedHeader,
        author: Address,
        state: &'a dyn StateReader,
    ) -> Result<BlockRun<'a>, BlockError> {
        let mut state = BlockState::new(state, &self.codes);
        state.set_block_hash(parent.number, parent.hash());
        let facts = BlockFacts::new(&self.spec, header);
        let private = self
            .privacy
            .as_ref()
            .filter(|_| facts.private_transactions)
            .map(|states| PrivateRun::new(Arc::clone(states), &self.codes, parent.number));
        let mut run = BlockRun::new(facts, header, author, state, private);
        system::begin(&mut run, header)?;
        Ok(run)
    }

    /// Whether every private payload of a block that this node may be a party to can be read.
    ///
    /// # Errors
    /// [`BlockError::PayloadUnavailable`].
    pub fn check_payloads(&self, block: &RecoveredBlock) -> Result<(), BlockError> {
        let header = block.header.header();
        let facts = BlockFacts::new(&self.spec, header);
        let Some(states) = self.privacy.as_ref().filter(|_| facts.private_transactions) else {
            return Ok(());
        };
        let parent = header.number.saturating_sub(1);
        let private = PrivateRun::new(Arc::clone(states), &self.codes, parent);
        for transaction in block.transactions() {
            if facts.is_marker(transaction) {
                private.check_marker(transaction)?;
            } else if has_private_signature(transaction.envelope()) {
                private.payload(transaction.input())?;
            }
        }
        Ok(())
    }

    /// Executes a block on its parent's state and checks everything that its header says of it
    /// but the state root: that is the caller's, who works it out from the changes.
    ///
    /// # Errors
    /// The rule that the block breaks, or why this node could not tell
    /// ([`BlockError::is_invalid`]).
    pub fn execute(
        &self,
        block: &RecoveredBlock,
        parent: &SealedHeader,
        state: &dyn StateReader,
    ) -> Result<Executed, BlockError> {
        let header = block.header.header();
        if parent.hash() != header.parent_hash {
            return Err(BlockError::Parent {
                number: header.number,
                got: parent.hash(),
                expected: header.parent_hash,
            });
        }
        let author = self.author(header);
        let mut run = self.run(header, parent, author, state)?;
        body::check(&run.facts, header, &block.body)?;
        for (index, transaction) in block.transactions().iter().enumerate() {
            run.transact(transaction).map_err(|failure| refused(failure, index, transaction))?;
        }
        let (got, expected) = (run.blob_gas_used(), header.blob_gas_used);
        if got != expected {
            return Err(BlockError::BlobGasUsed { got, expected });
        }
        let withdrawals = block.body.withdrawals.as_deref().map_or(&[][..], |list| list);
        let requests = system::finish(&mut run, header, &block.body.ommers, withdrawals, author)?;
        let (executed, receipts_root) = into_executed(run, requests);
        body::check_executed(header, &executed, receipts_root)?;
        Ok(executed)
    }
}

/// The result and the root of its receipts.
pub(crate) fn into_executed(run: BlockRun<'_>, requests_hash: Option<B256>) -> (Executed, B256) {
    let (gas_used, bloom) = (run.gas_used, run.bloom);
    let receipts_root = body::receipts_root(&run.receipts, &run.blooms);
    let (receipts, changes, private) = run.into_changes();
    (Executed { receipts, gas_used, bloom, changes, requests_hash, private }, receipts_root)
}

fn refused(failure: Failure, index: usize, transaction: &RecoveredTransaction) -> BlockError {
    match failure {
        Failure::Invalid(cause) => {
            BlockError::Transaction { index, hash: transaction.hash(), cause: Box::new(cause) }
        }
        Failure::Broken(cause) => cause,
    }
}

#[cfg(test)]
mod tests;
