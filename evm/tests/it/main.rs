//! Vectors that others wrote, run over the real path: genesis, header rules, execution, storage.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a vector that cannot be read fails the test"
)]

mod archive;
mod case;
mod chain;
mod networks;
mod vectors;
