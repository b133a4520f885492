//! Who gets in.

use crate::{
    Pool, PoolError, Removal, replacement,
    sender::{self, Entry},
};
use alloy_primitives::{Address, B256, U256};
use entente_chain::{RecoveredTransaction, SealedHeader, StateError, StateReader};
use entente_evm::{InvalidTransaction, validate_transaction};
use std::{
    collections::{HashMap, hash_map::Entry as MapEntry},
    sync::Arc,
};

/// What EIP-7702 code of a delegated account begins with, and its length.
const DELEGATION: ([u8; 3], usize) = ([0xef, 0x01, 0x00], 23);

/// Who handed a transaction in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client of this node: peers are told again sooner.
    Local,
    /// A peer.
    Remote,
}

/// A transaction got in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// Its hash.
    pub hash: B256,
    /// It could stand in the next block; `false` while nonces before it are missing.
    pub executable: bool,
    /// The one it took the place of.
    pub replaced: Option<B256>,
}

/// What a batch of insertions shares.
pub(crate) struct Admission<'a> {
    pub(crate) head: &'a SealedHeader,
    pub(crate) state: &'a dyn StateReader,
    pub(crate) now_ms: u64,
    pub(crate) origin: Origin,
}

/// What the state says about a sender; read once per batch.
#[derive(Clone, Copy)]
pub(crate) struct SenderFacts {
    nonce: u64,
    balance: U256,
    contract: bool,
}

type Facts = HashMap<Address, SenderFacts>;

impl Pool {
    /// Hands in transactions; `state` is that of `head`. One answer for each, in their order.
    pub fn insert(
        &mut self,
        batch: Vec<Arc<RecoveredTransaction>>,
        head: &SealedHeader,
        state: &dyn StateReader,
        now_ms: u64,
        origin: Origin,
    ) -> Vec<Result<Inserted, PoolError>> {
        self.insert_all(batch, &Admission { head, state, now_ms, origin })
    }

    pub(crate) fn insert_all(
        &mut self,
        batch: Vec<Arc<RecoveredTransaction>>,
        admission: &Admission<'_>,
    ) -> Vec<Result<Inserted, PoolError>> {
        let mut facts = Facts::new();
        let admit = |transaction| {
            let answer = self.admit(transaction, admission, &mut facts);
            if let Err(cause) = &answer {
                *self.counters.refused.entry(cause.reason()).or_default() += 1;
            }
            answer
        };
        batch.into_iter().map(admit).collect()
    }

    fn admit(
        &mut self,
        transaction: Arc<RecoveredTransaction>,
        admission: &Admission<'_>,
        facts: &mut Facts,
    ) -> Result<Inserted, PoolError> {
        let hash = transaction.hash();
        if self.contains(hash) {
            return Err(PoolError::AlreadyKnown);
        }
        validate_transaction(&self.spec, &transaction, admission.head.header())?;
        let (address, nonce) = transaction.slot();
        let facts = self.facts(address, admission.state, facts).map_err(|error| {
            tracing::error!(%error, %address, "the pool cannot read a sender");
            PoolError::Unavailable
        })?;
        let cost = check_sender(&transaction, facts)?;
        let replaced = self.check_nonce(&transaction, admission.head.number)?;
        self.make_room(&transaction, replaced.is_some(), facts.nonce)?;
        let entry = Entry {
            transaction,
            hash,
            arrival: self.next_arrival(),
            arrived_at: admission.head.number,
            arrived_ms: admission.now_ms,
            gossiped_ms: admission.now_ms,
            origin: admission.origin,
            cost,
        };
        match replaced {
            Some(_) => self.swap(entry),
            None => self.put(entry, facts.nonce),
        }
        let executable = self.senders.get(&address).is_some_and(|queue| queue.is_executable(nonce));
        Ok(Inserted { hash, executable, replaced })
    }

