//! A chain that is built block by block; headers carry no seals.

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxLegacy};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, hex};
use entente_chain::{
    Block, ChainSpec, Header, Receipt, RecoveredBlock, RecoveredTransaction, TransactionEnvelope,
    extra_data::qbft::QbftExtra, genesis::Genesis, header_hash::seal, signer::SealSigner,
    spec::EngineKind, transaction::Signing, votes::VoteTally,
};
use entente_consensus::{
    engine::BuildAttributes,
    rules::{next_header, rules_for},
};
use entente_evm::{BuildRequest, Executor, Room, Senders, SkipReason, TransactionSource};
use entente_rpc::NewHead;
use entente_storage::{
    BlockCommit, ChainReader, ChainWriter, Database, StateStore, StorageOptions,
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// Emits a log and stores 42; reverts with "nope" when the first byte of its input is 1; loops for
/// ever when it is 2.
const CREATION: &str = "605480600b6000396000f360003560f81c80600114602a5780600214605057602a60005560\
                        2a600052600760206000a160206000f35b6308c379a060e01b600052602060045260046024\
                        52636e6f706560e01b60445260646000fd5b605056";

pub(crate) const CHAIN_ID: u64 = 1337;

pub(crate) struct Wallet(SealSigner);

impl Wallet {
    pub(crate) fn new(secret: u8) -> Self {
        Self(SealSigner::new(&Zeroizing::new([secret; 32])).expect("a key"))
    }

    pub(crate) fn address(&self) -> Address {
        self.0.address()
    }

    fn sign(&self, digest: alloy_primitives::B256) -> Signature {
        let seal = self.0.sign(digest);
        Signature::from_bytes_and_parity(&seal[..64], seal[64] == 1)
    }

    pub(crate) fn legacy(&self, transaction: TxLegacy) -> Arc<RecoveredTransaction> {
        let signature = self.sign(transaction.signature_hash());
        let envelope = TransactionEnvelope::Legacy(transaction.into_signed(signature));
        Arc::new(RecoveredTransaction::recover(envelope, Signing::Ethereum).expect("signed"))
    }

    pub(crate) fn dynamic(&self, transaction: TxEip1559) -> Arc<RecoveredTransaction> {
        let signature = self.sign(transaction.signature_hash());
        let envelope = TransactionEnvelope::Eip1559(transaction.into_signed(signature));
        Arc::new(RecoveredTransaction::recover(envelope, Signing::Ethereum).expect("signed"))
    }

    pub(crate) fn transfer(&self, nonce: u64) -> Arc<RecoveredTransaction> {
        self.legacy(TxLegacy {
            chain_id: Some(CHAIN_ID),
            nonce,
            gas_limit: 21_000,
            to: TxKind::Call(Address::repeat_byte(0xaa)),
            value: U256::from(7),
            ..TxLegacy::default()
        })
    }

    fn deploy(&self, nonce: u64) -> Arc<RecoveredTransaction> {
        self.legacy(TxLegacy {
            chain_id: Some(CHAIN_ID),
            nonce,
            gas_limit: 500_000,
            to: TxKind::Create,
            input: hex::decode(CREATION).expect("hex").into(),
            ..TxLegacy::default()
        })
    }

    pub(crate) fn call(
        &self,
        nonce: u64,
        to: Address,
        input: &'static [u8],
    ) -> Arc<RecoveredTransaction> {
        self.dynamic(TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 100_000,
            to: TxKind::Call(to),
            input: Bytes::from_static(input),
            ..TxEip1559::default()
        })
    }
}

struct Queue(VecDeque<Arc<RecoveredTransaction>>);

impl TransactionSource for Queue {
    fn next(&mut self, _: Room) -> Option<Arc<RecoveredTransaction>> {
        self.0.pop_front()
    }

    fn skipped(&mut self, hash: alloy_primitives::B256, reason: SkipReason) {
        panic!("{hash} was left out: {reason}");
    }
}

pub(crate) struct TestChain {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) reader: ChainReader,
    pub(crate) states: StateStore,
    pub(crate) executor: Executor,
    pub(crate) senders: Arc<Senders>,
    pub(crate) validator: Address,
    writer: ChainWriter,
    _database: Database,
    _directory: TempDir,
}

impl TestChain {
    /// A free-gas London chain with one validator and one rich wallet, still at genesis.
    pub(crate) fn new(rich: &Wallet) -> Self {
        let validator = Address::repeat_byte(0x11);
        let extra = QbftExtra { validators: vec![validator], ..QbftExtra::default() }.encode();
        let genesis = serde_json::json!({
            "config": {
                "chainId": CHAIN_ID, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0,
                "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0,
                "petersburgBlock": 0, "istanbulBlock": 0, "berlinBlock": 0, "londonBlock": 0,
                "zeroBaseFee": true,
                "qbft": { "epochlength": 30000, "blockperiodseconds": 1, "requesttimeoutseconds": 4 },
            },
            "nonce": "0x0", "timestamp": "0x0", "extraData": extra, "gasLimit": "0x2faf080",
            "difficulty": "0x1", "baseFeePerGas": "0x0",
            "mixHash": entente_consensus::rules::MIX_HASH,
            "coinbase": Address::ZERO,
            "alloc": { rich.address().to_string(): { "balance": "0xde0b6b3a7640000" } },
        });
        Self::from_genesis(genesis.to_string().as_bytes(), validator)
    }

