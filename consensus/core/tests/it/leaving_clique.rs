//! Clique's last block is not final, and the next engine decides on top of it: one test for each bug
//! that seeds of the simulator found there.

use crate::{
    clique_bench::{Bench, changes},
    ibft_bench::{executes, sent},
    ibft_chain::{ENVIRONMENT, genesis, position_at},
    ibft_world::{START_UNIX, id},
    raft_bench::{said, sealed},
    raft_chain::build,
};
use alloy_primitives::{Address, B256, U256};
use entente_chain::{
    RecoveredBlock,
    extra_data::{
        qbft::{QbftExtra, Seal},
        raft::{RaftExtra, RaftTerm},
    },
    header_hash::{self, qbft_commit_digest},
    spec::EngineKind,
    transition::Transition,
};
use entente_consensus::{
    Action, BuildAttributes, ChainPosition, Input, Message, Verdict,
    ibft::{self, Kind, Payload, PreparePayload, RoundChange, RoundChangePayload, Signed, View},
    raft::{self, Body, Commit, Position},
};
use std::time::Duration;

/// Clique makes block 1, the other engine those after it.
fn leaving_for(engine: EngineKind, signers: usize) -> Bench {
    let change = Transition { block: 2, engine: Some(engine), ..Transition::default() };
    let mut bench = Bench::new(signers, false, vec![change]);
    let genesis = bench.genesis.clone();
    bench.start(&genesis);
    for signer in 0..signers {
        let (node, validator) = (id(signer + 1), Some(bench.keys[signer].address()));
        bench.step(Input::Peer { node, validator, connected: true });
    }
    bench
}

/// A lighter and a heavier block 1.
fn branches(bench: &Bench) -> (RecoveredBlock, RecoveredBlock) {
    (bench.block(&bench.genesis, 0), bench.block(&bench.genesis, 1))
}

/// The engine takes a block 1 of a peer for its head.
fn stand_on(bench: &mut Bench, block: &RecoveredBlock) -> ChainPosition {
    bench.deliver(block);
    let position = bench.after(&bench.genesis.clone(), block);
    bench.commit(&position);
    position
}

fn sign<P: Payload>(bench: &Bench, author: usize, payload: P) -> Signed<P> {
    Signed::sign(payload, ENVIRONMENT, &bench.keys[author])
}

fn prepare(bench: &Bench, author: usize, block: &RecoveredBlock) -> Signed<PreparePayload> {
    let view = View { height: 2, round: 0 };
    sign(bench, author, PreparePayload { view, digest: block.hash() })
}

/// The engine prepares a block of QBFT on its head, and hears that another one did: it commits.
fn commits(bench: &mut Bench) -> RecoveredBlock {
    let (block, proposal) = bench.proposal(1);
    assert!(executes(&bench.hear(&proposal)));
    bench.step(Input::Executed { block: block.hash(), verdict: Verdict::Valid });
    let prepare = ibft::Message::Prepare(prepare(bench, 0, &block));
    let actions = bench.hear(&Message::Ibft(prepare));
    assert!(sent(&actions).iter().any(|message| message.kind() == Kind::Commit));
    block
}

/// The block with the seals of signers 0 and 1.
fn decided(bench: &Bench, block: &RecoveredBlock) -> RecoveredBlock {
    let mut header = block.header.header().clone();
    let mut extra = QbftExtra::decode(&header.extra_data).expect("extraData");
    let digest = qbft_commit_digest(&header, &extra);
    extra.committed_seals = bench.keys.iter().take(2).map(|key| key.sign(digest)).collect();
    header.extra_data = extra.encode();
    block.with_header(header_hash::seal(EngineKind::Qbft, header).expect("extraData"))
}

/// Switch seed 3297: QBFT had decided a block on a branch of Clique, and half of the validators went
/// to another one that was a little heavier, for good.
#[test]
fn a_decided_block_brings_its_branch_along() {
    let mut bench = leaving_for(EngineKind::Qbft, 3);
    let (light, heavy) = branches(&bench);
    stand_on(&mut bench, &light);
    let (block, _) = bench.proposal(1);
    let block = decided(&bench, &block);
    let heavy_head = bench.after(&bench.genesis.clone(), &heavy);
    bench.start(&heavy_head);
    let node = id(1);
    bench.step(Input::Peer { node, validator: None, connected: true });
    bench.step(Input::PeerHead { node, number: 2, hash: block.hash() });
    bench.now += 1_000;
    let asked = bench.step(Input::Wake);
    let request = asked.iter().find_map(|action| match action {
        Action::Fetch { request, .. } if request.is_of_engine() => Some(*request),
        _ => None,
    });
    let blocks = Ok(vec![light, block.clone()]);
    let request = request.expect("an unknown branch is asked for");
    assert_eq!(changes(&bench.step(Input::Fetched { request, blocks })), [(0, block.hash())]);
}

/// A block that is only proposed would push its branch otherwise.
#[test]
fn a_block_of_the_next_engine_is_not_taken_from_whoever_sends_it() {
    let mut bench = leaving_for(EngineKind::Qbft, 3);
    let (light, heavy) = branches(&bench);
    stand_on(&mut bench, &light);
    let (block, _) = bench.proposal(1);
    let block = decided(&bench, &block);
    stand_on(&mut bench, &heavy);
    assert!(changes(&bench.deliver(&block)).is_empty());
}

/// Found by reading, for the seed above: a validator that had committed to a block went to a heavier
/// branch and helped to decide another block there.
#[test]
fn who_committed_to_a_block_stays_on_its_parent() {
    let mut bench = leaving_for(EngineKind::Qbft, 3);
    let (light, heavy) = branches(&bench);
    let ours = stand_on(&mut bench, &light);
    commits(&mut bench);
    assert!(changes(&bench.deliver(&heavy)).is_empty());
    bench.start(&ours);
    assert!(changes(&bench.deliver(&heavy)).is_empty(), "after a restart");
}

