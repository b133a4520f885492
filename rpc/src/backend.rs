//! What the server asks of the node beside the database.

use alloy_primitives::{Address, B256};
use entente_chain::{BlockNumber, RecoveredTransaction};
use entente_consensus::engine::{EngineStatus, Operation};
use std::{pin::Pin, sync::Arc};

/// A boxed future, so that [`Backend`] can be a trait object.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The pool did not take a transaction; the text is geth's, clients match on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub String);

/// How many transactions wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Transactions that could be executed now.
    pub pending: usize,
    /// Transactions behind a nonce gap.
    pub queued: usize,
}

/// The waiting transactions; each list ascends by sender and nonce.
#[derive(Clone, Debug, Default)]
pub struct PoolContent {
    /// Transactions that could be executed now.
    pub pending: Vec<Arc<RecoveredTransaction>>,
    /// Transactions behind a nonce gap.
    pub queued: Vec<Arc<RecoveredTransaction>>,
}

/// A connected peer, as `admin_peers` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerInfo {
    /// Node id, in hex.
    pub id: String,
    /// Name and version that it told.
    pub name: String,
    /// Protocols, newest first.
    pub protocols: Vec<String>,
    /// Our end of the connection.
    pub local_address: String,
    /// Its end of the connection.
    pub remote_address: String,
    /// Whether it called us.
    pub inbound: bool,
    /// The validator address it proved, if it is one.
    pub validator: Option<Address>,
    /// The head it announced last.
    pub head: Option<(BlockNumber, B256)>,
}

/// Who this node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// `entente/v0.1.0/linux-amd64`, answered by `web3_clientVersion`.
    pub client_version: String,
    /// Node id, in hex.
    pub id: String,
    /// Address that peers call, in the form of the peer list.
    pub p2p_address: String,
    /// IP part of that address.
    pub ip: String,
    /// TCP port of that address.
    pub port: u16,
}

/// A provable breach of the protocol, as `entente_evidence` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceRecord {
    /// When this node saw it, in milliseconds since 1970.
    pub seen_ms: u64,
    /// Validator that signed it.
    pub validator: Address,
    /// Height.
    pub height: BlockNumber,
    /// Round.
    pub round: u64,
    /// What it did.
    pub what: String,
    /// The two conflicting digests; zero where there are none.
    pub digests: (B256, B256),
}

/// What readiness is judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Connected peers.
    pub peers: usize,
    /// How far the best peer's head is ahead of ours; 0 when nobody is ahead.
    pub blocks_behind: u64,
    /// Why this node should get no requests, in words; empty when it is fine.
    pub problems: Vec<String>,
}

/// The node behind the server. Snapshots come at once, questions to other tasks as futures.
pub trait Backend: Send + Sync + 'static {
    /// Offers transactions to the pool in this order; one answer each, in the same order.
    fn submit(
        &self,
        batch: Vec<Arc<RecoveredTransaction>>,
    ) -> BoxFuture<Vec<Result<B256, Rejected>>>;
    /// A waiting transaction.
    fn pooled(&self, hash: B256) -> BoxFuture<Option<Arc<RecoveredTransaction>>>;
    /// The nonce after the sender's executable waiting transactions; `None` when none wait.
    fn pending_nonce(&self, address: Address) -> BoxFuture<Option<u64>>;
    /// How many transactions wait.
    fn pool_status(&self) -> BoxFuture<PoolStatus>;
    /// The waiting transactions, of one sender or of all.
    fn pool_content(&self, sender: Option<Address>) -> BoxFuture<PoolContent>;
    /// Connected peers.
    fn peers(&self) -> Vec<PeerInfo>;
    /// What the consensus engine is doing.
    fn consensus_status(&self) -> EngineStatus;
    /// Passes an operator's wish to the engine.
    fn operate(&self, operation: Operation) -> BoxFuture<Result<(), Rejected>>;
    /// At most `limit` provable breaches of the protocol, newest first.
    ///
    /// # Errors
    /// When they cannot be read, in words.
    fn evidence(&self, limit: u64) -> Result<Vec<EvidenceRecord>, Rejected>;
    /// Who this node is.
    fn node(&self) -> NodeInfo;
    /// What readiness is judged by.
    fn readiness(&self) -> Readiness;
    /// Metrics in Prometheus' text format, for `GET /metrics`.
    fn metrics(&self) -> String;
}
