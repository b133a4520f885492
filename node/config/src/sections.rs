//! The tree of settings and their defaults.

use entente_chain::{NodeId, limits::PEERS_MAX};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// Everything a node is started with. Relative paths start at the working directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Where the database and the node's own key live.
    pub data_dir: PathBuf,
    /// Genesis file; not needed once the data directory has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genesis: Option<PathBuf>,
    /// The network.
    pub p2p: P2pConfig,
    /// JSON-RPC.
    pub rpc: RpcConfig,
    /// The validator's key.
    pub validator: ValidatorConfig,
    /// Private transactions.
    pub privacy: PrivacyConfig,
    /// Accounts that the node signs for.
    pub accounts: AccountsConfig,
    /// Waiting transactions.
    pub pool: PoolConfig,
    /// The database.
    pub storage: StorageConfig,
    /// Blocks that this node proposes.
    pub block: BlockConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Who set what; see [`NodeConfig::effective`].
    #[serde(skip)]
    pub(crate) origins: crate::load::Origins,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            data_dir: "entente-data".into(),
            genesis: None,
            p2p: P2pConfig::default(),
            rpc: RpcConfig::default(),
            validator: ValidatorConfig::default(),
            privacy: PrivacyConfig::default(),
            accounts: AccountsConfig::default(),
            pool: PoolConfig::default(),
            storage: StorageConfig::default(),
            block: BlockConfig::default(),
            log: LogConfig::default(),
            origins: crate::load::Origins::default(),
        }
    }
}

/// `[p2p]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct P2pConfig {
    /// Address and port for peers.
    pub listen: SocketAddr,
    /// Peers to stay connected with.
    pub peers: Vec<PeerAddress>,
    /// Who may connect beside `peers`; empty lets everybody of the environment in.
    #[serde(serialize_with = "display_all", deserialize_with = "parse_all")]
    pub allowed: Vec<NodeId>,
    /// Key of 32 bytes in hex that all nodes of the network share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_shared_key_file: Option<PathBuf>,
    /// The node's own key; `None`: `node.key` in the data directory, made when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_key_file: Option<PathBuf>,
    /// Most connected peers.
    pub max_peers: usize,
}

impl Default for P2pConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::UNSPECIFIED, 30303).into(),
            peers: Vec::new(),
            allowed: Vec::new(),
            pre_shared_key_file: None,
            node_key_file: None,
            max_peers: PEERS_MAX / 2,
        }
    }
}

/// `nodeid@host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Who must answer.
    pub node: NodeId,
    /// `host:port`; names are looked up at each dial.
    pub address: String,
}

impl FromStr for PeerAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "nodeid@host:port, the node id in 64 hex digits";
        let (node, address) = text.split_once('@').ok_or(EXPECTED)?;
        let node = node.parse().map_err(|_| EXPECTED)?;
        let (host, port) = address.rsplit_once(':').ok_or(EXPECTED)?;
        let port: u16 = port.parse().map_err(|_| EXPECTED)?;
        if host.is_empty() || port == 0 {
            return Err(EXPECTED);
        }
        Ok(Self { node, address: address.into() })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.address)
    }
}

impl Serialize for PeerAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

fn display_all<S: Serializer>(nodes: &[NodeId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(nodes.iter().map(ToString::to_string))
}

fn parse_all<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NodeId>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
}

/// `[rpc]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RpcConfig {
    /// Whether JSON-RPC is served at all.
    pub enabled: bool,
    /// Address and port for HTTP and WebSocket; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names that a request's Host header may have beside IP addresses; `*` is any.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may ask; `*` is any.
    pub cors: Vec<String>,
    /// Groups of methods that are offered.
    pub namespaces: Vec<String>,
    /// Whether transactions without a chain id are taken.
    pub allow_unprotected_transactions: bool,
    /// Servers that `eth_sendTransactionAsync` may tell its result to.
    pub callbacks: Vec<String>,
    /// Bounds.
    pub limits: RpcLimitsConfig,
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: (Ipv4Addr::LOCALHOST, 8545).into(),
            allowed_hosts: vec!["localhost".into()],
            cors: Vec::new(),
            namespaces: ["eth", "net", "web3", "entente"].map(Into::into).to_vec(),
            allow_unprotected_transactions: false,
            callbacks: Vec::new(),
            limits: RpcLimitsConfig::default(),
        }
    }
}

