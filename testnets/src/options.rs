//! What a network is made with. Stored in its folder, so that a second run means the same network.

use entente_chain::spec::{EngineKind, UnknownEngine};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf, str::FromStr};

/// Most validators of a test network; more would not fit the fifty ports.
pub const VALIDATORS_MAX: u16 = 20;
/// All ports lie in base port .. base port + this.
const PORTS: u16 = 50;

/// Why options do not describe a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Too few or too many validators.
    #[error("--validators {got}: expected 1 to {VALIDATORS_MAX}")]
    Validators {
        /// The number asked for.
        got: u16,
    },
    /// The ports would not fit.
    #[error("--base-port {got}: expected 1 to {}, a network takes {PORTS} ports", u16::MAX - (PORTS - 1))]
    BasePort {
        /// The port asked for.
        got: u16,
    },
    /// The text is no block period.
    #[error("block period `{0}`: expected whole seconds (1s), milliseconds (250ms) or on-demand")]
    BlockPeriod(String),
}

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BlockPeriod {
    /// One block every so many milliseconds, at least 1.
    Every(u64),
    /// A block whenever transactions wait.
    OnDemand,
}

impl BlockPeriod {
    /// In milliseconds, 0 for on demand: the form of genesis files.
    #[must_use]
    pub const fn millis(self) -> u64 {
        match self {
            Self::Every(millis) => millis,
            Self::OnDemand => 0,
        }
    }
}

impl FromStr for BlockPeriod {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "on-demand" {
            return Ok(Self::OnDemand);
        }
        let millis = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(digits), _) => digits.parse().ok(),
            (None, Some(digits)) => digits.parse::<u64>().ok().and_then(|s| s.checked_mul(1000)),
            (None, None) => None,
        };
        match millis {
            Some(millis) if millis > 0 => Ok(Self::Every(millis)),
            Some(_) | None => Err(OptionError::BlockPeriod(text.to_owned())),
        }
    }
}

impl fmt::Display for BlockPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnDemand => f.write_str("on-demand"),
            Self::Every(millis) if millis % 1000 == 0 => write!(f, "{}s", millis / 1000),
            Self::Every(millis) => write!(f, "{millis}ms"),
        }
    }
}

impl TryFrom<String> for BlockPeriod {
    type Error = OptionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BlockPeriod> for String {
    fn from(period: BlockPeriod) -> Self {
        period.to_string()
    }
}

/// The engine that seals the network's blocks, by its name in `network.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TestnetEngine(pub EngineKind);

impl TestnetEngine {
    /// The pace that the engine's users expect: Raft makes blocks when there is something to put
    /// into them, the others one a second.
    #[must_use]
    pub fn default_period(self) -> BlockPeriod {
        match self.0 {
            EngineKind::Raft => BlockPeriod::OnDemand,
            _ => BlockPeriod::Every(1000),
        }
    }
}

impl FromStr for TestnetEngine {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for TestnetEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            EngineKind::Qbft => f.write_str("ibft"),
            engine => engine.fmt(f),
        }
    }
}

impl TryFrom<String> for TestnetEngine {
    type Error = UnknownEngine;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TestnetEngine> for String {
    fn from(engine: TestnetEngine) -> Self {
        engine.to_string()
    }
}

/// What a network is made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestnetOptions {
    /// Folder of the network.
    #[serde(skip)]
    pub dir: PathBuf,
    /// The engine.
    pub engine: TestnetEngine,
    /// Number of validators, 1 to [`VALIDATORS_MAX`]; each is a process.
    pub validators: u16,
    /// Node i serves HTTP and WebSocket here + i; every other port follows within fifty.
    pub base_port: u16,
    /// When blocks are made.
    pub block_period: BlockPeriod,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Gas limit of blocks.
    pub gas_limit: u64,
    /// Genesis file that the network's is made after; what it says goes before the other options.
    #[serde(default)]
    pub template: Option<PathBuf>,
    /// Private transactions: each node has a key for payloads and an account that it signs for.
    #[serde(default)]
    pub private: bool,
}

impl TestnetOptions {
    /// Four IBFT validators, a block a second, from port 8545 on.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            engine: TestnetEngine(EngineKind::Qbft),
            validators: 4,
            base_port: 8545,
            block_period: BlockPeriod::Every(1000),
            chain_id: 1337,
            gas_limit: 200_000_000,
            template: None,
            private: false,
        }
    }

    /// # Errors
    /// When a number is outside its bounds.
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        if !(1..=VALIDATORS_MAX).contains(&self.validators) {
            return Err(OptionError::Validators { got: self.validators });
        }
        if self.base_port == 0 || self.base_port.checked_add(PORTS - 1).is_none() {
            return Err(OptionError::BasePort { got: self.base_port });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_period_reads_back_what_it_prints() {
        for text in ["1s", "250ms", "1500ms", "on-demand", "60s"] {
            assert_eq!(text.parse::<BlockPeriod>().unwrap().to_string(), text);
        }
        assert_eq!("2000ms".parse(), Ok(BlockPeriod::Every(2000)));
    }

    #[test]
    fn block_period_without_a_unit_or_of_nothing_is_refused() {
        for text in ["", "s", "ms", "1", "0s", "0ms", "-1s", "1.5s", "1m", "99999999999999999999s"]
        {
            assert!(text.parse::<BlockPeriod>().is_err(), "{text}");
        }
        assert!(format!("{}s", u64::MAX).parse::<BlockPeriod>().is_err());
    }

    #[test]
    fn validators_and_ports_have_bounds() {
        let good = TestnetOptions::new("x");
        assert_eq!(good.check(), Ok(()));
        for got in [0, VALIDATORS_MAX + 1] {
            let bad = TestnetOptions { validators: got, ..good.clone() };
            assert_eq!(bad.check(), Err(OptionError::Validators { got }));
        }
        for got in [0, 65_487, u16::MAX] {
            let bad = TestnetOptions { base_port: got, ..good.clone() };
            assert_eq!(bad.check(), Err(OptionError::BasePort { got }));
        }
        assert_eq!(TestnetOptions { base_port: 65_486, ..good }.check(), Ok(()));
    }
}
