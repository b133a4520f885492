//! Rehearses a change: as many throw-away validators as there are real ones, each with a copy of the
//! chain, run the real engines and the real ledger in one process and virtual time, from the head
//! over the change. Only the keys, the clock and the network are stand-ins.

mod node;
mod rules;
mod world;

use super::{Request, Standing, checks::Plan};
use alloy_primitives::{Address, B256};
use anyhow::Context;
use entente_chain::{BlockNumber, SealedHeader, signer::SealSigner};
use entente_storage::{Database, StorageOptions, copy_files};
use std::{path::Path, sync::Arc};
use world::World;
use zeroize::Zeroizing;

/// Most validators that are rehearsed with.
const VALIDATORS_MAX: usize = 7;
/// Blocks of the old engine, when the change is further away than that.
const BLOCKS_BEFORE: u64 = 3;
/// Blocks of the new engine.
const BLOCKS_AFTER: u64 = 4;
/// Memory for reads of one node, in bytes.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// A block that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rehearsed {
    /// Its header.
    pub(crate) header: SealedHeader,
    /// Engine that sealed it.
    pub(crate) engine: &'static str,
    /// Virtual milliseconds from its parent's commit to its own, on the first node.
    pub(crate) after_ms: u64,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How many validators took part.
    pub(crate) validators: usize,
    /// First block of the new engine in the rehearsal: sooner than the real one.
    pub(crate) switch: BlockNumber,
    /// All blocks above the head, the same on every node.
    pub(crate) blocks: Vec<Rehearsed>,
}

/// Runs it. `source` is a copy of the database that nobody has open; `scratch` an empty folder.
///
/// # Errors
/// When the chain stood still, nodes disagreed, or a copy could not be made or opened.
pub(crate) fn run(
    plan: &Plan,
    request: &Request,
    standing: &Standing,
    source: &Path,
    scratch: &Path,
) -> anyhow::Result<Outcome> {
    let count = plan.validators.len().min(VALIDATORS_MAX);
    let before = standing.validators.as_ref().map_or(count, |set| set.len().min(VALIDATORS_MAX));
    let keys = keys(count.max(before))?;
    let addresses: Vec<Address> = keys.iter().map(SealSigner::address).collect();
    let switch = standing.head.saturating_add(BLOCKS_BEFORE).saturating_add(1).min(request.at);
    let cast = rules::Cast {
        before: addresses.iter().take(before).copied().collect(),
        after: addresses.iter().take(count).copied().collect(),
    };
    let spec = Arc::new(rules::rehearsed(&plan.spec, standing.head, request.at, switch, &cast));
    let options =
        StorageOptions { cache_bytes: CACHE_BYTES, sync: false, ..StorageOptions::default() };
    let mut world = World::new(Arc::clone(&spec), standing.genesis_hash);
    for (index, key) in keys.into_iter().enumerate() {
        let folder = scratch.join(format!("validator-{index}"));
        copy_files(source, &folder).context("a validator's copy")?;
        let database = Database::open(&folder, &options)?;
        // Their keys are not needed: private transactions change nothing in public.
        database.give_up_private_states()?;
        world.join(&database, key)?;
    }
    let last = switch.saturating_add(BLOCKS_AFTER).saturating_sub(1);
    let blocks = world.run_to(last)?;
    Ok(Outcome { validators: addresses.len(), switch, blocks })
}

/// Keys that guard nothing: everybody may know them.
fn keys(count: usize) -> anyhow::Result<Vec<SealSigner>> {
    let secret = |index: usize| {
        let hash: B256 = alloy_primitives::keccak256(format!("rehearsal {index}"));
        Ok(SealSigner::new(&Zeroizing::new(hash.0))?)
    };
    (0..count).map(secret).collect()
}
