//! What a chain's rules are at a block. Built once from a genesis file ([`crate::genesis`]) and
//! never changed while the node runs.

use crate::{
    BlockNumber,
    fork::{Fork, ForkSchedule},
    limits::TRANSACTION_BYTES_MAX,
    transaction::Signing,
    transition::Transition,
};
use alloy_primitives::{Address, U256};
use std::{fmt, str::FromStr};

/// A consensus engine together with its header format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// QBFT headers (GoQuorum, Besu), QBFT rules.
    Qbft,
    /// IBFT 1 headers of GoQuorum ("istanbul").
    Istanbul,
    /// EIP-225 proof of authority.
    Clique,
    /// GoQuorum's Raft headers, or ours.
    Raft,
    /// Plain Ethereum headers: import and vectors only, never produced.
    Ethereum,
}

impl EngineKind {
    /// The name that configuration, genesis transitions and RPC use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qbft => "qbft",
            Self::Istanbul => "istanbul",
            Self::Clique => "clique",
            Self::Raft => "raft",
            Self::Ethereum => "ethereum",
        }
    }

    /// Whether a quorum seals each block: IBFT, with either kind of header.
    #[must_use]
    pub const fn is_bft(self) -> bool {
        matches!(self, Self::Qbft | Self::Istanbul)
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no engine that seals blocks here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("engine `{0}`: expected ibft (or qbft), istanbul (IBFT 1 headers), raft or clique")]
pub struct UnknownEngine(pub String);

impl FromStr for EngineKind {
    type Err = UnknownEngine;

    /// `ibft` is the engine with its newer headers; `istanbul` asks for those of IBFT 1.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ibft" | "qbft" => Ok(Self::Qbft),
            "istanbul" => Ok(Self::Istanbul),
            "raft" => Ok(Self::Raft),
            "clique" => Ok(Self::Clique),
            _ => Err(UnknownEngine(text.to_owned())),
        }
    }
}

/// How the base fee of a block comes about from London on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseFeeMode {
    /// Always 0 (Besu's `zeroBaseFee`); the default of new networks.
    Zero,
    /// Always this many wei (Besu's `fixedBaseFee` with `baseFeePerGas`).
    Fixed(u64),
    /// EIP-1559, starting at this many wei.
    Eip1559 {
        /// Base fee of the first London block.
        initial: u64,
    },
}

/// Who receives block rewards (GoQuorum's `beneficiaryMode`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beneficiary {
    /// The proposer of the block.
    Proposer,
    /// One fixed address.
    Fixed(Address),
    /// Shared among the validators of the block.
    Validators,
    /// Shared among these addresses.
    List(Vec<Address>),
}

/// Rules that hold from genesis on and that transitions may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRules {
    /// Engine and header format.
    pub engine: EngineKind,
    /// Blocks after which votes are dropped.
    pub epoch_length: u64,
    /// Milliseconds between blocks; 0 is on demand.
    pub block_period_ms: u64,
    /// Milliseconds between empty blocks; `None`: as `block_period_ms`.
    pub empty_block_period_ms: Option<u64>,
    /// Timeout of round 0 in milliseconds.
    pub request_timeout_ms: u64,
    /// Cap of the round timeout in milliseconds.
    pub max_request_timeout_ms: u64,
    /// Contract that lists the validators, when they come from one.
    pub validator_contract: Option<Address>,
    /// Largest contract code in bytes; init code may have twice as much.
    pub contract_size_limit: usize,
    /// Largest transaction in bytes.
    pub transaction_size_limit: usize,
    /// Whether transactions may carry a gas price; `false` is GoQuorum's "Gas price not 0".
    pub gas_price_enabled: bool,
    /// Gas limit that proposers move towards; `None`: keep the parent's.
    pub gas_limit_target: Option<u64>,
    /// Privacy terms beyond the standard ones (GoQuorum's `privacyEnhancements`).
    pub privacy_enhancements: bool,
    /// Privacy marker transactions (GoQuorum's `privacyPrecompile`).
    pub privacy_marker: bool,
    /// Quorum is ceil(2N/3) when true, 2F+1 when false.
    pub quorum_two_thirds: bool,
    /// Reward of a block in wei.
    pub block_reward: U256,
    /// Who receives it.
    pub beneficiary: Beneficiary,
    /// Proposer stays until it fails (GoQuorum's policy 1) in place of round robin.
    pub sticky_proposer: bool,
    /// Clique: branches of equal weight are told apart by EIP-3436.
    pub eip3436: bool,
}

