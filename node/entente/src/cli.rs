//! The command line: nouns and verbs that users of geth and Besu know.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the command line talks to people")]

mod account;
mod config;
mod db;
mod dev;
mod doctor;
mod export;
mod genesis;
mod import;
mod import_payloads;
mod init;
mod key;
mod migrate;
mod node_settings;
mod privacy;
mod private_settings;
mod run;
mod testnet;

use clap::{Parser, Subcommand};
use entente_ledger::LedgerError;
use entente_storage::StoreError;
use std::process::ExitCode;

/// A permissioned Ethereum node.
#[derive(Parser)]
#[command(name = "entente", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node from a configuration file
    Run(run::RunArgs),
    /// Run one validator with on-demand blocks and ten funded accounts
    Dev(dev::DevArgs),
    /// Create the database of a chain
    Init(init::InitArgs),
    /// Local test networks: one process per validator
    #[command(subcommand)]
    Testnet(testnet::TestnetCommand),
    /// Keys in encrypted keystore files
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Keys for private transactions
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Genesis files
    #[command(subcommand)]
    Genesis(genesis::GenesisCommand),
    /// Configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// The database of a stopped node
    #[command(subcommand)]
    Db(db::DbCommand),
    /// Write the chain to a file, as `geth export` does
    Export(export::ExportArgs),
    /// Check and take in the blocks of a file that a node exported
    Import(import::ImportArgs),
    /// Change the consensus engine of a chain
    #[command(subcommand)]
    Migrate(migrate::MigrateCommand),
    /// Run a private transaction manager for other nodes, as Tessera is one
    Privacy(privacy::PrivacyArgs),
    /// Say why a chain stands still
    Doctor(doctor::DoctorArgs),
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Dev(args) => dev::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Testnet(command) => testnet::run(command),
        Command::Account(command) => account::run(command),
        Command::Key(command) => key::run(command),
        Command::Genesis(command) => genesis::run(command),
        Command::Config(command) => config::run(command),
        Command::Db(command) => db::run(&command),
        Command::Export(args) => export::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Migrate(command) => migrate::run(&command),
        Command::Privacy(args) => privacy::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            exit_code(&error)
        }
    }
}

/// 1 failure, 3 configuration or genesis, 4 data folder, 5 locked; 2 (usage) is clap's.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    for cause in error.chain() {
        if cause.is::<entente_config::ConfigError>()
            || cause.is::<entente_chain::genesis::GenesisError>()
        {
            return ExitCode::from(3);
        }
        let store = match cause.downcast_ref::<LedgerError>() {
            Some(LedgerError::Store(error)) => Some(error),
            _ => cause.downcast_ref::<StoreError>(),
        };
        match store {
            Some(StoreError::Locked { .. }) => return ExitCode::from(5),
            Some(_) => return ExitCode::from(4),
            None => {}
        }
    }
    ExitCode::FAILURE
}

/// A tokio runtime for commands that need one.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
