//! What engine sections and transitions have in common, and the transitions of GoQuorum (a list)
//! and Besu (lists by engine).

use super::{
    error::GenesisError,
    json::{Object, Value},
};
use crate::{
    spec::{Beneficiary, EngineKind, default_period_ms},
    transition::Transition,
    validators::ValidatorSet,
};
use alloy_primitives::Address;
use std::ops::RangeInclusive;

const BLOCK: &str = "a block number";
const SECONDS: &str = "a number of seconds";
const MILLISECONDS: &str = "a number of milliseconds";
const BLOCKS: &str = "a number of blocks above 0";
const MODE: &str = "contract, header or blockheader";

/// Sizes in KiB that GoQuorum allows for contract code.
pub(super) const CODE_KIB: RangeInclusive<u64> = 24..=128;
/// Sizes in KiB that GoQuorum allows for transactions.
pub(super) const TRANSACTION_KIB: RangeInclusive<u64> = 32..=128;

/// Whose rules decide where two tools read one key differently.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `isQuorum` is true: 0 means "not given", a validator contract needs its mode.
    GoQuorum,
    /// Besu and geth.
    Besu,
}

/// Keys that a section and a transition share.
pub(super) fn shared(
    object: &mut Object<'_>,
    dialect: Dialect,
) -> Result<Transition, GenesisError> {
    let mut change = Transition {
        epoch_length: epoch(object, dialect)?,
        block_period_ms: period(object, dialect)?,
        request_timeout_ms: seconds(object, "requesttimeoutseconds", dialect)?,
        max_request_timeout_ms: seconds(object, "maxRequestTimeoutSeconds", dialect)?,
        validators: validators(object)?,
        ..Transition::default()
    };
    let empty = object.take_any(&["emptyblockperiodseconds", "xemptyblockperiodseconds"])?;
    if let Some(value) = empty {
        change.empty_block_period_ms = Some(milliseconds(&value)?);
    }
    contract(object, dialect, &mut change)?;
    let reward = object.take_any(&["blockreward"])?;
    change.block_reward = reward.map(|value| value.u256("an amount in wei")).transpose()?;
    change.beneficiary = beneficiary(object)?;
    Ok(change)
}

fn milliseconds(value: &Value<'_>) -> Result<u64, GenesisError> {
    value.u64(SECONDS)?.checked_mul(1000).ok_or_else(|| value.wrong(SECONDS))
}

/// A duration above 0; GoQuorum's 0 is "not given".
fn seconds(
    object: &mut Object<'_>,
    key: &'static str,
    dialect: Dialect,
) -> Result<Option<u64>, GenesisError> {
    let Some(value) = object.take(key)? else { return Ok(None) };
    match milliseconds(&value)? {
        0 if dialect == Dialect::GoQuorum => Ok(None),
        0 => Err(value.wrong("a number of seconds above 0")),
        duration => Ok(Some(duration)),
    }
}

fn epoch(object: &mut Object<'_>, dialect: Dialect) -> Result<Option<u64>, GenesisError> {
    let Some(value) = object.take_any(&["epochlength", "epoch"])? else { return Ok(None) };
    match value.u64(BLOCKS)? {
        0 if dialect == Dialect::GoQuorum => Ok(None),
        0 => Err(value.wrong(BLOCKS)),
        length => Ok(Some(length)),
    }
}

/// The block period; Besu's milliseconds go before seconds. 0 is on demand. GoQuorum does not know
/// milliseconds, so it is not its 0 that stands there.
fn period(object: &mut Object<'_>, dialect: Dialect) -> Result<Option<u64>, GenesisError> {
    let whole = object.take_any(&["blockperiodseconds", "period"])?;
    let fine = object.take("xblockperiodmilliseconds")?;
    let period = match (fine, whole) {
        (Some(value), _) => return value.u64(MILLISECONDS).map(Some),
        (None, Some(value)) => milliseconds(&value)?,
        (None, None) => return Ok(None),
    };
    Ok((period > 0 || dialect == Dialect::Besu).then_some(period))
}

