//! What a network is started with.

use crate::key::NodeKey;
use alloy_primitives::{Address, B256, FixedBytes, keccak256};
use entente_chain::{
    EnvironmentId, NodeId,
    seal::{SealError, recover_seal},
    signer::SealSigner,
};
use std::{collections::BTreeSet, io, net::SocketAddr};

/// Signed together with the environment and the node, so that a proof serves nowhere else.
const PROOF_DOMAIN: &[u8] = b"entente validator of node 1";

/// A peer to dial and to stay connected with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Who must answer.
    pub node: NodeId,
    /// `host:port`; names are looked up at each dial.
    pub address: String,
}

/// Says that a validator's key and a node's key belong to one operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidatorProof {
    /// The validator.
    pub address: Address,
    /// Its signature over domain, environment and node id.
    pub signature: FixedBytes<65>,
}

impl ValidatorProof {
    /// Signs for a node of an environment.
    #[must_use]
    pub fn sign(signer: &SealSigner, environment: EnvironmentId, node: NodeId) -> Self {
        let signature = signer.sign(Self::digest(environment, node));
        Self { address: signer.address(), signature }
    }

    /// Whether the address signed for this node of this environment.
    ///
    /// # Errors
    /// When the signature is none.
    pub fn holds(&self, environment: EnvironmentId, node: NodeId) -> Result<bool, SealError> {
        Ok(recover_seal(&self.signature, Self::digest(environment, node))? == self.address)
    }

    fn digest(environment: EnvironmentId, node: NodeId) -> B256 {
        keccak256([PROOF_DOMAIN, environment.0.as_slice(), &node.0].concat())
    }
}

/// Everything a network is started with.
pub struct NetworkConfig {
    /// The node's identity.
    pub key: NodeKey,
    /// The one environment that this network serves.
    pub environment: EnvironmentId,
    /// The chain id, compared in the handshake to catch equal genesis blocks by mistake.
    pub chain_id: u64,
    /// Where to listen; port 0 picks a free one, see [`crate::NetworkHandle::local_address`].
    pub listen: SocketAddr,
    /// Peers to dial.
    pub peers: Vec<PeerAddress>,
    /// Who may connect; `None` lets everybody of the environment in.
    pub allowed: Option<BTreeSet<NodeId>>,
    /// A second wall: without this key not even the handshake can be read (libp2p pnet).
    pub pre_shared_key: Option<[u8; 32]>,
    /// Most sessions, at most [`entente_chain::limits::PEERS_MAX`].
    pub max_peers: usize,
    /// Shown to peers, cut to 64 printable characters.
    pub client_version: String,
    /// The validator behind this node.
    pub identity: Option<ValidatorProof>,
}

/// Why the network could not be started.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The address is taken or not ours.
    #[error("p2p cannot listen on {address}: {cause}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The number of peers is out of range.
    #[error("max_peers is {got}, 1 to {limit} expected")]
    MaxPeers {
        /// As configured.
        got: usize,
        /// Largest value.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    #[test]
    fn a_proof_holds_for_its_node_and_environment_only() {
        let signer = SealSigner::new(&Zeroizing::new([7; 32])).expect("key");
        let (here, node) = (EnvironmentId(B256::repeat_byte(1)), NodeId([2; 32]));
        let proof = ValidatorProof::sign(&signer, here, node);
        assert_eq!(proof.holds(here, node), Ok(true));
        assert_eq!(proof.holds(here, NodeId([3; 32])), Ok(false));
        assert_eq!(proof.holds(EnvironmentId(B256::repeat_byte(9)), node), Ok(false));
    }
}
