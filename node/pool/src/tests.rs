use crate::{
    PoolError, PoolLimits, Removal,
    testing::{Bench, rich, tx},
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use entente_chain::{Account, spec::BaseFeeMode};
use proptest::prelude::*;

fn bench() -> Bench {
    Bench::new(PoolLimits::default())
}

const FEES: BaseFeeMode = BaseFeeMode::Eip1559 { initial: 7 };

#[test]
fn a_gap_holds_back_what_follows_until_it_is_filled() {
    let mut bench = bench();
    assert!(!bench.insert(tx(1, 1)).expect("gapped").executable);
    assert!(bench.best().is_empty());
    assert!(bench.insert(tx(1, 0)).expect("fills the gap").executable);
    assert_eq!(bench.best(), [(1, 0), (1, 1)]);
    assert_eq!(bench.pool.pending_nonce(Address::with_last_byte(1)), Some(2));
    assert_eq!(bench.pool.status(), (2, 0));
    bench.check();
}

#[test]
fn refusals_have_geths_words() {
    let mut bench = bench();
    bench.insert(tx(1, 0)).expect("new");
    let text = |answer: Result<_, PoolError>| answer.err().map(|cause| cause.to_string());
    let again = bench.insert(tx(1, 0));
    assert_eq!(text(again).as_deref(), Some("already known"));
    bench.world.accounts.insert(Address::with_last_byte(2), rich(5));
    let low = bench.insert(tx(2, 3));
    assert_eq!(text(low).as_deref(), Some("nonce too low: next nonce 5, tx nonce 3"));
    bench.world.accounts.insert(Address::with_last_byte(3), Account::default());
    let poor = bench.insert(tx(3, 0).value(1));
    assert_eq!(
        text(poor).as_deref(),
        Some("insufficient funds for gas * price + value: balance 0, tx cost 1, overshot 1")
    );
}

#[test]
fn a_replacement_pays_a_tenth_more() {
    let mut bench = Bench::with_fees(PoolLimits::default(), FEES);
    let old = bench.insert(tx(1, 0).price(1000)).expect("new");
    assert_eq!(bench.insert(tx(1, 0).price(1099)), Err(PoolError::Underpriced));
    let new = bench.insert(tx(1, 0).price(1100)).expect("pays enough");
    assert_eq!(new.replaced, Some(old.hash));
    assert!(bench.pool.get(old.hash).is_none());
    assert_eq!(bench.pool.counters().removed.get(&Removal::Replaced), Some(&1));
    bench.check();
}

#[test]
fn a_free_transaction_may_be_replaced_by_a_free_one_after_three_blocks() {
    let mut bench = bench();
    bench.insert(tx(1, 0)).expect("new");
    for _ in 0..3 {
        assert_eq!(bench.insert(tx(1, 0).value(1)), Err(PoolError::Underpriced));
        bench.block(&[], vec![]);
    }
    bench.insert(tx(1, 0).value(1)).expect("the old one waited long enough");
    bench.check();
}

#[test]
fn free_senders_take_turns() {
    let mut bench = bench();
    for nonce in 0..3 {
        bench.insert(tx(1, nonce)).expect("new");
    }
    bench.insert(tx(2, 0)).expect("new");
    assert_eq!(bench.best(), [(1, 0), (2, 0), (1, 1), (1, 2)]);
}

#[test]
fn where_gas_has_a_price_the_highest_tip_goes_first() {
    let mut bench = Bench::with_fees(PoolLimits::default(), FEES);
    bench.insert(tx(1, 0).price(10)).expect("new");
    bench.insert(tx(2, 0).price(30)).expect("new");
    bench.insert(tx(2, 1).price(20)).expect("new");
    assert_eq!(bench.best(), [(2, 0), (2, 1), (1, 0)]);
    assert_eq!(bench.pool.best(21_000, 1 << 20, 7).len(), 1, "gas for one");
    assert_eq!(bench.pool.best(1 << 30, 1 << 20, 25).len(), 1, "one can pay the base fee");
    assert_eq!(bench.pool.best(1 << 30, 10, 7).len(), 0, "no bytes for any");
}

#[test]
fn a_full_pool_gives_up_the_oldest_gapped_one_first() {
    let limits = PoolLimits { transactions: 2, ..PoolLimits::default() };
    let mut bench = Bench::new(limits);
    bench.insert(tx(1, 5)).expect("gapped");
    bench.insert(tx(2, 0)).expect("executable");
    assert_eq!(bench.insert(tx(3, 5)), Err(PoolError::Full));
    bench.insert(tx(3, 0)).expect("takes the place of the gapped one");
    assert_eq!(bench.insert(tx(4, 0)), Err(PoolError::Full));
    assert_eq!(bench.pool.counters().removed.get(&Removal::Evicted), Some(&1));
    bench.check();
}

#[test]
fn a_better_price_pushes_out_the_cheapest() {
    let limits = PoolLimits { transactions: 2, ..PoolLimits::default() };
    let mut bench = Bench::with_fees(limits, FEES);
    bench.insert(tx(1, 0).price(10)).expect("new");
    bench.insert(tx(2, 0).price(20)).expect("new");
    assert_eq!(bench.insert(tx(3, 0).price(10)), Err(PoolError::Full));
    bench.insert(tx(3, 0).price(11)).expect("pays more than the cheapest");
    assert_eq!(bench.best(), [(2, 0), (3, 0)]);
    bench.check();
}

#[test]
fn memory_is_bounded() {
    let mut bench = bench();
    bench.insert(tx(1, 0)).expect("new");
    let limits = PoolLimits { bytes: 3 * bench.pool.bytes(), ..PoolLimits::default() };
    let mut bench = Bench::new(limits);
    for from in 1..=3 {
        bench.insert(tx(from, 0)).expect("room");
    }
    assert_eq!(bench.insert(tx(4, 0)), Err(PoolError::Full));
    bench.check();
}

#[test]
fn a_sender_has_limits_of_its_own() {
    let limits =
        PoolLimits { executable_per_sender: 2, gapped_per_sender: 1, ..PoolLimits::default() };
    let mut bench = Bench::new(limits);
    bench.insert(tx(1, 0)).expect("new");
    bench.insert(tx(1, 1)).expect("new");
    bench.insert(tx(1, 5)).expect("gapped");
    assert!(matches!(bench.insert(tx(1, 2)), Err(PoolError::SenderFull { waiting: 2, .. })));
    assert!(matches!(bench.insert(tx(1, 6)), Err(PoolError::SenderFull { waiting: 1, .. })));
}

#[test]
fn contracts_do_not_send_but_delegated_accounts_do() {
    let mut bench = bench();
    let mut with_code = |from: u8, code: Bytes| {
        let code_hash = keccak256(&code);
        let account = Account { nonce: 0, balance: U256::MAX, code_hash };
        bench.world.accounts.insert(Address::with_last_byte(from), account);
        bench.world.code.insert(code_hash, code);
    };
    with_code(1, Bytes::from_static(&[0x60, 0]));
    let delegation = [&[0xef, 0x01, 0x00][..], &[7; 20]].concat();
    with_code(2, delegation.into());
    assert!(matches!(bench.insert(tx(1, 0)), Err(PoolError::Invalid(_))));
    bench.insert(tx(2, 0)).expect("a key is still in charge");
}

#[test]
fn a_block_takes_out_what_it_holds_and_what_it_made_stale() {
    let mut bench = bench();
    bench.insert(tx(1, 0)).expect("new");
    bench.insert(tx(2, 0)).expect("new");
    bench.insert(tx(2, 1)).expect("new");
    bench.block(&[tx(1, 0).build(), tx(2, 0).value(9).build()], vec![]);
    assert_eq!(bench.best(), [(2, 1)]);
    let removed = &bench.pool.counters().removed;
    assert_eq!(
        (removed.get(&Removal::Included), removed.get(&Removal::Stale)),
        (Some(&1), Some(&1))
    );
    bench.check();
}

#[test]
fn transactions_of_a_reverted_block_come_back() {
    let mut bench = bench();
    for nonce in 0..3 {
        bench.insert(tx(1, nonce)).expect("new");
    }
    let block = [tx(1, 0).build(), tx(1, 1).build()];
    bench.block(&block, vec![]);
    assert_eq!(bench.best(), [(1, 2)]);
    bench.block(&[tx(1, 0).build()], block.to_vec());
    assert_eq!(bench.best(), [(1, 1), (1, 2)]);
    assert_eq!(bench.pool.counters().returned, 1);
    bench.check();
}

#[test]
fn a_sender_that_became_poor_loses_what_it_cannot_pay() {
    let mut bench = bench();
    bench.insert(tx(1, 0)).expect("new");
    bench.insert(tx(1, 1).value(5)).expect("new");
    let poor = Account { balance: U256::from(4), ..rich(0) };
    bench.world.accounts.insert(Address::with_last_byte(1), poor);
    bench.block(&[tx(1, 0).build()], vec![]);
    assert_eq!(bench.pool.len(), 0);
    assert_eq!(bench.pool.counters().removed.get(&Removal::Unfunded), Some(&1));
    bench.check();
}

#[test]
fn gapped_transactions_do_not_wait_for_ever() {
    let mut bench = bench();
    bench.insert(tx(1, 4)).expect("gapped");
    bench.now_ms = PoolLimits::default().gapped_lifetime_ms;
    bench.insert(tx(2, 4)).expect("gapped");
    bench.block(&[], vec![]);
    assert_eq!(bench.pool.status(), (0, 1));
    assert_eq!(bench.pool.counters().removed.get(&Removal::Expired), Some(&1));
}

#[test]
fn peers_hear_again_of_what_waits_but_not_too_often() {
    let limits = PoolLimits { regossip_batch: 1, ..PoolLimits::default() };
    let after = limits.regossip_after_ms;
    let mut bench = Bench::new(limits);
    bench.insert(tx(1, 0)).expect("new");
    bench.insert(tx(2, 0)).expect("new");
    bench.insert(tx(3, 9)).expect("gapped");
    let mut heard = |now| {
        let told = bench.pool.regossip(now);
        told.iter().map(|tx| tx.sender().0[19]).collect::<Vec<_>>()
    };
    assert!(heard(after - 1).is_empty());
    assert_eq!(heard(after), [1]);
    assert_eq!(heard(after), [2]);
    assert!(heard(after).is_empty());
    assert_eq!(heard(2 * after), [1]);
}

#[test]
fn what_execution_refused_leaves_and_holds_back_the_rest() {
    let mut bench = bench();
    let first = bench.insert(tx(1, 0)).expect("new");
    bench.insert(tx(1, 1)).expect("new");
    bench.pool.remove_unexecutable(first.hash);
    assert_eq!(bench.pool.status(), (0, 1));
    assert_eq!(bench.pool.unknown(&[first.hash, B256::ZERO]).len(), 2);
    bench.check();
}

#[derive(Clone, Debug)]
enum Step {
    Insert { from: u8, nonce: u64, price: u128, value: u64 },
    Include(usize),
    Revert,
    Remove(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..5_u8, 0..9_u64, 7..40_u128, 0..3_u64)
            .prop_map(|(from, nonce, price, value)| Step::Insert { from, nonce, price, value }),
        2 => (0..4_usize).prop_map(Step::Include),
        1 => Just(Step::Revert),
        1 => (0..4_usize).prop_map(Step::Remove),
    ]
}

proptest! {
    /// Limits hold, nonces are in order, and nothing is lost without a reason, whatever happens.
    #[test]
    fn the_pool_stays_consistent(steps in prop::collection::vec(step(), 1..80)) {
        let limits = PoolLimits {
            transactions: 9,
            executable_per_sender: 5,
            gapped_per_sender: 2,
            ..PoolLimits::default()
        };
        let mut bench = Bench::with_fees(limits, FEES);
        let mut last_block = vec![];
        for step in steps {
            match step {
                Step::Insert { from, nonce, price, value } => {
                    drop(bench.insert(tx(from, nonce).price(price).value(value)));
                }
                Step::Include(count) => {
                    let mut block = bench.pool.best(1 << 30, 1 << 20, 7);
                    block.truncate(count);
                    bench.block(&block, vec![]);
                    last_block = block;
                }
                Step::Revert => bench.block(&[], std::mem::take(&mut last_block)),
                Step::Remove(index) => {
                    let best = bench.pool.best(1 << 30, 1 << 20, 7);
                    if let Some(transaction) = best.get(index) {
                        bench.pool.remove_unexecutable(transaction.hash());
                    }
                }
            }
            bench.check();
        }
    }
}
