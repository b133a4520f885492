//! Bugs in what surrounds the real code, and the honest way beside each.

use super::scenario::Sabotage;
use entente_chain::private::{PayloadHash, PrivatePayload, PrivatePayloads, Resolution};
use entente_privacy::Privacy;
use entente_storage::ValueCipher;
use std::sync::Arc;

/// What execution asks for payloads.
pub(super) struct Payloads {
    privacy: Arc<Privacy>,
    sabotage: Option<Sabotage>,
    node: usize,
}

impl Payloads {
    pub(super) const fn new(
        privacy: Arc<Privacy>,
        sabotage: Option<Sabotage>,
        node: usize,
    ) -> Self {
        Self { privacy, sabotage, node }
    }
}

impl PrivatePayloads for Payloads {
    fn resolve(&self, hash: PayloadHash) -> Resolution {
        match (self.privacy.resolve(hash), self.sabotage) {
            (Resolution::Unavailable(_), Some(Sabotage::NonParty)) => Resolution::NotParty,
            (Resolution::Party(payload), Some(Sabotage::OtherBytes)) if self.node == 0 => {
                let mut other = PrivatePayload::clone(&payload);
                // A byte of the word, whether it is in init code or in call data.
                if let Some(byte) = other.plain.get_mut(30) {
                    *byte ^= 1;
                }
                Resolution::Party(Arc::new(other))
            }
            (resolved, _) => resolved,
        }
    }
}

/// Seals nothing.
pub(super) struct OpenDisk;

impl ValueCipher for OpenDisk {
    fn seal(&self, _: &[u8], value: &[u8]) -> Vec<u8> {
        value.to_vec()
    }

    fn open(&self, _: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        Some(sealed.to_vec())
    }
}
