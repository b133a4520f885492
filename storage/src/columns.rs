//! Every column of the database: what its keys and values are, and who writes it.
//!
//! Numbers are big-endian, so that the order of keys is the order of blocks. The bytes here are a
//! promise to databases on disk: a change needs a new schema version ([`crate::schema`]).

use crate::{error::StoreError, key_value::with_number};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use entente_chain::{Account, BlockNumber};
use std::fmt;

/// A column of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// Number to block hash (32), total difficulty (32), header (RLP).
    Headers,
    /// Block hash to number (8).
    Numbers,
    /// Number to transactions, ommers and, from Shanghai on, withdrawals: RLP lists, one after
    /// the other, as they follow the header in an encoded block.
    Bodies,
    /// Number to the senders of the transactions (20 each).
    Senders,
    /// Number to the receipts without their blooms (RLP).
    Receipts,
    /// Transaction hash to number (8), index (4).
    Transactions,
    /// 0, address, number; or 1 + position, topic, number: to nothing.
    LogIndex,
    /// Address to the account at the head ([`AccountRow`]).
    Accounts,
    /// Address, slot to the value at the head, without leading zeros.
    Slots,
    /// Code hash to code.
    Code,
    /// Nibbles from the root, one a byte, to a node of the account trie (RLP).
    AccountTrie,
    /// keccak256 of the address, nibbles from the root to a node of its storage trie (RLP).
    StorageTrie,
    /// Number to what the block replaced ([`crate::change_set`]).
    ChangeSets,
    /// Address, number of a block that changed it: to nothing.
    AccountHistory,
    /// Address, slot, number of a block that changed it: to nothing.
    SlotHistory,
    /// Number to the votes counted after it; opaque here.
    Tallies,
    /// Sequence number (8) to a record of a consensus engine; opaque here.
    ConsensusLog,
    /// Sequence number (8) to a provable breach of the protocol; opaque here.
    Evidence,
    /// Private state (8), tag (1), key to a sealed value ([`crate::private_states`]).
    PrivateState,
    /// A kind (1 byte) and its key, to a sealed record of private transactions
    /// ([`crate::PrivateRecords`]); opaque here.
    Payloads,
    /// Single values by name ([`crate::schema`]).
    Meta,
}

impl Column {
    /// Every column.
    pub const ALL: [Self; 21] = [
        Self::Headers,
        Self::Numbers,
        Self::Bodies,
        Self::Senders,
        Self::Receipts,
        Self::Transactions,
        Self::LogIndex,
        Self::Accounts,
        Self::Slots,
        Self::Code,
        Self::AccountTrie,
        Self::StorageTrie,
        Self::ChangeSets,
        Self::AccountHistory,
        Self::SlotHistory,
        Self::Tallies,
        Self::ConsensusLog,
        Self::Evidence,
        Self::PrivateState,
        Self::Payloads,
        Self::Meta,
    ];

    /// Name on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::Numbers => "numbers",
            Self::Bodies => "bodies",
            Self::Senders => "senders",
            Self::Receipts => "receipts",
            Self::Transactions => "transactions",
            Self::LogIndex => "log_index",
            Self::Accounts => "accounts",
            Self::Slots => "slots",
            Self::Code => "code",
            Self::AccountTrie => "account_trie",
            Self::StorageTrie => "storage_trie",
            Self::ChangeSets => "change_sets",
            Self::AccountHistory => "account_history",
            Self::SlotHistory => "slot_history",
            Self::Tallies => "tallies",
            Self::ConsensusLog => "consensus_log",
            Self::Evidence => "evidence",
            Self::PrivateState => "private_state",
            Self::Payloads => "payloads",
            Self::Meta => "meta",
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Key of a slot.
pub(crate) fn slot_key(address: Address, slot: U256) -> [u8; 52] {
    let mut key = [0; 52];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&slot.to_be_bytes::<32>());
    key
}

/// The slot named by the end of a key.
pub(crate) fn slot_of(key: &[u8]) -> Option<U256> {
    (key.len() == 52).then(|| key.get(20..)).flatten().map(U256::from_be_slice)
}

/// Key of a log's address in a block.
pub(crate) fn log_address_prefix(address: Address) -> Vec<u8> {
    [&[0], address.as_slice()].concat()
}

