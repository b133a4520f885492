//! What the ledger asks of whoever executes transactions. Simulations have one that costs nothing.

use crate::contract::{self, ContractError};
use alloy_primitives::Address;
use entente_chain::{RecoveredBlock, SealedHeader, StateReader};
use entente_evm::{BlockError, BuildRequest, Draft, Executed, Executor, TransactionSource};

/// Executes blocks; a function of its arguments alone.
pub trait Execution: Send + Sync {
    /// As [`Executor::execute`].
    ///
    /// # Errors
    /// The rule that the block breaks, or why this node could not tell.
    fn execute(
        &self,
        block: &RecoveredBlock,
        parent: &SealedHeader,
        state: &dyn StateReader,
    ) -> Result<Executed, BlockError>;

    /// As [`Executor::build`].
    ///
    /// # Errors
    /// When this node fails; never because of a transaction.
    fn build(
        &self,
        request: BuildRequest<'_>,
        state: &dyn StateReader,
        source: &mut dyn TransactionSource,
    ) -> Result<Draft, BlockError>;

    /// As [`Executor::check_payloads`].
    ///
    /// # Errors
    /// A private payload of the block cannot be read now.
    fn check_payloads(&self, _: &RecoveredBlock) -> Result<(), BlockError> {
        Ok(())
    }

    /// What a validator contract answers on the state after a block.
    ///
    /// # Errors
    /// The answer is bad, or this node could not ask.
    fn validators(
        &self,
        contract: Address,
        header: &SealedHeader,
        state: &dyn StateReader,
    ) -> Result<Vec<Address>, ContractError>;
}

impl Execution for Executor {
    fn execute(
        &self,
        block: &RecoveredBlock,
        parent: &SealedHeader,
        state: &dyn StateReader,
    ) -> Result<Executed, BlockError> {
        Self::execute(self, block, parent, state)
    }

    fn build(
        &self,
        request: BuildRequest<'_>,
        state: &dyn StateReader,
        source: &mut dyn TransactionSource,
    ) -> Result<Draft, BlockError> {
        Self::build(self, request, state, source)
    }

    fn check_payloads(&self, block: &RecoveredBlock) -> Result<(), BlockError> {
        Self::check_payloads(self, block)
    }

    fn validators(
        &self,
        contract: Address,
        header: &SealedHeader,
        state: &dyn StateReader,
    ) -> Result<Vec<Address>, ContractError> {
        contract::ask(self, contract, header, state)
    }
}
