//! One test for each rule of voters without memory.

use crate::{
    raft_bench::{Bench, answer, executes, said},
    raft_elections::{accepted, ask, granted, lead_one, sought, trial},
};
use alloy_primitives::B256;
use entente_chain::{RecoveredBlock, transition::Transition};
use entente_consensus::{
    Input,
    engine::MemberChange,
    raft::{Body, Position},
};

/// It may have voted and accepted, and forgotten.
#[test]
fn a_voter_without_memory_promises_nothing_until_all_others_answered() {
    let mut bench = Bench::blank(3, 3);
    let nonce = bench.nonce();
    assert!(sought(&bench.sleep_for(5_000)).is_empty(), "it does not campaign");
    let done = bench.say(1, 1, bench.append(Some(bench.block(1, 1, 1))));
    assert!(done.actions.is_empty() && !done.persisted, "it accepts nothing");
    assert_eq!(granted(&bench.say(1, 7, ask(7, 1, 0)).actions), None);
    assert_eq!(granted(&bench.say(1, 0, trial(&ask(7, 1, 0))).actions), None);
    let recovered = |nonce, term| {
        let position = Position { height: 1, term };
        Body::Recovered { nonce, position, block: None }
    };
    bench.say(1, 4, recovered(nonce, 0));
    bench.say(2, 4, recovered(nonce.wrapping_add(1), 0));
    assert_eq!(bench.role(), "blank", "an answer to an earlier life does not count");
    let missing = bench.address(2).to_string();
    assert!(bench.phase().contains(&missing), "{}", bench.phase());
    let done = bench.say(2, 6, recovered(nonce, 0));
    assert!(done.persisted);
    assert_eq!((bench.role(), bench.term()), ("voter", 6));
    assert_eq!(granted(&bench.say(1, 6, ask(6, 9, 0)).actions), Some(false), "used up");
    bench.restart();
    assert_eq!(granted(&bench.say(1, 6, ask(6, 9, 0)).actions), Some(false));
}

/// The block may be committed with the help of what was forgotten.
#[test]
fn a_voter_without_memory_takes_the_accepted_block_over() {
    let mut bench = Bench::blank(3, 3);
    let nonce = bench.nonce();
    let (old, new) = (bench.block(1, 1, 1), bench.block(2, 2, 2));
    let recovered = |term, block: &RecoveredBlock| {
        let position = Position { height: 1, term };
        Body::Recovered { nonce, position, block: Some(block.clone()) }
    };
    bench.say(1, 3, recovered(1, &old));
    let done = bench.say(2, 3, recovered(2, &new));
    assert_eq!(executes(&done.actions), [new.hash()]);
    assert_eq!(bench.role(), "blank");
    let done = bench.executed(&new);
    assert!(done.persisted);
    assert_eq!(bench.role(), "voter");
    assert_eq!(granted(&bench.say(1, 9, ask(9, 1, 1)).actions), Some(false));
    assert_eq!(granted(&bench.say(1, 9, ask(9, 1, 2)).actions), Some(true));
}

#[test]
fn a_voter_without_memory_catches_up_before_it_votes() {
    let mut bench = Bench::blank(3, 3);
    let nonce = bench.nonce();
    for voter in [1, 2] {
        let position = Position { height: 2, term: 0 };
        bench.say(voter, 1, Body::Recovered { nonce, position, block: None });
    }
    assert_eq!(bench.role(), "blank");
    let block = bench.block(1, 1, 1);
    assert!(bench.committed(&block).persisted);
    assert_eq!(bench.role(), "voter");
}

/// If the block is committed, the voter that it adds decides with those who know.
#[test]
fn a_voter_that_the_newest_block_adds_is_asked_as_well() {
    let mut bench = Bench::blank(4, 3);
    let nonce = bench.nonce();
    let added = bench.address(3);
    let block = bench.block_with(1, 1, 1, Some((MemberChange::AddVoter, added)));
    let recovered = |term, block: Option<&RecoveredBlock>| {
        let position = Position { height: 1, term };
        Body::Recovered { nonce, position, block: block.cloned() }
    };
    bench.say(3, 9, recovered(0, None));
    assert_eq!(bench.term(), 0, "nobody asked it yet");
    bench.say(1, 1, recovered(1, Some(&block)));
    bench.say(2, 1, recovered(0, None));
    assert_eq!(bench.role(), "blank");
    assert!(bench.phase().contains(&added.to_string()), "{}", bench.phase());
    let done = bench.say(3, 5, recovered(0, None));
    assert_eq!(executes(&done.actions), [block.hash()]);
    bench.executed(&block);
    assert_eq!((bench.role(), bench.term()), ("voter", 5));
}

