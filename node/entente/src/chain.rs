//! The chain as its one owner sees it: builds, executes, adopts and imports blocks.
//!
//! A block is executed once: what was built or checked before a vote is kept until it is adopted
//! or its height has passed. The chain thread drives this in a running node, `entente import`
//! drives it alone.

use crate::chain_error::ChainError;
use alloy_consensus::Header;
use alloy_primitives::B256;
use entente_chain::{
    ChainSpec, Receipt, RecoveredBlock, SealedHeader, header_hash, limits::EXECUTED_BLOCKS_MAX,
    spec::EngineKind, votes::VoteTally,
};
use entente_consensus::{
    BuildAttributes, ChainPosition, Verdict,
    rules::{self, HeaderRules},
};
use entente_evm::{BuildRequest, Draft, Executed, Executor, TransactionSource};
use entente_storage::{
    BlockCommit, ChainReader, ChainWriter, Database, Head, StateStore, StateTrie, StateUpdate,
};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// A block that was executed and may be adopted.
struct ExecutedBlock {
    block: RecoveredBlock,
    receipts: Vec<Receipt>,
    state: StateUpdate,
}

/// What became of a commit: everything that listeners need.
#[derive(Clone, Debug)]
pub(crate) struct CommittedBlock {
    /// The block.
    pub(crate) block: RecoveredBlock,
    /// Its receipts.
    pub(crate) receipts: Arc<Vec<Receipt>>,
    /// Head and validators of the next block.
    pub(crate) position: ChainPosition,
}

/// Owner of the canonical chain.
pub(crate) struct Chain {
    spec: Arc<ChainSpec>,
    rules: HeaderRules,
    executor: Executor,
    reader: ChainReader,
    states: StateStore,
    writer: ChainWriter,
    trie: StateTrie,
    tally: VoteTally,
    executed: VecDeque<ExecutedBlock>,
}

impl Chain {
    /// Opens the chain of an initialised database.
    ///
    /// # Errors
    /// When the database cannot be read or another writer exists.
    pub(crate) fn open(database: &Database, spec: Arc<ChainSpec>) -> Result<Self, ChainError> {
        supported(&spec)?;
        let reader = database.reader();
        let states = database.states();
        let trie = states.trie_at_head()?;
        let writer = database.writer()?;
        let number = reader.head().header.number;
        let tally = reader.tally(number)?.ok_or(ChainError::TallyMissing(number))?;
        let tally = VoteTally::decode(&tally)?;
        let rules = rules::rules_for(Arc::clone(&spec));
        let executor = Executor::new(Arc::clone(&spec));
        let executed = VecDeque::with_capacity(EXECUTED_BLOCKS_MAX);
        Ok(Self { spec, rules, executor, reader, states, writer, trie, tally, executed })
    }

    /// The newest committed block.
    #[must_use]
    pub(crate) fn head(&self) -> Arc<Head> {
        self.reader.head()
    }

    /// Head and validators of the next block.
    #[must_use]
    pub(crate) fn position(&self) -> ChainPosition {
        let head = self.head();
        ChainPosition {
            head: head.header.clone(),
            next: self.tally.validators().clone(),
            tally: self.tally.clone(),
            total_difficulty: head.total_difficulty,
        }
    }

    /// The header of a block on the head before anything was executed.
    ///
    /// # Errors
    /// When the attributes do not fit the head.
    pub(crate) fn template(&self, attributes: &BuildAttributes) -> Result<Header, ChainError> {
        let head = self.head();
        if attributes.parent != head.header.hash() {
            return Err(ChainError::ParentMissing {
                got: attributes.parent,
                head: head.header.hash(),
            });
        }
        Ok(rules::next_header(&self.spec, &head.header, attributes))
    }

    /// Builds a block on the head and keeps what execution gave.
    ///
    /// # Errors
    /// When the head moved on, or execution or the database failed.
    pub(crate) fn build(
        &mut self,
        template: Header,
        time_limit: Duration,
        source: &mut dyn TransactionSource,
    ) -> Result<RecoveredBlock, ChainError> {
        let head = self.head();
        let state = self.states.at(head.header.number)?;
        let author = template.beneficiary;
        let request = BuildRequest { template, parent: &head.header, author, time_limit };
        let Draft { mut header, body, executed } = self.executor.build(request, &state, source)?;
        let Executed { receipts, changes, .. } = executed;
        let state = self.states.root_after(&self.trie, Arc::new(changes))?;
        header.state_root = state.root();
        let header = header_hash::seal(self.spec.engine_at(header.number), header)?;
        let block = RecoveredBlock { header, body };
        self.keep(ExecutedBlock { block: block.clone(), receipts, state });
        Ok(block)
    }

