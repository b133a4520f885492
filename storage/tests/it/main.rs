//! The storage over a real RocksDB: commits, reverts, past states, proofs, damage, sudden death.

mod chain;
mod kill;
mod opening;
mod proofs;
mod states;
mod world;
