//! The engine section of a genesis config, and the validators that genesis names.

use super::{
    changes::{self, Dialect},
    error::GenesisError,
    json::{Object, Value},
};
use crate::{
    extra_data::{istanbul::IstanbulExtra, qbft::QbftExtra},
    limits::{EXTRA_DATA_BYTES_MAX, TRANSACTION_BYTES_MAX},
    spec::{BlockRules, EngineKind, RAFT_INTERVAL_MS, apply},
    transition::Transition,
    validators::ValidatorSet,
};
use alloy_primitives::{Address, Bytes};

const BLOCK: &str = "a block number";
/// Vanity and seal around Clique's signers (EIP-225).
const CLIQUE_VANITY: usize = 32;
const CLIQUE_SEAL: usize = 65;

/// What the engine section says.
pub(super) struct Section {
    pub(super) rules: BlockRules,
    /// What it changes later: quorum size, QBFT in place of IBFT.
    pub(super) later: Vec<Transition>,
    /// Validators it lists itself.
    pub(super) validators: Option<(Vec<Address>, String)>,
    /// The round timeout's cap was given.
    pub(super) cap_given: bool,
    /// Our own Raft networks count seconds; those of GoQuorum nanoseconds.
    pub(super) nanoseconds: bool,
}

/// Reads the one engine section there is. `first` is the engine that a transition at block 0
/// names, which GoQuorum takes in place of a section.
pub(super) fn read(
    config: &mut Object<'_>,
    dialect: Dialect,
    merged: bool,
    first: Option<EngineKind>,
) -> Result<Section, GenesisError> {
    const KINDS: [(&str, EngineKind); 6] = [
        ("qbft", EngineKind::Qbft),
        ("ibft", EngineKind::Istanbul),
        ("istanbul", EngineKind::Istanbul),
        ("clique", EngineKind::Clique),
        ("ethash", EngineKind::Ethereum),
        ("raft", EngineKind::Raft),
    ];
    let mut found: Option<(&str, EngineKind, Value<'_>)> = None;
    for (key, kind) in KINDS {
        let Some(value) = config.take(key)? else { continue };
        if let Some((other, ..)) = found {
            return Err(value.wrong(format!("one engine, config.{other} is given too")));
        }
        found = Some((key, kind, value));
    }
    if let Some(value) = config.take("ibft2")? {
        return Err(value.wrong("qbft, ibft, istanbul, clique or ethash: IBFT 2.0 is not read"));
    }
    let quorum = dialect == Dialect::GoQuorum;
    match (found, first) {
        (Some((key, kind, value)), _) => section(key, kind, &value, dialect),
        (None, Some(engine)) => Ok(bare(engine, quorum)),
        (None, None) if quorum => {
            Ok(Section { nanoseconds: true, ..bare(EngineKind::Raft, quorum) })
        }
        (None, None) if merged => Ok(bare(EngineKind::Ethereum, quorum)),
        (None, None) => Err(GenesisError::Missing {
            place: config.value().place(),
            key: "qbft",
            expected: "one of qbft, ibft, istanbul, clique, ethash, or isQuorum for Raft",
        }),
    }
}

fn bare(engine: EngineKind, quorum: bool) -> Section {
    Section {
        rules: defaults(engine, quorum),
        later: Vec::new(),
        validators: None,
        cap_given: false,
        nanoseconds: false,
    }
}

/// GoQuorum's and Besu's defaults (consensus/istanbul/config.go; Besu's BFT config options).
fn defaults(engine: EngineKind, quorum: bool) -> BlockRules {
    let timeout = if quorum { 10_000 } else { 1000 };
    let period = if quorum { 5000 } else { 1000 };
    let period = if engine == EngineKind::Raft { RAFT_INTERVAL_MS } else { period };
    BlockRules {
        block_period_ms: period,
        request_timeout_ms: timeout,
        max_request_timeout_ms: 4 * timeout,
        transaction_size_limit: if quorum { 64 * 1024 } else { TRANSACTION_BYTES_MAX },
        gas_price_enabled: !quorum,
        ..BlockRules::new(engine)
    }
}

fn section(
    key: &str,
    engine: EngineKind,
    value: &Value<'_>,
    dialect: Dialect,
) -> Result<Section, GenesisError> {
    let mut object = value.object()?;
    let mut section = bare(engine, dialect == Dialect::GoQuorum);
    if engine == EngineKind::Ethereum {
        object.ignore(&["fixeddifficulty"])?;
        object.finish()?;
        return Ok(section);
    }
    let change = changes::shared(&mut object, dialect)?;
    section.cap_given = change.max_request_timeout_ms.is_some();
    if let Some(timeout) = change.request_timeout_ms {
        section.rules.max_request_timeout_ms = timeout.saturating_mul(4);
    }
    section.validators =
        change.validators.clone().map(|listed| (listed, format!("config.{key}.validators")));
    apply(&mut section.rules, &Transition { validators: None, ..change });
    if section.rules.max_request_timeout_ms < section.rules.request_timeout_ms {
        return Err(value.wrong("maxRequestTimeoutSeconds of at least requesttimeoutseconds"));
    }
    match object.take("policy")? {
        None => {}
        Some(value) => match value.u64("0 (round robin) or 1 (sticky)")? {
            0 => {}
            1 => section.rules.sticky_proposer = true,
            _ => return Err(value.wrong("0 (round robin) or 1 (sticky)")),
        },
    }
    if engine == EngineKind::Clique {
        section.rules.eip3436 = object.flag("eip3436")?;
    }
    quorum_size(&mut object, key, &mut section)?;
    if let Some(block) = object.u64("testQBFTBlock", BLOCK)? {
        let engine = Some(EngineKind::Qbft);
        section.later.push(Transition { block, engine, ..Transition::default() });
    }
    match object.take("startblock")? {
        Some(value) if value.u64(BLOCK)? > 0 => {
            return Err(value.wrong("0: chains that began under IBFT 2.0 are not read"));
        }
        _ => {}
    }
    // Queue sizes of Besu and a clock tolerance: local matters that have constants here.
    object.ignore(&[
        "gossipedhistorylimit",
        "messagequeuelimit",
        "duplicatemessagelimit",
        "futuremessageslimit",
        "futuremessagesmaxdistance",
        "allowedFutureBlockTime",
        "createemptyblocks",
    ])?;
    object.finish()?;
    Ok(section)
}

/// `ceil2Nby3Block`: 2F+1 before. GoQuorum reads a missing one as 0, but in the old `istanbul`
/// section as never (eth/ethconfig/config.go).
fn quorum_size(
    object: &mut Object<'_>,
    key: &str,
    section: &mut Section,
) -> Result<(), GenesisError> {
    match object.u64("ceil2Nby3Block", BLOCK)? {
        Some(0) => {}
        Some(block) => {
            section.rules.quorum_two_thirds = false;
            let two_f_plus_one = Some(false);
            section.later.push(Transition { block, two_f_plus_one, ..Transition::default() });
        }
        None => section.rules.quorum_two_thirds = key != "istanbul",
    }
    Ok(())
}

/// The validators of genesis, ascending: from extraData, which must be of the engine's format, or
/// from the config when extraData has none.
pub(super) fn validators(
    section: &Section,
    extra: Option<&Value<'_>>,
    root: &Value<'_>,
) -> Result<(Bytes, Vec<Address>), GenesisError> {
    let place = extra.unwrap_or(root);
    let bytes = extra.map(Value::bytes).transpose()?.unwrap_or_default();
    if bytes.len() > EXTRA_DATA_BYTES_MAX {
        return Err(place.wrong(format!("at most {EXTRA_DATA_BYTES_MAX} bytes")));
    }
    let engine = section.rules.engine;
    let sealed = match engine {
        EngineKind::Qbft => {
            let extra = QbftExtra::decode(&bytes).map_err(|cause| {
                place.wrong(format!("extraData of QBFT, RLP of five fields ({cause})"))
            })?;
            extra.validators
        }
        EngineKind::Istanbul => {
            let extra = IstanbulExtra::decode(&bytes).map_err(|cause| {
                place
                    .wrong(format!("extraData of IBFT, 32 bytes and RLP of three fields ({cause})"))
            })?;
            extra.validators
        }
        EngineKind::Clique => clique(&bytes).ok_or_else(|| {
            place.wrong("extraData of Clique, 32 bytes, addresses of signers, 65 bytes")
        })?,
        // Raft's genesis has no place for voters: the section lists them.
        EngineKind::Raft => Vec::new(),
        EngineKind::Ethereum => return Ok((bytes, Vec::new())),
    };
    let listed = match (&section.validators, sealed.is_empty()) {
        (Some((listed, _)), true) => listed.clone(),
        (Some((listed, path)), false) if !same(listed, &sealed) => {
            return Err(place.wrong(format!("the validators that {path} lists")));
        }
        _ => sealed,
    };
    let elsewhere = section.rules.validator_contract.is_some() || section.nanoseconds;
    if listed.is_empty() && elsewhere {
        return Ok((bytes, listed));
    }
    let set = ValidatorSet::new(listed)
        .map_err(|cause| place.wrong(format!("extraData that lists validators ({cause})")))?;
    Ok((bytes, set.addresses().to_vec()))
}

fn same(left: &[Address], right: &[Address]) -> bool {
    let sorted = |list: &[Address]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    };
    sorted(left) == sorted(right)
}

fn clique(extra: &[u8]) -> Option<Vec<Address>> {
    let signers = extra.len().checked_sub(CLIQUE_VANITY + CLIQUE_SEAL)?;
    let signers = extra.get(CLIQUE_VANITY..CLIQUE_VANITY + signers)?;
    let whole = signers.len() % Address::len_bytes() == 0;
    whole.then(|| signers.chunks_exact(Address::len_bytes()).map(Address::from_slice).collect())
}