impl BlockRules {
    /// What holds when a genesis file says no more than the engine: a block a second (Raft: on
    /// demand, 2 ms apart at least), round timeouts of one to four seconds, contracts of 24 KiB,
    /// no rewards.
    #[must_use]
    pub const fn new(engine: EngineKind) -> Self {
        Self {
            engine,
            epoch_length: 30_000,
            block_period_ms: default_period_ms(engine),
            empty_block_period_ms: None,
            request_timeout_ms: 1_000,
            max_request_timeout_ms: 4_000,
            validator_contract: None,
            contract_size_limit: 24 * 1024,
            transaction_size_limit: TRANSACTION_BYTES_MAX,
            gas_price_enabled: true,
            gas_limit_target: None,
            privacy_enhancements: false,
            privacy_marker: false,
            quorum_two_thirds: true,
            block_reward: U256::ZERO,
            beneficiary: Beneficiary::Proposer,
            sticky_proposer: false,
            eip3436: false,
        }
    }
}

/// Raft makes blocks on demand, this far apart at least.
pub const RAFT_INTERVAL_MS: u64 = 2;

pub(crate) const fn default_period_ms(engine: EngineKind) -> u64 {
    match engine {
        EngineKind::Raft => RAFT_INTERVAL_MS,
        EngineKind::Qbft | EngineKind::Istanbul | EngineKind::Clique | EngineKind::Ethereum => 1000,
    }
}

/// Everything that decides whether a block belongs to a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSpec {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// GoQuorum's network rules (`isQuorum`): gas limit bound of parent/4096, zero prices, private
    /// transactions.
    pub is_quorum: bool,
    /// When forks begin.
    pub forks: ForkSchedule,
    /// How base fees come about.
    pub base_fee: BaseFeeMode,
    /// Rules at genesis.
    pub genesis_rules: BlockRules,
    /// Changes, ascending by block.
    pub transitions: Vec<Transition>,
    /// Timestamps are nanoseconds (a chain imported from GoQuorum Raft).
    pub nanosecond_timestamps: bool,
    /// Blob parameters by fork or timestamp, only used for plain Ethereum chains.
    pub blob_schedule: Vec<BlobParameters>,
}

/// Blob gas parameters from a timestamp on (EIP-7840, EIP-7892).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobParameters {
    /// Timestamp from which they hold, in seconds.
    pub from: u64,
    /// Target blobs per block.
    pub target: u64,
    /// Most blobs per block.
    pub max: u64,
    /// Base fee update fraction.
    pub update_fraction: u64,
}

impl ChainSpec {
    /// The newest fork at a block. `timestamp` is the header's own.
    #[must_use]
    pub fn fork_at(&self, number: BlockNumber, timestamp: u64) -> Fork {
        self.forks.at(number, self.seconds(timestamp))
    }

    /// By how much header timestamps grow in a second.
    #[must_use]
    pub const fn ticks_per_second(&self) -> u64 {
        if self.nanosecond_timestamps { 1_000_000_000 } else { 1 }
    }

    /// A header timestamp in seconds.
    #[must_use]
    pub const fn seconds(&self, timestamp: u64) -> u64 {
        if self.nanosecond_timestamps { timestamp / 1_000_000_000 } else { timestamp }
    }

    /// The engine that seals a block.
    #[must_use]
    pub fn engine_at(&self, number: BlockNumber) -> EngineKind {
        self.transitions
            .iter()
            .rev()
            .filter(|transition| transition.block <= number)
            .find_map(|transition| transition.engine)
            .unwrap_or(self.genesis_rules.engine)
    }

    /// The rules that hold at a block: those of genesis with every transition up to it applied.
    #[must_use]
    pub fn rules_at(&self, number: BlockNumber) -> BlockRules {
        let mut rules = self.genesis_rules.clone();
        for transition in self.transitions.iter().take_while(|change| change.block <= number) {
            apply(&mut rules, transition);
        }
        rules
    }

