//! A node that only remembers what it was told.

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256};
use entente_chain::RecoveredTransaction;
use entente_consensus::engine::{EngineStatus, Operation, ValidatorStatus};
use entente_rpc::{
    Backend, BoxFuture, EvidenceRecord, NodeInfo, PeerInfo, PoolContent, PoolStatus, Readiness,
    Rejected,
};
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Default)]
pub(crate) struct Told {
    /// Transactions in the order in which they were submitted.
    pub(crate) submitted: Vec<Arc<RecoveredTransaction>>,
    /// What every further transaction is answered.
    pub(crate) reject_with: Option<String>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) readiness: Readiness,
    /// Oldest first.
    pub(crate) evidence: Vec<EvidenceRecord>,
}

pub(crate) struct TestBackend {
    told: Mutex<Told>,
    validator: Address,
}

impl TestBackend {
    pub(crate) fn new(validator: Address) -> Self {
        Self { told: Mutex::default(), validator }
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("no test panics while it holds this")
    }
}

fn ready<T: Send + 'static>(value: T) -> BoxFuture<T> {
    Box::pin(std::future::ready(value))
}

impl Backend for TestBackend {
    fn submit(
        &self,
        batch: Vec<Arc<RecoveredTransaction>>,
    ) -> BoxFuture<Vec<Result<B256, Rejected>>> {
        let mut told = self.told();
        let answers = batch
            .iter()
            .map(|transaction| match &told.reject_with {
                Some(text) => Err(Rejected(text.clone())),
                None => Ok(transaction.hash()),
            })
            .collect();
        if told.reject_with.is_none() {
            told.submitted.extend(batch);
        }
        ready(answers)
    }

    fn pooled(&self, hash: B256) -> BoxFuture<Option<Arc<RecoveredTransaction>>> {
        ready(self.told().submitted.iter().find(|waiting| waiting.hash() == hash).cloned())
    }

    fn pending_nonce(&self, address: Address) -> BoxFuture<Option<u64>> {
        let told = self.told();
        let own = told.submitted.iter().filter(|waiting| waiting.sender() == address);
        ready(own.map(|waiting| waiting.nonce() + 1).max())
    }

    fn pool_status(&self) -> BoxFuture<PoolStatus> {
        ready(PoolStatus { pending: self.told().submitted.len(), queued: 0 })
    }

    fn pool_content(&self, sender: Option<Address>) -> BoxFuture<PoolContent> {
        let told = self.told();
        let wanted = |waiting: &&Arc<RecoveredTransaction>| {
            sender.is_none_or(|sender| waiting.sender() == sender)
        };
        let pending = told.submitted.iter().filter(wanted).cloned().collect();
        ready(PoolContent { pending, queued: vec![] })
    }

    fn peers(&self) -> Vec<PeerInfo> {
        let peer = PeerInfo {
            id: "ab".repeat(32),
            name: "entente/test".into(),
            protocols: vec!["entente/1".into()],
            local_address: "127.0.0.1:30303".into(),
            remote_address: "127.0.0.1:30304".into(),
            inbound: true,
            validator: None,
            head: None,
        };
        vec![peer]
    }

    fn consensus_status(&self) -> EngineStatus {
        let me = ValidatorStatus {
            address: self.validator,
            reachable: true,
            last_seen: None,
            since_seen: None,
            clock_offset: None,
        };
        EngineStatus {
            engine: "ibft",
            height: 5,
            phase: "waiting for a proposal".into(),
            validator: Some(self.validator),
            is_validator: true,
            quorum: 1,
            validators: vec![me],
            ..EngineStatus::default()
        }
    }

    fn operate(&self, operation: Operation) -> BoxFuture<Result<(), Rejected>> {
        self.told().operations.push(operation);
        ready(Ok(()))
    }

    fn evidence(&self, limit: u64) -> Result<Vec<EvidenceRecord>, Rejected> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.told().evidence.iter().rev().take(limit).cloned().collect())
    }

    fn node(&self) -> NodeInfo {
        NodeInfo {
            client_version: "entente/v0.1.0/test".into(),
            id: "cd".repeat(32),
            p2p_address: "cd@127.0.0.1:30303".into(),
            ip: "127.0.0.1".into(),
            port: 30303,
        }
    }

    fn readiness(&self) -> Readiness {
        self.told().readiness.clone()
    }

    fn metrics(&self) -> String {
        "# TYPE entente_head gauge\nentente_head 4\n".into()
    }
}
