use super::*;
use crate::testing::{dynamic, parent, spec, transaction};
use alloy_primitives::{Address, TxKind};
use entente_chain::spec::EngineKind;
use std::sync::Arc;

const SENDER: Address = Address::repeat_byte(1);

fn text(spec: &ChainSpec, transaction: &RecoveredTransaction, head: &Header) -> String {
    validate_transaction(spec, transaction, head).unwrap_err().to_string()
}

fn osaka() -> ChainSpec {
    spec(EngineKind::Qbft, Fork::Osaka)
}

#[test]
fn a_plain_transfer_is_fine() {
    let transfer = dynamic(SENDER, 21_000, 0, 0);
    assert_eq!(validate_transaction(&osaka(), &transfer, &parent()), Ok(()));
}

#[test]
fn too_little_gas_is_told_in_geths_words() {
    assert_eq!(
        text(&osaka(), &dynamic(SENDER, 1, 0, 0), &parent()),
        "intrinsic gas too low: gas 1, minimum needed 21000"
    );
}

#[test]
fn calldata_has_a_floor_from_prague_on() {
    let envelope = transaction(SENDER, 0, TxKind::Call(SENDER), 0, vec![1; 100]);
    let cancun = intrinsic_gas(&envelope, Fork::Cancun);
    assert_eq!(cancun, IntrinsicGas { intrinsic: 22_600, floor: 0 });
    let prague = intrinsic_gas(&envelope, Fork::Prague);
    assert_eq!(prague, IntrinsicGas { intrinsic: 22_600, floor: 25_000 });
    assert_eq!(prague.minimum(), 25_000);
}

#[test]
fn another_chain_is_told_by_both_ids() {
    let spec = ChainSpec { chain_id: 5, ..osaka() };
    assert_eq!(
        text(&spec, &dynamic(SENDER, 21_000, 0, 0), &parent()),
        "invalid chain id: have 1337, want 5"
    );
}

#[test]
fn a_type_before_its_fork_is_not_supported() {
    let istanbul = spec(EngineKind::Qbft, Fork::Istanbul);
    assert_eq!(
        text(&istanbul, &dynamic(SENDER, 21_000, 0, 0), &parent()),
        "transaction type not supported"
    );
}

#[test]
fn a_price_is_refused_where_gas_has_none() {
    let mut spec = osaka();
    spec.genesis_rules.gas_price_enabled = false;
    assert_eq!(text(&spec, &dynamic(SENDER, 21_000, 1, 0), &parent()), "Gas price not 0");
    assert_eq!(validate_transaction(&spec, &dynamic(SENDER, 21_000, 0, 0), &parent()), Ok(()));
}

#[test]
fn more_gas_than_a_block_or_a_transaction_may_have_is_refused() {
    let head = parent();
    assert_eq!(
        text(&osaka(), &dynamic(SENDER, 30_000_001, 0, 0), &head),
        "exceeds block gas limit"
    );
    assert_eq!(
        text(&osaka(), &dynamic(SENDER, 16_777_217, 0, 0), &head),
        "transaction gas limit too high (cap: 16777216, tx: 16777217)"
    );
}

#[test]
fn fees_are_held_against_the_base_fee() {
    let head = Header { base_fee_per_gas: Some(7), ..parent().header().clone() };
    assert!(
        text(&osaka(), &dynamic(SENDER, 21_000, 6, 0), &head)
            .starts_with("max fee per gas less than block base fee: address 0x0101")
    );
    assert!(
        text(&osaka(), &dynamic(SENDER, 21_000, 8, 9), &head)
            .starts_with("max priority fee per gas higher than max fee per gas: address 0x0101")
    );
}

#[test]
fn init_code_may_be_twice_as_large_as_code() {
    let head = parent();
    let create = |size| transaction(SENDER, 0, TxKind::Create, 0, vec![0; size]);
    assert_eq!(
        text(&osaka(), &create(49_153), &head),
        "max initcode size exceeded: code size 49153, limit 49152"
    );
    let mut large = osaka();
    large.genesis_rules.contract_size_limit = 65_536;
    let refused = validate_transaction(&large, &create(49_153), &head);
    assert!(matches!(refused, Err(InvalidTransaction::IntrinsicGas { .. })), "{refused:?}");
}

#[test]
fn a_transaction_larger_than_the_chain_allows_is_refused() {
    let mut spec = osaka();
    spec.genesis_rules.transaction_size_limit = 10;
    let transfer: Arc<_> = transaction(SENDER, 0, TxKind::Call(SENDER), 0, []);
    assert_eq!(
        validate_transaction(&spec, &transfer, &parent()),
        Err(InvalidTransaction::Oversized { got: transfer.encoded().len(), allowed: 10 })
    );
}

#[test]
fn the_last_nonce_is_never_used() {
    let last = transaction(SENDER, u64::MAX, TxKind::Call(SENDER), 0, []);
    assert!(text(&osaka(), &last, &parent()).starts_with("nonce has max value"));
}
