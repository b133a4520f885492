//! One queue for everything that is sent: calls take their place in it in the order in which they
//! came, whatever connection they came over, and are decoded and handed to the pool in batches.
//!
//! Pipelined sends of one client keep their order this way, which clients that count nonces
//! themselves (Caliper over one WebSocket) rely on.

use crate::{Backend, error::RpcError};
use alloy_consensus::Transaction as _;
use alloy_primitives::{B256, Bytes};
use entente_chain::{
    ChainSpec, RecoveredTransaction,
    limits::{POOL_BATCH, POOL_COMMANDS, TRANSACTION_BYTES_MAX},
    transaction::{Signing, TransactionError, has_private_signature},
};
use entente_evm::Senders;
use std::sync::Arc;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

/// EIP-4844: blob transactions have no place on these networks.
const BLOB_TRANSACTION: u8 = 0x03;

/// Where transactions are handed in.
#[derive(Clone)]
pub(crate) struct SendDesk {
    queue: mpsc::Sender<Job>,
}

struct Job {
    encoded: Bytes,
    reply: oneshot::Sender<Result<B256, RpcError>>,
}

/// What is checked before the pool sees a transaction.
pub(crate) struct SendRules {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) senders: Arc<Senders>,
    /// Whether transactions without a chain id are taken.
    pub(crate) allow_unprotected: bool,
}

impl SendDesk {
    /// Starts the task behind the desk; it ends when the last desk is gone.
    pub(crate) fn start(runtime: &Handle, rules: SendRules, backend: Arc<dyn Backend>) -> Self {
        let (queue, jobs) = mpsc::channel(POOL_COMMANDS);
        runtime.spawn(serve(jobs, Arc::new(rules), backend));
        Self { queue }
    }

    /// Hands in EIP-2718 bytes. The place in the queue is taken when this is first polled.
    pub(crate) async fn send(&self, encoded: Bytes) -> Result<B256, RpcError> {
        if encoded.len() > TRANSACTION_BYTES_MAX {
            let got = encoded.len();
            return Err(refused(&TransactionError::Oversized {
                got,
                allowed: TRANSACTION_BYTES_MAX,
            }));
        }
        if encoded.first() == Some(&BLOB_TRANSACTION) {
            return Err(refused(&TransactionError::UnsupportedType));
        }
        let (reply, answer) = oneshot::channel();
        let stopping = || RpcError::Refused("the node is shutting down".into());
        self.queue.send(Job { encoded, reply }).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}

fn refused(error: &TransactionError) -> RpcError {
    RpcError::Refused(error.to_string())
}

async fn serve(mut jobs: mpsc::Receiver<Job>, rules: Arc<SendRules>, backend: Arc<dyn Backend>) {
    let mut batch = Vec::with_capacity(POOL_BATCH);
    while jobs.recv_many(&mut batch, POOL_BATCH).await > 0 {
        let (encoded, replies): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|job: Job| (job.encoded, job.reply)).unzip();
        let rules = Arc::clone(&rules);
        let decoding = tokio::task::spawn_blocking(move || rules.decode(encoded));
        let decoded = match decoding.await {
            Ok(decoded) => decoded,
            Err(cause) => {
                // The replies are dropped: every caller learns that nothing was taken.
                tracing::error!(%cause, "decoding transactions failed");
                continue;
            }
        };
        submit(decoded, replies, &*backend).await;
    }
}

type Reply = oneshot::Sender<Result<B256, RpcError>>;

async fn submit(
    decoded: Vec<Result<Arc<RecoveredTransaction>, RpcError>>,
    replies: Vec<Reply>,
    backend: &dyn Backend,
) {
    let mut waiting = Vec::with_capacity(replies.len());
    let mut good = Vec::with_capacity(replies.len());
    for (result, reply) in decoded.into_iter().zip(replies) {
        match result {
            Ok(transaction) => {
                good.push(transaction);
                waiting.push(reply);
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }
    if good.is_empty() {
        return;
    }
    let results = backend.submit(good).await;
    for (result, reply) in results.into_iter().zip(waiting) {
        let result = result.map_err(|rejected| RpcError::Refused(rejected.to_string()));
        // Who does not wait any more does not need the answer.
        drop(reply.send(result));
    }
}

impl SendRules {
    fn decode(&self, encoded: Vec<Bytes>) -> Vec<Result<Arc<RecoveredTransaction>, RpcError>> {
        let decoded = self.senders.decode_batch(encoded);
        decoded
            .into_iter()
            .map(|result| {
                let transaction = result.map_err(|error| refused(&error))?;
                self.check_chain(&transaction)?;
                Ok(transaction)
            })
            .collect()
    }

    fn check_chain(&self, transaction: &RecoveredTransaction) -> Result<(), RpcError> {
        let want = self.spec.chain_id;
        let is_private =
            self.spec.signing() == Signing::Quorum && has_private_signature(transaction);
        match transaction.chain_id() {
            // The form in which private transactions are signed has no place for a chain id.
            _ if is_private => Ok(()),
            Some(have) if have != want => {
                Err(RpcError::Refused(format!("invalid chain id: have {have}, want {want}")))
            }
            None if !self.allow_unprotected => Err(RpcError::Refused(
                "only replay-protected (EIP-155) transactions allowed over RPC".into(),
            )),
            Some(_) | None => Ok(()),
        }
    }
}
