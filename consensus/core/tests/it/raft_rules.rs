//! One test for each rule of following, leading and deciding.

use crate::raft_bench::{Bench, adopts, answer, executes, reports, said};
use alloy_primitives::B256;
use entente_chain::RecoveredBlock;
use entente_consensus::{
    Action, Engine, Input, Operation, Verdict,
    engine::MemberChange,
    raft::{Body, Commit, Position},
};

fn commit_of(block: &RecoveredBlock) -> Body {
    let commit = Commit { number: block.header.number, hash: block.hash() };
    Body::Append { commit, block: None }
}

/// What an answer of the engine accepts and refuses.
fn answered(actions: &[Action]) -> Vec<(u64, B256, B256)> {
    let answer = |(term, body)| match body {
        Body::Appended { accepted, refused, .. } => Some((term, accepted, refused)),
        _ => None,
    };
    said(actions).into_iter().filter_map(answer).collect()
}

#[test]
fn a_block_is_executed_then_durable_then_accepted_then_adopted() {
    let mut bench = Bench::new(3, 3);
    let block = bench.block(1, 1, 1);
    let done = bench.say(1, 1, bench.append(Some(block.clone())));
    assert_eq!(executes(&done.actions), [block.hash()]);
    assert!(answered(&done.actions).is_empty(), "nothing is accepted before it was executed");
    let done = bench.executed(&block);
    assert!(done.persisted, "S6: durable before it is said");
    assert_eq!(answered(&done.actions), [(1, block.hash(), B256::ZERO)]);
    let done = bench.say(1, 1, commit_of(&block));
    assert_eq!(adopts(&done.actions), [block.hash()]);
    assert!(adopts(&bench.say(1, 1, commit_of(&block)).actions).is_empty(), "once");
    let done = bench.committed(&block);
    assert_eq!(answered(&done.actions), [(1, B256::ZERO, B256::ZERO)], "the leader hears of it");
}

/// A block that is known to be committed before its execution ended is adopted when it ends.
#[test]
fn a_decision_waits_for_execution() {
    let mut bench = Bench::new(3, 3);
    let block = bench.block(1, 1, 1);
    bench.say(1, 1, bench.append(Some(block.clone())));
    assert!(adopts(&bench.say(1, 1, commit_of(&block)).actions).is_empty());
    assert_eq!(adopts(&bench.executed(&block).actions), [block.hash()]);
}

#[test]
fn another_block_than_the_accepted_one_is_never_adopted() {
    let mut bench = Bench::new(3, 3);
    let (block, other) = (bench.block(1, 1, 1), bench.block(1, 1, 2));
    bench.say(1, 1, bench.append(Some(block.clone())));
    bench.executed(&block);
    assert!(adopts(&bench.say(1, 1, commit_of(&other)).actions).is_empty());
}

/// An invalid block is refused, reported once, and looked at again only later: its time may just
/// have been ahead of our clock.
#[test]
fn an_invalid_block_is_refused() {
    let mut bench = Bench::new(3, 3);
    let block = bench.block(1, 1, 1);
    bench.say(1, 1, bench.append(Some(block.clone())));
    let verdict = Verdict::Invalid("bad".to_owned());
    let done = bench.step(Input::Executed { block: block.hash(), verdict: verdict.clone() });
    assert_eq!(reports(&done.actions), ["proposed an invalid block"]);
    assert_eq!(answered(&done.actions), [(1, B256::ZERO, block.hash())]);
    let done = bench.say(1, 1, bench.append(Some(block.clone())));
    assert!(executes(&done.actions).is_empty(), "not at once");
    bench.now += 2_000;
    let done = bench.say(1, 1, bench.append(Some(block.clone())));
    assert_eq!(executes(&done.actions), [block.hash()]);
    let done = bench.step(Input::Executed { block: block.hash(), verdict });
    assert!(reports(&done.actions).is_empty(), "reported already");
}

