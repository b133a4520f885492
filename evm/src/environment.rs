//! Turns the chain's rules and a header into what revm wants to know.

use crate::private::PRIVACY_MARKER_ADDRESS;
use alloy_consensus::{EthereumTxEnvelope, Header, Transaction, TxEip4844};
use alloy_primitives::{Address, U256};
use entente_chain::{
    ChainSpec, RecoveredTransaction,
    fork::Fork,
    spec::{BlobParameters, BlockRules, EngineKind},
    transaction::Signing,
};
use revm::{
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::{block::BlobExcessGasAndPrice, either::Either},
    primitives::hardfork::SpecId,
};

/// EIP-7594: most blobs of one transaction from Osaka on.
const BLOBS_PER_TRANSACTION_MAX: u64 = 6;
/// EIP-4844 and EIP-7691, where the genesis file says nothing.
const CANCUN_BLOBS: BlobParameters =
    BlobParameters { from: 0, target: 3, max: 6, update_fraction: 3_338_477 };
const PRAGUE_BLOBS: BlobParameters =
    BlobParameters { from: 0, target: 6, max: 9, update_fraction: 5_007_716 };

/// Everything about a block that execution asks more than once.
#[derive(Clone, Debug)]
pub(crate) struct BlockFacts {
    pub(crate) fork: Fork,
    pub(crate) rules: BlockRules,
    pub(crate) blobs: BlobParameters,
    pub(crate) chain_id: u64,
    /// A v of 37 or 38 marks private transactions.
    pub(crate) private_transactions: bool,
}

impl BlockFacts {
    pub(crate) fn new(spec: &ChainSpec, header: &Header) -> Self {
        let seconds = spec.seconds(header.timestamp);
        let fork = spec.forks.at(header.number, seconds);
        let default = if fork >= Fork::Prague { PRAGUE_BLOBS } else { CANCUN_BLOBS };
        Self {
            fork,
            rules: spec.rules_at(header.number),
            blobs: spec.blob_parameters_at(seconds).unwrap_or(default),
            chain_id: spec.chain_id,
            private_transactions: spec.signing() == Signing::Quorum,
        }
    }

    /// Whether a transaction is a privacy marker.
    pub(crate) fn is_marker(&self, transaction: &RecoveredTransaction) -> bool {
        self.private_transactions
            && self.rules.privacy_marker
            && transaction.to() == Some(PRIVACY_MARKER_ADDRESS)
    }

    pub(crate) fn is_ethereum(&self) -> bool {
        self.rules.engine == EngineKind::Ethereum
    }

    /// EIP-3860: init code may be twice as large as code, in bytes.
    pub(crate) const fn init_code_limit(&self) -> usize {
        self.rules.contract_size_limit.saturating_mul(2)
    }

    /// revm's configuration.
    pub(crate) fn cfg_env(&self) -> CfgEnv {
        let mut cfg = CfgEnv::new_with_spec(spec_id(self.fork)).with_chain_id(self.chain_id);
        // The init code limit follows from it: twice as much (EIP-3860).
        cfg.limit_contract_code_size = Some(self.rules.contract_size_limit);
        cfg.blob_base_fee_update_fraction = Some(self.blobs.update_fraction);
        let osaka = self.fork >= Fork::Osaka;
        let per_transaction = if osaka { BLOBS_PER_TRANSACTION_MAX } else { self.blobs.max };
        cfg.with_max_blobs_per_tx(per_transaction.min(self.blobs.max))
    }

    /// revm's block. `beneficiary` is the author of the block, which not every header format
    /// keeps in its coinbase.
    pub(crate) fn block_env(&self, header: &Header, beneficiary: Address) -> BlockEnv {
        let randao = self.fork >= Fork::Paris;
        let excess = header.excess_blob_gas.unwrap_or_default();
        let blob = BlobExcessGasAndPrice {
            excess_blob_gas: excess,
            blob_gasprice: blob_price(excess, self.blobs.update_fraction),
        };
        BlockEnv {
            number: U256::from(header.number),
            beneficiary,
            timestamp: U256::from(header.timestamp),
            gas_limit: header.gas_limit,
            basefee: header.base_fee_per_gas.unwrap_or_default(),
            difficulty: if randao { U256::ZERO } else { header.difficulty },
            prevrandao: randao.then_some(header.mix_hash),
            blob_excess_gas_and_price: (self.fork >= Fork::Cancun).then_some(blob),
            slot_num: 0,
        }
    }
}

