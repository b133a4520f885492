//! One test for each rule of elections.

use crate::raft_bench::{Bench, answer, build_request, said};
use alloy_primitives::B256;
use entente_chain::{RecoveredBlock, transition::Transition};
use entente_consensus::{
    Action, Input, Operation,
    raft::{Body, Position},
};

pub(crate) const fn ask(proposed: u64, height: u64, term: u64) -> Body {
    let position = Position { height, term };
    Body::AskVote { position, proposed, transfer: false, trial: false }
}

pub(crate) fn trial(asked: &Body) -> Body {
    let Body::AskVote { position, proposed, transfer, .. } = asked.clone() else {
        panic!("a question for a vote")
    };
    Body::AskVote { position, proposed, transfer, trial: true }
}

/// Whether the engine gave its vote; `None`: it did not answer.
pub(crate) fn granted(actions: &[Action]) -> Option<bool> {
    said(actions).into_iter().find_map(|(_, body)| match body {
        Body::Vote { granted, .. } => Some(granted),
        _ => None,
    })
}

/// Questions for votes: `(term, proposed, trial)`.
pub(crate) fn sought(actions: &[Action]) -> Vec<(u64, u64, bool)> {
    let question = |(term, body)| match body {
        Body::AskVote { proposed, trial, .. } => Some((term, proposed, trial)),
        _ => None,
    };
    said(actions).into_iter().filter_map(question).collect()
}

/// A follower in term 1 that accepted a block at height 1.
pub(crate) fn accepted(bench: &mut Bench) -> RecoveredBlock {
    let block = bench.block(1, 1, 1);
    bench.say(1, 1, bench.append(Some(block.clone())));
    bench.executed(&block);
    bench.now += 10_000;
    block
}

/// The block that a leader of three proposes.
pub(crate) fn lead_one(bench: &mut Bench) -> RecoveredBlock {
    let done = bench.transactions_wait();
    let sent = said(&bench.built(&done.actions, 1, true).actions);
    let Some((_, Body::Append { block: Some(block), .. })) = sent.first() else { panic!("sent") };
    block.clone()
}

#[test]
fn a_vote_is_durable_and_given_once_a_term() {
    let mut bench = Bench::new(3, 3);
    let done = bench.say(1, 1, ask(1, 1, 0));
    assert!(done.persisted, "S6: durable before it is said");
    assert_eq!(granted(&done.actions), Some(true));
    assert_eq!(granted(&bench.say(2, 1, ask(1, 1, 0)).actions), Some(false));
    assert_eq!(granted(&bench.say(1, 1, ask(1, 1, 0)).actions), Some(true), "asked again");
    bench.restart();
    assert_eq!(granted(&bench.say(2, 1, ask(1, 1, 0)).actions), Some(false));
    assert_eq!(granted(&bench.say(1, 1, ask(1, 1, 0)).actions), Some(true));
    assert_eq!(granted(&bench.say(2, 2, ask(2, 1, 0)).actions), Some(true), "another term");
}

/// R3. Compared by height first: see `a_block_of_a_lost_leader_never_replaces_a_committed_one`.
#[test]
fn no_vote_goes_to_a_position_behind_ours() {
    for (height, term, expected) in [(1, 0, false), (1, 1, true), (1, 2, true), (2, 0, true)] {
        let mut bench = Bench::new(3, 3);
        accepted(&mut bench);
        let asked = ask(5, height, term);
        assert_eq!(granted(&bench.say(2, 1, trial(&asked)).actions), Some(expected));
        assert_eq!(granted(&bench.say(2, 5, asked).actions), Some(expected), "{height} {term}");
    }
    for (term, expected) in [(1, false), (9, false)] {
        let mut bench = Bench::new(3, 3);
        let block = accepted(&mut bench);
        bench.committed(&block);
        let asked = ask(10, 1, term);
        assert_eq!(granted(&bench.say(2, 9, asked).actions), Some(expected), "it is committed");
    }
}

/// Ongaro 4.2.3: a member that hears the leader votes for nobody else, and keeps its term.
#[test]
fn nobody_votes_while_a_leader_is_heard() {
    let mut bench = Bench::new(3, 3);
    bench.say(1, 1, bench.append(None));
    bench.now += 400;
    let asked = ask(9, 9, 9);
    assert_eq!(granted(&bench.say(2, 1, trial(&asked)).actions), Some(false));
    assert_eq!(granted(&bench.say(2, 9, asked.clone()).actions), Some(false));
    assert_eq!(bench.term(), 1);
    let Body::AskVote { position, proposed, trial, .. } = asked else { panic!("a question") };
    let transfer = Body::AskVote { position, proposed, transfer: true, trial };
    assert_eq!(granted(&bench.say(2, 9, transfer).actions), Some(true), "the leader wants it");
}

/// Ongaro 9.6: a trial changes nothing.
#[test]
fn a_trial_binds_nobody() {
    let mut bench = Bench::new(3, 3);
    let done = bench.say(1, 0, trial(&ask(7, 1, 0)));
    assert_eq!(granted(&done.actions), Some(true));
    assert!(!done.persisted);
    assert_eq!(bench.term(), 0);
    assert_eq!(granted(&bench.say(2, 0, trial(&ask(7, 1, 0))).actions), Some(true));
}