#[test]
fn execution_that_could_not_be_done_is_asked_for_again() {
    let mut bench = Bench::new(3, 3);
    let block = bench.block(1, 1, 1);
    bench.say(1, 1, bench.append(Some(block.clone())));
    let verdict = Verdict::Unavailable("disk".to_owned());
    let done = bench.step(Input::Executed { block: block.hash(), verdict });
    assert!(answered(&done.actions).is_empty() && executes(&done.actions).is_empty());
    assert_eq!(executes(&bench.sleep().actions), [block.hash()]);
    assert_eq!(answered(&bench.executed(&block).actions), [(1, block.hash(), B256::ZERO)]);
}

/// What was executed for the leader of an earlier term is not accepted from it any more.
#[test]
fn a_block_of_a_term_that_is_over_is_not_accepted() {
    let mut bench = Bench::new(3, 3);
    let block = bench.block(1, 1, 1);
    bench.say(1, 1, bench.append(Some(block.clone())));
    bench.say(2, 2, bench.append(None));
    let done = bench.executed(&block);
    assert!(!done.persisted && answered(&done.actions).is_empty());
    // The new leader proposes the same block again.
    bench.say(2, 2, bench.append(Some(block.clone())));
    assert_eq!(answered(&bench.executed(&block).actions), [(2, block.hash(), B256::ZERO)]);
}

#[test]
fn a_leader_of_an_earlier_term_learns_the_later_one() {
    let mut bench = Bench::new(3, 3);
    bench.say(2, 5, bench.append(None));
    let block = bench.block(1, 1, 1);
    let done = bench.say(1, 1, bench.append(Some(block)));
    assert!(executes(&done.actions).is_empty());
    assert_eq!(answered(&done.actions), [(5, B256::ZERO, B256::ZERO)]);
}

/// R1. Without the first check a second leader's block would replace the first one's.
#[test]
fn of_two_leaders_in_one_term_the_first_is_followed() {
    let mut bench = Bench::new(3, 3);
    bench.say(1, 1, bench.append(None));
    let done = bench.say(2, 1, bench.append(Some(bench.block(2, 1, 1))));
    assert_eq!(reports(&done.actions), ["two leaders in one term"]);
    assert!(executes(&done.actions).is_empty() && said(&done.actions).is_empty());
    let done = bench.say(2, 1, bench.append(None));
    assert!(reports(&done.actions).is_empty(), "reported already");
}

/// Who takes a leader's words has no vote left in its term, over restarts too.
#[test]
fn following_a_leader_uses_the_vote_up() {
    let mut bench = Bench::new(3, 3);
    assert!(bench.say(1, 4, bench.append(None)).persisted);
    bench.restart();
    bench.now += 10_000;
    let position = Position { height: 9, term: 0 };
    let asked = Body::AskVote { position, proposed: 4, transfer: false, trial: false };
    let done = bench.say(2, 4, asked);
    let refused = Body::Vote { proposed: 4, granted: false, trial: false };
    assert_eq!(said(&done.actions).first(), Some(&(4, refused)));
}

/// A vote for another candidate of the term is not forgotten when its leader turns up.
#[test]
fn a_vote_is_never_given_to_two_in_one_term() {
    let mut bench = Bench::new(3, 3);
    let position = Position { height: 1, term: 0 };
    let asked = Body::AskVote { position, proposed: 1, transfer: false, trial: false };
    bench.say(1, 1, asked.clone());
    bench.say(2, 1, bench.append(None));
    let done = bench.say(2, 1, asked);
    let refused = Body::Vote { proposed: 1, granted: false, trial: false };
    assert_eq!(said(&done.actions), [(1, refused)]);
}

