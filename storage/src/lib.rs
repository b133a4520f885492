//! The storage of a node: chain, state, indices and the consensus engine's records in one
//! RocksDB. Knows nothing of the EVM, of networks or of engines.
//!
//! | handle | what for | owner |
//! |---|---|---|
//! | [`Database`] | open, genesis, hands out the rest | the node |
//! | [`ChainReader`] | headers, blocks, receipts, transaction and log index | anybody, cheap to clone |
//! | [`StateStore`] | [`StateView`] at a block, [`StateStore::root_after`], proofs | anybody, cheap to clone |
//! | [`ChainWriter`] | [`ChainWriter::commit`] and [`ChainWriter::revert_to`] | the chain thread, once |
//! | [`ConsensusLog`] | durable records of the engine | the consensus thread, once |
//! | [`EvidenceLog`] | provable breaches of the protocol, the newest ones | its writer, once |
//! | [`PrivateRecords`] | sealed records of private transactions | the privacy crate, once |
//! | [`EvidenceReader`] | the same | anybody, cheap to clone |
//!
//! A block's way: execution reads a [`StateView`] (or a [`StateOverlay`] over an uncommitted
//! parent), [`StateStore::root_after`] works out the root without writing, and
//! [`ChainWriter::commit`] writes the whole block as one synced batch.
//!
//! **Invariant:** one block is one batch; a database opened after the process was killed is at
//! some committed head. **Invariant:** readers never block on writes to the disk and hold no
//! snapshot of it.
//!
//! Read on at [`columns`] (what is stored), `chain_writer.rs` (how a block is written),
//! `state_view.rs` (how past states are read) and `trie.rs`.

pub mod check;
pub mod columns;
pub mod key_value;

mod canonical;
mod chain_records;
mod chain_store;
mod chain_writer;
mod change_set;
mod consensus_log;
mod database;
mod error;
mod evidence_log;
mod log_index;
mod private_records;
mod private_states;
mod schema;
mod state_store;
mod state_trie;
mod state_view;
mod state_write;
mod trie;
mod value_cipher;

#[cfg(feature = "rocks")]
mod copy;
#[cfg(test)]
mod memory;
#[cfg(feature = "rocks")]
mod rocks;

pub use canonical::Head;
pub use chain_store::{BlockWithReceipts, ChainReader};
pub use chain_writer::{BlockCommit, ChainWriter};
pub use columns::Column;
pub use consensus_log::ConsensusLog;
#[cfg(feature = "rocks")]
pub use copy::copy_files;
pub use database::{CACHE_BYTES_DEFAULT, Database, History, StorageOptions};
pub use error::StoreError;
pub use evidence_log::{EVIDENCE_KEPT, EvidenceLog, EvidenceReader};
pub use key_value::{Batch, Durability, KeyRange, KeyValue, Visit};
pub use log_index::LogIndexQuery;
pub use private_records::{PrivateRecords, RecordChange, RecordKind, VisitRecord};
pub use private_states::{PrivateBlock, PrivateCommit, PrivateStates};
pub use schema::SCHEMA_VERSION;
pub use state_store::{AccountProof, PROOF_CHANGES_MAX, SlotProof, SlotsAtHead, StateStore};
pub use state_trie::{StateTrie, StateUpdate};
pub use state_view::{StateOverlay, StateView};
pub use value_cipher::ValueCipher;
