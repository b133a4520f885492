//! A chain that costs nothing to execute: the state root is the hash of the parent's and a number.

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, EthereumTxEnvelope, SignableTransaction, TxLegacy,
    constants::EMPTY_ROOT_HASH, proofs::calculate_transaction_root,
};
use alloy_primitives::{Address, B256, Signature, U256, b256, keccak256};
use entente_chain::{
    BlockBody, ChainSpec, EnvironmentId, Header, RecoveredBlock, RecoveredTransaction,
    SealedHeader, ValidatorSet,
    extra_data::{
        istanbul::IstanbulExtra,
        qbft::{QbftExtra, Seal},
    },
    fork::{Fork, ForkSchedule},
    header_hash::{self, istanbul_proposer_digest, qbft_commit_digest},
    seal::recover_seal,
    signer::SealSigner,
    spec::{BaseFeeMode, BlockRules, EngineKind},
    transition::Transition,
    votes::VoteTally,
};
use entente_consensus::{Action, BuildAttributes, ChainPosition, Engine, Input, Now, Record, Step};
use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

/// Where a chain with these validators and no votes stands.
pub(crate) fn position_at(head: SealedHeader, next: &ValidatorSet) -> ChainPosition {
    let total_difficulty = U256::from(head.number);
    ChainPosition {
        head,
        next: next.clone(),
        tally: VoteTally::new(next.clone()),
        total_difficulty,
    }
}

pub(crate) const ENVIRONMENT: EnvironmentId = EnvironmentId(B256::repeat_byte(0xe1));
const MIX: B256 = b256!("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365");

/// Header format of a chain, and its timing in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) format: EngineKind,
    pub(crate) period: u64,
    pub(crate) empty_period: Option<u64>,
    pub(crate) timeout: u64,
    pub(crate) cap: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            format: EngineKind::Qbft,
            period: 1000,
            empty_period: None,
            timeout: 4000,
            cap: 60_000,
        }
    }
}

pub(crate) fn spec(timing: Timing) -> Arc<ChainSpec> {
    let genesis_rules = BlockRules {
        block_period_ms: timing.period,
        empty_block_period_ms: timing.empty_period,
        request_timeout_ms: timing.timeout,
        max_request_timeout_ms: timing.cap,
        transaction_size_limit: 65_536,
        gas_price_enabled: false,
        ..BlockRules::new(timing.format)
    };
    berlin_chain(genesis_rules, Vec::new())
}

/// A chain with a free price, by the rules of Berlin.
pub(crate) fn berlin_chain(
    genesis_rules: BlockRules,
    transitions: Vec<Transition>,
) -> Arc<ChainSpec> {
    Arc::new(ChainSpec {
        chain_id: 1337,
        is_quorum: false,
        forks: ForkSchedule::all_until(Fork::Berlin),
        base_fee: BaseFeeMode::Zero,
        genesis_rules,
        transitions,
        nanosecond_timestamps: false,
        blob_schedule: Vec::new(),
    })
}

/// Feeds an engine; what it records goes to the log before its actions are answered.
pub(crate) fn step(
    engine: &mut dyn Engine,
    now: Now,
    input: Input,
    log: &mut Vec<Record>,
) -> Vec<Action> {
    let mut step = Step::default();
    engine.step(now, input, &mut step);
    let mut actions = Vec::new();
    let written = step.perform(
        |records| {
            log.extend_from_slice(records);
            Ok::<(), Infallible>(())
        },
        |action| actions.push(action),
    );
    assert!(written.is_ok());
    actions
}

/// Keys whose addresses ascend, so that index and turn agree.
pub(crate) fn signers(count: usize) -> Vec<SealSigner> {
    let mut signers: Vec<_> = (1..=count)
        .map(|index| {
            let byte = u8::try_from(index).expect("few validators");
            SealSigner::new(&zeroize::Zeroizing::new([byte; 32])).expect("key")
        })
        .collect();
    signers.sort_by_key(SealSigner::address);
    signers
}

