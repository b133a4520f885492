//! The database of one chain: opens it, stores its genesis, hands out readers and the one writer.

use crate::{
    Batch, ChainReader, ChainWriter, Column, ConsensusLog, Durability, EvidenceLog, EvidenceReader,
    KeyValue, PrivateRecords, PrivateStates, StateStore, StoreError, ValueCipher,
    canonical::{Canonical, Head, Tip},
    chain_writer, schema,
    state_trie::{StateTrie, root_after},
    state_write,
};
use alloy_primitives::{B256, Bytes, keccak256};
use entente_chain::{
    Account, AccountChange, BlockBody, RecoveredBlock, StateChanges, ValidatorSet,
    genesis::{Genesis, GenesisAccount},
    spec::EngineKind,
    votes::VoteTally,
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

/// Memory for blocks of tables that were read, in bytes.
pub const CACHE_BYTES_DEFAULT: usize = 64 * 1024 * 1024;

/// Which past states are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// All.
    Archive,
    /// Those of the head and of this many blocks before it. Older ones are deleted by later
    /// commits.
    Last(u64),
}

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// Memory for blocks of tables that were read, in bytes.
    pub cache_bytes: usize,
    /// Which past states are kept.
    pub history: History,
    /// Whether commits wait for the disk. Off only in tests and benchmarks: without it the loss
    /// of power loses blocks and, worse, votes.
    pub sync: bool,
    /// Open without writing anything.
    pub read_only: bool,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            cache_bytes: CACHE_BYTES_DEFAULT,
            history: History::Archive,
            sync: true,
            read_only: false,
        }
    }
}

/// The database of one chain.
#[derive(Debug)]
pub struct Database {
    canonical: Arc<Canonical>,
    path: Box<Path>,
    options: StorageOptions,
    writer_taken: AtomicBool,
    log_taken: AtomicBool,
    evidence_taken: AtomicBool,
    private_records_taken: AtomicBool,
}

impl Database {
    /// Opens the database in a directory, or makes a new one there.
    ///
    /// # Errors
    /// When it is locked, damaged, of a newer version, or the disk fails.
    #[cfg(feature = "rocks")]
    pub fn open(path: &Path, options: &StorageOptions) -> Result<Self, StoreError> {
        let disk = crate::rocks::Rocks::open(path, options.cache_bytes, options.read_only)?;
        Self::over(Arc::new(disk), path, options)
    }

    /// Opens the database on a disk of the caller's; `path` is for messages.
    ///
    /// # Errors
    /// When it is of a newer version, damaged, or the disk fails.
    pub fn over(
        disk: Arc<dyn KeyValue>,
        path: &Path,
        options: &StorageOptions,
    ) -> Result<Self, StoreError> {
        schema::check_version(&*disk)?;
        Ok(Self {
            canonical: Arc::new(Canonical::open(disk)?),
            path: path.into(),
            options: options.clone(),
            writer_taken: AtomicBool::new(false),
            log_taken: AtomicBool::new(false),
            evidence_taken: AtomicBool::new(false),
            private_records_taken: AtomicBool::new(false),
        })
    }

