//! Private transactions as the chain, execution and storage see them: hashes of payloads, parties,
//! privacy terms, and the answer to "what stands behind this hash". Keys and ciphers are elsewhere.

use crate::{BlockNumber, StateChanges, StateError, StateReader};
use alloy_primitives::{Address, B256, B512, Bytes, Log};
use alloy_rlp::{RlpDecodable, RlpDecodableWrapper, RlpEncodable, RlpEncodableWrapper};
use alloy_trie::TrieAccount;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer};
use std::{fmt, str::FromStr, sync::Arc};
use zeroize::Zeroizing;

/// SHA3-512 of an encrypted payload: what stands on the chain in its place.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    RlpDecodableWrapper,
    RlpEncodableWrapper,
)]
pub struct PayloadHash(pub B512);

/// X25519 public key of a party to private transactions (Tessera's "public key").
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, RlpDecodableWrapper, RlpEncodableWrapper,
)]
pub struct RecipientKey(pub [u8; 32]);

/// The text is not the base64 form that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: expected {length} bytes in base64")]
pub struct Base64Error {
    /// What was given, cut to 100 characters.
    pub text: String,
    /// Bytes expected.
    pub length: usize,
}

fn from_base64<const N: usize>(text: &str) -> Result<[u8; N], Base64Error> {
    let decoded = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    decoded.ok_or_else(|| Base64Error { text: text.chars().take(100).collect(), length: N })
}

impl PayloadHash {
    /// The hash that a private transaction or a marker carries as its data.
    #[must_use]
    pub fn from_data(data: &[u8]) -> Option<Self> {
        Some(Self(B512::from(<[u8; 64]>::try_from(data).ok()?)))
    }
}

/// Standard base64, as Tessera writes it.
impl fmt::Display for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl FromStr for PayloadHash {
    type Err = Base64Error;

    fn from_str(text: &str) -> Result<Self, Base64Error> {
        Ok(Self(B512::from(from_base64::<64>(text)?)))
    }
}

/// Standard base64, as Tessera writes it.
impl fmt::Display for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl Serialize for RecipientKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for RecipientKey {
    type Err = Base64Error;

    fn from_str(text: &str) -> Result<Self, Base64Error> {
        Ok(Self(from_base64(text)?))
    }
}

/// GoQuorum's privacy flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrivacyFlag {
    /// 0: whoever is named takes part.
    #[default]
    Standard,
    /// 1: only parties of a contract may send to it.
    PartyProtection,
    /// 2: as 1, and some parties must be named every time.
    MandatoryRecipients,
    /// 3: as 1, all parties must be named every time, and their states must agree.
    StateValidation,
}

impl PrivacyFlag {
    /// The flag with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Standard),
            1 => Some(Self::PartyProtection),
            2 => Some(Self::MandatoryRecipients),
            3 => Some(Self::StateValidation),
            _ => None,
        }
    }

    /// Its number on the wire and in RPC.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Standard => 0,
            Self::PartyProtection => 1,
            Self::MandatoryRecipients => 2,
            Self::StateValidation => 3,
        }
    }
}

/// What the sender of a private transaction fixed beside the payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivacyTerms {
    /// The flag.
    pub flag: PrivacyFlag,
    /// Payloads that created the contracts which the sender saw affected; none for flag 0.
    pub affected: Vec<PayloadHash>,
    /// Root over the affected contracts after the sender's simulation; flag 3 only.
    pub execution_root: Option<B256>,
    /// Parties that must be named every time; flag 2 only.
    pub mandatory: Vec<RecipientKey>,
}

/// A payload that a party of this node can read.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivatePayload {
    /// The plain payload: call data or init code, or the inner transaction of a marker.
    pub plain: Zeroizing<Vec<u8>>,
    /// Who sent it.
    pub sender: RecipientKey,
    /// Keys of this node that are parties, ascending.
    pub managed: Vec<RecipientKey>,
    /// All parties as far as this node may know them, the sender included.
    pub parties: Vec<RecipientKey>,
    /// What the sender fixed.
    pub terms: PrivacyTerms,
}

/// Never shows the payload.
impl fmt::Debug for PrivatePayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivatePayload")
            .field("sender", &self.sender)
            .field("managed", &self.managed)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}

/// What stands behind a payload hash, seen from this node.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// This node is a party.
    Party(Arc<PrivatePayload>),
    /// This node is known not to be a party, or never heard of the payload.
    NotParty,
    /// This node is or may be a party and cannot tell now; the reason. Execution stops and tries
    /// again later: guessing "not a party" would fork the private state (quorum#1574).
    Unavailable(String),
}

/// Payloads that execution may ask for. Local only: never waits for the network.
pub trait PrivatePayloads: Send + Sync {
    /// What stands behind a hash.
    fn resolve(&self, hash: PayloadHash) -> Resolution;
}

/// Name of a private state (GoQuorum's PSI). A node has one, `private`, unless residents are
/// configured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrivateStateId(Arc<str>);

