//! Runs the private transactions of one block, each in every private state of this node that is a
//! party.

use super::{
    PrivateExecuted,
    dual::DualState,
    extension::Extending,
    marker, terms,
    terms::Called,
    transaction::{Outcome, PrivateTransaction, run_once},
    watch::{Part, Watch},
};
use crate::{BlockError, code_cache::CodeCache, database::BlockState, environment::BlockFacts};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, Bytes, map::AddressMap};
use entente_chain::{
    BlockNumber, RecoveredTransaction, StateError, StateReader,
    private::{
        ContractTerms, PayloadHash, PrivacyFlag, PrivacyTerms, PrivatePayload, PrivateReceipt,
        PrivateState, PrivateStateId, PrivateStates, Resolution,
    },
};
use revm::{
    context::BlockEnv, context_interface::result::ExecutionResult, state::Account as JournalAccount,
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

/// The private side of a block while it is run.
pub(crate) struct PrivateRun<'a> {
    node: Arc<dyn PrivateStates>,
    codes: &'a CodeCache,
    parent: BlockNumber,
    open: BTreeMap<PrivateStateId, OpenState<'a>>,
}

struct OpenState<'a> {
    reader: Arc<dyn PrivateState>,
    state: BlockState<'a>,
    receipts: Vec<PrivateReceipt>,
    terms: BTreeMap<Address, ContractTerms>,
}

impl<'a> PrivateRun<'a> {
    pub(crate) fn new(
        node: Arc<dyn PrivateStates>,
        codes: &'a CodeCache,
        parent: BlockNumber,
    ) -> Self {
        Self { node, codes, parent, open: BTreeMap::new() }
    }

    /// The payload behind the data of a transaction; `None`: this node is no party.
    pub(crate) fn payload(
        &self,
        data: &[u8],
    ) -> Result<Option<(PayloadHash, Arc<PrivatePayload>)>, BlockError> {
        let Some(hash) = PayloadHash::from_data(data) else { return Ok(None) };
        match self.node.resolve(hash) {
            Resolution::Party(payload) => Ok(Some((hash, payload))),
            Resolution::NotParty => Ok(None),
            Resolution::Unavailable(cause) => Err(BlockError::PayloadUnavailable { hash, cause }),
        }
    }

    /// Runs a transaction whose payload this node can read, in the states of its parties.
    pub(crate) fn transact(
        &mut self,
        rules: BlockView<'_>,
        public: &mut BlockState<'a>,
        place: Place<'_>,
        (hash, payload): (PayloadHash, &PrivatePayload),
    ) -> Result<(), BlockError> {
        for id in self.node.states_of(&payload.managed) {
            let open = match self.open.entry(id.clone()) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let reader = self.node.state_at(entry.key(), self.parent)?;
                    entry.insert(OpenState::new(reader, self.codes))
                }
            };
            let node = Node { node: &*self.node, id: &id, parent: self.parent, rules };
            let receipt = open.transact(node, public, place, (hash, payload))?;
            open.receipts.push(receipt);
        }
        Ok(())
    }

    /// Runs the transaction inside a marker, once the marker itself has run.
    pub(crate) fn transact_marker(
        &mut self,
        rules: BlockView<'_>,
        public: &mut BlockState<'a>,
        (index, marker): (u32, &RecoveredTransaction),
    ) -> Result<(), BlockError> {
        let Some((_, wrapped)) = self.payload(marker.input())? else { return Ok(()) };
        let inner = match marker::inner(&wrapped.plain, marker) {
            Ok(inner) => inner,
            Err(cause) => {
                tracing::warn!(marker = %marker.hash(), %cause, "private transaction not run");
                return Ok(());
            }
        };
        let Some((hash, payload)) = self.payload(inner.input())? else { return Ok(()) };
        let place = Place { index, transaction: &inner, in_marker: true };
        self.transact(rules, public, place, (hash, &payload))
    }

    /// Whether everything that a marker needs is there; asked before the marker runs.
    pub(crate) fn check_marker(&self, marker: &RecoveredTransaction) -> Result<(), BlockError> {
        if let Some((_, wrapped)) = self.payload(marker.input())?
            && let Ok(inner) = marker::inner(&wrapped.plain, marker)
        {
            drop(self.payload(inner.input())?);
        }
        Ok(())
    }

    /// What the block did in each private state.
    pub(crate) fn into_executed(self) -> Vec<PrivateExecuted> {
        let executed = |(id, open): (PrivateStateId, OpenState<'a>)| PrivateExecuted {
            id,
            changes: open.state.into_changes(),
            receipts: open.receipts,
            terms: open.terms,
        };
        self.open.into_iter().map(executed).collect()
    }
}

/// A private transaction and where it stands in its block.
#[derive(Clone, Copy)]
pub(crate) struct Place<'t> {
    pub(crate) index: u32,
    pub(crate) transaction: &'t RecoveredTransaction,
    /// It came inside a marker.
    pub(crate) in_marker: bool,
}

/// The rules and the environment of the block that is run.
#[derive(Clone, Copy)]
pub(crate) struct BlockView<'r> {
    pub(crate) facts: &'r BlockFacts,
    pub(crate) block: &'r BlockEnv,
}

#[derive(Clone, Copy)]
struct Node<'r> {
    node: &'r dyn PrivateStates,
    /// Which of its private states.
    id: &'r PrivateStateId,
    parent: BlockNumber,
    rules: BlockView<'r>,
}

