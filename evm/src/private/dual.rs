//! Private over public state: an account is read where it exists, the private state first.

use crate::database::{BlockState, ReadError};
use alloy_primitives::{Address, B256, Bytes, U256, map::AddressMap};
use entente_chain::{Account, BlockNumber, StateError, StateReader};
use revm::{
    Database,
    bytecode::Bytecode,
    state::{Account as JournalAccount, AccountInfo},
};

/// Where an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Private,
    Public,
    Nowhere,
}

/// Both states while a block runs; only the private one can change.
pub(crate) struct DualState<'a, 'b> {
    pub(crate) private: &'b mut BlockState<'a>,
    pub(crate) public: &'b mut BlockState<'a>,
    /// Sender and nonce of the transaction, whatever the public state says by now.
    pub(crate) sender: (Address, u64),
}

impl Standing {
    /// Asks the private state first.
    fn of(
        private: Result<Option<Account>, StateError>,
        public: impl FnOnce() -> Result<Option<Account>, StateError>,
    ) -> Result<Self, StateError> {
        Ok(if private?.is_some() {
            Self::Private
        } else if public()?.is_some() {
            Self::Public
        } else {
            Self::Nowhere
        })
    }
}

impl DualState<'_, '_> {
    pub(crate) fn standing(&mut self, address: Address) -> Result<Standing, StateError> {
        Standing::of(self.private.account(address), || self.public.account(address))
    }

    /// Takes over what a transaction changed in the private state. Public accounts among the
    /// changes were only touched: nothing that writes runs on them.
    pub(crate) fn commit(&mut self, changes: AddressMap<JournalAccount>) -> Result<(), StateError> {
        for (address, mut account) in changes {
            let known = self.private.account(address)?;
            if known.is_none() {
                if !account.is_created() {
                    continue;
                }
                // An address that holds wei in public: private accounts have none of it.
                account.info.balance = U256::ZERO;
            }
            if account.is_touched() {
                self.private.apply(address, account);
            }
        }
        Ok(())
    }
}

impl Database for DualState<'_, '_> {
    type Error = ReadError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ReadError> {
        if let Some(info) = self.private.basic(address)? {
            return Ok(Some(info));
        }
        let info = self.public.basic(address)?;
        let (sender, nonce) = self.sender;
        if address == sender {
            return Ok(Some(AccountInfo { nonce, ..info.unwrap_or_default() }));
        }
        Ok(info)
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, ReadError> {
        match self.private.code_by_hash(hash) {
            Err(ReadError(StateError::CodeMissing(_))) => self.public.code_by_hash(hash),
            read => read,
        }
    }

    fn storage(&mut self, address: Address, key: U256) -> Result<U256, ReadError> {
        if self.private.account(address)?.is_some() {
            return self.private.storage(address, key);
        }
        self.public.storage(address, key)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ReadError> {
        self.public.block_hash(number)
    }
}

/// Both states after a block, for calls.
#[derive(Clone, Copy)]
pub(crate) struct DualReader<'a> {
    pub(crate) private: &'a dyn StateReader,
    pub(crate) public: &'a dyn StateReader,
}

impl DualReader<'_> {
    pub(crate) fn standing(&self, address: Address) -> Result<Standing, StateError> {
        Standing::of(self.private.account(address), || self.public.account(address))
    }
}

impl StateReader for DualReader<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match self.private.account(address)? {
            Some(account) => Ok(Some(account)),
            None => self.public.account(address),
        }
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        match self.private.account(address)? {
            Some(_) => self.private.slot(address, slot),
            None => self.public.slot(address, slot),
        }
    }

    fn code(&self, hash: B256) -> Result<Bytes, StateError> {
        match self.private.code(hash) {
            Err(StateError::CodeMissing(_)) => self.public.code(hash),
            read => read,
        }
    }

    fn block_hash(&self, number: BlockNumber) -> Result<B256, StateError> {
        self.public.block_hash(number)
    }
}
