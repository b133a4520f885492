//! `entente export`: the chain as concatenated RLP blocks from genesis on, byte for byte what
//! `geth export` writes.

use super::init::existing_database;
use anyhow::Context;
use entente_storage::{Database, StorageOptions};
use std::{
    fs::OpenOptions,
    io::{BufWriter, Write},
    path::PathBuf,
};

/// Arguments of `entente export`.
#[derive(clap::Args)]
pub(super) struct ExportArgs {
    /// Data folder of a stopped node
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// File to create
    file: PathBuf,
}

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let options = StorageOptions { read_only: true, ..StorageOptions::default() };
    let database = Database::open(&existing_database(&args.data)?, &options)?;
    let reader = database.reader();
    let head = reader.head().header.clone();
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&args.file)
        .with_context(|| format!("cannot create {}", args.file.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    for number in 0..=head.number {
        let block = reader
            .raw_block(number)?
            .with_context(|| format!("block {number} is missing; run `entente db check`"))?;
        out.write_all(&block)?;
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    println!("exported {} blocks, head {} {}", head.number + 1, head.number, head.hash());
    Ok(())
}
