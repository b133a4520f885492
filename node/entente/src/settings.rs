//! What a node needs to know to start, gathered from configuration and files.

use crate::private_node::{PrivateNode, PrivateSettings};
use alloy_primitives::B256;
use entente_chain::{EnvironmentId, NodeId, genesis::Genesis, signer::SealSigner};
use entente_p2p::{NetworkConfig, NodeKey, PeerAddress, ValidatorProof};
use entente_pool::PoolLimits;
use entente_rpc::RpcConfig;
use entente_storage::{Database, StorageOptions};
use metrics_exporter_prometheus::PrometheusHandle;
use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

/// How clients and peers see this program.
pub(crate) const CLIENT_VERSION: &str =
    concat!("Entente/v", env!("CARGO_PKG_VERSION"), "/linux/rust");

/// Everything that a node needs to start.
pub(crate) struct NodeSettings {
    /// The genesis file, checked.
    pub(crate) genesis: Genesis,
    /// Its bytes, kept in the database.
    pub(crate) genesis_json: Vec<u8>,
    /// Folder of the database.
    pub(crate) database: PathBuf,
    /// How the database is opened.
    pub(crate) storage: StorageOptions,
    /// The validator's key, if this node has one.
    pub(crate) signer: Option<SealSigner>,
    /// The network.
    pub(crate) network: NetworkSettings,
    /// The RPC server, if this node has one.
    pub(crate) rpc: Option<RpcConfig>,
    /// The private side, if this node has one.
    pub(crate) private: Option<PrivateSettings>,
    /// Accounts that the node signs for.
    pub(crate) accounts: Vec<SealSigner>,
    /// Bounds of the pool.
    pub(crate) pool: PoolLimits,
    /// First 32 bytes of extraData in our blocks.
    pub(crate) vanity: B256,
    /// Renders the metrics page.
    pub(crate) metrics: PrometheusHandle,
}

impl NodeSettings {
    /// Opens the private side, if this node has one.
    ///
    /// # Errors
    /// When keys or private columns cannot be opened.
    pub(crate) fn open_private(
        &self,
        database: &Database,
        environment: EnvironmentId,
    ) -> anyhow::Result<Option<PrivateNode>> {
        let peers = self.network.peers.iter().map(|peer| peer.node).collect();
        let place = (environment, self.network.key.node_id());
        let open = |settings| PrivateNode::open(database, place, settings, Some(peers));
        self.private.as_ref().map(open).transpose()
    }
}

/// The node's place in the network.
pub(crate) struct NetworkSettings {
    /// The node's identity.
    pub(crate) key: NodeKey,
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Whom to dial.
    pub(crate) peers: Vec<PeerAddress>,
    /// Who may connect; `None`: whoever knows the environment.
    pub(crate) allowed: Option<BTreeSet<NodeId>>,
    /// Key that every node of the environment shares.
    pub(crate) pre_shared_key: Option<[u8; 32]>,
    /// Most peers.
    pub(crate) max_peers: usize,
}

impl NetworkSettings {
    /// The network of an environment, with the proof of our validator address.
    #[must_use]
    pub(crate) fn config(
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
