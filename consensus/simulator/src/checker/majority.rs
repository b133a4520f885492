//! R3, R5: under Raft a block becomes canonical only after the consensus logs of a majority of
//! voters held it, accepted in one term, and no later leader comes with another one. A leader's own
//! word counts for nothing: it is out before its disk has it.

use super::{Finding, finding};
use alloy_primitives::{Address, B256};
use entente_chain::BlockNumber;
use entente_consensus::raft::{self, Body};
use std::collections::{BTreeMap, BTreeSet};

/// Whose log held which block, accepted in which term.
#[derive(Debug, Default)]
pub(super) struct Majorities {
    accepted: BTreeMap<(B256, u64), BTreeSet<Address>>,
    /// The term in which a majority had accepted each height's block.
    terms: BTreeMap<BlockNumber, u64>,
}

impl Majorities {
    /// A record of a node is durable that holds a block, accepted in a term.
    pub(super) fn persisted(&mut self, who: Address, (term, hash): (u64, B256)) {
        self.accepted.entry((hash, term)).or_default().insert(who);
    }

    /// A member said something; `decided`: the block of a height, where one is; `votes`: whether it
    /// votes there. A learner writes nothing down, and is not counted.
    pub(super) fn said(
        &self,
        message: &raft::Message,
        votes: impl Fn(BlockNumber) -> bool,
        decided: impl Fn(BlockNumber) -> Option<B256>,
    ) -> Result<(), Finding> {
        let (author, term) = (message.author, message.term);
        match &message.body {
            Body::Appended { head, accepted, .. }
                if !accepted.is_zero() && votes(head.saturating_add(1)) =>
            {
                let holders = self.accepted.get(&(*accepted, term));
                if !holders.is_some_and(|holders| holders.contains(&author)) {
                    let what = format!("{author} says it accepted {accepted}, its disk has it not");
                    return finding("R5", what);
                }
            }
            Body::Append { block: Some(block), .. } => {
                let (number, hash) = (block.header.number, block.hash());
                // A leader that was cut off does not know of later terms: its block leads nowhere.
                let late = self.terms.get(&number).is_some_and(|decided| term > *decided);
                if late && decided(number).is_some_and(|decided| decided != hash) {
                    let what =
                        format!("{author} proposes another block at decided height {number}");
                    return finding("R3", what);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A block became canonical for the first time.
    pub(super) fn decided(
        &mut self,
        number: BlockNumber,
        hash: B256,
        voters: &BTreeSet<Address>,
    ) -> Result<(), Finding> {
        let majority = voters.len() / 2 + 1;
        let terms = self.accepted.range((hash, 0)..=(hash, u64::MAX));
        let counts = terms.map(|((_, term), who)| (who.intersection(voters).count(), *term));
        let (most, term) = counts.max().unwrap_or((0, 0));
        if most >= majority {
            self.terms.entry(number).or_insert(term);
            return Ok(());
        }
        let what = format!("block {number} is canonical in {most} of {} logs", voters.len());
        finding("R5", what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entente_chain::EnvironmentId;

    const BLOCK: B256 = B256::repeat_byte(7);

    #[test]
    fn accepting_in_two_terms_makes_no_majority() {
        let voters: BTreeSet<_> = (1..=3).map(Address::repeat_byte).collect();
        let mut majorities = Majorities::default();
        let mut holds = |author, term| {
            majorities.persisted(Address::repeat_byte(author), (term, BLOCK));
            majorities.decided(1, BLOCK, &voters).is_ok()
        };
        assert!(!holds(1, 4));
        assert!(!holds(2, 5));
        assert!(!holds(2, 5), "once each");
        assert!(holds(3, 5));
    }

    #[test]
    fn a_voter_that_says_it_accepted_has_it_on_its_disk() {
        let mut majorities = Majorities::default();
        let author = Address::repeat_byte(1);
        let body = Body::Appended { head: 0, accepted: BLOCK, refused: B256::ZERO };
        let environment = EnvironmentId(B256::ZERO);
        let message = raft::Message { environment, author, term: 4, body };
        assert!(majorities.said(&message, |_| true, |_| None).is_err());
        assert!(majorities.said(&message, |_| false, |_| None).is_ok(), "a learner");
        majorities.persisted(author, (4, BLOCK));
        assert!(majorities.said(&message, |_| true, |_| None).is_ok());
        let later = raft::Message { term: 5, ..message };
        assert!(
            majorities.said(&later, |_| true, |_| None).is_err(),
            "another term, another acceptance"
        );
    }
}
