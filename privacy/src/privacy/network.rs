//! What happens on the network: messages of peers, sessions, time.
//!
//! The exchange is locked for a moment each time and never while the disk is asked.

use super::{Action, Millis, Privacy, arrival::Reason};
use crate::{
    directory::NODES_MAX,
    distribution::Outcome,
    error::{DeliveryError, PrivacyError, Refusal},
    exchange::{Exchange, Peer},
    message::Message,
    payload::EncryptedPayload,
    payload_store::Stored,
    recovery::Recovery,
};
use alloy_primitives::Bytes;
use entente_chain::{
    BlockNumber, NodeId,
    private::{PayloadHash, RecipientKey},
};
use std::{
    collections::BTreeSet,
    sync::{MutexGuard, PoisonError},
};

/// Name of the record that says up to which block payloads may be missing.
const RECOVERY: &str = "recovery";

impl Privacy {
    /// A session with a node began.
    pub fn connected(&self, now: Millis, node: NodeId) -> Vec<Action> {
        let mut exchange = self.exchange();
        if exchange.peers.len() >= NODES_MAX && !exchange.peers.contains_key(&node) {
            return Vec::new();
        }
        exchange.peers.insert(node, Peer::new(now));
        let resent = exchange.distribution.connected(now, node);
        drop(exchange);
        let mut actions = vec![self.announcement(node)];
        actions.extend(self.perform(resent));
        actions
    }

    /// A session with a node ended.
    pub fn disconnected(&self, node: NodeId) {
        self.exchange().peers.remove(&node);
    }

    /// A frame of a node came, over a connection that proves who it is. Writes to the disk before
    /// it answers that it did. It may overtake [`connected`](Self::connected).
    pub fn arrived(&self, now: Millis, from: NodeId, frame: &[u8]) -> Vec<Action> {
        let is_connected = self.exchange().peers.contains_key(&from);
        let mut actions = if is_connected { Vec::new() } else { self.connected(now, from) };
        actions.extend(self.taken(now, from, frame));
        actions
    }

    fn taken(&self, now: Millis, from: NodeId, frame: &[u8]) -> Vec<Action> {
        let Ok(message) = Message::decode(frame) else {
            return vec![Action::Misbehaved { node: from, reason: "a frame that is no message" }];
        };
        if !self.is_allowed(now, from, &message, frame.len()) {
            tracing::debug!(node = %from, "peer sends more about payloads than it may");
            return Vec::new();
        }
        match message {
            Message::Announce(announcement) => self.announced(from, announcement),
            Message::Payload(payload) => self.payload_arrived(from, &payload),
            Message::Acknowledge(hash) => {
                let outcomes = self.exchange().distribution.acknowledged(from, hash);
                self.perform(outcomes)
            }
            Message::Refuse(hash, reason) => {
                let outcomes = self.exchange().distribution.refused(from, hash, reason);
                self.perform(outcomes)
            }
            Message::Request(hash) => self.asked(from, hash).into_iter().collect(),
            Message::NotHeld(hash) => {
                self.exchange().recovery.denied(from, hash);
                Vec::new()
            }
            Message::Receipt { hash, party, receipt } => {
                self.receipt_arrived(from, hash, party, &receipt).into_iter().collect()
            }
        }
    }

    /// Time passed. Call it at [`next_deadline`](Self::next_deadline) at the latest; oftener does
    /// no harm.
    pub fn tick(&self, now: Millis) -> Vec<Action> {
        let mut exchange = self.exchange();
        let connected = exchange.connected();
        let outcomes = exchange.distribution.tick(now);
        let questions = exchange.recovery.tick(now, &connected);
        let due = exchange.due_statements(now);
        drop(exchange);
        let mut actions = self.perform(outcomes);
        let ask = |(node, hash)| send(node, &Message::Request(hash));
        actions.extend(questions.into_iter().map(ask));
        actions.extend(due.into_iter().map(|node| self.announcement(node)));
        actions
    }