/// No stranger, no learner and no earlier connection of a member moves a term or a block, whatever
/// it claims to be.
#[test]
fn only_voters_over_their_latest_connection_lead() {
    let mut bench = Bench::new(4, 3);
    let block = bench.block(1, 1, 1);
    let append = bench.append(Some(block.clone()));
    for done in [
        bench.say(3, 9, append.clone()),
        bench.say_over(3, 1, 9, append.clone()),
        bench.say_over(7, 1, 9, append.clone()),
        bench.say_over(1, 0, 9, append.clone()),
    ] {
        assert!(done.actions.is_empty() && !done.persisted);
    }
    let validator = Some(bench.address(1));
    let node = crate::ibft_world::id(9);
    bench.step(Input::Peer { node, validator, connected: true });
    assert!(bench.say(1, 9, append.clone()).actions.is_empty(), "its earlier connection");
    bench.step(Input::Peer { node, validator, connected: false });
    assert_eq!(bench.term(), 0);
    assert_eq!(executes(&bench.say(1, 9, append).actions), [block.hash()]);
}

/// The header names the term it was built in: nobody can have a block of a later one.
#[test]
fn a_block_from_a_later_term_is_not_executed() {
    let mut bench = Bench::new(3, 3);
    let block = bench.block(2, 5, 1);
    let done = bench.say(1, 4, bench.append(Some(block)));
    assert!(executes(&done.actions).is_empty());
}

#[test]
fn a_block_that_does_not_follow_the_head_is_answered_with_the_head() {
    let mut bench = Bench::new(3, 3);
    let first = bench.block(1, 1, 1);
    let ahead = {
        let mut other = Bench::new(3, 3);
        other.committed(&first);
        other.block(1, 1, 2)
    };
    let done = bench.say(1, 1, bench.append(Some(ahead)));
    assert!(executes(&done.actions).is_empty());
    assert_eq!(answered(&done.actions), [(1, B256::ZERO, B256::ZERO)]);
}

/// The leader is a disk sync ahead of us.
#[test]
fn the_next_block_waits_for_the_one_that_is_being_stored() {
    let mut bench = Bench::new(3, 3);
    let first = bench.block(1, 1, 1);
    bench.say(1, 1, bench.append(Some(first.clone())));
    bench.executed(&first);
    let mut other = Bench::new(3, 3);
    other.committed(&first);
    let (second, append) = (other.block(1, 1, 2), commit_of(&first));
    let Body::Append { commit, .. } = append else { panic!("an append") };
    let done = bench.say(1, 1, Body::Append { commit, block: Some(second.clone()) });
    assert_eq!(adopts(&done.actions), [first.hash()]);
    assert!(executes(&done.actions).is_empty());
    assert_eq!(executes(&bench.committed(&first).actions), [second.hash()]);
}

/// Terms begin where the chain's are: records may be gone while the chain is not.
#[test]
fn the_head_names_the_lowest_term() {
    let mut bench = Bench::new(3, 3);
    let block = bench.block(1, 6, 1);
    bench.committed(&block);
    assert_eq!(bench.term(), 6);
    bench.restart();
    assert_eq!(bench.term(), 6);
}

#[test]
fn a_learner_executes_and_adopts_and_promises_nothing() {
    let mut bench = Bench::new(3, 3);
    let learner = bench.address(0);
    for (height, change) in [(1, MemberChange::Remove), (2, MemberChange::AddLearner)] {
        let block = bench.block_with(1, height, height, Some((change, learner)));
        bench.committed(&block);
    }
    assert_eq!(bench.role(), "learner");
    let block = bench.block(1, 4, 9);
    bench.say(1, 4, bench.append(Some(block.clone())));
    let done = bench.executed(&block);
    assert!(!done.persisted, "R7: nobody counts on it");
    assert_eq!(answered(&done.actions), [(4, block.hash(), B256::ZERO)]);
    assert_eq!(adopts(&bench.say(1, 4, commit_of(&block)).actions), [block.hash()]);
    let asked = |trial| Body::AskVote {
        position: Position { height: 99, term: 0 },
        proposed: 8,
        transfer: true,
        trial,
    };
    assert!(said(&bench.say(1, 7, asked(false)).actions).is_empty());
    assert!(said(&bench.say(1, 7, asked(true)).actions).is_empty());
    bench.committed(&block);
    assert_eq!(bench.engine.next_deadline(), None, "it does not campaign");
}

