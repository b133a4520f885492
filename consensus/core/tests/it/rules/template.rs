//! The header of the next block, votes and transitions.

use super::{attributes, block_on, edit_extra, sealed, sealed_genesis, set_of, signers, spec};
use alloy_primitives::{Address, Bytes};
use entente_chain::votes::VoteTally;
use entente_chain::{
    ChainSpec, Header, SealedHeader,
    extra_data::qbft::Vote,
    fork::{Activation, Fork, ForkSchedule},
    spec::{BaseFeeMode, EngineKind},
    transition::Transition,
};
use entente_consensus::rules::{next_header, rules_for};
use std::sync::Arc;

fn gas_limits(spec: &ChainSpec, blocks: u64) -> Vec<u64> {
    let validators = set_of(&signers(1));
    let rules = rules_for(Arc::new(spec.clone()));
    let mut parent = sealed_genesis();
    let mut limits = Vec::new();
    for _ in 0..blocks {
        let header = block_on(spec, &parent, &validators);
        rules
            .check_with_parent(&header, &parent, &VoteTally::new(validators.clone()))
            .expect("its own template");
        limits.push(header.gas_limit);
        parent = sealed(header);
    }
    limits
}

#[test]
fn the_gas_limit_stays_without_a_target() {
    assert_eq!(gas_limits(&spec(EngineKind::Qbft, Fork::Osaka), 3), [30_000_000; 3]);
}

#[test]
fn the_gas_limit_moves_to_its_target_within_the_bound() {
    let mut spec = spec(EngineKind::Qbft, Fork::Osaka);
    spec.genesis_rules.gas_limit_target = Some(30_040_000);
    assert_eq!(gas_limits(&spec, 3), [30_029_295, 30_040_000, 30_040_000]);
    spec.genesis_rules.gas_limit_target = Some(0);
    assert_eq!(gas_limits(&spec, 2), [29_970_705, 29_941_438]);
    spec.is_quorum = true;
    assert_eq!(gas_limits(&spec, 1), [29_992_677]);
}

fn base_fees(mode: BaseFeeMode, gas_used: u64) -> Vec<Option<u64>> {
    let mut spec = spec(EngineKind::Qbft, Fork::Berlin);
    spec.base_fee = mode;
    spec.forks = ForkSchedule::new(vec![
        (Fork::Berlin, Activation::Block(0)),
        (Fork::London, Activation::Block(2)),
    ]);
    let validators = set_of(&signers(1));
    let rules = rules_for(Arc::new(spec.clone()));
    let mut parent = sealed_genesis();
    let mut fees = Vec::new();
    for _ in 0..4 {
        let header = Header { gas_used, ..block_on(&spec, &parent, &validators) };
        rules
            .check_with_parent(&header, &parent, &VoteTally::new(validators.clone()))
            .expect("its own template");
        fees.push(header.base_fee_per_gas);
        parent = sealed(header);
    }
    fees
}

#[test]
fn the_base_fee_follows_its_mode_from_london_on() {
    assert_eq!(base_fees(BaseFeeMode::Zero, 0), [None, Some(0), Some(0), Some(0)]);
    assert_eq!(base_fees(BaseFeeMode::Fixed(9), 0), [None, Some(9), Some(9), Some(9)]);
    let market = BaseFeeMode::Eip1559 { initial: 1_000_000_000 };
    let falling = [None, Some(1_000_000_000), Some(875_000_000), Some(765_625_000)];
    assert_eq!(base_fees(market, 0), falling);
}

/// EIP-1559: the gas limit may double where the base fee begins.
#[test]
fn the_gas_limit_doubles_where_eip_1559_begins() {
    let mut spec = spec(EngineKind::Qbft, Fork::Berlin);
    spec.base_fee = BaseFeeMode::Eip1559 { initial: 7 };
    spec.forks = ForkSchedule::new(vec![(Fork::London, Activation::Block(2))]);
    assert_eq!(gas_limits(&spec, 3), [30_000_000, 60_000_000, 60_000_000]);
}

