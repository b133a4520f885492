//! Consensus protocols as pure state machines, and the header rules that followers, importers and
//! RPC need without any protocol running.
//!
//! Nothing here knows a clock, a socket, a disk, a thread or randomness: time and input go in,
//! actions come out ([`engine`]). The same code runs in the node and in simulations.
//!
//! Reading order: [`engine`] (the contract), [`replica`] (engine and block sync as one machine),
//! [`ibft`] (QBFT rules), [`raft`] (the chain is the log), [`clique`] (EIP-225), [`rules`] (what a header must be), [`sync`] (catching up).

pub mod clique;
pub mod engine;
pub mod ibft;
pub mod message;
mod operator_votes;
pub mod raft;
mod random;
pub mod replica;
pub mod rules;
pub mod sabotage;
pub mod schedule;
pub mod sync;

pub use engine::{
    Action, BuildAttributes, BuildId, ChainPosition, Engine, EngineStatus, FetchId, ImportId,
    Input, Millis, Now, Operation, Recipients, Record, Step, Verdict,
};
pub use message::Message;
pub use replica::Replica;
