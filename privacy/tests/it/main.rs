//! The crate seen from outside.

#![expect(clippy::unwrap_used, reason = "what helpers refuse fails their test")]

mod disk;
mod enclave;
mod local;
