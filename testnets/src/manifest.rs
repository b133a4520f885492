//! `testnet.json`: what scripts and tests read about a network.

use crate::{accounts::DevAccount, error::TestnetError, layout, options::TestnetOptions};
use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Longest `testnet.json` that is read, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// Everything that `testnet.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The nodes, by number.
    pub nodes: Vec<NodeEntry>,
    /// Accounts with a balance at genesis.
    pub accounts: Vec<DevAccount>,
    /// What the network was made with.
    pub options: TestnetOptions,
}

/// One node of `testnet.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// `node-0`, ...
    pub name: String,
    /// JSON-RPC over HTTP.
    pub rpc: String,
    /// JSON-RPC over WebSocket.
    pub ws: String,
    /// `IDENTITY@HOST:PORT` of the network protocol.
    pub p2p: String,
    /// Its address as a validator.
    pub validator: Address,
    /// The key that private payloads for it are encrypted to, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy_key: Option<String>,
    /// The account that it signs for (`eth_sendTransaction`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Address>,
    /// Its process while the network runs, as started by `up`.
    pub pid: Option<u32>,
    /// Where its metrics are.
    pub metrics: String,
}

impl Manifest {
    /// Reads `DIR/testnet.json`.
    ///
    /// # Errors
    /// [`TestnetError::NoNetwork`] when there is none; else what is wrong with the file.
    pub fn read(dir: &Path) -> Result<Self, TestnetError> {
        Self::find(dir)?.ok_or_else(|| TestnetError::NoNetwork(dir.to_owned()))
    }

    /// As [`Manifest::read`], `None` when there is no network.
    pub(crate) fn find(dir: &Path) -> Result<Option<Self>, TestnetError> {
        let path = layout::manifest(dir);
        let broken = |cause: String| TestnetError::Content {
            path: path.clone(),
            expected: "description of a test network",
            cause,
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(TestnetError::file("read", path)(cause)),
        };
        let mut text = String::new();
        io::Read::read_to_string(&mut io::Read::take(file, BYTES_MAX), &mut text)
            .map_err(TestnetError::file("read", &path))?;
        let mut manifest: Self =
            serde_json::from_str(&text).map_err(|cause| broken(cause.to_string()))?;
        manifest.options.dir = fs::canonicalize(dir).map_err(TestnetError::file("find", dir))?;
        Ok(Some(manifest))
    }

    /// Replaces `DIR/testnet.json` in one step: whoever reads it sees the old or the new one.
    pub(crate) fn write(&self) -> Result<(), TestnetError> {
        let path = layout::manifest(&self.options.dir);
        let mut text = serde_json::to_vec_pretty(self).map_err(|cause| TestnetError::Content {
            path: path.clone(),
            expected: "description of a test network",
            cause: cause.to_string(),
        })?;
        text.push(b'\n');
        write_atomically(&path, &text)
    }
}

/// Writes beside `path` and renames.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), TestnetError> {
    let beside = path.with_extension("new");
    File::create(&beside)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path))
        .map_err(TestnetError::file("write", path))
}
