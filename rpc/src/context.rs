//! What the methods work with.

use crate::{
    Backend, Namespace, RpcLimits,
    callbacks::Callbacks,
    error::{Answer, RpcError},
    filters::Filters,
    local_accounts::LocalAccounts,
    private::PrivateAccess,
    send_desk::SendDesk,
};
use entente_chain::{
    ChainSpec, Receipt, RecoveredBlock, RecoveredTransaction,
    private::{PrivateReceipt, PrivateReceipts, PrivateStateId},
};
use entente_evm::{Executor, Senders};
use entente_storage::{ChainReader, StateStore};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    io,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, broadcast},
};

/// A block that became the head, or is canonical no more, with its receipts.
#[derive(Clone, Debug)]
pub struct NewHead {
    /// The block.
    pub block: RecoveredBlock,
    /// Its receipts, in the order of its transactions.
    pub receipts: Arc<Vec<Receipt>>,
    /// What its private transactions did in each private state of this node.
    pub private: PrivateReceipts,
    /// The chain left it for a better branch.
    pub removed: bool,
}

impl NewHead {
    /// What its private transactions did in one private state.
    pub(crate) fn private_of(&self, id: &PrivateStateId) -> &[PrivateReceipt] {
        let found = self.private.iter().find(|(state, _)| state == id);
        found.map_or(&[], |(_, receipts)| receipts)
    }
}

/// Where subscriptions hear of new things. Slow listeners lose their subscription, never memory.
#[derive(Clone, Debug)]
pub struct Events {
    /// New heads, in order; in front of those of a new branch, the blocks that were left, newest
    /// first.
    pub heads: broadcast::Sender<Arc<NewHead>>,
    /// Blocks that were left, for filters, which look at nothing between two polls.
    pub reverted: broadcast::Sender<Arc<NewHead>>,
    /// Transactions that became executable in the pool.
    pub pending: broadcast::Sender<Arc<RecoveredTransaction>>,
}

impl Events {
    /// Events that keep this many heads and pending transactions for slow listeners.
    #[must_use]
    pub fn new(heads: usize, pending: usize) -> Self {
        Self {
            heads: broadcast::Sender::new(heads),
            reverted: broadcast::Sender::new(heads),
            pending: broadcast::Sender::new(pending),
        }
    }
}

/// What the server reads and whom it asks.
pub struct Context {
    /// The chain's rules.
    pub spec: Arc<ChainSpec>,
    /// Blocks, receipts and indices.
    pub reader: ChainReader,
    /// States.
    pub states: StateStore,
    /// Runs calls.
    pub executor: Executor,
    /// Decodes transactions and recovers senders.
    pub senders: Arc<Senders>,
    /// The node.
    pub backend: Arc<dyn Backend>,
    /// Accounts whose keys it holds.
    pub accounts: Arc<LocalAccounts>,
    /// Its private side; `None`: it takes no part in private transactions.
    pub private: Option<PrivateAccess>,
    /// New heads and pending transactions.
    pub events: Events,
}

/// A [`Context`] with what the server itself keeps; every method gets it.
pub(crate) struct Service {
    pub(crate) context: Context,
    pub(crate) limits: RpcLimits,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) filters: Filters,
    pub(crate) desk: SendDesk,
    pub(crate) callbacks: Callbacks,
    /// Private transactions go out inside privacy markers.
    pub(crate) markers: bool,
    /// The node's runtime: heavy work runs on its blocking threads, not on connection threads.
    pub(crate) runtime: Handle,
    pub(crate) heavy: Arc<Semaphore>,
    pub(crate) waiting: AtomicUsize,
}

impl Service {
    /// Writes a result, unless it is larger than a response may be.
    pub(crate) fn answer<T: Serialize + ?Sized>(&self, value: &T) -> Answer {
        let mut out = Bounded { bytes: Vec::new(), limit: self.limits.response_bytes };
        serde_json::to_writer(&mut out, value).map_err(|cause| {
            if cause.is_io() {
                RpcError::response_too_large(self.limits.response_bytes)
            } else {
                RpcError::internal(&cause)
            }
        })?;
        let text = String::from_utf8(out.bytes).map_err(|cause| RpcError::internal(&cause))?;
        RawValue::from_string(text).map_err(|cause| RpcError::internal(&cause))
    }

    /// Runs heavy work on a blocking thread when its turn has come.
    pub(crate) async fn run_heavy<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, RpcError> + Send + 'static,
    ) -> Result<T, RpcError> {
        let allowed = self.limits.waiting_calls;
        let waiting = Waiting(Arc::clone(&self));
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= allowed {
            return Err(RpcError::Limit(format!("{allowed} calls are waiting already, try later")));
        }
        let permit = Arc::clone(&self.heavy)
            .acquire_owned()
            .await
            .map_err(|cause| RpcError::internal(&cause))?;
        drop(waiting);
        let service = Arc::clone(&self);
        let task = self.runtime.spawn_blocking(move || {
            let result = work(&service);
            drop(permit);
            result
        });
        // A method that panics is a bug of ours; the caller learns no more than that.
        task.await.map_err(|cause| RpcError::internal(&cause))?
    }
}

/// Counts a waiting call for as long as it waits, also when its client goes away.
struct Waiting(Arc<Service>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + part.len() > self.limit {
            return Err(io::Error::other("response too large"));
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
