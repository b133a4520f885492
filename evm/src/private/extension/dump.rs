//! A contract as it is shared with a new party: account, code and storage, without its history.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles};
use std::collections::BTreeMap;

const VERSION: u8 = 1;

/// Why bytes are no shared state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DumpError {
    /// Not the RLP that is expected.
    #[error("not the state of a contract: {0}")]
    Encoding(alloy_rlp::Error),
    /// A version that this node does not know.
    #[error("version {0} of a shared state is not known")]
    Version(u8),
    /// There is nothing to extend.
    #[error("the account has no code")]
    NoCode,
    /// Slots are not ascending, or one has no value.
    #[error("slots are not in their only form")]
    Slots,
}

/// The state of one contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractDump {
    /// Its address.
    pub address: Address,
    /// Its nonce.
    pub nonce: u64,
    /// Its code; never empty.
    pub code: Bytes,
    /// Slots that are not zero.
    pub storage: BTreeMap<U256, U256>,
}

#[derive(RlpDecodable, RlpEncodable)]
struct Row {
    version: u8,
    address: Address,
    nonce: u64,
    code: Bytes,
    storage: Vec<SlotRow>,
}

#[derive(RlpDecodable, RlpEncodable)]
struct SlotRow {
    slot: U256,
    value: U256,
}

impl ContractDump {
    /// As it travels in a payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let storage =
            self.storage.iter().map(|(slot, value)| SlotRow { slot: *slot, value: *value });
        alloy_rlp::encode(Row {
            version: VERSION,
            address: self.address,
            nonce: self.nonce,
            code: self.code.clone(),
            storage: storage.collect(),
        })
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When it is anything else: there is one form for each state.
    pub fn decode(bytes: &[u8]) -> Result<Self, DumpError> {
        let Row { version, address, nonce, code, storage: rows } =
            alloy_rlp::decode_exact(bytes).map_err(DumpError::Encoding)?;
        if version != VERSION {
            return Err(DumpError::Version(version));
        }
        if code.is_empty() {
            return Err(DumpError::NoCode);
        }
        let mut storage = BTreeMap::new();
        for SlotRow { slot, value } in rows {
            let ascends = storage.last_key_value().is_none_or(|(last, _)| *last < slot);
            if !ascends || value.is_zero() {
                return Err(DumpError::Slots);
            }
            storage.insert(slot, value);
        }
        Ok(Self { address, nonce, code, storage })
    }

    /// Hash of the code.
    #[must_use]
    pub fn code_hash(&self) -> B256 {
        keccak256(&self.code)
    }

    /// Root of the storage trie.
    #[must_use]
    pub fn storage_root(&self) -> B256 {
        if self.storage.is_empty() {
            return EMPTY_ROOT_HASH;
        }
        let hashed: BTreeMap<B256, &U256> = self
            .storage
            .iter()
            .map(|(slot, value)| (keccak256(slot.to_be_bytes::<32>()), value))
            .collect();
        let mut builder = HashBuilder::default();
        for (key, value) in hashed {
            builder.add_leaf(Nibbles::unpack(key), &alloy_rlp::encode(value));
        }
        builder.root()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump() -> ContractDump {
        let slots = [(0, 7), (1, 1_u64 << 40), (99, 1)];
        ContractDump {
            address: Address::repeat_byte(1),
            nonce: 3,
            code: Bytes::from_static(&[0x60, 0, 0xf3]),
            storage: slots.into_iter().map(|(k, v)| (U256::from(k), U256::from(v))).collect(),
        }
    }

    #[test]
    fn a_state_is_read_back_and_every_cut_refused() {
        let bytes = dump().encode();
        assert_eq!(ContractDump::decode(&bytes), Ok(dump()));
        for end in 0..bytes.len() {
            assert!(ContractDump::decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn a_state_has_one_form() {
        let empty = ContractDump { code: Bytes::new(), ..dump() };
        assert_eq!(ContractDump::decode(&empty.encode()), Err(DumpError::NoCode));
        let zero = ContractDump { storage: [(U256::ZERO, U256::ZERO)].into(), ..dump() };
        assert_eq!(ContractDump::decode(&zero.encode()), Err(DumpError::Slots));
        let row = |slot: u64| SlotRow { slot: U256::from(slot), value: U256::from(1) };
        let twice = |version, slots: [u64; 2]| {
            let storage = slots.into_iter().map(row).collect();
            let (address, code) = (Address::ZERO, Bytes::from_static(&[1]));
            alloy_rlp::encode(Row { version, address, nonce: 1, code, storage })
        };
        for slots in [[1, 1], [2, 1]] {
            assert_eq!(ContractDump::decode(&twice(1, slots)), Err(DumpError::Slots));
        }
        assert_eq!(ContractDump::decode(&twice(2, [1, 2])), Err(DumpError::Version(2)));
    }

    #[test]
    fn an_empty_storage_has_the_root_of_an_empty_trie() {
        assert_eq!(
            ContractDump { storage: BTreeMap::new(), ..dump() }.storage_root(),
            EMPTY_ROOT_HASH
        );
        assert_ne!(dump().storage_root(), EMPTY_ROOT_HASH);
    }
}