/// So do those whom a transition names for the height after it.
#[test]
fn voters_whom_a_transition_names_are_asked_as_well() {
    let setup = Bench::blank(5, 3);
    let named = vec![setup.address(0), setup.address(3), setup.address(4)];
    let change = Transition { block: 2, validators: Some(named), ..Transition::default() };
    let mut bench = Bench::on(5, 3, vec![change]);
    let nonce = bench.nonce();
    let block = bench.block(1, 1, 1);
    let recovered = |height, term, block: Option<&RecoveredBlock>| {
        let position = Position { height, term };
        Body::Recovered { nonce, position, block: block.cloned() }
    };
    bench.say(1, 1, recovered(1, 1, Some(&block)));
    bench.say(2, 1, recovered(1, 0, None));
    let phase = bench.phase();
    assert_eq!(bench.role(), "blank");
    let silent = [3, 4].map(|voter| phase.contains(&bench.address(voter).to_string()));
    assert_eq!(silent, [true, true], "{phase}");
    bench.say(3, 1, recovered(1, 0, None));
    // This one has decided on top of it: what it knows comes first.
    bench.say(4, 7, recovered(3, 0, None));
    assert_eq!((bench.role(), bench.phase().contains("block")), ("blank", true));
}

/// Its chain was put back to an older one, its log was not: the block that it accepted, and that may
/// have been counted, does not lie on its head.
#[test]
fn a_voter_whose_log_is_ahead_of_its_chain_asks_before_it_votes() {
    let mut bench = Bench::new(3, 3);
    let genesis = bench.position.clone();
    let first = bench.block(1, 1, 1);
    bench.committed(&first);
    let second = bench.block(1, 1, 2);
    bench.say(1, 1, bench.append(Some(second.clone())));
    bench.executed(&second);
    bench.restart();
    assert_eq!(bench.role(), "voter", "on its head it is kept");
    bench.position = genesis;
    bench.restart();
    assert_eq!(bench.role(), "blank");
    assert_eq!(granted(&bench.say(2, 9, ask(9, 1, 0)).actions), None);
    let nonce = bench.nonce();
    let position = Position { height: 3, term: 0 };
    for voter in [1, 2] {
        bench.say(voter, 4, Body::Recovered { nonce, position, block: None });
    }
    bench.committed(&first);
    assert_eq!(bench.role(), "blank", "others are further");
    bench.committed(&second);
    assert_eq!((bench.role(), bench.term()), ("voter", 4));
}

/// Ongaro 10.2.1: the word is out, the record is lost. There is no second block in that term.
#[test]
fn a_leader_whose_record_was_lost_does_not_lead_its_term_again() {
    let mut bench = Bench::leading(3, 3);
    let before = bench.log.clone();
    let block = lead_one(&mut bench);
    assert_ne!(bench.log, before);
    bench.log = before;
    bench.restart();
    assert_eq!((bench.role(), bench.term()), ("voter", 1));
    for voter in [1, 2] {
        bench.say(voter, 1, Body::Vote { proposed: 1, granted: true, trial: false });
        bench.say(voter, 1, answer(0, block.hash()));
    }
    assert_eq!(bench.role(), "voter");
    let sought = sought(&bench.sleep().actions);
    assert_eq!(sought, [(1, 2, true), (1, 2, true)], "a later term, of both others");
    // Who accepted the block is ahead of it.
    assert_eq!(granted(&bench.say(1, 1, ask(2, 1, 1)).actions), Some(true));
}

#[test]
fn a_voter_without_memory_answers_others() {
    let mut bench = Bench::blank(3, 3);
    let done = bench.say(1, 0, Body::Recover { nonce: 5, head: 0 });
    let position = Position { height: 1, term: 0 };
    assert_eq!(said(&done.actions), [(0, Body::Recovered { nonce: 5, position, block: None })]);
}

/// The block goes along only if the asker can execute it.
#[test]
fn an_answer_carries_the_block_above_the_askers_head() {
    let mut bench = Bench::new(3, 3);
    let block = accepted(&mut bench);
    let position = Position { height: 1, term: 1 };
    for (head, carried) in [(0, Some(block)), (5, None)] {
        let done = bench.say(1, 0, Body::Recover { nonce: 5, head });
        let recovered = Body::Recovered { nonce: 5, position, block: carried };
        assert_eq!(said(&done.actions).first(), Some(&(1, recovered)));
    }
}

/// A genesis with one voter may be an old one: the cluster may have grown since.
#[test]
fn an_only_voter_without_memory_waits_for_peers_that_know_more() {
    let mut bench = Bench::blank(2, 1);
    bench.sleep_for(900);
    assert_eq!(bench.role(), "blank");
    bench.sleep_for(200);
    assert_eq!(bench.role(), "leader");
    let mut bench = Bench::blank(2, 1);
    let node = crate::ibft_world::id(1);
    bench.step(Input::PeerHead { node, number: 3, hash: B256::ZERO });
    bench.sleep_for(5_000);
    assert_eq!(bench.role(), "blank");
    bench.step(Input::Peer { node, validator: None, connected: false });
    bench.sleep_for(5_000);
    assert_eq!(bench.role(), "leader");
}