pub(crate) fn set_of(signers: &[SealSigner]) -> ValidatorSet {
    ValidatorSet::new(signers.iter().map(SealSigner::address).collect()).expect("valid set")
}

pub(crate) fn genesis(format: EngineKind, set: &ValidatorSet, timestamp: u64) -> SealedHeader {
    let validators = set.addresses().to_vec();
    let extra_data = match format {
        EngineKind::Istanbul => IstanbulExtra { validators, ..IstanbulExtra::default() }.encode(),
        _ => QbftExtra { validators, ..QbftExtra::default() }.encode(),
    };
    let header =
        Header { timestamp, difficulty: U256::ONE, mix_hash: MIX, extra_data, ..Header::default() };
    header_hash::seal(format, header).expect("genesis extraData")
}

pub(crate) fn build(
    format: EngineKind,
    attributes: &BuildAttributes,
    content: u64,
    full: bool,
) -> RecoveredBlock {
    let transactions: Vec<_> = full.then(|| transaction(content)).into_iter().collect();
    let root = match full {
        true => calculate_transaction_root(&[transactions[0].envelope().clone()]),
        false => EMPTY_ROOT_HASH,
    };
    let state = [attributes.parent.as_slice(), &content.to_be_bytes()].concat();
    let header = Header {
        parent_hash: attributes.parent,
        number: attributes.number,
        timestamp: attributes.timestamp,
        beneficiary: attributes.beneficiary,
        nonce: attributes.nonce.into(),
        extra_data: attributes.extra_data.clone(),
        difficulty: U256::ONE,
        mix_hash: MIX,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        transactions_root: root,
        state_root: keccak256(state),
        gas_limit: 30_000_000,
        ..Header::default()
    };
    let header = header_hash::seal(format, header).expect("extraData of the engine");
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: None };
    RecoveredBlock { header, body: Arc::new(body) }
}

pub(crate) fn transaction(nonce: u64) -> Arc<RecoveredTransaction> {
    let transaction = TxLegacy { chain_id: Some(1337), nonce, ..TxLegacy::default() };
    let signed = transaction.into_signed(Signature::test_signature());
    let envelope = EthereumTxEnvelope::Legacy(signed);
    Arc::new(RecoveredTransaction::with_sender(envelope, Address::repeat_byte(7)))
}

/// Follows the rules of sealed blocks in its own words: distinct validators, a quorum, this header.
pub(crate) fn check_sealed(format: EngineKind, block: &RecoveredBlock, position: &ChainPosition) {
    let header = block.header.header();
    assert_eq!(header.parent_hash, position.head.hash(), "a block follows the head");
    assert!(header.timestamp >= position.head.timestamp, "time never goes back");
    let (digest, seals) = match format {
        EngineKind::Istanbul => {
            let extra = IstanbulExtra::decode(&header.extra_data).expect("extraData");
            let proposer = extra.proposer_seal.expect("the proposer seals");
            let digest = istanbul_proposer_digest(header, &extra);
            let proposer = recover_seal(&proposer, digest).expect("a seal has an author");
            assert!(position.next.contains(proposer), "a validator proposes");
            let named = [&block.hash().0[..], &[2]].concat();
            (keccak256(named), extra.committed_seals)
        }
        _ => {
            let extra = QbftExtra::decode(&header.extra_data).expect("extraData");
            (qbft_commit_digest(header, &extra), extra.committed_seals)
        }
    };
    let seal_author = |seal: &Seal| recover_seal(seal, digest).expect("a seal has an author");
    let authors: Vec<_> = seals.iter().map(seal_author).collect();
    let distinct: BTreeSet<_> = authors.iter().collect();
    assert_eq!(distinct.len(), authors.len(), "each validator seals once");
    assert!(authors.is_sorted(), "seals ascend by validator");
    assert!(authors.iter().all(|author| position.next.contains(*author)), "validators seal");
    assert!(authors.len() >= position.next.quorum(true), "a quorum seals");
}
