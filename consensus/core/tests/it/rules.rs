//! Header rules: recorded chains are accepted, every breach is refused by its own name.
#![expect(clippy::expect_used, reason = "a test says what went wrong by panicking")]

mod breaches;
mod clique_votes;
mod ethereum;
mod goquorum;
mod goquorum_clique;
mod goquorum_raft;
mod template;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use entente_chain::{
    ChainSpec, Header, SealedHeader, ValidatorSet,
    extra_data::qbft::QbftExtra,
    fork::{Fork, ForkSchedule},
    header_hash::{qbft_commit_digest, seal},
    signer::SealSigner,
    spec::{BaseFeeMode, BlockRules, EngineKind},
};
use entente_consensus::{BuildAttributes, rules::next_header};
use std::time::Duration;
use zeroize::Zeroizing;

fn spec(engine: EngineKind, fork: Fork) -> ChainSpec {
    ChainSpec {
        chain_id: 1337,
        is_quorum: false,
        forks: ForkSchedule::all_until(fork),
        base_fee: BaseFeeMode::Zero,
        genesis_rules: BlockRules {
            block_period_ms: 1_000,
            request_timeout_ms: 4_000,
            max_request_timeout_ms: 60_000,
            ..BlockRules::new(engine)
        },
        transitions: Vec::new(),
        nanosecond_timestamps: false,
        blob_schedule: Vec::new(),
    }
}

/// Keys of `count` validators.
fn signers(count: u8) -> Vec<SealSigner> {
    let secret = |index: u8| Zeroizing::new([index; 32]);
    (1..=count).map(|index| SealSigner::new(&secret(index)).expect("valid key")).collect()
}

fn set_of(signers: &[SealSigner]) -> ValidatorSet {
    ValidatorSet::new(signers.iter().map(SealSigner::address).collect()).expect("distinct keys")
}

fn sealed_genesis() -> SealedHeader {
    let header = Header {
        gas_limit: 30_000_000,
        timestamp: 1_000,
        extra_data: QbftExtra::default().encode(),
        ..Header::default()
    };
    SealedHeader::new(header, keccak256("genesis"))
}

fn attributes(parent: &SealedHeader, beneficiary: Address, extra_data: Bytes) -> BuildAttributes {
    BuildAttributes {
        parent: parent.hash(),
        number: parent.number + 1,
        timestamp: parent.timestamp + 1,
        beneficiary,
        extra_data,
        nonce: 0,
        difficulty: U256::ONE,
        time_limit: Duration::from_secs(1),
    }
}

/// An empty block on `parent` in round 0, not sealed.
fn block_on(spec: &ChainSpec, parent: &SealedHeader, validators: &ValidatorSet) -> Header {
    let extra = QbftExtra { validators: validators.addresses().to_vec(), ..QbftExtra::default() };
    let proposer = validators.addresses()[0];
    next_header(spec, parent, &attributes(parent, proposer, extra.encode()))
}

fn edit_extra(header: &mut Header, edit: impl FnOnce(&mut QbftExtra)) {
    let mut extra = QbftExtra::decode(&header.extra_data).expect("extraData of a test");
    edit(&mut extra);
    header.extra_data = extra.encode();
}

/// Adds a commit seal of each signer.
fn seal_by(header: &mut Header, signers: &[SealSigner]) {
    let extra = QbftExtra::decode(&header.extra_data).expect("extraData of a test");
    let digest = qbft_commit_digest(header, &extra);
    let seals = signers.iter().map(|signer| signer.sign(digest)).collect();
    edit_extra(header, |extra| extra.committed_seals = seals);
}

fn sealed(header: Header) -> SealedHeader {
    seal(EngineKind::Qbft, header).expect("extraData of a test")
}

const NOW: u64 = 2_000;
const ZERO: B256 = B256::ZERO;
