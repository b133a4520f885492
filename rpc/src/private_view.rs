//! What a caller sees: the public state, and over it the private state that it chose.

use crate::{context::Service, error::RpcError};
use alloy_primitives::{Address, Bytes, U256};
use entente_chain::{
    Account, BlockNumber, StateError, StateReader as _,
    private::{PrivateReceipt, PrivateStateId},
};
use entente_storage::{PrivateStates, StateStore, StateView};

/// The states of one block, as one caller sees them.
pub(crate) struct SeenState {
    pub(crate) public: StateView,
    pub(crate) private: Option<StateView>,
}

impl SeenState {
    /// The state that an account lives in: the private one if it is there (GoQuorum's
    /// `EthAPIState`).
    fn home(&self, address: Address) -> Result<&StateView, StateError> {
        match &self.private {
            Some(private) if private.account(address)?.is_some() => Ok(private),
            _ => Ok(&self.public),
        }
    }

    pub(crate) fn account(&self, address: Address) -> Result<Account, StateError> {
        Ok(self.home(address)?.account(address)?.unwrap_or_default())
    }

    pub(crate) fn code(&self, address: Address) -> Result<Bytes, StateError> {
        let home = self.home(address)?;
        match home.account(address)? {
            Some(account) if account.has_code() => home.code(account.code_hash),
            _ => Ok(Bytes::new()),
        }
    }

    pub(crate) fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.home(address)?.slot(address, slot)
    }
}

impl Service {
    /// The private states of this node, if it has any.
    pub(crate) fn private_states(&self) -> Option<&PrivateStates> {
        self.context.private.as_ref().map(|private| &private.states)
    }

    /// The private state that a caller chose, after a block.
    pub(crate) fn private_state(
        &self,
        id: &PrivateStateId,
        number: BlockNumber,
    ) -> Result<Option<StateView>, RpcError> {
        let store = self.private_states().and_then(|states| states.store(id));
        Ok(store.map(|store| store.at(number)).transpose()?)
    }

    /// The store of the state that an account lives in.
    pub(crate) fn store_of(
        &self,
        id: &PrivateStateId,
        address: Address,
        number: BlockNumber,
    ) -> Result<StateStore, RpcError> {
        if let Some(store) = self.private_states().and_then(|states| states.store(id))
            && store.at(number)?.account(address)?.is_some()
        {
            return Ok(store);
        }
        Ok(self.context.states.clone())
    }

    /// What the private transactions of a block did in a caller's private state.
    pub(crate) fn private_receipts(
        &self,
        id: &PrivateStateId,
        number: BlockNumber,
    ) -> Result<Vec<PrivateReceipt>, RpcError> {
        let Some(states) = self.private_states() else { return Ok(Vec::new()) };
        Ok(states.block(id, number)?.map(|block| block.receipts).unwrap_or_default())
    }
}
