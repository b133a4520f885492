//! The state as one block sees it: reads each account and slot once, keeps what transactions
//! change, and says in the end what the block changed.

use crate::code_cache::{CodeCache, analyse};
use alloy_primitives::{
    Address, B256, Bytes, KECCAK256_EMPTY, U256,
    map::{AddressMap, B256Map, HashMap},
};
use entente_chain::{Account, AccountChange, StateChanges, StateError, StateReader};
use revm::{
    Database, DatabaseCommit,
    bytecode::Bytecode,
    database_interface::DBErrorMarker,
    state::{Account as JournalAccount, AccountInfo},
};
use std::{collections::BTreeMap, sync::Arc};

/// [`StateError`] as revm wants it.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct ReadError(#[from] pub(crate) StateError);

impl DBErrorMarker for ReadError {}

/// The state that a block begins with: borrowed, or kept alive by the block itself.
#[derive(Clone)]
enum Source<'a> {
    Borrowed(&'a dyn StateReader),
    Shared(Arc<dyn StateReader>),
}

impl<'a> std::ops::Deref for Source<'a> {
    type Target = dyn StateReader + 'a;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Borrowed(reader) => *reader,
            Self::Shared(reader) => &**reader,
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Slot {
    before: U256,
    now: U256,
}

#[derive(Clone, Default)]
struct CachedAccount {
    before: Option<Account>,
    now: Option<AccountInfo>,
    slots: HashMap<U256, Slot>,
    /// Slots that are not in `slots` are zero: the account was created or destroyed.
    fresh: bool,
    touched: bool,
}

impl CachedAccount {
    fn destroy(&mut self) {
        self.now = None;
        self.fresh = true;
        self.slots.values_mut().for_each(|slot| slot.now = U256::ZERO);
    }

    fn apply(&mut self, account: JournalAccount) {
        self.touched = true;
        if account.is_selfdestructed() {
            return self.destroy();
        }
        if account.is_created() {
            self.destroy();
        }
        // EIP-161: what is touched and empty is gone.
        self.now = (!account.is_empty()).then_some(account.info);
        for (key, slot) in account.storage {
            if slot.is_changed() {
                self.slots.entry(key).or_default().now = slot.present_value;
            }
        }
    }

    fn into_change(self) -> Option<AccountChange> {
        let after = self.now.as_ref().map(to_account);
        let storage_wiped = self.fresh && self.before.is_some();
        let storage: BTreeMap<_, _> = if after.is_none() {
            BTreeMap::new()
        } else {
            let before = |slot: Slot| if storage_wiped { U256::ZERO } else { slot.before };
            self.slots
                .into_iter()
                .map(|(key, slot)| (key, (before(slot), slot.now)))
                .filter(|(_, (before, now))| before != now)
                .collect()
        };
        if self.before == after && storage.is_empty() && !storage_wiped {
            return None;
        }
        Some(AccountChange { before: self.before, after, storage_wiped, storage })
    }
}

/// A block's view of the state.
pub(crate) struct BlockState<'a> {
    state: Source<'a>,
    codes: &'a CodeCache,
    accounts: AddressMap<CachedAccount>,
    block_codes: B256Map<Bytecode>,
    block_hashes: BTreeMap<u64, B256>,
}

impl<'a> BlockState<'a> {
    pub(crate) fn new(state: &'a dyn StateReader, codes: &'a CodeCache) -> Self {
        Self::over(Source::Borrowed(state), codes)
    }

    pub(crate) fn shared(state: Arc<dyn StateReader>, codes: &'a CodeCache) -> Self {
        Self::over(Source::Shared(state), codes)
    }

    fn over(state: Source<'a>, codes: &'a CodeCache) -> Self {
        Self {
            state,
            codes,
            accounts: AddressMap::default(),
            block_codes: B256Map::default(),
            block_hashes: BTreeMap::new(),
        }
    }

