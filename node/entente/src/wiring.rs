//! Builds a node from its settings and names every thread and queue: the one file to read for the
//! data flow.
//!
//! ```text
//! rpc ----submit----> pool thread ---best---> chain thread <--commands-- consensus thread
//! peers -> payload threads <--> private payloads, asked by chain thread and rpc
//! peers -> network events -> admission thread ------------inputs-----------^      |
//!                       \--> ingest thread --> pool thread                        v
//! chain thread --heads--> pool, consensus, network, subscribers            network (votes)
//! ```

mod private;

pub(crate) use private::private_executor;

use crate::{
    backend::NodeBackend,
    chain_thread::{self, ChainCommand, ChainPorts},
    clock::Clock,
    consensus_thread::{self, ConsensusInputs, ConsensusPorts},
    evidence::{self, EvidencePort},
    network_events::{self, EventPorts, Frames},
    network_ports::NetworkPorts,
    pool_handle::{PoolCommand, PoolHandle},
    pool_thread::{self, PoolPorts},
    private_node::{DeskHandle, PayloadStall, PrivateInputs},
    settings::NodeSettings,
    stop::{self, Stop},
};
use alloy_primitives::Address;
use crossbeam_channel::{Receiver, Sender};
use entente_chain::{
    ChainSpec, EnvironmentId,
    limits::{CHAIN_COMMANDS, CONSENSUS_INPUTS},
    signer::SealSigner,
};
use entente_consensus::{
    ChainPosition, EngineStatus, Input, Replica,
    rules::rules_for,
    schedule::{EngineSettings, Schedule},
    sync::SyncSettings,
};
use entente_evm::{Executor, Senders};
use entente_ledger::Ledger;
use entente_p2p::{Frame, NetworkConfig, NetworkEvents, NetworkHandle};
use entente_pool::Pool;
use entente_rpc::{Context as RpcContext, Events, LocalAccounts, PrivateAccess, RpcServer};
use entente_storage::Database;
use metrics_exporter_prometheus::PrometheusHandle;
use private::PrivateParts;
use std::{
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::Arc,
    thread::JoinHandle,
};
use tokio::sync::{mpsc, watch};

/// Heads kept for a subscriber that is slow.
const HEADS_KEPT: usize = 256;
/// Pending transactions kept for a subscriber that is slow.
const PENDING_KEPT: usize = 16_384;
/// Recovered transactions remembered by hash, so that a proposal costs no second recovery.
const SENDERS_REMEMBERED: usize = 200_000;

/// A running node.
pub(crate) struct Node {
    consensus: ConsensusInputs,
    chain: Sender<ChainCommand>,
    pool: PoolHandle,
    network: NetworkHandle,
    stall: Arc<PayloadStall>,
    rpc: Option<RpcServer>,
    threads: Vec<JoinHandle<()>>,
    stop: Stop,
}

/// What several parts share.
struct Shared {
    clock: Clock,
    spec: Arc<ChainSpec>,
    environment: EnvironmentId,
    /// The address that seals our blocks, when this node has a key.
    own: Option<Address>,
    database: Database,
    senders: Arc<Senders>,
    events: Events,
    consensus: ConsensusInputs,
    chain: Sender<ChainCommand>,
    pool: PoolHandle,
    network: NetworkHandle,
    network_ports: NetworkPorts,
    /// The private side, if this node has one.
    private: Option<PrivateParts>,
    stall: Arc<PayloadStall>,
}

/// What moves into the threads: each has one owner.
struct Owned {
    chain: Ledger,
    replica: Replica,
    pool: Pool,
}

/// The receiving ends of the queues.
struct Queues {
    consensus: Receiver<Option<Input>>,
    chain: Receiver<ChainCommand>,
    pool: Receiver<PoolCommand>,
    frames: Frames,
    /// Taken by the private side, or thrown away: sessions need somebody to read them.
    payloads: Option<mpsc::Receiver<Frame>>,
}

