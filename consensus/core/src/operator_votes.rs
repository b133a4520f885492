//! The operator's votes for and against validators, cast one at a time in blocks of this node.

use crate::engine::Operation;
use alloy_primitives::Address;
use entente_chain::{ValidatorSet, extra_data::qbft::Vote};
use std::collections::BTreeMap;

/// Open votes of an operator: more than this is a mistake.
const VOTES_MAX: usize = 256;

/// Candidates and what the operator wants of them. In memory only: a restart withdraws them.
#[derive(Default)]
pub(crate) struct OperatorVotes {
    wanted: BTreeMap<Address, bool>,
}

impl OperatorVotes {
    pub(crate) fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::ProposeValidator { candidate, add } => {
                if self.wanted.len() < VOTES_MAX || self.wanted.contains_key(&candidate) {
                    self.wanted.insert(candidate, add);
                }
            }
            Operation::DiscardProposal { candidate } => {
                self.wanted.remove(&candidate);
            }
            Operation::ChangeMember { .. } | Operation::TransferLeadership { .. } => {}
        }
    }

    /// The vote for the next block: of those that would change something, each in its turn.
    pub(crate) fn next(&self, validators: &ValidatorSet, turn: u64) -> Option<Vote> {
        let applicable: Vec<_> =
            self.wanted.iter().filter(|(who, add)| validators.contains(**who) != **add).collect();
        let turn = turn.checked_rem(applicable.len() as u64)?;
        let (recipient, add) = applicable.get(usize::try_from(turn).ok()?)?;
        Some(Vote { recipient: **recipient, add: **add })
    }

    pub(crate) fn list(&self) -> Vec<(Address, bool)> {
        self.wanted.iter().map(|(candidate, add)| (*candidate, *add)).collect()
    }
}
