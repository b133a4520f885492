//! `entente genesis`: what a genesis file means.

use anyhow::{Context, bail};
use entente_chain::{genesis::Genesis, limits::GENESIS_FILE_BYTES_MAX};
use std::path::{Path, PathBuf};

/// Verbs of `entente genesis`.
#[derive(clap::Subcommand)]
pub(super) enum GenesisCommand {
    /// Check a genesis file and say what this and other nodes do with it
    Check {
        /// Genesis file of geth, GoQuorum or Besu form
        file: PathBuf,
    },
}

pub(super) fn run(command: GenesisCommand) -> anyhow::Result<()> {
    let GenesisCommand::Check { file } = command;
    let (genesis, _) = read_genesis(&file)?;
    for line in genesis.describe() {
        println!("{line}");
    }
    Ok(())
}

/// Reads and checks a genesis file of bounded size.
pub(super) fn read_genesis(path: &Path) -> anyhow::Result<(Genesis, Vec<u8>)> {
    let size = std::fs::metadata(path)
        .with_context(|| format!("cannot read genesis file {}", path.display()))?
        .len();
    if size > GENESIS_FILE_BYTES_MAX {
        bail!(
            "genesis file {} has {size} bytes, at most {GENESIS_FILE_BYTES_MAX} are allowed",
            path.display()
        );
    }
    let json = std::fs::read(path)
        .with_context(|| format!("cannot read genesis file {}", path.display()))?;
    let genesis =
        Genesis::parse(&json).with_context(|| format!("genesis file {}", path.display()))?;
    Ok((genesis, json))
}