/// `[rpc.limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RpcLimitsConfig {
    /// Largest request, in bytes.
    pub request_bytes: u32,
    /// Largest response, in bytes.
    pub response_bytes: usize,
    /// Most calls in one batch.
    pub batch_calls: usize,
    /// Most open connections.
    pub connections: u32,
    /// Most subscriptions on one connection.
    pub subscriptions: u32,
    /// Most filters of all clients together.
    pub filters: usize,
    /// Most gas of one `eth_call`.
    pub call_gas: u64,
    /// Time one `eth_call` may take, in milliseconds.
    pub call_time_ms: u64,
    /// Most logs in one answer.
    pub logs: usize,
    /// Time one log query may take, in milliseconds.
    pub logs_time_ms: u64,
}

impl Default for RpcLimitsConfig {
    fn default() -> Self {
        Self {
            request_bytes: 5 * 1024 * 1024,
            response_bytes: 25 * 1024 * 1024,
            batch_calls: 1000,
            connections: 500,
            subscriptions: 128,
            filters: 10_000,
            call_gas: 50_000_000,
            call_time_ms: 5000,
            logs: 10_000,
            logs_time_ms: 10_000,
        }
    }
}

/// `[validator]`. Without a key file the node follows and never votes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidatorConfig {
    /// Keystore file, or a key of 32 bytes in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Password of the keystore file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// `[privacy]`. Without a key folder the node takes no part in private transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacyConfig {
    /// Folder of the keys, as `entente key privacy new` makes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_folder: Option<PathBuf>,
    /// Password of the keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The key that sends when a request names none; left out: the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_key: Option<String>,
    /// Private states beside the default one: `NAME=KEY;KEY`.
    pub states: Vec<String>,
    /// Files of the tokens that open private states: `NAME=PATH`.
    pub state_tokens: Vec<String>,
    /// Whether private transactions of the node's own accounts go out inside privacy markers.
    pub markers: bool,
}

/// `[accounts]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountsConfig {
    /// Folder of keystore files whose accounts the node signs for (`eth_sendTransaction`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keystore: Option<PathBuf>,
    /// Their password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// `[pool]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// Most transactions.
    pub transactions: usize,
    /// Most memory in MiB.
    pub memory_mib: usize,
    /// Most executable transactions of one sender.
    pub executable_per_sender: usize,
    /// Most transactions of one sender that wait for an earlier nonce.
    pub gapped_per_sender: usize,
    /// How long these wait, in seconds.
    pub gapped_lifetime_seconds: u64,
    /// By how much a replacement must pay more, in percent.
    pub price_bump_percent: u32,
    /// Blocks that a free transaction waits before a free one may replace it.
    pub free_replacement_blocks: u64,
    /// After how many seconds peers are told of a waiting transaction again.
    pub regossip_seconds: u64,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            transactions: 100_000,
            memory_mib: 128,
            executable_per_sender: 10_000,
            gapped_per_sender: 1000,
            gapped_lifetime_seconds: 3 * 60 * 60,
            price_bump_percent: 10,
            free_replacement_blocks: 3,
            regossip_seconds: 30,
        }
    }
}

/// How far back states are kept: `"archive"` or a number of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// All of them.
    Archive,
    /// Those of this many blocks below the head.
    Last(u64),
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Archive => serializer.serialize_str("archive"),
            Self::Last(blocks) => serializer.serialize_u64(*blocks),
        }
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(blocks) => Ok(Self::Last(blocks)),
            Form::Text(text) if text == "archive" => Ok(Self::Archive),
            Form::Text(_) => Err(de::Error::custom("neither archive nor a number")),
        }
    }
}

/// `[storage]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Memory for reads in MiB.
    pub cache_mib: u64,
    /// How far back states are kept.
    pub history: History,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self { cache_mib: 256, history: History::Archive }
    }
}

/// `[block]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlockConfig {
    /// Text of up to 32 bytes in the extraData of this node's blocks.
    pub vanity: String,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Form of lines.
    pub format: LogFormat,
    /// A level, or levels by part: `info,entente_p2p=debug`.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}
