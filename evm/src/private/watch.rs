//! Watches a private transaction: frames on public contracts may not write, and the contracts that
//! take part are noted for the terms.

use super::dual::{DualReader, DualState, Standing};
use crate::block_run::EvmContext;
use alloy_primitives::Address;
use entente_chain::StateError;
use revm::{
    Context, Inspector,
    context::{BlockEnv, CfgEnv, Journal, TxEnv},
    context_interface::{ContextTr, JournalTr},
    interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome},
};
use std::collections::BTreeMap;

pub(crate) type DualContext<'a, 'b> =
    Context<BlockEnv, TxEnv, CfgEnv, DualState<'a, 'b>, Journal<DualState<'a, 'b>>, ()>;

/// How a contract took part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It was there and was called.
    Called,
    /// It came into being.
    Created,
}

/// What a private transaction did beside its result.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Contracts by how they took part; reverted frames count too.
    pub(crate) affected: BTreeMap<Address, Part>,
    /// The state could not be read while watching.
    pub(crate) broken: Option<StateError>,
}

impl Inspector<DualContext<'_, '_>> for Watch {
    fn call(
        &mut self,
        context: &mut DualContext<'_, '_>,
        inputs: &mut CallInputs,
    ) -> Option<CallOutcome> {
        let address = inputs.bytecode_address;
        let created = is_created(context, address);
        let standing = match context.db_mut().standing(address) {
            _ if created => Standing::Private,
            Ok(standing) => standing,
            Err(cause) => {
                self.broken.get_or_insert(cause);
                Standing::Public
            }
        };
        if standing != Standing::Nowhere {
            self.affected.entry(address).or_insert(Part::Called);
        }
        restrict(inputs, standing);
        None
    }

    fn create_end(
        &mut self,
        _: &mut DualContext<'_, '_>,
        _: &CreateInputs,
        outcome: &mut CreateOutcome,
    ) {
        if let Some(address) = outcome.address {
            self.affected.insert(address, Part::Created);
        }
    }
}

/// A frame on code of a public contract, and all below it, cannot write (GoQuorum's read-only
/// mode). As there, code decides: a private contract that borrows public code cannot write either.
fn restrict(inputs: &mut CallInputs, standing: Standing) {
    if standing == Standing::Public {
        inputs.is_static = true;
    }
}

fn is_created<C>(context: &C, address: Address) -> bool
where
    C: ContextTr<Journal: JournalTr<State = revm::state::EvmState>>,
{
    context.journal().evm_state().get(&address).is_some_and(|account| account.is_created())
}

/// Keeps the same rule in calls that change nothing; without a private state it does nothing.
pub(crate) struct PublicGuard<'a> {
    pub(crate) states: Option<DualReader<'a>>,
    pub(crate) broken: Option<StateError>,
}

impl Inspector<EvmContext<'_>> for PublicGuard<'_> {
    fn call(
        &mut self,
        context: &mut EvmContext<'_>,
        inputs: &mut CallInputs,
    ) -> Option<CallOutcome> {
        let states = self.states.as_ref()?;
        let address = inputs.bytecode_address;
        if is_created(context, address) {
            return None;
        }
        match states.standing(address) {
            Ok(standing) => restrict(inputs, standing),
            Err(cause) => drop(self.broken.get_or_insert(cause)),
        }
        None
    }
}
