//! The private states of a node as execution asks for them: payloads from whoever keeps them, states
//! from the database.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::TrieAccount;
use entente_chain::{
    Account, BlockNumber, StateChanges, StateError, StateReader,
    private::{
        ContractTerms, PayloadHash, PrivatePayloads, PrivateState, PrivateStateId, PrivateStates,
        RecipientKey, Resolution,
    },
};
use entente_storage::{self as storage, StateStore, StateView};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

/// Which private state each of the node's keys belongs to. Keys that are named nowhere belong to
/// the default one.
#[derive(Debug, Default)]
pub struct Residents {
    of_key: Mutex<BTreeMap<RecipientKey, PrivateStateId>>,
}

impl Residents {
    /// Assigns keys to a private state.
    pub fn assign(&self, id: &PrivateStateId, keys: impl IntoIterator<Item = RecipientKey>) {
        let mut of_key = self.of_key.lock().unwrap_or_else(PoisonError::into_inner);
        of_key.extend(keys.into_iter().map(|key| (key, id.clone())));
    }

    /// The private state of a key.
    #[must_use]
    pub fn state_of(&self, key: RecipientKey) -> PrivateStateId {
        let of_key = self.of_key.lock().unwrap_or_else(PoisonError::into_inner);
        of_key.get(&key).cloned().unwrap_or_else(PrivateStateId::default_state)
    }
}

/// Payloads and private states of one node.
pub struct PrivateLedger {
    payloads: Arc<dyn PrivatePayloads>,
    residents: Arc<Residents>,
    states: storage::PrivateStates,
    public: StateStore,
}

impl PrivateLedger {
    /// Brings together what execution asks for.
    #[must_use]
    pub const fn new(
        payloads: Arc<dyn PrivatePayloads>,
        residents: Arc<Residents>,
        states: storage::PrivateStates,
        public: StateStore,
    ) -> Self {
        Self { payloads, residents, states, public }
    }
}

impl PrivatePayloads for PrivateLedger {
    fn resolve(&self, hash: PayloadHash) -> Resolution {
        self.payloads.resolve(hash)
    }
}

impl PrivateStates for PrivateLedger {
    fn states_of(&self, managed: &[RecipientKey]) -> Vec<PrivateStateId> {
        let ids: BTreeSet<_> = managed.iter().map(|key| self.residents.state_of(*key)).collect();
        ids.into_iter().collect()
    }

    fn public_leaves_after(
        &self,
        number: BlockNumber,
        changes: Arc<StateChanges>,
        accounts: &[Address],
    ) -> Result<Vec<Option<TrieAccount>>, StateError> {
        self.public.leaves_after(number, changes, accounts)
    }

    fn state_at(
        &self,
        id: &PrivateStateId,
        number: BlockNumber,
    ) -> Result<Arc<dyn PrivateState>, StateError> {
        let broken = |cause: storage::StoreError| StateError::Database {
            block: number,
            cause: cause.to_string(),
        };
        // A key that was added while the node runs may be the first of its private state.
        self.states.add(id).map_err(broken)?;
        let store = self
            .states
            .store(id)
            .ok_or_else(|| broken(storage::StoreError::UnknownPrivateState(id.clone())))?;
        let view = store.at(number)?;
        let (id, states) = (id.clone(), self.states.clone());
        Ok(Arc::new(StateOfBlock { id, view, store, states }))
    }
}

/// One private state after one block.
struct StateOfBlock {
    id: PrivateStateId,
    view: StateView,
    store: StateStore,
    states: storage::PrivateStates,
}

impl StateReader for StateOfBlock {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.view.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.view.slot(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Bytes, StateError> {
        self.view.code(hash)
    }

    fn block_hash(&self, number: BlockNumber) -> Result<B256, StateError> {
        self.view.block_hash(number)
    }
}

impl PrivateState for StateOfBlock {
    /// Terms are kept as they are at the head, and only what follows the head is executed.
    fn terms(&self, contract: Address) -> Result<Option<ContractTerms>, StateError> {
        self.states.terms(&self.id, contract).map_err(|cause| StateError::Database {
            block: self.view.number(),
            cause: cause.to_string(),
        })
    }

    fn leaves_after(
        &self,
        changes: Arc<StateChanges>,
        accounts: &[Address],
    ) -> Result<Vec<Option<TrieAccount>>, StateError> {
        self.store.leaves_after(self.view.number(), changes, accounts)
    }
}