/// Key of a topic at a position (0 to 3) in a block.
pub(crate) fn log_topic_prefix(position: u8, topic: B256) -> Vec<u8> {
    [&[position.saturating_add(1)], topic.as_slice()].concat()
}

/// Key of a change of an account.
pub(crate) fn account_history_key(address: Address, number: BlockNumber) -> Vec<u8> {
    with_number(address.as_slice(), number)
}

/// Key of a change of a slot.
pub(crate) fn slot_history_key(address: Address, slot: U256, number: BlockNumber) -> Vec<u8> {
    with_number(&slot_key(address, slot), number)
}

/// The number at the end of a key.
pub(crate) fn number_at_end(column: Column, key: &[u8]) -> Result<BlockNumber, StoreError> {
    key.last_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or_else(|| StoreError::record(column, key, "no number at the end of the key"))
}

/// A number as a whole value.
pub(crate) fn number_value(column: Column, key: &[u8], value: &[u8]) -> Result<u64, StoreError> {
    let bytes: [u8; 8] =
        value.try_into().map_err(|_| StoreError::record(column, key, "not a number"))?;
    Ok(u64::from_be_bytes(bytes))
}

/// A slot's value: big-endian without leading zeros.
pub(crate) fn slot_value(value: U256) -> Vec<u8> {
    value.to_be_bytes_trimmed_vec()
}

/// Reads a slot's value.
pub(crate) fn decode_slot_value(key: &[u8], value: &[u8]) -> Result<U256, StoreError> {
    if value.is_empty() || value.len() > 32 {
        return Err(StoreError::record(Column::Slots, key, "not a slot value"));
    }
    Ok(U256::from_be_slice(value))
}

/// Where a transaction is: (number, index).
pub(crate) fn location_value(number: BlockNumber, index: u32) -> [u8; 12] {
    let mut value = [0; 12];
    value[..8].copy_from_slice(&number.to_be_bytes());
    value[8..].copy_from_slice(&index.to_be_bytes());
    value
}

/// Reads where a transaction is.
pub(crate) fn decode_location(key: &[u8], value: &[u8]) -> Result<(BlockNumber, u32), StoreError> {
    match (value.first_chunk::<8>(), value.last_chunk::<4>(), value.len()) {
        (Some(number), Some(index), 12) => {
            Ok((u64::from_be_bytes(*number), u32::from_be_bytes(*index)))
        }
        _ => Err(StoreError::record(Column::Transactions, key, "not a location")),
    }
}

const HAS_CODE: u8 = 1;
const HAS_STORAGE: u8 = 2;

/// An account as it is stored: flags, lengths of nonce and balance (1 byte each), nonce and
/// balance without leading zeros, then code hash and storage root where there are such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountRow {
    pub(crate) account: Account,
    pub(crate) storage_root: B256,
}

impl AccountRow {
    pub(crate) const fn new(account: Account, storage_root: B256) -> Self {
        Self { account, storage_root }
    }

    /// The account as a leaf of the account trie.
    pub(crate) const fn leaf(&self) -> TrieAccount {
        let Account { nonce, balance, code_hash } = self.account;
        TrieAccount { nonce, balance, storage_root: self.storage_root, code_hash }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let Account { nonce, balance, code_hash } = self.account;
        let nonce = U256::from(nonce).to_be_bytes_trimmed_vec();
        let balance = balance.to_be_bytes_trimmed_vec();
        let code = self.account.has_code();
        let storage = self.storage_root != EMPTY_ROOT_HASH;
        out.push(u8::from(code) * HAS_CODE + u8::from(storage) * HAS_STORAGE);
        out.push(u8::try_from(nonce.len()).unwrap_or_default());
        out.push(u8::try_from(balance.len()).unwrap_or_default());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&balance);
        if code {
            out.extend_from_slice(code_hash.as_slice());
        }
        if storage {
            out.extend_from_slice(self.storage_root.as_slice());
        }
    }

    /// Reads one account from the start of `bytes`; returns what follows it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let ([flags, nonce_length, balance_length], rest) = bytes.split_first_chunk::<3>()?;
        if *flags > HAS_CODE + HAS_STORAGE || *nonce_length > 8 || *balance_length > 32 {
            return None;
        }
        let (nonce, rest) = rest.split_at_checked(usize::from(*nonce_length))?;
        let (balance, rest) = rest.split_at_checked(usize::from(*balance_length))?;
        let (code_hash, rest) = hash_if(flags & HAS_CODE != 0, rest, KECCAK256_EMPTY)?;
        let (storage_root, rest) = hash_if(flags & HAS_STORAGE != 0, rest, EMPTY_ROOT_HASH)?;
        let nonce = U256::from_be_slice(nonce).try_into().ok()?;
        let balance = U256::from_be_slice(balance);
        Some((Self::new(Account { nonce, balance, code_hash }, storage_root), rest))
    }

    /// Reads a whole value of [`Column::Accounts`].
    pub(crate) fn decode_value(key: &[u8], value: &[u8]) -> Result<Self, StoreError> {
        match Self::decode(value) {
            Some((row, [])) => Ok(row),
            _ => Err(StoreError::record(Column::Accounts, key, "not an account")),
        }
    }
}

