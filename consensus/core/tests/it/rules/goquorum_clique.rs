//! `testdata/goquorum/clique-4`: blocks of four GoQuorum signers under Clique.

use alloy_primitives::{Address, B256, U256};
use alloy_rlp::Decodable;
use entente_chain::{
    Block, Header, SealedHeader,
    extra_data::clique::CliqueExtra,
    fork::Fork,
    header_hash::seal,
    spec::{ChainSpec, EngineKind},
    votes::VoteTally,
};
use entente_consensus::rules::{HeaderError, HeaderRules, rules_for};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

const CHAIN: &[u8] = include_bytes!("../../../../../testdata/goquorum/clique-4/chain.rlp");
const ANSWERS: &str = include_str!("../../../../../testdata/goquorum/clique-4/answers.jsonl");

fn rules() -> HeaderRules {
    let spec = super::spec(EngineKind::Clique, Fork::Berlin);
    rules_for(Arc::new(ChainSpec { is_quorum: true, ..spec }))
}

fn headers() -> Vec<SealedHeader> {
    let mut headers = Vec::new();
    let mut rest = CHAIN;
    while !rest.is_empty() {
        let block = Block::decode(&mut rest).expect("a block");
        headers.push(seal(EngineKind::Clique, block.header).expect("a Clique header"));
    }
    headers
}

/// Answers of a method by block hash.
fn answers(method: &str) -> BTreeMap<B256, Value> {
    let lines = ANSWERS.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines
        .filter(|line| line["method"] == method)
        .map(|line| {
            let hash = serde_json::from_value(line["params"][0].clone()).expect("a hash");
            (hash, line["result"].clone())
        })
        .collect()
}

fn walk(mut visit: impl FnMut(&SealedHeader, &SealedHeader, &VoteTally, &VoteTally)) {
    let (headers, rules) = (headers(), rules());
    let genesis = CliqueExtra::decode(&headers[0].extra_data).expect("genesis");
    let mut tally = rules.initial_tally(&genesis.signers).expect("signers of genesis");
    for pair in headers.windows(2) {
        let [parent, header] = pair else { continue };
        let after = rules.tally_after(header, tally.clone()).expect("a recorded header");
        visit(header, parent, &tally, &after);
        tally = after;
    }
}

#[test]
fn every_recorded_header_keeps_every_rule() {
    let (rules, mut difficulties) = (rules(), Vec::new());
    walk(|header, parent, tally, _| {
        let number = header.number;
        assert_eq!(rules.check_alone(header, u64::MAX), Ok(()), "block {number}");
        assert_eq!(rules.check_with_parent(header, parent, tally), Ok(()), "block {number}");
        assert_eq!(rules.check_seals(header, tally.validators()), Ok(()), "block {number}");
        difficulties.push(header.difficulty);
    });
    assert!(difficulties.contains(&U256::ONE) && difficulties.contains(&U256::from(2)));
}

#[test]
fn signers_after_each_block_are_those_that_goquorum_answered() {
    let (answers, mut counts) = (answers("clique_getSignersAtHash"), Vec::new());
    walk(|header, _, _, after| {
        let expected: Vec<Address> =
            serde_json::from_value(answers[&header.hash()].clone()).expect("addresses");
        assert_eq!(after.validators().addresses(), expected, "block {}", header.number);
        counts.push(expected.len());
    });
    assert!(counts.contains(&5), "a fifth signer is voted in");
}

#[test]
fn snapshots_are_those_that_goquorum_answered() {
    let (answers, mut compared) = (answers("clique_getSnapshotAtHash"), 0);
    walk(|header, _, _, after| {
        let Some(snapshot) = answers.get(&header.hash()) else { return };
        compared += 1;
        let recents: BTreeMap<String, Address> =
            serde_json::from_value(snapshot["recents"].clone()).expect("recents");
        let ours = after.recent_signers().iter();
        let ours = ours.map(|recent| (recent.block.to_string(), recent.signer)).collect();
        assert_eq!(recents, ours, "block {}", header.number);
        let votes = snapshot["votes"].as_array().map_or(0, Vec::len);
        assert_eq!(votes, after.votes().len(), "block {}", header.number);
    });
    assert!(compared > 0);
}

#[test]
fn a_changed_header_is_refused_by_the_rule_it_breaks() {
    let rules = rules();
    let mut seen = 0;
    walk(|header, parent, tally, after| {
        if header.number != 9 {
            return;
        }
        seen += 1;
        let changed = |change: &dyn Fn(&mut Header)| {
            let mut header = header.header().clone();
            change(&mut header);
            header
        };
        let other_turn = changed(&|header| header.difficulty = U256::from(3) - header.difficulty);
        let refused = rules.check_with_parent(&other_turn, parent, tally);
        // The seal is over the difficulty too: it then leads to somebody else.
        assert!(matches!(refused, Err(HeaderError::UnknownProposer(_))), "{refused:?}");
        let early = changed(&|header| header.timestamp = parent.timestamp);
        let refused = rules.check_with_parent(&early, parent, tally);
        assert!(matches!(refused, Err(HeaderError::TimestampTooEarly { .. })), "{refused:?}");
        let nonce = changed(&|header| header.nonce = 5u64.into());
        let refused = rules.check_alone(&nonce, u64::MAX);
        assert!(matches!(refused, Err(HeaderError::VoteNonce { .. })), "{refused:?}");
        let heavy = changed(&|header| header.difficulty = U256::from(3));
        let refused = rules.check_alone(&heavy, u64::MAX);
        assert!(matches!(refused, Err(HeaderError::Difficulty { .. })), "{refused:?}");
        let mixed = changed(&|header| header.mix_hash = B256::repeat_byte(1));
        let refused = rules.check_alone(&mixed, u64::MAX);
        assert!(matches!(refused, Err(HeaderError::MixHash { .. })), "{refused:?}");
        // The signer of a block may not seal the next.
        let refused = rules.check_with_parent(header, parent, after);
        assert!(matches!(refused, Err(HeaderError::SealedRecently(_))), "{refused:?}");
    });
    assert_eq!(seen, 1);
}