/// The EVM rules of a fork. Difficulty-only forks run as the one before; Constantinople runs as
/// Petersburg, because no network that this node joins ever used EIP-1283.
pub(crate) const fn spec_id(fork: Fork) -> SpecId {
    match fork {
        Fork::Frontier => SpecId::FRONTIER,
        Fork::Homestead => SpecId::HOMESTEAD,
        Fork::TangerineWhistle => SpecId::TANGERINE,
        Fork::SpuriousDragon => SpecId::SPURIOUS_DRAGON,
        Fork::Byzantium => SpecId::BYZANTIUM,
        Fork::Constantinople | Fork::Petersburg => SpecId::PETERSBURG,
        Fork::Istanbul | Fork::MuirGlacier => SpecId::ISTANBUL,
        Fork::Berlin => SpecId::BERLIN,
        Fork::London | Fork::ArrowGlacier | Fork::GrayGlacier => SpecId::LONDON,
        Fork::Paris => SpecId::MERGE,
        Fork::Shanghai => SpecId::SHANGHAI,
        Fork::Cancun => SpecId::CANCUN,
        Fork::Prague => SpecId::PRAGUE,
        Fork::Osaka => SpecId::OSAKA,
    }
}

/// EIP-4844 `fake_exponential(1, excess, fraction)` in 256 bits; as much as fits in 128 bits where
/// a chain's own parameters drive it beyond (revm's own would overflow there).
pub(crate) fn blob_price(excess: u64, fraction: u64) -> u128 {
    let (numerator, denominator) = (U256::from(excess), U256::from(fraction.max(1)));
    let mut term = denominator;
    let mut sum = U256::ZERO;
    let mut i = U256::ONE;
    while !term.is_zero() {
        let next = term
            .checked_mul(numerator)
            .and_then(|product| product.checked_div(denominator.checked_mul(i)?));
        let (Some(total), Some(next)) = (sum.checked_add(term), next) else { return u128::MAX };
        if total.checked_div(denominator).is_none_or(|price| price > U256::from(u128::MAX)) {
            return u128::MAX;
        }
        (sum, term, i) = (total, next, i.saturating_add(U256::ONE));
    }
    sum.checked_div(denominator).map_or(u128::MAX, |price| price.saturating_to())
}

/// A transaction as revm wants it; calldata is shared, not copied.
pub(crate) fn tx_env(transaction: &RecoveredTransaction) -> TxEnv {
    let envelope = transaction.envelope();
    let authorizations = envelope.authorization_list().unwrap_or_default();
    TxEnv {
        tx_type: envelope.tx_type() as u8,
        caller: transaction.sender(),
        gas_limit: envelope.gas_limit(),
        gas_price: envelope.max_fee_per_gas(),
        kind: envelope.kind(),
        value: envelope.value(),
        data: envelope.input().clone(),
        nonce: envelope.nonce(),
        chain_id: envelope.chain_id(),
        access_list: envelope.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: envelope.max_priority_fee_per_gas(),
        blob_hashes: envelope.blob_versioned_hashes().map(<[_]>::to_vec).unwrap_or_default(),
        max_fee_per_blob_gas: envelope.max_fee_per_blob_gas().unwrap_or_default(),
        authorization_list: authorizations.iter().cloned().map(Either::Left).collect(),
    }
}

/// How many blobs a transaction carries.
pub(crate) fn blob_count(envelope: &EthereumTxEnvelope<TxEip4844>) -> u64 {
    envelope.blob_versioned_hashes().map_or(0, |hashes| hashes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blob_prices_follow_eip_4844() {
        assert_eq!(blob_price(0, 3_338_477), 1);
        assert_eq!(blob_price(2_314_057, 3_338_477), 1);
        assert_eq!(blob_price(2_314_058, 3_338_477), 2);
        assert_eq!(blob_price(10 * 1024 * 1024, 3_338_477), 23);
    }

    #[test]
    fn a_blob_price_beyond_128_bits_is_capped() {
        assert_eq!(blob_price(u64::MAX, 1), u128::MAX);
        assert_eq!(blob_price(u64::MAX, 0), u128::MAX);
        assert_eq!(blob_price(u64::MAX, 3_338_477), u128::MAX);
    }
}