#[test]
fn a_leader_decides_with_a_majority_of_its_own_term() {
    let mut bench = Bench::leading(5, 5);
    let done = bench.transactions_wait();
    let done = bench.built(&done.actions, 1, true);
    assert!(done.persisted);
    assert_eq!(done.ahead, 4, "the others write while we do (Ongaro 10.2.1)");
    let sent = said(&done.actions);
    let Some((1, Body::Append { block: Some(block), .. })) = sent.first() else { panic!("sent") };
    assert_eq!(sent.len(), 4);
    let hash = block.hash();
    for (member, term, accepted) in
        [(1, 1, B256::ZERO), (1, 1, hash), (1, 1, hash), (2, 0, hash), (2, 1, B256::repeat_byte(7))]
    {
        let done = bench.say(member, term, answer(0, accepted));
        assert!(adopts(&done.actions).is_empty(), "{member} in {term}: two of five");
    }
    // Its head is no acceptance: another block may be committed there.
    assert!(adopts(&bench.say(2, 1, answer(1, B256::ZERO)).actions).is_empty());
    let done = bench.say(2, 1, answer(0, hash));
    assert_eq!(adopts(&done.actions), [hash]);
    let commit = Commit { number: 1, hash };
    assert_eq!(said(&done.actions), vec![(1, Body::Append { commit, block: None }); 4]);
}

/// R7: learners get blocks, and their answers are not counted.
#[test]
fn learners_are_not_counted() {
    let mut bench = Bench::leading(4, 3);
    let (member, change) = (bench.address(3), MemberChange::AddLearner);
    let done = bench.step(Input::Operator(Operation::ChangeMember { member, change }));
    let sent = said(&bench.built(&done.actions, 1, false).actions);
    let Some((_, Body::Append { block: Some(block), .. })) = sent.first() else { panic!("sent") };
    bench.say(1, 1, answer(0, block.hash()));
    bench.committed(block);
    let done = bench.transactions_wait();
    let sent = said(&bench.built(&done.actions, 2, true).actions);
    assert_eq!(sent.len(), 3, "the learner gets it as well");
    let Some((_, Body::Append { block: Some(block), .. })) = sent.first() else { panic!("sent") };
    assert!(adopts(&bench.say(3, 1, answer(1, block.hash())).actions).is_empty());
    assert_eq!(adopts(&bench.say(2, 1, answer(1, block.hash())).actions), [block.hash()]);
}

/// A leader that finds a block of an earlier term proposes the same block again, and counts only who
/// accepts it from itself.
#[test]
fn an_accepted_block_is_proposed_again_in_the_leaders_own_term() {
    let mut bench = Bench::new(3, 3);
    let block = bench.block(1, 1, 1);
    bench.say(1, 1, bench.append(Some(block.clone())));
    bench.executed(&block);
    bench.now += 1_000;
    bench.sleep();
    bench.say(2, 1, Body::Vote { proposed: 2, granted: true, trial: true });
    let done = bench.say(2, 2, Body::Vote { proposed: 2, granted: true, trial: false });
    assert_eq!((bench.role(), bench.term()), ("leader", 2));
    assert!(done.persisted, "accepted in the new term before it is proposed");
    let again = bench.append(Some(block.clone()));
    assert_eq!(said(&done.actions), vec![(2, again); 2]);
    assert!(adopts(&bench.say(2, 1, answer(0, block.hash())).actions).is_empty());
    assert_eq!(adopts(&bench.say(2, 2, answer(0, block.hash())).actions), [block.hash()]);
}

/// A follower accepts the same block in the later term without executing it again.
#[test]
fn a_block_is_accepted_again_without_execution() {
    let mut bench = Bench::new(3, 3);
    let block = bench.block(1, 1, 1);
    bench.say(1, 1, bench.append(Some(block.clone())));
    bench.executed(&block);
    let done = bench.say(2, 2, bench.append(Some(block.clone())));
    assert!(executes(&done.actions).is_empty() && done.persisted);
    assert_eq!(answered(&done.actions), [(2, block.hash(), B256::ZERO)]);
}
