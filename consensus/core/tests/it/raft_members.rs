//! One test for each rule of changes of members.

use crate::raft_bench::{Bench, answer, build_request, said};
use alloy_primitives::{Address, B256};
use entente_chain::extra_data::raft::RaftExtra;
use entente_consensus::{Action, Engine, Input, Operation, engine::MemberChange, raft::Body};

fn change_of(actions: &[Action]) -> Option<(MemberChange, Address)> {
    let (_, attributes) = build_request(actions)?;
    let extra = RaftExtra::decode(&attributes.extra_data).expect("extraData of Raft");
    extra.term.expect("a term").change
}

fn operate(bench: &mut Bench, change: MemberChange, member: Address) -> Vec<Action> {
    let actions = bench.step(Input::Operator(Operation::ChangeMember { member, change })).actions;
    // The others go on answering.
    let mut all = actions;
    for node in 1..bench.keys.len() {
        all.extend(bench.say(node, 1, answer(0, B256::ZERO)).actions);
    }
    all
}

#[test]
fn a_change_of_members_is_a_block_even_if_nothing_waits() {
    let mut bench = Bench::leading(4, 3);
    let member = bench.address(3);
    let actions = operate(&mut bench, MemberChange::AddVoter, member);
    assert_eq!(change_of(&actions), Some((MemberChange::AddVoter, member)));
    let done = bench.built(&actions, 1, false);
    let sent = said(&done.actions);
    let Some((_, Body::Append { block: Some(block), .. })) = sent.first() else { panic!("sent") };
    bench.say(1, 1, answer(0, block.hash()));
    bench.committed(block);
    assert_eq!(bench.position.next.len(), 4);
    assert!(build_request(&bench.sleep_for(50)).is_none(), "once");
}

#[test]
fn a_change_that_does_not_fit_is_dropped() {
    let mut bench = Bench::leading(3, 3);
    let (voter, stranger) = (bench.address(1), Address::repeat_byte(9));
    for (change, member) in [
        (MemberChange::AddVoter, voter),
        (MemberChange::AddLearner, voter),
        (MemberChange::Promote, voter),
        (MemberChange::Promote, stranger),
        (MemberChange::Remove, stranger),
    ] {
        let actions = operate(&mut bench, change, member);
        assert!(build_request(&actions).is_none(), "{change:?}");
    }
    let mut alone = Bench::blank(2, 1);
    alone.sleep_for(2_000);
    let own = alone.address(0);
    let change = MemberChange::Remove;
    alone.step(Input::Operator(Operation::ChangeMember { member: own, change }));
    assert!(build_request(&alone.sleep_for(1_000)).is_none(), "the last voter stays");
}

/// A new voter raises the majority, and counts only once it has heard all others.
#[test]
fn no_voter_is_added_while_another_is_away() {
    let mut bench = Bench::leading(4, 3);
    let member = bench.address(3);
    let answering = |bench: &mut Bench, voters: &[usize]| {
        let mut actions = Vec::new();
        for _ in 0..15 {
            for voter in voters {
                actions.extend(bench.say(*voter, 1, answer(0, B256::ZERO)).actions);
            }
            actions.extend(bench.sleep_for(100));
        }
        actions
    };
    answering(&mut bench, &[1]);
    let change = MemberChange::AddVoter;
    bench.step(Input::Operator(Operation::ChangeMember { member, change }));
    assert!(build_request(&answering(&mut bench, &[1])).is_none());
    assert!(bench.phase().contains("waiting for voters"), "{}", bench.phase());
    // But the one that is away can be removed.
    let (away, change) = (bench.address(2), MemberChange::Remove);
    let done = bench.step(Input::Operator(Operation::ChangeMember { member: away, change }));
    assert_eq!(change_of(&done.actions), Some((MemberChange::Remove, away)));
}

#[test]
fn nobody_is_removed_without_whom_there_is_no_majority() {
    let mut bench = Bench::leading(3, 3);
    for _ in 0..15 {
        bench.say(1, 1, answer(0, B256::ZERO));
        bench.sleep_for(100);
    }
    let (member, change) = (bench.address(1), MemberChange::Remove);
    let done = bench.step(Input::Operator(Operation::ChangeMember { member, change }));
    assert!(build_request(&done.actions).is_none());
    let _waiting = bench.sleep_for(5_000);
}

#[test]
fn a_follower_passes_changes_on_to_its_leader_and_waits_for_one() {
    let mut bench = Bench::new(4, 3);
    let (member, change) = (bench.address(3), MemberChange::AddLearner);
    let wish = Body::Change { member, change };
    let done = bench.step(Input::Operator(Operation::ChangeMember { member, change }));
    assert!(said(&done.actions).is_empty(), "there is no leader");
    let done = bench.say(1, 1, bench.append(None));
    assert!(said(&done.actions).contains(&(1, wish.clone())));
    let done = bench.say(1, 1, bench.append(None));
    assert!(!said(&done.actions).contains(&(1, wish.clone())), "once");
    let done = bench.say(2, 2, bench.append(None));
    assert!(said(&done.actions).contains(&(2, wish.clone())), "another leader");
    bench.now += 10_000;
    bench.step(Input::Wake);
    let done = bench.say(1, 3, bench.append(None));
    assert!(!said(&done.actions).contains(&(3, wish)), "it waited long enough");
}

#[test]
fn a_leader_that_removes_itself_steps_down_when_that_is_committed() {
    let mut bench = Bench::leading(3, 3);
    let own = bench.address(0);
    let actions = operate(&mut bench, MemberChange::Remove, own);
    let sent = said(&bench.built(&actions, 1, false).actions);
    let Some((_, Body::Append { block: Some(block), .. })) = sent.first() else { panic!("sent") };
    bench.say(1, 1, answer(0, block.hash()));
    assert_eq!(bench.role(), "leader");
    bench.committed(block);
    assert_eq!(bench.role(), "follower");
    assert_eq!(bench.position.next.len(), 2);
    assert_eq!(bench.engine.next_deadline(), None, "it has nothing to wait for");
}