    /// Reads a sender once per batch, and lets its queue follow the account's nonce.
    fn facts(
        &mut self,
        address: Address,
        state: &dyn StateReader,
        facts: &mut Facts,
    ) -> Result<SenderFacts, StateError> {
        let slot = match facts.entry(address) {
            MapEntry::Occupied(known) => return Ok(*known.get()),
            MapEntry::Vacant(slot) => slot,
        };
        let account = state.account(address)?.unwrap_or_default();
        let contract = account.has_code() && {
            let code = state.code(account.code_hash)?;
            !(code.starts_with(&DELEGATION.0) && code.len() == DELEGATION.1)
        };
        self.advance(address, account.nonce, |_| Removal::Stale);
        Ok(*slot.insert(SenderFacts { nonce: account.nonce, balance: account.balance, contract }))
    }

    /// Whether the nonce is free or its holder may be replaced, and the sender's own limits.
    fn check_nonce(
        &self,
        transaction: &RecoveredTransaction,
        head: u64,
    ) -> Result<Option<B256>, PoolError> {
        let (sender, nonce) = transaction.slot();
        let Some(queue) = self.senders.get(&sender) else { return Ok(None) };
        if let Some(old) = queue.entries.get(&nonce) {
            let allowed = replacement::allowed(&self.limits, old, transaction, head);
            return if allowed { Ok(Some(old.hash)) } else { Err(PoolError::Underpriced) };
        }
        let (waiting, allowed) = if nonce == queue.first_gap() {
            (queue.executable, self.limits.executable_per_sender)
        } else {
            (queue.gapped(), self.limits.gapped_per_sender)
        };
        if waiting >= allowed {
            return Err(PoolError::SenderFull { sender, waiting, allowed });
        }
        Ok(None)
    }

    /// Makes room by evicting: the gapped transaction that waits longest, else the cheapest of
    /// the last executable ones if the new one pays more. Gapped newcomers push nobody out.
    fn make_room(
        &mut self,
        transaction: &RecoveredTransaction,
        replaces: bool,
        next: u64,
    ) -> Result<(), PoolError> {
        let (address, nonce) = transaction.slot();
        let mut old_bytes = 0;
        let mut executable = nonce == next;
        if let Some(queue) = self.senders.get(&address) {
            old_bytes = queue.entries.get(&nonce).map_or(0, Entry::bytes);
            executable = queue.is_executable(nonce) || nonce == queue.first_gap();
        }
        let bytes = sender::bytes(transaction).saturating_sub(old_bytes);
        loop {
            let many = !replaces && self.len() >= self.limits.transactions;
            if !many && self.bytes().saturating_add(bytes) <= self.limits.bytes {
                return Ok(());
            }
            if !executable {
                return Err(PoolError::Full);
            }
            let oldest = self.gapped.first().copied();
            let victim = oldest.map(|(_, address, nonce)| (address, nonce));
            let victim = victim.or_else(|| self.cheapest_below(transaction));
            let Some((address, nonce)) = victim else { return Err(PoolError::Full) };
            self.take(address, nonce, Removal::Evicted);
        }
    }

    /// The cheapest last executable transaction of another sender, if it pays less.
    fn cheapest_below(&self, transaction: &RecoveredTransaction) -> Option<(Address, u64)> {
        let (tip, address) = self.tails.first()?;
        if *tip >= sender::tip_cap(transaction) || *address == transaction.sender() {
            return None;
        }
        let (nonce, _) = self.senders.get(address)?.last_executable()?;
        Some((*address, nonce))
    }
}

/// What the sender's account allows; the cost in wei.
fn check_sender(transaction: &RecoveredTransaction, facts: SenderFacts) -> Result<U256, PoolError> {
    let (address, nonce) = transaction.slot();
    // EIP-3607; a delegation (EIP-7702) leaves the key in charge.
    if facts.contract {
        return Err(InvalidTransaction::SenderHasCode { address }.into());
    }
    if nonce < facts.nonce {
        return Err(PoolError::NonceTooLow { next: facts.nonce, nonce });
    }
    let cost = sender::cost(transaction);
    if cost > facts.balance {
        return Err(PoolError::InsufficientFunds { balance: facts.balance, cost });
    }
    Ok(cost)
}
