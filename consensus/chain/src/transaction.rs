//! Transactions and their senders. A sender is recovered once, by libsecp256k1 (a quarter of the
//! time of k256 on the same machine), and travels with the transaction from then on.

use alloy_consensus::{
    EthereumTxEnvelope, SignableTransaction, Transaction, TxEip4844, TxLegacy,
    crypto::RecoveryError,
};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, Signature, U256, keccak256};
use secp256k1::{
    Message, SECP256K1,
    ecdsa::{RecoverableSignature, RecoveryId},
};
use std::{ops::Deref, sync::Arc};

/// A signed transaction as it stands in a block; blob transactions without their sidecar.
pub type TransactionEnvelope = EthereumTxEnvelope<TxEip4844>;

/// What a legacy signature with a v of 37 or 38 means: the two readings exclude each other, so a
/// chain has one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// EIP-155 with chain id 1.
    Ethereum,
    /// GoQuorum: a private transaction, signed without a chain id. No such chain has chain id 1.
    Quorum,
}

/// Whether a chain with private transactions takes this one for private: v is 37 or 38.
#[must_use]
pub fn has_private_signature(envelope: &TransactionEnvelope) -> bool {
    matches!(envelope, EthereumTxEnvelope::Legacy(signed) if signed.tx().chain_id == Some(1))
}

/// Half of the order of secp256k1 (EIP-2).
const HALF_ORDER: U256 = U256::from_limbs([
    0xdfe9_2f46_681b_20a0,
    0x5d57_6e73_57a4_501d,
    0xffff_ffff_ffff_ffff,
    0x7fff_ffff_ffff_ffff,
]);

/// Why bytes are not a transaction that may be looked at further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// More bytes than any transaction may have.
    #[error("oversized data: {got} > {allowed}")]
    Oversized {
        /// Bytes given.
        got: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// An EIP-2718 type that is not known here.
    #[error("transaction type not supported")]
    UnsupportedType,
    /// Not RLP of a transaction.
    #[error("rlp: {0}")]
    Rlp(String),
    /// Bytes after the transaction.
    #[error("rlp: {0} trailing bytes after the transaction")]
    TrailingBytes(usize),
    /// EIP-2: only the lower of the two possible `s`.
    #[error("invalid signature: s is above n/2")]
    HighS,
    /// No key belongs to this signature.
    #[error("invalid signature: no sender can be recovered")]
    Signature,
}

/// A transaction with its sender and its EIP-2718 bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct RecoveredTransaction {
    envelope: TransactionEnvelope,
    sender: Address,
    encoded: Bytes,
}

impl RecoveredTransaction {
    /// Decodes EIP-2718 bytes and recovers the sender.
    ///
    /// # Errors
    /// When the bytes are not exactly one transaction, or its signature has no sender.
    pub fn decode(encoded: Bytes, signing: Signing) -> Result<Self, TransactionError> {
        let envelope = decode(&encoded)?;
        let sender = recover_sender(&envelope, signing)?;
        Ok(Self { envelope, sender, encoded })
    }

    /// Recovers the sender of a decoded transaction.
    ///
    /// # Errors
    /// When the signature has no sender.
    pub fn recover(
        envelope: TransactionEnvelope,
        signing: Signing,
    ) -> Result<Self, TransactionError> {
        let sender = recover_sender(&envelope, signing)?;
        Ok(Self::with_sender(envelope, sender))
    }

    /// Takes a sender that was recovered before (from our own database).
    #[must_use]
    pub fn with_sender(envelope: TransactionEnvelope, sender: Address) -> Self {
        let encoded = envelope.encoded_2718().into();
        Self { envelope, sender, encoded }
    }

    /// The transaction hash.
    #[must_use]
    pub fn hash(&self) -> B256 {
        *self.envelope.tx_hash()
    }

    /// Who signed it.
    #[must_use]
    pub const fn sender(&self) -> Address {
        self.sender
    }

    /// The signed transaction.
    #[must_use]
    pub const fn envelope(&self) -> &TransactionEnvelope {
        &self.envelope
    }

    /// The EIP-2718 bytes.
    #[must_use]
    pub const fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// Sender and nonce: what makes two transactions exclude each other.
    #[must_use]
    pub fn slot(&self) -> (Address, u64) {
        (self.sender, self.envelope.nonce())
    }
}

impl Deref for RecoveredTransaction {
    type Target = TransactionEnvelope;

    fn deref(&self) -> &TransactionEnvelope {
        &self.envelope
    }
}

/// Decodes exactly one EIP-2718 transaction. The caller has checked the size.
///
/// # Errors
/// When the type is unknown, the RLP is not canonical, or bytes are left over.
pub fn decode(encoded: &[u8]) -> Result<TransactionEnvelope, TransactionError> {
    match encoded.first() {
        Some(0x01..=0x04 | 0xc0..) => {}
        Some(_) => return Err(TransactionError::UnsupportedType),
        None => return Err(TransactionError::Rlp("empty input".into())),
    }
    let mut rest = encoded;
    let envelope = TransactionEnvelope::decode_2718(&mut rest)
        .map_err(|cause| TransactionError::Rlp(cause.to_string()))?;
    if !rest.is_empty() {
        return Err(TransactionError::TrailingBytes(rest.len()));
    }
    Ok(envelope)
}

/// Recovers who signed a transaction.
///
/// # Errors
/// When `s` is in the upper half (EIP-2) or no key belongs to the signature.
pub fn recover_sender(
    envelope: &TransactionEnvelope,
    signing: Signing,
) -> Result<Address, TransactionError> {
    let signature = envelope.signature();
    if signature.s() > HALF_ORDER {
        return Err(TransactionError::HighS);
    }
    let signed = match (signing, envelope) {
        (Signing::Quorum, EthereumTxEnvelope::Legacy(legacy))
            if has_private_signature(envelope) =>
        {
            TxLegacy { chain_id: None, ..legacy.tx().clone() }.signature_hash()
        }
        _ => envelope.signature_hash(),
    };
    recover_address(signature, signed).map_err(|_| TransactionError::Signature)
}

/// Recovers the address whose key signed `digest`, with libsecp256k1.
///
/// # Errors
/// When no key belongs to the signature.
pub fn recover_address(signature: &Signature, digest: B256) -> Result<Address, RecoveryError> {
    let mut compact = [0; 64];
    compact[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
    compact[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
    let parity = if signature.v() { RecoveryId::One } else { RecoveryId::Zero };
    let key = RecoverableSignature::from_compact(&compact, parity)
        .and_then(|signature| SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature))
        .map_err(|_| RecoveryError::new())?;
    let hash = keccak256(&key.serialize_uncompressed()[1..]);
    Ok(Address::from_slice(&hash[12..]))
}

/// Transactions of a body, shared.
pub type Transactions = Vec<Arc<RecoveredTransaction>>;
