//! One test for each bug of Clique, and of leaving it, that seeds of the simulator found.

use crate::{
    clique_bench::{Bench, changes, said},
    ibft_bench::{executes, sent},
};
use alloy_primitives::B256;
use entente_chain::{spec::EngineKind, transition::Transition};
use entente_consensus::{Action, Input, Verdict, ibft::Kind};

fn kinds(actions: &[Action]) -> Vec<Kind> {
    sent(actions).iter().map(|message| message.kind()).collect()
}

/// Seed 2: the deadline of a signer out of turn moved along with the clock, and never came.
#[test]
fn a_signer_out_of_turn_seals_however_often_it_is_woken() {
    let mut bench = Bench::new(3, false, Vec::new());
    let genesis = bench.genesis.clone();
    bench.start(&genesis);
    // Signer 1 is in turn for block 1, and away. The period, the first chance, and the draw.
    let actions = bench.wait_for_seal(1_000 + 300 + 1_000 + 100).expect("a seal out of turn");
    assert_eq!(said(&actions).len(), 1);
    assert!(bench.now > 1_000 + 300, "not before the one in turn had its chance");
}

/// Seed 127: a lone signer died between writing its seal down and saying it. Another block of that
/// weight would be a second word, so it was silent for ever.
#[test]
fn a_seal_that_nobody_heard_of_is_said_again_after_a_restart() {
    let mut bench = Bench::new(1, false, Vec::new());
    let genesis = bench.genesis.clone();
    bench.start(&genesis);
    let actions = bench.wait_for_seal(5_000).expect("a seal");
    let first = said(&actions);
    assert_eq!(first.len(), 1);
    let again = bench.start(&genesis);
    assert_eq!(said(&again), first, "the same block, and no other");
    assert!(said(&bench.start(&bench.after(&genesis, &first[0]))).is_empty(), "it is the head");
}

/// Switch seed 18: nodes that stand on different last blocks of Clique never meet under the next
/// engine, which cannot leave a block again.
#[test]
fn clique_settles_its_last_blocks_while_the_next_engine_begins() {
    let change = Transition { block: 2, engine: Some(EngineKind::Qbft), ..Transition::default() };
    let mut bench = Bench::new(3, false, vec![change]);
    let genesis = bench.genesis.clone();
    let (light, heavy) = (bench.block(&genesis, 0), bench.block(&genesis, 1));
    let ours = bench.after(&genesis, &light);
    bench.start(&ours);
    assert_eq!(changes(&bench.deliver(&heavy)), [(0, heavy.hash())]);
    // Its turn is over all the same: the next block is not Clique's.
    assert!(bench.wait_for_seal(10_000).is_none_or(|actions| said(&actions).is_empty()));
}

/// A shorter branch of the same weight is better (EIP-225 as geth has it), and with it Clique makes the
/// next block again. A new engine there knew no other branch and could never leave its own.
#[test]
fn clique_that_comes_back_to_duty_still_knows_all_branches() {
    let change = Transition { block: 3, engine: Some(EngineKind::Qbft), ..Transition::default() };
    let mut bench = Bench::new(3, false, vec![change]);
    let genesis = bench.genesis.clone();
    let light = bench.block(&genesis, 0);
    let below = bench.after(&genesis, &light);
    let last = bench.block(&below, 1);
    let (short, heavy) = (bench.block(&genesis, 1), bench.block(&below, 2));
    bench.start(&genesis);
    bench.deliver(&light);
    bench.commit(&below);
    bench.deliver(&last);
    let head = bench.after(&below, &last);
    bench.commit(&head);
    assert_eq!(changes(&bench.deliver(&short)), [(0, short.hash())], "QBFT is on duty");
    let head = bench.after(&genesis, &short);
    bench.commit(&head);
    assert_eq!(changes(&bench.deliver(&heavy)), [(0, heavy.hash())], "Clique is again");
}

/// What QBFT said before Clique went back binds it when it comes again: a new engine would vote for a
/// second block in the same round, also where the process began under Clique.
#[test]
fn promises_outlive_a_way_back_over_a_switch() {
    let change = Transition { block: 3, engine: Some(EngineKind::Qbft), ..Transition::default() };
    for restarted in [false, true] {
        let mut bench = Bench::new(3, false, vec![change.clone()]);
        let genesis = bench.genesis.clone();
        bench.start(&genesis);
        let below = bench.after(&genesis, &bench.block(&genesis, 0));
        bench.commit(&below);
        bench.commit(&bench.after(&below, &bench.block(&below, 1)));
        let said = bench.wait_for_seal(10_000).expect("we propose after signer 1");
        assert_eq!(kinds(&said), [Kind::Proposal, Kind::Prepare]);
        let short = bench.block(&genesis, 1);
        bench.deliver(&short);
        let below = bench.after(&genesis, &short);
        bench.commit(&below);
        if restarted {
            bench.start(&below);
        }
        bench.commit(&bench.after(&below, &bench.block(&below, 0)));
        let (block, proposal) = bench.proposal(1);
        assert!(executes(&bench.hear(&proposal)));
        let (block, verdict) = (block.hash(), Verdict::Valid);
        assert!(kinds(&bench.step(Input::Executed { block, verdict })).is_empty());
    }
}

/// Engines number what they ask for, each for itself: after a switch an answer may be another one's.
#[test]
fn a_block_that_lies_elsewhere_than_on_the_head_is_not_sealed() {
    let mut bench = Bench::new(1, false, Vec::new());
    let genesis = bench.genesis.clone();
    bench.start(&genesis);
    let (request, mut attributes) = bench.wait_for_question(5_000).expect("asks for a block");
    attributes.parent = B256::repeat_byte(7);
    let block = Ok(bench.unsealed(&genesis, &attributes));
    assert!(said(&bench.step(Input::Built { request, block })).is_empty());
    assert!(bench.log.is_empty(), "nothing binds it");
    assert!(bench.wait_for_seal(10_000).is_some_and(|actions| said(&actions).len() == 1));
}

/// Switch seed 112, go-ethereum#18402: with EIP-3436 one of two branches of equal weight is better,
/// on whichever a node stands, restarted or not (a restart forgot who had sealed its head, and weighed
/// its own branch otherwise than others did); without it each node stays where it is.
#[test]
fn of_two_branches_of_equal_weight_one_wins_with_eip_3436() {
    for eip3436 in [true, false] {
        let mut bench = Bench::new(4, eip3436, Vec::new());
        let genesis = bench.genesis.clone();
        let branches = [bench.block(&genesis, 2), bench.block(&genesis, 3)];
        let heads = branches.clone().map(|block| bench.after(&genesis, &block));
        assert_eq!(heads[0].total_difficulty, heads[1].total_difficulty);
        let left = [(0, 1), (1, 0)].into_iter().filter(|(own, other)| {
            bench.start(&heads[*own]);
            !changes(&bench.deliver(&branches[*other])).is_empty()
        });
        assert_eq!(left.count(), usize::from(eip3436), "EIP-3436: {eip3436}");
    }
}
