//! Signs transactions of the funded accounts.

use alloy_consensus::{SignableTransaction, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, hex};
use entente_chain::signer::SealSigner;
use zeroize::Zeroizing;

/// An account that sends in nonce order.
pub(crate) struct Wallet {
    signer: SealSigner,
    nonce: u64,
}

impl Wallet {
    /// One of the ten funded accounts.
    pub(crate) fn funded(index: usize) -> Self {
        let key = entente_testnet::dev_accounts()[index].private_key;
        Self { signer: SealSigner::new(&Zeroizing::new(key.0)).expect("a key"), nonce: 0 }
    }

    pub(crate) fn address(&self) -> Address {
        self.signer.address()
    }

    /// The next signed transfer of one wei, as `eth_sendRawTransaction` takes it.
    pub(crate) fn transfer(&mut self, to: Address) -> String {
        self.next(|nonce| TxLegacy {
            chain_id: Some(1337),
            nonce,
            gas_price: 0,
            gas_limit: 21_000,
            to: TxKind::Call(to),
            value: U256::ONE,
            input: Bytes::new(),
        })
    }

    /// The next signed transaction, made from its nonce.
    pub(crate) fn next(&mut self, make: impl FnOnce(u64) -> TxLegacy) -> String {
        let transaction = make(self.nonce);
        self.nonce += 1;
        self.sign(transaction)
    }

    /// Signs any legacy transaction.
    pub(crate) fn sign(&self, transaction: TxLegacy) -> String {
        let seal = self.signer.sign(transaction.signature_hash());
        let signature = Signature::from_bytes_and_parity(&seal[..64], seal[64] == 1);
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        hex::encode_prefixed(envelope.encoded_2718())
    }
}