    /// Stores the genesis block and its state in one batch. Does nothing when it is stored.
    ///
    /// # Errors
    /// When another genesis is stored, the state of `genesis` is not the one of its header, or
    /// the disk fails.
    pub fn initialise(&self, genesis: &Genesis, genesis_json: &[u8]) -> Result<(), StoreError> {
        let given = genesis.header.hash();
        if let Some(stored) = self.genesis_hash()? {
            if stored == given {
                return Ok(());
            }
            return Err(StoreError::OtherGenesis { path: self.path.clone(), stored, given });
        }
        if self.options.read_only {
            return Err(StoreError::ReadOnly);
        }
        let disk = &*self.canonical.disk;
        let changes = Arc::new(genesis_changes(genesis));
        let state = root_after(disk, &StateTrie::empty(), changes)?;
        let (got, expected) = (state.root(), genesis.header.state_root);
        if got != expected {
            let number = genesis.header.number;
            return Err(StoreError::StateRoot { number, got, expected });
        }
        let withdrawals = genesis.header.withdrawals_root.map(|_| Default::default());
        let body = Arc::new(BlockBody { withdrawals, ..BlockBody::default() });
        let block = RecoveredBlock { header: genesis.header.clone(), body };
        let head = Arc::new(Head {
            header: genesis.header.clone(),
            total_difficulty: genesis.header.difficulty,
        });
        let mut batch = Batch::default();
        schema::put_genesis(&mut batch, given, genesis_json);
        // A transition may name the validators of the first block.
        let next = genesis.spec.rules_at(genesis.header.number.saturating_add(1));
        let spec = &genesis.spec;
        let named = spec.validators_named_for(1).or_else(|| spec.validators_named_for(0));
        let validators = named.map_or_else(|| genesis.validators.clone(), <[_]>::to_vec);
        let tally = match ValidatorSet::new(validators) {
            Ok(validators) => Some(VoteTally::new(validators)),
            Err(_) if next.engine == EngineKind::Raft => Some(VoteTally::unknown()),
            Err(_) => None,
        };
        if let Some(mut tally) = tally {
            let number = genesis.header.number.to_be_bytes();
            tally.enter(next.engine);
            batch.put(Column::Tallies, &number, &tally.encode());
        }
        chain_writer::put_block(&mut batch, &head, &block, &[]);
        state_write::put_state(&mut batch, disk, &state)?;
        schema::put_oldest_state(&mut batch, genesis.header.number);
        disk.write(&batch, self.durability())?;
        self.canonical.begin(genesis.header.number);
        self.canonical.publish(Tip { head, trie: state.trie().settled() });
        Ok(())
    }

    /// Stores a changed genesis file of the same chain. The caller has made sure that nothing at or
    /// below the head changes.
    ///
    /// # Errors
    /// When the database is read-only or the disk fails.
    pub fn replace_genesis_json(&self, genesis_json: &[u8]) -> Result<(), StoreError> {
        if self.options.read_only {
            return Err(StoreError::ReadOnly);
        }
        let mut batch = Batch::default();
        schema::put_genesis_json(&mut batch, genesis_json);
        self.canonical.disk.write(&batch, self.durability())
    }