    /// Checks everything about a proposed block but its commit seals, and keeps what execution
    /// gave.
    pub(crate) fn check(&mut self, block: &RecoveredBlock, unix_seconds: u64) -> Verdict {
        if self.executed.iter().any(|known| known.block.hash() == block.hash()) {
            return Verdict::Valid;
        }
        let head = self.head();
        match self.execute(block, &head.header, unix_seconds) {
            Ok(executed) => {
                self.keep(executed);
                Verdict::Valid
            }
            Err(error) if error.is_invalid_block() => Verdict::Invalid(error.to_string()),
            Err(error) => Verdict::Unavailable(error.to_string()),
        }
    }

    fn execute(
        &self,
        block: &RecoveredBlock,
        parent: &SealedHeader,
        unix_seconds: u64,
    ) -> Result<ExecutedBlock, ChainError> {
        if block.header.parent_hash != parent.hash() {
            return Err(ChainError::ParentMissing {
                got: block.header.parent_hash,
                head: parent.hash(),
            });
        }
        self.rules.check_alone(&block.header, unix_seconds)?;
        self.rules.check_with_parent(&block.header, parent, self.tally.validators())?;
        let state = self.states.at(parent.number)?;
        let Executed { receipts, changes, .. } = self.executor.execute(block, parent, &state)?;
        let state = self.states.root_after(&self.trie, Arc::new(changes))?;
        if state.root() != block.header.state_root {
            return Err(ChainError::StateRoot {
                got: state.root(),
                expected: block.header.state_root,
            });
        }
        Ok(ExecutedBlock { block: block.clone(), receipts, state })
    }

    fn keep(&mut self, block: ExecutedBlock) {
        while self.executed.len() >= EXECUTED_BLOCKS_MAX {
            self.executed.pop_front();
        }
        self.executed.push_back(block);
    }

    /// Commits a finally sealed block, executing it if that has not happened yet.
    ///
    /// # Errors
    /// When the block is not valid on the head or the database failed.
    pub(crate) fn adopt(
        &mut self,
        block: RecoveredBlock,
        unix_seconds: u64,
    ) -> Result<CommittedBlock, ChainError> {
        let known = self.executed.iter().position(|known| known.block.hash() == block.hash());
        let ExecutedBlock { block: executed, receipts, state } =
            match known.and_then(|index| self.executed.remove(index)) {
                Some(executed) => executed,
                None => self.execute(&block, &self.head().header, unix_seconds)?,
            };
        // The body that was executed: the hash says nothing about the one that came with the seals.
        let block = executed.with_header(block.header);
        let tally = self.rules.tally_after(&block.header, self.tally.clone())?;
        let changed = (tally != self.tally).then(|| tally.encode());
        self.writer.commit(BlockCommit {
            block: block.clone(),
            receipts,
            state,
            tally: changed,
        })?;
        // The committed trie keeps a bounded part in memory.
        self.trie = self.states.trie_at_head()?;
        self.tally = tally;
        self.executed.clear();
        let receipts = self.reader.receipts(block.header.number)?.unwrap_or_default();
        Ok(CommittedBlock { block, receipts, position: self.position() })
    }

    /// Checks a sealed block of somebody else in full and commits it.
    ///
    /// # Errors
    /// When the block breaks a rule or the database failed; the head stays where it was.
    pub(crate) fn import(&mut self, block: RecoveredBlock) -> Result<CommittedBlock, ChainError> {
        self.rules.check_seals(&block.header, self.tally.validators())?;
        // A quorum vouches for its time: our own clock may be the one that is wrong.
        self.adopt(block, u64::MAX)
    }
}

/// Refuses chains whose blocks this version could not follow, before the first one.
fn supported(spec: &ChainSpec) -> Result<(), ChainError> {
    let blocks = std::iter::once(0).chain(spec.transitions.iter().map(|change| change.block));
    for block in blocks {
        let engine = spec.engine_at(block);
        if engine != EngineKind::Qbft {
            let text = format!("block {block}: {engine:?} blocks are not supported, Qbft ones are");
            return Err(ChainError::Unsupported(text));
        }
        if let Some(contract) = spec.rules_at(block).validator_contract {
            let text =
                format!("block {block}: validators by contract ({contract}) are not supported");
            return Err(ChainError::Unsupported(text));
        }
    }
    Ok(())
}

/// A block hash, short enough for a log line.
#[must_use]
pub(crate) fn short(hash: B256) -> String {
    let text = hash.to_string();
    text.get(..10).unwrap_or_default().to_owned()
}
