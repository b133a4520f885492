//! The genesis of a test network.

use crate::{
    accounts::{DEV_BALANCE_ETHER, dev_accounts},
    error::TestnetError,
    options::{BlockPeriod, TestnetOptions},
    template,
};
use alloy_primitives::{Address, U256, utils::Unit};
use entente_chain::{
    genesis::{Genesis, GenesisBuilder},
    spec::{EngineKind, RAFT_INTERVAL_MS},
};

/// The genesis file of a network with these validators. Read back once, so that a network that no
/// node could start from is not made.
pub(crate) fn build(
    options: &TestnetOptions,
    validators: Vec<Address>,
) -> Result<String, TestnetError> {
    if let Some(path) = &options.template {
        return template::genesis(path, validators, options.private);
    }
    let balance = U256::from(DEV_BALANCE_ETHER) * Unit::ETHER.wei();
    let accounts = dev_accounts().into_iter().map(|account| (account.address, balance)).collect();
    let json = GenesisBuilder {
        engine: options.engine.0,
        accounts,
        block_period_ms: period_ms(options.engine.0, options.block_period),
        gas_limit: options.gas_limit,
        private_transactions: options.private,
        ..GenesisBuilder::new(options.chain_id, validators)
    }
    .to_json();
    Genesis::parse(json.as_bytes()).map_err(|cause| TestnetError::Genesis(cause.to_string()))?;
    Ok(json)
}

/// The block period as genesis has it. Raft's blocks are always on demand: a period is the least
/// time between two of them.
#[must_use]
pub fn period_ms(engine: EngineKind, period: BlockPeriod) -> u64 {
    match (engine, period) {
        (EngineKind::Raft, BlockPeriod::OnDemand) => RAFT_INTERVAL_MS,
        _ => period.millis(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::TestnetEngine;
    use alloy_primitives::address;

    #[test]
    fn genesis_says_what_the_options_say() {
        let options = TestnetOptions {
            chain_id: 4242,
            gas_limit: 30_000_000,
            block_period: BlockPeriod::Every(250),
            ..TestnetOptions::new("x")
        };
        let validators = vec![Address::repeat_byte(2), Address::repeat_byte(1)];
        let json = build(&options, validators).unwrap();
        let genesis = Genesis::parse(json.as_bytes()).unwrap();
        assert_eq!(genesis.spec.chain_id, 4242);
        assert_eq!(genesis.spec.genesis_rules.block_period_ms, 250);
        assert_eq!(genesis.header.header().gas_limit, 30_000_000);
        assert_eq!(genesis.validators, [Address::repeat_byte(1), Address::repeat_byte(2)]);
        let funded = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        let ether = genesis.alloc[&funded].balance / Unit::ETHER.wei();
        assert_eq!(ether, U256::from(DEV_BALANCE_ETHER));
    }

    #[test]
    fn blocks_on_demand_are_in_the_genesis() {
        let options =
            TestnetOptions { block_period: BlockPeriod::OnDemand, ..TestnetOptions::new("x") };
        let json = build(&options, vec![Address::repeat_byte(1)]).unwrap();
        let genesis = Genesis::parse(json.as_bytes()).unwrap();
        assert_eq!(genesis.spec.genesis_rules.block_period_ms, 0);
    }

    #[test]
    fn every_engine_has_a_genesis_that_names_its_validators() {
        for engine in [EngineKind::Qbft, EngineKind::Istanbul, EngineKind::Raft, EngineKind::Clique]
        {
            let engine = TestnetEngine(engine);
            let block_period = engine.default_period();
            let options = TestnetOptions { engine, block_period, ..TestnetOptions::new("x") };
            let validators = vec![Address::repeat_byte(2), Address::repeat_byte(1)];
            let genesis = Genesis::parse(build(&options, validators).unwrap().as_bytes()).unwrap();
            assert_eq!(genesis.spec.engine_at(0), engine.0);
            let expected = [Address::repeat_byte(1), Address::repeat_byte(2)];
            assert_eq!(genesis.validators, expected, "{engine}");
        }
    }
}
