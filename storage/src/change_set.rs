//! What a block replaced: the accounts and slots before it, for reads of past states and for
//! taking the block back.
//!
//! Laid out for a binary search without decoding the rest: number of accounts (4 bytes); per
//! account, in order, address (20), offset of the account, offset of its slots, number of slots
//! (4 each, offsets from the end of this table); then accounts (0: none, 1: an account as in
//! [`crate::columns::AccountRow`]) and slots (slot and value, 32 each, in order).

use crate::{Column, columns::AccountRow, error::StoreError};
use alloy_primitives::{Address, U256};
use alloy_trie::EMPTY_ROOT_HASH;
use entente_chain::{Account, BlockNumber};
use std::collections::BTreeMap;

const ENTRY_BYTES: usize = 32;
const SLOT_BYTES: usize = 64;

/// An account before a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// `None`: it did not exist.
    pub(crate) account: Option<Account>,
    /// Changed slots and their values; zero: the slot did not exist.
    pub(crate) slots: BTreeMap<U256, U256>,
}

/// What a block replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChangeSet {
    pub(crate) accounts: BTreeMap<Address, Replaced>,
}

impl ChangeSet {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut table = length(self.accounts.len()).to_vec();
        let mut data = Vec::new();
        for (address, replaced) in &self.accounts {
            table.extend_from_slice(address.as_slice());
            table.extend_from_slice(&length(data.len()));
            data.push(u8::from(replaced.account.is_some()));
            if let Some(account) = replaced.account {
                AccountRow::new(account, EMPTY_ROOT_HASH).encode(&mut data);
            }
            table.extend_from_slice(&length(data.len()));
            table.extend_from_slice(&length(replaced.slots.len()));
            for (slot, value) in &replaced.slots {
                data.extend_from_slice(&slot.to_be_bytes::<32>());
                data.extend_from_slice(&value.to_be_bytes::<32>());
            }
        }
        table.extend_from_slice(&data);
        table
    }

    /// Decodes all of a change set.
    pub(crate) fn decode(number: BlockNumber, bytes: &[u8]) -> Result<Self, StoreError> {
        let set = Encoded::new(number, bytes)?;
        let mut accounts = BTreeMap::new();
        for entry in set.table.chunks_exact(ENTRY_BYTES) {
            let entry = set.entry(entry)?;
            let slots = set.slots(&entry)?.chunks_exact(SLOT_BYTES).map(slot_of).collect();
            let account = set.before(&entry)?;
            accounts.insert(entry.address, Replaced { account, slots });
        }
        Ok(Self { accounts })
    }
}

/// Counts and offsets are bounded by the size of a batch, far below 4 GiB.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn slot_of(pair: &[u8]) -> (U256, U256) {
    let (slot, value) = pair.split_at(SLOT_BYTES / 2);
    (U256::from_be_slice(slot), U256::from_be_slice(value))
}

struct Entry {
    address: Address,
    account_at: usize,
    slots_at: usize,
    slots: usize,
}

/// A change set that is searched where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded<'a> {
    number: BlockNumber,
    table: &'a [u8],
    data: &'a [u8],
}

impl<'a> Encoded<'a> {
    pub(crate) fn new(number: BlockNumber, bytes: &'a [u8]) -> Result<Self, StoreError> {
        let parts = || {
            let (count, rest) = bytes.split_first_chunk::<4>()?;
            let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
            rest.split_at_checked(count.checked_mul(ENTRY_BYTES)?)
        };
        let (table, data) = parts().ok_or_else(|| damaged(number))?;
        Ok(Self { number, table, data })
    }

    /// The account before the block; `None` when the block did not change it.
    pub(crate) fn account(&self, address: Address) -> Result<Option<Option<Account>>, StoreError> {
        let Some(entry) = self.find(address)? else { return Ok(None) };
        self.before(&entry).map(Some)
    }

    /// The slot before the block; `None` when the block did not change it.
    pub(crate) fn slot(&self, address: Address, slot: U256) -> Result<Option<U256>, StoreError> {
        let Some(entry) = self.find(address)? else { return Ok(None) };
        let wanted = slot.to_be_bytes::<32>();
        let pair = search(self.slots(&entry)?, SLOT_BYTES, &wanted);
        Ok(pair.map(|pair| slot_of(pair).1))
    }

    fn find(&self, address: Address) -> Result<Option<Entry>, StoreError> {
        search(self.table, ENTRY_BYTES, address.as_slice())
            .map(|entry| self.entry(entry))
            .transpose()
    }

