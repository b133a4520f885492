//! Why the database could not do what it was asked.

use crate::columns::Column;
use alloy_primitives::B256;
use entente_chain::{BlockNumber, StateError, private::PrivateStateId};
use std::path::Path;

/// Why the database could not do what it was asked. The node is at fault, never a block from
/// outside, but for [`StoreError::StateRoot`] and [`StoreError::NotChildOfHead`], which say that
/// the caller skipped a check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has the database open.
    #[error("the database in {} is in use by {}", .path.display(), holder_text(*.holder))]
    Locked {
        /// Directory of the database.
        path: Box<Path>,
        /// Process that holds the lock, where it can be told.
        holder: Option<u32>,
    },
    /// The disk refused: full, read-only, not permitted, broken.
    #[error("the database in {} failed: {cause}", .path.display())]
    Disk {
        /// Directory of the database.
        path: Box<Path>,
        /// What the disk said.
        cause: Box<str>,
    },
    /// Files are missing or damaged. Nothing was created or changed.
    #[error("the database in {} is damaged: {cause}; run `entente db check`", .path.display())]
    Damaged {
        /// Directory of the database.
        path: Box<Path>,
        /// What is damaged.
        cause: Box<str>,
    },
    /// A record is missing or is not what its column holds.
    #[error("column {column}, key 0x{key}: {cause}; run `entente db check`")]
    Record {
        /// Where the record is.
        column: Column,
        /// Key in hex.
        key: Box<str>,
        /// What is wrong with it.
        cause: Box<str>,
    },
    /// A trie node is missing or does not have the hash its parent names.
    #[error("trie node {path} is damaged: {cause}; run `entente db check`")]
    TrieNode {
        /// Nibbles from the root, in hex, after the hashed address and a colon for a storage trie.
        path: Box<str>,
        /// What is wrong with it.
        cause: Box<str>,
    },
    /// Written by a newer version of the software. Nothing was changed.
    #[error(
        "the database has schema {got}, this version reads schema {supported}; \
         use a newer version"
    )]
    Schema {
        /// Version found.
        got: u32,
        /// Version that this software writes.
        supported: u32,
    },
    /// The database belongs to another chain. Nothing was changed.
    #[error(
        "the database in {} has genesis {stored}, the given genesis is {given}; \
         use another data directory or the genesis file it was made with",
        .path.display()
    )]
    OtherGenesis {
        /// Directory of the database.
        path: Box<Path>,
        /// Genesis hash stored.
        stored: B256,
        /// Genesis hash given.
        given: B256,
    },
    /// The private columns were sealed with another key.
    #[error(
        "the private states of this database were sealed with another key; \
         use the privacy keys it was made with"
    )]
    OtherPrivateKey,
    /// The database keeps private states and would lose them.
    #[error(
        "this database keeps private states; start the node with its privacy keys, \
         or its private states would fall behind the chain"
    )]
    PrivateStatesKept,
    /// No such private state is kept here.
    #[error("private state `{0}` is not kept here")]
    UnknownPrivateState(PrivateStateId),
    /// No genesis was stored yet.
    #[error("the database has no genesis block yet")]
    Uninitialised,
    /// The one writer or the one log was handed out before.
    #[error("the {0} is in use already")]
    Taken(&'static str),
    /// Opened for reading only.
    #[error("the database is open for reading only")]
    ReadOnly,
    /// A write failed before; what is on disk is known only after opening again.
    #[error("an earlier write failed, restart the node")]
    Failed,
    /// A block that does not follow the head.
    #[error("block {number} with parent {got} does not follow the head {expected}")]
    NotChildOfHead {
        /// Number of the block.
        number: BlockNumber,
        /// Parent that it names.
        got: B256,
        /// Hash of the head.
        expected: B256,
    },
    /// A state that is not the one the header names.
    #[error("block {number} has state root {got}, its header says {expected}")]
    StateRoot {
        /// Number of the block.
        number: BlockNumber,
        /// Root that was worked out.
        got: B256,
        /// Root in the header.
        expected: B256,
    },
    /// Not a block of the canonical chain.
    #[error("block {0} is not in the database")]
    UnknownBlock(BlockNumber),
    /// The reverse changes of this block were deleted.
    #[error("state of block {block} is not kept, the oldest is block {oldest}")]
    NotKept {
        /// Block whose state was asked for.
        block: BlockNumber,
        /// Oldest block whose state is kept.
        oldest: BlockNumber,
    },
    /// A past state that is too far away from the head to be rebuilt in memory.
    #[error(
        "state of block {block} differs from the head in more than {limit} places, \
         the most a proof may cover"
    )]
    TooFarForProof {
        /// Block whose state was asked for.
        block: BlockNumber,
        /// Most accounts and slots that may differ.
        limit: usize,
    },
}

impl StoreError {
    /// A record that cannot be understood.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand errors over")]
    pub(crate) fn record(column: Column, key: &[u8], cause: impl ToString) -> Self {
        Self::Record {
            column,
            key: alloy_primitives::hex::encode(key).into(),
            cause: cause.to_string().into(),
        }
    }

    /// The same failure in the language of state readers.
    pub(crate) fn reading_state(self, block: BlockNumber) -> StateError {
        match self {
            Self::NotKept { block, oldest } => StateError::NotKept { block, oldest },
            other => StateError::Database { block, cause: other.to_string() },
        }
    }
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}
