//! From the configuration tree to what a node starts with: files are read, keys are opened.

use super::{genesis::read_genesis, private_settings};
use crate::{
    keystore,
    logging::LogFormat,
    private_node::PrivateSettings,
    secret_file,
    settings::{NetworkSettings, NodeSettings},
};
use alloy_primitives::B256;
use anyhow::{Context, bail};
use entente_chain::{genesis::Genesis, limits::REORGANISATION_BLOCKS_MAX, signer::SealSigner};
use entente_config::{LogConfig, NodeConfig, Overrides, P2pConfig, PoolConfig, ValidatorConfig};
use entente_p2p::{NodeKey, PeerAddress};
use entente_pool::PoolLimits;
use entente_rpc::{Namespace, RpcConfig as ServerConfig, RpcLimits};
use entente_storage::{Database, History, StorageOptions};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::{path::Path, time::Duration};

const MIB: usize = 1024 * 1024;

/// The configuration of this process.
pub(super) fn load(overrides: &Overrides) -> anyhow::Result<NodeConfig> {
    Ok(NodeConfig::load(overrides)?)
}

/// The form of log lines.
pub(super) const fn log_format(config: &LogConfig) -> LogFormat {
    match config.format {
        entente_config::LogFormat::Text => LogFormat::Text,
        entente_config::LogFormat::Json => LogFormat::Json,
    }
}

/// Reads every file that the configuration names.
pub(super) fn from_config(config: &NodeConfig) -> anyhow::Result<NodeSettings> {
    let signer = signer(&config.validator)?;
    let database = super::init::database_folder(&config.data_dir);
    let storage = storage(config);
    let (genesis, genesis_json) = match &config.genesis {
        Some(path) => read_genesis(path)?,
        None => stored_genesis(&database, &storage)?,
    };
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("cannot create {}", config.data_dir.display()))?;
    let private = private_settings::private(&config.privacy)?;
    let rpc = config.rpc.enabled.then(|| rpc(config, private.as_ref())).transpose()?;
    if private.is_some() && !genesis.spec.is_quorum {
        bail!("privacy.key_folder: the genesis has no private transactions (config.isQuorum)");
    }
    Ok(NodeSettings {
        genesis,
        genesis_json,
        database,
        storage,
        signer,
        network: network(&config.p2p, &config.data_dir)?,
        rpc,
        private,
        accounts: private_settings::accounts(&config.accounts)?,
        pool: pool(&config.pool),
        vanity: vanity(&config.block.vanity)?,
        metrics: PrometheusBuilder::new().install_recorder()?,
    })
}

fn signer(config: &ValidatorConfig) -> anyhow::Result<Option<SealSigner>> {
    let Some(path) = &config.key_file else { return Ok(None) };
    let password = config.password_file.as_deref().map(secret_file::read_password).transpose()?;
    let secret = keystore::load(path, password.as_ref())?;
    Ok(Some(SealSigner::new(&secret).with_context(|| path.display().to_string())?))
}

/// A node whose database exists needs no genesis file: the database keeps it.
fn stored_genesis(path: &Path, options: &StorageOptions) -> anyhow::Result<(Genesis, Vec<u8>)> {
    let missing = || "genesis: no genesis file is named and the data directory has no chain yet";
    if !path.exists() {
        bail!(missing());
    }
    let options = StorageOptions { read_only: true, ..options.clone() };
    let json = Database::open(path, &options)?.genesis_json()?.with_context(missing)?;
    Ok((Genesis::parse(&json)?, json.to_vec()))
}

fn storage(config: &NodeConfig) -> StorageOptions {
    let cache_mib = usize::try_from(config.storage.cache_mib).unwrap_or(usize::MAX);
    StorageOptions {
        cache_bytes: cache_mib.saturating_mul(MIB),
        history: match config.storage.history {
            entente_config::History::Archive => History::Archive,
            // A chain that reorganises goes back so far.
            entente_config::History::Last(blocks) => {
                History::Last(blocks.max(REORGANISATION_BLOCKS_MAX))
            }
        },
        ..StorageOptions::default()
    }
}