fn validators(object: &mut Object<'_>) -> Result<Option<Vec<Address>>, GenesisError> {
    let Some(value) = object.take("validators")? else { return Ok(None) };
    let listed = value.addresses()?;
    if listed.is_empty() {
        return Ok(None);
    }
    let set = ValidatorSet::new(listed)
        .map_err(|cause| value.wrong(format!("a list of validators ({cause})")))?;
    Ok(Some(set.addresses().to_vec()))
}

fn contract(
    object: &mut Object<'_>,
    dialect: Dialect,
    change: &mut Transition,
) -> Result<(), GenesisError> {
    let address = object.take("validatorcontractaddress")?.map(|value| value.address());
    let address = address.transpose()?.filter(|address| !address.is_zero());
    let mode = match object.take("validatorselectionmode")? {
        None => None,
        Some(value) => match value.text(MODE)?.to_ascii_lowercase().as_str() {
            "contract" => Some(true),
            "header" | "blockheader" => Some(false),
            "" => None,
            _ => return Err(value.wrong(MODE)),
        },
    };
    change.validator_contract = address;
    change.validators_from_contract = match (mode, address, dialect) {
        (None, Some(_), Dialect::GoQuorum) => Some(false),
        (None, Some(_), Dialect::Besu) => Some(true),
        (mode, ..) => mode,
    };
    Ok(())
}

/// GoQuorum 24.4.1 rewards one fixed address or the proposer (`GetRewardAccount`), whatever else
/// its comments name. Besu's empty `miningbeneficiary` goes back to the proposer.
fn beneficiary(object: &mut Object<'_>) -> Result<Option<Beneficiary>, GenesisError> {
    const EXPECTED: &str = "fixed, besu, validator or validators";
    let fixed = match object.take("miningBeneficiary")? {
        None => None,
        Some(value) if value.text("an address").is_ok_and(|text| text.is_empty()) => {
            Some(Beneficiary::Proposer)
        }
        Some(value) => Some(Beneficiary::Fixed(value.address()?)),
    };
    let Some(value) = object.take("beneficiaryMode")? else { return Ok(fixed) };
    match value.text(EXPECTED)?.to_ascii_lowercase().as_str() {
        "" => Ok(fixed),
        "fixed" | "besu" if fixed.is_some() => Ok(fixed),
        "fixed" | "besu" => Err(value.wrong("miningBeneficiary to be given too")),
        "validator" | "validators" => Ok(Some(Beneficiary::Proposer)),
        _ => Err(value.wrong(EXPECTED)),
    }
}

/// `transitions` of either tool, in the order of the file, which is ascending by block.
pub(super) fn transitions(
    config: &mut Object<'_>,
    dialect: Dialect,
    notes: &mut Vec<String>,
) -> Result<Vec<Transition>, GenesisError> {
    let Some(value) = config.take("transitions")? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    if value.is_object() {
        let mut engines = value.object()?;
        for key in ["qbft", "ibft", "clique"] {
            if let Some(list) = engines.take(key)? {
                read_list(&list, dialect, notes, &mut found)?;
            }
        }
        if let Some(list) = engines.take("ibft2")? {
            return Err(list.wrong("no transitions of IBFT 2.0, which is not read"));
        }
        engines.finish()?;
        found.sort_by_key(|change| change.block);
    } else {
        read_list(&value, dialect, notes, &mut found)?;
    }
    Ok(found)
}

