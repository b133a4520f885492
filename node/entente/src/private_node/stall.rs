//! Whether the chain waits for a payload that this node should be able to read and cannot.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

/// How often a waiting block is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Shared by the chain thread, which waits, and those who tell of it.
#[derive(Debug, Default)]
pub(crate) struct PayloadStall {
    reason: Mutex<Option<String>>,
    stopping: AtomicBool,
    stopped: Condvar,
}

impl PayloadStall {
    /// Marks that a block waits; told once per reason.
    pub(crate) fn waits(&self, number: u64, reason: &str) {
        let text = format!("block {number} waits for a private payload: {reason}");
        let mut current = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref() != Some(&text) {
            tracing::error!(number, reason, "a private payload cannot be read, the chain waits");
            metrics::gauge!("entente_private_payload_missing").set(1.0);
            *current = Some(text);
        }
    }

    /// Marks that nothing waits.
    pub(crate) fn resumed(&self) {
        let mut current = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if current.take().is_some() {
            tracing::info!("the private payload can be read, the chain goes on");
            metrics::gauge!("entente_private_payload_missing").set(0.0);
        }
    }

    /// Waits until it is worth trying again, or until the node stops.
    pub(crate) fn pause(&self) {
        let current = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.stops() {
            drop(self.stopped.wait_timeout(current, RETRY));
        }
    }

    /// What waits, in words.
    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The node stops: nothing waits any longer.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, SeqCst);
        self.stopped.notify_all();
    }

    /// Whether the node stops.
    pub(crate) fn stops(&self) -> bool {
        self.stopping.load(SeqCst)
    }
}
