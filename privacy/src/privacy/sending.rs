//! Requests to send: checked and sealed before anything leaves the node.

use super::Privacy;
use crate::{
    distribution::Delivery,
    enclave::{Creation, Envelope, SealError, SealRandomness},
    error::{DeliveryError, PrivacyError},
    payload::EncryptedPayload,
    payload_store::{Stored, Written},
    terms::{check_affected, check_form, with_mandatory},
};
use alloy_primitives::Bytes;
use entente_chain::{
    NodeId,
    private::{PayloadHash, PrivacyTerms, RecipientKey},
};
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// Milliseconds of the host's monotonic clock.
pub type Millis = u64;

/// A request to send, echoed in [`Action::Finished`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What shall be sent to whom.
#[derive(Clone)]
pub struct SendRequest {
    /// The plain payload.
    pub plain: Zeroizing<Vec<u8>>,
    /// `privateFrom`; `None`: the default key.
    pub sender: Option<RecipientKey>,
    /// `privateFor`; none: only the sender.
    pub recipients: Vec<RecipientKey>,
    /// Flag, affected contracts, root of the simulation, `mandatoryFor`.
    pub terms: PrivacyTerms,
}

/// What the sender of a payload is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendReceipt {
    /// What stands on the chain.
    pub hash: PayloadHash,
    /// The key that sent it.
    pub sender: RecipientKey,
    /// Keys of this node that are parties, ascending.
    pub managed: Vec<RecipientKey>,
}

/// What the host must do. The order does not matter, and a lost frame is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a frame to a node.
    Send {
        /// Whom to.
        to: NodeId,
        /// What.
        frame: Bytes,
    },
    /// A request is done: every party has the payload on its disk, or the sender keeps nothing.
    Finished {
        /// The request.
        request: RequestId,
        /// What came of it.
        result: Result<SendReceipt, DeliveryError>,
    },
    /// A party has said what a private transaction did there ([`Privacy::receipts`]).
    ReceiptArrived {
        /// Payload of the transaction.
        hash: PayloadHash,
        /// The party.
        party: RecipientKey,
    },
    /// A node broke the protocol; its score should say so.
    Misbehaved {
        /// Which node.
        node: NodeId,
        /// What it did.
        reason: &'static str,
    },
}

impl Privacy {
    /// Checks, seals and stores a payload and distributes it. The public transaction must wait for
    /// [`Action::Finished`], which may be among the actions that are returned.
    ///
    /// # Errors
    /// When a term is not kept, the sender is not ours, a bound is broken or the disk fails.
    pub fn send(
        &self,
        now: Millis,
        request: &SendRequest,
    ) -> Result<(RequestId, Vec<Action>), PrivacyError> {
        let payload = self.seal_encoded(request)?;
        self.distribute(now, payload)
    }

    /// Checks and seals a payload without storing or sending it.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn seal_encoded(&self, request: &SendRequest) -> Result<EncryptedPayload, PrivacyError> {
        let sender = self.sender(request.sender)?;
        let terms = self.check(&sender, &request.recipients, &request.terms)?;
        let creations = self.creations_of(&terms.affected)?;
        let recipients = &request.recipients;
        let envelope = Envelope { recipients, terms: &terms, creations: &creations };
        let randomness = SealRandomness::draw(&self.randomness);
        Ok(self.enclave.seal(&request.plain, &sender, &envelope, &randomness)?)
    }

    /// Sends a payload of [`store_raw`](Self::store_raw) (`sendsignedtx`). Asked again for the same
    /// recipients and terms, it distributes again.
    ///
    /// # Errors
    /// As [`send`](Self::send), and when nothing was stored under the hash, or it was sent to
    /// others before.
    pub fn send_raw(
        &self,
        now: Millis,
        hash: PayloadHash,
        recipients: &[RecipientKey],
        terms: &PrivacyTerms,
    ) -> Result<(RequestId, Vec<Action>), PrivacyError> {
        let raw = self.store.raw(hash)?.ok_or(PrivacyError::Unknown(hash))?;
        let sender = raw.sender();
        if !self.enclave.holds(&sender) {
            return Err(SealError::NotOurs(sender).into());
        }
        let terms = self.check(&sender, recipients, terms)?;
        let payload = match self.store.get(hash)? {
            Stored::Erased => return Err(PrivacyError::Erased(hash)),
            Stored::Imported(_) => return Err(PrivacyError::Sent(hash)),
            Stored::Unknown => {
                let randomness = SealRandomness::draw(&self.randomness);
                let creations = self.creations_of(&terms.affected)?;
                let envelope = Envelope { recipients, terms: &terms, creations: &creations };
                self.enclave.readdress(&raw, &envelope, &randomness)?
            }
            Stored::Held(sent) => {
                let parties = parties(&sender, recipients).into_iter().collect();
                if sent.disclosed() != Some(parties) || *sent.terms() != terms {
                    return Err(PrivacyError::Sent(hash));
                }
                *sent
            }
        };
        self.distribute(now, payload)
    }

    /// Checks the terms of a request, and completes them by what affected contracts want.
    fn check(
        &self,
        sender: &RecipientKey,
        recipients: &[RecipientKey],
        terms: &PrivacyTerms,
    ) -> Result<PrivacyTerms, PrivacyError> {
        check_form(sender, recipients, terms)?;
        let creations = self.creations(&terms.affected)?;
        let creations: Vec<_> = creations.iter().map(Option::as_deref).collect();
        check_affected(sender, &parties(sender, recipients), terms, &creations)?;
        Ok(with_mandatory(terms.clone(), &creations))
    }

    fn creations_of(&self, hashes: &[PayloadHash]) -> Result<Vec<Creation>, PrivacyError> {
        hashes.iter().map(|hash| self.creation(*hash)).collect()
    }

    fn distribute(
        &self,
        now: Millis,
        payload: EncryptedPayload,
    ) -> Result<(RequestId, Vec<Action>), PrivacyError> {
        let (hash, sender) = (payload.hash(), payload.sender());
        let request = self.next_request();
        let finished = |result| Ok((request, vec![Action::Finished { request, result }]));
        let (managed, foreign): (Vec<_>, Vec<_>) =
            payload.boxed().into_iter().partition(|key| self.enclave.holds(key));
        let mut nodes = BTreeMap::<NodeId, Vec<RecipientKey>>::new();
        let exchange = self.exchange();
        for key in foreign {
            match exchange.directory.node_of(&key) {
                Some(node) => nodes.entry(node).or_default().push(key),
                None => return finished(Err(DeliveryError::NoNode(key))),
            }
        }
        if !nodes.is_empty() && !exchange.distribution.has_room(payload.plain_length()) {
            return Err(PrivacyError::Busy);
        }
        drop(exchange);
        let is_new = self.store.put(&payload)? == Written::New;
        let receipt = SendReceipt { hash, sender, managed };
        if nodes.is_empty() {
            return finished(Ok(receipt));
        }
        let delivery = Delivery { request, payload, receipt, nodes, is_new };
        let outcomes = self.exchange().distribution.start(now, delivery);
        Ok((request, self.perform(outcomes)))
    }
}

fn parties(sender: &RecipientKey, recipients: &[RecipientKey]) -> BTreeSet<RecipientKey> {
    recipients.iter().chain([sender]).copied().collect()
}
