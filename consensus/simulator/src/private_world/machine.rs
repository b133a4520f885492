//! One machine of the private world and the process on it: opened from its disk as a node opens it
//! (`node/entente/src/private_node.rs`).

use super::{
    Unit,
    client::Pending,
    model::Model,
    sabotage::{OpenDisk, Payloads},
    scenario::{Keys, Sabotage},
};
use crate::{disk::SimulatedDisk, world::node_id};
use entente_chain::{
    BlockNumber, EnvironmentId, NodeId,
    genesis::Genesis,
    private::{PayloadHash, PrivateStateId, RecipientKey},
    spec::ChainSpec,
};
use entente_consensus::rules::rules_for;
use entente_evm::Executor;
use entente_ledger::{Ledger, PrivateLedger, Residents};
use entente_privacy::{
    DatabaseCipher, DatabaseKey, EncryptedPayload, PartyKey, Privacy, PrivacySettings,
    RECOVERY_OPEN, Randomness, RecoveryWatch, RequestId,
};
use entente_storage::{
    Batch, Column, Database, Durability, KeyValue, PrivateStates, StateStore, StorageOptions,
    ValueCipher,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};
use zeroize::Zeroizing;

/// Blocks for which a recovery goes on after it has found its end: transactions wait for less here.
const PENDING_BLOCKS: u64 = 8;
/// First byte of the key of a payload's record.
pub(super) const PAYLOADS: u8 = 1;
/// First byte of the value of one that is held.
pub(super) const HELD: u8 = 1;

/// One machine; its process comes and goes.
pub(super) struct Machine {
    pub(super) index: usize,
    pub(super) keys: Keys,
    pub(super) disk: Arc<SimulatedDisk>,
    pub(super) process: Option<Process>,
    /// Counts processes, so that what was meant for an earlier one is lost.
    pub(super) life: u64,
    pub(super) booted: u64,
    pub(super) connected: BTreeSet<usize>,
    /// The newest block that came here.
    pub(super) known: BlockNumber,
    /// The head when the process died.
    pub(super) last_head: BlockNumber,
    /// When its disk was lost.
    pub(super) wiped_at: Option<u64>,
    /// The next process finds its payloads gone and its private states not: it is told to recover.
    pub(super) told_to_recover: bool,
    /// What its private states must be, by resident.
    pub(super) models: Vec<Model>,
    /// Payloads that it must have on its disk: for which keys it has boxes, and since when.
    pub(super) holds: BTreeMap<PayloadHash, (BTreeSet<RecipientKey>, u64)>,
    /// When its payloads were lost and its private states were not.
    pub(super) forgot_at: Option<u64>,
    /// The block that waits for a payload.
    pub(super) stalled: Option<BlockNumber>,
}

/// What runs.
pub(super) struct Process {
    pub(super) ledger: Ledger,
    pub(super) executor: Arc<Executor>,
    pub(super) public: StateStore,
    pub(super) private: Option<PrivateSide>,
}

/// The private side of a process.
pub(super) struct PrivateSide {
    pub(super) privacy: Arc<Privacy>,
    pub(super) states: PrivateStates,
    pub(super) pending: BTreeMap<RequestId, Pending>,
    pub(super) watch: RecoveryWatch,
}

/// What all machines are opened with.
pub(super) struct Chain {
    pub(super) genesis: Genesis,
    pub(super) json: String,
    pub(super) spec: Arc<ChainSpec>,
    pub(super) environment: EnvironmentId,
}

impl Machine {
    pub(super) fn new(index: usize, keys: Keys) -> Self {
        let residents = match keys {
            Keys::None => 0,
            Keys::One | Keys::Two => 1,
            Keys::Residents => 2,
        };
        Self {
            index,
            keys,
            disk: Arc::default(),
            process: None,
            life: 0,
            booted: 0,
            connected: BTreeSet::new(),
            known: 0,
            last_head: 0,
            wiped_at: None,
            told_to_recover: false,
            models: vec![Model::default(); residents],
            holds: BTreeMap::new(),
            forgot_at: None,
            stalled: None,
        }
    }

    /// Whether it need not have a payload any more that was made at that time: its private states have
    /// passed it, so it does not ask for it.
    pub(super) fn forgot(&self, made: u64) -> bool {
        self.forgot_at.is_some_and(|at| made <= at)
    }

    fn secret(&self, number: u8) -> PartyKey {
        let node = u8::try_from(self.index).unwrap_or(u8::MAX);
        let mut secret = [0x5a; 32];
        // Not the first byte: three of its bits say nothing (RFC 7748, 5).
        secret[1] = node;
        secret[2] = number;
        PartyKey::new(Zeroizing::new(secret))
    }

    /// Its keys, and to which of its private states each belongs.
    pub(super) fn party_keys(&self) -> Vec<(PartyKey, Unit)> {
        let key = |number, resident| (self.secret(number), (self.index, resident));
        match self.keys {
            Keys::None => Vec::new(),
            Keys::One => vec![key(1, 0)],
            Keys::Two => vec![key(1, 0), key(2, 0)],
            Keys::Residents => vec![key(1, 0), key(2, 1)],
        }
    }

    /// The name of one of its private states.
    pub(super) fn state_id(resident: usize) -> PrivateStateId {
        let second = PrivateStateId::new("second").filter(|_| resident == 1);
        second.unwrap_or_else(PrivateStateId::default_state)
    }

