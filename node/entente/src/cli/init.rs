//! `entente init`: a database with nothing but the genesis block.

use super::genesis::read_genesis;
use entente_storage::{Database, StorageOptions};
use std::path::PathBuf;

/// Arguments of `entente init`.
#[derive(clap::Args)]
pub(super) struct InitArgs {
    /// Genesis file of geth, GoQuorum or Besu form
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Data folder
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

pub(super) fn run(args: &InitArgs) -> anyhow::Result<()> {
    let (genesis, json) = read_genesis(&args.genesis)?;
    let database = Database::open(&database_folder(&args.data), &StorageOptions::default())?;
    database.initialise(&genesis, &json)?;
    println!(
        "initialised {} with genesis {} (chain id {})",
        args.data.display(),
        genesis.header.hash(),
        genesis.spec.chain_id
    );
    Ok(())
}

/// Where the database lies inside a data folder.
pub(super) fn database_folder(data: &std::path::Path) -> PathBuf {
    data.join("chain")
}

/// The database of a data folder that has one.
pub(super) fn existing_database(data: &std::path::Path) -> anyhow::Result<PathBuf> {
    let folder = database_folder(data);
    if !folder.join("CURRENT").exists() {
        anyhow::bail!(
            "there is no chain in {}: name the data folder, in which the folder `chain` lies",
            data.display()
        );
    }
    Ok(folder)
}
