//! Plain Ethereum headers: difficulty, uncles, the merge, blobs.

use super::{NOW, set_of, signers, spec};
use alloy_primitives::{B64, B256, U256};
use entente_chain::votes::VoteTally;
use entente_chain::{ChainSpec, Header, SealedHeader, fork::Fork, spec::EngineKind};
use entente_consensus::rules::{
    Ancestor, FieldValue, HeaderError, HeaderField, HeaderRules, ethash_difficulty, rules_for,
};
use std::{collections::BTreeMap, sync::Arc};

/// Fork, block, seconds since the parent, whether that has uncles, its difficulty, the expected.
type DifficultyCase = (Fork, u64, u64, bool, u64, u64);

/// Values from ethereum/tests (MIT): `DifficultyTests` and `BasicTests/difficultyMainNetwork`.
#[test]
fn difficulty_is_that_of_the_public_vectors() {
    let cases: [DifficultyCase; 10] = [
        (Fork::Frontier, 0x24_9f00, 20, false, 0x0d0c_3727_351f_07b2, 0x0d0a_95a0_5078_63d2),
        (Fork::Frontier, 0x04_93e0, 40, true, 0x0964_6292_4214_7d5c, 0x0963_3605_efcc_3acf),
        (Fork::Homestead, 0x2f_4d60, 30, false, 0x1659_e8c9_5840_1e0e, 0x1654_524f_45ea_0e08),
        (Fork::Byzantium, 0x4a_c4a0, 44, true, 0x4ac9_3e84_353c_2f31, 0x4ab6_8c34_9430_e027),
        (Fork::Berlin, 0x24_9f00, 20, false, 0x3f21_d26d_d307_5e6c, 0x3f19_ee33_854c_fd81),
        (Fork::Berlin, 0x04_93e0, 40, true, 0x6e91_0df3_87e1_105d, 0x6e75_69b0_0aff_1819),
        (Fork::ArrowGlacier, 0xaa_e600, 0x13, false, 0x22_3a2d_1723_2652, 0x22_35e5_d180_41f6),
        (Fork::ArrowGlacier, 0xc7_e3e0, 0x40, true, 0x22_3a2d_1723_2652, 0x22_24c8_bb34_b05e),
        (Fork::GrayGlacier, 0xd2_9240, 0x40, true, 0x22_3a2d_1723_2652, 0x22_24c8_bb34_b05e),
        (Fork::GrayGlacier, 0xb4_0dc0, 0x49, true, 0x22_3a2d_1723_2652, 0x22_2081_7551_cbfe),
    ];
    for (fork, number, elapsed, uncles, parent, expected) in cases {
        let mut header = Header { difficulty: U256::from(parent), ..Header::default() };
        if uncles {
            header.ommers_hash = B256::repeat_byte(1);
        }
        let got = ethash_difficulty(fork, number, elapsed, &header);
        assert_eq!(got, U256::from(expected), "{fork} block {number} after {elapsed} s");
    }
}

#[test]
fn difficulty_never_overflows() {
    let parent = Header { difficulty: U256::MAX, ..Header::default() };
    assert_eq!(ethash_difficulty(Fork::Frontier, u64::MAX, 0, &parent), U256::MAX);
    let parent = Header { timestamp: u64::MAX, ..Header::default() };
    assert!(ethash_difficulty(Fork::Byzantium, u64::MAX, 0, &parent) > U256::ZERO);
}

struct Chain {
    spec: Arc<ChainSpec>,
    blocks: BTreeMap<B256, Ancestor>,
    head: SealedHeader,
}

impl Chain {
    /// Genesis and `length` blocks.
    fn new(fork: Fork, length: u64) -> Self {
        let spec = Arc::new(spec(EngineKind::Ethereum, fork));
        let genesis =
            Header { gas_limit: 5_000_000, difficulty: U256::from(131_072), ..Header::default() };
        let head = seal(genesis);
        let mut chain = Self { spec, blocks: BTreeMap::new(), head };
        chain.add(chain.head.clone(), Vec::new());
        for _ in 0..length {
            let header = chain.next(&chain.head, 15);
            chain.add(header, Vec::new());
        }
        chain
    }

    fn add(&mut self, header: SealedHeader, ommers: Vec<Header>) {
        self.head = header.clone();
        self.blocks.insert(header.hash(), Ancestor { header, ommers });
    }

