//! The chain as its one owner sees it: builds, checks, adopts, imports and reorganises blocks over a
//! database. The node's chain thread, `entente import` and the simulator drive the same code.
//!
//! Read on at [`Ledger`], then `executed.rs` (why nothing is executed twice), `reorganize.rs` and
//! `contract.rs` (validators that a contract names).

mod contract;
mod error;
mod executed;
mod execution;
mod ledger;
mod private;
mod reorganize;

pub use contract::ContractError;
pub use error::LedgerError;
pub use execution::Execution;
pub use ledger::{CommittedBlock, Ledger};
pub use private::{PrivateLedger, Residents};
pub use reorganize::{Reorganization, RevertedBlock};
