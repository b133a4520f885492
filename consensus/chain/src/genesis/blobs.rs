//! `blobSchedule` and the blob-parameter-only forks (EIP-7840, EIP-7892).

use super::{error::GenesisError, json::Object};
use crate::{
    fork::{Activation, Fork, ForkSchedule},
    spec::BlobParameters,
};
use alloy_eips::eip7840::BlobParams;
use std::collections::BTreeMap;

/// Stages by name; the fork that begins one, or the key of its time.
const STAGES: [(&str, Result<Fork, &str>); 8] = [
    ("cancun", Ok(Fork::Cancun)),
    ("prague", Ok(Fork::Prague)),
    ("osaka", Ok(Fork::Osaka)),
    ("bpo1", Err("bpo1Time")),
    ("bpo2", Err("bpo2Time")),
    ("bpo3", Err("bpo3Time")),
    ("bpo4", Err("bpo4Time")),
    ("bpo5", Err("bpo5Time")),
];

/// The parameters of every stage that the chain reaches, ascending by time.
pub(super) fn read(
    config: &mut Object<'_>,
    forks: &ForkSchedule,
) -> Result<Vec<BlobParameters>, GenesisError> {
    let mut given = schedule(config)?;
    let mut found: Vec<BlobParameters> = Vec::new();
    for (stage, begin) in STAGES {
        let own = given.remove(stage);
        let from = match begin {
            Ok(fork) => match forks.activation(fork) {
                Some(Activation::Time(time)) => Some(time),
                Some(Activation::Block(_)) | None => None,
            },
            Err(key) => match config.take(key)? {
                None => None,
                Some(value) => {
                    let time = value.u64("a time in seconds since 1970")?;
                    if found.last().is_some_and(|last| time < last.from) {
                        return Err(value.wrong("a time not before that of the stage before it"));
                    }
                    if own.is_none() && usual(stage).is_none() {
                        return Err(value.wrong(format!("blobSchedule.{stage} to be given too")));
                    }
                    Some(time)
                }
            },
        };
        if let (Some(from), Some(parameters)) = (from, own.or_else(|| usual(stage))) {
            found.push(BlobParameters { from, ..parameters });
        }
    }
    Ok(found)
}

fn schedule(
    config: &mut Object<'_>,
) -> Result<BTreeMap<&'static str, BlobParameters>, GenesisError> {
    let mut given = BTreeMap::new();
    let Some(value) = config.take("blobSchedule")? else { return Ok(given) };
    let mut stages = value.object()?;
    for (stage, _) in STAGES {
        let Some(value) = stages.take(stage)? else { continue };
        let mut entry = value.object()?;
        let target = entry.require("target", "a number of blobs")?.u64("a number of blobs")?;
        let max = entry.require("max", "a number of blobs")?;
        if max.u64("a number of blobs")? < target {
            return Err(max.wrong(format!("at least the target, {target}")));
        }
        let max = max.u64("a number of blobs")?;
        let fraction = entry.take("baseFeeUpdateFraction")?;
        let update_fraction = match fraction {
            Some(value) => match value.u64("a number above 0")? {
                0 => return Err(value.wrong("a number above 0")),
                fraction => fraction,
            },
            None => usual(stage).map_or(0, |usual| usual.update_fraction),
        };
        if update_fraction == 0 {
            return Err(entry.value().wrong("baseFeeUpdateFraction to be given too"));
        }
        entry.finish()?;
        given.insert(stage, BlobParameters { from: 0, target, max, update_fraction });
    }
    // Ethereum's later stages have parameters before they have rules here.
    stages.ignore(&["amsterdam", "verkle", "bogota"])?;
    stages.finish()?;
    Ok(given)
}

/// Mainnet's parameters.
fn usual(stage: &str) -> Option<BlobParameters> {
    let parameters = match stage {
        "cancun" => BlobParams::cancun(),
        "prague" => BlobParams::prague(),
        "osaka" => BlobParams::osaka(),
        "bpo1" => BlobParams::bpo1(),
        "bpo2" => BlobParams::bpo2(),
        _ => return None,
    };
    Some(BlobParameters {
        from: 0,
        target: parameters.target_blob_count,
        max: parameters.max_blob_count,
        update_fraction: u64::try_from(parameters.update_fraction).ok()?,
    })
}
