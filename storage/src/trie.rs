//! Merkle-Patricia tries over keys of 32 bytes: the account trie, and a storage trie per contract.
//!
//! Nodes are immutable and shared; a child is empty, resident, or known by its hash only and read
//! by its path when it is needed (and then checked against the hash). Nodes are stored by path, so
//! an update overwrites what it replaces and nothing is left to collect. Working out a root
//! ([`root`]) writes nothing; the caller writes the nodes it returns.

mod cursor;
mod node;
mod proof;
mod pruning;
mod root;

pub(crate) use cursor::NodeReader;
pub(crate) use node::{Child, root_hash};
pub(crate) use proof::prove;
pub(crate) use pruning::{resident_nodes, without_depth};
pub(crate) use root::{Leaves, NodeWrite, Update};

#[cfg(test)]
mod tests;
