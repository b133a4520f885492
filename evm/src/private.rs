//! Private transactions: what a party executes beside the public chain, in a state of its own.
//!
//! In public, a private transaction does nothing but raise its sender's nonce. A party runs the
//! payload over its private state; what is not there is read from the public state and cannot be
//! written (GoQuorum's dual state, core/vm/evm.go).

mod dual;
pub mod extension;
mod marker;
mod run;
mod simulate;
mod terms;
mod transaction;
mod watch;

pub(crate) use dual::DualReader;
pub(crate) use run::{BlockView, Place, PrivateRun};
pub use simulate::{AffectedContract, PrivateCall, Simulated};
pub use terms::contracts_root;
pub(crate) use watch::PublicGuard;

use alloy_primitives::{Address, address};
use entente_chain::{
    StateChanges,
    private::{ContractTerms, PrivateReceipt, PrivateStateId},
};
use std::collections::BTreeMap;

/// Where privacy marker transactions are sent (GoQuorum's privacy precompile).
pub const PRIVACY_MARKER_ADDRESS: Address = address!("000000000000000000000000000000000000007a");

/// What a block did in one private state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateExecuted {
    /// Which private state.
    pub id: PrivateStateId,
    /// What changed in it.
    pub changes: StateChanges,
    /// One receipt per private transaction, ascending by its place in the block.
    pub receipts: Vec<PrivateReceipt>,
    /// Terms of contracts that came into being or were extended.
    pub terms: BTreeMap<Address, ContractTerms>,
}

#[cfg(test)]
mod tests;
