//! The node's private side: its keys, its payloads and its private states, opened together.

mod agreement;
mod desk;
mod exchange;
mod stall;
mod wording;

pub(crate) use agreement::{AgreementPort, AgreementWorker};
pub(crate) use desk::{DeskHandle, KeyMaker, NotSent, PrivateDesk};
pub(crate) use exchange::{ExchangePorts, PrivateInput, PrivateInputs, start};
pub(crate) use stall::PayloadStall;
pub(crate) use wording::recipient;

use alloy_primitives::B256;
use anyhow::Context;
use entente_chain::{
    EnvironmentId, NodeId,
    private::{PrivateStateId, PrivateStates as PrivateExecution, RecipientKey},
};
use entente_ledger::{PrivateLedger, Residents};
use entente_privacy::{
    DatabaseCipher, KdfCost, KeyStore, OpenedKeys, Privacy, PrivacySettings, RECOVERY_OPEN,
    Randomness,
};
use entente_storage::{Database, PrivateStates};
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};
use zeroize::Zeroizing;

/// What the private side of a node is opened with.
pub(crate) struct PrivateSettings {
    /// Folder of the party keys and the database key.
    pub(crate) keys: PathBuf,
    /// Password of these.
    pub(crate) password: Zeroizing<String>,
    /// The key that sends when a request names none.
    pub(crate) default_sender: Option<RecipientKey>,
    /// Private states beside the default one, with their keys.
    pub(crate) residents: Vec<Resident>,
}

/// A private state and who may see it.
pub(crate) struct Resident {
    /// Its name.
    pub(crate) id: PrivateStateId,
    /// Keys that belong to it.
    pub(crate) keys: Vec<RecipientKey>,
    /// Keccak-256 of the token that opens it.
    pub(crate) token: Option<B256>,
}

/// The opened private side.
#[derive(Clone)]
pub(crate) struct PrivateNode {
    /// Keys, payloads, exchange.
    pub(crate) privacy: Arc<Privacy>,
    /// Which key belongs to which private state.
    pub(crate) residents: Arc<Residents>,
    /// Makes keys while the node runs.
    pub(crate) keys: KeyMaker,
    /// Private states on disk.
    pub(crate) states: PrivateStates,
    /// The same, as execution asks for them.
    pub(crate) execution: Arc<dyn PrivateExecution>,
}

impl PrivateNode {
    /// Opens keys and private columns. A node whose database is new to private states may lack
    /// payloads of blocks that it still has to execute: it asks `peers` for them, unless there are
    /// none to ask.
    ///
    /// # Errors
    /// When a key or the password is wrong, another key sealed the database, or the disk fails.
    pub(crate) fn open(
        database: &Database,
        (environment, node): (EnvironmentId, NodeId),
        settings: &PrivateSettings,
        peers: Option<BTreeSet<NodeId>>,
    ) -> anyhow::Result<Self> {
        let randomness = Arc::new(Randomness::from_os()?);
        let store = KeyStore::new(settings.keys.clone(), KdfCost::default());
        let opened = store.open(&settings.password).context("privacy.key_folder")?;
        let OpenedKeys { parties, database: key } = opened;
        let cipher =
            |purpose| Arc::new(DatabaseCipher::new(key.clone(), purpose, Arc::clone(&randomness)));
        let is_new = !database.has_private_states()?;
        let states = database.private_states(cipher("private states"))?;
        let records = database.private_records(cipher("payloads"))?;
        let privacy_settings =
            PrivacySettings { default_sender: settings.default_sender, ..Default::default() };
        let privacy = Privacy::open(
            records,
            parties,
            (environment, node),
            Arc::clone(&randomness),
            &privacy_settings,
        )?;
        let residents = Arc::new(Residents::default());
        states.add(&PrivateStateId::default_state())?;
        for resident in &settings.residents {
            let ours = privacy.keys();
            if let Some(key) = resident.keys.iter().find(|key| !ours.contains(key)) {
                anyhow::bail!(
                    "privacy.states: {key} of {} is not in {}",
                    resident.id,
                    settings.keys.display()
                );
            }
            residents.assign(&resident.id, resident.keys.iter().copied());
            states.add(&resident.id)?;
        }
        if let Some(peers) = peers.filter(|_| is_new) {
            privacy.begin_recovery(RECOVERY_OPEN, peers)?;
        }
        let privacy = Arc::new(privacy);
        let payloads = Arc::clone(&privacy) as _;
        let execution =
            PrivateLedger::new(payloads, Arc::clone(&residents), states.clone(), database.states());
        let password = settings.password.clone();
        let keys = KeyMaker::new(store, password, randomness);
        Ok(Self { privacy, residents, states, keys, execution: Arc::new(execution) })
    }
}
