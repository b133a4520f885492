//! Why an engine cannot be changed as asked.

use alloy_primitives::Address;
use entente_chain::{
    BlockNumber, genesis::SpecMismatch, spec::EngineKind, validators::ValidatorSetError,
};

/// See the module. Every text says what to do instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The block is made already.
    #[error("--at {at}: the head is block {head}; {}", ahead(*.head, *.comfortable))]
    Past {
        /// Block asked for.
        at: BlockNumber,
        /// The head.
        head: BlockNumber,
        /// The lowest block that leaves time to restart every node.
        comfortable: BlockNumber,
    },
    /// The chain is under this engine already.
    #[error("block {before} is made by {engine} already: there is nothing to change")]
    Same {
        /// Block before the change.
        before: BlockNumber,
        /// The engine.
        engine: EngineKind,
    },
    /// Blocks of this kind are not made here.
    #[error("block {0} is a plain Ethereum block: such chains are imported, not continued")]
    Ethereum(BlockNumber),
    /// The genesis file says something else about this block.
    #[error(
        "the genesis file changes the engine at block {at} to {engine} already; remove that first"
    )]
    Taken {
        /// Block of both.
        at: BlockNumber,
        /// Engine of the file.
        engine: EngineKind,
    },
    /// The validators are no set.
    #[error("--validators: {0}")]
    Validators(#[from] ValidatorSetError),
    /// The zero address has no key.
    #[error("--validators: the zero address is no validator")]
    ZeroAddress,
    /// Nobody is known to vote.
    #[error(
        "GoQuorum's Raft chain names no voters: say who seals from block {0} on (--validators A,B,..)"
    )]
    Unknown(BlockNumber),
    /// Clique needs an answer that can never be changed.
    #[error(
        "clique: say --eip3436 on or off. It tells branches of equal weight apart, which an even number \
         of signers needs (on is right for a chain that only Entente seals; geth has no such rule); \
         it must be the same on all nodes"
    )]
    Eip3436,
    /// Only Clique has that question.
    #[error("--eip3436 is about clique, not {0}")]
    NotClique(EngineKind),
    /// There is no code.
    #[error(
        "the validator contract {contract} has no code at block {head}: deploy it before block {at}, or \
         name --validators, which ends the contract's turn"
    )]
    NoContract {
        /// Its address.
        contract: Address,
        /// The head.
        head: BlockNumber,
        /// Block of the change.
        at: BlockNumber,
    },
    /// It names nobody.
    #[error("the validator contract {contract} names no validators at block {head}: {cause}")]
    Contract {
        /// Its address.
        contract: Address,
        /// The head.
        head: BlockNumber,
        /// What is wrong with the answer.
        cause: String,
    },
    /// A period that the genesis file cannot say, or the engine cannot keep.
    #[error("--period: {0}")]
    Period(&'static str),
    /// The stored genesis file cannot take the entry.
    #[error("the genesis file of this data folder cannot take the transition: {0}")]
    Genesis(String),
    /// A rule of blocks that exist would change.
    #[error(transparent)]
    Mismatch(#[from] SpecMismatch),
}

fn ahead(head: BlockNumber, comfortable: BlockNumber) -> String {
    let lowest = head.saturating_add(1);
    if comfortable <= lowest {
        return format!("{lowest} is the lowest that can still change");
    }
    format!(
        "{lowest} is the lowest that can still change, with all nodes stopped; {comfortable} leaves ten \
         minutes to restart them"
    )
}
