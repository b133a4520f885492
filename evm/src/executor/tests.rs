use super::*;
use crate::{
    BuildRequest, InvalidTransaction, Room, SkipReason, TransactionSource,
    testing::{MemoryState, executor, parent, spec, template, transaction},
};
use alloy_primitives::{Bytes, TxKind, U256, keccak256};
use entente_chain::{Account, fork::Fork, header_hash, spec::EngineKind};
use std::{collections::VecDeque, time::Duration};

const ALICE: Address = Address::repeat_byte(0xa1);
const STORE: Address = Address::repeat_byte(0x57);
const DOOMED: Address = Address::repeat_byte(0xdd);

/// sstore(calldataload(0), calldataload(32)); log0
const STORE_CODE: [u8; 12] =
    [0x60, 0x20, 0x35, 0x60, 0x00, 0x35, 0x55, 0x5f, 0x5f, 0xa0, 0x00, 0x00];
/// selfdestruct(0xbe..)
const DOOMED_CODE: [u8; 3] = [0x60, 0xbe, 0xff];

struct Queue(VecDeque<Arc<RecoveredTransaction>>, Vec<SkipReason>);

impl TransactionSource for Queue {
    fn next(&mut self, _room: Room) -> Option<Arc<RecoveredTransaction>> {
        self.0.pop_front()
    }

    fn skipped(&mut self, _hash: B256, reason: SkipReason) {
        self.1.push(reason);
    }
}

fn block(
    executor: &Executor,
    fork: Fork,
    state: &MemoryState,
    transactions: Vec<Arc<RecoveredTransaction>>,
) -> (RecoveredBlock, Executed) {
    let count = transactions.len();
    let mut queue = Queue(transactions.into(), Vec::new());
    let template = template(fork);
    let request = BuildRequest {
        author: template.beneficiary,
        template,
        parent: &parent(),
        time_limit: Duration::from_secs(60),
    };
    let draft = executor.build(request, state, &mut queue).unwrap();
    assert_eq!((draft.body.transactions.len(), queue.1), (count, vec![]));
    let header = header_hash::seal(EngineKind::Ethereum, draft.header).unwrap();
    (RecoveredBlock { header, body: draft.body }, draft.executed)
}

fn words(slot: u64, value: u64) -> Bytes {
    [U256::from(slot).to_be_bytes::<32>(), U256::from(value).to_be_bytes::<32>()].concat().into()
}

fn store_state() -> MemoryState {
    MemoryState::default()
        .contract(STORE, &STORE_CODE, 0)
        .contract(DOOMED, &DOOMED_CODE, 5)
        .slot_is(STORE, 1, 10)
        .slot_is(DOOMED, 1, 7)
}

#[test]
fn changes_say_before_and_after_of_the_whole_block() {
    let (executor, state) = (executor(Fork::Shanghai), store_state());
    let call =
        |nonce, slot, value| transaction(ALICE, nonce, TxKind::Call(STORE), 0, words(slot, value));
    let transactions = vec![call(0, 1, 11), call(1, 1, 12), call(2, 2, 5), call(3, 2, 0)];
    let (block, built) = block(&executor, Fork::Shanghai, &state, transactions);
    let executed = executor.execute(&block, &parent(), &state).unwrap();
    assert_eq!(executed, built);
    let change = &executed.changes.accounts[&STORE];
    let ten_to_twelve = (U256::from(10), U256::from(12));
    assert_eq!(change.storage.iter().collect::<Vec<_>>(), [(&U256::ONE, &ten_to_twelve)]);
    let alice = &executed.changes.accounts[&ALICE];
    assert_eq!((alice.before, alice.after.unwrap().nonce), (None, 4));
    assert_eq!(executed.changes.accounts.len(), 2);
    assert_eq!(executed.receipts.len(), 4);
}

#[test]
fn accounts_slots_and_code_are_read_once() {
    let (executor, state) = (executor(Fork::Shanghai), store_state());
    let call = |nonce, value| transaction(ALICE, nonce, TxKind::Call(STORE), 0, words(1, value));
    block(&executor, Fork::Shanghai, &state, vec![call(0, 1), call(1, 2), call(2, 3)]);
    let reads = state.reads.lock().unwrap();
    assert!(reads.values().all(|count| *count == 1), "{reads:?}");
}

#[test]
fn a_destroyed_account_is_wiped() {
    let (executor, state) = (executor(Fork::Shanghai), store_state());
    let call = transaction(ALICE, 0, TxKind::Call(DOOMED), 0, []);
    let (_, executed) = block(&executor, Fork::Shanghai, &state, vec![call]);
    let change = &executed.changes.accounts[&DOOMED];
    assert_eq!(change.after, None);
    assert!(change.storage_wiped && change.storage.is_empty());
    let after = state.after(&executed.changes);
    assert!(after.slots.keys().all(|(owner, _)| *owner != DOOMED));
}

#[test]
fn from_cancun_on_an_old_account_stays() {
    let (executor, state) = (executor(Fork::Cancun), store_state());
    let call = transaction(ALICE, 0, TxKind::Call(DOOMED), 0, []);
    let (_, executed) = block(&executor, Fork::Cancun, &state, vec![call]);
    let change = &executed.changes.accounts[&DOOMED];
    assert_eq!(change.after.unwrap().balance, U256::ZERO);
    assert!(!change.storage_wiped);
}

