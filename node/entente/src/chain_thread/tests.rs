use super::*;
use crate::pool_handle::PoolCommand;
use alloy_consensus::{SignableTransaction, TxLegacy};
use alloy_primitives::{Signature, TxKind, U256};
use entente_chain::{
    EnvironmentId, SealedHeader,
    extra_data::clique::CliqueExtra,
    genesis::{Genesis, GenesisBuilder},
    header_hash,
    signer::SealSigner,
    spec::EngineKind,
    transaction::Signing,
};
use entente_consensus::rules::clique_digest;
use entente_evm::{Room, SkipReason, TransactionSource};
use entente_p2p::{NetworkConfig, NodeKey};
use entente_storage::{Database, StorageOptions};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::broadcast::{Receiver as Events_, error::TryRecvError};
use zeroize::Zeroizing;

type Transaction = Arc<RecoveredTransaction>;

fn signer() -> SealSigner {
    SealSigner::new(&Zeroizing::new([7; 32])).expect("a key")
}

fn genesis() -> String {
    let own = signer().address();
    let builder = GenesisBuilder {
        engine: EngineKind::Clique,
        accounts: vec![(own, U256::from(1_000_000))],
        ..GenesisBuilder::new(7, vec![own])
    };
    builder.to_json()
}

fn transaction(nonce: u64) -> Transaction {
    let transaction = TxLegacy {
        chain_id: Some(7),
        nonce,
        gas_limit: 21_000,
        to: TxKind::Call(Address::repeat_byte(9)),
        ..TxLegacy::default()
    };
    let seal = signer().sign(transaction.signature_hash());
    let signature = Signature::from_bytes_and_parity(&seal[..64], seal[64] == 1);
    let envelope = transaction.into_signed(signature).into();
    Arc::new(RecoveredTransaction::recover(envelope, Signing::Ethereum).expect("signed"))
}

struct Queue(std::vec::IntoIter<Transaction>);

impl TransactionSource for Queue {
    fn next(&mut self, _: Room) -> Option<Transaction> {
        self.0.next()
    }

    fn skipped(&mut self, hash: B256, reason: SkipReason) {
        panic!("{hash} was left out: {reason}");
    }
}

/// A chain of one Clique signer.
struct Chain {
    ledger: Ledger,
    _folder: TempDir,
}

impl Chain {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let json = genesis();
        let genesis = Genesis::parse(json.as_bytes()).expect("genesis");
        let options = StorageOptions { sync: false, ..StorageOptions::default() };
        let database = Database::open(folder.path(), &options).expect("opens");
        database.initialise(&genesis, json.as_bytes()).expect("stored");
        let spec = Arc::new(genesis.spec);
        let execution = Arc::new(crate::wiring::executor(&spec));
        let ledger = Ledger::open(&database, spec, execution).expect("opens");
        Self { ledger, _folder: folder }
    }

    /// Builds, seals and commits the next block, some seconds after its parent.
    fn extend(&mut self, seconds: u64, transactions: Vec<Transaction>) -> RecoveredBlock {
        let head = self.ledger.head().header.clone();
        let attributes = BuildAttributes {
            parent: head.hash(),
            number: head.number + 1,
            timestamp: head.timestamp + seconds,
            beneficiary: Address::ZERO,
            extra_data: CliqueExtra::default().encode(),
            nonce: 0,
            difficulty: U256::from(2),
            time_limit: Duration::from_secs(60),
        };
        let template = self.ledger.template(&attributes).expect("on the head");
        let mut source = Queue(transactions.into_iter());
        let own = signer().address();
        let built = self.ledger.build(template, own, attributes.time_limit, &mut source);
        let block = sealed(&built.expect("built"), |_| {});
        self.ledger.adopt(block, u64::MAX).expect("adopted").block
    }
}

/// The block with a changed header, sealed.
fn sealed(
    block: &RecoveredBlock,
    change: impl FnOnce(&mut entente_chain::Header),
) -> RecoveredBlock {
    let mut header = block.header.header().clone();
    change(&mut header);
    let mut extra = CliqueExtra::decode(&header.extra_data).expect("of Clique");
    extra.seal = signer().sign(clique_digest(&header, &extra));
    header.extra_data = extra.encode();
    block.with_header(header_hash::seal(EngineKind::Clique, header).expect("of Clique"))
}

/// Everything that listens to a chain thread.
struct Listeners {
    inputs: Receiver<Option<Input>>,
    pool: Receiver<PoolCommand>,
    heads: Events_<Arc<NewHead>>,
    reverted: Events_<Arc<NewHead>>,
    position: watch::Receiver<ChainPosition>,
}

