//! Frames and words that no honest member sends: each is refused by name, and moves neither term,
//! vote nor block.

use crate::{
    ibft_chain::ENVIRONMENT,
    ibft_world::id,
    raft_bench::{Bench, adopts, answer, executes, reports, said, sealed},
};
use alloy_primitives::{Address, B256, Bytes};
use entente_chain::{
    BlockBody, EnvironmentId, Header, RecoveredBlock, SealedHeader,
    limits::{CONSENSUS_FRAME_BYTES_MAX, FUTURE_HEIGHTS_MAX, ROUND_MAX},
};
use entente_consensus::{
    Message,
    raft::{self, Body, Position},
};
use std::sync::Arc;

/// A member's block whose header was changed before it was sealed.
fn changed(bench: &Bench, change: impl FnOnce(&mut Header)) -> RecoveredBlock {
    let block = bench.block(1, 1, 1);
    let mut header = block.header.header().clone();
    change(&mut header);
    let hash = header.hash_slow();
    sealed(&block.with_header(SealedHeader::new(header, hash)), &bench.keys[1])
}

fn with_body(bench: &Bench, change: impl FnOnce(&mut BlockBody)) -> RecoveredBlock {
    let block = bench.block(1, 1, 1);
    let BlockBody { transactions, ommers, withdrawals } = &*block.body;
    let mut body = BlockBody {
        transactions: transactions.clone(),
        ommers: ommers.clone(),
        withdrawals: withdrawals.clone(),
    };
    change(&mut body);
    RecoveredBlock { header: block.header, body: Arc::new(body) }
}

fn asks(position: Position, proposed: u64) -> Body {
    Body::AskVote { position, proposed, transfer: false, trial: false }
}

fn changed_last_byte(frame: &Bytes, last: u8) -> Bytes {
    let mut frame = frame.to_vec();
    *frame.last_mut().expect("a frame") = last;
    frame.into()
}

fn elsewhere(bench: &Bench) -> Bytes {
    let environment = EnvironmentId(B256::repeat_byte(9));
    let (author, body) = (bench.address(1), Body::TimeoutNow);
    Message::Raft(Box::new(raft::Message { environment, author, term: 1, body })).encode()
}

/// What is wrong with the envelope of a message.
fn bad_envelopes(bench: &Bench) -> Vec<(Bytes, &'static str)> {
    let start = Position { height: 1, term: 0 };
    let timeout_now = bench.frame(1, 1, Body::TimeoutNow);
    let change = entente_consensus::engine::MemberChange::Remove;
    let change = bench.frame(1, 1, Body::Change { member: bench.address(2), change });
    let (nonce, block) = (1, Some(bench.block(1, 1, 1)));
    let misplaced = Body::Recovered { nonce, position: Position { height: 2, term: 1 }, block };
    vec![
        (vec![2; CONSENSUS_FRAME_BYTES_MAX + 1].into(), "frame has"),
        (Bytes::new(), "frame begins with None"),
        (vec![9].into(), "frame begins with Some(9)"),
        // A list that claims 2^63 bytes, and a list where text is due.
        (vec![2, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0].into(), "not a consensus message"),
        (vec![2, 0xc1, 0xc0].into(), "not a consensus message"),
        ([timeout_now.as_ref(), &[0]].concat().into(), "trailing bytes"),
        (elsewhere(bench), "another environment"),
        (bench.frame(1, ROUND_MAX + 1, Body::TimeoutNow), "round"),
        (bench.frame(1, 1, asks(start, ROUND_MAX + 1)), "round"),
        (bench.frame(1, 1, asks(Position { height: 1, term: u64::MAX }, 1)), "round"),
        (changed_last_byte(&timeout_now, 10), "message code 0xa is unknown"),
        (changed_last_byte(&change, 5), "message code 0x5 is unknown"),
        (bench.frame(1, 1, misplaced), "not at the position"),
    ]
}

/// What is wrong with a block that a message carries.
fn bad_blocks(bench: &Bench) -> Vec<(RecoveredBlock, &'static str)> {
    let ahead = FUTURE_HEIGHTS_MAX + 1;
    let of_another = sealed(&bench.block(1, 1, 1), &bench.keys[2]);
    let block = bench.block(1, 1, 1);
    let mut header = block.header.header().clone();
    header.extra_data = vec![0; 40].into();
    let hash = header.hash_slow();
    let shapeless = block.with_header(SealedHeader::new(header, hash));
    vec![
        (changed(bench, |header| header.number = ahead), "height 5 is outside 0 to 4"),
        (changed(bench, |header| header.number = u64::MAX), "is outside 0 to 4"),
        (with_body(bench, |body| body.ommers.push(Header::default())), "uncles or withdrawals"),
        (with_body(bench, |body| body.withdrawals = None), "uncles or withdrawals"),
        (with_body(bench, |body| body.transactions.clear()), "not those of the header"),
        (
            with_body(bench, |body| {
                body.transactions = vec![body.transactions[0].clone(); 100_001];
            }),
            "100001 transactions, at most 100000",
        ),
        (of_another, "seal was made by"),
        (shapeless, "extraData"),
    ]
}