    pub(crate) fn from_genesis(json: &[u8], validator: Address) -> Self {
        let directory = tempfile::tempdir().expect("temp dir");
        let options = StorageOptions { sync: false, ..StorageOptions::default() };
        let database = Database::open(directory.path(), &options).expect("open");
        let genesis = Genesis::parse(json).expect("genesis");
        database.initialise(&genesis, json).expect("initialise");
        let spec = Arc::new(genesis.spec);
        let rules = rules_for(Arc::clone(&spec));
        let author = Arc::new(move |header: &Header| rules.author(header).ok());
        Self {
            reader: database.reader(),
            states: database.states(),
            executor: Executor::with_author(Arc::clone(&spec), author),
            senders: Arc::new(Senders::new(1024, Signing::Ethereum)),
            writer: database.writer().expect("writer"),
            spec,
            validator,
            _database: database,
            _directory: directory,
        }
    }

    /// Builds and commits the next block.
    pub(crate) fn extend(
        &mut self,
        transactions: Vec<Arc<RecoveredTransaction>>,
    ) -> (RecoveredBlock, Vec<Receipt>) {
        let parent = self.reader.head().header.clone();
        let extra = QbftExtra { validators: vec![self.validator], ..QbftExtra::default() };
        let attributes = BuildAttributes {
            parent: parent.hash(),
            number: parent.number + 1,
            timestamp: parent.timestamp + 1,
            beneficiary: self.validator,
            extra_data: extra.encode(),
            nonce: 0,
            difficulty: U256::ONE,
            time_limit: Duration::from_secs(60),
        };
        let request = BuildRequest {
            template: next_header(&self.spec, &parent, &attributes),
            parent: &parent,
            author: self.validator,
            time_limit: Duration::from_secs(60),
        };
        let state = self.states.at(parent.number).expect("state");
        let mut queue = Queue(transactions.into());
        let draft = self.executor.build(request, &state, &mut queue).expect("draft");
        let receipts = draft.executed.receipts.clone();
        let trie = self.states.trie_at_head().expect("trie");
        let state = self.states.root_after(&trie, Arc::new(draft.executed.changes)).expect("root");
        let mut header = draft.header;
        header.state_root = state.root();
        let header = seal(EngineKind::Qbft, header).expect("hash");
        let block = RecoveredBlock { header, body: draft.body };
        let tally = self.tally_after(&block.header);
        let commit = BlockCommit {
            block: block.clone(),
            receipts: receipts.clone(),
            state,
            tally,
            private: Vec::new(),
        };
        self.writer.commit(commit).expect("commit");
        (block, receipts)
    }

    /// The encoded tally after a block, if the block changes it.
    fn tally_after(&self, header: &Header) -> Option<Bytes> {
        let stored = self.reader.tally(header.number - 1).expect("read").expect("a tally");
        let before = VoteTally::decode(&stored).expect("a tally");
        let rules = rules_for(Arc::clone(&self.spec));
        let after = rules.tally_after(header, before.clone()).expect("votes");
        (after != before).then(|| after.encode())
    }

    /// Takes blocks back until `number` is the head; what has to be told of them.
    pub(crate) fn revert_to(&mut self, number: u64) -> Vec<NewHead> {
        let head = self.reader.head().header.number;
        let numbers = (number + 1..=head).rev();
        let left: Vec<_> = numbers
            .map(|number| {
                let read = self.reader.block_with_receipts(number).expect("read");
                let (block, receipts) = read.expect("below the head");
                NewHead {
                    block: RecoveredBlock::clone(&block),
                    receipts,
                    private: Vec::new(),
                    removed: true,
                }
            })
            .collect();
        self.writer.revert_to(number).expect("taken back");
        left
    }

    /// Executes and commits a block of another chain's export.
    pub(crate) fn import(&mut self, block: Block) {
        let parent = self.reader.head().header.clone();
        let engine = self.spec.engine_at(block.header.number);
        let hash = seal(engine, block.header.clone()).expect("hash").hash();
        let block = self.senders.recover_block(block, hash).expect("senders");
        let state = self.states.at(parent.number).expect("state");
        let executed = self.executor.execute(&block, &parent, &state).expect("executed");
        let trie = self.states.trie_at_head().expect("trie");
        let state = self.states.root_after(&trie, Arc::new(executed.changes)).expect("root");
        assert_eq!(state.root(), block.header.state_root, "block {}", block.header.number);
        let receipts = executed.receipts;
        let tally = self.tally_after(&block.header);
        self.writer
            .commit(BlockCommit { block, receipts, state, tally, private: Vec::new() })
            .expect("commit");
    }

    /// Blocks 1 to 4: a transfer and a deployment, a call that logs, one that reverts, nothing.
    pub(crate) fn grow(&mut self, rich: &Wallet) -> Address {
        let contract = rich.address().create(1);
        self.extend(vec![rich.transfer(0), rich.deploy(1)]);
        self.extend(vec![rich.call(2, contract, &[])]);
        self.extend(vec![rich.call(3, contract, &[1]), rich.call(4, contract, &[])]);
        self.extend(vec![]);
        contract
    }
}
