//! Who leaves when the head moves, and of whom peers are told again.

use crate::{
    Pool, Removal,
    insert::{Admission, Origin},
};
use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256};
use entente_chain::{
    RecoveredTransaction, SealedHeader, StateError, StateReader, transaction::recover_address,
};
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

/// How much later peers hear again of what came from a peer.
const REMOTE_PATIENCE: u64 = 4;

impl Pool {
    /// Follows a new head: `included` stand in blocks that came, `returned` in blocks that went.
    /// Only senders whose account these touched are looked at. A sender whose account cannot be
    /// read keeps its transactions until it is touched again.
    pub fn on_block(
        &mut self,
        head: &SealedHeader,
        state: &dyn StateReader,
        included: &[Arc<RecoveredTransaction>],
        returned: Vec<Arc<RecoveredTransaction>>,
        now_ms: u64,
    ) {
        let hashes: HashSet<B256> = included.iter().map(|transaction| transaction.hash()).collect();
        let mut touched = BTreeSet::new();
        for transaction in included.iter().chain(&returned) {
            touched.insert(transaction.sender());
            touched.extend(authorities(transaction));
        }
        for address in touched {
            if self.senders.contains_key(&address)
                && let Err(error) = self.follow(address, state, &hashes)
            {
                tracing::error!(%error, %address, "the pool cannot follow a sender");
            }
        }
        let back: Vec<_> = returned.into_iter().filter(|tx| !hashes.contains(&tx.hash())).collect();
        let admission = Admission { head, state, now_ms, origin: Origin::Local };
        let answers = self.insert_all(back, &admission);
        self.counters.returned += answers.iter().filter(|answer| answer.is_ok()).count() as u64;
        self.expire(now_ms);
    }

    /// Takes out what execution refused. Whatever followed it becomes gapped.
    pub fn remove_unexecutable(&mut self, hash: B256) {
        if let Some((address, nonce)) = self.slot_of(hash) {
            self.take(address, nonce, Removal::Invalid);
        }
    }

    /// Executable transactions that peers should be told of again, oldest first, at most
    /// `regossip_batch`; they then wait anew.
    pub fn regossip(&mut self, now_ms: u64) -> Vec<Arc<RecoveredTransaction>> {
        let mut found = Vec::new();
        // Each entry is looked at once per call: what is put back lies behind this count.
        for _ in 0..self.gossiped.len() {
            let Some(&(told_ms, hash)) = self.gossiped.front() else { break };
            let due = told_ms.saturating_add(self.limits.regossip_after_ms) <= now_ms;
            if !due || found.len() >= self.limits.regossip_batch {
                break;
            }
            self.gossiped.pop_front();
            let Some((address, nonce)) = self.slot_of(hash) else { continue };
            let Some(queue) = self.senders.get_mut(&address) else { continue };
            let executable = queue.is_executable(nonce);
            let Some(entry) = queue.entries.get_mut(&nonce) else { continue };
            let times = if entry.origin == Origin::Local { 1 } else { REMOTE_PATIENCE };
            let patience = self.limits.regossip_after_ms.saturating_mul(times);
            if executable && entry.gossiped_ms.saturating_add(patience) <= now_ms {
                entry.gossiped_ms = now_ms;
                found.push(Arc::clone(&entry.transaction));
            }
            self.gossiped.push_back((now_ms, hash));
        }
        found
    }

    /// The queue may name transactions that left: no more of them than there are others.
    pub(crate) fn forget_gossip(&mut self) {
        if self.gossiped.len() > 2 * self.len() + self.limits.regossip_batch {
            let mut gossiped = std::mem::take(&mut self.gossiped);
            let mut seen = HashSet::new();
            gossiped.retain(|(_, hash)| self.contains(*hash) && seen.insert(*hash));
            self.gossiped = gossiped;
        }
    }

    fn follow(
        &mut self,
        address: Address,
        state: &dyn StateReader,
        included: &HashSet<B256>,
    ) -> Result<(), StateError> {
        let account = state.account(address)?.unwrap_or_default();
        self.advance(address, account.nonce, |hash| {
            if included.contains(&hash) { Removal::Included } else { Removal::Stale }
        });
        let Some(queue) = self.senders.get(&address) else { return Ok(()) };
        let too_dear = |(nonce, entry): (&u64, &crate::sender::Entry)| {
            (entry.cost > account.balance).then_some(*nonce)
        };
        let unfunded: Vec<u64> = queue.entries.iter().filter_map(too_dear).collect();
        // From the last one back, so that nothing is made gapped only to leave next.
        for nonce in unfunded.into_iter().rev() {
            self.take(address, nonce, Removal::Unfunded);
        }
        Ok(())
    }

    /// Drops gapped transactions that waited too long.
    fn expire(&mut self, now_ms: u64) {
        while let Some(&(_, address, nonce)) = self.gapped.first() {
            let entry = self.senders.get(&address).and_then(|queue| queue.entries.get(&nonce));
            let Some(entry) = entry else {
                self.gapped.pop_first();
                continue;
            };
            if entry.arrived_ms.saturating_add(self.limits.gapped_lifetime_ms) > now_ms {
                return;
            }
            self.take(address, nonce, Removal::Expired);
        }
    }
}

/// EIP-7702: whoever signed an authorization may have used a nonce too.
fn authorities(transaction: &RecoveredTransaction) -> impl Iterator<Item = Address> {
    let list = transaction.authorization_list().unwrap_or_default();
    list.iter().filter_map(|authorization| {
        let signature = authorization.signature().ok()?;
        recover_address(&signature, authorization.signature_hash()).ok()
    })
}