    /// BLOCKHASH of `number`, whatever the state says.
    pub(crate) fn set_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    fn load(&mut self, address: Address) -> Result<&mut CachedAccount, StateError> {
        use alloy_primitives::map::Entry;
        match self.accounts.entry(address) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let before = self.state.account(address)?;
                let now = before.as_ref().map(to_info);
                let fresh = before.is_none();
                Ok(entry.insert(CachedAccount { before, now, fresh, ..Default::default() }))
            }
        }
    }

    /// The account as it stands now.
    pub(crate) fn account(&mut self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.load(address)?.now.as_ref().map(to_account))
    }

    /// Adds to a balance; an account that stays empty does not come into being (EIP-161).
    pub(crate) fn add_balance(&mut self, address: Address, wei: U256) -> Result<(), StateError> {
        let account = self.load(address)?;
        account.touched = true;
        let mut info = account.now.take().unwrap_or_default();
        info.balance = info.balance.saturating_add(wei);
        account.now = (!info.is_empty()).then_some(info);
        Ok(())
    }

    /// Changes an account for a call that is never committed.
    pub(crate) fn override_account(
        &mut self,
        address: Address,
        change: impl FnOnce(&mut AccountInfo),
    ) -> Result<(), StateError> {
        let account = self.load(address)?;
        change(account.now.get_or_insert_default());
        Ok(())
    }

    /// Replaces slots for a call that is never committed; `whole`: all others are zero.
    pub(crate) fn override_storage(
        &mut self,
        address: Address,
        slots: impl Iterator<Item = (U256, U256)>,
        whole: bool,
    ) -> Result<(), StateError> {
        let account = self.load(address)?;
        account.now.get_or_insert_default();
        account.fresh |= whole;
        account.slots.extend(slots.map(|(key, now)| (key, Slot { before: now, now })));
        Ok(())
    }

    /// Counts a transaction that does nothing else in this state.
    pub(crate) fn increment_nonce(&mut self, address: Address) -> Result<(), StateError> {
        let account = self.load(address)?;
        account.touched = true;
        let info = account.now.get_or_insert_default();
        info.nonce = info.nonce.saturating_add(1);
        Ok(())
    }

    /// Takes over what a transaction left of an account that was loaded before.
    pub(crate) fn apply(&mut self, address: Address, account: JournalAccount) {
        self.accounts.entry(address).or_default().apply(account);
    }

    /// Accounts as they stand now, to go back to.
    pub(crate) fn save(&self, addresses: impl Iterator<Item = Address>) -> SavedAccounts {
        let saved = addresses.map(|address| (address, self.accounts.get(&address).cloned()));
        SavedAccounts(saved.collect())
    }

    /// Goes back to accounts as they were saved.
    pub(crate) fn restore(&mut self, saved: SavedAccounts) {
        for (address, account) in saved.0 {
            match account {
                Some(account) => self.accounts.insert(address, account),
                None => self.accounts.remove(&address),
            };
        }
    }

    /// What was changed in some accounts since the block began.
    pub(crate) fn changes_of(&self, addresses: &[Address]) -> StateChanges {
        let known = addresses.iter().filter_map(|address| self.accounts.get_key_value(address));
        let touched = known.filter(|(_, account)| account.touched);
        changes_from(touched.map(|(address, account)| (*address, account.clone())))
    }

    /// What was changed since the block began.
    pub(crate) fn into_changes(self) -> StateChanges {
        changes_from(self.accounts.into_iter().filter(|(_, account)| account.touched))
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, StateError> {
        if hash == KECCAK256_EMPTY || hash.is_zero() {
            return Ok(Bytecode::default());
        }
        if let Some(code) = self.block_codes.get(&hash) {
            return Ok(code.clone());
        }
        let code = match self.codes.get(hash) {
            Some(code) => code,
            None => {
                let code = analyse(self.state.code(hash)?);
                self.codes.insert(hash, code.clone());
                code
            }
        };
        self.block_codes.insert(hash, code.clone());
        Ok(code)
    }
}

/// Accounts of a [`BlockState`] at some moment.
pub(crate) struct SavedAccounts(Vec<(Address, Option<CachedAccount>)>);

fn changes_from(touched: impl Iterator<Item = (Address, CachedAccount)>) -> StateChanges {
    let mut changes = StateChanges::default();
    for (address, account) in touched {
        let code = account.now.as_ref().and_then(|info| Some((info.code_hash, info.code.clone()?)));
        let Some(change) = account.into_change() else { continue };
        let known = change.before.map_or(KECCAK256_EMPTY, |before| before.code_hash);
        if let Some((hash, code)) = code
            && hash != known
            && hash != KECCAK256_EMPTY
        {
            changes.code.insert(hash, code.original_bytes());
        }
        changes.accounts.insert(address, change);
    }
    changes
}

impl Database for BlockState<'_> {
    type Error = ReadError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ReadError> {
        Ok(self.load(address)?.now.clone())
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, ReadError> {
        Ok(self.code(hash)?)
    }

    fn storage(&mut self, address: Address, key: U256) -> Result<U256, ReadError> {
        let state = self.state.clone();
        let account = self.load(address)?;
        if let Some(slot) = account.slots.get(&key) {
            return Ok(slot.now);
        }
        if account.fresh {
            return Ok(U256::ZERO);
        }
        let value = state.slot(address, key).map_err(ReadError)?;
        account.slots.insert(key, Slot { before: value, now: value });
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ReadError> {
        match self.block_hashes.get(&number) {
            Some(hash) => Ok(*hash),
            None => Ok(self.state.block_hash(number)?),
        }
    }
}

impl DatabaseCommit for BlockState<'_> {
    fn commit(&mut self, changes: AddressMap<JournalAccount>) {
        for (address, account) in changes {
            if account.is_touched() {
                // Loaded before it was touched, so the entry is there.
                self.accounts.entry(address).or_default().apply(account);
            }
        }
    }
}

fn to_info(account: &Account) -> AccountInfo {
    let code = (!account.has_code()).then(Bytecode::default);
    AccountInfo {
        balance: account.balance,
        nonce: account.nonce,
        code_hash: account.code_hash,
        account_id: None,
        code,
    }
}

fn to_account(info: &AccountInfo) -> Account {
    Account { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash }
}

/// Code for an override, with its hash.
pub(crate) fn override_code(code: Bytes) -> (B256, Bytecode) {
    let code = analyse(code);
    (code.hash_slow(), code)
}
