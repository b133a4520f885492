//! What a node needs to know to start, gathered from configuration and files.

use alloy_primitives::B256;
use entente_chain::{EnvironmentId, NodeId, genesis::Genesis, signer::SealSigner};
use entente_p2p::{NetworkConfig, NodeKey, PeerAddress, ValidatorProof};
use entente_pool::PoolLimits;
use entente_rpc::RpcConfig;
use entente_storage::StorageOptions;
use metrics_exporter_prometheus::PrometheusHandle;
use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

/// How clients and peers see this program.
pub const CLIENT_VERSION: &str = concat!("Entente/v", env!("CARGO_PKG_VERSION"), "/linux/rust");

/// Everything that a node needs to start.
pub struct NodeSettings {
    /// The genesis file, checked.
    pub genesis: Genesis,
    /// Its bytes, kept in the database.
    pub genesis_json: Vec<u8>,
    /// Folder of the database.
    pub database: PathBuf,
    /// How the database is opened.
    pub storage: StorageOptions,
    /// The validator's key, if this node has one.
    pub signer: Option<SealSigner>,
    /// The network.
    pub network: NetworkSettings,
    /// The RPC server, if this node has one.
    pub rpc: Option<RpcConfig>,
    /// Bounds of the pool.
    pub pool: PoolLimits,
    /// First 32 bytes of extraData in our blocks.
    pub vanity: B256,
    /// Renders the metrics page.
    pub metrics: PrometheusHandle,
}

/// The node's place in the network.
pub struct NetworkSettings {
    /// The node's identity.
    pub key: NodeKey,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whom to dial.
    pub peers: Vec<PeerAddress>,
    /// Who may connect; `None`: whoever knows the environment.
    pub allowed: Option<BTreeSet<NodeId>>,
    /// Key that every node of the environment shares.
    pub pre_shared_key: Option<[u8; 32]>,
    /// Most peers.
    pub max_peers: usize,
}

impl NetworkSettings {
    /// The network of an environment, with the proof of our validator address.
    #[must_use]
    pub fn config(
        &self,
        environment: EnvironmentId,
        chain_id: u64,
        signer: Option<&SealSigner>,
    ) -> NetworkConfig {
        let identity =
            signer.map(|signer| ValidatorProof::sign(signer, environment, self.key.node_id()));
        NetworkConfig {
            key: self.key.clone(),
            environment,
            chain_id,
            listen: self.listen,
            peers: self.peers.clone(),
            allowed: self.allowed.clone(),
            pre_shared_key: self.pre_shared_key,
            max_peers: self.max_peers,
            client_version: CLIENT_VERSION.to_owned(),
            identity,
        }
    }
}
