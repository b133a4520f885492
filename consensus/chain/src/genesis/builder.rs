//! Genesis files for new networks.

use super::{changes::TRANSACTION_KIB, describe::BFT_MIX_HASH};
use crate::{
    extra_data::{istanbul::IstanbulExtra, qbft::QbftExtra},
    fork::{Activation, Fork},
    spec::{BaseFeeMode, EngineKind},
};
use alloy_eips::{
    eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE},
    eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE},
};
use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Map, Value, json};

/// What a new network is like. [`GenesisBuilder::new`] fills in what most networks want.
#[derive(Clone, Debug)]
pub struct GenesisBuilder {
    /// Engine and header format.
    pub engine: EngineKind,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Who seals, in any order.
    pub validators: Vec<Address>,
    /// Accounts that begin with a balance in wei.
    pub accounts: Vec<(Address, U256)>,
    /// Milliseconds between blocks.
    pub block_period_ms: u64,
    /// Milliseconds between empty blocks; `None`: as `block_period_ms`.
    pub empty_block_period_ms: Option<u64>,
    /// Gas limit of genesis.
    pub gas_limit: u64,
    /// How base fees come about.
    pub base_fee: BaseFeeMode,
    /// Newest fork, from genesis on like all before it.
    pub fork: Fork,
    /// Forks that begin later.
    pub later_forks: Vec<(Fork, Activation)>,
    /// Time of genesis in seconds.
    pub timestamp: u64,
    /// Private transactions and all that belongs to them, from genesis on: GoQuorum's network rules
    /// (`isQuorum`), with gas prices allowed and the largest transactions that these rules know.
    pub private_transactions: bool,
}

impl GenesisBuilder {
    /// A QBFT network with the newest fork, no fees, one block per second and room for 200 million
    /// gas.
    #[must_use]
    pub const fn new(chain_id: u64, validators: Vec<Address>) -> Self {
        Self {
            engine: EngineKind::Qbft,
            chain_id,
            validators,
            accounts: Vec::new(),
            block_period_ms: 1000,
            empty_block_period_ms: None,
            gas_limit: 200_000_000,
            base_fee: BaseFeeMode::Zero,
            fork: Fork::Osaka,
            later_forks: Vec::new(),
            timestamp: 0,
            private_transactions: false,
        }
    }

    /// The genesis file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut validators = self.validators.clone();
        validators.sort_unstable();
        let (extra, mix_hash) = match self.engine {
            EngineKind::Qbft => {
                (QbftExtra { validators, ..QbftExtra::default() }.encode(), BFT_MIX_HASH)
            }
            EngineKind::Istanbul => {
                (IstanbulExtra { validators, ..IstanbulExtra::default() }.encode(), BFT_MIX_HASH)
            }
            EngineKind::Clique => (clique_extra(&validators), B256::ZERO),
            EngineKind::Raft | EngineKind::Ethereum => {
                (Bytes::from(B256::ZERO.to_vec()), B256::ZERO)
            }
        };
        let mut file = json!({
            "config": self.config(),
            "nonce": "0x0",
            "timestamp": format!("{:#x}", self.timestamp),
            "extraData": extra.to_string(),
            "gasLimit": format!("{:#x}", self.gas_limit),
            "difficulty": "0x1",
            "mixHash": mix_hash.to_string(),
            "coinbase": Address::ZERO.to_string(),
            "alloc": self.alloc(),
        });
        let base_fee = match self.base_fee {
            BaseFeeMode::Zero => 0,
            BaseFeeMode::Fixed(fee) | BaseFeeMode::Eip1559 { initial: fee } => fee,
        };
        if let (true, Some(file)) = (self.fork >= Fork::London, file.as_object_mut()) {
            file.insert("baseFeePerGas".into(), json!(format!("{base_fee:#x}")));
        }
        let mut text = format!("{file:#}");
        text.push('\n');
        text
    }

    fn config(&self) -> Map<String, Value> {
        let mut config = Map::new();
        config.insert("chainId".into(), json!(self.chain_id));
        for fork in Fork::ALL.into_iter().filter(|fork| *fork <= self.fork) {
            for key in keys(fork) {
                config.insert((*key).into(), json!(0));
            }
        }
        for (fork, at) in &self.later_forks {
            let (Activation::Block(at) | Activation::Time(at)) = at;
            for key in keys(*fork) {
                config.insert((*key).into(), json!(at));
            }
        }
        match self.base_fee {
            BaseFeeMode::Zero => config.insert("zeroBaseFee".into(), json!(true)),
            BaseFeeMode::Fixed(_) => config.insert("fixedBaseFee".into(), json!(true)),
            BaseFeeMode::Eip1559 { .. } => None,
        };
        if self.private_transactions {
            config.insert("isQuorum".into(), json!(true));
            for key in QUORUM_BLOCKS {
                config.insert(key.into(), json!(0));
            }
            config.insert("txnSizeLimit".into(), json!(TRANSACTION_KIB.end()));
        }
        config.insert(self.engine.name().replace("istanbul", "ibft"), self.section());
        config
    }

    /// The engine's section of the config.
    fn section(&self) -> Value {
        let mut section = Map::new();
        let mut set = |key: &str, value: Value| drop(section.insert(key.into(), value));
        let seconds = self.block_period_ms.div_ceil(1000);
        match self.engine {
            EngineKind::Ethereum => return Value::Object(section),
            EngineKind::Raft => {
                let mut voters: Vec<_> = self.validators.iter().map(Address::to_string).collect();
                voters.sort_unstable_by_key(|voter| voter.to_ascii_lowercase());
                set("validators", json!(voters));
            }
            EngineKind::Clique => {
                set("period", json!(seconds));
                set("epoch", json!(30_000));
                // Branches of equal weight must not wait for each other (go-ethereum#18402).
                set("eip3436", json!(true));
            }
            EngineKind::Qbft | EngineKind::Istanbul => {
                set("epochlength", json!(30_000));
                set("blockperiodseconds", json!(seconds));
                // Long enough for a block and its execution, short enough not to be waited for.
                let timeout = (2 * self.block_period_ms).div_ceil(1000).max(2);
                set("requesttimeoutseconds", json!(timeout));
                set("policy", json!(0));
                set("ceil2Nby3Block", json!(0));
            }
        }
        // Under isQuorum, 0 seconds mean "not given".
        let on_demand = self.block_period_ms == 0 && self.private_transactions;
        let fine = on_demand || !self.block_period_ms.is_multiple_of(1000);
        if self.engine == EngineKind::Raft || fine {
            set("xblockperiodmilliseconds", json!(self.block_period_ms));
        }
        if let Some(period) = self.empty_block_period_ms {
            set("xemptyblockperiodseconds", json!(period.div_ceil(1000)));
        }
        Value::Object(section)
    }

    fn alloc(&self) -> Map<String, Value> {
        let mut alloc = Map::new();
        for (address, balance) in &self.accounts {
            alloc.insert(address.to_string(), json!({ "balance": format!("{balance:#x}") }));
        }
        let newest = self.later_forks.iter().map(|(fork, _)| *fork).max().unwrap_or(self.fork);
        let newest = newest.max(self.fork);
        let mut contract = |since: Fork, address: Address, code: &Bytes| {
            if newest >= since {
                let account = json!({ "balance": "0x0", "nonce": "0x1", "code": code.to_string() });
                alloc.insert(address.to_string(), account);
            }
        };
        contract(Fork::Cancun, BEACON_ROOTS_ADDRESS, &BEACON_ROOTS_CODE);
        contract(Fork::Prague, HISTORY_STORAGE_ADDRESS, &HISTORY_STORAGE_CODE);
        alloc
    }
}

