//! `config` of a genesis file, turned into a [`ChainSpec`].

use super::{
    changes::{self, Dialect},
    engines::{self, Section},
    error::GenesisError,
    forks,
    json::{Object, Value},
};
use crate::{
    spec::{BaseFeeMode, ChainSpec},
    transition::Transition,
};
use alloy_eips::eip1559::INITIAL_BASE_FEE;

const WEI: &str = "an amount in wei";
const BLOCK: &str = "a block number";

pub(super) struct Config {
    pub(super) spec: ChainSpec,
    pub(super) section: Section,
}

/// Reads `config`. `base_fee` is the file's own `baseFeePerGas`.
pub(super) fn read(
    value: &Value<'_>,
    base_fee: Option<&Value<'_>>,
    notes: &mut Vec<String>,
) -> Result<Config, GenesisError> {
    let mut config = value.object()?;
    let is_quorum = config.flag("isQuorum")?;
    let chain_id = chain_id(&mut config, is_quorum)?;
    let dialect = if is_quorum { Dialect::GoQuorum } else { Dialect::Besu };
    let forks = forks::read(&mut config, notes)?;
    let mut transitions = changes::transitions(&mut config, dialect, notes)?;
    let first = transitions.iter().take_while(|change| change.block == 0);
    let first = first.filter_map(|change| change.engine).last();
    let mut section = engines::read(&mut config, dialect, forks.merged, first)?;
    let rules = &section.rules;
    let contract = rules.validator_contract;
    changes::complete(&mut transitions, rules.engine, contract, section.cap_given);
    sizes(&mut config, &mut section, dialect)?;
    if let Some(block) = config.u64("enableGasPriceBlock", BLOCK)? {
        let gas_price_enabled = Some(true);
        section.later.push(Transition { block, gas_price_enabled, ..Transition::default() });
    }
    privacy(&mut config, is_quorum, &mut section, notes)?;
    let base_fee = base_fee_mode(&mut config, base_fee)?;
    others(&mut config, notes)?;
    config.finish()?;
    transitions.append(&mut section.later);
    transitions.sort_by_key(|change| change.block);
    let spec = ChainSpec {
        chain_id,
        is_quorum,
        forks: forks.schedule,
        base_fee,
        genesis_rules: section.rules.clone(),
        transitions,
        nanosecond_timestamps: section.nanoseconds,
        blob_schedule: forks.blobs,
    };
    Ok(Config { spec, section })
}

fn chain_id(config: &mut Object<'_>, is_quorum: bool) -> Result<u64, GenesisError> {
    const EXPECTED: &str = "a number from 1 to 2^64-1";
    let value = config.require("chainId", EXPECTED)?;
    match value.u64(EXPECTED)? {
        0 => Err(value.wrong(EXPECTED)),
        1 if is_quorum => {
            Err(value.wrong("a number other than 1: a v of 37 or 38 marks private transactions"))
        }
        id => Ok(id),
    }
}

/// From which blocks GoQuorum's privacy terms and marker transactions hold.
fn privacy(
    config: &mut Object<'_>,
    is_quorum: bool,
    section: &mut Section,
    notes: &mut Vec<String>,
) -> Result<(), GenesisError> {
    let enhancements = config.u64("privacyEnhancementsBlock", BLOCK)?;
    let marker = config.u64("privacyPrecompileBlock", BLOCK)?;
    if !is_quorum {
        if enhancements.or(marker).is_some() {
            notes.push("without isQuorum there are no private transactions".to_owned());
        }
        return Ok(());
    }
    if let Some(block) = enhancements {
        let privacy_enhancements = Some(true);
        section.later.push(Transition { block, privacy_enhancements, ..Transition::default() });
    }
    if let Some(block) = marker {
        let privacy_marker = Some(true);
        section.later.push(Transition { block, privacy_marker, ..Transition::default() });
    }
    Ok(())
}

