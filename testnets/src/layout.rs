//! Where everything lies in a network's folder:
//!
//! ```text
//! DIR/genesis.json     the chain, the same for every node
//! DIR/testnet.json     urls, accounts, process ids: what scripts read
//! DIR/testnet.pid      locked by the process that runs the network
//! DIR/node-0/node.toml configuration of the first node
//! DIR/node-0/node.key  its network identity (ed25519)
//! DIR/node-0/validator.key   its vote (secp256k1)
//! DIR/node-0/data/     its database
//!
//! where there are private transactions:
//! DIR/node-0/privacy-keys/    its keys for payloads and database (X25519, AES)
//! DIR/node-0/accounts/        keystore file of the account it signs for
//! DIR/node-0/private.password password of both
//! ```

use crate::{options::TestnetOptions, ports};
use std::path::{Path, PathBuf};

/// Paths and addresses of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
    nodes: Vec<NodePlace>,
}

/// Paths and addresses of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlace {
    /// `node-0`, ...
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// HTTP and WebSocket port on loopback.
    pub rpc_port: u16,
    /// Port of the network protocol on loopback.
    pub p2p_port: u16,
}

impl Layout {
    /// The layout that options describe; touches no disk.
    ///
    /// # Errors
    /// When an option is outside its bounds.
    pub fn new(options: &TestnetOptions) -> Result<Self, crate::OptionError> {
        options.check()?;
        let nodes = (0..options.validators)
            .map(|index| {
                let name = format!("node-{index}");
                NodePlace {
                    dir: options.dir.join(&name),
                    name,
                    rpc_port: ports::rpc(options.base_port, index),
                    p2p_port: ports::p2p(options.base_port, index),
                }
            })
            .collect();
        Ok(Self { dir: options.dir.clone(), nodes })
    }

    /// Folder of the network.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its nodes, by number.
    #[must_use]
    pub fn nodes(&self) -> &[NodePlace] {
        &self.nodes
    }

    /// The genesis file.
    #[must_use]
    pub fn genesis(&self) -> PathBuf {
        self.dir.join("genesis.json")
    }
}

/// `DIR/testnet.json`.
pub(crate) fn manifest(dir: &Path) -> PathBuf {
    dir.join("testnet.json")
}

/// `DIR/testnet.pid`.
pub(crate) fn pid_file(dir: &Path) -> PathBuf {
    dir.join("testnet.pid")
}

impl NodePlace {
    /// The node's configuration: `entente run --config` this.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("node.toml")
    }

    /// Its network identity.
    #[must_use]
    pub fn node_key(&self) -> PathBuf {
        self.dir.join("node.key")
    }

    /// Its validator key.
    #[must_use]
    pub fn validator_key(&self) -> PathBuf {
        self.dir.join("validator.key")
    }

    /// Its database.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Its keys for private transactions.
    #[must_use]
    pub fn privacy_keys(&self) -> PathBuf {
        self.dir.join("privacy-keys")
    }

    /// Keystore files of the accounts that it signs for.
    #[must_use]
    pub fn accounts(&self) -> PathBuf {
        self.dir.join("accounts")
    }

    /// Password of the keys in these two folders.
    #[must_use]
    pub fn private_password(&self) -> PathBuf {
        self.dir.join("private.password")
    }

    /// Where it answers JSON-RPC over HTTP.
    #[must_use]
    pub fn rpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rpc_port)
    }

    /// Where it answers JSON-RPC over WebSocket.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.rpc_port)
    }
}