    fn rules(&self) -> HeaderRules {
        rules_for(Arc::clone(&self.spec))
    }

    /// A block on `parent`, `seconds` later.
    fn next(&self, parent: &SealedHeader, seconds: u64) -> SealedHeader {
        let (number, timestamp) = (parent.number + 1, parent.timestamp + seconds);
        let fork = self.spec.fork_at(number, timestamp);
        let merged = fork >= Fork::Paris;
        let hash = B256::repeat_byte(2);
        seal(Header {
            parent_hash: parent.hash(),
            number,
            timestamp,
            gas_limit: parent.gas_limit,
            difficulty: if merged {
                U256::ZERO
            } else {
                ethash_difficulty(fork, number, timestamp, parent)
            },
            base_fee_per_gas: (fork >= Fork::London).then_some(0),
            withdrawals_root: (fork >= Fork::Shanghai).then_some(hash),
            blob_gas_used: (fork >= Fork::Cancun).then_some(0),
            excess_blob_gas: (fork >= Fork::Cancun).then_some(0),
            parent_beacon_block_root: (fork >= Fork::Cancun).then_some(hash),
            requests_hash: (fork >= Fork::Prague).then_some(hash),
            ..Header::default()
        })
    }

    fn at(&self, back: usize) -> SealedHeader {
        let mut header = self.head.clone();
        for _ in 0..back {
            header = self.blocks[&header.parent_hash].header.clone();
        }
        header
    }

    fn check_uncles(&self, ommers: &[Header]) -> Result<(), HeaderError> {
        let ommers_hash = alloy_consensus::proofs::calculate_ommers_root(ommers);
        let next = self.next(&self.head, 15);
        let header = Header { ommers_hash, ..next.header().clone() };
        self.rules().check_uncles(&header, ommers, &|hash| self.blocks.get(&hash).cloned())
    }

    fn check(&self, change: impl FnOnce(&mut Header)) -> Result<(), HeaderError> {
        let mut header = self.next(&self.head, 15).header().clone();
        change(&mut header);
        let validators = set_of(&signers(1));
        self.rules().check_alone(&header, NOW)?;
        self.rules().check_with_parent(&header, &self.head, &VoteTally::new(validators))
    }

    /// A sibling of the block `back` generations before the head.
    fn uncle(&self, back: usize) -> Header {
        self.next(&self.at(back + 1), 14).header().clone()
    }
}

fn seal(header: Header) -> SealedHeader {
    let hash = header.hash_slow();
    SealedHeader::new(header, hash)
}

#[test]
fn good_headers_pass_under_every_fork() {
    for fork in Fork::ALL {
        assert_eq!(Chain::new(fork, 3).check(|_| ()), Ok(()), "{fork}");
    }
}

#[test]
fn breaches_before_the_merge_are_refused_by_name() {
    let chain = Chain::new(Fork::Berlin, 3);
    let expected = chain.next(&chain.head, 15).difficulty;
    let wrong = |got| HeaderError::Difficulty { got, expected };
    assert_eq!(chain.check(|h| h.difficulty = U256::ONE), Err(wrong(U256::ONE)));
    let long = HeaderError::ExtraDataTooLong { got: 33, allowed: 32 };
    assert_eq!(chain.check(|h| h.extra_data = vec![1; 33].into()), Err(long));
    let (got, earliest) = (chain.head.timestamp, chain.head.timestamp + 1);
    let early = HeaderError::TimestampTooEarly { got, earliest };
    assert_eq!(chain.check(|h| h.timestamp = got), Err(early));
    assert_eq!(chain.check(|h| h.nonce = B64::repeat_byte(1)), Ok(()), "the seal is not checked");
}

