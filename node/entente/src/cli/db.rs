//! `entente db`: looks at the database of a stopped node.

use super::init::existing_database;
use anyhow::bail;
use std::path::PathBuf;

/// Verbs of `entente db`.
#[derive(clap::Subcommand)]
pub(super) enum DbCommand {
    /// Check every invariant: links, indices, and the state against the head's state root
    Check {
        /// Data folder of a stopped node
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
}

pub(super) fn run(command: &DbCommand) -> anyhow::Result<()> {
    let DbCommand::Check { data } = command;
    let report = entente_storage::check::check(&existing_database(data)?)?;
    match report.head {
        Some((number, hash)) => println!("head {number} {hash}"),
        None => println!("no genesis"),
    }
    println!(
        "{} blocks, {} transactions, {} accounts, {} slots",
        report.blocks, report.transactions, report.accounts, report.slots
    );
    for problem in &report.problems {
        println!("problem: {problem}");
    }
    if !report.is_sound() {
        bail!("{} problems found", report.problem_count);
    }
    println!("no problem found");
    Ok(())
}
