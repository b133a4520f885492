//! Builds, checks, adopts and imports blocks on the head.

mod private;
mod validators;

pub(crate) use validators::stored_tally;
use validators::supported;

use crate::{
    LedgerError,
    executed::{ExecutedBlock, ExecutedBlocks, ExecutionKey},
    execution::Execution,
};
use alloy_primitives::Address;
use entente_chain::{
    ChainSpec, Header, Receipt, RecoveredBlock, SealedHeader, header_hash,
    limits::REORGANISATION_BLOCKS_MAX, private::PrivateReceipts, spec::EngineKind,
    votes::VoteTally,
};
use entente_consensus::{
    BuildAttributes, ChainPosition, Verdict,
    rules::{self, HeaderRules},
};
use entente_evm::{BuildRequest, Draft, Executed, TransactionSource};
use entente_storage::{
    BlockCommit, ChainReader, ChainWriter, Database, Head, PrivateStates, StateOverlay, StateStore,
    StateTrie, StoreError,
};
use std::{sync::Arc, time::Duration};

/// What became of a commit: everything that listeners need.
#[derive(Clone, Debug)]
pub struct CommittedBlock {
    /// The block.
    pub block: RecoveredBlock,
    /// Its receipts.
    pub receipts: Arc<Vec<Receipt>>,
    /// What its private transactions did in each private state of this node.
    pub private: PrivateReceipts,
    /// Head and validators of the next block.
    pub position: ChainPosition,
}

/// How a block's batch is written.
type Write = fn(&mut ChainWriter, BlockCommit) -> Result<Arc<Head>, StoreError>;

/// Owner of the canonical chain. Executes a block once: what was built or checked before a vote is
/// kept until it is adopted or its height has passed.
pub struct Ledger {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) rules: HeaderRules,
    pub(crate) execution: Arc<dyn Execution>,
    pub(crate) reader: ChainReader,
    states: StateStore,
    private: Option<PrivateStates>,
    pub(crate) writer: ChainWriter,
    trie: StateTrie,
    tally: VoteTally,
    executed: ExecutedBlocks,
    /// What is wrong with the validator contract's answer: told once, not at every block.
    complaint: Option<String>,
}

impl Ledger {
    /// Opens the chain of an initialised database.
    ///
    /// # Errors
    /// When the database cannot be read, another writer exists, or the chain's blocks are of a
    /// kind that nobody makes here.
    pub fn open(
        database: &Database,
        spec: Arc<ChainSpec>,
        execution: Arc<dyn Execution>,
    ) -> Result<Self, LedgerError> {
        Self::open_with(database, spec, execution, None)
    }