    /// Hash of the stored genesis block.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn genesis_hash(&self) -> Result<Option<B256>, StoreError> {
        schema::genesis_hash(&*self.canonical.disk)
    }

    /// The genesis file that was stored with the genesis block.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn genesis_json(&self) -> Result<Option<Bytes>, StoreError> {
        schema::genesis_json(&*self.canonical.disk)
    }

    /// A reader of the chain.
    #[must_use]
    pub fn reader(&self) -> ChainReader {
        ChainReader::new(Arc::clone(&self.canonical))
    }

    /// The states.
    #[must_use]
    pub fn states(&self) -> StateStore {
        StateStore::new(Arc::clone(&self.canonical))
    }

    /// Keeps private states in this database, their values sealed by `cipher`. The chain must have
    /// its genesis; the writer is asked for afterwards.
    ///
    /// # Errors
    /// When they were sealed by another cipher before, the database is open for reading only and
    /// has none, or the disk fails.
    pub fn private_states(
        &self,
        cipher: Arc<dyn ValueCipher>,
    ) -> Result<PrivateStates, StoreError> {
        if self.options.read_only && !PrivateStates::are_kept(&*self.canonical.disk)? {
            return Err(StoreError::ReadOnly);
        }
        PrivateStates::open(Arc::clone(&self.canonical), cipher, self.durability())
    }

    /// Whether this database keeps private states already.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn has_private_states(&self) -> Result<bool, StoreError> {
        PrivateStates::are_kept(&*self.canonical.disk)
    }

    /// Gives up the private states of a copy that is thrown away, whose keys nobody has: its chain
    /// goes on without them. **Never for a database that a node goes on with**: it would lose them.
    ///
    /// # Errors
    /// When the database is open for reading only, or the disk fails.
    pub fn give_up_private_states(&self) -> Result<(), StoreError> {
        match self.options.read_only {
            true => Err(StoreError::ReadOnly),
            false => PrivateStates::give_up(&*self.canonical.disk, self.durability()),
        }
    }

    /// The one writer of the chain.
    ///
    /// # Errors
    /// When it was handed out before, the database is open for reading only, has no genesis, or
    /// keeps private states ([`Self::writer_with`]).
    pub fn writer(&self) -> Result<ChainWriter, StoreError> {
        if PrivateStates::are_kept(&*self.canonical.disk)? {
            return Err(StoreError::PrivateStatesKept);
        }
        self.take_writer(None)
    }

    /// The one writer of the chain and of these private states.
    ///
    /// # Errors
    /// When it was handed out before, the database is open for reading only, or has no genesis.
    pub fn writer_with(&self, private: PrivateStates) -> Result<ChainWriter, StoreError> {
        self.take_writer(Some(private))
    }

    fn take_writer(&self, private: Option<PrivateStates>) -> Result<ChainWriter, StoreError> {
        if self.options.read_only {
            return Err(StoreError::ReadOnly);
        }
        self.states().trie_at_head()?;
        if self.writer_taken.swap(true, SeqCst) {
            return Err(StoreError::Taken("chain writer"));
        }
        let canonical = Arc::clone(&self.canonical);
        Ok(ChainWriter::new(canonical, self.durability(), self.options.history, private))
    }

    /// The one log of the consensus engine.
    ///
    /// # Errors
    /// When it was handed out before, the database is open for reading only, or the disk fails.
    pub fn consensus_log(&self) -> Result<ConsensusLog, StoreError> {
        if self.options.read_only {
            return Err(StoreError::ReadOnly);
        }
        if self.log_taken.swap(true, SeqCst) {
            return Err(StoreError::Taken("consensus log"));
        }
        ConsensusLog::open(Arc::clone(&self.canonical.disk), self.durability())
    }

    /// The one log of provable breaches.
    ///
    /// # Errors
    /// When it was handed out before, the database is open for reading only, or the disk fails.
    pub fn evidence_log(&self) -> Result<EvidenceLog, StoreError> {
        if self.options.read_only {
            return Err(StoreError::ReadOnly);
        }
        if self.evidence_taken.swap(true, SeqCst) {
            return Err(StoreError::Taken("evidence log"));
        }
        EvidenceLog::open(Arc::clone(&self.canonical.disk))
    }

    /// A reader of that log.
    #[must_use]
    pub fn evidence_reader(&self) -> EvidenceReader {
        EvidenceReader::new(Arc::clone(&self.canonical.disk))
    }

    /// The one store of records of private transactions, their values sealed by `cipher`.
    ///
    /// # Errors
    /// When it was handed out before, the records were sealed by another cipher, the database is
    /// open for reading only, or the disk fails.
    pub fn private_records(
        &self,
        cipher: Arc<dyn ValueCipher>,
    ) -> Result<PrivateRecords, StoreError> {
        if self.options.read_only {
            return Err(StoreError::ReadOnly);
        }
        let records =
            PrivateRecords::open(Arc::clone(&self.canonical.disk), cipher, self.durability())?;
        if self.private_records_taken.swap(true, SeqCst) {
            return Err(StoreError::Taken("store of private records"));
        }
        Ok(records)
    }

    const fn durability(&self) -> Durability {
        if self.options.sync { Durability::Synced } else { Durability::Buffered }
    }
}

fn genesis_changes(genesis: &Genesis) -> StateChanges {
    let mut changes = StateChanges::default();
    for (address, account) in &genesis.alloc {
        let GenesisAccount { balance, nonce, code, storage } = account;
        let code_hash = keccak256(code);
        if !code.is_empty() {
            changes.code.insert(code_hash, code.clone());
        }
        let storage = storage
            .iter()
            .filter(|(_, value)| !value.is_zero())
            .map(|(slot, value)| (*slot, (alloy_primitives::U256::ZERO, *value)));
        let after = Some(Account { nonce: *nonce, balance: *balance, code_hash });
        let change =
            AccountChange { after, storage: storage.collect(), ..AccountChange::default() };
        changes.accounts.insert(*address, change);
    }
    changes
}