fn hash_if(there: bool, bytes: &[u8], otherwise: B256) -> Option<(B256, &[u8])> {
    if there {
        let (hash, rest) = bytes.split_first_chunk::<32>()?;
        Some((B256::from(*hash), rest))
    } else {
        Some((otherwise, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;
    use proptest::prelude::*;

    fn encoded(row: &AccountRow) -> Vec<u8> {
        let mut out = Vec::new();
        row.encode(&mut out);
        out
    }

    #[test]
    fn names_of_columns_are_distinct() {
        let names: std::collections::BTreeSet<_> = Column::ALL.map(Column::name).into();
        assert_eq!(names.len(), Column::ALL.len());
    }

    /// Golden bytes: flags 0, nonce of one byte, balance of two.
    #[test]
    fn plain_account_has_golden_bytes() {
        let account = Account { nonce: 7, balance: U256::from(0x1234), ..Account::default() };
        let row = AccountRow::new(account, EMPTY_ROOT_HASH);
        assert_eq!(hex::encode(encoded(&row)), "000102071234");
    }

    /// Golden bytes: both flags, then code hash and storage root.
    #[test]
    fn contract_account_has_golden_bytes() {
        let code_hash = B256::repeat_byte(0xcc);
        let account = Account { nonce: 1, balance: U256::ZERO, code_hash };
        let row = AccountRow::new(account, B256::repeat_byte(0xdd));
        let expected = format!("03010001{}{}", "cc".repeat(32), "dd".repeat(32));
        assert_eq!(hex::encode(encoded(&row)), expected);
    }

    #[test]
    fn keys_have_golden_bytes() {
        let address = Address::repeat_byte(0xaa);
        let slot = format!("{}{}05", "aa".repeat(20), "00".repeat(31));
        assert_eq!(hex::encode(slot_key(address, U256::from(5))), slot);
        let history = format!("{slot}0000000000000102");
        assert_eq!(hex::encode(slot_history_key(address, U256::from(5), 0x102)), history);
        let account = format!("{}0000000000000102", "aa".repeat(20));
        assert_eq!(hex::encode(account_history_key(address, 0x102)), account);
        assert_eq!(hex::encode(log_address_prefix(address)), format!("00{}", "aa".repeat(20)));
        let topic = log_topic_prefix(3, B256::repeat_byte(0xbb));
        assert_eq!(hex::encode(topic), format!("04{}", "bb".repeat(32)));
        assert_eq!(hex::encode(location_value(0x102, 3)), "000000000000010200000003");
        assert_eq!(hex::encode(slot_value(U256::from(0x102))), "0102");
    }

    proptest! {
        #[test]
        fn account_survives_a_round_trip(
            nonce: u64, balance: [u8; 32], code: Option<[u8; 32]>, storage: Option<[u8; 32]>,
        ) {
            let account = Account {
                nonce,
                balance: U256::from_be_bytes(balance),
                code_hash: code.map_or(KECCAK256_EMPTY, B256::from),
            };
            let row = AccountRow::new(account, storage.map_or(EMPTY_ROOT_HASH, B256::from));
            let bytes = encoded(&row);
            prop_assert_eq!(AccountRow::decode_value(&[], &bytes), Ok(row));
            for end in 0..bytes.len() {
                prop_assert!(AccountRow::decode_value(&[], &bytes[..end]).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            drop(AccountRow::decode_value(&[], &bytes));
            drop(decode_location(&[], &bytes));
            drop(decode_slot_value(&[], &bytes));
        }
    }
}