#[test]
fn attributes_are_taken_over() {
    let spec = spec(EngineKind::Qbft, Fork::Osaka);
    let parent = sealed_genesis();
    let mut wanted =
        attributes(&parent, Address::repeat_byte(5), Bytes::from_static(b"extra data"));
    wanted.nonce = 3;
    let header = next_header(&spec, &parent, &wanted);
    assert_eq!(header.parent_hash, parent.hash());
    assert_eq!((header.number, header.timestamp), (1, 1_001));
    assert_eq!(header.beneficiary, Address::repeat_byte(5));
    assert_eq!(header.extra_data, wanted.extra_data);
    assert_eq!(header.nonce, 3_u64.to_be_bytes());
}

fn on(parent: &SealedHeader, spec: &ChainSpec, proposer: Address, vote: Vote) -> SealedHeader {
    let mut header = block_on(spec, parent, &set_of(&signers(4)));
    header.beneficiary = proposer;
    edit_extra(&mut header, |extra| extra.vote = Some(vote));
    sealed(header)
}

#[test]
fn votes_in_headers_change_the_validators_of_the_next_block() {
    let spec = spec(EngineKind::Qbft, Fork::Osaka);
    let rules = rules_for(Arc::new(spec.clone()));
    let keys = signers(4);
    let vote = Vote { recipient: Address::repeat_byte(9), add: true };
    let mut tally = rules.initial_tally(set_of(&keys).addresses()).expect("four validators");
    let mut parent = sealed_genesis();
    for (signer, validators) in keys.iter().take(3).zip([4, 4, 5]) {
        parent = on(&parent, &spec, signer.address(), vote);
        tally = rules.tally_after(&parent, tally).expect("a good header");
        assert_eq!(tally.validators().len(), validators);
    }
}

#[test]
fn a_transition_replaces_the_validators_at_its_block_and_drops_votes() {
    let mut spec = spec(EngineKind::Qbft, Fork::Osaka);
    let named = vec![Address::repeat_byte(7), Address::repeat_byte(6)];
    let change = Transition { block: 2, validators: Some(named), ..Transition::default() };
    spec.transitions = vec![change];
    let rules = rules_for(Arc::new(spec.clone()));
    let keys = signers(4);
    let tally = rules.initial_tally(set_of(&keys).addresses()).expect("four validators");
    assert_eq!(tally.validators(), &set_of(&keys), "block 1 comes before the transition");
    let vote = Vote { recipient: Address::repeat_byte(9), add: true };
    let first = on(&sealed_genesis(), &spec, keys[0].address(), vote);
    let tally = rules.tally_after(&first, tally).expect("a good header");
    let expected = [Address::repeat_byte(6), Address::repeat_byte(7)];
    assert_eq!(tally.validators().addresses(), expected);
    assert!(tally.votes().is_empty());
    let vote = Vote { recipient: Address::repeat_byte(8), add: true };
    let second = on(&first, &spec, Address::repeat_byte(6), vote);
    let tally = rules.tally_after(&second, tally).expect("a good header");
    assert_eq!(tally.votes().len(), 1, "the override holds once, not for ever");
}

#[test]
fn votes_do_not_count_while_a_contract_names_the_validators() {
    let mut spec = spec(EngineKind::Qbft, Fork::Osaka);
    spec.genesis_rules.validator_contract = Some(Address::repeat_byte(0x10));
    let rules = rules_for(Arc::new(spec.clone()));
    let keys = signers(1);
    let tally = rules.initial_tally(set_of(&keys).addresses()).expect("one validator");
    let vote = Vote { recipient: Address::repeat_byte(9), add: true };
    let header = on(&sealed_genesis(), &spec, keys[0].address(), vote);
    let tally = rules.tally_after(&header, tally).expect("a good header");
    assert_eq!(tally.validators(), &set_of(&keys));
}
