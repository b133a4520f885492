//! Brings payloads to the nodes of their parties: sent again until each has acknowledged, or until
//! the time is up. Pure: time and answers go in, frames and results come out.

use crate::{
    error::{DeliveryError, Refusal},
    payload::EncryptedPayload,
    privacy::{Millis, RequestId, SendReceipt},
};
use entente_chain::{
    NodeId,
    private::{PayloadHash, RecipientKey},
};
use std::collections::BTreeMap;

/// First pause before a payload is sent again, in milliseconds; doubles up to [`RESEND_MAX`].
const RESEND_MIN: Millis = 500;
/// Longest pause, in milliseconds.
const RESEND_MAX: Millis = 4000;
/// Most payloads on their way at once.
pub(crate) const DELIVERIES_MAX: usize = 256;
/// Most bytes of payloads on their way at once.
const DELIVERIES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A payload on its way.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) request: RequestId,
    pub(crate) payload: EncryptedPayload,
    pub(crate) receipt: SendReceipt,
    /// The nodes of its parties with their keys; never empty.
    pub(crate) nodes: BTreeMap<NodeId, Vec<RecipientKey>>,
    /// Whether the payload leaves the store when it does not reach its parties.
    pub(crate) is_new: bool,
}

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Send this copy to a node.
    Send(NodeId, Box<EncryptedPayload>),
    /// All have it.
    Delivered(RequestId, SendReceipt, Box<EncryptedPayload>),
    /// Not all have it; the hash is there when the sender shall not keep it.
    Failed(RequestId, DeliveryError, Option<PayloadHash>),
}

#[derive(Debug)]
struct Waiting {
    keys: Vec<RecipientKey>,
    next: Millis,
    pause: Millis,
}

#[derive(Debug)]
struct OnItsWay {
    hash: PayloadHash,
    payload: EncryptedPayload,
    receipt: SendReceipt,
    waiting: BTreeMap<NodeId, Waiting>,
    started: Millis,
    is_new: bool,
}

/// All payloads on their way.
#[derive(Debug)]
pub(crate) struct Distribution {
    timeout: Millis,
    deliveries: BTreeMap<RequestId, OnItsWay>,
}

impl Distribution {
    pub(crate) const fn new(timeout: Millis) -> Self {
        Self { timeout, deliveries: BTreeMap::new() }
    }

    /// Whether another payload of this many bytes may be sent now.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let under_way = self.deliveries.values().map(|one| one.payload.plain_length());
        let total = under_way.fold(bytes, usize::saturating_add);
        self.deliveries.len() < DELIVERIES_MAX && total <= DELIVERIES_BYTES_MAX
    }

    /// Starts to bring a payload to its parties.
    pub(crate) fn start(&mut self, now: Millis, delivery: Delivery) -> Vec<Outcome> {
        let Delivery { request, payload, receipt, nodes, is_new } = delivery;
        let next = now.saturating_add(RESEND_MIN);
        let mut out = Vec::new();
        let mut waiting = BTreeMap::new();
        for (node, keys) in nodes {
            out.push(Outcome::Send(node, Box::new(payload.copy_for(&keys))));
            waiting.insert(node, Waiting { keys, next, pause: RESEND_MIN });
        }
        let hash = payload.hash();
        let on_its_way = OnItsWay { hash, payload, receipt, waiting, started: now, is_new };
        self.deliveries.insert(request, on_its_way);
        out
    }

    /// A node has a payload on its disk.
    pub(crate) fn acknowledged(&mut self, from: NodeId, hash: PayloadHash) -> Vec<Outcome> {
        let mut done = Vec::new();
        for (request, delivery) in &mut self.deliveries {
            if delivery.hash == hash
                && delivery.waiting.remove(&from).is_some()
                && delivery.waiting.is_empty()
            {
                done.push(*request);
            }
        }
        done.into_iter().filter_map(|request| self.delivered(request)).collect()
    }

    /// A node does not take a payload.
    pub(crate) fn refused(
        &mut self,
        from: NodeId,
        hash: PayloadHash,
        reason: Refusal,
    ) -> Vec<Outcome> {
        let mut failed = Vec::new();
        for (request, delivery) in &self.deliveries {
            if delivery.hash == hash
                && let Some(waiting) = delivery.waiting.get(&from)
                && let Some(key) = waiting.keys.first().copied()
            {
                failed.push((*request, DeliveryError::Refused { key, node: from, reason }));
            }
        }
        failed.into_iter().filter_map(|(request, error)| self.failed(request, error)).collect()
    }

    /// A node is there again: it gets now what it has not acknowledged.
    pub(crate) fn connected(&mut self, now: Millis, node: NodeId) -> Vec<Outcome> {
        let mut out = Vec::new();
        for delivery in self.deliveries.values_mut() {
            if let Some(waiting) = delivery.waiting.get_mut(&node) {
                waiting.pause = RESEND_MIN;
                waiting.next = now.saturating_add(waiting.pause);
                let copy = delivery.payload.copy_for(&waiting.keys);
                out.push(Outcome::Send(node, Box::new(copy)));
            }
        }
        out
    }

    /// Sends again what is due and gives up what is late.
    pub(crate) fn tick(&mut self, now: Millis) -> Vec<Outcome> {
        let (mut out, mut late) = (Vec::new(), Vec::new());
        for (request, delivery) in &mut self.deliveries {
            let waited = now.saturating_sub(delivery.started);
            if waited >= self.timeout {
                let first = delivery.waiting.iter().next();
                if let Some((node, Waiting { keys, .. })) = first
                    && let Some(key) = keys.first().copied()
                {
                    late.push((*request, DeliveryError::TimedOut { key, node: *node, waited }));
                }
                continue;
            }
            for (node, waiting) in &mut delivery.waiting {
                if waiting.next <= now {
                    waiting.pause = waiting.pause.saturating_mul(2).min(RESEND_MAX);
                    waiting.next = now.saturating_add(waiting.pause);
                    let copy = delivery.payload.copy_for(&waiting.keys);
                    out.push(Outcome::Send(*node, Box::new(copy)));
                }
            }
        }
        out.extend(late.into_iter().filter_map(|(request, error)| self.failed(request, error)));
        out
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        let deadlines = self.deliveries.values().map(|delivery| {
            let resend = delivery.waiting.values().map(|waiting| waiting.next).min();
            let end = delivery.started.saturating_add(self.timeout);
            resend.map_or(end, |resend| resend.min(end))
        });
        deadlines.min()
    }

    fn delivered(&mut self, request: RequestId) -> Option<Outcome> {
        let OnItsWay { payload, receipt, .. } = self.deliveries.remove(&request)?;
        Some(Outcome::Delivered(request, receipt, Box::new(payload)))
    }

    fn failed(&mut self, request: RequestId, error: DeliveryError) -> Option<Outcome> {
        let OnItsWay { hash, is_new, .. } = self.deliveries.remove(&request)?;
        // Where the same payload is being sent twice, the last to fail takes it back.
        let other = self.deliveries.values_mut().find(|other| other.hash == hash);
        let taken_back = match other {
            Some(other) => {
                other.is_new |= is_new;
                false
            }
            None => is_new,
        };
        Some(Outcome::Failed(request, error, taken_back.then_some(hash)))
    }
}

#[cfg(test)]
mod tests;
