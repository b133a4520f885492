//! The crate seen from outside.

#![expect(clippy::unwrap_used, reason = "what helpers refuse fails their test")]

mod arrival;
mod disk;
mod enclave;
mod local;
mod network;
mod recovery;
mod store;
mod world;