    fn entry(&self, bytes: &[u8]) -> Result<Entry, StoreError> {
        let parts = || {
            let (address, rest) = bytes.split_first_chunk::<20>()?;
            let (account_at, rest) = rest.split_first_chunk::<4>()?;
            let (slots_at, rest) = rest.split_first_chunk::<4>()?;
            let slots = rest.first_chunk::<4>()?;
            let number = |bytes: [u8; 4]| usize::try_from(u32::from_be_bytes(bytes)).ok();
            Some(Entry {
                address: Address::from(*address),
                account_at: number(*account_at)?,
                slots_at: number(*slots_at)?,
                slots: number(*slots)?,
            })
        };
        parts().ok_or_else(|| damaged(self.number))
    }

    fn before(&self, entry: &Entry) -> Result<Option<Account>, StoreError> {
        let bytes = self.data.get(entry.account_at..).unwrap_or_default();
        match bytes.split_first() {
            Some((0, _)) => Ok(None),
            Some((1, rest)) => AccountRow::decode(rest)
                .map(|(row, _)| Some(row.account))
                .ok_or_else(|| damaged(self.number)),
            _ => Err(damaged(self.number)),
        }
    }

    fn slots(&self, entry: &Entry) -> Result<&'a [u8], StoreError> {
        let range = || {
            let end = entry.slots.checked_mul(SLOT_BYTES)?.checked_add(entry.slots_at)?;
            self.data.get(entry.slots_at..end)
        };
        range().ok_or_else(|| damaged(self.number))
    }
}

/// Finds the record that starts with `key` among sorted records of one size.
fn search<'a>(records: &'a [u8], size: usize, key: &[u8]) -> Option<&'a [u8]> {
    let at = |index: usize| records.get(index * size..(index + 1) * size).unwrap_or_default();
    let (mut low, mut high) = (0, records.len() / size);
    while low < high {
        let middle = low.midpoint(high);
        let head = at(middle).get(..key.len())?;
        match head.cmp(key) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return Some(at(middle)),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

fn damaged(number: BlockNumber) -> StoreError {
    StoreError::record(Column::ChangeSets, &number.to_be_bytes(), "not a change set")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;
    use proptest::prelude::*;

    fn sample() -> ChangeSet {
        let slots = BTreeMap::from([(U256::from(1), U256::from(2)), (U256::from(3), U256::ZERO)]);
        let account = Some(Account { nonce: 5, ..Account::default() });
        ChangeSet {
            accounts: BTreeMap::from([
                (Address::repeat_byte(1), Replaced { account, slots }),
                (Address::repeat_byte(2), Replaced::default()),
            ]),
        }
    }

    #[test]
    fn change_set_has_golden_bytes() {
        let word = |value: u8| format!("{}{value:02x}", "00".repeat(31));
        let expected = [
            "00000002".into(),
            format!("{}00000000{}{}", "01".repeat(20), "00000005", "00000002"),
            format!("{}00000085{}{}", "02".repeat(20), "00000086", "00000000"),
            "0100010005".into(),
            [word(1), word(2), word(3), word(0)].concat(),
            "00".into(),
        ];
        assert_eq!(hex::encode(sample().encode()), expected.concat());
    }

    #[test]
    fn searches_find_what_was_replaced_and_nothing_else() {
        let bytes = sample().encode();
        let set = Encoded::new(9, &bytes).unwrap();
        let one = Address::repeat_byte(1);
        assert_eq!(set.slot(one, U256::from(1)), Ok(Some(U256::from(2))));
        assert_eq!(set.slot(one, U256::from(3)), Ok(Some(U256::ZERO)));
        assert_eq!(set.slot(one, U256::from(2)), Ok(None));
        assert_eq!(set.account(Address::repeat_byte(2)), Ok(Some(None)));
        assert_eq!(set.account(Address::repeat_byte(3)), Ok(None));
        assert_eq!(ChangeSet::decode(9, &bytes), Ok(sample()));
    }

    proptest! {
        #[test]
        fn damaged_change_sets_never_panic(at: usize, bit in 0_u8..8, end: usize) {
            let mut bytes = sample().encode();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            bytes.truncate(end % (bytes.len() + 1));
            drop(ChangeSet::decode(9, &bytes));
            if let Ok(set) = Encoded::new(9, &bytes) {
                drop(set.slot(Address::repeat_byte(1), U256::from(1)));
                drop(set.account(Address::repeat_byte(1)));
            }
        }
    }
}
