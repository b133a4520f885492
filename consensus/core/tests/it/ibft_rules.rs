//! One test for each rule of QBFT and each past bug of its implementations.

use crate::ibft_bench::{Bench, executes, foreign, penalties, reports, sent, view};
use crate::ibft_chain::{ENVIRONMENT, genesis, position_at};
use crate::ibft_world::START_UNIX;
use alloy_primitives::B256;
use entente_chain::{
    extra_data::qbft::{QbftExtra, Vote},
    limits::ROUND_MAX,
    spec::EngineKind,
    transaction::Signing,
};
use entente_consensus::{
    Action, Engine, Input, Message, Now, Operation, Record,
    ibft::{self, Kind, PreparePayload, RoundChangePayload},
    message::AdmissionError,
};

fn kinds(actions: &[Action]) -> Vec<Kind> {
    sent(actions).iter().map(|message| message.kind()).collect()
}

#[test]
fn a_proposal_is_executed_prepared_sealed_and_adopted() {
    let mut bench = Bench::new();
    let block = bench.block(0, 0, 1);
    let actions = bench.deliver(bench.proposal(0, block.clone(), vec![], vec![]));
    assert!(executes(&actions), "executed before it is voted for");
    assert!(sent(&actions).is_empty());
    assert_eq!(kinds(&bench.executed(&block)), [Kind::Prepare]);
    bench.deliver(ibft::Message::Prepare(bench.prepares(0, block.hash(), &[0])[0].clone()));
    let actions =
        bench.deliver(ibft::Message::Prepare(bench.prepares(0, block.hash(), &[1])[0].clone()));
    assert_eq!(kinds(&actions), [Kind::Commit]);
    bench.deliver(bench.commit(0, 0, &block));
    let actions = bench.deliver(bench.commit(1, 0, &block));
    assert!(actions.iter().any(|action| matches!(action, Action::Adopt(_))));
}

/// A quorum of commits that is seen before our own execution ended waits for it.
#[test]
fn commits_before_execution_wait_for_it() {
    let mut bench = Bench::new();
    let block = bench.block(0, 0, 1);
    bench.deliver(bench.proposal(0, block.clone(), vec![], vec![]));
    for author in 0..3 {
        let actions = bench.deliver(bench.commit(author, 0, &block));
        assert!(!actions.iter().any(|action| matches!(action, Action::Adopt(_))));
    }
    let actions = bench.executed(&block);
    assert!(actions.iter().any(|action| matches!(action, Action::Adopt(_))));
}

/// electroneum-sc#64: round changes of another round justify nothing.
#[test]
fn round_changes_of_another_round_justify_nothing() {
    let mut bench = Bench::new();
    let block = bench.block(2, 2, 1);
    let stale = bench.changes(1, &[0, 1, 2]);
    let actions = bench.deliver_directly(bench.proposal(2, block, stale, vec![]));
    assert!(!executes(&actions));
    assert_eq!(penalties(&actions), ["a round change asks for another height or round"]);
}

/// charon#1923, and the same for another height.
#[test]
fn round_changes_of_another_height_or_chain_are_refused_at_the_door() {
    let bench = Bench::new();
    let mut other = view(1);
    other.height = 2;
    let payload = RoundChangePayload { view: other, prepared: None };
    let stale = (0..3).map(|author| bench.sign(author, payload)).collect();
    let message = Message::Ibft(bench.proposal(1, bench.block(1, 1, 1), stale, vec![]));
    let refused = AdmissionError::Mismatch("a justification speaks of another height");
    assert_eq!(bench.admit(&message.encode()), Err(refused));
    let payload = PreparePayload { view: view(0), digest: B256::ZERO };
    let message = Message::Ibft(ibft::Message::Prepare(foreign(&bench.keys[0], payload)));
    assert_eq!(bench.admit(&message.encode()), Err(AdmissionError::OtherEnvironment));
}

#[test]
fn one_signer_counts_once_however_often_it_is_listed() {
    let mut bench = Bench::new();
    let block = bench.block(1, 1, 1);
    let changes = bench.changes(1, &[0, 0, 0, 1]);
    let actions = bench.deliver_directly(bench.proposal(1, block, changes, vec![]));
    assert!(!executes(&actions));
    assert_eq!(penalties(&actions), ["fewer round changes than a quorum justify the proposal"]);
}

/// sigp/anchor#592: a round cannot be prepared before it begins.
#[test]
fn a_prepared_round_that_is_not_before_its_own_is_refused() {
    let mut bench = Bench::new();
    let block = bench.block(1, 1, 1);
    let prepares = bench.prepares(1, block.hash(), &[0, 1, 2]);
    let actions = bench.deliver_directly(bench.round_change(0, 1, Some((1, block, prepares))));
    let reason = "a round change names a prepared round that is not before its own";
    assert_eq!(penalties(&actions), [reason]);
}

