//! `entente import`: takes in the blocks of a file that geth, GoQuorum, Besu or Entente exported.
//! Every rule is checked, seals included; decoding and sender recovery run ahead of execution.

use super::{genesis::read_genesis, import_payloads::PayloadArgs, init::database_folder};
use crate::{
    clock::Clock, decode, genesis_change, private_node::PrivateNode, wiring::private_executor,
};
use alloy_primitives::B256;
use anyhow::{Context, bail};
use entente_chain::{ChainSpec, EnvironmentId, NodeId, RecoveredBlock, limits::BLOCK_BYTES_MAX};
use entente_evm::Senders;
use entente_ledger::Ledger;
use entente_storage::{Database, StorageOptions};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Instant,
};

/// Blocks decoded ahead of execution.
const BLOCKS_AHEAD: usize = 64;
/// A line of progress after this many seconds.
const PROGRESS_SECONDS: u64 = 10;

/// Arguments of `entente import`.
#[derive(clap::Args)]
pub(super) struct ImportArgs {
    /// Genesis file of geth, GoQuorum or Besu form
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Data folder, created when missing
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    private: PayloadArgs,
    /// File of concatenated RLP blocks
    file: PathBuf,
}

/// A block of the file with the offset where it begins.
struct FileBlock {
    offset: u64,
    block: RecoveredBlock,
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let (genesis, json) = read_genesis(&args.genesis)?;
    let database = Database::open(&database_folder(&args.data), &StorageOptions::default())?;
    database.initialise(&genesis, &json)?;
    genesis_change::accept(&database, &genesis, &json)?;
    let genesis_hash = genesis.header.hash();
    let spec = Arc::new(genesis.spec);
    let private = open_private(args, &database, EnvironmentId(genesis_hash))?;
    let states = private.as_ref().map(|private| Arc::clone(&private.execution));
    let execution = Arc::new(private_executor(&spec, states));
    let kept = private.map(|private| private.states);
    let mut chain = Ledger::open_with(&database, Arc::clone(&spec), execution, kept)?;
    let (sender, blocks) = mpsc::sync_channel(BLOCKS_AHEAD);
    let outcome = std::thread::scope(|scope| {
        let reading = scope.spawn(|| read_blocks(&args.file, &spec, sender));
        let imported = import(&mut chain, genesis_hash, blocks);
        match reading.join() {
            Ok(read) => imported.and_then(|count| read.map(|()| count)),
            Err(_) => bail!("the reading thread panicked"),
        }
    });
    let head = chain.head();
    let count = outcome.with_context(|| {
        format!(
            "{}: stopped, head is {} {}",
            args.file.display(),
            head.header.number,
            head.header.hash()
        )
    })?;
    println!("imported {count} blocks, head {} {}", head.header.number, head.header.hash());
    Ok(())
}

/// The private side of the party whose payloads are taken over.
fn open_private(
    args: &ImportArgs,
    database: &Database,
    environment: EnvironmentId,
) -> anyhow::Result<Option<PrivateNode>> {
    let Some(settings) = args.private.settings(&args.data)? else { return Ok(None) };
    // Nobody is asked for payloads here: the file has all that the party had.
    let place = (environment, NodeId([0; 32]));
    let private = PrivateNode::open(database, place, &settings, None)?;
    let taken = args.private.take(&private.privacy)?;
    println!("took over {taken} private payloads");
    Ok(Some(private))
}

fn import(
    chain: &mut Ledger,
    genesis: B256,
    blocks: mpsc::Receiver<FileBlock>,
) -> anyhow::Result<u64> {
    let (mut count, mut transactions, mut gas) = (0_u64, 0, 0_u64);
    let clock = Clock::start();
    let mut reported = Instant::now();
    for FileBlock { offset, block } in blocks {
        let number = block.header.number;
        if number == 0 && block.hash() != genesis {
            bail!("block 0 of the file is {}, the genesis file gives {genesis}", block.hash());
        }
        if number <= chain.head().header.number {
            continue;
        }
        transactions += block.transactions().len();
        gas = gas.saturating_add(block.header.gas_used);
        let place = || format!("block {number} at byte {offset}");
        chain.import(block, clock.unix_seconds()).with_context(place)?;
        count += 1;
        if reported.elapsed().as_secs() >= PROGRESS_SECONDS {
            reported = Instant::now();
            eprintln!("block {number}, {transactions} transactions, {} Mgas", gas / 1_000_000);
        }
    }
    Ok(count)
}

#[expect(clippy::needless_pass_by_value, reason = "dropped on return: that ends the channel")]
fn read_blocks(
    path: &Path,
    spec: &ChainSpec,
    out: mpsc::SyncSender<FileBlock>,
) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut input = BufReader::with_capacity(1 << 20, file);
    let senders = Senders::new(1024, spec.signing());
    let mut offset = 0;
    let mut number = 0_u64;
    while let Some(bytes) =
        next_block(&mut input).with_context(|| format!("after block {number}, at byte {offset}"))?
    {
        let block = decode::block(&senders, spec, &bytes)
            .map_err(|reason| anyhow::anyhow!("block at byte {offset}: {reason}"))?;
        number = block.header.number;
        // The importer stopped: its error is the one to show.
        if out.send(FileBlock { offset, block }).is_err() {
            return Ok(());
        }
        offset += bytes.len() as u64;
    }
    Ok(())
}

/// One RLP list, its length checked before memory is taken; `None` at the end of the file.
fn next_block(input: &mut impl BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(&first) = input.fill_buf()?.first() else { return Ok(None) };
    let length_bytes = match first {
        0xf8..=0xff => usize::from(first - 0xf7),
        0xc0..=0xf7 => 0,
        _ => bail!("byte {first:#04x} given, an RLP list (a block) is expected"),
    };
    let mut bytes = vec![0; 1 + length_bytes];
    input.read_exact(&mut bytes).context("the file ends inside a block")?;
    let payload = match length_bytes {
        0 => usize::from(first - 0xc0),
        _ => bytes
            .iter()
            .skip(1)
            .try_fold(0_usize, |length, byte| length.checked_mul(256)?.checked_add((*byte).into()))
            .unwrap_or(usize::MAX),
    };
    if payload > BLOCK_BYTES_MAX {
        bail!("a block of {payload} bytes, at most {BLOCK_BYTES_MAX} are allowed");
    }
    let head = bytes.len();
    bytes.resize(head + payload, 0);
    let body = bytes.get_mut(head..).unwrap_or_default();
    input.read_exact(body).context("the file ends inside a block")?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_length_is_checked_before_memory_is_taken() {
        let mut input: &[u8] = &[0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let error = next_block(&mut input).expect_err("too long").to_string();
        assert!(error.contains("at most"), "{error}");
    }

    #[test]
    fn a_truncated_file_is_told_from_a_finished_one() {
        let mut whole: &[u8] = &[0xc2, 0x01, 0x02];
        assert_eq!(next_block(&mut whole).expect("whole"), Some(vec![0xc2, 1, 2]));
        assert_eq!(next_block(&mut whole).expect("end"), None);
        let mut cut: &[u8] = &[0xc2, 0x01];
        assert!(next_block(&mut cut).is_err());
    }
}
