//! How a node of a Clique chain comes by a branch that others have.

use crate::{
    clique_bench::{Bench, changes},
    ibft_world::id,
};
use entente_chain::RecoveredBlock;
use entente_consensus::{Action, ChainPosition, Input};

const SIGNERS: usize = 3;

/// Blocks of signers in turn, or of two who are in turn now and then.
fn branch(bench: &Bench, length: u64, all: bool) -> Vec<(RecoveredBlock, ChainPosition)> {
    let mut branch: Vec<(RecoveredBlock, ChainPosition)> = Vec::new();
    for number in 1..=length {
        let parent = branch.last().map_or(&bench.genesis, |(_, position)| position);
        let signer = usize::try_from(number).expect("small") % if all { SIGNERS } else { 2 };
        let block = bench.block(parent, signer);
        let position = bench.after(parent, &block);
        branch.push((block, position));
    }
    branch
}

/// An answer is bounded in bytes: of large blocks it holds a few. Before, the beginning of a long branch
/// came again and again, and its end never.
#[test]
fn a_long_branch_comes_in_parts() {
    let mut bench = Bench::new(SIGNERS, true, Vec::new());
    let genesis = bench.genesis.clone();
    let (ours, theirs) = (branch(&bench, 20, false), branch(&bench, 40, true));
    bench.start(&genesis);
    bench.now = 60_000;
    for (_, position) in &ours {
        bench.commit(position);
    }
    let tip = theirs.last().expect("a tip").0.hash();
    let (node, number) = (id(1), 40);
    let mut actions = bench.step(Input::PeerHead { node, number, hash: tip });
    // It is the better one before all of it is here.
    while changes(&actions).is_empty() {
        assert!(bench.now < 90_000, "the branch is not taken");
        let asked = actions.iter().find_map(|action| match action {
            Action::Fetch { request, start, .. } => Some((*request, *start)),
            _ => None,
        });
        let Some((request, start)) = asked else {
            bench.now += 50;
            actions = bench.step(Input::Wake);
            continue;
        };
        let part = theirs.iter().map(|(block, _)| block);
        let part = part.filter(|block| block.header.number >= start).take(4).cloned().collect();
        actions = bench.step(Input::Fetched { request, blocks: Ok(part) });
    }
    let (ancestor, better) = changes(&actions)[0];
    assert_eq!(ancestor, 1, "both begin with the block of the signer in turn");
    assert!(theirs.iter().any(|(block, _)| block.hash() == better));
}
