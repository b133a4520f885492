//! One breach of each rule of QBFT headers, by the name it is refused with.

use super::{NOW, ZERO, block_on, edit_extra, seal_by, sealed_genesis, set_of, signers, spec};
use alloy_primitives::{Address, B64, B256, U256, b256};
use entente_chain::votes::VoteTally;
use entente_chain::{
    ChainSpec, Header, SealedHeader, ValidatorSet,
    extra_data::{
        ExtraDataError,
        qbft::{Seal, Vote},
    },
    fork::Fork,
    limits::{EXTRA_DATA_BYTES_MAX, ROUND_MAX},
    seal::SealError,
    signer::SealSigner,
    spec::EngineKind,
};
use entente_consensus::rules::{FieldValue, HeaderError, HeaderField, MIX_HASH, rules_for};
use std::sync::Arc;

const STRANGER: Address = Address::repeat_byte(0xee);
const EMPTY_ROOT: B256 =
    b256!("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
const EMPTY_REQUESTS: B256 =
    b256!("0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

struct Network {
    spec: Arc<ChainSpec>,
    signers: Vec<SealSigner>,
    validators: ValidatorSet,
    parent: SealedHeader,
}

impl Network {
    fn new(fork: Fork) -> Self {
        let signers = signers(4);
        let validators = set_of(&signers);
        let spec = Arc::new(spec(EngineKind::Qbft, fork));
        Self { spec, signers, validators, parent: sealed_genesis() }
    }

    fn block(&self) -> Header {
        block_on(&self.spec, &self.parent, &self.validators)
    }

    /// All three layers, in order.
    fn check(&self, header: &Header) -> Result<(), HeaderError> {
        let rules = rules_for(Arc::clone(&self.spec));
        rules.check_alone(header, NOW)?;
        rules.check_with_parent(header, &self.parent, &VoteTally::new(self.validators.clone()))?;
        rules.check_seals(header, &self.validators)
    }

    /// Changes a good block, lets three of four validators seal it, and checks it.
    fn check_changed(&self, change: impl FnOnce(&mut Header)) -> Result<(), HeaderError> {
        let mut header = self.block();
        change(&mut header);
        if entente_chain::extra_data::qbft::QbftExtra::decode(&header.extra_data).is_ok() {
            seal_by(&mut header, &self.signers[..3]);
        }
        self.check(&header)
    }
}

type Change = fn(&mut Header);
type FieldCase = (Change, HeaderField, FieldValue, FieldValue);
/// The list, and where it first differs.
type ListCase = (Vec<Address>, usize);

#[test]
fn a_good_block_passes_under_every_fork() {
    for fork in Fork::ALL {
        assert_eq!(Network::new(fork).check_changed(|_| ()), Ok(()), "{fork}");
    }
}

#[test]
fn each_breach_of_a_single_field_is_refused_by_name() {
    let network = Network::new(Fork::Osaka);
    let parent = network.parent.hash();
    let cases: Vec<(Change, HeaderError)> = vec![
        (|h| h.number = 7, HeaderError::Number { got: 7, expected: 1 }),
        (|h| h.parent_hash = ZERO, HeaderError::ParentHash { got: ZERO, expected: parent }),
        (|h| h.mix_hash = ZERO, HeaderError::MixHash { got: ZERO, expected: MIX_HASH }),
        (
            |h| h.difficulty = U256::ZERO,
            HeaderError::Difficulty { got: U256::ZERO, expected: U256::ONE },
        ),
        (
            |h| h.difficulty = U256::MAX,
            HeaderError::Difficulty { got: U256::MAX, expected: U256::ONE },
        ),
        (|h| h.nonce = B64::repeat_byte(1), HeaderError::Nonce { got: B64::repeat_byte(1) }),
        (|h| h.ommers_hash = ZERO, HeaderError::OmmersHash { got: ZERO }),
        (
            |h| h.gas_limit = 4_999,
            HeaderError::GasLimitRange { got: 4_999, least: 5_000, most: u64::MAX / 2 },
        ),
        (
            |h| h.gas_limit = u64::MAX,
            HeaderError::GasLimitRange { got: u64::MAX, least: 5_000, most: u64::MAX / 2 },
        ),
        (
            |h| h.gas_limit += 30_000_000 / 1024,
            HeaderError::GasLimitStep { got: 30_029_296, parent: 30_000_000, bound: 29_296 },
        ),
        (|h| h.gas_used = 30_000_001, HeaderError::GasUsed { got: 30_000_001, limit: 30_000_000 }),
        (|h| h.timestamp = 1_000, HeaderError::TimestampTooEarly { got: 1_000, earliest: 1_001 }),
        (
            |h| h.timestamp = NOW + 16,
            HeaderError::TimestampInFuture { got: NOW + 16, latest: NOW + 15 },
        ),
        (
            |h| h.timestamp = u64::MAX,
            HeaderError::TimestampInFuture { got: u64::MAX, latest: NOW + 15 },
        ),
        (|h| h.beneficiary = STRANGER, HeaderError::UnknownProposer(STRANGER)),
    ];
    for (change, expected) in cases {
        assert_eq!(network.check_changed(change), Err(expected));
    }
}

#[test]
fn each_fork_field_that_is_wrong_or_missing_is_refused_by_name() {
    let network = Network::new(Fork::Osaka);
    let number = FieldValue::Number;
    let hash = FieldValue::Hash;
    let one = B256::repeat_byte(1);
    let absent = FieldValue::Absent;
    let cases: Vec<FieldCase> = vec![
        (|h| h.base_fee_per_gas = Some(7), HeaderField::BaseFeePerGas, number(7), number(0)),
        (|h| h.base_fee_per_gas = None, HeaderField::BaseFeePerGas, absent, number(0)),
        (
            |h| h.withdrawals_root = Some(B256::repeat_byte(1)),
            HeaderField::WithdrawalsRoot,
            hash(one),
            hash(EMPTY_ROOT),
        ),
        (|h| h.blob_gas_used = Some(131_072), HeaderField::BlobGasUsed, number(131_072), number(0)),
        (|h| h.excess_blob_gas = Some(1), HeaderField::ExcessBlobGas, number(1), number(0)),
        (
            |h| h.parent_beacon_block_root = Some(B256::repeat_byte(1)),
            HeaderField::ParentBeaconBlockRoot,
            hash(one),
            hash(ZERO),
        ),
        (
            |h| h.requests_hash = Some(B256::repeat_byte(1)),
            HeaderField::RequestsHash,
            hash(one),
            hash(EMPTY_REQUESTS),
        ),
        (|h| h.requests_hash = None, HeaderField::RequestsHash, absent, hash(EMPTY_REQUESTS)),
        (
            |h| h.block_access_list_hash = Some(ZERO),
            HeaderField::BlockAccessListHash,
            hash(ZERO),
            absent,
        ),
        (|h| h.slot_number = Some(1), HeaderField::SlotNumber, number(1), absent),
    ];
    for (change, field, got, expected) in cases {
        let refused = network.check_changed(change);
        assert_eq!(refused, Err(HeaderError::Field { field, got, expected }));
    }
}

#[test]
fn fields_of_a_later_fork_are_refused_before_it() {
    let cases: [(Fork, Change, HeaderField); 6] = [
        (Fork::Berlin, |h| h.base_fee_per_gas = Some(0), HeaderField::BaseFeePerGas),
        (Fork::London, |h| h.withdrawals_root = Some(EMPTY_ROOT), HeaderField::WithdrawalsRoot),
        (Fork::Shanghai, |h| h.blob_gas_used = Some(0), HeaderField::BlobGasUsed),
        (Fork::Shanghai, |h| h.excess_blob_gas = Some(0), HeaderField::ExcessBlobGas),
        (
            Fork::Shanghai,
            |h| h.parent_beacon_block_root = Some(ZERO),
            HeaderField::ParentBeaconBlockRoot,
        ),
        (Fork::Cancun, |h| h.requests_hash = Some(EMPTY_REQUESTS), HeaderField::RequestsHash),
    ];
    for (fork, change, name) in cases {
        match Network::new(fork).check_changed(change) {
            Err(HeaderError::Field { field, expected: FieldValue::Absent, .. }) => {
                assert_eq!(field, name);
            }
            other => panic!("{name} before its fork: {other:?}"),
        }
    }
}

#[test]
fn each_breach_within_extra_data_is_refused_by_name() {
    let network = Network::new(Fork::Osaka);
    let vote = |recipient| Some(Vote { recipient, add: true });
    let refused = network.check_changed(|h| h.extra_data = vec![0; 32].into());
    assert!(matches!(refused, Err(HeaderError::ExtraData(ExtraDataError::Rlp(_)))));
    let refused = network.check_changed(|h| h.extra_data = vec![0; 10 << 20].into());
    let (got, allowed) = (10 << 20, EXTRA_DATA_BYTES_MAX);
    assert_eq!(refused, Err(ExtraDataError::TooLong { got, allowed }.into()));
    let refused = network.check_changed(|h| edit_extra(h, |e| e.vote = vote(Address::ZERO)));
    assert_eq!(refused, Err(HeaderError::VoteForNobody));
    let refused = network.check_changed(|h| edit_extra(h, |e| e.round = u64::MAX));
    assert_eq!(refused, Err(HeaderError::Round { got: u64::MAX, allowed: ROUND_MAX }));
    assert_eq!(network.check_changed(|h| edit_extra(h, |e| e.vote = vote(STRANGER))), Ok(()));
}

#[test]
fn a_validator_list_that_differs_is_refused() {
    let network = Network::new(Fork::Osaka);
    let all = network.validators.addresses();
    let cases: [ListCase; 5] = [
        (vec![], 0),
        (all[..3].to_vec(), 3),
        ([all, &[STRANGER]].concat(), 4),
        (vec![all[1], all[0], all[2], all[3]], 0),
        (vec![all[0], all[0], all[2], all[3]], 1),
    ];
    for (listed, index) in cases {
        let (got, expected) = (listed.get(index).copied(), all.get(index).copied());
        let refused = network.check_changed(|h| edit_extra(h, |e| e.validators = listed));
        assert_eq!(refused, Err(HeaderError::Validators { index, got, expected }));
    }
}

/// Under a validator contract GoQuorum and Besu leave the list empty.
#[test]
fn a_contract_may_leave_the_list_empty_but_not_wrong() {
    let mut network = Network::new(Fork::Osaka);
    let spec = Arc::make_mut(&mut network.spec);
    spec.genesis_rules.validator_contract = Some(Address::repeat_byte(0x10));
    let empty = network.check_changed(|h| edit_extra(h, |e| e.validators.clear()));
    assert_eq!(empty, Ok(()));
    let wrong = network.check_changed(|h| edit_extra(h, |e| e.validators.truncate(2)));
    assert!(matches!(wrong, Err(HeaderError::Validators { index: 2, .. })));
}

#[test]
fn seals_that_make_no_quorum_are_refused() {
    let network = Network::new(Fork::Osaka);
    let by = |sealers: &[SealSigner]| {
        let mut header = network.block();
        seal_by(&mut header, sealers);
        network.check(&header)
    };
    let keys = &network.signers;
    let outsider = signers(9).remove(8);
    assert_eq!(by(&keys[..2]), Err(HeaderError::TooFewSeals { got: 2, expected: 3 }));
    let five = [&keys[..], std::slice::from_ref(&outsider)].concat();
    assert_eq!(by(&five), Err(HeaderError::TooManySeals { got: 5, allowed: 4 }));
    let twice = [&keys[..2], &keys[..1]].concat();
    assert_eq!(by(&twice), Err(HeaderError::DuplicateSeal(keys[0].address())));
    let strange = [&keys[..2], std::slice::from_ref(&outsider)].concat();
    assert_eq!(by(&strange), Err(HeaderError::SealOfStranger(outsider.address())));
    assert_eq!(by(keys), Ok(()));
}

#[test]
fn a_seal_that_no_key_made_is_refused() {
    let network = Network::new(Fork::Osaka);
    let mut header = network.block();
    seal_by(&mut header, &network.signers[..3]);
    let nonsense = Seal::repeat_byte(0xff);
    edit_extra(&mut header, |extra| extra.committed_seals[1] = nonsense);
    assert_eq!(network.check(&header), Err(HeaderError::Seal(SealError(nonsense))));
}

/// A seal has two forms, (s, v) and (n - s, 1 - v): they are one vote.
#[test]
fn both_forms_of_one_seal_count_once() {
    let network = Network::new(Fork::Osaka);
    let mut header = network.block();
    seal_by(&mut header, &network.signers[..2]);
    edit_extra(&mut header, |extra| {
        let other = other_form(&extra.committed_seals[0]);
        extra.committed_seals.push(other);
    });
    let signer = network.signers[0].address();
    assert_eq!(network.check(&header), Err(HeaderError::DuplicateSeal(signer)));
}

fn other_form(seal: &Seal) -> Seal {
    const ORDER: U256 = U256::from_limbs([
        0xbfd2_5e8c_d036_4141,
        0xbaae_dce6_af48_a03b,
        0xffff_ffff_ffff_fffe,
        0xffff_ffff_ffff_ffff,
    ]);
    let mut other = *seal;
    let s = ORDER - U256::from_be_slice(&seal[32..64]);
    other[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    other[64] = 1 - seal[64];
    other
}

#[test]
fn seals_of_another_round_are_refused() {
    let network = Network::new(Fork::Osaka);
    let mut header = network.block();
    seal_by(&mut header, &network.signers[..3]);
    edit_extra(&mut header, |extra| extra.round = 1);
    let refused = network.check(&header);
    assert!(matches!(refused, Err(HeaderError::SealOfStranger(_) | HeaderError::Seal(_))));
}

#[test]
fn before_ceil_2n_3_a_quorum_is_two_f_plus_one() {
    let mut network = Network::new(Fork::Osaka);
    network.signers = signers(3);
    network.validators = set_of(&network.signers);
    let mut header = network.block();
    seal_by(&mut header, &network.signers[..1]);
    let few = HeaderError::TooFewSeals { got: 1, expected: 2 };
    assert_eq!(network.check(&header), Err(few));
    Arc::make_mut(&mut network.spec).genesis_rules.quorum_two_thirds = false;
    assert_eq!(network.check(&header), Ok(()));
}

#[test]
fn below_one_second_equal_timestamps_are_fine_and_earlier_ones_are_not() {
    let mut network = Network::new(Fork::Osaka);
    Arc::make_mut(&mut network.spec).genesis_rules.block_period_ms = 250;
    assert_eq!(network.check_changed(|h| h.timestamp = 1_000), Ok(()));
    let refused = network.check_changed(|h| h.timestamp = 999);
    let early = HeaderError::TimestampTooEarly { got: 999, earliest: 1_000 };
    assert_eq!(refused, Err(early));
}
