//! What must hold, in its own words: nothing here asks an engine for its opinion of a block or a
//! message. Names are those of the reliability list.

mod blocks;
mod certificates;
mod electorate;
mod limits;
mod lock;
mod majority;
mod served;
mod words;

use crate::{Coverage, Engine};
use alloy_primitives::{Address, B256, Bytes};
use certificates::{Certificates, Electors};
use electorate::Electorate;
use entente_chain::{
    BlockNumber, Header, RecoveredBlock, ValidatorSet,
    genesis::Genesis,
    spec::{ChainSpec, EngineKind},
    votes::VoteTally,
};
use entente_consensus::{
    ChainPosition, EngineStatus, Message, Record,
    engine::Evidence,
    raft::{self, Body},
};
use entente_ledger::CommittedBlock;
use limits::Limits;
use lock::{Locks, Voters};
use majority::Majorities;
use served::Served;
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

/// The hash of a header with other extraData.
fn hash_with(header: &Header, extra_data: impl Into<Bytes>) -> B256 {
    let mut header = header.clone();
    header.extra_data = extra_data.into();
    header.hash_slow()
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
    electorate: Electorate,
    /// Who votes at a height, where that is decided.
    voters: BTreeMap<BlockNumber, BTreeSet<Address>>,
    locks: Locks,
    majorities: Majorities,
    certificates: Certificates,
    limits: Limits,
    served: Served,
}

struct After {
    validators: ValidatorSet,
    tally: VoteTally,
    timestamp: u64,
    number: BlockNumber,
}

impl Checker {
    pub(crate) fn new(
        genesis: &Genesis,
        validators: &[Address],
        engine: Engine,
        liars: BTreeSet<Address>,
    ) -> Self {
        let first = genesis.header.hash();
        Self {
            spec: genesis.spec.clone(),
            engine,
            liars,
            decided: BTreeMap::new(),
            after: BTreeMap::new(),
            leaders: BTreeMap::new(),
            words: Words::of_chain(engine == Engine::Switch),
            genesis: first,
            electorate: Electorate::new(first, validators),
            voters: BTreeMap::from([(1, validators.iter().copied().collect())]),
            locks: Locks::default(),
            majorities: Majorities::default(),
            certificates: Certificates::default(),
            limits: Limits::default(),
            served: Served::default(),
        }
    }

    /// Whether a block of this height may be left again: then there is no decision to compare with.
    fn forks_at(&self, number: BlockNumber) -> bool {
        self.spec.engine_at(number) == EngineKind::Clique
    }

    /// C5: evidence names who broke the rules, and nobody else.
    pub(crate) fn blames(&self, evidence: &Evidence) -> Result<(), Finding> {
        let guilty = self.liars.contains(&evidence.validator)
            || self.words.amnesiacs().contains(&evidence.validator)
            || self.engine == Engine::Switch;
        match guilty {
            true => Ok(()),
            false => finding("C5", format!("evidence against an honest validator: {evidence:?}")),
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

    /// A message arrived at an honest node.
    pub(crate) fn heard(&mut self, message: &Message) {
        if let Message::Ibft(message) = message {
            self.certificates.heard(message);
        }
    }

    /// Records of an honest node are durable.
    pub(crate) fn persisted(&mut self, who: Address, records: &[Record]) {
        for record in records {
            if let Record::Raft(record) = record
                && let Some(accepted) = record.accepted()
            {
                self.majorities.persisted(who, accepted);
            }
        }
    }

    /// An honest node said something, to one peer or to all.
    pub(crate) fn said(
        &mut self,
        message: &Message,
        to: Option<Address>,
        coverage: &mut Coverage,
    ) -> Result<(), Finding> {
        self.words.said(message, to, &self.liars, coverage)?;
        match message {
            Message::Ibft(message) => {
                let height = message.view().height;
                self.limits.said(message.author(), message.view())?;
                let Some(all) = self.voters.get(&height) else { return Ok(()) };
                let unreliable = &self.liars | &self.words.forgetful_at(height);
                let two_thirds = self.spec.rules_at(height).quorum_two_thirds;
                let quorum = match two_thirds {
                    true => (2 * all.len()).div_ceil(3),
                    false => 2 * (all.len().saturating_sub(1) / 3) + 1,
                };
                self.locks.said(message, &Voters { all, unreliable: &unreliable, quorum })?;
                // Below a block of Clique the voters are not settled.
                let parent = self.spec.engine_at(height.saturating_sub(1));
                if parent == EngineKind::Clique || unreliable.contains(&message.author()) {
                    return Ok(());
                }
                self.certificates.said(message, Electors { all, quorum })
            }
            Message::Raft(message) => {
                self.mints(message)?;
                let votes = |number| {
                    self.voters.get(&number).is_some_and(|all| all.contains(&message.author))
                };
                let decided = |number| self.decided.get(&number).copied();
                self.majorities.said(message, votes, decided)
            }
            Message::Clique(_) => Ok(()),
        }
    }

    /// R8: only the leader of a term has blocks, and each lies on what is decided.
    fn mints(&self, message: &raft::Message) -> Result<(), Finding> {
        let Body::Append { block: Some(block), .. } = &message.body else { return Ok(()) };
        let (author, term, number) = (message.author, message.term, block.header.number);
        if self.leaders.get(&term).is_some_and(|leader| *leader != author) {
            return finding("R8", format!("{author} proposes block {number}, no leader of {term}"));
        }
        let below = number.saturating_sub(1);
        let parent = block.header.parent_hash;
        let first = below == 0 || self.spec.engine_at(below) != EngineKind::Raft;
        match first || self.decided.get(&below) == Some(&parent) {
            true => Ok(()),
            false => finding("R8", format!("{author} builds block {number} on undecided {parent}")),
        }
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
        Limits::held(status)?;
        if status.engine == "ibft" && self.spec.rules_at(status.height).quorum_two_thirds {
            Limits::quorums_meet(status)?;
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
        committed: &CommittedBlock,
        unix: u64,
        coverage: &mut Coverage,
    ) -> Result<(), Finding> {
        let CommittedBlock { block, receipts, position, .. } = committed;
        let (number, hash) = (block.header.number, block.hash());
        self.check_block(block, unix, coverage)?;
        self.served.committed(block, receipts)?;
        self.electorate.count(&self.spec, &block.header, hash, position)?;
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
        if self.spec.engine_at(number) == EngineKind::Clique {
            return Ok(());
        }
        if !self.decided.contains_key(&number) {
            let voters = self.electorate.of_child(block.header.parent_hash);
            if let (EngineKind::Raft, Some(voters)) = (self.spec.engine_at(number), voters) {
                self.majorities.decided(number, hash, voters)?;
            }
            if let Some(voters) = self.electorate.of_child(hash) {
                self.voters.insert(number.saturating_add(1), voters.clone());
            }
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