    /// Opens the chain of an initialised database that also keeps private states.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        database: &Database,
        spec: Arc<ChainSpec>,
        execution: Arc<dyn Execution>,
        private: Option<PrivateStates>,
    ) -> Result<Self, LedgerError> {
        supported(&spec)?;
        let reader = database.reader();
        let states = database.states();
        let trie = states.trie_at_head()?;
        let writer = match private.clone() {
            Some(private) => database.writer_with(private)?,
            None => database.writer()?,
        };
        let rules = rules::rules_for(Arc::clone(&spec));
        let head = reader.head().header.clone();
        // Worked out below: a contract may name those of the first block.
        let tally = VoteTally::unknown();
        let executed = ExecutedBlocks::default();
        let complaint = None;
        let mut ledger = Self {
            spec,
            rules,
            execution,
            reader,
            states,
            private,
            writer,
            trie,
            tally,
            executed,
            complaint,
        };
        ledger.tally = ledger.tally_at(&head)?;
        // From here on the stored tally is the one that holds: a bad answer keeps it.
        let tally = ledger.tally.encode();
        if ledger.reader.tally(head.number)?.as_ref() != Some(&tally) {
            ledger.writer.replace_tally(&tally)?;
        }
        Ok(ledger)
    }

    /// The newest committed block.
    #[must_use]
    pub fn head(&self) -> Arc<Head> {
        self.reader.head()
    }

    /// Head and validators of the next block.
    #[must_use]
    pub fn position(&self) -> ChainPosition {
        let head = self.head();
        ChainPosition {
            head: head.header.clone(),
            next: self.tally.validators().clone(),
            tally: self.tally.clone(),
            total_difficulty: head.total_difficulty,
        }
    }

    /// Positions of the blocks below the head that may still be taken back, oldest first; none
    /// where blocks are final.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn ancestors(&self) -> Result<Vec<ChainPosition>, LedgerError> {
        let head = self.head();
        let mut difficulty = head.total_difficulty;
        let mut above = head.header.clone();
        let mut ancestors = Vec::new();
        while above.number > 0
            && self.spec.engine_at(above.number) == EngineKind::Clique
            && ancestors.len() as u64 != REORGANISATION_BLOCKS_MAX
        {
            let number = above.number.saturating_sub(1);
            let Some(header) = self.reader.header(number)? else { break };
            difficulty = difficulty.saturating_sub(above.difficulty);
            let tally = stored_tally(&self.reader, number)?;
            let next = tally.validators().clone();
            let position =
                ChainPosition { head: header.clone(), next, tally, total_difficulty: difficulty };
            ancestors.push(position);
            above = header;
        }
        ancestors.reverse();
        Ok(ancestors)
    }

    /// The header of a block on the head before anything was executed.
    ///
    /// # Errors
    /// When the attributes do not fit the head.
    pub fn template(&self, attributes: &BuildAttributes) -> Result<Header, LedgerError> {
        let head = self.head();
        if attributes.parent != head.header.hash() {
            return Err(LedgerError::ParentMissing {
                got: attributes.parent,
                head: head.header.hash(),
            });
        }
        Ok(rules::next_header(&self.spec, &head.header, attributes))
    }

    /// Builds a block on the head and keeps what execution gave. `own` is the address that will
    /// seal it.
    ///
    /// # Errors
    /// When the head moved on, or execution or the database failed.
    pub fn build(
        &mut self,
        template: Header,
        own: Address,
        time_limit: Duration,
        source: &mut dyn TransactionSource,
    ) -> Result<RecoveredBlock, LedgerError> {
        let head = self.head();
        let state = self.states.at(head.header.number)?;
        let author = match self.spec.engine_at(template.number) {
            // Their coinbase holds votes.
            EngineKind::Istanbul | EngineKind::Clique => own,
            EngineKind::Qbft | EngineKind::Raft | EngineKind::Ethereum => template.beneficiary,
        };
        let request = BuildRequest { template, parent: &head.header, author, time_limit };
        let Draft { mut header, body, executed } = self.execution.build(request, &state, source)?;
        let Executed { receipts, changes, private, .. } = executed;
        let changes = Arc::new(changes);
        let state = self.states.root_after(&self.trie, Arc::clone(&changes))?;
        let private = self.private_commits(private)?;
        header.state_root = state.root();
        let key = ExecutionKey::new(&header, author);
        let header = header_hash::seal(self.spec.engine_at(header.number), header)?;
        let block = RecoveredBlock { header, body };
        self.executed
            .keep(key, ExecutedBlock { block: block.clone(), receipts, state, changes, private });
        Ok(block)
    }

    /// Checks everything about a proposed block but its commit seals, and keeps what execution
    /// gave.
    pub fn check(&mut self, block: &RecoveredBlock, unix_seconds: u64) -> Verdict {
        let head = self.head();
        let checked = self.key(block).and_then(|key| {
            self.check_header(block, &head.header, unix_seconds)?;
            if self.executed.get(key).is_none() {
                let executed = self.execute(block, &head.header)?;
                self.executed.keep(key, executed);
            }
            Ok(())
        });
        match checked {
            Ok(()) => Verdict::Valid,
            Err(error) if error.is_invalid_block() => Verdict::Invalid(error.to_string()),
            Err(error) => Verdict::Unavailable(error.to_string()),
        }
    }

    fn key(&self, block: &RecoveredBlock) -> Result<ExecutionKey, LedgerError> {
        Ok(ExecutionKey::new(&block.header, self.rules.author(&block.header)?))
    }

    fn check_header(
        &self,
        block: &RecoveredBlock,
        parent: &SealedHeader,
        unix_seconds: u64,
    ) -> Result<(), LedgerError> {
        let got = block.header.parent_hash;
        if got != parent.hash() {
            return Err(LedgerError::ParentMissing { got, head: parent.hash() });
        }
        self.rules.check_alone(&block.header, unix_seconds)?;
        Ok(self.rules.check_with_parent(&block.header, parent, &self.tally)?)
    }

    fn execute(
        &self,
        block: &RecoveredBlock,
        parent: &SealedHeader,
    ) -> Result<ExecutedBlock, LedgerError> {
        let state = self.states.at(parent.number)?;
        let Executed { receipts, changes, private, .. } =
            self.execution.execute(block, parent, &state)?;
        let changes = Arc::new(changes);
        let state = self.states.root_after(&self.trie, Arc::clone(&changes))?;
        if state.root() != block.header.state_root {
            return Err(LedgerError::StateRoot {
                got: state.root(),
                expected: block.header.state_root,
            });
        }
        let private = self.private_commits(private)?;
        Ok(ExecutedBlock { block: block.clone(), receipts, state, changes, private })
    }

    /// Commits a finally sealed block, executing it if that has not happened yet.
    ///
    /// # Errors
    /// When the block is not valid on the head or the database failed.
    pub fn adopt(
        &mut self,
        block: RecoveredBlock,
        unix_seconds: u64,
    ) -> Result<CommittedBlock, LedgerError> {
        self.adopt_as(block, unix_seconds, ChainWriter::commit)
    }

    /// As [`adopt`](Self::adopt), of a block that the consensus log holds: it is not synced, and
    /// may be missing after a loss of power, as the newest block only.
    ///
    /// # Errors
    /// As [`adopt`](Self::adopt).
    pub fn adopt_logged(
        &mut self,
        block: RecoveredBlock,
        unix_seconds: u64,
    ) -> Result<CommittedBlock, LedgerError> {
        self.adopt_as(block, unix_seconds, ChainWriter::commit_logged)
    }

    /// Makes what was adopted durable.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&mut self) -> Result<(), LedgerError> {
        Ok(self.writer.sync()?)
    }

    fn adopt_as(
        &mut self,
        block: RecoveredBlock,
        unix_seconds: u64,
        write: Write,
    ) -> Result<CommittedBlock, LedgerError> {
        let parent = self.head().header.clone();
        let key = self.key(&block)?;
        match self.executed.get(key).map(|known| known.block.hash() == block.hash()) {
            Some(true) => {}
            // Sealing changed the header since; its time was judged when it was executed.
            Some(false) => self.check_header(&block, &parent, u64::MAX)?,
            None => self.check_header(&block, &parent, unix_seconds)?,
        }
        self.commit(block, &parent, key, write)
    }

    /// Commits a checked child of the head.
    fn commit(
        &mut self,
        block: RecoveredBlock,
        parent: &SealedHeader,
        key: ExecutionKey,
        write: Write,
    ) -> Result<CommittedBlock, LedgerError> {
        let executed = match self.executed.take(key) {
            Some(executed) => executed,
            None => self.execute(&block, parent)?,
        };
        let ExecutedBlock { block: executed, receipts, state, changes, private } = executed;
        // The body that was executed: the hash says nothing about the one that came with the seals.
        let block = executed.with_header(block.header);
        let tally = self.rules.tally_after(&block.header, self.tally.clone())?;
        let after = StateOverlay::new(Arc::new(self.states.at(parent.number)?), changes)
            .with_block(block.header.number, block.hash());
        let tally = self.with_contract(tally, &block.header, &after)?;
        let changed = (tally != self.tally).then(|| tally.encode());
        let commit = BlockCommit { block: block.clone(), receipts, state, tally: changed, private };
        write(&mut self.writer, commit)?;
        // The committed trie keeps a bounded part in memory.
        self.trie = self.states.trie_at_head()?;
        self.tally = tally;
        self.executed.clear();
        let receipts = self.reader.receipts(block.header.number)?.unwrap_or_default();
        let private = self.private_receipts(block.header.number)?;
        Ok(CommittedBlock { block, receipts, private, position: self.position() })
    }

    /// Checks a sealed block of somebody else in full and commits it.
    ///
    /// # Errors
    /// When the block breaks a rule or the database failed; the head stays where it was.
    pub fn import(
        &mut self,
        block: RecoveredBlock,
        unix_seconds: u64,
    ) -> Result<CommittedBlock, LedgerError> {
        let parent = self.head().header.clone();
        let now = self.latest_time(block.header.number, unix_seconds);
        self.check_header(&block, &parent, now)?;
        self.rules.check_seals(&block.header, self.tally.validators())?;
        let key = self.key(&block)?;
        self.commit(block, &parent, key, ChainWriter::commit)
    }

    /// Until when the time of somebody else's sealed block is accepted. A quorum (Raft: the leader,
    /// whom all follow) vouches for it, and our own clock may be the wrong one; under Clique a
    /// single signer seals, and a time far ahead would stop the chain until then.
    pub(crate) fn latest_time(&self, number: u64, unix_seconds: u64) -> u64 {
        match self.spec.engine_at(number) {
            EngineKind::Clique => unix_seconds,
            EngineKind::Qbft | EngineKind::Istanbul | EngineKind::Raft | EngineKind::Ethereum => {
                u64::MAX
            }
        }
    }

    /// Takes up the head that the writer left.
    pub(crate) fn reload(&mut self) -> Result<(), LedgerError> {
        self.executed.clear();
        self.trie = self.states.trie_at_head()?;
        let head = self.head();
        self.tally = self.tally_at(&head.header)?;
        Ok(())
    }
}