/// What begins with genesis where there are private transactions. Without the first, tools that offer
/// a gas price are refused.
const QUORUM_BLOCKS: [&str; 3] =
    ["enableGasPriceBlock", "privacyEnhancementsBlock", "privacyPrecompileBlock"];

/// EIP-225: vanity, signers, an empty seal.
fn clique_extra(signers: &[Address]) -> Bytes {
    let signers = signers.iter().flat_map(|signer| signer.0.0);
    [0; 32].into_iter().chain(signers).chain([0; 65]).collect()
}

/// The keys that begin a fork, spelled so that geth, GoQuorum and Besu read them.
const fn keys(fork: Fork) -> &'static [&'static str] {
    match fork {
        Fork::Frontier | Fork::MuirGlacier | Fork::ArrowGlacier | Fork::GrayGlacier => &[],
        // Besu and geth would take this for a chain that merged.
        Fork::Paris => &[],
        Fork::Homestead => &["homesteadBlock"],
        Fork::TangerineWhistle => &["eip150Block"],
        Fork::SpuriousDragon => &["eip155Block", "eip158Block"],
        Fork::Byzantium => &["byzantiumBlock"],
        Fork::Constantinople => &["constantinopleBlock"],
        Fork::Petersburg => &["petersburgBlock"],
        Fork::Istanbul => &["istanbulBlock"],
        Fork::Berlin => &["berlinBlock"],
        Fork::London => &["londonBlock"],
        Fork::Shanghai => &["shanghaiTime"],
        Fork::Cancun => &["cancunTime"],
        Fork::Prague => &["pragueTime"],
        Fork::Osaka => &["osakaTime"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::Genesis;

    #[test]
    fn a_built_genesis_with_private_transactions_is_read_back_for_every_engine() {
        for engine in [EngineKind::Qbft, EngineKind::Istanbul, EngineKind::Raft, EngineKind::Clique]
        {
            let validators: Vec<_> = (1..=4).map(Address::repeat_byte).collect();
            for period in [0, 500, 2000] {
                let builder = GenesisBuilder {
                    engine,
                    block_period_ms: period,
                    private_transactions: true,
                    ..GenesisBuilder::new(7, validators.clone())
                };
                let genesis = Genesis::parse(builder.to_json().as_bytes()).expect("valid");
                let rules = genesis.spec.rules_at(0);
                assert!(
                    genesis.spec.is_quorum && !genesis.spec.nanosecond_timestamps,
                    "{engine:?}"
                );
                assert!(rules.privacy_enhancements && rules.privacy_marker, "{engine:?}");
                assert!(rules.gas_price_enabled, "{engine:?}");
                assert_eq!(rules.transaction_size_limit, 128 * 1024);
                assert_eq!((rules.engine, rules.block_period_ms), (engine, period));
                assert_eq!(genesis.validators, validators);
                assert_eq!(genesis.spec.base_fee, BaseFeeMode::Zero);
            }
        }
        let builder =
            GenesisBuilder { private_transactions: true, ..GenesisBuilder::new(1, Vec::new()) };
        assert!(Genesis::parse(builder.to_json().as_bytes()).is_err(), "v of 37 and 38");
    }
}