impl Node {
    /// Starts every part. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the database, the network or the server cannot start.
    pub(crate) async fn start(settings: NodeSettings) -> anyhow::Result<Self> {
        let NodeSettings { genesis, signer, rpc, pool, vanity, metrics, .. } = &settings;
        let place = &settings.network;
        let database = open_database(&settings)?;
        let spec = Arc::new(genesis.spec.clone());
        let environment = EnvironmentId(genesis.header.hash());
        let private = settings.open_private(&database, environment)?;
        let states = private.as_ref().map(|private| Arc::clone(&private.execution));
        let execution = Arc::new(private_executor(&spec, states));
        let kept = private.as_ref().map(|private| private.states.clone());
        let chain = Ledger::open_with(&database, Arc::clone(&spec), execution, kept)?;
        let head = chain.head();
        tracing::info!(
            path = %settings.database.display(),
            genesis = %genesis.header.hash(),
            head = head.header.number,
            hash = %head.header.hash(),
            "chain opened"
        );
        let network = place.config(environment, spec.chain_id, signer.as_ref());
        let (mut shared, mut queues) = Shared::new(spec, environment, database, network)?;
        shared.own = signer.as_ref().map(SealSigner::address);
        let stop = Stop::default();
        let (inputs, mut threads) = shared.start_private(private, place, &mut queues, &stop)?;
        let accounts = Arc::new(LocalAccounts::new(settings.accounts.iter().cloned()));
        let (status_sender, status) = watch::channel(EngineStatus::default());
        let rpc = match rpc {
            Some(config) => {
                let context = shared.rpc_context(status, metrics.clone(), accounts);
                Some(RpcServer::start(config.clone(), context).await?)
            }
            None => None,
        };
        tracing::info!(
            node = %shared.network.node_id(),
            p2p = %shared.network.local_address(),
            rpc = ?rpc.as_ref().map(RpcServer::local_addr),
            "listening"
        );
        // Another seed at each start: two nodes, or two lives of one, draw different delays.
        let settings = EngineSettings { environment, vanity: *vanity, seed: random_seed() };
        let engine = Schedule::new(Arc::clone(&shared.spec), signer.clone(), settings);
        let owned = Owned {
            chain,
            replica: Replica::new(Box::new(engine), SyncSettings::of_chain(&shared.spec)),
            pool: Pool::new(pool.clone(), Arc::clone(&shared.spec)),
        };
        threads.extend(shared.spawn(owned, queues, inputs, status_sender, &stop)?);
        let Shared { consensus, chain, pool, network, stall, .. } = shared;
        Ok(Self { consensus, chain, pool, network, stall, rpc, threads, stop })
    }

    /// Where the RPC server listens, if there is one.
    #[must_use]
    pub(crate) fn rpc_address(&self) -> Option<SocketAddr> {
        self.rpc.as_ref().map(RpcServer::local_addr)
    }

    /// Waits until a part failed; tells why.
    pub(crate) async fn failed(&mut self) -> String {
        self.stop.failed().await
    }

    /// Stops in the order of the data flow: no new requests, no new votes, the commands that were
    /// given are carried out, the database is closed.
    pub(crate) async fn stop(self) {
        if let Some(rpc) = self.rpc {
            rpc.stop().await;
        }
        self.stall.stop();
        self.consensus.stop();
        drop(self.chain.send(ChainCommand::Stop));
        self.pool.stop();
        self.network.shutdown().await;
        stop::join(self.threads).await;
    }
}

fn random_seed() -> u64 {
    // Every RandomState has keys of its own, drawn from the system's randomness.
    RandomState::new().hash_one(0)
}

/// Executes with the author that each header format names: votes of IBFT 1 and Clique stand in the
/// coinbase.
pub(crate) fn executor(spec: &Arc<ChainSpec>) -> Executor {
    let rules = rules_for(Arc::clone(spec));
    Executor::with_author(Arc::clone(spec), Arc::new(move |header| rules.author(header).ok()))
}

/// Opens (or initialises) the database of a node. A genesis file that was changed is accepted when
/// nothing changes at or below the head.
fn open_database(settings: &NodeSettings) -> anyhow::Result<Database> {
    let database = Database::open(&settings.database, &settings.storage)?;
    database.initialise(&settings.genesis, &settings.genesis_json)?;
    crate::genesis_change::accept(&database, &settings.genesis, &settings.genesis_json)?;
    Ok(database)
}

impl Shared {
    /// Makes the queues and starts the network.
    fn new(
        spec: Arc<ChainSpec>,
        environment: EnvironmentId,
        database: Database,
        network: NetworkConfig,
    ) -> anyhow::Result<(Self, Queues)> {
        let (consensus, consensus_queue) = ConsensusInputs::bounded(CONSENSUS_INPUTS);
        let (chain, chain_queue) = crossbeam_channel::bounded(CHAIN_COMMANDS);
        let (pool, pool_queue) = PoolHandle::bounded();
        let senders = Arc::new(Senders::new(SENDERS_REMEMBERED, spec.signing()));
        let (network, events) = entente_p2p::start(network)?;
        let NetworkEvents { urgent, transactions, payloads, requests } = events;
        let frames = Frames { urgent, transactions, requests };
        let network_ports = NetworkPorts::new(
            network.clone(),
            tokio::runtime::Handle::current(),
            Arc::clone(&senders),
            Arc::clone(&spec),
            consensus.clone(),
        );
        let queues = Queues {
            consensus: consensus_queue,
            chain: chain_queue,
            pool: pool_queue,
            frames,
            payloads: Some(payloads),
        };
        let shared = Self {
            clock: Clock::start(),
            spec,
            environment,
            own: None,
            database,
            senders,
            events: Events::new(HEADS_KEPT, PENDING_KEPT),
            consensus,
            chain,
            pool,
            network,
            network_ports,
            private: None,
            stall: Arc::default(),
        };
        Ok((shared, queues))
    }