/// sigp/anchor#549: round 0 can be prepared, and needs its prepares like any other.
#[test]
fn a_block_prepared_in_round_zero_needs_its_certificate() {
    let mut bench = Bench::new();
    let block = bench.block(0, 0, 1);
    let few = bench.prepares(0, block.hash(), &[0, 1]);
    let actions = bench.deliver_directly(bench.round_change(0, 1, Some((0, block.clone(), few))));
    assert_eq!(penalties(&actions), ["fewer prepares than a quorum certify the block"]);
    let twice = bench.prepares(0, block.hash(), &[0, 1, 1]);
    let actions = bench.deliver_directly(bench.round_change(0, 1, Some((0, block, twice))));
    assert_eq!(penalties(&actions), ["fewer prepares than a quorum certify the block"]);
}

/// `isHighestPrepared`; the two-lock scenario of arXiv 1901.07160 and charon#540.
#[test]
fn of_two_locked_blocks_only_the_one_of_the_highest_round_is_justified() {
    let mut bench = Bench::new();
    let low = bench.block(0, 0, 1);
    let high = bench.block(1, 1, 2);
    let lock =
        |round, digest| RoundChangePayload { view: view(2), prepared: Some((round, digest)) };
    let changes = vec![
        bench.sign(0, lock(0, low.hash())),
        bench.sign(1, lock(1, high.hash())),
        bench.changes(2, &[2])[0].clone(),
    ];
    // Re-proposed: the same blocks under round 2.
    let (low, high) = (in_round(&low, 2), in_round(&high, 2));
    let prepares = bench.prepares(0, low.hash(), &[0, 1, 2]);
    let actions = bench.deliver_directly(bench.proposal(2, low, changes.clone(), prepares));
    assert_eq!(
        penalties(&actions),
        ["the proposal is not the block with the highest prepared round"]
    );
    let mut bench = Bench::new();
    let fresh = bench.block(2, 2, 3);
    let actions = bench.deliver_directly(bench.proposal(2, fresh, changes.clone(), vec![]));
    assert!(!executes(&actions), "a new block cannot pass a locked one");
    let mut bench = Bench::new();
    let prepares = bench.prepares(1, high.hash(), &[0, 1, 2]);
    let actions = bench.deliver_directly(bench.proposal(2, high.clone(), changes, prepares));
    assert!(executes(&actions));
    assert_eq!(kinds(&bench.executed(&high)), [Kind::Prepare]);
}

fn in_round(block: &entente_chain::RecoveredBlock, round: u64) -> entente_chain::RecoveredBlock {
    let mut extra = QbftExtra::decode(&block.header.extra_data).expect("extraData");
    extra.round = round;
    let mut header = block.header.header().clone();
    header.extra_data = extra.encode();
    block.with_header(entente_chain::SealedHeader::new(header, block.hash()))
}

/// GHSA-23rh: rounds from outside are bounded, and F+1 validators move us to the smallest.
#[test]
fn huge_rounds_are_refused_and_one_validator_moves_nobody() {
    let mut bench = Bench::new();
    let message = Message::Ibft(bench.round_change(0, ROUND_MAX + 1, None));
    let refused = AdmissionError::Round { got: ROUND_MAX + 1, allowed: ROUND_MAX };
    assert_eq!(bench.admit(&message.encode()), Err(refused));
    for round in 0..200 {
        assert!(sent(&bench.deliver(bench.round_change(0, ROUND_MAX - round, None))).is_empty());
    }
    assert_eq!(bench.engine.status(Now::default()).round, 0);
    let actions = bench.deliver(bench.round_change(1, 7, None));
    assert_eq!(sent(&actions).iter().map(|message| message.view().round).next(), Some(7));
}

/// A signature under one message type is worth nothing under another.
#[test]
fn a_prepare_cannot_be_replayed_as_a_proposal() {
    let bench = Bench::new();
    let prepare = bench.prepares(0, B256::repeat_byte(1), &[0])[0].clone();
    let frame = Message::Ibft(ibft::Message::Prepare(prepare)).encode();
    let mut forged = frame.to_vec();
    let code = forged.iter().position(|byte| *byte == 0x13).expect("the code");
    forged[code] = 0x12;
    assert!(bench.admit(&forged.into()).is_err());
}