/// The node's place in the network.
pub(super) fn network(config: &P2pConfig, data_dir: &Path) -> anyhow::Result<NetworkSettings> {
    let key = match &config.node_key_file {
        Some(path) => NodeKey::load(path)?,
        None => {
            std::fs::create_dir_all(data_dir)
                .with_context(|| format!("cannot create {}", data_dir.display()))?;
            NodeKey::load_or_create(&data_dir.join("node.key"))?
        }
    };
    let pre_shared_key = config.pre_shared_key_file.as_deref().map(shared_key).transpose()?;
    let peers: Vec<_> = config
        .peers
        .iter()
        .map(|peer| PeerAddress { node: peer.node, address: peer.address.clone() })
        .collect();
    // Naming somebody is what restricts the network; configured peers are always let in.
    let allowed = (!config.allowed.is_empty()).then(|| {
        config.allowed.iter().copied().chain(peers.iter().map(|peer| peer.node)).collect()
    });
    Ok(NetworkSettings {
        key,
        listen: config.listen,
        peers,
        allowed,
        pre_shared_key,
        max_peers: config.max_peers,
    })
}

fn shared_key(path: &Path) -> anyhow::Result<[u8; 32]> {
    let text = secret_file::read(path)?;
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key)
        .with_context(|| format!("{}: 64 hexadecimal digits are expected", path.display()))?;
    Ok(key)
}

fn rpc(node: &NodeConfig, private: Option<&PrivateSettings>) -> anyhow::Result<ServerConfig> {
    let config = &node.rpc;
    let namespaces = config
        .namespaces
        .iter()
        .map(|name| {
            Namespace::parse(name).with_context(|| {
                let known = Namespace::ALL.map(Namespace::prefix).join(", ");
                format!("rpc.namespaces: `{name}` is unknown, known are {known}")
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let limits = &config.limits;
    Ok(ServerConfig {
        listen: config.listen,
        allowed_hosts: config.allowed_hosts.clone(),
        cors_origins: config.cors.clone(),
        namespaces,
        allow_unprotected_transactions: config.allow_unprotected_transactions,
        callbacks: config.callbacks.clone(),
        private_states: private_settings::access(private),
        privacy_markers: node.privacy.markers,
        limits: RpcLimits {
            request_bytes: limits.request_bytes,
            response_bytes: limits.response_bytes,
            batch_calls: limits.batch_calls,
            connections: limits.connections,
            subscriptions: limits.subscriptions,
            filters: limits.filters,
            call_gas: limits.call_gas,
            call_time: Duration::from_millis(limits.call_time_ms),
            logs: limits.logs,
            logs_time: Duration::from_millis(limits.logs_time_ms),
            ..RpcLimits::default()
        },
        ..ServerConfig::default()
    })
}

fn pool(config: &PoolConfig) -> PoolLimits {
    PoolLimits {
        transactions: config.transactions,
        bytes: config.memory_mib.saturating_mul(MIB),
        executable_per_sender: config.executable_per_sender,
        gapped_per_sender: config.gapped_per_sender,
        gapped_lifetime_ms: config.gapped_lifetime_seconds.saturating_mul(1000),
        price_bump_percent: config.price_bump_percent,
        free_replacement_blocks: config.free_replacement_blocks,
        regossip_after_ms: config.regossip_seconds.saturating_mul(1000),
        ..PoolLimits::default()
    }
}

fn vanity(text: &str) -> anyhow::Result<B256> {
    let mut vanity = B256::ZERO;
    let Some(slot) = vanity.get_mut(..text.len()) else {
        bail!("block.vanity: {} bytes given, at most 32 are allowed", text.len());
    };
    slot.copy_from_slice(text.as_bytes());
    Ok(vanity)
}