    /// What a v of 37 or 38 means: private transactions exist where `isQuorum` is true.
    #[must_use]
    pub const fn signing(&self) -> Signing {
        if self.is_quorum { Signing::Quorum } else { Signing::Ethereum }
    }

    /// The block whose rules say where the validators of block `number` come from. GoQuorum asks with
    /// the parent's number (consensus/istanbul/backend/engine.go, `snapshot`; qbft/engine/engine.go,
    /// `Prepare`): a selection mode, a contract or a list that a transition at T names holds from
    /// T + 1 on. In Besu, and where the chain enters or leaves Raft or Clique, which only happens
    /// here, it holds from T on.
    #[must_use]
    pub fn election_block(&self, number: BlockNumber) -> BlockNumber {
        let parent = number.saturating_sub(1);
        let bft = |number| self.engine_at(number).is_bft();
        if self.is_quorum && bft(parent) && bft(number) { parent } else { number }
    }

    /// The contract that names the validators of a block, when one does. It is asked on the state
    /// after the block's parent. Only IBFT asks: Raft and Clique follow what headers and logs say.
    #[must_use]
    pub fn validator_contract_at(&self, number: BlockNumber) -> Option<Address> {
        let rules = self.rules_at(self.election_block(number));
        rules.validator_contract.filter(|_| self.engine_at(number).is_bft())
    }

    /// The validators that a transition names to begin with block `number`.
    #[must_use]
    pub fn validators_named_for(&self, number: BlockNumber) -> Option<&[Address]> {
        let last = self.election_block(number);
        // Two at once where rules that look at the parent end: then the later one counts.
        let before = number.checked_sub(1).map(|parent| self.election_block(parent));
        let begins = |block| block <= last && before.is_none_or(|before| block > before);
        self.transitions
            .iter()
            .rev()
            .filter(|change| begins(change.block))
            .find_map(|change| change.validators.as_deref())
    }

    /// How much a gas limit may move: parent divided by this (GoQuorum: 4096).
    #[must_use]
    pub const fn gas_limit_divisor(&self) -> u64 {
        if self.is_quorum { 4096 } else { 1024 }
    }

    /// Blob parameters that hold at a time in seconds.
    #[must_use]
    pub fn blob_parameters_at(&self, seconds: u64) -> Option<BlobParameters> {
        self.blob_schedule.iter().rev().find(|entry| entry.from <= seconds).copied()
    }
}

pub(crate) fn apply(rules: &mut BlockRules, change: &Transition) {
    fn set<T: Clone>(slot: &mut T, value: Option<&T>) {
        if let Some(value) = value {
            slot.clone_from(value);
        }
    }
    set(&mut rules.engine, change.engine.as_ref());
    set(&mut rules.epoch_length, change.epoch_length.as_ref());
    set(&mut rules.block_period_ms, change.block_period_ms.as_ref());
    if change.empty_block_period_ms.is_some() {
        rules.empty_block_period_ms = change.empty_block_period_ms.filter(|period| *period > 0);
    }
    set(&mut rules.request_timeout_ms, change.request_timeout_ms.as_ref());
    set(&mut rules.max_request_timeout_ms, change.max_request_timeout_ms.as_ref());
    match change.validators_from_contract {
        Some(false) => rules.validator_contract = None,
        Some(true) | None => {
            if change.validator_contract.is_some() {
                rules.validator_contract = change.validator_contract;
            }
        }
    }
    set(&mut rules.contract_size_limit, change.contract_size_limit.as_ref());
    set(&mut rules.transaction_size_limit, change.transaction_size_limit.as_ref());
    set(&mut rules.gas_price_enabled, change.gas_price_enabled.as_ref());
    set(&mut rules.privacy_enhancements, change.privacy_enhancements.as_ref());
    set(&mut rules.privacy_marker, change.privacy_marker.as_ref());
    if change.gas_limit.is_some() {
        rules.gas_limit_target = change.gas_limit;
    }
    if let Some(two_f_plus_one) = change.two_f_plus_one {
        rules.quorum_two_thirds = !two_f_plus_one;
    }
    set(&mut rules.eip3436, change.eip3436.as_ref());
    set(&mut rules.block_reward, change.block_reward.as_ref());
    set(&mut rules.beneficiary, change.beneficiary.as_ref());
}
