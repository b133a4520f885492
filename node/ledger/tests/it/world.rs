//! A ledger that seals its own blocks, and counts what is executed.

use crate::seals::{addresses, keys, seal};
use alloy_consensus::{SignableTransaction, TxLegacy};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use entente_chain::{
    ChainSpec, RecoveredBlock, RecoveredTransaction, SealedHeader, StateReader,
    extra_data::{clique::CliqueExtra, istanbul::IstanbulExtra, qbft::QbftExtra, raft},
    genesis::{Genesis, GenesisBuilder},
    signer::SealSigner,
    spec::EngineKind,
    transaction::Signing,
    votes::VoteTally,
};
use entente_consensus::{
    BuildAttributes,
    rules::{clique_in_turn, clique_sealed_until, rules_for},
};
use entente_evm::{
    BlockError, BuildRequest, Draft, Executed, Executor, Room, SkipReason, TransactionSource,
};
use entente_ledger::{CommittedBlock, ContractError, Execution, Ledger, LedgerError};
use entente_storage::{ChainReader, Database, StorageOptions};
use serde_json::Value;
use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

/// Later than any block here.
pub(crate) const NOW: u64 = 1_000_000;
const CHAIN: u64 = 1337;

/// The real execution, counted.
pub(crate) struct Counted {
    executor: Executor,
    pub(crate) built: AtomicUsize,
    pub(crate) executed: AtomicUsize,
    /// The state cannot be read when the contract is asked.
    pub(crate) unreadable: AtomicBool,
}

impl Counted {
    /// Blocks built and executed so far.
    pub(crate) fn runs(&self) -> (usize, usize) {
        (self.built.load(SeqCst), self.executed.load(SeqCst))
    }
}

impl Execution for Counted {
    fn execute(
        &self,
        block: &RecoveredBlock,
        parent: &SealedHeader,
        state: &dyn StateReader,
    ) -> Result<Executed, BlockError> {
        self.executed.fetch_add(1, SeqCst);
        Execution::execute(&self.executor, block, parent, state)
    }

    fn build(
        &self,
        request: BuildRequest<'_>,
        state: &dyn StateReader,
        source: &mut dyn TransactionSource,
    ) -> Result<Draft, BlockError> {
        self.built.fetch_add(1, SeqCst);
        Execution::build(&self.executor, request, state, source)
    }

    fn validators(
        &self,
        contract: Address,
        header: &SealedHeader,
        state: &dyn StateReader,
    ) -> Result<Vec<Address>, ContractError> {
        if self.unreadable.load(SeqCst) {
            return Err(ContractError::Unavailable("the disk failed".into()));
        }
        self.executor.validators(contract, header, state)
    }
}

struct Queue(VecDeque<Arc<RecoveredTransaction>>);

impl TransactionSource for Queue {
    fn next(&mut self, _: Room) -> Option<Arc<RecoveredTransaction>> {
        self.0.pop_front()
    }

    fn skipped(&mut self, hash: B256, reason: SkipReason) {
        panic!("{hash} was left out: {reason}");
    }
}

/// A genesis file with keys that are rich, and what `change` makes of it.
pub(crate) fn genesis_file(builder: GenesisBuilder, change: impl FnOnce(&mut Value)) -> String {
    let rich = addresses(&keys(9))
        .into_iter()
        .map(|address| (address, U256::from(10).pow(U256::from(18))));
    let builder = GenesisBuilder { accounts: rich.collect(), ..builder };
    let mut file = serde_json::from_str(&builder.to_json()).unwrap();
    change(&mut file);
    file.to_string()
}

/// A genesis file of an engine with some validators.
pub(crate) fn genesis_of(engine: EngineKind, validators: u8) -> String {
    let builder = GenesisBuilder::new(CHAIN, addresses(&keys(validators)));
    genesis_file(GenesisBuilder { engine, ..builder }, |_| {})
}

/// A legacy transaction without fees.
pub(crate) fn transaction(
    from: &SealSigner,
    nonce: u64,
    to: Address,
    input: Bytes,
) -> Arc<RecoveredTransaction> {
    let transaction = TxLegacy {
        chain_id: Some(CHAIN),
        nonce,
        gas_limit: 2_000_000,
        to: TxKind::Call(to),
        value: U256::ZERO,
        input,
        ..TxLegacy::default()
    };
    let seal = from.sign(transaction.signature_hash());
    let signature = Signature::from_bytes_and_parity(&seal[..64], seal[64] == 1);
    Arc::new(
        RecoveredTransaction::recover(transaction.into_signed(signature).into(), Signing::Ethereum)
            .unwrap(),
    )
}

pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) reader: ChainReader,
    pub(crate) database: Database,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) counted: Arc<Counted>,
    /// Every key, in the order of the addresses; who may seal is up to the tally.
    pub(crate) keys: Vec<SealSigner>,
}

impl World {
    pub(crate) fn open(folder: &Path, genesis: &str) -> Self {
        let options = StorageOptions { sync: false, ..StorageOptions::default() };
        Self::open_with(folder, genesis, &options)
    }

    pub(crate) fn open_with(folder: &Path, genesis: &str, options: &StorageOptions) -> Self {
        Self::over(Database::open(folder, options).unwrap(), genesis)
    }

