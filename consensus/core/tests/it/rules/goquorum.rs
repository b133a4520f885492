//! `testdata/goquorum`: chains of four GoQuorum validators each, who vote a fifth in and out; one
//! changes from IBFT 1 to QBFT on the way.

use super::spec;
use alloy_primitives::{Address, B256};
use alloy_rlp::Decodable;
use entente_chain::{
    Block, Header, SealedHeader, ValidatorSet,
    extra_data::{istanbul::IstanbulExtra, qbft::QbftExtra},
    fork::Fork,
    header_hash::seal,
    spec::{ChainSpec, EngineKind},
    transition::Transition,
    votes::VoteTally,
};
use entente_consensus::rules::{HeaderError, HeaderRules, rules_for};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// What was recorded of a network, and the block from which it wrote QBFT headers.
struct Files {
    chain: &'static [u8],
    answers: &'static str,
    qbft_from: u64,
}

macro_rules! files {
    ($folder:literal, $qbft_from:expr) => {
        Files {
            chain: include_bytes!(concat!(
                "../../../../../testdata/goquorum/",
                $folder,
                "/chain.rlp"
            )),
            answers: include_str!(concat!(
                "../../../../../testdata/goquorum/",
                $folder,
                "/answers.jsonl"
            )),
            qbft_from: $qbft_from,
        }
    };
}

const QBFT: Files = files!("qbft-4", 0);
const IBFT: Files = files!("ibft-4", u64::MAX);
const IBFT_TO_QBFT: Files = files!("ibft-to-qbft-4", 16);
const ALL: [Files; 3] = [QBFT, IBFT, IBFT_TO_QBFT];

/// Voter, block, candidate, whether to add.
type VoteAnswer = (Address, u64, Address, bool);
type Change = fn(&mut Header);

struct Recorded {
    rules: HeaderRules,
    genesis: SealedHeader,
    validators: Vec<Address>,
    headers: Vec<SealedHeader>,
    answers: BTreeMap<(String, String), Value>,
}

impl Recorded {
    fn open(files: &Files) -> Self {
        let mut answers = BTreeMap::new();
        for line in files.answers.lines() {
            let entry: Value = serde_json::from_str(line).expect("JSON");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let key = (text(&entry["method"]), text(&entry["params"][0]));
            answers.insert(key, entry["result"].clone());
        }
        let genesis_answer = &answers[&("eth_getBlockByNumber".into(), "0x0".into())];
        let genesis: Header = parse(genesis_answer);
        let rules = rules(files.qbft_from);
        let sealed = |header: Header| {
            let engine = rules.spec().engine_at(header.number);
            seal(engine, header).expect("extraData of a recorded header")
        };
        let validators = match rules.spec().engine_at(0) {
            EngineKind::Istanbul => {
                IstanbulExtra::decode(&genesis.extra_data).expect("IBFT 1").validators
            }
            _ => QbftExtra::decode(&genesis.extra_data).expect("QBFT").validators,
        };
        let mut headers = Vec::new();
        let mut rest = files.chain;
        while !rest.is_empty() {
            let block = Block::decode(&mut rest).expect("a block");
            headers.push(sealed(block.header));
        }
        let first = headers.first().is_some_and(|header| header.number == 0);
        headers.drain(..usize::from(first));
        Self { genesis: sealed(genesis), rules, validators, headers, answers }
    }

    fn answer<T: DeserializeOwned>(&self, method: &str, number: u64) -> Option<T> {
        self.answers.get(&(method.into(), format!("0x{number:x}"))).map(parse)
    }

    /// Calls `visit` with every header, its parent and the tally before it.
    fn walk(&self, mut visit: impl FnMut(&SealedHeader, &SealedHeader, &VoteTally)) {
        let rules = &self.rules;
        let mut tally = rules.initial_tally(&self.validators).expect("validators of genesis");
        let mut parent = &self.genesis;
        for header in &self.headers {
            visit(header, parent, &tally);
            tally = rules.tally_after(header, tally).expect("a recorded header");
            parent = header;
        }
    }
}

fn parse<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("the shape of a recorded answer")
}

fn rules(qbft_from: u64) -> HeaderRules {
    let (first, transitions) = match qbft_from {
        0 => (EngineKind::Qbft, Vec::new()),
        u64::MAX => (EngineKind::Istanbul, Vec::new()),
        block => {
            let engine = Some(EngineKind::Qbft);
            (EngineKind::Istanbul, vec![Transition { block, engine, ..Transition::default() }])
        }
    };
    let spec = spec(first, Fork::Berlin);
    rules_for(Arc::new(ChainSpec { is_quorum: true, transitions, ..spec }))
}

#[test]
fn every_recorded_header_keeps_every_rule() {
    for files in &ALL {
        let recorded = Recorded::open(files);
        let rules = &recorded.rules;
        assert!(recorded.headers.len() >= 35);
        recorded.walk(|header, parent, tally| {
            let number = header.number;
            let validators = tally.validators();
            assert_eq!(rules.check_alone(header, header.timestamp), Ok(()), "block {number}");
            assert_eq!(rules.check_with_parent(header, parent, tally), Ok(()), "block {number}");
            assert_eq!(rules.check_seals(header, validators), Ok(()), "block {number}");
        });
    }
}

