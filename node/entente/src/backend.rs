//! What the RPC server sees of the node.

use crate::{
    consensus_thread::ConsensusInputs,
    evidence,
    pool_handle::{PoolCommand, PoolHandle, PoolQuery, Shared},
    private_node::PayloadStall,
    readiness,
    settings::CLIENT_VERSION,
};
use alloy_primitives::{Address, B256};
use entente_consensus::{EngineStatus, Input, Operation};
use entente_p2p::{Direction, NetworkHandle};
use entente_rpc::{
    Backend, BoxFuture, EvidenceRecord, NodeInfo, PeerInfo, PoolContent, PoolStatus, Readiness,
    Rejected,
};
use entente_storage::{ChainReader, EvidenceReader};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// Handles to the node's parts.
pub(crate) struct NodeBackend {
    /// The pool.
    pub(crate) pool: PoolHandle,
    /// The network.
    pub(crate) network: NetworkHandle,
    /// The engine.
    pub(crate) consensus: ConsensusInputs,
    /// What the engine does.
    pub(crate) status: watch::Receiver<EngineStatus>,
    /// The chain.
    pub(crate) reader: ChainReader,
    /// Provable breaches of the protocol.
    pub(crate) evidence: EvidenceReader,
    /// Whether the chain waits for a private payload.
    pub(crate) stall: Arc<PayloadStall>,
    /// Renders the metrics page.
    pub(crate) metrics: PrometheusHandle,
}

/// What a client hears when the pool's queue is full.
fn overloaded() -> Rejected {
    Rejected("txpool is overloaded, try again later".to_owned())
}

impl NodeBackend {
    /// Asks the pool; the default when it does not answer.
    fn ask<T: Default + Send + 'static>(
        &self,
        query: impl FnOnce(oneshot::Sender<T>) -> PoolQuery,
    ) -> BoxFuture<T> {
        let (reply, answer) = oneshot::channel();
        let asked = self.pool.offer(PoolCommand::Query(query(reply)));
        Box::pin(async move {
            match asked {
                Ok(()) => answer.await.unwrap_or_default(),
                Err(_) => T::default(),
            }
        })
    }
}

impl Backend for NodeBackend {
    fn submit(&self, batch: Vec<Shared>) -> BoxFuture<Vec<Result<B256, Rejected>>> {
        let count = batch.len();
        let (reply, answer) = oneshot::channel();
        let offered = self.pool.offer(PoolCommand::Submit { transactions: batch, reply });
        Box::pin(async move {
            let results = match offered {
                Ok(()) => answer.await.ok(),
                Err(_) => None,
            };
            match results {
                Some(results) => results
                    .into_iter()
                    .map(|result| result.map_err(|error| Rejected(error.to_string())))
                    .collect(),
                None => vec![Err(overloaded()); count],
            }
        })
    }

    fn pooled(&self, hash: B256) -> BoxFuture<Option<Shared>> {
        self.ask(|reply| PoolQuery::Get(hash, reply))
    }

    fn pending_nonce(&self, address: Address) -> BoxFuture<Option<u64>> {
        self.ask(|reply| PoolQuery::PendingNonce(address, reply))
    }

    fn pool_status(&self) -> BoxFuture<PoolStatus> {
        self.ask(PoolQuery::Status)
    }

    fn pool_content(&self, sender: Option<Address>) -> BoxFuture<PoolContent> {
        self.ask(|reply| PoolQuery::Content(sender, reply))
    }

    fn peers(&self) -> Vec<PeerInfo> {
        self.network
            .peers()
            .iter()
            .map(|peer| PeerInfo {
                id: peer.node.to_string(),
                name: peer.client_version.clone(),
                protocols: vec!["entente/1".to_owned()],
                local_address: self.network.local_address().to_string(),
                remote_address: peer.address.to_string(),
                inbound: matches!(peer.direction, Direction::Inbound),
                validator: peer.validator,
                head: Some((peer.head.number, peer.head.hash)),
            })
            .collect()
    }

    fn consensus_status(&self) -> EngineStatus {
        let mut status = self.status.borrow().clone();
        let peers = self.network.peers();
        for validator in &mut status.validators {
            let offset = peers
                .iter()
                .find(|peer| peer.validator == Some(validator.address))
                .map(|peer| peer.clock_offset_ms);
            validator.clock_offset = validator.clock_offset.or(offset);
        }
        status
    }

    fn operate(&self, operation: Operation) -> BoxFuture<Result<(), Rejected>> {
        let taken = self.consensus.offer(Input::Operator(operation));
        let busy = || Rejected("the consensus engine is busy, try again".to_owned());
        Box::pin(async move { if taken { Ok(()) } else { Err(busy()) } })
    }

    fn evidence(&self, limit: u64) -> Result<Vec<EvidenceRecord>, Rejected> {
        evidence::newest(&self.evidence, limit).map_err(|error| {
            tracing::error!(%error, "evidence cannot be read");
            Rejected("the evidence cannot be read, see the log".to_owned())
        })
    }

    fn node(&self) -> NodeInfo {
        let (id, listen) = (self.network.node_id(), self.network.local_address());
        NodeInfo {
            client_version: CLIENT_VERSION.to_owned(),
            id: id.to_string(),
            p2p_address: format!("{id}@{listen}"),
            ip: listen.ip().to_string(),
            port: listen.port(),
        }
    }

    fn readiness(&self) -> Readiness {
        let head = self.reader.head().header.number;
        let peers = self.network.peers().len();
        let status = self.status.borrow();
        let mut problems = readiness::reasons(&status, peers);
        problems.extend(self.stall.reason());
        Readiness { peers, blocks_behind: status.best_peer_head.saturating_sub(head), problems }
    }

    fn metrics(&self) -> String {
        self.metrics.run_upkeep();
        let peers = self.network.peers().len();
        metrics::gauge!("entente_peers").set(u32::try_from(peers).unwrap_or(u32::MAX));
        let network = self.network.counters();
        metrics::counter!("entente_p2p_bans_total").absolute(network.bans);
        for (reason, count) in &network.dropped {
            metrics::counter!("entente_p2p_dropped_total", "reason" => *reason).absolute(*count);
        }
        self.metrics.render()
    }
}