fn read_list(
    list: &Value<'_>,
    dialect: Dialect,
    notes: &mut Vec<String>,
    found: &mut Vec<Transition>,
) -> Result<(), GenesisError> {
    let mut earliest = 0;
    for value in list.array()? {
        let mut object = value.object()?;
        let block = object.require("block", BLOCK)?;
        let mut change = shared(&mut object, dialect)?;
        change.block = block.u64(BLOCK)?;
        if change.block < earliest {
            return Err(block.wrong(format!("at least {earliest}, the block before it")));
        }
        earliest = change.block;
        change.engine = algorithm(&mut object)?;
        change.contract_size_limit = kib(&mut object, "contractsizelimit", CODE_KIB)?;
        change.transaction_size_limit = kib(&mut object, "transactionSizeLimit", TRANSACTION_KIB)?;
        change.gas_price_enabled = flag(&mut object, "gasPriceEnabled")?;
        change.gas_limit =
            object.u64("miner.gaslimit", "an amount of gas")?.filter(|limit| *limit > 0);
        change.eip3436 = flag(&mut object, "eip3436")?;
        change.two_f_plus_one = flag(&mut object, "2FPlus1Enabled")?;
        change.privacy_enhancements = flag(&mut object, "privacyEnhancementsEnabled")?;
        change.privacy_marker = flag(&mut object, "privacyPrecompileEnabled")?;
        if flag(&mut object, "enhancedPermissioningEnabled")? == Some(true) {
            let block = change.block;
            notes.push(format!(
                "enhancedPermissioningEnabled from block {block} has no effect here"
            ));
        }
        object.finish()?;
        found.push(change);
    }
    Ok(())
}

fn flag(object: &mut Object<'_>, key: &'static str) -> Result<Option<bool>, GenesisError> {
    object.take(key)?.map(|value| value.bool()).transpose()
}

/// The engine from a block on. GoQuorum knows `ibft` (its IBFT 1) and `qbft`; the others are ours.
fn algorithm(object: &mut Object<'_>) -> Result<Option<EngineKind>, GenesisError> {
    const EXPECTED: &str = "ibft, qbft, raft or clique";
    let Some(value) = object.take("algorithm")? else { return Ok(None) };
    match value.text(EXPECTED)?.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "qbft" => Ok(Some(EngineKind::Qbft)),
        "ibft" | "istanbul" => Ok(Some(EngineKind::Istanbul)),
        "raft" => Ok(Some(EngineKind::Raft)),
        "clique" => Ok(Some(EngineKind::Clique)),
        _ => Err(value.wrong(EXPECTED)),
    }
}

/// A size in KiB, returned in bytes; GoQuorum's 0 is "not given".
pub(super) fn kib(
    object: &mut Object<'_>,
    key: &'static str,
    allowed: RangeInclusive<u64>,
) -> Result<Option<usize>, GenesisError> {
    let Some(value) = object.take(key)? else { return Ok(None) };
    let expected = format!("a size in KiB from {} to {}", allowed.start(), allowed.end());
    let size = value.u64(&expected)?;
    if size == 0 {
        return Ok(None);
    }
    if !allowed.contains(&size) {
        return Err(value.wrong(expected));
    }
    Ok(usize::try_from(size * 1024).ok())
}

/// Fills in what a transition leaves to what came before it: the round timeout's cap, the contract
/// that an earlier section or transition named, and the pace of a new engine: nobody wants a BFT
/// chain at Raft's.
pub(super) fn complete(
    transitions: &mut [Transition],
    mut engine: EngineKind,
    mut contract: Option<Address>,
    cap_given: bool,
) {
    for change in transitions {
        let next = change.engine.unwrap_or(engine);
        let (before, after) = (default_period_ms(engine), default_period_ms(next));
        if before != after && change.block_period_ms.is_none() {
            change.block_period_ms = Some(after);
        }
        engine = next;
        contract = change.validator_contract.or(contract);
        if change.validators_from_contract == Some(true) {
            change.validator_contract = contract;
        }
        if let (Some(timeout), None, false) =
            (change.request_timeout_ms, change.max_request_timeout_ms, cap_given)
        {
            change.max_request_timeout_ms = Some(timeout.saturating_mul(4));
        }
    }
}
