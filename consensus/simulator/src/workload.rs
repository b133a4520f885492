//! Clients: they send transactions to nodes, and remember what a node told them is final.

use crate::scenario::Profile;
use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxLegacy};
use alloy_primitives::{Address, B256, Signature, TxKind, U256, keccak256};
use entente_chain::{BlockNumber, RecoveredTransaction, TransactionEnvelope, transaction::Signing};
use entente_evm::{Room, SkipReason, TransactionSource};
use k256::ecdsa::SigningKey;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// The account that clients send from. Its signatures are real in every profile: what a node has
/// written down, it recovers senders of when it starts.
pub(crate) struct Account {
    key: SigningKey,
    address: Address,
}

impl Account {
    pub(crate) fn new() -> Self {
        Self::numbered(0x42)
    }

    /// One of many; the number is not 0.
    pub(crate) fn numbered(number: u8) -> Self {
        #[expect(clippy::expect_used, reason = "a constant below the group order")]
        let key = SigningKey::from_slice(&[number; 32]).expect("a secret key");
        let public = key.verifying_key().to_encoded_point(false);
        let hash = keccak256(public.as_bytes().get(1..).unwrap_or_default());
        let address = Address::from_word(hash);
        Self { key, address }
    }

    pub(crate) const fn address(&self) -> Address {
        self.address
    }

    pub(crate) fn sign(&self, digest: B256) -> Signature {
        #[expect(clippy::expect_used, reason = "RFC 6979 finds a nonce for every digest")]
        let (signature, recovery) =
            self.key.sign_prehash_recoverable(digest.as_slice()).expect("a nonce");
        Signature::from_bytes_and_parity(&signature.to_bytes(), recovery.is_y_odd())
    }
}

/// What clients know.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    next_nonce: u64,
    /// Everything that was sent: clients send again what they see no receipt of.
    pub(crate) sent: Vec<Arc<RecoveredTransaction>>,
    /// Transactions that clients were told are final, and at which height.
    pub(crate) acknowledged: BTreeMap<B256, BlockNumber>,
}

impl Clients {
    /// The next transaction of the funded account.
    pub(crate) fn transaction(&mut self, funded: &Account) -> Arc<RecoveredTransaction> {
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
        let signature = funded.sign(transaction.signature_hash());
        let envelope = EthereumTxEnvelope::Legacy(transaction.into_signed(signature));
        let transaction = Arc::new(RecoveredTransaction::with_sender(envelope, funded.address()));
        self.sent.push(Arc::clone(&transaction));
        transaction
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
            Profile::Full => RecoveredTransaction::recover(envelope, Signing::Ethereum)
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