#[test]
fn damaged_frames_are_refused_and_never_panic() {
    let bench = Bench::new();
    let block = bench.block(1, 1, 1);
    let changes = bench.changes(1, &[0, 1, 2]);
    let frame = Message::Ibft(bench.proposal(1, block, changes, vec![])).encode();
    assert!(bench.admit(&frame).is_ok());
    for length in 0..frame.len() {
        assert!(bench.admit(&frame.slice(..length)).is_err(), "cut to {length} bytes");
    }
    for index in 0..frame.len() {
        let mut damaged = frame.to_vec();
        damaged[index] ^= 0x41;
        // Seals of the proposer's own header are not signed; anything else must be noticed.
        drop(bench.admit(&damaged.into()));
    }
}

#[test]
fn a_validator_that_prepares_twice_is_reported_once() {
    let mut bench = Bench::new();
    let vote = |bench: &Bench, byte| {
        let digest = B256::repeat_byte(byte);
        ibft::Message::Prepare(bench.prepares(0, digest, &[0])[0].clone())
    };
    assert_eq!(reports(&bench.deliver(vote(&bench, 1))), 0);
    assert_eq!(reports(&bench.deliver(vote(&bench, 2))), 1);
    assert_eq!(reports(&bench.deliver(vote(&bench, 3))), 0);
}

/// B2 over a crash: who prepared a block says the same again, and nothing else in that round.
#[test]
fn a_restart_between_prepare_and_commit_votes_as_before() {
    let mut bench = Bench::new();
    let block = bench.block(0, 0, 1);
    bench.deliver(bench.proposal(0, block.clone(), vec![], vec![]));
    bench.executed(&block);
    let again = bench.restart();
    let said: Vec<_> = sent(&again).into_iter().cloned().collect();
    assert!(matches!(&said[..], [ibft::Message::Prepare(p)] if p.payload().digest == block.hash()));
    let other = bench.block(0, 0, 2);
    bench.deliver(bench.proposal(0, other.clone(), vec![], vec![]));
    assert!(sent(&bench.executed(&other)).is_empty(), "no second prepare in round 0");
}

/// Seed 18: a block that was prepared in the current round must not change (by being the newest
/// certificate after a restart) what our round change to this round says.
#[test]
fn a_restart_repeats_the_certificate_of_its_round_change() {
    let mut bench = Bench::new();
    let block = bench.block(0, 0, 1);
    let prepares = bench.prepares(0, block.hash(), &[0, 1, 2]);
    bench.deliver(bench.proposal(0, block.clone(), vec![], vec![]));
    bench.executed(&block);
    for author in 0..2 {
        let prepare = bench.prepares(0, block.hash(), &[author])[0].clone();
        bench.deliver(ibft::Message::Prepare(prepare));
    }
    bench.deliver(bench.round_change(0, 1, None));
    let asked = bench.deliver(bench.round_change(1, 1, None));
    let first = sent(&asked)[0].clone();
    assert_eq!(first.kind(), Kind::RoundChange);
    let lock = RoundChangePayload { view: view(1), prepared: Some((0, block.hash())) };
    let changes = (0..3).map(|author| bench.sign(author, lock)).collect();
    bench.deliver(bench.proposal(1, in_round(&block, 1), changes, prepares));
    for author in 0..2 {
        let prepare = bench.prepares(1, block.hash(), &[author])[0].clone();
        bench.deliver(ibft::Message::Prepare(prepare));
    }
    let again = bench.restart();
    let said = sent(&again).into_iter().find(|message| message.kind() == Kind::RoundChange);
    let (ibft::Message::RoundChange(first), Some(ibft::Message::RoundChange(said))) = (first, said)
    else {
        panic!("a round change is said again");
    };
    assert_eq!(said.signed, first.signed);
}

/// besu#2095: a round does not run out while its block is not due.
#[test]
fn the_timer_of_round_zero_begins_when_a_block_is_due() {
    let mut bench = Bench::new();
    bench.now = 999;
    bench.step(Input::Wake);
    assert_eq!(bench.engine.next_deadline(), Some(1000));
    bench.now = 1000;
    bench.step(Input::Wake);
    bench.now = 2900;
    assert!(sent(&bench.step(Input::Wake)).is_empty());
}

/// With capped timers that start at once, validators a little less than a timeout apart follow each
/// other for ever: a later round runs out only once a quorum is known to be there.
#[test]
fn a_later_round_runs_out_only_after_a_quorum_came() {
    let mut bench = Bench::new();
    let asks = |actions: &[Action]| kinds(actions).contains(&Kind::RoundChange);
    let wait = |bench: &mut Bench, time: u64| {
        let until = bench.now + time;
        let mut rounds = Vec::new();
        while bench.now < until {
            bench.now += 500;
            let actions = bench.step(Input::Wake);
            rounds.extend(sent(&actions).iter().map(|message| message.view().round));
        }
        rounds
    };
    assert_eq!(wait(&mut bench, 10_000).last(), Some(&1), "round 0 ends by itself");
    assert_eq!(wait(&mut bench, 300_000).iter().max(), Some(&1), "nobody else is in round 1");
    for author in 0..2 {
        assert!(!asks(&bench.deliver(bench.round_change(author, 1, None))));
    }
    assert_eq!(wait(&mut bench, 20_000).iter().max(), Some(&2), "a quorum was, in vain");
}