    pub(super) fn cipher(
        &self,
        purpose: &'static str,
        randomness: &Arc<Randomness>,
    ) -> DatabaseCipher {
        let node = u8::try_from(self.index).unwrap_or(u8::MAX);
        let key = DatabaseKey::new(Zeroizing::new([node ^ 0xa5; 32]));
        DatabaseCipher::new(key, purpose, Arc::clone(randomness))
    }

    /// Writes a payload to the disk past everything that checks it.
    pub(super) fn force(&self, payload: &EncryptedPayload, randomness: &Arc<Randomness>) {
        let key = [&[PAYLOADS], payload.hash().0.as_slice()].concat();
        let value = [&[HELD], payload.encode().as_slice()].concat();
        let mut batch = Batch::default();
        batch.put(Column::Payloads, &key, &self.cipher("payloads", randomness).seal(&key, &value));
        drop(self.disk.write(&batch, Durability::Synced));
    }

    /// What its own disk has of a payload: a liar looks there.
    pub(super) fn stored(
        &self,
        hash: PayloadHash,
        randomness: &Arc<Randomness>,
    ) -> Option<EncryptedPayload> {
        let key = [&[PAYLOADS], hash.0.as_slice()].concat();
        let sealed = self.disk.get(Column::Payloads, &key).ok()??;
        let value = self.cipher("payloads", randomness).open(&key, &sealed)?;
        EncryptedPayload::decode(value.strip_prefix(&[HELD])?).ok()
    }

    pub(super) fn head(&self) -> BlockNumber {
        self.process.as_ref().map_or(self.last_head, |process| process.ledger.head().header.number)
    }

    /// Opens a process; `peers` are those that a recovery asks.
    pub(super) fn open(
        &mut self,
        chain: &Chain,
        randomness: Randomness,
        peers: BTreeSet<NodeId>,
        sabotage: Option<Sabotage>,
    ) -> Result<Process, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let options = StorageOptions { cache_bytes: 1 << 20, ..StorageOptions::default() };
        let database =
            Database::over(Arc::clone(&self.disk) as _, Path::new("simulated"), &options);
        let database = database.map_err(|error| text(&error))?;
        let json = chain.json.as_bytes();
        database.initialise(&chain.genesis, json).map_err(|error| text(&error))?;
        let rules = rules_for(Arc::clone(&chain.spec));
        let author = Arc::new(move |header: &_| rules.author(header).ok());
        let executor = Executor::with_author(Arc::clone(&chain.spec), author);
        let opened = match self.keys {
            Keys::None => None,
            _ => Some(self.open_private(
                &database,
                chain.environment,
                (randomness, peers),
                sabotage,
            )?),
        };
        let (executor, states, private) = match opened {
            Some((side, ledger)) => {
                let states = side.states.clone();
                (executor.with_private_states(Arc::new(ledger)), Some(states), Some(side))
            }
            None => (executor, None, None),
        };
        let executor = Arc::new(executor);
        let execution = Arc::clone(&executor) as _;
        let ledger = Ledger::open_with(&database, Arc::clone(&chain.spec), execution, states);
        let ledger = ledger.map_err(|error| text(&error))?;
        Ok(Process { ledger, executor, public: database.states(), private })
    }

    fn open_private(
        &mut self,
        database: &Database,
        environment: EnvironmentId,
        (randomness, peers): (Randomness, BTreeSet<NodeId>),
        sabotage: Option<Sabotage>,
    ) -> Result<(PrivateSide, PrivateLedger), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let randomness = Arc::new(randomness);
        let cipher = |purpose| -> Arc<dyn ValueCipher> {
            match sabotage {
                Some(Sabotage::PlainDisk) => Arc::new(OpenDisk),
                _ => Arc::new(self.cipher(purpose, &randomness)),
            }
        };
        let is_new = !database.has_private_states().map_err(|error| text(&error))?;
        let states = database.private_states(cipher("private states"));
        let states = states.map_err(|error| text(&error))?;
        let records = database.private_records(cipher("payloads"));
        let records = records.map_err(|error| text(&error))?;
        let keys = self.party_keys();
        let residents = Arc::new(Residents::default());
        for resident in 0..self.models.len() {
            let id = Self::state_id(resident);
            let own = keys.iter().filter(|(_, (_, of))| *of == resident);
            residents.assign(&id, own.map(|(key, _)| key.public()));
            states.add(&id).map_err(|error| text(&error))?;
        }
        let keys = keys.into_iter().map(|(key, _)| key).collect();
        let settings = PrivacySettings::default();
        let place = (environment, node_id(self.index));
        let privacy = Privacy::open(records, keys, place, randomness, &settings);
        let privacy = privacy.map_err(|error| text(&error))?;
        let told = std::mem::take(&mut self.told_to_recover);
        let begins = (is_new || told) && !peers.is_empty();
        if begins && sabotage != Some(Sabotage::NoRecovery) {
            let begun = privacy.begin_recovery(RECOVERY_OPEN, peers.clone());
            begun.map_err(|error| text(&error))?;
        }
        let privacy = Arc::new(privacy);
        let payloads = Payloads::new(Arc::clone(&privacy), sabotage, self.index);
        let ledger =
            PrivateLedger::new(Arc::new(payloads), residents, states.clone(), database.states());
        let watch = RecoveryWatch::new(peers, PENDING_BLOCKS);
        Ok((PrivateSide { privacy, states, pending: BTreeMap::new(), watch }, ledger))
    }
}
