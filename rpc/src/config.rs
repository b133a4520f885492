//! What an operator may set about the server, and every bound it keeps.

use alloy_primitives::B256;
use entente_chain::private::PrivateStateId;
use std::{fmt, net::SocketAddr, time::Duration};

/// A group of methods that is switched on or off as one: the part of the name before `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// `eth_*`.
    Eth,
    /// `net_*`.
    Net,
    /// `web3_*`.
    Web3,
    /// `txpool_*`.
    Txpool,
    /// `istanbul_*`: reads and votes about validators, GoQuorum's names.
    Istanbul,
    /// `qbft_*`: the same, Besu's names.
    Qbft,
    /// `raft_*`: members of a Raft cluster, GoQuorum's names.
    Raft,
    /// `clique_*`: signers and votes about them, geth's names.
    Clique,
    /// `admin_*`.
    Admin,
    /// `debug_*`.
    Debug,
    /// `privacy_*`: how private states agree.
    Privacy,
    /// `quorumExtension_*`: private contracts get one more party, GoQuorum's names.
    QuorumExtension,
    /// `entente_*`.
    Entente,
}

impl Namespace {
    /// All namespaces.
    pub const ALL: [Self; 13] = [
        Self::Eth,
        Self::Net,
        Self::Web3,
        Self::Txpool,
        Self::Istanbul,
        Self::Qbft,
        Self::Raft,
        Self::Clique,
        Self::Admin,
        Self::Debug,
        Self::Privacy,
        Self::QuorumExtension,
        Self::Entente,
    ];

    /// The part of a method's name before `_`.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Eth => "eth",
            Self::Net => "net",
            Self::Web3 => "web3",
            Self::Txpool => "txpool",
            Self::Istanbul => "istanbul",
            Self::Qbft => "qbft",
            Self::Raft => "raft",
            Self::Clique => "clique",
            Self::Admin => "admin",
            Self::Debug => "debug",
            Self::Privacy => "privacy",
            Self::QuorumExtension => "quorumExtension",
            Self::Entente => "entente",
        }
    }

    /// The namespace of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|namespace| namespace.prefix() == name)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.prefix())
    }
}

/// A private state that callers may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateAccess {
    /// Its name.
    pub id: PrivateStateId,
    /// Keccak-256 of the token that opens it; `None`: it is open to all who reach the server.
    pub token: Option<B256>,
}

/// Every bound of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcLimits {
    /// Largest request body or WebSocket message, in bytes.
    pub request_bytes: u32,
    /// Largest response, in bytes.
    pub response_bytes: usize,
    /// Most calls in one batch.
    pub batch_calls: usize,
    /// Time after which the rest of a batch is refused.
    pub batch_time: Duration,
    /// Most open connections.
    pub connections: u32,
    /// Most subscriptions on one connection.
    pub subscriptions: u32,
    /// Messages waiting for one WebSocket client.
    pub message_buffer: u32,
    /// Time a subscriber may take to read one message before it is cut off.
    pub subscriber_time: Duration,
    /// Time in which the headers of a request must arrive.
    pub header_time: Duration,
    /// Time in which the body of a request must arrive.
    pub body_time: Duration,
    /// Most filters of all clients together.
    pub filters: usize,
    /// Most filters made over one connection.
    pub filters_per_connection: usize,
    /// Time after which a filter that nobody asks is forgotten.
    pub filter_life: Duration,
    /// Calls, proofs and log queries that run at the same time.
    pub heavy_calls: usize,
    /// Calls that may wait for their turn.
    pub waiting_calls: usize,
    /// Most gas of one `eth_call` or `eth_estimateGas`.
    pub call_gas: u64,
    /// Time one `eth_call` may take.
    pub call_time: Duration,
    /// Time one log query may take.
    pub logs_time: Duration,
    /// Most logs in one answer.
    pub logs: usize,
    /// Most addresses in one log filter.
    pub log_addresses: usize,
    /// Most topics in one position of a log filter.
    pub log_topics: usize,
    /// Most blocks in a log query that names neither address nor topic; `None`: no cap of its own.
    pub unfiltered_log_blocks: Option<u64>,
    /// Most storage keys in one `eth_getProof`.
    pub proof_keys: usize,
    /// Most blocks in one `eth_feeHistory`.
    pub fee_history_blocks: u64,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            request_bytes: 5 * 1024 * 1024,
            response_bytes: 25 * 1024 * 1024,
            batch_calls: 1000,
            batch_time: Duration::from_secs(30),
            connections: 500,
            subscriptions: 128,
            message_buffer: 1024,
            subscriber_time: Duration::from_secs(20),
            header_time: Duration::from_secs(60),
            body_time: Duration::from_secs(30),
            filters: 10_000,
            filters_per_connection: 1000,
            filter_life: Duration::from_secs(5 * 60),
            heavy_calls: 16,
            waiting_calls: 4096,
            call_gas: 50_000_000,
            call_time: Duration::from_secs(5),
            logs_time: Duration::from_secs(10),
            logs: 10_000,
            log_addresses: 1000,
            log_topics: 1000,
            unfiltered_log_blocks: None,
            proof_keys: 1024,
            fee_history_blocks: 1024,
        }
    }
}

/// How the server listens and what it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcConfig {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names that a request's Host header may have beside IP addresses; `*` is any. Guards against
    /// DNS rebinding.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may ask; `*` is any. Empty: none.
    pub cors_origins: Vec<String>,
    /// Methods that are offered; those of other namespaces are as if they did not exist.
    pub namespaces: Vec<Namespace>,
    /// Whether transactions without a chain id (before EIP-155) are taken.
    pub allow_unprotected_transactions: bool,
    /// Servers (`http://host:port`) that `eth_sendTransactionAsync` may tell its result to.
    pub callbacks: Vec<String>,
    /// Private states that callers may choose; the default one is open where it is not named.
    pub private_states: Vec<StateAccess>,
    /// Whether private transactions of the node's own accounts go out inside privacy markers.
    pub privacy_markers: bool,
    /// Threads that serve connections; each connection stays on one, which keeps its calls in order.
    pub connection_threads: usize,
    /// Every bound.
    pub limits: RpcLimits,
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8545)),
            allowed_hosts: vec!["localhost".into()],
            cors_origins: Vec::new(),
            namespaces: vec![Namespace::Eth, Namespace::Net, Namespace::Web3, Namespace::Entente],
            allow_unprotected_transactions: false,
            callbacks: Vec::new(),
            private_states: Vec::new(),
            privacy_markers: false,
            connection_threads: 2,
            limits: RpcLimits::default(),
        }
    }
}