#[test]
fn breaches_after_the_merge_are_refused_by_name() {
    let chain = Chain::new(Fork::Cancun, 3);
    let (got, expected) = (U256::ONE, U256::ZERO);
    let refused = chain.check(|h| h.difficulty = U256::ONE);
    assert_eq!(refused, Err(HeaderError::Difficulty { got, expected }));
    let got = B64::repeat_byte(1);
    assert_eq!(chain.check(|h| h.nonce = got), Err(HeaderError::Nonce { got }));
    let refused = chain.check(|h| h.ommers_hash = B256::ZERO);
    assert_eq!(refused, Err(HeaderError::OmmersHash { got: B256::ZERO }));
    let refused = chain.check(|h| h.excess_blob_gas = Some(131_072));
    let (got, expected) = (FieldValue::Number(131_072), FieldValue::Number(0));
    assert_eq!(
        refused,
        Err(HeaderError::Field { field: HeaderField::ExcessBlobGas, got, expected })
    );
    let refused = chain.check(|h| h.parent_beacon_block_root = None);
    let (got, expected) = (FieldValue::Absent, FieldValue::Present);
    let field = HeaderField::ParentBeaconBlockRoot;
    assert_eq!(refused, Err(HeaderError::Field { field, got, expected }));
    for got in [1, 7 * 131_072] {
        let refused = chain.check(|h| h.blob_gas_used = Some(got));
        let (blob, most) = (131_072, 6 * 131_072);
        assert_eq!(refused, Err(HeaderError::BlobGasUsed { got, blob, most }));
    }
}

#[test]
fn uncles_up_to_six_generations_back_are_fine() {
    let chain = Chain::new(Fork::Berlin, 9);
    for back in 0..6 {
        assert_eq!(chain.check_uncles(&[chain.uncle(back)]), Ok(()), "{back} before the head");
    }
    assert_eq!(chain.check_uncles(&[chain.uncle(0), chain.uncle(1)]), Ok(()));
    let deep = chain.uncle(6);
    let refused = HeaderError::UncleParent { uncle: deep.hash_slow(), parent: deep.parent_hash };
    assert_eq!(chain.check_uncles(&[deep]), Err(refused));
}

#[test]
fn uncles_that_break_a_rule_are_refused_by_name() {
    let mut chain = Chain::new(Fork::Berlin, 9);
    let uncle = chain.uncle(1);
    let hash = uncle.hash_slow();
    let three = [chain.uncle(0), chain.uncle(1), chain.uncle(2)];
    let too_many = HeaderError::TooManyUncles { got: 3, allowed: 2 };
    assert_eq!(chain.check_uncles(&three), Err(too_many));
    let twice = [uncle.clone(), uncle.clone()];
    assert_eq!(chain.check_uncles(&twice), Err(HeaderError::DuplicateUncle(hash)));
    let ancestor = chain.at(2);
    let refused = chain.check_uncles(&[ancestor.header().clone()]);
    assert_eq!(refused, Err(HeaderError::UncleIsAncestor(ancestor.hash())));
    let brother = chain.next(&chain.head, 14).header().clone();
    let (uncle_hash, parent) = (brother.hash_slow(), brother.parent_hash);
    let refused = chain.check_uncles(&[brother]);
    assert_eq!(refused, Err(HeaderError::UncleParent { uncle: uncle_hash, parent }));
    let easy = Header { difficulty: U256::ONE, ..uncle.clone() };
    let refused = chain.check_uncles(&[easy]);
    assert!(matches!(refused, Err(HeaderError::Uncle { .. })), "{refused:?}");
    chain.add(chain.next(&chain.head, 15), vec![uncle.clone()]);
    assert_eq!(chain.check_uncles(&[uncle]), Err(HeaderError::DuplicateUncle(hash)));
}

#[test]
fn the_uncles_must_be_those_of_the_header() {
    let chain = Chain::new(Fork::Berlin, 3);
    let next = chain.next(&chain.head, 15);
    let refused = chain.rules().check_uncles(&next, &[chain.uncle(0)], &|_| None);
    assert!(matches!(refused, Err(HeaderError::UnclesHash { .. })), "{refused:?}");
}

#[test]
fn there_are_no_uncles_after_the_merge_and_under_bft_engines() {
    let chain = Chain::new(Fork::Shanghai, 3);
    let none = HeaderError::TooManyUncles { got: 1, allowed: 0 };
    assert_eq!(chain.check_uncles(&[chain.uncle(0)]), Err(none.clone()));
    let mut chain = Chain::new(Fork::Berlin, 3);
    Arc::make_mut(&mut chain.spec).genesis_rules.engine = EngineKind::Qbft;
    assert_eq!(chain.check_uncles(&[chain.uncle(0)]), Err(none));
    assert_eq!(chain.check_uncles(&[]), Ok(()));
}
