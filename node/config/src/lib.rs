//! What a node is started with: one typed tree, filled from defaults, a TOML file, `ENTENTE_*`
//! variables and `key=value` flags, later ones first. Every value knows where it came from, and
//! an error names that, the key, the value and what was expected. The only crate that reads the
//! environment.
//!
//! Read on at [`NodeConfig`]; `keys.rs` is the list of all keys.

mod check;
mod error;
mod keys;
mod layers;
mod load;
mod privacy_service;
mod sections;
#[cfg(test)]
mod tests;

pub use error::{ConfigError, Origin};
pub use keys::reference_markdown;
pub use load::{Effective, Overrides};
pub use privacy_service::{PrivacyServiceConfig, Q2tConfig, ServiceKeysConfig, ThirdPartyConfig};
pub use sections::{
    AccountsConfig, BlockConfig, History, LogConfig, LogFormat, NodeConfig, P2pConfig, PeerAddress,
    PoolConfig, PrivacyConfig, RpcConfig, RpcLimitsConfig, StorageConfig, ValidatorConfig,
};
