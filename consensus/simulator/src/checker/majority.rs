//! R3, R5: under Raft a block becomes canonical only after a majority of voters said that they
//! accepted it in one term, and no later leader comes with another one.

use super::{Finding, finding};
use alloy_primitives::{Address, B256};
use entente_chain::BlockNumber;
use entente_consensus::raft::{self, Body};
use std::collections::{BTreeMap, BTreeSet};

/// Who said to have accepted which block in which term.
#[derive(Debug, Default)]
pub(super) struct Majorities {
    accepted: BTreeMap<(B256, u64), BTreeSet<Address>>,
    /// The term in which a majority had accepted each height's block.
    terms: BTreeMap<BlockNumber, u64>,
}

impl Majorities {
    /// A member said something; `decided`: the block of a height, where one is.
    pub(super) fn said(
        &mut self,
        message: &raft::Message,
        decided: impl Fn(BlockNumber) -> Option<B256>,
    ) -> Result<(), Finding> {
        let (author, term) = (message.author, message.term);
        match &message.body {
            Body::Appended { accepted, .. } if !accepted.is_zero() => {
                self.accepted.entry((*accepted, term)).or_default().insert(author);
            }
            // A leader accepts what it proposes before it says so.
            Body::Append { block: Some(block), .. } => {
                let (number, hash) = (block.header.number, block.hash());
                // A leader that was cut off does not know of later terms: its block leads nowhere.
                let late = self.terms.get(&number).is_some_and(|decided| term > *decided);
                if late && decided(number).is_some_and(|decided| decided != hash) {
                    let what =
                        format!("{author} proposes another block at decided height {number}");
                    return finding("R3", what);
                }
                self.accepted.entry((hash, term)).or_default().insert(author);
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
        // A single voter tells nobody.
        let majority = voters.len() / 2 + 1;
        let terms = self.accepted.range((hash, 0)..=(hash, u64::MAX));
        let counts = terms.map(|((_, term), who)| (who.intersection(voters).count(), *term));
        let (most, term) = counts.max().unwrap_or((0, 0));
        if most >= majority || voters.len() == 1 {
            self.terms.entry(number).or_insert(term);
            return Ok(());
        }
        let what = format!("block {number} is canonical with {most} of {} voters", voters.len());
        finding("R5", what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entente_chain::EnvironmentId;

    #[test]
    fn accepting_in_two_terms_makes_no_majority() {
        let voters: BTreeSet<_> = (1..=3).map(Address::repeat_byte).collect();
        let block = B256::repeat_byte(7);
        let mut majorities = Majorities::default();
        let mut say = |author, term| {
            let message = raft::Message {
                environment: EnvironmentId(B256::ZERO),
                author: Address::repeat_byte(author),
                term,
                body: Body::Appended { head: 0, accepted: block, refused: B256::ZERO },
            };
            assert!(majorities.said(&message, |_| None).is_ok());
            majorities.decided(1, block, &voters).is_ok()
        };
        assert!(!say(1, 4));
        assert!(!say(2, 5));
        assert!(!say(2, 5), "once each");
        assert!(say(3, 5));
    }
}