/// S6 after a switch from Clique: what was said at a height binds, also on another parent.
#[test]
fn votes_bind_although_the_block_below_changes() {
    let mut bench = Bench::new();
    let block = bench.block(0, 0, 1);
    bench.deliver(bench.proposal(0, block.clone(), vec![], vec![]));
    assert_eq!(kinds(&bench.executed(&block)), [Kind::Prepare]);
    bench.head = genesis(EngineKind::Qbft, &bench.set, START_UNIX / 1000 - 1);
    let position = position_at(bench.head.clone(), &bench.set);
    bench.step(Input::Committed(position));
    let other = bench.block(0, 0, 2);
    assert_ne!(other.hash(), block.hash());
    assert!(executes(&bench.deliver(bench.proposal(0, other.clone(), vec![], vec![]))));
    assert!(kinds(&bench.executed(&other)).is_empty(), "prepared another block in this round");
}

#[test]
fn strangers_are_not_listened_to() {
    let bench = Bench::new();
    let stranger = crate::ibft_chain::signers(9)
        .into_iter()
        .find(|key| !bench.set.contains(key.address()))
        .expect("more keys than validators");
    let payload = PreparePayload { view: view(0), digest: B256::ZERO };
    let prepare = ibft::Signed::sign(payload, ENVIRONMENT, &stranger);
    let frame = Message::Ibft(ibft::Message::Prepare(prepare)).encode();
    assert_eq!(bench.admit(&frame), Err(AdmissionError::NotValidator(stranger.address())));
}

/// A quorum of round changes makes the next proposer build at once; the operator's vote goes along
/// when it would change something.
#[test]
fn a_quorum_of_round_changes_has_the_new_proposer_build_with_its_vote() {
    let mut bench = Bench::new();
    let candidate = alloy_primitives::Address::repeat_byte(0x77);
    let member = bench.keys[1].address();
    for (candidate, add) in [(candidate, true), (member, true)] {
        bench.step(Input::Operator(Operation::ProposeValidator { candidate, add }));
    }
    bench.deliver(bench.round_change(0, 3, None));
    let actions = bench.deliver(bench.round_change(1, 3, None));
    let build = actions.iter().find_map(|action| match action {
        Action::Build { request, attributes } => Some((*request, attributes.clone())),
        _ => None,
    });
    let (request, attributes) = build.expect("a quorum with our own round change");
    let extra = QbftExtra::decode(&attributes.extra_data).expect("extraData");
    assert_eq!(extra.vote, Some(Vote { recipient: candidate, add: true }));
    assert_eq!((extra.round, extra.validators), (3, bench.set.addresses().to_vec()));
    let block = Ok(crate::ibft_chain::build(EngineKind::Qbft, &attributes, 5, false));
    let actions = bench.step(Input::Built { request, block });
    assert_eq!(kinds(&actions), [Kind::Proposal, Kind::Prepare], "building executed it");
}

#[test]
fn records_survive_the_log_and_damaged_ones_are_refused() {
    let mut bench = Bench::new();
    let block = bench.block(0, 0, 1);
    bench.deliver(bench.proposal(0, block.clone(), vec![], vec![]));
    bench.executed(&block);
    for author in 0..2 {
        let prepare = bench.prepares(0, block.hash(), &[author])[0].clone();
        bench.deliver(ibft::Message::Prepare(prepare));
    }
    bench.deliver(bench.round_change(0, 1, None));
    bench.deliver(bench.round_change(1, 1, None));
    assert_eq!(bench.log.len(), 4, "prepare, certificate, commit, round");
    for record in &bench.log {
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes, ENVIRONMENT, Signing::Ethereum).as_ref(), Ok(record));
        for length in 0..bytes.len() {
            assert!(Record::decode(&bytes[..length], ENVIRONMENT, Signing::Ethereum).is_err());
        }
    }
}

/// Else relays would pass a message on to each other for ever.
#[test]
fn a_message_is_relayed_once() {
    let mut bench = Bench::new();
    let prepare = ibft::Message::Prepare(bench.prepares(0, B256::ZERO, &[0])[0].clone());
    let relays = |actions: &[Action]| {
        actions.iter().filter(|action| matches!(action, Action::Relay { .. })).count()
    };
    assert_eq!(relays(&bench.deliver(prepare.clone())), 1);
    assert_eq!(relays(&bench.deliver(prepare)), 0);
}
