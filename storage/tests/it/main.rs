//! The storage over a real RocksDB: commits, reverts, past states, proofs, damage, sudden death.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod chain;
mod kill;
mod opening;
mod private_states;
mod proofs;
mod states;
mod world;