/// Code and transaction sizes: GoQuorum's in KiB, Besu's in bytes.
fn sizes(
    config: &mut Object<'_>,
    section: &mut Section,
    dialect: Dialect,
) -> Result<(), GenesisError> {
    const LIMIT: &str = "a number of bytes above 0";
    if let Some(size) = changes::kib(config, "txnSizeLimit", changes::TRANSACTION_KIB)? {
        section.rules.transaction_size_limit = size;
    }
    let deprecated = changes::kib(config, "maxCodeSize", changes::CODE_KIB)?;
    let change_block = config.u64("maxCodeSizeChangeBlock", BLOCK)?;
    if let Some(value) = config.take("contractSizeLimit")? {
        let limit = usize::try_from(value.u64(LIMIT)?).map_err(|_| value.wrong(LIMIT))?;
        if limit == 0 {
            return Err(value.wrong(LIMIT));
        }
        section.rules.contract_size_limit = limit;
    }
    let mut set = |block, size: Option<usize>| match (block, size) {
        (0, Some(size)) => section.rules.contract_size_limit = size,
        (block, contract_size_limit) => {
            section.later.push(Transition { block, contract_size_limit, ..Transition::default() });
        }
    };
    let Some(list) = config.take("maxCodeSizeConfig")? else {
        if dialect == Dialect::GoQuorum || deprecated.is_some() {
            set(change_block.unwrap_or(0), deprecated.or(Some(24 * 1024)));
        }
        return Ok(());
    };
    let mut earliest = 0;
    for entry in list.array()? {
        let mut object = entry.object()?;
        let value = object.require("block", BLOCK)?;
        let block = value.u64(BLOCK)?;
        if block < earliest {
            return Err(value.wrong(format!("at least {earliest}, the block before it")));
        }
        earliest = block;
        match changes::kib(&mut object, "size", changes::CODE_KIB)? {
            Some(size) => set(block, Some(size)),
            None => return Err(entry.wrong("a size in KiB from 24 to 128")),
        }
        object.finish()?;
    }
    Ok(())
}

/// `zeroBaseFee`, `fixedBaseFee` (Besu), else EIP-1559. `baseFeePerGas` may stand in `config` or
/// beside it.
fn base_fee_mode(
    config: &mut Object<'_>,
    beside: Option<&Value<'_>>,
) -> Result<BaseFeeMode, GenesisError> {
    let zero = config.flag("zeroBaseFee")?;
    let fixed = config.take("fixedBaseFee")?;
    let within = config.take("baseFeePerGas")?;
    let outer = beside.map(|value| value.u64(WEI)).transpose()?;
    let inner = within.as_ref().map(|value| value.u64(WEI)).transpose()?;
    if let (Some(value), Some(inner), Some(outer)) = (&within, inner, outer)
        && inner != outer
    {
        return Err(value.wrong(format!("{outer}, the baseFeePerGas beside config")));
    }
    let given = inner.or(outer);
    match fixed {
        Some(value) if value.bool()? => match given {
            _ if zero => Err(value.wrong("false, as zeroBaseFee is true")),
            None => Err(value.wrong("baseFeePerGas to be given too")),
            Some(fee) => Ok(BaseFeeMode::Fixed(fee)),
        },
        _ if zero => Ok(BaseFeeMode::Zero),
        _ => Ok(BaseFeeMode::Eip1559 { initial: given.unwrap_or(INITIAL_BASE_FEE) }),
    }
}

/// Keys that are understood and change nothing, or must have the only value that works here.
fn others(config: &mut Object<'_>, notes: &mut Vec<String>) -> Result<(), GenesisError> {
    if let Some(value) = config.take("ecCurve")?
        && !value.text("secp256k1")?.eq_ignore_ascii_case("secp256k1")
    {
        return Err(value.wrong("secp256k1"));
    }
    if let Some(value) = config.take("evmStackSize")?
        && value.u64("1024")? != 1024
    {
        return Err(value.wrong("1024"));
    }
    if config.take("qip714Block")?.is_some() {
        notes.push("qip714Block has no effect here: no permissioning contracts".to_owned());
    }
    // Multiple private states are a matter of the node's own configuration.
    config.flag("isMPS")?;
    const ADDRESSES: [&str; 3] = [
        "depositContractAddress",
        "withdrawalRequestContractAddress",
        "consolidationRequestContractAddress",
    ];
    for key in ADDRESSES {
        if let Some(value) = config.take(key)? {
            value.address()?;
        }
    }
    config.ignore(&["discovery", "checkpoint", "networkId"])
}
