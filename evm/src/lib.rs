//! Executes blocks and calls. The only crate that knows revm: state is read through
//! [`entente_chain::StateReader`] and written as [`entente_chain::StateChanges`].
//!
//! Read on at [`Executor`] (executing, building and calling share it), then `block_run.rs`, the
//! loop that executing and building share. Execution is a function of the parent's state and the
//! block: it reads no clock (but to stop building or a call) and talks to nobody.

mod block_run;
mod body;
mod build;
mod call;
mod code_cache;
mod database;
mod environment;
mod error;
mod executor;
mod invalid_transaction;
mod private;
mod senders;
mod system;
#[cfg(test)]
mod testing;
mod validate;

pub use build::{BuildRequest, Draft, Room, SkipReason, TransactionSource};
pub use call::{
    AccessListOutcome, CallContext, CallError, CallResult, OVERRIDE_ACCOUNTS_MAX,
    OVERRIDE_BLOCK_HASHES_MAX, OVERRIDE_CODE_BYTES_MAX, OVERRIDE_SLOTS_MAX,
};
pub use error::BlockError;
pub use executor::{AuthorOf, Executed, Executor};
pub use invalid_transaction::InvalidTransaction;
pub use private::{
    AffectedContract, PRIVACY_MARKER_ADDRESS, PrivateCall, PrivateExecuted, Simulated,
    contracts_root, extension,
};
pub use senders::{SenderError, Senders};
pub use validate::{IntrinsicGas, intrinsic_gas, validate_transaction};
