//! The ledger over a real database: nothing is executed twice, branches change, contracts name
//! validators, and a killed process leaves a valid head.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod branches;
mod contract;
mod durability;
mod executed_once;
mod kill;
mod private;
mod registry;
mod seals;
mod world;