/// The same where the chain was on its way already: it comes back, also when the process begins
/// there.
#[test]
fn who_committed_to_a_block_goes_back_to_its_parent() {
    let mut bench = leaving_for(EngineKind::Qbft, 3);
    let (light, heavy) = branches(&bench);
    stand_on(&mut bench, &light);
    commits(&mut bench);
    let heavy_head = bench.after(&bench.genesis.clone(), &heavy);
    let changed = bench.step(Input::Committed(heavy_head.clone()));
    assert_eq!(changes(&changed), [(0, light.hash())]);
    let genesis = bench.genesis.clone();
    bench.start(&genesis);
    bench.deliver(&heavy);
    bench.commit(&heavy_head);
    assert_eq!(changes(&bench.deliver(&light)), [(0, light.hash())]);
}

/// Others follow: only on that parent can they execute what may have been decided.
#[test]
fn a_certificate_of_a_block_brings_others_to_its_parent() {
    let mut bench = leaving_for(EngineKind::Qbft, 3);
    let (light, heavy) = branches(&bench);
    stand_on(&mut bench, &light);
    let (block, _) = bench.proposal(1);
    let prepares = vec![prepare(&bench, 0, &block), prepare(&bench, 1, &block)];
    stand_on(&mut bench, &heavy);
    let view = View { height: 2, round: 1 };
    let payload = RoundChangePayload { view, prepared: Some((0, block.hash())) };
    let signed = sign(&bench, 0, payload);
    let change = RoundChange { signed, block: Some(block), prepares };
    let change = Message::Ibft(ibft::Message::RoundChange(Box::new(change)));
    assert_eq!(changes(&bench.hear(&change)), [(0, light.hash())]);
}

/// A lock is part of what a validator promised: it was forgotten with the parent.
#[test]
fn a_lock_outlives_its_parent() {
    let mut bench = crate::ibft_bench::Bench::new();
    let block = bench.block(0, 0, 1);
    bench.deliver(bench.proposal(0, block.clone(), vec![], vec![]));
    bench.executed(&block);
    for prepare in bench.prepares(0, block.hash(), &[0, 1]) {
        bench.deliver(ibft::Message::Prepare(prepare));
    }
    bench.head = genesis(EngineKind::Qbft, &bench.set, START_UNIX / 1000 - 1);
    let position = position_at(bench.head.clone(), &bench.set);
    bench.step(Input::Committed(position));
    let named = |actions: &[Action]| {
        sent(actions).into_iter().find_map(|message| match message {
            ibft::Message::RoundChange(change) => Some(change.signed.payload().prepared),
            _ => None,
        })
    };
    bench.now += 10_000;
    let asked = named(&bench.step(Input::Wake)).expect("round 0 is over");
    assert_eq!(asked, Some((0, block.hash())));
}

/// A member's block of Raft on the head.
fn raft_block(bench: &Bench, author: usize) -> RecoveredBlock {
    let head = &bench.head;
    let leader = bench.keys[author].address();
    let member = head.tally.members().iter().find(|member| member.address == leader);
    let extra = RaftExtra {
        vanity: B256::ZERO,
        raft_id: member.map_or(1, |member| member.id),
        signature: Seal::ZERO,
        term: Some(RaftTerm { term: 1, change: None }),
    };
    let attributes = BuildAttributes {
        parent: head.head.hash(),
        number: head.head.number + 1,
        timestamp: head.head.timestamp,
        beneficiary: leader,
        extra_data: extra.encode(),
        nonce: 0,
        difficulty: U256::ZERO,
        time_limit: Duration::ZERO,
    };
    sealed(&build(&bench.rules, &head.head, &attributes, 1, true), &bench.keys[author])
}

fn say(bench: &mut Bench, term: u64, body: Body) -> Vec<Action> {
    let author: Address = bench.keys[0].address();
    let message = raft::Message { environment: ENVIRONMENT, author, term, body };
    bench.hear(&Message::Raft(Box::new(message)))
}

/// As with QBFT: a majority that accepted a block may be all that is left of it. Switch seed 8851: who
/// had left its parent led, and proposed it for ever to others that could not execute it either.
#[test]
fn who_accepted_a_block_of_raft_stays_on_its_parent() {
    let mut bench = leaving_for(EngineKind::Raft, 2);
    let (light, heavy) = branches(&bench);
    bench.deliver(&light);
    let ours = bench.after(&bench.genesis.clone(), &light);
    let mut asked = bench.commit(&ours);
    bench.now += 300;
    asked.extend(bench.step(Input::Wake));
    let nonce = said(&asked).into_iter().find_map(|(_, body)| match body {
        Body::Recover { nonce, .. } => Some(nonce),
        _ => None,
    });
    let (nonce, position) = (nonce.expect("asks the other voter"), Position { height: 2, term: 0 });
    say(&mut bench, 0, Body::Recovered { nonce, position, block: None });
    let block = raft_block(&bench, 0);
    let commit = Commit { number: 1, hash: light.hash() };
    assert!(executes(&say(&mut bench, 1, Body::Append { commit, block: Some(block.clone()) })));
    bench.step(Input::Executed { block: block.hash(), verdict: Verdict::Valid });
    assert!(changes(&bench.deliver(&heavy)).is_empty());
    bench.start(&ours);
    assert!(changes(&bench.deliver(&heavy)).is_empty(), "after a restart");
    bench.deliver(&light);
    let left = bench.after(&bench.genesis.clone(), &heavy);
    let changed = bench.step(Input::Committed(left));
    assert_eq!(changes(&changed), [(0, light.hash())], "it goes back");
}
