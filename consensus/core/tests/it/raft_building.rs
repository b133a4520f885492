//! One test for each rule of building and sending blocks.

use crate::raft_bench::{Bench, answer, build_request, said, sealed};
use alloy_primitives::B256;
use entente_consensus::{Action, Engine as _, Input, raft::Body};

/// R8: nothing is built on a block that is not committed, nor before the head was stored.
#[test]
fn a_leader_builds_one_block_at_a_time() {
    let mut bench = Bench::leading(3, 3);
    let done = bench.transactions_wait();
    let done = bench.built(&done.actions, 1, true);
    let sent = said(&done.actions);
    let Some((_, Body::Append { block: Some(block), .. })) = sent.first() else { panic!("sent") };
    assert!(build_request(&bench.sleep_for(300)).is_none(), "one is in flight");
    let done = bench.say(1, 1, answer(0, block.hash()));
    assert!(build_request(&done.actions).is_none(), "it is being stored");
    assert!(build_request(&bench.sleep_for(50)).is_none());
    let mut actions = bench.committed(block).actions;
    actions.extend(bench.sleep_for(10));
    assert!(build_request(&actions).is_some());
}

/// Clients send in bursts, and each node hears a part of a burst sooner than the rest.
#[test]
fn transactions_that_come_together_go_into_one_block() {
    let mut bench = Bench::leading(3, 3);
    bench.now += 50;
    assert!(build_request(&bench.step(Input::TransactionsWaiting(true)).actions).is_none());
    assert!(build_request(&bench.step(Input::TransactionsWaiting(true)).actions).is_none());
    assert!(build_request(&bench.sleep_for(1)).is_none(), "more may come");
    bench.now += 1;
    let done = bench.step(Input::Wake);
    let built = bench.built(&done.actions, 1, true);
    let sent = said(&built.actions);
    let Some((_, Body::Append { block: Some(block), .. })) = sent.first() else { panic!("sent") };
    bench.say(1, 1, answer(0, block.hash()));
    bench.committed(block);
    // What came during that block has waited long enough.
    bench.step(Input::TransactionsWaiting(true));
    assert_eq!(bench.engine.next_deadline(), Some(bench.now + 2), "the least time between blocks");
}

/// On demand: no block without transactions, and none for transactions that went elsewhere.
#[test]
fn an_empty_block_that_nobody_asked_for_is_dropped() {
    let mut bench = Bench::leading(3, 3);
    assert!(build_request(&bench.sleep_for(500)).is_none(), "nothing waits");
    let done = bench.transactions_wait();
    let done = bench.built(&done.actions, 1, false);
    assert!(said(&done.actions).is_empty() && !done.persisted);
    assert!(build_request(&bench.sleep_for(40)).is_none(), "not at once");
    assert!(build_request(&bench.sleep_for(60)).is_some(), "they may be executable by now");
}

#[test]
fn a_block_that_was_built_for_an_earlier_term_is_dropped() {
    let mut bench = Bench::leading(3, 3);
    let asked = bench.transactions_wait();
    bench.say(1, 2, bench.append(None));
    let done = bench.built(&asked.actions, 1, true);
    assert!(said(&done.actions).is_empty() && !done.persisted);
}

#[test]
fn the_block_in_flight_goes_again_to_those_that_lack_it() {
    let mut bench = Bench::leading(3, 3);
    let done = bench.transactions_wait();
    bench.built(&done.actions, 1, true);
    let carried = |actions: &[Action]| {
        let said = said(actions).into_iter();
        said.filter(|(_, body)| matches!(body, Body::Append { block: Some(_), .. })).count()
    };
    assert_eq!(carried(&bench.sleep_for(400)), 0, "heartbeats do not carry it");
    bench.say(1, 1, answer(0, B256::ZERO));
    bench.say(2, 1, answer(0, B256::ZERO));
    assert_eq!(carried(&bench.sleep_for(200)), 2);
}

/// quorum#115: a block that others refuse must not stop the chain.
#[test]
fn a_leader_whose_block_is_refused_gives_way() {
    let mut bench = Bench::leading(3, 3);
    let done = bench.transactions_wait();
    let done = bench.built(&done.actions, 1, true);
    let sent = said(&done.actions);
    let Some((_, Body::Append { block: Some(block), .. })) = sent.first() else { panic!("sent") };
    let (head, accepted, refused) = (0, B256::ZERO, block.hash());
    bench.say(1, 1, Body::Appended { head, accepted, refused });
    assert_eq!(bench.role(), "leader", "one of two others may still accept");
    bench.say(2, 1, Body::Appended { head, accepted, refused });
    assert_eq!(bench.role(), "voter");
    let sought = said(&bench.sleep_for(4_000));
    assert!(sought.is_empty(), "it lets others lead: {sought:?}");
}

/// A leader whose seal is another member's is refused before anything else is looked at.
#[test]
fn a_carried_block_is_sealed_by_its_coinbase() {
    let bench = Bench::new(3, 3);
    let block = sealed(&bench.block(1, 1, 1), &bench.keys[2]);
    let frame = bench.frame(1, 1, bench.append(Some(block)));
    let refused = bench.admit(&frame).expect_err("a stranger's seal").to_string();
    assert!(refused.contains("seal was made by"), "{refused}");
}
