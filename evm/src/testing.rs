//! What unit tests share: a state in memory, chains, keys and transactions.

use crate::Executor;
use alloy_consensus::{Header, SignableTransaction, TxEip1559, TxLegacy};
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use entente_chain::{
    Account, ChainSpec, RecoveredTransaction, SealedHeader, StateChanges, StateError, StateReader,
    fork::{Fork, ForkSchedule},
    spec::{BaseFeeMode, BlockRules, EngineKind},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// A state in memory that counts its reads.
#[derive(Debug, Default)]
pub(crate) struct MemoryState {
    pub(crate) accounts: BTreeMap<Address, Account>,
    pub(crate) slots: BTreeMap<(Address, U256), U256>,
    pub(crate) code: BTreeMap<B256, Bytes>,
    pub(crate) reads: Mutex<BTreeMap<String, usize>>,
}

impl MemoryState {
    pub(crate) fn with(accounts: impl IntoIterator<Item = (Address, Account)>) -> Self {
        Self { accounts: accounts.into_iter().collect(), ..Self::default() }
    }

    pub(crate) fn contract(mut self, address: Address, code: &[u8], balance: u64) -> Self {
        let code_hash = keccak256(code);
        self.code.insert(code_hash, code.to_vec().into());
        let account = Account { nonce: 1, balance: U256::from(balance), code_hash };
        self.accounts.insert(address, account);
        self
    }

    pub(crate) fn slot_is(mut self, address: Address, slot: u64, value: u64) -> Self {
        self.slots.insert((address, U256::from(slot)), U256::from(value));
        self
    }

    /// The state after `changes`, checking that they begin where this state is.
    pub(crate) fn after(&self, changes: &StateChanges) -> Self {
        let mut after = Self {
            accounts: self.accounts.clone(),
            slots: self.slots.clone(),
            code: self.code.clone(),
            reads: Mutex::default(),
        };
        after.code.extend(changes.code.clone());
        for (address, change) in &changes.accounts {
            assert_eq!(change.before, self.accounts.get(address).copied());
            match change.after {
                Some(account) => after.accounts.insert(*address, account),
                None => after.accounts.remove(address),
            };
            if change.storage_wiped {
                after.slots.retain(|(owner, _), _| owner != address);
            }
            for (slot, (before, now)) in &change.storage {
                let key = (*address, *slot);
                assert_eq!(*before, after.slots.get(&key).copied().unwrap_or_default());
                assert_ne!(before, now);
                after.slots.insert(key, *now);
            }
        }
        after.slots.retain(|_, value| !value.is_zero());
        after
    }

    fn count(&self, key: String) {
        *self.reads.lock().unwrap().entry(key).or_default() += 1;
    }
}

impl StateReader for MemoryState {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.count(format!("account {address}"));
        Ok(self.accounts.get(&address).copied())
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.count(format!("slot {address} {slot}"));
        Ok(self.slots.get(&(address, slot)).copied().unwrap_or_default())
    }

    fn code(&self, hash: B256) -> Result<Bytes, StateError> {
        self.count(format!("code {hash}"));
        self.code.get(&hash).cloned().ok_or(StateError::CodeMissing(hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(keccak256(number.to_be_bytes()))
    }
}

/// A chain of `engine` with `fork` from genesis on, gas without a price, chain id 1337.
pub(crate) fn spec(engine: EngineKind, fork: Fork) -> ChainSpec {
    ChainSpec {
        chain_id: 1337,
        is_quorum: false,
        forks: ForkSchedule::all_until(fork),
        base_fee: BaseFeeMode::Zero,
        genesis_rules: BlockRules { ..BlockRules::new(engine) },
        transitions: Vec::new(),
        nanosecond_timestamps: false,
        blob_schedule: Vec::new(),
    }
}

pub(crate) fn executor(fork: Fork) -> Executor {
    Executor::new(Arc::new(spec(EngineKind::Qbft, fork)))
}

/// The parent of every test block.
pub(crate) fn parent() -> SealedHeader {
    let header = Header { number: 9, gas_limit: 30_000_000, timestamp: 100, ..Header::default() };
    SealedHeader::new(header, B256::repeat_byte(0x99))
}

/// A header on [`parent`] with every field that execution does not fill in.
pub(crate) fn template(fork: Fork) -> Header {
    let parent = parent();
    Header {
        parent_hash: parent.hash(),
        number: 10,
        gas_limit: 30_000_000,
        timestamp: 101,
        base_fee_per_gas: (fork >= Fork::London).then_some(0),
        excess_blob_gas: (fork >= Fork::Cancun).then_some(0),
        parent_beacon_block_root: (fork >= Fork::Cancun).then_some(B256::ZERO),
        beneficiary: Address::repeat_byte(0xcb),
        ..Header::default()
    }
}

/// A transaction without a price; `sender` stands for the key.
pub(crate) fn transaction(
    sender: Address,
    nonce: u64,
    to: TxKind,
    value: u64,
    input: impl Into<Bytes>,
) -> Arc<RecoveredTransaction> {
    let legacy = TxLegacy {
        chain_id: Some(1337),
        nonce,
        gas_price: 0,
        gas_limit: 200_000,
        to,
        value: U256::from(value),
        input: input.into(),
    };
    Arc::new(RecoveredTransaction::with_sender(signed(legacy), sender))
}

/// A transfer with fees and a gas limit.
pub(crate) fn dynamic(
    sender: Address,
    gas_limit: u64,
    cap: u128,
    tip: u128,
) -> RecoveredTransaction {
    let transaction = TxEip1559 {
        chain_id: 1337,
        nonce: 0,
        gas_limit,
        max_fee_per_gas: cap,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(Address::repeat_byte(2)),
        value: U256::ZERO,
        access_list: AccessList::default(),
        input: Bytes::new(),
    };
    RecoveredTransaction::with_sender(signed(transaction), sender)
}

fn signed<T: SignableTransaction<Signature>>(transaction: T) -> entente_chain::TransactionEnvelope
where
    entente_chain::TransactionEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = Signature::new(U256::ONE, U256::ONE, false);
    transaction.into_signed(signature).into()
}
