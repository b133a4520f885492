//! What the sender of a private transaction wants to know before it is distributed: which contracts
//! would take part, under which terms, and the root over them (GoQuorum's `simulateExecutionForPE`).

use super::{
    dual::DualState,
    terms,
    transaction::{Outcome, PrivateTransaction, run_once},
    watch::Part,
};
use crate::{BlockError, CallError, Executor, database::BlockState, environment::BlockFacts};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, TxKind};
use entente_chain::{
    SealedHeader, StateReader,
    private::{ContractTerms, PrivateState, PrivateStateId},
};
use revm::context_interface::result::ExecutionResult;
use std::{collections::BTreeMap, sync::Arc};

/// A private transaction that is not sent yet.
#[derive(Clone, Debug)]
pub struct PrivateCall {
    /// Who would send it.
    pub from: Address,
    /// Its nonce.
    pub nonce: u64,
    /// `None`: it creates a contract.
    pub to: Option<Address>,
    /// Gas limit.
    pub gas: u64,
    /// Call data or init code in plain.
    pub payload: Bytes,
}

/// A private contract that would take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedContract {
    /// Its address.
    pub address: Address,
    /// Whether it would only come into being.
    pub created: bool,
    /// The terms it came into being under; `None` for standard ones and new ones.
    pub terms: Option<ContractTerms>,
}

/// What a private transaction would do on the head.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// Private contracts that would take part, ascending by address.
    pub affected: Vec<AffectedContract>,
    /// Root over all contracts that would take part.
    pub execution_root: B256,
    /// How it would fail.
    pub failure: Option<CallError>,
}

impl Executor {
    /// Runs a private transaction as the next block would; changes nothing.
    ///
    /// # Errors
    /// When this node has no such private state or cannot read it.
    pub fn simulate_private(
        &self,
        head: &SealedHeader,
        public: &dyn StateReader,
        id: &PrivateStateId,
        call: &PrivateCall,
    ) -> Result<Simulated, BlockError> {
        let node = self
            .privacy
            .as_ref()
            .ok_or_else(|| BlockError::Internal("this node has no private states".to_owned()))?;
        let next = Header {
            number: head.number.saturating_add(1),
            timestamp: head.timestamp.saturating_add(self.spec.ticks_per_second()),
            ..head.header().clone()
        };
        let facts = BlockFacts::new(&self.spec, &next);
        let block = facts.block_env(&next, self.author(&next));
        let reader = node.state_at(id, head.number)?;
        let mut public = BlockState::new(public, &self.codes);
        let mut private =
            BlockState::shared(Arc::clone(&reader) as Arc<dyn StateReader>, &self.codes);
        let transaction = PrivateTransaction {
            sender: call.from,
            nonce: call.nonce,
            kind: call.to.map_or(TxKind::Create, TxKind::Call),
            gas_limit: call.gas,
            // What stands in public in its place is a hash of 64 bytes, none of them likely zero.
            public_data: Bytes::from_static(&[1; 64]),
            payload: call.payload.clone(),
        };
        let sender = (call.from, call.nonce);
        let states = DualState { private: &mut private, public: &mut public, sender };
        let Outcome { result, changes, watch } = run_once(&facts, &block, states, &transaction)?;
        let failure = match result {
            Ok(ExecutionResult::Revert { output, .. }) => Some(CallError::reverted(output)),
            Ok(ExecutionResult::Halt { reason, gas, .. }) => {
                Some(CallError::halted(&reason, gas.tx_gas_used()))
            }
            Ok(ExecutionResult::Success { .. }) => None,
            Err(cause) => Some(CallError::Halted { reason: cause.to_string(), gas_used: 0 }),
        };
        let affected = affected(&*reader, &mut private, &watch.affected)?;
        DualState { private: &mut private, public: &mut public, sender }.commit(changes)?;
        let changed = terms::Changed {
            node: &**node,
            parent: head.number,
            reader: &*reader,
            private: &mut private,
            public: &mut public,
        };
        let execution_root = changed.execution_root(&watch.affected)?;
        Ok(Simulated { affected, execution_root, failure })
    }
}

fn affected(
    reader: &dyn PrivateState,
    private: &mut BlockState<'_>,
    parts: &BTreeMap<Address, Part>,
) -> Result<Vec<AffectedContract>, BlockError> {
    let contract = |(address, created)| {
        let terms = if created { None } else { reader.terms(address)? };
        Ok(AffectedContract { address, created, terms })
    };
    terms::private_parts(private, parts)?.into_iter().map(contract).collect()
}
