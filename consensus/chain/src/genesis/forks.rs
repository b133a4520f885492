//! Fork and blob keys of a genesis config.

use super::{
    error::GenesisError,
    json::{Object, Value},
};
use crate::{
    fork::{Activation, Fork, ForkSchedule},
    spec::BlobParameters,
};

const BLOCK: &str = "a block number";
const TIME: &str = "a time in seconds since 1970";

/// Forks by block: the usual key, then Besu's other spelling.
const BY_BLOCK: [(Fork, &[&str]); 13] = [
    (Fork::Homestead, &["homesteadBlock"]),
    (Fork::TangerineWhistle, &["eip150Block", "tangerineWhistleBlock"]),
    (Fork::SpuriousDragon, &["eip158Block", "spuriousDragonBlock"]),
    (Fork::Byzantium, &["byzantiumBlock"]),
    (Fork::Constantinople, &["constantinopleBlock"]),
    (Fork::Petersburg, &["petersburgBlock", "constantinopleFixBlock"]),
    (Fork::Istanbul, &["istanbulBlock"]),
    (Fork::MuirGlacier, &["muirGlacierBlock"]),
    (Fork::Berlin, &["berlinBlock"]),
    (Fork::London, &["londonBlock"]),
    (Fork::ArrowGlacier, &["arrowGlacierBlock"]),
    (Fork::GrayGlacier, &["grayGlacierBlock"]),
    (Fork::Paris, &["mergeNetsplitBlock", "mergeForkBlock"]),
];

const BY_TIME: [(Fork, &str); 4] = [
    (Fork::Shanghai, "shanghaiTime"),
    (Fork::Cancun, "cancunTime"),
    (Fork::Prague, "pragueTime"),
    (Fork::Osaka, "osakaTime"),
];

/// Forks whose rules this node does not have: absent, or the chain cannot be followed.
const TOO_NEW: [&str; 6] = [
    "amsterdamTime",
    "bogotaTime",
    "verkleTime",
    "futureEipsTime",
    "experimentalEipsTime",
    "yoloV3Block",
];

pub(super) struct Forks {
    pub(super) schedule: ForkSchedule,
    pub(super) blobs: Vec<BlobParameters>,
    /// `terminalTotalDifficulty` was given: the chain is Ethereum's kind.
    pub(super) merged: bool,
}

pub(super) fn read(
    config: &mut Object<'_>,
    notes: &mut Vec<String>,
) -> Result<Forks, GenesisError> {
    let mut entries = vec![(Fork::Frontier, Activation::Block(0))];
    let mut last: Option<(Fork, u64)> = None;
    for (fork, keys) in BY_BLOCK {
        let Some(value) = config.take_any(keys)? else { continue };
        let block = value.u64(BLOCK)?;
        in_order(&value, &mut last, fork, block)?;
        entries.push((fork, Activation::Block(block)));
    }
    eip155(config, &entries)?;
    dao(config)?;
    config.ignore(&[
        "eip150Hash",
        "ewasmBlock",
        "catalystBlock",
        "terminalTotalDifficultyPassed",
    ])?;
    let terminal = config.take("terminalTotalDifficulty")?;
    let merged = terminal.is_some();
    if let Some(value) = terminal {
        let none_given = !entries.iter().any(|(fork, _)| *fork == Fork::Paris);
        if value.u256("a total difficulty")?.is_zero() && none_given {
            entries.push((Fork::Paris, Activation::Block(0)));
        }
    }
    let first_late_block = last.filter(|(_, block)| *block > 0);
    let mut last_time = None;
    for (fork, key) in BY_TIME {
        let Some(value) = config.take(key)? else { continue };
        let time = value.u64(TIME)?;
        in_order(&value, &mut last_time, fork, time)?;
        if let (0, Some((late, block))) = (time, first_late_block) {
            return Err(value.wrong(format!("a time after {late}, which begins at block {block}")));
        }
        entries.push((fork, Activation::Time(time)));
    }
    for key in TOO_NEW {
        if let Some(value) = config.take(key)? {
            return Err(value.wrong(format!("no fork after {}", Fork::Osaka)));
        }
    }
    petersburg_with_constantinople(&mut entries, notes);
    let schedule = ForkSchedule::new(entries);
    let blobs = super::blobs::read(config, &schedule)?;
    Ok(Forks { schedule, blobs, merged })
}

fn in_order(
    value: &Value<'_>,
    last: &mut Option<(Fork, u64)>,
    fork: Fork,
    at: u64,
) -> Result<(), GenesisError> {
    if let Some((before, earliest)) = *last
        && at < earliest
    {
        return Err(value.wrong(format!("at least {earliest}, where {before} begins")));
    }
    *last = Some((fork, at));
    Ok(())
}

/// EIP-155 and EIP-158 are one fork here, as on every network that ever was.
fn eip155(config: &mut Object<'_>, entries: &[(Fork, Activation)]) -> Result<(), GenesisError> {
    let Some(value) = config.take("eip155Block")? else { return Ok(()) };
    let block = value.u64(BLOCK)?;
    let same =
        |entry: &(Fork, Activation)| *entry == (Fork::SpuriousDragon, Activation::Block(block));
    if entries.iter().any(same) { Ok(()) } else { Err(value.wrong("the block of eip158Block")) }
}

fn dao(config: &mut Object<'_>) -> Result<(), GenesisError> {
    let block = config.take("daoForkBlock")?;
    let support = config.take("daoForkSupport")?;
    match (block, support) {
        (Some(_), Some(value)) if value.bool()? => {
            Err(value.wrong("false: the DAO's accounts are not moved here"))
        }
        _ => Ok(()),
    }
}

/// geth and GoQuorum take a missing Petersburg as "with Constantinople".
fn petersburg_with_constantinople(entries: &mut Vec<(Fork, Activation)>, notes: &mut Vec<String>) {
    let at = |wanted: Fork| entries.iter().find(|(fork, _)| *fork == wanted).map(|(_, at)| *at);
    if let (Some(constantinople), None) = (at(Fork::Constantinople), at(Fork::Petersburg)) {
        entries.push((Fork::Petersburg, constantinople));
        notes.push(
            "petersburgBlock is missing: it holds from Constantinople on, as in geth and \
             GoQuorum; Besu would run EIP-1283 until the next fork"
                .into(),
        );
    }
}
