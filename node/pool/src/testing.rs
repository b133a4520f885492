//! A state, a chain and transactions for tests.

use crate::{Inserted, Origin, Pool, PoolError, PoolLimits};
use alloy_consensus::{Signed, TxLegacy};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, Signature, TxKind, U256};
use entente_chain::{
    Account, BlockNumber, RecoveredTransaction, SealedHeader, StateError, StateReader,
    TransactionEnvelope,
    genesis::{Genesis, GenesisBuilder},
    spec::BaseFeeMode,
};
use std::{collections::HashMap, sync::Arc};

pub(crate) const CHAIN: u64 = 7;

/// Accounts by address; everybody is rich until told otherwise.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) accounts: HashMap<Address, Account>,
    pub(crate) code: HashMap<B256, Bytes>,
}

impl StateReader for World {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.accounts.get(&address).copied().or_else(|| Some(rich(0))))
    }

    fn slot(&self, _: Address, _: U256) -> Result<U256, StateError> {
        Ok(U256::ZERO)
    }

    fn code(&self, hash: B256) -> Result<Bytes, StateError> {
        self.code.get(&hash).cloned().ok_or(StateError::CodeMissing(hash))
    }

    fn block_hash(&self, _: BlockNumber) -> Result<B256, StateError> {
        Ok(B256::ZERO)
    }
}

pub(crate) fn rich(nonce: u64) -> Account {
    Account { nonce, balance: U256::MAX, code_hash: KECCAK256_EMPTY }
}

/// A pool, its chain and its state.
pub(crate) struct Bench {
    pub(crate) pool: Pool,
    pub(crate) world: World,
    head: SealedHeader,
    pub(crate) now_ms: u64,
}

impl Bench {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Self::with_fees(limits, BaseFeeMode::Zero)
    }

    pub(crate) fn with_fees(limits: PoolLimits, base_fee: BaseFeeMode) -> Self {
        let builder = GenesisBuilder {
            base_fee,
            ..GenesisBuilder::new(CHAIN, vec![Address::repeat_byte(1)])
        };
        let genesis = Genesis::parse(builder.to_json().as_bytes()).expect("genesis");
        let pool = Pool::new(limits, Arc::new(genesis.spec));
        Self { pool, world: World::default(), head: genesis.header, now_ms: 0 }
    }

    pub(crate) fn insert(&mut self, transaction: Transaction) -> Result<Inserted, PoolError> {
        let batch = vec![transaction.build()];
        let (state, now) = (&self.world, self.now_ms);
        let answers = self.pool.insert(batch, &self.head, state, now, Origin::Local);
        answers.into_iter().next().expect("one answer")
    }

    pub(crate) fn best(&self) -> Vec<(u8, u64)> {
        let fee = self.head.base_fee_per_gas.unwrap_or_default();
        let chosen = self.pool.best(self.head.gas_limit, 1 << 20, fee);
        chosen.iter().map(|tx| (tx.sender().0[19], tx.slot().1)).collect()
    }

    /// A block with these transactions, their senders' nonces moved on.
    pub(crate) fn block(
        &mut self,
        included: &[Arc<RecoveredTransaction>],
        returned: Vec<Arc<RecoveredTransaction>>,
    ) {
        for transaction in &returned {
            let (sender, nonce) = transaction.slot();
            let account = self.world.accounts.entry(sender).or_insert_with(|| rich(0));
            account.nonce = account.nonce.min(nonce);
        }
        for transaction in included {
            let (sender, nonce) = transaction.slot();
            let account = self.world.accounts.entry(sender).or_insert_with(|| rich(0));
            account.nonce = account.nonce.max(nonce + 1);
        }
        let mut header = self.head.header().clone();
        header.number += 1;
        self.head = SealedHeader::new(header, B256::ZERO);
        let (state, now) = (&self.world, self.now_ms);
        self.pool.on_block(&self.head, state, included, returned, now);
    }

    /// What must hold after every step.
    pub(crate) fn check(&self) {
        let (pool, limits) = (&self.pool, &self.pool.limits);
        let (executable, gapped) = pool.content();
        assert_eq!((executable.len(), gapped.len()), pool.status());
        let left: u64 = pool.counters().removed.values().sum();
        assert_eq!(pool.counters().inserted, left + pool.len() as u64, "lost without a reason");
        assert!(pool.len() <= limits.transactions && pool.bytes() <= limits.bytes);
        let bytes: usize =
            pool.senders.values().flat_map(|queue| queue.entries.values()).map(|e| e.bytes()).sum();
        assert_eq!(bytes, pool.bytes());
        for queue in pool.senders.values() {
            let state = self.world.account(queue.address).expect("state").expect("account").nonce;
            let nonces: Vec<u64> =
                queue.executables().map(|entry| entry.transaction.slot().1).collect();
            let expected: Vec<u64> = (state..state + nonces.len() as u64).collect();
            assert_eq!(nonces, expected, "executable nonces follow the account's");
        }
        let tails = pool.senders.values().filter(|queue| queue.executable > 0).count();
        assert_eq!(pool.tails.len(), tails);
    }
}

/// A transfer to be signed by nobody: the pool takes senders as recovered before.
#[derive(Clone, Copy)]
pub(crate) struct Transaction {
    pub(crate) from: u8,
    pub(crate) nonce: u64,
    pub(crate) price: u128,
    pub(crate) value: u64,
}

pub(crate) const fn tx(from: u8, nonce: u64) -> Transaction {
    Transaction { from, nonce, price: 0, value: 0 }
}

impl Transaction {
    pub(crate) const fn price(self, price: u128) -> Self {
        Self { price, ..self }
    }

    pub(crate) const fn value(self, value: u64) -> Self {
        Self { value, ..self }
    }

    pub(crate) fn build(self) -> Arc<RecoveredTransaction> {
        let sender = Address::with_last_byte(self.from);
        let inner = TxLegacy {
            chain_id: Some(CHAIN),
            nonce: self.nonce,
            gas_price: self.price,
            gas_limit: 21_000,
            // Else two senders' transactions would have one hash.
            to: TxKind::Call(sender),
            value: U256::from(self.value),
            input: Bytes::new(),
        };
        let signed = Signed::new_unhashed(inner, Signature::test_signature());
        let envelope = TransactionEnvelope::Legacy(signed);
        Arc::new(RecoveredTransaction::with_sender(envelope, sender))
    }
}
