//! Payloads that others sent us: opened, checked, stored.

use super::Privacy;
use crate::{
    enclave::Creation,
    error::Refusal,
    payload::EncryptedPayload,
    payload_store::{PayloadStoreError, Stored},
    terms::{TermsError, check_arrival},
};

/// Why a payload comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its sender sends it.
    Sent,
    /// We asked for it: it is on the chain, and what it affects may be lost or erased here.
    Recovered,
}

impl Privacy {
    /// Takes a payload of another node; durable on return. What is stored is our part of it: boxes
    /// of strangers, which nobody here can judge, are dropped.
    ///
    /// # Errors
    /// When it does not open, its terms are not kept, or it cannot be stored.
    pub fn accept(&self, payload: &EncryptedPayload) -> Result<(), Refusal> {
        self.take(payload, Reason::Sent)
    }

    pub(super) fn take(&self, payload: &EncryptedPayload, reason: Reason) -> Result<(), Refusal> {
        let ours = self.enclave.keys();
        let own: Vec<_> = payload.boxed().into_iter().filter(|key| ours.contains(key)).collect();
        let mut copy = payload.copy_for(&own);
        let opened = self.enclave.open(&copy).map_err(|_| Refusal::NotAuthentic)?;
        let hash = copy.hash();
        match self.store.get(hash).map_err(|_| Refusal::Storage)? {
            Stored::Erased => return Err(Refusal::Erased),
            Stored::Imported(_) => return Err(Refusal::Contradiction),
            Stored::Held(held) => {
                // The sender's box passes through hands that could spoil it; ours stay.
                copy = copy.without_boxes_of(&held);
                if copy.boxed().is_empty() {
                    return held.agrees_with(payload).then_some(()).ok_or(Refusal::Contradiction);
                }
            }
            Stored::Unknown => {
                // One that is here and does not open is the fault of this node.
                let affected = &opened.terms.affected;
                let creations = self.creations(affected).map_err(|_| Refusal::Storage)?;
                let creations: Vec<_> = creations.iter().map(Option::as_deref).collect();
                match (check_arrival(&opened, &creations), reason) {
                    (Ok(()), _) | (Err(TermsError::AffectedUnknown { .. }), Reason::Recovered) => {}
                    (Err(_), _) => return Err(Refusal::Terms),
                }
                self.check_memberships(&copy)?;
            }
        }
        self.store.put(&copy).map_err(|error| match error {
            PayloadStoreError::Contradiction(_) => Refusal::Contradiction,
            PayloadStoreError::Erased(_) => Refusal::Erased,
            _ => Refusal::Storage,
        })?;
        self.opened.remove(hash);
        Ok(())
    }

    /// Whoever names a contract that we are a party to must show to be one too: its creation stands
    /// on the chain for all to see.
    fn check_memberships(&self, payload: &EncryptedPayload) -> Result<(), Refusal> {
        for (index, hash) in payload.terms().affected.iter().enumerate() {
            let creation = match self.store.get(*hash).map_err(|_| Refusal::Storage)? {
                Stored::Held(creation) => Creation::Sealed(creation),
                Stored::Imported(creation) => {
                    Creation::Imported { hash: *hash, plain: creation.plain }
                }
                Stored::Erased | Stored::Unknown => continue,
            };
            if !self.enclave.is_member(payload, index, &creation) {
                return Err(Refusal::Terms);
            }
        }
        Ok(())
    }
}