    fn rpc_context(
        &self,
        status: watch::Receiver<EngineStatus>,
        metrics: PrometheusHandle,
        accounts: Arc<LocalAccounts>,
    ) -> RpcContext {
        let private = self.private.as_ref();
        let execution = private.map(|private| Arc::clone(&private.node.execution));
        RpcContext {
            spec: Arc::clone(&self.spec),
            reader: self.database.reader(),
            states: self.database.states(),
            executor: private_executor(&self.spec, execution),
            senders: Arc::clone(&self.senders),
            backend: Arc::new(NodeBackend {
                pool: self.pool.clone(),
                network: self.network.clone(),
                consensus: self.consensus.clone(),
                status,
                reader: self.database.reader(),
                evidence: self.database.evidence_reader(),
                stall: Arc::clone(&self.stall),
                metrics,
            }),
            accounts,
            private: private.map(|private| PrivateAccess {
                states: private.node.states.clone(),
                backend: Arc::new(DeskHandle(Arc::clone(&private.desk))),
            }),
            events: self.events.clone(),
        }
    }

    /// Starts the threads; from here on the node works.
    fn spawn(
        &self,
        owned: Owned,
        queues: Queues,
        private: Option<PrivateInputs>,
        status: watch::Sender<EngineStatus>,
        stop: &Stop,
    ) -> anyhow::Result<Vec<JoinHandle<()>>> {
        let Owned { chain, replica, pool } = owned;
        let head = chain.head().header.clone();
        self.network.set_head(head.number, head.hash(), head.timestamp);
        let pool_ports = PoolPorts {
            reader: self.database.reader(),
            states: self.database.states(),
            consensus: self.consensus.clone(),
            network: self.network_ports.clone(),
            events: self.events.clone(),
            clock: self.clock,
        };
        let chain_ports = ChainPorts {
            consensus: self.consensus.clone(),
            pool: self.pool.clone(),
            events: self.events.clone(),
            network: self.network.clone(),
            position: watch::Sender::new(chain.position()),
            agreement: self.private.as_ref().map(|private| private.agreement.clone()),
            stall: Arc::clone(&self.stall),
            clock: self.clock,
            own: self.own,
        };
        let position = chain_ports.position.subscribe();
        let ports = self.event_ports(position, private);
        let mut threads = network_events::start(queues.frames, ports, stop)?;
        let (evidence, reports) = EvidencePort::bounded();
        let consensus_ports = ConsensusPorts {
            chain: self.chain.clone(),
            network: self.network_ports.clone(),
            inputs: self.consensus.clone(),
            evidence,
            status,
        };
        let (log, position, clock, environment) =
            (self.database.consensus_log()?, chain.position(), self.clock, self.environment);
        let ancestors = chain.ancestors()?;
        let signing = self.spec.signing();
        let evidence_log = self.database.evidence_log()?;
        threads.extend([
            stop::spawn("evidence", stop.handle(), move || {
                evidence::run(evidence_log, &reports, clock);
                Ok(())
            })?,
            stop::spawn("consensus", stop.handle(), move || {
                let mut thread =
                    consensus_thread::ConsensusThread::new(replica, log, consensus_ports, clock);
                thread.recover(position, ancestors, environment, signing)?;
                thread.run(&queues.consensus)
            })?,
            stop::spawn("chain", stop.handle(), move || {
                chain_thread::run(chain, &queues.chain, &chain_ports)
            })?,
            stop::spawn("pool", stop.handle(), move || {
                pool_thread::run(pool, &queues.pool, &pool_ports);
                Ok(())
            })?,
        ]);
        Ok(threads)
    }

    fn event_ports(
        &self,
        position: watch::Receiver<ChainPosition>,
        private: Option<PrivateInputs>,
    ) -> EventPorts {
        EventPorts {
            environment: self.environment,
            position,
            network: self.network.clone(),
            consensus: self.consensus.clone(),
            pool: self.pool.clone(),
            senders: Arc::clone(&self.senders),
            reader: self.database.reader(),
            private,
        }
    }
}