#[test]
fn created_and_destroyed_in_one_block_leaves_no_trace() {
    for fork in [Fork::Shanghai, Fork::Cancun] {
        let (executor, state) = (executor(fork), MemoryState::default());
        let create = transaction(ALICE, 0, TxKind::Create, 0, DOOMED_CODE.to_vec());
        let (_, executed) = block(&executor, fork, &state, vec![create]);
        let created = ALICE.create(0);
        assert!(executed.receipts[0].success);
        assert!(!executed.changes.accounts.contains_key(&created));
        assert!(executed.changes.code.is_empty());
    }
}

#[test]
fn deployed_code_is_in_the_changes() {
    // mstore8(0, 0xfe); return(0, 1)
    let init = [0x60, 0xfe, 0x5f, 0x53, 0x60, 0x01, 0x5f, 0xf3];
    let (executor, state) = (executor(Fork::Shanghai), MemoryState::default());
    let create = transaction(ALICE, 0, TxKind::Create, 0, init.to_vec());
    let (_, executed) = block(&executor, Fork::Shanghai, &state, vec![create]);
    let hash = keccak256([0xfe]);
    assert_eq!(executed.changes.code[&hash], Bytes::from_static(&[0xfe]));
    assert_eq!(executed.changes.accounts[&ALICE.create(0)].after.unwrap().code_hash, hash);
}

#[test]
fn every_claim_of_the_header_is_checked() {
    let (executor, state) = (executor(Fork::Prague), store_state());
    let call = transaction(ALICE, 0, TxKind::Call(STORE), 0, words(1, 2));
    let (block, _) = block(&executor, Fork::Prague, &state, vec![call]);
    let with = |change: &dyn Fn(&mut Header)| {
        let mut header = block.header.header().clone();
        change(&mut header);
        let block = block.with_header(SealedHeader::new(header, B256::ZERO));
        let refused = executor.execute(&block, &parent(), &state).unwrap_err();
        assert!(refused.is_invalid());
        refused
    };
    assert!(matches!(
        with(&|header| header.transactions_root = B256::ZERO),
        BlockError::TransactionsRoot { .. }
    ));
    assert!(matches!(
        with(&|header| header.ommers_hash = B256::ZERO),
        BlockError::OmmersHash { .. }
    ));
    assert!(matches!(
        with(&|header| header.withdrawals_root = None),
        BlockError::WithdrawalsRoot { .. }
    ));
    assert!(matches!(with(&|header| header.gas_used += 1), BlockError::GasUsed { .. }));
    assert!(matches!(with(&|header| header.logs_bloom.0[0] = 1), BlockError::LogsBloom { .. }));
    assert!(matches!(
        with(&|header| header.receipts_root = B256::ZERO),
        BlockError::ReceiptsRoot { .. }
    ));
    assert!(matches!(with(&|header| header.requests_hash = None), BlockError::RequestsHash { .. }));
    assert!(matches!(
        with(&|header| header.blob_gas_used = Some(131_072)),
        BlockError::BlobGasUsed { .. }
    ));
}

#[test]
fn a_bad_transaction_is_named() {
    let (executor, state) = (executor(Fork::Shanghai), store_state());
    let call = transaction(ALICE, 0, TxKind::Call(STORE), 0, words(1, 2));
    let (block, _) = block(&executor, Fork::Shanghai, &state, vec![Arc::clone(&call)]);
    let later = MemoryState::with([(ALICE, Account { nonce: 3, ..Account::default() })]);
    let refused = executor.execute(&block, &parent(), &later).unwrap_err();
    let cause = InvalidTransaction::NonceTooLow { address: ALICE, nonce: 0, state: 3 };
    assert_eq!(
        refused,
        BlockError::Transaction { index: 0, hash: call.hash(), cause: Box::new(cause) }
    );
}

#[test]
fn a_state_that_cannot_be_read_is_not_the_blocks_fault() {
    let (executor, mut state) = (executor(Fork::Shanghai), store_state());
    let call = transaction(ALICE, 0, TxKind::Call(STORE), 0, words(1, 2));
    let (block, _) = block(&executor, Fork::Shanghai, &state, vec![call]);
    state.code.clear();
    let fresh = Executor::new(Arc::clone(&executor.spec));
    let failed = fresh.execute(&block, &parent(), &state).unwrap_err();
    assert!(matches!(failed, BlockError::State(_)) && !failed.is_invalid());
}

#[test]
fn a_configured_reward_goes_to_the_proposer() {
    let mut spec = spec(EngineKind::Qbft, Fork::Shanghai);
    spec.genesis_rules.block_reward = U256::from(1_000);
    let executor = Executor::new(Arc::new(spec));
    let (_, executed) = block(&executor, Fork::Shanghai, &MemoryState::default(), vec![]);
    let proposer = template(Fork::Shanghai).beneficiary;
    assert_eq!(executed.changes.accounts[&proposer].after.unwrap().balance, U256::from(1_000));
}

#[test]
fn parent_hashes_are_kept_where_the_contract_stands() {
    let history = alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
    let code = alloy_eips::eip2935::HISTORY_STORAGE_CODE.clone();
    let (executor, state) = (executor(Fork::Prague), MemoryState::default());
    let (_, without) = block(&executor, Fork::Prague, &state, vec![]);
    assert!(without.changes.accounts.is_empty());
    let state = MemoryState::default().contract(history, &code, 0);
    let (_, with) = block(&executor, Fork::Prague, &state, vec![]);
    let slot = U256::from(parent().number);
    let hash = U256::from_be_bytes(parent().hash().0);
    assert_eq!(with.changes.accounts[&history].storage[&slot], (U256::ZERO, hash));
    assert_eq!(with.changes.accounts.len(), 1);
}
