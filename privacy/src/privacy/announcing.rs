//! Who has which key: each node says so itself and proves it to each other.

use super::{Action, Privacy, network::send};
use crate::{
    directory::Stated,
    enclave::Possession,
    message::{Announcement, Message, NODE_KEYS_MAX},
};
use alloy_primitives::B256;
use entente_chain::{NodeId, private::RecipientKey};

impl Privacy {
    /// Tells every connected node which keys we have. To be called after
    /// [`add_key`](Self::add_key).
    #[must_use]
    pub fn announce(&self) -> Vec<Action> {
        let nodes = self.exchange().connected();
        nodes.into_iter().map(|node| self.announcement(node)).collect()
    }

    /// Which node serves which keys, as proven to us.
    #[must_use]
    pub fn directory(&self) -> Vec<(NodeId, Vec<RecipientKey>)> {
        let exchange = self.exchange();
        let directory = &exchange.directory;
        directory.nodes().map(|node| (node, directory.keys_of(node))).collect()
    }

    /// Forgets the keys of a node that is gone for good, so that another may prove them; false
    /// when it had none.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn forget_node(&self, node: NodeId) -> Result<bool, crate::PrivacyError> {
        self.store.remove_statement(&node.0)?;
        Ok(self.exchange().directory.forget(node))
    }

    /// Our statement for a node, with proofs when it has told its challenge; asks for its own when
    /// that has not come.
    pub(super) fn announcement(&self, to: NodeId) -> Action {
        let has_stated = self.exchange().peers.get(&to).is_some_and(|peer| peer.has_stated);
        self.statement(to, !has_stated)
    }

    fn statement(&self, to: NodeId, asks: bool) -> Action {
        let theirs = self.exchange().peers.get(&to).and_then(|peer| peer.challenge);
        let mut keys = self.keys();
        keys.truncate(NODE_KEYS_MAX);
        let proofs = theirs.map(|challenge| {
            let claim = |key| Possession { prover: self.node, verifier: to, key, challenge };
            keys.iter().map(|key| self.enclave.prove(&claim(*key))).collect::<Option<Vec<_>>>()
        });
        // A challenge that is no key gets no proofs.
        let proofs = proofs.flatten().unwrap_or_default();
        let challenge = self.default_sender();
        // Without a key of ours, proofs of others cannot be checked.
        let asks = asks && challenge.is_some();
        send(to, &Message::Announce(Announcement { keys, challenge, proofs, asks }))
    }

    pub(super) fn announced(&self, from: NodeId, announcement: Announcement) -> Vec<Action> {
        let Announcement { keys, challenge, proofs, asks } = announcement;
        if let Some(peer) = self.exchange().peers.get_mut(&from) {
            peer.challenge = challenge;
        }
        let mut actions = Vec::new();
        let mut is_missing = true;
        if proofs.len() == keys.len() {
            is_missing = false;
            if self.are_proven(from, &keys, &proofs) {
                self.stated(from, &keys);
            } else {
                // Not asked for again at once: two that disagree would never stop.
                let reason = "a key that it cannot prove";
                actions.push(Action::Misbehaved { node: from, reason });
            }
        }
        if asks {
            actions.push(self.statement(from, is_missing));
        }
        actions
    }

    fn are_proven(&self, from: NodeId, keys: &[RecipientKey], proofs: &[B256]) -> bool {
        let challenge = self.default_sender().unwrap_or(RecipientKey([0; 32]));
        keys.iter().zip(proofs).all(|(key, proof)| {
            let claim = Possession { prover: from, verifier: self.node, key: *key, challenge };
            self.enclave.is_proven(&claim, *proof)
        })
    }

    /// A node has proven its keys.
    fn stated(&self, from: NodeId, keys: &[RecipientKey]) {
        let mut exchange = self.exchange();
        if let Some(peer) = exchange.peers.get_mut(&from) {
            peer.has_stated = true;
        }
        let stated = exchange.directory.state(from, keys);
        let disputed = exchange.directory.disputed(from);
        let entry = exchange.directory.entry(from);
        drop(exchange);
        if let Some(key) = disputed {
            tracing::warn!(node = %from, %key, "node claims a key that another node has");
        }
        match stated {
            Stated::Known => {}
            Stated::Full => tracing::warn!(node = %from, "too many nodes with keys"),
            Stated::Changed => {
                if let Err(error) = self.store.put_statement(&from.0, &entry) {
                    // It is proven again with the next session.
                    tracing::error!(node = %from, %error, "cannot keep the keys of a node");
                }
            }
        }
    }
}