    pub(crate) fn over(database: Database, genesis: &str) -> Self {
        let parsed = Genesis::parse(genesis.as_bytes()).unwrap();
        database.initialise(&parsed, genesis.as_bytes()).unwrap();
        let spec = Arc::new(parsed.spec);
        let rules = rules_for(Arc::clone(&spec));
        let author = Arc::new(move |header: &_| rules.author(header).ok());
        let counted = Arc::new(Counted {
            executor: Executor::with_author(Arc::clone(&spec), author),
            built: AtomicUsize::new(0),
            executed: AtomicUsize::new(0),
            unreadable: AtomicBool::new(false),
        });
        let execution: Arc<dyn Execution> = counted.clone();
        let ledger = Ledger::open(&database, Arc::clone(&spec), execution).unwrap();
        let reader = database.reader();
        Self { ledger, reader, database, spec, counted, keys: keys(9) }
    }

    pub(crate) fn head(&self) -> SealedHeader {
        self.ledger.head().header.clone()
    }

    /// Who votes next.
    pub(crate) fn validators(&self) -> Vec<Address> {
        self.ledger.position().next.addresses().to_vec()
    }

    /// The tally that the database has after a block.
    pub(crate) fn stored(&self, number: u64) -> VoteTally {
        VoteTally::decode(&self.reader.tally(number).unwrap().unwrap()).unwrap()
    }

    pub(crate) fn key_of(&self, address: Address) -> &SealSigner {
        self.keys.iter().find(|key| key.address() == address).expect("one of our keys")
    }

    /// Who may seal the next block: the first in whose turn it is, under Clique; `turn` more behind.
    pub(crate) fn author(&self, turn: usize) -> Address {
        let position = self.ledger.position();
        let number = position.head.number + 1;
        let validators = position.next.addresses();
        if self.spec.engine_at(number) != EngineKind::Clique {
            return validators[turn % validators.len()];
        }
        let first = clique_in_turn(&position.next, number);
        let first = position.next.index_of(first).unwrap();
        let order =
            (0..validators.len()).map(|index| validators[(first + index) % validators.len()]);
        let free = order.filter(|signer| {
            clique_sealed_until(&position.tally, *signer).is_none_or(|until| number >= until)
        });
        let free: Vec<_> = free.collect();
        free[turn % free.len()]
    }

    /// What the next block by an author looks like.
    pub(crate) fn attributes(&self, author: Address) -> BuildAttributes {
        let position = self.ledger.position();
        let number = position.head.number + 1;
        let rules = self.spec.rules_at(number);
        let validators = match self.spec.validator_contract_at(number) {
            Some(_) => Vec::new(),
            None => position.next.addresses().to_vec(),
        };
        let engine = self.spec.engine_at(number);
        let extra_data = match engine {
            EngineKind::Qbft => QbftExtra { validators, ..QbftExtra::default() }.encode(),
            EngineKind::Istanbul => {
                IstanbulExtra { validators, ..IstanbulExtra::default() }.encode()
            }
            EngineKind::Clique => {
                let checkpoint = number.is_multiple_of(rules.epoch_length);
                let signers = if checkpoint { validators } else { Vec::new() };
                CliqueExtra { signers, ..CliqueExtra::default() }.encode()
            }
            EngineKind::Raft => {
                let member = position.tally.members().iter().find(|is| is.address == author);
                let term = Some(raft::RaftTerm::default());
                let (vanity, signature) = (B256::ZERO, Default::default());
                raft::RaftExtra { vanity, raft_id: member.unwrap().id, signature, term }.encode()
            }
            EngineKind::Ethereum => panic!("nobody makes plain Ethereum blocks"),
        };
        let in_turn = clique_in_turn(&position.next, number) == author;
        let votes_in_coinbase = matches!(engine, EngineKind::Clique | EngineKind::Istanbul);
        BuildAttributes {
            parent: position.head.hash(),
            number,
            timestamp: position.head.timestamp + 1,
            beneficiary: if votes_in_coinbase { Address::ZERO } else { author },
            extra_data,
            nonce: 0,
            difficulty: U256::from(1 + u8::from(in_turn)),
            time_limit: Duration::from_secs(60),
        }
    }

    /// Builds a block as asked, and seals it by all who may.
    pub(crate) fn build(
        &mut self,
        author: Address,
        attributes: &BuildAttributes,
        transactions: Vec<Arc<RecoveredTransaction>>,
    ) -> RecoveredBlock {
        let template = self.ledger.template(attributes).unwrap();
        let mut source = Queue(transactions.into());
        let built = self.ledger.build(template, author, attributes.time_limit, &mut source);
        self.sealed(&built.unwrap(), author)
    }

    /// The block, sealed by all who may.
    pub(crate) fn sealed(&self, block: &RecoveredBlock, author: Address) -> RecoveredBlock {
        let validators = self.ledger.position().next;
        let own = self.keys.iter().filter(|key| validators.contains(key.address()));
        let own: Vec<_> = own.cloned().collect();
        seal(&self.spec, block, self.key_of(author), &own)
    }

    /// The next block, committed.
    pub(crate) fn extend(
        &mut self,
        turn: usize,
        transactions: Vec<Arc<RecoveredTransaction>>,
    ) -> CommittedBlock {
        let author = self.author(turn);
        let attributes = self.attributes(author);
        let block = self.build(author, &attributes, transactions);
        self.ledger.adopt(block, NOW).unwrap()
    }

    pub(crate) fn grow(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.extend(0, Vec::new());
        }
    }

    /// All blocks above a number.
    pub(crate) fn blocks_above(&self, number: u64) -> Vec<RecoveredBlock> {
        let numbers = number + 1..=self.head().number;
        numbers
            .map(|number| RecoveredBlock::clone(&self.reader.block(number).unwrap().unwrap()))
            .collect()
    }

    pub(crate) fn import_all(&mut self, blocks: Vec<RecoveredBlock>) -> Result<(), LedgerError> {
        blocks.into_iter().try_for_each(|block| self.ledger.import(block, NOW).map(drop))
    }
}