impl PrivateStateId {
    /// Longest name in bytes.
    pub const LENGTH_MAX: usize = 64;

    /// The one private state of a node without residents.
    #[must_use]
    pub fn default_state() -> Self {
        Self(Arc::from("private"))
    }

    /// A name of letters, digits, `-`, `_`, `.`.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let fits = (1..=Self::LENGTH_MAX).contains(&name.len()) && name.chars().all(allowed);
        fits.then(|| Self(Arc::from(name)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PrivateStateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Terms that a contract is under, kept beside its account in the private state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractTerms {
    /// Payload of the transaction that created it; once it was extended, the payload with which its
    /// state was shared.
    pub creation: PayloadHash,
    /// The flag; never [`PrivacyFlag::Standard`].
    pub flag: PrivacyFlag,
    /// Parties that must be named every time.
    pub mandatory: Vec<RecipientKey>,
}

/// What a private transaction did in one private state.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpDecodable, RlpEncodable)]
pub struct PrivateReceipt {
    /// Place of the public transaction in its block, from 0.
    pub index: u32,
    /// Whether it ran to its end.
    pub success: bool,
    /// Its logs.
    pub logs: Vec<Log>,
    /// What it returned when it reverted.
    pub revert_output: Bytes,
    /// Private contracts that took part, ascending.
    pub affected: Vec<Address>,
    /// For a marker: the private transaction inside (EIP-2718); else empty.
    pub inner: Bytes,
    /// Why it changed nothing although the EVM did not stop it: terms that were not kept.
    pub refused: String,
}

/// Private receipts of one block, by private state.
pub type PrivateReceipts = Vec<(PrivateStateId, Vec<PrivateReceipt>)>;

/// A private state as execution reads it.
pub trait PrivateState: StateReader {
    /// The terms that a contract came into being under.
    ///
    /// # Errors
    /// When the database fails.
    fn terms(&self, contract: Address) -> Result<Option<ContractTerms>, StateError>;

    /// The accounts as they stand in the state trie after changes; `None`: there is none.
    ///
    /// # Errors
    /// When the database fails.
    fn leaves_after(
        &self,
        changes: Arc<StateChanges>,
        accounts: &[Address],
    ) -> Result<Vec<Option<TrieAccount>>, StateError>;
}

/// Everything about private transactions that execution asks of a node: payloads, and its private
/// states. A node without keys has none of it and is no party to anything.
pub trait PrivateStates: PrivatePayloads {
    /// The private states of the given keys of this node, each once.
    fn states_of(&self, managed: &[RecipientKey]) -> Vec<PrivateStateId>;

    /// Public accounts as they stand in the state trie once changes are made after a block.
    ///
    /// # Errors
    /// When the database fails or the state is no longer kept.
    fn public_leaves_after(
        &self,
        number: BlockNumber,
        changes: Arc<StateChanges>,
        accounts: &[Address],
    ) -> Result<Vec<Option<TrieAccount>>, StateError>;

    /// A private state after a block.
    ///
    /// # Errors
    /// When the database fails or the state is no longer kept.
    fn state_at(
        &self,
        id: &PrivateStateId,
        number: BlockNumber,
    ) -> Result<Arc<dyn PrivateState>, StateError>;
}

/// A payload's hash as the data of the public transaction.
impl From<PayloadHash> for Bytes {
    fn from(hash: PayloadHash) -> Self {
        Self::copy_from_slice(hash.0.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_hashes_are_read_back_from_base64() {
        let key = "rl+gm5Qiz6nipzPPHtI9q+iQWZtF/uPJFN3stiD6mXQ=";
        assert_eq!(key.parse::<RecipientKey>().map(|key| key.to_string()), Ok(key.to_owned()));
        let hash = PayloadHash(B512::repeat_byte(7));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for wrong in
            ["", "rl+g", "not base64 at all", "rl-gm5Qiz6nipzPPHtI9q+iQWZtF/uPJFN3stiD6mXQ="]
        {
            assert!(wrong.parse::<RecipientKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_64_bytes_of_data_are_a_payload_hash() {
        assert!(PayloadHash::from_data(&[1; 64]).is_some());
        for length in [0, 63, 65] {
            assert!(PayloadHash::from_data(&vec![1; length]).is_none());
        }
    }

    #[test]
    fn a_payload_does_not_show_itself() {
        let payload = PrivatePayload {
            plain: Zeroizing::new(b"secret".to_vec()),
            sender: RecipientKey([1; 32]),
            managed: Vec::new(),
            parties: Vec::new(),
            terms: PrivacyTerms::default(),
        };
        let shown = format!("{payload:?}");
        assert!(!shown.contains("115") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn names_of_private_states_are_plain() {
        assert!(PrivateStateId::new("PS1.a_b-c").is_some());
        for wrong in ["", "a b", "../x", "\u{e9}"] {
            assert!(PrivateStateId::new(wrong).is_none(), "{wrong}");
        }
    }
}