/// Lets a chain thread carry out one change of branches.
fn change(ours: Chain, ancestor: BlockNumber, blocks: Vec<RecoveredBlock>) -> Listeners {
    let (consensus, inputs) = ConsensusInputs::bounded(64);
    let (pool, pool_commands) = PoolHandle::bounded();
    let events = Events::new(64, 64);
    let (network, _frames) = entente_p2p::start(NetworkConfig {
        key: NodeKey::generate(),
        environment: EnvironmentId(B256::repeat_byte(1)),
        chain_id: 7,
        listen: ([127, 0, 0, 1], 0).into(),
        peers: Vec::new(),
        allowed: None,
        pre_shared_key: None,
        max_peers: 1,
        client_version: String::new(),
        identity: None,
    })
    .expect("a network");
    let position = watch::Sender::new(ours.ledger.position());
    let listeners = Listeners {
        inputs,
        pool: pool_commands,
        heads: events.heads.subscribe(),
        reverted: events.reverted.subscribe(),
        position: position.subscribe(),
    };
    let clock = Clock::start();
    let (agreement, stall) = (None, Arc::default());
    let ports = ChainPorts {
        consensus,
        pool,
        events,
        network,
        position,
        agreement,
        stall,
        clock,
        own: None,
    };
    let (sender, commands) = crossbeam_channel::bounded(2);
    let request = ImportId::of_engine(5);
    sender.send(ChainCommand::Reorganize { request, ancestor, blocks }).expect("room");
    sender.send(ChainCommand::Stop).expect("room");
    run(ours.ledger, &commands, &ports).expect("no failure of this node");
    listeners
}

fn all<T: Clone>(mut events: Events_<T>) -> Vec<T> {
    std::iter::from_fn(|| match events.try_recv() {
        Ok(event) => Some(event),
        Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        Err(TryRecvError::Lagged(count)) => panic!("{count} events were lost"),
    })
    .collect()
}

/// Number and whether the block was left.
fn seen(heads: Events_<Arc<NewHead>>) -> Vec<(BlockNumber, bool)> {
    all(heads).iter().map(|head| (head.block.header.number, head.removed)).collect()
}

#[tokio::test]
async fn everybody_hears_of_a_better_branch_in_order() {
    let (mut ours, mut theirs) = (Chain::new(), Chain::new());
    ours.extend(1, vec![transaction(0)]);
    ours.extend(1, vec![transaction(1), transaction(2)]);
    let branch = vec![
        theirs.extend(2, Vec::new()),
        theirs.extend(1, vec![transaction(0), transaction(1)]),
        theirs.extend(1, Vec::new()),
    ];
    let hashes: Vec<B256> = branch.iter().map(RecoveredBlock::hash).collect();
    let listeners = change(ours, 0, branch);
    let inputs: Vec<_> = listeners.inputs.try_iter().flatten().collect();
    let (last, before) = inputs.split_last().expect("answers");
    assert!(matches!(last, Input::Imported { request, result: Ok(()) }
        if *request == ImportId::of_engine(5)));
    let committed = before.iter().map(|input| match input {
        Input::Committed(position) => position.head.hash(),
        other => panic!("{other:?}"),
    });
    // The engine sees one step, from head to head.
    assert_eq!(committed.collect::<Vec<_>>(), hashes[2..]);
    let told = listeners.pool.try_iter().map(|command| match command {
        PoolCommand::Committed { block, returned } => {
            (block.hash(), returned.iter().map(|transaction| transaction.slot().1).collect())
        }
        _ => panic!("the pool is asked for something else"),
    });
    // What only the old branch had comes back with the last block: the pool judges it by its state.
    let expected: Vec<(B256, Vec<u64>)> =
        hashes.iter().copied().zip([vec![], vec![], vec![2]]).collect();
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let (left, new) = ([(2, true), (1, true)], [(1, false), (2, false), (3, false)]);
    assert_eq!(seen(listeners.heads), [&left[..], &new[..]].concat());
    assert_eq!(seen(listeners.reverted), left);
    let head: SealedHeader = listeners.position.borrow().head.clone();
    assert_eq!(Some(head.hash()), hashes.last().copied());
}

#[tokio::test]
async fn nobody_hears_of_a_branch_that_was_refused() {
    let (mut ours, mut theirs) = (Chain::new(), Chain::new());
    let head = ours.extend(1, Vec::new());
    let first = theirs.extend(2, Vec::new());
    let second = theirs.extend(1, Vec::new());
    let bad = sealed(&second, |header| header.state_root = B256::repeat_byte(1));
    let listeners = change(ours, 0, vec![first, bad]);
    let inputs: Vec<_> = listeners.inputs.try_iter().flatten().collect();
    assert!(
        matches!(&inputs[..], [Input::Imported { result: Err((2, Verdict::Invalid(_))), .. }]),
        "{inputs:?}"
    );
    assert!(listeners.pool.try_iter().next().is_none());
    assert!(all(listeners.heads).is_empty() && all(listeners.reverted).is_empty());
    assert_eq!(listeners.position.borrow().head.hash(), head.hash());
}

#[tokio::test]
async fn a_branch_that_does_not_fit_accuses_nobody() {
    let (mut ours, mut theirs) = (Chain::new(), Chain::new());
    ours.extend(1, Vec::new());
    let branch = vec![theirs.extend(2, Vec::new())];
    let inputs: Vec<_> = change(ours, 1, branch).inputs.try_iter().flatten().collect();
    assert!(
        matches!(&inputs[..], [Input::Imported { result: Err((1, Verdict::Unavailable(_))), .. }]),
        "{inputs:?}"
    );
}