#[test]
fn hashes_are_those_that_goquorum_answered() {
    for files in &ALL {
        let recorded = Recorded::open(files);
        for header in std::iter::once(&recorded.genesis).chain(&recorded.headers) {
            let block: Value =
                recorded.answer("eth_getBlockByNumber", header.number).expect("asked");
            assert_eq!(header.hash(), parse::<B256>(&block["hash"]), "block {}", header.number);
        }
    }
}

#[test]
fn author_and_committers_are_those_that_goquorum_answered() {
    for files in &ALL {
        let recorded = Recorded::open(files);
        let rules = &recorded.rules;
        for header in &recorded.headers {
            let signers: Value =
                recorded.answer("istanbul_getSignersFromBlock", header.number).expect("asked");
            assert_eq!(rules.author(header), Ok(parse(&signers["Author"])));
            let committers: Vec<Address> = parse(&signers["Committers"]);
            assert_eq!(rules.committers(header), Ok(committers), "block {}", header.number);
        }
    }
}

#[test]
fn validators_after_each_vote_are_those_that_goquorum_answered() {
    for files in &ALL {
        let recorded = Recorded::open(files);
        let rules = &recorded.rules;
        let mut seen = Vec::new();
        recorded.walk(|header, _, tally| {
            let after = rules.tally_after(header, tally.clone()).expect("a recorded header");
            let expected: Vec<Address> =
                recorded.answer("istanbul_getValidators", header.number).expect("asked");
            assert_eq!(after.validators().addresses(), expected, "block {}", header.number);
            seen.push(expected.len());
        });
        assert!(seen.contains(&5), "the chain votes a validator in");
        assert_eq!(seen.last(), Some(&4), "and out again");
    }
}

#[test]
fn open_votes_are_those_of_the_recorded_snapshots() {
    for files in &ALL {
        let recorded = Recorded::open(files);
        let rules = &recorded.rules;
        let mut compared = 0;
        recorded.walk(|header, _, tally| {
            let Some(snapshot) = recorded.answer::<Value>("istanbul_getSnapshot", header.number)
            else {
                return;
            };
            compared += 1;
            let after = rules.tally_after(header, tally.clone()).expect("a recorded header");
            let expected: Vec<VoteAnswer> = parse::<Option<Vec<Value>>>(&snapshot["votes"])
                .unwrap_or_default()
                .iter()
                .map(|vote| {
                    let block = vote["block"].as_u64().expect("a number");
                    let add = vote["authorize"].as_bool().expect("a flag");
                    (parse(&vote["validator"]), block, parse(&vote["address"]), add)
                })
                .collect();
            let votes: Vec<_> = after
                .votes()
                .iter()
                .map(|vote| (vote.voter, vote.block, vote.candidate, vote.add))
                .collect();
            assert_eq!(votes, expected, "block {}", header.number);
        });
        assert!(compared > 1);
    }
}

#[test]
fn a_recorded_header_is_refused_by_other_validators() {
    let recorded = Recorded::open(&QBFT);
    let rules = &recorded.rules;
    let header = &recorded.headers[0];
    let mut others = recorded.validators.clone();
    others[0] = Address::repeat_byte(0x77);
    let others = VoteTally::new(ValidatorSet::new(others).expect("distinct"));
    let checked = rules.check_with_parent(header, &recorded.genesis, &others);
    assert!(matches!(checked, Err(HeaderError::Validators { .. })), "{checked:?}");
}

#[test]
fn changing_any_byte_of_a_sealed_header_breaks_its_seals() {
    let recorded = Recorded::open(&QBFT);
    let rules = &recorded.rules;
    let validators = ValidatorSet::new(recorded.validators.clone()).expect("distinct");
    let header = recorded.headers[0].header();
    let changes: [Change; 4] = [
        |header| header.state_root = B256::repeat_byte(1),
        |header| header.timestamp += 1,
        |header| header.gas_limit -= 1,
        |header| super::edit_extra(header, |extra| extra.round += 1),
    ];
    for change in changes {
        let mut changed = header.clone();
        change(&mut changed);
        let checked = rules.check_seals(&changed, &validators);
        assert!(
            matches!(checked, Err(HeaderError::SealOfStranger(_) | HeaderError::Seal(_))),
            "{checked:?}"
        );
    }
}

/// What `testdata/goquorum/qbft-4/README.md` says of the chain.
#[test]
fn the_recorded_chain_has_rounds_above_zero() {
    let round = |header: &SealedHeader| {
        QbftExtra::decode(&header.extra_data).expect("extraData of a recorded header").round
    };
    assert!(Recorded::open(&QBFT).headers.iter().any(|header| round(header) > 0));
}
