//! Frames and blocks that no honest signer sends under Clique: each is refused by name, costs whoever
//! passed it on, and is neither executed nor relayed.

use crate::{
    ibft_chain::{ENVIRONMENT, berlin_chain, signers},
    ibft_world::{START_UNIX, id, recovered},
};
use alloy_consensus::constants::EMPTY_ROOT_HASH;
use alloy_primitives::{Address, B64, B256, Bytes, U256};
use entente_chain::{
    BlockBody, BlockNumber, EnvironmentId, Header, RecoveredBlock, SealedHeader,
    extra_data::{clique::CliqueExtra, qbft::Seal},
    limits::{CONSENSUS_FRAME_BYTES_MAX, FUTURE_HEIGHTS_MAX, REORGANISATION_BLOCKS_MAX},
    signer::SealSigner,
    spec::{BlockRules, EngineKind},
};
use entente_consensus::{
    Action, BuildAttributes, ChainPosition, Engine, ImportId, Input, Message, Now, Step,
    clique::{self, Clique, CliqueSettings},
    message::{AdmissionError, Admitted, Gate, admit},
    rules::{HeaderError, HeaderRules, clique_digest, next_header, rules_for},
};
use std::{convert::Infallible, sync::Arc, time::Duration};

const SIGNERS: usize = 4;
const EPOCH: u64 = 10;

/// A chain of four signers, a block a second, and a node that follows it.
struct Bench {
    keys: Vec<SealSigner>,
    rules: HeaderRules,
    head: ChainPosition,
    engine: Clique,
}

impl Bench {
    fn new() -> Self {
        let genesis_rules = BlockRules {
            block_period_ms: 1000,
            epoch_length: EPOCH,
            eip3436: true,
            ..BlockRules::new(EngineKind::Clique)
        };
        let spec = berlin_chain(genesis_rules, Vec::new());
        let rules = rules_for(Arc::clone(&spec));
        let keys = signers(SIGNERS);
        let addresses: Vec<Address> = keys.iter().map(SealSigner::address).collect();
        let header = Header {
            timestamp: START_UNIX / 1000,
            gas_limit: 30_000_000,
            difficulty: U256::ONE,
            extra_data: CliqueExtra { signers: addresses.clone(), ..Default::default() }.encode(),
            ..Header::default()
        };
        let tally = rules.initial_tally(&addresses).expect("signers");
        let (hash, next) = (header.hash_slow(), tally.validators().clone());
        let head = SealedHeader::new(header, hash);
        let head = ChainPosition { head, next, tally, total_difficulty: U256::ONE };
        let settings = CliqueSettings { environment: ENVIRONMENT, vanity: B256::ZERO, seed: 5 };
        let engine = Clique::new(spec, None, settings);
        let mut bench = Self { keys, rules, head, engine };
        let (position, ancestors, records) = (bench.head.clone(), Vec::new(), Vec::new());
        bench.step(Input::Recovered { position, ancestors, records });
        bench
    }

    /// The clock stands at the head's time and a second.
    fn step(&mut self, input: Input) -> Vec<Action> {
        let elapsed = 1000 * (self.head.head.number + 1);
        let now = Now { elapsed, unix: START_UNIX + elapsed };
        let mut step = Step::default();
        self.engine.step(now, input, &mut step);
        let mut actions = Vec::new();
        let performed = step.perform(|_| Ok::<(), Infallible>(()), |action| actions.push(action));
        assert!(performed.is_ok());
        actions
    }

    /// The block of a signer on the head, changed before it is sealed.
    fn block(&self, signer: usize, change: impl FnOnce(&mut Header)) -> RecoveredBlock {
        let number = self.head.head.number + 1;
        let in_turn = number % SIGNERS as u64 == signer as u64;
        let attributes = BuildAttributes {
            parent: self.head.head.hash(),
            number,
            timestamp: self.head.head.timestamp + 1,
            beneficiary: Address::ZERO,
            extra_data: CliqueExtra::default().encode(),
            nonce: 0,
            difficulty: U256::from(1 + u8::from(in_turn)),
            time_limit: Duration::ZERO,
        };
        let mut header = next_header(self.rules.spec(), &self.head.head, &attributes);
        header.transactions_root = EMPTY_ROOT_HASH;
        change(&mut header);
        if let Ok(mut extra) = CliqueExtra::decode(&header.extra_data) {
            extra.seal = self.keys[signer].sign(clique_digest(&header, &extra));
            header.extra_data = extra.encode();
        }
        block_of(header)
    }

