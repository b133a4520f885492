//! A genesis file that changed after its chain began: new transitions and forks may lie ahead, the
//! past may not change.

use entente_chain::{ChainSpec, genesis::Genesis};
use entente_storage::Database;

/// Accepts a genesis file with the stored genesis hash when no rule at or below the head changes,
/// and stores it.
///
/// # Errors
/// When a rule of the past would change: names it with both values.
pub(crate) fn accept(database: &Database, given: &Genesis, json: &[u8]) -> anyhow::Result<()> {
    let Some(stored) = database.genesis_json()? else { return Ok(()) };
    if *stored == *json {
        return Ok(());
    }
    let stored: ChainSpec = Genesis::parse(&stored)?.spec;
    if stored == given.spec {
        return Ok(());
    }
    let head = database.reader().head();
    stored.compatible(&given.spec, head.header.number, head.header.timestamp)?;
    tracing::info!("the genesis file changed ahead of the head: the new one holds from now on");
    database.replace_genesis_json(json)?;
    Ok(())
}
