//! What types cannot say: ranges, ports, and values that need each other.

use crate::{ConfigError, History, NodeConfig, keys, layers};
use entente_chain::limits::PEERS_MAX;
use std::collections::BTreeSet;

const NAMESPACES: [&str; 13] = [
    "eth",
    "net",
    "web3",
    "txpool",
    "istanbul",
    "qbft",
    "raft",
    "clique",
    "admin",
    "debug",
    "privacy",
    "quorumExtension",
    "entente",
];
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
/// Bytes of extraData that are a proposer's own.
const VANITY_BYTES: usize = 32;

pub(crate) fn check(config: &NodeConfig) -> Result<(), ConfigError> {
    let expect = |holds: bool, key: &'static str| {
        if holds { Ok(()) } else { Err(refuse(config, key, None)) }
    };
    above_zero(config)?;
    ports(config)?;
    expect((1..=PEERS_MAX).contains(&config.p2p.max_peers), "p2p.max_peers")?;
    let nodes: BTreeSet<_> = config.p2p.peers.iter().map(|peer| peer.node).collect();
    expect(nodes.len() == config.p2p.peers.len(), "p2p.peers")?;
    let known = |name: &String| NAMESPACES.contains(&name.as_str());
    expect(config.rpc.namespaces.iter().all(known), "rpc.namespaces")?;
    let validator = &config.validator;
    let usable = validator.key_file.is_some() || validator.password_file.is_none();
    expect(usable, "validator.password_file")?;
    let privacy = &config.privacy;
    let with_keys = privacy.key_folder.is_some();
    expect(privacy.password_file.is_some() == with_keys, "privacy.password_file")?;
    expect(with_keys || privacy.default_key.is_none(), "privacy.default_key")?;
    expect(with_keys || privacy.states.is_empty(), "privacy.states")?;
    expect(with_keys || privacy.state_tokens.is_empty(), "privacy.state_tokens")?;
    let accounts = &config.accounts;
    let complete = accounts.keystore.is_some() == accounts.password_file.is_some();
    expect(complete, "accounts.password_file")?;
    expect((1..=1000).contains(&config.pool.price_bump_percent), "pool.price_bump_percent")?;
    expect(config.storage.history != History::Last(0), "storage.history")?;
    expect(config.block.vanity.len() <= VANITY_BYTES, "block.vanity")?;
    expect(is_level(&config.log.level), "log.level")
}

/// Whether a text says what is logged.
pub(crate) fn is_level(text: &str) -> bool {
    let level = |part: &str| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        LEVELS.contains(&level.trim().to_ascii_lowercase().as_str())
    };
    text.split(',').all(level)
}

/// Every bound; those that may be 0 say so by what they expect.
fn above_zero(config: &NodeConfig) -> Result<(), ConfigError> {
    let values = layers::flatten(config);
    let zero = |key: &&keys::Key| {
        key.expected.ends_with("above 0")
            && values.get(key.path).and_then(toml::Value::as_integer) == Some(0)
    };
    match keys::KEYS.iter().find(zero) {
        Some(key) => Err(refuse(config, key.path, None)),
        None => Ok(()),
    }
}

/// Peers and Prometheus must know the port beforehand; no two servers can share one.
fn ports(config: &NodeConfig) -> Result<(), ConfigError> {
    let mut servers = vec![("p2p.listen", config.p2p.listen)];
    if let Some((key, _)) = servers.iter().find(|(_, listen)| listen.port() == 0) {
        return Err(refuse(config, key, None));
    }
    if config.rpc.enabled {
        servers.push(("rpc.listen", config.rpc.listen));
    }
    for (index, (key, listen)) in servers.iter().enumerate() {
        let earlier = servers.iter().take(index);
        let mut same = earlier.filter(|(_, other)| other.port() == listen.port());
        if let Some((other, _)) = same.next() {
            return Err(refuse(config, key, Some(format!("another port than {other}"))));
        }
    }
    Ok(())
}

fn refuse(config: &NodeConfig, key: &str, expected: Option<String>) -> ConfigError {
    let values = layers::flatten(config);
    let known = || keys::find(key).map_or_else(String::new, |key| key.expected.to_owned());
    ConfigError::Value {
        origin: config.origin(key),
        key: key.to_owned(),
        got: values.get(key).map_or_else(|| "nothing".into(), ToString::to_string),
        expected: expected.unwrap_or_else(known),
    }
}