    /// The chain goes on with the blocks of signers in turn.
    fn grow(&mut self, to: BlockNumber) {
        while self.head.head.number < to {
            let next = self.head.head.number + 1;
            let turn = usize::try_from(next).expect("small") % SIGNERS;
            let signers = if next.is_multiple_of(EPOCH) { self.listed() } else { Vec::new() };
            let extra = CliqueExtra { signers, ..CliqueExtra::default() };
            let block = self.block(turn, |header| header.extra_data = extra.encode());
            assert_eq!(self.check(&block), Ok(()));
            let tally = self.rules.tally_after(&block.header, self.head.tally.clone());
            let tally = tally.expect("a tally");
            self.head = ChainPosition {
                head: block.header.clone(),
                next: tally.validators().clone(),
                tally,
                total_difficulty: self.head.total_difficulty + block.header.difficulty,
            };
            self.step(Input::Committed(self.head.clone()));
        }
    }

    fn listed(&self) -> Vec<Address> {
        self.keys.iter().map(SealSigner::address).collect()
    }

    /// What the rules say about a block on the head.
    fn check(&self, block: &RecoveredBlock) -> Result<(), HeaderError> {
        let (header, head) = (&block.header, &self.head);
        let unix = START_UNIX / 1000 + head.head.number + 1;
        self.rules.check_alone(header, unix)?;
        self.rules.check_with_parent(header, &head.head, &head.tally)?;
        self.rules.check_seals(header, head.tally.validators())?;
        self.rules.tally_after(header, head.tally.clone()).map(|_| ())
    }

    fn admit(&self, frame: &Bytes) -> Result<Admitted, AdmissionError> {
        let (head, validators) = (self.head.head.number, &self.head.next);
        let gate = Gate { environment: ENVIRONMENT, head, validators };
        admit(frame, &gate, &|envelopes| Ok(recovered(envelopes)))
    }

    fn deliver(&mut self, block: &RecoveredBlock) -> Vec<Action> {
        let message = self.admit(&frame(block)).expect("a well-formed message");
        self.step(Input::Message { from: id(1), message })
    }
}

fn block_of(header: Header) -> RecoveredBlock {
    let hash = header.hash_slow();
    let body = Arc::new(BlockBody::default());
    RecoveredBlock { header: SealedHeader::new(header, hash), body }
}

fn frame(block: &RecoveredBlock) -> Bytes {
    frame_in(ENVIRONMENT, block)
}

fn frame_in(environment: EnvironmentId, block: &RecoveredBlock) -> Bytes {
    Message::Clique(Box::new(clique::Message { environment, block: block.clone() })).encode()
}

fn names(actions: &[Action]) -> Vec<&'static str> {
    let name = |action: &Action| match action {
        Action::Relay { .. } => "relay",
        Action::Import { .. } => "import",
        Action::Penalize { .. } => "penalize",
        Action::Report(evidence) => evidence.what,
        _ => "other",
    };
    actions.iter().map(name).collect()
}

#[test]
fn each_hostile_frame_is_refused_by_name() {
    let mut bench = Bench::new();
    bench.grow(REORGANISATION_BLOCKS_MAX + 10);
    let good = bench.block(0, |_| ());
    let at = |number| frame(&bench.block(0, |header| header.number = number));
    let highest = bench.head.head.number + FUTURE_HEIGHTS_MAX;
    let with_body = |body| frame(&RecoveredBlock { header: good.header.clone(), body });
    let uncle = BlockBody { ommers: vec![Header::default()], ..BlockBody::default() };
    let withdrawals = BlockBody { withdrawals: Some(Default::default()), ..BlockBody::default() };
    let other_root = bench.block(0, |header| header.transactions_root = B256::repeat_byte(1));
    let cases = [
        (vec![3; CONSENSUS_FRAME_BYTES_MAX + 1].into(), "frame has"),
        (vec![3, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0].into(), "not a consensus message"),
        (vec![3, 0xc1, 0xc0].into(), "not a consensus message"),
        ([frame(&good).as_ref(), &[0]].concat().into(), "trailing bytes"),
        (frame_in(EnvironmentId(B256::repeat_byte(9)), &good), "another environment"),
        (at(highest + 1), "is outside"),
        (at(u64::MAX), "is outside"),
        (at(9), "is outside"),
        (with_body(Arc::new(uncle)), "uncles or withdrawals"),
        (with_body(Arc::new(withdrawals)), "uncles or withdrawals"),
        (frame(&other_root), "not those of the header"),
    ];
    for (frame, name) in cases {
        let refused = bench.admit(&frame).expect_err(name).to_string();
        assert!(refused.contains(name), "{name}: {refused}");
    }
    let frame = frame(&good);
    for length in 0..frame.len() {
        assert!(bench.admit(&frame.slice(..length)).is_err(), "cut to {length} bytes");
    }
    assert!(bench.admit(&frame).is_ok());
}