impl<'a> OpenState<'a> {
    fn new(reader: Arc<dyn PrivateState>, codes: &'a CodeCache) -> Self {
        let state = BlockState::shared(Arc::clone(&reader) as Arc<dyn StateReader>, codes);
        Self { reader, state, receipts: Vec::new(), terms: BTreeMap::new() }
    }

    fn transact(
        &mut self,
        node: Node<'_>,
        public: &mut BlockState<'a>,
        place: Place<'_>,
        (hash, payload): (PayloadHash, &PrivatePayload),
    ) -> Result<PrivateReceipt, BlockError> {
        let mut receipt = PrivateReceipt {
            index: place.index,
            inner: if place.in_marker { place.transaction.encoded().clone() } else { Bytes::new() },
            ..PrivateReceipt::default()
        };
        if let Some(cause) = refused_before(node.rules.facts, &payload.terms) {
            receipt.refused = cause;
            return Ok(receipt);
        }
        let transaction = PrivateTransaction::new(place.transaction, payload);
        if transaction.payload.is_empty() && !transaction.kind.is_create() {
            receipt.success = true;
            return Ok(receipt);
        }
        let sender = (transaction.sender, transaction.nonce);
        let states = DualState { private: &mut self.state, public, sender };
        let BlockView { facts, block } = node.rules;
        let Outcome { result, changes, watch } = run_once(facts, block, states, &transaction)?;
        let result = match result {
            Ok(result) => result,
            Err(cause) => {
                receipt.refused = cause.to_string();
                return Ok(receipt);
            }
        };
        let parts = terms::private_parts(&mut self.state, &watch.affected)?;
        receipt.affected = parts.into_iter().map(|(address, _)| address).collect();
        if let Some(cause) = self.settle(node, public, (hash, payload), (changes, &watch))? {
            receipt.refused = cause;
            return Ok(receipt);
        }
        receipt.success = result.is_success();
        if let ExecutionResult::Revert { output, .. } = &result {
            receipt.revert_output = output.clone();
        }
        receipt.logs = result.into_logs();
        let mut extending = Extending {
            node: node.node,
            id: node.id,
            enhanced: facts.rules.privacy_enhancements,
            reader: &*self.reader,
            state: &mut self.state,
            public,
            terms: &mut self.terms,
        };
        extending.take(&receipt.logs)?;
        Ok(receipt)
    }

    /// Takes the changes over if the terms allow it; else says why not.
    fn settle(
        &mut self,
        node: Node<'_>,
        public: &mut BlockState<'a>,
        (hash, payload): (PayloadHash, &PrivatePayload),
        (changes, watch): (AddressMap<JournalAccount>, &Watch),
    ) -> Result<Option<String>, StateError> {
        let terms = &payload.terms;
        let enhanced = node.rules.facts.rules.privacy_enhancements;
        if enhanced && let Some(cause) = self.broken_terms(&payload.terms, &watch.affected)? {
            return Ok(Some(cause));
        }
        let created: Vec<Address> = changes
            .iter()
            .filter(|(_, account)| account.is_created() && !account.is_selfdestructed())
            .map(|(address, _)| *address)
            .collect();
        let saved = self.state.save(changes.keys().copied());
        let sender = (Address::ZERO, 0);
        DualState { private: &mut self.state, public, sender }.commit(changes)?;
        if enhanced && let Some(expected) = terms.execution_root {
            let changed = terms::Changed {
                node: node.node,
                parent: node.parent,
                reader: &*self.reader,
                private: &mut self.state,
                public,
            };
            let got = changed.execution_root(&watch.affected)?;
            if got != expected {
                self.state.restore(saved);
                return Ok(Some(format!("execution root is {got}, the sender had {expected}")));
            }
        }
        if terms.flag != PrivacyFlag::Standard {
            let mandatory = terms.mandatory.clone();
            let terms = ContractTerms { creation: hash, flag: terms.flag, mandatory };
            self.terms.extend(created.into_iter().map(|address| (address, terms.clone())));
        }
        Ok(None)
    }

    fn broken_terms(
        &mut self,
        terms: &PrivacyTerms,
        affected: &BTreeMap<Address, Part>,
    ) -> Result<Option<String>, StateError> {
        let mut called = Vec::new();
        for (address, part) in affected {
            if *part == Part::Created {
                continue;
            }
            let contract = match self.state.account(*address)? {
                None => Called::Public,
                Some(_) => Called::Private(self.terms_of(*address)?),
            };
            called.push((*address, contract));
        }
        Ok(terms::broken(terms, called.into_iter()))
    }

    fn terms_of(&self, contract: Address) -> Result<Option<ContractTerms>, StateError> {
        match self.terms.get(&contract) {
            Some(terms) => Ok(Some(terms.clone())),
            None => self.reader.terms(contract),
        }
    }
}

/// Terms that can be refused before anything runs.
fn refused_before(facts: &BlockFacts, terms: &PrivacyTerms) -> Option<String> {
    let flag = terms.flag;
    if flag != PrivacyFlag::Standard && !facts.rules.privacy_enhancements {
        return Some(format!("privacy flag {} is not enabled at this block", flag.number()));
    }
    if flag == PrivacyFlag::StateValidation
        && terms.execution_root.is_none_or(|root| root.is_zero())
    {
        return Some("privacy flag 3 needs the execution root of its sender".to_owned());
    }
    None
}
