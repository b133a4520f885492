//! Accounts whose keys the node holds, for the calls that sign. Sends of one account go one after
//! the other, so that each gets a nonce of its own.

use alloy_primitives::{Address, B256, Signature};
use entente_chain::signer::SealSigner;
use std::{collections::BTreeMap, fmt, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Unlocked accounts.
#[derive(Default)]
pub struct LocalAccounts {
    accounts: BTreeMap<Address, LocalAccount>,
}

struct LocalAccount {
    signer: SealSigner,
    turn: Arc<Semaphore>,
}

/// Shows addresses only.
impl fmt::Debug for LocalAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.accounts.keys()).finish()
    }
}

impl LocalAccounts {
    /// Accounts of these keys.
    #[must_use]
    pub fn new(signers: impl IntoIterator<Item = SealSigner>) -> Self {
        let account = |signer: SealSigner| {
            let turn = Arc::new(Semaphore::new(1));
            (signer.address(), LocalAccount { signer, turn })
        };
        Self { accounts: signers.into_iter().map(account).collect() }
    }

    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.accounts.keys().copied().collect()
    }

    pub(crate) fn signer(&self, address: Address) -> Option<&SealSigner> {
        self.accounts.get(&address).map(|account| &account.signer)
    }

    /// Waits until no other send of this account is under way.
    pub(crate) async fn turn(&self, address: Address) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.accounts.get(&address)?.turn);
        turn.acquire_owned().await.ok()
    }

    /// Signs a digest.
    pub(crate) fn sign(&self, address: Address, digest: B256) -> Option<Signature> {
        let seal = self.signer(address)?.sign(digest);
        Some(Signature::from_bytes_and_parity(&seal[..64], seal[64] == 1))
    }
}