/// Every change of a header that breaks a rule, the signer whose seal it carries, and the rule's
/// name. The head is block 2 by signer 2; signer 3 is in turn.
type Breach = (usize, fn(&mut Header), &'static str);

const BREACHES: [Breach; 16] = [
    (3, |header| header.difficulty = U256::ONE, "difficulty is 1, expected 2"),
    (0, |header| header.difficulty = U256::from(2), "difficulty is 2, expected 1"),
    (3, |header| header.difficulty = U256::ZERO, "difficulty is 0"),
    (3, |header| header.difficulty = U256::MAX, "difficulty is"),
    (2, |_| (), "sealed one of the last blocks"),
    (1, |header| header.nonce = B64::repeat_byte(7), "expected all ff"),
    (3, |header| header.mix_hash = B256::repeat_byte(1), "mixHash is"),
    (3, |header| header.ommers_hash = B256::ZERO, "sha3Uncles is"),
    (3, |header| header.timestamp -= 1, "the earliest is"),
    (3, |header| header.gas_limit *= 2, "may move by less than"),
    (3, |header| header.gas_limit = 4_999, "gas limit is 4999"),
    (3, |header| header.gas_used = header.gas_limit + 1, "gas used is"),
    (3, |header| header.extra_data = vec![0; 96].into(), "extraData"),
    (3, |header| header.extra_data = vec![0; 32 + 65 + 19].into(), "extraData"),
    (
        3,
        |header| {
            let signers = vec![Address::repeat_byte(1)];
            header.extra_data = CliqueExtra { signers, ..CliqueExtra::default() }.encode();
        },
        "lists signers and is no checkpoint",
    ),
    (3, |header| header.number += 1, "number is 4, expected 3"),
];

#[test]
fn each_breach_of_a_rule_is_refused_by_name_and_costs_who_passed_it_on() {
    for (signer, change, name) in BREACHES {
        let mut bench = Bench::new();
        bench.grow(2);
        let block = bench.block(signer, change);
        let refused = bench.check(&block).expect_err(name).to_string();
        assert!(refused.contains(name), "{name}: {refused}");
        assert_eq!(names(&bench.deliver(&block)), ["penalize"], "{name}");
    }
}

#[test]
fn a_checkpoint_lists_the_signers_and_carries_no_vote() {
    let mut bench = Bench::new();
    bench.grow(EPOCH - 1);
    let turn = usize::try_from(EPOCH).expect("small") % SIGNERS;
    let listing = |signers: Vec<Address>| {
        bench.block(turn, |header| {
            header.extra_data = CliqueExtra { signers, ..CliqueExtra::default() }.encode();
        })
    };
    let (mut missing, mut turned) = (bench.listed(), bench.listed());
    missing.pop();
    turned.reverse();
    let voting = bench.block(turn, |header| {
        let signers = bench.listed();
        header.extra_data = CliqueExtra { signers, ..CliqueExtra::default() }.encode();
        header.beneficiary = Address::repeat_byte(1);
        header.nonce = B64::repeat_byte(0xff);
    });
    let good = listing(bench.listed());
    for block in [listing(Vec::new()), listing(missing), listing(turned), voting] {
        assert!(bench.check(&block).is_err());
        assert_eq!(names(&bench.deliver(&block)), ["penalize"]);
    }
    assert_eq!(names(&bench.deliver(&good)), ["relay", "import"]);
}

/// The hash covers the seal: a second form of it would be a second block.
#[test]
fn a_seal_that_is_a_strangers_or_in_its_other_form_is_refused() {
    let mut bench = Bench::new();
    let good = bench.block(1, |_| ());
    let stranger =
        signers(SIGNERS + 1).into_iter().find(|key| !bench.listed().contains(&key.address()));
    let mut by_stranger = good.header.header().clone();
    let mut extra = CliqueExtra::decode(&by_stranger.extra_data).expect("extraData");
    let own = extra.clone();
    extra.seal = stranger.expect("a fifth").sign(clique_digest(&by_stranger, &extra));
    by_stranger.extra_data = extra.encode();
    let mut unsealed = good.header.header().clone();
    unsealed.extra_data = CliqueExtra { seal: Seal::ZERO, ..own.clone() }.encode();
    let mut other_form = good.header.header().clone();
    other_form.extra_data = CliqueExtra { seal: mirrored(&own.seal), ..own }.encode();
    for (header, name) in [
        (by_stranger, "is not a validator"),
        (unsealed, "is not a signature"),
        (other_form, "lower s"),
    ] {
        let block = block_of(header);
        let refused = bench.check(&block).expect_err(name).to_string();
        assert!(refused.contains(name), "{name}: {refused}");
        assert_eq!(names(&bench.deliver(&block)), ["penalize"], "{name}");
    }
    assert_eq!(names(&bench.deliver(&good)), ["relay", "import"]);
}

/// The same signature with n - s, which recovers to the same key.
fn mirrored(seal: &Seal) -> Seal {
    let order = alloy_primitives::uint!(
        0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256
    );
    let mut bytes = seal.0;
    let s = order - U256::from_be_slice(&bytes[32..64]);
    bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    bytes[64] ^= 1;
    Seal::from(bytes)
}

/// Its clock or ours is wrong: nobody is blamed, and it comes again.
#[test]
fn a_block_of_the_future_is_dropped_without_blame() {
    let mut bench = Bench::new();
    let block = bench.block(1, |header| header.timestamp += 16);
    assert!(matches!(bench.check(&block), Err(HeaderError::TimestampInFuture { .. })));
    assert!(bench.deliver(&block).is_empty());
    let block = bench.block(1, |header| header.timestamp += 15);
    assert_eq!(names(&bench.deliver(&block)), ["relay", "import"]);
}

#[test]
fn a_block_that_comes_again_is_neither_relayed_nor_executed_again() {
    let mut bench = Bench::new();
    let block = bench.block(1, |_| ());
    assert_eq!(names(&bench.deliver(&block)), ["relay", "import"]);
    for _ in 0..100 {
        assert!(bench.deliver(&block).is_empty());
    }
}

fn imports(actions: &[Action]) -> Option<(ImportId, B256)> {
    actions.iter().find_map(|action| match action {
        Action::Import { request, blocks } => Some((*request, blocks.last()?.hash())),
        _ => None,
    })
}

/// Ten thousand blocks by one signer on one parent: each is evidence, and the better block of another
/// one is taken.
#[test]
fn a_signer_that_seals_many_blocks_on_one_parent_is_reported_and_stops_nobody() {
    let mut bench = Bench::new();
    bench.grow(3);
    let mut running = None;
    for content in 0..10_000u64 {
        let block = bench.block(1, |header| header.state_root = U256::from(content).into());
        let actions = bench.deliver(&block);
        running = running.or_else(|| imports(&actions));
        let actions = names(&actions);
        let reported = actions.contains(&"sealed two blocks on one parent");
        assert_eq!(reported, content > 0, "{content}: {actions:?}");
    }
    let in_turn = bench.block(0, |_| ());
    let actions = names(&bench.deliver(&in_turn));
    assert!(actions.contains(&"relay"), "{actions:?}");
    let (request, _) = running.expect("the first one");
    let actions = bench.step(Input::Imported { request, result: Ok(()) });
    assert_eq!(imports(&actions).map(|(_, block)| block), Some(in_turn.hash()));
}

/// Without its parent a block is only a reason to ask for its branch.
#[test]
fn a_block_without_its_parent_is_not_relayed() {
    let mut bench = Bench::new();
    let orphan = bench.block(1, |header| header.parent_hash = B256::repeat_byte(9));
    assert!(bench.deliver(&orphan).is_empty());
}
