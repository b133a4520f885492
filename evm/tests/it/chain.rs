//! A node's path for one chain without its engine: decode, recover, check headers and uncles,
//! execute, work out the root, commit; side chains by total difficulty.

use alloy_primitives::{B256, Bytes, U256};
use alloy_rlp::Decodable;
use entente_chain::{
    Block, RecoveredBlock, SealedHeader, StateReader, genesis::Genesis, transaction::Signing,
    votes::VoteTally,
};
use entente_consensus::rules::{Ancestor, HeaderRules, rules_for};
use entente_evm::{Executor, Senders};
use entente_storage::{BlockCommit, ChainWriter, Database, History, StateView, StorageOptions};
use std::{collections::HashMap, path::Path, sync::Arc};

/// Everything that can go wrong with a block, for messages.
pub(crate) type Refusal = String;

pub(crate) struct Chain {
    database: Database,
    writer: ChainWriter,
    rules: HeaderRules,
    executor: Executor,
    senders: Senders,
    blocks: HashMap<B256, (RecoveredBlock, U256)>,
    genesis: SealedHeader,
    best: B256,
}

impl Chain {
    pub(crate) fn new(genesis: &Genesis, path: &Path) -> Self {
        let options = StorageOptions {
            cache_bytes: 1 << 20,
            history: History::Archive,
            sync: false,
            read_only: false,
        };
        let database = Database::open(path, &options).unwrap();
        database.initialise(genesis, b"{}").unwrap();
        let spec = Arc::new(genesis.spec.clone());
        Self {
            writer: database.writer().unwrap(),
            database,
            rules: rules_for(Arc::clone(&spec)),
            executor: Executor::new(spec),
            senders: Senders::new(1024, Signing::Ethereum),
            blocks: HashMap::new(),
            genesis: genesis.header.clone(),
            best: genesis.header.hash(),
        }
    }

    /// Takes a block as a peer would bring it.
    pub(crate) fn import(&mut self, rlp: &Bytes) -> Result<(), Refusal> {
        let mut rest = &rlp[..];
        let block = Block::decode(&mut rest).map_err(|cause| format!("rlp: {cause}"))?;
        if !rest.is_empty() {
            return Err("rlp: trailing bytes".into());
        }
        let hash = block.header.hash_slow();
        let block = self.senders.recover_block(block, hash).map_err(|cause| cause.to_string())?;
        let parent = self.header(block.header.parent_hash).ok_or("unknown parent")?;
        self.check_header(&block, &parent)?;
        self.switch_to(parent.hash())?;
        self.execute_and_commit(&block, &parent)?;
        let total = self.total(parent.hash()).saturating_add(block.header.difficulty);
        let merged = block.header.difficulty.is_zero();
        let best = self.total(self.best);
        if total > best || merged && total >= best {
            self.best = hash;
        }
        self.blocks.insert(hash, (block, total));
        Ok(())
    }

    /// Makes the heaviest block the head and gives its header and state.
    pub(crate) fn head(&mut self) -> (SealedHeader, StateView) {
        self.switch_to(self.best).unwrap();
        let head = self.database.reader().head();
        let state = self.database.states().at(head.header.number).unwrap();
        (head.header.clone(), state)
    }

    fn header(&self, hash: B256) -> Option<SealedHeader> {
        if hash == self.genesis.hash() {
            return Some(self.genesis.clone());
        }
        self.blocks.get(&hash).map(|(block, _)| block.header.clone())
    }

    fn total(&self, hash: B256) -> U256 {
        self.blocks.get(&hash).map_or(self.genesis.difficulty, |(_, total)| *total)
    }

    fn check_header(&self, block: &RecoveredBlock, parent: &SealedHeader) -> Result<(), Refusal> {
        let nobody = VoteTally::unknown();
        self.rules.check_alone(&block.header, u64::MAX).map_err(|cause| cause.to_string())?;
        self.rules
            .check_with_parent(&block.header, parent, &nobody)
            .map_err(|cause| cause.to_string())?;
        let ancestor = |hash| {
            let header = self.header(hash)?;
            let ommers = self.blocks.get(&hash).map(|(block, _)| block.body.ommers.clone());
            Some(Ancestor { header, ommers: ommers.unwrap_or_default() })
        };
        self.rules
            .check_uncles(&block.header, &block.body.ommers, &ancestor)
            .map_err(|cause| cause.to_string())
    }

    fn execute_and_commit(
        &mut self,
        block: &RecoveredBlock,
        parent: &SealedHeader,
    ) -> Result<(), Refusal> {
        let states = self.database.states();
        let state = states.at(parent.number).unwrap();
        let executed =
            self.executor.execute(block, parent, &state as &dyn StateReader).map_err(|cause| {
                assert!(cause.is_invalid(), "{cause}");
                cause.to_string()
            })?;
        let trie = states.trie_at_head().unwrap();
        let update = states.root_after(&trie, Arc::new(executed.changes)).unwrap();
        if update.root() != block.header.state_root {
            let (got, expected) = (update.root(), block.header.state_root);
            return Err(format!("state root is {got}, header says {expected}"));
        }
        let receipts = executed.receipts;
        let commit = BlockCommit {
            block: block.clone(),
            receipts,
            state: update,
            tally: None,
            private: Vec::new(),
        };
        self.writer.commit(commit).unwrap();
        Ok(())
    }

    /// Reverts and commits until `target` is the head.
    fn switch_to(&mut self, target: B256) -> Result<(), Refusal> {
        let reader = self.database.reader();
        let mut forward = Vec::new();
        let mut hash = target;
        let fork = loop {
            let header = self.header(hash).ok_or("unknown ancestor")?;
            if reader.hash(header.number).unwrap() == Some(hash) {
                break header.number;
            }
            forward.push(hash);
            hash = header.parent_hash;
        };
        if reader.head().header.number > fork {
            self.writer.revert_to(fork).unwrap();
        }
        for hash in forward.into_iter().rev() {
            let (block, _) = self.blocks[&hash].clone();
            let parent = self.header(block.header.parent_hash).ok_or("unknown ancestor")?;
            self.execute_and_commit(&block, &parent)?;
        }
        Ok(())
    }
}
