//! Execution that costs nothing and still says all that a block may disagree about: the state root
//! follows from the parent's state and the block's transactions, through the real trie.

use crate::world::LOGS_OF;
use alloy_consensus::proofs::calculate_transaction_root;
use alloy_primitives::{Address, B256, Log, U256, keccak256};
use entente_chain::{
    Account, AccountChange, BlockBody, Header, Receipt, RecoveredBlock, RecoveredTransaction,
    SealedHeader, StateChanges, StateReader,
};
use entente_evm::{BlockError, BuildRequest, Draft, Executed, Room, TransactionSource};
use entente_ledger::{ContractError, Execution};
use std::sync::Arc;

const GAS: u64 = 21_000;
/// Transactions in a block.
const TRANSACTIONS_MAX: usize = 40;

/// Every third transaction writes a log, as its nonce says.
fn logs(transaction: &RecoveredTransaction) -> Vec<Log> {
    let (_, nonce) = transaction.slot();
    let topic = B256::from(U256::from(nonce));
    let log = Log::new_unchecked(LOGS_OF, vec![topic], transaction.hash().0.into());
    if nonce.is_multiple_of(3) { vec![log] } else { Vec::new() }
}

/// Hashes in the place of an EVM.
pub(crate) struct HashExecution {
    /// A bug: receipts have no logs.
    pub(crate) loses_logs: bool,
}

impl HashExecution {
    fn run(
        &self,
        transactions: &[Arc<RecoveredTransaction>],
        number: u64,
        state: &dyn StateReader,
    ) -> Result<Executed, BlockError> {
        let mut changes = StateChanges::default();
        // One account tells of the height, one for each transaction of what came before it.
        let mut touch = |address: Address, by: B256| -> Result<(), BlockError> {
            let before = state.account(address)?;
            let known =
                changes.accounts.get(&address).and_then(|change: &AccountChange| change.after);
            let now = known.or(before).unwrap_or_default();
            let seen = keccak256([now.balance.to_be_bytes::<32>(), by.0].concat());
            let after = Account {
                nonce: now.nonce.saturating_add(1),
                balance: U256::from_be_bytes(seen.0) >> 8,
                ..now
            };
            let change = AccountChange { before, after: Some(after), ..AccountChange::default() };
            changes.accounts.insert(address, change);
            Ok(())
        };
        touch(Address::repeat_byte(0x77), keccak256(number.to_be_bytes()))?;
        for transaction in transactions {
            touch(transaction.sender(), transaction.hash())?;
        }
        let receipts = (1..=transactions.len() as u64)
            .zip(transactions)
            .map(|(count, transaction)| Receipt {
                tx_type: alloy_consensus::TxType::Legacy,
                success: true,
                cumulative_gas_used: count.saturating_mul(GAS),
                logs: if self.loses_logs { Vec::new() } else { logs(transaction) },
            })
            .collect();
        let gas_used = GAS.saturating_mul(transactions.len() as u64);
        Ok(Executed { receipts, gas_used, changes, ..Executed::default() })
    }

    fn fill(header: &mut Header, transactions: &[Arc<RecoveredTransaction>], executed: &Executed) {
        let envelopes: Vec<_> =
            transactions.iter().map(|transaction| transaction.envelope().clone()).collect();
        header.transactions_root = calculate_transaction_root(&envelopes);
        header.receipts_root = keccak256(header.transactions_root);
        header.gas_used = executed.gas_used;
    }
}

impl Execution for HashExecution {
    fn execute(
        &self,
        block: &RecoveredBlock,
        _: &SealedHeader,
        state: &dyn StateReader,
    ) -> Result<Executed, BlockError> {
        let transactions = block.transactions();
        let executed = self.run(transactions, block.header.number, state)?;
        let mut expected = block.header.header().clone();
        Self::fill(&mut expected, transactions, &executed);
        if expected.transactions_root != block.header.transactions_root {
            return Err(BlockError::TransactionsRoot {
                got: expected.transactions_root,
                expected: block.header.transactions_root,
            });
        }
        Ok(executed)
    }

    fn build(
        &self,
        request: BuildRequest<'_>,
        state: &dyn StateReader,
        source: &mut dyn TransactionSource,
    ) -> Result<Draft, BlockError> {
        let mut header = request.template;
        let room = Room { gas: header.gas_limit, bytes: 1 << 20 };
        let transactions: Vec<_> =
            std::iter::from_fn(|| source.next(room)).take(TRANSACTIONS_MAX).collect();
        let executed = self.run(&transactions, header.number, state)?;
        Self::fill(&mut header, &transactions, &executed);
        let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: None };
        Ok(Draft { header, body: Arc::new(body), executed })
    }

    fn validators(
        &self,
        _: Address,
        _: &SealedHeader,
        _: &dyn StateReader,
    ) -> Result<Vec<Address>, ContractError> {
        Err(ContractError::BadAnswer("no contracts here".to_owned()))
    }
}
