use super::*;
use crate::testing::{MemoryState, dynamic, executor, parent, template, transaction};
use alloy_primitives::{TxKind, U256};
use entente_chain::{Account, RecoveredBlock, header_hash, spec::EngineKind};
use proptest::prelude::*;
use std::collections::VecDeque;

const ALICE: Address = Address::repeat_byte(0xa1);
const STORE: Address = Address::repeat_byte(0x57);
const DOOMED: Address = Address::repeat_byte(0xdd);

struct Queue(VecDeque<Arc<RecoveredTransaction>>, Vec<(B256, SkipReason)>);

impl TransactionSource for Queue {
    fn next(&mut self, _room: Room) -> Option<Arc<RecoveredTransaction>> {
        self.0.pop_front()
    }

    fn skipped(&mut self, hash: B256, reason: SkipReason) {
        self.1.push((hash, reason));
    }
}

fn build(
    fork: Fork,
    state: &MemoryState,
    transactions: Vec<Arc<RecoveredTransaction>>,
    change: impl FnOnce(&mut BuildRequest<'_>),
) -> (Draft, Queue) {
    let mut queue = Queue(transactions.into(), Vec::new());
    let (template, parent) = (template(fork), parent());
    let author = template.beneficiary;
    let time_limit = Duration::from_secs(60);
    let mut request = BuildRequest { template, parent: &parent, author, time_limit };
    change(&mut request);
    let draft = executor(fork).build(request, state, &mut queue).unwrap();
    (draft, queue)
}

fn transfer(nonce: u64) -> Arc<RecoveredTransaction> {
    transaction(ALICE, nonce, TxKind::Call(STORE), 0, [])
}

#[test]
fn a_transaction_that_may_not_stand_is_left_out_with_a_reason() {
    let poor = transaction(ALICE, 1, TxKind::Call(STORE), 1, []);
    let gap = transfer(5);
    let all = vec![transfer(0), Arc::clone(&poor), Arc::clone(&gap), transfer(1)];
    let (draft, queue) = build(Fork::Osaka, &MemoryState::default(), all, |_| {});
    assert_eq!(draft.body.transactions, [transfer(0), transfer(1)]);
    assert_eq!(queue.1.len(), 2);
    assert_eq!(queue.1[0].0, poor.hash());
    assert!(queue.1[0].1.to_string().starts_with("insufficient funds for gas * price + value"));
    assert!(queue.1[1].1.to_string().starts_with("nonce too high"));
}

#[test]
fn a_full_block_takes_no_more() {
    // Each asks for 200,000 gas and uses 21,000.
    let all = (0..20).map(transfer).collect();
    let (draft, queue) = build(Fork::Osaka, &MemoryState::default(), all, |request| {
        request.template.gas_limit = 250_000;
    });
    assert_eq!(draft.header.gas_used, 63_000);
    assert!(queue.1.iter().all(|(_, reason)| *reason == SkipReason::NoRoom));
    assert_eq!(draft.body.transactions.len() + queue.1.len(), 20);
}

#[test]
fn time_ends_a_block() {
    let all = (0..20).map(transfer).collect();
    let (draft, queue) = build(Fork::Osaka, &MemoryState::default(), all, |request| {
        request.time_limit = Duration::ZERO;
    });
    assert!(draft.body.transactions.is_empty());
    assert_eq!(queue.0.len(), 20);
}

#[test]
fn fees_go_to_the_author() {
    let rich = Account { balance: U256::from(1_000_000_000), ..Account::default() };
    let state = MemoryState::with([(ALICE, rich)]);
    let paying = Arc::new(dynamic(ALICE, 21_000, 5, 3));
    let author = Address::repeat_byte(0x0a);
    let (draft, _) = build(Fork::Osaka, &state, vec![paying], |request| request.author = author);
    let earned = draft.executed.changes.accounts[&author].after.unwrap().balance;
    assert_eq!(earned, U256::from(21_000 * 3));
}

/// A call of one of three senders to one of the contracts, or a creation.
fn any_transaction() -> impl Strategy<Value = (u8, u64, u8, u64, Vec<u8>)> {
    let input = proptest::collection::vec(any::<u8>(), 0..70);
    (0_u8..3, 0_u64..4, 0_u8..5, 0_u64..3, input)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// What one builds everybody accepts, and the changes lead from the state before to the
    /// state after: a second block on it sees exactly that.
    #[test]
    fn what_is_built_executes_to_the_same(
        plan in proptest::collection::vec(any_transaction(), 0..24),
        osaka: bool,
    ) {
        let fork = if osaka { Fork::Osaka } else { Fork::Istanbul };
        let state = MemoryState::default()
            .contract(STORE, &[0x60, 0x20, 0x35, 0x60, 0x00, 0x35, 0x55], 0)
            .contract(DOOMED, &[0x60, 0xbe, 0xff], 9)
            .slot_is(STORE, 0, 1)
            .slot_is(DOOMED, 1, 7);
        let transactions = plan
            .into_iter()
            .map(|(sender, nonce, target, value, input)| {
                let to = match target {
                    0 => TxKind::Create,
                    1 | 2 => TxKind::Call(STORE),
                    3 => TxKind::Call(DOOMED),
                    _ => TxKind::Call(Address::repeat_byte(sender)),
                };
                transaction(Address::repeat_byte(sender + 1), nonce, to, value, input)
            })
            .collect();
        let (draft, _) = build(fork, &state, transactions, |_| {});
        let header = header_hash::seal(EngineKind::Ethereum, draft.header).unwrap();
        let block = RecoveredBlock { header, body: draft.body };
        let executed = executor(fork).execute(&block, &parent(), &state).unwrap();
        prop_assert_eq!(&executed, &draft.executed);
        let after = state.after(&executed.changes);
        for transaction in block.transactions() {
            let (sender, nonce) = transaction.slot();
            prop_assert!(after.accounts[&sender].nonce > nonce);
        }
        for change in executed.changes.accounts.values() {
            if let Some(account) = change.after {
                prop_assert!(!account.has_code() || after.code.contains_key(&account.code_hash));
            }
        }
    }
}
