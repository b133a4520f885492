//! Begins where a crash left off. A voter without any record of its votes (a first start, another
//! engine before, a new member, a lost disk) may have voted and accepted, and forgotten: it asks
//! **all** other voters how far they are before it votes or accepts again (docs/decisions/0005).
//! Whoever got its forgotten vote, or counted what it accepted, is among those it asks, or shares a
//! majority with one of them.
//!
//! This holds while fewer than a majority of disks are lost at a time.

use super::{
    Raft,
    state::{Accepted, Durable, Executing, Position},
    wire::Body,
};
use crate::engine::{ChainPosition, Millis, Now, Step};
use alloy_primitives::Address;
use entente_chain::{
    BlockNumber, ChainSpec, RecoveredBlock,
    extra_data::raft::{MemberChange, RaftExtra},
    limits::VALIDATORS_MAX,
};
use std::collections::BTreeMap;

/// Pause between two questions to those that have not answered.
const QUESTION_MS: Millis = 250;
/// Answers that are kept: voters that left meanwhile stay.
const ANSWERS_MAX: usize = 4 * VALIDATORS_MAX;

/// What a voter without memory has heard so far.
#[derive(Debug)]
pub(super) struct Blank {
    /// Ties answers to this life's question.
    nonce: u64,
    since: Millis,
    /// Term and position of each voter that answered, as it was at its first answer.
    answers: BTreeMap<Address, (u64, Position)>,
    /// The accepted block of the farthest position that was told of.
    farthest: Option<Accepted>,
    ask_at: Millis,
}

/// What is left to do before a voter without memory may vote.
pub(super) enum Missing {
    /// The only voter there is waits a little, lest peers know a longer chain than it does.
    Peers {
        until: Millis,
        /// A head that a peer announces, if it is above ours.
        claimed: Option<BlockNumber>,
    },
    /// These have not answered.
    Answers(Vec<Address>),
    /// Blocks up to this height.
    Blocks(BlockNumber),
    /// The block that these have accepted.
    Block(Vec<Address>),
    /// That block is not executed yet.
    Execution,
    Nothing,
}

impl Blank {
    fn target(&self) -> Position {
        self.answers.values().map(|(_, position)| *position).max().unwrap_or_default()
    }

    /// The accepted block of the farthest position.
    fn taken_over(&self) -> Option<&Accepted> {
        let target = self.target();
        self.farthest.as_ref().filter(|accepted| {
            // Its holder may have proposed it again in a later term since it named its position.
            accepted.block.header.number == target.height && accepted.term >= target.term
        })
    }

    /// Voters after the block of the farthest position that may not vote before: the one that it
    /// adds, and those whom a transition names. That block may be committed, and they decide the
    /// next one with those who know.
    fn added(&self, spec: &ChainSpec) -> Vec<Address> {
        let Some(Accepted { block, .. }) = self.taken_over() else { return Vec::new() };
        let next = block.header.number.saturating_add(1);
        let named = spec.validators_named_for(next).unwrap_or_default();
        let change = RaftExtra::decode(&block.header.extra_data).ok();
        let change = change.and_then(|extra| extra.term?.change);
        let added = match change {
            Some((MemberChange::AddVoter | MemberChange::Promote, member)) => Some(member),
            Some((MemberChange::AddLearner | MemberChange::Remove, _)) | None => None,
        };
        named.iter().copied().chain(added).collect()
    }
}

/// Whether a node accepted a block that does not lie on its head. Its chain was lost, or replaced by
/// an older one, and its log was not: it cannot keep that block until it has the ones below, and must
/// not vote as if it had none.
fn is_ahead(durable: &Durable, position: &ChainPosition) -> bool {
    let head = &position.head;
    let next = head.number.saturating_add(1);
    durable.accepted.as_ref().is_some_and(|accepted| {
        let header = &accepted.block.header;
        header.number > next || header.number == next && header.parent_hash != head.hash()
    })
}

impl Raft {
    pub(super) fn recover(
        &mut self,
        position: ChainPosition,
        records: Vec<crate::Record>,
        now: Now,
        out: &mut Step,
    ) {
        let newest = records.into_iter().rev().find_map(|record| match record {
            crate::Record::Raft(record) => Some(record.0),
            _ => None,
        });
        let forgot = newest.as_ref().is_none_or(|durable| is_ahead(durable, &position));
        self.blank = forgot.then(|| Blank {
            nonce: self.random.next(),
            since: now.elapsed,
            answers: BTreeMap::new(),
            farthest: None,
            ask_at: now.elapsed,
        });
        self.durable = newest.unwrap_or_default();
        self.enter(position, now);
        self.follow(None, now);
        if let Some(cluster) = &self.cluster {
            let (next, parent) = (cluster.next(), cluster.head().hash());
            let term = cluster.head_term;
            self.durable.accepted.take_if(|accepted| {
                let header = &accepted.block.header;
                header.number != next || header.parent_hash != parent
            });
            if term > self.durable.term {
                self.enter_term(term, now, out);
            }
        }
    }