    /// When [`tick`](Self::tick) has something to do. Other calls may bring it forward.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.exchange().next_deadline()
    }

    /// Payloads up to this block may be missing: until [`end_recovery`](Self::end_recovery) an
    /// unknown hash is nobody's only when each of `nodes` and each node with known keys has said
    /// that it holds nothing for us. For a node whose store is new though its chain, or its keys,
    /// are not.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn begin_recovery(
        &self,
        head: BlockNumber,
        nodes: BTreeSet<NodeId>,
    ) -> Result<(), PrivacyError> {
        let recovery = Recovery::begun(head, nodes);
        self.store.put_single(RECOVERY, recovery.encode().as_deref())?;
        self.exchange().recovery = recovery;
        Ok(())
    }

    /// Private execution has passed the block at which recovery began.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn end_recovery(&self) -> Result<(), PrivacyError> {
        self.store.put_single(RECOVERY, None)?;
        self.exchange().recovery = Recovery::default();
        Ok(())
    }

    /// The block up to which payloads may be missing.
    #[must_use]
    pub fn recovering_until(&self) -> Option<BlockNumber> {
        self.exchange().recovery.until()
    }

    /// The operator decides that this node is no party, although not every node has said so.
    pub fn give_up(&self, hash: PayloadHash) {
        self.exchange().recovery.give_up(hash);
    }

    /// Tells the nodes of the other parties, as far as they are known, what happened in the private
    /// state of one of our keys.
    ///
    /// # Errors
    /// When the payload is unknown or does not open, the key is no party or not ours, or the receipt
    /// is too long.
    pub fn send_receipt(
        &self,
        hash: PayloadHash,
        party: RecipientKey,
        receipt: &Bytes,
    ) -> Result<Vec<Action>, PrivacyError> {
        let payload = self.receive(hash)?;
        if !payload.managed.contains(&party) {
            return Err(PrivacyError::Unknown(hash));
        }
        self.store.put_receipt(hash, party, receipt)?;
        let exchange = self.exchange();
        let nodes: BTreeSet<_> =
            payload.parties.iter().filter_map(|key| exchange.directory.node_of(key)).collect();
        drop(exchange);
        let message = Message::Receipt { hash, party, receipt: receipt.clone() };
        Ok(nodes.into_iter().map(|node| send(node, &message)).collect())
    }

    /// The node of a key: this one, or the one that has proven it to us.
    #[must_use]
    pub fn node_of(&self, key: &RecipientKey) -> Option<NodeId> {
        match self.enclave.holds(key) {
            true => Some(self.node),
            false => self.exchange().directory.node_of(key),
        }
    }

    /// What parties said about a private transaction, ours included.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn receipts(
        &self,
        hash: PayloadHash,
    ) -> Result<Vec<(RecipientKey, Vec<u8>)>, PrivacyError> {
        Ok(self.store.receipts(hash)?)
    }

    pub(super) fn restored_recovery(stored: Option<&[u8]>) -> Recovery {
        stored.and_then(Recovery::restore).unwrap_or_default()
    }

    pub(super) const fn recovery_record() -> &'static str {
        RECOVERY
    }

    pub(super) fn exchange(&self) -> MutexGuard<'_, Exchange> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_allowed(&self, now: Millis, from: NodeId, message: &Message, bytes: usize) -> bool {
        let mut exchange = self.exchange();
        let Some(peer) = exchange.peers.get_mut(&from) else { return false };
        match message {
            Message::Payload(_) | Message::Receipt { .. } => {
                peer.payload_bytes.spend(now, u64::try_from(bytes).unwrap_or(u64::MAX))
            }
            // Every key costs two operations on the curve.
            Message::Announce(announcement) => {
                let cost = announcement.keys.len().saturating_add(1);
                peer.questions.spend(now, u64::try_from(cost).unwrap_or(u64::MAX))
            }
            Message::Request(_) => peer.questions.spend(now, 1),
            Message::Acknowledge(_) | Message::Refuse(..) | Message::NotHeld(_) => true,
        }
    }

    /// Only the node of its sender may bring a payload that we did not ask for.
    fn payload_arrived(&self, from: NodeId, payload: &EncryptedPayload) -> Vec<Action> {
        let hash = payload.hash();
        let exchange = self.exchange();
        let is_wanted = exchange.recovery.wants(hash);
        let is_senders = exchange.directory.node_of(&payload.sender()) == Some(from);
        let recovers = exchange.recovery.until().is_some();
        drop(exchange);
        // Its sender sends it again, or tells its client that we did not acknowledge in time.
        if !is_wanted && recovers && self.cannot_judge(payload) {
            tracing::debug!(node = %from, %hash, "payload not taken: what it affects may be lost");
            return Vec::new();
        }
        let taken = match (is_wanted, is_senders) {
            (true, _) => self.take(payload, Reason::Recovered),
            (false, true) => self.take(payload, Reason::Sent),
            (false, false) => Err(Refusal::UnknownSender),
        };
        let answer = match taken {
            Ok(()) => {
                self.exchange().recovery.found(hash);
                Message::Acknowledge(hash)
            }
            Err(refusal) => {
                tracing::warn!(node = %from, %hash, %refusal, "private payload not taken");
                let reason = refusal.to_string();
                metrics::counter!("entente_private_payloads_refused_total", "reason" => reason)
                    .increment(1);
                Message::Refuse(hash, refusal)
            }
        };
        vec![send(from, &answer)]
    }

    /// Whether a new payload names contracts of which this node cannot tell, while it recovers, that
    /// it is no party to them: then it could not see that the sender is none.
    fn cannot_judge(&self, payload: &EncryptedPayload) -> bool {
        let is_unknown = |hash: &PayloadHash| self.store.get(*hash) == Ok(Stored::Unknown);
        is_unknown(&payload.hash()) && payload.terms().affected.iter().any(is_unknown)
    }

    /// A node asks for a payload that it lost: it gets it when its keys are parties, and is told
    /// so when nothing is held for them. Before it has proven its keys there is no answer: that
    /// would tell strangers what is held here.
    fn asked(&self, from: NodeId, hash: PayloadHash) -> Option<Action> {
        if self.keys().is_empty() {
            // We cannot check proofs, and hold nothing but what keys of former times could read.
            let nothing = self.store.get(hash) == Ok(Stored::Unknown);
            return nothing.then(|| send(from, &Message::NotHeld(hash)));
        }
        let exchange = self.exchange();
        let has_stated = exchange.peers.get(&from).is_some_and(|peer| peer.has_stated);
        if !has_stated || exchange.directory.disputed(from).is_some() {
            return None;
        }
        let keys = exchange.directory.keys_of(from);
        drop(exchange);
        match self.store.get(hash) {
            Ok(Stored::Held(payload)) if payload.boxed().iter().any(|key| keys.contains(key)) => {
                Some(send(from, &Message::Payload(Box::new(payload.copy_for(&keys)))))
            }
            Ok(_) => Some(send(from, &Message::NotHeld(hash))),
            Err(error) => {
                tracing::error!(%hash, %error, "cannot look for a payload");
                None
            }
        }
    }

    fn receipt_arrived(
        &self,
        from: NodeId,
        hash: PayloadHash,
        party: RecipientKey,
        receipt: &[u8],
    ) -> Option<Action> {
        if self.exchange().directory.node_of(&party) != Some(from) {
            return None;
        }
        if !self.receive(hash).ok()?.parties.contains(&party) {
            return None;
        }
        match self.store.put_receipt(hash, party, receipt) {
            Ok(()) => Some(Action::ReceiptArrived { hash, party }),
            Err(error) => {
                tracing::error!(%hash, %error, "cannot keep a private receipt");
                None
            }
        }
    }

    pub(super) fn perform(&self, outcomes: Vec<Outcome>) -> Vec<Action> {
        outcomes.into_iter().map(|outcome| self.perform_one(outcome)).collect()
    }

    fn perform_one(&self, outcome: Outcome) -> Action {
        match outcome {
            Outcome::Send(to, copy) => send(to, &Message::Payload(copy)),
            Outcome::Delivered(request, receipt, payload) => {
                // It is there, unless another request for it failed and took it back just now.
                let result = self.store.put(&payload).map(|_| receipt);
                Action::Finished { request, result: result.map_err(DeliveryError::NotStored) }
            }
            Outcome::Failed(request, error, taken_back) => {
                if let Some(hash) = taken_back {
                    self.take_back(hash);
                }
                Action::Finished { request, result: Err(error) }
            }
        }
    }

    pub(super) fn take_back(&self, hash: PayloadHash) {
        if let Err(error) = self.store.take_back(hash) {
            // Harmless: its hash will not be on the chain.
            tracing::error!(%hash, %error, "cannot remove a payload that was not delivered");
        }
        self.opened.remove(hash);
    }
}

pub(super) fn send(to: NodeId, message: &Message) -> Action {
    Action::Send { to, frame: message.encode() }
}
