//! `testdata/goquorum/raft-4`: blocks of four GoQuorum nodes under Raft, in nanoseconds.

use alloy_primitives::Address;
use alloy_rlp::Decodable;
use entente_chain::{
    Block, SealedHeader,
    extra_data::raft::RaftExtra,
    fork::Fork,
    header_hash::seal,
    spec::{ChainSpec, EngineKind},
    votes::VoteTally,
};
use entente_consensus::rules::{HeaderError, HeaderRules, rules_for};
use std::{collections::BTreeMap, sync::Arc};

const CHAIN: &[u8] = include_bytes!("../../../../../testdata/goquorum/raft-4/chain.rlp");

fn headers() -> Vec<SealedHeader> {
    let mut headers = Vec::new();
    let mut rest = CHAIN;
    while !rest.is_empty() {
        let block = Block::decode(&mut rest).expect("a block");
        headers.push(seal(EngineKind::Raft, block.header).expect("a Raft header"));
    }
    headers
}

fn rules(nanosecond_timestamps: bool) -> HeaderRules {
    let spec = super::spec(EngineKind::Raft, Fork::Berlin);
    rules_for(Arc::new(ChainSpec { is_quorum: true, nanosecond_timestamps, ..spec }))
}

#[test]
fn every_recorded_header_keeps_every_rule_and_each_raft_id_has_one_key() {
    let (headers, rules, nobody) = (headers(), rules(true), VoteTally::unknown());
    let mut keys = BTreeMap::<u64, Address>::new();
    for pair in headers.windows(2) {
        let [parent, header] = pair else { continue };
        let number = header.number;
        assert_eq!(rules.check_alone(header, u64::MAX), Ok(()), "block {number}");
        assert_eq!(rules.check_with_parent(header, parent, &nobody), Ok(()), "block {number}");
        assert_eq!(rules.check_seals(header, nobody.validators()), Ok(()), "block {number}");
        let id = RaftExtra::decode(&header.extra_data).expect("checked").raft_id;
        let signers = rules.committers(header).expect("checked");
        let key = *keys.entry(id).or_insert(signers[0]);
        assert_eq!(signers, [key], "block {number} of raft id {id}");
    }
    assert!(headers.len() > 20 && !keys.is_empty());
}

#[test]
fn such_blocks_are_refused_on_a_chain_in_seconds_and_once_voters_are_known() {
    let headers = headers();
    let refused = rules(false).check_alone(&headers[1], u64::MAX);
    assert_eq!(refused, Err(HeaderError::RaftTermMissing));
    let known = rules(true).initial_tally(&[Address::repeat_byte(7)]).expect("a set");
    let refused = rules(true).check_with_parent(&headers[1], &headers[0], &known);
    assert_eq!(refused, Err(HeaderError::RaftTermMissing));
}
