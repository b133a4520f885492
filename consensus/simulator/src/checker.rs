//! What must hold, in its own words: nothing here asks an engine for its opinion of a block or a
//! message. Names are those of the reliability list.

mod blocks;
mod words;

use crate::{Coverage, Engine};
use alloy_primitives::{Address, B256};
use entente_chain::{
    BlockNumber, RecoveredBlock, ValidatorSet, genesis::Genesis, spec::ChainSpec, votes::VoteTally,
};
use entente_consensus::{ChainPosition, EngineStatus, Message};
use std::collections::{BTreeMap, BTreeSet};
use words::Words;

/// A property that does not hold.
pub(crate) struct Finding {
    pub(crate) checker: &'static str,
    pub(crate) what: String,
}

pub(crate) fn finding(checker: &'static str, what: String) -> Result<(), Finding> {
    Err(Finding { checker, what })
}

/// Everything that is remembered to compare with.
pub(crate) struct Checker {
    spec: ChainSpec,
    engine: Engine,
    liars: BTreeSet<Address>,
    /// S1, S2: what was decided at each height.
    decided: BTreeMap<BlockNumber, B256>,
    /// S9: validators and tally after each block.
    after: BTreeMap<B256, After>,
    /// R1: who led in each term.
    leaders: BTreeMap<u64, Address>,
    words: Words,
    genesis: B256,
}

struct After {
    validators: ValidatorSet,
    tally: VoteTally,
    timestamp: u64,
    number: BlockNumber,
}

impl Checker {
    pub(crate) fn new(genesis: &Genesis, engine: Engine, liars: BTreeSet<Address>) -> Self {
        Self {
            spec: genesis.spec.clone(),
            engine,
            liars,
            decided: BTreeMap::new(),
            after: BTreeMap::new(),
            leaders: BTreeMap::new(),
            words: Words::default(),
            genesis: genesis.header.hash(),
        }
    }

    /// A node's disk was replaced: it cannot know what it said before.
    pub(crate) fn forgets(&mut self, who: Address) {
        self.words.forgets(who);
    }

    /// Who lost its memory so far.
    pub(crate) fn amnesiacs(&self) -> BTreeSet<Address> {
        self.words.amnesiacs()
    }

    /// An honest node said something.
    pub(crate) fn said(
        &mut self,
        message: &Message,
        coverage: &mut Coverage,
    ) -> Result<(), Finding> {
        self.words.said(message, &self.liars, coverage)
    }

    /// What an honest node says of itself.
    pub(crate) fn status(
        &mut self,
        status: &EngineStatus,
        coverage: &mut Coverage,
    ) -> Result<(), Finding> {
        if status.engine == "ibft" && status.round > 2 {
            coverage.saw("round above 2");
        }
        if status.role == "blank" {
            coverage.saw("voter without memory");
        }
        if status.role != "leader" {
            return Ok(());
        }
        let Some(own) = status.validator else { return Ok(()) };
        let first = !self.leaders.contains_key(&status.round);
        if first && !self.leaders.is_empty() {
            coverage.saw("leader changed");
        }
        let leader = *self.leaders.entry(status.round).or_insert(own);
        if leader != own && self.engine == Engine::Raft {
            let term = status.round;
            return finding("R1", format!("{own} and {leader} both lead in term {term}"));
        }
        Ok(())
    }

    /// An honest node made a block canonical.
    pub(crate) fn committed(
        &mut self,
        node: usize,
        block: &RecoveredBlock,
        position: &ChainPosition,
        coverage: &mut Coverage,
    ) -> Result<(), Finding> {
        let (number, hash) = (block.header.number, block.hash());
        self.check_block(block, coverage)?;
        if let Some(known) = self.after.get(&hash) {
            // S9: what follows from a block is the same on every node.
            if known.tally != position.tally || known.validators != position.next {
                return finding("S9", format!("node {node} counts votes of {number} otherwise"));
            }
        } else {
            self.note_changes(block, position, coverage);
            self.after.insert(
                hash,
                After {
                    validators: position.next.clone(),
                    tally: position.tally.clone(),
                    timestamp: block.header.timestamp,
                    number,
                },
            );
        }
        self.check_agreement(node, block)
    }

    /// S1 and S2. Under Clique a block counts once more than half of the signers built on it, which
    /// holds for one branch at a time as long as links are timely: only the end is judged then.
    fn check_agreement(&mut self, node: usize, block: &RecoveredBlock) -> Result<(), Finding> {
        let (number, hash) = (block.header.number, block.hash());
        if self.spec.engine_at(number) == entente_chain::spec::EngineKind::Clique {
            return Ok(());
        }
        let first = *self.decided.entry(number).or_insert(hash);
        if first != hash {
            let what = format!("node {node} decides {hash} at {number}, another decided {first}");
            return finding("S1", what);
        }
        Ok(())
    }

    fn note_changes(
        &self,
        block: &RecoveredBlock,
        position: &ChainPosition,
        coverage: &mut Coverage,
    ) {
        let Some(parent) = self.after.get(&block.header.parent_hash) else { return };
        if parent.validators != position.next {
            coverage.saw("validator voted in or out");
        }
        if parent.tally.members() != position.tally.members() {
            coverage.saw("member changed");
        }
    }
}
