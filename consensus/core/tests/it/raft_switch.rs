//! Raft on the last block of Clique, which may still be replaced by another one: what was accepted on
//! the one that went decides nothing, and outranks nobody.

use crate::raft_bench::{Bench, build_request, executes, said};
use entente_chain::RecoveredBlock;
use entente_consensus::{
    ChainPosition, Input,
    raft::{Body, Position},
};

fn recovered(nonce: u64, term: u64, block: Option<RecoveredBlock>) -> Body {
    Body::Recovered { nonce, position: Position { height: 2, term }, block }
}

/// The engine stands on the first of two blocks of height 1.
struct Fork {
    bench: Bench,
    genesis: ChainPosition,
    other: RecoveredBlock,
}

impl Fork {
    fn on(mut bench: Bench) -> Self {
        let genesis = bench.position.clone();
        let (first, other) = (bench.block(1, 1, 1), bench.block(1, 1, 2));
        bench.committed(&first);
        Self { bench, genesis, other }
    }

    /// Clique changes to the other block.
    fn change(&mut self) {
        self.bench.position = self.genesis.clone();
        self.bench.committed(&self.other);
    }

    /// A voter becomes leader, with the votes of all.
    fn lead(&mut self) {
        while self.bench.role() != "leader" {
            self.bench.sleep();
            let term = self.bench.term();
            for voter in [1, 2] {
                let vote = Body::Vote { proposed: term + 1, granted: true, trial: true };
                self.bench.say(voter, term, vote);
            }
            let term = self.bench.term();
            for voter in [1, 2] {
                let vote = Body::Vote { proposed: term, granted: true, trial: false };
                self.bench.say(voter, term, vote);
            }
        }
    }

    /// The block that the leader proposes.
    fn propose(&mut self) -> Option<RecoveredBlock> {
        let done = self.bench.transactions_wait();
        build_request(&done.actions)?;
        let sent = said(&self.bench.built(&done.actions, 1, true).actions);
        self.bench.step(Input::TransactionsWaiting(false));
        sent.into_iter().find_map(|(_, body)| match body {
            Body::Append { block, .. } => block,
            _ => None,
        })
    }
}

/// It proposed that block for ever, and nobody could execute it.
#[test]
fn a_leader_lets_a_block_go_whose_parent_was_replaced() {
    let mut fork = Fork::on(Bench::new(3, 3));
    fork.lead();
    assert!(fork.propose().is_some());
    fork.change();
    assert_eq!(fork.bench.role(), "blank", "the block may have been counted");
    let nonce = fork.bench.nonce();
    for voter in [1, 2] {
        fork.bench.say(voter, 1, recovered(nonce, 0, None));
    }
    assert_eq!(fork.bench.role(), "voter");
    fork.lead();
    let block = fork.propose().expect("a block on the other head");
    assert_eq!(block.header.parent_hash, fork.other.hash());
}

/// That block was decided and adopted elsewhere: nothing else may be decided at its height.
#[test]
fn who_let_a_block_go_that_was_decided_does_not_vote() {
    let mut fork = Fork::on(Bench::new(3, 3));
    let block = fork.bench.block(1, 1, 3);
    fork.bench.say(1, 1, fork.bench.append(Some(block.clone())));
    fork.bench.executed(&block);
    fork.change();
    let nonce = fork.bench.nonce();
    fork.bench.say(2, 1, recovered(nonce, 0, None));
    let position = Position { height: 3, term: 0 };
    fork.bench.say(1, 1, Body::Recovered { nonce, position, block: None });
    assert_eq!(fork.bench.role(), "blank");
}

/// The same in its log: the process ends before the others have answered.
#[test]
fn who_let_a_block_go_asks_again_after_a_restart() {
    let mut fork = Fork::on(Bench::new(3, 3));
    fork.lead();
    assert!(fork.propose().is_some());
    fork.change();
    fork.bench.restart();
    assert_eq!(fork.bench.role(), "blank");
}

/// It took the block of a head that is gone as its measure, and waited for it for ever.
#[test]
fn a_voter_without_memory_asks_anew_when_its_head_is_replaced() {
    let mut fork = Fork::on(Bench::blank(3, 3));
    let block = fork.bench.block(1, 1, 3);
    let old = fork.bench.nonce();
    fork.bench.say(2, 1, recovered(old, 0, None));
    let done = fork.bench.say(1, 1, recovered(old, 1, Some(block.clone())));
    assert_eq!(executes(&done.actions), [block.hash()]);
    fork.change();
    let nonce = fork.bench.nonce();
    assert_ne!(nonce, old);
    for voter in [1, 2] {
        fork.bench.say(voter, 1, recovered(nonce, 0, None));
    }
    assert_eq!(fork.bench.role(), "voter");
}

/// The holder changes its head after it has answered, ours is the new one from the start.
#[test]
fn a_voter_without_memory_hears_of_it_when_the_block_that_it_waits_for_is_gone() {
    let mut fork = Fork::on(Bench::blank(3, 3));
    let block = fork.bench.block(1, 1, 3);
    fork.change();
    let nonce = fork.bench.nonce();
    fork.bench.say(2, 1, recovered(nonce, 0, None));
    let done = fork.bench.say(1, 1, recovered(nonce, 1, Some(block)));
    assert!(executes(&done.actions).is_empty(), "it lies on another head");
    let asked = said(&fork.bench.sleep().actions);
    assert!(asked.contains(&(1, Body::Recover { nonce, head: 1 })), "{asked:?}");
    fork.bench.say(1, 1, recovered(nonce, 0, None));
    let nonce = fork.bench.nonce();
    for voter in [1, 2] {
        fork.bench.say(voter, 1, recovered(nonce, 0, None));
    }
    assert_eq!(fork.bench.role(), "voter");
}