#[test]
fn a_node_that_was_cut_off_comes_back_in_its_old_term() {
    let mut bench = Bench::new(3, 3);
    bench.say(1, 3, bench.append(None));
    let asked = sought(&bench.sleep_for(20_000));
    assert!(asked.len() > 10 && asked.iter().all(|asked| *asked == (3, 4, true)), "{asked:?}");
}

#[test]
fn a_majority_of_trials_and_then_of_votes_makes_a_leader() {
    let mut bench = Bench::new(5, 5);
    assert_eq!(sought(&bench.sleep().actions), vec![(0, 1, true); 4]);
    let vote = |trial| Body::Vote { proposed: 1, granted: true, trial };
    assert!(sought(&bench.say(1, 0, vote(true)).actions).is_empty());
    assert!(sought(&bench.say(1, 0, vote(true)).actions).is_empty(), "the same voter again");
    let done = bench.say(2, 0, vote(true));
    assert!(done.persisted, "S6: our own vote is durable before it is sought");
    assert_eq!(sought(&done.actions), vec![(1, 1, false); 4]);
    bench.say(1, 1, vote(false));
    bench.say(3, 1, Body::Vote { proposed: 1, granted: false, trial: false });
    bench.say(3, 1, vote(true));
    assert_eq!(bench.role(), "candidate", "two votes, and one for another question");
    bench.say(4, 1, vote(false));
    assert_eq!(bench.role(), "leader");
}

/// Those who gave their votes knew the candidate at another height, where others may count.
#[test]
fn a_candidate_begins_again_when_the_chain_moves() {
    let mut bench = Bench::new(3, 3);
    bench.sleep();
    bench.say(1, 0, Body::Vote { proposed: 1, granted: true, trial: true });
    assert_eq!(bench.role(), "candidate");
    let block = bench.block(1, 1, 1);
    bench.committed(&block);
    bench.say(1, 1, Body::Vote { proposed: 1, granted: true, trial: false });
    assert_eq!(bench.role(), "voter");
}

/// 6.2: a leader that a majority does not answer steps down within an election timeout.
#[test]
fn a_leader_that_nobody_answers_steps_down() {
    let mut bench = Bench::leading(3, 3);
    bench.now += 900;
    bench.sleep();
    assert_eq!(bench.role(), "leader");
    bench.say(1, 1, answer(0, B256::ZERO));
    bench.sleep_for(900);
    assert_eq!(bench.role(), "leader", "one of two others answered");
    bench.sleep_for(200);
    assert_ne!(bench.role(), "leader");
}

#[test]
fn a_later_term_makes_a_leader_follow() {
    let mut bench = Bench::leading(3, 3);
    bench.say(1, 4, answer(0, B256::ZERO));
    assert_eq!((bench.role(), bench.term()), ("voter", 4));
}

/// What a leader did not decide itself is tied to nothing: somebody else leads.
#[test]
fn a_leader_that_the_chain_overtook_steps_down() {
    let mut bench = Bench::leading(3, 3);
    let block = bench.block(1, 1, 1);
    bench.committed(&block);
    assert_eq!(bench.role(), "voter");
}

/// A transition names other voters: their majorities share nobody with ours.
#[test]
fn leadership_ends_where_majorities_are_not_shared() {
    let keys = Bench::blank(5, 3).keys;
    let named = [0, 3, 4].map(|index: usize| keys[index].address());
    let validators = Some(named.to_vec());
    let transition = Transition { block: 2, validators, ..Transition::default() };
    let mut bench = Bench::on(5, 3, vec![transition]);
    for voter in [1, 2] {
        let nonce = bench.nonce();
        let position = Position { height: 1, term: 0 };
        bench.say(voter, 0, Body::Recovered { nonce, position, block: None });
    }
    bench.sleep();
    bench.say(1, 0, Body::Vote { proposed: 1, granted: true, trial: true });
    bench.say(1, 1, Body::Vote { proposed: 1, granted: true, trial: false });
    let done = bench.transactions_wait();
    let sent = said(&bench.built(&done.actions, 1, true).actions);
    let Some((_, Body::Append { block: Some(block), .. })) = sent.first() else { panic!("sent") };
    bench.say(1, 1, answer(0, block.hash()));
    bench.committed(block);
    assert_eq!(bench.role(), "voter", "it decided the block, and has to be elected again");
}

#[test]
fn leadership_is_handed_over_when_the_other_has_all() {
    let mut bench = Bench::leading(3, 3);
    let to = bench.address(2);
    let waits = bench.step(Input::Operator(Operation::TransferLeadership { to }));
    assert!(said(&waits.actions).iter().any(|(_, body)| *body == Body::TimeoutNow));
    let done = bench.transactions_wait();
    assert!(build_request(&done.actions).is_none(), "nothing is built meanwhile");
    assert!(build_request(&bench.sleep_for(900)).is_none());
    bench.say(1, 1, answer(0, B256::ZERO));
    assert!(build_request(&bench.sleep_for(300)).is_some(), "it was not taken over in time");
}

#[test]
fn a_voter_takes_over_at_once_when_its_leader_says_so() {
    let mut bench = Bench::new(3, 3);
    bench.say(1, 1, bench.append(None));
    assert!(sought(&bench.say(2, 1, Body::TimeoutNow).actions).is_empty(), "not its leader");
    let done = bench.say(1, 1, Body::TimeoutNow);
    assert_eq!(sought(&done.actions), vec![(2, 2, false); 2]);
    let Some((_, Body::AskVote { transfer, .. })) = said(&done.actions).first().cloned() else {
        panic!("a question")
    };
    assert!(transfer);
}
