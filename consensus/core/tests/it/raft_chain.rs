//! A Raft chain that costs nothing to execute: the state root is a hash of the parent and a number.

use crate::ibft_chain::{signers, transaction};
use alloy_consensus::{constants::EMPTY_ROOT_HASH, proofs::calculate_transaction_root};
use alloy_primitives::{U256, keccak256};
use entente_chain::{
    BlockBody, ChainSpec, Header, RecoveredBlock, SealedHeader,
    fork::{Fork, ForkSchedule},
    header_hash,
    signer::SealSigner,
    spec::{BaseFeeMode, BlockRules, EngineKind},
    transition::Transition,
};
use entente_consensus::{
    BuildAttributes, ChainPosition,
    rules::{HeaderRules, next_header, rules_for},
};
use std::sync::Arc;

/// A chain whose blocks are `period` milliseconds apart at least.
pub(crate) fn spec(period: u64, transitions: Vec<Transition>) -> Arc<ChainSpec> {
    let rules = BlockRules { block_period_ms: period, ..BlockRules::new(EngineKind::Raft) };
    Arc::new(ChainSpec {
        chain_id: 1337,
        is_quorum: false,
        forks: ForkSchedule::all_until(Fork::Osaka),
        base_fee: BaseFeeMode::Zero,
        genesis_rules: rules,
        transitions,
        nanosecond_timestamps: false,
        blob_schedule: Vec::new(),
    })
}

/// Rules, keys in the order of their addresses, and where the chain stands when the first `voters`
/// of `count` nodes vote.
pub(crate) struct Setup {
    pub(crate) rules: HeaderRules,
    pub(crate) keys: Vec<SealSigner>,
    pub(crate) genesis: ChainPosition,
}

impl Setup {
    pub(crate) fn new(spec: Arc<ChainSpec>, count: usize, voters: usize, unix: u64) -> Self {
        let rules = rules_for(spec);
        let keys = signers(count);
        let addresses: Vec<_> = keys.iter().take(voters).map(SealSigner::address).collect();
        let header = Header { timestamp: unix, gas_limit: 30_000_000, ..Header::default() };
        let head = header_hash::seal(EngineKind::Raft, header).expect("no extraData is needed");
        let tally = rules.initial_tally(&addresses).expect("voters");
        let next = tally.validators().clone();
        let genesis = ChainPosition { head, next, tally, total_difficulty: U256::ZERO };
        Self { rules, keys, genesis }
    }
}

/// Where a chain stands after one more block, which keeps every rule.
pub(crate) fn position_after(
    rules: &HeaderRules,
    parent: &ChainPosition,
    head: &SealedHeader,
) -> ChainPosition {
    check_header(rules, parent, head).expect("a committed header keeps the rules");
    assert_eq!(rules.check_seals(head, &parent.next), Ok(()), "a voter sealed it");
    let tally = rules.tally_after(head, parent.tally.clone()).expect("a tally");
    let total_difficulty = parent.total_difficulty + head.difficulty;
    ChainPosition { head: head.clone(), next: tally.validators().clone(), tally, total_difficulty }
}

/// What execution checks of a header beside its time.
pub(crate) fn check_header(
    rules: &HeaderRules,
    parent: &ChainPosition,
    header: &Header,
) -> Result<(), String> {
    rules
        .check_alone(header, u64::MAX)
        .and_then(|()| rules.check_with_parent(header, &parent.head, &parent.tally))
        .map_err(|cause| cause.to_string())
}

pub(crate) fn build(
    rules: &HeaderRules,
    parent: &SealedHeader,
    attributes: &BuildAttributes,
    content: u64,
    full: bool,
) -> RecoveredBlock {
    let transactions: Vec<_> = full.then(|| transaction(content)).into_iter().collect();
    let mut header = next_header(rules.spec(), parent, attributes);
    header.transactions_root = match full {
        true => calculate_transaction_root(&[transactions[0].envelope().clone()]),
        false => EMPTY_ROOT_HASH,
    };
    header.state_root = keccak256([attributes.parent.as_slice(), &content.to_be_bytes()].concat());
    let header = header_hash::seal(EngineKind::Raft, header).expect("a hash of the header");
    let withdrawals = header.withdrawals_root.map(|_| Default::default());
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals };
    RecoveredBlock { header, body: Arc::new(body) }
}
