//! What the specification demands: which of its `Upon..` predicates must not be left undone, given
//! the messages of validators that did not contradict themselves.

use super::{
    predicates::{Address, QbftMessage},
    state::{Difference, NodeState},
};
use std::collections::BTreeMap;

/// Checks that nothing is left undone; `building`: a block was asked for and has not come.
pub(super) fn nothing_left(state: &NodeState, building: bool) -> Result<(), Difference> {
    if state.decided {
        return Ok(());
    }
    let quorum = state.spec.quorum();
    if let Some(block) = state.accepted.filter(|block| block.is_valid) {
        let prepared = state.preparers(state.round, block.digest);
        if !prepared.contains(&state.own) {
            return Err(format!("did not prepare {block:?}"));
        }
        let counted = prepared.iter().filter(|author| prepared_one(state, **author)).count();
        if counted >= quorum && !state.has_committed(state.round) {
            return Err(format!("did not commit to {block:?}"));
        }
        let committed = state.committers(&block);
        let counted = committed.iter().filter(|author| committed_one(state, **author)).count();
        if counted >= quorum {
            return Err(format!("did not decide {block:?}"));
        }
    }
    let rounds = rounds(state);
    let ahead = rounds.values().filter(|round| **round > state.round).count();
    if ahead > state.spec.f() {
        return Err(format!("in round {} did not follow {rounds:?}", state.round));
    }
    let here = rounds.values().filter(|round| **round == state.round).count();
    let ours = state.spec.proposer(state.round) == state.own && state.round > 0;
    if ours && here >= quorum && state.accepted.is_none() && !building {
        return Err(format!("did not propose in round {}", state.round));
    }
    Ok(())
}

/// Whether a validator prepared one block only in the current round.
fn prepared_one(state: &NodeState, author: Address) -> bool {
    let said = state.received.iter().filter(|message| {
        let QbftMessage::Prepare(prepare) = message else { return false };
        (prepare.author, prepare.height, prepare.round) == (author, state.spec.height, state.round)
    });
    said.count() == 1
}

/// Whether a validator committed once only in the current round.
fn committed_one(state: &NodeState, author: Address) -> bool {
    let said = state.received.iter().filter(|message| {
        let QbftMessage::Commit(commit) = message else { return false };
        (commit.author, commit.height, commit.round) == (author, state.spec.height, state.round)
    });
    said.count() == 1
}

/// The highest round that each validator asked for, as it should.
fn rounds(state: &NodeState) -> BTreeMap<Address, u64> {
    let mut rounds = BTreeMap::new();
    for message in &state.received {
        if let Some((author, round)) = round_asked_for(state, message) {
            let highest: &mut u64 = rounds.entry(author).or_default();
            *highest = round.max(*highest);
        }
    }
    rounds
}

/// The round that a message asks for, when it carries what it names.
pub(super) fn round_asked_for(state: &NodeState, message: &QbftMessage) -> Option<(Address, u64)> {
    let QbftMessage::RoundChange { payload, block, prepares } = message else { return None };
    let carried = match (payload.prepared, block) {
        (None, None) => prepares.is_empty(),
        (Some((prepared, digest)), Some(block)) => {
            block.digest == digest && state.spec.certifies(prepares, prepared, digest)
        }
        _ => false,
    };
    let is_valid = state.spec.valid_round_change(*payload, payload.round);
    (carried && is_valid && payload.round > 0).then_some((payload.author, payload.round))
}
