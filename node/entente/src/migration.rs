//! Plans a change of the consensus engine: what every node needs, what would differ, and a rehearsal
//! on a copy.
//!
//! Read on at `checks.rs` (what is refused), `differences.rs` (what changes for whom) and
//! `rehearsal.rs` (the real engines over the copied chain).

pub(crate) mod checks;
pub(crate) mod differences;
pub(crate) mod entry;
pub(crate) mod refusal;
pub(crate) mod rehearsal;
mod standing;
#[cfg(test)]
mod tests;

pub(crate) use standing::Standing;

use alloy_primitives::Address;
use entente_chain::{BlockNumber, spec::EngineKind};

/// What an operator asks for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The new engine.
    pub(crate) to: EngineKind,
    /// Its first block.
    pub(crate) at: BlockNumber,
    /// Its block period in milliseconds; `None`: as before, or what is usual for the engine.
    pub(crate) period_ms: Option<u64>,
    /// Who seals from then on; `None`: the same as before.
    pub(crate) validators: Option<Vec<Address>>,
    /// Clique's answer to branches of equal weight.
    pub(crate) eip3436: Option<bool>,
}