#[test]
fn each_hostile_frame_is_refused_by_name() {
    let bench = Bench::new(3, 3);
    let carried =
        |(block, name): (RecoveredBlock, _)| (bench.frame(1, 1, bench.append(Some(block))), name);
    let blocks = bad_blocks(&bench).into_iter().map(carried);
    for (frame, name) in bad_envelopes(&bench).into_iter().chain(blocks) {
        let refused = bench.admit(&frame).expect_err(name).to_string();
        assert!(refused.contains(name), "{name}: {refused}");
    }
}

#[test]
fn every_cut_of_a_frame_is_refused_and_no_flipped_bit_gets_a_block_adopted() {
    let mut bench = Bench::new(3, 3);
    let frame = bench.frame(1, 1, bench.append(Some(bench.block(1, 1, 1))));
    for length in 0..frame.len() {
        assert!(bench.admit(&frame.slice(..length)).is_err(), "cut to {length} bytes");
    }
    for at in 0..frame.len() {
        let mut flipped = frame.to_vec();
        flipped[at] ^= 1 << (at % 8);
        let Ok(message) = bench.admit(&flipped.into()) else { continue };
        let done = bench.step(entente_consensus::Input::Message { from: id(1), message });
        assert!(adopts(&done.actions).is_empty(), "byte {at}");
    }
}

/// A follower of node 1 in term 3 that accepted its block; node 3 is a learner.
fn follower() -> (Bench, RecoveredBlock) {
    let mut bench = Bench::new(4, 3);
    let block = bench.block(1, 3, 1);
    bench.say(1, 3, bench.append(Some(block.clone())));
    bench.executed(&block);
    assert_eq!((bench.role(), bench.term()), ("voter", 3));
    (bench, block)
}

#[test]
fn no_hostile_word_moves_a_follower() {
    let (mut bench, block) = follower();
    let records = bench.log.len();
    let gap = changed(&bench, |header| header.number = 3);
    let stale = bench.append(Some(bench.block(2, 1, 7)));
    let from_later_term = bench.append(Some(bench.block(1, 9, 7)));
    let granted = Body::Vote { proposed: 4, granted: true, trial: false };
    let (nonce, position) = (u64::MAX, Position { height: 9, term: 9 });
    let recovered = Body::Recovered { nonce, position, block: None };
    let ahead = Position { height: 1 << 40, term: 3 };
    let transfer = Body::Transfer { to: bench.address(3) };
    // Over whose connection, as whom, in which term.
    let words = [
        ("a leader of an earlier term", 2, 2, 1, stale),
        ("a gap in the log", 1, 1, 3, bench.append(Some(gap))),
        ("a block from a later term than its leader's", 1, 1, 3, from_later_term),
        ("a vote that nobody asked for", 2, 2, 3, granted),
        ("an acceptance sent to no leader", 2, 2, 3, answer(0, block.hash())),
        ("an answer to no question", 2, 2, 3, recovered),
        ("somebody else's order to take over", 2, 2, 3, Body::TimeoutNow),
        ("a candidate while the leader is heard", 2, 2, 3, asks(ahead, 4)),
        ("a learner that wants to lead", 3, 3, 4, asks(ahead, 5)),
        ("a learner that leads", 3, 3, 5, bench.append(None)),
        ("an order to one that does not lead", 3, 3, 3, transfer),
        ("a leader's name over another connection", 2, 1, 9, bench.append(None)),
    ];
    for (what, node, author, term, body) in words {
        let done = bench.say_over(node, author, term, body);
        assert!(executes(&done.actions).is_empty() && adopts(&done.actions).is_empty(), "{what}");
        assert_eq!((bench.role(), bench.term()), ("voter", 3), "{what}");
        assert_eq!(bench.log.len(), records, "{what}");
    }
    let done = bench.say(2, 3, bench.append(None));
    assert_eq!(reports(&done.actions), ["two leaders in one term"]);
}

#[test]
fn a_word_that_comes_a_thousand_times_is_written_and_executed_once() {
    let (mut bench, block) = follower();
    let records = bench.log.len();
    for _ in 0..1_000 {
        let done = bench.say(1, 3, bench.append(Some(block.clone())));
        assert!(executes(&done.actions).is_empty());
        assert_eq!(said(&done.actions), [(3, answer(0, block.hash()))]);
    }
    assert_eq!(bench.log.len(), records);
}

/// Removed, or never there: it asks for votes in the highest term there is.
#[test]
fn who_is_no_member_is_not_answered() {
    let (mut bench, _) = follower();
    let position = Position { height: 1, term: 3 };
    for author in [Address::repeat_byte(5), Address::ZERO, bench.address(0)] {
        let body = asks(position, ROUND_MAX);
        let (environment, term) = (ENVIRONMENT, ROUND_MAX);
        let message = raft::Message { environment, author, term, body };
        let frame = Message::Raft(Box::new(message)).encode();
        let message = bench.admit(&frame).expect("well-formed");
        let done = bench.step(entente_consensus::Input::Message { from: id(2), message });
        assert!(done.actions.is_empty() && !done.persisted, "{author}");
        assert_eq!(bench.term(), 3, "{author}");
    }
}
