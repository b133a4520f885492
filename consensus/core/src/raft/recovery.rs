//! Begins where a crash left off. A voter without any record of its votes (a first start, a lost
//! disk) may have voted and accepted, and forgotten: it asks **all** other voters how far they are
//! before it votes or accepts again (docs/decisions/0005).

use super::{
    Raft,
    state::{Accepted, Durable, Executing, Position},
    wire::Body,
};
use crate::engine::{Action, ChainPosition, Millis, Now, Step};
use alloy_primitives::Address;
use entente_chain::{BlockNumber, RecoveredBlock};
use std::collections::BTreeMap;

/// Pause between two questions to those that have not answered.
const QUESTION_MS: Millis = 250;

/// What a voter without memory has heard so far.
#[derive(Debug)]
pub(super) struct Blank {
    /// Ties answers to this life's question.
    nonce: u64,
    /// Highest term and farthest position of each voter that answered.
    answers: BTreeMap<Address, (u64, Position)>,
    /// The farthest accepted block that was told of.
    farthest: Option<Accepted>,
    ask_at: Millis,
}

impl Blank {
    pub(super) const fn nonce(&self) -> u64 {
        self.nonce
    }

    pub(super) const fn next_question(&self) -> Option<Millis> {
        Some(self.ask_at)
    }

    pub(super) fn has_answer_of(&self, voter: Address) -> bool {
        self.answers.contains_key(&voter)
    }
}

impl Raft {
    pub(super) fn recover(
        &mut self,
        position: ChainPosition,
        records: Vec<crate::Record>,
        now: Now,
    ) {
        let next = position.head.number.saturating_add(1);
        let parent = position.head.hash();
        let newest = records.into_iter().rev().find_map(|record| match record {
            crate::Record::Raft(record) => Some(record.0),
            _ => None,
        });
        self.blank = newest.is_none().then(|| Blank {
            nonce: self.random.next(),
            answers: BTreeMap::new(),
            farthest: None,
            ask_at: now.elapsed,
        });
        self.durable = newest.unwrap_or_default();
        self.durable.accepted.take_if(|accepted| {
            let header = &accepted.block.header;
            header.number != next || header.parent_hash != parent
        });
        self.set_chain(position, now);
        self.follow(None, now);
    }

    /// Asks those that have not answered.
    pub(super) fn ask_to_recover(&mut self, now: Now, out: &mut Step) {
        if self.voter().is_none() {
            // Nobody counts on our votes; block sync is all we need.
            if let Some(blank) = &mut self.blank {
                blank.ask_at = now.elapsed.saturating_add(QUESTION_MS);
            }
            return;
        }
        let Some(blank) = &mut self.blank else { return };
        if now.elapsed < blank.ask_at {
            return;
        }
        blank.ask_at = now.elapsed.saturating_add(QUESTION_MS);
        let nonce = blank.nonce;
        let known: Vec<Address> = blank.answers.keys().copied().collect();
        for voter in self.other_voters() {
            if !known.contains(&voter) {
                self.send(voter, Body::Recover { nonce }, out);
            }
        }
        self.continue_recovery(now, out);
    }

    /// Everybody answers, also who asks itself: that is how a new network begins.
    pub(super) fn on_recover(&self, author: Address, nonce: u64, out: &mut Step) {
        let head = self.chain.as_ref().map_or(0, |chain| chain.position.head.number);
        let accepted = self.durable.accepted.as_ref();
        let accepted = accepted.map(|accepted| (accepted.term, accepted.block.clone()));
        self.send(author, Body::Recovered { nonce, head, accepted }, out);
    }

    pub(super) fn is_answer_to_us(&self, nonce: u64) -> bool {
        self.blank.as_ref().is_some_and(|blank| blank.nonce == nonce)
    }

    /// An answer to our question, of `(author, term)`.
    pub(super) fn on_recovered(
        &mut self,
        (author, term): (Address, u64),
        head: BlockNumber,
        accepted: Option<&(u64, RecoveredBlock)>,
        now: Now,
        out: &mut Step,
    ) {
        let Some(blank) = &mut self.blank else { return };
        let answer = accepted.map(|(term, block)| Accepted { term: *term, block: block.clone() });
        let told = Durable { term, voted_for: None, accepted: answer };
        let position = told.position(head);
        blank.answers.insert(author, (term, position));
        if let Some(answer) = told.accepted {
            let farther = blank.farthest.as_ref().is_none_or(|known| {
                (known.block.header.number, known.term) < (answer.block.header.number, answer.term)
            });
            if farther {
                blank.farthest = Some(answer);
            }
        }
        self.continue_recovery(now, out);
    }

    /// Votes again once everybody has answered and we are as far as the farthest of them.
    pub(super) fn continue_recovery(&mut self, now: Now, out: &mut Step) {
        if self.voter().is_none() {
            return;
        }
        let others = self.other_voters();
        let own = self.own_position();
        let Some(chain) = &self.chain else { return };
        let head = &chain.position.head;
        let Some(blank) = &self.blank else { return };
        if !others.iter().all(|voter| blank.has_answer_of(*voter)) {
            return;
        }
        let answers = blank.answers.values();
        let term = answers.clone().map(|(term, _)| *term).max().unwrap_or(0);
        let farthest = answers.map(|(_, position)| *position).max().unwrap_or_default();
        // A committed block is as good as the same height accepted in any term.
        if head.number >= farthest.height || own >= farthest {
            self.blank = None;
            self.durable.term = term.max(self.durable.term);
            // Whatever vote we had in that term is used up.
            self.durable.voted_for = self.own_address();
            self.persist(out);
            self.follow(None, now);
            return;
        }
        let Some(block) = blank.farthest.clone() else { return };
        let follows = block.block.header.parent_hash == head.hash();
        let idle = self.executing.is_none();
        if follows
            && idle
            && (block.block.header.number, block.term) == (farthest.height, farthest.term)
        {
            let Accepted { term, block } = block;
            out.then(Action::Execute(block.clone()));
            self.executing = Some(Executing { block, term, leader: None, retry_at: None });
        }
    }
}