    /// `None`: nothing keeps us from voting, or we have no vote.
    pub(super) fn missing(&self) -> Option<Missing> {
        let (Some(blank), Some(own), Some(cluster)) = (&self.blank, self.voter(), &self.cluster)
        else {
            return None;
        };
        let added = blank.added(&self.spec).into_iter();
        let added = added.filter(|added| *added != own && !cluster.is_voter(*added));
        let asked: Vec<Address> = self.other_voters().into_iter().chain(added).collect();
        if asked.is_empty() {
            let until = blank.since.saturating_add(self.settings.timing.election_most);
            let claim = self.peers.best_claim();
            let claimed = (claim > cluster.head().number).then_some(claim);
            return Some(Missing::Peers { until, claimed });
        }
        let silent = asked.into_iter().filter(|voter| !blank.answers.contains_key(voter));
        let silent: Vec<Address> = silent.collect();
        if !silent.is_empty() {
            return Some(Missing::Answers(silent));
        }
        let (own, target) = (self.own_position(), blank.target());
        if own >= target {
            return Some(Missing::Nothing);
        }
        if target.height > own.height {
            return Some(Missing::Blocks(target.height.saturating_sub(1)));
        }
        if blank.taken_over().is_some() {
            return Some(Missing::Execution);
        }
        let holders = blank.answers.iter().filter(|(_, (_, position))| *position == target);
        Some(Missing::Block(holders.map(|(voter, _)| *voter).collect()))
    }

    /// Whether a node that is no member as far as we know may answer our question.
    pub(super) fn asks(&self, author: Address) -> bool {
        let added = |blank: &Blank| blank.added(&self.spec).contains(&author);
        self.is_blank_voter() && self.blank.as_ref().is_some_and(added)
    }

    /// When the next question is due, or the wait of an only voter is over.
    pub(super) fn blank_due(&self) -> Option<Millis> {
        let blank = self.blank.as_ref()?;
        match self.missing()? {
            Missing::Peers { until, claimed: None } => Some(until),
            Missing::Answers(_) | Missing::Block(_) | Missing::Execution => Some(blank.ask_at),
            Missing::Peers { .. } | Missing::Blocks(_) | Missing::Nothing => None,
        }
    }

    /// Asks those that have not answered, and begins to vote when nothing is missing.
    pub(super) fn ask_to_recover(&mut self, now: Now, out: &mut Step) {
        let Some(missing) = self.missing() else { return };
        if let Missing::Peers { until, claimed: None } = missing
            && now.elapsed >= until
        {
            self.begin_to_vote(now, out);
            return;
        }
        let Some(blank) = &mut self.blank else { return };
        if now.elapsed < blank.ask_at {
            return;
        }
        blank.ask_at = now.elapsed.saturating_add(QUESTION_MS);
        if let Missing::Answers(voters) | Missing::Block(voters) = missing {
            for voter in voters {
                self.ask(voter, out);
            }
        }
        self.continue_recovery(now, out);
    }

    fn ask(&self, voter: Address, out: &mut Step) {
        let (Some(blank), Some(cluster)) = (&self.blank, &self.cluster) else { return };
        let (nonce, head) = (blank.nonce, cluster.head().number);
        self.send(voter, Body::Recover { nonce, head }, out);
    }

    /// Asks a voter that just connected, if something of it is missing.
    pub(super) fn ask_one_to_recover(&self, voter: Address, out: &mut Step) {
        if let Some(Missing::Answers(voters) | Missing::Block(voters)) = self.missing()
            && voters.contains(&voter)
        {
            self.ask(voter, out);
        }
    }

    /// Everybody answers, also who asks itself: that is how a new network begins. The accepted block
    /// goes along if the asker can execute it.
    pub(super) fn on_recover(
        &self,
        author: Address,
        nonce: u64,
        head: BlockNumber,
        out: &mut Step,
    ) {
        let accepted = self.durable.accepted.as_ref().map(|accepted| &accepted.block);
        let block = accepted.filter(|block| block.header.number == head.saturating_add(1));
        let (position, block) = (self.own_position(), block.cloned());
        self.send(author, Body::Recovered { nonce, position, block }, out);
    }

    pub(super) fn is_answer_to_us(&self, nonce: u64) -> bool {
        self.blank.as_ref().is_some_and(|blank| blank.nonce == nonce)
    }

    /// An answer to our question, of `(author, term)`.
    pub(super) fn on_recovered(
        &mut self,
        (author, term): (Address, u64),
        position: Position,
        block: Option<&RecoveredBlock>,
        now: Now,
        out: &mut Step,
    ) {
        let Some(blank) = &mut self.blank else { return };
        if blank.answers.len() < ANSWERS_MAX {
            blank.answers.entry(author).or_insert((term, position));
        }
        let known = blank.farthest.as_ref();
        let known = known.map(|known| (known.block.header.number, known.term));
        if let Some(block) = block
            && known < Some((block.header.number, position.term))
        {
            blank.farthest = Some(Accepted { term: position.term, block: block.clone() });
        }
        self.continue_recovery(now, out);
    }

    /// Takes the block of the farthest position over, and votes again once everybody has answered
    /// and we are as far as the farthest of them.
    pub(super) fn continue_recovery(&mut self, now: Now, out: &mut Step) {
        match self.missing() {
            Some(Missing::Nothing) => self.begin_to_vote(now, out),
            Some(Missing::Execution) if self.executing.is_none() => {
                let taken_over = self.blank.as_ref().and_then(Blank::taken_over).cloned();
                let Some(Accepted { term, block }) = taken_over else { return };
                self.take_block(Executing { block, term, leader: None, retry_at: None }, now, out);
            }
            _ => {}
        }
    }

    fn begin_to_vote(&mut self, now: Now, out: &mut Step) {
        let Some(blank) = self.blank.take() else { return };
        let heard = blank.answers.values().map(|(term, _)| *term).max().unwrap_or(0);
        let accepted = self.durable.accepted.as_ref().map_or(0, |accepted| accepted.term);
        self.durable.term = self.durable.term.max(heard).max(accepted);
        // Whatever vote we had in that term is used up.
        self.durable.voted_for = self.own_address();
        self.persist(out);
        self.follow(None, now);
        tracing::info!(term = self.durable.term, "all voters were heard: this node votes");
    }
}
