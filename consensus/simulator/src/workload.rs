//! Clients: they send transactions to nodes, and remember what a node told them is final.

use crate::scenario::Profile;
use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxLegacy};
use alloy_primitives::{Address, B256, Signature, TxKind, U256};
use entente_chain::{BlockNumber, RecoveredTransaction, TransactionEnvelope, signer::SealSigner};
use entente_evm::{Room, SkipReason, TransactionSource};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// What clients know.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    next_nonce: u64,
    /// Transactions that clients were told are final, and at which height.
    pub(crate) acknowledged: BTreeMap<B256, BlockNumber>,
}

impl Clients {
    /// The next transaction of the funded account.
    pub(crate) fn transaction(
        &mut self,
        profile: Profile,
        funded: &SealSigner,
    ) -> Arc<RecoveredTransaction> {
        let nonce = self.next_nonce;
        self.next_nonce += 1;
        let transaction = TxLegacy {
            chain_id: Some(1337),
            nonce,
            gas_limit: 21_000,
            to: TxKind::Call(Address::repeat_byte(9)),
            value: U256::from(1),
            ..TxLegacy::default()
        };
        let signature = match profile {
            // Nobody looks at it.
            Profile::Fast => Signature::test_signature(),
            Profile::Full => {
                let seal = funded.sign(transaction.signature_hash());
                Signature::from_bytes_and_parity(&seal[..64], seal[64] == 1)
            }
        };
        let envelope = EthereumTxEnvelope::Legacy(transaction.into_signed(signature));
        Arc::new(RecoveredTransaction::with_sender(envelope, funded.address()))
    }
}

/// Recovers senders as the profile has it.
pub(crate) fn recover(
    profile: Profile,
    funded: Address,
    envelopes: Vec<TransactionEnvelope>,
) -> Result<Vec<Arc<RecoveredTransaction>>, String> {
    envelopes
        .into_iter()
        .map(|envelope| match profile {
            Profile::Fast => Ok(Arc::new(RecoveredTransaction::with_sender(envelope, funded))),
            Profile::Full => RecoveredTransaction::recover(envelope)
                .map(Arc::new)
                .map_err(|error| error.to_string()),
        })
        .collect()
}

/// A node's waiting transactions: of one account, so their nonces are their order.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    by_nonce: BTreeMap<u64, Arc<RecoveredTransaction>>,
    pub(crate) next: u64,
}

impl Waiting {
    pub(crate) fn insert(&mut self, transaction: Arc<RecoveredTransaction>) {
        let (_, nonce) = transaction.slot();
        self.by_nonce.entry(nonce).or_insert(transaction);
    }

    /// Whether one could be executed now.
    pub(crate) fn is_executable(&self) -> bool {
        self.by_nonce.contains_key(&self.next)
    }

    /// Executable ones.
    pub(crate) fn executable(&self) -> Vec<Arc<RecoveredTransaction>> {
        self.source().0.into()
    }

    /// Executable ones, in order.
    pub(crate) fn source(&self) -> Source {
        let mut next = self.next;
        let ready = std::iter::from_fn(|| {
            let transaction = self.by_nonce.get(&next).cloned();
            next += 1;
            transaction
        });
        Source(ready.take(40).collect())
    }
}

/// Feeds a build.
pub(crate) struct Source(VecDeque<Arc<RecoveredTransaction>>);

impl TransactionSource for Source {
    fn next(&mut self, _: Room) -> Option<Arc<RecoveredTransaction>> {
        self.0.pop_front()
    }

    fn skipped(&mut self, _: B256, _: SkipReason) {
        self.0.clear();
    }
}
